/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks /proc for parent links (the `children` files are an optional kernel feature), kills what
 * descends from us, and repeats: a process forked during the walk is found by the next one. A walk
 * and its kills are far faster than fork(2), so this ends even against a fork bomb. It never
 * signals a process number without looking again, through a pidfd, that it is still ours.
 */
#include "sandbox/reaper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"

#define PIDS_MAX (1U << 22) /* the kernel's own limit of process numbers */

struct kin {
    pid_t pid;
    pid_t parent;
    bool is_ours;
};

struct walk {
    struct kin *all; /* owned */
    unsigned count;
    unsigned cap;
};

/** The parent of @pid: the second field behind the name in brackets, which may hold anything. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    const char *p;
    ssize_t got;
    auto_fd fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    got = read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    p = strrchr(text, ')');
    if (p == NULL || strlen(p) < 5)
        return -1;
    return (pid_t)strtol(p + 4, NULL, 10); /* ") S 123" */
}

static int walk_add(struct walk *w, pid_t pid, pid_t parent)
{
    if (w->count == w->cap) {
        unsigned cap = w->cap > 0 ? w->cap * 2 : 256;
        struct kin *grown = cap <= PIDS_MAX ? reallocarray(w->all, cap, sizeof(*grown)) : NULL;

        if (grown == NULL)
            return -ENOMEM;
        w->all = grown;
        w->cap = cap;
    }
    w->all[w->count++] = (struct kin){.pid = pid, .parent = parent};
    return 0;
}

static int walk_read(struct walk *w)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int err = 0;

    if (proc == NULL)
        return -errno;
    w->count = 0;
    while (err == 0 && (entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        pid_t parent = pid > 0 ? parent_of(pid) : -1;

        if (parent >= 0)
            err = walk_add(w, pid, parent);
    }
    (void)closedir(proc);
    return err;
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct kin *)a)->pid, y = ((const struct kin *)b)->pid;

    return x < y ? -1 : x > y;
}

static struct kin *walk_find(const struct walk *w, pid_t pid)
{
    struct kin key = {.pid = pid};

    return bsearch(&key, w->all, w->count, sizeof(key), by_pid);
}

/** Mark what descends from @root but not from @spare; returns how many. A child may have a smaller
 * number than its parent, so this repeats until nothing changes. */
static unsigned walk_mark(struct walk *w, pid_t root, pid_t spare)
{
    unsigned ours = 0;
    bool changed = true;

    qsort(w->all, w->count, sizeof(w->all[0]), by_pid);
    while (changed) {
        changed = false;
        for (unsigned i = 0; i < w->count; i++) {
            struct kin *k = &w->all[i];
            const struct kin *parent = k->parent == root ? NULL : walk_find(w, k->parent);

            if (k->is_ours || k->pid == spare || k->pid == root)
                continue;
            if (k->parent != root && (parent == NULL || !parent->is_ours))
                continue;
            k->is_ours = true;
            changed = true;
            ours++;
        }
    }
    return ours;
}

static void kill_one(const struct walk *w, const struct kin *k, pid_t root)
{
    auto_fd pidfd = (int)syscall(SYS_pidfd_open, k->pid, 0);
    pid_t parent = pidfd >= 0 ? parent_of(k->pid) : -1;
    const struct kin *now = walk_find(w, parent);

    if (parent != root && (now == NULL || !now->is_ours))
        return; /* gone, and the number is somebody else's; or moved, then the next walk sees it */
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0); /* ESRCH: it ended by itself */
}

/** Wait for one of our children to end: all were killed, so this returns. */
static void wait_for_child(const struct walk *w, pid_t root)
{
    for (unsigned i = 0; i < w->count; i++) {
        siginfo_t info;

        if (!w->all[i].is_ours || w->all[i].parent != root)
            continue;
        while (waitid(P_PID, (id_t)w->all[i].pid, &info, WEXITED) < 0 && errno == EINTR)
            continue;
        return;
    }
}

static void reap_ended(const struct walk *w, pid_t root)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->all[i].is_ours && w->all[i].parent == root)
            (void)waitpid(w->all[i].pid, NULL, WNOHANG); /* not yet ended: the next round */
}

/** A subreaper without a child has no descendant: then there is no need to walk. */
static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

int reaper_kill_descendants(pid_t spare)
{
    struct walk w = {0};
    pid_t root = getpid();
    int err = 0;

    while (has_children()) {
        err = walk_read(&w);
        if (err < 0 || walk_mark(&w, root, spare) == 0)
            break;
        for (unsigned i = 0; i < w.count; i++)
            if (w.all[i].is_ours)
                kill_one(&w, &w.all[i], root);
        wait_for_child(&w, root);
        reap_ended(&w, root);
    }
    free(w.all);
    return err;
}
