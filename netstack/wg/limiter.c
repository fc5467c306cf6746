/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load meter and token buckets. Both only count what has a good mac1; the limiter is asked under
 * load only, and only about addresses that a cookie has proved. Bounded memory, no timers: a bucket
 * is one point in time, the moment at which it is full again.
 */
#include "netstack/wg/limiter.h"

#include <string.h>

#include "netstack/wg/crypto.h"

#define TOKEN_NS (NS_PER_S / WG_LIMIT_PER_S) /* one token grows in this time */

bool wg_load_note(struct load *l, struct mono now)
{
    if (!mono_before(now, mono_add_ns(l->window, NS_PER_S))) {
        l->window = now;
        l->count = 0;
    }
    if (l->count < WG_LOAD_PER_S)
        l->count++;
    else
        l->until = mono_add_ns(now, WG_LOAD_HOLD_NS);
    return mono_before(now, l->until);
}

static struct limiter_bucket *limiter_find(struct limiter *l, const uint8_t address[static 9])
{
    uint64_t hash = wg_table_hash(l->hash_key, bytes_of(address, 9));
    struct limiter_bucket *set = l->buckets[hash % LIMITER_SETS];
    struct limiter_bucket *soonest = set;

    for (unsigned i = 0; i < LIMITER_WAYS; i++) {
        if (memcmp(set[i].address, address, 9) == 0)
            return &set[i];
        if (mono_before(set[i].full, soonest->full))
            soonest = &set[i];
    }
    *soonest = (struct limiter_bucket){0};
    memcpy(soonest->address, address, 9);
    return soonest;
}

bool wg_limiter_allow(struct limiter *l, const struct ip *ip, struct mono now)
{
    uint8_t address[9] = {ip->family};
    struct limiter_bucket *b;
    struct mono full;

    memcpy(address + 1, ip->bytes, ip->family == IP_V4 ? 4 : 8);
    b = limiter_find(l, address);
    full = mono_add_ns(mono_before(b->full, now) ? now : b->full, TOKEN_NS);
    if (mono_before(mono_add_ns(now, TOKEN_NS * WG_LIMIT_BURST), full))
        return false;
    b->full = full;
    return true;
}
