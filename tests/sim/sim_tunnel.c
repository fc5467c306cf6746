/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and UDP from a client stack through a real tunnel and gateway to servers on loopback. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <lwip/priv/tcp_priv.h>

#include "base/io.h"
#include "base/own.h"
#include "netstack/lwip/port.h"
#include "tests/support/suite.h"
#include "tests/support/tunnel.h"

static const struct tunnel_options plain = {.allow = NULL};

START_TEST(exact_bytes_both_ways)
{
    enum ip_family family = _i == 0 ? IP_V4 : IP_V6;
    struct tunnel t;
    struct tunnel_owner o;
    struct endpoint at, local;
    int listener, server;

    tunnel_up(&t, &plain);
    listener = tunnel_listen(family, &at);
    tunnel_connect(&t, listener, &at, &o, &server);
    ck_assert_int_eq(flow_local(o.flow, &local), 0);
    ck_assert_uint_ge(local.port, 32768);
    tunnel_pass(&t, o.agent, server, 1, 1, 5000);
    tunnel_pass(&t, server, o.agent, 1, 2, 5000);
    tunnel_pass(&t, o.agent, server, 8 << 20, 3, 20000);
    tunnel_pass(&t, server, o.agent, 8 << 20, 4, 20000);
    close(server);
    close(o.agent);
    tunnel_wait(&t, &o.closed, 1, 5000);
    ck_assert_int_eq(o.closed, 0);
    ck_assert_uint_eq(o.stats.bytes_out, (8 << 20) + 1);
    ck_assert_uint_eq(o.stats.bytes_in, (8 << 20) + 1);
    close(listener);
    tunnel_down(&t);
}
END_TEST

static ssize_t read_soon(struct tunnel *t, int fd, void *ret, size_t cap)
{
    struct mono limit = mono_add_ms(mono_now(), 5000);
    ssize_t n;

    while ((n = io_read(fd, ret, cap)) == -EAGAIN && mono_before(mono_now(), limit))
        ck_assert_int_eq(loop_turn(t->loop, mono_add_ms(mono_now(), 2)), 0);
    return n;
}

START_TEST(half_close_goes_through_each_way)
{
    struct tunnel t;
    struct tunnel_owner o;
    struct endpoint at;
    int listener, server;
    char c;

    tunnel_up(&t, &plain);
    listener = tunnel_listen(IP_V4, &at);
    tunnel_connect(&t, listener, &at, &o, &server);
    tunnel_pass(&t, o.agent, server, 100000, 1, 5000);
    shutdown(o.agent, SHUT_WR);
    ck_assert_int_eq(read_soon(&t, server, &c, 1), 0);
    tunnel_pass(&t, server, o.agent, 1 << 20, 2, 5000);
    ck_assert_int_eq(o.closed, 1);
    close(server);
    ck_assert_int_eq(read_soon(&t, o.agent, &c, 1), 0);
    tunnel_wait(&t, &o.closed, 1, 5000);
    ck_assert_int_eq(o.closed, 0);
    close(o.agent);
    tunnel_connect(&t, listener, &at, &o, &server); /* now the server ends first */
    shutdown(server, SHUT_WR);
    ck_assert_int_eq(read_soon(&t, o.agent, &c, 1), 0);
    tunnel_pass(&t, o.agent, server, 1 << 20, 3, 5000);
    close(o.agent);
    ck_assert_int_eq(read_soon(&t, server, &c, 1), 0);
    close(server);
    tunnel_wait(&t, &o.closed, 1, 5000);
    ck_assert_int_eq(o.closed, 0);
    close(listener);
    tunnel_down(&t);
}
END_TEST

