/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One child installs the agent's walls and filter and makes one trapped call, connect(2) with an
 * address in its memory. While it waits, the parent tries on it all that a supervisor does, and
 * ends with an answer that carries a descriptor. Things that need no listener are tried in children
 * of their own, so that nothing of them stays.
 */
#include "sandbox/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/landlock.h"
#include "base/own.h"
#include "sandbox/filter.h"
#include "sandbox/unix_diag.h"
#include "sandbox/spawn.h"
#include "sandbox/walls.h"

/* Newer than Debian 12's linux/seccomp.h and linux/pidfd.h. */
#define NOTIF_SET_FLAGS       SECCOMP_IOW(4, __u64)
#define NOTIF_FD_SYNC_WAKE_UP UINT64_C(1)
#define PIDFD_THREAD_FLAG     O_EXCL

#define FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* linux/seccomp.h of 5.19 */

#define CALL_WAIT_MS 5000 /* the child is on this machine and has nothing else to do */

/** Shared with the child. */
struct bench {
    int listener_fd; /* in our common descriptor table */
    int err;         /* filter_install() of the child */
    unsigned walls;
    struct why why;
    char sample[16]; /* what the child's call points to */
};

/** Run @fn in a child of its own; true when it returned 0. */
static bool succeeds_in_child(int (*fn)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(fn() == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static int try_user_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static int try_io_uring(void)
{
    struct io_uring_params params = {0};

    return syscall(SYS_io_uring_setup, 1, &params) < 0 ? -1 : 0;
}

/** The flag is looked at before the filter, of which there is none: nothing is installed. */
static bool knows_killable_wait(void)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV, NULL) < 0 &&
           errno == EFAULT;
}

static bool knows_unix_diag(void)
{
    struct unix_diag d;
    bool is_there;

    unix_diag_init(&d);
    is_there = d.fd >= 0;
    unix_diag_done(&d);
    return is_there;
}

/** The child: confine, say where the listener is, make the call, check what came back. */
__attribute__((noreturn)) static void child_main(struct bench *b, int ready_fd)
{
    struct filter_config config = {0};
    char byte = 0;
    long got;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* the parent waits for us a bounded time anyway */
    (void)prctl(PR_SET_DUMPABLE, 1);        /* as after an exec */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || walls_enter(NULL, 0, &b->walls) < 0)
        b->walls = 0;
    config.has_signal_scope = (b->walls & SPAWN_WALL_SCOPE_SIGNAL) != 0;
    b->err = filter_install(&config, &b->listener_fd, &b->why);
    if (write(ready_fd, &byte, 1) != 1 || b->err < 0)
        _exit(1);
    got = syscall(SYS_connect, -1, b->sample, sizeof(b->sample));
    _exit(got >= 0 && close((int)got) == 0 ? 0 : 2);
}

static bool try_process_vm(pid_t pid, struct bench *b)
{
    char copy[sizeof(b->sample)] = {0};
    struct iovec local = {.iov_base = copy, .iov_len = sizeof(copy)};
    struct iovec remote = {.iov_base = b->sample, .iov_len = sizeof(copy)};

    return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(copy) &&
           memcmp(copy, b->sample, sizeof(copy)) == 0 &&
           process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(copy);
}

static bool try_proc_mem(pid_t pid, struct bench *b)
{
    char path[32], copy[sizeof(b->sample)] = {0};
    off_t at = (off_t)(uintptr_t)b->sample;
    auto_fd fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    fd = open(path, O_RDWR | O_CLOEXEC);
    return fd >= 0 && pread(fd, copy, sizeof(copy), at) == (ssize_t)sizeof(copy) &&
           memcmp(copy, b->sample, sizeof(copy)) == 0 &&
           pwrite(fd, copy, sizeof(copy), at) == (ssize_t)sizeof(copy);
}

static bool try_pidfd_getfd(pid_t pid)
{
    auto_fd pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    auto_fd got = pidfd >= 0 ? (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0) : -1;

    return got >= 0;
}

static bool try_pidfd_thread(pid_t pid)
{
    auto_fd pidfd = (int)syscall(SYS_pidfd_open, pid, PIDFD_THREAD_FLAG);

    return pidfd >= 0;
}

/** Give the waiting call a descriptor as its result, in one step. */
static bool try_addfd_send(int listener, uint64_t id)
{
    auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct seccomp_notif_addfd give = {
        .id = id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)null};

    return null >= 0 && ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &give) >= 0;
}

static bool is_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, CALL_WAIT_MS) == 1;
}

/** Hear the child's call, try everything on it, answer. */
static void try_on_call(int listener, struct bench *b, struct probe *p)
{
    struct seccomp_notif call = {0};
    pid_t pid;

    p->has_sync_wake_up = ioctl(listener, NOTIF_SET_FLAGS, NOTIF_FD_SYNC_WAKE_UP) == 0;
    if (!is_readable(listener) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
        return;
    p->has_listener = call.data.nr == SYS_connect;
    pid = (pid_t)call.pid;
    p->has_process_vm = try_process_vm(pid, b);
    p->has_proc_mem = try_proc_mem(pid, b);
    p->has_pidfd_getfd = try_pidfd_getfd(pid);
    p->has_pidfd_thread = try_pidfd_thread(pid);
    p->has_addfd_send = try_addfd_send(listener, call.id);
}

/** Start the child with our descriptor table in common, so that its listener is ours as well. */
static int probe_call(struct bench *b, struct probe *p, struct why *why)
{
    int ready[2];
    pid_t pid;
    int status = 0;

    if (pipe2(ready, O_CLOEXEC) < 0)
        return why_set(why, -errno, "cannot make a pipe: %s", strerror(errno));
    pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0)
        child_main(b, ready[1]);
    if (pid > 0 && !is_readable(ready[0])) {
        (void)kill(pid, SIGKILL);
    } else if (pid > 0 && b->err == 0) {
        try_on_call(b->listener_fd, b, p);
        (void)close(b->listener_fd); /* a call that nobody answers now returns ENOSYS */
    }
    if (pid > 0 && waitpid(pid, &status, 0) == pid &&
        (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        p->has_addfd_send = false; /* the child did not see what we gave */
    (void)close(ready[0]);
    (void)close(ready[1]);
    if (pid < 0)
        return why_set(why, -errno, "cannot start a child: %s", strerror(errno));
    p->walls = b->walls;
    p->is_nested = b->err == -EBUSY;
    p->why = b->why;
    return 0;
}

int probe_kernel(struct probe *ret, struct why *why)
{
    struct probe p = {.landlock_abi = landlock_abi(), .yama_scope = walls_yama_scope()};
    struct bench *b =
        mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int err;

    if (b == MAP_FAILED)
        return why_set(why, -errno, "cannot share a page: %s", strerror(errno));
    (void)snprintf(b->sample, sizeof(b->sample), "a sample %d", (int)getpid());
    err = probe_call(b, &p, why);
    (void)munmap(b, sizeof(*b));
    if (err < 0)
        return err;
    if (p.yama_scope >= 1)
        p.walls |= SPAWN_WALL_YAMA;
    p.has_unix_diag = p.has_listener && knows_unix_diag();
    p.has_killable_wait = knows_killable_wait();
    p.has_user_namespace = succeeds_in_child(try_user_namespace);
    p.has_io_uring = succeeds_in_child(try_io_uring);
    *ret = p;
    return 0;
}
