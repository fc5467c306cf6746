/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagram sockets: a table of slots, and the choice between the host's sockets and the tunnel. It
 * keeps no queues: what arrives is handed to the owner at once, what is sent leaves at once.
 */
#include "netstack/dgram.h"

#include <errno.h>
#include <stdlib.h>

#include "netstack/tunnel.h"

int dgram_table_new(struct dgram_table **ret)
{
    struct dgram_table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return -ENOMEM;
    t->slots = calloc(DGRAM_MAX, sizeof(t->slots[0]));
    t->buffer = malloc(DGRAM_BUFFER);
    if (t->slots == NULL || t->buffer == NULL) {
        dgram_table_free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

void dgram_table_free(struct dgram_table *t)
{
    if (t == NULL)
        return;
    must(t->count == 0);
    free(t->slots);
    free(t->buffer);
    free(t);
}

static struct dgram *take_slot(struct netstack *ns)
{
    struct dgram_table *t = ns->dgrams;
    struct dgram *d;

    if (t->free_head != 0) {
        d = &t->slots[t->free_head - 1];
        t->free_head = d->next_free;
    } else if (t->touched < DGRAM_MAX) {
        d = &t->slots[t->touched++];
    } else {
        return NULL;
    }
    *d = (struct dgram){.ns = ns,
                        .is_used = true,
                        .mark = {.hops = PACKET_HOPS},
                        .told = {.hops = PACKET_HOPS},
                        .watch = {.fd = -1}};
    t->count++;
    return d;
}

static void give_slot(struct dgram *d)
{
    struct dgram_table *t = d->ns->dgrams;

    d->is_used = false;
    d->next_free = t->free_head;
    t->free_head = (uint32_t)(d - t->slots) + 1;
    t->count--;
}

/** What the two kinds of sockets share: a slot, then its far side. */
static int open_slot(struct netstack *ns, const struct dgram *like, uint16_t local_port,
                     struct dgram **ret)
{
    struct dgram *d;
    int err;

    if (ns->mode == NETSTACK_OFFLINE)
        return -ENETUNREACH;
    d = take_slot(ns);
    if (d == NULL)
        return -EMFILE;
    d->family = like->family;
    d->events = like->events;
    d->self = like->self;
    d->is_echo = like->is_echo;
    d->echo_id = like->echo_id;
    if (ns->mode == NETSTACK_TUNNEL)
        err = tunnel_dgram_open(d, local_port);
    else
        err = d->is_echo ? host_echo_open(d) : host_dgram_open(d, local_port);
    if (err < 0) {
        give_slot(d);
        return err;
    }
    *ret = d;
    return 0;
}

int dgram_open(struct netstack *ns, enum ip_family family, uint16_t local_port,
               const struct dgram_events *events, void *self, struct dgram **ret)
{
    const struct dgram like = {.family = family, .events = events, .self = self};

    return open_slot(ns, &like, local_port, ret);
}

int netstack_may_echo(const struct netstack *ns)
{
    return ns->mode == NETSTACK_DIRECT ? host_echo_try() : 0;
}

int dgram_open_echo(struct netstack *ns, enum ip_family family, uint16_t id,
                    const struct dgram_events *events, void *self, struct dgram **ret)
{
    const struct dgram like = {
        .family = family, .events = events, .self = self, .is_echo = true, .echo_id = id};
    int err = open_slot(ns, &like, id, ret);

    return err == -EADDRINUSE ? open_slot(ns, &like, 0, ret) : err;
}

int dgram_send(struct dgram *d, const struct endpoint *dst, struct bytes payload)
{
    struct endpoint to = {.ip = ip_unmap(&dst->ip), .port = dst->port};

    must(d->is_used);
    if (payload.len > (d->is_echo ? ECHO_MAX : DGRAM_PAYLOAD_MAX))
        return -EMSGSIZE;
    if (to.ip.family != d->family)
        return -ENETUNREACH;
    must(!d->is_echo || payload.len >= ECHO_HEADER);
    return d->ns->mode == NETSTACK_DIRECT ? host_dgram_send(d, &to, payload)
                                          : tunnel_dgram_send(d, &to, payload);
}

int dgram_local(const struct dgram *d, struct endpoint *ret)
{
    must(d->is_used);
    *ret = d->local;
    return 0;
}

int dgram_set_mark(struct dgram *d, struct wire_mark mark)
{
    must(d->is_used);
    d->mark = mark;
    return d->ns->mode == NETSTACK_DIRECT ? host_dgram_set_mark(d) : 0;
}

struct wire_mark dgram_mark(const struct dgram *d)
{
    return d->received;
}

struct dgram_cause dgram_cause(const struct dgram *d)
{
    return d->cause;
}

void echo_answer(uint8_t *message, size_t len, const struct ip *src, const struct ip *dst)
{
    packet_echo_answer(message, len, src, dst);
}

void dgram_close(struct dgram *d)
{
    if (d == NULL)
        return;
    must(d->is_used);
    if (d->ns->mode == NETSTACK_DIRECT)
        host_dgram_close(d);
    else
        tunnel_dgram_close(d);
    give_slot(d);
}

void dgram_close_all(struct dgram_table *t)
{
    for (uint32_t i = 0; i < t->touched; i++) {
        if (t->slots[i].is_used)
            dgram_close(&t->slots[i]);
    }
}
