/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagram sockets inside the tunnel: local ports in a small hash, packets written by packet.c.
 * lwIP has no part in it, except that it puts fragments together.
 */
#include "netstack/tunnel.h"

#include <errno.h>

#define PORT_FIRST 32768u
#define PORT_COUNT 28232u /* up to 60999, as Linux chooses them */
#define PORT_TRIES 256u

static struct dgram **bucket(struct dgram_table *t, enum ip_family family, uint16_t port)
{
    return &t->buckets[(port * 2u + (family == IP_V6)) % DGRAM_BUCKETS];
}

struct dgram *tunnel_dgram_find(struct netstack *ns, const struct endpoint *local)
{
    struct dgram *d = *bucket(ns->dgrams, (enum ip_family)local->ip.family, local->port);

    while (d != NULL && !endpoint_equal(&d->local, local))
        d = d->chain;
    return d;
}

/** RFC 6056 3.3.1: a random port that is free. */
static int choose_port(struct netstack *ns, struct endpoint *local)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        local->port = (uint16_t)(PORT_FIRST + rng_u32(rng_system()) % PORT_COUNT);
        if (tunnel_dgram_find(ns, local) == NULL)
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
        err = choose_port(ns, &local);
        if (err < 0)
            return err;
    } else if (tunnel_dgram_find(ns, &local) != NULL) {
        return -EADDRINUSE;
    }
    d->local = local;
    head = bucket(ns->dgrams, d->family, local.port);
    d->chain = *head;
    *head = d;
    return 0;
}

int tunnel_dgram_send(struct dgram *d, const struct endpoint *dst, struct bytes payload)
{
    struct ip own;
    int err = tunnel_source(d->ns, &dst->ip, &own);

    return err < 0 ? err : netstack_udp_reply(d->ns, &d->local, dst, payload);
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