START_TEST(resets_go_through_each_way)
{
    static const struct linger at_once = {.l_onoff = 1};
    struct tunnel t;
    struct tunnel_owner o;
    struct endpoint at;
    int listener, server;
    char text[8];

    tunnel_up(&t, &plain);
    listener = tunnel_listen(IP_V4, &at);
    tunnel_connect(&t, listener, &at, &o, &server);
    tunnel_pass(&t, o.agent, server, 1000, 1, 5000);
    setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(server);
    tunnel_wait(&t, &o.closed, 1, 5000);
    ck_assert_int_eq(o.closed, -ECONNRESET);
    ck_assert_int_eq(io_read(o.agent, text, sizeof(text)), -ECONNRESET);
    close(o.agent);
    tunnel_connect(&t, listener, &at, &o, &server); /* the agent leaves bytes unread */
    ck_assert_int_eq(write(server, "unread", 6), 6);
    tunnel_pass(&t, o.agent, server, 1000, 1, 5000);
    close(o.agent);
    ck_assert_int_eq(read_soon(&t, server, text, sizeof(text)), -ECONNRESET);
    tunnel_wait(&t, &o.closed, 1, 5000);
    close(server);
    tunnel_connect(&t, listener, &at, &o, &server); /* the owner aborts */
    flow_abort(o.flow);
    ck_assert_int_eq(o.closed, -ECONNRESET);
    ck_assert_int_eq(read_soon(&t, server, text, sizeof(text)), -ECONNRESET);
    close(server);
    close(o.agent);
    close(listener);
    tunnel_down(&t);
}
END_TEST

START_TEST(connect_answers_are_exact)
{
    struct tunnel t;
    struct tunnel_owner o;
    struct endpoint at, nowhere;
    struct sockaddr_storage sa;
    socklen_t len;
    int listener, fd, native;

    tunnel_up(&t, &plain);
    listener = tunnel_listen(IP_V4, &at);
    ck_assert_int_eq(tunnel_open(&t, &at, &o), 0); /* reachable */
    flow_abort(o.flow);
    close(listener);
    ck_assert_int_eq(tunnel_open(&t, &at, &o), -ECONNREFUSED);
    /* where the gateway's host itself has no route, the peer hears the same */
    ck_assert_int_eq(endpoint_parse(bytes_of_str("[2001:db8::1]:9"), &nowhere), 0);
    len = endpoint_to_sockaddr(&nowhere, &sa);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    native = connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
    close(fd);
    if (native == -ENETUNREACH || native == -EHOSTUNREACH)
        ck_assert_int_eq(tunnel_open(&t, &nowhere, &o), native);
    tunnel_down(&t);
}
END_TEST

/* A sandbox that starts again forgets its sequence numbers, and may choose a port that its last
 * life left in TIME_WAIT at the gateway. */
