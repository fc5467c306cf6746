/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where lines end.
 */
#include "base/paragraph.h"

#include "tests/support/suite.h"

static const struct {
    unsigned indent, width;
    const char *text, *expected;
} rows[] = {
    {0, 10, "one two", "one two\n"},
    {0, 7, "one two", "one two\n"}, /* it fits exactly */
    {0, 6, "one two", "one\ntwo\n"},
    {2, 9, "one two", "one two\n"}, /* the first line begins at column 2, too */
    {2, 8, "one two", "one\n  two\n"},
    {0, 0, "one two three", "one two three\n"},
    {0, 80, "  one \n two\n", "one two\n"},
    {4, 8, "a longer-word b", "a\n    longer-word\n    b\n"},
    {0, 5, "äöü ü", "äöü ü\n"}, /* 8 bytes, 5 columns */
    {0, 4, "äöü ü", "äöü\nü\n"},
    {3, 10, "", "\n"},
};

START_TEST(lines_end_where_the_row_says)
{
    struct buf out;

    buf_init(&out, 256);
    paragraph_add(&out, rows[_i].indent, rows[_i].width, rows[_i].text);
    ck_assert_str_eq(buf_text(&out), rows[_i].expected);
    buf_done(&out);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(lines_end_where_the_row_says, ARRAY_COUNT(rows))};

SUITE_MAIN("base/paragraph", tests)
