/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The desk: where agents hand in what they may ask of latticed, which is one thing. It is a process
 * of its own without any secret: the gateway hands it one end of a socket pair for each connection
 * that an agent opens to the gateway's own address, and it forks a clerk for each. The clerk reads
 * one request, asks latticed the same in its own words, writes the answer, and ends. A clerk that
 * dawdles is ended by its alarm.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/io.h"
#include "base/json_out.h"
#include "base/own.h"
#include "enroll/call.h"
#include "enroll/desk_request.h"
#include "enroll/process.h"

#define CLERKS_MAX 32
#define REQUEST_MS 10000 /* for a request to come whole */
#define CALL_S     15
#define CLERK_S    30 /* all in all */
#define ANSWER_MAX (1u << 20)
#define REAP_MS    100
#define URL_CAP    1024u

/* ── A clerk ─────────────────────────────────────────────────────────────────────────────────────
 */

struct answer {
    unsigned status;
    struct buf body;
};

static const char *title(unsigned status)
{
    switch (status) {
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not found";
    case 405:
        return "Method not allowed";
    case 411:
        return "Length required";
    case 413:
        return "Too large";
    case 502:
        return "Bad gateway";
    default:
        return status < 300 ? "OK" : "Refused";
    }
}

static void refuse(struct answer *a, unsigned status, const char *detail)
{
    struct json_out j;

    a->status = status;
    buf_reset(&a->body);
    json_out_init(&j, &a->body);
    json_open_object(&j);
    json_put_str(&j, "type", "about:blank");
    json_put_str(&j, "title", title(status));
    json_put_u64(&j, "status", status);
    json_put_str(&j, "detail", detail);
    json_put_u64(&j, "code", status);
    json_put_str(&j, "msg", detail);
    json_close_object(&j);
}

static const char *detail_of(int status)
{
    switch (status) {
    case 401:
        return "this needs the agent's own token: Authorization: Bearer and the text of the file "
               "that "
               "LATTICE_TOKEN_FILE names";
    case 403:
        return "this token is another agent's; the agent's own is in the file that "
               "LATTICE_TOKEN_FILE "
               "names";
    case 404:
        return "from inside a sandbox only POST " DESK_PATH " can be reached";
    case 405:
        return "this route takes POST";
    case 411:
        return "say the body's Content-Length";
    case 413:
        return "the body is too large";
    case 415:
        return "the body must be application/json";
    default:
        return "the request is malformed";
    }
}

/** Read until the request is whole. Returns 0, a status, or -errno: the agent has gone. */
static int receive(int fd, struct buf *input, struct desk_request *ret)
{
    struct mono until = mono_add_ms(mono_now(), REQUEST_MS);
    bool told = false;

    for (;;) {
        int status = desk_request_parse(buf_bytes(input), ret);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left_ms = (until.ns - mono_now().ns) / NS_PER_MS;
        uint8_t *room;
        ssize_t got;

        if (status != -EAGAIN)
            return status;
        if (ret->expects_continue && !told) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

            told = true;
            if (io_write_all(fd, go_on, sizeof(go_on) - 1) < 0)
                return -EPIPE;
        }
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) < 1)
            return 408;
        room = buf_reserve(input, 4096);
        if (room == NULL)
            return 413;
        got = io_read(fd, room, 4096);
        if (got <= 0)
            return -EPIPE;
        buf_commit(input, (size_t)got);
    }
}

/** Ask latticed the same. */
static void ask(const struct enroll_server *server, const struct desk_request *r, struct answer *a)
{
    size_t len = strlen(server->url);
    char url[URL_CAP];
    struct http_client_request req = {
        .method = "POST",
        .url = url,
        .bearer = r->bearer[0] != '\0' ? r->bearer : NULL,
        .idempotency_key = r->idempotency_key[0] != '\0' ? r->idempotency_key : NULL,
        .ca_file = server->ca_file,
        .may_be_plain = server->may_be_plain,
        .timeout_s = CALL_S,
    };
    struct why why = {0};
    struct buf body;

    if (len > 0 && server->url[len - 1] == '/')
        len--;
    (void)snprintf(url, sizeof(url), "%.*s" DESK_PATH, (int)len, server->url);
    buf_init(&body, DESK_BODY_MAX + 1);
    buf_add(&body, r->body.data, r->body.len);
    req.body = buf_text(&body);
    if (memchr(r->body.data, '\0', r->body.len) != NULL)
        refuse(a, 400, "the body holds a NUL");
    else if (buf_error(&body) < 0 || http_client_call(&req, &a->status, &a->body, &why) < 0)
        refuse(a, 502, "latticed does not answer the gateway");
    buf_done(&body);
}

