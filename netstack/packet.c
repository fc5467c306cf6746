/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inner IP packets: strict reading, and the few that we write ourselves. It holds no state and
 * never reads past a length that it has checked; IPv4 options and IPv6 extension headers are
 * stepped over, at most EXTENSIONS_MAX of the latter.
 */
#include "netstack/packet.h"

#include <errno.h>
#include <string.h>

#define IPV4_HEADER    20u
#define IPV6_HEADER    40u
#define TCP_HEADER     20u
#define UDP_HEADER     8u
#define ICMP_HEADER    8u
#define FRAG_HEADER    8u /* RFC 8200 4.5 */
#define EXTENSIONS_MAX 8u

#define NEXT_HOP_BY_HOP 0u
#define NEXT_ROUTING    43u
#define NEXT_FRAGMENT   44u
#define NEXT_OPTIONS    60u

/** Sum of 16-bit words in network order (RFC 1071); an odd last byte is the high half of a word. */
static uint64_t sum_words(uint64_t sum, const uint8_t *p, size_t len)
{
    for (; len >= 4; len -= 4, p += 4)
        sum += load_be32(p);
    if (len >= 2)
        sum += load_be16(p);
    if (len % 2 == 1)
        sum += (uint64_t)p[len - 1] << 8;
    return sum;
}

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum >> 16) + (sum & 0xffffu);
    return (uint16_t)~sum;
}

static uint64_t sum_pseudo(const struct ip *src, const struct ip *dst, uint8_t proto, size_t len)
{
    uint64_t sum = sum_words(0, src->bytes, ip_len(src));

    return sum_words(sum, dst->bytes, ip_len(dst)) + proto + (uint64_t)len;
}

static int parse_v4(struct bytes raw, struct packet *ret)
{
    size_t header, total;
    uint16_t fragment;

    if (raw.len < IPV4_HEADER)
        return -EBADMSG;
    header = (size_t)(raw.data[0] & 0x0fu) * 4;
    total = load_be16(raw.data + 2);
    fragment = load_be16(raw.data + 6);
    if (header < IPV4_HEADER || header > total || total > raw.len ||
        fold(sum_words(0, raw.data, header)) != 0)
        return -EBADMSG;
    ret->src = ip_v4(raw.data[12], raw.data[13], raw.data[14], raw.data[15]);
    ret->dst = ip_v4(raw.data[16], raw.data[17], raw.data[18], raw.data[19]);
    ret->proto = raw.data[9];
    ret->hops = raw.data[8];
    ret->class = raw.data[1];
    ret->is_fragment = (fragment & 0x3fffu) != 0; /* more fragments, or an offset */
    ret->raw = bytes_of(raw.data, total);
    ret->l4 = bytes_of(raw.data + header, total - header);
    return 0;
}

static int parse_v6(struct bytes raw, struct packet *ret)
{
    size_t total, at = IPV6_HEADER;
    uint8_t next;

    if (raw.len < IPV6_HEADER)
        return -EBADMSG;
    total = IPV6_HEADER + load_be16(raw.data + 4);
    if (total > raw.len)
        return -EBADMSG;
    ret->src = ip_from_v6(raw.data + 8);
    ret->dst = ip_from_v6(raw.data + 24);
    ret->is_fragment = false;
    ret->hops = raw.data[7];
    ret->class = (uint8_t)(raw.data[0] << 4 | raw.data[1] >> 4);
    next = raw.data[6];
    for (unsigned i = 0;; i++) {
        bool is_fragment = next == NEXT_FRAGMENT;

        if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_OPTIONS && !is_fragment)
            break;
        if (i == EXTENSIONS_MAX || total - at < 8)
            return -EBADMSG;
        next = raw.data[at];
        if (is_fragment) {
            ret->is_fragment = true;
            at += FRAG_HEADER;
            break; /* what follows is a piece */
        }
        if (((size_t)raw.data[at + 1] + 1) * 8 > total - at)
            return -EBADMSG;
        at += ((size_t)raw.data[at + 1] + 1) * 8;
    }
    ret->proto = next;
    ret->raw = bytes_of(raw.data, total);
    ret->l4 = bytes_of(raw.data + at, total - at);
    return 0;
}

