/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends batches of sealed lines to the log. Under the lock, the file always ends at a whole line:
 * a torn end that a crash left is cut off before the first append, and a failed append is undone.
 * It never rewrites a whole line, never follows a link in the last component of its path, nor one
 * that a program in the sandbox may have put on the way to it.
 */
#include "audit/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/own.h"
#include "base/safe_dir.h"

/* The shortest line (kind and time) more than doubles when chain, seq and hash are added. */
#define HEAD_MAX   512u /* bytes of a head file */
#define SEALED_MAX (LOGFILE_BATCH_MAX * 4)

static ssize_t system_write(void *self, int fd, const void *data, size_t len)
{
    (void)self;
    return io_write(fd, data, len);
}

static int system_sync(void *self, int fd)
{
    (void)self;
    return fdatasync(fd) < 0 ? -errno : 0;
}

struct file_calls file_calls_system(void)
{
    return (struct file_calls){.write = system_write, .sync = system_sync};
}

static int refuse_foreign(int fd, const char *path, struct why *why)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return why_set(why, -errno, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return why_set(why, -EINVAL, "%s is not a regular file; the audit log must be one", path);
    if (st.st_uid != geteuid())
        return why_set(why, -EPERM, "%s belongs to another user; choose another --audit-log", path);
    if (st.st_nlink != 1)
        return why_set(why, -EPERM, "%s has other names (hard links); the audit log must have one",
                       path);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return why_set(why, -EPERM, "others may write to %s; run: chmod 600 %s", path, path);
    return 0;
}

