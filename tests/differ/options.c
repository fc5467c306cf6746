/* SPDX-License-Identifier: Apache-2.0 */
/* Every option of every level: what it is at first, what may be set, and what is then read. */
#include <linux/in6.h>
#include <netinet/tcp.h>

#include "tests/differ/differ.h"

static const struct {
    int level;
    int option;
    const char *name;
} names[] = {
#define NAME(level, name)                                                                          \
    {                                                                                              \
        level, name, #name                                                                         \
    }
    NAME(SOL_SOCKET, SO_DEBUG),
    NAME(SOL_SOCKET, SO_REUSEADDR),
    NAME(SOL_SOCKET, SO_TYPE),
    NAME(SOL_SOCKET, SO_ERROR),
    NAME(SOL_SOCKET, SO_DONTROUTE),
    NAME(SOL_SOCKET, SO_BROADCAST),
    NAME(SOL_SOCKET, SO_SNDBUF),
    NAME(SOL_SOCKET, SO_RCVBUF),
    NAME(SOL_SOCKET, SO_KEEPALIVE),
    NAME(SOL_SOCKET, SO_OOBINLINE),
    NAME(SOL_SOCKET, SO_NO_CHECK),
    NAME(SOL_SOCKET, SO_PRIORITY),
    NAME(SOL_SOCKET, SO_BSDCOMPAT),
    NAME(SOL_SOCKET, SO_REUSEPORT),
    NAME(SOL_SOCKET, SO_SNDLOWAT),
    NAME(SOL_SOCKET, SO_TIMESTAMP),
    NAME(SOL_SOCKET, SO_TIMESTAMPNS),
    NAME(SOL_SOCKET, SO_ACCEPTCONN),
    NAME(SOL_SOCKET, SO_PROTOCOL),
    NAME(SOL_SOCKET, SO_DOMAIN),
    NAME(SOL_SOCKET, SO_RXQ_OVFL),
    NAME(SOL_SOCKET, SO_SELECT_ERR_QUEUE),
    NAME(SOL_SOCKET, SO_BUSY_POLL),
    NAME(SOL_SOCKET, SO_MAX_PACING_RATE),
    NAME(IPPROTO_IP, IP_TOS),
    NAME(IPPROTO_IP, IP_TTL),
    NAME(IPPROTO_IP, IP_RECVOPTS),
    NAME(IPPROTO_IP, IP_RETOPTS),
    NAME(IPPROTO_IP, IP_PKTINFO),
    NAME(IPPROTO_IP, IP_MTU_DISCOVER),
    NAME(IPPROTO_IP, IP_RECVERR),
    NAME(IPPROTO_IP, IP_RECVTTL),
    NAME(IPPROTO_IP, IP_RECVTOS),
    NAME(IPPROTO_IP, IP_MTU),
    NAME(IPPROTO_IP, IP_FREEBIND),
    NAME(IPPROTO_IP, IP_PASSSEC),
    NAME(IPPROTO_IP, IP_TRANSPARENT),
    NAME(IPPROTO_IP, IP_RECVORIGDSTADDR),
    NAME(IPPROTO_IP, IP_MINTTL),
    NAME(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT),
    NAME(IPPROTO_IP, IP_MULTICAST_TTL),
    NAME(IPPROTO_IP, IP_MULTICAST_LOOP),
    NAME(IPPROTO_IPV6, IPV6_V6ONLY),
    NAME(IPPROTO_IPV6, IPV6_UNICAST_HOPS),
    NAME(IPPROTO_IPV6, IPV6_MULTICAST_HOPS),
    NAME(IPPROTO_IPV6, IPV6_MULTICAST_LOOP),
    NAME(IPPROTO_IPV6, IPV6_MTU_DISCOVER),
    NAME(IPPROTO_IPV6, IPV6_RECVERR),
    NAME(IPPROTO_IPV6, IPV6_RECVPKTINFO),
    NAME(IPPROTO_IPV6, IPV6_RECVHOPLIMIT),
    NAME(IPPROTO_IPV6, IPV6_RECVTCLASS),
    NAME(IPPROTO_IPV6, IPV6_RECVRTHDR),
    NAME(IPPROTO_IPV6, IPV6_RECVHOPOPTS),
    NAME(IPPROTO_IPV6, IPV6_RECVDSTOPTS),
    NAME(IPPROTO_IPV6, IPV6_RECVPATHMTU),
    NAME(IPPROTO_IPV6, IPV6_TCLASS),
    NAME(IPPROTO_IPV6, IPV6_DONTFRAG),
    NAME(IPPROTO_IPV6, IPV6_FREEBIND),
    NAME(IPPROTO_IPV6, IPV6_TRANSPARENT),
    NAME(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR),
    NAME(IPPROTO_IPV6, IPV6_MTU),
    NAME(IPPROTO_TCP, TCP_NODELAY),
    NAME(IPPROTO_TCP, TCP_MAXSEG),
    NAME(IPPROTO_TCP, TCP_CORK),
    NAME(IPPROTO_TCP, TCP_KEEPIDLE),
    NAME(IPPROTO_TCP, TCP_KEEPINTVL),
    NAME(IPPROTO_TCP, TCP_KEEPCNT),
    NAME(IPPROTO_TCP, TCP_SYNCNT),
    NAME(IPPROTO_TCP, TCP_LINGER2),
    NAME(IPPROTO_TCP, TCP_DEFER_ACCEPT),
    NAME(IPPROTO_TCP, TCP_WINDOW_CLAMP),
    NAME(IPPROTO_TCP, TCP_INFO),
    NAME(IPPROTO_TCP, TCP_QUICKACK),
    NAME(IPPROTO_TCP, TCP_USER_TIMEOUT),
    NAME(IPPROTO_TCP, TCP_NOTSENT_LOWAT),
    NAME(IPPROTO_TCP, TCP_INQ),
    NAME(IPPROTO_TCP, 999),
    NAME(SOL_SOCKET, 999),
    NAME(SOL_RAW, 1),
#undef NAME
};

