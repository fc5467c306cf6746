/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three calls of Landlock. It decides nothing: which access is given up is the caller's choice.
 */
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH      1
#define FILE_RIGHTS                                                                                \
    (LANDLOCK_FS_EXECUTE | LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_READ_FILE | LANDLOCK_FS_TRUNCATE | \
     LANDLOCK_FS_IOCTL_DEV)

/** struct landlock_path_beneath_attr. */
struct path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

    return abi > 0 ? (int)abi : 0;
}

static struct landlock_domain known_to(int abi)
{
    struct landlock_domain d = {.fs = LANDLOCK_FS_ABI1};

    if (abi >= 2)
        d.fs |= LANDLOCK_FS_REFER;
    if (abi >= 3)
        d.fs |= LANDLOCK_FS_TRUNCATE;
    if (abi >= 5)
        d.fs |= LANDLOCK_FS_IOCTL_DEV;
    if (abi >= 4)
        d.net = LANDLOCK_NET_BIND_TCP | LANDLOCK_NET_CONN_TCP;
    if (abi >= 6)
        d.scoped = LANDLOCK_SCOPE_UNIX | LANDLOCK_SCOPE_KILL;
    return d;
}

static int add_rule(int ruleset_fd, const struct landlock_rule *rule, uint64_t handled)
{
    auto_fd dir = open(rule->path, O_PATH | O_CLOEXEC);
    struct path_beneath attr = {.allowed_access = rule->fs & handled, .parent_fd = dir};
    struct stat st;

    if (dir < 0)
        return errno == ENOENT && rule->is_optional ? 0 : -errno;
    if (fstat(dir, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        attr.allowed_access &= FILE_RIGHTS; /* the kernel takes no other there */
    if (attr.allowed_access == 0)
        return 0;
    if (syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &attr, 0) < 0)
        return -errno;
    return 0;
}

int landlock_enter(const struct landlock_domain *wanted, const struct landlock_rule *rules,
                   unsigned count, struct landlock_domain *ret_standing)
{
    int abi = landlock_abi();
    struct landlock_domain d = known_to(abi);
    /* The kernel takes a shorter structure from an older caller; a longer one must be zero there.
     */
    size_t size = abi >= 6   ? sizeof(d)
                  : abi >= 4 ? offsetof(struct landlock_domain, scoped)
                             : offsetof(struct landlock_domain, net);
    auto_fd fd = -1;

    d.fs &= wanted->fs;
    d.net &= wanted->net;
    d.scoped &= wanted->scoped;
    if (abi == 0 || (d.fs | d.net | d.scoped) == 0) {
        *ret_standing = (struct landlock_domain){0};
        return 0;
    }
    fd = (int)syscall(SYS_landlock_create_ruleset, &d, size, 0);
    if (fd < 0)
        return -errno;
    for (unsigned i = 0; i < count; i++) {
        int err = add_rule(fd, &rules[i], d.fs);

        if (err < 0)
            return err;
    }
    if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return -errno;
    *ret_standing = d;
    return 0;
}
