/* SPDX-License-Identifier: Apache-2.0 */
/* UDP: to a peer outside, and among sockets of the same machine. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/differ/differ.h"

static int udp_socket(int domain)
{
    int fd = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 5};

    must(fd >= 0);
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    return fd;
}

/** Wait for an ICMP error; inside a sandbox it makes the socket readable (named difference). */
static void await_refusal(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    (void)show("woken", poll(&p, 1, 5000));
}

static long send_to(int fd, const void *data, size_t len, uint16_t port)
{
    struct sockaddr_in to = at_port(port);

    return sendto(fd, data, len, 0, (struct sockaddr *)&to, sizeof(to));
}

static int bound_udp(uint16_t *ret_port)
{
    int fd = udp_socket(AF_INET);
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof(at);

    must(bind(fd, (struct sockaddr *)&at, len) == 0);
    must(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void peer_echo(void)
{
    static uint8_t big[65507];
    struct sockaddr_in from = {0};
    socklen_t len = sizeof(from);
    int fd = udp_socket(AF_INET);

    show_name("fresh", fd, false);
    (void)show("sendto", send_to(fd, "abc", 3, env_port("UDP")));
    show_name("sent", fd, false);
    (void)show("recvfrom", recvfrom(fd, big, 8, 0, (struct sockaddr *)&from, &len));
    (void)printf("from the peer: %d\n", from.sin_port == htons(env_port("UDP")));
    (void)show("connect", connect_port(fd, env_port("UDP")));
    show_name("connected", fd, true);
    (void)show("send", send(fd, "", 0, 0));
    (void)show("recv", recv(fd, big, 8, 0));
    memset(big, 'y', sizeof(big));
    (void)show("send", send(fd, big, sizeof(big), 0));
    (void)show("recv", recv(fd, big, sizeof(big), 0));
    (void)show("send", write(fd, "abcdef", 6));
    (void)show("cut", recv(fd, big, 3, MSG_TRUNC));
    (void)show("dontwait", recv(fd, big, 3, MSG_DONTWAIT));
    (void)show("unspec", connect_nowhere(fd));
    show_name("unspec", fd, true);
}

static void peer_refused(void)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char byte;
    int fd = udp_socket(AF_INET);

    (void)show("connect", connect_port(fd, env_port("UDP_CLOSED")));
    (void)show("send", send(fd, "x", 1, 0));
    await_refusal(fd);
    show_error("refused", fd);
    show_error("again", fd);
    (void)show("send", send(fd, "x", 1, 0));
    await_refusal(fd);
    (void)show("recvfrom", recvfrom(fd, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len));
    (void)show("recvfrom", recvfrom(fd, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len));
    (void)show("send", send(fd, "x", 1, 0));
    await_refusal(fd);
    (void)show("recv", recv(fd, &byte, 1, MSG_DONTWAIT));
}

static void sizes(void)
{
    static uint8_t big[65536];
    uint16_t port;
    int to = bound_udp(&port);
    int fd = udp_socket(AF_INET);
    int n = -1;

    (void)show("65507", send_to(fd, big, 65507, port));
    (void)show("recv", recv(to, big, sizeof(big), 0));
    (void)show("65508", send_to(fd, big, 65508, port));
    (void)show("empty", send_to(fd, big, 0, port));
    await_events("empty", to, POLLIN);
    (void)show("inq", ioctl(to, FIONREAD, &n));
    (void)show("inq", n);
    (void)show("recv", recv(to, big, sizeof(big), 0));
    (void)show("three", send_to(fd, big, 3, port));
    (void)show("five", send_to(fd, big, 5, port));
    await_events("two", to, POLLIN);
    (void)show("inq", ioctl(to, FIONREAD, &n));
    (void)show("inq", n);
    (void)show("recv", read(to, big, sizeof(big)));
    (void)show("recv", read(to, big, sizeof(big)));
}

static void errors(void)
{
    struct sockaddr_in to = at_port(0);
    uint16_t port;
    int other = bound_udp(&port);
    int fd = udp_socket(AF_INET);
    int v6 = udp_socket(AF_INET6);
    int on = 1;

    (void)show("send", send(fd, "x", 1, 0));
    (void)show("sendto nowhere", sendto(fd, "x", 1, 0, NULL, 0));
    (void)show("port 0", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
    (void)show("short", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, 8));
    (void)show("oob", send(fd, "x", 1, MSG_OOB));
    to = at_port(9);
    to.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    (void)show("broadcast", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
    (void)show("connect broadcast", connect(fd, (struct sockaddr *)&to, sizeof(to)));
    (void)show("allow", setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
    (void)show("broadcast", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
    (void)show("connect broadcast", connect(fd, (struct sockaddr *)&to, sizeof(to)));
    to.sin_addr.s_addr = htonl(0xe0000001);
    (void)show("multicast", sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
    (void)show("connect multicast", connect(fd, (struct sockaddr *)&to, sizeof(to)));
    (void)show("listen", listen(fd, 1));
    (void)show("accept", accept(fd, NULL, NULL));
    show_name("peer", fd, true);
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    (void)show("connect", connect_port(fd, port));
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    (void)show("send", send(fd, "x", 1, 0));
    to = at_port(port);
    (void)show("v4 address on v6", sendto(v6, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
    to.sin_family = AF_UNIX;
    (void)show("family", sendto(other, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
}

static void show_interface(int fd)
{
    struct in_addr at = {0};
    socklen_t len = sizeof(at);

    if (show("get", getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &at, &len)) == 0)
        (void)printf("  %08x len %u\n", ntohl(at.s_addr), len);
}

/* Which interface multicast leaves by: in three shapes, and by index for IPv6. */
static void multicast_interface(void)
{
    struct ip_mreqn wish = {.imr_ifindex = 1};
    int fd = udp_socket(AF_INET);
    int v6 = udp_socket(AF_INET6);
    int index = 1;
    socklen_t len = sizeof(index);

    show_interface(fd);
    (void)show("lo by index", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &wish, sizeof(wish)));
    show_interface(fd);
    wish.imr_ifindex = 0;
    wish.imr_address.s_addr = htonl(INADDR_LOOPBACK);
    (void)show("lo", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &wish, sizeof(wish)));
    show_interface(fd);
    (void)show("any", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, "\0\0\0", 4));
    show_interface(fd);
    (void)show("lo", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &wish.imr_address, 4));
    show_interface(fd);
    (void)show("as a group", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &wish, 8));
    wish.imr_address.s_addr = htonl(0xc6336401);
    (void)show("foreign", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &wish.imr_address, 4));
    (void)show("short", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &wish.imr_address, 3));
    show_interface(fd);
    (void)show("index", setsockopt(v6, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index)));
    index = 0;
    (void)show("get", getsockopt(v6, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, &len));
    (void)show("index", index);
}

