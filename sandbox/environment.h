/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's environment, made from the one that lattice was started with. Lattice's own secrets
 * are never in it; variables that lead to daemons of the host are, when the policy opens the very
 * socket; the rest passes, or a small base set only (--clear-env).
 */
#ifndef SANDBOX_ENVIRONMENT_H
#define SANDBOX_ENVIRONMENT_H

#include "base/must.h"
#include "base/why.h"
#include "policy/policy.h"
#include "sandbox/sandbox.h"

#define ENVIRONMENT_LIST_CAP 256u

struct environment {
    char **vars; /* ends with NULL; the array is owned, the strings are borrowed */
    unsigned count;
    char withheld[ENVIRONMENT_LIST_CAP]; /* names, for people; cut when there are many */
};

/**
 * environment_make() - Choose from @outer (as environ(7)) what the agent gets.
 * @given: NAME=VALUE of lattice's own choice, ends with NULL; borrowed; replaced by what is named.
 * @named: strings in it are borrowed, and were checked by sandbox_env_check().
 * @p:     decides about the sockets that variables name; files are looked at for their real paths.
 * Errors: -ENOMEM; -ENOENT a variable that is named without a value is not in @outer.
 */
int environment_make(char *const *outer, char *const *given,
                     const struct sandbox_environment *named, const struct policy *p,
                     struct environment *ret, struct why *why) MUST_USE;
void environment_done(struct environment *e);

#endif
