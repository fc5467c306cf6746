/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which peer's timers are due first: a heap of deadlines, at most one a peer. A deadline in the
 * heap may be too early, never too late: moving a timer back, which happens with every packet, does
 * not touch the heap; the peer is then looked at once for nothing.
 */
#ifndef NETSTACK_WG_SCHEDULE_H
#define NETSTACK_WG_SCHEDULE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/must.h"

#define SCHEDULE_NOWHERE UINT32_MAX

struct schedule_entry {
    struct mono due;
    uint32_t peer;
};

/** Zero-initialised: no room. */
struct schedule {
    struct schedule_entry *heap; /* owned */
    uint32_t *place;             /* owned: by peer, where in the heap, or SCHEDULE_NOWHERE */
    uint32_t count;
    uint32_t cap;
};

/** wg_schedule_reserve() - Room for the peers 0..@cap-1. Errors: -ENOMEM. */
int wg_schedule_reserve(struct schedule *s, uint32_t cap) MUST_USE;
/** wg_schedule_by() - See to it that @peer is looked at by @due at the latest. */
void wg_schedule_by(struct schedule *s, uint32_t peer, struct mono due);
/** wg_schedule_set() - The peer's deadline is @due; MONO_NEVER takes it out. */
void wg_schedule_set(struct schedule *s, uint32_t peer, struct mono due);
/** wg_schedule_next() - The first deadline, or MONO_NEVER. */
struct mono wg_schedule_next(const struct schedule *s);
/** wg_schedule_first() - The peer it belongs to; only when there is one. */
uint32_t wg_schedule_first(const struct schedule *s);
void wg_schedule_done(struct schedule *s);

#endif
