/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict JSON reader: the table of accepted and refused texts, the readers' exactness, limits,
 * and what the messages say.
 */
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/support/cases.h"
#include "tests/support/suite.h"

static const struct json_limits LIMITS = {.bytes = 1 << 20};

static struct json_doc *parse(const char *text)
{
    struct json_doc *doc = NULL;
    struct why why = {0};
    int err = json_parse(bytes_of_str(text), &LIMITS, &doc, &why);

    ck_assert_msg(err == 0, "%s: %s", text, why.text);
    return doc;
}

/* Goal: every row of the table. Method: parse, compare the outcome and the place of the fault. */
START_TEST(cases_table)
{
    struct case_table t;

    cases_load(TEST_SOURCE_DIR "/cases/json.cases", '\t', &t);
    for (unsigned i = 0; i < t.count; i++) {
        struct case_row *row = &t.rows[i];
        struct bytes text = row->count > 2 ? case_bytes(row->fields[2]) : bytes_of("", 0);
        struct json_doc *doc = NULL;
        struct why why = {0};
        char got[32];
        int err = json_parse(text, &LIMITS, &doc, &why);

        if (err == 0)
            (void)snprintf(got, sizeof(got), "ok");
        else
            (void)snprintf(got, sizeof(got), "%u:%u", why.line, why.column);
        ck_assert_msg(strcmp(got, row->fields[1]) == 0, "line %u, %s: got %s (%s), expected %s",
                      row->line, row->fields[0], got, why.text, row->fields[1]);
        ck_assert_msg(err == 0 || why.text[0] != '\0', "%s: no reason", row->fields[0]);
        ck_assert_msg(row->fields[0][0] == (err == 0 ? 'y' : 'n'), "%s", row->fields[0]);
        json_free(doc);
    }
    cases_done(&t);
}
END_TEST

/* Goal: a text cut anywhere is refused, since no prefix of an object is an object. */
START_TEST(parse_truncated_refuses)
{
    static const char text[] = "{\"a\":[1,-2.5e3,\"\\u00e9\\ud83d\\ude00\"],\"b\":{\"c\":null}}";

    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct json_doc *doc = NULL;
        struct why why;

        ck_assert_int_eq(json_parse(bytes_of(text, len), &LIMITS, &doc, &why), -EINVAL);
        ck_assert_uint_eq(why.line, 1);
    }
    json_free(parse(text));
}
END_TEST

static int parse_depth(unsigned depth, unsigned limit)
{
    struct json_limits limits = {.bytes = 1 << 20, .depth = limit};
    struct json_doc *doc = NULL;
    struct buf text;
    int err;

    buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < depth; i++)
        buf_add_str(&text, i % 2 ? "[" : "{\"a\":");
    buf_add_str(&text, "1");
    for (unsigned i = depth; i > 0; i--)
        buf_add_str(&text, (i - 1) % 2 ? "]" : "}");
    err = json_parse(buf_bytes(&text), &limits, &doc, NULL);
    json_free(doc);
    buf_done(&text);
    return err;
}

/* Goal: each limit holds at its value and breaks one beyond it. */
START_TEST(parse_limits)
{
    struct json_limits values = {.bytes = 100, .values = 4};
    struct json_limits size = {.bytes = 5};
    struct json_doc *doc = NULL;

    ck_assert_int_eq(parse_depth(64, 0), 0);
    ck_assert_int_eq(parse_depth(65, 0), -EMSGSIZE);
    ck_assert_int_eq(parse_depth(3, 3), 0);
    ck_assert_int_eq(parse_depth(4, 3), -EMSGSIZE);
    ck_assert_int_eq(parse_depth(100000, 0), -EMSGSIZE);
    ck_assert_int_eq(json_parse(bytes_of_str("[1,2,3]"), &values, &doc, NULL), 0);
    json_free(doc);
    ck_assert_int_eq(json_parse(bytes_of_str("[1,2,3,4]"), &values, &doc, NULL), -EMSGSIZE);
    ck_assert_int_eq(json_parse(bytes_of_str("12345"), &size, &doc, NULL), 0);
    json_free(doc);
    ck_assert_int_eq(json_parse(bytes_of_str("123456"), &size, &doc, NULL), -EMSGSIZE);
}
END_TEST

/* Goal: integers are exact over their whole range and refused beyond it, though cJSON holds
 * doubles. */
START_TEST(read_integers_exact)
{
    struct json_doc *doc = parse("[9007199254740993, 18446744073709551615, 18446744073709551616,"
                                 " -9223372036854775808, -9223372036854775809, 9223372036854775807,"
                                 " 9223372036854775808, 1.0, 1e2, -0, \"1\"]");
    const struct json *v = json_first(json_root(doc));
    uint64_t u = 7;
    int64_t i = 7;

    ck_assert_int_eq(json_read_u64(v, &u), 0);
    ck_assert_uint_eq(u, UINT64_C(9007199254740993));
    v = json_next(v);
    ck_assert_int_eq(json_read_u64(v, &u), 0);
    ck_assert_uint_eq(u, UINT64_MAX);
    v = json_next(v);
    ck_assert_int_eq(json_read_u64(v, &u), -EINVAL);
    v = json_next(v);
    ck_assert_int_eq(json_read_i64(v, &i), 0);
    ck_assert_int_eq(i, INT64_MIN);
    ck_assert_int_eq(json_read_u64(v, &u), -EINVAL);
    v = json_next(v);
    ck_assert_int_eq(json_read_i64(v, &i), -EINVAL);
    v = json_next(v);
    ck_assert_int_eq(json_read_i64(v, &i), 0);
    ck_assert_int_eq(i, INT64_MAX);
    for (v = json_next(v); json_count(json_root(doc)) > 0 && v != NULL; v = json_next(v)) {
        bool is_minus_zero = bytes_equal(json_text(v), bytes_of_str("-0"));

        ck_assert_int_eq(json_read_i64(v, &i), is_minus_zero ? 0 : -EINVAL);
    }
    ck_assert_uint_eq(u, UINT64_MAX); /* failures left it alone */
    json_free(doc);
}
END_TEST

