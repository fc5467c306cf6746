/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/wg/device.h"
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* Stories of a tunnel in all weathers, in virtual time: loss, reordering, duplication, roaming, a
 * restart, a flood, a blackout. A story is replayed by its seed, which is in its row. */

static struct net net; /* each test runs in a process of its own */

#define TAGS_MAX 65536u

/** Packets by tag and direction: how often each arrived. */
static struct {
    uint8_t arrived[2][TAGS_MAX]; /* [receiver][tag] */
    unsigned total[2];
} book;

/** Take what was delivered into the book; every packet must be one that was sent, unchanged. */
static void write_down(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct net_node *node = &net.nodes[i];

        for (unsigned j = 0; j < node->delivered_count; j++) {
            enum ip_family v = node->delivered[j].data[0] >> 4 == 4 ? IP_V4 : IP_V6;
            uint32_t tag = load_be32(node->delivered[j].data + (v == IP_V4 ? 20 : 40));

            ck_assert_uint_lt(tag, TAGS_MAX);
            (void)net_packet(v, 1 - i, i, tag, node->delivered[j].len, net.packet);
            ck_assert_mem_eq(node->delivered[j].data, net.packet, node->delivered[j].len);
            book.arrived[i][tag]++;
            ck_assert_uint_eq(book.arrived[i][tag], 1); /* a counter is accepted at most once */
            book.total[i]++;
        }
        net_forget(&net, i);
    }
}

/** Both sides send a packet every @gap_ms for @count rounds, tags from @first. */
static void talk(uint32_t first, unsigned count, int64_t gap_ms)
{
    for (uint32_t tag = first; tag < first + count; tag++) {
        enum ip_family v = tag % 2 == 0 ? IP_V4 : IP_V6;

        (void)net_send(&net, v, 0, 1, tag, 60 + tag % 1300);
        (void)net_send(&net, v, 1, 0, tag, 60 + tag % 1300);
        net_run(&net, gap_ms);
        write_down();
    }
}

/** A session, begun by one side alone, so that no initiations cross. */
static void connect_first(void)
{
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, TAGS_MAX - 1, 100), WG_DROP_NONE);
    net_run(&net, 1000);
    write_down();
    ck_assert_uint_eq(book.total[1], 1);
}

static unsigned arrived_between(unsigned receiver, uint32_t first, uint32_t count)
{
    unsigned sum = 0;

    for (uint32_t tag = first; tag < first + count; tag++)
        sum += book.arrived[receiver][tag];
    return sum;
}

/* Goal: at 30 % loss with reordering and duplicates the tunnel lives for 20 minutes; about 70 % of
 * the packets arrive, none twice, none changed; sessions are renewed all the while. */
START_TEST(thirty_percent_loss)
{
    net_init(&net, 1000 + (uint64_t)_i, 2, NULL);
    net.loss_percent = 30;
    net.duplicate_percent = 10;
    net.delay_ms_min = 5;
    net.delay_ms_max = 80;
    talk(0, 12000, 100);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_gt(book.total[i], 12000 * 65 / 100);
        ck_assert_uint_lt(book.total[i], 12000 * 80 / 100);
        ck_assert_uint_ge(net.nodes[i].events[WG_EVENT_HANDSHAKE_DONE], 1200 / 130);
        ck_assert_uint_eq(wg_drop_count(net.nodes[i].w, WG_DROP_AUTH), 0);
        ck_assert_uint_gt(wg_drop_count(net.nodes[i].w, WG_DROP_REPLAY), 0); /* the duplicates */
    }
    net_done(&net);
}
END_TEST

/* Goal: on a link that reorders but does not lose, not one packet is lost when keys change. */
START_TEST(rekey_loses_nothing)
{
    net_init(&net, 2000 + (uint64_t)_i, 2, NULL);
    net.delay_ms_min = 10;
    net.delay_ms_max = 60;
    connect_first();
    talk(0, 30000, 20);
    net_run(&net, 1000);
    write_down();
    ck_assert_uint_eq(arrived_between(0, 0, 30000), 30000);
    ck_assert_uint_eq(arrived_between(1, 0, 30000), 30000);
    ck_assert_uint_ge(net.nodes[0].events[WG_EVENT_HANDSHAKE_DONE], 5);
    net_done(&net);
}
END_TEST

/* Goal: both ends move, in turns, and the tunnel follows whoever moved; nothing is lost but what
 * was under way to the old place. */
START_TEST(both_ends_roam)
{
    uint32_t tag = 0;

    net_init(&net, 3000, 2, NULL);
    connect_first();
    talk(tag, 50, 100);
    for (unsigned move = 0; move < 20; move++) {
        struct net_node *node = &net.nodes[move % 2];
        struct endpoint known;

        tag += 50;
        node->endpoint.port++;
        if (move % 3 == 0)
            node->endpoint.ip = ip_v4(198, 51, 100, (uint8_t)(move + 1));
        talk(tag, 50, 100);
        ck_assert_uint_ge(arrived_between(move % 2, tag, 50), 48);
        ck_assert_uint_eq(arrived_between(1 - move % 2, tag, 50), 50);
        known = net_stats(&net, 1 - move % 2, move % 2).endpoint;
        ck_assert(endpoint_equal(&known, &node->endpoint));
    }
    ck_assert_uint_eq(net.nodes[0].events[WG_EVENT_ROAMED], 10);
    ck_assert_uint_eq(net.nodes[1].events[WG_EVENT_ROAMED], 10);
    net_done(&net);
}
END_TEST

