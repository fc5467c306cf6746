/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded set of names, kept sorted by bytes: tools, namespaces, rule texts. Names are compared
 * byte by byte; two spellings are two names. The set owns copies of its names.
 *
 * Lifecycle: nameset_init → nameset_add … → nameset_done.
 */
#ifndef BASE_NAMESET_H
#define BASE_NAMESET_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/must.h"

struct nameset {
    char **items; /* sorted, each terminated, without duplicates */
    unsigned count;
    unsigned cap;
    unsigned max; /* never more names than this */
};

void nameset_init(struct nameset *s, unsigned max);
/** nameset_done() - Free the names; accepts a set that was never filled, and a second call. */
void nameset_done(struct nameset *s);

/** nameset_add() - Put a copy of @name into the set; nothing changes when it is there already.
 * Errors: -EINVAL contains NUL; -ENOSPC the set is full; -ENOMEM. The set is unchanged then. */
int nameset_add(struct nameset *s, struct bytes name) MUST_USE;
bool nameset_has(const struct nameset *s, struct bytes name);
/** nameset_is_subset() - True when each name of @a is in @b. */
bool nameset_is_subset(const struct nameset *a, const struct nameset *b);
/** nameset_intersect() - Add to @ret (initialised by the caller) the names that are in @a and in
 * @b. */
int nameset_intersect(const struct nameset *a, const struct nameset *b,
                      struct nameset *ret) MUST_USE;
/** nameset_copy() - Add all names of @from to @ret. */
int nameset_copy(const struct nameset *from, struct nameset *ret) MUST_USE;

#endif
