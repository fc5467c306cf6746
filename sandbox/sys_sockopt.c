/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getsockopt(2) and setsockopt(2). Options are rows of a table: what is set is remembered and read
 * back, what was never set has Linux's default. Only those that change behaviour here do more.
 * SO_RCVTIMEO, SO_SNDTIMEO and SO_OOBINLINE never come here: they act on the AF_UNIX object itself.
 */
#include <errno.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "sandbox/dispatch.h"
#include "sandbox/sys_tcp.h"

#define T   1u /* TCP sockets have it */
#define U   2u /* UDP sockets have it */
#define N   4u /* netlink sockets have it */
#define SIX 8u /* only AF_INET6 sockets have it */

#define IS_BOOL     0, 1, true
#define RANGE(a, b) (a), (b), false
#define ANY         INT32_MIN, INT32_MAX, false

#define OPTION_LEN_MAX 256    /* bytes of a value that we look at */
#define BUFFER_MAX     425984 /* 2 * wmem_max, as Linux reads it back */
#define MSS            1380   /* MTU 1420 of the tunnel less the headers */

#ifndef SOL_UDPLITE
#define SOL_UDPLITE 136
#endif
#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11

struct option_row {
    int level;
    int name;
    unsigned kinds;
    int32_t initial;
    int32_t min;
    int32_t max;
    bool is_bool; /* any number but 0 is kept as 1 */
};

