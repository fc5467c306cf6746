/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "netstack/wg/device.h"
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* Peers at run time, keys as text, cookies' age, the limiter: what the wire tests do not reach. */

static struct net net; /* each test runs in a process of its own */

static struct wg_peer_conf some_peer(uint64_t seed)
{
    struct test_rng rng = {.state = seed};
    struct wg_peer_conf peer = {.has_endpoint = false};
    uint8_t private[WG_KEY_LEN];

    wg_key_generate(test_rng(&rng), private);
    ck_assert_int_eq(wg_key_public(private, peer.public_key), 0);
    return peer;
}

START_TEST(peer_added_twice_or_unusable_is_refused)
{
    struct wg_peer_conf peer = some_peer(1);
    struct wg_peer_id id;
    struct wg *w;

    net_init(&net, 41, 2, NULL);
    w = net.nodes[0].w;
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), 0);
    ck_assert_uint_eq(wg_peer_count(w), 2);
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), -EEXIST);
    memcpy(peer.public_key, net.nodes[0].public_key, WG_KEY_LEN);
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), -EINVAL); /* ourselves */
    memset(peer.public_key, 0, WG_KEY_LEN);
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), -EINVAL); /* low order */
    peer = some_peer(2);
    peer.allowed_ip_count = WG_ALLOWED_IPS_MAX + 1;
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), -EINVAL);
    ck_assert_uint_eq(wg_peer_count(w), 2);
    net_done(&net);
}
END_TEST

/* Goal: a removed peer's session, routes, waiting packets and id are gone; the others stay. */
START_TEST(peer_removed_is_gone_at_once)
{
    struct ip ip = ip_v4(10, 0, 0, 2);
    struct wg_peer_id old;
    struct wg_peer_id id;
    struct wg_peer_stats stats;
    struct wg *w;

    net_init(&net, 42, 3, NULL);
    w = net.nodes[0].w;
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    old = net_peer(&net, 0, 1);
    ck_assert_uint_eq(net.nodes[0].delivered_from.n, old.n);
    net.holds = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 1, 0, 2, 100), WG_DROP_NONE);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 2, 3, 100), WG_DROP_NONE); /* waits */
    ck_assert_int_eq(wg_peer_remove(w, net.nodes[1].public_key), 0);
    ck_assert_int_eq(wg_peer_remove(w, net.nodes[1].public_key), -ENOENT);
    ck_assert_int_eq(net_inject(&net, 0, &net.nodes[1].endpoint, net.nodes[1].last_sent[4].data,
                                net.nodes[1].last_sent[4].len),
                     WG_DROP_UNKNOWN_INDEX);
    ck_assert_int_eq(wg_peer_find(w, &ip, &id), -ENOENT);
    ck_assert_int_eq(wg_peer_stats(w, old, &stats), -ENOENT);
    ck_assert_int_eq(wg_peer_add(w, &net.nodes[0].conf.peers[0], &id), 0);
    ck_assert_uint_ne(id.n, old.n); /* the slot is used again, the id is not */
    ck_assert_int_eq(wg_peer_stats(w, old, &stats), -ENOENT);
    ck_assert_int_eq(wg_peer_stats(w, id, &stats), 0);
    ck_assert_mem_eq(stats.public_key, net.nodes[1].public_key, WG_KEY_LEN);
    ck_assert_int_eq(wg_peer_remove(w, net.nodes[2].public_key), 0);
    ck_assert_uint_eq(wg_drop_count(w, WG_DROP_NO_SESSION), 1);
    ck_assert_uint_eq(w->waiting_count, 0);
    net_done(&net);
}
END_TEST

/* Goal: a slot whose ids are used up is not used again. */
START_TEST(ids_are_never_used_again)
{
    struct wg_peer_conf peer = some_peer(3);
    struct wg_peer_id id;
    uint32_t slot;
    struct wg *w;

    net_init(&net, 43, 2, NULL);
    w = net.nodes[0].w;
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), 0);
    slot = id.n & 0xffff;
    ck_assert_int_eq(wg_peer_remove(w, peer.public_key), 0);
    w->slots[slot].generation = UINT16_MAX; /* as after 65 534 removals */
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), 0);
    ck_assert_uint_eq(id.n, 0xffff0000u | slot);
    ck_assert_int_eq(wg_peer_remove(w, peer.public_key), 0);
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), 0);
    ck_assert_uint_ne(id.n & 0xffff, slot);
    net_done(&net);
}
END_TEST

