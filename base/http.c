/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd without threads: its epoll descriptor is one more watch of our loop, its next
 * timeout one more timer. It reads and writes HTTP; the target, the size of bodies, the time that a
 * client may take, and which headers may stand twice are judged here.
 *
 * libmicrohttpd's own timeout is for silence only: a client that sends one byte now and then would
 * hold a connection for ever. So each connection carries the time at which its current phase began
 * (waiting for a whole request, or for the answer to be read), and a sweep cuts those that are
 * late.
 */
#include "base/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/own.h"

#define SWEEP_MS     500
#define PER_CONN_MEM (32u * 1024u) /* headers of one request at most */
#define LISTEN_QUEUE 256

struct conn {
    struct conn *prev, *next;
    int fd;                 /* libmicrohttpd's */
    struct mono since;      /* when this phase began */
    bool is_waiting_for_us; /* the request is whole and unanswered: not the client's fault */
};

struct http_request {
    struct http_request *prev, *next; /* of the kept ones */
    struct http_server *server;
    struct MHD_Connection *mhd;
    const char *method;
    struct http_target target;
    int target_err;
    struct buf body;
    struct MHD_Response *response; /* NULL: not answered */
    unsigned status;
    bool is_begun;   /* headers were seen */
    bool is_refused; /* answered before the body was read */
    bool is_handled; /* the handler ran, or runs */
    bool is_kept;    /* suspended until http_answer() */
};

struct http_server {
    struct http_config config;
    struct MHD_Daemon *mhd;
    int listen_fd; /* owned by libmicrohttpd once it runs */
    uint16_t port;
    struct loop_watch watch;
    struct loop_timer timeout;
    struct loop_timer sweep;
    struct conn *conns;
    unsigned conn_count;
    struct http_request *kept;
    bool is_closing;
};

/* ── Connections ─────────────────────────────────────────────────────────────────────────────────
 */

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static void conn_phase(struct http_request *r, bool is_waiting_for_us)
{
    struct conn *c = conn_of(r->mhd);

    if (c == NULL)
        return;
    c->since = mono_now();
    c->is_waiting_for_us = is_waiting_for_us;
}

static void conn_opened(struct http_server *s, struct MHD_Connection *mhd, void **slot)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct conn *c = calloc(1, sizeof(*c));

    *slot = c;
    if (c == NULL)
        return; /* without memory it lives under libmicrohttpd's timeout alone */
    c->fd = info != NULL ? info->connect_fd : -1;
    c->since = mono_now();
    c->next = s->conns;
    if (s->conns != NULL)
        s->conns->prev = c;
    s->conns = c;
    s->conn_count++;
}

static void conn_closed(struct http_server *s, void **slot)
{
    struct conn *c = *slot;

    *slot = NULL;
    if (c == NULL)
        return;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    s->conn_count--;
    free(c);
}

static void on_connection(void *self, struct MHD_Connection *mhd, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_opened(self, mhd, slot);
    else
        conn_closed(self, slot);
}

static void turn(struct http_server *s);

static void on_sweep(void *self, struct mono now)
{
    struct http_server *s = self;
    int64_t limit_ns = (int64_t)s->config.request_ms_max * NS_PER_MS;

    for (struct conn *c = s->conns; c != NULL; c = c->next)
        if (!c->is_waiting_for_us && now.ns - c->since.ns > limit_ns && c->fd >= 0)
            (void)shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd then finds the end and closes */
    turn(s);
}

/* ── The loop ────────────────────────────────────────────────────────────────────────────────────
 */

/** Let libmicrohttpd work, then arm the timers that it and we need. Failing to arm a timer leaves
 * slow clients longer, nothing else. */
static void turn(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    (void)MHD_run(s->mhd);
    if (MHD_get_timeout(s->mhd, &wait_ms) == MHD_YES)
        (void)!loop_timer_set(s->config.loop, &s->timeout,
                              mono_add_ms(mono_now(), wait_ms > 60000 ? 60000 : (int64_t)wait_ms));
    else
        loop_timer_clear(s->config.loop, &s->timeout);
    if (s->conns != NULL && s->sweep.index_ == 0)
        (void)!loop_timer_set(s->config.loop, &s->sweep, mono_add_ms(mono_now(), SWEEP_MS));
}

static void on_ready(void *self, uint32_t events)
{
    (void)events;
    turn(self);
}

static void on_timeout(void *self, struct mono now)
{
    (void)now;
    turn(self);
}

/* ── Requests ────────────────────────────────────────────────────────────────────────────────────
 */

/** First sight of a request: the raw target, before libmicrohttpd decodes anything. */
static void *on_target(void *self, const char *target, struct MHD_Connection *mhd)
{
    struct http_server *s = self;
    struct http_request *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->server = s;
    r->mhd = mhd;
    buf_init(&r->body, s->config.body_max);
    r->target_err = http_target_parse(bytes_of_str(target), &r->target);
    return r;
}

