/* SPDX-License-Identifier: Apache-2.0 */
/*
 * E1, E2: ports that can be guessed, and a peer that floods a gateway's stack with segments that no
 * honest stack would send. Each attack is shown to arrive (the stack answers it), and while it
 * lasts and afterwards an honest peer's connection passes exact bytes, a new one is made, and the
 * gateway's memory stays bounded.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/support/rogue.h"
#include "tests/support/suite.h"

#define MEMORY_MAX_KIB (300u << 10) /* LWIP_MEMORY_MAX_BYTES, and the program */
#define SYNS           12000u
#define HOLES          6000u
#define STALLED        100u
#define PIECES         3000u
#define GARBAGE        5000u
#define OWN_SEQ        ROGUE_OWN_SEQ

/* Of the test that runs in this process. */
static struct tunnel t;
static struct rogue rogue;
static struct tunnel_owner honest;
static struct endpoint honest_at, rogue_at;
static int honest_listener, rogue_listener, honest_server;

static void pass(void)
{
    tunnel_pass(&t, honest.agent, honest_server, 50000, 1, 20000);
    tunnel_pass(&t, honest_server, honest.agent, 50000, 2, 20000);
}

static void set_up(void)
{
    struct tunnel_options options = {.allow = NULL};
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rogue_key(&rogue);
    options.rogue_public = rogue.public_key;
    tunnel_up(&t, &options);
    honest_listener = tunnel_listen(IP_V4, &honest_at);
    rogue_listener = tunnel_listen(IP_V4, &rogue_at);
    tunnel_connect(&t, honest_listener, &honest_at, &honest, &honest_server);
    rogue_join(&rogue, &t);
    pass();
}

/** The most memory that the gateway ever had. */
static unsigned long gateway_peak_kib(void)
{
    char path[64], line[128];
    unsigned long kib = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)t.gateway);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "VmHWM: %lu", &kib);
    (void)fclose(file);
    ck_assert_uint_gt(kib, 0);
    return kib;
}

/** The old connection still passes bytes, and a new one is made. */
static void check_honest(void)
{
    struct tunnel_owner another;
    int server;

    pass();
    tunnel_connect(&t, honest_listener, &honest_at, &another, &server);
    tunnel_pass(&t, another.agent, server, 100000, 3, 20000);
    (void)close(another.agent);
    (void)close(server);
    tunnel_wait(&t, &another.closed, 1, 10000);
}

static void tear_down(void)
{
    check_honest();
    printf("the gateway's peak: %lu KiB; %llu answers\n", gateway_peak_kib(),
           (unsigned long long)rogue.replies);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_uint_lt(gateway_peak_kib(), MEMORY_MAX_KIB);
#endif
    (void)close(honest.agent);
    (void)close(honest_server);
    tunnel_wait(&t, &honest.closed, 1, 10000);
    (void)close(honest_listener);
    (void)close(rogue_listener);
    rogue_leave(&rogue);
    tunnel_down(&t);
}

/** More SYNs, each from another port, than the rogue's listener takes; none is followed by an ACK.
 */
START_TEST(e2_syn_flood)
{
    unsigned answered = 0;

    set_up();
    ck_assert_int_eq(listen(rogue_listener, 8), 0);
    for (unsigned i = 0; i < SYNS; i++) {
        rogue_send(&rogue, &(struct rogue_segment){.from = (uint16_t)(2000 + i),
                                                   .to = rogue_at,
                                                   .seq = i * 7919,
                                                   .flags = ROGUE_SYN,
                                                   .window = 65535,
                                                   .mss = 1380});
        if (i % 2000 == 1000)
            pass();
    }
    rogue_turn(&rogue, 50);
    for (unsigned i = 0; i < SYNS; i++)
        answered += rogue.ports[2000 + i].is_answered ? 1 : 0;
    ck_assert_uint_gt(answered, 0);
    printf("%u of %u SYNs were answered\n", answered, SYNS);
    tear_down();
}
END_TEST

/** The server ends first; its peer's end and a reset right behind it come at once, so that the
 * connection is over before the gateway has had time to see that it is ending. */
