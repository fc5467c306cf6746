/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeper and writer (auditor.h). The writer receives records, writes them, and says when it cannot.
 * While the log cannot be written, the auditor stops taking records and tries again every RETRY_MS;
 * the supervisor learns of it through the status pipe and refuses new flows. A message that is not
 * a record is itself recorded, never dropped in silence. When the supervisor ends without a
 * goodbye, the auditor writes the stop record in its place.
 */
#include "audit/auditor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/logfile.h"
#include "audit/nats.h"
#include "audit/outbox.h"
#include "audit/record.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/own.h"
#include "base/selfjail.h"

#define RETRY_MS      100
#define SYNC_MS       1000
#define GIVE_UP_MS    3000 /* after the supervisor's end, for a log that cannot be written */
#define DRAIN_MS      1000
#define MESSAGE_MAX   (AUDITOR_HEADER + RECORD_MESSAGE_MAX)
#define WRITERS_MAX   10000u /* that are started one after the other */
#define QUICK_MS      5      /* a writer that is killed sooner … */
#define QUICK_MAX     50u    /* … so often in a row does not help */
#define RECORDS_BATCH 512u

struct auditor {
    const struct auditor_config *config;
    struct logfile log;
    struct buf lines; /* received, not yet in the log */
    struct buf echo;
    uint8_t *message; /* MESSAGE_MAX + 1 bytes */
    unsigned peeked;  /* messages in the socket that @lines holds */
    bool is_asked;    /* a question waits for its answer */
    uint64_t asked;   /* its number; the last, when there are several */
    bool is_resuming; /* a successor, and no new record was seen yet */
    int err;          /* why the log cannot be written; 0: it can */
    int first_err;    /* the first that was never mended before the end */
    bool is_stopped;  /* the last record was a stop record */
    bool is_goodbye;
    struct nats_link *link; /* NULL: the log only */
    struct outbox *outbox;
    bool is_ended; /* the supervisor closed its end */
};

static void tell(const struct auditor_config *config, enum auditor_news news, int err,
                 const char *text)
{
    struct auditor_status status = {.news = (int32_t)news, .err = err};

    if (text != NULL)
        (void)snprintf(status.text, sizeof(status.text), "%s", text);
    /* Nobody may be left to read it, and a full pipe already says that the log fails. */
    (void)!write(config->status_fd, &status, sizeof(status));
}

/** What is about nobody else is about the configured agent. */
static struct audit_record of_config(const struct auditor_config *config,
                                     const struct audit_record *r)
{
    struct audit_record own = *r;

    own.identity = config->identity;
    if (own.parent_id == NULL)
        own.parent_id = config->parent_id;
    if (own.namespace_id == NULL)
        own.namespace_id = config->namespace_id;
    return own;
}

static void add_line(struct auditor *a, const struct audit_record *r)
{
    struct audit_record whole = *r;
    struct json_out j;
    size_t from = a->lines.len;

    if (whole.identity == NULL)
        whole = of_config(a->config, &whole);
    if (whole.trace_id == NULL)
        whole.trace_id = a->config->trace_id;
    if (r->kind == AUDIT_START || r->kind == AUDIT_STOP) {
        whole.span_id = a->config->root_span;
        whole.parent_span_id = a->config->parent_span_id;
        if (whole.tool == NULL)
            whole.tool = a->config->label;
        if (r->duration_ns < 0 && r->kind == AUDIT_STOP)
            whole.duration_ns = mono_now().ns - a->config->started.ns;
    } else if (whole.parent_span_id == NULL) {
        whole.parent_span_id = a->config->root_span;
    }
    json_out_init(&j, &a->lines);
    json_open_object(&j);
    record_members(&whole, RECORD_LINE, &j);
    must(buf_error(&a->lines) == 0 && a->lines.len - from < AUDIT_LINE_MAX - 256);
    buf_add_char(&a->lines, '\n');
    a->is_stopped = r->kind == AUDIT_STOP;
}

