/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lwIP's one network interface: the tunnel. Packets go in and out as whole IP packets; the timers
 * are the loop's. lwIP keeps its state in globals, so the interface is one as well.
 *
 * A gateway accepts any destination: for the moment in which lwIP looks at a packet, the interface
 * has the packet's destination as its address (docs/decisions/0002-any-destination.md).
 */
#include "netstack/tunnel.h"

#include <errno.h>
#include <string.h>

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/ip4_frag.h>
#include <lwip/ip6_frag.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/raw.h>

#include "netstack/lwip/port.h"

#define REASSEMBLY_S 30u /* half of what lwIP keeps fragments for at most (IPv6: 60 s) */
#define CATCH_UP_MAX 40u /* ticks in one go: one second */

static bool was_initialised;   /* lwip_init() may run once in a process */
static struct netif tunnel_if; /* written by lwip_port_start(), and for each input */
static struct netstack *stack; /* whose interface it is; NULL: nobody's */
/* Receive reassembled packets: UDP, ICMP and ICMPv6. */
static const uint8_t raw_protocols[] = {PACKET_UDP, PACKET_ICMP, PACKET_ICMPV6};
static struct raw_pcb *raw_pcbs[ARRAY_COUNT(raw_protocols)];
static uint8_t flat[PACKET_MAX]; /* one packet in one piece, for the call only */

struct pbuf *lwip_packet_new(struct bytes packet)
{
    struct pbuf *p;

    if (packet.len > PACKET_MAX)
        return NULL;
    p = pbuf_alloc(PBUF_RAW, (u16_t)packet.len, PBUF_RAM);
    if (p != NULL)
        memcpy(p->payload, packet.data, packet.len);
    return p;
}

struct bytes lwip_packet_bytes(const struct pbuf *p)
{
    return bytes_of(p->payload, p->len);
}

void lwip_packet_free(struct pbuf *p)
{
    (void)pbuf_free(p);
}

/**
 * lwIP numbers its packets by one counter, which would tell each peer how many others get, and lets
 * strangers scan by it. A packet that is no fragment may have any number (RFC 6864 4.1).
 */
static void hide_count(uint8_t *packet, size_t len)
{
    uint16_t id = (uint16_t)lattice_lwip_random();
    uint32_t sum;

    if (len < IP_HLEN || packet[0] >> 4 != 4 || (load_be16(packet + 6) & 0x3fff) != 0)
        return;
    sum = (uint16_t)~load_be16(packet + 10) + (uint32_t)(uint16_t)~load_be16(packet + 4) + id;
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    store_be16(packet + 4, id);
    store_be16(packet + 10, (uint16_t)~sum); /* RFC 1624 3 */
}

static err_t send_out(struct pbuf *p)
{
    if (stack == NULL)
        return ERR_IF;
    if (p->next == NULL) {
        hide_count(p->payload, p->len);
        tunnel_send(stack, bytes_of(p->payload, p->len));
    } else {
        u16_t len = pbuf_copy_partial(p, flat, p->tot_len, 0);

        hide_count(flat, len);
        tunnel_send(stack, bytes_of(flat, len));
    }
    return ERR_OK;
}

static err_t output_v4(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
    (void)netif;
    (void)to;
    return send_out(p);
}

static err_t output_v6(struct netif *netif, struct pbuf *p, const ip6_addr_t *to)
{
    (void)netif;
    (void)to;
    return send_out(p);
}

static err_t init_interface(struct netif *netif)
{
    const struct netstack *ns = netif->state;

    netif->name[0] = 'w';
    netif->name[1] = 'g';
    netif->mtu = ns->mtu;
    netif->output = output_v4;
    netif->output_ip6 = output_v6;
    return ERR_OK;
}

static void set_v4(const struct ip *ip)
{
    ip4_addr_t address;

    memcpy(&address.addr, ip->bytes, sizeof(address.addr));
    ip_addr_copy_from_ip4(tunnel_if.ip_addr, address);
}

static void set_v6(const struct ip *ip)
{
    ip6_addr_t address;

    memcpy(address.addr, ip->bytes, sizeof(address.addr));
    ip_addr_copy_from_ip6(tunnel_if.ip6_addr[0], address);
    tunnel_if.ip6_addr_state[0] = IP6_ADDR_PREFERRED;
}

/** Give the interface our own addresses. Without one of our own a family still needs some address
 * for lwIP to route by: 192.0.0.8 is the dummy of RFC 7600, and 100:: is discard-only (RFC 6666).
 */
static void set_own(const struct netstack *ns)
{
    struct ip v4 = ip_v4(192, 0, 0, 8);
    struct ip v6 = ip_any(IP_V6);

    v6.bytes[0] = 1;
    set_v4(ns->v4.family != IP_NONE ? &ns->v4 : &v4);
    set_v6(ns->v6.family != IP_NONE ? &ns->v6 : &v6);
}

void lwip_input(struct netstack *ns, struct pbuf *p, const struct ip *as)
{
    lattice_lwip_time(loop_now(ns->loop).ns);
    if (as->family == IP_V4)
        set_v4(as);
    else
        set_v6(as);
    if (tunnel_if.input(p, &tunnel_if) != ERR_OK)
        (void)pbuf_free(p);
    set_own(ns);
}

/** Fragments were put together: go on as with a packet that came whole. What comes whole passes
 * here, too: an echo request to our own address, which lwIP answers. */
