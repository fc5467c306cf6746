/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes the memory of the agent's threads and duplicates their descriptors. Everything
 * is bounded before it is copied, with the errno that the kernel gives for the same mistake.
 *
 * A cached pidfd cannot go stale silently: once its thread is gone, calls on it fail with ESRCH,
 * and it is opened anew.
 */
#include "sandbox/agent_mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "base/own.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* linux/pidfd.h of 6.9 */
#endif

#define PROC_PATH_CAP 64
#define FDINFO_CAP    512 /* what we want of it stands in its first lines */

/* Descriptors */

static int pidfd_open_of(pid_t pid, unsigned flags)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, flags);

    return fd < 0 ? -errno : fd;
}

static int pidfd_get(int pidfd, int fd)
{
    int r = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

    return r < 0 ? -errno : r;
}

static struct agent_slot *slot_of(struct agents *a, pid_t tid)
{
    struct agent_slot *s = &a->slots[(unsigned)tid % AGENT_CACHE_COUNT];

    if (s->tid == tid)
        return s;
    own_close(&s->pidfd);
    *s = (struct agent_slot){.tid = tid, .pidfd = -1};
    return s;
}

/** Read a line "@key:\tNUMBER" of /proc/TID/status. */
static int status_number(struct agents *a, pid_t tid, const char *key, long *ret)
{
    char path[PROC_PATH_CAP];
    char text[4096];
    const char *at;
    ssize_t len;
    auto_fd fd = -1;

    (void)snprintf(path, sizeof(path), "%d/status", tid);
    fd = openat(a->proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    len = io_read(fd, text, sizeof(text) - 1);
    if (len < 0)
        return (int)len;
    text[len] = '\0';
    at = strstr(text, key);
    if (at == NULL)
        return -ENOENT;
    *ret = strtol(at + strlen(key), NULL, 10);
    return 0;
}

pid_t agent_pid(struct agents *a, pid_t tid)
{
    struct agent_slot *s = slot_of(a, tid);
    long pid;

    if (s->pid != 0)
        return s->pid;
    if (status_number(a, tid, "\nTgid:\t", &pid) < 0 || pid <= 0)
        return tid;
    s->pid = (pid_t)pid;
    return s->pid;
}

static int slot_open(struct agents *a, struct agent_slot *s)
{
    own_close(&s->pidfd);
    s->pid = 0;
    if (a->has_thread_pidfd)
        s->pidfd = pidfd_open_of(s->tid, PIDFD_THREAD);
    else
        s->pidfd = pidfd_open_of(agent_pid(a, s->tid), 0);
    return s->pidfd < 0 ? s->pidfd : 0;
}

int agent_get_fd(struct agents *a, pid_t tid, int fd)
{
    struct agent_slot *s = slot_of(a, tid);
    int got;

    if (!a->can_get_fd)
        return -EPERM;
    if (s->pidfd >= 0) {
        got = pidfd_get(s->pidfd, fd);
        if (got != -ESRCH)
            return got;
    }
    got = slot_open(a, s);
    if (got < 0) {
        s->pidfd = -1;
        return got;
    }
    return pidfd_get(s->pidfd, fd);
}

/** The inode number in a link like `socket:[123]` of /proc/PID/fd. */
static int link_inode(int dir_fd, const char *path, uint64_t *ret)
{
    static const char kind[] = "socket:[";
    char link[PROC_PATH_CAP];
    ssize_t len = readlinkat(dir_fd, path, link, sizeof(link) - 1);

    if (len < 0)
        return -errno;
    link[len] = '\0';
    if (strncmp(link, kind, sizeof(kind) - 1) != 0)
        return -ENOTSOCK;
    *ret = strtoull(link + sizeof(kind) - 1, NULL, 10);
    return 0;
}

int agent_fd_inode(struct agents *a, pid_t tid, int fd, uint64_t *ret)
{
    char path[PROC_PATH_CAP];
    int err;

    if (fd < 0)
        return -EBADF;
    (void)snprintf(path, sizeof(path), "%d/fd/%d", tid, fd);
    err = link_inode(a->proc_fd, path, ret);
    return err == -ENOENT ? -EBADF : err;
}

/** What @key is followed by in the descriptor's fdinfo (proc(5)), in @ret; NULL: it is not there.
 */
static const char *read_fdinfo(const struct agents *a, pid_t tid, int fd, const char *key,
                               char ret[static FDINFO_CAP], int *ret_err)
{
    char path[PROC_PATH_CAP];
    const char *at;
    ssize_t n;
    auto_fd info = -1;

    (void)snprintf(path, sizeof(path), "%d/fdinfo/%d", tid, fd);
    info = openat(a->proc_fd, path, O_RDONLY | O_CLOEXEC);
    n = info >= 0 ? io_read(info, ret, FDINFO_CAP - 1) : -errno;
    *ret_err = n < 0 ? (int)n : -EINVAL;
    if (n < 0)
        return NULL;
    ret[n] = '\0';
    at = strstr(ret, key);
    return at != NULL ? at + strlen(key) : NULL;
}

int agent_fd_flags(struct agents *a, pid_t tid, int fd)
{
    char text[FDINFO_CAP];
    int err;
    const char *flags = read_fdinfo(a, tid, fd, "flags:", text, &err);

    return flags != NULL ? (int)strtoul(flags, NULL, 8) : err;
}

pid_t agent_fd_pidfd(struct agents *a, pid_t tid, int fd)
{
    char text[FDINFO_CAP];
    int err;
    const char *number = read_fdinfo(a, tid, fd, "\nPid:", text, &err); /* pidfd_open(2) */
    long pid = number != NULL ? strtol(number, NULL, 10) : 0;

    if (number == NULL)
        return -EBADF;
    if (pid < 0)
        return -ESRCH;
    return pid == 0 ? -EPERM : (pid_t)pid;
}

static DIR *open_directory(int at_fd, const char *path)
{
    int fd = openat(at_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL && fd >= 0)
        (void)close(fd);
    return dir;
}

/** Look at one table of descriptors. Returns how many there are in it. */
static unsigned survey_table(int at_fd, const char *path, pid_t tid, agent_seen *seen,
                             void *self_arg)
{
    DIR *dir = open_directory(at_fd, path);
    struct dirent *entry;
    unsigned count = 0;
    uint64_t inode;

    if (dir == NULL)
        return 0; /* another user's, or gone */
    while ((entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.';
        if (link_inode(dirfd(dir), entry->d_name, &inode) == 0)
            seen(self_arg, inode, tid, (int)strtol(entry->d_name, NULL, 10));
    }
    (void)closedir(dir);
    return count;
}

/** A process whose first thread has ended shows no descriptors; its other threads do. */
static void survey_process(int proc_fd, const char *pid, agent_seen *seen, void *self_arg)
{
    char path[PROC_PATH_CAP];
    struct dirent *entry;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%.16s/fd", pid);
    if (survey_table(proc_fd, path, (pid_t)strtol(pid, NULL, 10), seen, self_arg) > 0)
        return;
    (void)snprintf(path, sizeof(path), "%.16s/task", pid);
    dir = open_directory(proc_fd, path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, pid) == 0 || entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%.16s/fd", entry->d_name);
        if (survey_table(dirfd(dir), path, (pid_t)strtol(entry->d_name, NULL, 10), seen, self_arg) >
            0)
            break; /* threads have one table in common */
    }
    if (dir != NULL)
        (void)closedir(dir);
}

void agent_survey(struct agents *a, agent_seen *seen, void *self_arg)
{
    DIR *dir = open_directory(a->proc_fd, ".");
    struct dirent *entry;
    char own[16];

    if (dir == NULL)
        return;
    (void)snprintf(own, sizeof(own), "%d", getpid());
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strcmp(entry->d_name, own) != 0)
            survey_process(a->proc_fd, entry->d_name, seen, self_arg);
    }
    (void)closedir(dir);
}

