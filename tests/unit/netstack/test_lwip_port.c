/* SPDX-License-Identifier: Apache-2.0 */
/* What lwIP stands on: the checksum, the keyed hash, and sequence numbers that nobody can guess. */
#include <stdlib.h>
#include <string.h>

#include "netstack/lwip/port.h"
#include "tests/support/suite.h"

/** RFC 1071, word by word, in memory order. */
static uint16_t oracle(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2) {
        uint16_t word = 0;

        memcpy(&word, p + i, len - i >= 2 ? 2 : 1);
        sum += word;
        sum = (sum >> 16) + (sum & 0xffff);
    }
    return (uint16_t)sum;
}

START_TEST(checksum_is_that_of_the_oracle_at_every_length_and_alignment)
{
    uint8_t bytes[300];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 89 + 255 - i / 7);
    memset(bytes + 100, 0xff, 64); /* carries all the way */
    for (size_t at = 0; at < 8; at++) {
        for (size_t len = 0; len + at <= sizeof(bytes); len++)
            ck_assert_uint_eq(lattice_lwip_checksum(bytes + at, (int)len), oracle(bytes + at, len));
    }
}
END_TEST

START_TEST(siphash_gives_the_paper_s_vector)
{
    /* Aumasson, Bernstein: "SipHash: a fast short-input PRF", appendix A */
    uint8_t key[16], data[15];

    for (unsigned i = 0; i < 16; i++)
        key[i] = (uint8_t)i;
    for (unsigned i = 0; i < 15; i++)
        data[i] = (uint8_t)i;
    ck_assert(lattice_siphash(key, data, sizeof(data)) == 0xa129ca6149be45e5u);
}
END_TEST

START_TEST(sequence_numbers_of_different_connections_are_unrelated)
{
    ip_addr_t a = IPADDR4_INIT_BYTES(10, 9, 0, 2), b = IPADDR4_INIT_BYTES(192, 0, 2, 1);
    unsigned buckets[64] = {0};
    uint32_t first, again;
    double chi = 0;

    lattice_lwip_key();
    lattice_lwip_time(0);
    first = lattice_lwip_isn(&a, 40000, &b, 80);
    lattice_lwip_time(4000 * 1000);
    again = lattice_lwip_isn(&a, 40000, &b, 80);
    ck_assert_uint_eq(again - first,
                      1000); /* RFC 6528: one step each 4 µs for the same connection */
    for (unsigned port = 0; port < 10000; port++)
        buckets[lattice_lwip_isn(&a, (uint16_t)(32768 + port), &b, 80) >> 26]++;
    for (unsigned i = 0; i < 64; i++)
        chi += (buckets[i] - 156.25) * (buckets[i] - 156.25) / 156.25;
    ck_assert_msg(chi < 130, "chi-square %.1f with 63 degrees of freedom", chi); /* p < 1e-6 */
    lattice_lwip_key();
    ck_assert_uint_ne(lattice_lwip_isn(&a, 40000, &b, 80),
                      again); /* another process, another key */
}
END_TEST

START_TEST(memory_is_counted_and_limited)
{
    size_t bytes = lattice_lwip_memory_bytes();
    void *p = lattice_lwip_malloc(1000);

    ck_assert_ptr_nonnull(p);
    ck_assert_uint_ge(lattice_lwip_memory_bytes(), bytes + 1000);
    ck_assert_ptr_null(lattice_lwip_malloc(LWIP_MEMORY_MAX_BYTES));
    ck_assert_ptr_null(lattice_lwip_calloc(SIZE_MAX / 2, 4));
    lattice_lwip_free(p);
    lattice_lwip_free(NULL);
    ck_assert_uint_eq(lattice_lwip_memory_bytes(), bytes);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(checksum_is_that_of_the_oracle_at_every_length_and_alignment),
    SUITE_TEST(siphash_gives_the_paper_s_vector),
    SUITE_TEST(sequence_numbers_of_different_connections_are_unrelated),
    SUITE_TEST(memory_is_counted_and_limited),
};
SUITE_MAIN("netstack/lwip_port", tests)
