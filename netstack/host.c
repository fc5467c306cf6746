/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The carrier of --direct: a host TCP socket is the far end. The kernel does TCP; errors of
 * connect(2) are passed on as they are. It refuses to read ahead: a chunk is read only when the
 * near end can take bytes, and what that does not take waits here, at most RELAY_CHUNK.
 */
#include "netstack/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "netstack/packet.h"
#include "netstack/stack.h"

static void read_local(struct flow *f)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (getsockname(f->host.watch.fd, (struct sockaddr *)&sa, &len) < 0 ||
        endpoint_from_sockaddr(bytes_of(&sa, len), &f->local) < 0)
        f->local = (struct endpoint){0}; /* flow_local() then says that it is not known */
}

static void far_ready(void *self, uint32_t events)
{
    struct flow *f = self;

    if (f->state == FLOW_OPENING) {
        int err = 0;
        socklen_t len = sizeof(err);

        if (f->is_answered || (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
            return;
        if (getsockopt(f->host.watch.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
            err = errno;
        read_local(f);
        f->host.is_readable = f->host.is_writable = true;
        flow_answered(f, -err);
        return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        f->host.is_readable = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        f->host.is_writable = true;
    flow_queue(f);
}

static int bind_port(int fd, enum ip_family family, uint16_t port)
{
    struct endpoint any = {.ip = ip_any(family), .port = port};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&any, &sa);

    return bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

static void mark_socket(const struct flow *f, int fd)
{
    bool is_v4 = f->remote.ip.family == IP_V4;
    int hops = f->mark.hops, class = f->mark.class;

    /* what the host does not let us have, its operator has forbidden */
    (void)setsockopt(fd, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_TTL : IPV6_UNICAST_HOPS,
                     &hops, sizeof(hops));
    (void)setsockopt(fd, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_TOS : IPV6_TCLASS, &class,
                     sizeof(class));
}

static void host_remark(struct flow *f)
{
    mark_socket(f, f->host.watch.fd);
}

static int host_connect(struct flow *f, uint16_t local_port)
{
    static const int on = 1;
    bool is_v4 = f->remote.ip.family == IP_V4;
    auto_fd fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&f->remote, &sa);
    int err;

    f->host = (struct host_end){.watch = {.fd = -1}};
    if (fd < 0)
        return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only a matter of speed */
    if (f->mark.hops != PACKET_HOPS || f->mark.class != 0)
        mark_socket(f, fd);
    if (local_port != 0) {
        err = bind_port(fd, is_v4 ? IP_V4 : IP_V6, local_port);
        if (err < 0)
            return err;
    }
    err = connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
    if (err < 0 && err != -EINPROGRESS)
        return err;
    f->host.watch = (struct loop_watch){.fd = fd, .ready = far_ready, .self = f};
    err = loop_watch(f->ns->loop, &f->host.watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (err < 0) {
        f->host.watch.fd = -1;
        return err;
    }
    (void)take_fd(&fd);
    read_local(f);
    return 0;
}

static size_t host_room(const struct flow *f)
{
    return f->host.is_writable ? RELAY_CHUNK : 0;
}

static ssize_t host_send(struct flow *f, const uint8_t *data, size_t len)
{
    size_t sent = 0;

    while (sent < len && f->host.is_writable) {
        ssize_t put = send(f->host.watch.fd, data + sent, len - sent, MSG_NOSIGNAL);

        if (put >= 0)
            sent += (size_t)put;
        else if (errno == EAGAIN)
            f->host.is_writable = false;
        else if (errno != EINTR)
            return -errno;
    }
    return (ssize_t)sent;
}

static void host_send_end(struct flow *f)
{
    (void)shutdown(f->host.watch.fd, SHUT_WR); /* fails only after a reset, which reading reports */
}

static int host_peek(struct flow *f, struct iovec *iov, int cap)
{
    struct host_end *h = &f->host;
    ssize_t got;

    must(cap >= 1);
    if (h->in.data != NULL) {
        iov[0] = (struct iovec){.iov_base = h->in.data + h->in.at, .iov_len = h->in.len - h->in.at};
        h->scratch_len = 0;
        return 1;
    }
    if (!h->is_readable)
        return 0;
    got = io_read(h->watch.fd, f->ns->scratch, RELAY_CHUNK);
    if (got == -EAGAIN) {
        h->is_readable = false;
        return 0;
    }
    if (got < 0)
        return (int)got;
    if (got == 0)
        return -ENODATA;
    h->scratch_len = (size_t)got;
    iov[0] = (struct iovec){.iov_base = f->ns->scratch, .iov_len = (size_t)got};
    return 1;
}

static void host_take(struct flow *f, size_t len)
{
    struct host_end *h = &f->host;

    if (h->in.data != NULL) {
        h->in.at += len;
        if (h->in.at == h->in.len)
            leftover_drop(&h->in);
        return;
    }
    if (len < h->scratch_len &&
        leftover_keep(&h->in, f->ns->scratch + len, h->scratch_len - len) < 0)
        flow_far_failed(f, -ENOMEM); /* bytes were lost: the flow must not go on */
    h->scratch_len = 0;
}

static void host_flush(struct flow *f)
{
    (void)f; /* the kernel sends by itself */
}

static size_t host_unsent(const struct flow *f)
{
    (void)f; /* what was sent is the kernel's */
    return 0;
}

static void host_close(struct flow *f, bool reset)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct host_end *h = &f->host;

    leftover_drop(&h->in);
    if (h->watch.fd < 0)
        return;
    loop_unwatch(f->ns->loop, &h->watch);
    if (reset)
        (void)setsockopt(h->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    (void)close(h->watch.fd);
    h->watch.fd = -1;
}

const struct carrier host_carrier = {
    .connect = host_connect,
    .room = host_room,
    .send = host_send,
    .send_end = host_send_end,
    .peek = host_peek,
    .take = host_take,
    .remark = host_remark,
    .flush = host_flush,
    .unsent = host_unsent,
    .close = host_close,
};