START_TEST(a_port_in_time_wait_serves_the_peer_s_next_life)
{
    struct tunnel t;
    struct endpoint at;
    int listener;

    tunnel_up(&t, &plain);
    listener = tunnel_listen(IP_V4, &at);
    for (unsigned i = 0; i < 12; i++) { /* half of the new numbers are lower than the old */
        struct tunnel_owner o = {.opened = 1, .closed = 1, .agent = -1};
        int pair[2], server;
        char c;

        lattice_lwip_key();
        ck_assert_int_eq(flow_open(t.ns, &at, 40000, &tunnel_owner_events, &o, &o.flow), 0);
        tunnel_wait(&t, &o.opened, 1, 5000);
        ck_assert_int_eq(o.opened, 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        ck_assert_int_eq(flow_attach(o.flow, pair[1]), 0);
        server = accept(listener, NULL, NULL);
        ck_assert_int_ge(server, 0);
        close(server); /* the first to close is the one that waits: the gateway's end */
        ck_assert_int_eq(read_soon(&t, pair[0], &c, 1), 0);
        close(pair[0]);
        tunnel_wait(&t, &o.closed, 1, 5000);
        ck_assert_int_eq(o.closed, 0);
        for (unsigned k = 0; k < 20; k++) /* until our end has its last ACK and is forgotten */
            ck_assert_int_eq(loop_turn(t.loop, mono_add_ms(mono_now(), 2)), 0);
    }
    close(listener);
    tunnel_down(&t);
}
END_TEST

START_TEST(gateway_policy_refuses_what_no_rule_names)
{
    static const char *const none[] = {"192.0.2.1:1", NULL};
    struct tunnel_options options = {.allow = none};
    struct tunnel t;
    struct tunnel_owner o;
    struct endpoint at;
    int listener = tunnel_listen(IP_V4, &at);
    int server;

    tunnel_up(&t, &plain); /* with the rule it is reachable */
    tunnel_connect(&t, listener, &at, &o, &server);
    close(server);
    close(o.agent);
    tunnel_wait(&t, &o.closed, 1, 5000);
    tunnel_down(&t);
    tunnel_up(&t, &options);
    ck_assert_int_eq(tunnel_open(&t, &at, &o), -ECONNREFUSED);
    ck_assert_int_eq(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1); /* nothing arrived */
    ck_assert_int_eq(errno, EAGAIN);
    tunnel_down(&t);
    close(listener);
}
END_TEST

#define MANY 1000

START_TEST(a_thousand_connections_at_once)
{
    static struct tunnel_owner owners[MANY];
    static int servers[MANY];
    struct rlimit limit;
    struct tunnel t;
    struct endpoint at;
    int listener;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 4 * MANY + 200) {
        printf("SKIP: RLIMIT_NOFILE is below %d\n", 4 * MANY + 200);
        return;
    }
    limit.rlim_cur = 4 * MANY + 200;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    tunnel_up(&t, &plain);
    listener = tunnel_listen(IP_V4, &at);
    for (unsigned i = 0; i < MANY; i++) {
        owners[i] = (struct tunnel_owner){.opened = 1, .closed = 1, .agent = -1};
        ck_assert_int_eq(flow_open(t.ns, &at, 0, &tunnel_owner_events, &owners[i], &owners[i].flow),
                         0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        int pair[2];

        tunnel_wait(&t, &owners[i].opened, 1, 15000);
        ck_assert_int_eq(owners[i].opened, 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                         0);
        owners[i].agent = pair[0];
        ck_assert_int_eq(flow_attach(owners[i].flow, pair[1]), 0);
        ck_assert_int_eq(write(pair[0], &i, sizeof(i)), sizeof(i)); /* says which one it is */
    }
    for (unsigned i = 0; i < MANY; i++) {
        unsigned which;
        int fd;

        while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0)
            ck_assert_int_eq(loop_turn(t.loop, mono_add_ms(mono_now(), 5)), 0);
        ck_assert_int_eq(read_soon(&t, fd, &which, sizeof(which)), sizeof(which));
        ck_assert_uint_lt(which, MANY);
        servers[which] = fd;
        which = ~which;
        ck_assert_int_eq(write(fd, &which, sizeof(which)), sizeof(which));
    }
    for (unsigned i = 0; i < MANY; i++) {
        unsigned answer;

        ck_assert_int_eq(read_soon(&t, owners[i].agent, &answer, sizeof(answer)), sizeof(answer));
        ck_assert_uint_eq(answer, ~i);
        close(servers[i]);
        close(owners[i].agent);
    }
    for (unsigned i = 0; i < MANY; i++)
        tunnel_wait(&t, &owners[i].closed, 1, 5000);
    close(listener);
    tunnel_down(&t);
}
END_TEST

START_TEST(exact_bytes_though_every_third_datagram_is_lost)
{
    struct tunnel_options options = {.has_relay = true};
    struct tunnel t;
    struct tunnel_owner o;
    struct endpoint at;
    int listener, server;

    tunnel_up(&t, &options);
    listener = tunnel_listen(IP_V4, &at);
    tunnel_connect(&t, listener, &at, &o, &server); /* the handshake has its own tests */
    t.relay.weather.loss_percent = 30;
    tunnel_pass(&t, o.agent, server, 20000, 1, 60000);
    tunnel_pass(&t, server, o.agent, 20000, 2, 60000);
    ck_assert_uint_gt(t.relay.lost, t.relay.passed / 6);
    t.relay.weather.loss_percent = 0;
    close(o.agent);
    close(server);
    tunnel_wait(&t, &o.closed, 1, 30000);
    tunnel_turns(&t, 100);
    close(listener);
    tunnel_down(&t);
}
END_TEST