static const struct option_row rows[] = {
    {SOL_SOCKET, SO_DEBUG, T | U | N, 0, RANGE(0, 0)},
    {SOL_SOCKET, SO_REUSEADDR, T | U | N, 0, IS_BOOL},
    {SOL_SOCKET, SO_REUSEPORT, T | U, 0, IS_BOOL},
    {SOL_SOCKET, SO_KEEPALIVE, T | U, 0, IS_BOOL},
    {SOL_SOCKET, SO_BROADCAST, T | U | N, 0, IS_BOOL},
    {SOL_SOCKET, SO_DONTROUTE, T | U | N, 0, IS_BOOL},
    {SOL_SOCKET, SO_NO_CHECK, T | U, 0, IS_BOOL},
    {SOL_SOCKET, SO_PRIORITY, T | U | N, 0, RANGE(0, 6)},
    {SOL_SOCKET, SO_TIMESTAMP, T | U | N, 0, IS_BOOL},
    {SOL_SOCKET, SO_TIMESTAMPNS, T | U | N, 0, IS_BOOL},
    {SOL_SOCKET, SO_RXQ_OVFL, T | U | N, 0, IS_BOOL},
    {SOL_SOCKET, SO_BUSY_POLL, T | U, 0, RANGE(0, 0)},
    {SOL_SOCKET, SO_INCOMING_CPU, T | U, -1, ANY},
    {SOL_SOCKET, SO_SELECT_ERR_QUEUE, T | U, 0, IS_BOOL},
    {SOL_SOCKET, SO_PASSCRED, N, 0, IS_BOOL},
    {IPPROTO_IP, IP_TOS, T | U, 0, ANY},
    {IPPROTO_IP, IP_TTL, T | U, 64, RANGE(-1, 255)},
    {IPPROTO_IP, IP_MTU_DISCOVER, T | U, IP_PMTUDISC_WANT, RANGE(0, 5)},
    {IPPROTO_IP, IP_RECVERR, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_PKTINFO, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_RECVTTL, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_RECVTOS, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_RECVOPTS, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_RETOPTS, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_RECVORIGDSTADDR, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_PASSSEC, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_FREEBIND, T | U, 0, RANGE(0, 0)},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, T | U, 0, IS_BOOL},
    {IPPROTO_IP, IP_MINTTL, T | U, 0, RANGE(0, 255)},
    {IPPROTO_IP, IP_MULTICAST_TTL, U, 1, RANGE(-1, 255)},
    {IPPROTO_IP, IP_MULTICAST_LOOP, T | U, 1, IS_BOOL},
    {IPPROTO_IP, IP_MULTICAST_ALL, T | U, 1, IS_BOOL},
    {IPPROTO_IPV6, IPV6_V6ONLY, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, T | U | SIX, 64, RANGE(-1, 255)},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, U | SIX, 1, RANGE(-1, 255)},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, T | U | SIX, 1, RANGE(0, 1)},
    {IPPROTO_IPV6, IPV6_MULTICAST_IF, U | SIX, 0, ANY},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, T | U | SIX, IPV6_PMTUDISC_WANT, RANGE(0, 5)},
    {IPPROTO_IPV6, IPV6_RECVERR, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_RECVRTHDR, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_RECVHOPOPTS, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_RECVDSTOPTS, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_TCLASS, T | U | SIX, 0, RANGE(-1, 255)},
    {IPPROTO_IPV6, IPV6_DONTFRAG, T | U | SIX, 0, IS_BOOL},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, T | U | SIX, 1, IS_BOOL},
    {IPPROTO_TCP, TCP_NODELAY, T, 0, IS_BOOL},
    {IPPROTO_TCP, TCP_CORK, T, 0, IS_BOOL},
    {IPPROTO_TCP, TCP_KEEPIDLE, T, 7200, RANGE(1, 32767)},
    {IPPROTO_TCP, TCP_KEEPINTVL, T, 75, RANGE(1, 32767)},
    {IPPROTO_TCP, TCP_KEEPCNT, T, 9, RANGE(1, 127)},
    {IPPROTO_TCP, TCP_SYNCNT, T, 6, RANGE(1, 127)},
    {IPPROTO_TCP, TCP_LINGER2, T, 60, ANY},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, T, 0, ANY},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, T, 0, ANY},
    {IPPROTO_TCP, TCP_QUICKACK, T, 1, IS_BOOL},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, T, 0, RANGE(0, INT32_MAX)},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, T, -1, ANY},
    {IPPROTO_TCP, TCP_SAVE_SYN, T, 0, RANGE(0, 2)},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, T, 0, IS_BOOL},
    {IPPROTO_TCP, TCP_THIN_DUPACK, T, 0, IS_BOOL},
    {IPPROTO_TCP, TCP_INQ, T, 0, IS_BOOL},
    {SOL_UDPLITE, UDPLITE_SEND_CSCOV, U, 0, RANGE(0, 65535)},
    {SOL_UDPLITE, UDPLITE_RECV_CSCOV, U, 0, RANGE(0, 65535)},
};

static unsigned kind_bits(const struct vsock *v)
{
    switch ((enum vsock_kind)v->kind) {
    case VSOCK_TCP:
        return T;
    case VSOCK_UDP:
        return U;
    case VSOCK_NETLINK:
        return N;
    }
    return 0;
}

static const struct option_row *row_find(const struct vsock *v, int level, int name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct option_row *r = &rows[i];

        if (r->level == level && r->name == name)
            return (r->kinds & kind_bits(v)) != 0 && ((r->kinds & SIX) == 0 || v->is_v6) ? r : NULL;
    }
    return NULL;
}

/* Setting */

/** Read the value as Linux does: at least 4 bytes for an int; IP options may come as one byte. */
static int read_int(struct session *s, const struct trap *t, int level, int32_t *ret)
{
    int len = (int)t->call.arg[4];
    uint8_t byte;
    int err;

    if (len < 0)
        return -EINVAL;
    if (len >= (int)sizeof(*ret))
        return trap_read(s, t, t->call.arg[3], ret, sizeof(*ret));
    if (level != IPPROTO_IP || len < 1)
        return -EINVAL;
    err = trap_read(s, t, t->call.arg[3], &byte, 1);
    *ret = byte;
    return err;
}

