/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "netstack/wg/cookie.h"
#include "netstack/wg/noise.h"
#include "netstack/wg/session.h"
#include "tests/support/cases.h"
#include "tests/support/hex.h"
#include "tests/support/suite.h"

/* The handshake, byte for byte against tests/support/wg_reference.py, an independent path. */

struct inputs {
    uint8_t s_i[32];
    uint8_t s_r[32];
    uint8_t preshared[32];
    uint8_t e_i[32];
    uint8_t e_r[32];
    uint8_t timestamp[12];
    uint8_t index_i[4];
    uint8_t index_r[4];
};
_Static_assert(sizeof(struct inputs) == 180, "bytes only, so it can be read in one piece");

struct sides {
    struct noise_self self_i;
    struct noise_self self_r;
    struct noise i;
    struct noise r;
};

static const struct mono start = {.ns = NS_PER_S};

static void sides_init(struct sides *s, const struct inputs *in)
{
    memcpy(s->self_i.private_key, in->s_i, 32);
    memcpy(s->self_r.private_key, in->s_r, 32);
    ck_assert_int_eq(wg_key_public(in->s_i, s->self_i.public_key), 0);
    ck_assert_int_eq(wg_key_public(in->s_r, s->self_r.public_key), 0);
    ck_assert_int_eq(wg_noise_init(&s->i, &s->self_i, s->self_r.public_key, in->preshared), 0);
    ck_assert_int_eq(wg_noise_init(&s->r, &s->self_r, s->self_i.public_key, in->preshared), 0);
}

static void stamp(const uint8_t public_key[static 32], uint8_t *msg, size_t mac1)
{
    struct cookie_maker maker = {.has_last_mac1 = false};

    wg_cookie_keys_init(&maker.keys, public_key);
    wg_cookie_stamp(&maker, (struct cookie_msg){.data = msg, .mac1 = mac1}, start);
}

static void check_data(const struct noise_keys *seal_keys, const struct noise_keys *open_keys,
                       uint64_t counter, struct bytes plain, const char *hex)
{
    struct session a = {.is_alive = false};
    struct session b = {.is_alive = false};
    uint8_t want[64];
    uint8_t got[64];
    size_t len = session_sealed_len(plain.len, 1420);

    ck_assert_int_eq(wg_cipher_reserve(&a.seal) + wg_cipher_reserve(&a.open), 0);
    ck_assert_int_eq(wg_cipher_reserve(&b.seal) + wg_cipher_reserve(&b.open), 0);
    hex_read(hex, want, len);
    wg_session_begin(&a, seal_keys, start);
    wg_session_begin(&b, open_keys, start);
    a.send_counter = counter;
    ck_assert_uint_eq(wg_session_seal(&a, plain, 1420, got), len);
    ck_assert_mem_eq(got, want, len);
    ck_assert_int_eq(wg_session_open(&b, got, len, start), WG_DROP_NONE);
    ck_assert(plain.len == 0 || memcmp(got + WG_DATA_PACKET, plain.data, plain.len) == 0);
    wg_session_end(&a);
    wg_session_end(&b);
    wg_cipher_done(&a.seal);
    wg_cipher_done(&a.open);
    wg_cipher_done(&b.seal);
    wg_cipher_done(&b.open);
}

/* Goal: both messages, both keys and both index fields are what the reference computes, with and
 * without a preshared key. */
