/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the kernel about its AF_UNIX sockets by their inodes: through sock_diag(7), or, where that
 * is not offered, from /proc/net/unix.
 */
#include "sandbox/unix_diag.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/inject.h"

bool unix_diag_send(int fd, uint32_t inode, uint32_t show, uint16_t flags, uint32_t serial)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } ask = {
        .header = {.nlmsg_len = sizeof(ask),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                   .nlmsg_seq = serial},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = UINT32_MAX,
                    .udiag_ino = inode,
                    .udiag_cookie = {UINT32_MAX, UINT32_MAX},
                    .udiag_show = show},
    };

    return send(fd, &ask, sizeof(ask), 0) >= 0;
}

void unix_diag_init(struct unix_diag *d)
{
    d->serial = 0;
    d->proc_unix_fd = open("/proc/self/net/unix", O_RDONLY | O_CLOEXEC);
    d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (d->fd >= 0) {
        uint64_t inode;
        int probe = inject_stream(/*is_nonblock=*/true);

        /* A kernel without unix_diag says ENOENT for every socket: try one that exists. */
        if (probe < 0 || inject_inode(probe, &inode) < 0 || !unix_diag_is_open(d, inode))
            own_close(&d->fd);
        own_close(&probe);
    }
}

void unix_diag_done(struct unix_diag *d)
{
    own_close(&d->fd);
    own_close(&d->proc_unix_fd);
}

/** Look for the inode in the seventh column of /proc/net/unix. */
static bool proc_unix_has(int fd, uint64_t inode)
{
    char text[4096];
    char wanted[32];
    size_t kept = 0;
    off_t at = 0;

    if (fd < 0)
        return true;
    (void)snprintf(wanted, sizeof(wanted), " %llu", (unsigned long long)inode);
    for (;;) {
        ssize_t n = pread(fd, text + kept, sizeof(text) - 1 - kept, at);
        char *line = text;
        char *end;

        if (n <= 0)
            return n < 0;
        at += n;
        text[kept + (size_t)n] = '\0';
        while ((end = strchr(line, '\n')) != NULL) {
            char *hit;

            *end = '\0';
            hit = strstr(line, wanted);
            if (hit != NULL && (hit[strlen(wanted)] == '\0' || hit[strlen(wanted)] == ' '))
                return true;
            line = end + 1;
        }
        kept = strlen(line);
        memmove(text, line, kept);
    }
}

static int diag_ask(struct unix_diag *d, uint64_t inode)
{
    union {
        struct nlmsghdr header;
        uint8_t raw[1024];
    } reply;
    ssize_t n;

    if (!unix_diag_send(d->fd, (uint32_t)inode, /*show=*/0, /*flags=*/0, ++d->serial))
        return -errno;
    do /* the kernel answers before send() returns; older answers are skipped */
        n = recv(d->fd, &reply, sizeof(reply), 0);
    while (n >= (ssize_t)sizeof(reply.header) && reply.header.nlmsg_seq != d->serial);
    if (n < (ssize_t)sizeof(reply.header))
        return -EIO;
    if (reply.header.nlmsg_type == SOCK_DIAG_BY_FAMILY)
        return 0;
    if (reply.header.nlmsg_type == NLMSG_ERROR && n >= (ssize_t)NLMSG_LENGTH(sizeof(int)))
        return ((struct nlmsgerr *)NLMSG_DATA(&reply.header))->error;
    return -EIO;
}

bool unix_diag_is_open(struct unix_diag *d, uint64_t inode)
{
    if (d->fd < 0)
        return proc_unix_has(d->proc_unix_fd, inode);
    return diag_ask(d, inode) != -ENOENT;
}