/** @path is for messages: what is opened is @name in @dir_fd. */
static int open_own(int dir_fd, const char *name, const char *path, int flags, struct why *why)
{
    auto_fd fd = openat(dir_fd, name,
                        flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    int err;

    if (fd < 0 && errno == ELOOP)
        return why_set(why, -ELOOP, "%s is a symbolic link; the audit log does not follow links",
                       path);
    if (fd < 0)
        return why_set(why, -errno, "cannot open the audit log %s: %s", path, strerror(errno));
    err = refuse_foreign(fd, path, why);
    return err < 0 ? err : take_fd(&fd);
}

static int open_head(int dir_fd, const char *name, const char *path, struct why *why)
{
    char head_name[NAME_MAX + 1];

    if ((size_t)snprintf(head_name, sizeof(head_name), "%s.head", name) >= sizeof(head_name))
        return why_set(why, -ENAMETOOLONG, "the name of the audit log is too long");
    return open_own(dir_fd, head_name, path, O_RDWR, why);
}

void logfile_close(struct logfile *f)
{
    own_close(&f->fd);
    own_close(&f->head_fd);
    own_close(&f->dir_fd);
    buf_done(&f->sealed);
}

int logfile_open(struct logfile *f, const char *path, uint64_t chain_number, struct why *why)
{
    const char *name;
    int err;

    *f = (struct logfile){.fd = -1, .head_fd = -1, .dir_fd = -1, .calls = file_calls_system()};
    chain_init(&f->chain, chain_number);
    buf_init(&f->sealed, SEALED_MAX);
    err = safe_dir_open(path, &f->dir_fd, &name, why);
    if (err == 0)
        err = f->fd = open_own(f->dir_fd, name, path, O_RDWR | O_APPEND, why);
    if (err >= 0)
        err = f->head_fd = open_head(f->dir_fd, name, path, why);
    if (err < 0) {
        logfile_close(f);
        return err;
    }
    return 0;
}

/** Offset just behind the last newline before @end, 0 when there is none; -EINVAL when a line would
 * be longer than ours are. */
static int find_line_start(int fd, off_t end, off_t *ret)
{
    uint8_t chunk[4096];
    off_t at = end;

    while (at > 0 && end - at <= (off_t)AUDIT_LINE_MAX) {
        size_t len = at < (off_t)sizeof(chunk) ? (size_t)at : sizeof(chunk);
        ssize_t got = pread(fd, chunk, len, at - (off_t)len);
        const uint8_t *newline;

        if (got != (ssize_t)len)
            return got < 0 ? -errno : -EIO;
        newline = memrchr(chunk, '\n', len);
        if (newline != NULL) {
            *ret = at - (off_t)len + (newline - chunk) + 1;
            return 0;
        }
        at -= (off_t)len;
    }
    if (at > 0)
        return -EINVAL;
    *ret = 0;
    return 0;
}

/** Cut off what a crash left behind the last whole line. @ret_size: the file's size afterwards. */
static int cut_torn_end(int fd, off_t *ret_size)
{
    off_t size = lseek(fd, 0, SEEK_END);
    off_t end;
    char last;
    int err;

    if (size < 0)
        return -errno;
    *ret_size = size;
    if (size == 0)
        return 0;
    if (pread(fd, &last, 1, size - 1) != 1)
        return -EIO;
    if (last == '\n')
        return 0;
    err = find_line_start(fd, size, &end);
    if (err < 0)
        return err;
    if (ftruncate(fd, end) < 0)
        return -errno;
    *ret_size = end;
    return 0;
}

/** Read the line that ends (with its newline) at @end into f->sealed. @ret_start: where it begins.
 */
static int read_line_before(struct logfile *f, off_t end, off_t *ret_start, struct bytes *ret)
{
    uint8_t *line;
    off_t start = 0;
    size_t len;
    int err = find_line_start(f->fd, end - 1, &start);

    if (err < 0)
        return err;
    len = (size_t)(end - 1 - start);
    buf_reset(&f->sealed);
    line = buf_reserve(&f->sealed, len + 1);
    if (line == NULL)
        return buf_error(&f->sealed);
    if (pread(f->fd, line, len, start) != (ssize_t)len)
        return -EIO;
    *ret_start = start;
    *ret = bytes_of(line, len);
    return 0;
}

/** The hash of the last of @size bytes' lines; zero for an empty file, or for a last line that is
 * not ours (verification reports that line). */
static int read_last_hash(struct logfile *f, off_t size, uint8_t ret[static HASH_LEN])
{
    struct chain_seal seal;
    struct bytes line;
    off_t start;
    int err;

    memset(ret, 0, HASH_LEN);
    if (size == 0)
        return 0;
    err = read_line_before(f, size, &start, &line);
    if (err < 0)
        return err == -EINVAL ? 0 : err;
    if (chain_read(line, &seal) == 0)
        memcpy(ret, seal.hash, HASH_LEN);
    return 0;
}

static int resume_locked(struct logfile *f, bool *ret_stopped)
{
    static const char stop[] = "{\"kind\":\"stop\"";
    struct chain_seal seal;
    struct bytes line;
    off_t end = 0;
    int err = cut_torn_end(f->fd, &end);

    *ret_stopped = false;
    while (err == 0 && end > 0) {
        err = read_line_before(f, end, &end, &line);
        if (err < 0 || chain_read(line, &seal) < 0 || strcmp(seal.id, f->chain.id) != 0)
            continue;
        f->chain.seq = seal.seq;
        memcpy(f->chain.head, seal.hash, HASH_LEN);
        *ret_stopped = line.len > sizeof(stop) && memcmp(line.data, stop, sizeof(stop) - 1) == 0;
        return 0;
    }
    return err;
}

static int seal_lines(struct logfile *f, struct bytes lines, const uint8_t after[static HASH_LEN],
                      struct chain *chain)
{
    size_t at = 0;

    buf_reset(&f->sealed);
    while (at < lines.len) {
        const uint8_t *newline = memchr(lines.data + at, '\n', lines.len - at);
        size_t from = f->sealed.len;
        int err;

        must(newline != NULL);
        buf_add(&f->sealed, lines.data + at, (size_t)(newline - lines.data) - at);
        err = chain_seal(chain, after, from, &f->sealed);
        if (err < 0)
            return err;
        at = (size_t)(newline - lines.data) + 1;
    }
    return 0;
}

static int write_whole(struct logfile *f)
{
    off_t before = lseek(f->fd, 0, SEEK_END);
    size_t at = 0;

    if (before < 0)
        return -errno;
    while (at < f->sealed.len) {
        ssize_t put = f->calls.write(f->calls.self, f->fd, f->sealed.data + at, f->sealed.len - at);

        if (put <= 0) {
            if (at > 0 && ftruncate(f->fd, before) < 0)
                return -errno; /* the torn end is cut off before the next append */
            return put < 0 ? (int)put : -EIO;
        }
        at += (size_t)put;
    }
    return 0;
}

/** The head file has one line of constant length, so that it is overwritten in place by one write.
 * It may lag behind the log by a crash; it is never ahead of it. */
static void write_head(const struct logfile *f)
{
    char hex[HASH_HEX_LEN + 1];
    char time[RFC3339_CAP];
    char line[256];
    int len;

    hash_hex(f->chain.head, hex);
    wall_print(wall_now_ns(), time);
    len = snprintf(line, sizeof(line),
                   "{\"chain\":\"%s\",\"seq\":%20" PRIu64 ",\"hash\":\"%s\",\"time\":\"%s\"}\n",
                   f->chain.id, f->chain.seq, hex, time);
    /* A full disk shows in the log itself; the head is a witness, not a record. */
    (void)!pwrite(f->head_fd, line, (size_t)len, 0);
}

static int parse_head(struct bytes line, struct chain *ret)
{
    const struct json_limits limits = {.bytes = HEAD_MAX};
    struct json_doc *doc = NULL;
    struct chain c = {0};
    const char *id;
    const char *hash;
    int err = json_parse(line, &limits, &doc, NULL);

    if (err < 0)
        return -EBADMSG;
    if (json_read_str(json_get(json_root(doc), "chain"), &id) == 0 && strlen(id) == CHAIN_ID_LEN &&
        json_read_str(json_get(json_root(doc), "hash"), &hash) == 0 &&
        hash_parse(bytes_of_str(hash), c.head) == 0 &&
        json_read_u64(json_get(json_root(doc), "seq"), &c.seq) == 0) {
        memcpy(c.id, id, CHAIN_ID_LEN);
        *ret = c;
    } else {
        err = -EBADMSG;
    }
    json_free(doc);
    return err;
}

int logfile_read_head(const char *path, struct chain *ret)
{
    char head_path[PATH_MAX];
    struct buf text;
    int err;

    if ((size_t)snprintf(head_path, sizeof(head_path), "%s.head", path) >= sizeof(head_path))
        return -ENOENT; /* a log with such a name has none */
    buf_init(&text, HEAD_MAX);
    err = io_read_file(head_path, &text, NULL);
    if (err == 0 && text.len == 0)
        err = -ENOENT;
    if (err == 0)
        err = parse_head(buf_bytes(&text), ret);
    buf_done(&text);
    return err;
}

static int append_locked(struct logfile *f, struct bytes lines)
{
    struct chain chain = f->chain;
    uint8_t after[HASH_LEN] = {0};
    off_t size = 0;
    int err = cut_torn_end(f->fd, &size);

    if (err == 0 && chain.seq == 0)
        err = read_last_hash(f, size, after);
    if (err < 0)
        return err;
    err = seal_lines(f, lines, after, &chain);
    if (err < 0)
        return err;
    err = write_whole(f);
    if (err < 0)
        return err;
    f->chain = chain;
    f->is_dirty = true;
    write_head(f);
    return 0;
}

static int lock(struct logfile *f)
{
    while (flock(f->fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int logfile_resume(struct logfile *f, bool *ret_stopped)
{
    int err = lock(f);

    if (err < 0)
        return err;
    err = resume_locked(f, ret_stopped);
    (void)flock(f->fd, LOCK_UN); /* cannot fail for a lock that we hold */
    return err;
}

int logfile_append(struct logfile *f, struct bytes lines, struct bytes *ret)
{
    int err;

    must(lines.len <= LOGFILE_BATCH_MAX);
    if (lines.len == 0) {
        *ret = bytes_of(NULL, 0);
        return 0;
    }
    err = lock(f);
    if (err < 0)
        return err;
    err = append_locked(f, lines);
    (void)flock(f->fd, LOCK_UN); /* cannot fail for a lock that we hold */
    if (err == 0)
        *ret = buf_bytes(&f->sealed);
    return err;
}

int logfile_sync(struct logfile *f)
{
    int err;

    if (!f->is_dirty)
        return 0;
    err = f->calls.sync(f->calls.self, f->fd);
    if (err == 0)
        f->is_dirty = false;
    return err;
}