bool agent_fd_carries(struct agents *a, pid_t tid, int fd)
{
    char text[FDINFO_CAP];
    int err;
    /* af_unix.c, unix_show_fdinfo() */
    const char *count = read_fdinfo(a, tid, fd, "scm_fds: ", text, &err);

    return count != NULL && strtoul(count, NULL, 10) > 0;
}

/* Memory */

/** One transfer through /proc/TID/mem: reads when @write is NULL. */
static ssize_t mem_transfer(struct agents *a, pid_t tid, uint64_t addr, void *ret,
                            const void *write, size_t len)
{
    char path[PROC_PATH_CAP];
    ssize_t done;
    auto_fd fd = -1;

    (void)snprintf(path, sizeof(path), "%d/mem", tid);
    fd = openat(a->proc_fd, path, (write != NULL ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    done = write != NULL ? pwrite(fd, write, len, (off_t)addr) : pread(fd, ret, len, (off_t)addr);
    if (done < 0)
        return errno == EIO ? -EFAULT : -errno;
    return done;
}

static ssize_t vm_transfer(struct agents *a, pid_t tid, const struct iovec *local,
                           const struct iovec *remote, size_t remote_count, bool is_write)
{
    ssize_t done;

    (void)a;
    done = is_write ? process_vm_writev(tid, local, 1, remote, remote_count, 0)
                    : process_vm_readv(tid, local, 1, remote, remote_count, 0);
    return done < 0 ? -errno : done;
}

static int read_some(struct agents *a, pid_t tid, uint64_t addr, void *ret, size_t len)
{
    struct iovec local = {.iov_base = ret, .iov_len = len};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = len}; /* the agent's */
    ssize_t done = a->can_vm ? vm_transfer(a, tid, &local, &remote, 1, /*is_write=*/false)
                             : mem_transfer(a, tid, addr, ret, NULL, len);

    if (done < 0)
        return (int)done;
    return (size_t)done == len ? 0 : -EFAULT;
}

static int write_some(struct agents *a, pid_t tid, uint64_t addr, const void *data, size_t len)
{
    struct iovec local = {.iov_base = (void *)(uintptr_t)data, .iov_len = len}; /* only read */
    struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = len};
    ssize_t done = a->can_vm ? vm_transfer(a, tid, &local, &remote, 1, /*is_write=*/true)
                             : mem_transfer(a, tid, addr, NULL, data, len);

    if (done < 0)
        return (int)done;
    return (size_t)done == len ? 0 : -EFAULT;
}

