/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often one caller may ask. Each agent has a bucket of calls that fills again with time; who
 * has emptied it is told when to come back (RFC 6585 4). The limit protects the machine from one
 * agent; it is not a right, and it knows nothing of who may do what.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"

#define RATE_PER_S 50u /* calls of one agent, on average */
#define BURST      200u
#define BUCKETS    1024u

struct bucket {
    char who[2 * IDENTITY_NAME_MAX + 8];
    struct mono filled;
    uint32_t tokens;
};

/** Agents that share a slot take turns in it, full each time. */
static struct bucket *bucket_of(struct control *c, const char *who, struct mono now)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    struct bucket *b;

    for (const char *p = who; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    b = &c->buckets[hash % BUCKETS];
    if (strcmp(b->who, who) != 0) {
        *b = (struct bucket){.filled = now, .tokens = BURST};
        (void)snprintf(b->who, sizeof(b->who), "%s", who);
    }
    return b;
}

bool limit_take(struct call *call)
{
    struct mono now = mono_now();
    struct bucket *b = bucket_of(call->c, call->who, now);
    int64_t gained = (now.ns - b->filled.ns) / (NS_PER_S / RATE_PER_S);

    if (gained > 0) {
        b->tokens = gained > BURST - b->tokens ? BURST : b->tokens + (uint32_t)gained;
        b->filled = mono_add_ns(b->filled, gained * (NS_PER_S / RATE_PER_S));
    }
    if (b->tokens > 0) {
        b->tokens--;
        return true;
    }
    call->c->counters.limited++;
    call->retry_after_s = 1;
    call_fail(call, 429, "too many requests: an agent may make %u a second on average", RATE_PER_S);
    return false;
}

int buckets_new(struct bucket **ret)
{
    *ret = calloc(BUCKETS, sizeof(**ret));
    return *ret != NULL ? 0 : -ENOMEM;
}
