/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open-addressing table with linear probing. Removal moves later entries of the run back, so
 * there are no tombstones and a look-up ends at the first free entry.
 */
#include "netstack/wg/indices.h"

#include <errno.h>
#include <stdlib.h>

#define INDICES_CAP_MIN 16u

static uint32_t place_of(const struct indices *x, uint32_t index)
{
    return index & (x->cap - 1);
}

/** The entry that has @index, or the free one where it would go. */
static struct indices_entry *probe(const struct indices *x, uint32_t index)
{
    uint32_t i = place_of(x, index);

    while (x->entries[i].index != 0 && x->entries[i].index != index)
        i = (i + 1) & (x->cap - 1);
    return &x->entries[i];
}

int wg_indices_reserve(struct indices *x, uint32_t count)
{
    struct indices bigger = {.cap = x->cap > 0 ? x->cap : INDICES_CAP_MIN, .count = x->count};

    while (bigger.cap / 2 < count)
        bigger.cap *= 2;
    if (bigger.cap == x->cap)
        return 0;
    bigger.entries = calloc(bigger.cap, sizeof(*bigger.entries));
    if (bigger.entries == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < x->cap; i++)
        if (x->entries[i].index != 0)
            *probe(&bigger, x->entries[i].index) = x->entries[i];
    free(x->entries);
    *x = bigger;
    return 0;
}

uint32_t wg_indices_add(struct indices *x, struct rng rng, uint32_t peer)
{
    struct indices_entry *entry;
    uint32_t index;

    must(x->count < x->cap / 2);
    do {
        index = rng_u32(rng);
        entry = index != 0 ? probe(x, index) : NULL;
    } while (entry == NULL || entry->index != 0);
    *entry = (struct indices_entry){.index = index, .peer = peer};
    x->count++;
    return index;
}

void wg_indices_remove(struct indices *x, uint32_t index)
{
    uint32_t hole;

    if (index == 0 || x->cap == 0 || probe(x, index)->index != index)
        return;
    hole = (uint32_t)(probe(x, index) - x->entries);
    x->count--;
    for (uint32_t i = (hole + 1) & (x->cap - 1); x->entries[i].index != 0;
         i = (i + 1) & (x->cap - 1)) {
        uint32_t home = place_of(x, x->entries[i].index);

        /* It may move into the hole unless its home lies behind the hole, cyclically. */
        if (((i - home) & (x->cap - 1)) < ((i - hole) & (x->cap - 1)))
            continue;
        x->entries[hole] = x->entries[i];
        hole = i;
    }
    x->entries[hole] = (struct indices_entry){0};
}

uint32_t wg_indices_find(const struct indices *x, uint32_t index)
{
    const struct indices_entry *entry;

    if (index == 0 || x->cap == 0)
        return INDICES_NONE;
    entry = probe(x, index);
    return entry->index != 0 ? entry->peer : INDICES_NONE;
}

void wg_indices_done(struct indices *x)
{
    free(x->entries);
    *x = (struct indices){0};
}
