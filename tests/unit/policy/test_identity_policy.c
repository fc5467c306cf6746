/* SPDX-License-Identifier: Apache-2.0 */
/* An identity's destinations as a policy, and policies that change places. */
#include <errno.h>

#include "policy/identity.h"
#include "tests/support/suite.h"

static struct nameset list_of(const char *a, const char *b)
{
    struct nameset s;

    nameset_init(&s, 4);
    if (a != NULL)
        ck_assert_int_eq(nameset_add(&s, bytes_of_str(a)), 0);
    if (b != NULL)
        ck_assert_int_eq(nameset_add(&s, bytes_of_str(b)), 0);
    return s;
}

static struct policy_answer ask(const struct policy *p, enum policy_proto proto, const char *dst)
{
    struct policy_request req = {.proto = proto};
    struct policy_answer answer;

    ck_assert_int_eq(endpoint_parse(bytes_of_str(dst), &req.dst), 0);
    ck_assert_int_eq(policy_decide(p, &req, &answer), 0);
    return answer;
}

/* Goal: what is listed is allowed, what is denied or not listed is not. */
START_TEST(policy_of_a_list_allows_what_is_listed)
{
    struct nameset s = list_of("allow 192.0.2.0/24:443", "deny 192.0.2.7:*");
    struct policy *p;

    ck_assert_int_eq(identity_policy(&s, IDENTITY_ENFORCE, &p, NULL), 0);
    ck_assert_int_eq(ask(p, POLICY_TCP, "192.0.2.1:443").verdict, VERDICT_ALLOW);
    ck_assert_int_eq(ask(p, POLICY_TCP, "192.0.2.7:443").verdict, VERDICT_DENY);
    ck_assert_int_eq(ask(p, POLICY_TCP, "192.0.2.1:80").verdict, VERDICT_DENY);
    ck_assert_int_eq(ask(p, POLICY_UDP, "192.0.2.1:443").verdict, VERDICT_DENY);
    policy_free(p);
    nameset_done(&s);
}
END_TEST

START_TEST(policy_of_an_empty_list_denies)
{
    struct nameset s = list_of(NULL, NULL);
    struct policy *p;

    ck_assert_int_eq(identity_policy(&s, IDENTITY_ENFORCE, &p, NULL), 0);
    ck_assert_int_eq(ask(p, POLICY_TCP, "192.0.2.1:443").verdict, VERDICT_DENY);
    policy_free(p);
    ck_assert_int_eq(identity_policy(&s, IDENTITY_AUDIT, &p, NULL), 0);
    ck_assert_int_eq(ask(p, POLICY_TCP, "192.0.2.1:443").verdict, VERDICT_ALLOW);
    ck_assert(ask(p, POLICY_TCP, "192.0.2.1:443").would_deny);
    policy_free(p);
    nameset_done(&s);
}
END_TEST

/* Goal: an identity whose list is not looked at still does not reach the built-in list. */
START_TEST(policy_disabled_allows_all_but_the_builtin_list)
{
    struct nameset s = list_of("deny *:*", NULL);
    struct policy *p;

    ck_assert_int_eq(identity_policy(&s, IDENTITY_DISABLED, &p, NULL), 0);
    ck_assert_int_eq(ask(p, POLICY_TCP, "192.0.2.1:443").verdict, VERDICT_ALLOW);
    ck_assert_int_eq(ask(p, POLICY_UDP, "192.0.2.1:53").verdict, VERDICT_ALLOW);
    ck_assert_int_eq(ask(p, POLICY_TCP, "169.254.169.254:80").verdict, VERDICT_DENY);
    ck_assert_int_eq(ask(p, POLICY_TCP, "127.0.0.1:80").verdict, VERDICT_DENY);
    policy_free(p);
    nameset_done(&s);
}
END_TEST

START_TEST(policy_of_a_bad_rule_is_refused)
{
    struct nameset s = list_of("allow 192.0.2.1:443", "let 192.0.2.2:443");
    struct why why = {0};
    struct policy *p;

    ck_assert_int_eq(identity_policy(&s, IDENTITY_ENFORCE, &p, &why), -EINVAL);
    ck_assert_str_ne(why.text, "");
    nameset_done(&s);
}
END_TEST

START_TEST(policies_swapped_decide_for_each_other)
{
    struct nameset s = list_of("allow 192.0.2.1:443", NULL);
    struct nameset none = list_of(NULL, NULL);
    struct policy *a, *b;

    ck_assert_int_eq(identity_policy(&s, IDENTITY_ENFORCE, &a, NULL), 0);
    ck_assert_int_eq(identity_policy(&none, IDENTITY_AUDIT, &b, NULL), 0);
    policy_swap(a, b);
    ck_assert_int_eq(policy_get_mode(a), POLICY_AUDIT);
    ck_assert_uint_eq(policy_rule_count(a), 0);
    ck_assert_str_eq(policy_rule_text(b, 0), "allow 192.0.2.1:443");
    ck_assert_int_eq(ask(b, POLICY_TCP, "192.0.2.1:443").reason, POLICY_RULE);
    policy_free(a);
    policy_free(b);
    nameset_done(&s);
    nameset_done(&none);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(policy_of_a_list_allows_what_is_listed),
    SUITE_TEST(policy_of_an_empty_list_denies),
    SUITE_TEST(policy_disabled_allows_all_but_the_builtin_list),
    SUITE_TEST(policy_of_a_bad_rule_is_refused),
    SUITE_TEST(policies_swapped_decide_for_each_other),
};

SUITE_MAIN("policy/identity_policy", tests)
