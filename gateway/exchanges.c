/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP exchanges: one connected host socket for each (peer's address, destination), forgotten when
 * it is idle. A refusal is remembered for some seconds, so that a flood makes few records.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/inside.h"
#include "gateway/names.h"

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

        gateway_record_flow(g, POLICY_UDP, &n->who, n->peer, n->rule, 0, &stats);
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

static struct nat *nat_find(struct gateway *g, const struct netstack_inbound *who)
{
    struct nat *n = *nat_bucket(g, &who->src, &who->dst);

    while (n != NULL &&
           !(endpoint_equal(&n->who.src, &who->src) && endpoint_equal(&n->who.dst, &who->dst)))
        n = n->chain;
    return n;
}

/** Begin an exchange: judged, and with a socket when it is allowed. NULL: no room for it. */
static struct nat *nat_new(struct gateway *g, const struct netstack_inbound *who)
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
    n->who = *who;
    n->since = n->used = loop_now(g->loop);
    n->watch = (struct loop_watch){.fd = -1, .ready = nat_ready, .self = n};
    n->chain = *head;
    *head = n;
    peer->nats++;
    g->nat_count++;
    err = gateway_judge(g, POLICY_UDP, who, peer, n->rule);
    if (err == 0) {
        int fd = gateway_socket(&who->dst, SOCK_DGRAM);

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
    struct nat *n = nat_find(g, who);

    if (g->names != NULL && gateway_is_inside(g, &who->dst.ip)) {
        if (who->dst.port == NAMES_PORT && gateway_is_own(g, &who->dst.ip))
            names_ask(g->names, who, payload);
        else
            (void)!netstack_udp_unreachable(g->ns, &who->dst, &who->src, -ECONNREFUSED);
        return;
    }
    if (n == NULL)
        n = nat_new(g, who);
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
                (everything || !gateway_still_allows(g, POLICY_UDP, peer, &n->who.dst)))
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
