/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing: what was shut opens again, and nothing else does. */
#include "base/seal.h"

#include <errno.h>
#include <string.h>

#include "tests/support/suite.h"

static const uint8_t key[SEAL_KEY_LEN] = {1, 2, 3};

static void fill_zero(void *self, void *ret, size_t len)
{
    (void)self;
    memset(ret, 0, len);
}

/* Goal: the algorithm is the standard's. Method: test case 14 of the GCM specification (McGrew and
 * Viega), key, nonce and text all zero. */
START_TEST(zero_key_gives_the_published_bytes)
{
    static const uint8_t zero[SEAL_KEY_LEN];
    static const uint8_t expected[] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e,
                                       0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18,
                                       0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0,
                                       0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    struct buf shut;

    buf_init(&shut, 256);
    ck_assert_int_eq(seal_shut(zero, (struct rng){.fill = fill_zero}, bytes_of("", 0),
                               bytes_of(zero, 16), &shut),
                     0);
    ck_assert_uint_eq(shut.len, 12 + sizeof(expected));
    ck_assert_int_eq(memcmp(shut.data + 12, expected, sizeof(expected)), 0);
    buf_done(&shut);
}
END_TEST

/* Goal: every length opens to the same bytes. */
START_TEST(open_gives_back_what_was_shut)
{
    uint8_t text[40];
    struct buf shut, open;

    memset(text, 'x', sizeof(text));
    buf_init(&shut, 256);
    buf_init(&open, 256);
    ck_assert_int_eq(
        seal_shut(key, rng_system(), bytes_of("b", 1), bytes_of(text, (size_t)_i), &shut), 0);
    ck_assert_uint_eq(shut.len, (size_t)_i + SEAL_OVERHEAD);
    ck_assert_int_eq(seal_open(key, bytes_of("b", 1), buf_bytes(&shut), &open), 0);
    ck_assert_uint_eq(open.len, (size_t)_i);
    ck_assert(_i == 0 || memcmp(open.data, text, (size_t)_i) == 0);
    buf_done(&shut);
    buf_done(&open);
}
END_TEST

/* Goal: any flipped bit, another key, other bound bytes or a cut end open nothing. */
START_TEST(anything_else_does_not_open)
{
    static const uint8_t other[SEAL_KEY_LEN] = {1, 2, 4};
    struct buf shut, open;

    buf_init(&shut, 256);
    buf_init(&open, 256);
    ck_assert_int_eq(
        seal_shut(key, rng_system(), bytes_of("bound", 5), bytes_of("hello", 5), &shut), 0);
    for (size_t i = 0; i < shut.len * 8; i++) {
        shut.data[i / 8] ^= (uint8_t)(1u << i % 8);
        ck_assert_int_eq(seal_open(key, bytes_of("bound", 5), buf_bytes(&shut), &open), -EBADMSG);
        shut.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    ck_assert_int_eq(seal_open(other, bytes_of("bound", 5), buf_bytes(&shut), &open), -EBADMSG);
    ck_assert_int_eq(seal_open(key, bytes_of("bounD", 5), buf_bytes(&shut), &open), -EBADMSG);
    for (size_t len = 0; len < shut.len; len++)
        ck_assert_int_eq(seal_open(key, bytes_of("bound", 5), bytes_of(shut.data, len), &open),
                         -EBADMSG);
    ck_assert_uint_eq(open.len, 0);
    ck_assert_int_eq(seal_open(key, bytes_of("bound", 5), buf_bytes(&shut), &open), 0);
    buf_done(&shut);
    buf_done(&open);
}
END_TEST

/* Goal: the same text sealed twice does not look the same. */
START_TEST(nonces_differ)
{
    struct buf a, b;

    buf_init(&a, 256);
    buf_init(&b, 256);
    ck_assert_int_eq(seal_shut(key, rng_system(), bytes_of("", 0), bytes_of("hello", 5), &a), 0);
    ck_assert_int_eq(seal_shut(key, rng_system(), bytes_of("", 0), bytes_of("hello", 5), &b), 0);
    ck_assert_int_ne(memcmp(a.data, b.data, a.len), 0);
    buf_done(&a);
    buf_done(&b);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(zero_key_gives_the_published_bytes),
    SUITE_ROWS(open_gives_back_what_was_shut, 40),
    SUITE_TEST(anything_else_does_not_open),
    SUITE_TEST(nonces_differ),
};

SUITE_MAIN("base/seal", tests)
