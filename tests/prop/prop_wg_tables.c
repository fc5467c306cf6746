/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/wg/allowedips.h"
#include "netstack/wg/indices.h"
#include "netstack/wg/schedule.h"
#include "tests/support/suite.h"
#include "tests/support/wg_net.h"

/* Tables against oracles that are too simple to be wrong. */

#define PREFIXES_MAX 400u

struct owned {
    struct prefix prefix;
    uint32_t owner;
};

static struct prefix some_prefix(struct test_rng *rng)
{
    struct prefix p = {.ip = {.family = test_rng_below(rng, 2) == 0 ? IP_V4 : IP_V6}};
    unsigned max = ip_len(&p.ip) * 8;

    /* Few distinct bits, so that prefixes are often equal, nested or neighbours. */
    for (unsigned i = 0; i < ip_len(&p.ip); i++)
        p.ip.bytes[i] = (uint8_t)(test_rng_below(rng, 4) == 0 ? test_rng_next(rng) & 0x81 : 0);
    p.bits = (uint8_t)test_rng_below(rng, max + 1);
    for (unsigned bit = p.bits; bit < max; bit++)
        p.ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    return p;
}

static uint32_t oracle_find(const struct owned *list, unsigned count, const struct ip *ip)
{
    uint32_t owner = ALLOWEDIPS_NOBODY;
    int longest = -1;

    for (unsigned i = 0; i < count; i++) {
        if (prefix_contains(&list[i].prefix, ip) && list[i].prefix.bits > longest) {
            longest = list[i].prefix.bits;
            owner = list[i].owner;
        }
    }
    return owner;
}

static struct owned *oracle_at(struct owned *list, unsigned count, const struct prefix *p)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i].prefix.bits == p->bits && ip_equal(&list[i].prefix.ip, &p->ip))
            return &list[i];
    return NULL;
}

/* Goal: after any sequence of setting and unsetting, every look-up is the linear oracle's; the
 * number of nodes stays below twice that of prefixes; an emptied table has no node in use. */
START_TEST(allowedips_agree_with_linear_oracle)
{
    static struct owned list[PREFIXES_MAX]; /* the oracle */
    struct test_rng rng = {.state = 800 + (uint64_t)_i};
    struct allowedips a = {0};
    unsigned count = 0;

    for (unsigned n = 0; n < 2500; n++) {
        struct prefix p = count > 0 && test_rng_below(&rng, 3) == 0
                              ? list[test_rng_below(&rng, count)].prefix
                              : some_prefix(&rng);
        struct owned *at = oracle_at(list, count, &p);
        uint32_t owner = test_rng_below(&rng, 5);
        struct ip ip = some_prefix(&rng).ip;

        if (test_rng_below(&rng, 5) < 3 && count < PREFIXES_MAX) {
            ck_assert_int_eq(wg_allowedips_set(&a, &p, owner), 0);
            if (at == NULL)
                at = &list[count++];
            *at = (struct owned){.prefix = p, .owner = owner};
        } else {
            wg_allowedips_unset(&a, &p, owner);
            if (at != NULL && at->owner == owner)
                *at = list[--count];
        }
        for (unsigned look = 0; look < 4; look++) {
            ck_assert_uint_eq(wg_allowedips_find(&a, &ip), oracle_find(list, count, &ip));
            ip = count > 0 ? list[test_rng_below(&rng, count)].prefix.ip : ip;
            ip.bytes[test_rng_below(&rng, ip_len(&ip))] ^= (uint8_t)test_rng_below(&rng, 2);
        }
    }
    ck_assert_uint_le(a.node_count, 2 * PREFIXES_MAX);
    while (count > 0) {
        count--;
        wg_allowedips_unset(&a, &list[count].prefix, list[count].owner);
    }
    ck_assert_uint_eq(a.roots[0], 0);
    ck_assert_uint_eq(a.roots[1], 0);
    wg_allowedips_done(&a);
}
END_TEST

#define LIVE_MAX 500u

/* Goal: the index table finds what is in it and nothing else, through growth and removal. */
START_TEST(indices_agree_with_list)
{
    struct test_rng rng = {.state = 900 + (uint64_t)_i};
    uint32_t live[LIVE_MAX];
    uint32_t peers[LIVE_MAX];
    unsigned count = 0;
    struct indices x = {0};

    ck_assert_uint_eq(wg_indices_find(&x, 5), INDICES_NONE);
    wg_indices_remove(&x, 5);
    for (unsigned n = 0; n < 10000; n++) {
        if (count < LIVE_MAX && test_rng_below(&rng, 2) == 0) {
            ck_assert_int_eq(wg_indices_reserve(&x, count + 1), 0);
            peers[count] = test_rng_below(&rng, 1000);
            live[count] = wg_indices_add(&x, test_rng(&rng), peers[count]);
            ck_assert_uint_ne(live[count], 0);
            count++;
        } else if (count > 0) {
            unsigned i = test_rng_below(&rng, count);
            uint32_t gone = live[i];

            wg_indices_remove(&x, gone);
            count--;
            live[i] = live[count];
            peers[i] = peers[count];
            ck_assert_uint_eq(wg_indices_find(&x, gone), INDICES_NONE);
            wg_indices_remove(&x, gone);
        }
        for (unsigned look = 0; look < 3 && count > 0; look++) {
            unsigned i = test_rng_below(&rng, count);

            ck_assert_uint_eq(wg_indices_find(&x, live[i]), peers[i]);
        }
        ck_assert_uint_eq(x.count, count);
    }
    ck_assert_uint_eq(wg_indices_find(&x, 0), INDICES_NONE);
    wg_indices_done(&x);
}
END_TEST

#define SLEEPERS 64u

/* Goal: the first of the schedule is always the earliest of a plain array; schedule_by never makes
 * a deadline later. */
START_TEST(schedule_agrees_with_array)
{
    struct test_rng rng = {.state = 950 + (uint64_t)_i};
    struct mono due[SLEEPERS];
    struct schedule s = {0};

    for (unsigned i = 0; i < SLEEPERS; i++)
        due[i] = MONO_NEVER;
    ck_assert_int_eq(wg_schedule_next(&s).ns, MONO_NEVER.ns);
    ck_assert_int_eq(wg_schedule_reserve(&s, SLEEPERS / 2), 0);
    ck_assert_int_eq(wg_schedule_reserve(&s, SLEEPERS), 0);
    ck_assert_int_eq(wg_schedule_reserve(&s, 1), 0);
    for (unsigned n = 0; n < 10000; n++) {
        unsigned i = test_rng_below(&rng, SLEEPERS);
        struct mono t = {.ns = test_rng_below(&rng, 1000)};
        struct mono first = MONO_NEVER;

        if (test_rng_below(&rng, 4) == 0)
            t = MONO_NEVER;
        if (test_rng_below(&rng, 2) == 0) {
            wg_schedule_set(&s, i, t);
            due[i] = t;
        } else {
            wg_schedule_by(&s, i, t);
            due[i] = mono_min(due[i], t);
        }
        for (unsigned j = 0; j < SLEEPERS; j++)
            first = mono_min(first, due[j]);
        ck_assert_int_eq(wg_schedule_next(&s).ns, first.ns);
        if (first.ns != MONO_NEVER.ns)
            ck_assert_int_eq(due[wg_schedule_first(&s)].ns, first.ns);
    }
    wg_schedule_done(&s);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(allowedips_agree_with_linear_oracle, 5),
    SUITE_ROWS(indices_agree_with_list, 3),
    SUITE_ROWS(schedule_agrees_with_array, 3),
};

SUITE_MAIN("prop_wg_tables", tests)
