/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioctl(2) with a socket's request number, netdevice(7): interfaces of the sandbox, on every
 * socket, AF_UNIX ones too, since the kernel would tell about the host's. And FIONREAD, which the
 * kernel answers for everything but datagrams.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sandbox/dispatch.h"
#include "sandbox/interfaces.h"

static void put_v4(struct sockaddr *ret, const struct ip *ip, unsigned bits, bool is_mask)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    uint32_t mask = bits == 0 ? 0 : htonl(UINT32_MAX << (32 - bits));

    memcpy(&in.sin_addr, ip->bytes, 4);
    if (is_mask)
        in.sin_addr.s_addr = mask;
    memcpy(ret, &in, sizeof(in));
}

/** SIOCGIFCONF: the interfaces that have an IPv4 address. */
static int64_t list_interfaces(struct session *s, struct trap *t, const struct interface *list,
                               unsigned count)
{
    struct ifconf conf;
    struct ifreq out[2];
    unsigned found = 0;
    size_t len;
    int err = trap_read(s, t, t->call.arg[2], &conf, sizeof(conf));

    if (err < 0)
        return err;
    memset(out, 0, sizeof(out));
    for (unsigned i = 0; i < count; i++) {
        if (list[i].v4.family == IP_NONE)
            continue;
        (void)snprintf(out[found].ifr_name, IFNAMSIZ, "%s", list[i].name);
        put_v4(&out[found++].ifr_addr, &list[i].v4, 0, /*is_mask=*/false);
    }
    len = found * sizeof(out[0]);
    if (conf.ifc_buf != NULL) {
        if (conf.ifc_len < 0)
            return -EINVAL;
        if ((size_t)conf.ifc_len < len)
            len = (size_t)conf.ifc_len / sizeof(out[0]) * sizeof(out[0]);
        err = trap_write(s, t, (uint64_t)(uintptr_t)conf.ifc_buf, out, len);
        if (err < 0)
            return err;
    }
    conf.ifc_len = (int)len;
    return trap_write(s, t, t->call.arg[2], &conf, sizeof(conf));
}

static int fill(struct ifreq *r, unsigned request, const struct interface *i)
{
    switch (request) {
    case SIOCGIFNAME:
        (void)snprintf(r->ifr_name, IFNAMSIZ, "%s", i->name);
        return 0;
    case SIOCGIFFLAGS:
        r->ifr_flags = (short)i->flags;
        return 0;
    case SIOCGIFINDEX:
        r->ifr_ifindex = i->index;
        return 0;
    case SIOCGIFMTU:
        r->ifr_mtu = (int)i->mtu;
        return 0;
    case SIOCGIFTXQLEN:
        r->ifr_qlen = 1000;
        return 0;
    case SIOCGIFMETRIC:
        r->ifr_metric = 0;
        return 0;
    case SIOCGIFHWADDR:
        memset(&r->ifr_hwaddr, 0, sizeof(r->ifr_hwaddr));
        r->ifr_hwaddr.sa_family = i->hardware;
        return 0;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
        if (i->v4.family == IP_NONE)
            return -EADDRNOTAVAIL;
        put_v4(&r->ifr_addr, &i->v4, i->v4_bits, request == SIOCGIFNETMASK);
        return 0;
    default:
        return -ENOTTY;
    }
}

/** FIOSETOWN and SIOCSPGRP: who is signalled when the socket becomes ready. As fcntl(F_SETOWN),
 * which the filter judges by its registers; here the number is in memory, so it is done with our
 * copy. */
static int64_t set_owner(struct session *s, const struct trap *t)
{
    int32_t owner;
    int err = trap_read(s, t, t->call.arg[2], &owner, sizeof(owner));

    if (err < 0)
        return err;
    if (owner == INT32_MIN || session_guards(s, owner) || session_guards(s, -owner))
        return -EPERM;
    if (t->fd < 0)
        return -EPERM; /* duplicates are denied here: F_SETOWN does it */
    return fcntl(t->fd, F_SETOWN, owner) < 0 ? -errno : 0;
}

/** FIONREAD: of UDP sockets the length of the next datagram, udp(7); ping sockets have none. */
static int64_t next_length(struct session *s, struct trap *t)
{
    uint8_t byte;
    ssize_t n;
    int len;

    if (t->sock == NULL || !vsock_is_dgram(t->sock))
        return CALL_CONTINUE; /* nothing is judged */
    if (t->sock->kind == VSOCK_PING)
        return -ENOTTY;
    if (t->fd < 0)
        return CALL_CONTINUE;
    n = recv(t->fd, &byte, sizeof(byte), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    len = n > 0 ? (int)n : 0;
    return trap_write(s, t, t->call.arg[2], &len, sizeof(len));
}

int64_t sys_ioctl(struct session *s, struct trap *t)
{
    unsigned request = (unsigned)t->call.arg[1]; /* the kernel's parameter is 32 bits wide */
    struct interface list[2];
    unsigned count = interfaces_list(&s->local_v4, &s->local_v6, list);
    struct ifreq r;
    int err;

    if ((request == FIOSETOWN || request == SIOCSPGRP) && s->guarded_pids[0] != 0)
        return t->fd < 0 && s->agents.can_get_fd ? -ENOTTY : set_owner(s, t);
    if (request == FIONREAD)
        return next_length(s, t);
    if (request >= 0x8901 && request <= 0x8907)
        return CALL_CONTINUE; /* FIOSETOWN … SIOCATMARK: about the object itself */
    if (t->fd < 0 && s->agents.can_get_fd)
        return -ENOTTY;
    if (request == SIOCGIFCONF)
        return list_interfaces(s, t, list, count);
    err = trap_read(s, t, t->call.arg[2], &r, sizeof(r));
    if (err < 0)
        return err;
    r.ifr_name[IFNAMSIZ - 1] = '\0';
    for (unsigned i = 0; i < count; i++) {
        bool is_it = request == SIOCGIFNAME ? r.ifr_ifindex == list[i].index
                                            : strcmp(r.ifr_name, list[i].name) == 0;

        if (!is_it)
            continue;
        err = fill(&r, request, &list[i]);
        return err < 0 ? (err == -ENOTTY ? -EPERM : err)
                       : trap_write(s, t, t->call.arg[2], &r, sizeof(r));
    }
    return -ENODEV;
}