START_TEST(e2_end_and_reset_at_once)
{
    enum { TIMES = 200 };
    struct rogue_segment s = {.window = 65535};
    unsigned ended = 0;

    set_up();
    s.to = rogue_at;
    for (unsigned i = 0; i < TIMES; i++) {
        auto_fd server = -1;
        const struct rogue_port *port;

        s.from = (uint16_t)(3000 + i);
        port = &rogue.ports[s.from];
        ck_assert(rogue_connect(&rogue, s.from, &rogue_at, 65535, 1380, 10000));
        server = accept4(rogue_listener, NULL, NULL, SOCK_CLOEXEC);
        ck_assert_int_ge(server, 0);
        ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
        rogue_turn(&rogue, 5);
        ended += port->segments > 1 ? 1 : 0; /* SYN-ACK, and the end */
        s.seq = OWN_SEQ;
        s.ack = port->their_seq + 2;
        s.flags = ROGUE_FIN | ROGUE_ACK;
        rogue_send(&rogue, &s);
        s.seq++;
        s.flags = ROGUE_RST;
        rogue_send(&rogue, &s);
        rogue_turn(&rogue, 2);
    }
    ck_assert_uint_gt(ended, TIMES / 2); /* else it is another attack */
    tear_down();
}
END_TEST

/** Segments of one byte with a hole before each. */
START_TEST(e2_out_of_order_flood)
{
    struct rogue_segment s = {.from = 2000, .flags = ROGUE_ACK, .window = 65535, .len = 1};

    set_up();
    s.to = rogue_at;
    ck_assert(rogue_connect(&rogue, s.from, &rogue_at, 65535, 1380, 10000));
    s.ack = rogue.ports[s.from].their_seq + 1;
    for (unsigned i = 0; i < HOLES; i++) {
        s.seq = OWN_SEQ + 1 + 2 * (i * 7919 % HOLES); /* in no order */
        rogue_send(&rogue, &s);
        if (i % 2000 == 1000)
            pass();
    }
    rogue_turn(&rogue, 50);
    ck_assert_uint_gt(rogue.ports[s.from].segments, HOLES / 100); /* duplicate ACKs */
    ck_assert_uint_eq(rogue.ports[s.from].their_ack, OWN_SEQ);    /* and none is taken */
    s.seq = OWN_SEQ; /* the first hole is closed: what was kept behind it counts now */
    for (unsigned i = 0; i < 100 && rogue.ports[s.from].their_ack == OWN_SEQ; i++) {
        rogue_send(&rogue, &s);
        rogue_turn(&rogue, 20);
    }
    ck_assert_uint_gt(rogue.ports[s.from].their_ack, OWN_SEQ);
    tear_down();
}
END_TEST

/* What the peer says that it can take; less than MSS_LEAST is not believed. */
#define MSS_LEAST 48
static const uint16_t tiny[] = {1, 7, 64};

/** A server's answer to a peer with a tiny maximum segment size, which acknowledges nothing: first
 * what is queued in pieces of that size, then more than lwIP queues. */
START_TEST(e2_tiny_segment_size)
{
    static uint8_t answer[65536];
    struct rogue_port *port;
    uint16_t from = 2000;
    int fd;

    set_up();
    port = &rogue.ports[from];
    ck_assert(rogue_connect(&rogue, from, &rogue_at, 65535, tiny[_i], 10000));
    fd = accept4(rogue_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_gt(write(fd, answer, i == 0 ? 4000 : sizeof(answer)), 0);
        rogue_turn(&rogue, 50);
        pass();
    }
    printf("MSS %u: %u segments, %u bytes, the largest %u\n", tiny[_i], port->segments, port->bytes,
           port->largest);
    ck_assert_uint_gt(port->bytes, 0);
    ck_assert_uint_le(port->largest, tiny[_i] > MSS_LEAST ? tiny[_i] : MSS_LEAST);
    (void)close(fd);
    tear_down();
}
END_TEST

