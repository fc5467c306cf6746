/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect(2) on TCP sockets: to another socket of the sandbox, directly, or to the network, as a
 * flow that the policy allowed.
 *
 * Blocking: the call is held, the agent's end stays unconnected until the network answers, so a
 * failure leaves the descriptor as good as new. Non-blocking: the end is joined at once and filled,
 * which makes it unwritable as in SYN_SENT; the answer drains it, a failure closes our end on the
 * unread junk, which the agent polls as POLLERR|POLLHUP. So does a refusal that is known at once:
 * the kernel, too, hears of a closed port only when connect(2) has returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#include "base/own.h"
#include "sandbox/dispatch.h"
#include "sandbox/holders.h"
#include "sandbox/inet.h"
#include "sandbox/judge.h"
#include "sandbox/linger.h"
#include "sandbox/loopback.h"
#include "sandbox/options.h"
#include "sandbox/records.h"
#include "sandbox/replace.h"
#include "sandbox/sys_listen.h"
#include "sandbox/sys_tcp.h"
#include "sandbox/sys_udp.h"

/* Flow events */

void tcp_fail(struct session *s, struct vsock *v, int err)
{
    if (v->our_end >= 0) {
        sock_close_end(s, v); /* unread junk: the agent's end is reset */
        v->is_spoilt = true;
    }
    v->so_error = -err;
    vsock_move(v, VSOCK_FAILED);
    held_wake(s->held, v, HELD_ALL);
}

/** Hand the joined end to the relay; one junk byte stays queued in it as the canary. */
static int attach(struct session *s, struct vsock *v)
{
    int err;

    loop_unwatch(s->loop, &v->watch);
    err = flow_attach_canary(v->flow, take_fd(&v->our_end));
    if (err < 0)
        return err;
    flow_reset_on_close(v->flow, v->is_resetting);
    v->is_flow_open = false;
    vsock_move(v, VSOCK_CONNECTED);
    sock_let_go(v);
    return 0;
}

static void on_opened(void *self, struct flow *f, int err)
{
    struct vsock *v = self;
    struct session *s = v->owner;
    struct endpoint at;

    if (err < 0) {
        v->flow = NULL;
        tcp_fail(s, v, err);
        return;
    }
    if (flow_local(f, &at) == 0)
        v->local = (struct endpoint){.ip = at.ip, .port = v->is_bound ? v->local.port : at.port};
    v->is_flow_open = true;
    if (v->our_end >= 0) {
        inject_drain(v->our_end,
                     v->filled > 0 ? v->filled - 1 : 0); /* one byte stays: the canary */
        if (attach(s, v) < 0) {
            sock_end(s, v);
            return;
        }
        v->connect_returns_0 = true;
    }
    held_wake(s->held, v, HELD_ALL);
}

static void on_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    struct vsock *v = self;
    struct session *s = v->owner;

    (void)f;
    records_flow(s, v, err, stats);
    v->flow = NULL;
    if (v->is_ending)
        return;
    if (v->state == VSOCK_CONNECTING) { /* ended before the agent could be joined */
        v->is_flow_open = false;
        tcp_fail(s, v, err < 0 ? err : -ECONNRESET);
    } else {
        vsock_move(v, VSOCK_OVER);
    }
    (void)sock_is_open(s, v);
}

static const struct flow_events tcp_events = {.opened = on_opened, .closed = on_closed};

/** The agent's end hung up while its connection was under way: closed, or shut down by the agent,
 * which ends the attempt. */
static void on_connecting_end(void *self, uint32_t events)
{
    struct vsock *v = self;
    struct session *s = v->owner;
    struct flow *f = v->flow;

    if ((events & (EPOLLHUP | EPOLLERR)) == 0 || !sock_is_open(s, v))
        return;
    v->flow = NULL;
    if (f != NULL)
        flow_abort(f); /* not opened yet: no event comes */
    loopback_forget(v);
    tcp_fail(s, v, -ECONNRESET);
}

int tcp_watch_connecting(struct session *s, struct vsock *v)
{
    return sock_watch(s, v, EPOLLRDHUP | EPOLLET, on_connecting_end);
}

void tcp_cut(struct session *s, struct vsock *v)
{
    struct flow *f = v->flow;
    bool was_told = v->state != VSOCK_CONNECTING || v->is_flow_open;

    if (f == NULL)
        return;
    if (was_told) {
        flow_abort(f); /* closed() does the rest */
        return;
    }
    v->flow = NULL;
    flow_abort(f); /* not opened yet: no event comes */
    tcp_fail(s, v, -ECONNRESET);
}

/* Joining */

int tcp_join(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    int end;

    if (t->fd < 0)
        return -ENOTCONN;
    end = rendezvous_join(&s->rendezvous, t->fd);
    if (end == -EMFILE && sock_make_room(s))
        end = rendezvous_join(&s->rendezvous, t->fd);
    if (end < 0)
        return end;
    v->our_end = end;
    return 0;
}

