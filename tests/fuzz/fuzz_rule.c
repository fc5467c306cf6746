/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a rule. What is accepted prints to a text that parses to the same rule; what is
 * refused says why, with a column inside the text or just behind it.
 */
#include <stdint.h>
#include <string.h>

#include "policy/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[POLICY_RULE_TEXT_MAX + 1];
    struct why why = {0};
    struct rule rule;
    struct rule again;

    if (rule_parse(bytes_of(data, len), &rule, &why) < 0) {
        must(why.text[0] != '\0');
        must(why.column >= 1 && why.column <= len + 1);
        return 0;
    }
    must(rule_parse(bytes_of(text, rule_print(&rule, text)), &again, &why) == 0);
    must(memcmp(&again, &rule, sizeof(rule)) == 0);
    must(rule.port_min <= rule.port_max);
    return 0;
}