static int64_t set_linger(struct session *s, struct trap *t)
{
    struct linger linger;
    int err;

    if ((int)t->call.arg[4] < (int)sizeof(linger))
        return -EINVAL;
    err = trap_read(s, t, t->call.arg[3], &linger, sizeof(linger));
    if (err < 0)
        return err;
    t->sock->is_resetting = linger.l_onoff != 0 && linger.l_linger == 0;
    err = vsock_option_set(t->sock, SOL_SOCKET, SO_LINGER,
                           linger.l_onoff != 0 ? linger.l_linger & INT32_MAX : -1);
    return err;
}

static int64_t set_buffer(struct session *s, struct trap *t, int name)
{
    int32_t value;
    int err = read_int(s, t, SOL_SOCKET, &value);

    if (err < 0)
        return err;
    if (value < 0 || value > BUFFER_MAX / 2)
        value = BUFFER_MAX / 2;
    value *= 2; /* socket(7): the kernel doubles it */
    if (name == SO_RCVBUF && value < 2304)
        value = 2304; /* SOCK_MIN_RCVBUF */
    if (name == SO_SNDBUF && value < 4608)
        value = 4608; /* SOCK_MIN_SNDBUF */
    if (name == SO_SNDBUF && t->sock->is_loopback && t->fd >= 0)
        inject_limit_send(t->fd, value); /* a relayed end needs its room for the canary */
    return vsock_option_set(t->sock, SOL_SOCKET, name, value);
}

/** Options that must not be believed, or that have a value of their own kind. */
static bool set_special(struct session *s, struct trap *t, int level, int name, int64_t *ret)
{
    int32_t value;

    if (level == SOL_SOCKET) {
        switch (name) {
        case SO_LINGER:
            *ret = set_linger(s, t);
            return true;
        case SO_SNDBUF:
        case SO_RCVBUF:
            *ret = set_buffer(s, t, name);
            return true;
        case SO_SNDBUFFORCE:
        case SO_RCVBUFFORCE:
        case SO_MARK:
        case SO_BINDTODEVICE:
            *ret = -EPERM;
            return true;
        case SO_RCVLOWAT: /* acts on the AF_UNIX object; its own value is ours to set */
            *ret = read_int(s, t, level, &value);
            if (*ret == 0 && t->fd >= 0 &&
                setsockopt(t->fd, level, name, &value, sizeof(value)) < 0)
                *ret = -errno;
            return true;
        default:
            return false;
        }
    }
    if (level == IPPROTO_TCP && name == TCP_CONGESTION && t->sock->kind == VSOCK_TCP) {
        *ret = -ENOENT; /* no algorithm but the one that there is */
        return true;
    }
    if (level == IPPROTO_TCP && name == TCP_MAXSEG && t->sock->kind == VSOCK_TCP) {
        *ret = read_int(s, t, level, &value);
        if (*ret == 0 && (value < 88 || value > 32767) && value != 0)
            *ret = -EINVAL;
        return true;
    }
    if ((level == IPPROTO_IP &&
         (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP || name == MCAST_JOIN_GROUP)) ||
        (level == IPPROTO_IPV6 && t->sock->is_v6 &&
         (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP))) {
        *ret = -ENODEV; /* no interface here takes part in multicast */
        return true;
    }
    return false;
}

/** The options that mean something in this house, beyond being remembered. */
static int64_t take_effect(struct vsock *v, int level, int name, int32_t value)
{
    if (level == SOL_SOCKET && name == SO_REUSEADDR)
        v->may_reuse_addr = value != 0;
    if (level == SOL_SOCKET && name == SO_REUSEPORT)
        v->may_reuse_port = value != 0;
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) {
        if (v->is_bound)
            return -EINVAL;
        v->is_v6only = value != 0;
    }
    return 0;
}

