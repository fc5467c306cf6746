/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/linger.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/own.h"
#include "sandbox/agent_fds.h"

/** The next socket after number *@at whose connection is @v's seen from the other side; older ones
 * that were closed meanwhile may come first. NULL: no more. */
static struct vsock *next_peer(const struct session *s, const struct vsock *v, uint32_t *at)
{
    uint32_t slots = vsock_slots_used(s->sockets);

    while (*at < slots) {
        struct vsock *p = vsock_at(s->sockets, (*at)++);

        if (p != NULL && p != v && p->kind == VSOCK_TCP && p->state == VSOCK_CONNECTED &&
            p->is_loopback && endpoint_equal(&p->local, &v->remote) &&
            endpoint_equal(&p->remote, &v->local))
            return p;
    }
    return NULL;
}

/** The end of @p: ours still, of a connection that nobody accepted yet, or a duplicate of the
 * agent's. */
static int end_of(struct session *s, const struct trap *t, const struct vsock *p)
{
    if (p->our_end >= 0)
        return fcntl(p->our_end, F_DUPFD_CLOEXEC, 0);
    return agent_fd_anywhere(&s->agents, t->call.tid, p->inode);
}

void linger_reset_at_close(struct session *s, const struct trap *t)
{
    const struct vsock *v = t->sock;
    int is_inline = 0;
    socklen_t len = sizeof(is_inline);
    struct vsock *p;
    uint32_t at = 0;
    char byte = 0;

    if (!v->is_loopback || v->flow != NULL || v->state != VSOCK_CONNECTED || t->fd < 0)
        return;
    if (getsockopt(t->fd, SOL_SOCKET, SO_OOBINLINE, &is_inline, &len) < 0 || is_inline != 0)
        return;
    while ((p = next_peer(s, v, &at)) != NULL) {
        auto_fd peer = end_of(s, t, p);

        if (peer < 0)
            continue;
        /* When the queue is full there is something unread already. */
        (void)send(peer, &byte, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
        p->is_torn = true;
        return;
    }
}

void linger_close_in_order(struct session *s, const struct trap *t)
{
    const struct vsock *v = t->sock;
    struct vsock *p;
    uint32_t at = 0;
    char byte;

    if (!v->is_loopback || v->flow != NULL || v->state != VSOCK_CONNECTED || t->fd < 0)
        return;
    while ((p = next_peer(s, v, &at)) != NULL) {
        if (p->is_torn)
            (void)recv(t->fd, &byte, 1, MSG_OOB | MSG_DONTWAIT); /* it may be gone by now */
        p->is_torn = false;
    }
}