int packet_parse(struct bytes raw, struct packet *ret)
{
    if (raw.len < 1)
        return -EBADMSG;
    switch (raw.data[0] >> 4) {
    case 4:
        return parse_v4(raw, ret);
    case 6:
        return parse_v6(raw, ret);
    default:
        return -EBADMSG;
    }
}

int packet_tcp(const struct packet *p, struct packet_tcp *ret)
{
    const uint8_t *h = p->l4.data;

    if (p->proto != PACKET_TCP || p->is_fragment || p->l4.len < TCP_HEADER ||
        (size_t)(h[12] >> 4) * 4 < TCP_HEADER || (size_t)(h[12] >> 4) * 4 > p->l4.len)
        return -EBADMSG;
    *ret = (struct packet_tcp){.src_port = load_be16(h),
                               .dst_port = load_be16(h + 2),
                               .seq = load_be32(h + 4),
                               .flags = h[13]};
    return 0;
}

bool packet_checksum_ok(const struct packet *p)
{
    if (p->proto == PACKET_UDP && p->l4.len >= UDP_HEADER && load_be16(p->l4.data + 6) == 0)
        return p->src.family == IP_V4;
    if (p->proto == PACKET_ICMP)
        return fold(sum_words(0, p->l4.data, p->l4.len)) == 0;
    return fold(sum_words(sum_pseudo(&p->src, &p->dst, p->proto, p->l4.len), p->l4.data,
                          p->l4.len)) == 0;
}

int packet_udp(const struct packet *p, struct endpoint *ret_src, struct endpoint *ret_dst,
               struct bytes *ret_payload)
{
    const uint8_t *h = p->l4.data;
    size_t len;

    if (p->proto != PACKET_UDP || p->is_fragment || p->l4.len < UDP_HEADER)
        return -EBADMSG;
    len = load_be16(h + 4);
    if (len < UDP_HEADER || len != p->l4.len || !packet_checksum_ok(p))
        return -EBADMSG;
    *ret_src = (struct endpoint){.ip = p->src, .port = load_be16(h)};
    *ret_dst = (struct endpoint){.ip = p->dst, .port = load_be16(h + 2)};
    *ret_payload = bytes_of(h + UDP_HEADER, len - UDP_HEADER);
    return 0;
}

bool packet_is_echo_request(const struct packet *p)
{
    if (p->is_fragment || p->l4.len < ICMP_HEADER)
        return false;
    return (p->proto == PACKET_ICMP && p->l4.data[0] == PACKET_ECHO_REQUEST) ||
           (p->proto == PACKET_ICMPV6 && p->l4.data[0] == PACKET_ECHO6_REQUEST);
}

static uint8_t echo_type(bool is_v6, bool is_reply)
{
    if (is_v6)
        return is_reply ? PACKET_ECHO6_REPLY : PACKET_ECHO6_REQUEST;
    return is_reply ? PACKET_ECHO_REPLY : PACKET_ECHO_REQUEST;
}

int packet_echo(const struct packet *p, bool is_reply, struct endpoint *ret_src,
                struct endpoint *ret_dst, struct bytes *ret_message)
{
    bool is_v6 = p->src.family == IP_V6;
    uint16_t id;

    if (p->proto != (is_v6 ? PACKET_ICMPV6 : PACKET_ICMP) || p->is_fragment ||
        p->l4.len < PACKET_ECHO_HEADER || p->l4.data[0] != echo_type(is_v6, is_reply) ||
        p->l4.data[1] != 0 || !packet_checksum_ok(p))
        return -EBADMSG;
    id = packet_echo_id(p->l4);
    *ret_src = (struct endpoint){.ip = p->src, .port = is_reply ? 0 : id};
    *ret_dst = (struct endpoint){.ip = p->dst, .port = is_reply ? id : 0};
    *ret_message = p->l4;
    return 0;
}

