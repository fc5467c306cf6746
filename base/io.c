/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin wrappers over the file system calls. They never retry EAGAIN: whoever set O_NONBLOCK waits
 * in a loop, not here.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"

ssize_t io_read(int fd, void *ret, size_t cap)
{
    ssize_t got;

    do
        got = read(fd, ret, cap);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

ssize_t io_write(int fd, const void *data, size_t len)
{
    ssize_t put;

    do
        put = write(fd, data, len);
    while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : put;
}

int io_write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len > 0) {
        ssize_t put = io_write(fd, p, len);

        if (put < 0)
            return (int)put;
        p += put;
        len -= (size_t)put;
    }
    return 0;
}

int io_read_file(const char *path, struct buf *ret, struct why *why)
{
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return why_set(why, -errno, "cannot read %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return why_set(why, -EISDIR, "cannot read %s: it is a directory", path);
    for (;;) {
        uint8_t *room = buf_reserve(ret, 4096 < ret->max - ret->len ? 4096 : ret->max - ret->len);
        ssize_t got;

        if (room == NULL)
            return why_set(why, buf_error(ret), "cannot read %s: %s", path,
                           strerror(-buf_error(ret)));
        if (ret->len == ret->max) {
            char extra;

            got = io_read(fd, &extra, 1);
            if (got > 0)
                return why_set(why, -EMSGSIZE, "%s is larger than %zu bytes", path, ret->max);
        } else {
            got = io_read(fd, room, 4096 < ret->max - ret->len ? 4096 : ret->max - ret->len);
        }
        if (got < 0)
            return why_set(why, (int)got, "cannot read %s: %s", path, strerror((int)-got));
        if (got == 0)
            return 0;
        buf_commit(ret, (size_t)got);
    }
}

int io_set_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int io_fdinfo(int fd, const char *key, long *ret)
{
    char path[40], text[512];
    size_t key_len = strlen(key);
    auto_fd info = -1;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = open(path, O_RDONLY | O_CLOEXEC);
    n = info >= 0 ? io_read(info, text, sizeof(text) - 1) : -errno;
    if (n < 0)
        return (int)n;
    text[n] = '\0';
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, key_len) == 0) {
            *ret = strtol(line + key_len, NULL, 10);
            return 0;
        }
    }
    return -ENOENT;
}

int io_mkdirs(const char *path)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}
