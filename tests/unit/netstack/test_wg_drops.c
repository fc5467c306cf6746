/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/wg/device.h"
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* Every named drop: a message that is accepted, its rejected neighbour, the counter, and that the
 * neighbour changed nothing. */

static struct net net; /* each test runs in a process of its own */

static struct peer *peer_at(unsigned node)
{
    return net.nodes[node].w->slots[0].peer;
}

/** Two nodes with a session, made by node 0 and confirmed on both sides. */
static void connected(void)
{
    net_init(&net, 7, 2, NULL);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net.nodes[1].delivered_count, 1);
}

/** Give node @i the datagram; it must be dropped as @want, counted once, silently, without effect
 * on the peer; deadlines stay as they are. */
static void expect_drop(unsigned i, const struct endpoint *from, const void *data, size_t len,
                        enum wg_drop want)
{
    struct net_node *node = &net.nodes[i];
    uint64_t before = wg_drop_count(node->w, want);
    struct mono deadline = wg_deadline(node->w);
    unsigned sent = node->sent[1] + node->sent[2] + node->sent[3] + node->sent[4];
    unsigned delivered = node->delivered_count;
    struct peer *snapshot = malloc(sizeof(*snapshot));

    ck_assert_ptr_nonnull(snapshot);
    memcpy(snapshot, peer_at(i), sizeof(*snapshot));
    ck_assert_str_eq(wg_drop_name(net_inject(&net, i, from, data, len)), wg_drop_name(want));
    ck_assert_uint_eq(wg_drop_count(node->w, want), before + 1);
    ck_assert_uint_eq(node->sent[1] + node->sent[2] + node->sent[3] + node->sent[4], sent);
    ck_assert_uint_eq(node->delivered_count, delivered);
    ck_assert_int_eq(wg_deadline(node->w).ns, deadline.ns);
    ck_assert_mem_eq(snapshot, peer_at(i), sizeof(*snapshot));
    free(snapshot);
}

static struct endpoint stranger(void)
{
    return (struct endpoint){.ip = ip_v4(203, 0, 113, 9), .port = 4444};
}

/** What node 0 would send as its next datagram of @type; nothing arrives. */
static struct net_bytes next_from_0(unsigned type, enum ip_family v, size_t len)
{
    net.holds = true;
    if (type == WG_MSG_INITIATION) {
        net.now = mono_add_ms(net.now, 5400); /* past REKEY_TIMEOUT and its jitter */
        wg_tick(net.nodes[0].w, net.now);     /* the retry, when one was under way */
        wg_handshake(net.nodes[0].w, net_peer(&net, 0, 1), net.now);
    } else {
        ck_assert_int_eq(net_send(&net, v, 0, 1, 2, len), WG_DROP_NONE);
    }
    return net.nodes[0].last_sent[type];
}

START_TEST(names_are_distinct)
{
    for (int i = 0; i < WG_DROP_COUNT; i++) {
        ck_assert_ptr_nonnull(wg_drop_name((enum wg_drop)i));
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(wg_drop_name((enum wg_drop)i), wg_drop_name((enum wg_drop)j));
    }
}
END_TEST

/* Goal: every length that no message has is refused, for every type. */
START_TEST(wrong_length_drops)
{
    static const struct {
        uint8_t type;
        size_t len;
    } rows[] = {{1, 147}, {1, 149}, {2, 91}, {2, 93}, {3, 63}, {3, 65}, {4, 31}, {4, 16}, {1, 4}};
    uint8_t data[256] = {0};

    connected();
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        data[0] = rows[i].type;
        expect_drop(1, &net.nodes[0].endpoint, data, rows[i].len, WG_DROP_LENGTH);
    }
    for (size_t len = 0; len < 4; len++)
        expect_drop(1, &net.nodes[0].endpoint, data, len, WG_DROP_LENGTH);
    net_done(&net);
}
END_TEST

START_TEST(oversized_datagram_drops)
{
    uint8_t *data = calloc(1, WG_DATAGRAM_MAX + 1);

    ck_assert_ptr_nonnull(data);
    connected();
    data[0] = WG_MSG_DATA;
    expect_drop(1, &net.nodes[0].endpoint, data, WG_DATAGRAM_MAX + 1, WG_DROP_LENGTH);
    free(data);
    net_done(&net);
}
END_TEST

