/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a policy is put together, for the reader of policy files.
 */
#ifndef POLICY_BUILD_H
#define POLICY_BUILD_H

#include "policy/rule.h"

/** policy_add() - As policy_add_rule(), for a rule that is a value already. */
int policy_add(struct policy *p, enum policy_action action, const struct rule *rule,
               struct why *why) MUST_USE;
/** policy_copy() - The same rules and mode again, so that a change can be made aside. */
int policy_copy(const struct policy *p, struct policy **ret) MUST_USE;
/** policy_take() - Replace the rules of @p by those of @from, which is gone afterwards. */
void policy_take(struct policy *p, struct policy *from);

#endif
