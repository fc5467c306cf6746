/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/wg/device.h"
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* Properties of the wire: any flipped bit changes no state; open(seal(p)) = p; a counter is
 * accepted at most once, in any order. */

static struct net net; /* each test runs in a process of its own */

/** Everything that a device remembers, but the count of drops and the scratch buffer. */
struct memory {
    struct wg device;
    struct peer peer;
};

static void remember(unsigned node, struct memory *ret)
{
    memcpy(&ret->device, net.nodes[node].w, sizeof(ret->device));
    memcpy(&ret->peer, net.nodes[node].w->slots[0].peer, sizeof(ret->peer));
    memset(ret->device.drops, 0, sizeof(ret->device.drops));
    memset(ret->device.scratch, 0, sizeof(ret->device.scratch));
}

/** Flip each bit of @good outside of [skip, skip + 16) and give it to @node: dropped, silent, and
 * no byte of its memory differs. Then the good one is taken, so the test could have failed. */
static void check_flips(unsigned node, struct net_bytes good, size_t skip)
{
    static struct memory before; /* scratch of this function */
    static struct memory after;  /* scratch of this function */
    struct net_node *n = &net.nodes[node];
    const struct endpoint from = {.ip = ip_v4(203, 0, 113, 77), .port = 1};

    remember(node, &before);
    for (size_t bit = 0; bit < good.len * 8; bit++) {
        unsigned sent = n->sent[1] + n->sent[2] + n->sent[3] + n->sent[4];

        if (bit / 8 >= skip && bit / 8 < skip + WG_MAC_LEN)
            continue;
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(net_inject(&net, node, &from, good.data, good.len) != WG_DROP_NONE, "bit %zu",
                      bit);
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        remember(node, &after);
        ck_assert_msg(memcmp(&before, &after, sizeof(before)) == 0, "bit %zu changed state", bit);
        ck_assert_uint_eq(n->sent[1] + n->sent[2] + n->sent[3] + n->sent[4], sent);
    }
    for (size_t len = 0; len < good.len; len++) { /* and nothing that is cut off */
        (void)net_inject(&net, node, &from, good.data, len);
        remember(node, &after);
        ck_assert_msg(memcmp(&before, &after, sizeof(before)) == 0, "length %zu changed state",
                      len);
    }
    ck_assert_int_eq(net_inject(&net, node, &from, good.data, good.len), WG_DROP_NONE);
    remember(node, &after);
    ck_assert_mem_ne(&before, &after, sizeof(before));
}

/* Goal: bits of every message type. MAC2 is skipped: without load it is not looked at (5.4.4). */
START_TEST(flipped_bit_changes_no_state)
{
    struct cookie_msg msg;
    uint8_t cookie[WG_COOKIE_MSG_LEN];

    net_init(&net, 31, 2, NULL);
    net.holds = true;
    ck_assert_int_eq(net_send(&net, IP_V4, 0, 1, 1, 100), WG_DROP_NONE);
    msg = (struct cookie_msg){.data = net.nodes[0].last_sent[1].data, .mac1 = WG_INIT_MAC1};
    wg_cookie_write_reply(&net.nodes[1].w->checker, msg, load_le32(msg.data + WG_INIT_SENDER),
                          &net.nodes[0].endpoint, test_rng(&net.rng), net.now, cookie);
    check_flips(0, (struct net_bytes){.data = cookie, .len = sizeof(cookie)}, SIZE_MAX / 2);
    check_flips(1, net.nodes[0].last_sent[WG_MSG_INITIATION], WG_INIT_MAC2);
    check_flips(0, net.nodes[1].last_sent[WG_MSG_RESPONSE], WG_RESP_MAC2);
    check_flips(1, net.nodes[0].last_sent[WG_MSG_DATA], SIZE_MAX / 2);
    net_done(&net);
}
END_TEST

/* Goal: open(seal(p)) = p, with zeros behind it, for every length to 200 and many above, padding
 * never beyond the MTU. */
