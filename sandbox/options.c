/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of options.def, and the few numbers in which Linux does not keep what it was given.
 */
#include "sandbox/options.h"

#include <errno.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define T   1u /* TCP sockets have it */
#define U   2u /* UDP sockets have it */
#define N   4u /* netlink sockets have it */
#define SIX 8u /* only AF_INET6 sockets have it */

#define IS_BOOL          0, 1, VALUE_BOOL
#define RANGE(a, b)      (a), (b), VALUE_NUMBER
#define OR_DEFAULT(a, b) (a), (b), VALUE_OR_DEFAULT
#define ANY              INT32_MIN, INT32_MAX, VALUE_NUMBER
#define IGNORED          0, 0, VALUE_IGNORED

#define WINDOW_CLAMP_MIN 1152 /* SOCK_MIN_RCVBUF / 2 */

#ifndef SOL_UDPLITE
#define SOL_UDPLITE 136
#endif
#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11

static const struct option_row rows[] = {
#define OPTION(level_, name_, kinds_, initial_, ...) {level_, name_, kinds_, initial_, __VA_ARGS__},
#include "sandbox/options.def"
#undef OPTION
};

static unsigned kind_bits(const struct vsock *v)
{
    switch ((enum vsock_kind)v->kind) {
    case VSOCK_TCP:
        return T;
    case VSOCK_UDP:
    case VSOCK_PING:
        return U;
    case VSOCK_NETLINK:
        return N;
    }
    return 0;
}

const struct option_row *option_find(const struct vsock *v, int level, int name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct option_row *r = &rows[i];

        if (r->level == SOL_UDPLITE && v->kind == VSOCK_PING)
            continue;
        if (r->level == level && r->name == name)
            return (r->kinds & kind_bits(v)) != 0 && ((r->kinds & SIX) == 0 || v->is_v6) ? r : NULL;
    }
    return NULL;
}

/** TCP_DEFER_ACCEPT: seconds become a number of retransmissions, and that seconds again. */
static int32_t defer_seconds(int32_t wanted)
{
    int32_t timeout = 1; /* TCP_TIMEOUT_INIT */
    int32_t period = 1;

    if (wanted <= 0)
        return 0;
    for (unsigned i = 1; period < wanted && i < 255; i++) {
        timeout = timeout * 2 < 120 ? timeout * 2 : 120; /* TCP_RTO_MAX */
        period += timeout;
    }
    return period;
}

static void keep_tcp(int name, int32_t *value)
{
    if (name == TCP_DEFER_ACCEPT)
        *value = defer_seconds(*value);
    if (name == TCP_LINGER2) /* 60: net.ipv4.tcp_fin_timeout; 120: TCP_FIN_TIMEOUT_MAX */
        *value = *value < 0 ? -1 : *value == 0 ? 60 : *value < 120 ? *value : 120;
    if (name == TCP_WINDOW_CLAMP && *value != 0 && *value < WINDOW_CLAMP_MIN)
        *value = WINDOW_CLAMP_MIN;
}

static bool is_class(const struct option_row *r)
{
    return (r->level == IPPROTO_IP && r->name == IP_TOS) ||
           (r->level == IPPROTO_IPV6 && r->name == IPV6_TCLASS);
}

int option_check(const struct vsock *v, const struct option_row *r, int32_t *value)
{
    switch (r->kind) {
    case VALUE_IGNORED:
        *value = r->initial;
        return 0;
    case VALUE_BOOL:
        *value = *value != 0;
        return 0;
    case VALUE_OR_DEFAULT:
        if (*value == -1)
            *value = r->initial;
        break;
    case VALUE_NUMBER:
        break;
    }
    if (v->kind == VSOCK_TCP && r->level == IPPROTO_IP && r->name == IP_MULTICAST_TTL)
        return -EINVAL;
    if (v->kind == VSOCK_TCP && r->level == IPPROTO_IPV6 && r->name == IPV6_MULTICAST_HOPS)
        return -ENOPROTOOPT;
    if (*value >= r->min && *value <= r->max) {
        if (r->level == IPPROTO_TCP)
            keep_tcp(r->name, value);
        if (is_class(r))
            *value &= v->kind == VSOCK_TCP ? 0xfc : 0xff; /* TCP owns the ECN bits */
        return 0;
    }
    if (r->level == SOL_SOCKET && r->name == SO_DEBUG)
        return -EACCES;
    if ((r->level == IPPROTO_IP && r->name == IP_TRANSPARENT) ||
        (r->level == IPPROTO_IPV6 && r->name == IPV6_TRANSPARENT) ||
        (r->level == SOL_SOCKET && r->name == SO_PRIORITY))
        return -EPERM;
    return -EINVAL;
}

bool option_level_is_known(const struct vsock *v, int level)
{
    switch (level) {
    case SOL_SOCKET:
    case IPPROTO_IP:
        return true;
    case IPPROTO_IPV6:
        return v->is_v6;
    case IPPROTO_TCP:
        return v->is_v6 || v->kind == VSOCK_TCP;
    case IPPROTO_UDP:
    case SOL_UDPLITE:
        return v->is_v6 || v->kind == VSOCK_UDP;
    default:
        return v->is_v6 || v->kind == VSOCK_NETLINK;
    }
}
