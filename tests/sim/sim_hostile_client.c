/* SPDX-License-Identifier: Apache-2.0 */
/*
 * E2 from the other side: a peer behind the tunnel floods a sandbox's stack, toward ports where
 * nobody listens and in connections that the sandbox made. Each attack is shown to arrive (the
 * stack answers it), and while it lasts and afterwards a connection through an honest gateway
 * passes exact bytes, a new one is made, and what lwIP holds stays bounded. tests/sim/sim_hostile.c
 * has the gateway's side.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/support/rogue.h"
#include "tests/support/suite.h"

#define HELD_MAX_BYTES (48u << 20) /* by lwIP, at the end of a flood */
#define SYNS           12000u
#define HOLES          6000u
#define STALLED        100u
#define PIECES         3000u
#define GARBAGE        5000u
#define OWN_SEQ        ROGUE_OWN_SEQ
#define PORT           2000u /* the rogue's first */

/* Of the test that runs in this process. */
static struct tunnel t;
static struct rogue rogue;
static struct tunnel_owner honest;
static struct endpoint honest_at, victim_at;
static int honest_listener, honest_server;
static struct tunnel_owner victims[STALLED]; /* connections of the sandbox to the rogue */
static unsigned victim_count;

static void pass(void)
{
    tunnel_pass(&t, honest.agent, honest_server, 50000, 1, 20000);
    tunnel_pass(&t, honest_server, honest.agent, 50000, 2, 20000);
}

static void set_up(void)
{
    struct tunnel_options options = {.allow = NULL};

    rogue_key(&rogue);
    options.client_rogue = rogue.public_key;
    tunnel_up(&t, &options);
    honest_listener = tunnel_listen(IP_V4, &honest_at);
    tunnel_connect(&t, honest_listener, &honest_at, &honest, &honest_server);
    rogue_join_client(&rogue, &t);
    victim_at = (struct endpoint){.ip = ip_v4(10, 9, 0, 2)};
    /* A first word, so that the sandbox knows where its peer is: a reset comes for it. */
    victim_at.port = 9;
    rogue_send(&rogue, &(struct rogue_segment){.from = 1, .to = victim_at, .flags = ROGUE_SYN});
    for (unsigned i = 0; i < 5000 && rogue.ports[1].resets == 0; i++)
        rogue_turn(&rogue, 1);
    ck_assert_uint_gt(rogue.ports[1].resets, 0);
    pass();
}

/** The sandbox connects to the rogue's next port, which answers with this window and MSS. Gives the
 * sandbox's end to victim_at. Returns the agent's end. */
