/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams and errors of real loopback sockets, of both families.
 */
#include "base/arrival.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/suite.h"

static const struct family {
    int domain, level, receives_errors, receives_hops, sets_hops;
    uint8_t type, code; /* port unreachable: RFC 792, RFC 4443 */
} families[] = {
    {AF_INET, IPPROTO_IP, IP_RECVERR, IP_RECVTTL, IP_TTL, 3, 3},
    {AF_INET6, IPPROTO_IPV6, IPV6_RECVERR, IPV6_RECVHOPLIMIT, IPV6_UNICAST_HOPS, 1, 4},
};

/** A bound loopback socket; -1: the host has no such family. */
static int bound(const struct family *f, struct endpoint *ret_at)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_storage at;
    socklen_t len = f->domain == AF_INET ? sizeof(v4) : sizeof(v6);
    int fd = socket(f->domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(&at, f->domain == AF_INET ? (void *)&v4 : (void *)&v6, len);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    len = sizeof(at);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&at, len), ret_at), 0);
    return fd;
}

static void send_to(int fd, const struct endpoint *to, const char *text)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(to, &sa);

    ck_assert_int_eq(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sa, len),
                     (ssize_t)strlen(text));
}

/* Goal: a datagram comes with its sender, and with its hops once the socket asks for them. */
START_TEST(datagram_has_its_sender_and_hops)
{
    const struct family *f = &families[_i];
    struct endpoint a_at, b_at;
    int a = bound(f, &a_at), b = bound(f, &b_at);
    const int on = 1, hops = 37;
    struct arrival got;
    char text[16];

    if (a < 0 || b < 0)
        return; /* no IPv6 here: the other row is a test all the same */
    ck_assert_int_eq(arrival_receive(b, 0, text, sizeof(text), &got), -EAGAIN);
    send_to(a, &b_at, "one");
    ck_assert_int_eq(arrival_receive(b, 0, text, sizeof(text), &got), 3);
    ck_assert(endpoint_equal(&got.from, &a_at));
    ck_assert_int_eq(got.hops, -1);
    ck_assert_int_eq(got.error, 0);
    ck_assert_int_eq(setsockopt(b, f->level, f->receives_hops, &on, sizeof(on)), 0);
    ck_assert_int_eq(setsockopt(a, f->level, f->sets_hops, &hops, sizeof(hops)), 0);
    send_to(a, &b_at, "second");
    ck_assert_int_eq(arrival_receive(b, 0, text, sizeof(text), &got), 6);
    ck_assert_int_eq(got.hops, hops);
    (void)close(a);
    (void)close(b);
}
END_TEST

/* Goal: an error says where the datagram was going, what came back, and from whom. */
START_TEST(error_names_target_and_offender)
{
    const struct family *f = &families[_i];
    struct endpoint a_at, closed_at;
    int a = bound(f, &a_at), closed = bound(f, &closed_at);
    struct pollfd p = {.fd = a, .events = 0};
    const int on = 1;
    struct arrival got;
    char text[16];

    if (a < 0 || closed < 0)
        return;
    (void)close(closed);
    ck_assert_int_eq(setsockopt(a, f->level, f->receives_errors, &on, sizeof(on)), 0);
    ck_assert_int_eq(arrival_receive(a, MSG_ERRQUEUE, text, sizeof(text), &got), -EAGAIN);
    send_to(a, &closed_at, "lost");
    ck_assert_int_eq(poll(&p, 1, 5000), 1);
    ck_assert_int_eq(arrival_receive(a, MSG_ERRQUEUE, text, sizeof(text), &got), 4);
    ck_assert_int_eq(memcmp(text, "lost", 4), 0);
    ck_assert(endpoint_equal(&got.from, &closed_at));
    ck_assert_int_eq(got.error, ECONNREFUSED);
    ck_assert_uint_eq(got.type, f->type);
    ck_assert_uint_eq(got.code, f->code);
    ck_assert(ip_equal(&got.offender.ip, &closed_at.ip));
    (void)close(a);
}
END_TEST

/* Goal: a socket of another family says so, and the bytes are there. */
START_TEST(other_family_has_no_sender)
{
    struct arrival got;
    char text[16];
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(send(ends[0], "x", 1, 0), 1);
    ck_assert_int_eq(arrival_receive(ends[1], 0, text, sizeof(text), &got), 1);
    ck_assert_uint_eq(got.from.ip.family, IP_NONE);
    (void)close(ends[0]);
    (void)close(ends[1]);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(datagram_has_its_sender_and_hops, 2),
    SUITE_ROWS(error_names_target_and_offender, 2),
    SUITE_TEST(other_family_has_no_sender),
};

SUITE_MAIN("base/arrival", tests)
