/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an AF_UNIX address means, and whether the agent may have it: sockets of the sandbox's own
 * always, those of the host when a rule says so.
 */
#ifndef SANDBOX_UNIX_TARGET_H
#define SANDBOX_UNIX_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/must.h"

struct policy;
struct session;
struct trap;

#define UNIX_INSIDE_MAX                                                                            \
    8192u /* bound sockets that are remembered; the oldest are forgotten (refused) */
#define UNIX_HINTS    64u
#define UNIX_PATH_AT  ((unsigned)offsetof(struct sockaddr_un, sun_path))
#define UNIX_PATH_LEN 108u /* bytes of sun_path, unix(7) */

/** Inode numbers of the kernel's sockets that were bound inside. */
struct unix_inside {
    uint32_t inodes[UNIX_INSIDE_MAX]; /* 0: empty */
    uint32_t next;
    uint32_t hints[UNIX_HINTS]; /* by a hash of the target: the socket that was found for it */
};

/** What a destination is, apart from its spelling. */
struct unix_target {
    const struct sockaddr_un *addr; /* borrowed */
    unsigned len;
    int file;       /* O_PATH of the socket's file, the caller's to close; -1: abstract name */
    uint32_t dev;   /* as the kernel packs it: major << 20 | minor */
    uint32_t inode; /* low half, as unix_diag says it */
};

/** unix_note_bound() - The agent binds this socket: whoever connects to it stays inside. */
void unix_note_bound(struct session *s, const struct trap *t);
bool unix_is_bound_inside(const struct session *s, uint64_t inode);

/** unix_target_judge() - Open what @addr names and judge it; a judgement about the host's is
 * recorded. @ret->file may be open also when it fails. Uses the session's scratch buffer.
 * Errors: those of connect(2); -ECONNREFUSED refused. */
int unix_target_judge(struct session *s, const struct trap *t, const struct sockaddr_un *addr,
                      unsigned len, struct unix_target *ret) MUST_USE;
/** unix_target_address() - The address with which the supervisor reaches what was judged. */
const struct sockaddr *unix_target_address(const struct unix_target *target,
                                           struct sockaddr_un *via, socklen_t *ret_len);

#endif
