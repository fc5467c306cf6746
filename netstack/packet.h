/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inner IP packets, sans-I/O: what must be read before lwIP sees them, and what lwIP cannot write
 * for us (packets from any source address). RFC 791, 8200, 768, 792, 4443, 9293.
 */
#ifndef NETSTACK_PACKET_H
#define NETSTACK_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/must.h"

#define PACKET_MAX       65535u
#define PACKET_TCP       6u
#define PACKET_UDP       17u
#define PACKET_ICMP      1u
#define PACKET_ICMPV6    58u
#define PACKET_HOPS      64u   /* of what we send */
#define PACKET_ERROR_MAX 1280u /* bytes of an ICMP error that we write (RFC 4443 2.4 c) */
#define PACKET_RST_MAX   60u

/** A packet's network header, read and checked; the rest is borrowed from the raw bytes. */
struct packet {
    struct ip src;
    struct ip dst;
    uint8_t proto;    /* of the transport, behind extension headers */
    uint8_t hops;     /* time to live, or hop limit */
    uint8_t class;    /* type of service, or traffic class */
    bool is_fragment; /* l4 is a piece only */
    struct bytes raw; /* the whole packet, cut to the length that its header says */
    struct bytes l4;
};

/** packet_parse() - Errors: -EBADMSG not one whole, well-formed IPv4 or IPv6 packet. */
int packet_parse(struct bytes raw, struct packet *ret) MUST_USE;

#define PACKET_FIN 0x01u
#define PACKET_SYN 0x02u
#define PACKET_RST 0x04u
#define PACKET_ACK 0x10u
struct packet_tcp {
    uint16_t src_port;
    uint16_t dst_port;
    uint32_t seq;
    uint8_t flags;
};
/** packet_tcp() - The TCP header of a whole packet; the checksum is left to lwIP. -EBADMSG. */
int packet_tcp(const struct packet *p, struct packet_tcp *ret) MUST_USE;
/** packet_checksum_ok() - True when the transport's checksum fits; a UDP checksum of zero means
 * "none" over IPv4 (RFC 768) and is wrong over IPv6. */
bool packet_checksum_ok(const struct packet *p);

/** packet_udp() - A whole UDP datagram: ports into the endpoints, payload borrowed. -EBADMSG. */
int packet_udp(const struct packet *p, struct endpoint *ret_src, struct endpoint *ret_dst,
               struct bytes *ret_payload) MUST_USE;

/** An ICMP error about something that we sent. */
struct packet_error {
    int err;             /* -errno, as Linux maps type and code */
    uint8_t type;        /* of the ICMP message */
    uint8_t code;        /* … */
    uint8_t proto;       /* of the packet that the error is about */
    struct endpoint src; /* its source: us; of an echo request, the port is the identifier */
    struct endpoint dst; /* of an echo request, the port is 0 */
    uint32_t seq;        /* TCP */
    struct bytes quoted; /* as much of its transport as the error quotes; borrowed */
};
/** packet_error() - -EBADMSG malformed; -ENOENT not an error, or none that means anything to us. */
int packet_error(const struct packet *p, struct packet_error *ret) MUST_USE;

/* Echo (RFC 792, RFC 4443 4.1, 4.2): a message is type, code, checksum, identifier, sequence number
 * and data. Of both families the first eight bytes have the same shape. */
#define PACKET_ECHO_HEADER   8u
#define PACKET_ECHO_REQUEST  8u /* ICMP */
#define PACKET_ECHO_REPLY    0u
#define PACKET_ECHO6_REQUEST 128u /* ICMPv6 */
#define PACKET_ECHO6_REPLY   129u
bool packet_is_echo_request(const struct packet *p);
/** packet_echo() - A whole echo request, or (@is_reply) reply, with a checksum that fits: the
 * message is borrowed, the endpoints' ports are the identifier (at the asking end) and 0. -EBADMSG.
 */
int packet_echo(const struct packet *p, bool is_reply, struct endpoint *ret_src,
                struct endpoint *ret_dst, struct bytes *ret_message) MUST_USE;
/** packet_echo_id() - Of a message of at least PACKET_ECHO_HEADER bytes. */
uint16_t packet_echo_id(struct bytes message);
/** packet_echo_set_id() - Change it, and the checksum as much (RFC 1624 3), so that a message that
 * was right stays right. */
void packet_echo_set_id(uint8_t message[static PACKET_ECHO_HEADER], uint16_t id);
/** packet_echo_answer() - Turn the request @message of @len bytes into the reply to it, from @src
 * to
 * @dst (the addresses count in ICMPv6's checksum only). */
void packet_echo_answer(uint8_t *message, size_t len, const struct ip *src, const struct ip *dst);

/** packet_write_error() - The ICMP error that tells the sender of @about that it failed with @err
 * (-ECONNREFUSED: port; -ENETUNREACH: network; -EACCES: prohibited; others: host), as if from
 * about->dst. Returns the length. Errors: -ENOBUFS. */
int packet_write_error(const struct packet *about, int err, uint8_t *ret, size_t cap) MUST_USE;
/** packet_write_icmp() - The same with the message's @type and @code given, as if from @from. */
int packet_write_icmp(const struct packet *about, const struct ip *from, uint8_t type, uint8_t code,
                      uint8_t *ret, size_t cap) MUST_USE;
/** packet_write_rst() - The reset that refuses the SYN @about (RFC 9293 3.10.7.1). Length or
 * -errno. */
int packet_write_rst(const struct packet *about, uint8_t *ret, size_t cap) MUST_USE;

/** packet_write_udp_headers() - The network and UDP header of a datagram whose payload is not known
 * any more, for an error to quote: 28 or 48 bytes. */
void packet_write_udp_headers(const struct endpoint *src, const struct endpoint *dst,
                              uint8_t ret[static 48]);

/** packet_write_start() - The first bytes, at most @cap (not less than the headers), of the packet
 * that brings @l4, for an error to quote. Returns their number. */
size_t packet_write_start(const struct ip *src, const struct ip *dst, uint8_t proto,
                          struct bytes l4, uint8_t *ret, size_t cap);

/** What the network header of a message that we send says, and where it is cut. */
struct packet_shape {
    uint16_t mtu;
    uint32_t id;   /* of its fragments */
    uint8_t hops;  /* time to live, or hop limit */
    uint8_t class; /* type of service, or traffic class */
};
/** packet_send_udp() - Build the datagram, in fragments when it exceeds the MTU, and hand each
 * packet to @emit. Errors: -EMSGSIZE; -EAFNOSUPPORT families differ. */
int packet_send_udp(const struct endpoint *src, const struct endpoint *dst, struct bytes payload,
                    const struct packet_shape *shape, void (*emit)(void *self, struct bytes packet),
                    void *self) MUST_USE;

/** packet_send_echo() - The same for an echo message, whose checksum is made. */
int packet_send_echo(const struct ip *src, const struct ip *dst, struct bytes message,
                     const struct packet_shape *shape,
                     void (*emit)(void *self, struct bytes packet), void *self) MUST_USE;

#endif