int agent_read(struct agents *a, pid_t tid, struct agent_ptr from, void *ret, size_t len)
{
    return len == 0 ? 0 : read_some(a, tid, from.addr, ret, len);
}

int agent_write(struct agents *a, pid_t tid, struct agent_ptr to, const void *data, size_t len)
{
    return len == 0 ? 0 : write_some(a, tid, to.addr, data, len);
}

int agent_write_pieces(struct agents *a, pid_t tid, const struct agent_piece *pieces,
                       unsigned count)
{
    struct iovec local[AGENT_PIECES_MAX];
    struct iovec remote[AGENT_PIECES_MAX];
    unsigned used = 0;
    size_t total = 0;
    ssize_t done;
    int err = 0;

    must(count <= AGENT_PIECES_MAX);
    if (!a->can_vm) {
        for (unsigned i = 0; i < count && err == 0; i++)
            err = agent_write(a, tid, pieces[i].to, pieces[i].data, pieces[i].len);
        return err;
    }
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].len == 0)
            continue;
        local[used] = (struct iovec){.iov_base = (void *)(uintptr_t)pieces[i].data, /* only read */
                                     .iov_len = pieces[i].len};
        remote[used++] = (struct iovec){.iov_base = (void *)(uintptr_t)pieces[i].to.addr,
                                        .iov_len = pieces[i].len}; /* the agent's */
        total += pieces[i].len;
    }
    if (used == 0)
        return 0;
    done = process_vm_writev(tid, local, used, remote, used, 0);
    if (done < 0)
        return -errno;
    return (size_t)done == total ? 0 : -EFAULT;
}

int agent_read_two(struct agents *a, pid_t tid, struct agent_ptr from_a, void *ret_a, size_t len_a,
                   const struct iovec *iov, size_t iov_count, void *ret_b, size_t len_b)
{
    const struct iovec local[2] = {{.iov_base = ret_a, .iov_len = len_a},
                                   {.iov_base = ret_b, .iov_len = len_b}};
    struct iovec remote[AGENT_PIECES_MAX] = {
        {.iov_base = (void *)(uintptr_t)from_a.addr, .iov_len = len_a}}; /* the agent's */
    unsigned used = 1;
    size_t left = len_b;
    ssize_t done;

    if (!a->can_vm || iov_count >= AGENT_PIECES_MAX)
        return -EOPNOTSUPP;
    for (size_t i = 0; i < iov_count && left > 0; i++) {
        size_t piece = iov[i].iov_len < left ? iov[i].iov_len : left;

        remote[used++] = (struct iovec){.iov_base = iov[i].iov_base, .iov_len = piece};
        left -= piece;
    }
    must(left == 0); /* the caller took @len_b from these pieces */
    done = process_vm_readv(tid, local, 2, remote, used, 0);
    if (done < 0)
        return -errno;
    return (size_t)done == len_a + len_b ? 0 : -EFAULT;
}

