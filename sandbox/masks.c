/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mask is a read-only mount of a file or directory over itself. Nobody inside can write through
 * it, and a mount point can be neither renamed nor removed (EBUSY), so nothing else can be put in
 * its place either. The directories on the way to it are mounted over themselves, too, writable:
 * else `.git` could be moved away as a whole. All is done on descriptors, which no link leads
 * astray.
 *
 * What stands in the place of a name that does not exist is made in the real workspace, for a mount
 * needs a place. It is empty (or means nothing) and nobody's to write; by that it is known again,
 * after a crash too, and rmdir(2) cannot take away anything that somebody put there.
 */
#include "sandbox/masks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "sandbox/files.h"

#define PATH_CAP   4096
#define GIT_PREFIX ".git/"
#define PLACE_MODE 0555

enum place {
    PLACE_NONE,    /* protected only when it exists */
    PLACE_DIR,     /* an empty directory is put there */
    PLACE_THIS_DIR /* a file with PLACE_TEXT */
};

/* git takes `.git/commondir` for where its configuration and hooks are: here, as without the file.
 */
#define PLACE_TEXT ".\n"
#define PLACE_LEN  2

static const struct {
    const char *name;
    enum place place;
} names[] = {
    {".git", PLACE_NONE}, /* a file that names another directory; a directory stays writable */
    {".git/hooks", PLACE_DIR},
    {".git/commondir", PLACE_THIS_DIR},
    {".git/config", PLACE_NONE}, /* without it, it is no repository */
    {".git/config.worktree", PLACE_NONE},
    {".vscode", PLACE_DIR},
    {".idea", PLACE_DIR},
    {".mcp.json", PLACE_DIR},
    {".claude", PLACE_DIR},
    {".cursor", PLACE_DIR},
    {".codex", PLACE_NONE},
    {".gemini", PLACE_NONE},
    {".zed", PLACE_NONE},
    {".devcontainer", PLACE_NONE},
    {".husky", PLACE_NONE},
    {".envrc", PLACE_NONE},
};

/** The name relative to a git directory; NULL: it is none of a git directory's. */
static const char *name_in_git_dir(unsigned i)
{
    size_t len = sizeof(GIT_PREFIX) - 1;

    return strncmp(names[i].name, GIT_PREFIX, len) == 0 ? names[i].name + len : NULL;
}

const char *masks_name(enum repository_part part, unsigned i)
{
    const char *name;

    if (i >= ARRAY_COUNT(names))
        return NULL;
    if (part == REPOSITORY_TREE)
        return names[i].name;
    name = name_in_git_dir(i);
    if (name == NULL || (part == REPOSITORY_WORKTREE && strcmp(name, "commondir") != 0 &&
                         strcmp(name, "config.worktree") != 0))
        return "";
    return name;
}