/* Goal: type and each of the 24 reserved bits are looked at, for every message type. */
START_TEST(unknown_type_and_reserved_bits_drop)
{
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_DATA, IP_V4, 100);
    for (unsigned bit = 0; bit < 32; bit++) {
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (bit == 0 ||
            bit >= 3) /* not 4 ^ 1 = 5, 4 ^ 2 = 6, 4 ^ 4 = 0: unknown as well, see below */
            expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_TYPE);
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    good.data[0] = 0;
    expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_TYPE);
    good.data[0] = 5;
    expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_TYPE);
    good.data[0] = 4;
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    good = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    for (unsigned bit = 8; bit < 32; bit++) {
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_TYPE);
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    net_done(&net);
}
END_TEST

START_TEST(wrong_mac1_drops)
{
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    good.data[WG_INIT_MAC1] ^= 1;
    expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_MAC1);
    good.data[WG_INIT_MAC1] ^= 1;
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    net_done(&net);
}
END_TEST

/** Put a fresh mac1 on what was changed, as anyone can who knows the public key. */
static void restamp(unsigned to, uint8_t *data, size_t mac1)
{
    struct cookie_maker maker = {.has_last_mac1 = false};

    wg_cookie_keys_init(&maker.keys, net.nodes[to].public_key);
    wg_cookie_stamp(&maker, (struct cookie_msg){.data = data, .mac1 = mac1}, net.now);
}

START_TEST(forged_initiation_drops)
{
    static const size_t places[] = {WG_INIT_EPHEMERAL, WG_INIT_STATIC, WG_INIT_TIMESTAMP - 1,
                                    WG_INIT_TIMESTAMP, WG_INIT_MAC1 - 1};
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        good.data[places[i]] ^= 1;
        restamp(1, good.data, WG_INIT_MAC1);
        expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_HANDSHAKE);
        good.data[places[i]] ^= 1;
    }
    restamp(1, good.data, WG_INIT_MAC1);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    net_done(&net);
}
END_TEST

/* Goal: an ephemeral of low order, which would make the shared secret known, is refused. */
START_TEST(low_order_ephemeral_drops)
{
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    memset(good.data + WG_INIT_EPHEMERAL, 0, WG_KEY_LEN);
    restamp(1, good.data, WG_INIT_MAC1);
    expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_HANDSHAKE);
    net_done(&net);
}
END_TEST

START_TEST(forged_response_drops)
{
    static const size_t places[] = {WG_RESP_EPHEMERAL, WG_RESP_EMPTY};
    struct net_bytes init;
    struct net_bytes good;

    connected();
    init = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, init.data, init.len),
                     WG_DROP_NONE);
    good = net.nodes[1].last_sent[WG_MSG_RESPONSE];
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        good.data[places[i]] ^= 1;
        restamp(0, good.data, WG_RESP_MAC1);
        expect_drop(0, &net.nodes[1].endpoint, good.data, good.len, WG_DROP_HANDSHAKE);
        good.data[places[i]] ^= 1;
    }
    good.data[WG_RESP_MAC1] ^= 1;
    expect_drop(0, &net.nodes[1].endpoint, good.data, good.len, WG_DROP_MAC1);
    restamp(0, good.data, WG_RESP_MAC1);
    ck_assert_int_eq(net_inject(&net, 0, &net.nodes[1].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    /* The same one again: the handshake that it answered is over. */
    expect_drop(0, &net.nodes[1].endpoint, good.data, good.len, WG_DROP_UNKNOWN_INDEX);
    net_done(&net);
}
END_TEST

START_TEST(unknown_peer_drops)
{
    connected();
    ck_assert_int_eq(wg_peer_remove(net.nodes[0].w, net.nodes[1].public_key), 0);
    net_done(&net);
    net_init(&net, 8, 3, NULL);
    net.holds = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 2, 0, 1, 100), WG_DROP_NONE);
    ck_assert_int_eq(wg_peer_remove(net.nodes[0].w, net.nodes[2].public_key), 0);
    expect_drop(0, &net.nodes[2].endpoint, net.nodes[2].last_sent[1].data, WG_INIT_LEN,
                WG_DROP_UNKNOWN_PEER);
    net_done(&net);
}
END_TEST

