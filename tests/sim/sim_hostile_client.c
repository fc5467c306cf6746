/* SPDX-License-Identifier: Apache-2.0 */
/*
 * E2 from the other side: a peer behind the tunnel floods a sandbox's stack, toward ports where
 * nobody listens and in connections that the sandbox made. Each attack is shown to arrive (the
 * stack answers it), and while it lasts and afterwards a connection through an honest gateway
 * passes exact bytes, a new one is made, and what lwIP holds stays bounded. tests/sim/sim_hostile.c
 * has the gateway's side.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/flood.h"
#include "tests/support/suite.h"

#define HELD_MAX_BYTES (48u << 20) /* by lwIP, at the end of a flood */

/* Of the test that runs in this process. */
static struct endpoint victim_at;                  /* the sandbox's end */
static struct tunnel_owner victims[FLOOD_STALLED]; /* its connections to the rogue */
static unsigned victim_count;

static void set_up(void)
{
    struct tunnel_options options = {.allow = NULL};
    const struct rogue_port *first;

    rogue_key(&flood_rogue);
    options.client_rogue = flood_rogue.public_key;
    flood_up(&options);
    rogue_join_client(&flood_rogue, &flood_tunnel);
    victim_at = (struct endpoint){.ip = ip_v4(10, 9, 0, 2)};
    /* A first word, so that the sandbox knows where its peer is: a reset comes for it. */
    victim_at.port = 9;
    first = &flood_rogue.ports[1]; /* since rogue_join_client() */
    rogue_send(&flood_rogue,
               &(struct rogue_segment){.from = 1, .to = victim_at, .flags = ROGUE_SYN});
    for (unsigned i = 0; i < 5000 && first->resets == 0; i++)
        rogue_turn(&flood_rogue, 1);
    ck_assert_uint_gt(first->resets, 0);
    flood_pass();
}

/** The sandbox connects to the rogue's next port, which answers with this window and MSS. Gives the
 * sandbox's end to victim_at. Returns the agent's end. */
static int connect_to_rogue(uint16_t window, uint16_t mss)
{
    uint16_t port = (uint16_t)(FLOOD_PORT + victim_count);
    struct endpoint at = {.ip = flood_rogue.own, .port = port};
    struct tunnel_owner *o = &victims[victim_count++];
    int pair[2];

    *o = (struct tunnel_owner){.opened = 1, .closed = 1, .agent = -1};
    ck_assert_int_eq(flow_open(flood_tunnel.ns, &at, 0, &tunnel_owner_events, o, &o->flow), 0);
    rogue_accept(&flood_rogue, port, window, mss, &victim_at);
    for (unsigned i = 0; i < 5000 && o->opened == 1; i++)
        rogue_turn(&flood_rogue, 1);
    ck_assert_int_eq(o->opened, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    o->agent = pair[0];
    ck_assert_int_eq(write(o->agent, "?", 1), 1); /* the stand-in */
    ck_assert_int_eq(flow_attach_canary(o->flow, pair[1]), 0);
    return o->agent;
}

static void tear_down(void)
{
    struct netstack_usage usage;

    netstack_usage(flood_tunnel.ns, &usage);
    printf("lwIP holds %llu KiB in %u connections; %llu answers\n",
           (unsigned long long)usage.lwip_bytes >> 10, usage.connections,
           (unsigned long long)flood_rogue.replies);
    ck_assert_uint_lt(usage.lwip_bytes, HELD_MAX_BYTES);
    flood_check();
    for (unsigned i = 0; i < victim_count; i++) {
        if (victims[i].closed == 1)
            flow_abort(victims[i].flow);
        (void)close(victims[i].agent);
    }
    flood_down();
}

/** SYNs to every port of the sandbox, where nobody listens for the network: each is refused, and
 * nothing is kept. */
START_TEST(e2_syn_flood_at_the_sandbox)
{
    struct netstack_usage before, after;
    unsigned refused = 0;

    set_up();
    netstack_usage(flood_tunnel.ns, &before);
    victim_at.port = 1;
    flood_syns(victim_at, 5);
    for (unsigned i = 0; i < FLOOD_SYNS; i++) {
        refused += flood_rogue.ports[FLOOD_PORT + i].resets;
        ck_assert(!flood_rogue.ports[FLOOD_PORT + i].is_answered);
    }
    netstack_usage(flood_tunnel.ns, &after);
    printf("%u of %u SYNs were refused\n", refused, FLOOD_SYNS);
    ck_assert_uint_gt(refused, FLOOD_SYNS / 10);
    ck_assert_uint_eq(after.connections, before.connections);
    ck_assert_uint_eq(after.flows, before.flows);
    tear_down();
}
END_TEST

/** A server's segments of one byte with a hole before each: the agent reads none until the first is
 * closed. */
START_TEST(e2_out_of_order_flood_at_the_sandbox)
{
    static uint8_t got[16384];
    int agent;

    set_up();
    agent = connect_to_rogue(65535, FLOOD_MSS);
    flood_holes(&victim_at);
    ck_assert_int_eq(read(agent, got, sizeof(got)), -1);
    flood_close_hole(&victim_at);
    ck_assert_int_ge(read(agent, got, sizeof(got)), 1);
    tear_down();
}
END_TEST

/** The sandbox sends to a server with a tiny maximum segment size, which acknowledges nothing. */
START_TEST(e2_tiny_segment_size_of_a_server)
{
    set_up();
    flood_tiny(connect_to_rogue(65535, flood_tiny_mss[_i]), flood_tiny_mss[_i]);
    tear_down();
}
END_TEST

/** Servers that never open their window, with what the sandbox wrote waiting for each. */
START_TEST(e2_zero_window_of_servers)
{
    static uint8_t question[65536];

    set_up();
    for (unsigned i = 0; i < FLOOD_STALLED; i++)
        ck_assert_int_gt(write(connect_to_rogue(0, FLOOD_MSS), question, sizeof(question)), 0);
    flood_stall();
    tear_down();
}
END_TEST

/** Fragments that never make a datagram, and then the honest peer's, which the sandbox puts
 * together as it did before. */
START_TEST(e2_overlapping_fragments_at_the_sandbox)
{
    set_up();
    flood_exchange_fragments();
    flood_fragments(&victim_at);
    flood_exchange_fragments();
    tear_down();
}
END_TEST

/** To the sandbox's end of a connection and to other ports. The connection may end; the stack may
 * not. */
START_TEST(e2_segments_out_of_any_state_at_the_sandbox)
{
    set_up();
    (void)connect_to_rogue(65535, FLOOD_MSS);
    flood_garbage(&victim_at, 3, true);
    tear_down();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_SLOW(e2_syn_flood_at_the_sandbox, 60),
    SUITE_SLOW(e2_out_of_order_flood_at_the_sandbox, 60),
    {.name = "e2_tiny_segment_size_of_a_server",
     .test = &e2_tiny_segment_size_of_a_server,
     .rows = ARRAY_COUNT(flood_tiny_mss),
     .limit_s = 60},
    SUITE_SLOW(e2_zero_window_of_servers, 60),
    SUITE_SLOW(e2_overlapping_fragments_at_the_sandbox, 60),
    SUITE_SLOW(e2_segments_out_of_any_state_at_the_sandbox, 60),
};
SUITE_MAIN("hostile_client", tests)
