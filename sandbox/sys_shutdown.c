/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shutdown(2). On a connection the kernel does it: an AF_UNIX stream half-closes as TCP does. Here
 * are only the answers where the two differ: sockets that are not connected (any more), and
 * listeners, which shutdown(2) turns back into plain sockets.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "sandbox/dispatch.h"
#include "sandbox/sys_listen.h"

/** Is the connection over in both directions? */
static bool is_over(const struct trap *t)
{
    return (trap_events(t) & EPOLLHUP) != 0;
}

static int64_t shut_tcp(struct session *s, struct trap *t, int how)
{
    switch ((enum vsock_state)t->sock->state) {
    case VSOCK_OPEN:
    case VSOCK_FAILED:
        return -ENOTCONN;
    case VSOCK_LISTENING:
        if (how != SHUT_WR) {
            listen_stop(s, t->sock);
            (void)shutdown(t->fd, SHUT_RDWR); /* polls as a socket that is over */
        }
        return 0;
    case VSOCK_CONNECTED:
    case VSOCK_OVER:
        return is_over(t) ? -ENOTCONN : CALL_CONTINUE; /* only registers were judged */
    case VSOCK_CONNECTING:
    case VSOCK_FREE:
    case VSOCK_STATE_COUNT:
        break;
    }
    return CALL_CONTINUE;
}

int64_t sys_shutdown(struct session *s, struct trap *t)
{
    const struct vsock *v = t->sock;
    int how = (int)t->call.arg[1];

    if (v == NULL)
        return CALL_CONTINUE;
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    switch ((enum vsock_kind)v->kind) {
    case VSOCK_TCP:
        return shut_tcp(s, t, how);
    case VSOCK_UDP:
    case VSOCK_PING:
        return v->state == VSOCK_CONNECTED ? CALL_CONTINUE : -ENOTCONN;
    case VSOCK_NETLINK:
        break;
    }
    return -EOPNOTSUPP;
}
