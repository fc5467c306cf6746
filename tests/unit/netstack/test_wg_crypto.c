/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sodium.h>

#include "netstack/wg/crypto.h"
#include "tests/support/hex.h"
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* Published vectors for what we bind, and libsodium as second opinion on what OpenSSL computes. */

static const struct bytes nothing;

START_TEST(hash_matches_rfc_7693)
{
    uint8_t want[32];
    uint8_t got[32];

    hex_read("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982", want, 32);
    wg_hash(bytes_of_str("abc"), nothing, got);
    ck_assert_mem_eq(got, want, 32);
    wg_hash(bytes_of_str("a"), bytes_of_str("bc"), got);
    ck_assert_mem_eq(got, want, 32);
}
END_TEST

/* Rows: RFC 7748 5.2, first and second vector. */
static const struct {
    const char *scalar;
    const char *point;
    const char *product;
} dh_rows[] = {
    {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
     "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
    {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
     "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
};

START_TEST(dh_matches_rfc_7748)
{
    uint8_t scalar[32];
    uint8_t point[32];
    uint8_t want[32];
    uint8_t got[32];

    hex_read(dh_rows[_i].scalar, scalar, 32);
    hex_read(dh_rows[_i].point, point, 32);
    hex_read(dh_rows[_i].product, want, 32);
    ck_assert_int_eq(wg_dh(scalar, point, got), 0);
    ck_assert_mem_eq(got, want, 32);
}
END_TEST

/* Goal: RFC 7748 6.1: both sides agree, on what is printed there. */
START_TEST(dh_agreement_matches_rfc_7748)
{
    uint8_t alice[32];
    uint8_t bob[32];
    uint8_t want[32];
    uint8_t pub[32];
    uint8_t shared[32];

    hex_read("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", alice, 32);
    hex_read("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", bob, 32);
    hex_read("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", want, 32);
    ck_assert_int_eq(wg_dh_public(alice, pub), 0);
    ck_assert_int_eq(wg_dh(bob, pub, shared), 0);
    ck_assert_mem_eq(shared, want, 32);
    ck_assert_int_eq(wg_dh_public(bob, pub), 0);
    ck_assert_int_eq(wg_dh(alice, pub, shared), 0);
    ck_assert_mem_eq(shared, want, 32);
}
END_TEST

/* Rows: points of low order (RFC 7748, section 6.1 asks for the check). */
static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

START_TEST(dh_with_low_order_point_fails)
{
    uint8_t private[32] = {8, [31] = 64};
    uint8_t point[32];
    uint8_t got[32];

    hex_read(low_order[_i], point, 32);
    ck_assert_int_eq(wg_dh(private, point, got), -EBADMSG);
}
END_TEST

/* Goal: draft-irtf-cfrg-xchacha-03, A.3.1. */
START_TEST(xaead_matches_draft)
{
    static const char text[] =
        "Ladies and Gentlemen of the class of '99: If I could offer you only "
        "one tip for the future, sunscreen would be it.";
    uint8_t key[32];
    uint8_t nonce[24];
    uint8_t aad[12];
    uint8_t want[16];
    uint8_t sealed[sizeof(text) - 1 + 16];
    uint8_t opened[sizeof(text) - 1];

    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)(0x80 + i);
    for (unsigned i = 0; i < 24; i++)
        nonce[i] = (uint8_t)(0x40 + i);
    hex_read("50515253c0c1c2c3c4c5c6c7", aad, 12);
    hex_read("c0875924c1c7987947deafd8780acf49", want, 16);
    wg_xseal(key, nonce, bytes_of_str(text), bytes_of(aad, 12), sealed);
    ck_assert_mem_eq(sealed + sizeof(text) - 1, want, 16);
    ck_assert_int_eq(
        wg_xopen(key, nonce, bytes_of(sealed, sizeof(sealed)), bytes_of(aad, 12), opened), 0);
    ck_assert_mem_eq(opened, text, sizeof(opened));
    sealed[0] ^= 1;
    ck_assert_int_eq(
        wg_xopen(key, nonce, bytes_of(sealed, sizeof(sealed)), bytes_of(aad, 12), opened),
        -EBADMSG);
}
END_TEST

/* Goal: OpenSSL's and libsodium's ChaCha20-Poly1305 agree at every length up to 300 bytes and some
 * large ones, with any counter; a context that is used again forgets the packet before. */
START_TEST(aead_agrees_with_second_library)
{
    struct test_rng rng = {.state = 5};
    struct cipher seal = {0};
    struct cipher open = {0};
    uint8_t key[32];
    uint8_t nonce[12] = {0};
    static uint8_t data[2048];
    static uint8_t want[2048];
    static uint8_t plain[2048];

    test_rng(&rng).fill(&rng, key, sizeof(key));
    ck_assert_int_eq(wg_cipher_reserve(&seal), 0);
    ck_assert_int_eq(wg_cipher_reserve(&open), 0);
    wg_cipher_key(&seal, CIPHER_SEAL, key);
    wg_cipher_key(&open, CIPHER_OPEN, key);
    for (size_t n = 0; n < 320; n++) {
        size_t len = n < 300 ? n : n + 1100;
        uint64_t counter = n % 3 == 0 ? n : test_rng_next(&rng);

        test_rng(&rng).fill(&rng, plain, len);
        memcpy(data, plain, len);
        store_le64(nonce + 4, counter);
        wg_cipher_seal(&seal, counter, data, len);
        crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, plain, len, NULL, 0, NULL, nonce,
                                                  key);
        ck_assert_mem_eq(data, want, len + 16);
        ck_assert_int_eq(wg_cipher_open(&open, counter, data, len + 16), 0);
        ck_assert_mem_eq(data, plain, len);
        memcpy(data, want, len + 16);
        data[test_rng_below(&rng, (unsigned)len + 16)] ^= (uint8_t)(1u << n % 8);
        ck_assert_int_eq(wg_cipher_open(&open, counter, data, len + 16), -EBADMSG);
        memcpy(data, want, len + 16);
        ck_assert_int_eq(wg_cipher_open(&open, counter + 1, data, len + 16), -EBADMSG);
    }
    wg_cipher_wipe(&seal);
    wg_cipher_done(&seal);
    wg_cipher_done(&open);
    wg_cipher_done(&open);
}
END_TEST

