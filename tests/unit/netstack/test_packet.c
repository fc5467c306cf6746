/* SPDX-License-Identifier: Apache-2.0 */
/* Inner packets: what is written can be read again, and every broken neighbour is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/packet.h"
#include "tests/support/suite.h"

struct taken {
    unsigned count;
    size_t total;
    uint8_t last[PACKET_MAX + 64];
    size_t last_len;
    bool was_fragment;
    size_t largest;
};

static void take(void *self, struct bytes packet)
{
    struct taken *t = self;
    struct packet p;

    ck_assert_int_eq(packet_parse(packet, &p), 0);
    ck_assert_uint_eq(p.proto, PACKET_UDP);
    t->count++;
    t->total += p.l4.len;
    t->was_fragment |= p.is_fragment;
    t->largest = packet.len > t->largest ? packet.len : t->largest;
    memcpy(t->last, packet.data, packet.len);
    t->last_len = packet.len;
}

static struct endpoint at(const char *text)
{
    struct endpoint e;

    ck_assert_int_eq(endpoint_parse(bytes_of_str(text), &e), 0);
    return e;
}

static const char *const sources[] = {"10.9.0.2:4000", "[fd09::2]:4000"};
static const char *const targets[] = {"192.0.2.7:53", "[2001:db8::7]:53"};
static struct taken taken;
static const struct packet_shape shape = {.mtu = 1420, .id = 7, .hops = 64, .class = 0xb8};

static struct bytes one_datagram(unsigned family, size_t len)
{
    static const uint8_t payload[2000] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct endpoint src = at(sources[family]), dst = at(targets[family]);

    taken = (struct taken){0};
    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, len), &shape, take, &taken), 0);
    return bytes_of(taken.last, taken.last_len);
}

START_TEST(datagram_written_is_read_again)
{
    struct bytes raw = one_datagram((unsigned)_i, 9);
    struct endpoint src, dst, want_src = at(sources[_i]), want_dst = at(targets[_i]);
    struct bytes payload;
    struct packet p;

    ck_assert_uint_eq(taken.count, 1);
    ck_assert_int_eq(packet_parse(raw, &p), 0);
    ck_assert_uint_eq(p.hops, shape.hops);
    ck_assert_uint_eq(p.class, shape.class);
    ck_assert_int_eq(packet_udp(&p, &src, &dst, &payload), 0);
    ck_assert(endpoint_equal(&src, &want_src));
    ck_assert(endpoint_equal(&dst, &want_dst));
    ck_assert_uint_eq(payload.len, 9);
    ck_assert_uint_eq(payload.data[8], 9);
}
END_TEST

/* Every bit of a datagram is covered by a checksum or by the shape, except some of IPv6's header.
 */
START_TEST(datagram_with_any_flipped_bit_is_refused)
{
    struct bytes raw = one_datagram(0, 9);
    uint8_t broken[64];
    struct packet p;
    struct endpoint src, dst;
    struct bytes payload;

    for (size_t bit = 0; bit < raw.len * 8; bit++) {
        memcpy(broken, raw.data, raw.len);
        broken[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(packet_parse(bytes_of(broken, raw.len), &p) < 0 ||
                          packet_udp(&p, &src, &dst, &payload) < 0,
                      "bit %zu", bit);
    }
}
END_TEST

START_TEST(datagram_cut_anywhere_is_refused)
{
    struct bytes raw = one_datagram((unsigned)_i, 9);
    struct packet p;

    for (size_t len = 0; len < raw.len; len++)
        ck_assert_int_eq(packet_parse(bytes_of(raw.data, len), &p), -EBADMSG);
}
END_TEST

START_TEST(fragments_fit_the_mtu_and_carry_everything)
{
    static uint8_t payload[65535];
    struct endpoint src = at(sources[_i]), dst = at(targets[_i]);

    taken = (struct taken){0};
    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, 1420 - 28 - 20 * (size_t)_i),
                                     &shape, take, &taken),
                     0);
    ck_assert_uint_eq(taken.count, 1);
    ck_assert_uint_eq(taken.largest, 1420);
    taken = (struct taken){0};
    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, 65507), &shape, take, &taken),
                     0);
    ck_assert_uint_eq(taken.total, 65507 + 8);
    ck_assert_uint_le(taken.largest, 1420);
    ck_assert(taken.was_fragment);
    if (_i == 0)
        ck_assert_int_eq(
            packet_send_udp(&src, &dst, bytes_of(payload, 65508), &shape, take, &taken), -EMSGSIZE);
    dst = at(targets[1 - _i]);
    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, 1), &shape, take, &taken),
                     -EAFNOSUPPORT);
}
END_TEST

