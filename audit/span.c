/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of programs that run. It is open addressing with linear probing, at most half full, so
 * that look-ups stay short; a removal moves later entries up instead of leaving marks.
 */
#include "audit/span.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"

#define SLOTS (AUDIT_PROGRAMS_MAX * 2)

int programs_init(struct programs *p)
{
    *p = (struct programs){.slots = calloc(SLOTS, sizeof(*p->slots))};
    return p->slots != NULL ? 0 : -ENOMEM;
}

void programs_done(struct programs *p)
{
    free(p->slots);
    *p = (struct programs){0};
}

static unsigned home_of(int32_t pid)
{
    return (unsigned)((uint32_t)pid * 2654435761u) % SLOTS; /* Knuth's multiplicative hash */
}

struct program *programs_find(const struct programs *p, int32_t pid)
{
    for (unsigned i = home_of(pid); p->slots[i].pid != 0; i = (i + 1) % SLOTS)
        if (p->slots[i].pid == pid)
            return &p->slots[i];
    return NULL;
}

struct program *programs_add(struct programs *p, int32_t pid)
{
    unsigned i = home_of(pid);

    if (p->count == AUDIT_PROGRAMS_MAX || pid <= 0)
        return NULL;
    while (p->slots[i].pid != 0)
        i = (i + 1) % SLOTS;
    p->slots[i] = (struct program){.pid = pid};
    p->count++;
    return &p->slots[i];
}

void programs_remove(struct programs *p, struct program *gone)
{
    unsigned hole = (unsigned)(gone - p->slots);

    for (unsigned i = (hole + 1) % SLOTS; p->slots[i].pid != 0; i = (i + 1) % SLOTS) {
        unsigned home = home_of(p->slots[i].pid);

        /* An entry may move into the hole unless its home lies behind the hole. */
        if ((i - home + SLOTS) % SLOTS >= (i - hole + SLOTS) % SLOTS) {
            p->slots[hole] = p->slots[i];
            hole = i;
        }
    }
    p->slots[hole] = (struct program){0};
    p->count--;
}

void span_make_id(char ret[static AUDIT_SPAN_CAP])
{
    uint64_t id = 0;

    while (id == 0) /* all zeros is invalid (W3C Trace Context 3.2.2.4) */
        id = rng_u64(rng_system());
    (void)snprintf(ret, AUDIT_SPAN_CAP, "%016" PRIx64, id);
}
