/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP sockets of the sandbox: who gets what, and what may leave. Nothing leaves unjudged: a verdict
 * is remembered for a destination for a short while, per socket. From the network only such
 * destinations may answer.
 */
#include "sandbox/sys_udp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sandbox/holders.h"
#include "sandbox/inet.h"
#include "sandbox/judge.h"
#include "sandbox/options.h"
#include "sandbox/resolver.h"
#include "sandbox/sys_ping.h"
#include "sandbox/sys_tcp.h"
#include "sandbox/udp_errors.h"

#define DNS_PORT           53
#define HOPS_DEFAULT       64
#define VERDICT_FOR_S      30    /* a remembered verdict is asked for again after that */
#define NOTES_PER_SOCKET   1024u /* more than any queue holds: older notes are stale */
#define DATAGRAMS_PER_TURN 64u

static unsigned family_index(const struct ip *ip)
{
    return ip->family == IP_V4 ? 0 : 1;
}

/* Receiving */

int udp_deliver(struct session *s, struct vsock *v, const struct endpoint *from,
                struct bytes payload, const struct vsock_mark *mark)
{
    struct vsock_note note = {
        .len = (uint32_t)payload.len,
        .from = *from,
        .mark = mark != NULL ? *mark : (struct vsock_mark){.hops = HOPS_DEFAULT},
        .wall_ns = wall_now_ns(),
    };
    int unread = 1;

