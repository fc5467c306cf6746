/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind(2), getsockname(2), getpeername(2): the names of virtual sockets, answered from the table.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>

#include "sandbox/dispatch.h"
#include "sandbox/inet.h"
#include "sandbox/interfaces.h"
#include "sandbox/sys_tcp.h"

/** May a socket of the sandbox have this local address? */
static bool is_local_name(const struct session *s, const struct vsock *v, const struct ip *ip)
{
    if (v->kind != VSOCK_PING && (inet_is_multicast(ip) || inet_is_broadcast(ip)))
        return true;
    return sock_is_own_ip(s, ip);
}

int64_t sys_bind(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    struct sockaddr_storage raw;
    struct endpoint at;
    bool is_mapped;
    unsigned len;
    int err;

    if (v == NULL) {
        unix_bind(s, t);
        return CALL_CONTINUE; /* any name may be bound */
    }
    err = sockaddr_read(s, t, t->call.arg[1], t->call.arg[2], &raw, &len);
    if (err < 0)
        return err;
    if (v->kind == VSOCK_NETLINK)
        return len < sizeof(struct sockaddr_nl) || raw.ss_family != AF_NETLINK ? -EINVAL : 0;
    if (!v->is_v6 && len >= sizeof(struct sockaddr_in) && raw.ss_family == AF_UNSPEC &&
        ((const struct sockaddr_in *)&raw)->sin_addr.s_addr == INADDR_ANY)
        raw.ss_family = AF_INET; /* an old habit that Linux puts up with */
    if (v->kind == VSOCK_PING && v->is_v6 && len < sizeof(struct sockaddr_in6))
        return -EINVAL;
    err = inet_read(&raw, len, v->is_v6, &at, &is_mapped);
    if (err < 0)
        return err;
    if (is_mapped && (v->is_v6only || v->kind == VSOCK_PING))
        return -EINVAL;
    if (v->is_v6 && !is_mapped && v->kind == VSOCK_TCP && inet_is_multicast(&at.ip))
        return -EINVAL;
    if (v->is_v6 && inet_lacks_scope(&raw))
        return -EINVAL;
    if (v->is_v6 && inet_is_of_link(&raw) &&
        ((const struct sockaddr_in6 *)&raw)->sin6_scope_id > INTERFACE_OUT_INDEX)
        return -ENODEV;
    if (!is_local_name(s, v, &at.ip))
        return -EADDRNOTAVAIL;
    if (v->is_bound || v->state != VSOCK_OPEN)
        return -EINVAL;
    err = sock_claim(s, v, &at);
    if (err < 0)
        return err;
    v->is_bound_port = true;
    v->is_port_locked = at.port != 0;
    v->is_ip_locked = !ip_is_any(&at.ip);
    return 0;
}

int64_t sys_getsockname(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    struct sockaddr_storage name;
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
    unsigned len;

    if (v == NULL)
        return CALL_CONTINUE;
    if (v->kind == VSOCK_NETLINK) {
        nl.nl_pid = (uint32_t)v->pid;
        return sockaddr_write(s, t, &nl, sizeof(nl), t->call.arg[1], t->call.arg[2]);
    }
    tcp_settle(s, t);
    len = inet_write(&v->local, v->is_v6, &name);
    return sockaddr_write(s, t, &name, len, t->call.arg[1], t->call.arg[2]);
}

int64_t sys_getpeername(struct session *s, struct trap *t)
{
    struct vsock *v = t->sock;
    struct pollfd end = {.fd = t->fd}; /* POLLHUP: the other end was closed */
    struct sockaddr_storage name;
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
    unsigned len;

    if (v == NULL)
        return CALL_CONTINUE;
    if (v->kind == VSOCK_NETLINK)
        return sockaddr_write(s, t, &nl, sizeof(nl), t->call.arg[1], t->call.arg[2]);
    tcp_settle(s, t);
    if (v->state != VSOCK_CONNECTED || v->remote.port == 0)
        return -ENOTCONN; /* without a port there is no name: inet_getname() */
    if (v->is_torn && poll(&end, 1, 0) > 0)
        return -ENOTCONN;
    len = inet_write(&v->remote, v->is_v6, &name);
    return sockaddr_write(s, t, &name, len, t->call.arg[1], t->call.arg[2]);
}
