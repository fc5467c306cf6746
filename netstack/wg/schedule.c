/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap that remembers where each peer is in it.
 */
#include "netstack/wg/schedule.h"

#include <errno.h>
#include <stdlib.h>

int wg_schedule_reserve(struct schedule *s, uint32_t cap)
{
    struct schedule_entry *heap;
    uint32_t *place;

    if (cap <= s->cap)
        return 0;
    heap = realloc(s->heap, cap * sizeof(*heap));
    if (heap == NULL)
        return -ENOMEM;
    s->heap = heap;
    place = realloc(s->place, cap * sizeof(*place));
    if (place == NULL)
        return -ENOMEM;
    s->place = place;
    for (uint32_t i = s->cap; i < cap; i++)
        place[i] = SCHEDULE_NOWHERE;
    s->cap = cap;
    return 0;
}

static void put(struct schedule *s, uint32_t i, struct schedule_entry entry)
{
    s->heap[i] = entry;
    s->place[entry.peer] = i;
}

/** Let the entry at @i rise or sink to where it belongs. */
static void settle(struct schedule *s, uint32_t i)
{
    struct schedule_entry entry = s->heap[i];

    while (i > 0 && mono_before(entry.due, s->heap[(i - 1) / 2].due)) {
        put(s, i, s->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child + 1 < s->count && mono_before(s->heap[child + 1].due, s->heap[child].due))
            child++;
        if (child >= s->count || !mono_before(s->heap[child].due, entry.due))
            break;
        put(s, i, s->heap[child]);
        i = child;
    }
    put(s, i, entry);
}

static void take_out(struct schedule *s, uint32_t i)
{
    s->place[s->heap[i].peer] = SCHEDULE_NOWHERE;
    s->count--;
    if (i == s->count)
        return;
    s->heap[i] = s->heap[s->count];
    settle(s, i);
}

void wg_schedule_set(struct schedule *s, uint32_t peer, struct mono due)
{
    uint32_t i = s->place[peer];

    if (due.ns == MONO_NEVER.ns) {
        if (i != SCHEDULE_NOWHERE)
            take_out(s, i);
        return;
    }
    if (i == SCHEDULE_NOWHERE)
        i = s->count++;
    s->heap[i] = (struct schedule_entry){.due = due, .peer = peer};
    settle(s, i);
}

void wg_schedule_by(struct schedule *s, uint32_t peer, struct mono due)
{
    uint32_t i = s->place[peer];

    if (i == SCHEDULE_NOWHERE || mono_before(due, s->heap[i].due))
        wg_schedule_set(s, peer, due);
}

struct mono wg_schedule_next(const struct schedule *s)
{
    return s->count > 0 ? s->heap[0].due : MONO_NEVER;
}

uint32_t wg_schedule_first(const struct schedule *s)
{
    must(s->count > 0);
    return s->heap[0].peer;
}

void wg_schedule_done(struct schedule *s)
{
    free(s->heap);
    free(s->place);
    *s = (struct schedule){0};
}
