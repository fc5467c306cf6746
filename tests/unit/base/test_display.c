/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign text as a terminal may see it, and cut to its columns.
 */
#include "base/display.h"

#include "tests/support/suite.h"

static const struct {
    const char *text, *expected;
} safe_rows[] = {
    {"plain", "plain"},
    {"äö → ✓", "äö → ✓"},
    {"a\033[2Jb\n\x7f", "a?[2Jb??"},
    {"\xc2\x9b"
     "1m",
     "?1m"}, /* the C1 form of ESC [ */
    {"a\xe2\x80\xae"
     "b",
     "a?b"},                 /* a right-to-left override */
    {"\xe2\x81\xa6", "?"},   /* an isolate */
    {"\xef\xbb\xbf", "?"},   /* a byte order mark */
    {"\xc0\xaf", "??"},      /* overlong: no UTF-8 */
    {"\xed\xa0\x80", "???"}, /* a surrogate */
    {"\xe2\x82", "??"},      /* cut off */
    {"", ""},
};

START_TEST(text_is_made_harmless)
{
    struct buf out;

    buf_init(&out, 256);
    display_safe(&out, safe_rows[_i].text);
    ck_assert_str_eq(buf_text(&out), safe_rows[_i].expected);
    buf_done(&out);
}
END_TEST

static const struct {
    const char *text;
    unsigned columns;
    const char *expected;
} cut_rows[] = {
    {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüx", 3, "äö…"}, {"abc", 1, "…"},
};

START_TEST(text_is_cut_to_its_columns)
{
    struct buf out;

    buf_init(&out, 256);
    display_cut(&out, cut_rows[_i].text, cut_rows[_i].columns);
    ck_assert_str_eq(buf_text(&out), cut_rows[_i].expected);
    ck_assert_uint_le(display_width(buf_text(&out)), cut_rows[_i].columns);
    buf_done(&out);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(text_is_made_harmless, ARRAY_COUNT(safe_rows)),
    SUITE_ROWS(text_is_cut_to_its_columns, ARRAY_COUNT(cut_rows)),
};

SUITE_MAIN("base/display", tests)