int64_t sys_setsockopt(struct session *s, struct trap *t)
{
    int level = (int)t->call.arg[1];
    int name = (int)t->call.arg[2];
    const struct option_row *r;
    int32_t value;
    int64_t result;
    int err;

    if (t->sock == NULL)
        return CALL_CONTINUE;
    if ((int)t->call.arg[4] < 0)
        return -EINVAL;
    if (t->sock->kind == VSOCK_NETLINK && level == SOL_NETLINK)
        return 0; /* multicast groups and the like: nothing is ever sent to them here */
    if (set_special(s, t, level, name, &result))
        return result;
    r = row_find(t->sock, level, name);
    if (r == NULL)
        return -ENOPROTOOPT;
    err = read_int(s, t, level, &value);
    if (err < 0)
        return err;
    if (r->is_bool)
        value = value != 0;
    else if (value < r->min || value > r->max)
        return level == SOL_SOCKET ? -EPERM : -EINVAL;
    if (r->initial == 64 && value == -1)
        value = 64; /* -1 asks for the default */
    result = take_effect(t->sock, level, name, value);
    return result < 0 ? result : vsock_option_set(t->sock, level, name, value);
}

/* Getting */

static int64_t give_int(struct session *s, const struct trap *t, int32_t value)
{
    return option_write(s, t, &value, sizeof(value));
}

static int64_t get_error(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    int32_t err = v->so_error;
    socklen_t len = sizeof(err);

    if (tcp_is_pending(v)) {
        tcp_settle(s, t);
        /* connect() was interrupted and its end looks ready to poll(2): the answer is worth a wait.
         */
        if (tcp_is_pending(v))
            return trap_is_nonblock(s, t) ? give_int(s, t, 0) : trap_hold(s, t, HELD_CONNECT, 0);
    }
    v->so_error = 0;
    if (t->fd >= 0 && v->kind == VSOCK_TCP) { /* the object's own error: a reset */
        int32_t native = 0;

        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &native, &len) == 0 && err == 0 &&
            v->state != VSOCK_FAILED)
            err = native;
    }
    return give_int(s, t, err);
}

static int64_t get_linger(struct session *s, struct trap *t)
{
    struct linger linger = {0};
    int32_t value;

    if (vsock_option_get(t->sock, SOL_SOCKET, SO_LINGER, &value) && value >= 0) {
        linger.l_onoff = 1;
        linger.l_linger = value;
    }
    return option_write(s, t, &linger, sizeof(linger));
}

static int64_t get_info(struct session *s, struct trap *t)
{
    static const uint8_t states[VSOCK_STATE_COUNT] = {
        [VSOCK_OPEN] = TCP_CLOSE,
        [VSOCK_CONNECTING] = TCP_SYN_SENT,
        [VSOCK_CONNECTED] = TCP_ESTABLISHED,
        [VSOCK_FAILED] = TCP_CLOSE,
        [VSOCK_LISTENING] = TCP_LISTEN,
        [VSOCK_OVER] = TCP_CLOSE,
    };
    struct tcp_info info = {
        .tcpi_state = states[t->sock->state],
        .tcpi_snd_mss = MSS,
        .tcpi_rcv_mss = MSS,
        .tcpi_pmtu = 1420,
        .tcpi_snd_cwnd = 10,
        .tcpi_rto = 200000,
        .tcpi_rtt = t->sock->is_loopback ? 20 : 10000,
        .tcpi_rttvar = t->sock->is_loopback ? 10 : 5000,
        .tcpi_advmss = MSS,
        .tcpi_snd_ssthresh = INT32_MAX,
        .tcpi_rcv_space = 65535,
    };

    return option_write(s, t, &info, sizeof(info));
}