/* Goal: a double that is infinite is refused, others are read. */
START_TEST(read_double_finite)
{
    struct json_doc *doc = parse("[1e400,-2.5]");
    const struct json *v = json_first(json_root(doc));
    double d = 0;

    ck_assert_int_eq(json_read_double(v, &d), -EINVAL);
    ck_assert_int_eq(json_read_double(json_next(v), &d), 0);
    ck_assert(d == -2.5);
    json_free(doc);
}
END_TEST

/* Goal: look-ups mind the case, order is kept, raw text and places are those of the input. */
START_TEST(look_ups)
{
    struct json_doc *doc =
        parse("{ \"id\" : 1.50 ,\n  \"Id\":\"x\\u0041\", \"list\":[true, {\"k\":null} ]}");
    const struct json *root = json_root(doc);
    const struct json *list = json_get(root, "list");
    const char *text = NULL;
    unsigned line, column;
    bool b = false;

    ck_assert_ptr_null(json_get(root, "ID"));
    ck_assert(bytes_equal(json_text(json_get(root, "id")), bytes_of_str("1.50")));
    ck_assert_int_eq(json_read_str(json_get(root, "Id"), &text), 0);
    ck_assert_str_eq(text, "xA");
    ck_assert(json_is_str(json_get(root, "Id"), "xA") &&
              !json_is_str(json_get(root, "id"), "1.50"));
    json_place(json_get(root, "Id"), &line, &column);
    ck_assert_uint_eq(line, 2);
    ck_assert_uint_eq(column, 8);
    ck_assert_uint_eq(json_count(list), 2);
    ck_assert(bytes_equal(json_text(list), bytes_of_str("[true, {\"k\":null} ]")));
    ck_assert_int_eq(json_read_bool(json_first(list), &b), 0);
    ck_assert(b);
    ck_assert_int_eq(json_type(json_get(json_next(json_first(list)), "k")), JSON_NULL);
    ck_assert_str_eq(json_name(json_first(root)), "id");
    ck_assert_ptr_null(json_name(root));
    ck_assert_ptr_null(json_next(json_next(json_first(list))));
    json_free(doc);
}
END_TEST

/* Goal: nothing is asked of an absent value twice: every function takes NULL. */
START_TEST(null_is_nothing)
{
    const char *text;
    uint64_t u;
    int64_t i;
    double d;
    bool b;

    ck_assert_int_eq(json_type(NULL), JSON_NONE);
    ck_assert_ptr_null(json_get(NULL, "a"));
    ck_assert_ptr_null(json_first(NULL));
    ck_assert_ptr_null(json_next(NULL));
    ck_assert_uint_eq(json_count(NULL), 0);
    ck_assert_uint_eq(json_text(NULL).len, 0);
    ck_assert(json_read_str(NULL, &text) < 0 && json_read_u64(NULL, &u) < 0 &&
              json_read_i64(NULL, &i) < 0 && json_read_double(NULL, &d) < 0 &&
              json_read_bool(NULL, &b) < 0);
    json_free(NULL);
}
END_TEST

/* Goal: an unknown key is named with its place and the nearest known one. */
START_TEST(check_keys_names_the_key)
{
    static const char *const allowed[] = {"mode", "egress", "comment"};
    struct json_doc *doc = parse("{\"mode\":1,\n \"egres\":2}");
    struct why why;
    char line[512];

    ck_assert_int_eq(json_check_keys(json_root(doc), allowed, 3, "p.json", &why), -EINVAL);
    why_print(&why, line, sizeof(line));
    ck_assert_str_eq(line, "p.json:2:2: unknown key \"egres\": did you mean \"egress\"?");
    json_free(doc);
    doc = parse("{\"zzzzzzzz\":1}");
    ck_assert_int_eq(json_check_keys(json_root(doc), allowed, 3, "p.json", &why), -EINVAL);
    why_print(&why, line, sizeof(line));
    ck_assert_str_eq(line,
                     "p.json:1:2: unknown key \"zzzzzzzz\": expected one of mode, egress, comment");
    json_free(doc);
    doc = parse("{\"comment\":1,\"mode\":2}");
    ck_assert_int_eq(json_check_keys(json_root(doc), allowed, 3, "p.json", &why), 0);
    json_free(doc);
}
END_TEST

/* Goal: a duplicate among very many names is found without quadratic work. */
START_TEST(duplicate_among_many)
{
    struct json_doc *doc = NULL;
    struct why why = {0};
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_add_char(&text, '{');
    for (unsigned i = 0; i < 50000; i++)
        buf_printf(&text, "\"k%u\":0,", i);
    buf_add_str(&text, "\"k4711\":1}");
    ck_assert_int_eq(json_parse(buf_bytes(&text), &LIMITS, &doc, &why), -EINVAL);
    ck_assert_str_eq(why.text, "the name \"k4711\" stands twice in this object");
    buf_done(&text);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(cases_table),          SUITE_TEST(parse_truncated_refuses),
    SUITE_TEST(parse_limits),         SUITE_TEST(read_integers_exact),
    SUITE_TEST(read_double_finite),   SUITE_TEST(look_ups),
    SUITE_TEST(null_is_nothing),      SUITE_TEST(check_keys_names_the_key),
    SUITE_TEST(duplicate_among_many),
};

SUITE_MAIN("base/json", tests)
