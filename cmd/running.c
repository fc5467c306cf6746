/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory is $XDG_RUNTIME_DIR/lattice, or /tmp/lattice-UID where there is none; it must be
 * this user's alone. A process is told from a later one with the same number by its start time.
 */
#include "cmd/running.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/own.h"

#define ENTRY_MAX 16384u

/** Field 22 behind the name in brackets, which may hold anything; 0: no such process. */
static uint64_t start_of(pid_t pid)
{
    char path[64], text[1024];
    char *at;
    ssize_t got;
    auto_fd fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : io_read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    at = strrchr(text, ')');
    if (at == NULL || strlen(at) < 4 || at[2] == 'Z')
        return 0;
    at += 3;
    for (unsigned field = 4; field < 22; field++)
        (void)strtoll(at, &at, 10);
    return strtoull(at, NULL, 10);
}

static int open_dir(struct why *why)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[RUNNING_PATH_CAP];
    struct stat st;
    int len = runtime != NULL && runtime[0] == '/'
                  ? snprintf(path, sizeof(path), "%s/lattice", runtime)
                  : snprintf(path, sizeof(path), "/tmp/lattice-%u", (unsigned)geteuid());
    int fd;

    if (len < 0 || (size_t)len >= sizeof(path))
        return why_set(why, -ENAMETOOLONG, "the runtime directory's name is too long");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return why_set(why, -errno, "cannot create %s: %s", path, strerror(errno));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int err = -errno;

        own_close(&fd);
        return why_set(why, err, "cannot open %s: %s", path, strerror(-err));
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        own_close(&fd);
        return why_set(why, -EPERM, "%s is not this user's alone", path);
    }
    return fd;
}

static void print_entry(const struct running *r, struct buf *to)
{
    char time[RFC3339_CAP];
    struct json_out j;

    wall_print(r->started_ns, time);
    json_out_init(&j, to);
    json_open_object(&j);
    json_put_i64(&j, "pid", r->pid);
    json_put_u64(&j, "startTicks", r->started_ticks);
    json_put_str(&j, "startedAt", time);
    json_put_str(&j, "name", r->name);
    json_put_str(&j, "traceId", r->trace_id);
    json_put_str(&j, "network", r->network);
    json_put_str(&j, "files", r->files);
    json_put_str(&j, "auditLog", r->audit_log);
    json_put_str(&j, "command", r->command);
    json_close_object(&j);
}

/** Clear away what others left: the entries of processes that are gone. Nothing is read: a start
 * must cost the same beside a thousand sandboxes. A number that belongs to another process by now
 * is found out by running_list(). */
static void sweep(int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 0 && pid <= INT32_MAX && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            (void)unlinkat(fd, entry->d_name, 0);
    }
    if (dir != NULL)
        (void)closedir(dir);
    else
        own_close(&own);
}

int running_note(struct running *r, struct why *why)
{
    auto_fd dir = -1;
    auto_fd fd = -1;
    struct buf text;
    char name[32];
    int err;

    dir = open_dir(why);
    if (dir < 0)
        return dir;
    sweep(dir);
    r->pid = getpid();
    r->started_ticks = start_of(r->pid);
    r->started_ns = wall_now_ns();
    (void)snprintf(name, sizeof(name), "%d.json", (int)r->pid);
    buf_init(&text, ENTRY_MAX);
    print_entry(r, &text);
    (void)unlinkat(dir, name, 0);
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    err = fd < 0 ? -errno : buf_error(&text);
    if (err == 0)
        err = io_write_all(fd, text.data, text.len);
    buf_done(&text);
    return err < 0 ? why_set(why, err, "the sandbox cannot be listed: %s", strerror(-err)) : 0;
}

static bool copy_text(const struct json *root, const char *key, char *ret, size_t cap)
{
    const char *text;

    if (json_read_str(json_get(root, key), &text) < 0 || strlen(text) >= cap)
        return false;
    (void)snprintf(ret, cap, "%s", text);
    return true;
}

static bool parse_entry(struct bytes text, struct running *ret)
{
    const struct json_limits limits = {.bytes = ENTRY_MAX};
    struct json_doc *doc = NULL;
    const char *time;
    int64_t pid;
    bool is_good;

    if (json_parse(text, &limits, &doc, NULL) < 0)
        return false;
    *ret = (struct running){0};
    is_good = json_read_i64(json_get(json_root(doc), "pid"), &pid) == 0 && pid > 0 &&
              pid <= INT32_MAX &&
              json_read_u64(json_get(json_root(doc), "startTicks"), &ret->started_ticks) == 0 &&
              json_read_str(json_get(json_root(doc), "startedAt"), &time) == 0 &&
              wall_parse(bytes_of_str(time), &ret->started_ns) == 0 &&
              copy_text(json_root(doc), "name", ret->name, sizeof(ret->name)) &&
              copy_text(json_root(doc), "traceId", ret->trace_id, sizeof(ret->trace_id)) &&
              copy_text(json_root(doc), "network", ret->network, sizeof(ret->network)) &&
              copy_text(json_root(doc), "files", ret->files, sizeof(ret->files)) &&
              copy_text(json_root(doc), "auditLog", ret->audit_log, sizeof(ret->audit_log)) &&
              copy_text(json_root(doc), "command", ret->command, sizeof(ret->command));
    ret->pid = is_good ? (pid_t)pid : 0;
    json_free(doc);
    return is_good;
}

/** Read an entry; one whose process is gone, or that makes no sense, is removed. */
static bool read_entry(int dir, const char *name, struct running *ret)
{
    auto_fd fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char text[ENTRY_MAX / 4];
    ssize_t got = fd < 0 ? -1 : io_read(fd, text, sizeof(text));

    if (got > 0 && parse_entry(bytes_of(text, (size_t)got), ret) &&
        start_of(ret->pid) == ret->started_ticks)
        return true;
    if (got > 0) /* an empty one is being written */
        (void)unlinkat(dir, name, 0);
    return false;
}

static int by_start(const void *a, const void *b)
{
    const struct running *x = a;
    const struct running *y = b;

    return x->started_ns < y->started_ns ? -1 : x->started_ns > y->started_ns;
}

int running_list(int (*each)(void *self, const struct running *r), void *self, struct why *why)
{
    int fd = open_dir(why);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct running *all = calloc(RUNNING_MAX, sizeof(*all));
    struct dirent *entry;
    unsigned count = 0;
    int err = fd < 0 ? fd : dir == NULL || all == NULL ? why_set(why, -ENOMEM, "out of memory") : 0;

    while (err == 0 && count < RUNNING_MAX && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            read_entry(dirfd(dir), entry->d_name, &all[count]))
            count++;
    if (count > 0)
        qsort(all, count, sizeof(*all), by_start);
    for (unsigned i = 0; err == 0 && i < count; i++)
        err = each(self, &all[i]);
    free(all);
    if (dir != NULL)
        (void)closedir(dir);
    else if (fd >= 0)
        (void)close(fd);
    return err;
}

int running_open(const struct running *r)
{
    auto_fd fd = (int)syscall(SYS_pidfd_open, r->pid, 0);

    /* Looked at after it was opened: the number belongs to the process that the descriptor names.
     */
    if (fd < 0 || start_of(r->pid) != r->started_ticks)
        return -ESRCH;
    return take_fd(&fd);
}