static void multicast_options(void)
{
    struct ip_mreqn group = {.imr_multiaddr.s_addr = htonl(0xe0000105)};
    struct ipv6_mreq group6 = {0};
    int fd = udp_socket(AF_INET);
    int v6 = udp_socket(AF_INET6);

    (void)show("join", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
    (void)show("leave", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof(group)));
    group.imr_multiaddr.s_addr = htonl(0x01020304);
    (void)show("join a host", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, 12));
    (void)inet_pton(AF_INET6, "ff02::105", &group6.ipv6mr_multiaddr);
    (void)show("join 6", setsockopt(v6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group6, sizeof(group6)));
}

void show_control(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        const uint8_t *data = CMSG_DATA(c);
        int number = -1;

        (void)printf("  control %d %d len %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
        if (c->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&number, data, sizeof(number));
        else if (c->cmsg_len == CMSG_LEN(1))
            number = data[0];
        if (number >= 0)
            (void)printf(" = %d", number);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, data, sizeof(info));
            (void)printf(" if %d to %08x local %08x", info.ipi_ifindex, ntohl(info.ipi_addr.s_addr),
                         ntohl(info.ipi_spec_dst.s_addr));
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            char text[INET6_ADDRSTRLEN];
            struct in6_pktinfo info;

            memcpy(&info, data, sizeof(info));
            (void)printf(" if %u to %s", info.ipi6_ifindex,
                         inet_ntop(AF_INET6, &info.ipi6_addr, text, sizeof(text)));
        }
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) {
            struct sockaddr_in to;

            memcpy(&to, data, sizeof(to));
            (void)printf(" to %08x", ntohl(to.sin_addr.s_addr));
        }
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            struct sock_extended_err e;
            struct sockaddr_in offender;

            memcpy(&e, data, sizeof(e));
            memcpy(&offender, data + sizeof(e), sizeof(offender));
            (void)printf(" %s origin %d type %d code %d info %u data %u by %d %08x",
                         strerrorname_np((int)e.ee_errno), e.ee_origin, e.ee_type, e.ee_code,
                         e.ee_info, e.ee_data, offender.sin_family,
                         offender.sin_family == AF_INET ? ntohl(offender.sin_addr.s_addr) : 0);
        }
        (void)printf("\n");
    }
}