uint16_t packet_echo_id(struct bytes message)
{
    return load_be16(message.data + 4);
}

void packet_echo_set_id(uint8_t message[static PACKET_ECHO_HEADER], uint16_t id)
{
    uint16_t sum = load_be16(message + 2);
    uint16_t old = load_be16(message + 4);

    /* HC' = ~(~HC + ~m + m') */
    store_be16(message + 2, fold((uint64_t)(uint16_t)~sum + (uint16_t)~old + id));
    store_be16(message + 4, id);
}

/** Of an ICMP message whose checksum field is zero. */
static uint16_t icmp_checksum(const struct ip *src, const struct ip *dst, const uint8_t *message,
                              size_t len)
{
    uint64_t sum = src->family == IP_V6 ? sum_pseudo(src, dst, PACKET_ICMPV6, len) : 0;

    return fold(sum_words(sum, message, len));
}

void packet_echo_answer(uint8_t *message, size_t len, const struct ip *src, const struct ip *dst)
{
    must(len >= PACKET_ECHO_HEADER);
    message[0] = echo_type(src->family == IP_V6, /*is_reply=*/true);
    store_be16(message + 2, 0);
    store_be16(message + 2, icmp_checksum(src, dst, message, len));
}

/** Type and code of an ICMP error → -errno as Linux's icmp_err_convert has it; 0: not an error. */
static int error_of_v4(uint8_t type, uint8_t code)
{
    static const int unreachable[16] = {
        ENETUNREACH,  EHOSTUNREACH, ENOPROTOOPT,  ECONNREFUSED, EMSGSIZE,     EOPNOTSUPP,
        ENETUNREACH,  EHOSTDOWN,    ENONET,       ENETUNREACH,  EHOSTUNREACH, ENETUNREACH,
        EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH,
    };

    if (type == 3 && code < 16)
        return -unreachable[code];
    return type == 11 ? -EHOSTUNREACH : 0;
}

static int error_of_v6(uint8_t type, uint8_t code)
{
    static const int unreachable[7] = {
        ENETUNREACH, EACCES, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EACCES,
    };

    if (type == 1 && code < 7)
        return -unreachable[code];
    return type == 3 ? -EHOSTUNREACH : 0;
}

/** The packet that an error quotes may be cut; its own length field is not trusted. Of a fragmented
 * one only the first piece, with the transport's header, tells what it was. */
static int parse_quoted(struct bytes raw, bool is_v6, struct packet *ret)
{
    size_t header;
    unsigned offset = 0;

    *ret = (struct packet){.is_fragment = false};
    if (raw.len < (is_v6 ? IPV6_HEADER : IPV4_HEADER) || raw.data[0] >> 4 != (is_v6 ? 6 : 4))
        return -EBADMSG;
    header = is_v6 ? IPV6_HEADER : (size_t)(raw.data[0] & 0x0fu) * 4;
    if (header < IPV4_HEADER || header > raw.len)
        return -EBADMSG;
    if (is_v6) {
        ret->src = ip_from_v6(raw.data + 8);
        ret->dst = ip_from_v6(raw.data + 24);
        ret->proto = raw.data[6];
        if (ret->proto == NEXT_FRAGMENT && raw.len - header >= FRAG_HEADER) {
            ret->proto = raw.data[header];
            offset = load_be16(raw.data + header + 2) & 0xfff8u;
            header += FRAG_HEADER;
        }
    } else {
        ret->src = ip_v4(raw.data[12], raw.data[13], raw.data[14], raw.data[15]);
        ret->dst = ip_v4(raw.data[16], raw.data[17], raw.data[18], raw.data[19]);
        ret->proto = raw.data[9];
        offset = load_be16(raw.data + 6) & 0x1fffu;
    }
    ret->l4 = bytes_of(raw.data + header, raw.len - header);
    return offset == 0 ? 0 : -EBADMSG;
}

