/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses from the agent: each accepted form has a refused neighbour.
 */
#include "sandbox/inet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "tests/support/suite.h"

struct read_row {
    const char *text; /* address */
    bool socket_v6;
    int family;
    unsigned len;
    int err;
    bool is_mapped;
};

static const struct read_row read_rows[] = {
    {"192.0.2.1", false, AF_INET, sizeof(struct sockaddr_in), 0, false},
    {"192.0.2.1", false, AF_INET, sizeof(struct sockaddr_in) - 1, -EINVAL, false},
    {"192.0.2.1", false, AF_INET, sizeof(struct sockaddr_storage), 0, false},
    {"192.0.2.1", false, AF_INET6, sizeof(struct sockaddr_in), -EAFNOSUPPORT, false},
    {"192.0.2.1", true, AF_INET, sizeof(struct sockaddr_in), -EINVAL, false},
    {"192.0.2.1", true, AF_INET, sizeof(struct sockaddr_in6), -EAFNOSUPPORT, false},
    {"2001:db8::1", true, AF_INET6, sizeof(struct sockaddr_in6), 0, false},
    {"2001:db8::1", true, AF_INET6, INET_V6_LEN_MIN, 0, false},
    {"2001:db8::1", true, AF_INET6, INET_V6_LEN_MIN - 1, -EINVAL, false},
    {"::ffff:192.0.2.1", true, AF_INET6, sizeof(struct sockaddr_in6), 0, true},
    {"192.0.2.1", false, AF_INET, 1, -EINVAL, false},
    {"192.0.2.1", false, AF_INET, 0, -EINVAL, false},
};

START_TEST(read_takes_what_the_kernel_takes)
{
    const struct read_row *row = &read_rows[_i];
    struct endpoint in = {.port = 443}, out;
    struct sockaddr_storage raw;
    bool is_mapped;
    int err;

    ck_assert_int_eq(ip_parse(bytes_of_str(row->text), &in.ip), 0);
    (void)endpoint_to_sockaddr(&in, &raw);
    raw.ss_family = (sa_family_t)row->family;
    err = inet_read(&raw, row->len, row->socket_v6, &out, &is_mapped);
    ck_assert_int_eq(err, row->err);
    if (err < 0)
        return;
    ck_assert_int_eq(is_mapped, row->is_mapped);
    in.ip = ip_unmap(&in.ip);
    ck_assert(endpoint_equal(&in, &out));
}
END_TEST

/* Writing and reading again gives the same endpoint, mapped where the socket is IPv6. */
START_TEST(write_read_round_trip)
{
    struct endpoint v4 = {.ip = ip_v4(192, 0, 2, 7), .port = 9}, back;
    struct sockaddr_storage raw;
    bool is_mapped;
    unsigned len = inet_write(&v4, /*is_v6=*/true, &raw);

    ck_assert_int_eq(raw.ss_family, AF_INET6);
    ck_assert_int_eq(inet_read(&raw, len, true, &back, &is_mapped), 0);
    ck_assert(is_mapped);
    ck_assert(endpoint_equal(&v4, &back));
    len = inet_write(&v4, /*is_v6=*/false, &raw);
    ck_assert_uint_eq(len, sizeof(struct sockaddr_in));
}
END_TEST

START_TEST(any_destination_is_loopback)
{
    struct ip any4 = ip_any(IP_V4), any6 = ip_any(IP_V6), host = ip_v4(192, 0, 2, 1);
    struct ip a = inet_destination(&any4), b = inet_destination(&any6), c = inet_destination(&host);

    ck_assert(ip_is_loopback(&a));
    ck_assert(ip_is_loopback(&b));
    ck_assert(ip_equal(&c, &host));
}
END_TEST

START_TEST(addresses_of_a_link_name_it)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};
    struct sockaddr_storage raw = {0};
    struct ip lo = ip_v4(127, 255, 255, 255), near = ip_v4(127, 255, 255, 254);

    ck_assert_int_eq(inet_pton(AF_INET6, "fe80::1", &at.sin6_addr), 1);
    memcpy(&raw, &at, sizeof(at));
    ck_assert(inet_is_of_link(&raw) && inet_lacks_scope(&raw));
    at.sin6_scope_id = 2;
    memcpy(&raw, &at, sizeof(at));
    ck_assert(inet_is_of_link(&raw) && !inet_lacks_scope(&raw));
    ck_assert_int_eq(inet_pton(AF_INET6, "ff02::1", &at.sin6_addr), 1);
    at.sin6_scope_id = 0;
    memcpy(&raw, &at, sizeof(at));
    ck_assert(inet_lacks_scope(&raw));
    ck_assert_int_eq(inet_pton(AF_INET6, "ff0e::1", &at.sin6_addr), 1);
    memcpy(&raw, &at, sizeof(at));
    ck_assert(!inet_is_of_link(&raw));
    ck_assert(inet_is_lo_broadcast(&lo) && !inet_is_lo_broadcast(&near));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(addresses_of_a_link_name_it),
    SUITE_ROWS(read_takes_what_the_kernel_takes, ARRAY_COUNT(read_rows)),
    SUITE_TEST(write_read_round_trip),
    SUITE_TEST(any_destination_is_loopback),
};

SUITE_MAIN("inet", tests)
