/* SPDX-License-Identifier: Apache-2.0 */
/* Flows and datagrams over the host's sockets, with real sockets on loopback at both ends. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "netstack/netstack.h"
#include "tests/support/suite.h"

struct owner {
    int opened; /* 1: not called; else its err */
    int closed;
    struct flow_stats stats;
};

static void on_opened(void *self, struct flow *f, int err)
{
    struct owner *o = self;

    (void)f;
    ck_assert_int_eq(o->opened, 1);
    o->opened = err;
}

static void on_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    struct owner *o = self;

    (void)f;
    ck_assert_int_eq(o->closed, 1);
    o->closed = err;
    o->stats = *stats;
}

static const struct flow_events events = {.opened = on_opened, .closed = on_closed};

struct world {
    unsigned fds;
    struct loop *loop;
    struct netstack *ns;
};

static void setup(struct world *w)
{
    struct netstack_config config = {.mode = NETSTACK_DIRECT};
    struct why why;

    w->fds = suite_open_fds();
    ck_assert_int_eq(loop_new(&w->loop), 0);
    config.loop = w->loop;
    ck_assert_int_eq(netstack_new(&config, &w->ns, &why), 0);
}

static void teardown(struct world *w)
{
    netstack_free(w->ns);
    loop_free(w->loop);
    ck_assert_uint_eq(suite_open_fds(), w->fds);
}

static int listen_on(enum ip_family family, struct endpoint *ret)
{
    struct endpoint any = {.ip = family == IP_V4 ? ip_v4(127, 0, 0, 1) : ip_any(IP_V6)};
    struct sockaddr_storage sa;
    socklen_t len;
    int fd;

    if (family == IP_V6)
        any.ip.bytes[15] = 1;
    len = endpoint_to_sockaddr(&any, &sa);
    fd = socket(family == IP_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), ret), 0);
    return fd;
}

/** Turn until *@what is no longer @while_equal; 5 s at most. */
static void turn_while(struct world *w, const int *what, int while_equal)
{
    struct mono limit = mono_add_ms(mono_now(), 5000);

    while (*what == while_equal && mono_before(mono_now(), limit))
        ck_assert_int_eq(loop_turn(w->loop, mono_add_ms(mono_now(), 5)), 0);
    ck_assert_int_ne(*what, while_equal);
}

static void turns(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(loop_turn(w->loop, mono_now()), 0);
}

/** An open flow: agent's end, server's end. */
struct link {
    struct owner owner;
    struct flow *flow;
    int agent;
    int server;
};

static void link_up(struct world *w, struct link *l, bool canary)
{
    struct endpoint at, remote;
    int listener = listen_on(IP_V4, &at);
    int pair[2];

    l->owner = (struct owner){.opened = 1, .closed = 1};
    ck_assert_int_eq(flow_open(w->ns, &at, 0, &events, &l->owner, &l->flow), 0);
    ck_assert_int_eq(l->owner.opened, 1); /* never from within flow_open() */
    turn_while(w, &l->owner.opened, 1);
    ck_assert_int_eq(l->owner.opened, 0);
    ck_assert_int_eq(flow_remote(l->flow, &remote), 0);
    ck_assert(endpoint_equal(&remote, &at));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    l->agent = pair[0];
    if (canary) {
        ck_assert_int_eq(write(l->agent, "?", 1), 1);
        ck_assert_int_eq(flow_attach_canary(l->flow, pair[1]), 0);
    } else {
        ck_assert_int_eq(flow_attach(l->flow, pair[1]), 0);
    }
    l->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert_int_ge(l->server, 0);
    close(listener);
}

