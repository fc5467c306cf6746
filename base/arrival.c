/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages of both families are taken, whatever the socket's is: a socket has only those of
 * its own. Those that nobody asked for are passed over.
 */
#include "base/arrival.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/** Is it this message, under the family's own name? */
static bool is_kind(const struct cmsghdr *c, int v4, int v6)
{
    return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == v4) ||
           (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == v6);
}

static void take_error(const struct cmsghdr *c, struct arrival *a)
{
    const uint8_t *value = CMSG_DATA(c);
    struct sock_extended_err e;

    memcpy(&e, value, sizeof(e));
    a->error = (int)e.ee_errno;
    a->type = e.ee_type;
    a->code = e.ee_code;
    (void)!endpoint_from_sockaddr(bytes_of(value + sizeof(e), c->cmsg_len - CMSG_LEN(sizeof(e))),
                                  &a->offender); /* none: it stays unknown */
}

ssize_t arrival_receive(int fd, int flags, void *buffer, size_t cap, struct arrival *ret)
{
    struct sockaddr_storage sa;
    union {
        struct cmsghdr align;
        uint8_t bytes[512];
    } control;
    struct iovec iov = {.iov_base = buffer, .iov_len = cap};
    struct msghdr msg = {.msg_name = &sa,
                         .msg_namelen = sizeof(sa),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(fd, &msg, flags | MSG_DONTWAIT);

    if (got < 0)
        return -errno;
    *ret = (struct arrival){.hops = -1, .class = -1};
    (void)!endpoint_from_sockaddr(bytes_of(&sa, msg.msg_namelen), &ret->from); /* or none */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (is_kind(c, IP_TTL, IPV6_HOPLIMIT))
            memcpy(&ret->hops, CMSG_DATA(c), sizeof(ret->hops));
        if (is_kind(c, IP_TOS, IPV6_TCLASS)) /* of IPv4 it is one byte */
            ret->class = *CMSG_DATA(c);
        if (is_kind(c, IP_RECVERR, IPV6_RECVERR))
            take_error(c, ret);
    }
    return got;
}
