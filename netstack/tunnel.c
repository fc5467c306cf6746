/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tunnel's middle: outer datagrams ↔ WireGuard ↔ inner packets, and which part of the stack an
 * inner packet is for. WireGuard must not be called from within its own callbacks, so a delivered
 * packet is only put into the inbox, and looked at when wg_input() has returned.
 *
 * What may come in: TCP; UDP; ICMP errors about what we sent; echo requests to our own address, and
 * at a gateway to any; echo replies to requests of ours. All else is dropped: in particular
 * neighbour discovery and router advertisements, which mean nothing on a tunnel and would let a
 * peer change our configuration.
 */
#include "netstack/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/udp_link.h"

#define MTU_MIN 1280u /* RFC 8200 section 5 */
#define MTU_MAX 65000u

static bool is_ours(const struct netstack *ns, const struct ip *ip)
{
    return ip_equal(ip, &ns->v4) || ip_equal(ip, &ns->v6);
}

/** Broadcast, multicast and "this host" are nobody's unicast address. */
static bool is_unicast(const struct ip *ip)
{
    if (ip_is_any(ip))
        return false;
    return ip->family == IP_V4 ? ip->bytes[0] < 224 && ip->bytes[0] != 0 : ip->bytes[0] != 0xff;
}

int tunnel_source(const struct netstack *ns, const struct ip *dst, struct ip *ret)
{
    const struct ip *own = dst->family == IP_V4 ? &ns->v4 : &ns->v6;
    struct wg_peer_id peer;

    if (own->family == IP_NONE || wg_peer_find(ns->wg, dst, &peer) < 0)
        return -ENETUNREACH;
    *ret = *own;
    return 0;
}

void tunnel_send(struct netstack *ns, struct bytes packet)
{
    (void)wg_output(ns->wg, packet, loop_now(ns->loop)); /* wg counts what it drops */
}

static int who_sent(const struct netstack *ns, struct netstack_inbound *ret)
{
    struct wg_peer_stats stats;
    int err = wg_peer_stats(ns->wg, ns->inbox_peer, &stats);

    if (err < 0)
        return err;
    memcpy(ret->peer_key, stats.public_key, WG_KEY_LEN);
    return 0;
}

static void take_udp(struct netstack *ns, const struct packet *p)
{
    struct netstack_inbound who = {0};
    struct bytes payload;
    struct dgram *d;
    uint8_t answer[PACKET_ERROR_MAX];
    int len;

    if (packet_udp(p, &who.src, &who.dst, &payload) < 0)
        return;
    d = is_ours(ns, &p->dst) ? tunnel_dgram_find(ns, &who.dst, /*is_echo=*/false) : NULL;
    if (d != NULL) {
        d->received = (struct wire_mark){.hops = p->hops, .class = p->class};
        d->events->received(d->self, d, &who.src, payload);
        return;
    }
    if (ns->is_server && ns->server.udp_input != NULL) {
        if (who_sent(ns, &who) == 0)
            ns->server.udp_input(ns->server.self, &who, payload);
        return;
    }
    len = packet_write_error(p, -ECONNREFUSED, answer, sizeof(answer));
    if (len > 0)
        tunnel_send(ns, bytes_of(answer, (size_t)len));
}

static void take_error(struct netstack *ns, const struct packet *p)
{
    struct packet_error e;
    struct dgram *d;

    if (!is_ours(ns, &p->dst) || packet_error(p, &e) < 0 || !is_ours(ns, &e.src.ip))
        return;
    if (e.proto == PACKET_TCP) {
        lwip_tcp_error(ns, &e);
        return;
    }
    if (e.proto == PACKET_ICMP || e.proto == PACKET_ICMPV6) {
        tunnel_echo_failed(ns, &e, &p->src);
        return;
    }
    d = tunnel_dgram_find(ns, &e.src, /*is_echo=*/false);
    if (d != NULL && d->events->failed != NULL)
        d->events->failed(d->self, d, &e.dst, e.err, (struct bytes){0});
}

/** An echo request that is not to us, an echo reply, or an error. */
static void take_icmp(struct netstack *ns, const struct packet *p)
{
    struct netstack_inbound who = {0};
    struct bytes message;

    if (packet_is_echo_request(p)) {
        if (ns->is_server && ns->server.echo_input != NULL &&
            packet_echo(p, /*is_reply=*/false, &who.src, &who.dst, &message) == 0 &&
            who_sent(ns, &who) == 0) {
            who.hops = p->hops;
            ns->server.echo_input(ns->server.self, &who, message);
        }
        return;
    }
    if (is_ours(ns, &p->dst))
        tunnel_echo_received(ns, p);
    take_error(ns, p);
}

bool tunnel_take(struct netstack *ns, const struct packet *p)
{
    bool is_icmp = p->proto == PACKET_ICMP || p->proto == PACKET_ICMPV6;

    if (p->proto == PACKET_UDP)
        take_udp(ns, p);
    if (is_icmp && packet_is_echo_request(p) && is_ours(ns, &p->dst))
        return false;
    if (is_icmp)
        take_icmp(ns, p);
    return true;
}