    /* Natively received datagrams leave their notes behind. */
    if (v->note_count > 0 && ioctl(v->our_end, SIOCOUTQ, &unread) == 0 && unread == 0) {
        while (v->note_count > 0)
            vsock_note_pop(s->sockets, v);
    }
    while (v->note_count >= NOTES_PER_SOCKET)
        vsock_note_pop(s->sockets, v);
    if (!vsock_note_has_room(s->sockets))
        return 0;
    if (send(v->our_end, payload.data, payload.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return errno == EAGAIN || errno == ENOBUFS ? 0 : -EPIPE; /* full: dropped, as UDP may */
    must(vsock_note_push(s->sockets, v, &note) == 0);
    held_wake(s->held, v, HELD_INPUT);
    return 0;
}

static struct vsock_peer *peer_find(struct vsock *v, const struct endpoint *to)
{
    for (unsigned i = 0; i < VSOCK_PEERS_MAX; i++) {
        if (v->peers[i].to.port != 0 && endpoint_equal(&v->peers[i].to, to))
            return &v->peers[i];
    }
    return NULL;
}

static void on_received(void *self, struct dgram *d, const struct endpoint *from,
                        struct bytes payload)
{
    struct vsock *v = self;
    const struct vsock_peer *peer = peer_find(v, from);
    const struct wire_mark seen = dgram_mark(d);
    const struct vsock_mark mark = {.hops = seen.hops, .class = seen.class};

    if (peer == NULL || !peer->is_allowed)
        return; /* we never spoke to it */
    if (v->state == VSOCK_CONNECTED && !endpoint_equal(&v->remote, from))
        return;
    v->bytes_in += payload.len;
    (void)udp_deliver(v->owner, v, from, payload, &mark); /* closed: its own watch says so */
}

static void on_failed(void *self, struct dgram *d, const struct endpoint *to, int err,
                      struct bytes payload)
{
    struct vsock *v = self;

    (void)d;
    udp_error_raise(v->owner, v, to, err, payload);
}

static const struct dgram_events udp_events = {.received = on_received, .failed = on_failed};

/* Sending */

int udp_autobind(struct session *s, struct vsock *v)
{
    return v->is_bound ? 0 : sock_claim(s, v, &v->local);
}

/** The address that a datagram to @dst comes from. */
static struct ip source_of(const struct session *s, const struct vsock *v, const struct ip *dst)
{
    if (!ip_is_any(&v->local.ip))
        return v->local.ip;
    if (sock_is_own_ip(s, dst))
        return inet_source(dst);
    return dst->family == IP_V4 ? s->local_v4 : s->local_v6;
}

struct vsock_mark udp_mark(const struct vsock *v, bool is_v6_destination)
{
    int level = is_v6_destination ? IPPROTO_IPV6 : IPPROTO_IP;
    int32_t hops = HOPS_DEFAULT;
    int32_t class = 0;

    (void)vsock_option_get(v, level, is_v6_destination ? IPV6_UNICAST_HOPS : IP_TTL, &hops);
    (void)vsock_option_get(v, level, is_v6_destination ? IPV6_TCLASS : IP_TOS, &class);
    return (struct vsock_mark){.hops = (uint8_t)hops, .class = class < 0 ? 0 : (uint8_t) class};
}

static int send_local(struct session *s, struct vsock *v, const struct endpoint *dst,
                      struct bytes payload, const struct udp_wish *wish)
{
    struct endpoint src = {.ip = wish->source.family == dst->ip.family ? wish->source
                                                                       : source_of(s, v, &dst->ip),
                           .port = v->local.port};
    struct vsock *receiver;

    /* That a receiver was closed is seen when it is sent to; then it is ended, and not found again.
     */
    while ((receiver = vsock_receiver(s->sockets, dst, &src)) != NULL) {
        if (receiver->kept_fd >= 0 && !sock_is_open(s, receiver))
            continue; /* our duplicate would take it */
        if (udp_deliver(s, receiver, &src, payload, &wish->mark) == 0 || sock_is_open(s, receiver))
            return 0;
    }
    return -ECONNREFUSED;
}

/** May this socket send to @dst? Asked of the policy at first and then every now and then. */
static int peer_judge(struct session *s, struct vsock *v, pid_t tid, const struct endpoint *dst,
                      bool is_loopback)
{
    struct vsock_peer *peer = peer_find(v, dst);
    struct mono now = mono_now();
    int err;

    if (peer != NULL && mono_before(now, mono_add_ms(peer->judged_at, VERDICT_FOR_S * 1000)))
        return peer->is_allowed ? 0 : -EACCES;
    if (is_loopback)
        err = judge_loopback(s, tid, POLICY_UDP, dst, sock_info(s, v));
    else
        err = judge(s, tid, POLICY_UDP, dst, sock_info(s, v));
    if (is_loopback && err < 0)
        return err;
    if (peer == NULL)
        peer = &v->peers[v->peer_next++ % VSOCK_PEERS_MAX];
    *peer = (struct vsock_peer){.to = *dst, .judged_at = now, .is_allowed = err == 0};
    return err;
}

static bool may_broadcast(const struct vsock *v)
{
    int32_t on = 0;

    return vsock_option_get(v, SOL_SOCKET, SO_BROADCAST, &on) && on != 0;
}

static int send_remote(struct session *s, struct vsock *v, const struct endpoint *dst,
                       struct bytes payload, const struct vsock_mark *mark)
{
    struct dgram **d = &v->dgram[family_index(&dst->ip)];
    int err;

    if (s->netstack == NULL)
        return -ENETUNREACH;
    if (*d == NULL) {
        enum ip_family family = (enum ip_family)dst->ip.family;

        err = dgram_open(s->netstack, family, v->local.port, &udp_events, v, d);
        if (err == -EADDRINUSE && !v->is_bound_port) /* taken outside: another one will do */
            err = dgram_open(s->netstack, family, 0, &udp_events, v, d);
        if (err < 0) {
            *d = NULL;
            return err;
        }
        holders_look_soon(s, v);
    }
    err = dgram_set_mark(*d, (struct wire_mark){.hops = mark->hops, .class = mark->class});
    if (err == 0)
        err = dgram_send(*d, dst, payload);
    if (err == 0)
        v->bytes_out += payload.len;
    return err == -ENOBUFS ? 0 : err; /* dropped on the way, as UDP may */
}

int udp_send(struct session *s, struct vsock *v, pid_t tid, const struct endpoint *dst,
             struct bytes payload, const struct udp_wish *wish)
{
    struct udp_wish own = {.mark = udp_mark(v, dst->ip.family == IP_V6)};
    struct endpoint to = {.ip = inet_destination(&dst->ip), .port = dst->port};
    bool is_own;
    int err;

    if (wish == NULL)
        wish = &own;
    if (payload.len > DGRAM_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (to.port == 0)
        return -EINVAL;
    err = udp_autobind(s, v);
    if (err < 0)
        return -EAGAIN; /* as udp_sendmsg() when no port is left */
    if (inet_is_multicast(&to.ip) || inet_is_broadcast(&to.ip))
        return -ENETUNREACH; /* no route leads there */
    if (inet_is_lo_broadcast(&to.ip) && !may_broadcast(v))
        return -EACCES;
    is_own = sock_is_own_ip(s, &to.ip);
    if (!is_own && option_keeps_inside(v))
        return 0; /* lost on lo */
    if (is_own && send_local(s, v, &to, payload, wish) == 0)
        return 0;
    if (to.port == DNS_PORT) {
        struct flow_info *info = sock_info(s, v);

        info->pid = agent_pid(&s->agents, tid);
        agent_exe(&s->agents, tid, info->exe, sizeof(info->exe));
        resolver_query(s->resolver, v, &to, payload, info->pid, info->exe);
        return 0;
    }
    if (is_own && (!sock_is_host_ip(s, &to.ip) ||
                   peer_judge(s, v, tid, &to, /*is_loopback=*/true) < 0 || s->netstack == NULL)) {
        udp_error_raise(s, v, &to, -ECONNREFUSED, payload); /* what ICMP would say */
        return 0;
    }
    err = is_own ? 0 : peer_judge(s, v, tid, &to, /*is_loopback=*/false);
    return err < 0 ? err : send_remote(s, v, &to, payload, &wish->mark);
}

/** Our end is at its end: closed by all, or shut down by the agent. */
static void on_hang_up(struct session *s, struct vsock *v)
{
    if (sock_is_open(s, v))
        loop_unwatch(s->loop, &v->watch); /* shut down: nothing more comes from it */
}

static bool is_hung_up(const struct vsock *v)
{
    struct pollfd p = {.fd = v->our_end, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)) != 0;
}

/** Carry one native datagram. Returns 1 and more may follow; 0 there is none; -EPIPE at the end. */
static int carry_one(struct session *s, struct vsock *v)
{
    ssize_t n = recv(v->our_end, s->scratch, SESSION_SCRATCH, MSG_DONTWAIT);
    int err;

    if (n < 0)
        return 0;
    if (n == 0 && is_hung_up(v)) /* an empty datagram looks the same */
        return -EPIPE;
    if (v->state != VSOCK_CONNECTED)
        return 1; /* send(2) without a destination; the kernel would have said EDESTADDRREQ */
    if (v->kind == VSOCK_PING) {
        err = ping_check(v, bytes_of(s->scratch, (size_t)n));
        if (err == 0)
            err = ping_send(s, v, v->pid, &v->remote, bytes_of(s->scratch, (size_t)n), NULL);
    } else {
        err = udp_send(s, v, v->pid, &v->remote, bytes_of(s->scratch, (size_t)n), NULL);
    }
    if (err < 0)
        udp_error_raise(s, v, &v->remote, err, bytes_of(s->scratch, (size_t)n));
    return 1;
}

void udp_flush(struct session *s, struct vsock *v)
{
    while (carry_one(s, v) > 0)
        ;
}

void udp_ready(void *self, uint32_t events)
{
    struct vsock *v = self;
    struct session *s = v->owner;
    int more = 1;

    (void)events;
    for (unsigned i = 0; i < DATAGRAMS_PER_TURN && more > 0; i++)
        more = carry_one(s, v);
    if (more < 0)
        on_hang_up(s, v);
}

/* connect(2): nothing is sent, so nothing is judged; the C library connects UDP sockets only to
 * learn which address it would use. */

static int64_t udp_disconnect(struct session *s, struct vsock *v)
{
    struct endpoint at;

    if (v->state == VSOCK_CONNECTED)
        vsock_move(v, VSOCK_OPEN);
    v->remote = (struct endpoint){0};
    at = v->local;
    if (!v->is_ip_locked)
        at.ip = ip_any(v->is_v6 ? IP_V6 : IP_V4);
    if (v->is_port_locked) {
        vsock_bind(s->sockets, v, &at);
    } else {
        vsock_unbind(s->sockets, v);
        v->is_bound_port = false;
        v->local.ip = at.ip;
    }
    return 0;
}

int64_t udp_connect(struct session *s, struct trap *t, const struct sockaddr_storage *raw,
                    unsigned len)
{
    struct vsock *v = t->sock;
    struct endpoint dst, at;
    bool is_mapped;
    int err;

    if (len < sizeof(sa_family_t))
        return -EINVAL;
    udp_flush(s, v);
    if (raw->ss_family == AF_UNSPEC)
        return udp_disconnect(s, v);
    err = inet_read(raw, len, v->is_v6, &dst, &is_mapped);
    if (err < 0)
        return err;
    if (is_mapped && v->is_v6only)
        return -ENETUNREACH;
    if (v->is_v6 && inet_lacks_scope(raw))
        return -EINVAL;
    if (inet_is_multicast(&dst.ip) || inet_is_broadcast(&dst.ip))
        return -ENETUNREACH;
    if (inet_is_lo_broadcast(&dst.ip) && !may_broadcast(v))
        return -EACCES;
    dst.ip = inet_destination(&dst.ip);
    at = (struct endpoint){.ip = source_of(s, v, &dst.ip), .port = v->local.port};
    if (at.ip.family == IP_NONE || at.ip.family != dst.ip.family)
        return -ENETUNREACH;
    err = udp_autobind(s, v);
    if (err < 0)
        return -EAGAIN;
    at.port = v->local.port;
    vsock_bind(s->sockets, v, &at);
    v->remote = dst;
    v->pid = t->call.tid;
    if (v->state != VSOCK_CONNECTED)
        vsock_move(v, VSOCK_CONNECTED);
    return 0;
}
