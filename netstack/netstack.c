/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack as a whole: it is made for one mode, wires its parts to the loop, and does what is due
 * at the end of each turn: run the flows that have something to do, then let the datagrams out.
 */
#include "netstack/netstack.h"

#include <errno.h>
#include <stdlib.h>

#include "netstack/tunnel.h"
#include "netstack/udp_link.h"

/** The timer exists so that the loop does not sleep; the work is done before the next wait. */
static void again_expired(void *self, struct mono now)
{
    (void)self;
    (void)now;
}

static void end_of_turn(void *self)
{
    struct netstack *ns = self;
    bool more = flow_run_all(ns);

    if (ns->wg != NULL)
        tunnel_end_of_turn(ns);
    /* The heap has room for it: the timer was armed once in netstack_new(). */
    if (more)
        must(loop_timer_set(ns->loop, &ns->again, loop_now(ns->loop)) == 0);
}

int netstack_new(const struct netstack_config *config, struct netstack **ret, struct why *why)
{
    struct netstack *ns = calloc(1, sizeof(*ns));
    int err = -ENOMEM;

    if (ns == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    ns->loop = config->loop;
    ns->mode = config->mode;
    if (config->notes != NULL)
        ns->notes = *config->notes;
    ns->notes_self = config->notes_self;
    if (config->server != NULL)
        ns->server = *config->server;
    ns->is_server = config->server != NULL;
    ns->flows = calloc(FLOW_MAX, sizeof(ns->flows[0]));
    ns->scratch = malloc(RELAY_CHUNK + RELAY_KEPT_CAP);
    ns->again = (struct loop_timer){.expired = again_expired, .self = ns};
    if (ns->flows == NULL || ns->scratch == NULL)
        goto out;
    ns->kept = ns->scratch + RELAY_CHUNK;
    err = dgram_table_new(&ns->dgrams);
    if (err < 0)
        goto out;
    err = loop_timer_set(ns->loop, &ns->again, loop_now(ns->loop));
    if (err < 0)
        goto out;
    if (ns->mode == NETSTACK_TUNNEL) {
        err = tunnel_start(ns, config->wg, why);
        if (err < 0)
            goto out_said;
    }
    loop_set_turn(ns->loop, end_of_turn, ns);
    *ret = ns;
    return 0;
out:
    (void)why_set(why, err, "cannot set up the network stack: out of memory");
out_said:
    netstack_free(ns);
    return err;
}

void netstack_free(struct netstack *ns)
{
    if (ns == NULL)
        return;
    loop_set_turn(ns->loop, NULL, NULL);
    for (uint32_t i = 0; i < ns->flow_touched; i++) {
        if (ns->flows[i].state == FLOW_HELD)
            flow_refuse(&ns->flows[i], -ECONNREFUSED);
        else if (ns->flows[i].state != FLOW_FREE)
            flow_abort(&ns->flows[i]);
    }
    if (ns->dgrams != NULL)
        dgram_close_all(ns->dgrams);
    tunnel_stop(ns);
    dgram_table_free(ns->dgrams);
    loop_timer_clear(ns->loop, &ns->again);
    free(ns->flows);
    free(ns->scratch);
    free(ns);
}

uint64_t netstack_unsent(const struct netstack *ns)
{
    uint64_t left = ns->mode == NETSTACK_TUNNEL ? lwip_tcp_unsent() : 0;

    for (uint32_t i = 0; i < ns->flow_touched; i++) {
        const struct flow *f = &ns->flows[i];
        size_t near;

        if (f->state != FLOW_RELAYING || f->far_failed || f->carrier->unsent == NULL)
            continue;
        near = relay_unsent(f);
        left += near > 0 ? near + f->carrier->unsent(f) : 0;
    }
    return left;
}

int netstack_local_ip(const struct netstack *ns, enum ip_family family, struct ip *ret)
{
    const struct ip *own = family == IP_V4 ? &ns->v4 : &ns->v6;

    if (ns->mode == NETSTACK_DIRECT) {
        *ret = ip_any(family);
        return 0;
    }
    if (ns->mode == NETSTACK_OFFLINE || own->family == IP_NONE)
        return -EADDRNOTAVAIL;
    *ret = *own;
    return 0;
}

uint16_t netstack_udp_port(const struct netstack *ns)
{
    return ns->link != NULL ? udp_link_port(ns->link) : 0;
}

struct wg *netstack_wg(struct netstack *ns)
{
    return ns->wg;
}

void netstack_usage(const struct netstack *ns, struct netstack_usage *ret)
{
    struct udp_link_stats link =
        ns->link != NULL ? udp_link_stats(ns->link) : (struct udp_link_stats){0};

    *ret = (struct netstack_usage){.flows = ns->flow_count,
                                   .dgrams = ns->dgrams->count,
                                   .datagrams_sent = link.sent,
                                   .datagrams_received = link.received,
                                   .send_failed = link.send_failed,
                                   .trains = link.trains};
    lwip_port_usage(ret);
}
