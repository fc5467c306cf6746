/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that lead nowhere, or mean something of their own: of both families and protocols. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "tests/differ/differ.h"

struct address {
    int family;
    const char *text;
    uint16_t port;
    uint32_t scope;
};

/** Where there is only lo, and no route leads away. */
static const struct address addresses[] = {
    {AF_INET, "0.0.0.0", 0, 0},
    {AF_INET, "255.255.255.255", 4009, 0},
    {AF_INET, "127.255.255.255", 4009, 0},
    {AF_INET, "224.0.0.1", 4009, 0},
    {AF_INET, "239.255.255.250", 1900, 0},
    {AF_INET6, "ff02::1", 4009, 0},
    {AF_INET6, "ff02::1", 4009, 7},
    {AF_INET6, "ff02::fb", 5353, 1},
    {AF_INET6, "ff0e::1", 4009, 0},
    {AF_INET6, "fe80::1", 4009, 0},
    {AF_INET6, "fe80::1", 4009, 7},
    {AF_INET6, "::ffff:255.255.255.255", 4009, 0},
    {AF_INET6, "::ffff:224.0.0.1", 4009, 0},
};

static socklen_t make(const struct address *a, struct sockaddr_storage *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    memset(ret, 0, sizeof(*ret));
    if (a->family == AF_INET) {
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        must(inet_pton(AF_INET, a->text, &in->sin_addr) == 1);
        return sizeof(*in);
    }
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    in6->sin6_scope_id = a->scope;
    must(inet_pton(AF_INET6, a->text, &in6->sin6_addr) == 1);
    return sizeof(*in6);
}

static void say(const struct address *a, const char *what, long ret)
{
    char line[128];

    (void)snprintf(line, sizeof(line), "%s%%%u %s", a->text, a->scope, what);
    (void)show(line, ret);
}

static void udp_one(const struct address *a, bool may_broadcast)
{
    struct sockaddr_storage to;
    socklen_t len = make(a, &to);
    int fd = socket(a->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int on = may_broadcast;

    must(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) == 0);
    say(a, "bind", bind(fd, (struct sockaddr *)&to, len));
    (void)close(fd);
    fd = socket(a->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) == 0);
    say(a, "sendto", sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, len));
    say(a, "connect", connect(fd, (struct sockaddr *)&to, len));
    (void)close(fd);
}

static void udp_addresses(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(addresses); i++) {
        udp_one(&addresses[i], /*may_broadcast=*/false);
        udp_one(&addresses[i], /*may_broadcast=*/true);
    }
}

static void tcp_addresses(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(addresses); i++) {
        const struct address *a = &addresses[i];
        struct sockaddr_storage to;
        socklen_t len = make(a, &to);
        int fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        say(a, "bind", bind(fd, (struct sockaddr *)&to, len));
        (void)close(fd);
        fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (a->port != 0)
            say(a, "connect", connect(fd, (struct sockaddr *)&to, len));
        (void)close(fd);
    }
}

const struct differ_case address_cases[] = {
    {"udp_addresses", udp_addresses},
    {"tcp_addresses", tcp_addresses},
};
const unsigned address_case_count = ARRAY_COUNT(address_cases);