static bool get_socket(struct session *s, struct trap *t, int name, int64_t *ret)
{
    struct vsock *v = t->sock;
    struct {
        int32_t pid;
        uint32_t uid;
        uint32_t gid;
    } nobody = {.uid = UINT32_MAX, .gid = UINT32_MAX};
    int32_t value;
    socklen_t len = sizeof(value);

    switch (name) {
    case SO_ERROR:
        *ret = get_error(s, t);
        return true;
    case SO_TYPE:
        *ret = give_int(s, t,
                        v->kind == VSOCK_TCP   ? SOCK_STREAM
                        : v->kind == VSOCK_UDP ? SOCK_DGRAM
                                               : SOCK_RAW);
        return true;
    case SO_DOMAIN:
        *ret = give_int(s, t,
                        v->kind == VSOCK_NETLINK ? AF_NETLINK
                        : v->is_v6               ? AF_INET6
                                                 : AF_INET);
        return true;
    case SO_PROTOCOL:
        *ret = give_int(s, t, v->protocol);
        return true;
    case SO_ACCEPTCONN:
        *ret = give_int(s, t, v->state == VSOCK_LISTENING);
        return true;
    case SO_LINGER:
        *ret = get_linger(s, t);
        return true;
    case SO_SNDBUF:
    case SO_RCVBUF:
        if (!vsock_option_get(v, SOL_SOCKET, name, &value))
            value = v->kind != VSOCK_TCP ? 212992 : name == SO_SNDBUF ? 16384 : 131072;
        *ret = give_int(s, t, value);
        return true;
    case SO_SNDLOWAT:
        *ret = give_int(s, t, 1);
        return true;
    case SO_RCVLOWAT:
        value = 1;
        if (t->fd >= 0)
            (void)getsockopt(t->fd, SOL_SOCKET, SO_RCVLOWAT, &value, &len); /* 1 when it fails */
        *ret = give_int(s, t, value);
        return true;
    case SO_PEERCRED:
        *ret = option_write(s, t, &nobody, sizeof(nobody));
        return true;
    case SO_MARK:
        *ret = give_int(s, t, 0);
        return true;
    case SO_BINDTODEVICE:
        *ret = option_write(s, t, "", 0);
        return true;
    case SO_COOKIE:
        *ret = option_write(s, t, &v->inode, sizeof(v->inode));
        return true;
    default:
        return false;
    }
}

static bool get_special(struct session *s, struct trap *t, int level, int name, int64_t *ret)
{
    static const char congestion[16] = "cubic";

    if (level == SOL_SOCKET)
        return get_socket(s, t, name, ret);
    if (level == IPPROTO_TCP && t->sock->kind == VSOCK_TCP) {
        switch (name) {
        case TCP_INFO:
            *ret = get_info(s, t);
            return true;
        case TCP_CONGESTION:
            *ret = option_write(s, t, congestion, sizeof(congestion));
            return true;
        case TCP_MAXSEG:
            *ret = give_int(s, t, t->sock->state == VSOCK_CONNECTED ? MSS : 536);
            return true;
        default:
            return false;
        }
    }
    if ((level == IPPROTO_IP && name == IP_MTU) ||
        (level == IPPROTO_IPV6 && name == IPV6_MTU && t->sock->is_v6)) {
        *ret = t->sock->state == VSOCK_CONNECTED
                   ? give_int(s, t, t->sock->is_loopback ? 65536 : 1420)
                   : -ENOTCONN;
        return true;
    }
    if (level == IPPROTO_IP && name == IP_OPTIONS) {
        *ret = option_write(s, t, "", 0);
        return true;
    }
    return false;
}

int64_t sys_getsockopt(struct session *s, struct trap *t)
{
    int level = (int)t->call.arg[1];
    int name = (int)t->call.arg[2];
    const struct option_row *r;
    int64_t result;
    int32_t value;

    if (t->sock == NULL)
        return CALL_CONTINUE;
    if (get_special(s, t, level, name, &result))
        return result;
    r = row_find(t->sock, level, name);
    if (r == NULL)
        return -ENOPROTOOPT;
    if (!vsock_option_get(t->sock, level, name, &value))
        value = r->initial;
    return give_int(s, t, value);
}
