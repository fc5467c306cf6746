/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pump is a process of its own, so that a terminal that is stopped (Ctrl-S) stops nothing else.
 * It jails itself. In raw mode the user's keys reach the agent's line discipline as bytes, and
 * signals are made there, for the agent's foreground job. Output processing of the user's terminal
 * stays on, so that our own messages begin at the left margin.
 */
#include "sandbox/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/selfjail.h"

#define MASTER_FD  3 /* where the pump moves it */
#define PUMP_BYTES 2048

/** Bytes on their way from the user to the agent. */
struct pending {
    uint8_t bytes[PUMP_BYTES];
    size_t at;
    size_t len;
};

static void copy_size(int from, int to)
{
    struct winsize size;

    if (ioctl(from, TIOCGWINSZ, &size) == 0)
        (void)ioctl(to, TIOCSWINSZ, &size); /* a size is a convenience */
}

static void restore(const struct terminal *t)
{
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t->saved); /* it may be gone */
}

/** Output of the agent. Returns false at its end. */
static bool pump_output(void)
{
    uint8_t bytes[PUMP_BYTES];
    ssize_t n = io_read(MASTER_FD, bytes, sizeof(bytes));

    if (n == -EAGAIN)
        return true;
    return n > 0 &&
           io_write_all(STDOUT_FILENO, bytes, (size_t)n) == 0; /* EIO: all have closed it */
}

/** Returns false when the user's terminal is gone. */
static bool pump_input(struct pending *p)
{
    ssize_t n = io_read(STDIN_FILENO, p->bytes, sizeof(p->bytes));

    p->at = 0;
    p->len = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static bool pump_pending(struct pending *p)
{
    ssize_t n = io_write(MASTER_FD, p->bytes + p->at, p->len - p->at);

    if (n > 0)
        p->at += (size_t)n;
    return n > 0 || n == -EAGAIN;
}

__attribute__((noreturn)) static void pump(const struct terminal *t, int signals, int supervisor)
{
    struct pending pending = {0};
    struct signalfd_siginfo info;
    bool goes_on = true;

    while (goes_on) {
        bool has_pending = pending.at < pending.len;
        struct pollfd p[] = {
            {.fd = MASTER_FD, .events = (short)(POLLIN | (has_pending ? POLLOUT : 0))},
            {.fd = has_pending ? -1 : STDIN_FILENO, .events = POLLIN},
            {.fd = signals, .events = POLLIN},
            {.fd = supervisor, .events = POLLIN}};

        if (poll(p, ARRAY_COUNT(p), -1) < 0 || p[3].revents != 0)
            break;
        if (p[2].revents != 0 && read(signals, &info, sizeof(info)) > 0)
            copy_size(STDIN_FILENO, MASTER_FD);
        if ((p[0].revents & POLLOUT) != 0)
            goes_on = pump_pending(&pending);
        if (goes_on && (p[0].revents & (POLLIN | POLLHUP)) != 0)
            goes_on = pump_output();
        if (goes_on && p[1].revents != 0)
            goes_on = pump_input(&pending);
    }
    restore(t);
    _exit(0);
}

/** Be the pump: nothing but the two terminals. */
__attribute__((noreturn)) static void pump_main(const struct terminal *t, int master, pid_t parent)
{
    const struct selfjail jail = {0};
    sigset_t all, resized;
    int signals, supervisor;

    (void)prctl(PR_SET_NAME, "lattice-tty");
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)sigemptyset(&resized);
    (void)sigaddset(&resized, SIGWINCH);
    if (dup3(master, MASTER_FD, O_CLOEXEC) < 0 && errno != EINVAL)
        _exit(1);
    if (close_range(MASTER_FD + 1, ~0U, 0) < 0 || io_set_nonblock(MASTER_FD) < 0)
        _exit(1);
    signals = signalfd(-1, &resized, SFD_CLOEXEC);
    supervisor = (int)syscall(SYS_pidfd_open, parent, 0);
    if (signals < 0 || supervisor < 0 || getppid() != parent ||
        selfjail_enter(&jail, NULL, NULL) < 0)
        _exit(1);
    pump(t, signals, supervisor);
}

/** The pair's far side looks like the user's terminal did before. */
static int make_pair(struct terminal *t)
{
    auto_fd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        return -errno;
    if (ptsname_r(master, t->name, sizeof(t->name)) != 0)
        return -ENAMETOOLONG;
    if (tcgetattr(STDIN_FILENO, &t->saved) < 0 || tcsetattr(master, TCSANOW, &t->saved) < 0)
        return -errno;
    copy_size(STDIN_FILENO, master);
    return take_fd(&master);
}

int terminal_start(struct terminal *ret, struct why *why)
{
    struct terminal t = {0};
    struct termios raw;
    pid_t self = getpid();
    auto_fd master = -1;

    *ret = t;
    if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
        return 0;
    master = make_pair(&t);
    if (master < 0)
        return why_set(why, master, "cannot make a terminal for the agent: %s", strerror(-master));
    t.pump = fork();
    if (t.pump == 0)
        pump_main(&t, master, self);
    if (t.pump < 0)
        return why_set(why, -errno, "cannot start the terminal's pump: %s", strerror(errno));
    t.is_on = true;
    raw = t.saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST;
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw); /* else keys are edited twice: no harm */
    *ret = t;
    return 0;
}

int terminal_attach(const struct terminal *t)
{
    auto_fd fd = -1;

    if (!t->is_on)
        return 0;
    fd =
        open(t->name, O_RDWR | O_CLOEXEC); /* a session leader without a terminal: now it has one */
    if (fd < 0)
        return -errno;
    for (int n = 0; n <= STDERR_FILENO; n++)
        if (isatty(n) == 1 && dup2(fd, n) < 0)
            return -errno;
    return 0;
}

void terminal_done(struct terminal *t)
{
    if (!t->is_on)
        return;
    while (waitpid(t->pump, NULL, 0) < 0 && errno == EINTR)
        continue;
    restore(t);
    t->is_on = false;
}
