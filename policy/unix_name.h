/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for the host's AF_UNIX sockets, `unix:/PATH` and `unix:@NAME`. One spelling is compared:
 * that of policy_unix_print(), in which every byte that could be misread is %XX.
 */
#ifndef POLICY_UNIX_NAME_H
#define POLICY_UNIX_NAME_H

#include "policy/rule.h"

/** unix_rule_parse() - What follows `unix:`. @fault is filled on failure. */
int unix_rule_parse(struct bytes text, struct rule *ret, struct fault *fault) MUST_USE;

/** unix_rule_covers() - Does the rule's canonical text (behind `unix:`) cover @name? Returns how
 * specific it is: 0 not at all, SIZE_MAX exactly, else the length of its prefix plus 1. */
size_t unix_rule_covers(const char *rule, const char *name);

/** unix_builtin_name() - What the built-in list calls the socket ("name service", …); NULL: not on
 * it. */
const char *unix_builtin_name(const char *name);

#endif
