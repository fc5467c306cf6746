/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of rules: the table of texts with their canonical form, or the column and words of
 * the refusal.
 */
#include "policy/rule.h"

#include <errno.h>

#include "tests/support/cases.h"
#include "tests/support/suite.h"

/* Goal: every row of the table, and that the canonical text is a fixed point. */
START_TEST(rules_table)
{
    struct case_table t;

    cases_load(TEST_SOURCE_DIR "/cases/rule.cases", '|', &t);
    for (unsigned i = 0; i < t.count; i++) {
        struct case_row *row = &t.rows[i];
        char got[16] = "ok";
        char text[POLICY_RULE_TEXT_MAX + 1] = "";
        struct why why = {0};
        struct rule rule;
        struct rule again;

        ck_assert_uint_eq(row->count, 3);
        if (rule_parse(case_bytes(row->fields[0]), &rule, &why) == 0)
            (void)rule_print(&rule, text);
        else
            (void)snprintf(got, sizeof(got), "%u", why.column);
        ck_assert_msg(strcmp(got, row->fields[1]) == 0, "line %u: got %s %s (%s)", row->line, got,
                      text, why.text);
        if (text[0] == '\0') {
            ck_assert_msg(strstr(why.text, row->fields[2]) != NULL, "line %u: %s", row->line,
                          why.text);
            continue;
        }
        ck_assert_msg(strcmp(text, row->fields[2]) == 0, "line %u: %s", row->line, text);
        ck_assert_int_eq(rule_parse(bytes_of_str(text), &again, NULL), 0);
        ck_assert_mem_eq(&again, &rule, sizeof(rule));
    }
    cases_done(&t);
}
END_TEST

/* Goal: a text is refused beyond its maximum length, and a refusal leaves the result alone. */
START_TEST(parse_too_long_refused)
{
    char text[POLICY_RULE_TEXT_MAX + 2];
    struct rule rule = {.port_min = 7};

    memset(text, 'a', sizeof(text));
    ck_assert_int_eq(rule_parse(bytes_of(text, sizeof(text)), &rule, NULL), -EINVAL);
    ck_assert_uint_eq(rule.port_min, 7);
}
END_TEST

/* Goal: the message quotes the rule, names the column and says what is meant. */
START_TEST(message_says_what_to_write)
{
    struct rule rule;
    struct why why;

    ck_assert_int_eq(rule_parse(bytes_of_str("api.github.com"), &rule, &why), -EINVAL);
    ck_assert_str_eq(why.text,
                     "rule 'api.github.com', column 15: a port is missing: write HOST:443, "
                     "or HOST:* for every port");
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(rules_table),
    SUITE_TEST(parse_too_long_refused),
    SUITE_TEST(message_says_what_to_write),
};

SUITE_MAIN("policy/rule", tests)
