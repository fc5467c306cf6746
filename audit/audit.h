/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the audit room: records in, an append-only log out. A separate process, the auditor,
 * owns the log; the supervisor only holds one end of a socket to it and cannot write files.
 *
 * Lifecycle: audit_start (forks the auditor; call it before anything secret is loaded and before
 * any thread exists) → audit_emit … → audit_stop (waits until everything is on disk). The keys of
 * the log are described in docs/audit.md.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/must.h"
#include "base/why.h"

#define AUDIT_LINE_MAX  (48u * 1024) /* bytes of one record as a line of the log */
#define AUDIT_TRACE_CAP 37u          /* a trace id: UUID text and its NUL */
#define AUDIT_SPAN_CAP  17u          /* a span id: 16 hexadecimal digits and a NUL */
#define AUDIT_NAME_MAX  128u         /* bytes of an identity */

struct audit;

struct audit_config {
    const char *path;     /* log file, created 0600; its directories are created 0700 */
    const char *identity; /* the sandbox's or gateway's name, in each record */
    const char *trace_id; /* the trace that everything belongs to; NULL: a new one */
    bool echo_json;       /* also write each record to standard error (--json) */
};

enum audit_kind {
    AUDIT_START = 0, /* "start": the sandbox began; carries mode and policy */
    AUDIT_DECISION,  /* "decision": a destination or name was judged */
    AUDIT_FLOW,      /* "flow": a flow ended; carries bytes and duration */
    AUDIT_EXEC,      /* "exec": a program was started */
    AUDIT_STOP,      /* "stop": the sandbox ended; carries the exit status */
    AUDIT_EXIT,      /* "exit": a program ended; carries exit status and duration */
    AUDIT_SPAN,      /* "span": a tool call ended; carries status and duration */
    AUDIT_KINDS
};

/**
 * What happened. Fields that do not apply are zero or NULL and are left out of the log. All text is
 * borrowed for the call; it may be foreign: the writer escapes it, and cuts it at the length that
 * docs/audit.md gives for the field.
 */
struct audit_record {
    enum audit_kind kind;
    int64_t wall_ns;      /* CLOCK_REALTIME at the event; 0: audit_emit() reads the clock */
    const char *identity; /* the agent that it is about; NULL: the configured one */
    const char *trace_id; /* 36 characters; NULL: the sandbox's own */
    const char *span_id;  /* 16 hexadecimal digits */
    const char *parent_span_id;
    const char *parent_id;    /* parent agent */
    const char *namespace_id; /* AgentIdentity's namespace */
    const char *tool;         /* AUDIT_SPAN: the tool's name; AUDIT_EXEC, AUDIT_EXIT: "exec:NAME" */
    const char *status;       /* "ok", "error", "blocked" (compat.md A4) */
    const char *arguments;    /* JSON text of a tool's arguments; the writer redacts it */
    const char *verdict;      /* "allow", "drop" (compat.md A4) */
    bool would_deny;          /* audit mode let it pass */
    const char *mode;         /* "enforce", "audit" */
    const char *direction;    /* "egress", "ingress" */
    const char *protocol;     /* "tcp", "udp", "icmp", "dns" */
    struct endpoint src;
    struct endpoint dst;
    const char *name;    /* DNS name that the decision or flow is tied to */
    const char *rule;    /* the rule that decided */
    const char *reason;  /* policy_reason_name() */
    const char *peer;    /* gateway: the WireGuard peer's public key, base64 */
    const char *carrier; /* "wireguard", "direct", "loopback" */
    int32_t pid;         /* thread group id in the host's numbering; 0: none */
    int32_t ppid;
    const char *exe;    /* path of the executable */
    uint64_t bytes_out; /* agent → network */
    uint64_t bytes_in;
    int64_t duration_ns; /* -1: does not apply */
    const char *error;   /* how it ended when not in order: "ECONNRESET", "ETIMEDOUT", … */
    int exit_status;     /* AUDIT_STOP, AUDIT_EXIT */
    const char *detail;  /* free text of our own */
};

/** audit_default_path() - Where the log of sandbox @name lies when nobody says otherwise:
 * $XDG_STATE_HOME/lattice/NAME.jsonl, with ~/.local/state for an unset XDG_STATE_HOME.
 * Errors: -EINVAL @name is empty, too long, starts with a dot or holds more than letters, digits
 * and
 * `._-`; -ENOENT neither XDG_STATE_HOME nor HOME is an absolute path; -ENAMETOOLONG @cap is too
 * small. */
int audit_default_path(const char *name, char *ret, size_t cap) MUST_USE;

/** audit_start() - Fork the auditor and open the log. Errors: -errno with @why: nothing was
 * started. */
int audit_start(const struct audit_config *config, struct audit **ret, struct why *why) MUST_USE;

/**
 * audit_emit() - Hand one record to the auditor.
 * Never blocks longer than the auditor needs to take a record from a full socket (bounded).
 * Errors: -EPIPE the auditor is gone; -ETIMEDOUT the auditor does not take records; -ENOSPC, -EIO,
 * … the log could not be written (it is tried again: a later call may succeed); -EINVAL the record
 * breaks a rule of its fields. The caller denies what it was about to allow (fail closed).
 */
int audit_emit(struct audit *a, const struct audit_record *r) MUST_USE;

/** audit_fd() - Descriptor that becomes readable (end of file) when the auditor dies; borrowed. */
int audit_fd(const struct audit *a);
/** audit_pid() - The auditor's process id. */
int audit_pid(const struct audit *a);
/** audit_trace_id() - The sandbox's own trace; valid until audit_stop(). */
const char *audit_trace_id(const struct audit *a);
/** audit_root_span() - The span of the sandbox itself, parent of all others. */
const char *audit_root_span(const struct audit *a);

/** audit_stop() - Flush, end the auditor, wait for it. Accepts NULL. Returns 0, or -errno when
 * records could not be written. */
int audit_stop(struct audit *a);

#endif
