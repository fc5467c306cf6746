/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the agent, confined, and ends it with everything that it started.
 *
 *   supervisor ── guardian ── agent's first process ── …
 *
 * The guardian is a tiny process of ours between the two. It adopts what the agent's processes
 * orphan (child subreaper), ends all of it when the first process ends or when the supervisor dies,
 * and reports. It holds no key, no socket but the one to the supervisor, and never runs agent code.
 *
 * Lifecycle: spawn_agent() → (the supervisor jails itself) → spawn_go() → spawn_read_event()
 * whenever event_fd is readable, until SPAWN_ENDED → spawn_done().
 */
#ifndef SANDBOX_SPAWN_H
#define SANDBOX_SPAWN_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/must.h"
#include "base/why.h"
#include "sandbox/isolate.h"
#include "sandbox/terminal.h"

/** Walls of the agent beyond the filter, as found at start. */
enum spawn_wall {
    SPAWN_WALL_LANDLOCK = 1 << 0, /* a Landlock domain: no ptrace or /proc/PID/mem of outsiders */
    SPAWN_WALL_LANDLOCK_TCP = 1 << 1,   /* kernel TCP bind and connect refused (ABI 4) */
    SPAWN_WALL_SCOPE_SIGNAL = 1 << 2,   /* no signals to outsiders (ABI 6) */
    SPAWN_WALL_SCOPE_ABSTRACT = 1 << 3, /* no abstract AF_UNIX names of outsiders (ABI 6) */
    SPAWN_WALL_YAMA = 1 << 4,           /* Yama lets a process trace its descendants only */
    SPAWN_WALL_NAMESPACES = 1 << 5,     /* user, network, mount and IPC namespaces of its own */
    SPAWN_WALL_MASKS = 1 << 7,          /* names in the workspace are read-only */
    SPAWN_WALL_FILES = 1 << 6,          /* only files that a rule opens (ABI 2) */
};

struct files_plan;

struct spawn_config {
    char *const *argv;               /* borrowed; argv[0] is looked up in PATH of @envp */
    char *const *envp;               /* borrowed; the agent's environment */
    const sigset_t *signal_mask;     /* the agent's; NULL: as the caller's is now */
    const sigset_t *default_signals; /* set to SIG_DFL in the agent although the caller ignores them
                                        (SIGPIPE); NULL: none */
    enum sandbox_isolation isolation;
    const struct files_plan *files; /* borrowed; NULL: every file is open */
    struct isolate_view view;       /* what it sees of the network, when it is isolated */
    pid_t guarded_pid; /* one more process of ours that the agent may not signal or limit, besides
                          the caller and the guardian; 0: none */
    pid_t spare_pid; /* a child of the caller that does not belong to the agent (the auditor): never
                        ended with it; 0: none */
};

struct spawn_shared;

struct spawned {
    pid_t pid;     /* the agent's first process */
    int pidfd;     /* of pid */
    int notify_fd; /* the filter's listener; the only copy there is */
    int diag_fd;   /* sock_diag of the agent's network namespace; -1: it has the host's */
    int event_fd;  /* readable: spawn_read_event() */
    pid_t guardian_pid;
    int guardian_pidfd; /* readable: the guardian is gone (event_fd is at its end, too) */
    unsigned walls;     /* enum spawn_wall bits that stand */
    pid_t spare_pid;
    struct terminal terminal;    /* the agent's own, when it is interactive */
    bool was_dumpable;           /* private: given back by spawn_done() */
    struct spawn_shared *shared; /* private */
};

enum spawn_event_kind {
    SPAWN_STOPPED, /* by signal spawn_event.status */
    SPAWN_CONTINUED,
    SPAWN_ENDED, /* and nothing of the agent is left; spawn_event.status is the exit status */
};

struct spawn_event {
    enum spawn_event_kind kind;
    int status; /* SPAWN_ENDED: 0..255 to pass on: the agent's own, 128+n by signal n, 126 cannot
                   execute, 127 not found, 125 the guardian was lost */
};

/**
 * spawn_agent() - Start the guardian and the agent, confined and waiting before its exec.
 *
 * The caller must have one thread. Makes the caller a child subreaper and not dumpable. Descriptors
 * 0, 1 and 2 go to the agent; a socket of another family than AF_UNIX or a kernel object among them
 * is refused, and one that is closed is opened on /dev/null. All others are closed in it. Errors:
 * -EBUSY there is a listener already; -ENOTSOCK… see @why, always filled.
 */
int spawn_agent(const struct spawn_config *config, struct spawned *ret, struct why *why) MUST_USE;

/** spawn_go() - Let the agent exec its program. */
void spawn_go(struct spawned *s);

/** spawn_read_event() - The next thing that happened. Errors: -EAGAIN nothing yet. @why is filled
 * for SPAWN_ENDED with status 125, 126 or 127 that lattice itself gives; its text is empty
 * otherwise. */
int spawn_read_event(struct spawned *s, struct spawn_event *ret, struct why *why) MUST_USE;

/** spawn_signal() - Pass a signal on to the agent's first process. Returns 0 or -errno. */
int spawn_signal(const struct spawned *s, int signal) MUST_USE;

/** spawn_kill_all() - End everything the agent left behind, also when the guardian was killed:
 * SIGKILL to all descendants of the caller except spare_pid's, until none is left; reaps them. */
void spawn_kill_all(struct spawned *s);

/** spawn_done() - End the agent if it still runs, and release. Accepts a zeroed or failed struct.
 */
void spawn_done(struct spawned *s);

#endif
