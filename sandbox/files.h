/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files the agent may use, as Landlock rules: made by the supervisor before the start, put in
 * force by the agent's process (walls.h). Landlock allows and cannot take away, so what is to stay
 * closed beneath an open directory is gone round, entry by entry, as it is when the plan is made.
 */
#ifndef SANDBOX_FILES_H
#define SANDBOX_FILES_H

#include <stdbool.h>

#include "base/landlock.h"
#include "base/must.h"
#include "base/why.h"
#include "sandbox/repositories.h"
#include "sandbox/sandbox.h"

#define FILES_ABI_MIN   2 /* the first that can let files be moved between directories */
#define FILES_RULES_MAX 8192u
#define FILES_ENV_MAX   3u

struct files_plan {
    struct landlock_rule *rules; /* owned, with their paths */
    unsigned count;
    unsigned cap;
    char *env[FILES_ENV_MAX + 1]; /* owned; NAME=VALUE for the agent, ends with NULL */
    unsigned env_count;
    char *workspace; /* owned; real */
    /* Its name from this byte on could be moved, for the directory above is open for writing: that
     * is to be kept from, too. The whole length: nothing of it. */
    size_t pinned_from;
    struct repositories repositories; /* in it; with the names that are to be read-only where that
                                       * can be had: masks.h */
};

/**
 * files_plan_new() - Find out what @f means here and now. *ret is NULL when every file is open.
 * Makes the sandboxes' own cache directory. What the policy names and does not exist is left out,
 * with a warning. Errors, all in @why: -EOPNOTSUPP the kernel cannot enforce it; -EINVAL the
 * working directory is no workspace; -EPERM one of @f's own files could be changed or read;
 * -ENOMEM, -E2BIG.
 */
int files_plan_new(const struct sandbox_files *f, struct files_plan **ret,
                   struct why *why) MUST_USE;
void files_plan_free(struct files_plan *plan);

/** files_plan_allows() - Are all of @fs (LANDLOCK_FS_*) allowed on @path (real, absolute)? */
bool files_plan_allows(const struct files_plan *plan, const char *path, uint64_t fs);

#endif