/* Goal: an initiation is taken once; a copy, at any later time and from anywhere, is not (5.1). */
START_TEST(replayed_initiation_drops)
{
    struct endpoint elsewhere = stranger();
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    expect_drop(1, &elsewhere, good.data, good.len, WG_DROP_STALE_INITIATION);
    net.now = mono_add_ns(net.now, 300 * NS_PER_S);
    expect_drop(1, &elsewhere, good.data, good.len, WG_DROP_STALE_INITIATION);
    net_done(&net);
}
END_TEST

/* Goal: timestamps grow also when the initiator's wall clock is set back by an hour. */
START_TEST(initiation_after_clock_set_back_is_taken)
{
    struct net_bytes good;

    connected();
    net.nodes[0].wall_offset_ns -= 3600 * NS_PER_S;
    good = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    net_done(&net);
}
END_TEST

/* Goal: one peer's initiations are taken at most every 20 ms; 20 ms later the same is fine. */
START_TEST(initiations_of_one_peer_too_fast_drop)
{
    uint8_t first[WG_INIT_LEN];
    struct net_bytes second;

    connected();
    memcpy(first, next_from_0(WG_MSG_INITIATION, IP_V4, 0).data, sizeof(first));
    second = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, first, sizeof(first)),
                     WG_DROP_NONE);
    net.now = mono_add_ms(net.now, 19);
    expect_drop(1, &net.nodes[0].endpoint, second.data, second.len, WG_DROP_RATE);
    net.now = mono_add_ms(net.now, 1);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, second.data, second.len),
                     WG_DROP_NONE);
    net_done(&net);
}
END_TEST

/** Bring node 1 under load with handshake messages that have a good mac1 and nothing else. */
static void flood(void)
{
    struct endpoint from = stranger();
    uint8_t junk[WG_INIT_LEN] = {WG_MSG_INITIATION};
    unsigned count = 0;

    restamp(1, junk, WG_INIT_MAC1);
    ck_assert_int_eq(net_inject(&net, 1, &from, junk, sizeof(junk)), WG_DROP_HANDSHAKE);
    while (net_inject(&net, 1, &from, junk, sizeof(junk)) == WG_DROP_HANDSHAKE)
        ck_assert_uint_le(++count, WG_LOAD_PER_S);
    ck_assert_int_eq(net.nodes[1].last_drop, WG_DROP_UNDER_LOAD);
    ck_assert_uint_ge(count, WG_LOAD_PER_S - 8);
}

/* Goal (5.3): under load an initiation without MAC2 gets a cookie, and none of our state; with the
 * cookie, from the same address, the next one is taken; from another address it is not. */
START_TEST(under_load_cookie_opens_the_door)
{
    struct endpoint elsewhere = stranger();
    struct net_bytes init;
    struct net_bytes cookie;

    connected();
    init = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    flood();
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, init.data, init.len),
                     WG_DROP_UNDER_LOAD);
    cookie = net.nodes[1].last_sent[WG_MSG_COOKIE];
    ck_assert_uint_eq(cookie.len, WG_COOKIE_MSG_LEN);
    ck_assert_uint_eq(load_le32(cookie.data + WG_COOKIE_RECEIVER),
                      load_le32(init.data + WG_INIT_SENDER));
    ck_assert(endpoint_equal(&net.nodes[1].last_to, &net.nodes[0].endpoint));

    cookie.data[WG_COOKIE_SEALED] ^= 1;
    expect_drop(0, &net.nodes[1].endpoint, cookie.data, cookie.len, WG_DROP_COOKIE);
    cookie.data[WG_COOKIE_SEALED] ^= 1;
    ck_assert_int_eq(net_inject(&net, 0, &net.nodes[1].endpoint, cookie.data, cookie.len),
                     WG_DROP_NONE);
    expect_drop(0, &net.nodes[1].endpoint, cookie.data, cookie.len, WG_DROP_COOKIE);

    init = next_from_0(WG_MSG_INITIATION, IP_V4, 0); /* five seconds later */
    flood();
    ck_assert_int_eq(net_inject(&net, 1, &elsewhere, init.data, init.len), WG_DROP_UNDER_LOAD);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, init.data, init.len),
                     WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[1].sent[WG_MSG_RESPONSE], 2);
    net_done(&net);
}
END_TEST

