/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in the workspace, and in the repositories in it, that programs outside believe and run
 * (hooks, settings of editors and agents): read-only for the agent, whether or not they exist. It
 * takes a mount namespace, so it is done where the host grants one.
 */
#ifndef SANDBOX_MASKS_H
#define SANDBOX_MASKS_H

#include <stdint.h>

#include "base/must.h"
#include "base/why.h"
#include "sandbox/repositories.h"

struct files_plan;

/** masks_name() - The @i-th name, relative to the directory of such a part of a repository; "": it
 * has no such name; NULL: beyond the last. In repository.masked, bit @i says that it is to be
 * protected. */
const char *masks_name(enum repository_part part, unsigned i);

/**
 * masks_enter() - Lay the masks, in a mount namespace of the calling process's own where it may
 * mount. A name that does not exist gets an empty directory in its place, which programs take for
 * nothing (git does not even list it), until masks_clear(). The working directory is entered
 * anew. Errors: -ELOOP a name is a link, which cannot be protected; -errno; in @why.
 */
int masks_enter(const struct files_plan *plan, struct why *why) MUST_USE;

/** masks_clear() - Take away what stands in the places of names that do not exist, in the directory
 * of such a part of a repository, open as @dir. */
void masks_clear(int dir, enum repository_part part);

#endif
