/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The member `files` of a policy file.
 */
#ifndef POLICY_FILES_H
#define POLICY_FILES_H

#include "base/json.h"
#include "policy/policy.h"

/** files_check_path() - Is it a path as a policy may have it? Errors: -EINVAL, @why has the column.
 */
int files_check_path(struct bytes text, struct why *why) MUST_USE;

#endif
