/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which peer a receiver index belongs to. Indices are random, so that they tell a watcher neither
 * how many peers there are nor which sessions are one peer's; being random they need no hashing.
 */
#ifndef NETSTACK_WG_INDICES_H
#define NETSTACK_WG_INDICES_H

#include <stdint.h>

#include "base/must.h"
#include "base/rng.h"

#define INDICES_NONE UINT32_MAX

struct indices_entry {
    uint32_t index; /* 0: free; never given out */
    uint32_t peer;
};

/** Zero-initialised: no room. */
struct indices {
    struct indices_entry *entries; /* owned; open addressing, at most half full */
    uint32_t cap;                  /* 0 or a power of two */
    uint32_t count;
};

/** wg_indices_reserve() - Room for @count entries in all. Errors: -ENOMEM. */
int wg_indices_reserve(struct indices *x, uint32_t count) MUST_USE;
/** wg_indices_add() - A fresh index for @peer; there is room. */
uint32_t wg_indices_add(struct indices *x, struct rng rng, uint32_t peer);
/** wg_indices_remove() - Accepts one that is not there, or 0. */
void wg_indices_remove(struct indices *x, uint32_t index);
/** wg_indices_find() - The peer, or INDICES_NONE. */
uint32_t wg_indices_find(const struct indices *x, uint32_t index);
void wg_indices_done(struct indices *x);

#endif