int agent_read_iov(struct agents *a, pid_t tid, struct agent_ptr vec, size_t count,
                   struct iovec *ret, size_t *ret_total)
{
    size_t total = 0;
    int err;

    if (count > AGENT_IOV_MAX)
        return -EMSGSIZE;
    err = agent_read(a, tid, vec, ret, count * sizeof(ret[0]));
    if (err < 0)
        return err;
    for (size_t i = 0; i < count; i++) {
        if ((ssize_t)ret[i].iov_len < 0)
            return -EINVAL;
        if (ret[i].iov_len > INT_MAX - total)
            ret[i].iov_len = INT_MAX - total; /* the kernel cuts the vector there, too */
        total += ret[i].iov_len;
    }
    *ret_total = total;
    return 0;
}

int agent_gather(struct agents *a, pid_t tid, const struct iovec *iov, size_t count, void *ret,
                 size_t len)
{
    size_t done = 0;

    for (size_t i = 0; i < count && done < len; i++) {
        size_t piece = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;
        int err = agent_read(a, tid, (struct agent_ptr){(uintptr_t)iov[i].iov_base},
                             (uint8_t *)ret + done, piece);

        if (err < 0)
            return err;
        done += piece;
    }
    return done == len ? 0 : -EFAULT;
}

int agent_scatter(struct agents *a, pid_t tid, const struct iovec *iov, size_t count,
                  const void *data, size_t len)
{
    size_t done = 0;

    for (size_t i = 0; i < count && done < len; i++) {
        size_t piece = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;
        int err = agent_write(a, tid, (struct agent_ptr){(uintptr_t)iov[i].iov_base},
                              (const uint8_t *)data + done, piece);

        if (err < 0)
            return err;
        done += piece;
    }
    return 0;
}

/* Who is it */

static int netns_of(struct agents *a, pid_t tid, struct stat *ret)
{
    char path[PROC_PATH_CAP];

    (void)snprintf(path, sizeof(path), "%d/ns/net", tid);
    return fstatat(a->proc_fd, path, ret, 0) < 0 ? -errno : 0;
}

bool agent_is_foreign(struct agents *a, pid_t tid)
{
    struct stat st;

    return netns_of(a, tid, &st) < 0 || st.st_dev != a->netns_dev || st.st_ino != a->netns_ino;
}

void agent_exe(struct agents *a, pid_t tid, char *ret, size_t cap)
{
    char path[PROC_PATH_CAP];
    ssize_t len;

    (void)snprintf(path, sizeof(path), "%d/exe", tid);
    len = readlinkat(a->proc_fd, path, ret, cap - 1);
    ret[len > 0 ? len : 0] = '\0';
}

/* Lifecycle */

/** Can @pid's memory be read? Its stack pointer is not known, so the attempt itself is the test: an
 * address that is not mapped gives EFAULT when reading is allowed. */
static bool memory_answers(struct agents *a, pid_t pid)
{
    uint8_t byte;
    int err = read_some(a, pid, 8, &byte, 1);

    return err == 0 || err == -EFAULT;
}

bool agent_vm_is_allowed(void)
{
    uint8_t from = 1, to = 0;
    struct iovec local = {.iov_base = &to, .iov_len = 1};
    struct iovec remote = {.iov_base = &from, .iov_len = 1};

    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 &&
           process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == 1;
}

int agents_init(struct agents *a, pid_t pid)
{
    struct stat st;
    int fd;

    *a = (struct agents){
        .can_get_fd = true, .can_vm = agent_vm_is_allowed(), .has_thread_pidfd = true};
    for (unsigned i = 0; i < AGENT_CACHE_COUNT; i++)
        a->slots[i].pidfd = -1;
    a->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (a->proc_fd < 0)
        return -errno;
    if (!memory_answers(a, pid))
        return -EPERM;
    fd = pidfd_open_of(pid, PIDFD_THREAD);
    a->has_thread_pidfd = fd >= 0;
    own_close(&fd);
    fd = agent_get_fd(a, pid, 0);
    a->can_get_fd = fd >= 0 || fd == -EBADF;
    own_close(&fd);
    if (netns_of(a, pid, &st) < 0)
        return -EPERM;
    a->netns_dev = st.st_dev;
    a->netns_ino = st.st_ino;
    return 0;
}

void agents_done(struct agents *a)
{
    for (unsigned i = 0; i < AGENT_CACHE_COUNT; i++)
        own_close(&a->slots[i].pidfd);
    own_close(&a->proc_fd);
}

void agents_forget_fds(struct agents *a)
{
    a->can_get_fd = false;
}
