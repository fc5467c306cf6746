/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals that repeat themselves: what was told and what was counted add up. */
#include "sandbox/knocks.h"

#include <string.h>

#include "tests/support/suite.h"

struct world {
    struct loop *loop;
    struct knocks *knocks;
    unsigned told;
    uint64_t counted;
    uint16_t last_port;
};

static void on_again(void *self, const struct knock *knock, uint64_t times)
{
    struct world *w = self;

    w->told++;
    w->counted += times;
    w->last_port = knock->dst.port;
}

static void world_init(struct world *w)
{
    static const struct knocks_events events = {.again = on_again};

    *w = (struct world){0};
    ck_assert_int_eq(loop_new(&w->loop), 0);
    ck_assert_int_eq(knocks_new(w->loop, &events, w, &w->knocks), 0);
}

static void world_done(struct world *w)
{
    knocks_free(w->knocks);
    loop_free(w->loop);
}

static bool knock(struct world *w, uint16_t port, const char *exe)
{
    struct knock k = {.proto = POLICY_TCP, .dst = {.ip = ip_v4(127, 0, 0, 1), .port = port}};

    (void)snprintf(k.info.exe, sizeof(k.info.exe), "%s", exe);
    return knocks_add(w->knocks, &k);
}

START_TEST(repeated_ones_are_counted)
{
    struct world w;

    world_init(&w);
    ck_assert(knock(&w, 80, "/bin/a"));
    for (unsigned i = 0; i < 7; i++)
        ck_assert(!knock(&w, 80, "/bin/a"));
    ck_assert_uint_eq(w.told, 0);
    world_done(&w);
    ck_assert_uint_eq(w.told, 1);
    ck_assert_uint_eq(w.counted, 7);
    ck_assert_uint_eq(w.last_port, 80);
}
END_TEST

START_TEST(kinds_are_told_apart)
{
    struct world w;

    world_init(&w);
    ck_assert(knock(&w, 80, "/bin/a"));
    ck_assert(knock(&w, 81, "/bin/a"));
    ck_assert(knock(&w, 80, "/bin/b"));
    ck_assert(!knock(&w, 81, "/bin/a"));
    world_done(&w);
    ck_assert_uint_eq(w.counted, 1);
    ck_assert_uint_eq(w.last_port, 81);
}
END_TEST

START_TEST(a_full_table_tells_each)
{
    struct world w;

    world_init(&w);
    for (uint16_t port = 1; port <= KNOCKS_MAX; port++)
        ck_assert(knock(&w, port, "/bin/scan"));
    ck_assert(knock(&w, 1000, "/bin/scan"));
    ck_assert(knock(&w, 1000, "/bin/scan"));
    ck_assert(!knock(&w, KNOCKS_MAX, "/bin/scan"));
    world_done(&w);
    ck_assert_uint_eq(w.told, 1);
    ck_assert_uint_eq(w.counted, 1);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(repeated_ones_are_counted),
    SUITE_TEST(kinds_are_told_apart),
    SUITE_TEST(a_full_table_tells_each),
};

SUITE_MAIN("knocks", tests)