/** Let the client's TCP grow older by @ms while the network is as it is. */
static void age(struct tunnel *t, unsigned ms)
{
    for (unsigned i = 0; i < ms / TCP_TMR_INTERVAL; i++) {
        tcp_tmr();
        if (i % 16 == 0)
            tunnel_turns(t, 1);
    }
}

/** A connection whose far end has ended its stream, and whose near end writes @len bytes and closes
 * while the network is dead. Returns the far end. */
static int write_and_close(struct tunnel *t, size_t len)
{
    auto_free uint8_t *bytes = calloc(1, len);
    struct tunnel_owner o;
    struct endpoint at;
    int listener = tunnel_listen(IP_V6, &at), server;
    char c;

    tunnel_connect(t, listener, &at, &o, &server);
    close(listener);
    ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
    ck_assert_int_eq(read_soon(t, o.agent, &c, 1), 0);
    t->relay.weather.is_dead = true;
    ck_assert_int_eq(io_write(o.agent, bytes, len), (ssize_t)len);
    close(o.agent);
    tunnel_wait(t, &o.closed, 1, 5000);
    ck_assert_int_eq(o.closed, 0);
    return server;
}

START_TEST(what_was_written_before_a_close_arrives_however_late)
{
    struct tunnel_options options = {.has_relay = true};
    static char bytes[50000];
    struct tunnel t;
    size_t got = 0;
    ssize_t n;
    int server;

    tunnel_up(&t, &options);
    server = write_and_close(&t, sizeof(bytes));
    age(&t, 12000); /* beyond 2 MSL */
    t.relay.weather.is_dead = false;
    age(&t, 30000); /* the next retransmission is due */
    while ((n = read_soon(&t, server, bytes, sizeof(bytes))) > 0)
        got += (size_t)n;
    ck_assert_int_eq(n, 0);
    ck_assert_uint_eq(got, sizeof(bytes));
    close(server);
    tunnel_down(&t);
}
END_TEST

START_TEST(what_cannot_be_delivered_is_given_up)
{
    struct tunnel_options options = {.has_relay = true, .leaves_flows = true};
    struct netstack_usage usage;
    struct tunnel t;
    int server;

    tunnel_up(&t, &options);
    server = write_and_close(&t, 50000);
    age(&t, TCP_ORPHAN_TIMEOUT - 20000);
    netstack_usage(t.ns, &usage);
    ck_assert_uint_eq(usage.connections, 1);
    age(&t, 20000 + 2000); /* and no longer */
    netstack_usage(t.ns, &usage);
    ck_assert_uint_eq(usage.connections, 0);
    close(server);
    tunnel_down(&t);
}
END_TEST

struct mailbox {
    int count;
    int failed;
    size_t len;
    uint8_t bytes[DGRAM_PAYLOAD_MAX];
    struct endpoint from;
};

static void on_datagram(void *self, struct dgram *d, const struct endpoint *from,
                        struct bytes payload)
{
    struct mailbox *m = self;

    (void)d;
    m->count++;
    m->len = payload.len;
    memcpy(m->bytes, payload.data, payload.len);
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

static int bind_udp(enum ip_family family, struct endpoint *ret)
{
    struct endpoint at = {.ip = family == IP_V4 ? ip_v4(127, 0, 0, 1) : ip_any(IP_V6)};
    struct sockaddr_storage sa;
    socklen_t len;
    int fd;

    if (family == IP_V6)
        at.ip.bytes[15] = 1;
    len = endpoint_to_sockaddr(&at, &sa);
    fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), ret), 0);
    return fd;
}

static const size_t sizes[] = {0, 1, 1392, 1393, 9000, 60000, 65000};