/* Goal: an allowed IP that another peer gets moves to it, and stays when the first is removed. */
START_TEST(allowed_ip_moves_to_the_later_peer)
{
    struct prefix prefix = {.ip = ip_v4(10, 0, 0, 2), .bits = 32};
    struct wg_peer_conf thief = some_peer(4);
    struct wg_peer_id id;
    struct wg_peer_id found;

    net_init(&net, 44, 2, NULL);
    thief.allowed_ips = &prefix;
    thief.allowed_ip_count = 1;
    ck_assert_int_eq(wg_peer_add(net.nodes[0].w, &thief, &id), 0);
    ck_assert_int_eq(wg_peer_find(net.nodes[0].w, &prefix.ip, &found), 0);
    ck_assert_uint_eq(found.n, id.n);
    ck_assert_int_eq(wg_peer_remove(net.nodes[0].w, net.nodes[1].public_key), 0);
    ck_assert_int_eq(wg_peer_find(net.nodes[0].w, &prefix.ip, &found), 0);
    ck_assert_uint_eq(found.n, id.n);
    net_done(&net);
}
END_TEST

/* Goal: thousands of peers are found by key and by address; the one beyond the limit is refused. */
START_TEST(peers_up_to_the_limit)
{
    struct wg_peer_conf peer = {.has_endpoint = false};
    struct prefix prefix = {.bits = 32};
    struct wg_peer_id id;
    struct wg *w;

    net_init(&net, 45, 1, NULL);
    w = net.nodes[0].w;
    peer.allowed_ips = &prefix;
    peer.allowed_ip_count = 1;
    for (uint32_t i = 0; i < 3000; i++) {
        store_le32(peer.public_key, i * 7919 + 9); /* any such number is a point */
        prefix.ip = ip_v4(10, 9, (uint8_t)(i >> 8), (uint8_t)i);
        ck_assert_int_eq(wg_peer_add(w, &peer, &id), 0);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        struct ip ip = ip_v4(10, 9, (uint8_t)(i >> 8), (uint8_t)i);
        struct wg_peer_stats stats;

        ck_assert_int_eq(wg_peer_find(w, &ip, &id), 0);
        ck_assert_int_eq(wg_peer_stats(w, id, &stats), 0);
        ck_assert_uint_eq(load_le32(stats.public_key), i * 7919 + 9);
        ck_assert_ptr_nonnull(wg_peer_by_key(w, stats.public_key));
    }
    w->slot_count = w->slot_cap; /* as if each slot had been used up */
    w->slot_cap = WG_PEERS_MAX;
    w->slot_count = WG_PEERS_MAX;
    store_le32(peer.public_key, 1000000007);
    w->buckets = realloc(w->buckets, WG_PEERS_MAX * sizeof(*w->buckets));
    ck_assert_ptr_nonnull(w->buckets);
    memset(w->buckets, 0xff, WG_PEERS_MAX * sizeof(*w->buckets));
    ck_assert_int_eq(wg_peer_add(w, &peer, &id), -ENOSPC);
    _exit(0); /* the device was bent; nothing in it is to be freed */
}
END_TEST

/* Rows: what wg_new() says no to. */
START_TEST(unusable_configuration_is_refused)
{
    static const char *const parts[] = {"no private key", "is there twice",
                                        "not a usable public key", "is not resolved"};
    struct wg_sink sink = {.self = NULL};
    struct test_rng rng = {.state = 1};
    struct wg_env env = {.rng = test_rng(&rng)};
    struct wg_peer_conf peers[2] = {some_peer(5), some_peer(6)};
    struct wg_conf conf = {.private_key = {8, [31] = 64}, .peers = peers, .peer_count = 2};
    struct why why = {0};
    struct wg *w = NULL;

    ck_assert_int_eq(wg_new(&conf, &sink, &env, &w, NULL), 0);
    wg_free(w);
    w = NULL;
    if (_i == 0)
        memset(conf.private_key, 0, WG_KEY_LEN);
    if (_i == 1)
        peers[1] = peers[0];
    if (_i == 2)
        memset(peers[1].public_key, 0, WG_KEY_LEN);
    if (_i == 3)
        (void)snprintf(peers[1].endpoint_host, sizeof(peers[1].endpoint_host), "vpn.example");
    ck_assert_int_eq(wg_new(&conf, &sink, &env, &w, &why), -EINVAL);
    ck_assert_ptr_null(w);
    ck_assert_msg(strstr(why.text, parts[_i]) != NULL, "said: %s", why.text);
    wg_free(NULL);
}
END_TEST