static const int values[] = {0, 1, 2, 64, 255, 256, 1000, 70000, -1};

/** Values that are not one number, or that the machine's settings bound. */
static bool is_volatile(int level, int name)
{
    return (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) ||
           (level == IPPROTO_TCP && name == TCP_INFO);
}

/** What getsockopt(2) says, as the rest of a line. */
static void get(int fd, int level, int name)
{
    uint32_t value[16] = {0};
    socklen_t len = sizeof(value[0]);

    if (getsockopt(fd, level, name, value, &len) < 0)
        (void)printf(" %s\n", strerrorname_np(errno));
    else if (is_volatile(level, name))
        (void)printf(" len %u\n", len);
    else
        (void)printf(" %d len %u\n", (int)value[0], len);
}

static void try_all(int domain, int type)
{
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        int fd = socket(domain, type | SOCK_CLOEXEC, 0);

        (void)printf("%s:", names[i].name);
        get(fd, names[i].level, names[i].option);
        (void)close(fd);
    }
}

static void set_one(int fd, unsigned at, const void *value, socklen_t len, int shown)
{
    int r = setsockopt(fd, names[at].level, names[at].option, value, len);

    (void)printf("%s set %d in %u:", names[at].name, shown, len);
    if (r < 0)
        (void)printf(" %s,", strerrorname_np(errno));
    get(fd, names[at].level, names[at].option);
}

static void set_all(int domain, int type)
{
    static const unsigned char byte = 1;

    for (unsigned at = 0; at < ARRAY_COUNT(names); at++) {
        int fd = socket(domain, type | SOCK_CLOEXEC, 0);

        for (unsigned i = 0; i < ARRAY_COUNT(values); i++)
            set_one(fd, at, &values[i], sizeof(values[i]), values[i]);
        if (names[at].level != IPPROTO_IPV6)
            set_one(fd, at, &byte, 1, byte);
        (void)close(fd);
    }
}

static void get_tcp4(void)
{
    try_all(AF_INET, SOCK_STREAM);
}

static void get_tcp6(void)
{
    try_all(AF_INET6, SOCK_STREAM);
}

static void get_udp4(void)
{
    try_all(AF_INET, SOCK_DGRAM);
}

static void get_udp6(void)
{
    try_all(AF_INET6, SOCK_DGRAM);
}

static void set_tcp4(void)
{
    set_all(AF_INET, SOCK_STREAM);
}

static void set_tcp6(void)
{
    set_all(AF_INET6, SOCK_STREAM);
}

static void set_udp4(void)
{
    set_all(AF_INET, SOCK_DGRAM);
}

static void set_udp6(void)
{
    set_all(AF_INET6, SOCK_DGRAM);
}

static void show_text(const char *what, int fd, int level, int name)
{
    char text[64] = "";
    socklen_t len = sizeof(text);

    if (show(what, getsockopt(fd, level, name, text, &len)) == 0)
        (void)printf("  \"%s\" len %u\n", text, len);
}

/* A socket that is bound to an interface: by name, once. */
static void device(void)
{
    uint16_t port;
    int listener = listening(1, &port);
    int fd = tcp_socket(0);
    struct sockaddr_in away = at_port(9);

    show_text("none", fd, SOL_SOCKET, SO_BINDTODEVICE);
    (void)show("unknown", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nonesuch0", 9));
    (void)show("lo", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
    show_text("lo", fd, SOL_SOCKET, SO_BINDTODEVICE);
    (void)show("again", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
    (void)show("free", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
    (void)show("connect", connect_port(fd, port));
    (void)show_ok("accept", accept(listener, NULL, NULL));
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)show("lo", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
    away.sin_addr.s_addr = htonl(0xc6336401);
    (void)show("lost", sendto(fd, "x", 1, 0, (struct sockaddr *)&away, sizeof(away)));
}

static void congestion(void)
{
    int fd = tcp_socket(0);

    (void)show("reno", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    show_text("reno", fd, IPPROTO_TCP, TCP_CONGESTION);
    (void)show("unknown", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8));
    (void)show("nothing", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "", 0));
    show_text("still", fd, IPPROTO_TCP, TCP_CONGESTION);
}

const struct differ_case option_cases[] = {
    {"options_get_tcp4", get_tcp4}, {"options_get_tcp6", get_tcp6},
    {"options_get_udp4", get_udp4}, {"options_get_udp6", get_udp6},
    {"options_set_tcp4", set_tcp4}, {"options_set_tcp6", set_tcp6},
    {"options_set_udp4", set_udp4}, {"options_set_udp6", set_udp6},
    {"options_device", device},     {"options_congestion", congestion},
};
const unsigned option_case_count = ARRAY_COUNT(option_cases);
