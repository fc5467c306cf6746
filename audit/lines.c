/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded line reader over read(2). It never reads ahead more than a few lines, and keeps an
 * unfinished line until the rest arrives.
 */
#include "audit/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/io.h"
#include "base/own.h"

#define READ_SIZE (64u * 1024)

int lines_open(struct lines *l, const char *path, uint64_t offset, struct why *why)
{
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return why_set(why, -errno, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return why_set(why, -EINVAL, "cannot read %s: it is not a regular file", path);
    if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
        return why_set(why, -errno, "cannot read %s: %s", path, strerror(errno));
    *l = (struct lines){.fd = take_fd(&fd), .offset = offset};
    buf_init(&l->buf, AUDIT_LINE_MAX + READ_SIZE);
    return 0;
}

int lines_next(struct lines *l, struct bytes *ret)
{
    for (;;) {
        size_t rest = l->buf.len - l->at;
        const uint8_t *start = l->buf.data + l->at;
        const uint8_t *newline = rest > 0 ? memchr(start, '\n', rest) : NULL;
        uint8_t *room;
        ssize_t got;

        if (newline != NULL) {
            *ret = bytes_of(start, (size_t)(newline - start));
            l->at += ret->len + 1;
            l->offset += ret->len + 1;
            return ret->len < AUDIT_LINE_MAX ? 1 : -EMSGSIZE;
        }
        if (rest >= AUDIT_LINE_MAX)
            return -EMSGSIZE;
        buf_consume(&l->buf, l->at);
        l->at = 0;
        room = buf_reserve(&l->buf, READ_SIZE);
        if (room == NULL)
            return buf_error(&l->buf);
        got = io_read(l->fd, room, READ_SIZE);
        if (got <= 0)
            return (int)got;
        buf_commit(&l->buf, (size_t)got);
    }
}

size_t lines_rest(const struct lines *l)
{
    return l->buf.len - l->at;
}

void lines_seek(struct lines *l, uint64_t offset)
{
    /* An offset of ours always fits, and a regular file can be sought: the next read shows an
     * error. */
    (void)!lseek(l->fd, (off_t)offset, SEEK_SET);
    buf_reset(&l->buf);
    l->at = 0;
    l->offset = offset;
}

void lines_close(struct lines *l)
{
    own_close(&l->fd);
    buf_done(&l->buf);
}