/* Goal: counters and the time of the last handshake are told. */
START_TEST(stats_count_bytes_as_sealed)
{
    net_init(&net, 46, 2, NULL);
    ck_assert_int_eq(net_stats(&net, 0, 1).last_handshake.ns, 0);
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    net_settle(&net);
    ck_assert_uint_eq(net_stats(&net, 0, 1).tx_bytes, 112 + 32);
    ck_assert_uint_eq(net_stats(&net, 1, 0).rx_bytes, 112 + 32);
    ck_assert_int_gt(net_stats(&net, 1, 0).last_handshake.ns, 0);
    ck_assert(net_stats(&net, 1, 0).has_endpoint);
    net_done(&net);
}
END_TEST

/* Goal: print(parse(key)) = key, over all digits; near misses are refused. */
START_TEST(key_text_round_trip)
{
    struct test_rng rng = {.state = 3};
    uint8_t key[WG_KEY_LEN];
    uint8_t back[WG_KEY_LEN];
    char text[WG_KEY_TEXT_CAP];

    for (unsigned n = 0; n < 2000; n++) {
        test_rng(&rng).fill(&rng, key, sizeof(key));
        wg_key_print(key, text);
        ck_assert_uint_eq(strlen(text), 44);
        ck_assert_int_eq(wg_key_parse(bytes_of_str(text), back), 0);
        ck_assert_mem_eq(key, back, sizeof(key));
    }
    for (unsigned c = 0; c < 256; c++) {
        bool is_digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                        (c >= '0' && c <= '9') || c == '+' || c == '/';

        text[7] = (char)c;
        ck_assert_int_eq(wg_key_parse(bytes_of(text, 44), back), is_digit ? 0 : -EINVAL);
    }
    text[7] = 'A';
    ck_assert_int_eq(wg_key_parse(bytes_of(text, 43), back), -EINVAL);
    text[43] = 'A';
    ck_assert_int_eq(wg_key_parse(bytes_of(text, 44), back), -EINVAL);
}
END_TEST

/* Goal: a cookie is used for 115 s by who got it (5 s before its secret changes), and is good for
 * 120 s at most with who gave it. */
START_TEST(cookie_ages)
{
    struct test_rng rng = {.state = 4};
    struct endpoint from = {.ip = ip_v4(192, 0, 2, 1), .port = 5};
    struct endpoint port = {.ip = ip_v4(192, 0, 2, 1), .port = 6};
    uint8_t public_key[WG_KEY_LEN] = {1};
    uint8_t data[WG_INIT_LEN] = {WG_MSG_INITIATION};
    uint8_t reply[WG_COOKIE_MSG_LEN];
    static const uint8_t zero[WG_MAC_LEN];
    struct cookie_msg msg = {.data = data, .mac1 = WG_INIT_MAC1};
    struct cookie_checker c = {.secret_born = {0}};
    struct cookie_maker m = {.has_last_mac1 = false};
    const struct mono t = {.ns = 50 * NS_PER_S};

    wg_cookie_keys_init(&c.keys, public_key);
    wg_cookie_keys_init(&m.keys, public_key);
    wg_cookie_stamp(&m, msg, t);
    ck_assert_mem_eq(data + WG_INIT_MAC2, zero, WG_MAC_LEN);
    ck_assert(wg_cookie_has_mac1(&c, msg));
    ck_assert(!wg_cookie_has_mac2(&c, msg, &from, test_rng(&rng), t));
    wg_cookie_write_reply(&c, msg, 7, &from, test_rng(&rng), t, reply);
    ck_assert_int_eq(wg_cookie_read_reply(&m, reply, t), 0);
    wg_cookie_stamp(&m, msg, mono_add_ns(t, 115 * NS_PER_S - 1));
    ck_assert_mem_ne(data + WG_INIT_MAC2, zero, WG_MAC_LEN);
    ck_assert(wg_cookie_has_mac2(&c, msg, &from, test_rng(&rng), mono_add_ns(t, 115 * NS_PER_S)));
    ck_assert(!wg_cookie_has_mac2(&c, msg, &port, test_rng(&rng), mono_add_ns(t, 115 * NS_PER_S)));
    ck_assert(
        wg_cookie_has_mac2(&c, msg, &from, test_rng(&rng), mono_add_ns(t, 120 * NS_PER_S - 1)));
    ck_assert(!wg_cookie_has_mac2(&c, msg, &from, test_rng(&rng), mono_add_ns(t, 120 * NS_PER_S)));
    wg_cookie_stamp(&m, msg, mono_add_ns(t, 115 * NS_PER_S));
    ck_assert_mem_eq(data + WG_INIT_MAC2, zero, WG_MAC_LEN);
}
END_TEST

