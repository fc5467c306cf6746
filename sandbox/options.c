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

#include "sandbox/interfaces.h"

#define T    1u /* TCP sockets have it */
#define U    2u /* UDP sockets have it */
#define N    4u /* netlink sockets have it */
#define SIX  8u /* only AF_INET6 sockets have it */
#define FULL OPTION_IS_FULL

#define IS_BOOL             0, 1, VALUE_BOOL
#define RANGE(a, b)         (a), (b), VALUE_NUMBER
#define OR_DEFAULT(a, b)    (a), (b), VALUE_OR_DEFAULT
#define ANY                 INT32_MIN, INT32_MAX, VALUE_NUMBER
#define IGNORED             0, 0, VALUE_IGNORED
#define IGNORED_RANGE(a, b) (a), (b), VALUE_IGNORED
#define INTERFACE           0, 0, VALUE_INTERFACE

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

static const struct option_answer answers[] = {
#define ANSWER(level_, first_, last_, kinds_, get_, zero_, other_)                                 \
    {level_, first_, last_, kinds_, get_, zero_, other_},
#include "sandbox/answers.def"
#undef ANSWER
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

static bool is_for(const struct vsock *v, unsigned kinds)
{
    return (kinds & kind_bits(v)) != 0 && ((kinds & SIX) == 0 || v->is_v6);
}

const struct option_answer *option_answer(const struct vsock *v, int level, int name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(answers); i++) {
        const struct option_answer *a = &answers[i];

        if (a->level == IPPROTO_UDP && v->kind == VSOCK_PING)
            continue;
        if (a->level == level && name >= a->first && name <= a->last && is_for(v, a->kinds))
            return a;
    }
    return NULL;
}

const struct option_row *option_find(const struct vsock *v, int level, int name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct option_row *r = &rows[i];

        if (r->level == SOL_UDPLITE && v->kind == VSOCK_PING)
            continue;
        if (r->level == level && r->name == name)
            return is_for(v, r->kinds) ? r : NULL;
    }
    return NULL;
}

int32_t option_initial(const struct vsock *v, const struct option_row *r)
{
    if (r->level == IPPROTO_IP && r->name == IP_MULTICAST_ALL && v->is_v6)
        return 0; /* Linux sets it for AF_INET only */
    return r->initial;
}

bool option_keeps_inside(const struct vsock *v)
{
    int32_t index;

    return vsock_option_get(v, SOL_SOCKET, SO_BINDTOIFINDEX, &index) && index == INTERFACE_LO_INDEX;
}

const char *option_congestion(int32_t number)
{
    static const char names[][OPTION_CONGESTION_BYTES] = {"cubic", "reno"};

    return number >= 0 && number < (int32_t)ARRAY_COUNT(names) ? names[number] : NULL;
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
        if (r->min < r->max && (*value < r->min || *value > r->max))
            return -EINVAL;
        *value = r->initial;
        return 0;
    case VALUE_BOOL:
        *value = *value != 0;
        return 0;
    case VALUE_OR_DEFAULT:
        if (*value == -1)
            *value = r->initial;
        break;
    case VALUE_INTERFACE: /* an index in network order, of lo or of the way out */
        return *value == 0 || ntohl((uint32_t)*value) == INTERFACE_LO_INDEX ||
                       ntohl((uint32_t)*value) == INTERFACE_OUT_INDEX
                   ? 0
                   : -EADDRNOTAVAIL;
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
    if (r->level == IPPROTO_IPV6 && r->name == IPV6_MULTICAST_IF)
        return -ENODEV;
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