/* Goal: under load, an address with a good cookie is let through five times at once and then twenty
 * times a second. */
START_TEST(under_load_rate_of_one_address_is_limited)
{
    struct net_bytes init;
    unsigned taken = 0;

    connected();
    init = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    flood();
    (void)net_inject(&net, 1, &net.nodes[0].endpoint, init.data, init.len);
    ck_assert_int_eq(net_inject(&net, 0, &net.nodes[1].endpoint,
                                net.nodes[1].last_sent[WG_MSG_COOKIE].data, WG_COOKIE_MSG_LEN),
                     WG_DROP_NONE);
    init = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    flood();
    for (unsigned i = 0; i < 20; i++)
        taken += net_inject(&net, 1, &net.nodes[0].endpoint, init.data, init.len) != WG_DROP_RATE;
    ck_assert_uint_eq(taken, WG_LIMIT_BURST);
    ck_assert_uint_eq(wg_drop_count(net.nodes[1].w, WG_DROP_RATE), 15);
    net.now = mono_add_ms(net.now, 51);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, init.data, init.len),
                     WG_DROP_STALE_INITIATION);
    net_done(&net);
}
END_TEST

/* Goal: load is forgotten a second after the flood. */
START_TEST(load_ends)
{
    struct net_bytes init;

    connected();
    flood();
    net.now = mono_add_ms(net.now, 2001);
    init = next_from_0(WG_MSG_INITIATION, IP_V4, 0);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, init.data, init.len),
                     WG_DROP_NONE);
    net_done(&net);
}
END_TEST

/* Goal: a running session is not touched by a flood of handshakes. */
START_TEST(session_survives_flood)
{
    connected();
    flood();
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 5, 100), WG_DROP_NONE);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 6, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net_got(&net, 1, IP_V4, 0, 1, 5, 100), 1);
    ck_assert_uint_eq(net_got(&net, 0, IP_V4, 1, 0, 6, 100), 1);
    net_done(&net);
}
END_TEST

START_TEST(cookie_for_nobody_drops)
{
    uint8_t cookie[WG_COOKIE_MSG_LEN] = {WG_MSG_COOKIE};

    connected();
    store_le32(cookie + WG_COOKIE_RECEIVER, 12345);
    expect_drop(1, &net.nodes[0].endpoint, cookie, sizeof(cookie), WG_DROP_UNKNOWN_INDEX);
    net_done(&net);
}
END_TEST

START_TEST(unknown_index_drops)
{
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_DATA, IP_V4, 100);
    for (unsigned bit = 0; bit < 32; bit++) {
        good.data[WG_DATA_RECEIVER + bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_UNKNOWN_INDEX);
        good.data[WG_DATA_RECEIVER + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memset(good.data + WG_DATA_RECEIVER, 0, 4);
    expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_UNKNOWN_INDEX);
    net_done(&net);
}
END_TEST

/* Goal: at 179.999 s a session still opens, at 180 s it does not; nor a counter past the limit. */
START_TEST(expired_session_drops)
{
    struct net_bytes good;
    struct mono born;

    connected();
    born = peer_at(1)->sessions.current->born;
    good = next_from_0(WG_MSG_DATA, IP_V4, 100);
    net.now = mono_add_ns(born, WG_REJECT_AFTER_NS);
    expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_EXPIRED);
    net.now = mono_add_ns(born, WG_REJECT_AFTER_NS - 1);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    store_le64(good.data + WG_DATA_COUNTER, WG_REJECT_AFTER_MESSAGES);
    expect_drop(1, &net.nodes[0].endpoint, good.data, good.len, WG_DROP_EXPIRED);
    net_done(&net);
}
END_TEST

