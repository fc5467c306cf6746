/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes sockaddr_in and sockaddr_in6 from bytes that the agent chose. Nothing is
 * believed beyond the length that came with them.
 */
#include "sandbox/inet.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

int inet_read(const struct sockaddr_storage *raw, unsigned len, bool is_v6, struct endpoint *ret,
              bool *ret_mapped)
{
    const struct sockaddr *any = (const struct sockaddr *)raw;
    struct endpoint e = {0};

    if (len < sizeof(sa_family_t))
        return -EINVAL;
    *ret_mapped = false;
    if (!is_v6) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)raw;

        if (len < sizeof(*in))
            return -EINVAL;
        if (any->sa_family != AF_INET)
            return -EAFNOSUPPORT;
        e.ip = ip_any(IP_V4);
        memcpy(e.ip.bytes, &in->sin_addr, 4);
        e.port = ntohs(in->sin_port);
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)raw;
        struct ip whole;

        if (len < INET_V6_LEN_MIN)
            return -EINVAL;
        if (any->sa_family != AF_INET6)
            return -EAFNOSUPPORT;
        whole = ip_from_v6(in6->sin6_addr.s6_addr);
        e.ip = ip_unmap(&whole);
        *ret_mapped = e.ip.family == IP_V4;
        e.port = ntohs(in6->sin6_port);
    }
    *ret = e;
    return 0;
}

unsigned inet_write(const struct endpoint *e, bool is_v6, struct sockaddr_storage *ret)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    if (!is_v6)
        return endpoint_to_sockaddr(e, ret);
    memset(ret, 0, sizeof(*ret));
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(e->port);
    if (e->ip.family == IP_V4) {
        in6->sin6_addr.s6_addr[10] = 0xff;
        in6->sin6_addr.s6_addr[11] = 0xff;
        memcpy(in6->sin6_addr.s6_addr + 12, e->ip.bytes, 4);
    } else {
        memcpy(in6->sin6_addr.s6_addr, e->ip.bytes, 16);
    }
    return sizeof(*in6);
}

struct ip inet_destination(const struct ip *ip)
{
    struct ip one = ip_any(IP_V6);

    if (!ip_is_any(ip))
        return *ip;
    if (ip->family == IP_V4)
        return ip_v4(127, 0, 0, 1);
    one.bytes[15] = 1;
    return one;
}

struct ip inet_source(const struct ip *ip)
{
    static const uint8_t localhost[4] = {127, 0, 0, 1};
    struct ip source = *ip;

    if (ip->family == IP_V4 && ip_is_loopback(ip))
        memcpy(source.bytes, localhost, sizeof(localhost));
    return source;
}

bool inet_is_multicast(const struct ip *ip)
{
    return ip->family == IP_V4 ? (ip->bytes[0] & 0xf0) == 0xe0 : ip->bytes[0] == 0xff;
}

bool inet_is_broadcast(const struct ip *ip)
{
    return ip->family == IP_V4 && load_be32(ip->bytes) == UINT32_MAX;
}

bool inet_is_link_local(const struct ip *ip)
{
    if (ip->family == IP_V4)
        return ip->bytes[0] == 169 && ip->bytes[1] == 254;
    return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

bool inet_is_lo_broadcast(const struct ip *ip)
{
    return ip->family == IP_V4 && load_be32(ip->bytes) == 0x7fffffff;
}

bool inet_is_of_link(const struct sockaddr_storage *raw)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)raw;

    return raw->ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&in6->sin6_addr));
}

bool inet_lacks_scope(const struct sockaddr_storage *raw)
{
    return inet_is_of_link(raw) && ((const struct sockaddr_in6 *)raw)->sin6_scope_id == 0;
}
