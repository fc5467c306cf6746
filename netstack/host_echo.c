/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Echo sockets of --direct: one unprivileged ping socket of the host each (icmp(7)), never
 * connected. The host's kernel owns the identifier on the wire; the owner of the socket never sees
 * it. Where net.ipv4.ping_group_range leaves us out there are none: -EACCES.
 */
#include "netstack/dgram.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/arrival.h"
#include "base/own.h"
#include "netstack/packet.h"
#include "netstack/stack.h"

/** Tell the owner of one error; it may close the socket. Returns false when there is none. */
static bool take_error(struct dgram *d)
{
    uint8_t *buffer = d->ns->dgrams->buffer;
    struct arrival a;
    ssize_t got = arrival_receive(d->watch.fd, MSG_ERRQUEUE, buffer, DGRAM_BUFFER, &a);

    if (got < 0)
        return false;
    if (a.error == 0 || a.from.ip.family == IP_NONE || got < (ssize_t)ECHO_HEADER ||
        d->events->failed == NULL)
        return true;
    packet_echo_set_id(buffer, d->echo_id);
    d->cause = (struct dgram_cause){.type = a.type, .code = a.code, .offender = a.offender.ip};
    a.from.port = 0;
    d->events->failed(d->self, d, &a.from, -a.error, bytes_of(buffer, (size_t)got));
    return true;
}

static bool take_reply(struct dgram *d)
{
    uint8_t *buffer = d->ns->dgrams->buffer;
    struct arrival a;
    ssize_t got = arrival_receive(d->watch.fd, 0, buffer, DGRAM_BUFFER, &a);

    if (got < 0)
        return got != -EAGAIN; /* a pending error: its details are in the error queue */
    if (a.from.ip.family == IP_NONE || got < (ssize_t)ECHO_HEADER)
        return true;
    packet_echo_set_id(buffer, d->echo_id);
    host_dgram_note(d, &a);
    a.from.port = 0;
    d->events->received(d->self, d, &a.from, bytes_of(buffer, (size_t)got));
    return true;
}

static void host_echo_ready(void *self, uint32_t events)
{
    host_dgram_turn(self, events, take_error, take_reply);
}

int host_echo_try(void)
{
    auto_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

    return fd < 0 && errno == EACCES ? -EACCES : 0;
}

int host_echo_open(struct dgram *d)
{
    static const int on = 1;
    bool is_v4 = d->family == IP_V4;
    int level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
    auto_fd fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                        is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    int err;

    if (fd < 0)
        return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
    if (setsockopt(fd, level, is_v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof(on)) < 0)
        return -errno;
    err = host_dgram_ask_marks(fd, d->family);
    if (err < 0)
        return err;
    d->local = (struct endpoint){.ip = ip_any(d->family), .port = d->echo_id};
    d->watch = (struct loop_watch){.fd = fd, .ready = host_echo_ready, .self = d};
    err = loop_watch(d->ns->loop, &d->watch, EPOLLIN);
    if (err < 0) {
        d->watch.fd = -1;
        return err;
    }
    (void)take_fd(&fd);
    return 0;
}
