/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any inner packets from a tunnel's peer, into a gateway's stack: our parser, lwIP, the held SYNs
 * and the relay. The input is a row of packets, each with a length of two bytes; a length with its
 * highest bit set asks that the packet's checksums be made right, so that the fuzzer gets behind
 * them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netstack/tunnel.h"

#define PACKETS_MAX 64
#define ENDS_MAX    16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct world {
    struct netstack *ns;
    int ends[ENDS_MAX]; /* the host side of accepted flows */
    unsigned end_count;
};

static void on_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    (void)self;
    (void)f;
    (void)err;
    (void)stats;
}

static const struct flow_events flow_events = {.closed = on_closed};

/** Even ports are open, odd ones refuse, each in its own way. */
static void tcp_open(void *self, struct flow *f, const struct netstack_inbound *who)
{
    static const int refusals[] = {-ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EACCES};
    struct world *w = self;
    int pair[2];

    if (who->dst.port % 2 == 1 || w->end_count == ENDS_MAX ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        flow_refuse(f, refusals[who->dst.port / 2 % 4]);
        return;
    }
    w->ends[w->end_count++] = pair[0];
    (void)!write(pair[0], "hello", 5);
    (void)!flow_accept(f, pair[1], &flow_events, NULL);
}

static void udp_input(void *self, const struct netstack_inbound *who, struct bytes payload)
{
    struct world *w = self;

    (void)!netstack_udp_reply(w->ns, &who->dst, &who->src, payload);
}

static void echo_input(void *self, const struct netstack_inbound *who, struct bytes message)
{
    struct world *w = self;

    if (who->src.port % 2 == 1) {
        (void)!netstack_echo_unreachable(w->ns, &who->dst.ip, &who->src, message, -EACCES);
        return;
    }
    (void)!netstack_echo_reply(w->ns, &who->dst.ip, &who->src, message, 64);
}

static void on_echo(void *self, struct dgram *d, const struct endpoint *from, struct bytes message)
{
    (void)self;
    (void)from;
    must(message.len >= ECHO_HEADER);
    must(load_be16(message.data + 4) == 7);
    (void)dgram_mark(d);
}

static void on_echo_failed(void *self, struct dgram *d, const struct endpoint *to, int err,
                           struct bytes message)
{
    (void)self;
    (void)to;
    must(err < 0 && message.len >= ECHO_HEADER);
    must(load_be16(message.data + 4) == 7 && dgram_cause(d).offender.family != IP_NONE);
}

static const struct dgram_events echo_events = {.received = on_echo, .failed = on_echo_failed};

static uint16_t checksum(uint64_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += load_be16(p + i);
    if (len % 2 == 1)
        sum += (uint64_t)p[len - 1] << 8;
    while (sum >> 16 != 0)
        sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

/** Make the lengths and checksums of an IPv4 or plain IPv6 packet right. */
static void mend(uint8_t *p, size_t len)
{
    bool is_v6 = len >= 40 && p[0] >> 4 == 6;
    size_t header = is_v6 ? 40 : (size_t)(p[0] & 15) * 4, at;
    uint64_t sum = 0;
    uint8_t proto;

    if (header < 20 || header > len)
        return;
    proto = is_v6 ? p[6] : p[9];
    if (is_v6) {
        store_be16(p + 4, (uint16_t)(len - 40));
    } else {
        store_be16(p + 2, (uint16_t)len);
        store_be16(p + 10, 0);
        store_be16(p + 10, checksum(0, p, header));
    }
    at = proto == 6 ? 16 : proto == 17 ? 6 : 2;
    if (len - header < at + 2)
        return;
    if (proto == 17)
        store_be16(p + header + 4, (uint16_t)(len - header));
    for (size_t i = is_v6 ? 8 : 12; proto != 1 && i < (is_v6 ? 40u : 20u); i += 2)
        sum += load_be16(p + i);
    if (proto != 1)
        sum += proto + (uint64_t)(len - header);
    store_be16(p + header + at, 0);
    store_be16(p + header + at, checksum(sum, p + header, len - header));
}

static struct prefix prefix_of(const char *text)
{
    struct prefix p;

    must(prefix_parse(bytes_of_str(text), true, &p) == 0);
    return p;
}

static void play(struct world *w, struct loop *loop, struct wg_peer_id peer, const uint8_t *data,
                 size_t len)
{
    static uint8_t packet[2048];

    for (unsigned i = 0; i < PACKETS_MAX && len > 2; i++) {
        unsigned head = load_be16(data);
        size_t want = head & 0x7ff;
        size_t part = want < len - 2 ? want : len - 2;

        memcpy(packet, data + 2, part);
        if ((head & 0x8000) != 0 && part > 0)
            mend(packet, part);
        tunnel_deliver(w->ns, peer, bytes_of(packet, part));
        must(loop_turn(loop, mono_now()) == 0);
        data += 2 + part;
        len -= 2 + part;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t peer_private[WG_KEY_LEN] = {[8] = 1};
    struct wg_conf conf = {.address_count = 2, .peer_count = 1};
    struct world w = {0};
    struct netstack_server server = {
        .self = &w, .tcp_open = tcp_open, .udp_input = udp_input, .echo_input = echo_input};
    struct dgram *pings[2]; /* their identifiers on the wire are 7, too */
    struct netstack_config config = {.mode = NETSTACK_TUNNEL, .wg = &conf, .server = &server};
    struct ip inner = ip_v4(10, 9, 0, 2);
    struct wg_peer_id peer;
    struct why why;

    conf.private_key[8] = 2;
    conf.addresses[0] = prefix_of("10.9.0.1/24");
    conf.addresses[1] = prefix_of("fd09::1/64");
    conf.peers = calloc(1, sizeof(conf.peers[0]));
    must(conf.peers != NULL && wg_key_public(peer_private, conf.peers[0].public_key) == 0);
    conf.peers[0].allowed_ips = calloc(2, sizeof(conf.peers[0].allowed_ips[0]));
    must(conf.peers[0].allowed_ips != NULL);
    conf.peers[0].allowed_ip_count = 2;
    conf.peers[0].allowed_ips[0] = prefix_of("0.0.0.0/0");
    conf.peers[0].allowed_ips[1] = prefix_of("::/0");
    must(loop_new(&config.loop) == 0);
    if (netstack_new(&config, &w.ns, &why) < 0) {
        fprintf(stderr, "%s\n", why.text);
        abort();
    }
    must(wg_peer_find(netstack_wg(w.ns), &inner, &peer) == 0);
    must(dgram_open_echo(w.ns, IP_V4, 7, &echo_events, NULL, &pings[0]) == 0);
    must(dgram_open_echo(w.ns, IP_V6, 7, &echo_events, NULL, &pings[1]) == 0);
    play(&w, config.loop, peer, data, len);
    netstack_free(w.ns);
    for (unsigned i = 0; i < w.end_count; i++)
        (void)close(w.ends[i]);
    loop_free(config.loop);
    wg_conf_done(&conf);
    return 0;
}
