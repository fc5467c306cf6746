/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When handshakes come too fast: is there load, and does this address ask too often (paper 5.3)?
 */
#ifndef NETSTACK_WG_LIMITER_H
#define NETSTACK_WG_LIMITER_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/clock.h"
#include "netstack/wg/wg_msg.h"

/** Counts handshake messages. Zero-initialised: no load. */
struct load {
    struct mono window; /* begin of the second that is counted */
    unsigned count;
    struct mono until; /* there is load until then */
};

/** wg_load_note() - A handshake message with a good mac1 came in. True: there is load. */
bool wg_load_note(struct load *l, struct mono now);

#define LIMITER_SETS 256u
#define LIMITER_WAYS 4u

/** One bucket an address: an IPv4 address or an IPv6 /64. */
struct limiter_bucket {
    uint8_t address[9]; /* family, then 4 or 8 bytes; all zero: unused */
    struct mono full;   /* when the bucket is, or was, full again */
};

/** Set-associative, so it never grows: where a set is full, the bucket that is full soonest, which
 * means the one that restricts least, is given up. */
struct limiter {
    uint8_t hash_key[16]; /* random: strangers must not choose whose bucket they share */
    struct limiter_bucket buckets[LIMITER_SETS][LIMITER_WAYS];
};

/** wg_limiter_allow() - Take a token of the address; false when there is none left. */
bool wg_limiter_allow(struct limiter *l, const struct ip *ip, struct mono now);

#endif