static u8_t reassembled(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
    struct netstack *ns = arg;
    struct packet packet;
    u16_t len = pbuf_copy_partial(p, flat, p->tot_len, 0);

    (void)pcb;
    (void)from;
    if (len >= 40 && flat[0] >> 4 == 6)
        store_be16(flat + 4, (uint16_t)(len - 40)); /* lwIP 2.1.3 leaves it 8 bytes short */
    if (packet_parse(bytes_of(flat, len), &packet) == 0 && !packet.is_fragment &&
        !tunnel_take(ns, &packet))
        return 0;
    (void)pbuf_free(p);
    return 1; /* eaten */
}

static void arm_at(struct netstack *ns, struct loop_timer *timer, struct mono at)
{
    int err = loop_timer_set(ns->loop, timer, at);

    must(err == 0); /* the heap had this many timers before: lwip_port_start() */
}

static void arm(struct netstack *ns, struct loop_timer *timer, int64_t ms)
{
    arm_at(ns, timer, mono_add_ms(loop_now(ns->loop), ms));
}

static void tcp_tick(void *self, struct mono now)
{
    struct netstack *ns = self;

    lattice_lwip_time(now.ns);
    /* A busy machine wakes us late; lwIP counts ticks, so those that were missed are made up for,
     * but not the many of a machine that slept. */
    for (unsigned i = 0; i < CATCH_UP_MAX && !mono_before(now, ns->tcp_due); i++) {
        tcp_tmr();
        ns->tcp_due = mono_add_ms(ns->tcp_due, TCP_TMR_INTERVAL);
    }
    if (mono_before(ns->tcp_due, now))
        ns->tcp_due = now;
    if (tcp_active_pcbs != NULL || tcp_tw_pcbs != NULL)
        arm_at(ns, &ns->tcp_timer, ns->tcp_due);
}

static void tick_needed(void)
{
    if (stack == NULL || stack->tcp_timer.index_ != 0)
        return;
    stack->tcp_due = mono_add_ms(loop_now(stack->loop), TCP_TMR_INTERVAL);
    arm_at(stack, &stack->tcp_timer, stack->tcp_due);
}

static void reassembly_tick(void *self, struct mono now)
{
    struct netstack *ns = self;

    (void)now;
    ip_reass_tmr();
    ip6_reass_tmr();
    if (ns->reassembly_left > 0) {
        ns->reassembly_left--;
        arm(ns, &ns->reassembly_timer, 1000);
    }
}

void lwip_fragment(struct netstack *ns, struct pbuf *p, const struct ip *as)
{
    if (ns->reassembly_timer.index_ == 0)
        arm(ns, &ns->reassembly_timer, 1000);
    ns->reassembly_left = 2 * REASSEMBLY_S;
    lwip_input(ns, p, as);
}

void lwip_port_usage(struct netstack_usage *ret)
{
    ret->lwip_bytes = lattice_lwip_memory_bytes();
    ret->connections = 0;
    for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next)
        ret->connections++;
    for (const struct tcp_pcb *pcb = tcp_tw_pcbs; pcb != NULL; pcb = pcb->next)
        ret->connections++;
}

int lwip_port_start(struct netstack *ns)
{
    int err;

    must(stack == NULL); /* one netstack in a process */
    if (!was_initialised) {
        lattice_lwip_key();
        lwip_init();
        was_initialised = true;
    }
    stack = ns;
    ns->tcp_timer = (struct loop_timer){.expired = tcp_tick, .self = ns};
    ns->reassembly_timer = (struct loop_timer){.expired = reassembly_tick, .self = ns};
    err = loop_timer_set(ns->loop, &ns->tcp_timer, loop_now(ns->loop));
    if (err == 0)
        err = loop_timer_set(ns->loop, &ns->reassembly_timer, loop_now(ns->loop));
    if (err < 0)
        return err;
    lattice_lwip_time(loop_now(ns->loop).ns);
    if (netif_add(&tunnel_if, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4, ns, init_interface,
                  ip_input) == NULL)
        return -ENOMEM;
    set_own(ns);
    netif_set_default(&tunnel_if);
    netif_set_link_up(&tunnel_if);
    netif_set_up(&tunnel_if);
    for (unsigned i = 0; i < ARRAY_COUNT(raw_pcbs); i++) {
        raw_pcbs[i] = raw_new_ip_type(IPADDR_TYPE_ANY, raw_protocols[i]);
        if (raw_pcbs[i] == NULL)
            return -ENOMEM;
        raw_recv(raw_pcbs[i], reassembled, ns);
    }
    lattice_lwip_set_tick(tick_needed);
    return lwip_tcp_start(ns);
}

void lwip_port_stop(struct netstack *ns)
{
    if (stack != ns)
        return;
    lwip_tcp_stop(ns);
    lattice_lwip_set_tick(NULL);
    for (unsigned s = 0; s < 2 * REASSEMBLY_S + 2; s++) { /* forget every fragment */
        ip_reass_tmr();
        ip6_reass_tmr();
    }
    for (unsigned i = 0; i < ARRAY_COUNT(raw_pcbs); i++) {
        if (raw_pcbs[i] != NULL)
            raw_remove(raw_pcbs[i]);
        raw_pcbs[i] = NULL;
    }
    netif_remove(&tunnel_if);
    loop_timer_clear(ns->loop, &ns->tcp_timer);
    loop_timer_clear(ns->loop, &ns->reassembly_timer);
    stack = NULL;
}