static ssize_t receive(int fd, int flags, size_t room)
{
    char data[16];
    union {
        struct cmsghdr align;
        char bytes[512];
    } control = {0};
    struct sockaddr_storage from = {0};
    struct iovec iov = {data, sizeof(data)};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = room};
    ssize_t n = show("recvmsg", recvmsg(fd, &m, flags));

    if (n < 0)
        return n;
    (void)printf("  from family %d len %u flags %x controllen %zu\n", from.ss_family, m.msg_namelen,
                 (unsigned)m.msg_flags, m.msg_controllen);
    show_control(&m);
    return n;
}

static void set_on(int fd, int level, int name)
{
    int on = 1;

    must(setsockopt(fd, level, name, &on, sizeof(on)) == 0);
}

static void ancillary4(void)
{
    static const int wishes[] = {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVORIGDSTADDR};
    uint16_t port;
    int to = bound_udp(&port);
    int fd = udp_socket(AF_INET);
    int ttl = 33, tos = 0x28;

    for (unsigned i = 0; i < ARRAY_COUNT(wishes); i++) {
        set_on(to, IPPROTO_IP, wishes[i]);
        (void)show("sendto", send_to(fd, "x", 1, port));
        (void)receive(to, 0, 512);
    }
    (void)show("ttl", setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
    (void)show("tos", setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)));
    (void)show("sendto", send_to(fd, "x", 1, port));
    (void)receive(to, 0, 512);
    (void)show("sendto", send_to(fd, "0123456789abcdefghij", 20, port));
    (void)receive(to, 0, 20);
    set_on(to, SOL_SOCKET, SO_TIMESTAMP);
    (void)show("sendto", send_to(fd, "x", 1, port));
    (void)receive(to, 0, 512);
    set_on(to, SOL_SOCKET, SO_TIMESTAMPNS);
    (void)show("sendto", send_to(fd, "x", 1, port));
    (void)receive(to, 0, 512);
    (void)show("sendto", send_to(fd, "x", 1, port));
    (void)receive(to, MSG_PEEK, 512);
    (void)receive(to, 0, 0);
}

static ssize_t send_with(int fd, const struct sockaddr *to, socklen_t len, int level, int type,
                         const void *value, size_t size)
{
    struct iovec iov = {(char[]){'x'}, 1};
    union {
        struct cmsghdr align;
        char bytes[64];
    } control = {0};
    struct msghdr m = {.msg_name = (void *)(uintptr_t)to,
                       .msg_namelen = len,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), value, size);
    return sendmsg(fd, &m, 0);
}

