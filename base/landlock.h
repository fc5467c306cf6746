/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: an unprivileged process gives up access, for itself and all that descend from it.
 * Spoken by number, since Debian 12's headers end at ABI 3. What the kernel does not know is left
 * out, and the caller is told what stands.
 *
 * Mind: a process in a domain may not trace (nor read the memory or descriptors of) a process
 * outside of it, whatever else the domain handles.
 */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"

/* linux/landlock.h: LANDLOCK_ACCESS_FS_*, by the ABI that brought them. */
#define LANDLOCK_FS_EXECUTE    (UINT64_C(1) << 0)
#define LANDLOCK_FS_WRITE_FILE (UINT64_C(1) << 1)
#define LANDLOCK_FS_READ_FILE  (UINT64_C(1) << 2)
#define LANDLOCK_FS_READ_DIR   (UINT64_C(1) << 3)
#define LANDLOCK_FS_MAKE_CHAR  (UINT64_C(1) << 6)
#define LANDLOCK_FS_MAKE_DIR   (UINT64_C(1) << 7)
#define LANDLOCK_FS_MAKE_BLOCK (UINT64_C(1) << 11)
#define LANDLOCK_FS_ABI1       ((UINT64_C(1) << 13) - 1)
#define LANDLOCK_FS_REFER      (UINT64_C(1) << 13) /* ABI 2 */
#define LANDLOCK_FS_TRUNCATE   (UINT64_C(1) << 14) /* ABI 3 */
#define LANDLOCK_FS_IOCTL_DEV  (UINT64_C(1) << 15) /* ABI 5 */
#define LANDLOCK_FS_ALL        ((UINT64_C(1) << 16) - 1)
#define LANDLOCK_NET_BIND_TCP  (UINT64_C(1) << 0) /* ABI 4 */
#define LANDLOCK_NET_CONN_TCP  (UINT64_C(1) << 1)
#define LANDLOCK_SCOPE_UNIX    (UINT64_C(1) << 0) /* ABI 6: abstract names of outsiders */
#define LANDLOCK_SCOPE_KILL    (UINT64_C(1) << 1) /* ABI 6: signals to outsiders */

/** What a domain refuses, unless a rule allows it. */
struct landlock_domain {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

/** What is allowed again beneath a directory. */
struct landlock_rule {
    const char *path;
    uint64_t fs;      /* of a path that is no directory, only what a file can have is taken */
    bool is_optional; /* nothing is allowed, and nothing is wrong, when the path does not exist */
};

/** landlock_abi() - The kernel's version; 0: none, or switched off. */
int landlock_abi(void);

/** landlock_enter() - Confine the calling thread, for ever; needs no_new_privs. @ret_standing: what
 * of
 * @wanted this kernel really refuses now (all zero: no domain was made, that is no error).
 * Errors: -errno, nothing was restricted; -ENOENT a rule's path does not exist. */
int landlock_enter(const struct landlock_domain *wanted, const struct landlock_rule *rules,
                   unsigned count, struct landlock_domain *ret_standing) MUST_USE;

#endif
