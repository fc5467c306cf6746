/* SPDX-License-Identifier: Apache-2.0 */
/* Ping sockets (icmp(7)) on loopback: who answers, what may be sent, names, options. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "tests/differ/differ.h"

#define REQUEST  8
#define REPLY    0
#define REQUEST6 128
#define REPLY6   129
#define MESSAGE  24 /* bytes of the usual one */

struct message {
    uint8_t bytes[64];
};

static uint8_t big[65600]; /* a message of any size: the caller's, for the moment */

static struct message request_of(int domain)
{
    struct message m = {
        .bytes = {domain == AF_INET ? REQUEST : REQUEST6, 0, 0xab, 0xcd, 9, 9, 0, 7}};

    for (unsigned i = 8; i < MESSAGE; i++)
        m.bytes[i] = (uint8_t)i;
    return m;
}

static int ping_socket(int domain)
{
    int fd = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC,
                    domain == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    struct timeval limit = {.tv_sec = 5};

    if (fd < 0) {
        (void)show("socket", fd);
        exit(0); /* the same on both sides, where the host gives none */
    }
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    return fd;
}

static socklen_t address(int domain, const char *text, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    *ret = (struct sockaddr_storage){.ss_family = (sa_family_t)domain};
    if (domain == AF_INET) {
        must(inet_pton(AF_INET, text, &in->sin_addr) == 1);
        in->sin_port = htons(port);
        return sizeof(*in);
    }
    must(inet_pton(AF_INET6, text, &in6->sin6_addr) == 1);
    in6->sin6_port = htons(port);
    return sizeof(*in6);
}

static const char *home(int domain)
{
    return domain == AF_INET ? "127.0.0.1" : "::1";
}

static long send_to(int fd, int domain, const char *text, const void *data, size_t len)
{
    struct sockaddr_storage to;
    socklen_t to_len = address(domain, text, 0, &to);

    return sendto(fd, data, len, 0, (struct sockaddr *)&to, to_len);
}

/** sendmsg(2) without a name: never native inside, so that what it says is exact. */
static long send_msg(int fd, void *data, size_t len)
{
    struct iovec iov = {data, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    return sendmsg(fd, &m, 0);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    must(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
    return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

static int checksum(const uint8_t *p, long len, uint32_t sum)
{
    for (long i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    if (len % 2 == 1)
        sum += (uint32_t)p[len - 1] << 8;
    while (sum >> 16 != 0)
        sum = (sum >> 16) + (sum & 0xffff);
    return (int)(uint16_t)~sum;
}

/** What a reply says; its identifier must be the socket's port. */
static void show_reply(int fd, const uint8_t *m, long n)
{
    bool is_v6 = m[0] == REPLY6;
    uint32_t pseudo = is_v6 ? 2u + (uint32_t)n + IPPROTO_ICMPV6 : 0; /* ::1 and ::1 */
    unsigned odd = 0;

    if (n < 8)
        return;
    for (long i = 8; i < n; i++)
        odd += m[i] != (i < MESSAGE ? (uint8_t)i : 0);
    (void)printf("  type %d code %d identifier %s sequence %d, %u bytes differ, checksum %s\n",
                 m[0], m[1], (m[4] << 8 | m[5]) == port_of(fd) ? "is the port" : "?",
                 m[6] << 8 | m[7], odd, checksum(m, n, pseudo) == 0 ? "right" : "wrong");
}

static void take(int fd, int flags, size_t room)
{
    static uint8_t m[sizeof(big)];
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof(from);
    char text[INET6_ADDRSTRLEN] = "?";
    long n = show("recvfrom", recvfrom(fd, m, room, flags, (struct sockaddr *)&from, &len));

    if (n < 0)
        return;
    if (from.ss_family == AF_INET)
        (void)inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, text, sizeof(text));
    else
        (void)inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&from)->sin6_addr, text, sizeof(text));
    (void)printf("  from %s len %u port %d\n", text, len, ((struct sockaddr_in *)&from)->sin_port);
    show_reply(fd, m, n);
}

static void echo(int domain, const char *const *to)
{
    static const size_t sizes[] = {8, 9, MESSAGE, 1480, 20000, 65000};
    struct message m = request_of(domain);
    int fd = ping_socket(domain);

    show_name("fresh", fd, false);
    for (; *to != NULL; to++) {
        (void)show(*to, send_to(fd, domain, *to, m.bytes, MESSAGE));
        take(fd, 0, sizeof(big));
    }
    show_name("sent", fd, false);
    memcpy(big, m.bytes, MESSAGE);
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        (void)show("sized", send_to(fd, domain, home(domain), big, sizes[i]));
        take(fd, 0, sizeof(big));
    }
    (void)show("peek", send_to(fd, domain, home(domain), m.bytes, MESSAGE));
    take(fd, MSG_PEEK, sizeof(big));
    take(fd, 0, 12);
    (void)show("cut", send_to(fd, domain, home(domain), m.bytes, MESSAGE));
    take(fd, MSG_TRUNC, 12);
    take(fd, MSG_DONTWAIT, 12);
    take(fd, MSG_DONTWAIT | MSG_ERRQUEUE, 12);
}

