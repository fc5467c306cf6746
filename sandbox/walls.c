/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With rules, the domain refuses every use of files that they do not allow. Without any, a Landlock
 * domain must still restrict something to exist; the barrier against tracing outsiders then
 * comes with it. What is restricted depends on the ABI:
 *
 *   6 and newer  signals and abstract names to outsiders, kernel TCP bind and connect
 *   4, 5         kernel TCP bind and connect (no such socket exists inside: a second wall)
 *   2, 3         moving files between directories, and that is allowed again below "/"
 *   1            would break moving files between directories: no domain, Yama must do
 */
#include "sandbox/walls.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/landlock.h"
#include "base/own.h"
#include "sandbox/spawn.h"

int walls_yama_scope(void)
{
    auto_fd fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    char digit;

    if (fd < 0 || read(fd, &digit, 1) != 1 || digit < '0' || digit > '3')
        return -1;
    return digit - '0';
}

int walls_enter(const struct landlock_rule *rules, unsigned count, unsigned *ret_walls)
{
    int abi = landlock_abi();
    struct landlock_domain wanted = {.net = LANDLOCK_NET_BIND_TCP | LANDLOCK_NET_CONN_TCP,
                                     .scoped = LANDLOCK_SCOPE_UNIX | LANDLOCK_SCOPE_KILL};
    struct landlock_rule everywhere = {.path = "/", .fs = LANDLOCK_FS_REFER};
    struct landlock_domain standing;
    int err;

    if (rules != NULL) {
        wanted.fs = LANDLOCK_FS_ALL;
    } else if (abi == 2 || abi == 3) {
        wanted.fs = LANDLOCK_FS_REFER;
        rules = &everywhere;
        count = 1;
    }
    err = landlock_enter(&wanted, rules, count, &standing);
    if (err == 0 && wanted.fs == LANDLOCK_FS_ALL && (standing.fs & LANDLOCK_FS_REFER) == 0)
        err = -EOPNOTSUPP; /* never open where closed was asked for */
    if (err < 0)
        return err;
    *ret_walls = wanted.fs == LANDLOCK_FS_ALL ? SPAWN_WALL_FILES : 0;
    if ((standing.fs | standing.net | standing.scoped) != 0)
        *ret_walls |= SPAWN_WALL_LANDLOCK;
    if (standing.net != 0)
        *ret_walls |= SPAWN_WALL_LANDLOCK_TCP;
    if ((standing.scoped & LANDLOCK_SCOPE_KILL) != 0)
        *ret_walls |= SPAWN_WALL_SCOPE_SIGNAL;
    if ((standing.scoped & LANDLOCK_SCOPE_UNIX) != 0)
        *ret_walls |= SPAWN_WALL_SCOPE_ABSTRACT;
    return 0;
}
