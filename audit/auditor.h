/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auditor: the process that owns the log. It is forked by audit_start() and reads records from
 * a socket; it outlives the supervisor for as long as it takes to write what it received.
 *
 * Process card. Faces: the supervisor, whose messages it validates. Holds: the log's descriptors.
 * Never has: the agent's memory, keys, network policy, any descriptor of the supervisor but one end
 * of the record socket, the status pipe and (with echo) standard error.
 */
#ifndef AUDIT_AUDITOR_H
#define AUDIT_AUDITOR_H

#include <stdint.h>

#include "audit/audit.h"
#include "base/why.h"

/** What the auditor tells through the status pipe; one write each, smaller than PIPE_BUF. */
enum auditor_news {
    AUDITOR_READY = 1, /* the log is open */
    AUDITOR_REFUSED,   /* the log could not be opened: err, text; the auditor ends */
    AUDITOR_FAILING,   /* records cannot be written: err; it keeps trying */
    AUDITOR_RECOVERED, /* everything received so far is written */
    AUDITOR_DONE,      /* after the end of the socket: all written and synced, or err */
};

struct auditor_status {
    int32_t news;
    int32_t err;
    char text[WHY_TEXT_MAX];
};

/** The message that says that the supervisor ends in good order: one zero byte, no record. */
#define AUDITOR_GOODBYE 0u

struct auditor_config {
    const char *path;
    const char *identity;
    const char *trace_id;
    const char *root_span;
    const char *parent_span_id; /* of the root span; may be NULL */
    uint64_t chain_number;
    bool echo_json;
    const struct audit_stream *stream; /* NULL: none */
    int records_fd;                    /* takes: SOCK_SEQPACKET, the reading end */
    int status_fd;                     /* takes: the pipe's writing end */
};

/** auditor_run() - The life of the auditor; returns its exit status. */
int auditor_run(const struct auditor_config *config);

#endif
