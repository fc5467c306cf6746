/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of the audit: starts the auditor, sends it records, believes it when it
 * says that it cannot write. After audit_start() this side needs sendto, read, poll and, at the
 * end, shutdown and wait4, so it works behind the supervisor's own system call filter.
 */
#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/auditor.h"
#include "audit/record.h"
#include "audit/span.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/own.h"
#include "base/rng.h"

#define START_MS    10000 /* the log's file system may be slow */
#define SEND_MS     1000
#define STOP_MS     15000
#define SETTLE_MS   5000 /* the writer may be syncing to a slow disk */
#define LINEAGE_MAX 64u  /* generations between a process and the nearest ancestor with a span */

struct audit {
    int records_fd; /* SOCK_SEQPACKET, the writing end */
    int status_fd;  /* non-blocking pipe, the reading end */
    pid_t pid;
    int err; /* what the auditor last said about the log */
    char trace_id[AUDIT_TRACE_CAP];
    char root_span[AUDIT_SPAN_CAP];
    uint64_t sent;      /* records that the auditor's socket took */
    uint64_t settled;   /* of them, known to be in the log */
    uint64_t questions; /* numbers of their own, so that a late answer is known as such */
    struct buf message; /* reused for each record */
    struct programs programs;
    char cause[AUDIT_SPAN_CAP]; /* audit_set_cause(); "": none */
    struct mono cause_since;
};

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > AUDIT_NAME_MAX || name[0] == '.')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

int audit_default_path(const char *name, char *ret, size_t cap)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len;

    if (!is_name(name))
        return -EINVAL;
    if (state != NULL && state[0] == '/')
        len = snprintf(ret, cap, "%s/lattice/%s.jsonl", state, name);
    else if (home != NULL && home[0] == '/')
        len = snprintf(ret, cap, "%s/.local/state/lattice/%s.jsonl", home, name);
    else
        return -ENOENT;
    return (size_t)len < cap ? 0 : -ENAMETOOLONG;
}

/** A random UUID (RFC 9562 5.4). */
void audit_make_trace_id(char ret[static AUDIT_TRACE_CAP])
{
    uint64_t high = (rng_u64(rng_system()) & ~UINT64_C(0xf000)) | UINT64_C(0x4000);
    uint64_t low = (rng_u64(rng_system()) >> 2) | UINT64_C(1) << 63;

    (void)snprintf(ret, AUDIT_TRACE_CAP, "%08x-%04x-%04x-%04x-%012" PRIx64, (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff),
                   (unsigned)(low >> 48), low & UINT64_C(0xffffffffffff));
}

static bool is_span_id(const char *text)
{
    return strlen(text) == AUDIT_SPAN_CAP - 1 &&
           strspn(text, "0123456789abcdef") == AUDIT_SPAN_CAP - 1;
}

static int check_config(const struct audit_config *config, struct why *why)
{
    if (config->path == NULL || config->path[0] == '\0' || strlen(config->path) >= PATH_MAX)
        return why_set(why, -EINVAL, "the audit log needs a path");
    if (config->identity == NULL || strlen(config->identity) > AUDIT_NAME_MAX)
        return why_set(why, -EINVAL, "the audit log needs an identity of at most %u bytes",
                       AUDIT_NAME_MAX);
    if (config->stream != NULL && (config->stream->url == NULL || config->stream->url[0] == '\0'))
        return why_set(why, -EINVAL, "the stream needs the URL of a NATS server");
    if (config->trace_id != NULL &&
        (strlen(config->trace_id) >= AUDIT_TRACE_CAP || config->trace_id[0] == '\0' ||
         strspn(config->trace_id, "0123456789abcdef-") != strlen(config->trace_id)))
        return why_set(why, -EINVAL, "the trace id must be a UUID in lower case");
    if ((config->parent_span_id != NULL && !is_span_id(config->parent_span_id)) ||
        (config->root_span_id != NULL && !is_span_id(config->root_span_id)))
        return why_set(why, -EINVAL, "a span id must be 16 digits of 0-9 a-f");
    return 0;
}

