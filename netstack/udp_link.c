/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that sends and receives the tunnel's outer datagrams. It knows nothing of what is
 * in them. It never blocks and never queues beyond one train: what the kernel does not take is
 * dropped and counted, as on any link.
 */
#include "netstack/udp_link.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define TRAIN_MAX_BYTES    65000u /* below what a UDP datagram over IPv4 may hold */
#define TRAIN_MAX_SEGMENTS 64u    /* UDP_MAX_SEGMENTS of kernels before 6.9 */
#define BATCH              8u     /* trains received by one call */
#define BATCHES_PER_WAKEUP 4u
#define RECEIVE_MAX        65536u
#define SOCKET_BUFFER      (4 << 20) /* asked for; the kernel's limit applies */

struct udp_socket {
    struct udp_link *link;
    struct loop_watch watch; /* fd -1: none */
    bool has_segment;        /* UDP_SEGMENT works */
};

struct udp_link {
    struct loop *loop; /* borrowed */
    udp_link_received *received;
    void *self;
    uint16_t port;
    struct udp_socket v4;
    struct udp_socket v6;
    struct udp_link_stats stats;
    /* the train being put together */
    struct endpoint to;
    size_t segment_len;
    size_t train_len;
    unsigned segment_count;
    uint8_t train[TRAIN_MAX_BYTES];
    uint8_t inbox[BATCH][RECEIVE_MAX];
};

/** The length of the datagrams in a received train; the whole length when it is no train. */
static size_t segment_of(struct msghdr *msg, size_t len)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        int size;

        if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO ||
            c->cmsg_len < CMSG_LEN(sizeof(size)))
            continue;
        memcpy(&size, CMSG_DATA(c), sizeof(size));
        if (size > 0)
            return (size_t)size;
    }
    return len;
}

static void split(struct udp_link *l, const struct endpoint *from, uint8_t *data, size_t len,
                  size_t segment)
{
    do {
        size_t part = len < segment ? len : segment;

        l->stats.received++;
        l->received(l->self, from, data, part);
        data += part;
        len -= part;
    } while (len > 0);
}

/** Receive one batch; returns false when the socket is drained. */
static bool receive_batch(struct udp_socket *s)
{
    struct udp_link *l = s->link;
    struct mmsghdr msgs[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_storage from[BATCH];
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control[BATCH];
    int count;

    for (unsigned i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){.iov_base = l->inbox[i], .iov_len = RECEIVE_MAX};
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
                                               .msg_namelen = sizeof(from[i]),
                                               .msg_iov = &iov[i],
                                               .msg_iovlen = 1,
                                               .msg_control = control[i].bytes,
                                               .msg_controllen = sizeof(control[i].bytes)}};
    }
    count = recvmmsg(s->watch.fd, msgs, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0)
        return errno != EAGAIN; /* an ICMP error about an earlier datagram: it is cleared by this */
    for (int i = 0; i < count; i++) {
        struct endpoint who;

        if (endpoint_from_sockaddr(bytes_of(&from[i], msgs[i].msg_hdr.msg_namelen), &who) == 0)
            split(l, &who, l->inbox[i], msgs[i].msg_len,
                  segment_of(&msgs[i].msg_hdr, msgs[i].msg_len));
    }
    return count == BATCH;
}

static void socket_ready(void *self, uint32_t events)
{
    struct udp_socket *s = self;

    (void)events;
    for (unsigned i = 0; i < BATCHES_PER_WAKEUP && receive_batch(s); i++)
        continue;
}

/** Large buffers, by force where we may (root), else as much as the kernel lets us have. */
static void enlarge(int fd, int option, int forced)
{
    static const int size = SOCKET_BUFFER;

    if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof(size)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size));
}

static int open_socket(struct udp_link *l, struct udp_socket *s, enum ip_family family)
{
    static const int on = 1, off = 0;
    auto_fd fd =
        socket(family == IP_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct endpoint at = {.ip = ip_any(family), .port = l->port};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&at, &sa);
    int err;

    if (fd < 0)
        return -errno;
    if (family == IP_V6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0)
        return -errno;
    len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    err = endpoint_from_sockaddr(bytes_of(&sa, len), &at);
    if (err < 0)
        return err;
    l->port = at.port;
    enlarge(fd, SO_RCVBUF, SO_RCVBUFFORCE);
    enlarge(fd, SO_SNDBUF, SO_SNDBUFFORCE);
    (void)setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)); /* without it trains arrive singly */
    s->has_segment = setsockopt(fd, SOL_UDP, UDP_SEGMENT, &off, sizeof(off)) == 0;
    s->watch = (struct loop_watch){.fd = fd, .ready = socket_ready, .self = s};
    err = loop_watch(l->loop, &s->watch, EPOLLIN);
    if (err < 0) {
        s->watch.fd = -1;
        return err;
    }
    (void)take_fd(&fd);
    return 0;
}

