/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway's enrolled peers: they come, change, expire and go, and leave nothing. */
#include <errno.h>
#include <stdlib.h>

#include "base/rng.h"
#include "gateway/gateway.h"
#include "tests/support/suite.h"

static struct loop *loop;
static struct policy *own;
static struct gateway *gateway; /* one for each test, which has a process of its own */

static void start(void)
{
    static const char text[] = "[Interface]\nPrivateKey = %s\nAddress = 10.100.0.1/16\n";
    uint8_t key[WG_KEY_LEN];
    char key_text[WG_KEY_TEXT_CAP], conf_text[160];
    struct wg_conf conf = {0};
    struct gateway_config config = {.wg = &conf};
    struct why why = {0};

    wg_key_generate(rng_system(), key);
    wg_key_print(key, key_text);
    (void)snprintf(conf_text, sizeof(conf_text), text, key_text);
    ck_assert_int_eq(wg_conf_parse("test", bytes_of_str(conf_text), &conf, &why), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(policy_new(POLICY_ENFORCE, &own), 0);
    config.loop = loop;
    config.policy = own;
    ck_assert_msg(gateway_new(&config, &gateway, &why) == 0, "%s", why.text);
    wg_conf_done(&conf);
}

static void stop(void)
{
    gateway_free(gateway);
    policy_free(own);
    loop_free(loop);
}

static unsigned peers(void)
{
    struct gateway_usage usage;

    gateway_usage(gateway, &usage);
    return usage.peers;
}

/** A peer with a fresh key. */
static struct gateway_peer peer_new(uint8_t last, int64_t expires_s)
{
    struct gateway_peer p = {.address = ip_v4(10, 100, 0, last), .name = "agent", .ns = "team"};
    uint8_t key[WG_KEY_LEN];

    p.expires_s = expires_s;
    wg_key_generate(rng_system(), key);
    ck_assert_int_eq(wg_key_public(key, p.public_key), 0);
    ck_assert_int_eq(policy_new(POLICY_ENFORCE, &p.policy), 0);
    return p;
}

START_TEST(peer_set_and_removed_leaves_nothing)
{
    struct gateway_peer p;

    start();
    p = peer_new(2, INT64_MAX);
    ck_assert_int_eq(gateway_peer_remove(gateway, p.public_key), -ENOENT);
    ck_assert_int_eq(gateway_peer_set(gateway, &p), 0);
    ck_assert_uint_eq(peers(), 1);
    ck_assert_int_eq(gateway_peer_remove(gateway, p.public_key), 0);
    ck_assert_uint_eq(peers(), 0);
    ck_assert_int_eq(gateway_peer_remove(gateway, p.public_key), -ENOENT);
    stop();
}
END_TEST

/* Goal: the same key is one peer, with new rules or at a new address. */
START_TEST(peer_set_again_is_the_same_peer)
{
    struct gateway_peer p;

    start();
    p = peer_new(2, INT64_MAX);
    ck_assert_int_eq(gateway_peer_set(gateway, &p), 0);
    ck_assert_int_eq(policy_new(POLICY_AUDIT, &p.policy), 0);
    ck_assert_int_eq(gateway_peer_set(gateway, &p), 0);
    p.address = ip_v4(10, 100, 0, 3);
    ck_assert_int_eq(policy_new(POLICY_AUDIT, &p.policy), 0);
    ck_assert_int_eq(gateway_peer_set(gateway, &p), 0);
    ck_assert_uint_eq(peers(), 1);
    stop();
}
END_TEST

/* Goal: an end that is there takes the peer, a later one does not. Method: turns of the loop. */
START_TEST(peer_expires_at_its_own_end)
{
    int64_t now_s = wall_now_ns() / NS_PER_S;
    struct mono until = mono_add_ms(mono_now(), 10000);
    struct gateway_peer over, later, never;

    start();
    later = peer_new(2, now_s + 3600);
    over = peer_new(3, now_s);
    never = peer_new(4, INT64_MAX);
    ck_assert_int_eq(gateway_peer_set(gateway, &later), 0);
    ck_assert_int_eq(gateway_peer_set(gateway, &over), 0);
    ck_assert_int_eq(gateway_peer_set(gateway, &never), 0);
    ck_assert_uint_eq(peers(), 3);
    while (peers() == 3 && mono_before(mono_now(), until))
        ck_assert_int_eq(loop_turn(loop, until), 0);
    ck_assert_uint_eq(peers(), 2);
    ck_assert_int_eq(gateway_peer_remove(gateway, over.public_key), -ENOENT);
    ck_assert_int_eq(gateway_peer_remove(gateway, later.public_key), 0);
    ck_assert_int_eq(gateway_peer_remove(gateway, never.public_key), 0);
    stop();
}
END_TEST

/* Goal: letting in many is not quadratic. Method: 4000, which would be slow otherwise. */
START_TEST(peers_by_the_thousand_come_and_go)
{
    static uint8_t keys[4000][WG_KEY_LEN];

    start();
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        struct gateway_peer p = peer_new(0, wall_now_ns() / NS_PER_S + 1000 + (int64_t)i);

        p.address = ip_v4(10, 100, (uint8_t)(1 + i / 250), (uint8_t)(1 + i % 250));
        memcpy(keys[i], p.public_key, WG_KEY_LEN);
        ck_assert_int_eq(gateway_peer_set(gateway, &p), 0);
    }
    ck_assert_uint_eq(peers(), ARRAY_COUNT(keys));
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++)
        ck_assert_int_eq(gateway_peer_remove(gateway, keys[i]), 0);
    ck_assert_uint_eq(peers(), 0);
    stop();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(peer_set_and_removed_leaves_nothing),
    SUITE_TEST(peer_set_again_is_the_same_peer),
    SUITE_TEST(peer_expires_at_its_own_end),
    SUITE_TEST(peers_by_the_thousand_come_and_go),
};

SUITE_MAIN("gateway/peers", tests)