static int connect_to_rogue(uint16_t window, uint16_t mss)
{
    uint16_t port = (uint16_t)(PORT + victim_count);
    struct endpoint at = {.ip = rogue.own, .port = port};
    struct tunnel_owner *o = &victims[victim_count++];
    int pair[2];

    *o = (struct tunnel_owner){.opened = 1, .closed = 1, .agent = -1};
    ck_assert_int_eq(flow_open(t.ns, &at, 0, &tunnel_owner_events, o, &o->flow), 0);
    rogue_accept(&rogue, port, window, mss, &victim_at);
    for (unsigned i = 0; i < 5000 && o->opened == 1; i++)
        rogue_turn(&rogue, 1);
    ck_assert_int_eq(o->opened, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    o->agent = pair[0];
    ck_assert_int_eq(write(o->agent, "?", 1), 1); /* the stand-in */
    ck_assert_int_eq(flow_attach_canary(o->flow, pair[1]), 0);
    return o->agent;
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
    struct netstack_usage usage;

    netstack_usage(t.ns, &usage);
    printf("lwIP holds %llu KiB in %u connections; %llu answers\n",
           (unsigned long long)usage.lwip_bytes >> 10, usage.connections,
           (unsigned long long)rogue.replies);
    ck_assert_uint_lt(usage.lwip_bytes, HELD_MAX_BYTES);
    check_honest();
    for (unsigned i = 0; i < victim_count; i++) {
        if (victims[i].closed == 1)
            flow_abort(victims[i].flow);
        (void)close(victims[i].agent);
    }
    (void)close(honest.agent);
    (void)close(honest_server);
    tunnel_wait(&t, &honest.closed, 1, 10000);
    (void)close(honest_listener);
    rogue_leave(&rogue);
    tunnel_down(&t);
}

/** SYNs to every port of the sandbox, where nobody listens for the network: each is refused, and
 * nothing is kept. */
START_TEST(e2_syn_flood_at_the_sandbox)
{
    struct netstack_usage before, after;
    unsigned refused = 0;

    set_up();
    netstack_usage(t.ns, &before);
    for (unsigned i = 0; i < SYNS; i++) {
        victim_at.port = (uint16_t)(1 + i * 5 % 65535);
        rogue_send(&rogue, &(struct rogue_segment){.from = (uint16_t)(PORT + i),
                                                   .to = victim_at,
                                                   .seq = i * 7919,
                                                   .flags = ROGUE_SYN,
                                                   .window = 65535,
                                                   .mss = 1380});
        if (i % 2000 == 1000)
            pass();
    }
    rogue_turn(&rogue, 50);
    for (unsigned i = 0; i < SYNS; i++) {
        refused += rogue.ports[PORT + i].resets;
        ck_assert(!rogue.ports[PORT + i].is_answered);
    }
    netstack_usage(t.ns, &after);
    printf("%u of %u SYNs were refused\n", refused, SYNS);
    ck_assert_uint_gt(refused, SYNS / 10);
    ck_assert_uint_eq(after.connections, before.connections);
    ck_assert_uint_eq(after.flows, before.flows);
    tear_down();
}
END_TEST

/** A server's segments of one byte with a hole before each. */
START_TEST(e2_out_of_order_flood_at_the_sandbox)
{
    struct rogue_segment s = {.from = PORT, .flags = ROGUE_ACK, .window = 65535, .len = 1};
    static uint8_t got[HOLES * 2];
    int agent;

    set_up();
    agent = connect_to_rogue(65535, 1380);
    s.to = victim_at;
    s.ack = rogue.ports[PORT].their_seq + 1;
    for (unsigned i = 0; i < HOLES; i++) {
        s.seq = OWN_SEQ + 1 + 2 * (i * 7919 % HOLES); /* in no order */
        rogue_send(&rogue, &s);
        if (i % 2000 == 1000)
            pass();
    }
    rogue_turn(&rogue, 50);
    ck_assert_uint_gt(rogue.ports[PORT].segments, HOLES / 100); /* duplicate ACKs */
    ck_assert_uint_eq(rogue.ports[PORT].their_ack, OWN_SEQ);    /* and none is taken */
    ck_assert_int_eq(read(agent, got, sizeof(got)), -1);
    s.seq = OWN_SEQ; /* the first hole is closed: what was kept behind it counts now */
    for (unsigned i = 0; i < 100 && rogue.ports[PORT].their_ack == OWN_SEQ; i++) {
        rogue_send(&rogue, &s);
        rogue_turn(&rogue, 20);
    }
    ck_assert_uint_gt(rogue.ports[PORT].their_ack, OWN_SEQ);
    ck_assert_int_ge(read(agent, got, sizeof(got)), 1);
    tear_down();
}
END_TEST

/* What the server says that it can take; less than MSS_LEAST is not believed. */
#define MSS_LEAST 48
static const uint16_t tiny[] = {1, 7, 64};

/** The sandbox sends to a server with a tiny maximum segment size, which acknowledges nothing. */
START_TEST(e2_tiny_segment_size_of_a_server)
{
    static uint8_t question[65536];
    struct rogue_port *port = NULL;
    int agent;

    set_up();
    agent = connect_to_rogue(65535, tiny[_i]);
    port = &rogue.ports[PORT];
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_gt(write(agent, question, i == 0 ? 4000 : sizeof(question)), 0);
        rogue_turn(&rogue, 50);
        pass();
    }
    printf("MSS %u: %u segments, %u bytes, the largest %u\n", tiny[_i], port->segments, port->bytes,
           port->largest);
    ck_assert_uint_gt(port->bytes, 0);
    ck_assert_uint_le(port->largest, tiny[_i] > MSS_LEAST ? tiny[_i] : MSS_LEAST);
    tear_down();
}
END_TEST

