/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces round the agent, where the host grants them: one more wall, never a needed one. In a
 * network namespace of its own there is no network to reach even if the filter had a hole; what the
 * kernel shows of the network (/proc/net, /sys/class/net) is the sandbox's, and abstract names of
 * the host's sockets do not exist.
 */
#ifndef SANDBOX_ISOLATE_H
#define SANDBOX_ISOLATE_H

#include "base/addr.h"
#include "base/must.h"
#include "base/why.h"
#include "sandbox/sandbox.h"

/** What a namespace is to look like. */
struct isolate_view {
    struct ip v4; /* the sandbox's addresses; IP_NONE: none */
    struct ip v6;
};

/**
 * isolate_enter() - Move the calling process, single-threaded and not yet confined, into user,
 * network, mount and IPC namespaces of its own (ISOLATE_FILES: user and mount namespaces). Its user
 * and group stay the same numbers.
 * @ret_diag_fd: a sock_diag socket that sees the new network namespace, close-on-exec; -1: none.
 * Returns 1 when it is inside, 0 when the host does not grant it (never with
 * ISOLATE_FULL), or -errno with @why.
 */
int isolate_enter(enum sandbox_isolation how, const struct isolate_view *view, int *ret_diag_fd,
                  struct why *why) MUST_USE;

#endif
