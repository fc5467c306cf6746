/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: what is taken apart how, and what is refused. */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/http_target.h"
#include "tests/support/suite.h"

static const struct {
    const char *text;
    const char *want; /* segments with |, then ? and the query with = and & again; NULL: refused */
} rows[] = {
    {"/", "?"},
    {"/a", "a?"},
    {"/api/v1/x", "api|v1|x?"},
    {"/a%20b/c%C3%A4", "a b|c\xc3\xa4?"},
    {"/a?x=1&y=%26%3D", "a?x=1&y=&="},
    {"/a?x", "a?x="},
    {"/a?x=", "a?x="},
    {"/a?x=1=2", NULL},
    {"/a?x=a%3Db", "a?x=a=b"},
    {"/a?", "a?"},
    {"/a?t=2026-01-01T00:00:00%2B01:00", "a?t=2026-01-01T00:00:00+01:00"},
    {"/a?p=a/b", "a?p=a/b"},
    {"", NULL},
    {"a", NULL},
    {"*", NULL},
    {"http://host/a", NULL},
    {"//a", NULL},
    {"/a/", NULL},
    {"/a//b", NULL},
    {"/.", NULL},
    {"/a/../b", NULL},
    {"/a/%2e%2e/b", NULL},
    {"/a/%2E/b", NULL},
    {"/a%2fb", NULL},
    {"/a%00", NULL},
    {"/a%0a", NULL},
    {"/a%7f", NULL},
    {"/a%", NULL},
    {"/a%4", NULL},
    {"/a%4g", NULL},
    {"/a%ff", NULL},
    {"/a%c0%af", NULL},
    {"/a b", NULL},
    {"/a\"b", NULL},
    {"/a\\b", NULL},
    {"/a#b", NULL},
    {"/\xc3\xa4", NULL},
    {"/a?x=1&x=2", NULL},
    {"/a?x=1&%78=2", NULL},
    {"/a?=1", NULL},
    {"/a?x=1&", NULL},
    {"/a?&", NULL},
    {"/a?x=%00", NULL},
    {"/a?x=%zz", NULL},
};

START_TEST(targets_follow_the_table)
{
    struct http_target t;
    struct buf got;
    int err = http_target_parse(bytes_of_str(rows[_i].text), &t);

    if (rows[_i].want == NULL) {
        ck_assert_msg(err == -EINVAL, "%s: %d", rows[_i].text, err);
        return;
    }
    ck_assert_msg(err == 0, "%s: %d", rows[_i].text, err);
    buf_init(&got, 4096);
    for (unsigned i = 0; i < t.segment_count; i++)
        buf_printf(&got, "%s%s", i > 0 ? "|" : "", t.segments[i]);
    buf_add_str(&got, "?");
    for (unsigned i = 0; i < t.query_count; i++)
        buf_printf(&got, "%s%s=%s", i > 0 ? "&" : "", t.query[i].name, t.query[i].value);
    ck_assert_str_eq(buf_text(&got), rows[_i].want);
    buf_done(&got);
}
END_TEST

/* Goal: each limit holds exactly. Method: at the limit, and one more. */
START_TEST(targets_have_limits)
{
    struct http_target t;
    struct buf text;

    buf_init(&text, 2 * HTTP_TARGET_MAX);
    for (unsigned i = 0; i < HTTP_SEGMENT_MAX; i++)
        buf_add_str(&text, "/a");
    ck_assert_int_eq(http_target_parse(buf_bytes(&text), &t), 0);
    buf_add_str(&text, "/a");
    ck_assert_int_eq(http_target_parse(buf_bytes(&text), &t), -EMSGSIZE);
    buf_reset(&text);
    for (unsigned i = 0; i < HTTP_QUERY_MAX; i++)
        buf_printf(&text, "%s%u=", i == 0 ? "/a?" : "&", i);
    ck_assert_int_eq(http_target_parse(buf_bytes(&text), &t), 0);
    buf_add_str(&text, "&x=");
    ck_assert_int_eq(http_target_parse(buf_bytes(&text), &t), -EMSGSIZE);
    buf_reset(&text);
    buf_add_char(&text, '/');
    while (text.len < HTTP_TARGET_MAX)
        buf_add_char(&text, 'a');
    ck_assert_int_eq(http_target_parse(buf_bytes(&text), &t), 0);
    buf_add_char(&text, 'a');
    ck_assert_int_eq(http_target_parse(buf_bytes(&text), &t), -EMSGSIZE);
    buf_done(&text);
}
END_TEST

START_TEST(query_finds_exact_names)
{
    struct http_target t;

    ck_assert_int_eq(http_target_parse(bytes_of_str("/a?limit=5&cursor=x"), &t), 0);
    ck_assert_str_eq(http_target_query(&t, "limit"), "5");
    ck_assert_ptr_null(http_target_query(&t, "Limit"));
    ck_assert_ptr_null(http_target_query(&t, "lim"));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(targets_follow_the_table, ARRAY_COUNT(rows)),
    SUITE_TEST(targets_have_limits),
    SUITE_TEST(query_finds_exact_names),
};

SUITE_MAIN("base/http_target", tests)
