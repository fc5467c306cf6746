/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: RFC 4648 10's vectors, every length round trip, and one spelling only. */
#include "base/base64.h"

#include <errno.h>

#include "base/rng.h"
#include "tests/support/suite.h"

static const struct {
    const char *plain, *text;
} vectors[] = {
    {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
    {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"},
};

START_TEST(vectors_both_ways)
{
    struct buf b;

    buf_init(&b, 64);
    base64url_write(bytes_of_str(vectors[_i].plain), &b);
    ck_assert_str_eq(buf_text(&b), vectors[_i].text);
    buf_reset(&b);
    ck_assert_int_eq(base64url_read(bytes_of_str(vectors[_i].text), &b), 0);
    ck_assert_str_eq(buf_text(&b), vectors[_i].plain);
    buf_done(&b);
}
END_TEST

static const char *const refused[] = {"Z",      "Zm9vY", "Zh",   "Zm9",   "Zg==",      "Zm 9",
                                      "Zm9v\n", "+__-",  "-_/-", "Zm9v=", "\xc3\xa4zz"};

START_TEST(other_spellings_are_refused)
{
    struct buf b;

    buf_init(&b, 64);
    ck_assert_int_eq(base64url_read(bytes_of_str(refused[_i]), &b), -EINVAL);
    buf_done(&b);
}
END_TEST

/* Goal: read(write(x)) = x, and changing any one digit to any other gives other bytes or a refusal.
 */
START_TEST(round_trip_and_unique)
{
    for (size_t len = 1; len < 40; len++) {
        uint8_t data[40];
        struct buf text, back;

        rng_system().fill(NULL, data, len);
        buf_init(&text, 64);
        buf_init(&back, 64);
        base64url_write(bytes_of(data, len), &text);
        ck_assert_int_eq(base64url_read(buf_bytes(&text), &back), 0);
        ck_assert(bytes_equal(buf_bytes(&back), bytes_of(data, len)));
        for (unsigned c = 0; c < 256; c++) {
            uint8_t was = text.data[text.len - 1];

            if (c == was)
                continue;
            buf_reset(&back);
            text.data[text.len - 1] = (uint8_t)c;
            if (base64url_read(buf_bytes(&text), &back) == 0)
                ck_assert(!bytes_equal(buf_bytes(&back), bytes_of(data, len)));
            text.data[text.len - 1] = was;
        }
        buf_done(&text);
        buf_done(&back);
    }
}
END_TEST

START_TEST(keys_of_32_bytes)
{
    uint8_t key[32], back[32];
    char text[BASE64_32_LEN + 1];

    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)(255 - i);
    base64_write_32(key, text);
    ck_assert_str_eq(text, "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=");
    ck_assert_int_eq(base64_read_32(bytes_of_str(text), back), 0);
    ck_assert_mem_eq(key, back, 32);
    text[42] = 'B'; /* the two unused bits are not zero */
    ck_assert_int_eq(base64_read_32(bytes_of_str(text), back), -EINVAL);
    text[42] = 'A';
    ck_assert_int_eq(base64_read_32(bytes_of_str(text), back), 0);
    text[43] = 'A';
    ck_assert_int_eq(base64_read_32(bytes_of_str(text), back), -EINVAL);
    ck_assert_int_eq(base64_read_32(bytes_of(text, 43), back), -EINVAL);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(vectors_both_ways, ARRAY_COUNT(vectors)),
    SUITE_ROWS(other_spellings_are_refused, ARRAY_COUNT(refused)),
    SUITE_TEST(round_trip_and_unique),
    SUITE_TEST(keys_of_32_bytes),
};

SUITE_MAIN("base/base64", tests)
