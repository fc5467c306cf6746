/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which AF_UNIX sockets the agent may speak to: those of the sandbox. Host daemons (docker.sock,
 * buses, agents of ssh and gpg, X11, syslog) would act for it outside, with the user's rights.
 */
#ifndef SANDBOX_SYS_UNIX_H
#define SANDBOX_SYS_UNIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct session;
struct trap;

#define UNIX_INSIDE_MAX                                                                            \
    8192u /* bound sockets that are remembered; the oldest are forgotten (refused) */

/** Inode numbers of the kernel's sockets that were bound inside. */
struct unix_inside {
    uint32_t inodes[UNIX_INSIDE_MAX]; /* 0: empty */
    uint32_t next;
};

/** unix_note_bound() - The agent binds this socket: whoever connects to it stays inside. */
void unix_note_bound(struct session *s, const struct trap *t);
/** unix_connect() - connect(2) on a socket of the kernel's: judged and performed on a copy of the
 * address. Returns the call's result, or CALL_CONTINUE where descriptors cannot be duplicated. */
int64_t unix_connect(struct session *s, struct trap *t);
/** A message with a destination; the name and the pieces are the agent's, still to be copied. */
struct unix_message {
    uint64_t name; /* not 0 */
    uint32_t name_len;
    bool has_control;
    int flags;
    unsigned iov_count;
    const struct iovec *iov;
    size_t total;
};

/** unix_send() - Judge the destination and send, on copies; never CALL_CONTINUE. */
int64_t unix_send(struct session *s, const struct trap *t, const struct unix_message *m);

#endif