static int open_channels(int ret_records[2], int ret_status[2])
{
    int buffer = 1 << 20; /* cut to net.core.wmem_max by the kernel */

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_records) < 0 ||
        pipe2(ret_status, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    (void)setsockopt(ret_records[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)); /* taste */
    return 0;
}

/** Read one status; -EAGAIN none yet, -EPIPE the auditor is gone. */
static int read_status(struct audit *a, struct auditor_status *ret)
{
    ssize_t got = io_read(a->status_fd, ret, sizeof(*ret));

    if (got < 0)
        return (int)got;
    return got == (ssize_t)sizeof(*ret) ? 0 : -EPIPE;
}

static int await_status(struct audit *a, int limit_ms, struct auditor_status *ret)
{
    struct mono deadline = mono_add_ms(mono_now(), limit_ms);

    for (;;) {
        struct pollfd p = {.fd = a->status_fd, .events = POLLIN};
        int64_t left_ns = deadline.ns - mono_now().ns;
        int err = read_status(a, ret);

        if (err != -EAGAIN)
            return err;
        if (left_ns <= 0)
            return -ETIMEDOUT;
        if (poll(&p, 1, (int)(left_ns / NS_PER_MS) + 1) < 0 && errno != EINTR)
            return -errno;
    }
}

static void release(struct audit *a)
{
    own_close(&a->records_fd);
    own_close(&a->status_fd);
    buf_done(&a->message);
    programs_done(&a->programs);
    free(a);
}

static void reap(struct audit *a, bool is_kill)
{
    if (a->pid <= 0)
        return;
    if (is_kill)
        (void)kill(
            -a->pid,
            SIGKILL); /* our child, not yet reaped: the id is still its own, and its group's */
    while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    a->pid = 0;
}

static int await_ready(struct audit *a, struct why *why)
{
    struct auditor_status status;
    int err = await_status(a, START_MS, &status);

    if (err < 0)
        return why_set(why, err, "the auditor did not start: %s", strerror(-err));
    if (status.news == AUDITOR_REFUSED) {
        status.text[sizeof(status.text) - 1] = '\0';
        return why_set(why, status.err, "%s", status.text);
    }
    return status.news == AUDITOR_READY ? 0 : why_set(why, -EPROTO, "the auditor did not start");
}

static int fork_auditor(struct audit *a, const struct audit_config *config, struct why *why)
{
    int records[2] = {-1, -1};
    int status[2] = {-1, -1};
    int err = open_channels(records, status);
    auto_fd records_theirs = records[1];
    auto_fd status_theirs = status[1];

    a->records_fd = records[0];
    a->status_fd = status[0];
    if (err < 0)
        return why_set(why, err, "cannot open a socket for the auditor: %s", strerror(-err));
    (void)fflush(NULL); /* or the child writes our buffered output once more */
    a->pid = fork();
    if (a->pid < 0)
        return why_set(why, -errno, "cannot fork the auditor: %s", strerror(errno));
    if (a->pid == 0) {
        const struct auditor_config theirs = {.path = config->path,
                                              .identity = config->identity,
                                              .parent_id = config->parent_id,
                                              .namespace_id = config->namespace_id,
                                              .trace_id = a->trace_id,
                                              .root_span = a->root_span,
                                              .parent_span_id = config->parent_span_id,
                                              .label = config->label,
                                              .chain_number = rng_u64(rng_system()),
                                              .started = mono_now(),
                                              .echo_json = config->echo_json,
                                              .wants_jail = true,
                                              .stream = config->stream,
                                              .records_fd = records_theirs,
                                              .status_fd = status_theirs};

        _exit(auditor_run(&theirs));
    }
    return await_ready(a, why);
}

