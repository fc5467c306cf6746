/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed table of (name, address, end of life). Each address has a list of its pins, most recent
 * first; addresses with the same hash share a bucket. Both the table and the pins of one address
 * are bounded, because an agent that controls a name server chooses both sides; what it can
 * displace that way are only its own pins.
 */
#include "policy/pins.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS     4096u /* power of two */
#define NO_SLOT     UINT32_MAX
#define PINS_PER_IP 256u

struct pin {
    char name[POLICY_HOSTNAME_MAX + 1]; /* "": the slot is free */
    struct ip ip;
    uint32_t newer; /* neighbours in the bucket's list; NO_SLOT at its ends */
    uint32_t older;
};

struct pins {
    uint32_t bucket[BUCKETS];  /* newest pin of each bucket */
    int64_t ends_ns[PINS_MAX]; /* apart from the pins, so the search for room reads little memory */
    struct pin pins[PINS_MAX];
    uint32_t used; /* slots that were ever taken: 0..used-1 */
};

static_assert((BUCKETS & (BUCKETS - 1)) == 0, "a mask picks the bucket");

static unsigned bucket_of(const struct ip *ip)
{
    uint64_t h = load_be64(ip->bytes) * UINT64_C(0x9e3779b97f4a7c15) ^ load_be64(ip->bytes + 8);

    h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return (unsigned)(h >> 32) & (BUCKETS - 1);
}

int pins_new(struct pins **ret)
{
    struct pins *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < BUCKETS; i++)
        p->bucket[i] = NO_SLOT;
    *ret = p;
    return 0;
}

void pins_free(struct pins *pins)
{
    free(pins);
}

static void unlink_pin(struct pins *p, uint32_t slot)
{
    struct pin *pin = &p->pins[slot];

    if (pin->newer != NO_SLOT)
        p->pins[pin->newer].older = pin->older;
    else
        p->bucket[bucket_of(&pin->ip)] = pin->older;
    if (pin->older != NO_SLOT)
        p->pins[pin->older].newer = pin->newer;
}

static void link_newest(struct pins *p, uint32_t slot)
{
    struct pin *pin = &p->pins[slot];
    uint32_t *head = &p->bucket[bucket_of(&pin->ip)];

    pin->newer = NO_SLOT;
    pin->older = *head;
    if (*head != NO_SLOT)
        p->pins[*head].newer = slot;
    *head = slot;
}

/** The slot of (@name, @ip), or else a slot to reuse because the address has its full number of
 * pins, or else NO_SLOT. */
static uint32_t find_slot(const struct pins *p, const char *name, const struct ip *ip)
{
    uint32_t oldest = NO_SLOT;
    unsigned count = 0;

    for (uint32_t i = p->bucket[bucket_of(ip)]; i != NO_SLOT; i = p->pins[i].older) {
        if (!ip_equal(&p->pins[i].ip, ip))
            continue;
        if (strcmp(p->pins[i].name, name) == 0)
            return i;
        oldest = i;
        count++;
    }
    return count >= PINS_PER_IP ? oldest : NO_SLOT;
}

static uint32_t ends_first(const struct pins *p)
{
    uint32_t first = 0;

    for (uint32_t i = 1; i < PINS_MAX; i++)
        if (p->ends_ns[i] < p->ends_ns[first])
            first = i;
    return first;
}

void pins_add(struct pins *pins, const char *name, const struct ip *ip, uint32_t ttl_s,
              struct mono now)
{
    struct ip plain = ip_unmap(ip);
    uint32_t slot = find_slot(pins, name, &plain);
    struct mono end = MONO_NEVER;
    struct pin *pin;
    bool is_known;

    if (ttl_s != UINT32_MAX) {
        ttl_s = ttl_s < PIN_TTL_MIN_S   ? PIN_TTL_MIN_S
                : ttl_s > PIN_TTL_MAX_S ? PIN_TTL_MAX_S
                                        : ttl_s;
        end = mono_add_ns(now, ttl_s * NS_PER_S);
    }
    must(name[0] != '\0' && strlen(name) <= POLICY_HOSTNAME_MAX);
    if (slot != NO_SLOT) {
        unlink_pin(pins, slot);
    } else if (pins->used < PINS_MAX) {
        slot = pins->used++;
    } else {
        slot = ends_first(pins);
        unlink_pin(pins, slot);
    }
    pin = &pins->pins[slot];
    is_known = ip_equal(&pin->ip, &plain) && strcmp(pin->name, name) == 0;
    if (!is_known || pins->ends_ns[slot] < end.ns)
        pins->ends_ns[slot] = end.ns; /* an earlier, longer answer still holds */
    pin->ip = plain;
    (void)snprintf(pin->name, sizeof(pin->name), "%s", name);
    link_newest(pins, slot);
}

struct pin_walk pins_walk(const struct pins *pins, const struct ip *ip, struct mono now)
{
    struct pin_walk walk = {.pins = pins, .now = now, .slot = NO_SLOT};

    if (pins == NULL)
        return walk;
    walk.slot = pins->bucket[bucket_of(ip)];
    while (walk.slot != NO_SLOT && !ip_equal(&pins->pins[walk.slot].ip, ip))
        walk.slot = pins->pins[walk.slot].older;
    return walk;
}

const char *pins_next(struct pin_walk *walk)
{
    while (walk->slot != NO_SLOT) {
        const struct pin *pin = &walk->pins->pins[walk->slot];
        bool is_live = walk->now.ns < walk->pins->ends_ns[walk->slot];

        do {
            walk->slot = walk->pins->pins[walk->slot].older;
        } while (walk->slot != NO_SLOT && !ip_equal(&walk->pins->pins[walk->slot].ip, &pin->ip));
        if (is_live)
            return pin->name;
    }
    return NULL;
}

const char *pins_find(const struct pins *pins, const struct ip *ip, unsigned nth, struct mono now)
{
    struct ip plain = ip_unmap(ip);
    struct pin_walk walk = pins_walk(pins, &plain, now);
    const char *name = pins_next(&walk);

    while (name != NULL && nth-- > 0)
        name = pins_next(&walk);
    return name;
}
