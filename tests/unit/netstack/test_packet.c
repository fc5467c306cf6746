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

static struct bytes one_datagram(unsigned family, size_t len)
{
    static const uint8_t payload[2000] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct endpoint src = at(sources[family]), dst = at(targets[family]);

    taken = (struct taken){0};
    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, len), 1420, 7, take, &taken), 0);
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
                                     1420, 7, take, &taken),
                     0);
    ck_assert_uint_eq(taken.count, 1);
    ck_assert_uint_eq(taken.largest, 1420);
    taken = (struct taken){0};
    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, 65507), 1420, 7, take, &taken),
                     0);
    ck_assert_uint_eq(taken.total, 65507 + 8);
    ck_assert_uint_le(taken.largest, 1420);
    ck_assert(taken.was_fragment);
    if (_i == 0)
        ck_assert_int_eq(
            packet_send_udp(&src, &dst, bytes_of(payload, 65508), 1420, 7, take, &taken),
            -EMSGSIZE);
    dst = at(targets[1 - _i]);
    ck_assert_int_eq(packet_send_udp(&src, &dst, bytes_of(payload, 1), 1420, 7, take, &taken),
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

static const struct suite_test tests[] = {
    SUITE_ROWS(datagram_written_is_read_again, 2),
    SUITE_TEST(datagram_with_any_flipped_bit_is_refused),
    SUITE_ROWS(datagram_cut_anywhere_is_refused, 2),
    SUITE_ROWS(fragments_fit_the_mtu_and_carry_everything, 2),
    SUITE_ROWS(icmp_error_written_names_the_datagram_it_is_about, 8),
    SUITE_TEST(reset_answers_the_syn),
    SUITE_TEST(extension_headers_are_stepped_over_but_not_without_end),
};
SUITE_MAIN("netstack/packet", tests)
