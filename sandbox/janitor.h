/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes away what masks.h has put into the workspace, once the agent has ended.
 */
#ifndef SANDBOX_JANITOR_H
#define SANDBOX_JANITOR_H

#include <sys/types.h>

#include "base/must.h"
#include "base/why.h"

struct files_plan;

/** janitor_start() - Fork a process that takes the empty directories away when the caller
 * stops it or ends, nothing of the agent is left, and no other sandbox is in this workspace.
 * @ret_fd: for the next two. */
int janitor_start(const struct files_plan *plan, int *ret_fd, struct why *why) MUST_USE;
/** janitor_follow() - Tell it whose end is the agent's. */
void janitor_follow(int fd, pid_t guardian);
/** janitor_stop() - Have the work done, and wait for its end. -1 is no janitor. */
void janitor_stop(int *fd);

#endif
