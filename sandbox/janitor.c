/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that survives the supervisor, whatever ends that. It holds a descriptor and a shared
 * lock of each directory in which the masks may have put something, and nothing else; the sandbox
 * that can have the lock alone is the last one there, and clears up.
 */
#include "sandbox/janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "sandbox/files.h"
#include "sandbox/masks.h"

#define STOP_MS 10000 /* for what takes milliseconds, on a machine that has none to spare */

/** A directory in which something may have been put, and its lock, which each sandbox shares. */
struct kept {
    int fd;
    enum repository_part part;
};

struct janitor {
    struct kept kept[REPOSITORIES_MAX];
    unsigned count;
    int line;
};

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/** Only its own: nobody is to wait for it by a pipe. */
static int close_others(const struct janitor *j)
{
    int own[REPOSITORIES_MAX + 1];
    unsigned next = 0;

    for (unsigned i = 0; i < j->count; i++)
        own[i] = j->kept[i].fd;
    own[j->count] = j->line;
    qsort(own, j->count + 1, sizeof(own[0]), by_number);
    for (unsigned i = 0; i <= j->count; i++) {
        if ((unsigned)own[i] > next && close_range(next, (unsigned)own[i] - 1, 0) < 0)
            return -errno;
        next = (unsigned)own[i] + 1;
    }
    return close_range(next, ~0U, 0) < 0 ? -errno : 0;
}

/** Tell which repositories in the directory @fd were not there @before. */
static void tell_new(int fd, const struct repositories *before, int line)
{
    static struct repositories now; /* large; a janitor does this once */
    char text[JANITOR_MADE_CAP];
    size_t len = 0;

    /* After a search that was cut off, what is new and what was not found look the same. */
    if (fchdir(fd) < 0 || repositories_find(".", &now) < 0)
        return;
    if (now.has_git && !before->has_git)
        len = (size_t)snprintf(text, sizeof(text), ".");
    for (unsigned i = 0; i < now.count && !before->is_partial; i++) {
        const char *path = now.items[i].path;

        if (repositories_has(before, path))
            continue;
        if (len + strlen(path) + sizeof(", , …") > sizeof(text)) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, ", …");
            break;
        }
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "", path);
    }
    if (len > 0)
        (void)!io_write_all(line, text, len); /* nobody need listen */
    repositories_done(&now);
}

__attribute__((noreturn)) static void janitor(const struct janitor *j,
                                              const struct repositories *before)
{
    struct pollfd wait_for = {.fd = j->line, .events = POLLIN};
    pid_t guardian;
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)setsid();
    if (close_others(j) < 0)
        _exit(1);
    if (io_read(j->line, &guardian, sizeof(guardian)) == (ssize_t)sizeof(guardian)) {
        int pidfd = (int)syscall(SYS_pidfd_open, guardian, 0);

        while (poll(&wait_for, 1, -1) < 0 && errno == EINTR)
            continue;
        wait_for.fd = pidfd; /* -1: it has gone, and poll() takes it for a time limit only */
        while (poll(&wait_for, 1, pidfd < 0 ? 0 : -1) < 0 && errno == EINTR)
            continue;
    }
    for (unsigned i = 0; i < j->count; i++) {
        /* Another sandbox may be here still: the last one does it. */
        if (flock(j->kept[i].fd, LOCK_EX | LOCK_NB) == 0)
            masks_clear(j->kept[i].fd, j->kept[i].part);
    }
    if (j->count > 0)
        tell_new(j->kept[0].fd, before, j->line);
    _exit(0);
}

/** Open and lock what is to be cleared up; what has gone since it was found needs nothing. */
static int keep_all(const struct files_plan *plan, struct janitor *j)
{
    auto_fd root = open(plan->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return -errno;
    for (unsigned i = 0; i < plan->repositories.count; i++) {
        const struct repository *r = &plan->repositories.items[i];
        int fd;

        if (r->masked == 0 || r->part == REPOSITORY_WORKTREE)
            continue;
        fd = repository_open(root, r->path);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || i == 0))
            return -errno;
        if (fd < 0)
            continue;
        j->kept[j->count++] = (struct kept){.fd = fd, .part = r->part};
        if (flock(fd, LOCK_SH) < 0)
            return -errno;
    }
    return 0;
}

static int fork_janitor(const struct janitor *j, const struct repositories *before)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) { /* its child is nobody's descendant, so it is not ended with the agent */
        pid = fork();
        if (pid == 0)
            janitor(j, before);
        _exit(pid < 0 ? 1 : 0);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid < 0 || status != 0 ? -EAGAIN : 0;
}

int janitor_start(const struct files_plan *plan, int *ret_fd, struct why *why)
{
    struct janitor j = {.line = -1};
    int line[2] = {-1, -1};
    int err = keep_all(plan, &j);

    *ret_fd = -1;
    if (err == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) < 0)
        err = -errno;
    j.line = line[1];
    if (err == 0)
        err = fork_janitor(&j, &plan->repositories);
    for (unsigned i = 0; i < j.count; i++)
        own_close(&j.kept[i].fd);
    own_close(&line[1]);
    if (err < 0) {
        own_close(&line[0]);
        return why_set(why, err, "cannot watch the workspace: %s", strerror(-err));
    }
    *ret_fd = line[0];
    return 0;
}

void janitor_follow(int fd, pid_t guardian)
{
    if (fd >= 0)
        (void)!io_write_all(fd, &guardian, sizeof(guardian));
}

void janitor_stop(int *fd, char ret_made[static JANITOR_MADE_CAP])
{
    struct pollfd p = {.fd = *fd, .events = POLLIN};
    size_t len = 0;
    ssize_t n = 1;

    ret_made[0] = '\0';
    if (*fd < 0)
        return;
    (void)!io_write_all(*fd, "", 1); /* one that has gone has done its work */
    while (n > 0 && len + 1 < JANITOR_MADE_CAP) {
        int ready = poll(&p, 1, STOP_MS);

        if (ready < 0 && errno == EINTR)
            continue;
        n = ready > 0 ? io_read(*fd, ret_made + len, JANITOR_MADE_CAP - 1 - len) : 0;
        len += n > 0 ? (size_t)n : 0;
    }
    ret_made[len] = '\0';
    own_close(fd);
}
