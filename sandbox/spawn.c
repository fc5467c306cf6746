/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ends of one start: spawn_agent() in the supervisor, and agent_main() in the process that
 * becomes the agent. Between them stands guardian.c. The agent's stages, in the order of the calls:
 *
 *   1 die with the guardian        4 the filter, with its listener
 *   2 own session, namespaces      5 wait; close every descriptor but 0, 1, 2, in a table of its
 * own 3 no capability, no_new_privs, 6 wait for the supervisor's word then the Landlock domain 7
 * the caller's signals; exec
 *
 * A failure of any stage is fatal: nothing is ever started with a wall less than was possible.
 */
#include "sandbox/spawn.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/files.h"
#include "sandbox/filter.h"
#include "sandbox/guardian.h"
#include "sandbox/masks.h"
#include "sandbox/reaper.h"
#include "sandbox/walls.h"

#define EXIT_FAILED      125
#define EXIT_CANNOT_EXEC 126
#define EXIT_NOT_FOUND   127

/* ---- the agent, until it execs ---- */

__attribute__((noreturn)) static void agent_fail(struct spawn_shared *shared, const char *what,
                                                 int err)
{
    if (shared->err == 0) {
        shared->err = err;
        if (what != NULL)
            (void)why_set(&shared->why, err, "cannot confine the agent: %s: %s", what,
                          strerror(-err));
    }
    _exit(EXIT_FAILED);
}

/** Empty all capability sets; the bounding set where we may, but for CAP_NET_RAW: execve(2) fails
 * for a program whose file has capabilities beyond it, as Debian's ping has. With no_new_privs none
 * is gained by that, and no call that it would allow reaches the kernel. */
static int drop_capabilities(void)
{
    bool may_bound, had_raw;

    if (capng_get_caps_process() < 0)
        return -EPERM;
    may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) == 1;
    had_raw = capng_have_capability(CAPNG_BOUNDING_SET, CAP_NET_RAW) == 1;
    capng_clear(CAPNG_SELECT_BOTH);
    if (had_raw && capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, CAP_NET_RAW) < 0)
        return -EPERM;
    if (capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0)
        return -EPERM;
    if (capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
        return -EPERM;
    return 0;
}

/** May descriptors be duplicated out of a process (pidfd_getfd)? Not under Docker's profile. */
static bool may_get_fds(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int copy = pidfd >= 0 ? (int)syscall(SYS_pidfd_getfd, pidfd, pidfd, 0) : -1;

    if (copy >= 0)
        (void)close(copy);
    if (pidfd >= 0)
        (void)close(pidfd);
    return copy >= 0;
}

static void agent_confine(const struct guardian *g, pid_t guardian)
{
    const struct files_plan *files = g->config->files;
    struct spawn_shared *shared = g->shared;
    struct filter_config filter = {.guarded_pids = {g->supervisor, guardian}, .guarded_count = 2};
    int isolated =
        isolate_enter(g->config->isolation, &g->config->view, &shared->diag_fd, &shared->why);
    int err;

    if (g->config->guarded_pid > 0)
        filter.guarded_pids[filter.guarded_count++] = g->config->guarded_pid;
    if (isolated < 0) {
        shared->err = isolated;
        agent_fail(shared, NULL, isolated);
    }
    if (isolated > 0 && files != NULL) {
        err = masks_enter(files, &shared->why);
        if (err < 0) {
            shared->err = err;
            agent_fail(shared, NULL, err);
        }
    }
    err = drop_capabilities();
    if (err < 0)
        agent_fail(shared, "capabilities", err);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        agent_fail(shared, "no_new_privs", -errno);
    err = walls_enter(files != NULL ? files->rules : NULL, files != NULL ? files->count : 0,
                      &shared->walls);
    if (err < 0)
        agent_fail(shared, "Landlock", err);
    if (walls_yama_scope() >= 1)
        shared->walls |= SPAWN_WALL_YAMA;
    if (isolated > 0 && g->config->isolation != SANDBOX_ISOLATE_FILES)
        shared->walls |= SPAWN_WALL_NAMESPACES;
    if (isolated > 0 && files != NULL)
        shared->walls |= SPAWN_WALL_MASKS;
    filter.may_trace = (shared->walls & (SPAWN_WALL_LANDLOCK | SPAWN_WALL_YAMA)) != 0;
    filter.keeps_contents = files != NULL && landlock_abi() < 3;
    filter.has_signal_scope = (shared->walls & SPAWN_WALL_SCOPE_SIGNAL) != 0;
    filter.traps_births = !may_get_fds();
    err = filter_install(&filter, &shared->listener_fd, &shared->why);
    if (err < 0) {
        shared->err = err;
        agent_fail(shared, NULL, err);
    }
}

