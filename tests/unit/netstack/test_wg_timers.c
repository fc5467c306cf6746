/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/wg/device.h"
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* Section 6 of the paper in virtual time: each timer a moment before and at its time. */

static struct net net; /* each test runs in a process of its own */

static struct peer *peer_at(unsigned node)
{
    return net.nodes[node].w->slots[0].peer;
}

/** Two nodes with a session, made by node 0; nothing waits to be acknowledged by a keepalive. */
static void connected(const struct net_options *options)
{
    net_init(&net, 21, 2, options);
    net.delay_ms_min = net.delay_ms_max = 0;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 2, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net.nodes[0].delivered_count, 1);
    ck_assert_uint_eq(net.nodes[1].delivered_count, 1);
}

static unsigned initiations(void)
{
    return net.nodes[0].sent[WG_MSG_INITIATION] + net.nodes[1].sent[WG_MSG_INITIATION];
}

/** Go to @ns after the session's birth without running anything. */
static void jump(int64_t ns)
{
    net.now = mono_add_ns(peer_at(0)->sessions.current->born, ns);
}

/* Goal (6.2): the initiator renews with the first packet at 120 s, not before. */
START_TEST(initiator_rekeys_after_time)
{
    connected(NULL);
    jump(WG_REKEY_AFTER_NS - 1);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 3, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(initiations(), 1);
    jump(WG_REKEY_AFTER_NS);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 4, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(initiations(), 2);
    ck_assert_uint_eq(net.nodes[0].events[WG_EVENT_HANDSHAKE_DONE], 2);
    ck_assert_uint_eq(net.nodes[1].events[WG_EVENT_HANDSHAKE_DONE], 2);
    ck_assert_uint_eq(net_got(&net, 1, IP_V4, 0, 1, 4, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal (6.2): the responder does not renew by time, or both would. */
START_TEST(responder_does_not_rekey_after_time)
{
    connected(NULL);
    jump(WG_REKEY_AFTER_NS + 10 * NS_PER_S);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 3, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(initiations(), 1);
    ck_assert_uint_eq(net_got(&net, 0, IP_V4, 1, 0, 3, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal (6.2): either side renews after 2^60 messages. */
START_TEST(either_side_rekeys_after_messages)
{
    unsigned from = (unsigned)_i;

    connected(NULL);
    net.now = mono_add_ns(net.now, WG_REKEY_TIMEOUT_NS);
    peer_at(from)->sessions.current->send_counter = WG_REKEY_AFTER_MESSAGES - 1;
    ck_assert_int_eq(net_send(&net, IP_V4, from, 1 - from, 3, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(initiations(), 1);
    ck_assert_int_eq(net_send(&net, IP_V4, from, 1 - from, 4, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(initiations(), 2);
    ck_assert_uint_eq(net_got(&net, 1 - from, IP_V4, from, 1 - from, 4, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal (6.1): at REJECT_AFTER_MESSAGES nothing is sealed; the packet waits for a new session. */
START_TEST(counter_never_passes_its_limit)
{
    connected(NULL);
    net.now = mono_add_ns(net.now, WG_REKEY_TIMEOUT_NS);
    peer_at(0)->sessions.current->send_counter = WG_REJECT_AFTER_MESSAGES - 1;
    net.holds = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 3, 100), WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[0].sent[WG_MSG_DATA], 2);
    ck_assert_uint_eq(load_le64(net.nodes[0].last_sent[4].data + WG_DATA_COUNTER),
                      WG_REJECT_AFTER_MESSAGES - 1);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 4, 100), WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[0].sent[WG_MSG_DATA], 2);
    ck_assert_uint_eq(peer_at(0)->queue_count, 1);
    net_done(&net);
}
END_TEST

/* Goal (6.2): at 180 s either side makes a new session before it sends. */
START_TEST(session_is_not_used_after_180_s)
{
    unsigned from = (unsigned)_i;

    connected(NULL);
    jump(WG_REJECT_AFTER_NS);
    ck_assert_int_eq(net_send(&net, IP_V4, from, 1 - from, 3, 100), WG_DROP_NONE);
    ck_assert_uint_eq(peer_at(from)->queue_count, 1);
    net_settle(&net);
    ck_assert_uint_eq(initiations(), 2);
    ck_assert_uint_eq(net_got(&net, 1 - from, IP_V4, from, 1 - from, 3, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal (6.2), fault (d) of the warning list: an initiator that only receives renews at 165 s,
 * whatever its own persistent keepalive is; once. */
START_TEST(initiator_rekeys_late_on_receive)
{
    static const uint16_t keepalive_s[] = {0, 25, 100};
    unsigned before;

    connected(NULL);
    peer_at(0)->timers.persistent_s = keepalive_s[_i];
    net.nodes[0].is_deaf = true;
    before = initiations();
    jump(WG_REKEY_ON_RECV_NS - 1);
    ck_assert_int_eq(WG_REKEY_ON_RECV_NS, 165 * NS_PER_S);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 3 + i, 100), WG_DROP_NONE);
        ck_assert_int_eq(net_inject(&net, 0, &net.nodes[1].endpoint, net.nodes[1].last_sent[4].data,
                                    net.nodes[1].last_sent[4].len),
                         WG_DROP_NONE);
        ck_assert_uint_eq(initiations(), before + (i > 0));
        net.now = mono_add_ns(net.now, 1);
    }
    net_done(&net);
}
END_TEST

/* Goal (6.4): without answer the initiation is repeated every 5 s and up to 333 ms, for 90 s; then
 * the peer gives up; the next packet begins anew. */
START_TEST(initiation_is_retried_until_it_is_given_up)
{
    struct mono begin;
    struct mono last;
    unsigned spread = 0;

    net_init(&net, 22, 2, NULL);
    net.holds = true;
    begin = last = net.now;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    ck_assert_uint_eq(initiations(), 1);
    for (unsigned n = 2;; n++) {
        int64_t ms = (wg_deadline(net.nodes[0].w).ns - last.ns) / NS_PER_MS;

        ck_assert_int_ge(ms, 5000);
        ck_assert_int_lt(ms, 5000 + WG_REKEY_JITTER_MS);
        spread |= (unsigned)(ms - 5000);
        last = net.now = wg_deadline(net.nodes[0].w);
        wg_tick(net.nodes[0].w, net.now);
        if (net.nodes[0].events[WG_EVENT_HANDSHAKE_GAVE_UP] == 1)
            break;
        ck_assert_uint_eq(initiations(), n);
        ck_assert_uint_eq(net.nodes[0].events[WG_EVENT_HANDSHAKE_RETRY], n - 1);
        ck_assert_int_lt(net.now.ns - begin.ns, WG_REKEY_ATTEMPT_NS);
    }
    ck_assert_uint_ne(spread, 0);
    ck_assert_int_ge(net.now.ns - begin.ns, WG_REKEY_ATTEMPT_NS);
    ck_assert_int_lt(net.now.ns - begin.ns, WG_REKEY_ATTEMPT_NS + 6 * NS_PER_S);
    ck_assert_uint_eq(peer_at(0)->queue_count, 0);
    net.holds = false;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 2, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net_got(&net, 1, IP_V4, 0, 1, 2, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal (6.4): a packet sent meanwhile begins no second handshake, but gives it another 90 s. */
START_TEST(packets_prolong_the_attempt_and_do_not_multiply_it)
{
    net_init(&net, 23, 2, NULL);
    net.holds = true;
    for (uint32_t s = 0; s < 100; s++) {
        ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, s, 100), WG_DROP_NONE);
        net_run(&net, 1000);
    }
    ck_assert_uint_ge(initiations(), 100 * 1000 / 5334);
    ck_assert_uint_le(initiations(), 1 + 100 / 5);
    ck_assert_uint_eq(net.nodes[0].events[WG_EVENT_HANDSHAKE_GAVE_UP], 0);
    net_done(&net);
}
END_TEST

/* Goal (6.5): whoever received data and has nothing to say sends one empty packet after 10 s; the
 * empty packet itself is not answered. */
START_TEST(passive_keepalive_after_10_s)
{
    net_init(&net, 24, 2, NULL);
    net.delay_ms_min = net.delay_ms_max = 0;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 0);
    net_run(&net, 9999);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 0);
    net_run(&net, 1);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 1);
    ck_assert_uint_eq(net.nodes[1].last_sent[WG_MSG_DATA].len, WG_DATA_LEN_MIN);
    net_run(&net, 100 * 1000);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 1);
    ck_assert_uint_eq(net.nodes[0].sent[WG_MSG_DATA], 1);
    ck_assert_uint_eq(initiations(), 1);
    net_done(&net);
}
END_TEST

/* Goal (6.5): data that came in while the keepalive was waiting is acknowledged by a second one. */
START_TEST(passive_keepalive_again_for_later_data)
{
    net_init(&net, 25, 2, NULL);
    net.delay_ms_min = net.delay_ms_max = 0;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    net_run(&net, 6000);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 2, 100), WG_DROP_NONE);
    net_run(&net, 4000);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 1);
    net_run(&net, 10000);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 2);
    net_run(&net, 60000);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 2);
    net_done(&net);
}
END_TEST

