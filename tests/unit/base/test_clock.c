/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times on paper: what is printed is read back, and what is not a time is refused.
 */
#include "tests/support/suite.h"

#include <errno.h>

#include "base/clock.h"

START_TEST(wall_printed_time_is_read_back)
{
    static const int64_t times[] = {
        0, 1, 951782399999999999, 951782400000000000, 1700000000123456789, 4102444800000000000};
    char text[RFC3339_CAP];
    int64_t back;

    wall_print(times[_i], text);
    ck_assert_int_eq(wall_parse(bytes_of_str(text), &back), 0);
    ck_assert_int_eq(back, times[_i]);
}
END_TEST

START_TEST(wall_parse_reads_fractions_and_offsets)
{
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"1970-01-01T00:00:01Z", NS_PER_S},
        {"1970-01-01T00:00:01.5Z", NS_PER_S * 3 / 2},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1970-01-01T00:00:00-00:30", 1800 * NS_PER_S},
        {"2000-02-29T00:00:00.000000001Z", INT64_C(951782400000000001)},
    };
    int64_t back = -1;

    ck_assert_int_eq(wall_parse(bytes_of_str(rows[_i].text), &back), 0);
    ck_assert_int_eq(back, rows[_i].ns);
}
END_TEST

START_TEST(wall_parse_what_is_no_time_is_refused)
{
    static const char *const rows[] = {
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01 00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-02-29T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.1234567890Z",
        "1970-01-01T00:00:00Zx",
        "1970-01-01T00:00:00+1:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2262-01-01T00:00:00Z",
        "+970-01-01T00:00:00Z",
    };
    int64_t back;

    ck_assert_int_eq(wall_parse(bytes_of_str(rows[_i]), &back), -EINVAL);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(wall_printed_time_is_read_back, 6),
    SUITE_ROWS(wall_parse_reads_fractions_and_offsets, 5),
    SUITE_ROWS(wall_parse_what_is_no_time_is_refused, 18),
};

SUITE_MAIN("clock", tests)
