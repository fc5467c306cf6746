/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs out. The allocator's n-th call fails, for n = 0, 1, 2, … until everything
 * succeeds; whatever fails on the way must say so, leave what was there, and never allow what a
 * deny rule covers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "policy/policy.h"
#include "tests/support/nomem.h"
#include "tests/support/suite.h"

static const char file[] =
    "{\"apiVersion\":\"lattice.dev/v1\",\"kind\":\"Policy\",\"spec\":{\"egress\":{\"allow\":["
    "\"*:443\",\"10.0.0.0/8:*\",\"a.example:1-9\",\"a.example:3-5\",\"*.b.example:443\",\"[::/"
    "0]:80\","
    "{\"cidr\":\"192.0.2.0/24\",\"ports\":[1,2,3,\"4-9\"]}],\"deny\":[\"203.0.113.0/24:*\","
    "\"evil.example:*\",\"198.51.100.1:443\",\"198.51.100.2:443\",\"198.51.100.3:443\"]}}}";

/** The verdict, or VERDICT_DENY when deciding fails. */
static enum verdict decide(const struct policy *p, struct ip ip)
{
    struct policy_request req = {.dst = {.ip = ip, .port = 443}};
    struct policy_answer a;

    return policy_decide(p, &req, &a) < 0 ? VERDICT_DENY : a.verdict;
}

/* Goal: a file whose reading fails for memory leaves the rules as they were. */
START_TEST(parse_fails_at_every_allocation)
{
    long n = 0;
    int err = -ENOMEM;

    for (; err < 0; n++) {
        struct policy *p = NULL;
        struct why why = {0};

        ck_assert_int_eq(policy_new(POLICY_ENFORCE, &p), 0);
        ck_assert_int_eq(policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str("192.0.2.1:443"), NULL),
                         0);
        nomem_begin(n, NULL);
        err = policy_parse(p, "p", bytes_of_str(file), NULL, &why);
        nomem_end();
        ck_assert_int_eq(decide(p, ip_v4(192, 0, 2, 1)), VERDICT_ALLOW);
        ck_assert_int_eq(decide(p, ip_v4(203, 0, 113, 1)), VERDICT_DENY);
        if (err < 0) {
            ck_assert_msg(err == -ENOMEM || err == -EINVAL, "allocation %ld: %d", n, err);
            ck_assert_msg(strstr(why.text, "memory") != NULL, "allocation %ld: %s", n, why.text);
            ck_assert_uint_eq(policy_rule_count(p), 1);
            ck_assert_int_eq(decide(p, ip_v4(8, 8, 8, 8)), VERDICT_DENY);
        } else {
            ck_assert_int_eq(decide(p, ip_v4(8, 8, 8, 8)), VERDICT_ALLOW);
        }
        policy_free(p);
    }
    ck_assert_int_gt(n, 20); /* there were allocations to fail */
}
END_TEST

/* Goal: a rule that cannot be added is an error, and a deny that is half in a table still denies.
 */
START_TEST(add_rule_fails_at_every_allocation)
{
    static const char *const rules[] = {
        "+*:443",           "-203.0.113.0/24:443", "-evil.example:443", "-198.51.100.1:443",
        "+8.8.0.0/16:1-99", "+8.8.0.0/16:50"};
    long n = 0;
    bool failed = true;

    for (; failed; n++) {
        struct policy *p = NULL;
        unsigned added = 0;

        nomem_begin(n, NULL);
        failed = policy_new(POLICY_ENFORCE, &p) < 0;
        while (!failed && added < ARRAY_COUNT(rules)) {
            const char *rule = rules[added];

            failed = policy_add_rule(p, rule[0] == '+' ? POLICY_RULE_ALLOW : POLICY_RULE_DENY,
                                     bytes_of_str(rule + 1), NULL) < 0;
            added += !failed;
        }
        nomem_end();
        if (p != NULL && added >= 2)
            ck_assert_int_eq(decide(p, ip_v4(203, 0, 113, 1)), VERDICT_DENY);
        if (p != NULL && added == 0)
            ck_assert_int_eq(decide(p, ip_v4(8, 8, 8, 8)), VERDICT_DENY);
        if (!failed)
            ck_assert_int_eq(decide(p, ip_v4(8, 8, 8, 8)), VERDICT_ALLOW);
        policy_free(p);
    }
    ck_assert_int_gt(n, 8);
}
END_TEST

/* Goal: the JSON reader fails with -ENOMEM at each of its own allocations, without a leak. */
START_TEST(json_fails_at_every_allocation)
{
    static const struct json_limits limits = {.bytes = 4096};
    long n = 0;
    int err = -ENOMEM;

    for (; err < 0; n++) {
        struct json_doc *doc = NULL;

        nomem_begin(n, NULL);
        err = json_parse(bytes_of_str(file), &limits, &doc, NULL);
        nomem_end();
        ck_assert_msg(err == 0 || (err == -ENOMEM && doc == NULL), "allocation %ld: %d", n, err);
        json_free(doc);
    }
    ck_assert_int_gt(n, 3);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(parse_fails_at_every_allocation),
    SUITE_TEST(add_rule_fails_at_every_allocation),
    SUITE_TEST(json_fails_at_every_allocation),
};

SUITE_MAIN("policy/nomem", tests)