/** Decide what the packet in the inbox is for. Takes @pbuf. */
static void dispatch(struct netstack *ns, struct pbuf *pbuf)
{
    struct packet p;

    if (packet_parse(lwip_packet_bytes(pbuf), &p) < 0 || !is_unicast(&p.dst) ||
        !is_unicast(&p.src) || !(ns->is_server || is_ours(ns, &p.dst))) {
        lwip_packet_free(pbuf);
        return;
    }
    if (p.is_fragment) {
        lwip_fragment(ns, pbuf, &p.dst);
        return;
    }
    switch (p.proto) {
    case PACKET_TCP:
        if (ns->is_server && lwip_tcp_syn(ns, &p))
            break;
        lwip_input(ns, pbuf, &p.dst);
        return;
    case PACKET_UDP:
        take_udp(ns, &p);
        break;
    case PACKET_ICMP:
    case PACKET_ICMPV6:
        if (packet_is_echo_request(&p) && is_ours(ns, &p.dst)) {
            lwip_input(ns, pbuf, &p.dst);
            return;
        }
        take_icmp(ns, &p);
        break;
    default:
        break; /* no other transport is spoken here */
    }
    lwip_packet_free(pbuf);
}

static void link_received(void *self, const struct endpoint *from, uint8_t *datagram, size_t len)
{
    struct netstack *ns = self;
    struct pbuf *packet;

    (void)wg_input(ns->wg, from, datagram, len, loop_now(ns->loop)); /* wg counts what it drops */
    packet = ns->inbox;
    ns->inbox = NULL;
    if (packet != NULL)
        dispatch(ns, packet);
}

void tunnel_deliver(struct netstack *ns, struct wg_peer_id peer, struct bytes packet)
{
    struct pbuf *copy = lwip_packet_new(packet);

    ns->inbox_peer = peer;
    if (copy != NULL)
        dispatch(ns, copy);
}

static void wg_send(void *self, const struct endpoint *to, struct bytes datagram)
{
    struct netstack *ns = self;

    udp_link_send(ns->link, to, datagram);
}

static void wg_deliver(void *self, struct wg_peer_id peer, struct bytes packet)
{
    struct netstack *ns = self;

    must(ns->inbox == NULL);
    ns->inbox = lwip_packet_new(packet);
    ns->inbox_peer = peer;
}

static void wg_event(void *self, struct wg_peer_id peer, enum wg_event event)
{
    struct netstack *ns = self;

    if (ns->notes.peer_event != NULL && ns->pending_count < NOTES_MAX)
        ns->pending[ns->pending_count++] = (struct note){.peer = peer, .event = event};
}

static void tell_notes(struct netstack *ns)
{
    for (unsigned i = 0; i < ns->pending_count; i++) {
        struct wg_peer_stats stats;

        if (wg_peer_stats(ns->wg, ns->pending[i].peer, &stats) == 0)
            ns->notes.peer_event(ns->notes_self, stats.public_key, ns->pending[i].event);
    }
    ns->pending_count = 0;
}

static void wg_expired(void *self, struct mono now)
{
    struct netstack *ns = self;

    wg_tick(ns->wg, now);
}

static int64_t wall(void *self)
{
    (void)self;
    return wall_now_ns();
}

/** The first address of each family is ours. */
static void read_addresses(struct netstack *ns, const struct wg_conf *conf)
{
    for (unsigned i = 0; i < conf->address_count; i++) {
        const struct ip *ip = &conf->addresses[i].ip;
        struct ip *own = ip->family == IP_V4 ? &ns->v4 : &ns->v6;

        if (own->family == IP_NONE)
            *own = *ip;
    }
}

int tunnel_start(struct netstack *ns, const struct wg_conf *conf, struct why *why)
{
    struct wg_sink sink = {.self = ns, .send = wg_send, .deliver = wg_deliver, .event = wg_event};
    struct wg_env env = {.rng = rng_system(), .wall_ns = wall, .self = ns};
    int err;

    read_addresses(ns, conf);
    ns->mtu = conf->mtu == 0 ? WG_MTU_DEFAULT : conf->mtu;
    if (ns->v4.family == IP_NONE && ns->v6.family == IP_NONE)
        return why_set(why, -EINVAL, "the tunnel has no Address");
    if (ns->mtu < MTU_MIN || ns->mtu > MTU_MAX)
        return why_set(why, -EINVAL, "MTU %u: expected %u to %u", ns->mtu, MTU_MIN, MTU_MAX);
    ns->fragment_id = rng_u32(env.rng);
    ns->wg_timer = (struct loop_timer){.expired = wg_expired, .self = ns};
    err = udp_link_new(ns->loop, conf->listen_port, link_received, ns, &ns->link, why);
    if (err < 0)
        return err;
    err = wg_new(conf, &sink, &env, &ns->wg, why);
    if (err < 0)
        return err;
    err = lwip_port_start(ns);
    return err < 0 ? why_set(why, err, "cannot start lwIP: %s", strerror(-err)) : 0;
}

