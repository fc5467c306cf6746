/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes away what masks.h has put into the workspace, once the agent has ended, and tells which
 * repositories the agent has made there: what git runs in them is the agent's choice.
 */
#ifndef SANDBOX_JANITOR_H
#define SANDBOX_JANITOR_H

#include <sys/types.h>

#include "base/must.h"
#include "base/why.h"

struct files_plan;

#define JANITOR_MADE_CAP 512u

/** janitor_start() - Fork a process that takes the empty directories away when the caller stops it
 * or ends, nothing of the agent is left, and no other sandbox is in this workspace; and that then
 * looks for repositories which were not there when @plan was made. @ret_fd: for the next two. */
int janitor_start(const struct files_plan *plan, int *ret_fd, struct why *why) MUST_USE;
/** janitor_follow() - Tell it whose end is the agent's. */
void janitor_follow(int fd, pid_t guardian);
/** janitor_stop() - Have the work done, and wait for its end. -1 is no janitor. @ret_made: the
 * paths of new repositories below the workspace, "." itself; "" none. */
void janitor_stop(int *fd, char ret_made[static JANITOR_MADE_CAP]);

#endif