int audit_start(const struct audit_config *config, struct audit **ret, struct why *why)
{
    struct audit *a;
    int err = check_config(config, why);

    if (err < 0)
        return err;
    a = calloc(1, sizeof(*a));
    if (a == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    a->records_fd = -1;
    a->status_fd = -1;
    buf_init(&a->message, AUDITOR_HEADER + RECORD_MESSAGE_MAX);
    if (config->trace_id != NULL)
        (void)snprintf(a->trace_id, sizeof(a->trace_id), "%s", config->trace_id);
    else
        audit_make_trace_id(a->trace_id);
    if (config->root_span_id != NULL)
        (void)snprintf(a->root_span, sizeof(a->root_span), "%s", config->root_span_id);
    else
        span_make_id(a->root_span);
    err = programs_init(&a->programs);
    if (err < 0)
        (void)why_set(why, err, "out of memory");
    else
        err = fork_auditor(a, config, why);
    if (err < 0) {
        reap(a, /*is_kill=*/true);
        release(a);
        return err;
    }
    *ret = a;
    return 0;
}

static void note(struct audit *a, const struct auditor_status *status)
{
    if (status->news == AUDITOR_FAILING)
        a->err = status->err;
    else if (status->news == AUDITOR_RECOVERED || status->news == AUDITOR_READY)
        a->err = 0;
}

static void hear(struct audit *a)
{
    struct auditor_status status;

    while (read_status(a, &status) == 0)
        note(a, &status);
}

static int send_message(struct audit *a, const void *data, size_t len)
{
    struct mono deadline = mono_add_ms(mono_now(), SEND_MS);

    for (;;) {
        struct pollfd p = {.fd = a->records_fd, .events = POLLOUT};
        int64_t left_ns;

        if (send(a->records_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return -EPIPE;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        left_ns = deadline.ns - mono_now().ns;
        if (left_ns <= 0)
            return -ETIMEDOUT;
        if (poll(&p, 1, (int)(left_ns / NS_PER_MS) + 1) < 0 && errno != EINTR)
            return -errno;
        hear(a);
        if (a->err < 0)
            return a->err;
    }
}

int audit_emit(struct audit *a, const struct audit_record *r)
{
    struct audit_record timed = *r;
    uint8_t number[AUDITOR_HEADER];
    int err;

    if (timed.wall_ns == 0)
        timed.wall_ns = wall_now_ns();
    hear(a);
    if (a->err < 0)
        return a->err;
    store_le64(number, a->sent + 1);
    buf_reset(&a->message);
    buf_add(&a->message, number, sizeof(number));
    err = record_encode(&timed, &a->message);
    if (err == 0)
        err = send_message(a, a->message.data, a->message.len);
    if (err == 0)
        a->sent++;
    return err;
}

int audit_settle(struct audit *a)
{
    struct mono deadline = mono_add_ms(mono_now(), SETTLE_MS);
    uint8_t question[AUDITOR_QUESTION] = {0};
    int err;

    hear(a);
    if (a->settled == a->sent || a->err < 0)
        return a->err;
    store_le64(question, ++a->questions);
    err = send_message(a, question, sizeof(question));
    while (err == 0) {
        struct auditor_status status;
        int64_t left_ns = deadline.ns - mono_now().ns;

        err = await_status(a, left_ns > 0 ? (int)(left_ns / NS_PER_MS) : 0, &status);
        if (err < 0)
            break;
        note(a, &status);
        if (status.news == AUDITOR_WRITTEN && status.number == a->questions) {
            a->settled = a->sent;
            return 0;
        }
        err = a->err;
    }
    return err;
}

int audit_fd(const struct audit *a)
{
    return a->records_fd;
}

int audit_pid(const struct audit *a)
{
    return a->pid;
}

const char *audit_trace_id(const struct audit *a)
{
    return a->trace_id;
}

void audit_make_span_id(char ret[static AUDIT_SPAN_CAP])
{
    span_make_id(ret);
}

const char *audit_root_span(const struct audit *a)
{
    return a->root_span;
}

void audit_span_begin(const struct audit *a, const char *parent, struct audit_span *ret)
{
    *ret = (struct audit_span){.started_ns = wall_now_ns(), .started = mono_now()};
    memcpy(ret->trace_id, a->trace_id, sizeof(ret->trace_id));
    (void)snprintf(ret->parent_span_id, sizeof(ret->parent_span_id), "%s",
                   parent != NULL ? parent : a->root_span);
    span_make_id(ret->span_id);
}

int audit_span_end(struct audit *a, const struct audit_span *s, const struct audit_record *outcome)
{
    struct audit_record r = *outcome;

    if (r.kind != AUDIT_EXIT)
        r.kind = AUDIT_SPAN;
    r.trace_id = s->trace_id;
    r.span_id = s->span_id;
    r.parent_span_id = s->parent_span_id;
    r.duration_ns = mono_now().ns - s->started.ns;
    r.wall_ns =
        s->started_ns + r.duration_ns; /* so that the start is exact even if the clock was set */
    return audit_emit(a, &r);
}

static const struct program *nearest_program(const struct audit *a, int32_t pid,
                                             const struct audit_lineage *lineage)
{
    for (unsigned i = 0; i < LINEAGE_MAX && pid > 0; i++) {
        const struct program *found = programs_find(&a->programs, pid);

        if (found != NULL)
            return found;
        pid = lineage != NULL && lineage->parent_of != NULL ? lineage->parent_of(lineage->self, pid)
                                                            : 0;
    }
    return NULL;
}

const char *audit_span_of(const struct audit *a, int32_t pid, const struct audit_lineage *lineage)
{
    const struct program *p = nearest_program(a, pid, lineage);

    if (a->cause[0] != '\0' && (p == NULL || mono_before(p->span.started, a->cause_since)))
        return a->cause;
    return p != NULL ? p->span.span_id : a->root_span;
}

int audit_set_cause(struct audit *a, const char *span_id)
{
    if (span_id != NULL && !is_span_id(span_id))
        return -EINVAL;
    (void)snprintf(a->cause, sizeof(a->cause), "%s", span_id != NULL ? span_id : "");
    a->cause_since = mono_now();
    return 0;
}

int audit_exit(struct audit *a, int32_t pid, int exit_status)
{
    struct program *p = programs_find(&a->programs, pid);
    struct program gone;
    const struct audit_record r = {.kind = AUDIT_EXIT,
                                   .pid = pid,
                                   .tool = gone.tool,
                                   .status = exit_status <= 0 ? "ok" : "error",
                                   .exit_status = exit_status,
                                   .detail =
                                       exit_status < 0 ? "its exit status is not known" : NULL};

    if (p == NULL)
        return 0;
    gone = *p;
    programs_remove(&a->programs, p);
    return audit_span_end(a, &gone.span, &r);
}

static const char *base_name(const char *exe)
{
    const char *slash = strrchr(exe, '/');

    return slash != NULL && slash[1] != '\0' ? slash + 1 : exe;
}

int audit_exec(struct audit *a, int32_t pid, const char *exe, const char *arguments,
               const struct audit_lineage *lineage)
{
    int32_t ppid =
        lineage != NULL && lineage->parent_of != NULL ? lineage->parent_of(lineage->self, pid) : 0;
    int err = audit_exit(a, pid, 0); /* the program that called execve(2) has ended well */
    struct program one = {.pid = pid, .ppid = ppid};
    struct program *slot;
    const struct audit_record r = {.kind = AUDIT_EXEC,
                                   .trace_id = a->trace_id,
                                   .span_id = one.span.span_id,
                                   .parent_span_id = one.span.parent_span_id,
                                   .tool = one.tool,
                                   .status = "ok",
                                   .pid = pid,
                                   .ppid = ppid,
                                   .exe = exe,
                                   .arguments = arguments,
                                   .duration_ns = -1};

    if (err < 0)
        return err;
    audit_span_begin(a, audit_span_of(a, ppid, lineage), &one.span);
    (void)snprintf(one.tool, sizeof(one.tool), "exec:%s", base_name(exe)); /* cut when long */
    slot = programs_add(&a->programs, pid);
    if (slot != NULL)
        *slot = one;
    return audit_emit(a, &r);
}

int audit_stop(struct audit *a)
{
    struct auditor_status status = {0};
    uint8_t goodbye[AUDITOR_HEADER];
    int err;

    if (a == NULL)
        return 0;
    store_le64(goodbye, a->sent + 1);
    (void)send_message(a, goodbye, sizeof(goodbye)); /* a dead or stuck auditor shows below */
    (void)shutdown(a->records_fd, SHUT_WR);
    do
        err = await_status(a, STOP_MS, &status);
    while (err == 0 && status.news != AUDITOR_DONE);
    reap(a, /*is_kill=*/err == -ETIMEDOUT);
    release(a);
    return err < 0 ? -EIO : status.err;
}
