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
#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/must.h"
#include "base/why.h"

#define AUDIT_LINE_MAX  (48u * 1024) /* bytes of one record as a line of the log */
#define AUDIT_TRACE_CAP 37u          /* a trace id: UUID text and its NUL */
#define AUDIT_SPAN_CAP  17u          /* a span id: 16 hexadecimal digits and a NUL */
#define AUDIT_NAME_MAX  128u         /* bytes of an identity */

struct audit;

#define AUDIT_STREAM_NAME "LATTICE_SPANS" /* the JetStream stream of tool_spans and flow_events */

/** Where records are published, too: subjects lattice.WORKSPACE.tool_spans.AGENT and
 * lattice.WORKSPACE.flow_events.AGENT by JetStream, and flows on lattice.audit.flow. */
struct audit_stream {
    const char *url;        /* nats://HOST:PORT or tls://… */
    const char *creds_file; /* JWT and seed; NULL: none */
    const char *user;       /* NULL: none */
    const char *password;
    const char *ca_file;   /* NULL: the system's, if the URL asks for TLS */
    const char *workspace; /* NULL: "default" */
    const char *inbox;     /* prefix of the subjects for answers; NULL: the usual one. One of our
                            * own means that we may publish on our own two subjects only */
    bool make_stream;      /* create the stream when it is missing and we may */
};