static void echo4(void)
{
    static const char *const to[] = {"127.0.0.1", "127.9.8.7", "0.0.0.0", NULL};

    echo(AF_INET, to);
}

static void echo6(void)
{
    static const char *const to[] = {"::1", NULL};

    echo(AF_INET6, to);
}

/* What is no echo request, and what is no address. */
static void refused(int domain)
{
    static const uint8_t types[][2] = {{REPLY, 0},   {13, 0},       {3, 0},    {REQUEST, 1},
                                       {REPLY6, 0},  {REQUEST6, 1}, {133, 0},  {1, 0},
                                       {REQUEST, 0}, {REQUEST6, 0}, {255, 255}};
    struct message m = request_of(domain);
    struct sockaddr_storage to;
    socklen_t len = address(domain, home(domain), 0, &to);
    int fd = ping_socket(domain);

    memcpy(big, m.bytes, MESSAGE);
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        m.bytes[0] = types[i][0];
        m.bytes[1] = types[i][1];
        (void)printf("type %d code %d ", types[i][0], types[i][1]);
        (void)show("sendto", send_to(fd, domain, home(domain), m.bytes, MESSAGE));
    }
    m = request_of(domain);
    (void)show("none", send_to(fd, domain, home(domain), m.bytes, 0));
    (void)show("seven", send_to(fd, domain, home(domain), m.bytes, 7));
    (void)show("65536", send_to(fd, domain, home(domain), big, 65536));
    if (domain == AF_INET)
        (void)show("65516", send_to(fd, domain, home(domain), big, 65516));
    (void)show("oob", sendto(fd, m.bytes, MESSAGE, MSG_OOB, (struct sockaddr *)&to, len));
    (void)show("no address", send_msg(fd, m.bytes, MESSAGE));
    (void)show("short", sendto(fd, m.bytes, MESSAGE, 0, (struct sockaddr *)&to, len - 5));
    to.ss_family = AF_UNSPEC;
    (void)show("unspecified", sendto(fd, m.bytes, MESSAGE, 0, (struct sockaddr *)&to, len));
    to.ss_family = AF_UNIX;
    (void)show("family", sendto(fd, m.bytes, MESSAGE, 0, (struct sockaddr *)&to, len));
    if (domain == AF_INET6) {
        (void)show("mapped", send_to(fd, domain, "::ffff:127.0.0.1", m.bytes, MESSAGE));
        (void)show("v4", send_to(fd, AF_INET, "127.0.0.1", m.bytes, MESSAGE));
    } else {
        (void)show("broadcast", send_to(fd, domain, "255.255.255.255", m.bytes, MESSAGE));
        (void)show("multicast", send_to(fd, domain, "224.0.0.1", m.bytes, MESSAGE));
    }
    (void)show("listen", listen(fd, 1));
    (void)show("accept", accept(fd, NULL, NULL));
    (void)show("shutdown", shutdown(fd, SHUT_WR));
}

static void refused4(void)
{
    refused(AF_INET);
}

static void refused6(void)
{
    refused(AF_INET6);
}

static void show_option(const char *what, int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    (void)show(what, getsockopt(fd, level, name, &value, &len));
    (void)printf("  value %d len %u\n", value, len);
}

static long bind_to(int fd, int domain, const char *text, uint16_t port)
{
    struct sockaddr_storage at;
    socklen_t len = address(domain, text, port, &at);

    return bind(fd, (struct sockaddr *)&at, len);
}