/* Goal: the handshake's one-shot form, with additional data, agrees too. */
START_TEST(one_shot_aead_agrees_with_second_library)
{
    struct test_rng rng = {.state = 6};
    uint8_t key[32];
    uint8_t aad[32];
    uint8_t plain[32];
    uint8_t got[48];
    uint8_t want[48];
    uint8_t back[32];
    uint8_t nonce[12] = {0};
    static const size_t lens[] = {0, 12, 32};

    for (unsigned i = 0; i < ARRAY_COUNT(lens); i++) {
        size_t len = lens[i];

        test_rng(&rng).fill(&rng, key, 32);
        test_rng(&rng).fill(&rng, aad, 32);
        test_rng(&rng).fill(&rng, plain, 32);
        wg_seal(key, bytes_of(plain, len), bytes_of(aad, 32), got);
        crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, plain, len, aad, 32, NULL, nonce,
                                                  key);
        ck_assert_mem_eq(got, want, len + 16);
        ck_assert_int_eq(wg_open(key, bytes_of(got, len + 16), bytes_of(aad, 32), back), 0);
        ck_assert_mem_eq(back, plain, len);
        aad[31] ^= 1;
        memset(back, 0xee, sizeof(back));
        ck_assert_int_eq(wg_open(key, bytes_of(got, len + 16), bytes_of(aad, 32), back), -EBADMSG);
        ck_assert_uint_eq(back[0], 0xee); /* nothing unauthentic is given away */
    }
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(hash_matches_rfc_7693),
    SUITE_ROWS(dh_matches_rfc_7748, ARRAY_COUNT(dh_rows)),
    SUITE_TEST(dh_agreement_matches_rfc_7748),
    SUITE_ROWS(dh_with_low_order_point_fails, ARRAY_COUNT(low_order)),
    SUITE_TEST(xaead_matches_draft),
    SUITE_TEST(aead_agrees_with_second_library),
    SUITE_TEST(one_shot_aead_agrees_with_second_library),
};

SUITE_MAIN("wg_crypto", tests)
