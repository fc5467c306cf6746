/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The git repositories of a workspace, as they are found at the start: its own, those below it, and
 * the git directories of submodules and linked worktrees, which lie within the first ones
 * (gitrepository-layout(5): modules, worktrees).
 */
#ifndef SANDBOX_REPOSITORIES_H
#define SANDBOX_REPOSITORIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"

#define REPOSITORIES_MAX       128u
#define REPOSITORY_DEPTH_MAX   48u    /* directories below the workspace */
#define REPOSITORY_ENTRIES_MAX 50000u /* names that are read, the upper directories' first */
#define REPOSITORY_PATH_MAX    1536u

enum repository_part {
    REPOSITORY_TREE,     /* a working tree: it has a .git; or the workspace itself */
    REPOSITORY_GIT_DIR,  /* a submodule's git directory, or a bare repository */
    REPOSITORY_WORKTREE, /* what a linked worktree has of its own of one */
};

struct repository {
    char *path; /* owned; below the workspace, "" is the workspace itself */
    enum repository_part part;
    uint32_t masked; /* names in it that are to be protected: masks.h */
};

struct repositories {
    struct repository items[REPOSITORIES_MAX];
    unsigned count;  /* the upper ones first; the first is the workspace */
    bool has_git;    /* the workspace itself has a .git */
    bool is_partial; /* a limit was reached: there may be more */
};

/** repositories_find() - Look through the directory @workspace, following no link. What cannot be
 * read is passed over. Errors: -ENOMEM, -errno the workspace cannot be opened. */
int repositories_find(const char *workspace, struct repositories *ret) MUST_USE;
void repositories_done(struct repositories *r);
/** repositories_has() - Is there one at @path? */
bool repositories_has(const struct repositories *r, const char *path);
/** repository_open() - Open directory @path below @root, through no link. Returns a descriptor, or
 * -1 with errno. */
int repository_open(int root, const char *path) MUST_USE;

#endif
