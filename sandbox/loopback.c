/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection is queued with its listener as a socket of its own, the child, whose our_end is what
 * accept(2) hands out. When the queue is full (listen(2)'s backlog), a blocking connect(2) is held,
 * and a non-blocking one is in SYN_SENT: joined, filled, and in the listener's list of those who
 * wait.
 */
#include "sandbox/loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/holders.h"
#include "sandbox/inet.h"
#include "sandbox/sys_listen.h"
#include "sandbox/sys_tcp.h"

#define SEND_BUFFER_DIRECT        212992 /* of both ends of a direct connection: Linux's default */
#define RELAYED_SEND_BUFFER_SMALL 65536  /* an end with less keeps no byte for a reset */

/** The client's own name: what it bound, else the address it calls and a port of our choice. */
static int name_client(struct session *s, struct vsock *v, const struct endpoint *dst)
{
    struct endpoint at = {.ip = inet_source(&dst->ip), .port = v->is_bound ? v->local.port : 0};

    if (v->is_bound && !ip_is_any(&v->local.ip))
        return 0;
    if (v->is_bound) {
        vsock_bind(s->sockets, v, &at); /* the port was ours under any address already */
        return 0;
    }
    return sock_claim(s, v, &at);
}

/* Relayed */

static void on_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    struct vsock *v = self;
    struct session *s = v->owner;

    (void)f;
    (void)err;
    (void)stats; /* nothing left the sandbox: no record */
    v->flow = NULL;
    if (v->is_ending)
        return;
    vsock_move(v, VSOCK_OVER);
    (void)sock_is_open(s, v);
}

static const struct flow_events relay_events = {.closed = on_closed};

/** The child's agent-side end of a relayed connection, with its stand-in byte. */
static int make_relayed_end(int *ret_agent_end, int *ret_our_end)
{
    int pair[2];
    int err;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    inject_limit_send(pair[0], 2 * SEND_BUFFER_DIRECT);
    inject_limit_send(pair[1], 2 * SEND_BUFFER_DIRECT);
    err = inject_canary(pair[0]);
    if (err < 0) {
        (void)close(pair[0]);
        (void)close(pair[1]);
        return err;
    }
    *ret_agent_end = pair[0];
    *ret_our_end = pair[1];
    return 0;
}

bool loopback_limit(struct vsock *v, int32_t bytes)
{
    if (v->flow == NULL)
        return true;
    if (!v->is_limited && bytes > RELAYED_SEND_BUFFER_SMALL)
        return false;
    flow_limit(v->flow, bytes);
    v->is_limited = true;
    return true;
}

/** A small send buffer that was asked for before there is a connection; 0: none. */
static int32_t small_buffer(const struct vsock *v)
{
    int32_t bytes;

    return vsock_option_get(v, SOL_SOCKET, SO_SNDBUF, &bytes) && bytes <= RELAYED_SEND_BUFFER_SMALL
               ? bytes
               : 0;
}

/** Let flows carry between the client's end and one that the child gets. */
static int relay(struct session *s, struct vsock *v, struct vsock *child)
{
    auto_fd client_end = -1;
    auto_fd child_end = -1;
    auto_fd our_end = -1;
    int err = make_relayed_end(&child_end, &our_end);

    if (err == -EMFILE && sock_make_room(s))
        err = make_relayed_end(&child_end, &our_end);
    if (err < 0)
        return err;
    v->is_limited = false;
    loop_unwatch(s->loop, &v->watch);
    client_end = take_fd(&child->our_end);
    err = flow_pair(s->relay_stack, &relay_events, v, child, &v->flow, &child->flow);
    if (err < 0)
        return err;
    err = flow_attach_canary(v->flow, take_fd(&client_end));
    if (err == 0)
        err = flow_attach_canary(child->flow, take_fd(&our_end));
    if (err < 0)
        return err; /* sock_end() of the child lets go of both */
    flow_reset_on_close(v->flow, v->is_resetting);
    if (small_buffer(child) > 0) {
        inject_limit_send(child_end, small_buffer(child));
        (void)loopback_limit(child, small_buffer(child));
    }
    child->our_end = take_fd(&child_end);
    return 0;
}

/* Queueing */

static int make_child(struct session *s, struct vsock *v, struct vsock *listener, int end,
                      struct vsock **ret)
{
    struct vsock *child;
    int err = sock_new(s, VSOCK_TCP, end, &child);

