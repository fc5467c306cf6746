/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP exchanges: one connected host socket for each (peer's address, destination), forgotten when
 * it is idle. A refusal is remembered for some seconds, so that a flood makes few records.
 *
 * Echo (ping) is the same with the identifier in the place of the port, and an unprivileged ping
 * socket of the host (icmp(7)), whose identifier is its own. What fails on the way is read from the
 * socket's error queue, for it names the request that it is about.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arrival.h"
#include "base/log.h"
#include "gateway/inside.h"
#include "gateway/names.h"

#define HOPS_UNKNOWN 64

static size_t put_endpoint(uint8_t *to, const struct endpoint *e)
{
    memcpy(to, e->ip.bytes, sizeof(e->ip.bytes));
    store_be16(to + sizeof(e->ip.bytes), e->port);
    return sizeof(e->ip.bytes) + 2;
}

/** FNV-1a over a secret and both ends: peers choose the ports, so the start must not be known. */
static struct nat **nat_bucket(struct gateway *g, const struct endpoint *src,
                               const struct endpoint *dst)
{
    uint8_t bytes[16 + 2 * 18];
    size_t len = sizeof(g->key);
    uint64_t hash = 0xcbf29ce484222325u;

    memcpy(bytes, g->key, sizeof(g->key));
    len += put_endpoint(bytes + len, src);
    len += put_endpoint(bytes + len, dst);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return &g->nats[(hash ^ hash >> 32) % BUCKETS];
}

static void nat_free(struct nat *n)
{
    struct gateway *g = n->gateway;
    struct nat **at = nat_bucket(g, &n->who.src, &n->who.dst);

    while (*at != n) {
        must(*at != NULL);
        at = &(*at)->chain;
    }
    *at = n->chain;
    if (n->watch.fd >= 0) {
        struct flow_stats stats = {.bytes_out = n->bytes_out,
                                   .bytes_in = n->bytes_in,
                                   .duration_ns = n->used.ns - n->since.ns};

        gateway_record_flow(g, n->proto, &n->who, n->peer, n->rule, 0, &stats);
        loop_unwatch(g->loop, &n->watch);
        (void)close(n->watch.fd);
    }
    n->peer->nats--;
    g->nat_count--;
    free(n);
}

static void tell_unreachable(struct nat *n, int err)
{
    /* Only an error about an error could fail here, and there is nobody else to tell. */
    (void)!netstack_udp_unreachable(n->gateway->ns, &n->who.dst, &n->who.src, err);
}

static void nat_ready(void *self, uint32_t events)
{
    struct nat *n = self;
    struct gateway *g = n->gateway;

    (void)events;
    for (unsigned i = 0; i < RECEIVES_PER_WAKEUP; i++) {
        ssize_t got = recv(n->watch.fd, g->buffer, sizeof(g->buffer), 0);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got < 0) {
            tell_unreachable(n, -errno);
            return;
        }
        n->used = loop_now(g->loop);
        n->was_answered = true;
        n->bytes_in += (uint64_t)got;
        if (netstack_udp_reply(g->ns, &n->who.dst, &n->who.src, bytes_of(g->buffer, (size_t)got)) <
            0)
            return;
    }
}

static bool is_v4(const struct nat *n)
{
    return n->who.dst.ip.family == IP_V4;
}

static void tell_echo_unreachable(const struct nat *n, struct bytes message, int err)
{
    (void)!netstack_echo_unreachable(n->gateway->ns, &n->who.dst.ip, &n->who.src, message, err);
}

/** One message from the host's ping socket, to the gateway's buffer. Returns the length; 0 when it
 * is from somebody else: a connected ping socket takes replies from all. Or -errno. */
static ssize_t echo_receive(const struct nat *n, int flags, struct arrival *ret)
{
    ssize_t got =
        arrival_receive(n->watch.fd, flags, n->gateway->buffer, sizeof(n->gateway->buffer), ret);

    return got > 0 && !ip_equal(&ret->from.ip, &n->who.dst.ip) ? 0 : got;
}

/** Is it an error that a peer can use? That a packet is too large is for our host to deal with: the
 * next one goes in fragments. Who said it is told as a router on the way would be; that may be our
 * host itself, when a neighbour does not answer. */
static bool is_for_peers(const struct nat *n, const struct dgram_cause *cause)
{
    if (cause->offender.family != n->who.dst.ip.family)
        return false; /* or of this host's own making: there was no ICMP message */
    return is_v4(n) ? (cause->type == 3 && cause->code != 4) || cause->type == 11
                    : cause->type == 1 || cause->type == 3;
}

