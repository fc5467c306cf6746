/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of destination rules, as identities carry them, and their intersection.
 */
#ifndef POLICY_DESTINATION_H
#define POLICY_DESTINATION_H

#include "base/nameset.h"

/**
 * destination_intersect() - Add to @ret rules that allow no more than @parent does, and nothing
 * that
 * @asked does not ask for: the pairwise intersections of the allow rules, and every deny rule of
 * either. Errors: -EINVAL a text is no rule; -ENOSPC too many; -ENOMEM.
 */
int destination_intersect(const struct nameset *parent, const struct nameset *asked,
                          struct nameset *ret) MUST_USE;

#endif