int packet_error(const struct packet *p, struct packet_error *ret)
{
    bool is_v6 = p->proto == PACKET_ICMPV6;
    struct packet quoted;
    int err;

    if ((!is_v6 && p->proto != PACKET_ICMP) || is_v6 != (p->src.family == IP_V6) ||
        p->is_fragment || p->l4.len < ICMP_HEADER || !packet_checksum_ok(p))
        return -EBADMSG;
    err = is_v6 ? error_of_v6(p->l4.data[0], p->l4.data[1])
                : error_of_v4(p->l4.data[0], p->l4.data[1]);
    if (err == 0)
        return -ENOENT;
    if (parse_quoted(bytes_of(p->l4.data + ICMP_HEADER, p->l4.len - ICMP_HEADER), is_v6, &quoted) <
            0 ||
        quoted.l4.len < 8)
        return -EBADMSG;
    *ret = (struct packet_error){.err = err,
                                 .type = p->l4.data[0],
                                 .code = p->l4.data[1],
                                 .proto = quoted.proto,
                                 .src = {.ip = quoted.src},
                                 .dst = {.ip = quoted.dst},
                                 .quoted = quoted.l4};
    if (packet_is_echo_request(&quoted)) {
        ret->src.port = packet_echo_id(quoted.l4);
        return 0;
    }
    if (quoted.proto != PACKET_TCP && quoted.proto != PACKET_UDP)
        return -EBADMSG;
    ret->src.port = load_be16(quoted.l4.data);
    ret->dst.port = load_be16(quoted.l4.data + 2);
    ret->seq = load_be32(quoted.l4.data + 4);
    return 0;
}

/** Write a network header for @len bytes of transport; returns its length. */
static size_t write_header(uint8_t *to, const struct ip *src, const struct ip *dst, uint8_t proto,
                           size_t len)
{
    if (src->family == IP_V4) {
        memset(to, 0, IPV4_HEADER);
        to[0] = 0x45;
        store_be16(to + 2, (uint16_t)(IPV4_HEADER + len));
        to[8] = PACKET_HOPS;
        to[9] = proto;
        memcpy(to + 12, src->bytes, 4);
        memcpy(to + 16, dst->bytes, 4);
        store_be16(to + 10, fold(sum_words(0, to, IPV4_HEADER)));
        return IPV4_HEADER;
    }
    memset(to, 0, IPV6_HEADER);
    to[0] = 0x60;
    store_be16(to + 4, (uint16_t)len);
    to[6] = proto;
    to[7] = PACKET_HOPS;
    memcpy(to + 8, src->bytes, 16);
    memcpy(to + 24, dst->bytes, 16);
    return IPV6_HEADER;
}

static uint8_t error_code(bool is_v6, int err)
{
    switch (err) {
    case -ECONNREFUSED:
        return is_v6 ? 4 : 3;
    case -ENETUNREACH:
        return 0;
    case -EACCES:
    case -EPERM:
        return is_v6 ? 1 : 13;
    default:
        return is_v6 ? 3 : 1;
    }
}

int packet_write_icmp(const struct packet *about, const struct ip *from, uint8_t type, uint8_t code,
                      uint8_t *ret, size_t cap)
{
    bool is_v6 = about->src.family == IP_V6;
    uint8_t proto = is_v6 ? PACKET_ICMPV6 : PACKET_ICMP;
    size_t header = is_v6 ? IPV6_HEADER : IPV4_HEADER;
    size_t room = (is_v6 ? PACKET_ERROR_MAX : 576u) - header - ICMP_HEADER; /* RFC 1812 4.3.2.3 */
    size_t quoted = about->raw.len < room ? about->raw.len : room;
    size_t len = ICMP_HEADER + quoted;
    uint8_t *icmp = ret + header;

    if (header + len > cap)
        return -ENOBUFS;
    (void)write_header(ret, from, &about->src, proto, len);
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = type;
    icmp[1] = code;
    memcpy(icmp + ICMP_HEADER, about->raw.data, quoted);
    store_be16(icmp + 2, icmp_checksum(from, &about->src, icmp, len));
    return (int)(header + len);
}

