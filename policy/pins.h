/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking the live names of one address in constant time a step; pins_find() at the door is the
 * convenient form.
 */
#ifndef POLICY_PINS_H
#define POLICY_PINS_H

#include "policy/policy.h"

struct pin_walk {
    const struct pins *pins; /* may be NULL: no names */
    struct mono now;
    unsigned slot; /* next slot to look at */
};

struct pin_walk pins_walk(const struct pins *pins, const struct ip *ip, struct mono now);
/** pins_next() - The next live name, most recent first; NULL at the end. */
const char *pins_next(struct pin_walk *walk);

#endif
