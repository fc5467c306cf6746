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
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "sandbox/files.h"

#define PATH_CAP   4096
#define PLACE_MODE 0555
#define STOP_MS    2000 /* a few calls to rmdir(2) */

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

const char *masks_name(unsigned i)
{
    return i < ARRAY_COUNT(names) ? names[i].name : NULL;
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

static int mask(int dir, unsigned i, struct why *why)
{
    const char *slash = strchr(names[i].name, '/');
    auto_fd fd = open_target(dir, slash != NULL ? slash + 1 : names[i].name, names[i].place);
    struct stat st;
    int err = fd < 0 ? fd : 0;

    if (err == -ENOENT)
        return 0;
    if (err == 0 && fstat(fd, &st) < 0)
        err = -errno;
    if (err == 0 && S_ISLNK(st.st_mode))
        return why_set(
            why, -ELOOP,
            "%s is a link, and cannot be protected in the workspace; --write ./%s leaves "
            "it to the program",
            names[i].name, names[i].name);
    if (err == 0 && S_ISDIR(st.st_mode) && strcmp(names[i].name, ".git") == 0)
        return 0;
    if (err == 0)
        err = mount_over(fd, /*is_read_only=*/true);
    return err < 0 ? why_set(why, err, "cannot protect %s in the workspace: %s", names[i].name,
                             strerror(-err))
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

int masks_enter(const struct files_plan *plan, struct why *why)
{
    auto_fd root = enter_workspace(plan);
    auto_fd git = -1;
    struct stat st;
    int err = 0;

    if (root < 0)
        return why_set(why, root, "cannot enter the workspace anew: %s", strerror(-root));
    if (fstatat(root, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
        git = pin(root, ".git");
        if (git < 0)
            return why_set(why, git, "cannot protect .git in the workspace: %s", strerror(-git));
    }
    for (unsigned i = 0; i < ARRAY_COUNT(names) && err == 0; i++) {
        bool is_below = strchr(names[i].name, '/') != NULL;

        if ((plan->masked & UINT32_C(1) << i) != 0 && (!is_below || git >= 0))
            err = mask(is_below ? git : root, i, why);
    }
    return err;
}

/* The janitor */

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

static void remove_places(int root)
{
    /* Another sandbox may be here still: the last one does it. */
    if (flock(root, LOCK_EX | LOCK_NB) < 0)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (is_place(root, names[i].name, names[i].place))
            (void)unlinkat(root, names[i].name, names[i].place == PLACE_DIR ? AT_REMOVEDIR : 0);
}

__attribute__((noreturn)) static void janitor(int root, int line)
{
    struct pollfd wait_for = {.fd = 1, .events = POLLIN};
    pid_t guardian;
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)setsid();
    /* Only these two: nobody is to wait for us by a pipe. */
    if (dup2(root, 0) != 0 || dup2(line, 1) != 1 || close_range(2, ~0U, 0) < 0)
        _exit(1);
    if (io_read(1, &guardian, sizeof(guardian)) == (ssize_t)sizeof(guardian)) {
        int pidfd = (int)syscall(SYS_pidfd_open, guardian, 0);

        while (poll(&wait_for, 1, -1) < 0 && errno == EINTR)
            continue;
        wait_for.fd = pidfd; /* -1: it has gone, and poll() takes it for a time limit only */
        while (poll(&wait_for, 1, pidfd < 0 ? 0 : -1) < 0 && errno == EINTR)
            continue;
    }
    remove_places(0);
    _exit(0);
}

int masks_janitor_start(const struct files_plan *plan, int *ret_fd, struct why *why)
{
    auto_fd root = open(plan->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int line[2];
    int status;
    pid_t pid;

    *ret_fd = -1;
    if (root < 0 || flock(root, LOCK_SH) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) < 0)
        return why_set(why, -errno, "cannot watch the workspace: %s", strerror(errno));
    pid = fork();
    if (pid == 0) { /* its child is nobody's descendant, so it is not ended with the agent */
        pid = fork();
        if (pid == 0)
            janitor(root, line[1]);
        _exit(pid < 0 ? 1 : 0);
    }
    (void)close(line[1]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid < 0 || status != 0) {
        (void)close(line[0]);
        return why_set(why, -EAGAIN, "cannot watch the workspace: no process can be made");
    }
    *ret_fd = line[0];
    return 0;
}

void masks_janitor_follow(int fd, pid_t guardian)
{
    if (fd >= 0)
        (void)!io_write_all(fd, &guardian, sizeof(guardian));
}

void masks_janitor_stop(int *fd)
{
    struct pollfd p = {.fd = *fd, .events = POLLIN};

    if (*fd < 0)
        return;
    (void)!io_write_all(*fd, "", 1); /* one that has gone has done its work */
    while (poll(&p, 1, STOP_MS) < 0 && errno == EINTR)
        continue;
    own_close(fd);
}
