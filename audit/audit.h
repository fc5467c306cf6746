/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the audit room: records in, an append-only log out. A separate process, the auditor,
 * owns the log; the supervisor only holds one end of a socket to it and cannot write files.
 *
 * Lifecycle: audit_start (forks the auditor; call it before anything secret is loaded and before
 * any thread exists) → audit_emit … → audit_stop (waits until everything is on disk).
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/must.h"
#include "base/why.h"

#define AUDIT_RECORD_MAX 8192u /* bytes of one record as JSON */

struct audit;

struct audit_config {
    const char *path;     /* log file, created 0600; its directories are created 0700 */
    const char *identity; /* the sandbox's or gateway's name, in each record */
    bool echo_json;       /* also write each record to standard error (--json) */
};

enum audit_kind {
    AUDIT_START = 0, /* "start": the sandbox began; carries mode and policy */
    AUDIT_DECISION,  /* "decision": a destination or name was judged */
    AUDIT_FLOW,      /* "flow": a flow ended; carries bytes and duration */
    AUDIT_EXEC,      /* "exec": a program was started */
    AUDIT_STOP,      /* "stop": the sandbox ended; carries the exit status */
};

/** What happened. Fields that do not apply are zero or NULL and are left out of the log. All text
 * is borrowed for the call; it may be foreign and is escaped by the writer. */
struct audit_record {
    enum audit_kind kind;
    int64_t wall_ns;      /* CLOCK_REALTIME */
    const char *trace_id; /* 36 characters; NULL: the sandbox's own */
    const char *span_id;
    const char *verdict;   /* "allow", "drop" (compat.md A4) */
    bool would_deny;       /* audit mode let it pass */
    const char *mode;      /* "enforce", "audit" */
    const char *direction; /* "egress", "ingress" */
    const char *protocol;  /* "tcp", "udp", "icmp", "dns" */
    struct endpoint src;
    struct endpoint dst;
    const char *name;    /* DNS name that the decision or flow is tied to */
    const char *rule;    /* the rule that decided */
    const char *reason;  /* policy_reason_name() */
    const char *peer;    /* gateway: the WireGuard peer's public key, base64 */
    const char *carrier; /* "wireguard", "direct", "loopback" */
    int32_t pid;         /* thread group id in the host's numbering; 0: none */
    const char *exe;     /* path of the executable */
    uint64_t bytes_out;  /* agent → network */
    uint64_t bytes_in;
    int64_t duration_ns; /* -1: does not apply */
    const char *error;   /* how a flow ended when not in order: "ECONNRESET", "ETIMEDOUT", … */
    int exit_status;     /* AUDIT_STOP */
    const char *detail;  /* free text of our own */
};

/** audit_start() - Fork the auditor and open the log. Errors: -errno with @why: nothing was
 * started. */
int audit_start(const struct audit_config *config, struct audit **ret, struct why *why) MUST_USE;

/**
 * audit_emit() - Hand one record to the auditor.
 * Never blocks longer than the auditor needs to take a record from a full socket (bounded).
 * Errors: -EPIPE the auditor is gone; -EMSGSIZE the record is too large; -ETIMEDOUT the auditor
 * does not take records. The caller denies what it was about to allow (fail closed).
 */
int audit_emit(struct audit *a, const struct audit_record *r) MUST_USE;

/** audit_fd() - Descriptor that becomes readable (end of file) when the auditor dies; borrowed. */
int audit_fd(const struct audit *a);
/** audit_pid() - The auditor's process id. */
int audit_pid(const struct audit *a);

/** audit_stop() - Flush, end the auditor, wait for it. Accepts NULL. Returns 0, or -EIO when the
 * auditor reported that records could not be written. */
int audit_stop(struct audit *a);

#endif
