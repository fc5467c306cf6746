/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internet addresses, endpoints and prefixes, independent of any socket API. Text is parsed
 * strictly: four decimal numbers without leading zeros, or RFC 4291 with an optional IPv4 tail;
 * every other spelling of an address (octal, hexadecimal, a single number, zone ids) is refused,
 * because two parsers that disagree about such spellings are how filters are walked around.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/must.h"

enum ip_family {
    IP_NONE = 0, /* no address */
    IP_V4 = 4,
    IP_V6 = 6,
};

/** An address. IPv4 uses the first 4 bytes, the rest are zero, so memcmp compares. */
struct ip {
    uint8_t family; /* enum ip_family */
    uint8_t bytes[16];
};

struct endpoint {
    struct ip ip;
    uint16_t port; /* host order */
};

/** All addresses whose first @bits bits are those of @ip. */
struct prefix {
    struct ip ip;
    uint8_t bits; /* 0..32 or 0..128 */
};

#define IP_TEXT_CAP       46 /* longest IPv6 spelling and its NUL */
#define ENDPOINT_TEXT_CAP 56 /* "[" IPv6 "]:" port and its NUL */
#define PREFIX_TEXT_CAP   50

struct ip ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
struct ip ip_from_v6(const uint8_t bytes[static 16]);
struct ip ip_any(enum ip_family family);

bool ip_equal(const struct ip *a, const struct ip *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/** ip_is_any() - True for 0.0.0.0 and ::. */
bool ip_is_any(const struct ip *ip);
/** ip_is_loopback() - True for 127.0.0.0/8, ::1 and their IPv4-mapped forms. */
bool ip_is_loopback(const struct ip *ip);
/** ip_unmap() - Turn ::ffff:a.b.c.d (RFC 4291 2.5.5.2) into a.b.c.d; every other address is
 * unchanged. */
struct ip ip_unmap(const struct ip *ip);
/** ip_len() - Bytes of an address of this family: 4 or 16. */
unsigned ip_len(const struct ip *ip);

bool prefix_contains(const struct prefix *p, const struct ip *ip);

/** Parsers. @text is borrowed and need not be terminated. -EINVAL: not exactly such a thing. */
int ip_parse(struct bytes text, struct ip *ret) MUST_USE;
/** prefix_parse() - `ADDRESS/BITS`, or an address alone, which is a prefix of full length. Bits
 * after the prefix must be zero unless @host_bits is true (an interface address). */
int prefix_parse(struct bytes text, bool host_bits, struct prefix *ret) MUST_USE;
/** endpoint_parse() - `a.b.c.d:port` or `[v6]:port`, port 1..65535 without leading zeros. */
int endpoint_parse(struct bytes text, struct endpoint *ret) MUST_USE;
/** port_parse() - Decimal 0..65535 without sign or leading zeros. */
int port_parse(struct bytes text, uint16_t *ret) MUST_USE;

/** Printers write RFC 5952 spelling, terminated, and return @ret. */
const char *ip_print(const struct ip *ip, char ret[static IP_TEXT_CAP]);
const char *endpoint_print(const struct endpoint *e, char ret[static ENDPOINT_TEXT_CAP]);
const char *prefix_print(const struct prefix *p, char ret[static PREFIX_TEXT_CAP]);

/** endpoint_from_sockaddr() - Read a socket address of AF_INET or AF_INET6 from @raw.
 * Errors: -EINVAL shorter than its family needs; -EAFNOSUPPORT another family. */
int endpoint_from_sockaddr(struct bytes raw, struct endpoint *ret) MUST_USE;
/** endpoint_to_sockaddr() - Write @e as the family's socket address; returns its length. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret);

#endif
