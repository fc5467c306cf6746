/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/wg/replay.h"
#include "tests/support/suite.h"

/* The replay window, by rows of (counter, accepted) in the manner of the kernel's self-test: a 32
 * packet window, fault (e) of the warning list, fails the rows near the window's edge. */

#define W   REPLAY_WINDOW
#define END WG_REJECT_AFTER_MESSAGES

static const struct row {
    uint64_t counter;
    bool is_new;
} rows[] = {
    {0, true},
    {1, true},
    {1, false},
    {9, true},
    {8, true},
    {7, true},
    {7, false},
    {W, true},
    {W - 1, true},
    {W - 1, false},
    {W - 2, true},
    {2, true},
    {2, false},
    {W + 16, true},
    {3, false},  /* too old now */
    {16, false}, /* just too old */
    {17, true},  /* the oldest in the window */
    {17, false},
    {W + 16, false},
    {W * 4, true},
    {W * 4 - (W - 1), true},
    {10, false},
    {W * 4 - W, false},
    {W * 4 - (W + 1), false},
    {W * 4 - (W - 2), true},
    {W * 4 + 1 - W, false}, /* was taken above */
    {0, false},
    {END, false},
    {END - 1, true},
    {END, false},
    {END - 1, false},
    {END - 2, true},
    {END - W, true},
    {END - W - 1, false},
    {UINT64_MAX, false},
    {0, false},
};

START_TEST(counters_by_rows)
{
    struct replay r = {0};

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        ck_assert_msg(wg_replay_accept(&r, rows[i].counter) == rows[i].is_new, "row %u", i);
}
END_TEST

/* Goal: 2048 packets that arrive in reverse order are all taken, each once. */
START_TEST(promised_window_in_reverse)
{
    struct replay r = {0};

    for (uint64_t c = WG_REPLAY_WINDOW; c-- > 0;)
        ck_assert(wg_replay_accept(&r, c));
    for (uint64_t c = WG_REPLAY_WINDOW; c-- > 0;)
        ck_assert(!wg_replay_accept(&r, c));
}
END_TEST

/* Goal: the whole window in reverse, after counter 0 or not, and nothing behind it. */
START_TEST(whole_window_in_reverse)
{
    struct replay r = {0};

    for (uint64_t c = W + 1; c-- > 1;)
        ck_assert(wg_replay_accept(&r, c));
    ck_assert(!wg_replay_accept(&r, 0));
    r = (struct replay){0};
    ck_assert(wg_replay_accept(&r, 0));
    for (uint64_t c = W + 1; c-- > 2;)
        ck_assert(wg_replay_accept(&r, c));
    ck_assert(wg_replay_accept(&r, 1));
    ck_assert(!wg_replay_accept(&r, 0));
}
END_TEST

/* Goal: a first counter anywhere works, and leaves no ghosts in the words that it jumps over. */
START_TEST(jumps_clear_what_they_pass)
{
    struct replay r = {0};

    for (uint64_t c = 0; c < 3 * W; c++)
        ck_assert(wg_replay_accept(&r, c));
    ck_assert(wg_replay_accept(&r, 100 * W));
    for (uint64_t c = 100 * W - (W - 1); c < 100 * W; c++)
        ck_assert(wg_replay_accept(&r, c));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(counters_by_rows),
    SUITE_TEST(promised_window_in_reverse),
    SUITE_TEST(whole_window_in_reverse),
    SUITE_TEST(jumps_clear_what_they_pass),
};

SUITE_MAIN("wg_replay", tests)
