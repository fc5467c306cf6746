/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in the workspace that programs outside believe and run (hooks, settings of editors and
 * agents): read-only for the agent, whether or not they exist. It takes a mount namespace, so it is
 * done where the host grants one.
 */
#ifndef SANDBOX_MASKS_H
#define SANDBOX_MASKS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/must.h"
#include "base/why.h"

struct files_plan;

/** masks_name() - The @i-th name, relative to the workspace; NULL beyond the last. In
 * files_plan.masked, bit @i says that it is to be protected. */
const char *masks_name(unsigned i);

/**
 * masks_enter() - Lay the masks, in a mount namespace of the calling process's own where it may
 * mount. A name that does not exist gets an empty directory in its place, which programs take for
 * nothing (git does not even list it), until masks_janitor_stop(). The working directory is entered
 * anew. Errors: -ELOOP a name is a link, which cannot be protected; -errno; in @why.
 */
int masks_enter(const struct files_plan *plan, struct why *why) MUST_USE;

/** masks_janitor_start() - Fork a process that takes the empty directories away when the caller
 * stops it or ends, nothing of the agent is left, and no other sandbox is in this workspace.
 * @ret_fd: for the next two. */
int masks_janitor_start(const struct files_plan *plan, int *ret_fd, struct why *why) MUST_USE;
/** masks_janitor_follow() - Tell it whose end is the agent's. */
void masks_janitor_follow(int fd, pid_t guardian);
/** masks_janitor_stop() - Have the work done, and wait for its end. -1 is no janitor. */
void masks_janitor_stop(int *fd);

#endif