static const struct {
    int err;
    int seen[2]; /* what the receiver's errno is, IPv4 and IPv6 */
} errors[] = {
    {-ECONNREFUSED, {-ECONNREFUSED, -ECONNREFUSED}},
    {-ENETUNREACH, {-ENETUNREACH, -ENETUNREACH}},
    {-EHOSTUNREACH, {-EHOSTUNREACH, -EHOSTUNREACH}},
    {-EACCES, {-EHOSTUNREACH, -EACCES}},
};

START_TEST(icmp_error_written_names_the_datagram_it_is_about)
{
    unsigned family = (unsigned)_i % 2, row = (unsigned)_i / 2;
    struct bytes raw = one_datagram(family, 1000);
    uint8_t answer[PACKET_ERROR_MAX];
    struct packet about, p;
    struct packet_error e;
    struct endpoint src = at(sources[family]), dst = at(targets[family]);
    int len;

    ck_assert_int_eq(packet_parse(raw, &about), 0);
    len = packet_write_error(&about, errors[row].err, answer, sizeof(answer));
    ck_assert_int_gt(len, 0);
    ck_assert_int_le(len, family == 0 ? 576 : 1280);
    ck_assert_int_eq(packet_parse(bytes_of(answer, (size_t)len), &p), 0);
    ck_assert(ip_equal(&p.dst, &src.ip));
    ck_assert_int_eq(packet_error(&p, &e), 0);
    ck_assert_int_eq(e.err, errors[row].seen[family]);
    ck_assert_uint_eq(e.proto, PACKET_UDP);
    ck_assert(endpoint_equal(&e.src, &src));
    ck_assert(endpoint_equal(&e.dst, &dst));
    ck_assert_int_eq(packet_write_error(&about, errors[row].err, answer, 60), -ENOBUFS);
    answer[len - 1] ^= 1; /* its checksum is judged */
    ck_assert_int_eq(packet_parse(bytes_of(answer, (size_t)len), &p), 0);
    ck_assert_int_eq(packet_error(&p, &e), -EBADMSG);
}
END_TEST

START_TEST(reset_answers_the_syn)
{
    /* 10.9.0.2:4000 > 192.0.2.7:80, SYN, sequence number 0x01020304 */
    uint8_t syn[40] = {0x45, 0, 0,   40, 0,    0, 0,    0,    64, 6,  0, 0, 10, 9,
                       0,    2, 192, 0,  2,    7, 0x0f, 0xa0, 0,  80, 1, 2, 3,  4,
                       0,    0, 0,   0,  0x50, 2, 0xff, 0xff, 0,  0,  0, 0};
    uint8_t rst[PACKET_RST_MAX];
    uint32_t sum = 0;
    struct packet about, p;
    struct packet_tcp tcp;
    int len;

    for (unsigned i = 0; i < 20; i += 2)
        sum += load_be16(syn + i);
    while (sum >> 16 != 0)
        sum = (sum >> 16) + (sum & 0xffff);
    store_be16(syn + 10, (uint16_t)~sum);
    ck_assert_int_eq(packet_parse(bytes_of(syn, sizeof(syn)), &about), 0);
    ck_assert_int_eq(packet_tcp(&about, &tcp), 0);
    ck_assert_uint_eq(tcp.flags, PACKET_SYN);
    len = packet_write_rst(&about, rst, sizeof(rst));
    ck_assert_int_eq(len, 40);
    ck_assert_int_eq(packet_parse(bytes_of(rst, 40), &p), 0);
    ck_assert(packet_checksum_ok(&p));
    ck_assert_int_eq(packet_tcp(&p, &tcp), 0);
    ck_assert_uint_eq(tcp.flags, PACKET_RST | PACKET_ACK);
    ck_assert_uint_eq(tcp.src_port, 80);
    ck_assert_uint_eq(tcp.dst_port, 4000);
    ck_assert_uint_eq(load_be32(p.l4.data + 8), 0x01020305);
    ck_assert_int_eq(packet_write_rst(&about, rst, 39), -ENOBUFS);
    about.l4.len = 19;
    ck_assert_int_eq(packet_tcp(&about, &tcp), -EBADMSG);
}
END_TEST