static void agent_restore_signals(const struct spawn_config *config)
{
    for (int n = 1; n < NSIG; n++)
        if (config->default_signals != NULL && sigismember(config->default_signals, n) == 1)
            (void)signal(n, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, config->signal_mask, NULL);
}

void agent_main(const struct guardian *g, pid_t guardian, int ready_fd)
{
    struct spawn_shared *shared = g->shared;
    char byte = 0;
    int err;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != guardian)
        agent_fail(shared, "the guardian is gone", -ESRCH);
    if (setsid() < 0)
        agent_fail(shared, "setsid", -errno);
    agent_confine(g, guardian);
    /* From here on, a call of traps.def would wait for a supervisor that waits for us. */
    spawn_state_raise(shared, SPAWN_STATE_LISTENING);
    if (write(ready_fd, &byte, 1) != 1)
        agent_fail(shared, "write", -errno);
    spawn_state_wait(shared, SPAWN_STATE_HANDED);
    if (close_range(3, ~0U, CLOSE_RANGE_UNSHARE) < 0)
        agent_fail(shared, "close_range", -errno);
    err = terminal_attach(g->terminal);
    if (err < 0)
        agent_fail(shared, "terminal", err);
    spawn_state_wait(shared, SPAWN_STATE_GO);
    agent_restore_signals(g->config);
    environ = (char **)(uintptr_t)g->config->envp;
    (void)execvp(g->config->argv[0], g->config->argv);
    shared->exec_errno = errno;
    _exit(shared->exec_errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC);
}

/* ---- the supervisor ---- */

/** A closed standard descriptor would be taken by the next open, and the agent would get that. */
static int stdio_fill(void)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (fd < 0)
            return -errno;
        if (fd > STDERR_FILENO)
            return close(fd) < 0 ? -errno : 0;
        if (fcntl(fd, F_SETFD, 0) < 0)
            return -errno;
    }
}

/** Refuse what would be a hole in the wall: a network socket, or a kernel object such as a
 * listener, a ring or a BPF program. */