/** Take one message that was peeked at. */
static void add_message(struct auditor *a, struct bytes message)
{
    struct audit_record r;

    if (message.len == AUDITOR_HEADER) {
        a->is_goodbye = true;
        a->is_ended = true; /* nothing comes behind it; it stays in the socket for a successor */
        return;
    }
    a->peeked++;
    if (message.len == AUDITOR_QUESTION) {
        a->is_asked = true;
        a->asked = load_le64(message.data);
        return;
    }
    if (a->is_resuming && message.len > AUDITOR_HEADER &&
        load_le64(message.data) <= a->log.chain.seq)
        return; /* our predecessor wrote it and was killed before it could take it out of the socket
                 */
    a->is_resuming = false;
    if (message.len < AUDITOR_HEADER ||
        record_decode(bytes_of(message.data + AUDITOR_HEADER, message.len - AUDITOR_HEADER), &r) <
            0)
        r = (struct audit_record){.kind = AUDIT_DECISION,
                                  .wall_ns = wall_now_ns(),
                                  .verdict = "drop",
                                  .duration_ns = -1,
                                  .error = "EBADMSG",
                                  .detail = "the auditor received something that is not a record"};
    add_line(a, &r);
}

static bool has_room(const struct auditor *a)
{
    return a->lines.len <= LOGFILE_BATCH_MAX - AUDIT_LINE_MAX;
}

/** Look at what waits in the socket, without taking it out. */
static void receive(struct auditor *a)
{
    for (unsigned i = 0; i < RECORDS_BATCH && has_room(a) && !a->is_ended; i++) {
        ssize_t got =
            recv(a->config->records_fd, a->message, MESSAGE_MAX + 1, MSG_DONTWAIT | MSG_PEEK);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            a->is_ended = true;
        else
            add_message(a, bytes_of(a->message, (size_t)got));
    }
}

static void answer(struct auditor *a)
{
    const struct auditor_status status = {.news = AUDITOR_WRITTEN, .number = a->asked};

    if (a->is_asked)
        (void)!write(a->config->status_fd, &status, sizeof(status)); /* lost: the asker gives up */
    a->is_asked = false;
}

/** What was looked at is in the log: take it out. The answer goes first, so that a successor gives
 * it again rather than not at all. */
