/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel, and whatever confines us already, really lets a supervisor do: found by doing
 * it with a child under the real filter, never by version numbers.
 */
#ifndef SANDBOX_PROBE_H
#define SANDBOX_PROBE_H

#include <stdbool.h>

#include "base/must.h"
#include "base/why.h"

struct probe {
    bool has_listener;       /* a filter with a listener could be installed, and a call was heard */
    bool is_nested;          /* it could not, because there is a listener already (EBUSY) */
    bool has_addfd_send;     /* a descriptor was given and the call answered in one step (5.14) */
    bool has_sync_wake_up;   /* 6.6 */
    bool has_pidfd_getfd;    /* 5.6, and not refused by an outer filter or Yama */
    bool has_pidfd_thread;   /* 6.9 */
    bool has_process_vm;     /* process_vm_readv and _writev of the agent */
    bool has_proc_mem;       /* /proc/PID/mem of the agent, for reading and writing */
    bool has_unix_diag;      /* unix_diag of NETLINK_SOCK_DIAG names sockets by inode */
    bool has_killable_wait;  /* 5.19: known to the kernel, used by nobody here */
    bool has_user_namespace; /* unprivileged ones can be made */
    bool has_io_uring;       /* outside; there is none inside */
    int landlock_abi;        /* 0: none */
    int yama_scope;          /* -1: none */
    unsigned walls;          /* enum spawn_wall bits that stood in the child */
    struct why why;          /* when !has_listener: the reason */
};

/** probe_kernel() - Try everything once; takes a few milliseconds. Errors: -errno no child could be
 * made; what the kernel refuses is not an error but the answer. */
int probe_kernel(struct probe *ret, struct why *why) MUST_USE;

#endif
