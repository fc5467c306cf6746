/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sliding window that accepts each counter at most once (paper 5.4.6, RFC 6479).
 */
#ifndef NETSTACK_WG_REPLAY_H
#define NETSTACK_WG_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "netstack/wg/wg_msg.h"

#define REPLAY_WORD_BITS 64u
/* The word being filled is not part of the window yet (RFC 6479, section 2). */
#define REPLAY_WORDS 64u
_Static_assert((REPLAY_WORDS & (REPLAY_WORDS - 1)) == 0, "word numbers wrap by masking");
#define REPLAY_WINDOW ((REPLAY_WORDS - 1) * REPLAY_WORD_BITS) /* packets */
_Static_assert(REPLAY_WINDOW >= WG_REPLAY_WINDOW, "the promised window");

/** Zero-initialised: nothing received yet. */
struct replay {
    uint64_t next;                /* greatest counter accepted, plus one */
    uint64_t words[REPLAY_WORDS]; /* ring; bit c%64 of word (c/64)%REPLAY_WORDS: c was accepted */
};

/** wg_replay_accept() - Whether @counter is new; remembers it then. Call only for what is
 * authentic.
 */
bool wg_replay_accept(struct replay *r, uint64_t counter);

#endif