/** Servers that never open their window, with what the sandbox wrote waiting for each. */
START_TEST(e2_zero_window_of_servers)
{
    static uint8_t question[65536];
    unsigned got = 0;

    set_up();
    for (unsigned i = 0; i < STALLED; i++)
        ck_assert_int_gt(write(connect_to_rogue(0, 1380), question, sizeof(question)), 0);
    for (unsigned i = 0; i < 10; i++) {
        rogue_turn(&rogue, 100); /* window probes */
        pass();
    }
    for (unsigned i = 0; i < STALLED; i++) {
        got += rogue.ports[PORT + i].bytes;
        ck_assert_uint_lt(rogue.ports[PORT + i].bytes, 100); /* probes of a byte, no more */
    }
    printf("%u bytes were probed\n", got);
    ck_assert_uint_gt(got, 0);
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

/** A datagram of many fragments to a host's socket beyond the gateway and back. */
static void exchange_fragments(void)
{
    static const struct dgram_events events = {.received = count_datagram};
    static uint8_t payload[20000], got[65536];
    struct endpoint at = {.ip = ip_v4(127, 0, 0, 1)};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&at, &sa);
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int came = 0;
    ssize_t n = -1;
    struct dgram *d;

    ck_assert_int_eq(bind(server, (struct sockaddr *)&sa, len), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(server, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), &at), 0);
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
}

/** Fragments that overlap, contradict each other, and never make a datagram; and then the honest
 * peer's, which the sandbox puts together. */
START_TEST(e2_overlapping_fragments_at_the_sandbox)
{
    set_up();
    exchange_fragments();
    for (unsigned i = 0; i < PIECES; i++) {
        uint16_t id = (uint16_t)(i / 10);

        rogue_fragment(&rogue, &victim_at, id, i % 10 * 8 * 50, 808, true); /* twice each byte */
        rogue_fragment(&rogue, &victim_at, id, 65528, 400, i % 2 == 0);     /* beyond the end */
        if (i % 10 == 5)
            rogue_fragment(&rogue, &victim_at, id, 16, 8, false); /* an end in the middle */
        if (i % 1000 == 500)
            pass();
    }
    exchange_fragments();
    tear_down();
}
END_TEST

/** Segments with every combination of flags, random numbers, to the sandbox's end of a connection
 * and to others. The connection may end; the stack may not. */
START_TEST(e2_segments_out_of_any_state_at_the_sandbox)
{
    uint32_t seed = 1;
    struct endpoint to;

    set_up();
    (void)connect_to_rogue(65535, 1380);
    to = victim_at;
    for (unsigned i = 0; i < GARBAGE; i++) {
        seed = seed * 1664525 + 1013904223;
        to.port = (seed & 4) != 0 ? victim_at.port : (uint16_t)(seed >> 10);
        rogue_send(&rogue,
                   &(struct rogue_segment){.from = (uint16_t)(PORT + (seed >> 8) % 3),
                                           .to = to,
                                           .seq = (seed & 1) != 0 ? OWN_SEQ + (seed >> 20) : seed,
                                           .ack = rogue.ports[PORT].their_seq + (seed >> 28),
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

static const struct suite_test tests[] = {
    SUITE_SLOW(e2_syn_flood_at_the_sandbox, 60),
    SUITE_SLOW(e2_out_of_order_flood_at_the_sandbox, 60),
    {.name = "e2_tiny_segment_size_of_a_server",
     .test = &e2_tiny_segment_size_of_a_server,
     .rows = ARRAY_COUNT(tiny),
     .limit_s = 60},
    SUITE_SLOW(e2_zero_window_of_servers, 60),
    SUITE_SLOW(e2_overlapping_fragments_at_the_sandbox, 60),
    SUITE_SLOW(e2_segments_out_of_any_state_at_the_sandbox, 60),
};
SUITE_MAIN("hostile_client", tests)