static void clerk(int fd, const struct enroll_server *server, const struct desk_agent *who)
{
    struct desk_request *r = calloc(1, sizeof(*r));
    struct answer a = {.status = 503};
    struct buf input, head;
    int status;

    if (r == NULL)
        return;
    buf_init(&input, DESK_HEAD_MAX + DESK_BODY_MAX + 8192);
    buf_init(&head, 1024);
    buf_init(&a.body, ANSWER_MAX);
    status = receive(fd, &input, r);
    if (status < 0)
        return;
    if (status == 0)
        status = desk_request_bearer_check(r, who);
    if (status == 0)
        ask(server, r, &a);
    else
        refuse(&a, (unsigned)status, detail_of(status));
    buf_printf(&head,
               "HTTP/1.1 %u %s\r\nContent-Type: application/%s\r\nContent-Length: %zu\r\n"
               "Connection: close\r\n%s\r\n",
               a.status, title(a.status), a.status < 400 ? "json" : "problem+json", a.body.len,
               a.status == 405 ? "Allow: POST\r\n" : "");
    if (buf_error(&head) == 0 && io_write_all(fd, head.data, head.len) == 0)
        (void)!io_write_all(fd, a.body.data, a.body.len); /* the agent has gone */
    (void)shutdown(fd, SHUT_WR);
}

/* ── The desk ────────────────────────────────────────────────────────────────────────────────────
 */

/** The next connection. Returns its descriptor, -EAGAIN none just now, -EPIPE the gateway is gone.
 */
static int take_connection(int line, struct desk_agent *ret_who)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = ret_who, .iov_len = sizeof(*ret_who)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(line, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *c;
    int fd;

    if (got < 0)
        return errno == EINTR || errno == EAGAIN ? -EAGAIN : -EPIPE;
    if (got == 0)
        return -EPIPE;
    c = CMSG_FIRSTHDR(&msg);
    if (c == NULL || c->cmsg_type != SCM_RIGHTS)
        return -EAGAIN;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    if (got == (ssize_t)sizeof(*ret_who) && ret_who->ns[ENROLL_NAME_MAX] == '\0' &&
        ret_who->name[ENROLL_NAME_MAX] == '\0')
        return fd;
    (void)close(fd);
    return -EAGAIN;
}

static void start_clerk(int line, int fd, const struct enroll_server *server,
                        const struct desk_agent *who, int *clerks)
{
    pid_t desk = getpid();
    pid_t pid = *clerks < CLERKS_MAX ? fork() : -1;

    if (pid == 0) {
        (void)close(line);
        (void)alarm(CLERK_S);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == desk &&
            process_jail(NULL, NULL) == 0)
            clerk(fd, server, who);
        _exit(0);
    }
    if (pid > 0)
        (*clerks)++;
    (void)close(fd); /* without a clerk the agent sees its connection end */
}

/** Ask latticed anything, so that libraries load what they want: a clerk's jail has no room for
 * that. What it answers, and whether, does not matter. */
static void warm_up(const struct enroll_server *server)
{
    struct call c = {
        .server = server, .method = "GET", .path = "/healthz", .timeout_s = 5, .answer_max = 4096};
    struct why why;

    (void)!call_run(&c, &why);
    json_free(c.doc);
}

static int run(int line, void *self)
{
    const struct enroll_server *server = self;
    int clerks = 0;

    warm_up(server);
    for (;;) {
        struct pollfd p = {.fd = line, .events = POLLIN};
        struct desk_agent who;
        int fd;

        while (clerks > 0 && waitpid(-1, NULL, WNOHANG) > 0)
            clerks--;
        if (poll(&p, 1, clerks > 0 ? REAP_MS : -1) < 1)
            continue;
        fd = take_connection(line, &who);
        if (fd == -EPIPE)
            return 0;
        if (fd >= 0)
            start_clerk(line, fd, server, &who, &clerks);
    }
}

/* ── The gateway's side ──────────────────────────────────────────────────────────────────────────
 */

int enroll_desk_start(const struct enroll_server *server, struct enroll **ret, struct why *why)
{
    return process_start("lattice-desk", run, (void *)(uintptr_t)server, ret, why);
}

int enroll_desk_open(struct enroll *e, const char *ns, const char *name)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct desk_agent who = {0};
    struct iovec iov = {.iov_base = &who, .iov_len = sizeof(who)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int ends[2];
    int err = 0;

    (void)snprintf(who.ns, sizeof(who.ns), "%s", ns);
    (void)snprintf(who.name, sizeof(who.name), "%s", name);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &ends[1], sizeof(int));
    if (sendmsg(enroll_fd(e), &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        err = -errno;
    else
        err = io_set_nonblock(ends[0]);
    (void)close(ends[1]);
    if (err < 0)
        (void)close(ends[0]);
    return err < 0 ? err : ends[0];
}
