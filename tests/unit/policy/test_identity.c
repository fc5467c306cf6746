/* SPDX-License-Identifier: Apache-2.0 */
/* Spelling of names and of enumerations, and what an empty identity is worth. */
#include "policy/identity.h"

#include <errno.h>

#include "tests/support/suite.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static const struct {
    const char *name;
    bool is_good;
} names[] = {
    {"a", true},    {"bot-7", true}, {"0", true},    {L63, true},    {L63 "h", false},
    {"", false},    {"-a", false},   {"a-", false},  {"A", false},   {"a_b", false},
    {"a.b", false}, {"a b", false},  {"a/b", false}, {"a\n", false}, {"\xc3\xa4", false},
    {"a*", false},  {">", false},
};

START_TEST(name_check_takes_dns_labels_only)
{
    ck_assert_int_eq(identity_name_check(bytes_of_str(names[_i].name)),
                     names[_i].is_good ? 0 : -EINVAL);
}
END_TEST

/* Goal: every single byte is either of the tool alphabet or refused. */
START_TEST(tool_check_knows_every_byte)
{
    for (unsigned c = 0; c < 256; c++) {
        uint8_t text[3] = {'a', (uint8_t)c, 'b'};
        bool want = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.' || c == '/' || c == ':' || c == '-';

        ck_assert_int_eq(identity_tool_check(bytes_of(text, 3)), want ? 0 : -EINVAL);
    }
}
END_TEST

START_TEST(tool_check_length_limit)
{
    uint8_t text[IDENTITY_TOOL_MAX + 1];

    memset(text, 'x', sizeof(text));
    ck_assert_int_eq(identity_tool_check(bytes_of(text, IDENTITY_TOOL_MAX)), 0);
    ck_assert_int_eq(identity_tool_check(bytes_of(text, sizeof(text))), -EINVAL);
    ck_assert_int_eq(identity_tool_check(bytes_of(text, 0)), -EINVAL);
}
END_TEST

START_TEST(enumeration_names_round_trip)
{
    for (int i = 0; i <= IDENTITY_REVOKED; i++) {
        enum identity_phase got = IDENTITY_PENDING;

        ck_assert_int_eq(
            identity_phase_parse(bytes_of_str(identity_phase_name((enum identity_phase)i)), &got),
            0);
        ck_assert_int_eq((int)got, i);
    }
    for (int i = 0; i <= IDENTITY_DISABLED; i++) {
        enum identity_enforcement got = IDENTITY_ENFORCE;

        ck_assert_int_eq(
            identity_enforcement_parse(
                bytes_of_str(identity_enforcement_name((enum identity_enforcement)i)), &got),
            0);
        ck_assert_int_eq((int)got, i);
    }
    for (int i = 0; i <= IDENTITY_SANDBOX_MICROVM; i++) {
        enum identity_sandbox got = IDENTITY_SANDBOX_NONE;

        ck_assert_int_eq(identity_sandbox_parse(
                             bytes_of_str(identity_sandbox_name((enum identity_sandbox)i)), &got),
                         0);
        ck_assert_int_eq((int)got, i);
    }
    for (int i = 0; i <= IDENTITY_AUDIT_FULL; i++) {
        enum identity_audit_level got = IDENTITY_AUDIT_NONE;

        ck_assert_int_eq(
            identity_audit_level_parse(
                bytes_of_str(identity_audit_level_name((enum identity_audit_level)i)), &got),
            0);
        ck_assert_int_eq((int)got, i);
    }
}
END_TEST

START_TEST(enumeration_names_are_exact)
{
    enum identity_enforcement e = IDENTITY_AUDIT;

    ck_assert_int_eq(identity_enforcement_parse(bytes_of_str("Enforce"), &e), -EINVAL);
    ck_assert_int_eq(identity_enforcement_parse(bytes_of_str(""), &e), -EINVAL);
    ck_assert_int_eq(identity_enforcement_parse(bytes_of_str("enforce "), &e), -EINVAL);
    ck_assert_int_eq(e, IDENTITY_AUDIT);
}
END_TEST

START_TEST(empty_identity_is_not_live)
{
    struct identity id;

    identity_init(&id);
    ck_assert(!identity_is_live(&id, 0));
    id.phase = IDENTITY_ACTIVE;
    ck_assert(!identity_is_live(&id, 0));
    id.expires_s = 10;
    ck_assert(identity_is_live(&id, 9));
    ck_assert(!identity_is_live(&id, 10));
    id.expires_s = IDENTITY_NEVER;
    ck_assert(identity_is_live(&id, INT64_MAX - 1));
    id.phase = IDENTITY_REVOKED;
    ck_assert(!identity_is_live(&id, 9));
    identity_done(&id);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(name_check_takes_dns_labels_only, ARRAY_COUNT(names)),
    SUITE_TEST(tool_check_knows_every_byte),
    SUITE_TEST(tool_check_length_limit),
    SUITE_TEST(enumeration_names_round_trip),
    SUITE_TEST(enumeration_names_are_exact),
    SUITE_TEST(empty_identity_is_not_live),
};

SUITE_MAIN("policy/identity", tests)