int tcp_join_wide(struct session *s, struct trap *t)
{
    int err = tcp_join(s, t);

    if (err < 0)
        return err;
    inject_widen(t->fd);
    inject_widen(t->sock->our_end);
    return 0;
}

bool tcp_is_pending(const struct vsock *v)
{
    return v->kind == VSOCK_TCP && v->state == VSOCK_CONNECTING && v->our_end < 0;
}

/** The network has answered a connection whose end was not joined: do it. Returns 0 or -errno. */
static int settle(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    bool is_kept = v->kept_fd >= 0;
    int err = tcp_join_wide(s, t);

    if (err == 0)
        err = inject_canary(t->fd);
    if (err == 0)
        err = attach(s, v);
    if (is_kept)
        t->fd = v->kept_fd;
    if (err < 0) {
        struct flow *f = v->flow;

        sock_close_end(s, v);
        v->flow = NULL;
        v->is_flow_open = false;
        v->is_spoilt = true;
        vsock_move(v, VSOCK_FAILED);
        v->is_ending = true; /* closed() shall leave the socket alone */
        if (f != NULL)
            flow_abort(f);
        v->is_ending = false;
    }
    return err;
}

void tcp_settle(struct session *s, struct trap *t)
{
    if (tcp_is_pending(t->sock) && t->sock->is_flow_open && settle(s, t) == 0)
        t->sock->connect_returns_0 = true;
}

/* Going back to unconnected */

/** The name after connect(AF_UNSPEC): what bind() named stays; a port of our choice is given back
 * and still shown, as Linux does. */
static void forget_name(struct session *s, struct vsock *v)
{
    struct endpoint at = v->local;

    if (!v->is_ip_locked)
        at.ip = ip_any(v->is_v6 ? IP_V6 : IP_V4);
    if (v->is_port_locked) {
        vsock_bind(s->sockets, v, &at);
        return;
    }
    vsock_unbind(s->sockets, v);
    v->is_bound_port = false;
    v->local = at;
}

static int64_t disconnect(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    struct flow *f = v->flow;
    auto_fd fresh = -1;

    if (v->state == VSOCK_OPEN && !v->is_spoilt)
        return 0;
    if (v->state == VSOCK_LISTENING)
        listen_stop(s, v);
    linger_reset_at_close(s, t);
    v->flow = NULL;
    v->is_ending = true; /* closed() shall leave the socket alone */
    if (f != NULL)
        flow_abort(f);
    v->is_ending = false;
    loopback_forget(v);
    sock_close_end(s, v);
    forget_name(s, v);
    v->remote = (struct endpoint){0};
    v->is_loopback = false;
    v->is_torn = false;
    v->connect_returns_0 = false;
    v->is_flow_open = false;
    if (v->state != VSOCK_OPEN)
        vsock_move(v, VSOCK_OPEN);
    return replace_object(s, t, &fresh);
}

/* To the network */

static int64_t connect_remote(struct session *s, struct trap *t, const struct endpoint *dst)
{
    struct vsock *v = t->sock;
    bool is_nonblock = trap_is_nonblock(s, t);
    struct vsock_mark own;
    struct wire_mark mark;
    int64_t held;
    int err;

    if (s->netstack == NULL)
        return -ENETUNREACH;
    if (!notify_is_valid(&s->notify, t->call.id))
        return CALL_DONE;
    own = udp_mark(v, dst->ip.family == IP_V6);
    mark = (struct wire_mark){.hops = own.hops, .class = own.class};
    err = flow_open_marked(s->netstack, dst, v->is_bound_port ? v->local.port : 0, &mark,
                           &tcp_events, v, &v->flow);
    if (err < 0)
        return err;
    v->remote = *dst;
    v->pid = sock_info(s, v)->pid;
    vsock_move(v, VSOCK_CONNECTING);
    holders_look_soon(s, v);
    if (!is_nonblock) {
        held = trap_hold(s, t, HELD_CONNECT, SO_SNDTIMEO);
        if (held == CALL_HELD)
            return CALL_HELD;
        err = (int)held;
    } else {
        err = tcp_join_wide(s, t);
        if (err == 0) {
            v->filled = inject_fill(t->fd);
            err = tcp_watch_connecting(s, v);
        }
        if (err == 0)
            return -EINPROGRESS;
        v->is_spoilt = v->our_end >= 0;
        sock_close_end(s, v);
    }
    flow_abort(v->flow); /* not opened yet: no event comes */
    v->flow = NULL;
    vsock_move(v, VSOCK_OPEN);
    return err;
}

/* Inside the sandbox */

