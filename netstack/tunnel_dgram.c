/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagram sockets inside the tunnel, of UDP and of ICMP echo: local ports, and identifiers, in a
 * small hash, packets written by packet.c.
 * lwIP has no part in it, except that it puts fragments together.
 */
#include "netstack/tunnel.h"

#include <errno.h>
#include <string.h>

#define PORT_FIRST 32768u
#define PORT_COUNT 28232u /* up to 60999, as Linux chooses them */
#define PORT_TRIES 256u

static struct dgram **bucket(struct dgram_table *t, enum ip_family family, uint16_t port)
{
    return &t->buckets[(port * 2u + (family == IP_V6)) % DGRAM_BUCKETS];
}

struct dgram *tunnel_dgram_find(struct netstack *ns, const struct endpoint *local, bool is_echo)
{
    struct dgram *d = *bucket(ns->dgrams, (enum ip_family)local->ip.family, local->port);

    while (d != NULL && (d->is_echo != is_echo || !endpoint_equal(&d->local, local)))
        d = d->chain;
    return d;
}

/** RFC 6056 3.3.1: a random port that is free. */
static int choose_port(struct netstack *ns, struct endpoint *local, bool is_echo)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        local->port = (uint16_t)(PORT_FIRST + rng_u32(rng_system()) % PORT_COUNT);
        if (tunnel_dgram_find(ns, local, is_echo) == NULL)
            return 0;
    }
    return -EADDRINUSE;
}

int tunnel_dgram_open(struct dgram *d, uint16_t local_port)
{
    struct netstack *ns = d->ns;
    struct endpoint local = {.ip = d->family == IP_V4 ? ns->v4 : ns->v6, .port = local_port};
    struct dgram **head;
    int err;

    if (local.ip.family == IP_NONE)
        return -ENETUNREACH;
    if (local_port == 0) {
        err = choose_port(ns, &local, d->is_echo);
        if (err < 0)
            return err;
    } else if (tunnel_dgram_find(ns, &local, d->is_echo) != NULL) {
        return -EADDRINUSE;
    }
    d->local = local;
    head = bucket(ns->dgrams, d->family, local.port);
    d->chain = *head;
    *head = d;
    return 0;
}

static void emit(void *self, struct bytes packet)
{
    tunnel_send(self, packet);
}

/** Send the message with the identifier that the socket has on the wire. */
static int send_echo(struct dgram *d, const struct ip *dst, struct bytes message,
                     const struct packet_shape *shape)
{
    uint8_t *copy = d->ns->dgrams->buffer;

    memcpy(copy, message.data, message.len);
    packet_echo_set_id(copy, d->local.port);
    return packet_send_echo(&d->local.ip, dst, bytes_of(copy, message.len), shape, emit, d->ns);
}

int tunnel_dgram_send(struct dgram *d, const struct endpoint *dst, struct bytes payload)
{
    struct netstack *ns = d->ns;
    struct packet_shape shape = {.mtu = ns->mtu, .hops = d->mark.hops, .class = d->mark.class};
    struct ip own;
    int err = tunnel_source(ns, &dst->ip, &own);

    if (err < 0)
        return err;
    shape.id = ns->fragment_id++;
    return d->is_echo ? send_echo(d, &dst->ip, payload, &shape)
                      : packet_send_udp(&d->local, dst, payload, &shape, emit, ns);
}

void tunnel_echo_received(struct netstack *ns, const struct packet *p)
{
    uint8_t *copy = ns->dgrams->buffer;
    struct endpoint src, dst;
    struct bytes message;
    struct dgram *d;

    if (packet_echo(p, /*is_reply=*/true, &src, &dst, &message) < 0 || message.len > DGRAM_BUFFER)
        return;
    d = tunnel_dgram_find(ns, &dst, /*is_echo=*/true);
    if (d == NULL)
        return;
    memcpy(copy, message.data, message.len);
    packet_echo_set_id(copy, d->echo_id);
    d->received = (struct wire_mark){.hops = p->hops, .class = p->class};
    d->events->received(d->self, d, &src, bytes_of(copy, message.len));
}

void tunnel_echo_failed(struct netstack *ns, const struct packet_error *e, const struct ip *from)
{
    uint8_t *copy = ns->dgrams->buffer;
    struct dgram *d = tunnel_dgram_find(ns, &e->src, /*is_echo=*/true);
    size_t len = e->quoted.len < DGRAM_BUFFER ? e->quoted.len : DGRAM_BUFFER;

    if (d == NULL || d->events->failed == NULL)
        return;
    memcpy(copy, e->quoted.data, len);
    packet_echo_set_id(copy, d->echo_id);
    d->cause = (struct dgram_cause){.type = e->type, .code = e->code, .offender = *from};
    d->events->failed(d->self, d, &e->dst, e->err, bytes_of(copy, len));
}

void tunnel_dgram_close(struct dgram *d)
{
    struct dgram **at = bucket(d->ns->dgrams, d->family, d->local.port);

    while (*at != d) {
        must(*at != NULL);
        at = &(*at)->chain;
    }
    *at = d->chain;
}