/** Connections that never open their window, with answers waiting behind each. */
START_TEST(e2_zero_window_stall)
{
    static uint8_t answer[65536];
    unsigned got = 0;
    int fds[STALLED];

    set_up();
    for (unsigned i = 0; i < STALLED; i++) {
        ck_assert(rogue_connect(&rogue, (uint16_t)(2000 + i), &rogue_at, 0, 1380, 10000));
        fds[i] = accept4(rogue_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        ck_assert_int_ge(fds[i], 0);
        ck_assert_int_gt(write(fds[i], answer, sizeof(answer)), 0);
    }
    for (unsigned i = 0; i < 10; i++) {
        rogue_turn(&rogue, 100); /* window probes */
        pass();
    }
    for (unsigned i = 0; i < STALLED; i++) {
        got += rogue.ports[2000 + i].bytes;
        ck_assert_uint_lt(rogue.ports[2000 + i].bytes, 100); /* probes of a byte, no more */
        (void)close(fds[i]);
    }
    printf("%u bytes were probed\n", got);
    tear_down();
}
END_TEST

/** Fragments that overlap, contradict each other, and never make a datagram; meanwhile the honest
 * peer's datagrams of many fragments go there and back afterwards. */
START_TEST(e2_overlapping_fragments)
{
    set_up();
    for (unsigned i = 0; i < PIECES; i++) {
        uint16_t id = (uint16_t)(i / 10);

        rogue_fragment(&rogue, &rogue_at, id, i % 10 * 8 * 50, 808, true); /* twice each byte */
        rogue_fragment(&rogue, &rogue_at, id, 65528, 400, i % 2 == 0);     /* beyond the end */
        if (i % 10 == 5)
            rogue_fragment(&rogue, &rogue_at, id, 16, 8, false); /* an end in the middle */
        if (i % 1000 == 500)
            pass();
    }
    tear_down();
}
END_TEST

static void count_datagram(void *self, struct dgram *d, const struct endpoint *from,
                           struct bytes payload)
{
    int *bytes = self;

    (void)d;
    (void)from;
    *bytes = (int)payload.len;
}

/** The same flood, and then datagrams of the honest peer's that are fragments themselves. */
START_TEST(e2_fragments_of_others_are_still_joined)
{
    static const struct dgram_events events = {.received = count_datagram};
    static uint8_t payload[20000], got[65536];
    struct endpoint at = {.ip = ip_v4(127, 0, 0, 1)};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&at, &sa);
    int server, came = 0;
    ssize_t n = -1;
    struct dgram *d;

    set_up();
    server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(server, (struct sockaddr *)&sa, len), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(server, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), &at), 0);
    for (unsigned i = 0; i < PIECES; i++)
        rogue_fragment(&rogue, &rogue_at, (uint16_t)i, 0, 800, true);
    ck_assert_int_eq(dgram_open(t.ns, IP_V4, 0, &events, &came, &d), 0);
    ck_assert_int_eq(dgram_send(d, &at, bytes_of(payload, sizeof(payload))), 0);
    for (unsigned i = 0; n < 0 && i < 1000; i++) {
        rogue_turn(&rogue, 1);
        len = sizeof(sa);
        n = recvfrom(server, got, sizeof(got), 0, (struct sockaddr *)&sa, &len);
    }
    ck_assert_int_eq(n, sizeof(payload));
    ck_assert_int_eq(sendto(server, got, (size_t)n, 0, (struct sockaddr *)&sa, len), n);
    tunnel_wait(&t, &came, 0, 10000);
    ck_assert_int_eq(came, sizeof(payload));
    dgram_close(d);
    (void)close(server);
    tear_down();
}
END_TEST

/** Segments with every combination of flags, random numbers, to ports with and without a
 * connection. */
START_TEST(e2_segments_out_of_any_state)
{
    uint32_t seed = 1;

    set_up();
    ck_assert(rogue_connect(&rogue, 2000, &rogue_at, 65535, 1380, 10000));
    for (unsigned i = 0; i < GARBAGE; i++) {
        seed = seed * 1664525 + 1013904223;
        rogue_send(&rogue,
                   &(struct rogue_segment){.from = (uint16_t)(2000 + (seed >> 8) % 50),
                                           .to = rogue_at,
                                           .seq = (seed & 1) != 0 ? OWN_SEQ + (seed >> 20) : seed,
                                           .ack = rogue.ports[2000].their_seq + (seed >> 28),
                                           .flags = (uint16_t)(i & 0x3f),
                                           .window = (uint16_t)(seed >> 16),
                                           .mss = (seed & 2) != 0 ? (uint16_t)(seed >> 4) : 0,
                                           .len = seed >> 23});
        if (i % 2000 == 1000)
            pass();
    }
    ck_assert_uint_gt(rogue.replies, GARBAGE / 100);
    tear_down();
}
END_TEST

