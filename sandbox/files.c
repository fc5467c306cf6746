/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the plan of the file policy `workspace`: the system's directories can be read, the working
 * directory and temporary ones written, a few named things of the home directory besides, and
 * nothing else. It restricts no one itself, and it opens nothing that lies behind a link which the
 * agent may have made: paths are taken as they really lie, and a link in a directory that is open
 * for writing is not followed out of it.
 *
 * Credentials that lie beneath something open (`/etc/kubernetes`; `~/.cargo/credentials` when
 * `~/.cargo` is named) are closed unless exactly they are named: their directory is then opened
 * entry by entry, without them. Names that come into being later are seen by the directory's rule,
 * so such a directory itself gets none but for listing.
 */
#include "sandbox/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "sandbox/file_paths.h"
#include "sandbox/masks.h"

#define READ (LANDLOCK_FS_EXECUTE | LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR)
#define WRITE                                                                                      \
    (LANDLOCK_FS_ALL & ~(LANDLOCK_FS_MAKE_CHAR | LANDLOCK_FS_MAKE_BLOCK | LANDLOCK_FS_IOCTL_DEV))
#define DEVICE                                                                                     \
    (LANDLOCK_FS_READ_FILE | LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_READ_DIR |                       \
     LANDLOCK_FS_TRUNCATE | LANDLOCK_FS_IOCTL_DEV)

#define DEPTH_MAX 24u /* of directories that are opened entry by entry */

/** What is open to everybody's programs. What does not exist is left out. */
static const struct {
    const char *path;
    uint64_t fs;
} system_files[] = {
#define OPEN_FILE(path_, fs_) {(path_), (fs_)},
#define CLOSED_FILE(path_)
#include "sandbox/files.def"
#undef OPEN_FILE
#undef CLOSED_FILE
};

/** Credentials, and what is to stay private. Only the full path opens one of them. */
static const char *const closed_files[] = {
#define OPEN_FILE(path_, fs_)
#define CLOSED_FILE(path_) (path_),
#include "sandbox/files.def"
#undef OPEN_FILE
#undef CLOSED_FILE
};

#define CLOSED_MAX (ARRAY_COUNT(closed_files) + 2)

struct builder {
    const struct sandbox_files *f;
    struct files_plan *plan;  /* owned */
    struct file_base base;    /* owned */
    char *closed[CLOSED_MAX]; /* real; owned. The first is the home directory */
    unsigned closed_count;
    struct why *why;
};

/* Rules */

static int add_rule(struct builder *b, const char *path, uint64_t fs)
{
    struct files_plan *p = b->plan;
    char *copy;

    if (p->count == p->cap) {
        unsigned cap = p->cap > 0 ? 2 * p->cap : 64;
        struct landlock_rule *grown = reallocarray(p->rules, cap, sizeof(*grown));

        if (grown == NULL)
            return why_set(b->why, -ENOMEM, "out of memory");
        p->rules = grown;
        p->cap = cap;
    }
    if (p->count >= FILES_RULES_MAX)
        return why_set(b->why, -E2BIG, "the file policy needs more than %u rules", FILES_RULES_MAX);
    copy = strdup(path);
    if (copy == NULL)
        return why_set(b->why, -ENOMEM, "out of memory");
    p->rules[p->count++] = (struct landlock_rule){.path = copy, .fs = fs, .is_optional = true};
    return 0;
}

static bool is_closed(const struct builder *b, const char *path)
{
    for (unsigned i = 0; i < b->closed_count; i++)
        if (strcmp(b->closed[i], path) == 0)
            return true;
    return false;
}

static bool holds_closed(const struct builder *b, const char *path)
{
    for (unsigned i = 0; i < b->closed_count; i++)
        if (path_is_below(b->closed[i], path))
            return true;
    return false;
}

static int grant(struct builder *b, const char *path, uint64_t fs, unsigned depth);