START_TEST(datagrams_of_every_size_go_there_and_back)
{
    static struct mailbox m;
    static uint8_t payload[65536], got[65536];
    enum ip_family family = _i % 2 == 0 ? IP_V4 : IP_V6;
    size_t len = sizes[_i / 2];
    struct tunnel t;
    struct endpoint at;
    struct dgram *d;
    struct sockaddr_storage sa;
    socklen_t sa_len = sizeof(sa);
    int server;
    ssize_t n = -1;

    tunnel_up(&t, &plain);
    server = bind_udp(family, &at);
    for (size_t i = 0; i < len; i++)
        payload[i] = (uint8_t)(i * 13 + i / 200);
    ck_assert_int_eq(dgram_open(t.ns, family, 0, &dgram_events, &m, &d), 0);
    ck_assert_int_eq(dgram_send(d, &at, bytes_of(payload, len)), 0);
    for (unsigned i = 0; n < 0 && i < 1000; i++) {
        ck_assert_int_eq(loop_turn(t.loop, mono_add_ms(mono_now(), 5)), 0);
        n = recvfrom(server, got, sizeof(got), 0, (struct sockaddr *)&sa, &sa_len);
    }
    ck_assert_int_eq(n, (ssize_t)len);
    ck_assert_int_eq(memcmp(got, payload, len), 0);
    ck_assert_int_eq(sendto(server, got, len, 0, (struct sockaddr *)&sa, sa_len), (ssize_t)len);
    tunnel_wait(&t, &m.count, 0, 5000);
    ck_assert_uint_eq(m.len, len);
    ck_assert_int_eq(memcmp(m.bytes, payload, len), 0);
    ck_assert(endpoint_equal(&m.from, &at));
    dgram_close(d);
    close(server);
    tunnel_down(&t);
}
END_TEST

START_TEST(datagram_errors_name_their_target)
{
    static const char *const only[] = {"udp://127.0.0.1:1-65534", NULL};
    struct tunnel_options options = {.allow = only};
    static struct mailbox m;
    struct tunnel t;
    struct endpoint at, denied = {.ip = ip_v4(127, 0, 0, 1), .port = 65535};
    struct dgram *d;
    int server;

    tunnel_up(&t, &options);
    server = bind_udp(IP_V4, &at);
    close(server);
    ck_assert_int_eq(dgram_open(t.ns, IP_V4, 0, &dgram_events, &m, &d), 0);
    ck_assert_int_eq(dgram_send(d, &at, bytes_of("x", 1)), 0);
    tunnel_wait(&t, &m.failed, 0, 5000);
    ck_assert_int_eq(m.failed, -ECONNREFUSED);
    ck_assert(endpoint_equal(&m.from, &at));
    m.failed = 0;
    ck_assert_int_eq(dgram_send(d, &denied, bytes_of("x", 1)), 0);
    tunnel_wait(&t, &m.failed, 0, 5000);
    ck_assert_int_eq(m.failed, -EHOSTUNREACH); /* ICMP code 13, as Linux maps it */
    ck_assert(endpoint_equal(&m.from, &denied));
    dgram_close(d);
    tunnel_down(&t);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(exact_bytes_both_ways, 2),
    SUITE_TEST(half_close_goes_through_each_way),
    SUITE_TEST(resets_go_through_each_way),
    SUITE_TEST(connect_answers_are_exact),
    SUITE_TEST(a_port_in_time_wait_serves_the_peer_s_next_life),
    SUITE_TEST(gateway_policy_refuses_what_no_rule_names),
    SUITE_SLOW(a_thousand_connections_at_once, 60),
    SUITE_SLOW(exact_bytes_though_every_third_datagram_is_lost, 150),
    SUITE_SLOW(what_was_written_before_a_close_arrives_however_late, 60),
    SUITE_SLOW(what_cannot_be_delivered_is_given_up, 60),
    SUITE_ROWS(datagrams_of_every_size_go_there_and_back, 14),
    SUITE_TEST(datagram_errors_name_their_target),
};
SUITE_MAIN("tunnel", tests)
