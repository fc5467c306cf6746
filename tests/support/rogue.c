/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/rogue.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/support/suite.h"

#define OWN_ISN    (ROGUE_OWN_SEQ - 1)
#define IP_HEADER  20u
#define TCP_HEADER 20u
#define UDP_HEADER 8u
#define TURN_EVERY 32u /* packets, so that no buffer of the kernel's overflows for long */

static uint32_t sum_of(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)(p[i] << 8) + (i + 1 < len ? p[i + 1] : 0u);
    return sum;
}

/** RFC 1071. */
static uint16_t fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

static void store_be32_at(uint8_t *p, uint32_t v)
{
    store_be16(p, (uint16_t)(v >> 16));
    store_be16(p + 2, (uint16_t)v);
}

/** RFC 791 3.1; @fragment: the flags and offset field. */
static void put_ip(uint8_t *p, size_t len, uint16_t id, uint16_t fragment, uint8_t protocol,
                   const struct ip *from, const struct ip *to)
{
    memset(p, 0, IP_HEADER);
    p[0] = 0x45;
    store_be16(p + 2, (uint16_t)len);
    store_be16(p + 4, id);
    store_be16(p + 6, fragment);
    p[8] = 64;
    p[9] = protocol;
    memcpy(p + 12, from->bytes, 4);
    memcpy(p + 16, to->bytes, 4);
    store_be16(p + 10, fold(sum_of(0, p, IP_HEADER)));
}

static void send_packet(struct rogue *r, const uint8_t *packet, size_t len)
{
    (void)wg_output(r->wg, bytes_of(packet, len), mono_now());
    if (++r->sent >= TURN_EVERY)
        rogue_turn(r, 2);
}

void rogue_send(struct rogue *r, const struct rogue_segment *s)
{
    uint8_t packet[IP_HEADER + TCP_HEADER + 4 + ROGUE_PAYLOAD_MAX] = {0}, *tcp = packet + IP_HEADER;
    size_t header = TCP_HEADER + (s->mss != 0 ? 4 : 0), len = header + s->len;
    uint32_t sum;

    ck_assert_uint_le(s->len, ROGUE_PAYLOAD_MAX);
    put_ip(packet, IP_HEADER + len, 0, 0x4000, IPPROTO_TCP, &r->own, &s->to.ip);
    store_be16(tcp, s->from);
    store_be16(tcp + 2, s->to.port);
    store_be32_at(tcp + 4, s->seq);
    store_be32_at(tcp + 8, s->ack);
    store_be16(tcp + 12, (uint16_t)(header / 4 << 12 | s->flags));
    store_be16(tcp + 14, s->window);
    if (s->mss != 0) {
        tcp[20] = 2; /* RFC 9293 3.2: maximum segment size, 4 bytes */
        tcp[21] = 4;
        store_be16(tcp + 22, s->mss);
    }
    sum = sum_of(IPPROTO_TCP + (uint32_t)len, packet + 12, 8);
    store_be16(tcp + 16, fold(sum_of(sum, tcp, len)));
    send_packet(r, packet, IP_HEADER + len);
}

void rogue_fragment(struct rogue *r, const struct endpoint *to, uint16_t id, unsigned at,
                    unsigned len, bool has_more)
{
    uint8_t packet[IP_HEADER + ROGUE_PAYLOAD_MAX] = {0};

    ck_assert(at % 8 == 0 && len <= ROGUE_PAYLOAD_MAX);
    put_ip(packet, IP_HEADER + len, id, (uint16_t)(at / 8 | (has_more ? 0x2000u : 0)), IPPROTO_UDP,
           &r->own, &to->ip);
    if (at == 0) { /* a header that promises the largest datagram; no checksum (RFC 768) */
        store_be16(packet + IP_HEADER, 4000);
        store_be16(packet + IP_HEADER + 2, to->port);
        store_be16(packet + IP_HEADER + 4, 65507);
    }
    send_packet(r, packet, IP_HEADER + len);
}