static void consume(struct auditor *a)
{
    uint8_t byte;

    answer(a);
    for (; a->peeked > 0; a->peeked--)
        while (recv(a->config->records_fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EINTR)
            continue;
}

static void add_missing_stop(struct auditor *a)
{
    const struct audit_record r = {.kind = AUDIT_STOP,
                                   .wall_ns = wall_now_ns(),
                                   .duration_ns = -1,
                                   .exit_status = a->is_goodbye ? 0 : 125,
                                   .error = a->is_goodbye ? NULL : "supervisor lost"};

    if (!a->is_stopped && has_room(a))
        add_line(a, &r);
}

static void echo(struct auditor *a, struct bytes sealed)
{
    if (a->config->echo_json)
        (void)!io_write_all(STDERR_FILENO, sealed.data,
                            sealed.len); /* a copy; the log is the record */
}

/** Write what was received; keep it for the next try on failure. */
static void flush(struct auditor *a)
{
    struct bytes sealed;
    int err;

    if (a->lines.len == 0 && a->err == 0) {
        consume(a);
        return;
    }
    err = logfile_append(&a->log, buf_bytes(&a->lines), &sealed);
    if (err == 0) {
        echo(a, sealed);
        buf_reset(&a->lines);
        consume(a);
    }
    if (err != 0 && err != a->err)
        tell(a->config, AUDITOR_FAILING, err, NULL);
    if (err == 0 && a->err != 0)
        tell(a->config, AUDITOR_RECOVERED, 0, NULL);
    a->err = err;
}

static void sync_log(struct auditor *a)
{
    int err = logfile_sync(&a->log);

    if (err < 0 && a->err == 0) {
        a->err = err;
        tell(a->config, AUDITOR_FAILING, err, NULL);
    }
}

static int publish_to_link(void *self, const char *subject, const char *id, struct bytes payload)
{
    return nats_link_publish(self, subject, id, payload);
}

/** Exchange what there is with the stream; never waits. */
static void pump(struct auditor *a)
{
    struct nats_link_event event;

    if (a->link == NULL)
        return;
    while (nats_link_next(a->link, &event))
        outbox_hear(a->outbox, &event, mono_now());
    outbox_pump(a->outbox, mono_now());
}

static int wait_ms(const struct auditor *a)
{
    int64_t limit_ms = a->err != 0 ? RETRY_MS : a->log.is_dirty || a->link != NULL ? SYNC_MS : -1;
    struct mono deadline = a->link != NULL ? outbox_deadline(a->outbox) : MONO_NEVER;
    int64_t left_ms;

    if (deadline.ns == INT64_MAX)
        return (int)limit_ms;
    left_ms = (deadline.ns - mono_now().ns + NS_PER_MS - 1) / NS_PER_MS;
    if (left_ms < 0)
        left_ms = 0;
    return (int)(limit_ms >= 0 && limit_ms < left_ms ? limit_ms : left_ms);
}

static void serve(struct auditor *a)
{
    struct mono synced = mono_now();

    while (!a->is_ended) {
        struct pollfd p[] = {
            {.fd = a->err == 0 ? a->config->records_fd : -1, .events = POLLIN},
            {.fd = a->link != NULL ? nats_link_fd(a->link) : -1, .events = POLLIN},
        };

        (void)poll(p, ARRAY_COUNT(p), wait_ms(a)); /* an interruption is as good as a timeout */
        if (a->err == 0)
            receive(a);
        flush(a);
        if (!mono_before(mono_now(), mono_add_ms(synced, SYNC_MS))) {
            sync_log(a);
            synced = mono_now();
        }
        pump(a);
    }
}

/** Give the stream a moment to take the last records; the rest goes with the next run. */
static void drain(struct auditor *a)
{
    struct mono deadline = mono_add_ms(mono_now(), DRAIN_MS);

    if (a->link == NULL)
        return;
    for (pump(a); !outbox_is_empty(a->outbox) && mono_before(mono_now(), deadline); pump(a)) {
        struct pollfd p = {.fd = nats_link_fd(a->link), .events = POLLIN};

        (void)poll(&p, 1, 10);
    }
    outbox_remember(a->outbox, mono_now());
}

static int open_stream(struct auditor *a, struct why *why)
{
    const struct audit_stream *stream = a->config->stream;
    struct outbox_link link = {.publish = publish_to_link};
    const char *slash = strrchr(a->config->path, '/');
    char path[PATH_MAX]; /* in the directory that the log was opened in, not by its name again */
    int err;

    if (stream == NULL)
        return 0;
    err = nats_link_load(why);
    if (err < 0)
        return err;
    a->outbox = calloc(1, sizeof(*a->outbox));
    if (a->outbox == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    if ((size_t)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", a->log.dir_fd,
                         slash != NULL ? slash + 1 : a->config->path) >= sizeof(path))
        return why_set(why, -ENAMETOOLONG, "the path of the audit log is too long");
    err = outbox_open(a->outbox, path, stream->workspace != NULL ? stream->workspace : "default",
                      &link, why);
    a->outbox->is_confined = stream->inbox != NULL;
    return err;
}

/** All files are open: from here on the writer can write to these only, and run nothing. With a
 * stream it needs threads and the network, too. */
static int jail(const struct auditor *a, struct why *why)
{
    struct selfjail config = {.needs = SELFJAIL_SOCKETS_UNIX | SELFJAIL_HELD_FILES};

    if (!a->config->wants_jail)
        return 0;
    if (a->config->stream != NULL)
        config.needs |= SELFJAIL_SOCKETS_INET | SELFJAIL_THREADS;
    return selfjail_enter(&config, NULL, why);
}

/** The library's thread is the first other one, so this comes behind the jail. */
static int open_link(struct auditor *a, struct why *why)
{
    int err = a->config->stream != NULL ? nats_link_open(a->config->stream, &a->link, why) : 0;

    if (err == 0 && a->outbox != NULL)
        a->outbox->link.self = a->link;
    return err;
}

/** The supervisor has ended: write what is left, trying for a while. */
static int finish(struct auditor *a)
{
    struct mono deadline = mono_add_ms(mono_now(), GIVE_UP_MS);

    add_missing_stop(a);
    flush(a);
    while (a->err != 0 && mono_before(mono_now(), deadline)) {
        (void)poll(NULL, 0, RETRY_MS);
        flush(a);
    }
    if (a->err == 0)
        sync_log(a);
    return a->err;
}

/** Own session, so that the terminal's signals and the end of the supervisor's session pass it by;
 * nothing of the supervisor's but the three descriptors; memory closed to others of the same user.
 */
static int stand_alone(const struct auditor_config *config)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGTSTP,
                                  SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGALRM, SIGXFSZ};
    auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int low = config->records_fd < config->status_fd ? config->records_fd : config->status_fd;
    int high = config->records_fd < config->status_fd ? config->status_fd : config->records_fd;
    sigset_t none;

    (void)setsid(); /* fails only for a group leader, which a fresh child is not */
    (void)prctl(PR_SET_NAME, "lattice-audit");
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, 0) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_COUNT(ignored); i++)
        if (signal(ignored[i], SIG_IGN) == SIG_ERR)
            return -errno;
    if (signal(SIGCHLD, SIG_DFL) == SIG_ERR) /* or waiting for the writer would not work */
        return -errno;
    (void)sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        return -errno;
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        (!config->echo_json && dup2(null, STDERR_FILENO) < 0))
        return -errno;
    if ((low > 3 && close_range(3, (unsigned)low - 1, 0) < 0) ||
        (high > low + 1 && close_range((unsigned)low + 1, (unsigned)high - 1, 0) < 0) ||
        close_range((unsigned)high + 1, ~0u, 0) < 0)
        return -errno;
    null = -1; /* closed with the others */
    return 0;
}