struct audit_config {
    const char *path;           /* log file, created 0600; its directories are created 0700 */
    const char *identity;       /* the sandbox's or gateway's name, in each record */
    const char *parent_id;      /* its parent agent, in each record; NULL: none */
    const char *namespace_id;   /* its namespace, in each record; NULL: none */
    const char *trace_id;       /* the trace that everything belongs to; NULL: a new one */
    const char *parent_span_id; /* the span that caused the sandbox; NULL: none */
    const char *root_span_id;   /* the sandbox's own span; NULL: a new one */
    const char *label;          /* the name of that span; NULL: "sandbox:" and the identity */
    bool echo_json;             /* also write each record to standard error (--json) */
    const struct audit_stream *stream; /* NULL: the log only */
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
    const char *status;       /* "ok", "error", "blocked" (docs/audit.md) */
    const char *arguments;    /* JSON text of a tool's arguments; the writer redacts it */
    const char *verdict;      /* "allow", "drop" (docs/audit.md) */
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

/**
 * audit_settle() - Wait until every record that was emitted can be read in the log (it need not be
 * synced). Costs nothing when there is none since the last time. Bounded, 5 s.
 * Errors: -ETIMEDOUT the auditor does not answer; else as audit_emit(). */
int audit_settle(struct audit *a) MUST_USE;

/** audit_fd() - Descriptor that becomes readable (end of file) when the auditor dies; borrowed. */
int audit_fd(const struct audit *a);
/** audit_pid() - The auditor's process id; it leads a process group of its own. */
int audit_pid(const struct audit *a);
/** audit_make_trace_id() - A new one, a random UUID (RFC 9562 section 5.4), for those who share it.
 */
void audit_make_trace_id(char ret[static AUDIT_TRACE_CAP]);
/** audit_make_span_id() - For a span that is named before it begins. */
void audit_make_span_id(char ret[static AUDIT_SPAN_CAP]);
/** audit_trace_id() - The sandbox's own trace; valid until audit_stop(). */
const char *audit_trace_id(const struct audit *a);
/** audit_root_span() - The span of the sandbox itself, parent of all others. */
const char *audit_root_span(const struct audit *a);

/** A span that is open: a tool call, from begin to end. */
struct audit_span {
    char trace_id[AUDIT_TRACE_CAP];
    char span_id[AUDIT_SPAN_CAP];
    char parent_span_id[AUDIT_SPAN_CAP];
    int64_t started_ns; /* wall clock */
    struct mono started;
};

/** audit_span_begin() - Give a span its ids and its start; records nothing yet. @parent: the span
 * that it belongs to, NULL: the sandbox's own. */
void audit_span_begin(const struct audit *a, const char *parent, struct audit_span *ret);
/** audit_span_end() - Record the span. @outcome names tool, status, arguments, error, …; ids, start
 * and duration come from @s. Errors: as audit_emit(). */
int audit_span_end(struct audit *a, const struct audit_span *s,
                   const struct audit_record *outcome) MUST_USE;

/** How to find a process's parent: 0 when unknown. The supervisor reads it from /proc. */
struct audit_lineage {
    int32_t (*parent_of)(void *self, int32_t pid);
    void *self;
};

#define AUDIT_PROGRAMS_MAX 4096u /* programs that run at the same time and are told apart */

#define AUDIT_EXIT_UNKNOWN (-1) /* exit status of a program whose end could not be asked about */

/**
 * audit_exec() - A process executed a program: record it as span `exec:NAME`, whose parent is the
 * span of the nearest ancestor that has one. A program that the same process ran before has ended
 * by that. With more than AUDIT_PROGRAMS_MAX at a time, further ones are recorded, and what they do
 * belongs to their ancestor.
 * @arguments: argv as a JSON array, which the writer redacts; NULL: not known.
 * Errors: as audit_emit().
 */
int audit_exec(struct audit *a, int32_t pid, const char *exe, const char *arguments,
               const struct audit_lineage *lineage) MUST_USE;
/** audit_exit() - The process ended: record its program's end. A process without span is ignored.
 * @exit_status: as a shell says it, 128+n for signal n; AUDIT_EXIT_UNKNOWN. Errors: as
 * audit_emit(). */
int audit_exit(struct audit *a, int32_t pid, int exit_status) MUST_USE;
/** audit_span_of() - The span that what @pid does belongs to: parent_span_id of its flows. Never
 * NULL; valid until the next call on @a. */
const char *audit_span_of(const struct audit *a, int32_t pid, const struct audit_lineage *lineage);

/** audit_set_cause() - From now on, what the programs that run already do is done on behalf of the
 * span @span_id: their flows, and programs that they start, belong to it. It is how the tool call
 * of a server in a sandbox gets its flows. NULL: on their own behalf again. Errors: -EINVAL it is
 * no span id. */
int audit_set_cause(struct audit *a, const char *span_id) MUST_USE;

/** audit_stop() - Flush, end the auditor, wait for it. Accepts NULL. Returns 0, or -errno when
 * records could not be written. */
int audit_stop(struct audit *a);

/* --- Reading a log --------------------------------------------------------------------------- */

struct audit_check {
    uint64_t records;
    uint64_t runs;
    uint64_t open_runs; /* runs that have no stop record */
    uint64_t bad_line;  /* 1-based line of the first fault; 0: none, or the fault is at the end */
    bool has_head;      /* the head file was there to compare with */
};

/**
 * audit_verify() - Check the chain of a log. Finds changed, deleted, inserted and reordered
 * records, and a missing end: by the head file beside the log, and by the stop record that every
 * run has.
 * @may_run: the last run may still be going on, so its stop record may be missing.
 * Errors: -EBADMSG the log is not as it was written, @ret and @why say where; -errno it cannot be
 * read.
 */
int audit_verify(const char *path, bool may_run, struct audit_check *ret, struct why *why) MUST_USE;

struct audit_reader;

/** One record of a log; borrowed until the next call on the reader. */
struct audit_entry {
    struct bytes line; /* as it stands in the file, without its newline */
    struct audit_record record;
    const char *chain; /* the run; "" when the line names none */
    uint64_t seq;
    uint64_t line_number; /* from where the reader began, 1-based */
    uint64_t end_offset;  /* bytes of the file up to the line's end */
};

/** audit_reader_open() - Read @path from @offset, which must be the beginning of a line. */
int audit_reader_open(const char *path, uint64_t offset, struct audit_reader **ret,
                      struct why *why) MUST_USE;
/** audit_reader_next() - Returns 1 and a record; 0 at the end (call again later to follow the
 * file); -EBADMSG the line is no record, @why says why, the next call goes on behind it; -errno. */
int audit_reader_next(struct audit_reader *r, struct audit_entry *ret, struct why *why) MUST_USE;
void audit_reader_close(struct audit_reader *r);

/* --- The projection: spans and flows in SQLite ------------------------------------------------ */

struct audit_store;

/** audit_store_open() - Open or create a projection; @path may be ":memory:". It can be thrown away
 * and rebuilt from logs or the stream at any time. */
int audit_store_open(const char *path, struct audit_store **ret, struct why *why) MUST_USE;
void audit_store_close(struct audit_store *s);

/** audit_store_load() - Take over what @log_path has gained since the last load. Lines that are no
 * records are skipped and counted. Returns the number of records taken, or -errno. */
int64_t audit_store_load(struct audit_store *s, const char *log_path, uint64_t *ret_skipped,
                         struct why *why) MUST_USE;
/** audit_store_put() - Take one message of the stream (tool_spans or flow_events). A message that
 * was taken before changes nothing. @subject: that it came on, which must name the same agent as
 * the message, because the server has checked who may publish there; NULL: not looked at. Errors:
 * -EINVAL no such message; -EPERM it speaks for another agent; -EIO. */
int audit_store_put(struct audit_store *s, const char *subject, struct bytes payload,
                    struct why *why) MUST_USE;
/** audit_store_import() - Take a row as the REST API shows it: a span, a flow or a decision, with
 * the names of audit_span_json() and audit_flow_json(). Errors: -EINVAL with @why; -EIO. */
struct json;
int audit_store_import(struct audit_store *s, const struct json *row, struct why *why) MUST_USE;
/** audit_compat_flow() - Append what subject AUDIT_COMPAT_SUBJECT says about a message of the
 * stream, for publishers that may not say it themselves. Returns 1; 0 when it is not about an ended
 * flow; -EINVAL no such message; -ENOBUFS. */
#define AUDIT_COMPAT_SUBJECT "lattice.audit.flow"
int audit_compat_flow(struct bytes payload, struct buf *ret) MUST_USE;
/** audit_store_begin(), audit_store_commit() - Bundle puts; a put outside is a bundle of its own.
 */
int audit_store_begin(struct audit_store *s) MUST_USE;
int audit_store_commit(struct audit_store *s) MUST_USE;

/** What to look for; NULL and 0 mean: does not matter. */
struct audit_filter {
    const char *trace_id;
    const char *agent;
    const char *verdict;
    int64_t from_ns;
    int64_t to_ns;     /* exclusive */
    int64_t before_ns; /* cursor: start of the last row of the page before */
    const char
        *before_id; /* … and the span_id of a span, the id of a flow, the trace_id of a trace */
    unsigned limit; /* 0: 50; at most AUDIT_ROWS_MAX */
};
#define AUDIT_ROWS_MAX 10000u

/** Rows borrow their texts for the call; absent ones are NULL. */
struct audit_trace_row {
    const char *trace_id;
    const char *agent;  /* of its first span */
    const char *parent; /* parent agent */
    int64_t started_ns;
    int64_t ended_ns;
    uint64_t spans;
    uint64_t failed; /* spans with status error or blocked */
    uint64_t flows;
    uint64_t dropped; /* judged "drop" */
    uint64_t bytes_out;
    uint64_t bytes_in;
};

struct audit_span_row {
    const char *id;   /* chain-sequence of its latest record */
    const char *kind; /* "sandbox", "exec", "tool" */
    const char *trace_id;
    const char *span_id;
    const char *parent_span_id;
    const char *agent;
    const char *parent;
    const char *namespace_id;
    const char *tool;
    const char *status;
    const char *error;
    const char *reason;
    const char *rule;
    const char *mode;
    const char *exe;
    const char *arguments; /* JSON */
    const char *detail;
    int64_t started_ns;
    int64_t duration_ns; /* -1: not ended, as far as the records say */
    int32_t pid;
    int exit_status; /* of an ended program or sandbox */
};

struct audit_flow_row {
    const char *id;
    const char *trace_id;
    const char *span_id; /* the span that it happened in */
    const char *agent;
    bool is_decision; /* a judgement; else the account of an ended flow */
    const char *direction;
    const char *protocol;
    const char *src_ip;
    const char *dst_ip;
    const char *name;
    const char *verdict;
    const char *rule;
    const char *reason;
    const char *mode;
    const char *carrier;
    const char *peer;
    const char *error;
    const char *exe;
    bool would_deny;
    uint16_t src_port;
    uint16_t dst_port;
    int32_t pid;
    int64_t time_ns;
    int64_t duration_ns;
    uint64_t bytes_out;
    uint64_t bytes_in;
};

/** Queries call @row once a row, newest first (spans of one trace: oldest first); a negative return
 * ends the query and becomes its result. Returns 0 or -errno. */
int audit_store_traces(struct audit_store *s, const struct audit_filter *f,
                       int (*row)(void *self, const struct audit_trace_row *r),
                       void *self) MUST_USE;
int audit_store_spans(struct audit_store *s, const struct audit_filter *f,
                      int (*row)(void *self, const struct audit_span_row *r), void *self) MUST_USE;
int audit_store_flows(struct audit_store *s, const struct audit_filter *f,
                      int (*row)(void *self, const struct audit_flow_row *r), void *self) MUST_USE;

/** audit_store_children() - Calls @agent once for each agent whose parent is @parent. */
int audit_store_children(struct audit_store *s, const char *parent,
                         int (*agent)(void *self, const char *agent), void *self) MUST_USE;

/** audit_store_session() - The latest session of @agent: its trace, and the sandbox's span. Errors:
 * -ENOENT. */
int audit_store_session(struct audit_store *s, const char *agent,
                        char ret_trace[static AUDIT_TRACE_CAP],
                        char ret_span[static AUDIT_SPAN_CAP]) MUST_USE;

/** Rows as JSON objects with the names of docs/audit.md (camelCase). */
struct json_out;
void audit_trace_json(const struct audit_trace_row *r, struct json_out *j);
void audit_span_json(const struct audit_span_row *r, struct json_out *j);
void audit_flow_json(const struct audit_flow_row *r, struct json_out *j);

/* --- One trace as a tree ---------------------------------------------------------------------- */

struct audit_tree;

/** audit_tree_load() - The spans and flows of a trace. Errors: -ENOENT there is no such trace. */
int audit_tree_load(struct audit_store *s, const char *trace_id, struct audit_tree **ret) MUST_USE;
/** audit_tree_load_agent() - The spans of @agent and of all agents below it, over all traces. */
int audit_tree_load_agent(struct audit_store *s, const char *agent,
                          struct audit_tree **ret) MUST_USE;
void audit_tree_free(struct audit_tree *t);
/** audit_tree_json() - Nested: each span with "children" and "flows". */
void audit_tree_json(const struct audit_tree *t, struct json_out *j);

/** audit_tree_draw() - For a person: one line a span or flow, with lines of a tree. @columns: width
 * of the terminal, 0: no limit. @colour: use ANSI colours. @all: also allowed look-ups and
 * decisions. */
struct audit_drawing {
    bool colour;
    bool all;
    unsigned columns;
};
int audit_tree_draw(const struct audit_tree *t, const struct audit_drawing *d,
                    struct buf *ret) MUST_USE;

/** audit_entry_draw(), audit_trace_draw(), audit_flow_draw() - One line for a person. */
void audit_entry_draw(const struct audit_entry *e, const struct audit_drawing *d, struct buf *ret);
void audit_trace_draw(const struct audit_trace_row *r, const struct audit_drawing *d,
                      struct buf *ret);
void audit_flow_draw(const struct audit_flow_row *r, const struct audit_drawing *d,
                     struct buf *ret);

#endif