/** One entry of a directory that is gone round. Links need no rule: where they lead decides. */
static int grant_entry(struct builder *b, const char *dir, const char *name, uint64_t fs,
                       unsigned depth)
{
    char path[FILE_PATH_CAP];
    struct stat st;
    int len = snprintf(path, sizeof(path), "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);

    if (len < 0 || (size_t)len >= sizeof(path) || lstat(path, &st) < 0 || S_ISLNK(st.st_mode) ||
        is_closed(b, path))
        return 0;
    return grant(b, path, fs, depth);
}

/** Open all of @path but what is closed below it. */
static int grant(struct builder *b, const char *path, uint64_t fs, unsigned depth)
{
    struct dirent *entry;
    DIR *dir;
    int err;

    if (!holds_closed(b, path))
        return add_rule(b, path, fs);
    dir = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (dir == NULL)
        return 0; /* nothing of it is opened then */
    err = add_rule(b, path, fs & LANDLOCK_FS_READ_DIR);
    while (err == 0 && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = grant_entry(b, path, entry->d_name, fs, depth + 1);
    (void)closedir(dir);
    return err;
}

static void close_path(struct builder *b, const char *path)
{
    char *real = path_real(&b->base, path);

    /* What lies open to nobody is not worth going round. */
    if (real != NULL && access(real, R_OK) == 0)
        b->closed[b->closed_count++] = real;
    else
        free(real);
}

static int find_places(struct builder *b)
{
    const char *settings = getenv("LATTICE_CONFIG_DIR");
    const char *home = getenv("HOME");

    b->base.home = home != NULL && home[0] == '/' ? realpath(home, NULL) : NULL;
    if (b->base.home == NULL)
        return why_set(b->why, -ENOENT,
                       "--files=workspace has to know your home directory: set HOME");
    b->base.workspace = getcwd(NULL, 0);
    if (b->base.workspace == NULL || b->base.workspace[0] != '/')
        return why_set(b->why, -ENOENT, "--files=workspace: there is no working directory");
    b->closed[b->closed_count++] = strdup(b->base.home);
    for (unsigned i = 0; i < ARRAY_COUNT(closed_files); i++)
        close_path(b, closed_files[i]);
    if (settings != NULL && settings[0] != '\0')
        close_path(b, settings);
    return b->closed[0] != NULL ? 0 : why_set(b->why, -ENOMEM, "out of memory");
}

static int check_workspace(struct builder *b)
{
    if (path_is_within(b->base.home, b->base.workspace))
        return why_set(b->why, -EINVAL,
                       "--files=workspace opens the working directory, and %s %s your home "
                       "directory; start in the directory of a project",
                       b->base.workspace,
                       strcmp(b->base.home, b->base.workspace) == 0 ? "is" : "holds");
    for (unsigned i = 1; i < b->closed_count; i++)
        if (path_is_within(b->base.workspace, b->closed[i]))
            return why_set(b->why, -EINVAL,
                           "--files=workspace opens the working directory, and %s holds "
                           "credentials; start in the directory of a project",
                           b->closed[i]);
    return 0;
}

/* The parts of the plan */

/** Directories for temporary files hold no home directory: it would be open with them. */
static int grant_temporary(struct builder *b, const char *path)
{
    auto_free char *real = path_real(&b->base, path);

    if (real == NULL || path_is_within(b->base.home, real) ||
        files_plan_allows(b->plan, real, WRITE))
        return 0;
    return grant(b, real, WRITE, 0);
}

static int grant_system(struct builder *b)
{
    const char *tmp = getenv("TMPDIR");
    int err = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(system_files) && err == 0; i++) {
        const char *path = system_files[i].path;
        auto_free char *real = path_real(&b->base, path);

        if (real == NULL)
            continue;
        if (strcmp(path, "/tmp") == 0 || strcmp(path, "/var/tmp") == 0)
            err = grant_temporary(b, path);
        else
            err = grant(b, real, system_files[i].fs, 0);
    }
    if (err == 0 && tmp != NULL && tmp[0] == '/')
        err = grant_temporary(b, tmp);
    return err;
}

static int grant_named(struct builder *b, const struct nameset *paths, uint64_t fs)
{
    int err = 0;

    for (unsigned i = 0; i < paths->count && err == 0; i++) {
        const char *text = paths->items[i];
        auto_free char *real = path_real(&b->base, text);
        char path[FILE_PATH_CAP];
        bool is_ours = path_expand_lexically(&b->base, text, path, sizeof(path)) == 0 &&
                       files_plan_allows(b->plan, path, WRITE);

        if (real == NULL && !is_ours)
            log_warn("the file policy names what is not there: it stays closed",
                     F_STR("path", text));
        else if (real != NULL && is_ours && !files_plan_allows(b->plan, real, WRITE))
            log_warn("the file policy names a link that a program could have made: name where it "
                     "leads",
                     F_STR("path", text));
        else if (real != NULL)
            err = grant(b, real, fs, 0);
    }
    return err;
}

static int give_env(struct builder *b, const char *name, const char *dir, const char *sub)
{
    struct files_plan *p = b->plan;

    must(p->env_count < FILES_ENV_MAX);
    if (asprintf(&p->env[p->env_count], "%s=%s%s", name, dir, sub) < 0) {
        p->env[p->env_count] = NULL;
        return why_set(b->why, -ENOMEM, "out of memory");
    }
    p->env_count++;
    return 0;
}

/** $XDG_CACHE_HOME/lattice/sandbox, made if need be; false: it cannot be had. */
static bool make_cache(const struct builder *b, char *ret, size_t cap)
{
    const char *xdg = getenv("XDG_CACHE_HOME");
    static const char *const below[] = {"", "/lattice", "/sandbox", "/tmp"};
    size_t at = 0;
    struct stat st;
    int len = xdg != NULL && xdg[0] == '/' ? snprintf(ret, cap, "%s", xdg)
                                           : snprintf(ret, cap, "%s/.cache", b->base.home);

    for (unsigned i = 0; i < ARRAY_COUNT(below); i++) {
        at += len >= 0 ? (size_t)len : cap;
        if (at >= cap)
            return false;
        len = snprintf(ret + at, cap - at, "%s", below[i]);
        if (len < 0 || (size_t)len >= cap - at || (mkdir(ret, 0700) < 0 && errno != EEXIST) ||
            lstat(ret, &st) < 0 || !S_ISDIR(st.st_mode))
            return false;
    }
    ret[at] = '\0'; /* without the last */
    return true;
}

/** Programs keep caches below the home directory, which is closed, and which their later runs
 * outside believe: a cache of the sandboxes' own takes their place. */
static int grant_cache(struct builder *b)
{
    const char *tmp = getenv("TMPDIR");
    char dir[FILE_PATH_CAP];
    char path[FILE_PATH_CAP];
    auto_free char *real = NULL;
    int err = 0;

    if (!make_cache(b, dir, sizeof(dir)) || (real = realpath(dir, NULL)) == NULL) {
        log_info("no cache directory can be made for the sandbox");
        return 0;
    }
    err = grant(b, real, WRITE, 0);
    (void)snprintf(path, sizeof(path), "%s/.cache", b->base.home);
    if (err == 0 && !files_plan_allows(b->plan, path, WRITE))
        err = give_env(b, "XDG_CACHE_HOME", real, "");
    (void)snprintf(path, sizeof(path), "%s/.npm", b->base.home);
    if (err == 0 && !files_plan_allows(b->plan, path, WRITE))
        err = give_env(b, "npm_config_cache", real, "/npm");
    if (err == 0 && (tmp == NULL || tmp[0] != '/'))
        tmp = "/tmp";
    if (err == 0 && !files_plan_allows(b->plan, tmp, WRITE))
        err = give_env(b, "TMPDIR", real, "/tmp");
    return err;
}

/** Files that the agent is given as standard input, output and error: it may open them again, as
 * /dev/stdout, with the access that it was given. */
static int grant_standard(struct builder *b)
{
    int err = 0;

    for (int fd = 0; fd <= STDERR_FILENO && err == 0; fd++) {
        int access = fcntl(fd, F_GETFL) & O_ACCMODE;
        uint64_t fs = (access != O_WRONLY ? LANDLOCK_FS_READ_FILE : 0) |
                      (access != O_RDONLY ? LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_TRUNCATE : 0);
        char path[32];
        struct stat st;

        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
            return why_set(b->why, -EPERM,
                           "with --files=workspace no directory can be given as standard input, "
                           "output or error: it would be a way round");
        if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        err = add_rule(b, path, S_ISCHR(st.st_mode) ? DEVICE : fs);
    }
    return err;
}

/** Lattice's own files: records and rules are not to be changed, keys not to be read. */
static int check_own(struct builder *b)
{
    for (unsigned i = 0; i < b->f->own_count; i++) {
        const struct sandbox_own_file *own = &b->f->own[i];
        auto_free char *real = path_future(&b->base, own->path);

        if (real == NULL)
            continue; /* whoever opens it will say so */
        if (own->is_secret && files_plan_allows(b->plan, real, LANDLOCK_FS_READ_FILE))
            return why_set(b->why, -EPERM,
                           "%s %s could be read by the program: with --files=workspace, keep it "
                           "outside of the workspace, /tmp and what the policy opens",
                           own->option, own->path);
        if (files_plan_allows(b->plan, real, LANDLOCK_FS_WRITE_FILE))
            return why_set(b->why, -EPERM,
                           "%s %s could be changed by the program: with --files=workspace, keep it "
                           "outside of the workspace, /tmp and what the policy opens for writing",
                           own->option, own->path);
    }
    return 0;
}

/** Does the policy name exactly @path for writing? Or, @or_above, a directory above it that lies
 * below the workspace? */
static bool is_named(const struct builder *b, const char *path, bool or_above)
{
    const struct nameset *write = &b->f->policy->write;
    char named[FILE_PATH_CAP];

    for (unsigned i = 0; i < write->count; i++)
        if (path_expand_lexically(&b->base, write->items[i], named, sizeof(named)) == 0 &&
            path_is_below(named, b->base.workspace) &&
            (or_above ? path_is_within(path, named) : strcmp(path, named) == 0))
            return true;
    return false;
}

/** A name in a repository. Returns false when it is too long. */
static bool path_in(const struct builder *b, const struct repository *r, const char *name,
                    char *ret, size_t cap)
{
    int len = snprintf(ret, cap, "%s%s%s%s%s", b->base.workspace, r->path[0] != '\0' ? "/" : "",
                       r->path, name[0] != '\0' ? "/" : "", name);

    return len > 0 && (size_t)len < cap;
}

/** Names that are to be protected in a repository: all but those that exactly the policy names for
 * writing. */
static void choose_names(const struct builder *b, struct repository *r)
{
    char path[2 * FILE_PATH_CAP];
    struct stat st;
    const char *name;

    for (unsigned i = 0; (name = masks_name(r->part, i)) != NULL; i++) {
        if (name[0] == '\0' || !path_in(b, r, name, path, sizeof(path)) ||
            is_named(b, path, /*or_above=*/false))
            continue;
        if (r->path[0] != '\0' && lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
            log_warn("a link cannot be protected", F_STR("path", path));
            continue;
        }
        r->masked |= UINT32_C(1) << i;
    }
}

/** Repositories below what the policy names for writing are the program's own. */
static int choose_masks(struct builder *b)
{
    struct repositories *found = &b->plan->repositories;
    char path[2 * FILE_PATH_CAP];
    int err = repositories_find(b->base.workspace, found);

    if (err < 0)
        return why_set(b->why, err, "cannot look for repositories in the workspace: %s",
                       strerror(-err));
    for (unsigned i = 0; i < found->count; i++) {
        struct repository *r = &found->items[i];

        if (i == 0 ||
            (path_in(b, r, "", path, sizeof(path)) && !is_named(b, path, /*or_above=*/true)))
            choose_names(b, r);
    }
    if (found->is_partial)
        log_warn("the workspace is large: its repositories are protected as far as they were found",
                 F_INT("found", found->count));
    return 0;
}

/** A directory on the way to the workspace may be open for writing (/tmp), and then all below. */
static int find_pin(struct builder *b)
{
    struct files_plan *p = b->plan;
    size_t end;

    p->workspace = strdup(b->base.workspace);
    if (p->workspace == NULL)
        return why_set(b->why, -ENOMEM, "out of memory");
    p->pinned_from = strlen(p->workspace);
    for (end = p->pinned_from; end > 0; end--) {
        if (b->base.workspace[end - 1] != '/')
            continue;
        b->base.workspace[end - 1] = '\0';
        if (files_plan_allows(p, end > 1 ? b->base.workspace : "/", LANDLOCK_FS_MAKE_DIR))
            p->pinned_from = end;
    }
    return 0;
}

static int build(struct builder *b)
{
    const struct policy_files *policy = b->f->policy;
    int err = find_places(b);

    if (err == 0)
        err = check_workspace(b);
    if (err == 0)
        err = grant(b, b->base.workspace, WRITE | READ, 0);
    if (err == 0)
        err = grant_system(b);
    if (err == 0)
        err = grant_named(b, &policy->write, WRITE | READ);
    if (err == 0)
        err = grant_named(b, &policy->read, READ);
    if (err == 0)
        err = grant_standard(b);
    if (err == 0)
        err = grant_cache(b);
    if (err == 0)
        err = check_own(b);
    if (err == 0)
        err = choose_masks(b);
    return err < 0 ? err : find_pin(b);
}

int files_plan_new(const struct sandbox_files *f, struct files_plan **ret, struct why *why)
{
    struct builder b = {.f = f, .why = why};
    int abi = landlock_abi();
    int err;

    *ret = NULL;
    if (f->policy == NULL || f->policy->mode != POLICY_FILES_WORKSPACE)
        return 0;
    if (abi < FILES_ABI_MIN)
        return why_set(why, -EOPNOTSUPP,
                       "--files=workspace needs Landlock of ABI %d or newer (Linux 5.19), and this "
                       "kernel %s; 'lattice doctor' says more",
                       FILES_ABI_MIN,
                       abi == 0 ? "has none, or does not let it be used" : "has ABI 1");
    b.plan = calloc(1, sizeof(*b.plan));
    err = b.plan != NULL ? build(&b) : why_set(why, -ENOMEM, "out of memory");
    if (err < 0)
        files_plan_free(b.plan);
    else
        *ret = b.plan;
    for (unsigned i = 0; i < b.closed_count; i++)
        free(b.closed[i]);
    free(b.base.home);
    free(b.base.workspace);
    return err;
}

void files_plan_free(struct files_plan *plan)
{
    if (plan == NULL)
        return;
    for (unsigned i = 0; i < plan->count; i++)
        free((char *)(uintptr_t)plan->rules[i].path);
    for (unsigned i = 0; i < plan->env_count; i++)
        free(plan->env[i]);
    repositories_done(&plan->repositories);
    free(plan->rules);
    free(plan->workspace);
    free(plan);
}

bool files_plan_allows(const struct files_plan *plan, const char *path, uint64_t fs)
{
    uint64_t allowed = 0;

    for (unsigned i = 0; i < plan->count; i++)
        if (path_is_within(path, plan->rules[i].path))
            allowed |= plan->rules[i].fs;
    return (allowed & fs) == fs;
}