START_TEST(extension_headers_are_stepped_over_but_not_without_end)
{
    uint8_t raw[40 + 8 * 12 + 8] = {0x60};
    struct packet p;

    for (unsigned count = 0; count <= 10; count++) {
        size_t len = 40 + 8 * count + 8;

        store_be16(raw + 4, (uint16_t)(len - 40));
        raw[6] = count > 0 ? 60 : PACKET_UDP;
        for (unsigned i = 0; i < count; i++) {
            raw[40 + 8 * i] = i + 1 < count ? 60 : PACKET_UDP;
            raw[41 + 8 * i] = 0;
        }
        ck_assert_int_eq(packet_parse(bytes_of(raw, len), &p), count <= 8 ? 0 : -EBADMSG);
        if (count <= 8) {
            ck_assert_uint_eq(p.proto, PACKET_UDP);
            ck_assert_uint_eq(p.l4.len, 8);
        }
    }
    store_be16(raw + 4, 16);
    raw[6] = 60;
    raw[40] = PACKET_UDP;
    raw[41] = 2; /* longer than the packet */
    ck_assert_int_eq(packet_parse(bytes_of(raw, 56), &p), -EBADMSG);
}
END_TEST

/* Type and code zero, as the message to send has them, and RFC 1071's example as data. */
static const uint8_t request[16] = {[4] = 0x12, 0x34, 0, 1, 0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7};

static void take_echo(void *self, struct bytes packet)
{
    struct taken *t = self;
    struct packet p;

    ck_assert_int_eq(packet_parse(packet, &p), 0);
    t->count++;
    t->total += p.l4.len;
    t->was_fragment |= p.is_fragment;
    t->largest = packet.len > t->largest ? packet.len : t->largest;
    memcpy(t->last, packet.data, packet.len);
    t->last_len = packet.len;
}

static struct bytes one_echo(unsigned family, bool is_reply, uint8_t hops)
{
    struct endpoint src = at(sources[family]), dst = at(targets[family]);
    const struct packet_shape own = {.mtu = 1420, .id = 7, .hops = hops};
    uint8_t message[sizeof(request)];

    memcpy(message, request, sizeof(message));
    message[0] = family == 0 ? (is_reply ? 0 : 8) : (is_reply ? 129 : 128);
    taken = (struct taken){0};
    ck_assert_int_eq(packet_send_echo(&src.ip, &dst.ip, bytes_of(message, sizeof(message)), &own,
                                      take_echo, &taken),
                     0);
    ck_assert_uint_eq(taken.count, 1);
    return bytes_of(taken.last, taken.last_len);
}

/* The checksums were computed apart: RFC 1071's example sums up to 0xddf2; RFC 4443 2.3 adds the
 * addresses, the length and the protocol. */
START_TEST(echo_written_is_read_again)
{
    static const uint16_t sums[] = {0x07d8, 0x64c1};
    unsigned family = (unsigned)_i % 2;
    bool is_reply = _i >= 2;
    struct bytes raw = one_echo(family, is_reply, 9), message;
    struct endpoint src, dst;
    struct packet p;

    ck_assert_int_eq(packet_parse(raw, &p), 0);
    ck_assert_uint_eq(p.hops, 9);
    ck_assert_int_eq(packet_is_echo_request(&p), !is_reply);
    ck_assert_int_eq(packet_echo(&p, is_reply, &src, &dst, &message), 0);
    ck_assert_int_eq(packet_echo(&p, !is_reply, &src, &dst, &message), -EBADMSG);
    ck_assert_uint_eq((is_reply ? dst : src).port, 0x1234);
    ck_assert_uint_eq((is_reply ? src : dst).port, 0);
    ck_assert_uint_eq(message.len, sizeof(request));
    ck_assert_int_eq(memcmp(message.data + 4, request + 4, sizeof(request) - 4), 0);
    if (!is_reply)
        ck_assert_uint_eq(load_be16(message.data + 2), sums[family]);
}
END_TEST