/* Goal: one side is restarted and forgets everything; when it sends, the tunnel is back at once;
 * when only the other one does, within the 15 s that silence may last and a retry. */
START_TEST(one_side_restarts)
{
    unsigned quiet = (unsigned)_i; /* 1: the restarted side has nothing to say */

    net_init(&net, 4000, 2, NULL);
    connect_first();
    talk(0, 20, 100);
    net_start(&net, 1);
    if (quiet == 0) {
        net_run(&net, 6000);
        talk(20, 20, 100);
        ck_assert_uint_ge(arrived_between(1, 20, 20), 18);
        ck_assert_uint_ge(arrived_between(0, 20, 20), 18);
    } else {
        for (uint32_t tag = 20; tag < 60; tag++) {
            ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, tag, 100), WG_DROP_NONE);
            net_run(&net, 1000);
            write_down();
        }
        ck_assert_uint_eq(arrived_between(1, 20, 10), 0);
        ck_assert_uint_eq(arrived_between(1, 42, 18), 18);
    }
    net_done(&net);
}
END_TEST

/* Goal: nothing gets through for five minutes; then everything does again, by itself. */
START_TEST(blackout_ends)
{
    net_init(&net, 5000 + (uint64_t)_i, 2, NULL);
    net.delay_ms_max = 30;
    talk(0, 20, 100);
    net.loss_percent = 100;
    talk(20, 300, 1000);
    ck_assert_uint_le(arrived_between(0, 22, 298), 0);
    net.loss_percent = 0;
    talk(400, 20, 1000); /* an initiation is repeated within 5.334 s; if two cross, once more */
    talk(500, 50, 100);
    ck_assert_uint_eq(arrived_between(0, 500, 50), 50);
    ck_assert_uint_eq(arrived_between(1, 500, 50), 50);
    net_done(&net);
}
END_TEST

/* Goal: while a stranger floods the responder with initiations, a peer without session gets one, by
 * cookie, and the stranger gets none. */
START_TEST(handshake_gets_through_a_flood)
{
    struct endpoint stranger = {.ip = ip_v4(203, 0, 113, 5), .port = 9};
    struct cookie_maker maker = {.has_last_mac1 = false};
    uint8_t junk[WG_INIT_LEN] = {WG_MSG_INITIATION};

    net_init(&net, 6000, 2, NULL);
    wg_cookie_keys_init(&maker.keys, net.nodes[1].public_key);
    wg_cookie_stamp(&maker, (struct cookie_msg){.data = junk, .mac1 = WG_INIT_MAC1}, net.now);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 7, 100), WG_DROP_NONE);
    for (unsigned ms = 0; ms < 8000; ms++) {
        for (unsigned i = 0; i < 3; i++) /* 3 000 a second; the first 512 of a second make load */
            (void)net_inject(&net, 1, &stranger, junk, sizeof(junk));
        net_run(&net, 1);
        if (ms == 1000) { /* its first try may have been in time; so begin anew, under load */
            net_start(&net, 0);
            ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 8, 100), WG_DROP_NONE);
        }
    }
    ck_assert_uint_eq(net_got(&net, 1, IP_V4, 0, 1, 8, 100), 1);
    ck_assert_uint_gt(wg_drop_count(net.nodes[1].w, WG_DROP_UNDER_LOAD), 10000);
    ck_assert_uint_gt(net.nodes[1].sent[WG_MSG_COOKIE], 0);
    ck_assert_uint_le(net.nodes[1].sent[WG_MSG_RESPONSE], 2);
    net_done(&net);
}
END_TEST

/* Goal: eight nodes, each with a tunnel to each other one, at 10 % loss: what two say to each other
 * reaches nobody else. */
START_TEST(eight_nodes_mesh)
{
    net_init(&net, 7000, 8, NULL);
    net.loss_percent = 10;
    net.delay_ms_max = 50;
    for (uint32_t round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 8; i++)
            for (unsigned j = 0; j < 8; j++)
                if (i != j)
                    ck_assert_int_eq(net_send(&net, IP_V6, i, j, round, 100), WG_DROP_NONE);
        net_run(&net, 10 * 1000);
    }
    for (unsigned j = 0; j < 8; j++) {
        ck_assert_uint_gt(net.nodes[j].delivered_count, 10 * 7 * 7 / 10);
        for (unsigned k = 0; k < net.nodes[j].delivered_count; k++)
            ck_assert_uint_eq(net.nodes[j].delivered[k].data[39], j + 1); /* destination: us */
        ck_assert_uint_eq(wg_drop_count(net.nodes[j].w, WG_DROP_SOURCE), 0);
    }
    net_done(&net);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(thirty_percent_loss, 2), SUITE_ROWS(rekey_loses_nothing, 2),
    SUITE_TEST(both_ends_roam),         SUITE_ROWS(one_side_restarts, 2),
    SUITE_ROWS(blackout_ends, 3),       SUITE_TEST(handshake_gets_through_a_flood),
    SUITE_TEST(eight_nodes_mesh),
};

SUITE_MAIN("wg_weather", tests)