void rogue_datagram(struct rogue *r, const struct endpoint *to, uint16_t from, unsigned len,
                    uint8_t class, uint8_t hops)
{
    uint8_t packet[IP_HEADER + UDP_HEADER + ROGUE_PAYLOAD_MAX] = {0}, *udp = packet + IP_HEADER;

    ck_assert_uint_le(len, ROGUE_PAYLOAD_MAX);
    put_ip(packet, IP_HEADER + UDP_HEADER + len, 0, 0, IPPROTO_UDP, &r->own, &to->ip);
    packet[1] = class;
    packet[8] = hops;
    store_be16(packet + 10, 0);
    store_be16(packet + 10, fold(sum_of(0, packet, IP_HEADER)));
    store_be16(udp, from);
    store_be16(udp + 2, to->port);
    store_be16(udp + 4, (uint16_t)(UDP_HEADER + len)); /* no checksum (RFC 768) */
    send_packet(r, packet, IP_HEADER + UDP_HEADER + len);
}

static void on_send(void *self, const struct endpoint *to, struct bytes datagram)
{
    struct rogue *r = self;
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(to, &sa);

    (void)!sendto(r->udp.fd, datagram.data, datagram.len, 0, (struct sockaddr *)&sa, len);
}

static void on_packet(void *self, struct wg_peer_id peer, struct bytes packet)
{
    struct rogue *r = self;
    const uint8_t *tcp = packet.data + IP_HEADER;
    struct rogue_port *port;
    unsigned flags, payload;
    uint32_t seq;

    (void)peer;
    r->replies++;
    memcpy(r->last, packet.data, packet.len < sizeof(r->last) ? packet.len : sizeof(r->last));
    if (packet.len < IP_HEADER + TCP_HEADER || packet.data[0] != 0x45 ||
        packet.data[9] != IPPROTO_TCP)
        return;
    port = &r->ports[load_be16(tcp + 2)];
    flags = load_be16(tcp + 12) & 0x3fu;
    payload = (unsigned)(packet.len - IP_HEADER - (size_t)(tcp[12] >> 4) * 4);
    seq = (uint32_t)load_be16(tcp + 4) << 16 | load_be16(tcp + 6);
    port->segments++;
    port->bytes += payload;
    port->largest = payload > port->largest ? payload : port->largest;
    port->their_ack = (uint32_t)load_be16(tcp + 8) << 16 | load_be16(tcp + 10);
    if ((flags & ROGUE_RST) != 0)
        port->resets++;
    if ((flags & (ROGUE_SYN | ROGUE_ACK)) == (ROGUE_SYN | ROGUE_ACK)) {
        port->is_answered = true;
        port->their_seq = seq;
    } else if ((flags & ROGUE_SYN) != 0) {
        port->is_asked = true;
        port->their_seq = seq;
        port->their_port = load_be16(tcp);
    }
}

static void udp_ready(void *self, uint32_t events)
{
    static uint8_t datagram[65536];
    struct rogue *r = self;
    ssize_t got;

    (void)events;
    while ((got = recv(r->udp.fd, datagram, sizeof(datagram), MSG_DONTWAIT)) >= 0)
        (void)wg_input(r->wg, &r->victim, datagram, (size_t)got, mono_now());
}

static int64_t wall(void *self)
{
    (void)self;
    return wall_now_ns();
}

void rogue_key(struct rogue *r)
{
    *r = (struct rogue){.udp = {.fd = -1}};
    wg_key_generate(rng_system(), r->private_key);
    ck_assert_int_eq(wg_key_public(r->private_key, r->public_key), 0);
}

