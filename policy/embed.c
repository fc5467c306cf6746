/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 addresses that carry an IPv4 address. A deny of 169.254.169.254 that 64:ff9b::a9fe:a9fe
 * walks around would be no deny, so each IPv4 address that some translator or tunnel would take out
 * is judged as well. Where the layout is not known (the local NAT64 prefix of RFC 8215), every
 * layout is tried.
 */
#include "policy/judged.h"

struct found {
    struct ip *list;
    unsigned count;
};

static bool begins(const struct ip *ip, const uint8_t *head, size_t len)
{
    return memcmp(ip->bytes, head, len) == 0;
}

static void add(struct found *f, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    must(f->count < EMBEDDED_MAX);
    f->list[f->count++] = ip_v4(a, b, c, d);
}

static void add_at(struct found *f, const uint8_t *at)
{
    add(f, at[0], at[1], at[2], at[3]);
}

/** RFC 6052 2.2, prefix lengths 48, 56, 64 and 96, without byte 8. Addresses of "this network" are
 * left out: they come from reading a longer layout as a shorter one, and no translator sends to
 * them. */
static void add_local_nat64(struct found *f, const uint8_t *b)
{
    const uint8_t layouts[4][4] = {{b[6], b[7], b[9], b[10]},
                                   {b[7], b[9], b[10], b[11]},
                                   {b[9], b[10], b[11], b[12]},
                                   {b[12], b[13], b[14], b[15]}};

    for (unsigned i = 0; i < ARRAY_COUNT(layouts); i++)
        if (layouts[i][0] != 0)
            add_at(f, layouts[i]);
}

unsigned embedded_v4(const struct ip *ip, struct ip ret[static EMBEDDED_MAX])
{
    static const uint8_t zero[12];
    static const uint8_t translated[12] = {[8] = 0xff, [9] = 0xff};             /* RFC 2765 2.1 */
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};                  /* RFC 6052 2.1 */
    static const uint8_t local_nat64[6] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}; /* RFC 8215 */
    static const uint8_t teredo[4] = {0x20, 0x01};                              /* RFC 4380 4 */
    static const uint8_t sixtofour[2] = {0x20, 0x02};                           /* RFC 3056 2 */
    static const uint8_t isatap[3] = {0x00, 0x5e, 0xfe};                        /* RFC 5214 6.1 */
    struct found f = {.list = ret};
    const uint8_t *b = ip->bytes;

    if (ip->family != IP_V6)
        return 0;
    if (begins(ip, zero, 12) || begins(ip, translated, 12) || begins(ip, nat64, 12))
        add_at(&f, b + 12);
    else if (begins(ip, local_nat64, 6))
        add_local_nat64(&f, b);
    else if (begins(ip, sixtofour, 2))
        add_at(&f, b + 2);
    if (begins(ip, teredo, 4)) {
        add_at(&f, b + 4); /* the server, then the client, whose bits are turned over */
        add(&f, b[12] ^ 0xff, b[13] ^ 0xff, b[14] ^ 0xff, b[15] ^ 0xff);
    }
    if ((b[8] & 0xfd) == 0 && memcmp(b + 9, isatap, 3) == 0)
        add_at(&f, b + 12);
    return f.count;
}