void tunnel_stop(struct netstack *ns)
{
    if (ns->wg == NULL && ns->link == NULL)
        return;
    lwip_port_stop(ns);
    loop_timer_clear(ns->loop, &ns->wg_timer);
    if (ns->link != NULL)
        udp_link_flush(ns->link); /* resets and ends of stream of what was just ended */
    wg_free(ns->wg);
    udp_link_free(ns->link);
    ns->wg = NULL;
    ns->link = NULL;
}

void tunnel_end_of_turn(struct netstack *ns)
{
    udp_link_flush(ns->link);
    if (ns->pending_count > 0)
        tell_notes(ns);
    if (loop_timer_set(ns->loop, &ns->wg_timer, wg_deadline(ns->wg)) < 0)
        wg_tick(ns->wg, loop_now(ns->loop)); /* no memory for a timer: look every turn */
}

static void emit(void *self, struct bytes packet)
{
    tunnel_send(self, packet);
}

int netstack_udp_reply(struct netstack *ns, const struct endpoint *src, const struct endpoint *dst,
                       struct bytes payload)
{
    const struct packet_shape shape = {
        .mtu = ns->mtu, .id = ns->fragment_id++, .hops = PACKET_HOPS};

    must(ns->mode == NETSTACK_TUNNEL);
    return packet_send_udp(src, dst, payload, &shape, emit, ns);
}

int netstack_udp_unreachable(struct netstack *ns, const struct endpoint *src,
                             const struct endpoint *dst, int err)
{
    uint8_t original[64], answer[PACKET_ERROR_MAX];
    struct packet about;
    size_t len = src->ip.family == IP_V4 ? 28 : 48;
    int count;

    must(ns->mode == NETSTACK_TUNNEL);
    if (src->ip.family != dst->ip.family)
        return -EAFNOSUPPORT;
    /* The datagram is gone; its headers are all that an error must quote (RFC 792). */
    packet_write_udp_headers(dst, src, original);
    about = (struct packet){.src = dst->ip, .dst = src->ip, .raw = bytes_of(original, len)};
    count = packet_write_error(&about, err, answer, sizeof(answer));
    if (count > 0)
        tunnel_send(ns, bytes_of(answer, (size_t)count));
    return count < 0 ? count : 0;
}

int netstack_echo_reply(struct netstack *ns, const struct ip *src, const struct endpoint *dst,
                        struct bytes message, uint8_t hops)
{
    const struct packet_shape shape = {.mtu = ns->mtu, .id = ns->fragment_id++, .hops = hops};
    uint8_t *copy = ns->dgrams->buffer;

    must(ns->mode == NETSTACK_TUNNEL && message.len >= PACKET_ECHO_HEADER);
    if (message.len > DGRAM_BUFFER)
        return -EMSGSIZE;
    memcpy(copy, message.data, message.len);
    packet_echo_set_id(copy, dst->port);
    return packet_send_echo(src, &dst->ip, bytes_of(copy, message.len), &shape, emit, ns);
}

/** The packet that brought @message from @dst to @src, as far as an error quotes it. */
static struct packet echo_start(const struct ip *src, const struct endpoint *dst,
                                struct bytes message, uint8_t ret[static PACKET_ERROR_MAX])
{
    uint8_t proto = src->family == IP_V4 ? PACKET_ICMP : PACKET_ICMPV6;
    size_t len = packet_write_start(&dst->ip, src, proto, message, ret, PACKET_ERROR_MAX);

    return (struct packet){.src = dst->ip, .dst = *src, .raw = bytes_of(ret, len)};
}

static int send_answer(struct netstack *ns, const uint8_t *answer, int len)
{
    if (len > 0)
        tunnel_send(ns, bytes_of(answer, (size_t)len));
    return len < 0 ? len : 0;
}

int netstack_echo_unreachable(struct netstack *ns, const struct ip *src, const struct endpoint *dst,
                              struct bytes message, int err)
{
    uint8_t original[PACKET_ERROR_MAX], answer[PACKET_ERROR_MAX];
    struct packet about;

    must(ns->mode == NETSTACK_TUNNEL);
    if (src->family != dst->ip.family)
        return -EAFNOSUPPORT;
    about = echo_start(src, dst, message, original);
    return send_answer(ns, answer, packet_write_error(&about, err, answer, sizeof(answer)));
}

int netstack_echo_error(struct netstack *ns, const struct ip *src, const struct endpoint *dst,
                        struct bytes message, const struct dgram_cause *cause)
{
    uint8_t original[PACKET_ERROR_MAX], answer[PACKET_ERROR_MAX];
    struct packet about;

    must(ns->mode == NETSTACK_TUNNEL);
    if (src->family != dst->ip.family || cause->offender.family != src->family)
        return -EAFNOSUPPORT;
    about = echo_start(src, dst, message, original);
    return send_answer(ns, answer,
                       packet_write_icmp(&about, &cause->offender, cause->type, cause->code, answer,
                                         sizeof(answer)));
}
