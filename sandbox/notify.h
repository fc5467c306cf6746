/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp user notification descriptor: trapped calls come in, answers go out. Nothing here
 * knows what a call means.
 *
 * A notification may vanish at any time (its thread was killed or interrupted by a signal); every
 * answer may therefore fail with -ENOENT, which is no error but news: what the call would have had
 * was not delivered (seccomp_unotify(2)).
 */
#ifndef SANDBOX_NOTIFY_H
#define SANDBOX_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/must.h"

/** A trapped call, as the kernel describes it. Pointers among the arguments are the agent's. */
struct call {
    uint64_t id; /* of the notification */
    pid_t tid;   /* of the calling thread, in the supervisor's numbering */
    int nr;      /* number of the call, native architecture */
    uint64_t arg[6];
    uint64_t ip;       /* where the call was made: tells a restarted call from a new one */
    struct mono since; /* when a call that counts its time began; else zero */
};

struct notify {
    int fd;                /* borrowed */
    bool has_sync_wake_up; /* kernel 6.6: the answer runs on the caller's processor */
};

/** notify_init() - Take up the listener @fd. Errors: -EINVAL the kernel's structures are larger
 * than those that we were built with. */
int notify_init(struct notify *n, int fd) MUST_USE;

/** notify_receive() - Take the next call. Call it only when the descriptor is readable.
 * Errors: -ENOENT it vanished meanwhile; -EINTR; others are fatal. */
int notify_receive(struct notify *n, struct call *ret) MUST_USE;

/** notify_is_valid() - Does the notification still wait for an answer? Then its thread is blocked,
 * and what was read under its thread id before was really its memory. */
bool notify_is_valid(const struct notify *n, uint64_t id);

/** notify_answer() - End the call with @value, or with an error when @value is -errno.
 * Returns 0 or -ENOENT. */
int notify_answer(const struct notify *n, uint64_t id, int64_t value);

/** notify_continue() - Let the kernel run the call. Never for one whose pointed-to arguments were
 * judged: they may have changed since. Returns 0 or -ENOENT. */
int notify_continue(const struct notify *n, uint64_t id);

/** notify_give_fd() - Install a duplicate of @fd in the caller and answer with its number there, in
 * one step: either both happen or none (kernel 5.14). @fd stays ours. Returns the number, -ENOENT,
 * or -errno of installing it (-EMFILE, …), in which case the call still waits. */
int notify_give_fd(const struct notify *n, uint64_t id, int fd, bool is_cloexec) MUST_USE;

/** notify_add_fd() - Install a duplicate of @fd in the caller; the call still waits afterwards, and
 * the descriptor stays there even when it vanishes. Returns the number, -ENOENT, or -errno. */
int notify_add_fd(const struct notify *n, uint64_t id, int fd, bool is_cloexec) MUST_USE;

/** notify_replace_fd() - Put a duplicate of @fd in the place of the caller's descriptor @agent_fd;
 * the call still waits afterwards. Returns 0 or -errno. */
int notify_replace_fd(const struct notify *n, uint64_t id, int fd, int agent_fd,
                      bool is_cloexec) MUST_USE;

#endif