/* Goal (6.5): an answer makes the keepalive needless. */
START_TEST(answer_replaces_passive_keepalive)
{
    connected(NULL);
    net_run(&net, 9000);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 5, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 6, 100), WG_DROP_NONE);
    net_settle(&net);
    net_run(&net, 9999);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_DATA], 2);
    net_done(&net);
}
END_TEST

/* Goal (6.5): data went out and nothing came back for 15 s: a new handshake is begun. */
START_TEST(silence_makes_a_handshake)
{
    connected(NULL);
    net_run(&net, 30 * 1000); /* the keepalives that are due are sent */
    net.nodes[1].is_deaf = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 3, 100), WG_DROP_NONE);
    net_run(&net, 14999);
    ck_assert_uint_eq(initiations(), 1);
    net_run(&net, 1 + WG_REKEY_JITTER_MS);
    ck_assert_uint_eq(initiations(), 2);
    net_done(&net);
}
END_TEST

/* Goal (6.5): with PersistentKeepalive = 25 an idle tunnel sends every 25 s, from the start, and is
 * put off by traffic. */
START_TEST(persistent_keepalive_every_25_s)
{
    struct net_options options = {.keepalive_s = 25, .responders_only = true};
    unsigned sent;

    net_init(&net, 26, 2, &options);
    net.delay_ms_min = net.delay_ms_max = 0;
    net_run(&net, 0);
    ck_assert_uint_eq(net.nodes[0].sent[WG_MSG_INITIATION], 1);
    ck_assert_uint_eq(net.nodes[0].events[WG_EVENT_HANDSHAKE_DONE], 1);
    sent = net.nodes[0].sent[WG_MSG_DATA];
    net_run(&net, 24999);
    ck_assert_uint_eq(net.nodes[0].sent[WG_MSG_DATA], sent);
    net_run(&net, 1);
    ck_assert_uint_eq(net.nodes[0].sent[WG_MSG_DATA], sent + 1);
    net_run(&net, 20000);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 3, 100), WG_DROP_NONE);
    net_run(&net, 9000);
    ck_assert_uint_eq(net.nodes[0].sent[WG_MSG_DATA], sent + 2);
    net_done(&net);
}
END_TEST