static int stdio_check(int fd, struct why *why)
{
    static const char *const names[] = {"standard input", "standard output", "standard error"};
    char path[32], target[32];
    socklen_t len = sizeof(int);
    int domain = AF_UNIX;
    struct stat st;
    ssize_t got;

    if (fstat(fd, &st) < 0)
        return why_set(why, -errno, "cannot examine %s: %s", names[fd], strerror(errno));
    if (S_ISSOCK(st.st_mode)) {
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
            return why_set(why, -EPERM,
                           "%s is a network socket, which would be a way round the sandbox; give a "
                           "file, a pipe or a terminal instead",
                           names[fd]);
        return 0;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    got = readlink(path, target, sizeof(target) - 1);
    if (got < 0)
        return why_set(why, -errno, "cannot examine %s: %s", names[fd], strerror(errno));
    target[got] = '\0';
    if (strncmp(target, "anon_inode:", 11) == 0)
        return why_set(why, -EPERM,
                       "%s is a kernel object (%s); give a file, a pipe or a terminal "
                       "instead",
                       names[fd], target);
    return 0;
}

static int stdio_prepare(struct why *why)
{
    int err = stdio_fill();

    if (err < 0)
        return why_set(why, err, "cannot open /dev/null: %s", strerror(-err));
    for (int fd = 0; fd <= STDERR_FILENO && err == 0; fd++)
        err = stdio_check(fd, why);
    return err;
}

/** Wait for the guardian's first report, with the listener. */
static int receive_started(int fd, struct spawn_shared *shared, struct spawned *s, struct why *why)
{
    struct guardian_report r;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = &r, .iov_len = sizeof(r)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *cmsg;
    ssize_t got;

    do
        got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    cmsg = got == (ssize_t)sizeof(r) ? CMSG_FIRSTHDR(&msg) : NULL;
    if (cmsg == NULL || cmsg->cmsg_type != SCM_RIGHTS) {
        if (shared->err == 0)
            return why_set(why, -ECHILD, "the guardian ended before the agent could start");
        if (why != NULL)
            *why = shared->why;
        return shared->err;
    }
    memcpy(&s->notify_fd, CMSG_DATA(cmsg), sizeof(int));
    if (cmsg->cmsg_len >= CMSG_LEN(2 * sizeof(int)))
        memcpy(&s->diag_fd, CMSG_DATA(cmsg) + sizeof(int), sizeof(int));
    s->pid = r.value;
    s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    if (s->pidfd < 0)
        return why_set(why, -errno, "cannot watch the agent: %s", strerror(errno));
    s->walls = shared->walls;
    return 0;
}

static int start_guardian(const struct spawn_config *config, struct spawned *s, struct why *why)
{
    struct guardian g = {
        .config = config, .shared = s->shared, .terminal = &s->terminal, .supervisor = getpid()};
    int line[2];
    int err;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) < 0)
        return why_set(why, -errno, "cannot make a socket pair: %s", strerror(errno));
    s->event_fd = line[0];
    g.report_fd = line[1];
    s->guardian_pid = fork();
    if (s->guardian_pid == 0)
        guardian_main(&g);
    err = s->guardian_pid < 0 ? -errno : 0;
    (void)close(line[1]);
    if (err < 0)
        return why_set(why, err, "cannot start the guardian: %s", strerror(-err));
    s->guardian_pidfd = (int)syscall(SYS_pidfd_open, s->guardian_pid, 0);
    if (s->guardian_pidfd < 0)
        return why_set(why, -errno, "cannot watch the guardian: %s", strerror(errno));
    return receive_started(s->event_fd, s->shared, s, why);
}

static int check_yama(struct why *why)
{
    int scope = walls_yama_scope();

    if (scope >= 2)
        return why_set(why, -EPERM,
                       "kernel.yama.ptrace_scope is %d: the supervisor may not read the arguments "
                       "of the agent's calls; `sysctl kernel.yama.ptrace_scope=1` mends it%s",
                       scope, scope == 3 ? " after a reboot (3 cannot be lowered)" : "");
    return 0;
}