static void kept_remove(struct http_request *r)
{
    if (!r->is_kept)
        return;
    r->is_kept = false;
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        r->server->kept = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    r->prev = NULL;
    r->next = NULL;
}

static void kept_add(struct http_request *r)
{
    r->is_kept = true;
    r->next = r->server->kept;
    if (r->next != NULL)
        r->next->prev = r;
    r->server->kept = r;
}

static void on_completed(void *self, struct MHD_Connection *mhd, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct http_request *r = *slot;

    (void)self;
    (void)mhd;
    (void)code;
    *slot = NULL;
    if (r == NULL)
        return;
    must(!r->is_kept); /* a suspended connection is not completed */
    conn_phase(r, /*is_waiting_for_us=*/false);
    if (r->response != NULL)
        MHD_destroy_response(r->response);
    buf_done(&r->body);
    free(r);
}

static enum MHD_Result count_header(void *self, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    static const char *const singletons[] = {
        "Authorization",  "Content-Type",  "Idempotency-Key",   "Host",
        "Content-Length", "If-None-Match", "Transfer-Encoding", "Origin"};
    unsigned *seen = self;

    (void)kind;
    (void)value;
    for (unsigned i = 0; i < ARRAY_COUNT(singletons); i++)
        if (strcasecmp(key, singletons[i]) == 0) {
            if (*seen >> i & 1)
                *seen |= 1u << 31;
            *seen |= 1u << i;
        }
    return MHD_YES;
}

/** What is wrong with the request before its body is looked at; 0: nothing. */
static unsigned judge_head(struct http_request *r, const char **ret_reason)
{
    const char *length = http_header(r, "Content-Length");
    unsigned seen = 0;

    (void)MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, count_header, &seen);
    if (r->target_err < 0) {
        *ret_reason = "the request's target is malformed or too long";
        return r->target_err == -EMSGSIZE ? 414 : 400;
    }
    if (seen >> 31 & 1) {
        *ret_reason = "a header that may stand once stands twice";
        return 400;
    }
    if (length != NULL && http_header(r, "Transfer-Encoding") != NULL) {
        *ret_reason = "the body's length is said in two ways"; /* RFC 9112 6.1: smuggling */
        return 400;
    }
    if (length != NULL && strtoull(length, NULL, 10) > r->server->config.body_max) {
        *ret_reason = "the body is too large";
        return 413;
    }
    return 0;
}

/** Answer in the protocol's own words, or let the owner fill in the body. */
static void refuse(struct http_request *r, unsigned status, const char *reason)
{
    struct http_server *s = r->server;

    r->is_refused = true;
    if (s->config.refused != NULL)
        s->config.refused(s->config.self, r, status, reason);
    if (r->response == NULL)
        http_answer(r, &(struct http_answer){.status = status});
}

static enum MHD_Result send_response(struct http_request *r)
{
    enum MHD_Result done;

    conn_phase(r, /*is_waiting_for_us=*/false);
    if (r->is_refused)
        (void)MHD_add_response_header(r->response, "Connection", "close");
    done = MHD_queue_response(r->mhd, r->status, r->response);
    MHD_destroy_response(r->response);
    r->response = NULL;
    return done;
}

static enum MHD_Result handle_whole(struct http_request *r)
{
    struct http_server *s = r->server;

    if (r->response != NULL) /* resumed */
        return send_response(r);
    r->is_handled = true;
    conn_phase(r, /*is_waiting_for_us=*/true);
    if (buf_error(&r->body) == -EMSGSIZE)
        refuse(r, 413, "the body is too large");
    else if (buf_error(&r->body) < 0 || s->is_closing)
        refuse(r, 503, "the server cannot take the request now");
    else
        s->config.request(s->config.self, r);
    if (r->response != NULL)
        return send_response(r);
    kept_add(r);
    MHD_suspend_connection(r->mhd);
    return MHD_YES;
}

static enum MHD_Result on_access(void *self, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **slot)
{
    struct http_request *r = *slot;
    const char *reason;
    unsigned status;

    (void)self;
    (void)mhd;
    (void)url;
    (void)version;
    if (r == NULL)
        return MHD_NO; /* no memory at its first sight: close */
    r->method = method;
    if (!r->is_begun) {
        r->is_begun = true;
        status = judge_head(r, &reason);
        if (status == 0)
            return MHD_YES;
        refuse(r, status, reason);
        return send_response(r);
    }
    if (*data_len > 0) {
        buf_add(&r->body, data, *data_len); /* an overflow is remembered, and refused at the end */
        *data_len = 0;
        return MHD_YES;
    }
    return handle_whole(r);
}

const char *http_method(const struct http_request *r)
{
    return r->method;
}

const struct http_target *http_request_target(const struct http_request *r)
{
    return &r->target;
}

