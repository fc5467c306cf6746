/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins: lifetimes, order, bounds, and who makes room when the table is full.
 */
#include <stdio.h>

#include "policy/policy.h"
#include "tests/support/suite.h"

static const struct mono NOW = {.ns = 50 * NS_PER_S};

static struct mono later(int64_t s)
{
    return mono_add_ns(NOW, s * NS_PER_S);
}

static struct ip numbered(unsigned n)
{
    return ip_v4(10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n);
}

/* Goal: a pin lives its time to live, at least a minute and at most a day, and not a moment longer.
 */
START_TEST(lifetimes)
{
    static const struct {
        uint32_t ttl_s;
        int64_t lives_s;
    } rows[] = {{0, 60},
                {59, 60},
                {60, 60},
                {61, 61},
                {86400, 86400},
                {86401, 86400},
                {UINT32_MAX - 1, 86400}};
    struct ip ip = ip_v4(192, 0, 2, 1);

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pins *pins = NULL;

        ck_assert_int_eq(pins_new(&pins), 0);
        pins_add(pins, "a.example", &ip, rows[i].ttl_s, NOW);
        ck_assert_ptr_nonnull(pins_find(pins, &ip, 0, mono_add_ns(later(rows[i].lives_s), -1)));
        ck_assert_ptr_null(pins_find(pins, &ip, 0, later(rows[i].lives_s)));
        pins_free(pins);
    }
}
END_TEST

/* Goal: UINT32_MAX is for ever. */
START_TEST(lifetime_for_ever)
{
    struct ip ip = ip_v4(192, 0, 2, 1);
    struct pins *pins = NULL;

    ck_assert_int_eq(pins_new(&pins), 0);
    pins_add(pins, "host", &ip, UINT32_MAX, NOW);
    ck_assert_str_eq(pins_find(pins, &ip, 0, (struct mono){.ns = INT64_MAX - 1}), "host");
    pins_free(pins);
}
END_TEST

/* Goal: the most recent name comes first, a repeated answer moves to the front and is not twice
 * there, a shorter repetition does not shorten, and mapped addresses are their IPv4 address. */
START_TEST(order_and_repetition)
{
    struct ip ip = ip_v4(192, 0, 2, 1);
    struct ip other = ip_v4(192, 0, 2, 2);
    struct ip mapped = ip_from_v6((const uint8_t[16]){[10] = 0xff, 0xff, 192, 0, 2, 1});
    struct pins *pins = NULL;

    ck_assert_int_eq(pins_new(&pins), 0);
    ck_assert_ptr_null(pins_find(pins, &ip, 0, NOW));
    pins_add(pins, "a.example", &ip, 1000, NOW);
    pins_add(pins, "b.example", &mapped, 100, NOW);
    pins_add(pins, "c.example", &other, 100, NOW);
    ck_assert_str_eq(pins_find(pins, &ip, 0, NOW), "b.example");
    ck_assert_str_eq(pins_find(pins, &mapped, 1, NOW), "a.example");
    ck_assert_ptr_null(pins_find(pins, &ip, 2, NOW));
    pins_add(pins, "a.example", &ip, 60, NOW);
    ck_assert_str_eq(pins_find(pins, &ip, 0, NOW), "a.example");
    ck_assert_str_eq(pins_find(pins, &ip, 1, NOW), "b.example");
    ck_assert_ptr_null(pins_find(pins, &ip, 2, NOW));
    ck_assert_str_eq(pins_find(pins, &ip, 0, later(999)), "a.example");
    ck_assert_ptr_null(pins_find(pins, &ip, 1, later(999)));
    pins_free(pins);
}
END_TEST

/* Goal: in a full table the pin that ends first makes room, and only that one. */
START_TEST(full_table_evicts_what_ends_first)
{
    struct pins *pins = NULL;
    struct ip ip;

    ck_assert_int_eq(pins_new(&pins), 0);
    for (unsigned i = 0; i < PINS_MAX; i++) {
        ip = numbered(i);
        pins_add(pins, "a.example", &ip, i == 4711 ? 100 : 1000, NOW);
    }
    ip = numbered(PINS_MAX);
    pins_add(pins, "a.example", &ip, 1000, NOW);
    for (unsigned i = 0; i <= PINS_MAX; i++) {
        ip = numbered(i);
        ck_assert_msg((pins_find(pins, &ip, 0, NOW) != NULL) == (i != 4711), "pin %u", i);
    }
    pins_free(pins);
}
END_TEST

/* Goal: one address cannot fill the table: beyond its share its own oldest pin goes. */
START_TEST(one_address_is_bounded)
{
    struct ip victim = ip_v4(192, 0, 2, 9);
    struct ip ip = ip_v4(192, 0, 2, 1);
    struct pins *pins = NULL;
    unsigned count = 0;
    char name[32];

    ck_assert_int_eq(pins_new(&pins), 0);
    pins_add(pins, "victim.example", &victim, 60, NOW);
    for (unsigned i = 0; i < 2 * PINS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "n%u.evil.example", i);
        pins_add(pins, name, &ip, 86400, NOW);
    }
    while (pins_find(pins, &ip, count, NOW) != NULL)
        count++;
    ck_assert_uint_eq(count, 256);
    ck_assert_str_eq(pins_find(pins, &ip, 0, NOW), name);
    ck_assert_ptr_nonnull(pins_find(pins, &victim, 0, NOW));
    pins_free(pins);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(lifetimes),
    SUITE_TEST(lifetime_for_ever),
    SUITE_TEST(order_and_repetition),
    SUITE_TEST(full_table_evicts_what_ends_first),
    SUITE_TEST(one_address_is_bounded),
};

SUITE_MAIN("policy/pins", tests)
