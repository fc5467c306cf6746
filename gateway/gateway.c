/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway: what peers open inside their tunnels is judged and carried by ordinary host
 * sockets. This file makes the parts, wires them to the netstack, and takes them down in order.
 *
 * It refuses to carry what could not be recorded: a record that cannot be written denies. Every
 * table is bounded, in all and per peer, so that one peer cannot use up what others need.
 */
#include "gateway/gateway.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "gateway/follow.h"
#include "gateway/inside.h"
#include "gateway/names.h"

static void sweep(void *self, struct mono now)
{
    struct gateway *g = self;

    exchanges_sweep(g, now);
    if (loop_timer_set(g->loop, &g->sweep, mono_add_ms(now, SWEEP_S * 1000)) < 0)
        log_warn("no memory for a timer: idle exchanges are kept");
}

static void peer_event(void *self, const uint8_t public_key[static WG_KEY_LEN], enum wg_event event)
{
    static const char *const texts[] = {
        [WG_EVENT_HANDSHAKE_DONE] = "handshake completed",
        [WG_EVENT_HANDSHAKE_RETRY] = "handshake: no answer yet",
        [WG_EVENT_HANDSHAKE_GAVE_UP] = "handshake: gave up",
        [WG_EVENT_ROAMED] = "peer has a new endpoint",
    };
    char key[WG_KEY_TEXT_CAP];

    (void)self;
    if (!log_enabled(LOG_LEVEL_INFO) || (unsigned)event >= ARRAY_COUNT(texts))
        return;
    wg_key_print(public_key, key);
    log_info(texts[event], F_STR("peer", key));
}

static bool may_ask(void *self, const struct netstack_inbound *who, const char *name)
{
    struct gateway *g = self;
    struct peer *p = peers_get(g, who->peer_key);

    return p != NULL && p->is_enrolled && gateway_judge_name(g, who, p, name) == 0;
}

static bool found(void *self, const struct netstack_inbound *who, const char *name,
                  const struct dns_address *address)
{
    struct gateway *g = self;
    struct peer *p = peers_get(g, who->peer_key);

    if (p == NULL || !p->is_enrolled || !gateway_judge_answer(g, p, &address->ip) ||
        (p->pins == NULL && pins_new(&p->pins) < 0))
        return false;
    pins_add(p->pins, name, &address->ip, address->ttl_s, loop_now(g->loop));
    return true;
}

static void reply(void *self, const struct netstack_inbound *who, struct bytes message)
{
    struct gateway *g = self;

    /* An answer that cannot be sent is one that was lost: the peer asks again. */
    (void)!netstack_udp_reply(g->ns, &who->dst, &who->src, message);
}

int gateway_follow(struct gateway *g, const struct gateway_following *following)
{
    struct follow_config config = {.loop = g->loop,
                                   .gateway = g,
                                   .enroll = following->peers,
                                   .lost = following->lost,
                                   .self = following->self};
    struct names_config names = {.loop = g->loop,
                                 .servers = following->dns,
                                 .server_count = following->dns_count,
                                 .may_ask = may_ask,
                                 .found = found,
                                 .reply = reply,
                                 .self = g};
    int err = names_new(&names, &g->names);

    g->desk = following->desk;
    return err < 0 ? err : follow_new(&config, &g->follow);
}

int gateway_new(const struct gateway_config *config, struct gateway **ret, struct why *why)
{
    struct gateway *g = calloc(1, sizeof(*g));
    struct rng rng = rng_system();
    struct netstack_server server = {.self = g,
                                     .tcp_open = conns_open,
                                     .tcp_cancel = conns_cancel,
                                     .udp_input = exchanges_input,
                                     .echo_input = exchanges_echo};
    struct netstack_notes notes = {.peer_event = peer_event};
    struct netstack_config stack = {.loop = config->loop,
                                    .mode = NETSTACK_TUNNEL,
                                    .wg = config->wg,
                                    .server = &server,
                                    .notes = &notes};
    int err = -ENOMEM;

    if (g == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    g->loop = config->loop;
    g->policy = config->policy;
    g->audit = config->audit;
    if (config->wg->address_count > 0)
        g->inside = config->wg->addresses[0];
    peers_init(g);
    rng.fill(rng.self, g->key, sizeof(g->key));
    g->conns = calloc(CONNS_MAX, sizeof(g->conns[0]));
    g->sweep = (struct loop_timer){.expired = sweep, .self = g};
    if (g->conns == NULL ||
        loop_timer_set(g->loop, &g->sweep, mono_add_ms(loop_now(g->loop), SWEEP_S * 1000)) < 0)
        (void)why_set(why, err, "out of memory");
    else
        err = netstack_new(&stack, &g->ns, why);
    if (err < 0) {
        gateway_free(g);
        return err;
    }
    *ret = g;
    return 0;
}

uint16_t gateway_port(const struct gateway *g)
{
    return netstack_udp_port(g->ns);
}

void gateway_usage(const struct gateway *g, struct gateway_usage *ret)
{
    *ret = (struct gateway_usage){.udp_exchanges = g->nat_count, .peers = g->peer_count};
    netstack_usage(g->ns, &ret->stack);
}

void gateway_free(struct gateway *g)
{
    if (g == NULL)
        return;
    follow_free(g->follow);
    names_free(g->names);
    g->names = NULL;
    loop_timer_clear(g->loop, &g->sweep);
    exchanges_done(g);
    conns_done(g);
    netstack_free(g->ns); /* ends the flows: the rest of the connections is freed by that */
    peers_done(g);
    free(g->conns);
    free(g);
}