const char *http_header(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

struct bytes http_body(const struct http_request *r)
{
    return buf_bytes(&r->body);
}

struct endpoint http_peer(const struct http_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct endpoint peer = {0};

    if (info == NULL || info->client_addr == NULL)
        return peer;
    if (info->client_addr->sa_family == AF_INET)
        (void)!endpoint_from_sockaddr(bytes_of(info->client_addr, sizeof(struct sockaddr_in)),
                                      &peer);
    else if (info->client_addr->sa_family == AF_INET6)
        (void)!endpoint_from_sockaddr(bytes_of(info->client_addr, sizeof(struct sockaddr_in6)),
                                      &peer);
    return peer;
}

void http_answer(struct http_request *r, const struct http_answer *answer)
{
    must(r->response == NULL);
    r->status = answer->status;
    /* libmicrohttpd copies the body; the pointer is not written through. */
    r->response = MHD_create_response_from_buffer(
        answer->body.len, (void *)(uintptr_t)answer->body.data, MHD_RESPMEM_MUST_COPY);
    must(r->response != NULL);
    (void)MHD_add_response_header(r->response, "X-Content-Type-Options", "nosniff");
    if (answer->type != NULL)
        (void)MHD_add_response_header(r->response, "Content-Type", answer->type);
    for (unsigned i = 0; i < HTTP_ANSWER_HEADERS_MAX && answer->headers[i].name != NULL; i++)
        (void)MHD_add_response_header(r->response, answer->headers[i].name,
                                      answer->headers[i].value);
    if (r->is_kept) {
        kept_remove(r);
        MHD_resume_connection(r->mhd);
        (void)!loop_timer_set(r->server->config.loop, &r->server->timeout,
                              loop_now(r->server->config.loop));
    }
}

/* ── Start and end ───────────────────────────────────────────────────────────────────────────────
 */

static int open_listener(struct http_server *s, struct why *why)
{
    struct sockaddr_storage addr;
    socklen_t len = endpoint_to_sockaddr(&s->config.listen, &addr);
    auto_fd fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char where[ENDPOINT_TEXT_CAP];
    struct endpoint bound;
    int on = 1;

    (void)endpoint_print(&s->config.listen, where);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, LISTEN_QUEUE) < 0)
        return why_set(why, -errno, "cannot listen on %s: %s", where, strerror(errno));
    len = sizeof(addr);
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
        endpoint_from_sockaddr(bytes_of(&addr, len), &bound) < 0)
        return why_set(why, -EIO, "cannot read the port of %s", where);
    s->port = bound.port;
    s->listen_fd = take_fd(&fd);
    return 0;
}

static struct MHD_Daemon *start_daemon(struct http_server *s)
{
    const struct http_config *c = &s->config;
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (c->tls_cert != NULL ? MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)c->tls_key},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)c->tls_cert},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };

    if (c->tls_cert == NULL)
        tls[0].option = MHD_OPTION_END;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, s, MHD_OPTION_ARRAY, tls, MHD_OPTION_LISTEN_SOCKET,
        s->listen_fd, MHD_OPTION_CONNECTION_LIMIT, c->connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((c->request_ms_max + 999) / 1000),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)PER_CONN_MEM, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_URI_LOG_CALLBACK,
        on_target, s, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

int http_server_new(const struct http_config *config, struct http_server **ret, struct why *why)
{
    struct http_server *s = calloc(1, sizeof(*s));
    const union MHD_DaemonInfo *info;
    int err;

    if (s == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    s->config = *config;
    s->listen_fd = -1;
    err = open_listener(s, why);
    if (err < 0)
        goto out;
    s->mhd = start_daemon(s);
    if (s->mhd == NULL) {
        err = why_set(why, -EIO, "the HTTP server did not start%s",
                      config->tls_cert != NULL ? "; are certificate and key PEM, and do they fit?"
                                               : "");
        goto out;
    }
    s->listen_fd = -1;
    info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    must(info != NULL);
    s->watch = (struct loop_watch){.fd = info->epoll_fd, .ready = on_ready, .self = s};
    s->timeout = (struct loop_timer){.expired = on_timeout, .self = s};
    s->sweep = (struct loop_timer){.expired = on_sweep, .self = s};
    err = loop_watch(config->loop, &s->watch, EPOLLIN);
    if (err < 0) {
        (void)why_set(why, err, "cannot watch the HTTP server: %s", strerror(-err));
        goto out;
    }
    *ret = s;
    return 0;
out:
    http_server_free(s);
    return err;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

unsigned http_server_connections(const struct http_server *s)
{
    return s->conn_count;
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    s->is_closing = true;
    while (s->kept != NULL) {
        struct http_request *r = s->kept;

        if (s->config.dropped != NULL)
            s->config.dropped(s->config.self, r);
        http_answer(r, &(struct http_answer){.status = 503});
    }
    loop_unwatch(s->config.loop, &s->watch);
    if (s->mhd != NULL) {
        (void)MHD_run(s->mhd);
        MHD_stop_daemon(s->mhd);
    }
    loop_timer_clear(s->config.loop, &s->timeout);
    loop_timer_clear(s->config.loop, &s->sweep);
    if (s->listen_fd >= 0)
        (void)close(s->listen_fd);
    free(s);
}
