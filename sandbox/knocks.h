/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refused connections to loopback ports where nothing inside listens. Programs knock on such ports
 * all the time, some in a loop, so the first of a kind is told at once and the rest is counted.
 * Pure but for its timer; nothing is lost: what was told and the counts add up to all refusals.
 */
#ifndef SANDBOX_KNOCKS_H
#define SANDBOX_KNOCKS_H

#include "sandbox/session.h"

#define KNOCKS_MAX     64u /* different ones that are counted; one more is told each time */
#define KNOCK_REPEAT_S 10  /* counts are told this often, and then it begins anew */

struct knock {
    enum policy_proto proto;
    struct endpoint dst;
    struct flow_info info; /* of the first one */
};

struct knocks_events {
    /** @knock has come @times more since it was told. */
    void (*again)(void *self, const struct knock *knock, uint64_t times);
};

struct knocks;

int knocks_new(struct loop *loop, const struct knocks_events *events, void *self,
               struct knocks **ret) MUST_USE;
/** knocks_free() - Tells the last counts. */
void knocks_free(struct knocks *k);
/** knocks_add() - Count it. Returns true when it has to be told: it is the first of its kind. */
bool knocks_add(struct knocks *k, const struct knock *knock);

#endif