int spawn_agent(const struct spawn_config *config, struct spawned *ret, struct why *why)
{
    struct spawn_config c = *config;
    struct spawned s = {.pidfd = -1,
                        .notify_fd = -1,
                        .diag_fd = -1,
                        .event_fd = -1,
                        .guardian_pidfd = -1,
                        .spare_pid = config->spare_pid};
    sigset_t mask;
    int err = check_yama(why);

    must(c.argv != NULL && c.argv[0] != NULL && c.envp != NULL);
    if (err == 0)
        err = stdio_prepare(why);
    if (err < 0)
        return err;
    if (c.signal_mask == NULL) {
        (void)sigprocmask(SIG_SETMASK, NULL, &mask);
        c.signal_mask = &mask;
    }
    s.was_dumpable = prctl(PR_GET_DUMPABLE) == 1;
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return why_set(why, -errno, "cannot protect the supervisor: %s", strerror(errno));
    s.shared =
        mmap(NULL, sizeof(*s.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.shared == MAP_FAILED) {
        s.shared = NULL;
        err = why_set(why, -errno, "cannot share a page: %s", strerror(errno));
    } else {
        err = terminal_start(&s.terminal, why);
        if (err == 0)
            err = start_guardian(&c, &s, why);
    }
    if (err < 0) {
        spawn_done(&s);
        return err;
    }
    *ret = s;
    return 0;
}

void spawn_go(struct spawned *s)
{
    spawn_state_raise(s->shared, SPAWN_STATE_GO);
}

static void explain_exec(const struct spawn_shared *shared, struct why *why)
{
    int err = shared->exec_errno;

    if (shared->err != 0 && why != NULL)
        *why = shared->why;
    else if (err == ENOENT)
        (void)why_set(why, 0, "command not found");
    else if (err == EACCES && (shared->walls & SPAWN_WALL_FILES) != 0)
        (void)why_set(why, 0,
                      "cannot execute the command: %s; if it lies in a directory that "
                      "--files=workspace leaves closed, name that: --read DIR",
                      strerror(err));
    else if (err != 0)
        (void)why_set(why, 0, "cannot execute the command: %s", strerror(err));
}

static void guardian_lost(struct spawned *s, struct spawn_event *ret, struct why *why)
{
    spawn_kill_all(s);
    *ret = (struct spawn_event){.kind = SPAWN_ENDED, .status = EXIT_FAILED};
    (void)why_set(why, 0, "the guardian process was killed; the agent was ended");
}

int spawn_read_event(struct spawned *s, struct spawn_event *ret, struct why *why)
{
    struct guardian_report r;
    ssize_t got;

    do
        got = recv(s->event_fd, &r, sizeof(r), MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return -EAGAIN;
    if (why != NULL)
        why->text[0] = '\0';
    if (got != (ssize_t)sizeof(r)) {
        guardian_lost(s, ret, why);
        return 0;
    }
    if (r.kind == GUARDIAN_ENDED) {
        *ret = (struct spawn_event){.kind = SPAWN_ENDED,
                                    .status = WIFSIGNALED(r.value) ? 128 + WTERMSIG(r.value)
                                                                   : WEXITSTATUS(r.value)};
        explain_exec(s->shared, why);
        return 0;
    }
    *ret = (struct spawn_event){
        .kind = r.kind == GUARDIAN_STOPPED ? SPAWN_STOPPED : SPAWN_CONTINUED, .status = r.value};
    return 0;
}

int spawn_signal(const struct spawned *s, int signal)
{
    return syscall(SYS_pidfd_send_signal, s->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

void spawn_kill_all(struct spawned *s)
{
    (void)reaper_kill_descendants(s->spare_pid); /* the guardian is one of them */
}

static void close_and_forget(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void spawn_done(struct spawned *s)
{
    int status = 0;

    if (s == NULL || s->shared == NULL)
        return;
    close_and_forget(&s->event_fd); /* the guardian now ends the agent, and itself */
    while (s->guardian_pid > 0 && waitpid(s->guardian_pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (s->guardian_pid > 0 && WIFSIGNALED(status))
        spawn_kill_all(s); /* it could not do its work */
    terminal_done(&s->terminal);
    close_and_forget(&s->notify_fd);
    close_and_forget(&s->diag_fd);
    close_and_forget(&s->pidfd);
    close_and_forget(&s->guardian_pidfd);
    (void)munmap(s->shared, sizeof(*s->shared));
    if (s->was_dumpable)
        (void)prctl(PR_SET_DUMPABLE, 1);
    *s = (struct spawned){
        .pidfd = -1, .notify_fd = -1, .diag_fd = -1, .event_fd = -1, .guardian_pidfd = -1};
}