/* An identifier is taken for both families and every address. */
static void names(void)
{
    struct message m = request_of(AF_INET);
    struct sockaddr_storage at;
    socklen_t len = address(AF_INET, "0.0.0.0", 1234, &at);
    int fd = ping_socket(AF_INET), other = ping_socket(AF_INET), six = ping_socket(AF_INET6);
    int on = 1, off = 0;

    (void)show("bind short", bind(fd, (struct sockaddr *)&at, len - 1));
    (void)show("bind elsewhere", bind_to(fd, AF_INET, "192.0.2.1", 5));
    (void)show("bind multicast", bind_to(fd, AF_INET, "224.0.0.1", 5));
    (void)show("bind broadcast", bind_to(fd, AF_INET, "255.255.255.255", 5));
    at.ss_family = AF_INET6;
    (void)show("bind family", bind(fd, (struct sockaddr *)&at, len));
    at.ss_family = AF_UNSPEC;
    (void)show("bind unspecified", bind(fd, (struct sockaddr *)&at, len));
    (void)printf("port 1234: %d\n", port_of(fd) == 1234);
    (void)show("bind again", bind_to(fd, AF_INET, "127.0.0.1", 99));
    show_option("reuse", fd, SOL_SOCKET, SO_REUSEADDR);
    (void)show("no reuse", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)));
    (void)show("taken", bind_to(other, AF_INET, "127.0.0.2", 1234));
    (void)show("taken 6", bind_to(six, AF_INET6, "::1", 1234));
    (void)show("reuse", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    (void)show("shared", bind_to(other, AF_INET, "127.0.0.2", 1234));
    show_name("other", other, false);
    (void)show("mapped", bind_to(six, AF_INET6, "::ffff:127.0.0.1", 7));
    (void)show("short 6", bind(six, (struct sockaddr *)&at, 24));
    (void)show("any port", bind_to(six, AF_INET6, "::1", 0));
    show_name("six", six, false);
    (void)show("sendto", send_to(fd, AF_INET, "127.0.0.1", m.bytes, MESSAGE));
    take(fd, 0, sizeof(big));
}

static void connected(int domain)
{
    struct message m = request_of(domain), in;
    struct sockaddr_storage to;
    socklen_t len = address(domain, home(domain), 0, &to);
    int fd = ping_socket(domain);
    uint16_t port;

    show_name("peer", fd, true);
    (void)show("connect short", connect(fd, (struct sockaddr *)&to, len - 5));
    (void)show("connect", connect(fd, (struct sockaddr *)&to, len));
    show_name("own", fd, false);
    show_name("peer", fd, true);
    len = address(domain, home(domain), 77, &to);
    (void)show("connect", connect(fd, (struct sockaddr *)&to, len));
    show_name("peer", fd, true);
    port = port_of(fd);
    (void)show("send", send(fd, m.bytes, MESSAGE, 0));
    (void)show("recv", recv(fd, in.bytes, sizeof(in), 0));
    show_reply(fd, in.bytes, MESSAGE);
    (void)show("write", write(fd, m.bytes, MESSAGE));
    (void)show("read", read(fd, in.bytes, sizeof(in)));
    show_reply(fd, in.bytes, MESSAGE);
    (void)show("sendmsg", send_msg(fd, m.bytes, MESSAGE));
    take(fd, 0, sizeof(big));
    m.bytes[0] = 13;
    (void)show("sendmsg", send_msg(fd, m.bytes, MESSAGE));
    (void)show("send", send(fd, m.bytes, MESSAGE, 0));
    m = request_of(domain);
    (void)show("shutdown", shutdown(fd, SHUT_RD));
    (void)show("unspec", connect_nowhere(fd));
    (void)printf("port kept: %d\n", port_of(fd) == port);
    show_name("unspec", fd, false);
    show_name("unspec", fd, true);
    (void)show("sendmsg", send_msg(fd, m.bytes, MESSAGE));
}

static void connected4(void)
{
    connected(AF_INET);
}

static void connected6(void)
{
    connected(AF_INET6);
}

static void receive(int fd, size_t room)
{
    char data[8];
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

    if (show("recvmsg", recvmsg(fd, &m, 0)) < 0)
        return;
    (void)printf("  from family %d len %u flags %x controllen %zu\n", from.ss_family, m.msg_namelen,
                 (unsigned)m.msg_flags, m.msg_controllen);
    show_control(&m);
}

static void control(int domain)
{
    static const int four[] = {IP_RECVTTL, IP_RECVTOS, IP_PKTINFO, IP_RETOPTS};
    static const int six[] = {IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_RECVPKTINFO, IPV6_RECVERR};
    struct message m = request_of(domain);
    int level = domain == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    int fd = ping_socket(domain), on = 1, value = 0x20;

    for (unsigned i = 0; i < ARRAY_COUNT(four); i++) {
        (void)show("wish",
                   setsockopt(fd, level, domain == AF_INET ? four[i] : six[i], &on, sizeof(on)));
        (void)show("sendto", send_to(fd, domain, home(domain), m.bytes, 8));
        receive(fd, 512);
    }
    (void)show("time", setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)));
    (void)show("class", setsockopt(fd, level, domain == AF_INET ? IP_TOS : IPV6_TCLASS, &value,
                                   sizeof(value)));
    value = 3;
    (void)show("hops", setsockopt(fd, level, domain == AF_INET ? IP_TTL : IPV6_UNICAST_HOPS, &value,
                                  sizeof(value)));
    (void)show("sendto", send_to(fd, domain, home(domain), m.bytes, 16));
    receive(fd, 512);
    (void)show("sendto", send_to(fd, domain, home(domain), m.bytes, 8));
    receive(fd, 40);
}

