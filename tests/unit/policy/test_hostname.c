/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one spelling of host names: every byte at every position, the limits, and the spellings of
 * addresses that must not pass as names.
 */
#include <errno.h>

#include "policy/policy.h"
#include "tests/support/suite.h"

static const struct {
    const char *text;
    const char *canonical; /* NULL: refused */
} rows[] = {
    {"example.org", "example.org"},
    {"EXAMPLE.Org", "example.org"},
    {"example.org.", "example.org"},
    {"localhost", "localhost"},
    {"_dmarc.example", "_dmarc.example"},
    {"r3---sn.example", "r3---sn.example"},
    {"xn--bcher-kva.example", "xn--bcher-kva.example"},
    {"1.example", "1.example"},
    {"127.0.0.1.example", "127.0.0.1.example"},
    {"0x7f.example", "0x7f.example"},
    {"a.0xg", "a.0xg"},
    {"a.1b", "a.1b"},
    {"", NULL},
    {".", NULL},
    {"..", NULL},
    {".a", NULL},
    {"a..b", NULL},
    {"a..", NULL},
    {"*.example", NULL},
    {"user@example", NULL},
    {"example/", NULL},
    {"example:80", NULL},
    {"exa mple", NULL},
    {"ex%61mple", NULL},
    {"b\xc3\xbc"
     "cher.example",
     NULL},
    {"example\xef\xbc\x8eorg", NULL}, /* full-width dot */
    {"1", NULL},
    {"0", NULL},
    {"127.1", NULL},
    {"127.0.0.1", NULL},
    {"127.0.0.1.", NULL},
    {"2130706433", NULL},
    {"0x7f000001", NULL},
    {"0X7F000001", NULL},
    {"0x", NULL},
    {"0177.0.0.1", NULL},
    {"017700000001", NULL},
    {"a.0x7f", NULL},
    {"a.1", NULL},
};

/* Goal: every row of the table. */
START_TEST(canonical_rows)
{
    char name[POLICY_HOSTNAME_MAX + 1] = "untouched";
    int err = hostname_canonical(bytes_of_str(rows[_i].text), name);

    ck_assert_msg(err == (rows[_i].canonical != NULL ? 0 : -EINVAL), "'%s'", rows[_i].text);
    ck_assert_str_eq(name, err == 0 ? rows[_i].canonical : "untouched");
}
END_TEST

/* Goal: no byte but letters, digits, '-', '_' and the separating dot passes, wherever it stands. */
START_TEST(canonical_every_byte_everywhere)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (unsigned at = 0; at < 7; at++) {
            char text[] = "abc.def";
            char name[POLICY_HOSTNAME_MAX + 1];
            bool is_alnum = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                            (byte >= '0' && byte <= '9');
            /* A dot may replace the last byte, or the dot itself, or split the middle of a label.
             */
            bool is_fine_dot = byte == '.' && at != 0 && at != 2 && at != 4;
            bool is_ok = is_alnum || byte == '-' || byte == '_' || is_fine_dot;

            text[at] = (char)byte;
            ck_assert_msg((hostname_canonical(bytes_of(text, 7), name) == 0) == is_ok,
                          "byte 0x%02x at %u", byte, at);
        }
    }
}
END_TEST

/* Goal: 63 bytes a label and 253 a name, and not one more. */
START_TEST(canonical_limits)
{
    char text[300];
    char name[POLICY_HOSTNAME_MAX + 1];

    memset(text, 'a', sizeof(text));
    ck_assert_int_eq(hostname_canonical(bytes_of(text, 63), name), 0);
    ck_assert_int_eq(hostname_canonical(bytes_of(text, 64), name), -EINVAL);
    for (unsigned dot = 63; dot < 253; dot += 64)
        text[dot] = '.';
    ck_assert_int_eq(hostname_canonical(bytes_of(text, 253), name), 0);
    ck_assert_uint_eq(strlen(name), 253);
    ck_assert_int_eq(hostname_canonical(bytes_of(text, 254), name), -EINVAL);
    text[253] = '.';
    ck_assert_int_eq(hostname_canonical(bytes_of(text, 254), name), 0); /* the root's dot */
    ck_assert_uint_eq(strlen(name), 253);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(canonical_rows, ARRAY_COUNT(rows)),
    SUITE_TEST(canonical_every_byte_everywhere),
    SUITE_TEST(canonical_limits),
};

SUITE_MAIN("policy/hostname", tests)
