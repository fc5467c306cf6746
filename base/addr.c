/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses and prints addresses. The libc does the IPv6 grammar; what it accepts beyond the strict
 * spelling (RFC 4291 text without zone) is refused before it is asked.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

struct ip ip_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct ip){.family = IP_V4, .bytes = {a, b, c, d}};
}

struct ip ip_from_v6(const uint8_t bytes[static 16])
{
    struct ip ip = {.family = IP_V6};

    memcpy(ip.bytes, bytes, sizeof(ip.bytes));
    return ip;
}

struct ip ip_any(enum ip_family family)
{
    return (struct ip){.family = (uint8_t)family};
}

unsigned ip_len(const struct ip *ip)
{
    return ip->family == IP_V4 ? 4 : 16;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && ip_equal(&a->ip, &b->ip);
}

bool ip_is_any(const struct ip *ip)
{
    static const uint8_t zero[16];

    return memcmp(ip->bytes, zero, sizeof(zero)) == 0;
}

struct ip ip_unmap(const struct ip *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (ip->family != IP_V6 || memcmp(ip->bytes, mapped, sizeof(mapped)) != 0)
        return *ip;
    return ip_v4(ip->bytes[12], ip->bytes[13], ip->bytes[14], ip->bytes[15]);
}

bool ip_is_loopback(const struct ip *ip)
{
    static const uint8_t one[16] = {[15] = 1};
    struct ip plain = ip_unmap(ip);

    if (plain.family == IP_V4)
        return plain.bytes[0] == 127;
    return plain.family == IP_V6 && memcmp(plain.bytes, one, sizeof(one)) == 0;
}

bool prefix_contains(const struct prefix *p, const struct ip *ip)
{
    unsigned whole = p->bits / 8;
    unsigned rest = p->bits % 8;

    if (p->ip.family != ip->family || memcmp(p->ip.bytes, ip->bytes, whole) != 0)
        return false;
    if (rest == 0)
        return true;
    return (p->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

/** Decimal 0..@max, 1..5 digits, no leading zero. */
static int number_parse(struct bytes text, unsigned max, unsigned *ret)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.data[0] == '0'))
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -EINVAL;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    if (value > max)
        return -EINVAL;
    *ret = value;
    return 0;
}

int port_parse(struct bytes text, uint16_t *ret)
{
    unsigned value;

    if (number_parse(text, UINT16_MAX, &value) < 0)
        return -EINVAL;
    *ret = (uint16_t)value;
    return 0;
}

static int v4_parse(struct bytes text, uint8_t ret[static 4])
{
    size_t start = 0;
    unsigned part = 0;

    for (size_t i = 0; i <= text.len; i++) {
        unsigned value;

        if (i < text.len && text.data[i] != '.')
            continue;
        if (part == 4 || number_parse(bytes_of(text.data + start, i - start), 255, &value) < 0)
            return -EINVAL;
        ret[part++] = (uint8_t)value;
        start = i + 1;
    }
    return part == 4 ? 0 : -EINVAL;
}

int ip_parse(struct bytes text, struct ip *ret)
{
    char copy[IP_TEXT_CAP];
    uint8_t raw[16];
    bool is_v6 = false;

    if (text.len == 0 || text.len >= sizeof(copy))
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

        if (!hex && c != ':' && c != '.')
            return -EINVAL;
        is_v6 = is_v6 || c == ':';
        copy[i] = c;
    }
    copy[text.len] = '\0';
    if (!is_v6) {
        if (v4_parse(text, raw) < 0)
            return -EINVAL;
        *ret = ip_v4(raw[0], raw[1], raw[2], raw[3]);
        return 0;
    }
    if (inet_pton(AF_INET6, copy, raw) != 1)
        return -EINVAL;
    *ret = ip_from_v6(raw);
    return 0;
}

static bool has_host_bits(const struct prefix *p)
{
    for (unsigned bit = p->bits; bit < ip_len(&p->ip) * 8; bit++)
        if (p->ip.bytes[bit / 8] & (0x80u >> (bit % 8)))
            return true;
    return false;
}

