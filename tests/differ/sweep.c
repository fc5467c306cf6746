/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broad sweep: every number of an option, known to us or not, on every level: may it be read, how
 * long is it, what do three values do to it. One line for each, so that a program which tries an
 * option that nobody thought of gets the kernel's answer.
 */
#include <linux/in6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "tests/differ/differ.h"

#define NAMES 100

/** Numbers that differ between two sockets, or that machines set. */
static bool is_volatile(int level, int name)
{
    switch (level) {
    case SOL_SOCKET:
        return name == SO_SNDBUF || name == SO_RCVBUF || name == SO_INCOMING_CPU;
    case IPPROTO_TCP:
        return name == TCP_TIMESTAMP || name == TCP_WINDOW_CLAMP;
    default:
        return false;
    }
}

/** Numbers that are not compared: whose value is a descriptor of another kind, or that the kernel's
 * modules decide about (iptables, ipset, conntrack). */
static bool is_left_out(int level, int name)
{
    if (level == SOL_SOCKET)
        return name == 50 || name == 52;
    return (level == IPPROTO_IP || level == IPPROTO_IPV6) &&
           ((name >= 64 && name <= 69) || name >= 80);
}

static void get(int fd, int level, int name)
{
    int32_t value[64] = {0};
    socklen_t len = sizeof(value);

    if (getsockopt(fd, level, name, value, &len) < 0)
        (void)printf(" %s", strerrorname_np(errno));
    else if (len == sizeof(value[0]) && !is_volatile(level, name))
        (void)printf(" %d", value[0]);
    else
        (void)printf(" [%u]", len);
}

static void try_one(int fd, int level, int name)
{
    static const int32_t values[] = {0, 1, 7};

    get(fd, level, name);
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        (void)printf("; set %d", values[i]);
        if (setsockopt(fd, level, name, &values[i], sizeof(values[i])) < 0)
            (void)printf(" %s", strerrorname_np(errno));
        else
            (void)printf(" ok");
        get(fd, level, name);
    }
    if (level == IPPROTO_IPV6) { /* each option has its own answer to an empty value there */
        (void)printf("\n");
        return;
    }
    (void)printf("; set nothing");
    if (setsockopt(fd, level, name, values, 0) < 0)
        (void)printf(" %s\n", strerrorname_np(errno));
    else
        (void)printf(" ok\n");
}

static void sweep(int domain, int type)
{
    static const struct {
        int level;
        const char *name;
    } levels[] = {{SOL_SOCKET, "socket"}, {IPPROTO_IP, "ip"},   {IPPROTO_IPV6, "ipv6"},
                  {IPPROTO_TCP, "tcp"},   {IPPROTO_UDP, "udp"}, {SOL_RAW, "raw"}};

    for (unsigned i = 0; i < ARRAY_COUNT(levels); i++) {
        for (int name = 0; name < NAMES; name++) {
            int fd;

            if (is_left_out(levels[i].level, name))
                continue;
            fd = socket(domain, type | SOCK_CLOEXEC, 0);
            must(fd >= 0);
            (void)printf("%s %d:", levels[i].name, name);
            try_one(fd, levels[i].level, name);
            (void)close(fd);
        }
    }
}

static void sweep_tcp4(void)
{
    sweep(AF_INET, SOCK_STREAM);
}

static void sweep_tcp6(void)
{
    sweep(AF_INET6, SOCK_STREAM);
}

static void sweep_udp4(void)
{
    sweep(AF_INET, SOCK_DGRAM);
}

static void sweep_udp6(void)
{
    sweep(AF_INET6, SOCK_DGRAM);
}

const struct differ_case sweep_cases[] = {
    {"sweep_tcp4", sweep_tcp4},
    {"sweep_tcp6", sweep_tcp6},
    {"sweep_udp4", sweep_udp4},
    {"sweep_udp6", sweep_udp6},
};
const unsigned sweep_case_count = ARRAY_COUNT(sweep_cases);