int udp_link_new(struct loop *loop, uint16_t port, udp_link_received *received, void *self,
                 struct udp_link **ret, struct why *why)
{
    struct udp_link *l = calloc(1, sizeof(*l));
    int err;

    if (l == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    l->loop = loop;
    l->port = port;
    l->received = received;
    l->self = self;
    l->v4 = (struct udp_socket){.link = l, .watch = {.fd = -1}};
    l->v6 = (struct udp_socket){.link = l, .watch = {.fd = -1}};
    err = open_socket(l, &l->v4, IP_V4);
    if (err < 0) {
        (void)why_set(why, err, "cannot bind UDP port %u: %s", port, strerror(-err));
        udp_link_free(l);
        return err;
    }
    err = open_socket(l, &l->v6, IP_V6);
    if (err == -EADDRINUSE && port != 0) {
        (void)why_set(why, err, "cannot bind UDP port %u for IPv6: %s", port, strerror(-err));
        udp_link_free(l);
        return err;
    } /* any other failure: this host has no IPv6, or another socket has the chosen port there */
    *ret = l;
    return 0;
}

void udp_link_free(struct udp_link *l)
{
    if (l == NULL)
        return;
    if (l->v4.watch.fd >= 0) {
        loop_unwatch(l->loop, &l->v4.watch);
        (void)close(l->v4.watch.fd);
    }
    if (l->v6.watch.fd >= 0) {
        loop_unwatch(l->loop, &l->v6.watch);
        (void)close(l->v6.watch.fd);
    }
    free(l);
}

uint16_t udp_link_port(const struct udp_link *l)
{
    return l->port;
}

struct udp_link_stats udp_link_stats(const struct udp_link *l)
{
    return l->stats;
}

/** One sendmsg(2): a train when @segment is not 0. */
static int send_run(struct udp_socket *s, const struct endpoint *to, uint8_t *data, size_t len,
                    size_t segment)
{
    struct sockaddr_storage sa;
    struct iovec iov = {.iov_base = data, .iov_len = len};
    struct msghdr msg = {.msg_name = &sa,
                         .msg_namelen = endpoint_to_sockaddr(to, &sa),
                         .msg_iov = &iov,
                         .msg_iovlen = 1};
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    uint16_t size = (uint16_t)segment;

    if (segment != 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        control.header.cmsg_level = SOL_UDP;
        control.header.cmsg_type = UDP_SEGMENT;
        control.header.cmsg_len = CMSG_LEN(sizeof(size));
        memcpy(CMSG_DATA(&control.header), &size, sizeof(size));
    }
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        if (sendmsg(s->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR &&
            errno != ECONNREFUSED) /* refused: an ICMP error of an earlier datagram */
            break;
    }
    return -errno;
}

static void send_singly(struct udp_link *l, struct udp_socket *s)
{
    for (size_t at = 0; at < l->train_len; at += l->segment_len) {
        size_t left = l->train_len - at;

        l->stats.trains++;
        if (send_run(s, &l->to, l->train + at, left < l->segment_len ? left : l->segment_len, 0) <
            0)
            l->stats.send_failed++;
    }
}

void udp_link_flush(struct udp_link *l)
{
    struct udp_socket *s = l->to.ip.family == IP_V6 ? &l->v6 : &l->v4;
    int err;

    if (l->segment_count == 0)
        return;
    l->stats.sent += l->segment_count;
    if (s->watch.fd < 0) {
        l->stats.send_failed += l->segment_count;
    } else if (l->segment_count == 1 || !s->has_segment) {
        send_singly(l, s);
    } else {
        l->stats.trains++;
        err = send_run(s, &l->to, l->train, l->train_len, l->segment_len);
        if (err == -EIO || err == -EINVAL || err == -EMSGSIZE) {
            /* The route cannot do it: no checksum offload (EIO), or its MTU is below a segment. */
            s->has_segment = err == -EMSGSIZE;
            send_singly(l, s);
        } else if (err < 0) {
            l->stats.send_failed += l->segment_count;
        }
    }
    l->segment_count = 0;
    l->train_len = 0;
}

void udp_link_send(struct udp_link *l, const struct endpoint *to, struct bytes datagram)
{
    if (datagram.len == 0 || datagram.len > TRAIN_MAX_BYTES) {
        l->stats.send_failed++;
        return;
    }
    if (l->segment_count > 0 &&
        (datagram.len > l->segment_len || datagram.len > TRAIN_MAX_BYTES - l->train_len ||
         l->segment_count == TRAIN_MAX_SEGMENTS || !endpoint_equal(to, &l->to)))
        udp_link_flush(l);
    if (l->segment_count == 0) {
        l->to = *to;
        l->segment_len = datagram.len;
    }
    memcpy(l->train + l->train_len, datagram.data, datagram.len);
    l->train_len += datagram.len;
    l->segment_count++;
    if (datagram.len < l->segment_len)
        udp_link_flush(l); /* only the last of a train may be shorter */
}
