/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages, in the order of the calls:
 *
 *   1 own session, every signal blocked: no key on a terminal and no process group reaches us
 *   2 no descriptor but 0, 1, 2 and the line to the supervisor
 *   3 adopt orphans; hold a pidfd of the supervisor
 *   4 start the agent with a descriptor table in common, so that the listener that it creates is
 *     ours without a message (a message would be trapped by the very filter)
 *   5 hand the listener to the supervisor, and keep no copy
 *   6 jail ourselves: what is left to do is to look at /proc, signal, wait and report
 *   7 watch: agent ended → end the rest, report; supervisor gone → end all
 *
 * It refuses to do anything else: there are no commands to it. Closing the line is the only word.
 */
#include "sandbox/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/selfjail.h"
#include "sandbox/reaper.h"

#define REPORT_FD 3 /* where the line to the supervisor is moved to */

void spawn_state_wait(struct spawn_shared *shared, enum spawn_state wanted)
{
    uint32_t now;

    while ((now = atomic_load(&shared->state)) < (uint32_t)wanted)
        (void)syscall(SYS_futex, &shared->state, FUTEX_WAIT, now, NULL, NULL, 0); /* re-checked */
}

void spawn_state_raise(struct spawn_shared *shared, enum spawn_state state)
{
    uint32_t now = atomic_load(&shared->state);

    /* The supervisor may say "go" before the guardian comes to say "handed": never go back. */
    while (now < (uint32_t)state &&
           !atomic_compare_exchange_weak(&shared->state, &now, (uint32_t)state))
        continue;
    (void)syscall(SYS_futex, &shared->state, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

__attribute__((noreturn)) static void fail(const struct guardian *g, const char *what, int err)
{
    (void)reaper_kill_descendants(0); /* /proc unreadable: the agent dies with us (PDEATHSIG) */
    if (g->shared->err == 0)
        g->shared->err = why_set(&g->shared->why, err, "cannot start the guardian: %s: %s", what,
                                 strerror(-err));
    _exit(1);
}

static void report(enum guardian_news kind, int value)
{
    struct guardian_report r = {.kind = kind, .value = value};

    /* A supervisor that is gone is noticed by poll(). */
    (void)send(REPORT_FD, &r, sizeof(r), MSG_NOSIGNAL);
}

/** @fds: the listener, and perhaps the sock_diag socket of the agent's network namespace. */
static int report_started(pid_t agent, const int *fds, unsigned count)
{
    struct guardian_report r = {.kind = GUARDIAN_STARTED, .value = agent};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = &r, .iov_len = sizeof(r)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
    return sendmsg(REPORT_FD, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof(r) ? 0 : -errno;
}

/** Stages 1 to 3. Returns the supervisor's pidfd. */
static int settle(const struct guardian *g)
{
    sigset_t all;
    int pidfd;

    (void)prctl(PR_SET_NAME, "lattice-guard");
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)setsid(); /* fails only for a group leader, which a fresh child is not */
    if (dup3(g->report_fd, REPORT_FD, O_CLOEXEC) < 0 && errno != EINVAL)
        fail(g, "dup3", -errno);
    if (close_range(REPORT_FD + 1, ~0U, 0) < 0)
        fail(g, "close_range", -errno);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        fail(g, "prctl", -errno);
    pidfd = (int)syscall(SYS_pidfd_open, g->supervisor, 0);
    if (pidfd < 0 || getppid() != g->supervisor)
        fail(g, "the supervisor is gone", -ESRCH);
    return pidfd;
}

static bool is_ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

/** Stages 4 and 5. */
static pid_t start_agent(const struct guardian *g, int supervisor_pidfd)
{
    pid_t self = getpid();
    int ready[2], agent_pidfd, given[2];
    pid_t agent;

    if (pipe2(ready, O_CLOEXEC) < 0)
        fail(g, "pipe2", -errno);
    agent = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
    if (agent < 0)
        fail(g, "clone", -errno);
    if (agent == 0)
        agent_main(g, self, ready[1]);
    agent_pidfd = (int)syscall(SYS_pidfd_open, agent, 0);
    if (agent_pidfd < 0)
        fail(g, "pidfd_open", -errno);
    while (!is_ready(ready[0])) {
        struct pollfd p[] = {{.fd = ready[0], .events = POLLIN},
                             {.fd = agent_pidfd, .events = POLLIN},
                             {.fd = supervisor_pidfd, .events = POLLIN}};

        if (poll(p, ARRAY_COUNT(p), -1) < 0)
            fail(g, "poll", -errno);
        if (p[2].revents != 0 || (p[0].revents == 0 && p[1].revents != 0))
            fail(g, "the agent ended early", -ECHILD);
    }
    given[0] = g->shared->listener_fd;
    given[1] = g->shared->diag_fd;
    if (report_started(agent, given, given[1] >= 0 ? 2 : 1) < 0)
        fail(g, "sendmsg", -errno);
    (void)close(given[0]);
    if (given[1] >= 0)
        (void)close(given[1]);
    (void)close(ready[0]);
    (void)close(ready[1]);
    (void)close(agent_pidfd);
    spawn_state_raise(g->shared, SPAWN_STATE_HANDED); /* the agent now takes a table of its own */
    return agent;
}

/** Everything of ours that changed state. Returns true when the agent's first process has ended. */
static bool reap(pid_t agent, int *ret_wait_status)
{
    bool ended = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        if (pid != agent)
            continue;
        if (WIFSTOPPED(status)) {
            report(GUARDIAN_STOPPED, WSTOPSIG(status));
        } else if (WIFCONTINUED(status)) {
            report(GUARDIAN_CONTINUED, 0);
        } else {
            *ret_wait_status = status;
            ended = true;
        }
    }
    return ended;
}

/** Stage 7. */
__attribute__((noreturn)) static void watch(pid_t agent, int supervisor_pidfd, int child_fd)
{
    struct pollfd p[] = {{.fd = child_fd, .events = POLLIN},
                         {.fd = supervisor_pidfd, .events = POLLIN},
                         {.fd = REPORT_FD, .events = POLLIN}};
    struct signalfd_siginfo info;
    bool ended = false;
    int status = 0;

    while (!ended && p[1].revents == 0 && p[2].revents == 0) {
        if (poll(p, ARRAY_COUNT(p), -1) < 0)
            break;
        if (p[0].revents == 0)
            continue;
        if (read(child_fd, &info, sizeof(info)) > 0) /* several ends may be one signal */
            ended = reap(agent, &status);
    }
    (void)reaper_kill_descendants(0);
    if (ended)
        report(GUARDIAN_ENDED, status);
    _exit(0);
}

void guardian_main(const struct guardian *g)
{
    const struct selfjail jail = {.needs = SELFJAIL_PROCESSES | SELFJAIL_SOCKETS_UNIX};
    int supervisor_pidfd = settle(g);
    struct why why = {0};
    sigset_t child;
    int child_fd;
    pid_t agent;

    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (child_fd < 0)
        fail(g, "signalfd", -errno);
    agent = start_agent(g, supervisor_pidfd);
    if (selfjail_enter(&jail, NULL, &why) < 0)
        fail(g, why.text, -EPERM);
    watch(agent, supervisor_pidfd, child_fd);
}
