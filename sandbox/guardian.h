/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guardian process: between the supervisor and the agent (spawn.h has the picture). This header
 * is what spawn.c and guardian.c say to each other.
 */
#ifndef SANDBOX_GUARDIAN_H
#define SANDBOX_GUARDIAN_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/why.h"
#include "sandbox/spawn.h"

enum spawn_state {
    SPAWN_STATE_STARTING = 0,
    SPAWN_STATE_LISTENING, /* agent → guardian: listener_fd is open in our common table */
    SPAWN_STATE_HANDED,    /* guardian → agent: the supervisor has it; close everything */
    SPAWN_STATE_GO,        /* supervisor → agent: exec */
};

/** One page that supervisor, guardian and the agent-to-be share; exec takes it from the agent. */
struct spawn_shared {
    _Atomic uint32_t state; /* enum spawn_state; a futex */
    int listener_fd;        /* valid from LISTENING on */
    int diag_fd;            /* the same; -1: the agent has no network namespace of its own */
    unsigned walls;         /* valid from LISTENING on */
    int err;                /* agent or guardian: -errno when starting failed, with: */
    struct why why;
    int exec_errno; /* agent: what the exec ended with; 0: it did not fail */
};

enum guardian_news {
    GUARDIAN_STARTED, /* value: the agent's process; the listener comes along (SCM_RIGHTS) */
    GUARDIAN_STOPPED, /* value: signal */
    GUARDIAN_CONTINUED,
    GUARDIAN_ENDED, /* value: wait status; nothing of the agent is left */
};

/** What the guardian reports, one datagram each. */
struct guardian_report {
    enum guardian_news kind;
    int value;
};

/** What the guardian must know, besides the page. */
struct guardian {
    const struct spawn_config *config;
    struct spawn_shared *shared;
    const struct terminal *terminal;
    pid_t supervisor;
    int report_fd; /* SEQPACKET to the supervisor */
};

/** guardian_main() - Be the guardian, in a fresh child of the supervisor; does not return. */
__attribute__((noreturn)) void guardian_main(const struct guardian *g);

/** agent_main() - Confine the calling process and exec; does not return. @ready_fd: one byte is
 * written when state becomes LISTENING. */
__attribute__((noreturn)) void agent_main(const struct guardian *g, pid_t guardian, int ready_fd);

/** spawn_state_wait() - Sleep until the state is @wanted or later. */
void spawn_state_wait(struct spawn_shared *shared, enum spawn_state wanted);
/** spawn_state_raise() - Move on to @state and wake who waits; does nothing when already past it.
 */
void spawn_state_raise(struct spawn_shared *shared, enum spawn_state state);

#endif
