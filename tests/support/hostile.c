/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile ATTACK [ARGUMENT…]: what a hostile agent tries, one attack a run; prints a line per
 * attempt, `route: ok` or `route: ERRNO-NAME`. Tests run it outside first, where it succeeds, then
 * inside.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"

extern char **environ;

static void say(const char *route, bool worked)
{
    printf("%s: %s\n", route, worked ? "ok" : strerrorname_np(errno));
    (void)fflush(stdout);
}

/* ---- against another process ---- */

struct victim {
    pid_t pid;
    uintptr_t at; /* of 8 readable and writable bytes in it */
};

static bool try_mem(const struct victim *v, int flags)
{
    char path[64], bytes[8];
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)v->pid);
    fd = open(path, flags | O_CLOEXEC);
    return fd >= 0 && pread(fd, bytes, sizeof(bytes), (off_t)v->at) == (ssize_t)sizeof(bytes) &&
           (flags == O_RDONLY ||
            pwrite(fd, bytes, sizeof(bytes), (off_t)v->at) == (ssize_t)sizeof(bytes));
}

static bool try_vm(const struct victim *v, bool writes)
{
    char bytes[8] = {0};
    struct iovec local = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct iovec remote = {.iov_base = (void *)v->at, .iov_len = sizeof(bytes)};

    if (writes)
        return process_vm_writev(v->pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(bytes);
    return process_vm_readv(v->pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(bytes);
}

static bool try_ptrace(const struct victim *v)
{
    return ptrace(PTRACE_SEIZE, v->pid, NULL, NULL) == 0 &&
           (ptrace(PTRACE_DETACH, v->pid, NULL, NULL) == 0 || errno == ESRCH);
}

static bool try_getfd(const struct victim *v)
{
    int pidfd = (int)syscall(SYS_pidfd_open, v->pid, 0);

    return pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0;
}

static bool try_read(const struct victim *v, const char *name)
{
    char path[64], byte;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)v->pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &byte, 1) >= 0;
}

static bool try_link(const struct victim *v, const char *name)
{
    char path[64], target[256];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)v->pid, name);
    return readlink(path, target, sizeof(target)) >= 0;
}

static bool try_pidfd_signal(const struct victim *v)
{
    char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d", (int)v->pid); /* a directory that is a pidfd */
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0;
}

static bool try_prlimit(const struct victim *v)
{
    struct rlimit limit;

    return prlimit(v->pid, RLIMIT_CORE, NULL, &limit) == 0 &&
           prlimit(v->pid, RLIMIT_CORE, &limit, NULL) == 0;
}

static bool try_affinity(const struct victim *v)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 &&
           sched_setaffinity(v->pid, sizeof(set), &set) == 0;
}

/** A signal of each kind that ends, stops or disturbs, by every call that sends one. */
static bool try_signals(const struct victim *v)
{
    siginfo_t info = {.si_code = SI_QUEUE, .si_signo = SIGCONT};
    bool worked = syscall(SYS_tkill, v->pid, SIGCONT) == 0;

    worked = syscall(SYS_rt_sigqueueinfo, v->pid, SIGCONT, &info) == 0 || worked;
    worked = syscall(SYS_rt_tgsigqueueinfo, v->pid, v->pid, SIGCONT, &info) == 0 || worked;
    worked = kill(-v->pid, SIGCONT) == 0 || worked;
    worked = syscall(SYS_kill, (long)v->pid | 1L << 32, SIGCONT) == 0 || worked;
    return worked;
}

/** Its share of the processor. */
static bool try_schedule(const struct victim *v)
{
    struct sched_param param = {.sched_priority = 0};
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t rest[5];
    } attr = {.size = 48};
    bool worked = sched_setscheduler(v->pid, SCHED_OTHER, &param) == 0;

    worked = sched_setparam(v->pid, &param) == 0 || worked;
    worked = syscall(SYS_sched_setattr, v->pid, &attr, 0) == 0 || worked;
    worked = setpriority(PRIO_PROCESS, (id_t)v->pid, 0) == 0 || worked;
    worked = syscall(SYS_ioprio_set, 1, v->pid, 2 << 13 | 4) == 0 || worked;
    return worked;
}

