/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The member `files` of a policy file.
 */
#ifndef POLICY_FILES_H
#define POLICY_FILES_H

#include "base/json.h"
#include "policy/policy.h"

/** files_read() - Add what @v (an object; NULL: nothing) says. @file: its name, for @why. Errors:
 * -EINVAL with the place; @p may hold a part of it then. */
int files_read(struct policy *p, const char *file, const struct json *v, struct why *why) MUST_USE;

/** files_check_path() - Is it a path as a policy may have it? Errors: -EINVAL, @why has the column.
 */
int files_check_path(struct bytes text, struct why *why) MUST_USE;

#endif
