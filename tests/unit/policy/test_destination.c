/* SPDX-License-Identifier: Apache-2.0 */
/* The intersection of two lists of destination rules, case by case. */
#include "policy/destination.h"

#include <errno.h>

#include "base/buf.h"
#include "policy/identity.h"
#include "tests/support/suite.h"

static const struct {
    const char *parent, *asked; /* rules, separated by | */
    const char *want;           /* sorted */
} rows[] = {
    {"allow *:*", "allow a.example:443", "allow a.example:443"},
    {"allow a.example:443", "allow *:*", "allow a.example:443"},
    {"allow *:80-90", "allow *:85-99", "allow *:85-90"},
    {"allow *:80", "allow *:81", ""},
    {"allow *.example:443", "allow a.example:*", "allow a.example:443"},
    {"allow *.example:443", "allow *.a.example:*", "allow *.a.example:443"},
    {"allow *.a.example:443", "allow *.example:443", "allow *.a.example:443"},
    {"allow *.example:443", "allow example:443", ""},
    {"allow *.example:443", "allow evilexample:443", ""},
    {"allow a.example:443", "allow b.example:443", ""},
    {"allow 10.0.0.0/8:*", "allow 10.1.0.0/16:80", "allow 10.1.0.0/16:80"},
    {"allow 10.1.0.0/16:80", "allow 10.0.0.0/8:*", "allow 10.1.0.0/16:80"},
    {"allow 10.0.0.0/8:*", "allow 11.0.0.0/8:*", ""},
    {"allow 10.0.0.0/8:*", "allow a.example:443", ""},
    {"allow *:*", "allow udp://*:53", ""},
    {"allow udp://*:*", "allow udp://*:53", "allow udp://*:53"},
    {"allow icmp://10.0.0.0/8", "allow icmp://*", "allow icmp://10.0.0.0/8"},
    {"allow [2001:db8::/32]:*", "allow [2001:db8::1]:443", "allow [2001:db8::1]:443"},
    {"allow *:*|deny 10.0.0.0/8:*", "allow *:443", "allow *:443|deny 10.0.0.0/8:*"},
    {"allow *:443", "allow *:443|deny a.example:*", "allow *:443|deny a.example:*"},
    {"", "allow *:*", ""},
    {"allow *:*", "", ""},
    /* what is on the built-in list opens for its own literal only */
    {"allow *:*", "allow 169.254.169.254:80", ""},
    {"allow 169.254.0.0/16:*", "allow 169.254.169.254:80", ""},
    {"allow 169.254.169.254:*", "allow 169.254.169.254:80", "allow 169.254.169.254:80"},
    {"allow 169.254.169.254:80", "allow *:*", "allow 169.254.169.254:80"},
    {"allow *:*", "allow [64:ff9b::a9fe:a9fe]:80", ""},
    {"allow *:*", "allow 127.0.0.1:5432", ""},
    {"allow *:443|allow 169.254.169.254:80", "allow 169.254.169.254:*", "allow 169.254.169.254:80"},
};

static void fill(struct nameset *s, const char *rules)
{
    nameset_init(s, IDENTITY_DESTINATIONS_MAX);
    while (*rules != '\0') {
        size_t len = strcspn(rules, "|");

        ck_assert_int_eq(identity_destination_check(bytes_of(rules, len), NULL), 0);
        ck_assert_int_eq(nameset_add(s, bytes_of(rules, len)), 0);
        rules += len + (rules[len] == '|');
    }
}

START_TEST(intersections_follow_the_table)
{
    struct nameset parent, asked, got;
    struct buf text;

    fill(&parent, rows[_i].parent);
    fill(&asked, rows[_i].asked);
    nameset_init(&got, IDENTITY_DESTINATIONS_MAX);
    buf_init(&text, 4096);
    ck_assert_int_eq(destination_intersect(&parent, &asked, &got), 0);
    for (unsigned i = 0; i < got.count; i++)
        buf_printf(&text, "%s%s", i > 0 ? "|" : "", got.items[i]);
    ck_assert_str_eq(buf_text(&text), rows[_i].want);
    buf_done(&text);
    nameset_done(&parent);
    nameset_done(&asked);
    nameset_done(&got);
}
END_TEST

static const char *const bad[] = {"",
                                  "allow",
                                  "allow ",
                                  "deny ",
                                  "a.example:443",
                                  "Allow a.example:443",
                                  "allow a.example",
                                  "permit a.example:443",
                                  "allow a b:443"};

START_TEST(other_texts_are_no_destinations)
{
    struct why why = {.text = ""};

    ck_assert_int_eq(identity_destination_check(bytes_of_str(bad[_i]), &why), -EINVAL);
    ck_assert(why.text[0] != '\0');
}
END_TEST

/* Goal: more rules than fit are an error, not a shorter list. */
START_TEST(too_many_intersections_are_an_error)
{
    struct nameset parent, asked, got;
    char rule[64];

    fill(&parent, "allow *:*");
    fill(&asked, "");
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(rule, sizeof(rule), "allow 10.0.0.%u:1", i);
        ck_assert_int_eq(nameset_add(&asked, bytes_of_str(rule)), 0);
    }
    nameset_init(&got, 2);
    ck_assert_int_eq(destination_intersect(&parent, &asked, &got), -ENOSPC);
    nameset_done(&parent);
    nameset_done(&asked);
    nameset_done(&got);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(intersections_follow_the_table, ARRAY_COUNT(rows)),
    SUITE_ROWS(other_texts_are_no_destinations, ARRAY_COUNT(bad)),
    SUITE_TEST(too_many_intersections_are_an_error),
};

SUITE_MAIN("policy/destination", tests)
