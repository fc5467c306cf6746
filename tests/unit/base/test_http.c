/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server over real loopback sockets, server and client in one process: the test turns the
 * loop until the client's answer is complete. Port and times are the kernel's and the loop's.
 */
#include "base/http.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "tests/support/suite.h"

#define BODY_MAX 1000

static struct loop *loop;
static struct http_server *server;
static struct http_request *kept;
static unsigned dropped;
static unsigned handled;
static unsigned fds_before;

static void answer_text(struct http_request *r, unsigned status, const char *text)
{
    struct http_answer a = {.status = status,
                            .type = "text/plain",
                            .body = bytes_of_str(text),
                            .headers = {{"X-Test", "yes"}}};

    http_answer(r, &a);
}

static void on_request(void *self, struct http_request *r)
{
    const struct http_target *t = http_request_target(r);
    char text[2048];

    (void)self;
    handled++;
    if (t->segment_count > 0 && strcmp(t->segments[0], "keep") == 0) {
        kept = r;
        return;
    }
    (void)snprintf(text, sizeof(text), "%s %s [%.*s]", http_method(r),
                   t->segment_count > 0 ? t->segments[0] : "-", (int)http_body(r).len,
                   (const char *)http_body(r).data);
    answer_text(r, 200, text);
}

static void on_refused(void *self, struct http_request *r, unsigned status, const char *reason)
{
    (void)self;
    answer_text(r, status, reason);
}

static void on_dropped(void *self, struct http_request *r)
{
    (void)self;
    must(r == kept);
    dropped++;
    kept = NULL;
}

static void setup(unsigned connections_max, unsigned request_ms_max)
{
    struct http_config config = {
        .listen = {.ip = ip_v4(127, 0, 0, 1)},
        .body_max = BODY_MAX,
        .connections_max = connections_max,
        .request_ms_max = request_ms_max,
        .request = on_request,
        .refused = on_refused,
        .dropped = on_dropped,
    };

    fds_before = suite_open_fds();
    ck_assert_int_eq(loop_new(&loop), 0);
    config.loop = loop;
    ck_assert_int_eq(http_server_new(&config, &server, NULL), 0);
}

static void teardown(void)
{
    http_server_free(server);
    loop_free(loop);
    ck_assert_uint_eq(suite_open_fds(), fds_before);
}

