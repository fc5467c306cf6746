/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speaks seccomp_unotify(2). Interruptions of our own ioctls are repeated here; a vanished
 * notification is reported as -ENOENT and never treated as fatal.
 */
#include "sandbox/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/seccomp.h of 6.6; Debian 12 ships the headers of 6.1. */
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#endif

int notify_init(struct notify *n, int fd)
{
    struct seccomp_notif_sizes sizes;

    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
        return -errno;
    if (sizes.seccomp_notif > sizeof(struct seccomp_notif) ||
        sizes.seccomp_notif_resp > sizeof(struct seccomp_notif_resp))
        return -EINVAL;
    n->fd = fd;
    n->has_sync_wake_up =
        ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
    return 0;
}

int notify_receive(struct notify *n, struct call *ret)
{
    struct seccomp_notif raw = {0}; /* the kernel insists on zeroes */

    if (ioctl(n->fd, SECCOMP_IOCTL_NOTIF_RECV, &raw) < 0)
        return -errno;
    ret->id = raw.id;
    ret->tid = (pid_t)raw.pid;
    ret->nr = raw.data.nr;
    for (unsigned i = 0; i < 6; i++)
        ret->arg[i] = raw.data.args[i];
    ret->ip = raw.data.instruction_pointer;
    ret->since = (struct mono){0};
    return 0;
}

bool notify_is_valid(const struct notify *n, uint64_t id)
{
    int r;

    do
        r = ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
    while (r < 0 && errno == EINTR);
    return r == 0;
}

static int notify_send(const struct notify *n, struct seccomp_notif_resp *response)
{
    int r;

    do
        r = ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, response);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int notify_answer(const struct notify *n, uint64_t id, int64_t value)
{
    struct seccomp_notif_resp response = {.id = id};

    if (value < 0 && value >= -4095)
        response.error = (int)value;
    else
        response.val = value;
    return notify_send(n, &response);
}

int notify_continue(const struct notify *n, uint64_t id)
{
    struct seccomp_notif_resp response = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

    return notify_send(n, &response);
}

static int add_fd(const struct notify *n, struct seccomp_notif_addfd *add)
{
    int r;

    do
        r = ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ADDFD, add);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

int notify_give_fd(const struct notify *n, uint64_t id, int fd, bool is_cloexec)
{
    struct seccomp_notif_addfd add = {
        .id = id,
        .flags = SECCOMP_ADDFD_FLAG_SEND,
        .srcfd = (__u32)fd,
        .newfd_flags = is_cloexec ? O_CLOEXEC : 0,
    };

    return add_fd(n, &add);
}

int notify_add_fd(const struct notify *n, uint64_t id, int fd, bool is_cloexec)
{
    struct seccomp_notif_addfd add = {
        .id = id,
        .srcfd = (__u32)fd,
        .newfd_flags = is_cloexec ? O_CLOEXEC : 0,
    };

    return add_fd(n, &add);
}

int notify_replace_fd(const struct notify *n, uint64_t id, int fd, int agent_fd, bool is_cloexec)
{
    struct seccomp_notif_addfd add = {
        .id = id,
        .flags = SECCOMP_ADDFD_FLAG_SETFD,
        .srcfd = (__u32)fd,
        .newfd = (__u32)agent_fd,
        .newfd_flags = is_cloexec ? O_CLOEXEC : 0,
    };
    int r = add_fd(n, &add);

    return r < 0 ? r : 0;
}