static void control4(void)
{
    control(AF_INET);
}

static void control6(void)
{
    control(AF_INET6);
}

static void options(void)
{
    static const int domains[] = {AF_INET, AF_INET6};
    int value = 1;

    for (unsigned i = 0; i < ARRAY_COUNT(domains); i++) {
        int fd = ping_socket(domains[i]);

        show_option("type", fd, SOL_SOCKET, SO_TYPE);
        show_option("protocol", fd, SOL_SOCKET, SO_PROTOCOL);
        show_option("domain", fd, SOL_SOCKET, SO_DOMAIN);
        show_option("listens", fd, SOL_SOCKET, SO_ACCEPTCONN);
        show_option("error", fd, SOL_SOCKET, SO_ERROR);
        show_option("ttl", fd, IPPROTO_IP, IP_TTL);
        show_option("hops", fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
        show_option("recverr", fd, IPPROTO_IP, IP_RECVERR);
        show_option("icmp filter", fd, SOL_RAW, ICMP_FILTER);
        show_option("icmp6 filter", fd, IPPROTO_ICMPV6, ICMP6_FILTER);
        show_option("tcp", fd, IPPROTO_TCP, 1);
        show_option("udp", fd, IPPROTO_UDP, 1);
        (void)show("icmp filter", setsockopt(fd, SOL_RAW, ICMP_FILTER, &value, sizeof(value)));
        (void)show("icmp6 filter",
                   setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &value, sizeof(value)));
        (void)show("hdrincl", setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &value, sizeof(value)));
        (void)show("checksum", setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &value, sizeof(value)));
    }
}

static void kinds(void)
{
    static const struct {
        int domain, type, protocol;
    } rows[] = {{AF_INET, SOCK_DGRAM, IPPROTO_ICMP},    {AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6},
                {AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6},  {AF_INET6, SOCK_DGRAM, IPPROTO_ICMP},
                {AF_INET, SOCK_STREAM, IPPROTO_ICMP},   {AF_INET, SOCK_RAW, IPPROTO_ICMP},
                {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},   {AF_INET, SOCK_RAW, IPPROTO_RAW},
                {AF_INET, SOCK_SEQPACKET, IPPROTO_ICMP}};

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        (void)printf("%d %d %d ", rows[i].domain, rows[i].type, rows[i].protocol);
        (void)show_ok("socket", socket(rows[i].domain, rows[i].type, rows[i].protocol));
    }
}

static void waiting(void)
{
    struct message m = request_of(AF_INET);
    struct timeval limit = {.tv_usec = 20000};
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    int fd = ping_socket(AF_INET), set = epoll_create1(EPOLL_CLOEXEC), n = -1;

    (void)show("add", epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
    show_events("fresh", fd);
    (void)show("epoll", epoll_wait(set, &e, 1, 0));
    (void)show("sendto", send_to(fd, AF_INET, "127.0.0.1", m.bytes, MESSAGE));
    await_events("answered", fd, POLLIN);
    (void)show("epoll", epoll_wait(set, &e, 1, 0));
    (void)show("epoll", epoll_wait(set, &e, 1, 0));
    (void)show("inq", ioctl(fd, FIONREAD, &n));
    (void)show("inq", n);
    (void)show("sendto", send_to(fd, AF_INET, "127.0.0.1", m.bytes, MESSAGE));
    (void)show("epoll", epoll_wait(set, &e, 1, 5000));
    take(fd, 0, sizeof(big));
    take(fd, 0, sizeof(big));
    show_events("empty", fd);
    (void)show("limit", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
    take(fd, 0, sizeof(big));
    (void)show("nonblock", fcntl(fd, F_SETFL, O_NONBLOCK));
    take(fd, 0, sizeof(big));
}

const struct differ_case ping_cases[] = {
    {"ping_echo4", echo4},           {"ping_echo6", echo6},       {"ping_refused4", refused4},
    {"ping_refused6", refused6},     {"ping_names", names},       {"ping_connected4", connected4},
    {"ping_connected6", connected6}, {"ping_control4", control4}, {"ping_control6", control6},
    {"ping_options", options},       {"ping_kinds", kinds},       {"ping_waiting", waiting},
};
const unsigned ping_case_count = ARRAY_COUNT(ping_cases);