    if (err < 0) {
        (void)close(end);
        return err;
    }
    child->is_v6 = listener->is_v6;
    child->is_v6only = listener->is_v6only;
    child->protocol = IPPROTO_TCP;
    child->may_reuse_addr = listener->may_reuse_addr;
    child->may_reuse_port = listener->may_reuse_port;
    vsock_options_copy(child, listener);
    child->our_end = end;
    child->remote = v->local;
    child->is_loopback = true;
    *ret = child;
    return 0;
}

/** The client's end is joined, with one stand-in byte in it: queue the connection. */
static int establish_busy(struct session *s, struct vsock *v, struct vsock *listener,
                          const struct endpoint *dst)
{
    struct vsock *child;
    uint64_t inode;
    int err = make_child(s, v, listener, take_fd(&v->our_end), &child);

    if (err < 0)
        return err;
    child->has_canary = s->relay_stack == NULL;
    if (s->relay_stack != NULL) {
        err = relay(s, v, child);
        if (err == 0)
            err = inject_inode(child->our_end, &inode);
        if (err < 0) {
            struct flow *f = v->flow;

            v->flow = NULL;
            v->is_ending = true; /* closed() shall leave it alone */
            if (f != NULL)
                flow_abort(f);
            v->is_ending = false;
            sock_end(s, child);
            return err;
        }
        vsock_rekey(s->sockets, child, inode);
    }
    vsock_bind(s->sockets, child, dst);
    vsock_move(child, VSOCK_CONNECTED);
    child->is_queued = true;
    vsock_queue_push(listener, child);
    v->remote = *dst;
    v->is_loopback = true;
    vsock_move(v, VSOCK_CONNECTED);
    sock_let_go(v);
    listen_announce(s, listener);
    return 0;
}

/** The same; making room, for sockets or descriptors, must not sweep away the two that it is about.
 */
static int establish(struct session *s, struct vsock *v, struct vsock *listener,
                     const struct endpoint *dst)
{
    bool was_busy[] = {v->is_busy, listener->is_busy};
    int err;

    v->is_busy = listener->is_busy = true;
    err = establish_busy(s, v, listener, dst);
    v->is_busy = was_busy[0];
    listener->is_busy = was_busy[1];
    return err;
}

static bool is_full(const struct vsock *listener)
{
    return listener->queue_count > listener->backlog;
}

/* Waiting for room */

void loopback_forget(struct vsock *v)
{
    struct vsock *listener = v->awaited;
    struct vsock **at;

    if (listener == NULL)
        return;
    for (at = &listener->wait_first; *at != NULL; at = &(*at)->queue_next) {
        if (*at == v) {
            *at = v->queue_next;
            break;
        }
    }
    listener->wait_count--;
    v->queue_next = NULL;
    v->awaited = NULL;
}

static int wait_for_room(struct session *s, struct vsock *v, struct vsock *listener,
                         const struct endpoint *dst, int agent_end)
{
    struct vsock **last = &listener->wait_first;
    int err;

    if (listener->wait_count >= VSOCK_BACKLOG_MAX)
        return -ECONNREFUSED;
    v->filled = inject_fill(agent_end);
    if (v->filled == 0)
        return -ENOBUFS;
    err = tcp_watch_connecting(s, v);
    if (err < 0)
        return err;
    while (*last != NULL)
        last = &(*last)->queue_next;
    *last = v;
    listener->wait_count++;
    v->awaited = listener;
    v->remote = *dst;
    vsock_move(v, VSOCK_CONNECTING);
    holders_look_soon(s, v);
    holders_look_soon(s, listener);
    return 0;
}

void loopback_admit(struct session *s, struct vsock *listener)
{
    while (listener->wait_first != NULL && !is_full(listener)) {
        struct vsock *v = listener->wait_first;
        struct endpoint dst = v->remote;
        int err;

        loopback_forget(v);
        loop_unwatch(s->loop, &v->watch);
        inject_drain(v->our_end, v->filled - 1); /* one byte stays: the stand-in */
        err = establish(s, v, listener, &dst);
        if (err < 0) {
            tcp_fail(s, v, err);
            continue;
        }
        v->connect_returns_0 = true;
        held_wake(s->held, v, HELD_ALL);
    }
    held_wake(s->held, listener, HELD_CONNECT);
}

void loopback_refuse(struct session *s, struct vsock *listener)
{
    while (listener->wait_first != NULL) {
        struct vsock *v = listener->wait_first;

        loopback_forget(v);
        tcp_fail(s, v, -ECONNREFUSED);
    }
}

/* The call */

/** SO_SNDBUF of one end of a direct connection, as its socket has it. */
static void limit_end(const struct session *s, const struct vsock *v, int end)
{
    int32_t send_buffer = SEND_BUFFER_DIRECT;

    (void)vsock_option_get(v, SOL_SOCKET, SO_SNDBUF, &send_buffer);
    if (send_buffer != s->rendezvous.send_buffer)
        inject_limit_send(end, send_buffer);
}

