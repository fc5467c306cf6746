/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walls round the agent that the filter cannot build: a Landlock domain, which keeps the agent's
 * processes from tracing, reading and signalling the user's other programs and from their abstract
 * socket names; and, with rules, from all files that none of them opens (files.h).
 */
#ifndef SANDBOX_WALLS_H
#define SANDBOX_WALLS_H

#include "base/landlock.h"
#include "base/must.h"

/** walls_yama_scope() - kernel.yama.ptrace_scope: 0..3; -1: no Yama here. */
int walls_yama_scope(void);

/** walls_enter() - Put the calling process into a Landlock domain with all that this kernel offers,
 * for ever; needs no_new_privs. @ret_walls: enum spawn_wall bits that stand now. A kernel without
 * Landlock is no error, unless there are rules. @rules: NULL every file is open. Errors: -errno,
 * nothing was restricted. */
int walls_enter(const struct landlock_rule *rules, unsigned count, unsigned *ret_walls) MUST_USE;

#endif