/** Send @len patterned bytes from @from to @to through the stack, and compare. */
static void pass(struct world *w, int from, int to, size_t len, uint8_t seed)
{
    auto_free uint8_t *out = malloc(len), *in = malloc(len);
    size_t sent = 0, got = 0;
    struct mono limit = mono_add_ms(mono_now(), 15000);

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 7 + i / 251 + seed);
    while (got < len) {
        ssize_t n = sent < len ? io_write(from, out + sent, len - sent) : 0;

        ck_assert(n >= 0 || n == -EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        n = io_read(to, in + got, len - got);
        ck_assert(n > 0 || n == -EAGAIN);
        got += n > 0 ? (size_t)n : 0;
        ck_assert(mono_before(mono_now(), limit));
        turns(w, 1);
    }
    ck_assert_int_eq(memcmp(in, out, len), 0);
}

/* row 0: plain near end; row 1: one that keeps a byte */
START_TEST(relay_passes_exact_bytes_both_ways)
{
    struct world w;
    struct link l;

    setup(&w);
    link_up(&w, &l, _i == 1);
    pass(&w, l.agent, l.server, 1, 1);
    pass(&w, l.server, l.agent, 1, 2);
    pass(&w, l.agent, l.server, 3 << 20, 3);
    pass(&w, l.server, l.agent, 3 << 20, 4);
    close(l.agent);
    turn_while(&w, &l.owner.closed, 1);
    ck_assert_int_eq(l.owner.closed, 0);
    ck_assert_uint_eq(l.owner.stats.bytes_out, (3 << 20) + 1);
    ck_assert_uint_eq(l.owner.stats.bytes_in, (3 << 20) + 1);
    close(l.server);
    teardown(&w);
}
END_TEST

START_TEST(half_close_passes_each_way_and_the_other_stays_open)
{
    struct world w;
    struct link l;
    char c;
    ssize_t n = -EAGAIN;

    setup(&w);
    link_up(&w, &l, _i == 1);
    pass(&w, l.agent, l.server, 100, 1);
    shutdown(l.agent, SHUT_WR);
    while (n == -EAGAIN) {
        turns(&w, 1);
        n = io_read(l.server, &c, 1);
    }
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(l.owner.closed, 1);
    pass(&w, l.server, l.agent, 1 << 20, 2); /* the other direction still works */
    shutdown(l.server, SHUT_WR);
    turn_while(&w, &l.owner.closed, 1);
    ck_assert_int_eq(l.owner.closed, 0);
    ck_assert_int_eq(io_read(l.agent, &c, 1), 0);
    close(l.agent);
    close(l.server);
    teardown(&w);
}
END_TEST

START_TEST(far_half_close_lets_near_send_on)
{
    struct world w;
    struct link l;
    char c;
    ssize_t n = -EAGAIN;

    setup(&w);
    link_up(&w, &l, _i == 1);
    shutdown(l.server, SHUT_WR);
    while (n == -EAGAIN) {
        turns(&w, 1);
        n = io_read(l.agent, &c, 1);
    }
    ck_assert_int_eq(n, 0);
    pass(&w, l.agent, l.server, 1 << 20, 2);
    close(l.agent);
    turn_while(&w, &l.owner.closed, 1);
    ck_assert_int_eq(l.owner.closed, 0);
    close(l.server);
    teardown(&w);
}
END_TEST

