/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads /proc/PID/fd and fdinfo of the agent's processes. It changes nothing there.
 */
#include "sandbox/agent_fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/inject.h"

#define LINE_CAP 256

/** What is looked for among the descriptors. */
struct wanted {
    uint64_t inode;
    uint64_t marker;
    char link[64]; /* of the inode */
};

bool agent_watch_parse(const char *line, uint64_t inode, struct agent_watch *ret)
{
    struct agent_watch w = {.epoll_fd = -1};
    uint64_t ino;
    long long pos;

    /* fs/eventpoll.c, ep_show_fdinfo() */
    if (sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64 " pos:%lli ino:%" SCNx64, &w.fd,
               &w.events, &w.data, &pos, &ino) != 5)
        return false;
    if (ino != inode || w.fd < 0)
        return false;
    *ret = w;
    return true;
}

static int read_watches(const struct agents *a, pid_t tid, int epoll_fd,
                        const struct wanted *wanted, struct agent_fds *ret)
{
    struct agent_watch marker = {.data = 0};
    unsigned first = ret->watch_count;
    char path[64];
    char line[LINE_CAP];
    FILE *file;
    int fd;

    (void)snprintf(path, sizeof(path), "%d/fdinfo/%d", tid, epoll_fd);
    fd = openat(a->proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    file = fdopen(fd, "r");
    if (file == NULL) {
        (void)close(fd);
        return -ENOMEM;
    }
    while (fgets(line, sizeof(line), file) != NULL && ret->watch_count < AGENT_WATCHES_MAX) {
        struct agent_watch *w = &ret->watch[ret->watch_count];

        if (agent_watch_parse(line, wanted->inode, w)) {
            w->epoll_fd = epoll_fd;
            ret->watch_count++;
        } else if (wanted->marker != 0) {
            (void)agent_watch_parse(line, wanted->marker, &marker); /* false: another file's */
        }
    }
    for (unsigned i = first; i < ret->watch_count; i++)
        ret->watch[i].mark = marker.data;
    (void)fclose(file);
    return 0;
}

/** What the number @name leads to: counted, or read when it is an epoll instance. */
static int look_at(const struct agents *a, pid_t tid, int dir_fd, const char *name,
                   const struct wanted *wanted, struct agent_fds *ret)
{
    static const char epoll_link[] = "anon_inode:[eventpoll]";
    char link[64];
    ssize_t len = readlinkat(dir_fd, name, link, sizeof(link) - 1);

    if (len < 0)
        return 0; /* closed meanwhile */
    link[len] = '\0';
    if (strcmp(link, wanted->link) == 0 && ret->count < AGENT_FDS_MAX)
        ret->fd[ret->count++] = (int)strtol(name, NULL, 10);
    if (strcmp(link, epoll_link) == 0)
        return read_watches(a, tid, (int)strtol(name, NULL, 10), wanted, ret);
    return 0;
}

int agent_fds_of(struct agents *a, pid_t tid, uint64_t inode, uint64_t marker,
                 struct agent_fds *ret)
{
    struct wanted wanted = {.inode = inode, .marker = marker};
    char path[64];
    struct dirent *entry;
    DIR *dir;
    int fd;
    int err = 0;

    ret->count = 0;
    ret->watch_count = 0;
    (void)snprintf(wanted.link, sizeof(wanted.link), "socket:[%" PRIu64 "]", inode);
    (void)snprintf(path, sizeof(path), "%d/fd", tid);
    fd = openat(a->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return -ENOMEM;
    }
    while (err == 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            err = look_at(a, tid, dirfd(dir), entry->d_name, &wanted, ret);
    }
    (void)closedir(dir);
    return err;
}

/* In other processes */

static int fd_of_process(struct agents *a, pid_t pid, uint64_t inode)
{
    struct agent_fds *fds = calloc(1, sizeof(*fds));
    uint64_t found;
    int fd = -ENOENT;
    int err;

    if (fds == NULL)
        return -ENOMEM;
    err = agent_fds_of(a, pid, inode, /*marker=*/0, fds);
    if (err == 0 && fds->count > 0) {
        fd = agent_get_fd(a, pid, fds->fd[0]);
        /* The number may be another descriptor's by now, or the process another one. */
        if (fd >= 0 && (inject_inode(fd, &found) < 0 || found != inode)) {
            (void)close(fd);
            fd = -ENOENT;
        }
    }
    free(fds);
    return fd;
}

int agent_fd_anywhere(struct agents *a, pid_t first, uint64_t inode)
{
    int fd = fd_of_process(a, first, inode);
    struct dirent *entry;
    DIR *dir;
    int dir_fd;

    if (fd >= 0 || fd == -EPERM || fd == -ENOMEM)
        return fd;
    dir_fd = openat(a->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    dir = fdopendir(dir_fd);
    if (dir == NULL) {
        (void)close(dir_fd);
        return -ENOMEM;
    }
    while (fd < 0 && (entry = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 0 && pid != getpid())
            fd = fd_of_process(a, pid, inode);
    }
    (void)closedir(dir);
    return fd >= 0 ? fd : -ENOENT;
}
