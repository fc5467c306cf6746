/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock, spoken by number: Debian 12's headers end at ABI 3. A domain must restrict something to
 * exist; the ptrace barrier then comes with it. What is restricted depends on the ABI:
 *
 *   6 and newer  signals and abstract names to outsiders, kernel TCP bind and connect
 *   4, 5         kernel TCP bind and connect (no such socket exists inside: a second wall)
 *   2, 3         moving files between directories, and that is allowed again below "/"
 *   1            would break moving files between directories: no domain, Yama must do
 */
#include "sandbox/walls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/spawn.h"

#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH      1
#define ACCESS_FS_REFER        (UINT64_C(1) << 13) /* ABI 2 */
#define ACCESS_NET_BIND_TCP    (UINT64_C(1) << 0)  /* ABI 4 */
#define ACCESS_NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT         (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL           (UINT64_C(1) << 1)

struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

struct path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

int walls_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

    return abi > 0 ? (int)abi : 0;
}

int walls_yama_scope(void)
{
    auto_fd fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    char digit;

    if (fd < 0 || read(fd, &digit, 1) != 1 || digit < '0' || digit > '3')
        return -1;
    return digit - '0';
}

/** The rule that gives back moving files between directories, everywhere. */
static int allow_refer(int ruleset_fd)
{
    auto_fd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct path_beneath rule = {.allowed_access = ACCESS_FS_REFER, .parent_fd = root};

    if (root < 0 || syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0) < 0)
        return -errno;
    return 0;
}

int walls_enter(unsigned *ret_walls)
{
    int abi = walls_landlock_abi();
    struct ruleset rules = {0};
    size_t size = sizeof(rules);
    unsigned walls = SPAWN_WALL_LANDLOCK;
    auto_fd fd = -1;
    int err;

    if (abi < 2) {
        *ret_walls = 0;
        return 0;
    }
    if (abi >= 6) {
        rules.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
        walls |= SPAWN_WALL_SCOPE_ABSTRACT | SPAWN_WALL_SCOPE_SIGNAL;
    }
    if (abi >= 4) {
        rules.handled_access_net = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP;
        walls |= SPAWN_WALL_LANDLOCK_TCP;
    } else {
        rules.handled_access_fs = ACCESS_FS_REFER;
    }
    if (abi < 6)
        size = abi >= 4 ? offsetof(struct ruleset, scoped)
                        : offsetof(struct ruleset, handled_access_net);
    fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (fd < 0)
        return -errno;
    err = rules.handled_access_fs != 0 ? allow_refer(fd) : 0;
    if (err < 0)
        return err;
    if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return -errno;
    *ret_walls = walls;
    return 0;
}
