/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidfd_send_signal(2), where the kernel does not keep signals inside (Landlock before ABI 6). What
 * a register names there is a descriptor, whose process the filter cannot know, so the call comes
 * here. It is never continued, for the descriptor could be exchanged until the kernel looks: the
 * supervisor takes a handle of its own on the process, judges that, and sends the signal by it.
 *
 * As with kill(2) on such kernels, only our own processes are out of reach. Differences from the
 * kernel: without a siginfo of the caller's own the receiver reads SI_QUEUE instead of SI_USER,
 * because the kernel lets nobody name another sender with that (its number and user are right), and
 * a signal to the calling thread itself interrupts this call as it may any trapped one
 * (docs/decisions/0051).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "sandbox/dispatch.h"

#define STATUS_CAP 1024 /* its first lines: proc_pid_status(5) */

/** As duplicating the agent's descriptor, where that is denied. */
static int open_anew(struct session *s, const struct trap *t, int agent_fd)
{
    int flags = agent_fd_flags(&s->agents, t->call.tid, agent_fd);
    char path[64];
    auto_fd fd = -1;
    pid_t pid;

    if (flags < 0 || (flags & O_PATH) != 0)
        return -EBADF;
    (void)snprintf(path, sizeof(path), "%d/fd/%d", t->call.tid, agent_fd);
    fd = openat(s->agents.proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        return take_fd(&fd);
    pid = agent_fd_pidfd(&s->agents, t->call.tid, agent_fd);
    if (pid < 0)
        return pid;
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == EINVAL ? -EPERM : -errno; /* EINVAL: a thread */
    /* It was not waited for until now, so the number that we opened was its own. */
    pid = agent_fd_pidfd(&s->agents, t->call.tid, agent_fd);
    return pid < 0 ? pid : take_fd(&fd);
}

/** The process whose or whose thread's "status" file this is. */
static pid_t read_process(int dir_fd, const char *path)
{
    static const char key[] = "\nTgid:\t";
    char text[STATUS_CAP];
    const char *at;
    ssize_t len;
    auto_fd fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -EBADF : -errno;
    len = io_read(fd, text, sizeof(text) - 1);
    if (len < 0)
        return (pid_t)len;
    text[len] = '\0';
    at = strstr(text, key);
    return at != NULL ? (pid_t)strtol(at + sizeof(key) - 1, NULL, 10) : -EBADF;
}

/** The process that our handle @fd stands for: a pidfd, or a directory /proc/PID. As long as the
 * process was not waited for the answer is right, and afterwards no signal can be sent. */
static pid_t process_of(struct session *s, int fd)
{
    struct stat st, proc;
    char path[64];
    pid_t pid;

    if (fstat(fd, &st) < 0 || fstat(s->agents.proc_fd, &proc) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode)) /* another /proc may count otherwise */
        return st.st_dev == proc.st_dev ? read_process(fd, "status") : -EBADF;
    pid = agent_fd_pidfd(&s->agents, getpid(), fd);
    if (pid < 0)
        return pid;
    (void)snprintf(path, sizeof(path), "%d/status", (int)pid);
    pid = read_process(s->agents.proc_fd, path);
    return pid == -EBADF ? -ESRCH : pid;
}

int64_t sys_pidfd_send_signal(struct session *s, struct trap *t)
{
    int agent_fd = (int)t->call.arg[0], number = (int)t->call.arg[1];
    bool has_info = t->call.arg[2] != 0;
    siginfo_t info = {.si_signo = number, .si_code = SI_QUEUE};
    auto_fd fd = -1;
    pid_t pid;
    int err;

    if ((unsigned)t->call.arg[3] != 0)
        return -EINVAL; /* flags are newer than kernels without a signal scope */
    fd = s->agents.can_get_fd ? agent_get_fd(&s->agents, t->call.tid, agent_fd)
                              : open_anew(s, t, agent_fd);
    if (fd < 0)
        return fd;
    pid = process_of(s, fd);
    if (pid <= 0)
        return pid < 0 ? pid : -EPERM;
    err = has_info ? trap_read(s, t, t->call.arg[2], &info, sizeof(info)) : 0;
    if (err < 0)
        return err;
    if (session_guards(s, pid))
        return -EPERM;
    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH; /* the descriptor may have been another process's */
    if (!has_info) {
        info.si_pid = agent_pid(&s->agents, t->call.tid);
        info.si_uid = getuid();
    }
    return syscall(SYS_pidfd_send_signal, fd, number, &info, 0) < 0 ? -errno : 0;
}