/** What it has mapped, and how it compares with us. */
static bool try_inspect(const struct victim *v)
{
    long page = (long)v->at & ~4095L;
    int node = 0, status = 0;
    void *pages = (void *)page;
    bool worked = syscall(SYS_kcmp, getpid(), v->pid, 0, 0, 0) >= 0;

    worked = syscall(SYS_move_pages, v->pid, 1UL, &pages, NULL, &status, 0) == 0 || worked;
    worked = syscall(SYS_migrate_pages, v->pid, 8UL, &node, &node) == 0 || worked;
    return worked || try_read(v, "maps") || try_read(v, "auxv") || try_read(v, "stack");
}

/** Stop, go on, end. */
static bool try_sigkill(const struct victim *v)
{
    bool worked = kill(v->pid, SIGSTOP) == 0;

    worked = kill(v->pid, SIGCONT) == 0 || worked;
    return kill(v->pid, SIGKILL) == 0 || worked;
}

static int attack_process(char **argv)
{
    struct victim v = {.pid = (pid_t)strtol(argv[0], NULL, 10),
                       .at = (uintptr_t)strtoull(argv[1], NULL, 16)};

    say("mem-read", try_mem(&v, O_RDONLY));
    say("mem-write", try_mem(&v, O_RDWR));
    say("vm-read", try_vm(&v, /*writes=*/false));
    say("vm-write", try_vm(&v, /*writes=*/true));
    say("ptrace", try_ptrace(&v));
    say("getfd", try_getfd(&v));
    say("environ", try_read(&v, "environ"));
    say("fd", try_link(&v, "fd/0"));
    say("root", try_link(&v, "root"));
    say("kill", kill(v.pid, 0) == 0);
    say("tgkill", syscall(SYS_tgkill, v.pid, v.pid, 0) == 0);
    say("pidfd-signal", try_pidfd_signal(&v));
    say("prlimit", try_prlimit(&v));
    say("affinity", try_affinity(&v));
    say("schedule", try_schedule(&v));
    say("inspect", try_inspect(&v));
    say("signals", try_signals(&v));
    say("sigkill", try_sigkill(&v));
    return 0;
}

/* ---- ways to become a process that is not watched ---- */

static int attack_socket(char **argv)
{
    (void)argv;
    say("socket", socket(AF_INET, SOCK_STREAM, 0) >= 0);
    return 0;
}

static char *const socket_argv[] = {(char *)(uintptr_t) "hostile", (char *)(uintptr_t) "socket",
                                    NULL};

static void wait_for(pid_t pid)
{
    int status;

    if (pid < 0)
        say("start", false);
    else
        (void)waitpid(pid, &status, 0);
}

static void by_memfd(void)
{
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = memfd_create("hostile", 0);
    char block[4096];
    ssize_t got;

    while ((got = read(from, block, sizeof(block))) > 0)
        if (write(to, block, (size_t)got) != got)
            break;
    (void)fexecve(to, socket_argv, environ);
    say("fexecve", false);
    _exit(1);
}

static void *in_thread_stack(void)
{
    size_t size = 1 << 16;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return stack + size;
}

static int child_socket(void *unused)
{
    (void)unused;
    return attack_socket(NULL);
}

static int attack_ways(char **argv)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t pid;

    (void)argv;
    pid = fork();
    if (pid == 0)
        _exit(attack_socket(NULL));
    wait_for(pid);
    pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        _exit(attack_socket(NULL));
    if (pid > 0)
        wait_for(pid);
    else
        say("clone3", false);
    wait_for(clone(child_socket, in_thread_stack(), CLONE_VM | SIGCHLD, NULL));
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, socket_argv, environ) == 0)
        wait_for(pid);
    pid = fork();
    if (pid == 0)
        by_memfd();
    wait_for(pid);
    return 0;
}

/* ---- other doors into the kernel ---- */

