/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only a message's own end knows its peer: unix_diag(7) names it by inode, which is asked at each
 * message once credentials matter in this sandbox. A socket with several senders names the latest.
 */
#include "sandbox/unix_creds.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "sandbox/session.h"
#include "sandbox/unix_diag.h"

/** Is there a socket with @inode? @ret_peer: the inode of the one that it is connected to; 0: none,
 * or it has no file yet. */
static bool ask(struct session *s, uint32_t inode, uint32_t *ret_peer)
{
    union {
        struct nlmsghdr header;
        uint8_t bytes[512];
    } answer;
    auto_fd own =
        s->agent_diag_fd >= 0 ? -1 : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    int fd = s->agent_diag_fd >= 0 ? s->agent_diag_fd : own;
    struct unix_diag_msg *msg = NLMSG_DATA(&answer.header);
    struct rtattr *attr;
    unsigned left;
    ssize_t n;

    *ret_peer = 0;
    if (fd < 0 || !unix_diag_send(fd, inode, UDIAG_SHOW_PEER, /*flags=*/0, /*serial=*/0))
        return false;
    n = recv(fd, answer.bytes, sizeof(answer.bytes), 0);
    if (n < 0 || !NLMSG_OK(&answer.header, (unsigned)n) ||
        answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        answer.header.nlmsg_len < NLMSG_LENGTH(sizeof(*msg)))
        return false;
    left = answer.header.nlmsg_len - (unsigned)NLMSG_LENGTH(NLMSG_ALIGN(sizeof(*msg)));
    attr = (struct rtattr *)(void *)((uint8_t *)msg + NLMSG_ALIGN(sizeof(*msg)));
    for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
        if (attr->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(attr) >= sizeof(*ret_peer))
            memcpy(ret_peer, RTA_DATA(attr), sizeof(*ret_peer));
    return true;
}

bool unix_socket_exists(struct session *s, uint32_t inode)
{
    uint32_t peer;

    return ask(s, inode, &peer);
}

static void remember(struct unix_sender *rows, uint32_t inode, pid_t pid)
{
    rows[inode % UNIX_SENDERS] = (struct unix_sender){.inode = inode, .pid = pid};
}

/** The process in the row of @inode; 0: not known. */
static pid_t recall(const struct unix_sender *rows, uint32_t inode)
{
    const struct unix_sender *row = &rows[inode % UNIX_SENDERS];

    return inode != 0 && row->inode == inode ? row->pid : 0;
}

void unix_creds_sent(struct session *s, const struct trap *t)
{
    uint32_t peer;

    if (s->unix_senders.is_wanted && ask(s, (uint32_t)t->inode, &peer) && peer != 0)
        remember(s->unix_senders.senders, peer, agent_pid(&s->agents, t->call.tid));
}

pid_t unix_creds_sender(const struct session *s, const struct trap *t)
{
    return recall(s->unix_senders.senders, (uint32_t)t->inode);
}

static int open_pidfd(pid_t pid)
{
    return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

void unix_creds_pidfd(const struct session *s, const struct trap *t, int *fd)
{
    long pid;

    if (io_fdinfo(*fd, "Pid:", &pid) < 0 || pid != getpid())
        return;
    own_close(fd);
    *fd = open_pidfd(unix_creds_sender(s, t));
}

void unix_creds_connected(struct session *s, const struct trap *t)
{
    remember(s->unix_senders.connectors, (uint32_t)t->inode, agent_pid(&s->agents, t->call.tid));
}

int64_t unix_creds_option(struct session *s, const struct trap *t)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    uint32_t peer;
    auto_fd pidfd = -1;
    int number;

    if (t->fd < 0 || getsockopt(t->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
        who.pid != getpid())
        return CALL_CONTINUE; /* it is as the kernel says */
    who.pid = ask(s, (uint32_t)t->inode, &peer) ? recall(s->unix_senders.connectors, peer) : 0;
    if ((int)t->call.arg[2] == SO_PEERCRED)
        return option_write(s, t, &who, sizeof(who));
    pidfd = open_pidfd(who.pid);
    if (pidfd < 0)
        return -ESRCH;
    number = notify_add_fd(&s->notify, t->call.id, pidfd, /*is_cloexec=*/true);
    return number < 0 ? (number == -ENOENT ? -ESRCH : number)
                      : option_write(s, t, &number, sizeof(number));
}
