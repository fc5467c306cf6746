/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen(2) and accept(2). The agent's end of a listener is joined to one of ours; a dummy byte for
 * each queued connection makes it readable, at the right level and with a fresh edge for each.
 * Accepting takes one byte back and installs the connection's end, both or nothing.
 */
#include "sandbox/sys_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/dispatch.h"
#include "sandbox/holders.h"
#include "sandbox/inet.h"
#include "sandbox/loopback.h"

void listen_announce(struct session *s, struct vsock *listener)
{
    static const uint8_t dummy = 0;

    while (listener->announced < listener->queue_count) {
        if (send(listener->our_end, &dummy, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
            break; /* full: the rest is announced as bytes are taken */
        listener->announced++;
    }
    if (listener->queue_count > 0)
        holders_look_soon(s, listener);
    held_wake(s->held, listener, HELD_ACCEPT);
}

void listen_stop(struct session *s, struct vsock *listener)
{
    struct vsock *child;

    loop_unwatch(s->loop, &listener->watch);
    vsock_move(listener, VSOCK_OVER);
    loopback_refuse(s, listener);
    while ((child = vsock_queue_pop(listener)) != NULL) {
        child->is_queued = false;
        sock_end(s, child);
    }
    held_wake(s->held, listener, HELD_ALL);
}

/** The agent's end hung up: closed by all. */
static void on_listener(void *self, uint32_t events)
{
    struct vsock *v = self;
    struct session *s = v->owner;

    if ((events & (EPOLLHUP | EPOLLERR)) != 0 && sock_is_open(s, v))
        listen_stop(s, v);
}

static int64_t make_listener(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    struct vsock *other;
    struct endpoint any = {.ip = v->local.ip};
    int err = 0;

    if (t->fd < 0)
        return -EINVAL;
    if (!v->is_bound)
        err = sock_claim(s, v, &any);
    while (err == 0 && (other = vsock_conflict(s->sockets, v, &v->local)) != NULL) {
        if (other->is_queued || other->flow != NULL || sock_is_open(s, other))
            err = -EADDRINUSE;
    }
    if (err < 0)
        return err;
    v->our_end = rendezvous_join(&s->rendezvous, t->fd);
    if (v->our_end < 0)
        return v->our_end;
    inject_mute(t->fd);
    inject_widen(v->our_end);
    err = sock_watch(s, v, 0, on_listener); /* EPOLLHUP is always watched */
    if (err < 0) {
        sock_close_end(s, v);
        v->is_spoilt = true;
        return err;
    }
    vsock_move(v, VSOCK_LISTENING);
    return 0;
}

int64_t sys_listen(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    unsigned backlog = (unsigned)t->call.arg[1];
    int64_t err = 0;

    if (v == NULL) {
        unix_kept_drop(s, t->inode); /* a listener ends when the agent closes it */
        return CALL_CONTINUE;
    }
    if (v->kind != VSOCK_TCP)
        return -EOPNOTSUPP;
    if (v->state == VSOCK_OPEN && !v->is_spoilt)
        err = make_listener(s, t);
    else if (v->state != VSOCK_LISTENING)
        err = -EINVAL;
    if (err < 0)
        return err;
    v->backlog = backlog < VSOCK_BACKLOG_MAX ? backlog : VSOCK_BACKLOG_MAX;
    loopback_admit(s, v);
    return 0;
}

/** Put a connection that could not be handed over back to where it was. */
static void give_back(struct session *s, struct vsock *listener, struct vsock *child)
{
    vsock_queue_push_front(listener, child);
    child->is_queued = true;
    listen_announce(s, listener);
}

static int64_t hand_over(struct session *s, struct trap *t, struct vsock *child, int flags)
{
    struct vsock *v = t->sock;
    struct sockaddr_storage name;
    uint8_t dummy;
    int number;

    if (fcntl(child->our_end, F_SETFL, (flags & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0) < 0)
        return -errno;
    if (t->call.arg[1] != 0) {
        unsigned len = inet_write(&child->remote, child->is_v6, &name);
        int err = sockaddr_write(s, t, &name, len, t->call.arg[1], t->call.arg[2]);

        if (err < 0)
            return err;
    }
    if (child->has_canary) {
        (void)recv(child->our_end, &dummy, 1, MSG_DONTWAIT);
        child->has_canary = false;
    }
    if (v->announced > 0 && recv(t->fd, &dummy, 1, MSG_DONTWAIT) == 1)
        v->announced--;
    number = notify_give_fd(&s->notify, t->call.id, child->our_end, (flags & SOCK_CLOEXEC) != 0);
    if (number < 0)
        return number == -ENOENT ? CALL_DONE : number;
    if (!s->agents.can_get_fd)
        child->kept_fd = take_fd(&child->our_end);
    sock_let_go(child);
    own_close(&child->our_end);
    return number;
}

int64_t sys_accept(struct session *s, struct trap *t)
{
    int flags = t->call.nr == SYS_accept4 ? (int)t->call.arg[3] : 0;
    struct vsock *v = t->sock;
    struct vsock *child;
    int64_t result;

    if (v == NULL)
        return CALL_CONTINUE;
    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    if (v->kind != VSOCK_TCP)
        return -EOPNOTSUPP;
    if (v->state != VSOCK_LISTENING)
        return -EINVAL;
    child = vsock_queue_pop(v);
    if (child == NULL) {
        if (trap_is_nonblock(s, t))
            return -EAGAIN;
        return trap_hold(s, t, HELD_ACCEPT, SO_RCVTIMEO);
    }
    child->is_queued = false;
    result = hand_over(s, t, child, flags);
    if (result < 0) {
        give_back(s, v, child);
        return result;
    }
    listen_announce(s, v);
    loopback_admit(s, v);
    return CALL_DONE;
}
