/* SPDX-License-Identifier: Apache-2.0 */
/*
 * E1, E2: ports that can be guessed, and a peer that floods a gateway's stack with segments that no
 * honest stack would send. Each attack is shown to arrive (the stack answers it), and while it
 * lasts and afterwards an honest peer's connection passes exact bytes, a new one is made, and the
 * gateway's memory stays bounded. tests/sim/sim_hostile_client.c has the sandbox's side.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/support/flood.h"
#include "tests/support/suite.h"

#define MEMORY_MAX_KIB (300u << 10) /* LWIP_MEMORY_MAX_BYTES, and the program */

/* Of the test that runs in this process: a host's server, which the rogue reaches. */
static struct endpoint rogue_at;
static int rogue_listener;

static void set_up(void)
{
    struct tunnel_options options = {.allow = NULL};
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rogue_key(&flood_rogue);
    options.rogue_public = flood_rogue.public_key;
    flood_up(&options);
    rogue_listener = tunnel_listen(IP_V4, &rogue_at);
    rogue_join(&flood_rogue, &flood_tunnel);
    flood_pass();
}

/** The most memory that the gateway ever had. */
static unsigned long gateway_peak_kib(void)
{
    char path[64], line[128];
    unsigned long kib = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)flood_tunnel.gateway);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "VmHWM: %lu", &kib);
    (void)fclose(file);
    ck_assert_uint_gt(kib, 0);
    return kib;
}

static void tear_down(void)
{
    flood_check();
    printf("the gateway's peak: %lu KiB; %llu answers\n", gateway_peak_kib(),
           (unsigned long long)flood_rogue.replies);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_uint_lt(gateway_peak_kib(), MEMORY_MAX_KIB);
#endif
    (void)close(rogue_listener);
    flood_down();
}

/** The rogue connects from @from with this window and MSS. Returns the server's end. */
static int connect_from(uint16_t from, uint16_t window, uint16_t mss)
{
    int fd;

    ck_assert(rogue_connect(&flood_rogue, from, &rogue_at, window, mss, 10000));
    fd = accept4(rogue_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/** More SYNs, each from another port, than the rogue's listener takes; none is followed by an ACK.
 */
START_TEST(e2_syn_flood)
{
    unsigned answered = 0;

    set_up();
    ck_assert_int_eq(listen(rogue_listener, 8), 0);
    flood_syns(rogue_at, 0);
    for (unsigned i = 0; i < FLOOD_SYNS; i++)
        answered += flood_rogue.ports[FLOOD_PORT + i].is_answered ? 1 : 0;
    ck_assert_uint_gt(answered, 0);
    printf("%u of %u SYNs were answered\n", answered, FLOOD_SYNS);
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
        auto_fd server = connect_from((uint16_t)(FLOOD_PORT + i), 65535, FLOOD_MSS);
        const struct rogue_port *port = &flood_rogue.ports[FLOOD_PORT + i];

        s.from = (uint16_t)(FLOOD_PORT + i);
        ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
        rogue_turn(&flood_rogue, 5);
        ended += port->segments > 1 ? 1 : 0; /* SYN-ACK, and the end */
        s.seq = ROGUE_OWN_SEQ;
        s.ack = port->their_seq + 2;
        s.flags = ROGUE_FIN | ROGUE_ACK;
        rogue_send(&flood_rogue, &s);
        s.seq++;
        s.flags = ROGUE_RST;
        rogue_send(&flood_rogue, &s);
        rogue_turn(&flood_rogue, 2);
    }
    ck_assert_uint_gt(ended, TIMES / 2); /* else it is another attack */
    tear_down();
}
END_TEST

/** Segments of one byte with a hole before each. */
START_TEST(e2_out_of_order_flood)
{
    int fd;

    set_up();
    fd = connect_from(FLOOD_PORT, 65535, FLOOD_MSS);
    flood_holes(&rogue_at);
    flood_close_hole(&rogue_at);
    (void)close(fd);
    tear_down();
}
END_TEST

/** A server's answer to a peer with a tiny maximum segment size, which acknowledges nothing. */
START_TEST(e2_tiny_segment_size)
{
    int fd;

    set_up();
    fd = connect_from(FLOOD_PORT, 65535, flood_tiny_mss[_i]);
    flood_tiny(fd, flood_tiny_mss[_i]);
    (void)close(fd);
    tear_down();
}
END_TEST

/** Connections that never open their window, with answers waiting behind each. */
START_TEST(e2_zero_window_stall)
{
    static uint8_t answer[65536];
    int fds[FLOOD_STALLED];

    set_up();
    for (unsigned i = 0; i < FLOOD_STALLED; i++) {
        fds[i] = connect_from((uint16_t)(FLOOD_PORT + i), 0, FLOOD_MSS);
        ck_assert_int_gt(write(fds[i], answer, sizeof(answer)), 0);
    }
    flood_stall();
    for (unsigned i = 0; i < FLOOD_STALLED; i++)
        (void)close(fds[i]);
    tear_down();
}
END_TEST

/** Fragments that never make a datagram, while the honest connection passes bytes. */
START_TEST(e2_overlapping_fragments)
{
    set_up();
    flood_fragments(&rogue_at);
    tear_down();
}
END_TEST

/** First fragments only, and then datagrams of the honest peer's that are fragments themselves. */
START_TEST(e2_fragments_of_others_are_still_joined)
{
    enum { FIRSTS = 3000 };

    set_up();
    for (unsigned i = 0; i < FIRSTS; i++)
        rogue_fragment(&flood_rogue, &rogue_at, (uint16_t)i, 0, 800, true);
    flood_exchange_fragments();
    tear_down();
}
END_TEST

/** To ports with and without a connection. */
START_TEST(e2_segments_out_of_any_state)
{
    int fd;

    set_up();
    fd = connect_from(FLOOD_PORT, 65535, FLOOD_MSS);
    flood_garbage(&rogue_at, 50, false);
    (void)close(fd);
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
    tunnel_up(&flood_tunnel, &options);
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct tunnel_owner o = {.opened = 1, .closed = 1, .agent = -1};

        ck_assert_int_eq(flow_open(flood_tunnel.ns, &at, 0, &tunnel_owner_events, &o, &o.flow), 0);
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
    tunnel_down(&flood_tunnel);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(e1_local_ports_are_unpredictable),
    SUITE_SLOW(e2_end_and_reset_at_once, 60),
    SUITE_SLOW(e2_syn_flood, 60),
    SUITE_SLOW(e2_out_of_order_flood, 60),
    {.name = "e2_tiny_segment_size",
     .test = &e2_tiny_segment_size,
     .rows = ARRAY_COUNT(flood_tiny_mss),
     .limit_s = 60},
    SUITE_SLOW(e2_zero_window_stall, 60),
    SUITE_SLOW(e2_overlapping_fragments, 60),
    SUITE_SLOW(e2_fragments_of_others_are_still_joined, 60),
    SUITE_SLOW(e2_segments_out_of_any_state, 60),
};
SUITE_MAIN("hostile", tests)
