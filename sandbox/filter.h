/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system call filter of the agent. Two filters are loaded, and the kernel takes the stricter
 * answer of the two: the *list* (syscalls.def: which calls exist at all; decided by number alone,
 * so the kernel caches it) and the *arguments* (which calls ask the supervisor or are refused for
 * the values in their registers). Neither looks at memory: what a register does not show is judged
 * by the supervisor on a copy.
 */
#ifndef SANDBOX_FILTER_H
#define SANDBOX_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/why.h"

#define FILTER_GUARDED_MAX 4

/* What every program does once when it begins, before code of its own: x86-64 sets the thread
 * pointer by arch_prctl(ARCH_SET_FS). Elsewhere a register holds it, and the C libraries'
 * set_tid_address(2) has to do. */
#if defined(__x86_64__)
#define FILTER_EPOLL_CREATE SYS_epoll_create
#define FILTER_OPEN         SYS_open
#define FILTER_BEGIN_CALL   SYS_arch_prctl
#define FILTER_BEGIN_MASK   UINT64_C(0xffffffff)
#define FILTER_BEGIN_ARG    UINT64_C(0x1002) /* ARCH_SET_FS: asm/prctl.h */
#else
#define FILTER_EPOLL_CREATE (-1) /* never was there */
#define FILTER_OPEN         (-1)
#define FILTER_BEGIN_CALL   SYS_set_tid_address
#define FILTER_BEGIN_MASK   UINT64_C(0)
#define FILTER_BEGIN_ARG    UINT64_C(0)
#endif

struct filter_config {
    /* ptrace and process_vm_* are allowed: processes outside are out of reach all the same, by a
     * Landlock domain or by Yama. */
    bool may_trace;
    /* The kernel keeps signals inside (Landlock ABI 6). When false, signals to guarded_pids and to
     * everybody (-1) are refused here, also as owners of descriptors, and those by pidfd ask the
     * supervisor. */
    bool has_signal_scope;
    /* Sockets of AF_UNIX and epoll instances are made by the supervisor as well: it could not
     * duplicate them later. */
    bool traps_births;
    /* Landlock restricts files, but is too old to know truncation (ABI 2): what empties a file that
     * was not opened for writing is refused here, and openat2(2), whose flags are in memory, does
     * not exist. */
    bool keeps_contents;
    /* Processes of ours that run as the same user: limits, priorities and (without a signal scope)
     * signals that name them are refused. */
    int guarded_pids[FILTER_GUARDED_MAX];
    unsigned guarded_count;
};

enum filter_part {
    FILTER_LIST,
    FILTER_ARGUMENTS,
};

/**
 * filter_install() - Confine the calling thread and all that descend from it; cannot be undone.
 * Sets no_new_privs. @ret_listener_fd: the notification descriptor, close-on-exec; whoever holds it
 * answers for the sandbox, so the agent must not keep it.
 * Errors: -EBUSY the process already lives under a listener (a sandbox in a sandbox); -ENOSYS the
 * kernel has no user notification; others as seccomp(2). Said in @why.
 */
int filter_install(const struct filter_config *config, int *ret_listener_fd,
                   struct why *why) MUST_USE;

/** filter_export() - Write a part as the classic BPF program that would be loaded (an array of
 * struct sock_filter) to @fd; for tests. Returns 0 or -errno. */
int filter_export(const struct filter_config *config, enum filter_part part, int fd) MUST_USE;

#endif