/* Goal (6.3): 540 s after the last session nothing secret of it is left. */
START_TEST(keys_are_wiped_after_540_s)
{
    static const uint8_t zero[WG_KEY_LEN];
    uint32_t index;

    connected(NULL);
    index = peer_at(0)->sessions.current->local_index;
    ck_assert_ptr_nonnull(wg_peer_by_index(net.nodes[0].w, index));
    net_run(&net, 539 * 1000);
    ck_assert_ptr_nonnull(peer_at(0)->sessions.current);
    net_run(&net, 1001);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_ptr_null(peer_at(i)->sessions.current);
        ck_assert_ptr_null(peer_at(i)->sessions.previous);
        ck_assert_ptr_null(peer_at(i)->sessions.next);
        ck_assert_int_eq(peer_at(i)->noise.state, NOISE_IDLE);
        ck_assert_mem_eq(peer_at(i)->noise.local_ephemeral, zero, sizeof(zero));
        ck_assert_mem_eq(peer_at(i)->noise.chain, zero, sizeof(zero));
    }
    ck_assert_ptr_null(wg_peer_by_index(net.nodes[0].w, index));
    ck_assert_int_eq(wg_deadline(net.nodes[0].w).ns, MONO_NEVER.ns);
    net_done(&net);
}
END_TEST

/* Goal (6.3): a handshake that never succeeded is wiped, too: 540 s after it was given up. */
START_TEST(failed_handshake_is_wiped)
{
    static const uint8_t zero[WG_KEY_LEN];

    net_init(&net, 27, 2, NULL);
    net.holds = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    net_run(&net, 100 * 1000);
    ck_assert_mem_ne(peer_at(0)->noise.local_ephemeral, zero, sizeof(zero));
    net_run(&net, 540 * 1000);
    ck_assert_mem_eq(peer_at(0)->noise.local_ephemeral, zero, sizeof(zero));
    ck_assert_int_eq(wg_deadline(net.nodes[0].w).ns, MONO_NEVER.ns);
    net_done(&net);
}
END_TEST

