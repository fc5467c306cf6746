/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goes through the directories level by level, so that a limit cuts off what lies deepest. Nothing
 * of a repository is read but names: a directory or a file .git makes one, and HEAD, objects and
 * refs make a git directory, as they do for git. Another sandbox may be at work in the same place,
 * so each directory is opened beneath the workspace and without links (openat2(2)).
 */
#include "sandbox/repositories.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

#define GIT_DIR_MARKS 7u /* all of mark_of() */

/** What a directory that is still to be read is searched for. */
enum search {
    SEARCH_TREES,     /* working trees, and bare repositories */
    SEARCH_MODULES,   /* it holds submodules' git directories */
    SEARCH_MODULE,    /* it is one, or holds some: a submodule's name may have slashes */
    SEARCH_WORKTREES, /* each directory in it is one */
};

struct visit {
    char *path; /* owned */
    unsigned depth;
    enum search search;
};

struct walk {
    struct repositories *found;
    int root;             /* borrowed */
    struct visit *visits; /* owned; read up to @next */
    unsigned count, cap, next;
    unsigned entries;
};

static char *join(const char *dir, const char *name)
{
    char *path = NULL;

    if (strlen(dir) + strlen(name) + 1 >= REPOSITORY_PATH_MAX ||
        asprintf(&path, "%s%s%s", dir, dir[0] != '\0' ? "/" : "", name) < 0)
        return NULL;
    return path;
}

/** Note a repository. @path is taken. */
static int add(struct walk *w, char *path, enum repository_part part)
{
    struct repositories *r = w->found;

    if (path == NULL)
        return -ENOMEM;
    if (r->count == REPOSITORIES_MAX) {
        r->is_partial = true;
        free(path);
        return 0;
    }
    r->items[r->count++] = (struct repository){.path = path, .part = part};
    return 0;
}

/** Note a directory that is to be read later. @path is taken; NULL: too long, or no memory. */
static int push(struct walk *w, char *path, unsigned depth, enum search search)
{
    if (path == NULL || depth > REPOSITORY_DEPTH_MAX) {
        free(path);
        w->found->is_partial = true;
        return 0;
    }
    if (w->count == w->cap) {
        unsigned cap = w->cap > 0 ? 2 * w->cap : 256;
        struct visit *grown = reallocarray(w->visits, cap, sizeof(*grown));

        if (grown == NULL) {
            free(path);
            return -ENOMEM;
        }
        w->visits = grown;
        w->cap = cap;
    }
    w->visits[w->count++] = (struct visit){.path = path, .depth = depth, .search = search};
    return 0;
}

int repository_open(int root, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    const char *name = path[0] != '\0' ? path : ".";
    int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof(how));

    /* Where the call is not let through, no mask can be laid either, and nothing depends on it. */
    return fd >= 0 || (errno != ENOSYS && errno != EPERM) ? fd : openat(root, name, (int)how.flags);
}

static bool is_dir(int dir, const struct dirent *e)
{
    struct stat st;

    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/** In the git directory @path: those of submodules, and what worktrees have. */
static int push_git_dir(struct walk *w, const char *path, unsigned depth)
{
    char *modules = join(path, "modules");
    int err = push(w, modules, depth + 1, SEARCH_MODULES);

    if (err < 0)
        return err;
    return push(w, join(path, "worktrees"), depth + 1, SEARCH_WORKTREES);
}

/** One name in a directory that is read. */
static int look_at(struct walk *w, const struct visit *v, int dir, const struct dirent *e)
{
    bool is_dot_git = strcmp(e->d_name, ".git") == 0;
    char *path;
    int err = 0;

    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
        return 0;
    w->found->has_git |= is_dot_git && v->path[0] == '\0';
    if (v->search == SEARCH_TREES && is_dot_git && v->path[0] != '\0') {
        path = strdup(v->path);
        err = path != NULL ? add(w, path, REPOSITORY_TREE) : -ENOMEM;
    }
    if (err < 0 || !is_dir(dir, e))
        return err;
    path = join(v->path, e->d_name);
    if (path == NULL) {
        w->found->is_partial = true;
        return 0;
    }
    if (v->search == SEARCH_WORKTREES)
        return add(w, path, REPOSITORY_WORKTREE);
    if (v->search == SEARCH_TREES && is_dot_git) {
        err = push_git_dir(w, path, v->depth);
        free(path);
        return err;
    }
    return push(w, path, v->depth + 1, v->search == SEARCH_MODULES ? SEARCH_MODULE : v->search);
}

/** Which of the names that make a git directory is it? As a bit; 0: none. */
static unsigned mark_of(const struct visit *v, const char *name)
{
    static const char *const marks[] = {"HEAD", "objects", "refs"};

    if (v->search != SEARCH_TREES && v->search != SEARCH_MODULE)
        return 0;
    for (unsigned i = 0; i < ARRAY_COUNT(marks); i++)
        if (strcmp(name, marks[i]) == 0)
            return 1u << i;
    return 0;
}

/** The directory is a git directory, a submodule's or a bare repository: what has been noted of it
 * since @first is not searched. */
static int take_git_dir(struct walk *w, const struct visit *v, unsigned first)
{
    char *path = strdup(v->path);
    int err = path != NULL ? add(w, path, REPOSITORY_GIT_DIR) : -ENOMEM;

    while (w->count > first)
        free(w->visits[--w->count].path);
    return err < 0 ? err : push_git_dir(w, v->path, v->depth);
}

static int read_dir(struct walk *w, const struct visit *v)
{
    int fd = repository_open(w->root, v->path);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    unsigned first = w->count;
    unsigned marks = 0;
    struct dirent *e;
    int err = 0;

    if (dir == NULL) {
        own_close(&fd);
        return 0;
    }
    while (err == 0 && (e = readdir(dir)) != NULL) {
        if (w->entries++ >= REPOSITORY_ENTRIES_MAX) {
            w->found->is_partial = true;
            break;
        }
        marks |= mark_of(v, e->d_name);
        err = look_at(w, v, fd, e);
    }
    (void)closedir(dir);
    return err == 0 && marks == GIT_DIR_MARKS ? take_git_dir(w, v, first) : err;
}

int repositories_find(const char *workspace, struct repositories *ret)
{
    auto_fd root = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct walk w = {.found = ret, .root = root};
    int err;

    *ret = (struct repositories){.count = 0};
    if (root < 0)
        return -errno;
    err = add(&w, strdup(""), REPOSITORY_TREE);
    if (err == 0)
        err = push(&w, strdup(""), 0, SEARCH_TREES);
    while (err == 0 && w.next < w.count && w.entries < REPOSITORY_ENTRIES_MAX) {
        const struct visit v = w.visits[w.next++];

        err = read_dir(&w, &v);
        free(v.path);
    }
    ret->is_partial |= w.next < w.count;
    while (w.next < w.count)
        free(w.visits[w.next++].path);
    free(w.visits);
    if (err < 0)
        repositories_done(ret);
    return err;
}

void repositories_done(struct repositories *r)
{
    for (unsigned i = 0; i < r->count; i++)
        free(r->items[i].path);
    r->count = 0;
}

bool repositories_has(const struct repositories *r, const char *path)
{
    for (unsigned i = 0; i < r->count; i++)
        if (strcmp(r->items[i].path, path) == 0)
            return true;
    return false;
}