/** Open what the writer needs; a successor finds its place in the chain. */
static int open_writer(struct auditor *a, bool is_successor, struct why *why)
{
    const int from_start = 0;
    int err = logfile_open(&a->log, a->config->path, a->config->chain_number, why);

    if (err == 0 && is_successor)
        err = logfile_resume(&a->log, &a->is_stopped);
    if (err == 0)
        err = open_stream(a, why);
    own_close(&a->log.dir_fd); /* nothing is opened from here on */
    if (err < 0)
        return err;
    a->is_resuming = is_successor;
    a->message = malloc(MESSAGE_MAX + 1);
    if (a->message == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    /* Each look continues behind the last one; a successor begins at the front again. */
    if (setsockopt(a->config->records_fd, SOL_SOCKET, SO_PEEK_OFF, &from_start,
                   sizeof(from_start)) < 0)
        return why_set(why, -errno, "cannot look into the record socket: %s", strerror(errno));
    return 0;
}

/** Nothing was taken from the socket yet; the supervisor sees its end, and ends the session. */
static int give_up(struct auditor *a, int err, const struct why *why)
{
    tell(a->config, AUDITOR_FAILING, err, why->text);
    free(a->message);
    logfile_close(&a->log);
    return EXIT_FAILURE;
}

int auditor_write(const struct auditor_config *config, bool is_successor)
{
    struct auditor a = {.config = config};
    struct why why = {0};
    int err;

    err = open_writer(&a, is_successor, &why);
    if (err < 0) {
        tell(config, AUDITOR_REFUSED, err, why.text);
    } else {
        /* The supervisor goes on while the crypto library is opened and we confine ourselves. */
        tell(config, AUDITOR_READY, 0, NULL);
        hash_ready(/*is_only=*/config->stream == NULL); /* a stream may need TLS */
        err = jail(&a, &why);
        if (err == 0)
            err = open_link(&a, &why);
        if (err < 0)
            return give_up(&a, err, &why);
        buf_init(&a.lines, LOGFILE_BATCH_MAX);
        serve(&a);
        err = finish(&a);
        tell(config, AUDITOR_DONE, err, NULL);
        drain(&a);
        buf_done(&a.lines);
    }
    free(a.message);
    logfile_close(&a.log);
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/** The keeper: one writer after the other, until one ends by itself. */
static int keep_writing(const struct auditor_config *config)
{
    unsigned quick = 0;

    for (unsigned n = 0; n < WRITERS_MAX && quick < QUICK_MAX; n++) {
        struct mono begun = mono_now();
        pid_t writer = fork();
        int status = 0;

        if (writer < 0)
            return EXIT_FAILURE;
        if (writer == 0)
            _exit(auditor_write(config, /*is_successor=*/n > 0));
        while (waitpid(writer, &status, 0) < 0 && errno == EINTR)
            continue;
        if (WIFEXITED(status))
            return WEXITSTATUS(status);
        quick = mono_before(mono_now(), mono_add_ms(begun, QUICK_MS)) ? quick + 1 : 0;
    }
    return EXIT_FAILURE;
}

int auditor_run(const struct auditor_config *config)
{
    int err = stand_alone(config);

    if (err < 0) {
        tell(config, AUDITOR_REFUSED, err, "the auditor cannot set itself apart");
        return EXIT_FAILURE;
    }
    return keep_writing(config);
}
