/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers and the JSON writer: maxima hold, errors stick, foreign text cannot break out of a
 * string.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json_out.h"
#include "base/why.h"

START_TEST(buf_at_its_maximum_refuses_one_byte_more_and_remembers)
{
    struct buf b;

    buf_init(&b, 1000);
    for (unsigned i = 0; i < 1000; i++)
        buf_add_char(&b, 'x');
    ck_assert_int_eq(buf_error(&b), 0);
    ck_assert_uint_eq(strlen(buf_text(&b)), 1000);
    buf_add_char(&b, 'y');
    ck_assert_int_eq(buf_error(&b), -EMSGSIZE);
    ck_assert_str_eq(buf_text(&b), "");
    buf_reset(&b);
    buf_printf(&b, "%0998d", 7);
    ck_assert_uint_eq(b.len, 998);
    ck_assert_int_eq(buf_error(&b), 0);
    buf_done(&b);
    buf_done(&b);
}
END_TEST

START_TEST(buf_consume_keeps_the_rest)
{
    struct buf b;

    buf_init(&b, 100);
    buf_add_str(&b, "headtail");
    buf_consume(&b, 4);
    ck_assert_str_eq(buf_text(&b), "tail");
    buf_consume(&b, 4);
    ck_assert_str_eq(buf_text(&b), "");
    buf_done(&b);
}
END_TEST

static const struct {
    struct bytes in;
    const char *out;
} escape_rows[] = {
    {{(const uint8_t *)"plain", 5}, "\"plain\""},
    {{(const uint8_t *)"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
    {{(const uint8_t *)"\r\n\t\0\x1b\x7f", 6}, "\"\\u000d\\u000a\\u0009\\u0000\\u001b\\u007f\""},
    {{(const uint8_t *)"\xc3\xa9\xf0\x9f\x98\x80", 6}, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
    {{(const uint8_t *)"\xc0\xaf", 2}, "\"\\ufffd\\ufffd\""},            /* overlong */
    {{(const uint8_t *)"\xed\xa0\x80", 3}, "\"\\ufffd\\ufffd\\ufffd\""}, /* surrogate */
    {{(const uint8_t *)"\xf4\x90\x80\x80", 4}, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
    {{(const uint8_t *)"\xe2\x82", 2}, "\"\\ufffd\\ufffd\""}, /* cut short */
};

START_TEST(json_string_escapes_every_hostile_byte)
{
    struct buf b;
    struct json_out j;

    buf_init(&b, 1000);
    json_out_init(&j, &b);
    json_bytes(&j, escape_rows[_i].in);
    ck_assert_str_eq(buf_text(&b), escape_rows[_i].out);
    buf_done(&b);
}
END_TEST

START_TEST(json_nesting_places_commas)
{
    struct buf b;
    struct json_out j;

    buf_init(&b, 1000);
    json_out_init(&j, &b);
    json_open_object(&j);
    json_put_str(&j, "a", "x");
    json_put_str(&j, "left_out", NULL);
    json_key(&j, "list");
    json_open_array(&j);
    json_u64(&j, UINT64_MAX);
    json_i64(&j, INT64_MIN);
    json_open_object(&j);
    json_close_object(&j);
    json_null(&j);
    json_close_array(&j);
    json_put_bool(&j, "b", true);
    json_close_object(&j);
    ck_assert_str_eq(
        buf_text(&b),
        "{\"a\":\"x\",\"list\":[18446744073709551615,-9223372036854775808,{},null],\"b\":true}");
    buf_done(&b);
}
END_TEST

START_TEST(why_prints_place_and_hides_control_bytes)
{
    struct why why;
    char text[200];

    ck_assert_int_eq(why_set(&why, -EINVAL, "bad \x1b[31m%s", "thing"), -EINVAL);
    why_print(&why, text, sizeof(text));
    ck_assert_str_eq(text, "bad ?[31mthing");
    why_at(&why, "wg.conf", 3, 14);
    why_print(&why, text, sizeof(text));
    ck_assert_str_eq(text, "wg.conf:3:14: bad ?[31mthing");
    ck_assert_int_eq(why_set(NULL, -EIO, "nobody asks"), -EIO);
}
END_TEST

START_TEST(read_file_larger_than_the_maximum_is_an_error)
{
    char path[] = "/tmp/lattice-test-XXXXXX";
    int fd = mkstemp(path);
    struct why why;
    struct buf b;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write_all(fd, "0123456789", 10), 0);
    (void)close(fd);
    buf_init(&b, 10);
    ck_assert_int_eq(io_read_file(path, &b, &why), 0);
    ck_assert_str_eq(buf_text(&b), "0123456789");
    buf_done(&b);
    buf_init(&b, 9);
    ck_assert_int_eq(io_read_file(path, &b, &why), -EMSGSIZE);
    ck_assert_ptr_nonnull(strstr(why.text, "larger than 9 bytes"));
    buf_done(&b);
    (void)unlink(path);
    buf_init(&b, 9);
    ck_assert_int_eq(io_read_file(path, &b, &why), -ENOENT);
    ck_assert_int_eq(io_read_file("/", &b, &why), -EISDIR);
    buf_done(&b);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(buf_at_its_maximum_refuses_one_byte_more_and_remembers),
    SUITE_TEST(buf_consume_keeps_the_rest),
    SUITE_ROWS(json_string_escapes_every_hostile_byte, ARRAY_COUNT(escape_rows)),
    SUITE_TEST(json_nesting_places_commas),
    SUITE_TEST(why_prints_place_and_hides_control_bytes),
    SUITE_TEST(read_file_larger_than_the_maximum_is_an_error),
};
SUITE_MAIN("base/buf", tests)
