/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: what is accepted, each with a rejected neighbour, and that printing what was parsed
 * gives the canonical text.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/addr.h"

static const struct {
    const char *text;
    const char *printed; /* NULL: must be refused */
} ip_rows[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"2001:DB8::1", "2001:db8::1"},
    {"::", "::"},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"256.0.0.1", NULL},
    {"192.0.2", NULL},
    {"192.0.2.1.", NULL},
    {"192.0.2.01", NULL}, /* octal elsewhere */
    {"0x7f.0.0.1", NULL},
    {"2130706433", NULL},
    {"127.1", NULL},
    {"", NULL},
    {" 192.0.2.1", NULL},
    {"fe80::1%eth0", NULL},
    {"2001:db8:::1", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
};

START_TEST(ip_parse_accepts_only_canonical_spellings)
{
    struct ip ip;
    char text[IP_TEXT_CAP];
    int err = ip_parse(bytes_of_str(ip_rows[_i].text), &ip);

    if (ip_rows[_i].printed == NULL) {
        ck_assert_int_eq(err, -EINVAL);
    } else {
        ck_assert_int_eq(err, 0);
        ck_assert_str_eq(ip_print(&ip, text), ip_rows[_i].printed);
    }
}
END_TEST

static const struct {
    const char *prefix;
    const char *ip;
    bool is_inside;
} prefix_rows[] = {
    {"10.0.0.0/8", "10.255.0.1", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false}, /* families never mix */
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.0", false},
};

START_TEST(prefix_contains_follows_the_bits)
{
    struct prefix p;
    struct ip ip;

    ck_assert_int_eq(prefix_parse(bytes_of_str(prefix_rows[_i].prefix), /*host_bits=*/false, &p),
                     0);
    ck_assert_int_eq(ip_parse(bytes_of_str(prefix_rows[_i].ip), &ip), 0);
    ck_assert_int_eq(prefix_contains(&p, &ip), prefix_rows[_i].is_inside);
}
END_TEST

START_TEST(prefix_parse_refuses_host_bits_unless_asked)
{
    static const char *const bad[] = {"10.0.0.1/8",     "10.0.0.0/33", "10.0.0.0/",
                                      "2001:db8::1/64", "/8",          "10.0.0.0/08"};
    struct prefix p;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        ck_assert_int_eq(prefix_parse(bytes_of_str(bad[i]), /*host_bits=*/false, &p), -EINVAL);
    ck_assert_int_eq(prefix_parse(bytes_of_str("10.0.0.1/8"), /*host_bits=*/true, &p), 0);
}
END_TEST

START_TEST(endpoint_parse_wants_brackets_around_ipv6)
{
    static const char *const bad[] = {"2001:db8::1:443",
                                      "[192.0.2.1]:443",
                                      "192.0.2.1:0",
                                      "192.0.2.1:65536",
                                      "192.0.2.1",
                                      "[2001:db8::1]",
                                      "192.0.2.1:+1",
                                      "[]:1",
                                      ":1",
                                      ""};
    struct endpoint e;
    char text[ENDPOINT_TEXT_CAP];

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        ck_assert_msg(endpoint_parse(bytes_of_str(bad[i]), &e) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(endpoint_parse(bytes_of_str("[2001:db8::1]:443"), &e), 0);
    ck_assert_str_eq(endpoint_print(&e, text), "[2001:db8::1]:443");
    ck_assert_int_eq(endpoint_parse(bytes_of_str("192.0.2.1:65535"), &e), 0);
    ck_assert_str_eq(endpoint_print(&e, text), "192.0.2.1:65535");
}
END_TEST

START_TEST(sockaddr_round_trip_keeps_the_endpoint)
{
    static const char *const texts[] = {"192.0.2.1:80", "[2001:db8::1]:65535"};

    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        struct sockaddr_storage raw;
        struct endpoint before;
        struct endpoint after;
        socklen_t len;

        ck_assert_int_eq(endpoint_parse(bytes_of_str(texts[i]), &before), 0);
        len = endpoint_to_sockaddr(&before, &raw);
        ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&raw, len), &after), 0);
        ck_assert(endpoint_equal(&before, &after));
    }
}
END_TEST

START_TEST(sockaddr_too_short_or_foreign_is_refused)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};
    sa_family_t unix_family = AF_UNIX;
    struct endpoint e;

    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sin, sizeof(sin) - 1), &e), -EINVAL);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sin6, 23), &e), -EINVAL);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sin6, 24), &e), 0); /* RFC 2133 length */
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&unix_family, sizeof(unix_family)), &e),
                     -EAFNOSUPPORT);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sin, 1), &e), -EINVAL);
}
END_TEST

START_TEST(mapped_addresses_are_unmapped_and_loopback_is_seen)
{
    struct ip ip;
    struct ip plain;

    ck_assert_int_eq(ip_parse(bytes_of_str("::ffff:127.0.0.1"), &ip), 0);
    plain = ip_unmap(&ip);
    ck_assert_int_eq(plain.family, IP_V4);
    ck_assert(ip_is_loopback(&ip) && ip_is_loopback(&plain));
    ck_assert_int_eq(ip_parse(bytes_of_str("::1"), &ip), 0);
    ck_assert(ip_is_loopback(&ip));
    ck_assert_int_eq(ip_parse(bytes_of_str("128.0.0.1"), &ip), 0);
    ck_assert(!ip_is_loopback(&ip));
    ip = ip_any(IP_V6);
    ck_assert(ip_is_any(&ip) && !ip_is_loopback(&ip));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(ip_parse_accepts_only_canonical_spellings, ARRAY_COUNT(ip_rows)),
    SUITE_ROWS(prefix_contains_follows_the_bits, ARRAY_COUNT(prefix_rows)),
    SUITE_TEST(prefix_parse_refuses_host_bits_unless_asked),
    SUITE_TEST(endpoint_parse_wants_brackets_around_ipv6),
    SUITE_TEST(sockaddr_round_trip_keeps_the_endpoint),
    SUITE_TEST(sockaddr_too_short_or_foreign_is_refused),
    SUITE_TEST(mapped_addresses_are_unmapped_and_loopback_is_seen),
};
SUITE_MAIN("base/addr", tests)
