/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay window of RFC 6479: a ring of words, so that moving the window clears whole words and
 * shifts nothing. It refuses what is older than the window, what was seen, and counters that no
 * honest sender reaches.
 */
#include "netstack/wg/replay.h"

/** Forget the words that lie between the old and the new end of the window. */
static void replay_advance(struct replay *r, uint64_t counter)
{
    /* Before the first packet there is no word in use; counter 0 belongs to word 0, which is clear.
     */
    uint64_t from = r->next == 0 ? 0 : (r->next - 1) / REPLAY_WORD_BITS;
    uint64_t steps = counter / REPLAY_WORD_BITS - from;

    if (steps > REPLAY_WORDS)
        steps = REPLAY_WORDS;
    for (uint64_t i = 1; i <= steps; i++)
        r->words[(from + i) % REPLAY_WORDS] = 0;
    r->next = counter + 1;
}

bool wg_replay_accept(struct replay *r, uint64_t counter)
{
    uint64_t *word = &r->words[(counter / REPLAY_WORD_BITS) % REPLAY_WORDS];
    uint64_t bit = UINT64_C(1) << (counter % REPLAY_WORD_BITS);

    if (counter >= WG_REJECT_AFTER_MESSAGES)
        return false;
    if (counter >= r->next)
        replay_advance(r, counter);
    else if (r->next - 1 - counter >= REPLAY_WINDOW)
        return false;
    else if (*word & bit)
        return false;
    *word |= bit;
    return true;
}
