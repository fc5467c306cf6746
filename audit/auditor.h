/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auditor: the processes that own the log. audit_start() forks the *keeper*; the keeper forks
 * the *writer*, which reads records from a socket and writes them, and forks another when that one
 * is killed. A record leaves the socket only when it is in the log, so a killed writer loses
 * nothing, and because each record has its number, nothing is written twice. Both outlive the
 * supervisor for as long as it takes to write what was received.
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
    AUDITOR_READY = 1, /* the log is open (again) */
    AUDITOR_REFUSED,   /* the log could not be opened: err, text; the auditor ends */
    AUDITOR_FAILING,   /* records cannot be written: err; it keeps trying */
    AUDITOR_RECOVERED, /* everything received so far is written */
    AUDITOR_WRITTEN,   /* answer to a question: everything before its number is in the log */
    AUDITOR_DONE,      /* after the end of the socket: all written and synced, or err */
};

struct auditor_status {
    int32_t news;
    int32_t err;
    uint64_t number; /* AUDITOR_WRITTEN: of the question */
    char text[WHY_TEXT_MAX];
};

/** A message is the record's number (8 bytes, little endian; 1, 2, …) and the record (record.h). A
 * number alone says that the supervisor ends in good order; a number and one byte is a question:
 * say when all before it is written. */
#define AUDITOR_HEADER   8u
#define AUDITOR_QUESTION (AUDITOR_HEADER + 1u)

struct auditor_config {
    const char *path;
    const char *identity;
    const char *parent_id;    /* may be NULL */
    const char *namespace_id; /* may be NULL */
    const char *trace_id;
    const char *root_span;
    const char *parent_span_id; /* of the root span; may be NULL */
    const char *label;          /* the root span's name; may be NULL */
    uint64_t chain_number;
    struct mono started;
    bool echo_json;
    bool wants_jail; /* the writer confines itself for good once its files are open */
    const struct audit_stream *stream; /* NULL: none */
    int records_fd;                    /* takes: SOCK_SEQPACKET, the reading end */
    int status_fd;                     /* takes: the pipe's writing end */
};

/** auditor_run() - The life of the auditor; returns its exit status. */
int auditor_run(const struct auditor_config *config);

/** auditor_write() - The life of a writer, in the process that calls it. @is_successor: another
 * writer of the same configuration may have written records that are still in the socket. */
int auditor_write(const struct auditor_config *config, bool is_successor);

#endif