/* Goal: wg_handshake() begins one when none is under way and none is fresh. */
START_TEST(handshake_on_request)
{
    connected(NULL);
    wg_handshake(net.nodes[0].w, net_peer(&net, 0, 1), net.now);
    ck_assert_uint_eq(initiations(), 1);
    net.now = mono_add_ns(net.now, WG_REKEY_TIMEOUT_NS);
    net.holds = true;
    wg_handshake(net.nodes[0].w, net_peer(&net, 0, 1), net.now);
    ck_assert_uint_eq(initiations(), 2);
    net.now = mono_add_ns(net.now, WG_REKEY_TIMEOUT_NS);
    wg_handshake(net.nodes[0].w, net_peer(&net, 0, 1), net.now);
    ck_assert_uint_eq(initiations(), 2);
    wg_handshake(net.nodes[0].w, (struct wg_peer_id){0}, net.now); /* nobody: nothing */
    net_done(&net);
}
END_TEST

/* Goal: of two initiations that cross, neither side's session comes up at once (as in the kernel,
 * where each side's newer handshake replaces its own), and the jitter parts the two within seconds.
 */
START_TEST(crossing_initiations_come_to_terms)
{
    net_init(&net, 100 + (uint64_t)_i, 2, NULL);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 2, 100), WG_DROP_NONE);
    ck_assert_uint_eq(initiations(), 2);
    net_run(&net, 11000);
    ck_assert_uint_eq(net_got(&net, 1, IP_V4, 0, 1, 1, 100), 1);
    ck_assert_uint_eq(net_got(&net, 0, IP_V4, 1, 0, 2, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal: ten idle years cost nothing and break nothing. */
START_TEST(ten_years_in_a_second)
{
    struct mono begin;

    connected(NULL);
    begin = mono_now();
    for (unsigned year = 0; year < 10; year++) {
        net_run(&net, INT64_C(365) * 24 * 3600 * 1000);
        ck_assert_int_eq(net_send(&net, IP_V4, year % 2, 1 - year % 2, 50 + year, 100),
                         WG_DROP_NONE);
        net_run(&net, 5000);
        ck_assert_uint_eq(
            net_got(&net, 1 - year % 2, IP_V4, year % 2, 1 - year % 2, 50 + year, 100), 1);
    }
    ck_assert_uint_eq(initiations(), 11);
    ck_assert_int_lt(mono_now().ns - begin.ns, 5 * NS_PER_S); /* generous: a sanitizer may be on */
    net_done(&net);
}
END_TEST

/* Goal: no timer set means no deadline; a persistent keepalive is due at once. */
START_TEST(fresh_device_has_no_deadline)
{
    struct net_options options = {.keepalive_s = 25};

    net_init(&net, 28, 2, NULL);
    ck_assert_int_eq(wg_deadline(net.nodes[0].w).ns, MONO_NEVER.ns);
    net_done(&net);
    net_init(&net, 28, 2, &options);
    ck_assert(!mono_before(net.now, wg_deadline(net.nodes[0].w)));
    net_done(&net);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(initiator_rekeys_after_time),
    SUITE_TEST(responder_does_not_rekey_after_time),
    SUITE_ROWS(either_side_rekeys_after_messages, 2),
    SUITE_TEST(counter_never_passes_its_limit),
    SUITE_ROWS(session_is_not_used_after_180_s, 2),
    SUITE_ROWS(initiator_rekeys_late_on_receive, 3),
    SUITE_TEST(initiation_is_retried_until_it_is_given_up),
    SUITE_TEST(packets_prolong_the_attempt_and_do_not_multiply_it),
    SUITE_TEST(passive_keepalive_after_10_s),
    SUITE_TEST(passive_keepalive_again_for_later_data),
    SUITE_TEST(answer_replaces_passive_keepalive),
    SUITE_TEST(silence_makes_a_handshake),
    SUITE_TEST(persistent_keepalive_every_25_s),
    SUITE_TEST(keys_are_wiped_after_540_s),
    SUITE_TEST(failed_handshake_is_wiped),
    SUITE_TEST(handshake_on_request),
    SUITE_ROWS(crossing_initiations_come_to_terms, 10),
    SUITE_TEST(ten_years_in_a_second),
    SUITE_TEST(fresh_device_has_no_deadline),
};

SUITE_MAIN("wg_timers", tests)