/** The next error, or else the next reply. Returns whether there may be more. */
static bool echo_carry(struct nat *n)
{
    struct gateway *g = n->gateway;
    struct arrival a;
    ssize_t got = echo_receive(n, MSG_ERRQUEUE, &a);

    if (got >= (ssize_t)ECHO_HEADER) {
        const struct dgram_cause cause = {
            .type = a.type, .code = a.code, .offender = a.offender.ip};

        store_be16(g->buffer + 4, n->who.src.port); /* the identifier that the peer knows */
        if (is_for_peers(n, &cause))
            (void)!netstack_echo_error(g->ns, &n->who.dst.ip, &n->who.src,
                                       bytes_of(g->buffer, (size_t)got), &cause);
    }
    if (got >= 0)
        return true;
    got = echo_receive(n, 0, &a);
    if (got < (ssize_t)ECHO_HEADER)
        return got >= 0 || (got != -EAGAIN && got != -EINTR);
    n->used = loop_now(g->loop);
    n->was_answered = true;
    n->bytes_in += (uint64_t)got - ECHO_HEADER;
    (void)!netstack_echo_reply(g->ns, &n->who.dst.ip, &n->who.src, bytes_of(g->buffer, (size_t)got),
                               a.hops > 0 ? (uint8_t)a.hops
                                          : HOPS_UNKNOWN); /* lost, as on any way */
    return true;
}

static void echo_ready(void *self, uint32_t events)
{
    struct nat *n = self;

    (void)events;
    for (unsigned i = 0; i < RECEIVES_PER_WAKEUP && echo_carry(n); i++)
        ;
}

/** A ping socket of the host's, connected to @dst: -errno. */
static int echo_socket(struct gateway *g, const struct endpoint *dst)
{
    static const int on = 1;
    bool v4 = dst->ip.family == IP_V4;
    int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    int fd = gateway_socket(dst, SOCK_DGRAM, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);

    if (fd == -EACCES && !g->has_said_no_ping) {
        g->has_said_no_ping = true;
        log_warn("peers cannot ping: the host gives us no ping sockets; to allow them: sysctl "
                 "net.ipv4.ping_group_range=\"0 2147483647\"");
    }
    if (fd < 0)
        return fd;
    if (setsockopt(fd, level, v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, level, v4 ? IP_RECVTTL : IPV6_RECVHOPLIMIT, &on, sizeof(on)) < 0) {
        int err = -errno;

        (void)close(fd);
        return err;
    }
    return fd;
}

static struct nat *nat_find(struct gateway *g, enum policy_proto proto,
                            const struct netstack_inbound *who)
{
    struct nat *n = *nat_bucket(g, &who->src, &who->dst);

    while (n != NULL && !(n->proto == proto && endpoint_equal(&n->who.src, &who->src) &&
                          endpoint_equal(&n->who.dst, &who->dst)))
        n = n->chain;
    return n;
}

/** Begin an exchange: judged, and with a socket when it is allowed. NULL: no room for it. */
static struct nat *nat_new(struct gateway *g, enum policy_proto proto,
                           const struct netstack_inbound *who)
{
    struct peer *peer = peers_get(g, who->peer_key);
    struct nat **head = nat_bucket(g, &who->src, &who->dst);
    struct nat *n;
    int err;

    if (peer == NULL || g->nat_count >= NATS_MAX || peer->nats >= NATS_PER_PEER_MAX)
        return NULL;
    n = calloc(1, sizeof(*n));
    if (n == NULL)
        return NULL;
    n->gateway = g;
    n->peer = peer;
    n->proto = proto;
    n->who = *who;
    n->since = n->used = loop_now(g->loop);
    n->watch = (struct loop_watch){
        .fd = -1, .ready = proto == POLICY_ICMP ? echo_ready : nat_ready, .self = n};
    n->chain = *head;
    *head = n;
    peer->nats++;
    g->nat_count++;
    err = gateway_judge(g, proto, who, peer, n->rule);
    if (err == 0) {
        int fd = proto == POLICY_ICMP ? echo_socket(g, &who->dst)
                                      : gateway_socket(&who->dst, SOCK_DGRAM, /*protocol=*/0);

        n->watch.fd = fd;
        err = fd < 0 ? fd : loop_watch(g->loop, &n->watch, EPOLLIN);
        if (fd >= 0 && err < 0)
            (void)close(fd);
        if (err < 0)
            n->watch.fd = -1;
    }
    n->refused_err = err;
    return n;
}

