/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names with the place of the fault, for the parser of rules. See hostname_canonical() at the
 * door.
 */
#ifndef POLICY_HOSTNAME_H
#define POLICY_HOSTNAME_H

#include "policy/policy.h"

/** Where a text goes wrong, and what it should be instead. */
struct fault {
    size_t at;        /* 0-based offset in the text */
    const char *what; /* static text */
};

/** fault_at() - Fill @f and return -EINVAL. */
int fault_at(struct fault *f, size_t at, const char *what);

/** hostname_parse() - As hostname_canonical(); @fault is filled on failure. */
int hostname_parse(struct bytes text, char ret[static POLICY_HOSTNAME_MAX + 1],
                   struct fault *fault) MUST_USE;

#endif