/* Goal, fault (c) of the warning list: a replay from elsewhere neither roams nor moves a timer. */
START_TEST(replayed_data_drops_and_does_not_roam)
{
    struct endpoint elsewhere = stranger();
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_DATA, IP_V4, 100);
    ck_assert_int_eq(net_inject(&net, 1, &net.nodes[0].endpoint, good.data, good.len),
                     WG_DROP_NONE);
    net.now = mono_add_ms(net.now, 500);
    expect_drop(1, &elsewhere, good.data, good.len, WG_DROP_REPLAY);
    ck_assert_uint_eq(net.nodes[1].events[WG_EVENT_ROAMED], 0);
    net_done(&net);
}
END_TEST

START_TEST(forged_data_drops)
{
    struct endpoint elsewhere = stranger();
    struct net_bytes good;

    connected();
    good = next_from_0(WG_MSG_DATA, IP_V4, 100);
    good.data[good.len - 1] ^= 0x80;
    expect_drop(1, &elsewhere, good.data, good.len, WG_DROP_AUTH);
    good.data[good.len - 1] ^= 0x80;
    good.data[WG_DATA_COUNTER] ^= 1;
    expect_drop(1, &elsewhere, good.data, good.len, WG_DROP_AUTH);
    good.data[WG_DATA_COUNTER] ^= 1;
    ck_assert_int_eq(net_inject(&net, 1, &elsewhere, good.data, good.len), WG_DROP_NONE);
    ck_assert_uint_eq(net.nodes[1].events[WG_EVENT_ROAMED], 1);
    net_done(&net);
}
END_TEST

/** Seal any bytes with node 0's session, as a peer that misbehaves could. */
static size_t seal_by_0(const void *inner, size_t len, uint8_t *ret)
{
    return wg_session_seal(peer_at(0)->sessions.current, bytes_of(inner, len), 1420, ret);
}

/** Its replay window is all that may change. */
static void expect_sealed_drop(const uint8_t *inner, size_t len, enum wg_drop want)
{
    struct endpoint elsewhere = stranger();
    uint8_t datagram[2048];
    uint64_t before = wg_drop_count(net.nodes[1].w, want);
    unsigned delivered = net.nodes[1].delivered_count;
    struct wg_peer_stats stats = net_stats(&net, 1, 0);

    ck_assert_str_eq(
        wg_drop_name(net_inject(&net, 1, &elsewhere, datagram, seal_by_0(inner, len, datagram))),
        wg_drop_name(want));
    ck_assert_uint_eq(wg_drop_count(net.nodes[1].w, want), before + 1);
    ck_assert_uint_eq(net.nodes[1].delivered_count, delivered);
    ck_assert_uint_eq(net.nodes[1].events[WG_EVENT_ROAMED], 0);
    ck_assert_uint_eq(net_stats(&net, 1, 0).rx_bytes, stats.rx_bytes);
}

/* Goal: what is no whole IPv4 or IPv6 packet is not delivered. */
START_TEST(broken_inner_packet_drops)
{
    uint8_t p[128];

    connected();
    memset(p, 0, sizeof(p));
    expect_sealed_drop(p, 64, WG_DROP_INNER); /* version 0 */
    (void)net_packet(IP_V4, 0, 1, 1, 64, p);
    p[0] = 0x55;
    expect_sealed_drop(p, 64, WG_DROP_INNER); /* version 5 */
    p[0] = 0x44;
    expect_sealed_drop(p, 64, WG_DROP_INNER); /* header of 16 bytes */
    p[0] = 0x45;
    expect_sealed_drop(p, 16, WG_DROP_INNER); /* no whole header */
    store_be16(p + 2, 19);
    expect_sealed_drop(p, 64, WG_DROP_INNER); /* shorter than its header */
    store_be16(p + 2, 65);
    expect_sealed_drop(p, 64, WG_DROP_INNER); /* longer than what came */
    (void)net_packet(IP_V6, 0, 1, 1, 64, p);
    expect_sealed_drop(p, 32, WG_DROP_INNER);
    store_be16(p + 4, 25);
    expect_sealed_drop(p, 64, WG_DROP_INNER);
    net_done(&net);
}
END_TEST

/* Goal, faults (a) and (b): it is the source that is checked, of both families; a destination in
 * the sender's own prefix does not help it. */
