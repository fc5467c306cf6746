/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setsockopt(2). What is set is remembered and read back (sys_getsockopt.c); only those options
 * that change behaviour here do more. What cannot take effect is refused and not pretended
 * (answers.def). SO_RCVTIMEO, SO_SNDTIMEO and SO_OOBINLINE never come here: they act on the AF_UNIX
 * object itself.
 */
#include <errno.h>
#include <linux/in6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "sandbox/dispatch.h"
#include "sandbox/interfaces.h"
#include "sandbox/linger.h"
#include "sandbox/loopback.h"
#include "sandbox/options.h"
#include "sandbox/sys_udp.h"

#define BUFFER_MAX 425984 /* 2 * wmem_max, as Linux reads it back */

/** Read the value as Linux does: at least 4 bytes for an int; IP options may come as one byte, or
 * none, which is 0. */
static int read_int(struct session *s, const struct trap *t, int level, int32_t *ret)
{
    int len = (int)t->call.arg[4];
    uint8_t byte;
    int err;

    if (len < 0)
        return -EINVAL;
    *ret = 0;
    if (len >= (int)sizeof(*ret))
        return trap_read(s, t, t->call.arg[3], ret, sizeof(*ret));
    if (level != IPPROTO_IP)
        return -EINVAL;
    if (len == 0)
        return 0;
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

/** The two that every ordinary user may choose. What carries the stream has its own (RFC 5681). */
static int64_t set_congestion(struct session *s, const struct trap *t)
{
    char name[OPTION_CONGESTION_BYTES] = "";
    unsigned len = (unsigned)t->call.arg[4];
    int err = trap_read(s, t, t->call.arg[3], name, len < sizeof(name) ? len : sizeof(name) - 1);

    if (err < 0)
        return err;
    for (int32_t i = 0; option_congestion(i) != NULL; i++)
        if (strcmp(name, option_congestion(i)) == 0)
            return vsock_option_set(t->sock, IPPROTO_TCP, TCP_CONGESTION, i);
    return len == 0 ? -EINVAL : -ENOENT;
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
    if (err < 0 || name != SO_SNDBUF || !t->sock->is_loopback || !loopback_limit(t->sock, value))
        return err;
    if (t->fd < 0)
        return CALL_CONTINUE; /* the same, done by the kernel */
    inject_limit_send(t->fd, value);
    return 0;
}

/** An option that acts on the object behind the socket. */
static int64_t set_object(struct session *s, struct trap *t, int name)
{
    uint8_t value[sizeof(struct timeval)];
    unsigned len = (unsigned)t->call.arg[4];
    int err;

    if (t->fd < 0)
        return CALL_CONTINUE; /* the same, done by the kernel */
    len = len < sizeof(value) ? len : sizeof(value);
    err = trap_read(s, t, t->call.arg[3], value, len);
    if (err == 0 && setsockopt(t->fd, SOL_SOCKET, name, value, len) < 0)
        err = -errno;
    return err;
}

/** Without a privilege a socket is bound to an interface once. */
static int bind_to(struct vsock *v, int32_t index)
{
    int32_t bound = 0;

    if (vsock_option_get(v, SOL_SOCKET, SO_BINDTOIFINDEX, &bound) && bound != 0)
        return -EPERM;
    return vsock_option_set(v, SOL_SOCKET, SO_BINDTOIFINDEX, index);
}

static int64_t set_device(struct session *s, const struct trap *t)
{
    char name[IFNAMSIZ] = "";
    struct interface all[2];
    unsigned count = interfaces_list(&s->local_v4, &s->local_v6, all);
    unsigned len = (unsigned)t->call.arg[4];
    int err = trap_read(s, t, t->call.arg[3], name, len < IFNAMSIZ - 1 ? len : IFNAMSIZ - 1);

    if (err < 0)
        return err;
    if (name[0] == '\0')
        return bind_to(t->sock, 0);
    for (unsigned i = 0; i < count; i++)
        if (strcmp(all[i].name, name) == 0)
            return bind_to(t->sock, all[i].index);
    return -ENODEV;
}

/** IP_MULTICAST_IF: the address or the index of an interface, in one of three structures. The
 * address is what is read back (ip(7)). */
static int64_t set_multicast_interface(struct session *s, const struct trap *t)
{
    struct ip_mreqn wish = {0};
    unsigned len = (unsigned)t->call.arg[4];
    struct interface all[2];
    unsigned count = interfaces_list(&s->local_v4, &s->local_v6, all);
    struct ip ip;
    bool is_there = false;
    int err;

    if (len >= sizeof(wish))
        err = trap_read(s, t, t->call.arg[3], &wish, sizeof(wish));
    else if (len >= sizeof(struct ip_mreq))
        err = trap_read(s, t, t->call.arg[3], &wish, sizeof(struct ip_mreq));
    else if (len >= sizeof(wish.imr_address))
        err = trap_read(s, t, t->call.arg[3], &wish.imr_address, sizeof(wish.imr_address));
    else
        err = -EINVAL;
    if (err < 0)
        return err;
    ip = (struct ip){.family = IP_V4};
    memcpy(ip.bytes, &wish.imr_address, sizeof(wish.imr_address));
    for (unsigned i = 0; i < count; i++)
        is_there = is_there || all[i].index == wish.imr_ifindex;
    if (wish.imr_ifindex == 0)
        is_there = sock_is_own_ip(s, &ip);
    return is_there ? vsock_option_set(t->sock, IPPROTO_IP, IP_MULTICAST_IF,
                                       (int32_t)wish.imr_address.s_addr)
                    : -EADDRNOTAVAIL;
}

/** No interface here takes part in multicast: what is asked well is refused as by those. */
static bool set_membership(struct session *s, const struct trap *t, int level, int name,
                           int64_t *ret)
{
    unsigned len = (unsigned)t->call.arg[4];
    uint8_t group[4];

    if (level == IPPROTO_IP && vsock_is_dgram(t->sock) &&
        (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP)) {
        *ret = len < sizeof(struct ip_mreq) ? -EINVAL
                                            : trap_read(s, t, t->call.arg[3], group, sizeof(group));
        if (*ret == 0)
            *ret = (group[0] & 0xf0) == 0xe0 ? -ENODEV : -EINVAL;
        return true;
    }
    if (level == IPPROTO_IP && vsock_is_dgram(t->sock) && name == IP_MULTICAST_IF) {
        *ret = set_multicast_interface(s, t);
        return true;
    }
    if (level == IPPROTO_IPV6 && t->sock->is_v6 &&
        (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP)) {
        *ret = len < sizeof(struct ipv6_mreq) ? -EINVAL : -ENODEV;
        return true;
    }
    if (name == MCAST_JOIN_GROUP &&
        (level == IPPROTO_IP || (level == IPPROTO_IPV6 && t->sock->is_v6))) {
        *ret = len < sizeof(struct group_req) ? -EINVAL : -ENODEV;
        return true;
    }
    return false;
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
            *ret = -EPERM;
            return true;
        case SO_BINDTOIFINDEX:
            *ret = read_int(s, t, level, &value);
            if (*ret == 0)
                *ret = value < 0 ? -EINVAL : bind_to(t->sock, value);
            return true;
        case SO_PEEK_OFF:
        case SO_RCVTIMEO_NEW:
        case SO_SNDTIMEO_NEW:
            *ret = set_object(s, t, name);
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
        *ret = set_congestion(s, t);
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
    if (level == IPPROTO_IP && name == IP_OPTIONS && t->call.arg[4] == 0) {
        *ret = 0; /* there are none */
        return true;
    }
    return set_membership(s, t, level, name, ret);
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

/** The header fields of a connection to the network are as its options say. */
static void remark(const struct vsock *v)
{
    struct vsock_mark own;

    if (v->kind != VSOCK_TCP || v->flow == NULL)
        return;
    own = udp_mark(v, v->remote.ip.family == IP_V6);
    flow_set_mark(v->flow, (struct wire_mark){.hops = own.hops, .class = own.class});
}

/** An option that is not kept (answers.def). */
static int64_t set_answered(struct session *s, struct trap *t, const struct option_answer *a)
{
    int32_t value = 0;
    int err = 0;

    if ((int)t->call.arg[4] >= (int)sizeof(value))
        err = trap_read(s, t, t->call.arg[3], &value, sizeof(value));
    else if (a->set_zero == 0 && a->level == IPPROTO_IP)
        err = -EINVAL;
    if (err < 0)
        return err;
    return value == 0 ? a->set_zero : a->set_other;
}

int64_t sys_setsockopt(struct session *s, struct trap *t)
{
    const struct option_answer *answer;
    int level = (int)t->call.arg[1];
    int name = (int)t->call.arg[2];
    const struct option_row *r;
    int32_t value;
    int64_t result;
    int err;

    if (t->sock == NULL) {
        if (level == SOL_SOCKET && (name == SO_PASSCRED || name == SO_PASSPIDFD))
            s->unix_senders.is_wanted = true; /* from now on it matters who sends */
        return CALL_CONTINUE;
    }
    if ((int)t->call.arg[4] < 0)
        return -EINVAL;
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE)
        return set_device(s, t);
    if ((level == SOL_SOCKET || (level == IPPROTO_TCP && t->sock->kind == VSOCK_TCP) ||
         (level == IPPROTO_UDP && t->sock->kind == VSOCK_UDP)) &&
        (int)t->call.arg[4] < (int)sizeof(value))
        return -EINVAL;
    if (t->sock->kind == VSOCK_NETLINK && level == SOL_NETLINK)
        return 0; /* multicast groups and the like: nothing is ever sent to them here */
    if (set_special(s, t, level, name, &result))
        return result;
    answer = option_answer(t->sock, level, name);
    if (answer != NULL)
        return set_answered(s, t, answer);
    r = option_find(t->sock, level, name);
    if (r == NULL)
        return -ENOPROTOOPT;
    if ((r->kinds & OPTION_IS_FULL) != 0 && t->call.arg[4] == 0)
        return -EINVAL;
    err = read_int(s, t, level, &value);
    if (err < 0)
        return err;
    err = option_check(t->sock, r, &value);
    if (err < 0)
        return err;
    result = take_effect(t->sock, level, name, value);
    if (result == 0)
        result = vsock_option_set(t->sock, level, name, value);
    if (result == 0 && (level == IPPROTO_IP || level == IPPROTO_IPV6))
        remark(t->sock);
    return result;
}