void exchanges_input(void *self, const struct netstack_inbound *who, struct bytes payload)
{
    struct gateway *g = self;
    struct nat *n = nat_find(g, POLICY_UDP, who);

    if (g->names != NULL && gateway_is_inside(g, &who->dst.ip)) {
        if (who->dst.port == NAMES_PORT && gateway_is_own(g, &who->dst.ip))
            names_ask(g->names, who, payload);
        else
            (void)!netstack_udp_unreachable(g->ns, &who->dst, &who->src, -ECONNREFUSED);
        return;
    }
    if (n == NULL)
        n = nat_new(g, POLICY_UDP, who);
    if (n == NULL)
        return; /* no room: dropped, as a full router does */
    if (n->watch.fd < 0) {
        tell_unreachable(n, n->refused_err);
        return;
    }
    n->used = loop_now(g->loop);
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        if (send(n->watch.fd, payload.data, payload.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
            n->bytes_out += payload.len;
            return;
        }
        if (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH)
            tell_unreachable(n,
                             -errno); /* about an earlier datagram; the next try sends this one */
        else if (errno != EINTR)
            return; /* dropped: the host's buffers are full, or the datagram is too large for its
                       path */
    }
}

/** We are a router on the way: one hop less is left (RFC 1812 5.3.1). False: that was the last. */
static bool echo_pass(struct nat *n, const struct netstack_inbound *who, struct bytes message)
{
    struct dgram_cause exceeded = {.type = is_v4(n) ? 11 : 3};
    int left = who->hops - 1;

    if (left <= 0) {
        if (netstack_local_ip(n->gateway->ns, (enum ip_family)who->dst.ip.family,
                              &exceeded.offender) == 0)
            (void)!netstack_echo_error(n->gateway->ns, &who->dst.ip, &who->src, message, &exceeded);
        return false;
    }
    if (left == n->hops)
        return true;
    n->hops = (uint8_t)left;
    return setsockopt(n->watch.fd, is_v4(n) ? IPPROTO_IP : IPPROTO_IPV6,
                      is_v4(n) ? IP_TTL : IPV6_UNICAST_HOPS, &left, sizeof(left)) == 0;
}

void exchanges_echo(void *self, const struct netstack_inbound *who, struct bytes message)
{
    struct gateway *g = self;
    struct nat *n = nat_find(g, POLICY_ICMP, who);

    if (g->names != NULL && gateway_is_inside(g, &who->dst.ip)) {
        (void)!netstack_echo_unreachable(g->ns, &who->dst.ip, &who->src, message, -EACCES);
        return;
    }
    if (n == NULL)
        n = nat_new(g, POLICY_ICMP, who);
    if (n == NULL)
        return; /* no room: dropped, as a full router does */
    if (n->watch.fd < 0) {
        tell_echo_unreachable(n, message, n->refused_err);
        return;
    }
    if (!echo_pass(n, who, message))
        return;
    n->used = loop_now(g->loop);
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        if (send(n->watch.fd, message.data, message.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
            n->bytes_out += message.len - ECHO_HEADER;
            return;
        }
        if (errno == ENETUNREACH) {
            tell_echo_unreachable(n, message, -errno);
            return;
        }
        if (errno != EINTR && errno != ECONNREFUSED && errno != EHOSTUNREACH)
            return; /* dropped: the host's buffers are full */
        /* about an earlier request, which its error queue names; the next try sends this one */
    }
}

static bool nat_is_idle(const struct nat *n, struct mono now)
{
    int64_t limit_s = n->watch.fd < 0   ? NAT_REFUSED_S
                      : n->was_answered ? NAT_IDLE_S
                                        : NAT_UNANSWERED_S;

    return mono_before(mono_add_ns(n->used, limit_s * NS_PER_S), now);
}

void exchanges_sweep(struct gateway *g, struct mono now)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct nat *n = g->nats[i], *next; n != NULL; n = next) {
            next = n->chain;
            if (nat_is_idle(n, now))
                nat_free(n);
        }
    }
}

void exchanges_cut(struct gateway *g, const struct peer *peer, bool everything)
{
    for (unsigned i = 0; i < BUCKETS && peer->nats > 0; i++)
        for (struct nat *n = g->nats[i], *next; n != NULL; n = next) {
            next = n->chain;
            if (n->peer == peer &&
                (everything || !gateway_still_allows(g, n->proto, peer, &n->who.dst)))
                nat_free(n);
        }
}

void exchanges_done(struct gateway *g)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (g->nats[i] != NULL)
            nat_free(g->nats[i]);
    }
}