static int64_t connect_local(struct session *s, struct trap *t, const struct endpoint *dst)
{
    struct vsock *listener;

    do
        listener = vsock_listener(s->sockets, dst, session_random(s));
    while (listener != NULL && !sock_is_open(s, listener));
    if (listener != NULL)
        return loopback_connect(s, t, listener, dst);
    if (loopback_is_self(t->sock, dst))
        return loopback_self(s, t, dst);
    if (sock_is_host_ip(s, &dst->ip) &&
        judge_loopback(s, t->call.tid, POLICY_TCP, dst, sock_info(s, t->sock)) == 0 &&
        s->netstack != NULL)
        return connect_remote(s, t, dst);
    return -ECONNREFUSED;
}

/* The call */

static int64_t connect_again(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;

    if (v->is_flow_open && v->our_end < 0)
        return settle(s, t);
    if (trap_is_nonblock(s, t))
        return -EALREADY;
    return trap_hold(s, t, HELD_CONNECT, SO_SNDTIMEO);
}

/** Nobody listens there, or nobody may be reached. Where the descriptor cannot be joined, also a
 * non-blocking call is told at once. */
static int64_t refuse(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;

    if (!trap_is_nonblock(s, t) || tcp_join(s, t) < 0)
        return -ECONNREFUSED;
    if (inject_canary(t->fd) < 0) {
        v->is_spoilt = true;
        sock_close_end(s, v);
        return -ECONNREFUSED;
    }
    vsock_move(v, VSOCK_CONNECTING);
    tcp_fail(s, v, -ECONNREFUSED);
    return -EINPROGRESS;
}

static int64_t connect_open(struct session *s, struct trap *t, const struct sockaddr_storage *raw,
                            unsigned len)
{
    struct vsock *v = t->sock;
    struct endpoint dst;
    bool is_mapped;
    auto_fd fresh = -1;
    int err = inet_read(raw, len, v->is_v6, &dst, &is_mapped);

    if (err < 0)
        return err;
    if (is_mapped && v->is_v6only)
        return -ENETUNREACH;
    if (v->is_v6 && !inet_is_multicast(&dst.ip) && inet_lacks_scope(raw))
        return -EINVAL;
    if (inet_is_multicast(&dst.ip) || inet_is_broadcast(&dst.ip) || inet_is_lo_broadcast(&dst.ip))
        return -ENETUNREACH;
    if (v->is_spoilt) {
        err = replace_object(s, t, &fresh);
        if (err < 0)
            return err;
    }
    dst.ip = inet_destination(&dst.ip);
    if (sock_is_own_ip(s, &dst.ip))
        return connect_local(s, t, &dst);
    if (option_keeps_inside(v))
        return -ENETUNREACH;
    err = judge(s, t->call.tid, POLICY_TCP, &dst, sock_info(s, v));
    return err < 0 ? err : connect_remote(s, t, &dst);
}

static int64_t tcp_connect(struct session *s, struct trap *t, const struct sockaddr_storage *raw,
                           unsigned len)
{
    struct vsock *v = t->sock;
    int64_t result;
    int err;

    if (len < sizeof(sa_family_t))
        return -EINVAL;
    if (raw->ss_family == AF_UNSPEC)
        return disconnect(s, t);
    switch ((enum vsock_state)v->state) {
    case VSOCK_OPEN:
        result = connect_open(s, t, raw, len);
        return result == -ECONNREFUSED ? refuse(s, t) : result;
    case VSOCK_CONNECTING:
        return connect_again(s, t);
    case VSOCK_FAILED: /* once: what became of the last attempt; ECONNABORTED when it was asked for
                        */
        err = v->so_error != 0 ? -v->so_error : -ECONNABORTED;
        v->so_error = 0;
        vsock_move(v, VSOCK_OPEN);
        return err;
    case VSOCK_CONNECTED:
        if (!v->connect_returns_0)
            return -EISCONN;
        v->connect_returns_0 = false;
        return 0;
    case VSOCK_LISTENING:
    case VSOCK_OVER:
    case VSOCK_FREE:
    case VSOCK_STATE_COUNT:
        break;
    }
    return -EISCONN;
}

int64_t sys_connect(struct session *s, struct trap *t)
{
    struct sockaddr_storage raw;
    unsigned len;
    int err;

    if (t->sock == NULL)
        return unix_connect(s, t);
    err = sockaddr_read(s, t, t->call.arg[1], t->call.arg[2], &raw, &len);
    if (err < 0)
        return err;
    switch ((enum vsock_kind)t->sock->kind) {
    case VSOCK_TCP:
        return tcp_connect(s, t, &raw, len);
    case VSOCK_UDP:
    case VSOCK_PING:
        return udp_connect(s, t, &raw, len);
    case VSOCK_NETLINK:
        return 0; /* the kernel is the only peer there is */
    }
    return -EINVAL;
}