/** The client's end is joined: connect it, or let it wait. */
static int64_t connect_joined(struct session *s, struct vsock *v, struct vsock *listener,
                              const struct endpoint *dst, int agent_end, bool is_nonblock)
{
    int err;

    if (is_nonblock && is_full(listener)) {
        err = wait_for_room(s, v, listener, dst, agent_end);
        return err < 0 ? err : -EINPROGRESS;
    }
    if (s->relay_stack == NULL) {
        limit_end(s, v, agent_end);
        limit_end(s, listener, v->our_end);
    } else if (small_buffer(v) > 0) {
        inject_limit_send(agent_end, small_buffer(v));
    }
    if (is_nonblock)
        inject_edge(agent_end, v->our_end);
    err = inject_canary(agent_end); /* relayed for good; direct until it is accepted */
    if (err == 0)
        err = establish(s, v, listener, dst);
    if (err < 0)
        return err;
    if (s->relay_stack != NULL && small_buffer(v) > 0)
        (void)loopback_limit(v, small_buffer(v));
    v->connect_returns_0 = is_nonblock;
    return is_nonblock ? -EINPROGRESS : 0;
}

int64_t loopback_connect(struct session *s, struct trap *t, struct vsock *listener,
                         const struct endpoint *dst)
{
    struct vsock *v = t->sock;
    bool is_nonblock = trap_is_nonblock(s, t);
    bool had_port = v->is_bound;
    bool is_kept = v->kept_fd >= 0;
    int64_t result;
    int err;

    if (is_full(listener) && !is_nonblock) {
        err = held_add(s->held, &t->call, listener, HELD_CONNECT, trap_deadline(s, t, SO_SNDTIMEO));
        return err < 0 ? err : CALL_HELD;
    }
    err = name_client(s, v, dst);
    if (err < 0)
        return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
    result = s->relay_stack != NULL ? tcp_join_wide(s, t) : tcp_join(s, t);
    if (result == 0) {
        result = connect_joined(s, v, listener, dst, t->fd, is_nonblock);
        v->is_spoilt = result < 0 && result != -EINPROGRESS;
    }
    if (is_kept)
        t->fd = v->kept_fd;
    if (result < 0 && result != -EINPROGRESS) {
        sock_close_end(s, v);
        if (!had_port)
            vsock_unbind(s->sockets, v);
    }
    return result;
}

/* To itself */

bool loopback_is_self(const struct vsock *v, const struct endpoint *dst)
{
    struct ip own = ip_is_any(&v->local.ip) ? inet_source(&dst->ip) : v->local.ip;

    return v->is_bound && v->local.port == dst->port && ip_equal(&own, &dst->ip);
}

/** Let what comes out of our end go into it again. */
static int relay_to_itself(struct session *s, struct vsock *v)
{
    struct netstack *ns = s->relay_stack != NULL ? s->relay_stack : s->netstack;
    int err = flow_self(ns, &relay_events, v, &v->flow);

    if (err < 0)
        return err;
    err = flow_attach_canary(v->flow, take_fd(&v->our_end));
    if (err < 0) {
        v->is_ending = true; /* closed() shall leave it alone */
        flow_abort(v->flow);
        v->is_ending = false;
        v->flow = NULL;
        return err;
    }
    flow_reset_on_close(v->flow, v->is_resetting);
    return 0;
}

int64_t loopback_self(struct session *s, struct trap *t, const struct endpoint *dst)
{
    struct vsock *v = t->sock;
    bool is_nonblock = trap_is_nonblock(s, t);
    bool is_kept = v->kept_fd >= 0;
    int err;

    if (s->relay_stack == NULL && s->netstack == NULL)
        return -ECONNREFUSED; /* offline there is nothing that relays */
    err = name_client(s, v, dst);
    if (err < 0)
        return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
    err = tcp_join_wide(s, t);
    if (err == 0 && is_nonblock)
        inject_edge(t->fd, v->our_end);
    if (err == 0)
        err = inject_canary(t->fd);
    if (err == 0)
        err = relay_to_itself(s, v);
    if (is_kept)
        t->fd = v->kept_fd;
    if (err < 0) {
        v->is_spoilt = true;
        sock_close_end(s, v);
        return err;
    }
    v->remote = *dst;
    v->is_loopback = true;
    v->connect_returns_0 = is_nonblock;
    vsock_move(v, VSOCK_CONNECTED);
    return is_nonblock ? -EINPROGRESS : 0;
}
