/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a policy file. A file that is refused says where and leaves the policy as it was;
 * one that is accepted gives rules whose texts make the same policy again, and still denies the
 * built-in list.
 */
#include <stdint.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_same_again(const struct policy *p)
{
    struct policy *again = NULL;

    must(policy_new(POLICY_ENFORCE, &again) == 0);
    for (unsigned i = 0; i < policy_rule_count(p); i++) {
        const char *text = policy_rule_text(p, i);
        enum policy_action action = text[0] == 'a' ? POLICY_RULE_ALLOW : POLICY_RULE_DENY;

        must(policy_add_rule(again, action, bytes_of_str(strchr(text, ' ') + 1), NULL) == 0);
        must(strcmp(policy_rule_text(again, i), text) == 0);
    }
    policy_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct policy_request req = {.proto = POLICY_UDP,
                                 .dst = {.ip = ip_v4(224, 1, 2, 3), .port = 4}};
    enum policy_mode mode = POLICY_ENFORCE;
    struct policy_answer answer;
    struct policy *p = NULL;
    struct why why = {0};

    must(policy_new(POLICY_ENFORCE, &p) == 0);
    if (policy_parse(p, "fuzz", bytes_of(data, len), &mode, &why) < 0) {
        must(why.text[0] != '\0' && why.line > 0);
        must(policy_rule_count(p) == 0 && mode == POLICY_ENFORCE);
    }
    check_same_again(p);
    must(policy_decide(p, &req, &answer) == 0);
    must(answer.verdict == VERDICT_DENY || strstr(answer.rule, "224.1.2.3:") != NULL);
    policy_free(p);
    return 0;
}