static int open_path(int dir, const char *name)
{
    int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/** Mount what @fd is over itself. */
static int mount_over(int fd, bool is_read_only)
{
    struct mount_attr attr = {.attr_set = is_read_only ? MOUNT_ATTR_RDONLY : 0};
    auto_fd tree = (int)syscall(SYS_open_tree, fd, "",
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

    if (tree < 0)
        return -errno;
    if (is_read_only &&
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return -errno;
    if (syscall(SYS_move_mount, tree, "", fd, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

/** Mount the directory @name over itself and open what is now there. */
static int pin(int dir, const char *name)
{
    auto_fd fd = open_path(dir, name);
    int err = fd < 0 ? fd : mount_over(fd, /*is_read_only=*/false);

    return err < 0 ? err : open_path(dir, name);
}

static int put_place(int dir, const char *name, enum place place)
{
    auto_fd fd = -1;

    if (place == PLACE_DIR)
        return mkdirat(dir, name, PLACE_MODE & 0555) < 0 ? -errno : 0;
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, PLACE_MODE & 0444);
    return fd < 0 ? -errno : io_write_all(fd, PLACE_TEXT, PLACE_LEN);
}

/** Open what is to be masked. Returns -ENOENT where there is nothing, and nothing can come. */
static int open_target(int dir, const char *name, enum place place)
{
    int fd = open_path(dir, name);
    int err;

    if (fd != -ENOENT || place == PLACE_NONE)
        return fd;
    err = put_place(dir, name, place);
    if (err < 0 && err != -EEXIST)
        return err == -EACCES || err == -EPERM || err == -EROFS ? -ENOENT : err;
    return open_path(dir, name);
}

/** What stands in the place of the name when it does not exist. */
static enum place place_of(const struct repository *r, unsigned i)
{
    return r->part == REPOSITORY_WORKTREE ? PLACE_NONE : names[i].place;
}

static int mask(const struct repository *r, int dir, const char *name, unsigned i, struct why *why)
{
    const char *slash = r->path[0] != '\0' ? "/" : "";
    auto_fd fd = open_target(dir, name, place_of(r, i));
    struct stat st;
    int err = fd < 0 ? fd : 0;

    if (err == -ENOENT)
        return 0;
    if (err == 0 && fstat(fd, &st) < 0)
        err = -errno;
    if (err == 0 && S_ISLNK(st.st_mode))
        return why_set(
            why, -ELOOP,
            "%s%s%s is a link, and cannot be protected in the workspace; --write ./%s%s%s leaves "
            "it to the program",
            r->path, slash, names[i].name, r->path, slash, names[i].name);
    if (err == 0 && S_ISDIR(st.st_mode) && strcmp(names[i].name, ".git") == 0)
        return 0;
    if (err == 0)
        err = mount_over(fd, /*is_read_only=*/true);
    return err < 0 ? why_set(why, err, "cannot protect %s%s%s in the workspace: %s", r->path, slash,
                             name, strerror(-err))
                   : 0;
}

/** Pin the directories on the way whose names could be moved, the upper ones first. */
static int enter_workspace(const struct files_plan *plan)
{
    char path[PATH_CAP];
    size_t len = strlen(plan->workspace);

    if (len >= sizeof(path))
        return -ENAMETOOLONG;
    for (size_t end = plan->pinned_from; end < len; end++) {
        auto_fd fd = -1;

        if (end + 1 < len && plan->workspace[end + 1] != '/')
            continue;
        memcpy(path, plan->workspace, end + 1);
        path[end + 1] = '\0';
        fd = pin(AT_FDCWD, path);
        if (fd < 0)
            return fd;
    }
    return chdir(plan->workspace) < 0 ? -errno : open_path(AT_FDCWD, ".");
}

/** Has the directory that the first @len bytes of @path name been pinned, on the way to one of the
 * first @count? */
static bool is_pinned(const struct repositories *all, unsigned count, const char *path, size_t len)
{
    for (unsigned i = 0; i < count; i++) {
        const struct repository *r = &all->items[i];
        size_t own = strlen(r->path);
        size_t git = own + (own > 0 ? 1 : 0); /* where a name in it begins */

        if (r->masked == 0)
            continue;
        if (own >= len && strncmp(r->path, path, len) == 0 &&
            (r->path[len] == '/' || r->path[len] == '\0'))
            return true;
        if (r->part == REPOSITORY_TREE && len == git + 4 && strncmp(r->path, path, own) == 0 &&
            (own == 0 || path[own] == '/') && strncmp(path + git, ".git", 4) == 0)
            return true;
    }
    return false;
}

/** Open the directory of a repository; it and those on the way are mounted over themselves. */
static int enter_repository(int root, const struct repositories *all, unsigned which)
{
    const char *path = all->items[which].path;
    char name[NAME_MAX + 1];
    auto_fd at = open_path(root, ".");

    for (const char *part = path; at >= 0 && *part != '\0';) {
        size_t len = strcspn(part, "/");
        size_t end = (size_t)(part - path) + len;
        int below;

        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, part, len);
        name[len] = '\0';
        below = is_pinned(all, which, path, end) ? open_path(at, name) : pin(at, name);
        own_close(&at);
        at = below;
        part += len + (part[len] == '/');
    }
    return take_fd(&at);
}

static int mask_git_dir(const struct repository *r, int dir, struct why *why)
{
    int err = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(names) && err == 0; i++)
        if ((r->masked & UINT32_C(1) << i) != 0 && name_in_git_dir(i) != NULL)
            err = mask(r, dir, name_in_git_dir(i), i, why);
    return err;
}

static int mask_tree(const struct repository *r, int dir, struct why *why)
{
    auto_fd git = -1;
    struct stat st;
    int err = 0;

    if (fstatat(dir, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
        git = pin(dir, ".git");
        if (git < 0)
            return why_set(why, git, "cannot protect %s%s.git in the workspace: %s", r->path,
                           r->path[0] != '\0' ? "/" : "", strerror(-git));
        err = mask_git_dir(r, git, why);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(names) && err == 0; i++)
        if ((r->masked & UINT32_C(1) << i) != 0 && name_in_git_dir(i) == NULL)
            err = mask(r, dir, names[i].name, i, why);
    return err;
}

int masks_enter(const struct files_plan *plan, struct why *why)
{
    const struct repositories *all = &plan->repositories;
    auto_fd root = enter_workspace(plan);

    if (root < 0)
        return why_set(why, root, "cannot enter the workspace anew: %s", strerror(-root));
    for (unsigned i = 0; i < all->count; i++) {
        const struct repository *r = &all->items[i];
        auto_fd dir = r->masked != 0 ? enter_repository(root, all, i) : -ENOENT;
        int err;

        if (dir == -ENOENT) /* left to the program; or gone since it was found */
            continue;
        if (dir < 0)
            return why_set(why, dir, "cannot protect the repository %s in the workspace: %s",
                           r->path, strerror(-dir));
        err = r->part == REPOSITORY_TREE ? mask_tree(r, dir, why) : mask_git_dir(r, dir, why);
        if (err < 0)
            return err;
    }
    return 0;
}

/** Is it what put_place() made? */
static bool is_place(int root, const char *name, enum place place)
{
    auto_fd fd = -1;
    char text[PLACE_LEN + 1];
    struct stat st;

    if (place == PLACE_NONE || fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        (st.st_mode & 0222) != 0)
        return false;
    if (place == PLACE_DIR)
        return S_ISDIR(st.st_mode); /* if it is empty */
    fd = S_ISREG(st.st_mode) ? openat(root, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    return fd >= 0 && io_read(fd, text, sizeof(text)) == PLACE_LEN &&
           memcmp(text, PLACE_TEXT, PLACE_LEN) == 0;
}

void masks_clear(int dir, enum repository_part part)
{
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        const char *name = masks_name(part, i);

        if (name[0] != '\0' && is_place(dir, name, names[i].place))
            (void)unlinkat(dir, name, names[i].place == PLACE_DIR ? AT_REMOVEDIR : 0);
    }
}