int packet_write_error(const struct packet *about, int err, uint8_t *ret, size_t cap)
{
    bool is_v6 = about->src.family == IP_V6;

    return packet_write_icmp(about, &about->dst, is_v6 ? 1 : 3, error_code(is_v6, err), ret, cap);
}

int packet_write_rst(const struct packet *about, uint8_t *ret, size_t cap)
{
    struct packet_tcp syn;
    size_t header;
    uint8_t *tcp;

    if (packet_tcp(about, &syn) < 0)
        return -EBADMSG;
    if (cap < PACKET_RST_MAX)
        return -ENOBUFS;
    header = write_header(ret, &about->dst, &about->src, PACKET_TCP, TCP_HEADER);
    tcp = ret + header;
    memset(tcp, 0, TCP_HEADER);
    store_be16(tcp, syn.dst_port);
    store_be16(tcp + 2, syn.src_port);
    store_be32(tcp + 8, syn.seq + 1);
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = PACKET_RST | PACKET_ACK;
    store_be16(tcp + 16,
               fold(sum_words(sum_pseudo(&about->dst, &about->src, PACKET_TCP, TCP_HEADER), tcp,
                              TCP_HEADER)));
    return (int)(header + TCP_HEADER);
}

void packet_write_udp_headers(const struct endpoint *src, const struct endpoint *dst,
                              uint8_t ret[static 48])
{
    uint8_t *udp = ret + write_header(ret, &src->ip, &dst->ip, PACKET_UDP, UDP_HEADER);

    store_be16(udp, src->port);
    store_be16(udp + 2, dst->port);
    store_be16(udp + 4, UDP_HEADER);
    store_be16(udp + 6, 0);
}

size_t packet_write_start(const struct ip *src, const struct ip *dst, uint8_t proto,
                          struct bytes l4, uint8_t *ret, size_t cap)
{
    size_t header = write_header(ret, src, dst, proto, l4.len);
    size_t len = l4.len < cap - header ? l4.len : cap - header;

    memcpy(ret + header, l4.data, len);
    return header + len;
}

/** One transport message, and where its pieces are cut. */
struct cut {
    const struct ip *src;
    const struct ip *dst;
    const struct packet_shape *shape;
    uint8_t proto;
    uint8_t *l4; /* IPV6_HEADER bytes of room before it */
    size_t len;
    void (*emit)(void *self, struct bytes packet);
    void *self;
};

/** write_header(), with the message's own hops and class; the sum is still to be made. */
static size_t write_cut_header(const struct cut *c, uint8_t *to, uint8_t proto, size_t len)
{
    size_t header = write_header(to, c->src, c->dst, proto, len);

    if (c->src->family == IP_V4) {
        to[1] = c->shape->class;
        to[8] = c->shape->hops;
    } else {
        to[0] = (uint8_t)(0x60 | c->shape->class >> 4);
        to[1] = (uint8_t)(c->shape->class << 4);
        to[7] = c->shape->hops;
    }
    return header;
}

static void make_v4_sum(uint8_t *header)
{
    store_be16(header + 10, 0);
    store_be16(header + 10, fold(sum_words(0, header, IPV4_HEADER)));
}

/** Write the piece of @len bytes at @at into @to, which has room for one packet; returns its
 * length. */
static size_t write_piece(const struct cut *c, size_t at, size_t len, uint8_t *to)
{
    bool is_last = at + len == c->len;
    size_t header;

    if (c->src->family == IP_V4) {
        header = write_cut_header(c, to, c->proto, len);
        store_be16(to + 4, (uint16_t)c->shape->id);
        store_be16(to + 6, (uint16_t)(at / 8 | (is_last ? 0 : 0x2000u)));
        make_v4_sum(to);
    } else {
        header = write_cut_header(c, to, NEXT_FRAGMENT, len + FRAG_HEADER);
        to[header] = c->proto;
        to[header + 1] = 0;
        store_be16(to + header + 2, (uint16_t)(at | (is_last ? 0 : 1u)));
        store_be32(to + header + 4, c->shape->id);
        header += FRAG_HEADER;
    }
    memcpy(to + header, c->l4 + at, len);
    return header + len;
}