/* ---- E1: numbers that nobody guesses ---- */

#define SAMPLES    10000u
#define PORT_FIRST 32768u
#define PORT_COUNT 28231u /* TCP_LOCAL_PORT_RANGE of lwipopts.h */
#define BUCKETS    64u
#define CHI_MAX    130.0 /* 63 degrees of freedom: p < 1e-6 */

/** How far @values, numbers below @range, are from being spread evenly. */
static double chi_square(const uint32_t *values, uint32_t range)
{
    unsigned count[BUCKETS] = {0};
    double mean = (double)SAMPLES / BUCKETS, chi = 0;

    for (unsigned i = 0; i < SAMPLES; i++)
        count[(uint64_t)values[i] * BUCKETS / range]++;
    for (unsigned i = 0; i < BUCKETS; i++)
        chi += (count[i] - mean) * (count[i] - mean) / mean;
    return chi;
}

/** The steps from one value to the next, modulo @range. */
static void steps_of(const uint32_t *values, uint32_t range, uint32_t *ret)
{
    for (unsigned i = 0; i < SAMPLES; i++)
        ret[i] = (values[(i + 1) % SAMPLES] + range - values[i]) % range;
}

/** Ports of 10 000 connections are spread, and so are the steps between them. The control: those of
 * a counter are spread, but not its steps, and this test sees it. */
START_TEST(e1_local_ports_are_unpredictable)
{
    static uint32_t ports[SAMPLES], steps[SAMPLES];
    struct tunnel_options options = {.allow = NULL};
    struct endpoint at = {.ip = ip_v4(127, 0, 0, 1), .port = 9}, local;

    for (uint32_t i = 0; i < SAMPLES; i++)
        ports[i] = (i * 3) % PORT_COUNT;
    steps_of(ports, PORT_COUNT, steps);
    ck_assert(chi_square(steps, PORT_COUNT) > CHI_MAX);
    tunnel_up(&t, &options);
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct tunnel_owner o = {.opened = 1, .closed = 1, .agent = -1};

        ck_assert_int_eq(flow_open(t.ns, &at, 0, &tunnel_owner_events, &o, &o.flow), 0);
        ck_assert_int_eq(flow_local(o.flow, &local), 0);
        ck_assert_uint_ge(local.port, PORT_FIRST);
        ck_assert_uint_lt(local.port, PORT_FIRST + PORT_COUNT);
        ports[i] = local.port - PORT_FIRST;
        flow_abort(o.flow);
    }
    steps_of(ports, PORT_COUNT, steps);
    printf("chi-square with 63 degrees of freedom: ports %.1f, steps %.1f\n",
           chi_square(ports, PORT_COUNT), chi_square(steps, PORT_COUNT));
    ck_assert(chi_square(ports, PORT_COUNT) < CHI_MAX);
    ck_assert(chi_square(steps, PORT_COUNT) < CHI_MAX);
    tunnel_down(&t);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(e1_local_ports_are_unpredictable),
    SUITE_SLOW(e2_end_and_reset_at_once, 60),
    SUITE_SLOW(e2_syn_flood, 60),
    SUITE_SLOW(e2_out_of_order_flood, 60),
    {.name = "e2_tiny_segment_size",
     .test = &e2_tiny_segment_size,
     .rows = ARRAY_COUNT(tiny),
     .limit_s = 60},
    SUITE_SLOW(e2_zero_window_stall, 60),
    SUITE_SLOW(e2_overlapping_fragments, 60),
    SUITE_SLOW(e2_fragments_of_others_are_still_joined, 60),
    SUITE_SLOW(e2_segments_out_of_any_state, 60),
};
SUITE_MAIN("hostile", tests)
