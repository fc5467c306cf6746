/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getsockopt(2). What was set is read back, what was never set has Linux's default (options.h).
 * Nothing here measures a connection: TCP_INFO is plausible.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

#include "sandbox/dispatch.h"
#include "sandbox/inet.h"
#include "sandbox/interfaces.h"
#include "sandbox/options.h"
#include "sandbox/sys_tcp.h"
#include "sandbox/udp_errors.h"

#define TCP_INFO_BYTES 256  /* of Linux 6.12: more than glibc's struct tcp_info knows */
#define BPF_EXTENSIONS 64   /* SKF_AD_MAX */
#define MSS            1380 /* MTU 1420 of the tunnel less the headers */

static int64_t give_int(struct session *s, const struct trap *t, int32_t value)
{
    return option_write(s, t, &value, sizeof(value));
}

static int64_t get_error(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    int32_t err = v->so_error;
    socklen_t len = sizeof(err);
    int64_t told;

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
    told = give_int(s, t, err);
    if (told == -ESRCH)
        v->so_error = err; /* for the call that follows */
    return told;
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
    union {
        struct tcp_info known;
        uint8_t all[TCP_INFO_BYTES];
    } info = {0};

    info.known = (struct tcp_info){
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

    if (info.known.tcpi_state == TCP_ESTABLISHED) {
        uint32_t events = trap_events(t);

        if ((events & EPOLLHUP) != 0)
            info.known.tcpi_state = TCP_CLOSE;
        else if ((events & EPOLLRDHUP) != 0)
            info.known.tcpi_state = TCP_CLOSE_WAIT;
    }
    return option_write(s, t, &info, sizeof(info));
}

static int64_t get_device(struct session *s, const struct trap *t)
{
    struct interface all[2];
    unsigned count = interfaces_list(&s->local_v4, &s->local_v6, all);
    int32_t index = 0;

    (void)vsock_option_get(t->sock, SOL_SOCKET, SO_BINDTOIFINDEX, &index);
    for (unsigned i = 0; i < count; i++)
        if (all[i].index == index)
            return option_write(s, t, all[i].name, (unsigned)strlen(all[i].name) + 1);
    return option_write(s, t, "", 0);
}

static int64_t get_object(struct session *s, const struct trap *t, int name)
{
    uint8_t value[sizeof(struct timeval)];
    socklen_t len = sizeof(value);

    if (t->fd < 0)
        return CALL_CONTINUE;
    if (getsockopt(t->fd, SOL_SOCKET, name, value, &len) < 0)
        return -ENOPROTOOPT;
    return option_write(s, t, value, len);
}

/** Of the sandbox: another one than the host's first, which is 1. */
static int64_t get_namespace(struct session *s, const struct trap *t)
{
    static const uint64_t cookie = 2;
    int32_t room;
    int err = trap_read(s, t, t->call.arg[4], &room, sizeof(room));

    if (err < 0)
        return err;
    return room != (int32_t)sizeof(cookie) ? -EINVAL : option_write(s, t, &cookie, sizeof(cookie));
}

static int64_t get_peer_name(struct session *s, const struct trap *t)
{
    struct sockaddr_storage name;

    if (t->sock->state != VSOCK_CONNECTED)
        return -ENOTCONN;
    return option_write(s, t, &name, inet_write(&t->sock->remote, t->sock->is_v6, &name));
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
    uint64_t rate;
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
        *ret = get_device(s, t);
        return true;
    case SO_BINDTOIFINDEX:
        value = 0;
        (void)vsock_option_get(v, SOL_SOCKET, name, &value);
        *ret = give_int(s, t, value);
        return true;
    case SO_PEEK_OFF:
    case SO_RCVTIMEO_NEW:
    case SO_SNDTIMEO_NEW:
        *ret = get_object(s, t, name);
        return true;
    case SO_MAX_PACING_RATE:
        value = -1;
        (void)vsock_option_get(v, SOL_SOCKET, name, &value);
        rate = value == -1 ? UINT64_MAX : (uint32_t)value;
        *ret = option_write(s, t, &rate, sizeof(rate)); /* a room of 4 bytes gets the lower half */
        return true;
    case SO_NETNS_COOKIE:
        *ret = get_namespace(s, t);
        return true;
    case SO_BPF_EXTENSIONS:
        *ret = give_int(s, t, BPF_EXTENSIONS);
        return true;
    case SO_PEERNAME:
        *ret = get_peer_name(s, t);
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
    int32_t chosen = 0;
    int32_t mss;

    if (level == SOL_SOCKET)
        return get_socket(s, t, name, ret);
    if (level == IPPROTO_TCP && t->sock->kind == VSOCK_TCP) {
        switch (name) {
        case TCP_INFO:
            *ret = get_info(s, t);
            return true;
        case TCP_CONGESTION:
            (void)vsock_option_get(t->sock, level, name, &chosen);
            *ret = option_write(s, t, option_congestion(chosen), OPTION_CONGESTION_BYTES);
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
    static const uint8_t zeroes[64];
    const struct option_answer *answer;
    int level = (int)t->call.arg[1];
    int name = (int)t->call.arg[2];
    const struct option_row *r;
    int64_t result;
    int32_t value;

    if (t->sock == NULL)
        return level == SOL_SOCKET && (name == SO_PEERCRED || name == SO_PEERPIDFD)
                   ? unix_creds_option(s, t)
                   : CALL_CONTINUE;
    if (get_special(s, t, level, name, &result))
        return result;
    answer = option_answer(t->sock, level, name);
    if (answer != NULL)
        return answer->get < 0 ? answer->get : option_write(s, t, zeroes, (unsigned)answer->get);
    r = option_find(t->sock, level, name);
    if (r == NULL)
        return option_level_is_known(t->sock, level) ? -ENOPROTOOPT : -EOPNOTSUPP;
    if (!vsock_option_get(t->sock, level, name, &value))
        value = option_initial(t->sock, r);
    return give_int(s, t, value);
}