START_TEST(foreign_inner_source_drops)
{
    enum ip_family v = _i == 0 ? IP_V4 : IP_V6;
    uint8_t p[128];

    net_init(&net, 9, 3, NULL);
    ck_assert_int_eq(net_send(&net, v, 0, 1, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net.nodes[1].delivered_count, 1);
    (void)net_packet(v, 2, 1, 1, 64, p); /* as if from node 2 */
    expect_sealed_drop(p, 64, WG_DROP_SOURCE);
    (void)net_packet(v, 2, 0, 1, 64, p); /* source of node 2, destination in node 0's prefix */
    expect_sealed_drop(p, 64, WG_DROP_SOURCE);
    (void)net_packet(v, 1, 0, 1, 64, p); /* our own address as source */
    expect_sealed_drop(p, 64, WG_DROP_SOURCE);
    net_done(&net);
}
END_TEST

/* Goal: padding behind the packet is cut off before delivery. */
START_TEST(padding_is_cut_off)
{
    uint8_t p[128];
    uint8_t datagram[256];

    connected();
    memset(p, 0xaa, sizeof(p));
    (void)net_packet(IP_V4, 0, 1, 42, 61, p);
    ck_assert_int_eq(
        net_inject(&net, 1, &net.nodes[0].endpoint, datagram, seal_by_0(p, 128, datagram)),
        WG_DROP_NONE);
    ck_assert_uint_eq(net_got(&net, 1, IP_V4, 0, 1, 42, 61), 1);
    net_done(&net);
}
END_TEST

/* Goal: packets without a peer for their destination, or that are none, do not leave. */
START_TEST(output_without_route_drops)
{
    uint8_t p[128];
    size_t len = net_packet(IP_V4, 0, 7, 1, 64, p);
    struct wg *w;

    net_init(&net, 10, 3, NULL);
    w = net.nodes[0].w;
    ck_assert_int_eq(wg_output(w, bytes_of(p, len), net.now), WG_DROP_NO_ROUTE);
    len = net_packet(IP_V6, 0, 7, 1, 64, p);
    ck_assert_int_eq(wg_output(w, bytes_of(p, len), net.now), WG_DROP_NO_ROUTE);
    len = net_packet(IP_V4, 0, 1, 1, 64, p);
    ck_assert_int_eq(wg_output_peer(w, net_peer(&net, 0, 2), bytes_of(p, len), net.now),
                     WG_DROP_NO_ROUTE);
    ck_assert_int_eq(wg_output_peer(w, (struct wg_peer_id){0}, bytes_of(p, len), net.now),
                     WG_DROP_NO_ROUTE);
    ck_assert_int_eq(wg_output_peer(w, net_peer(&net, 0, 1), bytes_of(p, len), net.now),
                     WG_DROP_NONE);
    ck_assert_int_eq(wg_output(w, bytes_of(p, len - 1), net.now), WG_DROP_INNER);
    ck_assert_int_eq(wg_output_peer(w, net_peer(&net, 0, 1), bytes_of(p, 3), net.now),
                     WG_DROP_INNER);
    ck_assert_int_eq(wg_output(w, bytes_of(p, 0), net.now), WG_DROP_INNER);
    ck_assert_uint_eq(wg_drop_count(w, WG_DROP_NO_ROUTE), 4);
    ck_assert_uint_eq(wg_drop_count(w, WG_DROP_INNER), 3);
    net_done(&net);
}
END_TEST

START_TEST(output_of_largest_packet_and_one_more)
{
    net_init(&net, 11, 2, NULL);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, WG_INNER_MAX), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net_got(&net, 1, IP_V4, 0, 1, 1, WG_INNER_MAX), 1);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, WG_INNER_MAX + 1), WG_DROP_INNER);
    net_done(&net);
}
END_TEST

START_TEST(output_without_endpoint_drops)
{
    struct net_options options = {.responders_only = true};

    net_init(&net, 12, 2, &options);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 1, 100), WG_DROP_NO_ENDPOINT);
    ck_assert_uint_eq(wg_drop_count(net.nodes[1].w, WG_DROP_NO_ENDPOINT), 1);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 2, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 3, 100), WG_DROP_NONE); /* it has learnt it */
    net_settle(&net);
    ck_assert_uint_eq(net_got(&net, 0, IP_V4, 1, 0, 3, 100), 1);
    net_done(&net);
}
END_TEST