static void ancillary_sent(void)
{
    uint16_t port;
    int to = bound_udp(&port);
    int fd = udp_socket(AF_INET);
    struct sockaddr_in at = at_port(port);
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x7f000005)};
    int ttl = 7, tos = 0x10, wrong = 999, zero = 0;
    const struct sockaddr *sa = (const struct sockaddr *)&at;
    struct sockaddr_in from = {0};
    socklen_t len = sizeof(from);
    char byte;

    set_on(to, IPPROTO_IP, IP_RECVTTL);
    set_on(to, IPPROTO_IP, IP_RECVTOS);
    (void)show("ttl", send_with(fd, sa, sizeof(at), IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
    (void)receive(to, 0, 512);
    (void)show("tos", send_with(fd, sa, sizeof(at), IPPROTO_IP, IP_TOS, &tos, sizeof(tos)));
    (void)receive(to, 0, 512);
    (void)show("wrong ttl", send_with(fd, sa, sizeof(at), IPPROTO_IP, IP_TTL, &wrong, 4));
    (void)show("zero ttl", send_with(fd, sa, sizeof(at), IPPROTO_IP, IP_TTL, &zero, 4));
    (void)show("unknown", send_with(fd, sa, sizeof(at), IPPROTO_IP, 99, &zero, 4));
    (void)show("unknown", send_with(fd, sa, sizeof(at), SOL_SOCKET, 99, &zero, 4));
    (void)show("other level", send_with(fd, sa, sizeof(at), IPPROTO_IPV6, 99, &zero, 4));
    (void)show("rights", send_with(fd, sa, sizeof(at), SOL_SOCKET, SCM_RIGHTS, &zero, 4));
    (void)show("source",
               send_with(fd, sa, sizeof(at), IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)));
    (void)recvfrom(to, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
    while (recvfrom(to, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len) == 1)
        ;
    (void)printf("from %08x\n", ntohl(from.sin_addr.s_addr));
}

static void ancillary6(void)
{
    static const int wishes[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS};
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof(at);
    int to = udp_socket(AF_INET6);
    int fd = udp_socket(AF_INET6);
    int hops = 9, class = 0x20;

    must(bind(to, (struct sockaddr *)&at, sizeof(at)) == 0);
    must(getsockname(to, (struct sockaddr *)&at, &len) == 0);
    for (unsigned i = 0; i < ARRAY_COUNT(wishes); i++) {
        set_on(to, IPPROTO_IPV6, wishes[i]);
        (void)show("sendto", sendto(fd, "x", 1, 0, (struct sockaddr *)&at, len));
        (void)receive(to, 0, 512);
    }
    (void)show("hops", send_with(fd, (struct sockaddr *)&at, len, IPPROTO_IPV6, IPV6_HOPLIMIT,
                                 &hops, sizeof(hops)));
    (void)receive(to, 0, 512);
    (void)show("class", send_with(fd, (struct sockaddr *)&at, len, IPPROTO_IPV6, IPV6_TCLASS,
                                  &class, sizeof(class)));
    (void)receive(to, 0, 512);
    hops = 999;
    (void)show("wrong hops", send_with(fd, (struct sockaddr *)&at, len, IPPROTO_IPV6, IPV6_HOPLIMIT,
                                       &hops, sizeof(hops)));
    (void)show("other level",
               send_with(fd, (struct sockaddr *)&at, len, IPPROTO_IP, IP_TTL, &hops, sizeof(hops)));
}

/* A socket that takes both families sees IPv4 with its own control messages. */
static void ancillary_mapped(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};
    socklen_t len = sizeof(at);
    int to = udp_socket(AF_INET6);
    int fd = udp_socket(AF_INET);

    must(bind(to, (struct sockaddr *)&at, sizeof(at)) == 0);
    must(getsockname(to, (struct sockaddr *)&at, &len) == 0);
    set_on(to, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    set_on(to, IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
    set_on(to, IPPROTO_IPV6, IPV6_RECVTCLASS);
    (void)show("sendto", send_to(fd, "x", 1, ntohs(at.sin6_port)));
    (void)receive(to, 0, 512);
    set_on(to, IPPROTO_IP, IP_RECVTTL);
    set_on(to, IPPROTO_IP, IP_RECVTOS);
    (void)show("sendto", send_to(fd, "x", 1, ntohs(at.sin6_port)));
    (void)receive(to, 0, 512);
}

static void error_queue(uint16_t port)
{
    int fd = udp_socket(AF_INET);

    set_on(fd, IPPROTO_IP, IP_RECVERR);
    (void)receive(fd, MSG_ERRQUEUE | MSG_DONTWAIT, 512);
    (void)show("sendto", send_to(fd, "lost", 4, port));
    await_refusal(fd);
    (void)receive(fd, MSG_DONTWAIT, 512);
    (void)receive(fd, MSG_ERRQUEUE, 512);
    (void)receive(fd, MSG_ERRQUEUE, 512);
    show_events("empty", fd);
    (void)show("sendto", send_to(fd, "lost", 4, port));
    await_refusal(fd);
    (void)receive(fd, MSG_ERRQUEUE, 512);
    show_error("after the queue", fd);
    (void)show("connect", connect_port(fd, port));
    (void)show("send", send(fd, "lost too", 8, 0));
    await_refusal(fd);
    show_error("refused", fd);
    (void)receive(fd, MSG_ERRQUEUE, 512);
    show_events("empty", fd);
}

static void peer_error_queue(void)
{
    error_queue(env_port("UDP_CLOSED"));
}

static void local_error_queue(void)
{
    uint16_t port;

    (void)close(bound_udp(&port));
    error_queue(port);
}

static void local_refused(void)
{
    uint16_t port;
    int fd = udp_socket(AF_INET);

    (void)close(bound_udp(&port));
    (void)show("unconnected", send_to(fd, "x", 1, port));
    (void)show("unconnected", send_to(fd, "x", 1, port));
    (void)show("connect", connect_port(fd, port));
    (void)show("send", send(fd, "x", 1, 0));
    await_refusal(fd);
    (void)receive(fd, 0, 512);
    (void)show("send", send(fd, "x", 1, 0));
    await_refusal(fd);
    (void)show("sendto", send_to(fd, "x", 1, port));
}

static void many(void)
{
    char data[4][8];
    struct iovec iov[4];
    struct mmsghdr m[4];
    struct sockaddr_in to, from[4];
    struct timespec limit = {.tv_nsec = 50000000};
    uint16_t port;
    int receiver = bound_udp(&port);
    int fd = udp_socket(AF_INET);

    to = at_port(port);
    for (unsigned i = 0; i < 4; i++) {
        iov[i] = (struct iovec){data[i], i};
        m[i] = (struct mmsghdr){
            .msg_hdr = {
                .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov[i], .msg_iovlen = 1}};
    }
    (void)show("sendmmsg", sendmmsg(fd, m, 4, 0));
    for (unsigned i = 0; i < 4; i++)
        (void)show("sent", m[i].msg_len);
    m[2].msg_hdr.msg_namelen = 3;
    (void)show("broken third", sendmmsg(fd, m, 4, 0));
    (void)show("broken first", sendmmsg(fd, m + 2, 2, 0));
    for (unsigned i = 0; i < 4; i++) {
        iov[i].iov_len = 2;
        m[i].msg_hdr.msg_name = &from[i];
        m[i].msg_hdr.msg_namelen = sizeof(from[i]);
    }
    (void)show("recvmmsg", recvmmsg(receiver, m, 4, MSG_DONTWAIT, NULL));
    for (unsigned i = 0; i < 4; i++)
        (void)printf("len %u flags %x namelen %u\n", m[i].msg_len, (unsigned)m[i].msg_hdr.msg_flags,
                     m[i].msg_hdr.msg_namelen);
    (void)show("rest", recvmmsg(receiver, m, 4, MSG_WAITFORONE, NULL));
    (void)show("sendto", send_to(fd, "x", 1, port));
    (void)show("sendto", send_to(fd, "x", 1, port));
    (void)show("all there", recvmmsg(receiver, m, 2, 0, &limit));
    (void)show("none", recvmmsg(receiver, m, 2, MSG_DONTWAIT, NULL));
}

static void shared_ports(void)
{
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof(at);
    int a = udp_socket(AF_INET), b = udp_socket(AF_INET), c = udp_socket(AF_INET);

    (void)show("bind", bind(a, (struct sockaddr *)&at, len));
    (void)show("name", getsockname(a, (struct sockaddr *)&at, &len));
    (void)show("taken", bind(b, (struct sockaddr *)&at, len));
    set_on(b, SOL_SOCKET, SO_REUSEADDR);
    (void)show("one reuses", bind(b, (struct sockaddr *)&at, len));
    set_on(a, SOL_SOCKET, SO_REUSEADDR);
    (void)show("both reuse", bind(b, (struct sockaddr *)&at, len));
    set_on(c, SOL_SOCKET, SO_REUSEPORT);
    (void)show("the other kind", bind(c, (struct sockaddr *)&at, len));
    (void)show("sendto", send_to(c, "x", 1, ntohs(at.sin_port)));
    await_events("the last one gets it", b, POLLIN);
    show_events("the first one", a);
    (void)show("connect", connect_port(a, 9));
    (void)show("sendto", send_to(c, "x", 1, ntohs(at.sin_port)));
}

/* A connected socket hears its peer only; disconnected it hears all. */
static void connected_only(void)
{
    uint16_t port, peer_port, port_again;
    int fd = bound_udp(&port), peer = bound_udp(&peer_port);
    int stranger = udp_socket(AF_INET);
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    char byte;

    (void)show("connect", connect_port(fd, peer_port));
    (void)show("stranger", send_to(stranger, "s", 1, port));
    (void)show("peer", send_to(peer, "p", 1, port));
    (void)show("recv", recv(fd, &byte, 1, 0));
    (void)printf("'%c'\n", byte);
    (void)show("recv", recv(fd, &byte, 1, MSG_DONTWAIT));
    (void)show("sendto another", send_to(fd, "x", 1, peer_port));
    (void)show("unspec", connect_nowhere(fd));
    must(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    port_again = ntohs(at.sin_port);
    (void)show("same port", port_again == port);
    show_name("unspec", fd, false);
    (void)show("stranger", send_to(stranger, "s", 1, port));
    (void)show("recv", recv(fd, &byte, 1, MSG_DONTWAIT));
    (void)show("send", send(fd, "x", 1, 0));
    fd = udp_socket(AF_INET);
    (void)show("connect", connect_port(fd, peer_port));
    show_name("connected", fd, false);
    (void)show("unspec", connect_nowhere(fd));
    show_name("unspec", fd, false);
}

/* A receiver is there as long as one process has it. */
static void holders(void)
{
    uint16_t port;
    int line[2];
    int receiver = bound_udp(&port);
    int copy = dup(receiver);
    int fd = udp_socket(AF_INET);
    pid_t child;
    char byte;

    must(pipe2(line, O_CLOEXEC) == 0);
    (void)show("connect", connect_port(fd, port));
    (void)close(receiver);
    child = fork();
    if (child == 0) {
        (void)close(line[1]);
        exit(read(line[0], &byte, 1) == 0 ? 0 : 1); /* until the parent says so */
    }
    (void)close(line[0]);
    (void)close(copy);
    (void)show("sendto", send_to(fd, "x", 1, port));
    (void)show("sendto", send_to(fd, "x", 1, port));
    show_error("there", fd);
    (void)close(line[1]);
    must(waitpid(child, NULL, 0) == child);
    (void)show("sendto", send_to(fd, "x", 1, port));
    await_refusal(fd);
    show_error("gone", fd);
}

static void datagram_flags(void)
{
    uint16_t port;
    int to = bound_udp(&port);
    int fd = udp_socket(AF_INET);
    struct timeval shortly = {.tv_usec = 20000};
    char data[8] = "";

    (void)show("timeout", setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &shortly, sizeof(shortly)));
    (void)show("recv", recv(to, data, 8, 0));
    (void)show("sendto", send_to(fd, "abcdef", 6, port));
    (void)show("peek", recv(to, data, 3, MSG_PEEK));
    (void)show("peek", recv(to, data, 3, MSG_PEEK | MSG_TRUNC));
    (void)show("wait for all", recv(to, data, 8, MSG_WAITALL));
    show_events("empty", to);
    (void)show("shutdown", shutdown(to, SHUT_RD));
    (void)show("connect", connect_port(to, 9));
    (void)show("shutdown", shutdown(to, SHUT_RD));
    (void)show("recv", recv(to, data, 8, 0));
    show_events("shut", to);
}

const struct differ_case udp_cases[] = {
    {"udp_peer_echo", peer_echo},
    {"udp_peer_refused", peer_refused},
    {"udp_sizes", sizes},
    {"udp_errors", errors},
    {"udp_multicast_options", multicast_options},
    {"udp_multicast_interface", multicast_interface},
    {"udp_ancillary4", ancillary4},
    {"udp_ancillary_sent", ancillary_sent},
    {"udp_ancillary6", ancillary6},
    {"udp_ancillary_mapped", ancillary_mapped},
    {"udp_peer_error_queue", peer_error_queue},
    {"udp_local_error_queue", local_error_queue},
    {"udp_local_refused", local_refused},
    {"udp_many", many},
    {"udp_shared_ports", shared_ports},
    {"udp_connected_only", connected_only},
    {"udp_flags", datagram_flags},
    {"udp_holders", holders},
};
const unsigned udp_case_count = ARRAY_COUNT(udp_cases);
