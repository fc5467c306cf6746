/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagram sockets of --direct: one host UDP socket each, never connected, so that it can talk to
 * many. ICMP errors come back through the socket's error queue (ip(7), IP_RECVERR) and name their
 * target.
 */
#include "netstack/dgram.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arrival.h"
#include "base/own.h"
#include "netstack/stack.h"

#define RECEIVES_PER_WAKEUP 64

/** Take one error from the queue and tell the owner, who may close the socket. Returns false when
 * there is none. */
static bool take_error(struct dgram *d)
{
    uint8_t *buffer = d->ns->dgrams->buffer;
    struct arrival a;
    ssize_t got = arrival_receive(d->watch.fd, MSG_ERRQUEUE, buffer, DGRAM_PAYLOAD_MAX, &a);

    if (got < 0)
        return false;
    if (d->events->failed != NULL && a.error != 0 && a.from.ip.family != IP_NONE)
        d->events->failed(d->self, d, &a.from, -a.error, bytes_of(buffer, (size_t)got));
    return true;
}

/** Receive one datagram and hand it on. Returns false when there is none. */
static bool take_datagram(struct dgram *d)
{
    uint8_t *buffer = d->ns->dgrams->buffer;
    struct arrival a;
    ssize_t got = arrival_receive(d->watch.fd, 0, buffer, DGRAM_PAYLOAD_MAX, &a);

    if (got < 0)
        return got != -EAGAIN; /* a pending ICMP error: its details are in the error queue */
    host_dgram_note(d, &a);
    if (a.from.ip.family != IP_NONE)
        d->events->received(d->self, d, &a.from, bytes_of(buffer, (size_t)got));
    return true;
}

void host_dgram_note(struct dgram *d, const struct arrival *a)
{
    d->received = (struct wire_mark){.hops = a->hops > 0 ? (uint8_t)a->hops : 0,
                                     .class = a->class > 0 ? (uint8_t)a->class : 0};
}

int host_dgram_ask_marks(int fd, enum ip_family family)
{
    static const int on = 1;
    bool is_v4 = family == IP_V4;
    int level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;

    if (setsockopt(fd, level, is_v4 ? IP_RECVTTL : IPV6_RECVHOPLIMIT, &on, sizeof(on)) < 0 ||
        setsockopt(fd, level, is_v4 ? IP_RECVTOS : IPV6_RECVTCLASS, &on, sizeof(on)) < 0)
        return -errno;
    return 0;
}

/** One of the two fields; @ret_told: what the socket has been told. */
static int tell(const struct dgram *d, int v4, int v6, uint8_t wanted, uint8_t *ret_told)
{
    bool is_v4 = d->family == IP_V4;
    int value = wanted;

    if (wanted == *ret_told)
        return 0;
    if (setsockopt(d->watch.fd, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? v4 : v6, &value,
                   sizeof(value)) < 0)
        return -errno;
    *ret_told = wanted;
    return 0;
}

int host_dgram_set_mark(struct dgram *d)
{
    int err = tell(d, IP_TTL, IPV6_UNICAST_HOPS, d->mark.hops, &d->told.hops);

    return err < 0 ? err : tell(d, IP_TOS, IPV6_TCLASS, d->mark.class, &d->told.class);
}

void host_dgram_turn(struct dgram *d, uint32_t events, bool (*next_error)(struct dgram *d),
                     bool (*next)(struct dgram *d))
{
    uint64_t serial = d->watch.serial_;
    bool more = true;

    for (unsigned i = 0; more && i < RECEIVES_PER_WAKEUP; i++) {
        more = (events & EPOLLERR) != 0 && next_error(d);
        if (!d->is_used || !d->watch.is_active || d->watch.serial_ != serial)
            return; /* closed by its owner */
        more = next(d) || more;
        if (!d->is_used || !d->watch.is_active || d->watch.serial_ != serial)
            return;
    }
}

static void host_ready(void *self, uint32_t events)
{
    host_dgram_turn(self, events, take_error, take_datagram);
}

int host_dgram_open(struct dgram *d, uint16_t local_port)
{
    static const int on = 1;
    bool is_v4 = d->family == IP_V4;
    auto_fd fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct endpoint local = {.ip = ip_any(d->family), .port = local_port};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&local, &sa);
    int err;

    if (fd < 0)
        return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
    if (!is_v4)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (setsockopt(fd, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_RECVERR : IPV6_RECVERR, &on,
                   sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&sa, len) < 0)
        return -errno;
    err = host_dgram_ask_marks(fd, d->family);
    if (err < 0)
        return err;
    len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    err = endpoint_from_sockaddr(bytes_of(&sa, len), &d->local);
    if (err < 0)
        return err;
    d->watch = (struct loop_watch){.fd = fd, .ready = host_ready, .self = d};
    err = loop_watch(d->ns->loop, &d->watch, EPOLLIN);
    if (err < 0) {
        d->watch.fd = -1;
        return err;
    }
    (void)take_fd(&fd);
    return 0;
}

int host_dgram_send(struct dgram *d, const struct endpoint *dst, struct bytes payload)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(dst, &sa);

    /* A pending ICMP error of an earlier datagram is returned, once, by whatever call comes next;
     * its details stay in the error queue. It says nothing about this datagram. */
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        if (sendto(d->watch.fd, payload.data, payload.len, MSG_NOSIGNAL, (struct sockaddr *)&sa,
                   len) >= 0)
            return 0;
        if (errno == EAGAIN)
            return -ENOBUFS;
        if (errno != EINTR && errno != ECONNREFUSED && errno != EHOSTUNREACH)
            return -errno;
    }
    return -errno;
}

void host_dgram_close(struct dgram *d)
{
    if (d->watch.fd < 0)
        return;
    loop_unwatch(d->ns->loop, &d->watch);
    (void)close(d->watch.fd);
    d->watch.fd = -1;
}
