/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one program as an agent behind the real walls, with a supervisor that answers every trapped
 * call with EACCES: for tests of the walls, apart from the network behind them.
 */
#ifndef TESTS_SUPPORT_AGENT_RUN_H
#define TESTS_SUPPORT_AGENT_RUN_H

#include "base/why.h"
#include "sandbox/spawn.h"

#define AGENT_OUT_CAP 2048
#define ARG(literal)  ((char *)(uintptr_t)(literal)) /* argv wants char * */

struct agent_run {
    int status;     /* as spawn_event.status */
    unsigned traps; /* calls that were answered */
    unsigned walls;
    char out[AGENT_OUT_CAP]; /* standard output and error */
    struct why why;
};

/** agent_env() - The environment that agents of tests get. */
char *const *agent_env(void);

/** agent_serve() - Answer calls until the agent has ended; returns its status. @ret_traps may be
 * NULL. */
int agent_serve(struct spawned *s, unsigned *ret_traps, struct why *why);

/** agent_run() - Start, serve, collect the output, release. Fails the test when it cannot start. */
void agent_run(char *const *argv, struct agent_run *ret);

/** agent_run_shell() - The same with `sh -c SCRIPT`. */
void agent_run_shell(const char *script, struct agent_run *ret);

/** agent_native() - The same program without any wall, for the positive control. */
void agent_native(char *const *argv, struct agent_run *ret);

#endif