START_TEST(transcript_matches_independent_reference)
{
    struct case_table t;
    uint8_t payload[32];

    for (unsigned i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)i;
    cases_load(TEST_SOURCE_DIR "/cases/wg_handshake.cases", '|', &t);
    ck_assert_uint_eq(t.count, 8);
    for (unsigned row = 0; row < t.count; row++) {
        char *const *f = t.rows[row].fields;
        struct inputs in;
        struct sides s;
        struct noise_opening opening;
        struct noise_keys keys_i;
        struct noise_keys keys_r;
        uint8_t want[WG_INIT_LEN];
        uint8_t init[WG_INIT_LEN];
        uint8_t resp[WG_RESP_LEN];

        hex_read(f[0], &in, sizeof(in));
        sides_init(&s, &in);
        ck_assert_int_eq(wg_noise_write_initiation(&s.i, &s.self_i, load_le32(in.index_i), in.e_i,
                                                   in.timestamp, init),
                         0);
        stamp(s.self_r.public_key, init, WG_INIT_MAC1);
        hex_read(f[1], want, WG_INIT_LEN);
        ck_assert_mem_eq(init, want, WG_INIT_LEN);

        ck_assert_int_eq(wg_noise_read_static(&s.self_r, init, &opening), 0);
        ck_assert_mem_eq(opening.remote_static, s.self_i.public_key, 32);
        ck_assert_int_eq(wg_noise_read_initiation(&s.r, &opening, init, start), 0);
        ck_assert_int_eq(wg_noise_write_response(&s.r, load_le32(in.index_r), in.e_r, resp), 0);
        stamp(s.self_i.public_key, resp, WG_RESP_MAC1);
        hex_read(f[2], want, WG_RESP_LEN);
        ck_assert_mem_eq(resp, want, WG_RESP_LEN);

        ck_assert_int_eq(wg_noise_read_response(&s.i, &s.self_i, resp), 0);
        wg_noise_finish(&s.i, &keys_i);
        wg_noise_finish(&s.r, &keys_r);
        ck_assert(keys_i.is_initiator && !keys_r.is_initiator);
        ck_assert_uint_eq(keys_i.remote_index, keys_r.local_index);
        ck_assert_uint_eq(keys_r.remote_index, keys_i.local_index);
        check_data(&keys_i, &keys_r, 7, bytes_of(payload, 32), f[3]);
        check_data(&keys_r, &keys_i, 9, bytes_of(NULL, 0), f[4]);
        ck_assert_int_eq(s.i.state, NOISE_IDLE);
        wg_noise_done(&s.i);
        wg_noise_done(&s.r);
    }
    cases_done(&t);
}
END_TEST

/* Goal: a response is read only after an initiation, with its index, and once. */
START_TEST(response_out_of_turn_fails)
{
    struct inputs in;
    struct sides s;
    struct noise_opening opening;
    uint8_t init[WG_INIT_LEN];
    uint8_t resp[WG_RESP_LEN];

    memset(&in, 7, sizeof(in));
    in.s_r[3] = 9;
    sides_init(&s, &in);
    ck_assert_int_eq(wg_noise_write_initiation(&s.i, &s.self_i, 5, in.e_i, in.timestamp, init), 0);
    ck_assert_int_eq(wg_noise_read_static(&s.self_r, init, &opening), 0);
    ck_assert_int_eq(wg_noise_read_initiation(&s.r, &opening, init, start), 0);
    ck_assert_int_eq(wg_noise_write_response(&s.r, 6, in.e_r, resp), 0);
    store_le32(resp + WG_RESP_RECEIVER, 4);
    ck_assert_int_eq(wg_noise_read_response(&s.i, &s.self_i, resp), -EBADMSG);
    store_le32(resp + WG_RESP_RECEIVER, 5);
    ck_assert_int_eq(wg_noise_read_response(&s.i, &s.self_i, resp), 0);
    ck_assert_int_eq(wg_noise_read_response(&s.i, &s.self_i, resp), -EBADMSG);
    wg_noise_reset(&s.i);
    ck_assert_int_eq(wg_noise_read_response(&s.i, &s.self_i, resp), -EBADMSG);
}
END_TEST

/* Goal: a response with an ephemeral of low order is refused and changes nothing. */
START_TEST(low_order_response_fails)
{
    struct inputs in;
    struct sides s;
    struct noise before;
    uint8_t init[WG_INIT_LEN];
    uint8_t resp[WG_RESP_LEN] = {WG_MSG_RESPONSE};

    memset(&in, 7, sizeof(in));
    in.s_r[3] = 9;
    sides_init(&s, &in);
    ck_assert_int_eq(wg_noise_write_initiation(&s.i, &s.self_i, 5, in.e_i, in.timestamp, init), 0);
    store_le32(resp + WG_RESP_RECEIVER, 5);
    before = s.i;
    ck_assert_int_eq(wg_noise_read_response(&s.i, &s.self_i, resp), -EBADMSG);
    ck_assert_mem_eq(&s.i, &before, sizeof(before));
}
END_TEST

START_TEST(timestamp_is_tai64n)
{
    uint8_t got[12];
    uint8_t want[12];

    wg_noise_timestamp(0, got);
    hex_read("400000000000000a00000000", want, 12);
    ck_assert_mem_eq(got, want, 12);
    wg_noise_timestamp(INT64_C(1700000000) * NS_PER_S + 123456789, got);
    hex_read("400000006553f10a075bcd15", want, 12);
    ck_assert_mem_eq(got, want, 12);
    wg_noise_timestamp(-1, got); /* a clock before 1970 is no reason to fail */
    hex_read("400000000000000a00000000", want, 12);
    ck_assert_mem_eq(got, want, 12);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(transcript_matches_independent_reference),
    SUITE_TEST(response_out_of_turn_fails),
    SUITE_TEST(low_order_response_fails),
    SUITE_TEST(timestamp_is_tai64n),
};

SUITE_MAIN("wg_noise", tests)