START_TEST(open_undoes_seal)
{
    struct test_rng rng = {.state = 99};
    struct noise_keys k = {.local_index = 1, .remote_index = 2, .is_initiator = true};
    struct noise_keys k_back;
    struct session a = {.is_alive = false};
    struct session b = {.is_alive = false};
    const struct mono now = {.ns = 1};
    uint8_t *plain = malloc(WG_INNER_MAX);
    uint8_t *sealed = malloc(WG_DATAGRAM_MAX);

    ck_assert(plain != NULL && sealed != NULL);
    ck_assert_int_eq(wg_cipher_reserve(&a.seal) + wg_cipher_reserve(&a.open), 0);
    ck_assert_int_eq(wg_cipher_reserve(&b.seal) + wg_cipher_reserve(&b.open), 0);
    test_rng(&rng).fill(&rng, k.send, sizeof(k.send));
    test_rng(&rng).fill(&rng, k.receive, sizeof(k.receive));
    k_back = k;
    memcpy(k_back.send, k.receive, WG_KEY_LEN);
    memcpy(k_back.receive, k.send, WG_KEY_LEN);
    wg_session_begin(&a, &k, now);
    wg_session_begin(&b, &k_back, now);
    for (unsigned n = 0; n < 1500; n++) {
        size_t len = n < 200 ? n : test_rng_below(&rng, n % 50 == 0 ? WG_INNER_MAX + 1 : 1500);
        size_t mtu = 576 + test_rng_below(&rng, 1000);
        size_t sealed_len;

        test_rng(&rng).fill(&rng, plain, len);
        sealed_len = wg_session_seal(&a, bytes_of(plain, len), mtu, sealed);
        ck_assert_uint_eq(sealed_len, session_sealed_len(len, mtu));
        ck_assert_uint_le(sealed_len, len + WG_OVERHEAD_MAX);
        ck_assert(len > mtu || sealed_len <= mtu + WG_DATA_LEN_MIN);
        ck_assert_int_eq(wg_session_open(&b, sealed, sealed_len, now), WG_DROP_NONE);
        ck_assert(len == 0 || memcmp(sealed + WG_DATA_PACKET, plain, len) == 0);
        for (size_t i = len; i < sealed_len - WG_DATA_LEN_MIN; i++)
            ck_assert_uint_eq(sealed[WG_DATA_PACKET + i], 0);
    }
    wg_session_end(&a);
    wg_session_end(&b);
    wg_cipher_done(&a.seal);
    wg_cipher_done(&a.open);
    wg_cipher_done(&b.seal);
    wg_cipher_done(&b.open);
    free(plain);
    free(sealed);
}
END_TEST

#define ORACLE_MAX 40000u

/* Goal: the window agrees with an oracle that remembers every counter, over random walks. */
START_TEST(counter_is_accepted_at_most_once)
{
    static bool seen[ORACLE_MAX]; /* the oracle */
    struct test_rng rng = {.state = 4000 + (uint64_t)_i};
    struct replay r = {0};
    uint64_t greatest = 0;
    bool any = false;

    for (unsigned n = 0; n < 50000; n++) {
        unsigned spread = test_rng_below(&rng, 4) == 0 ? 2 * REPLAY_WINDOW : 70;
        uint64_t base = greatest > spread ? greatest - spread : 0;
        uint64_t counter = base + test_rng_below(&rng, spread + 70);
        bool want;

        if (counter >= ORACLE_MAX)
            break;
        want = !seen[counter] && (!any || counter > greatest || greatest - counter < REPLAY_WINDOW);
        ck_assert_msg(wg_replay_accept(&r, counter) == want, "counter %lu after %lu",
                      (unsigned long)counter, (unsigned long)greatest);
        seen[counter] = seen[counter] || want;
        if (want && (!any || counter > greatest))
            greatest = counter;
        any = true;
    }
    ck_assert_uint_gt(greatest, REPLAY_WINDOW * 2);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(flipped_bit_changes_no_state),
    SUITE_TEST(open_undoes_seal),
    SUITE_ROWS(counter_is_accepted_at_most_once, 20),
};

SUITE_MAIN("prop_wg_transport", tests)
