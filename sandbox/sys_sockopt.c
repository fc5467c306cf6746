/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getsockopt(2) and setsockopt(2). What is set is remembered and read back, what was never set has
 * Linux's default (options.h). Only those that change behaviour here do more.
 * SO_RCVTIMEO, SO_SNDTIMEO and SO_OOBINLINE never come here: they act on the AF_UNIX object itself.
 */
#include <errno.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

#include "sandbox/dispatch.h"
#include "sandbox/linger.h"
#include "sandbox/options.h"
#include "sandbox/sys_tcp.h"
#include "sandbox/udp_errors.h"

#define OPTION_LEN_MAX 256    /* bytes of a value that we look at */
#define BUFFER_MAX     425984 /* 2 * wmem_max, as Linux reads it back */
#define MSS            1380   /* MTU 1420 of the tunnel less the headers */

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
    bool was_resetting = t->sock->is_resetting;
    struct linger linger;
    int err;

    if ((int)t->call.arg[4] < (int)sizeof(linger))
        return -EINVAL;
    err = trap_read(s, t, t->call.arg[3], &linger, sizeof(linger));
    if (err < 0)
        return err;
    t->sock->is_resetting = linger.l_onoff != 0 && linger.l_linger == 0;
    if (t->sock->flow != NULL)
        flow_reset_on_close(t->sock->flow, t->sock->is_resetting);
    else if (t->sock->is_resetting && !was_resetting)
        linger_reset_at_close(s, t);
    else if (was_resetting && !t->sock->is_resetting)
        linger_close_in_order(s, t);
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
    err = vsock_option_set(t->sock, SOL_SOCKET, name, value);
    if (err < 0 || name != SO_SNDBUF || !t->sock->is_loopback || s->relay_stack != NULL)
        return err; /* a relayed end needs its room for the canary */
    if (t->fd < 0)
        return CALL_CONTINUE; /* the same, done by the kernel */
    inject_limit_send(t->fd, value);
    return 0;
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
            *ret = t->fd < 0 ? CALL_CONTINUE : read_int(s, t, level, &value);
            if (*ret == 0 && setsockopt(t->fd, level, name, &value, sizeof(value)) < 0)
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
    if (level == IPPROTO_IPV6 && name == IPV6_MTU && t->sock->is_v6) {
        *ret = read_int(s, t, level, &value);
        if (*ret == 0 && value != 0 && value < 1280) /* IPV6_MIN_MTU */
            *ret = -EINVAL;
        return true;
    }
    if (level == IPPROTO_TCP && name == TCP_MAXSEG && t->sock->kind == VSOCK_TCP) {
        *ret = read_int(s, t, level, &value);
        if (*ret == 0 && (value < 88 || value > 32767) && value != 0)
            *ret = -EINVAL;
        if (*ret == 0)
            *ret = vsock_option_set(t->sock, level, name, value);
        return true;
    }
    if (level == IPPROTO_IP && (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP)) {
        uint8_t group[4];

        *ret = trap_read(s, t, t->call.arg[3], group, sizeof(group));
        if (*ret == 0) /* no interface here takes part in multicast */
            *ret = (group[0] & 0xf0) == 0xe0 ? -ENODEV : -EINVAL;
        return true;
    }
    if ((level == IPPROTO_IP && name == MCAST_JOIN_GROUP) ||
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
    if (level == SOL_SOCKET && (name == SO_TIMESTAMP || name == SO_TIMESTAMPNS))
        vsock_option_clear(v, level, name == SO_TIMESTAMP ? SO_TIMESTAMPNS : SO_TIMESTAMP);
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

    if (t->sock == NULL) {
        if (level == SOL_SOCKET && name == SO_PASSCRED)
            s->unix_senders.is_wanted = true; /* from now on it matters who sends */
        return CALL_CONTINUE;
    }
    if ((int)t->call.arg[4] < 0)
        return -EINVAL;
    if ((level == SOL_SOCKET || (level == IPPROTO_TCP && t->sock->kind == VSOCK_TCP)) &&
        (int)t->call.arg[4] < (int)sizeof(value))
        return -EINVAL;
    if (t->sock->kind == VSOCK_NETLINK && level == SOL_NETLINK)
        return 0; /* multicast groups and the like: nothing is ever sent to them here */
    if (set_special(s, t, level, name, &result))
        return result;
    r = option_find(t->sock, level, name);
    if (r == NULL)
        return -ENOPROTOOPT;
    err = read_int(s, t, level, &value);
    if (err < 0)
        return err;
    err = option_check(t->sock, r, &value);
    if (err < 0)
        return err;
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
    if (vsock_is_dgram(v))
        (void)udp_error_take(s, v, t->fd); /* its alarm goes with it */
    if (t->fd < 0 && v->kind == VSOCK_TCP && err == 0)
        return CALL_CONTINUE; /* the object's own error: a reset */
    if (t->fd >= 0 && v->kind == VSOCK_TCP) {
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

    if (info.tcpi_state == TCP_ESTABLISHED) {
        uint32_t events = trap_events(t);

        if ((events & EPOLLHUP) != 0)
            info.tcpi_state = TCP_CLOSE;
        else if ((events & EPOLLRDHUP) != 0)
            info.tcpi_state = TCP_CLOSE_WAIT;
    }
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
                        v->kind == VSOCK_TCP ? SOCK_STREAM
                        : vsock_is_dgram(v)  ? SOCK_DGRAM
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
        *ret = t->fd < 0 ? CALL_CONTINUE : give_int(s, t, value);
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
    int32_t mss;

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
            if (t->sock->state == VSOCK_CONNECTED ||
                !vsock_option_get(t->sock, level, name, &mss) || mss == 0)
                mss = t->sock->state == VSOCK_CONNECTED ? MSS : 536;
            *ret = give_int(s, t, mss);
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
    r = option_find(t->sock, level, name);
    if (r == NULL)
        return option_level_is_known(t->sock, level) ? -ENOPROTOOPT : -EOPNOTSUPP;
    if (!vsock_option_get(t->sock, level, name, &value))
        value = r->initial;
    return give_int(s, t, value);
}
