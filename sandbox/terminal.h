/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal of the agent's own. When standard input and output are a terminal, the agent gets a
 * new pseudo-terminal as its controlling one (job control works, and nothing it does to it touches
 * the user's), and a small process of ours carries the bytes between the two.
 */
#ifndef SANDBOX_TERMINAL_H
#define SANDBOX_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "base/must.h"
#include "base/why.h"

#define TERMINAL_NAME_CAP 64

struct terminal {
    bool is_on;                   /* false: standard input and output are no terminal */
    char name[TERMINAL_NAME_CAP]; /* what the agent opens */
    struct termios saved;         /* of the user's terminal */
    pid_t pump;
};

/** terminal_start() - Make the pseudo-terminal, start the pump, put the user's terminal into raw
 * mode; nothing where there is no terminal. Before the guardian is started. Errors: -errno with
 * @why. */
int terminal_start(struct terminal *ret, struct why *why) MUST_USE;

/** terminal_attach() - In the agent, a session leader with a descriptor table of its own: make the
 * terminal the controlling one and replace those of 0, 1, 2 that are terminals. Returns 0 or
 * -errno. */
int terminal_attach(const struct terminal *t) MUST_USE;

/** terminal_done() - Once nothing of the agent is left: wait until its last output is shown, give
 * the user's terminal back as it was. */
void terminal_done(struct terminal *t);

#endif