static int dial(void)
{
    struct endpoint to = {.ip = ip_v4(127, 0, 0, 1), .port = http_server_port(server)};
    struct sockaddr_storage addr;
    socklen_t len = endpoint_to_sockaddr(&to, &addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(io_set_nonblock(fd), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(io_write_all(fd, text, strlen(text)), 0);
}

/** Turn until the end of the stream, or until @enough stands in what came. */
static void hear(int fd, const char *enough, struct buf *ret)
{
    struct mono until = mono_add_ms(mono_now(), 10000);

    for (;;) {
        char part[1024];
        ssize_t got = io_read(fd, part, sizeof(part));

        if (got > 0)
            buf_add(ret, part, (size_t)got);
        if (got == 0 || (got < 0 && got != -EAGAIN) ||
            (enough != NULL && strstr(buf_text(ret), enough) != NULL))
            return;
        ck_assert_msg(mono_before(mono_now(), until), "no answer; so far: %s", buf_text(ret));
        ck_assert_int_eq(loop_turn(loop, mono_add_ms(mono_now(), 5)), 0);
    }
}

static void exchange(const char *request, const char *enough, const char *want)
{
    struct buf got;
    int fd = dial();

    buf_init(&got, 1 << 16);
    say(fd, request);
    hear(fd, enough, &got);
    ck_assert_msg(strstr(buf_text(&got), want) != NULL, "wanted %s in: %s", want, buf_text(&got));
    buf_done(&got);
    (void)close(fd);
}

START_TEST(request_reaches_its_handler)
{
    setup(16, 5000);
    exchange("GET /hello?x=1 HTTP/1.1\r\nHost: h\r\n\r\n", "[]", "GET hello []");
    exchange("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "[abc]",
             "POST p [abc]");
    exchange("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
             "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
             "[abcde]", "X-Test: yes");
    ck_assert_uint_eq(handled, 3);
    teardown();
}
END_TEST

/* Goal: the body's limit, said beforehand and chunked. Method: exactly the limit, then one more. */
START_TEST(body_over_limit_is_413)
{
    char request[4096];
    char body[BODY_MAX + 2];

    setup(16, 5000);
    memset(body, 'x', sizeof(body));
    body[BODY_MAX] = '\0';
    (void)snprintf(request, sizeof(request),
                   "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", BODY_MAX, body);
    exchange(request, "xx]", "200 OK");
    body[BODY_MAX] = 'x';
    body[BODY_MAX + 1] = '\0';
    (void)snprintf(request, sizeof(request),
                   "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", BODY_MAX + 1,
                   body);
    exchange(request, "too large", " 413 ");
    (void)snprintf(
        request, sizeof(request),
        "PUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
        BODY_MAX + 1, body);
    exchange(request, "too large", " 413 ");
    exchange("PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", NULL,
             " 4");
    ck_assert_uint_eq(handled, 1);
    teardown();
}
END_TEST

static const char *const bad[] = {
    "GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n"),
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    "GET /a HTTP/1.1\r\n\r\n",
};

/* Goal: what two servers could read differently is 400 and reaches no handler. */
START_TEST(ambiguous_request_is_refused)
{
    setup(16, 5000);
    exchange(bad[_i], NULL, "HTTP/1.1 400");
    ck_assert_uint_eq(handled, 0);
    exchange("GET /ok HTTP/1.1\r\nHost: h\r\n\r\n", "[]", "200 OK");
    teardown();
}
END_TEST

/* Goal: a kept request is answered later, on the same connection, which then serves again. */
START_TEST(kept_request_is_answered_later)
{
    struct buf got;
    int fd;

    setup(16, 5000);
    fd = dial();
    buf_init(&got, 1 << 16);
    say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
    while (kept == NULL)
        ck_assert_int_eq(loop_turn(loop, mono_add_ms(mono_now(), 5)), 0);
    exchange("GET /other HTTP/1.1\r\nHost: h\r\n\r\n", "[]", "GET other");
    answer_text(kept, 200, "at last");
    hear(fd, "at last", &got);
    say(fd, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    hear(fd, "GET again", &got);
    buf_done(&got);
    (void)close(fd);
    teardown();
}
END_TEST

/* Goal: closing the server with a kept request drops it properly. */
START_TEST(free_answers_what_is_kept)
{
    int fd;

    setup(16, 5000);
    fd = dial();
    say(fd, "GET /keep HTTP/1.1\r\nHost: h\r\n\r\n");
    while (kept == NULL)
        ck_assert_int_eq(loop_turn(loop, mono_add_ms(mono_now(), 5)), 0);
    http_server_free(server);
    server = NULL;
    ck_assert_uint_eq(dropped, 1);
    (void)close(fd);
    loop_free(loop);
    ck_assert_uint_eq(suite_open_fds(), fds_before);
}
END_TEST

/* Goal: a client that drips bytes is cut, although it is never silent. Method: one header byte at a
 * time until the server hangs up; it must, before the header is over. */
START_TEST(dripping_client_is_cut)
{
    const char *request =
        "GET /slow HTTP/1.1\r\nHost: h\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct mono start = mono_now();
    int64_t took_ms;
    bool is_cut = false;
    int fd;

    setup(16, 1000);
    fd = dial();
    for (size_t i = 0; !is_cut && i < strlen(request); i++) {
        struct mono next = mono_add_ms(mono_now(), 100);
        char c;

        (void)!io_write(fd, request + i, 1);
        while (mono_before(mono_now(), next))
            ck_assert_int_eq(loop_turn(loop, next), 0);
        is_cut = io_read(fd, &c, 1) != -EAGAIN;
    }
    took_ms = (mono_now().ns - start.ns) / NS_PER_MS;
    ck_assert(is_cut);
    ck_assert_int_ge(took_ms, 900);
    ck_assert_int_le(took_ms, 4000);
    ck_assert_uint_eq(handled, 0);
    ck_assert_uint_eq(http_server_connections(server), 0);
    (void)close(fd);
    teardown();
}
END_TEST

/* Goal: no more connections than allowed. Method: hold them all; a further one gets no answer until
 * one of them ends. */
START_TEST(connection_limit_holds)
{
    struct buf got;
    int fds[4];

    setup(4, 60000);
    buf_init(&got, 1 << 16);
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = dial();
        say(fds[i], "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        hear(fds[i], "GET a", &got);
        buf_reset(&got);
    }
    ck_assert_uint_eq(http_server_connections(server), 4);
    int more = dial();
    say(more, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(loop_turn(loop, mono_add_ms(mono_now(), 5)), 0);
    ck_assert_uint_eq(handled, 4);
    ck_assert_uint_le(http_server_connections(server), 4);
    (void)close(more);
    for (unsigned i = 0; i < 4; i++)
        (void)close(fds[i]);
    while (http_server_connections(server) > 0)
        ck_assert_int_eq(loop_turn(loop, mono_add_ms(mono_now(), 5)), 0);
    exchange("GET /c HTTP/1.1\r\nHost: h\r\n\r\n", "[]", "GET c");
    buf_done(&got);
    teardown();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(request_reaches_its_handler),
    SUITE_TEST(body_over_limit_is_413),
    SUITE_ROWS(ambiguous_request_is_refused, ARRAY_COUNT(bad)),
    SUITE_TEST(kept_request_is_answered_later),
    SUITE_TEST(free_answers_what_is_kept),
    SUITE_TEST(dripping_client_is_cut),
    SUITE_TEST(connection_limit_holds),
};

SUITE_MAIN("base/http", tests)
