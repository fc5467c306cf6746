/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket(2) for every domain but AF_UNIX. It is never continued: TCP, UDP and the route family of
 * netlink get an AF_UNIX object, everything else the errno of a kernel that does not have it.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/own.h"
#include "sandbox/dispatch.h"
#include "sandbox/sys_netlink.h"
#include "sandbox/sys_udp.h"

struct wanted {
    int domain;
    int type;
    int protocol;
    bool is_nonblock;
    bool is_cloexec;
};

static int64_t make_tcp(struct session *s, struct trap *t, const struct wanted *w)
{
    auto_fd end = inject_stream(w->is_nonblock);
    struct vsock *v;
    int err;

    if (end == -EMFILE && sock_make_room(s))
        end = inject_stream(w->is_nonblock);
    if (end < 0)
        return end;
    err = sock_new(s, VSOCK_TCP, end, &v);
    if (err < 0)
        return err;
    v->is_v6 = w->domain == AF_INET6;
    v->protocol = IPPROTO_TCP;
    v->local.ip = ip_any(v->is_v6 ? IP_V6 : IP_V4);
    return sock_give(s, t, v, take_fd(&end), w->is_cloexec);
}

/** UDP, ping and netlink: the agent's end of a pair of which we keep the other. */
static int64_t make_packets(struct session *s, struct trap *t, const struct wanted *w,
                            enum vsock_kind kind, void (*ready)(void *self, uint32_t events))
{
    auto_fd agent_end = -1;
    auto_fd our_end = -1;
    struct vsock *v;
    int err = inject_packets(w->is_nonblock, &agent_end, &our_end);

    if (err == -EMFILE && sock_make_room(s))
        err = inject_packets(w->is_nonblock, &agent_end, &our_end);
    if (err < 0)
        return err;
    err = sock_new(s, kind, agent_end, &v);
    if (err < 0)
        return err;
    v->is_v6 = w->domain == AF_INET6;
    v->protocol = (uint16_t)w->protocol;
    v->local.ip = ip_any(v->is_v6 ? IP_V6 : IP_V4);
    v->our_end = take_fd(&our_end);
    v->pid = agent_pid(&s->agents, t->call.tid); /* of netlink: its port id, too */
    if (kind == VSOCK_PING) { /* INET_PROTOSW_REUSE: an identifier may be shared */
        v->may_reuse_addr = true;
        must(vsock_option_set(v, SOL_SOCKET, SO_REUSEADDR, 1) == 0);
    }
    err = sock_watch(s, v, EPOLLIN | EPOLLRDHUP, ready);
    if (err < 0) {
        sock_end(s, v);
        return err;
    }
    return sock_give(s, t, v, take_fd(&agent_end), w->is_cloexec);
}

static int64_t make_ping(struct session *s, struct trap *t, const struct wanted *w)
{
    int err = s->netstack != NULL ? netstack_may_echo(s->netstack) : 0;

    return err < 0 ? err : make_packets(s, t, w, VSOCK_PING, udp_ready);
}

static int64_t make_inet(struct session *s, struct trap *t, struct wanted *w)
{
    switch (w->type) {
    case SOCK_STREAM:
        if (w->protocol != 0 && w->protocol != IPPROTO_TCP)
            return -EPROTONOSUPPORT;
        return make_tcp(s, t, w);
    case SOCK_DGRAM:
        if (w->protocol == 0)
            w->protocol = IPPROTO_UDP;
        if (w->protocol == (w->domain == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
            return make_ping(s, t, w);
        if (w->protocol != IPPROTO_UDP && w->protocol != IPPROTO_UDPLITE)
            return -EPROTONOSUPPORT;
        return make_packets(s, t, w, VSOCK_UDP, udp_ready);
    case SOCK_RAW:
        return -EPERM;
    default:
        return -ESOCKTNOSUPPORT;
    }
}

static int64_t make_netlink(struct session *s, struct trap *t, const struct wanted *w)
{
    if (w->type != SOCK_RAW && w->type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (w->protocol != NETLINK_ROUTE)
        return -EPROTONOSUPPORT;
    return make_packets(s, t, w, VSOCK_NETLINK, netlink_ready);
}

int64_t sys_socket(struct session *s, struct trap *t)
{
    int type = (int)t->call.arg[1];
    struct wanted w = {
        .domain = (int)t->call.arg[0],
        .type = type & 0xf, /* SOCK_TYPE_MASK of linux/net.h */
        .protocol = (int)t->call.arg[2],
        .is_nonblock = (type & SOCK_NONBLOCK) != 0,
        .is_cloexec = (type & SOCK_CLOEXEC) != 0,
    };

    if ((type & ~(0xf | SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    if (agent_is_foreign(&s->agents, t->call.tid))
        return -EACCES; /* another network namespace is another world: nothing of ours goes there */
    switch (w.domain) {
    case AF_INET:
    case AF_INET6:
        return make_inet(s, t, &w);
    case AF_UNIX:
        return unix_socket(s, t); /* trapped where descriptors cannot be duplicated */
    case AF_NETLINK:
        return make_netlink(s, t, &w);
    case AF_PACKET:
        return -EPERM;
    default:
        return -EAFNOSUPPORT;
    }
}
