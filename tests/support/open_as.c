/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_as PID FILE: what does the running process PID get when it opens FILE for writing? It is
 * stopped in the call in which it waits, made to call openat(2) by its own instruction, and let go
 * with its registers as they were. Prints "opened" or the errno's name. Exit status 77: no way in
 * (not root, or another machine than x86-64).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#define CANNOT   77
#define RED_ZONE 128u
#define PATH_CAP 256u

#ifdef __x86_64__

static int failed(const char *what)
{
    (void)fprintf(stderr, "open_as: %s: %s\n", what, strerror(errno));
    return EXIT_FAILURE;
}

/** Let the stopped process make one call. Returns what the kernel answered it. */
static int64_t call_in(pid_t pid, const struct user_regs_struct *stopped, uint64_t nr, uint64_t a,
                       uint64_t b, uint64_t c)
{
    struct user_regs_struct regs = *stopped;
    int status;

    regs.rip -= 2; /* the instruction `syscall` that it waits in */
    regs.rax = nr;
    regs.orig_rax = UINT64_MAX; /* nothing to restart */
    regs.rdi = a;
    regs.rsi = b;
    regs.rdx = c;
    if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0 ||
        ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid ||
        !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
        exit(failed("a step of the process"));
    return (int64_t)regs.rax;
}

/** With the process stopped: have @file opened, print the answer. */
static int try_open(pid_t pid, const char *file)
{
    struct user_regs_struct regs;
    char path[PATH_CAP] = {0};
    struct iovec local = {.iov_base = path, .iov_len = sizeof(path)};
    struct iovec remote = {.iov_len = sizeof(path)};
    int64_t fd;
    long word;

    if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
        return failed("registers");
    errno = 0;
    word = ptrace(PTRACE_PEEKTEXT, pid, (void *)(uintptr_t)(regs.rip - 2), NULL); /* the agent's */
    if (errno != 0 || (word & 0xffff) != 0x050f) {
        (void)fprintf(stderr, "open_as: %d does not wait in a system call\n", (int)pid);
        return EXIT_FAILURE;
    }
    (void)snprintf(path, sizeof(path), "%s", file);
    remote.iov_base = (void *)(uintptr_t)(regs.rsp - RED_ZONE - PATH_CAP);
    if (process_vm_writev(pid, &local, 1, &remote, 1, 0) != (ssize_t)sizeof(path))
        return failed("its memory");
    fd = call_in(pid, &regs, SYS_openat, (uint64_t)AT_FDCWD, (uintptr_t)remote.iov_base, O_WRONLY);
    if (fd >= 0)
        (void)call_in(pid, &regs, SYS_close, (uint64_t)fd, 0, 0);
    (void)puts(fd >= 0 ? "opened" : strerrorname_np((int)-fd));
    return ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0 ? failed("registers") : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    pid_t pid = argc == 3 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
    int status;
    int r;

    if (pid <= 0) {
        (void)fprintf(stderr, "usage: open_as PID FILE\n");
        return EXIT_FAILURE;
    }
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0) {
        r = failed("trace");
        return errno == EPERM ? CANNOT : r;
    }
    if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid ||
        !WIFSTOPPED(status))
        return failed("stop");
    r = try_open(pid, argv[2]);
    (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return r;
}

#else

int main(void)
{
    return CANNOT;
}

#endif