int prefix_parse(struct bytes text, bool host_bits, struct prefix *ret)
{
    struct prefix p = {0};
    const uint8_t *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    size_t ip_chars = slash != NULL ? (size_t)(slash - text.data) : text.len;
    unsigned bits;

    if (ip_parse(bytes_of(text.data, ip_chars), &p.ip) < 0)
        return -EINVAL;
    bits = ip_len(&p.ip) * 8;
    if (slash != NULL &&
        number_parse(bytes_of(slash + 1, text.len - ip_chars - 1), bits, &bits) < 0)
        return -EINVAL;
    p.bits = (uint8_t)bits;
    if (!host_bits && has_host_bits(&p))
        return -EINVAL;
    *ret = p;
    return 0;
}

int endpoint_parse(struct bytes text, struct endpoint *ret)
{
    struct endpoint e;
    struct bytes host;
    size_t colon = text.len;

    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return -EINVAL;
    host = bytes_of(text.data, colon - 1);
    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        host = bytes_of(host.data + 1, host.len - 2);
    else if (memchr(host.data, ':', host.len) != NULL)
        return -EINVAL; /* 2001:db8::1:443 could mean two things */
    if (ip_parse(host, &e.ip) < 0 ||
        port_parse(bytes_of(text.data + colon, text.len - colon), &e.port) < 0 || e.port == 0)
        return -EINVAL;
    if ((e.ip.family == IP_V6) != (text.data[0] == '['))
        return -EINVAL;
    *ret = e;
    return 0;
}

const char *ip_print(const struct ip *ip, char ret[static IP_TEXT_CAP])
{
    if (ip->family == IP_NONE)
        (void)snprintf(ret, IP_TEXT_CAP, "none");
    else
        must(inet_ntop(ip->family == IP_V4 ? AF_INET : AF_INET6, ip->bytes, ret, IP_TEXT_CAP));
    return ret;
}

const char *endpoint_print(const struct endpoint *e, char ret[static ENDPOINT_TEXT_CAP])
{
    char ip[IP_TEXT_CAP];
    const char *format = e->ip.family == IP_V6 ? "[%s]:%u" : "%s:%u";

    (void)ip_print(&e->ip, ip);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* both formats stand on the line above */
    (void)snprintf(ret, ENDPOINT_TEXT_CAP, format, ip, e->port);
#pragma GCC diagnostic pop
    return ret;
}

const char *prefix_print(const struct prefix *p, char ret[static PREFIX_TEXT_CAP])
{
    char ip[IP_TEXT_CAP];

    (void)snprintf(ret, PREFIX_TEXT_CAP, "%s/%u", ip_print(&p->ip, ip), p->bits);
    return ret;
}

int endpoint_from_sockaddr(struct bytes raw, struct endpoint *ret)
{
    sa_family_t family;

    if (raw.len < sizeof(family))
        return -EINVAL;
    memcpy(&family, raw.data, sizeof(family));
    if (family == AF_INET) {
        struct sockaddr_in sin;

        if (raw.len < sizeof(sin))
            return -EINVAL;
        memcpy(&sin, raw.data, sizeof(sin));
        *ret = (struct endpoint){.ip = {.family = IP_V4}, .port = ntohs(sin.sin_port)};
        memcpy(ret->ip.bytes, &sin.sin_addr, 4);
        return 0;
    }
    if (family == AF_INET6) {
        struct sockaddr_in6 sin6 = {0};

        /* RFC 2133 programs pass 24 bytes, without the scope id; Linux takes those too. */
        if (raw.len < offsetof(struct sockaddr_in6, sin6_scope_id))
            return -EINVAL;
        memcpy(&sin6, raw.data, raw.len < sizeof(sin6) ? raw.len : sizeof(sin6));
        *ret = (struct endpoint){.ip = ip_from_v6(sin6.sin6_addr.s6_addr),
                                 .port = ntohs(sin6.sin6_port)};
        return 0;
    }
    return -EAFNOSUPPORT;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret)
{
    *ret = (struct sockaddr_storage){0};
    if (e->ip.family == IP_V4) {
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(e->port)};

        memcpy(&sin.sin_addr, e->ip.bytes, 4);
        memcpy(ret, &sin, sizeof(sin));
        return sizeof(sin);
    }
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};

    memcpy(&sin6.sin6_addr, e->ip.bytes, 16);
    memcpy(ret, &sin6, sizeof(sin6));
    return sizeof(sin6);
}