static void join(struct rogue *r, struct tunnel *t, const char *own,
                 const uint8_t their_public[static WG_KEY_LEN], uint16_t their_port)
{
    struct prefix everything[1];
    struct wg_peer_conf peer = {
        .has_endpoint = true, .allowed_ips = everything, .allowed_ip_count = 1};
    struct wg_conf conf = {.address_count = 1, .peers = &peer, .peer_count = 1};
    struct wg_sink sink = {.self = r, .send = on_send, .deliver = on_packet};
    struct wg_env env = {.rng = rng_system(), .wall_ns = wall};
    struct why why;

    r->tunnel = t;
    r->ports = calloc(65536, sizeof(*r->ports));
    ck_assert_ptr_nonnull(r->ports);
    r->victim = (struct endpoint){.ip = ip_v4(127, 0, 0, 1), .port = their_port};
    r->udp = (struct loop_watch){
        .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), .ready = udp_ready, .self = r};
    ck_assert_int_ge(r->udp.fd, 0);
    ck_assert_int_eq(loop_watch(t->loop, &r->udp, EPOLLIN), 0);
    ck_assert_int_eq(prefix_parse(bytes_of_str("0.0.0.0/0"), true, &everything[0]), 0);
    ck_assert_int_eq(prefix_parse(bytes_of_str(own), true, &conf.addresses[0]), 0);
    r->own = conf.addresses[0].ip;
    memcpy(conf.private_key, r->private_key, WG_KEY_LEN);
    memcpy(peer.public_key, their_public, WG_KEY_LEN);
    peer.endpoint = r->victim;
    ck_assert_int_eq(wg_new(&conf, &sink, &env, &r->wg, &why), 0);
}

void rogue_join(struct rogue *r, struct tunnel *t)
{
    join(r, t, "10.9.0.3/32", t->gateway_public, t->gateway_port);
}

void rogue_join_client(struct rogue *r, struct tunnel *t)
{
    join(r, t, "10.8.0.9/32", t->client_public, netstack_udp_port(t->ns));
}

void rogue_leave(struct rogue *r)
{
    loop_unwatch(r->tunnel->loop, &r->udp);
    (void)close(r->udp.fd);
    wg_free(r->wg);
    free(r->ports);
}

void rogue_turn(struct rogue *r, unsigned count)
{
    r->sent = 0;
    for (unsigned i = 0; i < count; i++) {
        wg_tick(r->wg, mono_now());
        ck_assert_int_eq(loop_turn(r->tunnel->loop, mono_add_ms(mono_now(), 1)), 0);
    }
}

bool rogue_connect(struct rogue *r, uint16_t from, const struct endpoint *to, uint16_t window,
                   uint16_t mss, int64_t limit_ms)
{
    struct rogue_port *port = &r->ports[from];
    struct mono limit = mono_add_ms(mono_now(), limit_ms);
    struct rogue_segment s = {
        .from = from, .to = *to, .seq = OWN_ISN, .flags = ROGUE_SYN, .window = window, .mss = mss};

    *port = (struct rogue_port){0};
    rogue_send(r, &s);
    while (!port->is_answered && mono_before(mono_now(), limit))
        rogue_turn(r, 1);
    if (!port->is_answered)
        return false;
    s.seq++;
    s.ack = port->their_seq + 1;
    s.flags = ROGUE_ACK;
    s.mss = 0;
    rogue_send(r, &s);
    return true;
}

void rogue_accept(struct rogue *r, uint16_t port, uint16_t window, uint16_t mss,
                  struct endpoint *ret)
{
    struct rogue_port *p = &r->ports[port];
    struct mono limit = mono_add_ms(mono_now(), 10000);

    while (!p->is_asked && mono_before(mono_now(), limit))
        rogue_turn(r, 1);
    ck_assert(p->is_asked);
    *ret = (struct endpoint){.ip = ip_v4(10, 9, 0, 2), .port = p->their_port};
    rogue_send(r, &(struct rogue_segment){.from = port,
                                          .to = *ret,
                                          .seq = OWN_ISN,
                                          .ack = p->their_seq + 1,
                                          .flags = ROGUE_SYN | ROGUE_ACK,
                                          .window = window,
                                          .mss = mss});
}