/* Goal: 128 packets wait; one more makes the oldest go; all others arrive, in order. */
START_TEST(waiting_packets_are_bounded)
{
    net_init(&net, 13, 2, NULL);
    for (uint32_t i = 0; i <= WG_QUEUE_PEER_MAX; i++)
        ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, i, 100), WG_DROP_NONE);
    ck_assert_uint_eq(wg_drop_count(net.nodes[0].w, WG_DROP_QUEUE), 1);
    net_settle(&net);
    ck_assert_uint_eq(net.nodes[1].delivered_count, WG_QUEUE_PEER_MAX);
    for (uint32_t i = 0; i < WG_QUEUE_PEER_MAX; i++)
        ck_assert_uint_eq(load_be32(net.nodes[1].delivered[i].data + 20), i + 1);
    net_done(&net);
}
END_TEST

/* Goal: all peers' waiting packets are bounded together. Method: fill the device's count. */
START_TEST(waiting_packets_of_device_are_bounded)
{
    net_init(&net, 14, 2, NULL);
    net.holds = true;
    net.nodes[0].w->waiting_count = WG_QUEUE_DEVICE_MAX; /* as if of other peers */
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_QUEUE);
    net.nodes[0].w->waiting_count = WG_QUEUE_DEVICE_MAX - 1;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 2, 100), WG_DROP_NONE);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 3, 100), WG_DROP_NONE); /* replaces its own */
    ck_assert_uint_eq(peer_at(0)->queue_count, 1);
    ck_assert_uint_eq(wg_drop_count(net.nodes[0].w, WG_DROP_QUEUE), 2);
    net_done(&net);
}
END_TEST

/* Goal: what waits for nobody is dropped when the attempts end, and counted. */
START_TEST(no_session_drops_what_waits)
{
    net_init(&net, 15, 2, NULL);
    net.holds = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 2, 100), WG_DROP_NONE);
    net_run(&net, 89 * 1000);
    ck_assert_uint_eq(wg_drop_count(net.nodes[0].w, WG_DROP_NO_SESSION), 0);
    net_run(&net, 7 * 1000);
    ck_assert_uint_eq(wg_drop_count(net.nodes[0].w, WG_DROP_NO_SESSION), 2);
    ck_assert_uint_eq(net.nodes[0].events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
    net_done(&net);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(names_are_distinct),
    SUITE_TEST(wrong_length_drops),
    SUITE_TEST(oversized_datagram_drops),
    SUITE_TEST(unknown_type_and_reserved_bits_drop),
    SUITE_TEST(wrong_mac1_drops),
    SUITE_TEST(forged_initiation_drops),
    SUITE_TEST(low_order_ephemeral_drops),
    SUITE_TEST(forged_response_drops),
    SUITE_TEST(unknown_peer_drops),
    SUITE_TEST(replayed_initiation_drops),
    SUITE_TEST(initiation_after_clock_set_back_is_taken),
    SUITE_TEST(initiations_of_one_peer_too_fast_drop),
    SUITE_TEST(under_load_cookie_opens_the_door),
    SUITE_TEST(under_load_rate_of_one_address_is_limited),
    SUITE_TEST(load_ends),
    SUITE_TEST(session_survives_flood),
    SUITE_TEST(cookie_for_nobody_drops),
    SUITE_TEST(unknown_index_drops),
    SUITE_TEST(expired_session_drops),
    SUITE_TEST(replayed_data_drops_and_does_not_roam),
    SUITE_TEST(forged_data_drops),
    SUITE_TEST(broken_inner_packet_drops),
    SUITE_ROWS(foreign_inner_source_drops, 2),
    SUITE_TEST(padding_is_cut_off),
    SUITE_TEST(output_without_route_drops),
    SUITE_TEST(output_of_largest_packet_and_one_more),
    SUITE_TEST(output_without_endpoint_drops),
    SUITE_TEST(waiting_packets_are_bounded),
    SUITE_TEST(waiting_packets_of_device_are_bounded),
    SUITE_TEST(no_session_drops_what_waits),
};

SUITE_MAIN("wg_drops", tests)