/** Send the message whole, or in pieces when it exceeds the MTU. */
static void send_cut(const struct cut *c)
{
    static uint8_t piece[PACKET_MAX]; /* one packet being built, for the call only */
    bool is_v4 = c->src->family == IP_V4;
    size_t header = is_v4 ? IPV4_HEADER : IPV6_HEADER;
    size_t each = ((size_t)c->shape->mtu - header - (is_v4 ? 0 : FRAG_HEADER)) / 8 * 8;

    if (header + c->len <= c->shape->mtu) {
        (void)write_cut_header(c, c->l4 - header, c->proto, c->len);
        if (is_v4)
            make_v4_sum(c->l4 - header);
        c->emit(c->self, bytes_of(c->l4 - header, header + c->len));
        return;
    }
    for (size_t at = 0; at < c->len; at += each) {
        size_t part = c->len - at < each ? c->len - at : each;

        c->emit(c->self, bytes_of(piece, write_piece(c, at, part, piece)));
    }
}

/* One message being built, for the call only; the header of the whole packet goes before it. */
static uint8_t building[IPV6_HEADER + PACKET_MAX];

static bool fits(const struct ip *src, size_t len)
{
    return len <= PACKET_MAX - (src->family == IP_V4 ? IPV4_HEADER : 0);
}

int packet_send_udp(const struct endpoint *src, const struct endpoint *dst, struct bytes payload,
                    const struct packet_shape *shape, void (*emit)(void *self, struct bytes packet),
                    void *self)
{
    uint8_t *l4 = building + IPV6_HEADER;
    size_t len = UDP_HEADER + payload.len;
    const struct cut cut = {.src = &src->ip,
                            .dst = &dst->ip,
                            .proto = PACKET_UDP,
                            .shape = shape,
                            .l4 = l4,
                            .len = len,
                            .emit = emit,
                            .self = self};
    uint16_t sum;

    if (src->ip.family != dst->ip.family)
        return -EAFNOSUPPORT;
    if (payload.len > PACKET_MAX || !fits(&src->ip, len))
        return -EMSGSIZE;
    store_be16(l4, src->port);
    store_be16(l4 + 2, dst->port);
    store_be16(l4 + 4, (uint16_t)len);
    store_be16(l4 + 6, 0);
    if (payload.len > 0)
        memcpy(l4 + UDP_HEADER, payload.data, payload.len);
    sum = fold(sum_words(sum_pseudo(&src->ip, &dst->ip, PACKET_UDP, len), l4, len));
    store_be16(l4 + 6, sum == 0 ? 0xffffu : sum); /* zero would mean "no checksum" */
    send_cut(&cut);
    return 0;
}

int packet_send_echo(const struct ip *src, const struct ip *dst, struct bytes message,
                     const struct packet_shape *shape,
                     void (*emit)(void *self, struct bytes packet), void *self)
{
    uint8_t *l4 = building + IPV6_HEADER;
    const struct cut cut = {.src = src,
                            .dst = dst,
                            .proto = src->family == IP_V4 ? PACKET_ICMP : PACKET_ICMPV6,
                            .shape = shape,
                            .l4 = l4,
                            .len = message.len,
                            .emit = emit,
                            .self = self};

    if (src->family != dst->family)
        return -EAFNOSUPPORT;
    if (!fits(src, message.len))
        return -EMSGSIZE;
    must(message.len >= PACKET_ECHO_HEADER);
    memcpy(l4, message.data, message.len);
    store_be16(l4 + 2, 0);
    store_be16(l4 + 2, icmp_checksum(src, dst, l4, message.len));
    send_cut(&cut);
    return 0;
}