START_TEST(echo_with_any_flipped_bit_or_cut_is_refused)
{
    struct bytes raw = one_echo((unsigned)_i, /*is_reply=*/true, 64), message;
    size_t header = _i == 0 ? 20 : 40;
    uint8_t broken[128];
    struct endpoint src, dst;
    struct packet p;

    for (size_t bit = header * 8; bit < raw.len * 8; bit++) {
        memcpy(broken, raw.data, raw.len);
        broken[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(packet_parse(bytes_of(broken, raw.len), &p), 0);
        ck_assert_msg(packet_echo(&p, true, &src, &dst, &message) < 0, "bit %zu", bit);
    }
    ck_assert_int_eq(packet_parse(raw, &p), 0);
    for (p.l4.len = 0; p.l4.len < sizeof(request); p.l4.len++)
        ck_assert_int_eq(packet_echo(&p, true, &src, &dst, &message), -EBADMSG);
    p.is_fragment = true;
    ck_assert_int_eq(packet_echo(&p, true, &src, &dst, &message), -EBADMSG);
}
END_TEST

START_TEST(echo_identifier_changes_the_checksum_as_much)
{
    /* RFC 1624 section 4: 0x5555 becomes 0x3285, 0xdd2f becomes 0 */
    uint8_t message[8] = {8, 0, 0xdd, 0x2f, 0x55, 0x55};
    struct bytes raw;
    struct packet p;

    packet_echo_set_id(message, 0x3285);
    ck_assert_uint_eq(load_be16(message + 2), 0);
    for (unsigned id = 0; id < 65536; id += 255) {
        raw = one_echo((unsigned)_i, /*is_reply=*/false, 64);
        ck_assert_int_eq(packet_parse(raw, &p), 0);
        packet_echo_set_id(taken.last + (p.l4.data - raw.data), (uint16_t)id);
        ck_assert_uint_eq(packet_echo_id(p.l4), id);
        ck_assert_msg(packet_checksum_ok(&p), "identifier %u", id);
    }
}
END_TEST

START_TEST(echo_answer_is_the_reply)
{
    unsigned family = (unsigned)_i;
    struct bytes raw = one_echo(family, /*is_reply=*/false, 64), message;
    struct endpoint src, dst;
    struct packet p;

    ck_assert_int_eq(packet_parse(raw, &p), 0);
    packet_echo_answer(taken.last + (p.l4.data - raw.data), p.l4.len, &p.dst, &p.src);
    ck_assert_int_eq(packet_echo(&p, /*is_reply=*/true, &src, &dst, &message), 0);
    ck_assert_uint_eq(load_be16(message.data + 2), family == 0 ? 0x0fd8 : 0x63c1);
}
END_TEST

static const size_t echo_sizes[] = {8, 1400, 1401, 9000, 65515};

START_TEST(echo_of_any_size_fits_the_mtu)
{
    static uint8_t message[65535];
    unsigned family = (unsigned)_i % 2;
    size_t len = echo_sizes[(unsigned)_i / 2];
    struct endpoint src = at(sources[family]), dst = at(targets[family]);

    message[0] = family == 0 ? 8 : 128;
    taken = (struct taken){0};
    ck_assert_int_eq(
        packet_send_echo(&src.ip, &dst.ip, bytes_of(message, len), &shape, take_echo, &taken), 0);
    ck_assert_uint_le(taken.largest, 1420);
    ck_assert_uint_eq(taken.total, len);
    ck_assert_int_eq(
        packet_send_echo(&src.ip, &src.ip, bytes_of(message, 65535), &shape, take_echo, &taken),
        family == 0 ? -EMSGSIZE : 0);
}
END_TEST

/* An ICMP error about an echo request names its identifier, and quotes as much as there is. */
START_TEST(error_about_an_echo_request_names_it)
{
    unsigned family = (unsigned)_i % 2, row = (unsigned)_i / 2;
    struct bytes raw = one_echo(family, /*is_reply=*/false, 64);
    uint8_t start[PACKET_ERROR_MAX], answer[PACKET_ERROR_MAX];
    struct endpoint src = at(sources[family]), dst = at(targets[family]);
    struct packet about, p, again = {0};
    struct packet_error e;
    int len;

    ck_assert_int_eq(packet_parse(raw, &p), 0);
    again.src = src.ip;
    again.dst = dst.ip;
    again.raw =
        bytes_of(start, packet_write_start(&src.ip, &dst.ip, p.proto, p.l4, start, sizeof(start)));
    ck_assert_int_eq(packet_parse(again.raw, &about), 0);
    len = packet_write_error(&again, errors[row].err, answer, sizeof(answer));
    ck_assert_int_gt(len, 0);
    ck_assert_int_eq(packet_parse(bytes_of(answer, (size_t)len), &p), 0);
    ck_assert_int_eq(packet_error(&p, &e), 0);
    ck_assert_int_eq(e.err, errors[row].seen[family]);
    ck_assert_uint_eq(e.proto, family == 0 ? PACKET_ICMP : PACKET_ICMPV6);
    ck_assert_uint_eq(e.type, family == 0 ? 3 : 1);
    ck_assert_uint_eq(e.src.port, 0x1234);
    ck_assert_uint_eq(e.dst.port, 0);
    ck_assert(ip_equal(&e.src.ip, &src.ip));
    ck_assert(ip_equal(&e.dst.ip, &dst.ip));
    ck_assert_uint_eq(e.quoted.len, sizeof(request));
    /* about a reply, no error is read */
    start[family == 0 ? 20 : 40] = family == 0 ? 0 : 129;
    len = packet_write_error(&again, errors[row].err, answer, sizeof(answer));
    ck_assert_int_eq(packet_parse(bytes_of(answer, (size_t)len), &p), 0);
    ck_assert_int_eq(packet_error(&p, &e), -EBADMSG);
}
END_TEST

struct pieces {
    unsigned count;
    uint8_t bytes[4][1500];
    size_t len[4];
};

static void take_piece(void *self, struct bytes packet)
{
    struct pieces *p = self;

    ck_assert(p->count < ARRAY_COUNT(p->bytes) && packet.len <= sizeof(p->bytes[0]));
    memcpy(p->bytes[p->count], packet.data, packet.len);
    p->len[p->count++] = packet.len;
}

/* A host on the way complains about one piece of a datagram: by the first, the datagram is known;
 * what is at the start of another is no header. */
START_TEST(error_about_the_first_fragment_names_the_datagram)
{
    static const uint8_t payload[3000] = {1};
    static struct pieces pieces;
    struct endpoint src = at(sources[_i]), dst = at(targets[_i]);
    uint8_t answer[PACKET_ERROR_MAX];
    struct packet about = {.src = src.ip, .dst = dst.ip}, p;
    struct packet_error e;

    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, sizeof(payload)), &shape,
                                     take_piece, &pieces),
                     0);
    ck_assert_uint_eq(pieces.count, 3);
    for (unsigned i = 0; i < pieces.count; i++) {
        int len;

        about.raw = bytes_of(pieces.bytes[i], pieces.len[i]);
        len = packet_write_error(&about, -ECONNREFUSED, answer, sizeof(answer));
        ck_assert_int_eq(packet_parse(bytes_of(answer, (size_t)len), &p), 0);
        ck_assert_int_eq(packet_error(&p, &e), i == 0 ? 0 : -EBADMSG);
    }
    about.raw = bytes_of(pieces.bytes[0], pieces.len[0]);
    ck_assert_int_eq(
        packet_parse(bytes_of(answer, (size_t)packet_write_error(&about, -ECONNREFUSED, answer,
                                                                 sizeof(answer))),
                     &p),
        0);
    ck_assert_int_eq(packet_error(&p, &e), 0);
    ck_assert_uint_eq(e.proto, PACKET_UDP);
    ck_assert(endpoint_equal(&e.src, &src));
    ck_assert(endpoint_equal(&e.dst, &dst));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(error_about_the_first_fragment_names_the_datagram, 2),
    SUITE_ROWS(datagram_written_is_read_again, 2),
    SUITE_TEST(datagram_with_any_flipped_bit_is_refused),
    SUITE_ROWS(datagram_cut_anywhere_is_refused, 2),
    SUITE_ROWS(fragments_fit_the_mtu_and_carry_everything, 2),
    SUITE_ROWS(icmp_error_written_names_the_datagram_it_is_about, 8),
    SUITE_TEST(reset_answers_the_syn),
    SUITE_TEST(extension_headers_are_stepped_over_but_not_without_end),
    SUITE_ROWS(echo_written_is_read_again, 4),
    SUITE_ROWS(echo_with_any_flipped_bit_or_cut_is_refused, 2),
    SUITE_ROWS(echo_identifier_changes_the_checksum_as_much, 2),
    SUITE_ROWS(echo_answer_is_the_reply, 2),
    SUITE_ROWS(echo_of_any_size_fits_the_mtu, 10),
    SUITE_ROWS(error_about_an_echo_request_names_it, 8),
};
SUITE_MAIN("netstack/packet", tests)
