/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small table with one place for each kind of knock: program, protocol, destination and the rule
 * that refused. A kind that finds no place is told each time, as a scan of ports would be anyway.
 * Nothing is judged and nothing is recorded here.
 */
#include "sandbox/knocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct place {
    uint64_t more; /* since it was told */
    struct knock knock;
};

struct knocks {
    struct loop *loop;
    struct knocks_events events;
    void *self;
    struct loop_timer timer;
    unsigned count;
    struct place places[KNOCKS_MAX];
};

static void tell_all(struct knocks *k)
{
    for (unsigned i = 0; i < k->count; i++)
        if (k->places[i].more > 0)
            k->events.again(k->self, &k->places[i].knock, k->places[i].more);
    k->count = 0;
}

static void on_timer(void *self, struct mono now)
{
    (void)now;
    tell_all(self);
}

int knocks_new(struct loop *loop, const struct knocks_events *events, void *self,
               struct knocks **ret)
{
    struct knocks *k = calloc(1, sizeof(*k));

    if (k == NULL)
        return -ENOMEM;
    k->loop = loop;
    k->events = *events;
    k->self = self;
    k->timer = (struct loop_timer){.expired = on_timer, .self = k};
    *ret = k;
    return 0;
}

void knocks_free(struct knocks *k)
{
    if (k == NULL)
        return;
    loop_timer_clear(k->loop, &k->timer);
    tell_all(k);
    free(k);
}

static bool is_same(const struct knock *a, const struct knock *b)
{
    return a->proto == b->proto && endpoint_equal(&a->dst, &b->dst) &&
           a->info.reason == b->info.reason && strcmp(a->info.exe, b->info.exe) == 0 &&
           strcmp(a->info.rule, b->info.rule) == 0;
}

bool knocks_add(struct knocks *k, const struct knock *knock)
{
    for (unsigned i = 0; i < k->count; i++) {
        if (is_same(&k->places[i].knock, knock)) {
            k->places[i].more++;
            return false;
        }
    }
    if (k->timer.index_ == 0 &&
        loop_timer_set(k->loop, &k->timer, mono_add_ms(mono_now(), KNOCK_REPEAT_S * 1000)) < 0)
        log_debug("no timer: repeated refusals are recorded at the end");
    if (k->count < KNOCKS_MAX)
        k->places[k->count++] = (struct place){.knock = *knock};
    return true;
}
