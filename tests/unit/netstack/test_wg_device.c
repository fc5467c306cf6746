/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* The device as a caller sees it: two of them, a perfect link, data both ways. */

static struct net net; /* each test runs in a process of its own */

/* Goal: the first packet makes a handshake and arrives, for both families. Method: node 0 sends,
 * the link carries, the message counts are those of paper 5.1: one initiation, one response, then
 * data. */
START_TEST(first_packet_brings_up_session_and_arrives)
{
    enum ip_family v = _i == 0 ? IP_V4 : IP_V6;

    net_init(&net, 1, 2, NULL);
    ck_assert_int_eq(net_send(&net, v, 0, 1, 77, 300), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net_got(&net, 1, v, 0, 1, 77, 300), 1);
    ck_assert_uint_eq(net.nodes[1].delivered_count, 1);
    ck_assert_uint_eq(net.nodes[0].sent[1], 1);
    ck_assert_uint_eq(net.nodes[1].sent[2], 1);
    ck_assert_uint_eq(net.nodes[0].sent[4], 1);
    ck_assert_uint_eq(net.nodes[0].events[WG_EVENT_HANDSHAKE_DONE], 1);
    ck_assert_uint_eq(net.nodes[1].events[WG_EVENT_HANDSHAKE_DONE], 1);
    net_done(&net);
}
END_TEST

/* Goal: either side may begin, with and without a preshared key, and both directions work. */
START_TEST(either_side_initiates_and_both_directions_carry)
{
    struct net_options options = {.has_preshared = _i >= 2};
    unsigned from = (unsigned)_i % 2;

    net_init(&net, 2, 2, &options);
    ck_assert_int_eq(net_send(&net, IP_V4, from, 1 - from, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_int_eq(net_send(&net, IP_V6, 1 - from, from, 2, 1420), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net_got(&net, 1 - from, IP_V4, from, 1 - from, 1, 100), 1);
    ck_assert_uint_eq(net_got(&net, from, IP_V6, 1 - from, from, 2, 1420), 1);
    ck_assert_uint_eq(net.nodes[from].sent[1] + net.nodes[1 - from].sent[1], 1);
    net_done(&net);
}
END_TEST

/* Goal: a different preshared key on each side never makes a session (5.2). */
START_TEST(preshared_key_mismatch_makes_no_session)
{
    struct net_options options = {.has_preshared = true};

    net_init(&net, 3, 2, &options);
    net.nodes[1].conf.peers[0].preshared_key[5] ^= 1;
    net_start(&net, 1);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net.nodes[1].delivered_count, 0);
    ck_assert_int_eq(net.nodes[0].last_drop, WG_DROP_HANDSHAKE);
    ck_assert_int_eq(net_stats(&net, 0, 1).last_handshake.ns, 0);
    net_done(&net);
}
END_TEST

/* Goal: the responder sends nothing before the initiator was heard with the new keys (5.4.5).
 * Method: hold the confirming packet back, let the responder send, and look at what left it. */
START_TEST(responder_waits_for_first_data)
{
    net_init(&net, 4, 2, NULL);
    net.holds = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    ck_assert_int_eq(
        net_inject(&net, 1, &net.nodes[0].endpoint, net.nodes[0].last_sent[1].data, 148),
        WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[1].sent[2], 1);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 2, 100), WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[1].sent[4], 0);
    ck_assert_uint_eq(net.nodes[1].events[WG_EVENT_HANDSHAKE_DONE], 0);
    ck_assert_int_eq(
        net_inject(&net, 0, &net.nodes[1].endpoint, net.nodes[1].last_sent[2].data, 92),
        WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[0].sent[4], 1);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, net.nodes[0].last_sent[4].data,
                                net.nodes[0].last_sent[4].len),
                     WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[1].sent[4], 1);
    ck_assert_int_eq(net_inject(&net, 0, &net.nodes[1].endpoint, net.nodes[1].last_sent[4].data,
                                net.nodes[1].last_sent[4].len),
                     WG_DROP_NONE);
    ck_assert_uint_eq(net_got(&net, 0, IP_V4, 1, 0, 2, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal: deliver() may call wg_output(), as a network stack that answers at once does. */
START_TEST(deliver_may_output)
{
    uint8_t reply[64];

    net_init(&net, 5, 2, NULL);
    net.nodes[1].reply = bytes_of(reply, net_packet(IP_V4, 1, 0, 9, sizeof(reply), reply));
    for (uint32_t i = 0; i < 10; i++) {
        ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, i, 100), WG_DROP_NONE);
        net_settle(&net);
    }
    ck_assert_uint_eq(net_got(&net, 0, IP_V4, 1, 0, 9, sizeof(reply)), 10);
    net_done(&net);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(first_packet_brings_up_session_and_arrives, 2),
    SUITE_ROWS(either_side_initiates_and_both_directions_carry, 4),
    SUITE_TEST(preshared_key_mismatch_makes_no_session),
    SUITE_TEST(responder_waits_for_first_data),
    SUITE_TEST(deliver_may_output),
};

SUITE_MAIN("wg_device", tests)