/* Goal: five at once, then one each 50 ms; per IPv4 address, per IPv6 /64; others are not touched.
 */
START_TEST(limiter_counts_by_address)
{
    static struct limiter l; /* zero; 40 KB */
    struct ip a = ip_v4(192, 0, 2, 1);
    struct ip b = ip_v4(192, 0, 2, 2);
    struct ip v6 = {.family = IP_V6, .bytes = {0x20, 1, [15] = 1}};
    struct ip same_64 = {.family = IP_V6, .bytes = {0x20, 1, [15] = 2}};
    struct ip next_64 = {.family = IP_V6, .bytes = {0x20, 1, [7] = 1}};
    struct mono t = {.ns = 10 * NS_PER_S};

    for (unsigned i = 0; i < 5; i++)
        ck_assert(wg_limiter_allow(&l, &a, t));
    ck_assert(!wg_limiter_allow(&l, &a, t));
    ck_assert(wg_limiter_allow(&l, &b, t));
    ck_assert(!wg_limiter_allow(&l, &a, mono_add_ms(t, 49)));
    ck_assert(wg_limiter_allow(&l, &a, mono_add_ms(t, 50)));
    ck_assert(!wg_limiter_allow(&l, &a, mono_add_ms(t, 50)));
    for (unsigned i = 0; i < 5; i++)
        ck_assert(wg_limiter_allow(&l, i % 2 == 0 ? &v6 : &same_64, t));
    ck_assert(!wg_limiter_allow(&l, &v6, t));
    ck_assert(!wg_limiter_allow(&l, &same_64, t));
    ck_assert(wg_limiter_allow(&l, &next_64, t));
}
END_TEST

/* Goal: however many addresses ask, memory does not grow and one that asks slowly gets through. */
START_TEST(limiter_is_bounded)
{
    static struct limiter l; /* zero; 40 KB */
    struct ip slow = ip_v4(198, 51, 100, 1);
    struct mono t = {.ns = 10 * NS_PER_S};

    for (uint32_t i = 0; i < 20000; i++) {
        struct ip ip = ip_v4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i);

        ck_assert(wg_limiter_allow(&l, &ip, t));
        if (i % 2000 == 0) {
            t = mono_add_ms(t, 100);
            ck_assert(wg_limiter_allow(&l, &slow, t));
        }
    }
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(peer_added_twice_or_unusable_is_refused),
    SUITE_TEST(peer_removed_is_gone_at_once),
    SUITE_TEST(ids_are_never_used_again),
    SUITE_TEST(allowed_ip_moves_to_the_later_peer),
    SUITE_TEST(peers_up_to_the_limit),
    SUITE_ROWS(unusable_configuration_is_refused, 4),
    SUITE_TEST(stats_count_bytes_as_sealed),
    SUITE_TEST(key_text_round_trip),
    SUITE_TEST(cookie_ages),
    SUITE_TEST(limiter_counts_by_address),
    SUITE_TEST(limiter_is_bounded),
};

SUITE_MAIN("wg_peers", tests)
