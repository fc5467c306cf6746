/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a path by descriptors, so that whoever renames directories meanwhile changes nothing that
 * was already judged. openat2(2) with RESOLVE_NO_SYMLINKS would refuse every link, also /var/run
 * and a home directory behind a link; here the place of a link decides.
 */
#include "base/safe_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"

#define LINKS_MAX  40u  /* as path_resolution(7) */
#define TARGET_MAX 1024 /* bytes of a link's target */

struct walk {
    const char *path; /* for messages */
    struct stat workspace;
    char rest[PATH_MAX]; /* what is still to be walked */
    int dir_fd;
    bool is_inside; /* the workspace, or below */
    unsigned links;
};

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int enter(struct walk *w, int fd)
{
    struct stat st;

    own_close(&w->dir_fd);
    w->dir_fd = fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    w->is_inside = w->is_inside || is_same(&st, &w->workspace);
    return 0;
}

/** Begin anew at the root, or where we are. */
static int begin(struct walk *w)
{
    int fd = open(w->rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    w->is_inside = false;
    return enter(w, fd);
}

/** Whether someone untrusted may have made a name in the directory that @w has come to. */
static bool is_open_to_others(const struct walk *w)
{
    struct stat st;

    return w->is_inside || fstat(w->dir_fd, &st) < 0 || (st.st_mode & S_IWOTH) != 0;
}

/** Put the target of the link @fd in front of what is left. */
static int follow(struct walk *w, int fd)
{
    char target[TARGET_MAX];
    size_t left = strlen(w->rest) + 1;
    ssize_t len = readlinkat(fd, "", target, sizeof(target));

    if (len < 0)
        return -errno;
    if (len == TARGET_MAX || left >= sizeof(w->rest) - (size_t)len)
        return -ENAMETOOLONG;
    memmove(w->rest + len + 1, w->rest, left);
    memcpy(w->rest, target, (size_t)len);
    w->rest[len] = '/';
    return target[0] == '/' ? begin(w) : 0;
}

static int step(struct walk *w, const char *name, struct why *why)
{
    auto_fd fd = openat(w->dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT && (mkdirat(w->dir_fd, name, 0700) == 0 || errno == EEXIST))
        fd = openat(w->dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return why_set(why, -errno, "cannot open the directory %s of %s: %s", name, w->path,
                       strerror(errno));
    if (S_ISDIR(st.st_mode))
        return enter(w, take_fd(&fd));
    if (!S_ISLNK(st.st_mode))
        return why_set(why, -ENOTDIR, "%s in %s is not a directory", name, w->path);
    if (is_open_to_others(w))
        return why_set(why, -ELOOP,
                       "%s in %s is a symbolic link that a program may have put there; give the "
                       "path without links",
                       name, w->path);
    if (++w->links > LINKS_MAX)
        return why_set(why, -ELOOP, "too many symbolic links in %s", w->path);
    return follow(w, fd);
}

/** Cut the next component off. False: none is left. */
static bool next_name(struct walk *w, char ret[static NAME_MAX + 1], int *ret_err)
{
    const char *begins = w->rest + strspn(w->rest, "/");
    size_t len = strcspn(begins, "/");

    *ret_err = len > NAME_MAX ? -ENAMETOOLONG : 0;
    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(ret, begins, len);
    ret[len] = '\0';
    memmove(w->rest, begins + len, strlen(begins + len) + 1);
    return true;
}

static int walk_all(struct walk *w, struct why *why)
{
    char name[NAME_MAX + 1];
    int err = begin(w);

    if (err < 0)
        return why_set(why, err, "cannot open the directory of %s: %s", w->path, strerror(-err));
    while (next_name(w, name, &err)) {
        err = step(w, name, why);
        if (err < 0)
            return err;
    }
    return err < 0 ? why_set(why, err, "a name in %s is too long", w->path) : 0;
}

int safe_dir_open(const char *path, int *ret_fd, const char **ret_name, struct why *why)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct walk w = {.path = path, .dir_fd = -1};
    struct stat root;
    int err;

    if (strlen(path) >= sizeof(w.rest))
        return why_set(why, -ENAMETOOLONG, "the path is too long");
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return why_set(why, -EISDIR, "%s is not the name of a file", path);
    memcpy(w.rest, path, (size_t)(name - path));
    if (stat(".", &w.workspace) < 0 || stat("/", &root) < 0)
        return why_set(why, -errno, "cannot look at the working directory: %s", strerror(errno));
    if (is_same(&w.workspace, &root))
        w.workspace = (struct stat){0}; /* a daemon's */
    err = walk_all(&w, why);
    if (err < 0) {
        own_close(&w.dir_fd);
        return err;
    }
    *ret_fd = w.dir_fd;
    *ret_name = name;
    return 0;
}