static int attack_families(char **argv)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
    unsigned made = 0;

    (void)argv;
    for (int family = 0; family < 64; family++)
        for (unsigned t = 0; t < ARRAY_COUNT(types) && family != AF_UNIX; t++)
            made += socket(family, types[t] | SOCK_CLOEXEC, 0) >= 0 ? 1 : 0;
    printf("families: %u\n", made);
    return 0;
}

static int attack_int80(char **argv)
{
#if defined(__x86_64__)
    /* i386: socketcall(SYS_SOCKET, args) is 102, socket 359; arguments must lie below 4 GiB. */
    uint32_t *args =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long got;

    (void)argv;
    args[0] = AF_INET;
    args[1] = SOCK_STREAM;
    __asm__ volatile("int $0x80"
                     : "=a"(got)
                     : "a"(102L), "b"(1L), "c"(args)
                     : "memory", "r8", "r9", "r10", "r11");
    errno = (int)-got;
    say("socketcall", (int)got >= 0);
    __asm__ volatile("int $0x80"
                     : "=a"(got)
                     : "a"(359L), "b"((long)AF_INET), "c"((long)SOCK_STREAM), "d"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    errno = (int)-got;
    say("socket32", (int)got >= 0);
#else
    (void)argv;
#endif
    return 0;
}

/** Push a byte into the input of the terminal @argv[0], made ours first. */
static int attack_terminal(char **argv)
{
    int fd;
    char c = 'x';

    (void)setsid(); /* fails when we lead a session already */
    fd = open(argv[0], O_RDWR | O_CLOEXEC);
    say("open", fd >= 0);
    say("ctty", ioctl(fd, TIOCSCTTY, 0) == 0);
    say("tiocsti", syscall(SYS_ioctl, fd, (unsigned long)TIOCSTI, &c) == 0);
    say("tiocsti-high", syscall(SYS_ioctl, fd, TIOCSTI | 0x100000000UL, &c) == 0);
    return 0;
}

static int attack_namespaces(char **argv)
{
    pid_t pid;

    (void)argv;
    say("unshare-net", unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0)
        _exit(0);
    say("clone-user", pid > 0);
    return 0;
}

/* ---- a crowd that will not go ---- */

static void daemonise_sleeper(void)
{
    if (fork() != 0)
        return;
    (void)setsid();
    if (fork() != 0)
        _exit(0);
    for (;;)
        (void)pause();
}

/** Daemons, and a churn of short-lived children, for ever; a byte to standard output when it runs.
 */
static int attack_crowd(char **argv)
{
    unsigned long daemons = strtoul(argv[0], NULL, 10);
    pid_t pid;

    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    for (unsigned long i = 0; i < daemons; i++)
        daemonise_sleeper();
    printf("crowd: ok\n");
    (void)fflush(stdout);
    for (;;) {
        pid = fork();
        if (pid == 0)
            _exit(0);
        (void)waitpid(pid, NULL, 0);
    }
}

/* ---- names that change under a path that is being walked ---- */

/** Exchange two names for ever, as fast as the kernel does it. */
static int attack_exchange(char **argv)
{
    printf("exchange: ok\n");
    (void)fflush(stdout);
    while (renameat2(AT_FDCWD, argv[0], AT_FDCWD, argv[1], RENAME_EXCHANGE) == 0)
        continue;
    say("exchange", false);
    return 1;
}

static const struct {
    const char *name;
    int (*run)(char **argv);
    int arguments;
} attacks[] = {
    {"process", attack_process, 2},
    {"socket", attack_socket, 0},
    {"ways", attack_ways, 0},
    {"families", attack_families, 0},
    {"int80", attack_int80, 0},
    {"terminal", attack_terminal, 1},
    {"namespaces", attack_namespaces, 0},
    {"crowd", attack_crowd, 1},
    {"exchange", attack_exchange, 2},
};

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < ARRAY_COUNT(attacks) && argc > 1; i++)
        if (strcmp(argv[1], attacks[i].name) == 0 && argc == attacks[i].arguments + 2)
            return attacks[i].run(argv + 2);
    (void)fprintf(stderr, "usage: hostile ATTACK [ARGUMENT...]\n");
    return 2;
}
