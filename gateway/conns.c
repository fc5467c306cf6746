/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections. One is answered to the peer only when the host's connect was; what leads to our own
 * address goes to the desk, or nowhere.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "gateway/inside.h"

static struct conn *conn_new(struct gateway *g, struct peer *peer)
{
    struct conn *c;

    if (peer->conns >= CONNS_PER_PEER_MAX)
        return NULL;
    if (g->conn_free != 0) {
        c = &g->conns[g->conn_free - 1];
        g->conn_free = c->next_free;
    } else if (g->conn_touched < CONNS_MAX) {
        c = &g->conns[g->conn_touched++];
    } else {
        return NULL;
    }
    *c = (struct conn){.gateway = g, .peer = peer, .watch = {.fd = -1}, .is_used = true};
    peer->conns++;
    return c;
}

static void conn_pending(struct conn *c, bool is_pending)
{
    c->peer->pending -= c->is_pending;
    c->peer->pending += is_pending;
    c->is_pending = is_pending;
}

static void conn_free(struct conn *c)
{
    struct gateway *g = c->gateway;

    conn_pending(c, false);
    if (c->watch.fd >= 0) {
        loop_unwatch(g->loop, &c->watch);
        (void)close(c->watch.fd);
    }
    c->peer->conns--;
    c->peer->desks -= c->is_desk;
    c->is_used = false;
    c->next_free = g->conn_free;
    g->conn_free = (uint32_t)(c - g->conns) + 1;
}

static void conn_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    struct conn *c = self;

    (void)f;
    gateway_record_flow(c->gateway, POLICY_TCP, &c->who, c->peer, c->rule, err, stats);
    conn_free(c);
}

static const struct flow_events conn_events = {.closed = conn_closed};

/** The connection could not be made: tell the peer exactly that, and record it. */
static void conn_refuse(struct conn *c, int err)
{
    struct flow_stats none = {0};

    gateway_record_flow(c->gateway, POLICY_TCP, &c->who, c->peer, c->rule, err, &none);
    flow_refuse(c->flow, err);
    conn_free(c);
}

static void conn_connected(struct conn *c)
{
    int fd = c->watch.fd;
    int err;

    loop_unwatch(c->gateway->loop, &c->watch);
    c->watch.fd = -1;
    conn_pending(c, false);
    err = flow_accept(c->flow, fd, &conn_events, c);
    if (err < 0) {
        struct flow_stats none = {0};

        gateway_record_flow(c->gateway, POLICY_TCP, &c->who, c->peer, c->rule, err, &none);
        conn_free(c);
    }
}

static void conn_ready(void *self, uint32_t events)
{
    struct conn *c = self;
    int err = 0;
    socklen_t len = sizeof(err);

    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
        return;
    if (getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err != 0)
        conn_refuse(c, -err);
    else
        conn_connected(c);
}

int gateway_socket(const struct endpoint *dst, int type, int protocol)
{
    static const int on = 1;
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(dst, &sa);
    auto_fd fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0)
        return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
    if (type == SOCK_STREAM)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                         sizeof(on)); /* only a matter of speed */
    if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
        return -errno;
    return take_fd(&fd);
}

bool gateway_is_own(const struct gateway *g, const struct ip *ip)
{
    struct ip own;

    return netstack_local_ip(g->ns, ip->family, &own) == 0 && ip_equal(&own, ip);
}

bool gateway_is_inside(const struct gateway *g, const struct ip *ip)
{
    return gateway_is_own(g, ip) || (g->names != NULL && prefix_contains(&g->inside, ip));
}

/** A connection inside the tunnels' own network: to the desk, for agents that latticed knows, or
 * nowhere. Peers take no connections, and the host may have a network of the same numbers. */
static void open_desk(struct conn *c)
{
    struct gateway *g = c->gateway;
    bool allowed = g->desk != NULL && gateway_is_own(g, &c->who.dst.ip) &&
                   c->who.dst.port == DESK_PORT && c->peer->is_enrolled &&
                   c->peer->desks < DESKS_PER_PEER_MAX;
    int err = gateway_record_own(g, &c->who, c->peer, allowed);

    if (err < 0 || !allowed) {
        flow_refuse(c->flow, -EACCES);
        conn_free(c);
        return;
    }
    c->peer->desks++;
    c->is_desk = true;
    c->watch.fd = enroll_desk_open(g->desk, c->peer->ns, c->peer->name);
    if (c->watch.fd < 0)
        conn_refuse(c, c->watch.fd);
    else
        conn_connected(c);
}

void conns_open(void *self, struct flow *f, const struct netstack_inbound *who)
{
    struct gateway *g = self;
    struct peer *peer = peers_get(g, who->peer_key);
    struct conn *c;
    int err;

    if (peer != NULL && peer->pending >= PENDING_PER_PEER_MAX) {
        flow_refuse(f, -ETIMEDOUT); /* silent: an honest peer's SYN comes again */
        return;
    }
    c = peer != NULL ? conn_new(g, peer) : NULL;
    if (c == NULL) {
        flow_refuse(f, -EACCES);
        return;
    }
    c->flow = f;
    c->who = *who;
    if (gateway_is_inside(g, &who->dst.ip)) {
        open_desk(c);
        return;
    }
    err = gateway_judge(g, POLICY_TCP, who, peer, c->rule);
    if (err < 0) {
        flow_refuse(f, err);
        conn_free(c);
        return;
    }
    c->watch = (struct loop_watch){.fd = gateway_socket(&who->dst, SOCK_STREAM, /*protocol=*/0),
                                   .ready = conn_ready,
                                   .self = c};
    if (c->watch.fd < 0) {
        conn_refuse(c, c->watch.fd);
        return;
    }
    conn_pending(c, true);
    err = loop_watch(g->loop, &c->watch, EPOLLOUT);
    if (err < 0)
        conn_refuse(c, err);
}

void conns_cancel(void *self, struct flow *f)
{
    struct gateway *g = self;
    struct flow_stats none = {0};

    for (uint32_t i = 0; i < g->conn_touched; i++) {
        struct conn *c = &g->conns[i];

        if (!c->is_used || c->flow != f || c->watch.fd < 0)
            continue;
        gateway_record_flow(g, POLICY_TCP, &c->who, c->peer, c->rule, -ECONNRESET, &none);
        conn_free(c);
        return;
    }
}

static void conn_cut(struct conn *c)
{
    if (c->watch.fd >= 0)
        conn_refuse(c, -EACCES);
    else
        flow_abort(c->flow); /* conn_closed() does the rest */
}

void conns_cut(struct gateway *g, const struct peer *peer, bool everything)
{
    for (uint32_t i = 0; i < g->conn_touched && peer->conns > 0; i++) {
        struct conn *c = &g->conns[i];

        if (c->is_used && c->peer == peer && (everything || !c->is_desk) &&
            (everything || !gateway_still_allows(g, POLICY_TCP, peer, &c->who.dst)))
            conn_cut(c);
    }
}

void conns_done(struct gateway *g)
{
    for (uint32_t i = 0; i < g->conn_touched; i++) {
        if (g->conns[i].is_used && g->conns[i].watch.fd >= 0)
            conn_refuse(&g->conns[i], -ECONNREFUSED);
    }
}