START_TEST(far_reset_reaches_the_agent_after_its_data)
{
    struct linger at_once = {.l_onoff = 1};
    struct world w;
    struct link l;
    char text[16];

    setup(&w);
    link_up(&w, &l, /*canary=*/true);
    pass(&w, l.agent, l.server, 1000, 1);
    ck_assert_int_eq(write(l.server, "last", 4), 4);
    turns(&w, 4);
    setsockopt(l.server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(l.server);
    turn_while(&w, &l.owner.closed, 1);
    ck_assert_int_eq(l.owner.closed, -ECONNRESET);
    ck_assert_int_eq(io_read(l.agent, text, sizeof(text)), 4);
    ck_assert_int_eq(io_read(l.agent, text, sizeof(text)), -ECONNRESET);
    close(l.agent);
    teardown(&w);
}
END_TEST

START_TEST(agent_close_with_unread_bytes_resets_the_server)
{
    struct world w;
    struct link l;
    char c;
    ssize_t n = -EAGAIN;

    setup(&w);
    link_up(&w, &l, _i == 1);
    ck_assert_int_eq(write(l.server, "unread", 6), 6);
    turns(&w, 4);
    close(l.agent);
    turn_while(&w, &l.owner.closed, 1);
    ck_assert_int_eq(l.owner.closed, -ECONNRESET);
    while (n == -EAGAIN)
        n = io_read(l.server, &c, 1);
    ck_assert_int_eq(n, -ECONNRESET);
    close(l.server);
    teardown(&w);
}
END_TEST

START_TEST(slow_agent_stops_the_server_and_loses_nothing)
{
    struct world w;
    struct link l;
    size_t sent = 0, got = 0;
    static uint8_t block[65536];

    setup(&w);
    link_up(&w, &l, /*canary=*/false);
    for (unsigned idle = 0; idle < 50;) {
        ssize_t n = io_write(l.server, block, sizeof(block));

        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        turns(&w, 1);
        ck_assert_uint_lt(sent, 64u << 20); /* back-pressure: it must stop */
    }
    for (unsigned idle = 0; idle < 50;) {
        ssize_t n = io_read(l.agent, block, sizeof(block));

        idle = n > 0 ? 0 : idle + 1;
        got += n > 0 ? (size_t)n : 0;
        turns(&w, 1);
    }
    ck_assert_uint_eq(got, sent);
    flow_abort(l.flow);
    ck_assert_int_eq(l.owner.closed, -ECONNRESET);
    close(l.agent);
    close(l.server);
    teardown(&w);
}
END_TEST

START_TEST(connect_to_closed_port_is_refused)
{
    struct world w;
    struct owner o = {.opened = 1, .closed = 1};
    struct endpoint at;
    struct flow *f;
    int listener;

    setup(&w);
    listener = listen_on(_i == 0 ? IP_V4 : IP_V6, &at);
    ck_assert_int_eq(flow_open(w.ns, &at, 0, &events, &o, &f), 0); /* it is reachable */
    turn_while(&w, &o.opened, 1);
    ck_assert_int_eq(o.opened, 0);
    flow_abort(f);
    ck_assert_int_eq(o.closed, -ECONNRESET);
    close(listener);
    o = (struct owner){.opened = 1, .closed = 1};
    ck_assert_int_eq(flow_open(w.ns, &at, 0, &events, &o, &f), 0);
    turn_while(&w, &o.opened, 1);
    ck_assert_int_eq(o.opened, -ECONNREFUSED);
    ck_assert_int_eq(o.closed, 1); /* closed() belongs to a successful open */
    teardown(&w);
}
END_TEST

START_TEST(abort_before_the_answer_calls_nothing)
{
    struct world w;
    struct owner o = {.opened = 1, .closed = 1};
    struct endpoint at;
    struct flow *f;
    int listener;

    setup(&w);
    listener = listen_on(IP_V4, &at);
    ck_assert_int_eq(flow_open(w.ns, &at, 0, &events, &o, &f), 0);
    flow_abort(f);
    turns(&w, 4);
    ck_assert_int_eq(o.opened, 1);
    ck_assert_int_eq(o.closed, 1);
    close(listener);
    teardown(&w);
}
END_TEST

START_TEST(local_port_is_used_and_taken_ports_are_refused)
{
    struct world w;
    struct owner o = {.opened = 1, .closed = 1};
    struct endpoint at, local, again;
    struct flow *f, *g;
    int listener;
    int err;

    setup(&w);
    listener = listen_on(IP_V4, &at);
    ck_assert_int_eq(flow_open(w.ns, &at, 0, &events, &o, &f), 0);
    ck_assert_int_eq(flow_local(f, &local), 0);
    ck_assert_uint_ne(local.port, 0);
    ck_assert_int_eq(flow_open(w.ns, &at, local.port, &events, &o, &g), -EADDRINUSE);
    flow_abort(f);
    o = (struct owner){.opened = 1, .closed = 1};
    err = flow_open(w.ns, &at, local.port, &events, &o, &f);
    if (err == 0) {
        ck_assert_int_eq(flow_local(f, &again), 0);
        ck_assert_uint_eq(again.port, local.port);
        flow_abort(f);
    } else { /* another program on this machine was quicker */
        ck_assert_int_eq(err, -EADDRINUSE);
    }
    close(listener);
    teardown(&w);
}
END_TEST

START_TEST(offline_carries_nothing)
{
    struct netstack_config config = {.mode = NETSTACK_OFFLINE};
    struct endpoint at = {.ip = ip_v4(127, 0, 0, 1), .port = 9};
    struct netstack *ns;
    struct flow *f;
    struct dgram *d;
    struct why why;

    ck_assert_int_eq(loop_new(&config.loop), 0);
    ck_assert_int_eq(netstack_new(&config, &ns, &why), 0);
    ck_assert_int_eq(flow_open(ns, &at, 0, &events, NULL, &f), -ENETUNREACH);
    ck_assert_int_eq(dgram_open(ns, IP_V4, 0, NULL, NULL, &d), -ENETUNREACH);
    netstack_free(ns);
    loop_free(config.loop);
}
END_TEST

struct mailbox {
    int count;
    int failed;
    size_t len;
    uint8_t last;
    uint8_t head[20];
    struct endpoint from;
};

static void on_datagram(void *self, struct dgram *d, const struct endpoint *from,
                        struct bytes payload)
{
    struct mailbox *m = self;

    (void)d;
    m->count++;
    m->len = payload.len;
    m->last = payload.len > 0 ? payload.data[payload.len - 1] : 0;
    for (size_t i = 0; i < sizeof(m->head) && i < payload.len; i++)
        m->head[i] = payload.data[i];
    m->from = *from;
}

static void on_failed(void *self, struct dgram *d, const struct endpoint *to, int err,
                      struct bytes payload)
{
    (void)payload;
    struct mailbox *m = self;

    (void)d;
    m->failed = err;
    m->from = *to;
}

static const struct dgram_events dgram_events = {.received = on_datagram, .failed = on_failed};

START_TEST(datagrams_of_every_size_arrive_whole)
{
    static const size_t sizes[] = {0, 1, 1400, 9000, 65507};
    struct world w;
    struct mailbox a = {0}, b = {0};
    struct dgram *da, *db;
    struct endpoint to = {.ip = ip_v4(127, 0, 0, 1)}, local;
    auto_free uint8_t *payload = calloc(1, 65508);
    size_t len = sizes[_i];

    setup(&w);
    ck_assert_int_eq(dgram_open(w.ns, IP_V4, 0, &dgram_events, &a, &da), 0);
    ck_assert_int_eq(dgram_open(w.ns, IP_V4, 0, &dgram_events, &b, &db), 0);
    ck_assert_int_eq(dgram_local(db, &local), 0);
    to.port = local.port;
    if (len > 0)
        payload[len - 1] = 0xa5;
    ck_assert_int_eq(dgram_send(da, &to, bytes_of(payload, len)), 0);
    turn_while(&w, &b.count, 0);
    ck_assert_uint_eq(b.len, len);
    ck_assert_uint_eq(b.last, len > 0 ? 0xa5 : 0);
    ck_assert_int_eq(dgram_local(da, &local), 0);
    ck_assert_uint_eq(b.from.port, local.port);
    ck_assert_int_eq(dgram_send(da, &to, bytes_of(payload, 65508)), -EMSGSIZE);
    dgram_close(da);
    dgram_close(db);
    teardown(&w);
}
END_TEST

START_TEST(datagram_to_closed_port_reports_its_target)
{
    struct world w;
    struct mailbox a = {0}, b = {0};
    struct dgram *da, *db;
    struct endpoint to = {.ip = ip_v4(127, 0, 0, 1)}, local;

    setup(&w);
    ck_assert_int_eq(dgram_open(w.ns, IP_V4, 0, &dgram_events, &a, &da), 0);
    ck_assert_int_eq(dgram_open(w.ns, IP_V4, 0, &dgram_events, &b, &db), 0);
    ck_assert_int_eq(dgram_local(db, &local), 0);
    to.port = local.port;
    dgram_close(db);
    ck_assert_int_eq(dgram_send(da, &to, bytes_of("x", 1)), 0);
    turn_while(&w, &a.failed, 0);
    ck_assert_int_eq(a.failed, -ECONNREFUSED);
    ck_assert(endpoint_equal(&a.from, &to));
    to.ip = ip_any(IP_V6);
    ck_assert_int_eq(dgram_send(da, &to, bytes_of("x", 1)), -ENETUNREACH);
    dgram_close(da);
    teardown(&w);
}
END_TEST

/* The host's ping sockets, where it has some for us: what the owner sees has its own identifier. */
START_TEST(echo_of_the_host_answers_or_is_refused)
{
    struct world w;
    struct mailbox a = {0};
    struct dgram *d;
    enum ip_family family = _i == 0 ? IP_V4 : IP_V6;
    struct endpoint to = {.ip = family == IP_V4 ? ip_v4(127, 0, 0, 1) : ip_any(IP_V6)};
    uint8_t request[20] = {family == IP_V4 ? 8 : 128, [4] = 1, 2, 0, 5, 'p', 'i', 'n', 'g'};
    int err;

    if (family == IP_V6)
        to.ip.bytes[15] = 1;
    setup(&w);
    err = dgram_open_echo(w.ns, family, 0xfeed, &dgram_events, &a, &d);
    if (err < 0) {
        ck_assert_int_eq(err, -EACCES);
        ck_assert_int_eq(netstack_may_echo(w.ns), -EACCES);
        teardown(&w);
        return;
    }
    ck_assert_int_eq(netstack_may_echo(w.ns), 0);
    ck_assert_int_eq(dgram_set_mark(d, (struct wire_mark){.hops = 9}), 0);
    ck_assert_int_eq(dgram_send(d, &to, bytes_of(request, sizeof(request))), 0);
    turn_while(&w, &a.count, 0);
    ck_assert_uint_eq(a.len, sizeof(request));
    ck_assert_uint_eq(a.head[0], family == IP_V4 ? 0 : 129);
    ck_assert_uint_eq(load_be16(a.head + 4), 0xfeed);
    ck_assert_int_eq(memcmp(a.head + 6, request + 6, sizeof(request) - 6), 0);
    ck_assert(endpoint_equal(&a.from, &to));
    ck_assert_uint_eq(dgram_mark(d).hops, 64);
    to.ip = ip_any(family == IP_V4 ? IP_V6 : IP_V4);
    ck_assert_int_eq(dgram_send(d, &to, bytes_of(request, sizeof(request))), -ENETUNREACH);
    dgram_close(d);
    teardown(&w);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(relay_passes_exact_bytes_both_ways, 2),
    SUITE_ROWS(half_close_passes_each_way_and_the_other_stays_open, 2),
    SUITE_ROWS(far_half_close_lets_near_send_on, 2),
    SUITE_TEST(far_reset_reaches_the_agent_after_its_data),
    SUITE_ROWS(agent_close_with_unread_bytes_resets_the_server, 2),
    SUITE_TEST(slow_agent_stops_the_server_and_loses_nothing),
    SUITE_ROWS(connect_to_closed_port_is_refused, 2),
    SUITE_TEST(abort_before_the_answer_calls_nothing),
    SUITE_TEST(local_port_is_used_and_taken_ports_are_refused),
    SUITE_TEST(offline_carries_nothing),
    SUITE_ROWS(datagrams_of_every_size_arrive_whole, 5),
    SUITE_TEST(datagram_to_closed_port_reports_its_target),
    SUITE_ROWS(echo_of_the_host_answers_or_is_refused, 2),
};
SUITE_MAIN("netstack/host", tests)
