/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The follower as a process: forked early, tied to its owner's life, with nothing of its owner's
 * open. Messages go over a stream socket, whole or not at all: a follower that cannot be heard
 * ends, and an owner that hears the end of file knows that nobody follows any more.
 */
#include "enroll/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/own.h"
#include "base/rng.h"
#include "base/selfjail.h"
#include "base/wipe.h"

#define READ_MAX 65536u

struct enroll {
    int fd;
    pid_t pid;
    struct buf input;
    size_t start; /* bytes at the front that were handed out */
};

/* ── The owner's side ────────────────────────────────────────────────────────────────────────────
 */

/** A child's first steps; does not return. */
__attribute__((noreturn)) static void child_main(const char *name, int fd, pid_t owner,
                                                 int (*run)(int fd, void *self), void *self)
{
    sigset_t none;

    (void)prctl(PR_SET_NAME, name);
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != owner)
        _exit(1);
    (void)setpgid(0, 0); /* a Ctrl-C is the owner's to handle */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd != 3 && dup2(fd, 3) < 0)
        _exit(1);
    if (fcntl(3, F_SETFD, FD_CLOEXEC) < 0 || close_range(4, ~0U, 0) < 0)
        _exit(1);
    _exit(run(3, self));
}

int process_start(const char *name, int (*run)(int fd, void *self), void *self, struct enroll **ret,
                  struct why *why)
{
    struct enroll *e = calloc(1, sizeof(*e));
    pid_t owner = getpid();
    int ends[2];
    int err;

    if (e == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        free(e);
        return why_set(why, -errno, "cannot make a socket pair: %s", strerror(errno));
    }
    e->fd = ends[0];
    buf_init(&e->input, 2 * PROCESS_MESSAGE_MAX);
    e->pid = fork();
    if (e->pid == 0)
        child_main(name, ends[1], owner, run, self);
    err = e->pid < 0 ? -errno : io_set_nonblock(e->fd);
    (void)close(ends[1]);
    if (err < 0) {
        enroll_stop(e);
        return why_set(why, err, "cannot start %s: %s", name, strerror(-err));
    }
    *ret = e;
    return 0;
}

int enroll_pid(const struct enroll *e)
{
    return e->pid;
}

int enroll_fd(const struct enroll *e)
{
    return e->fd;
}

/** The first whole message of the input. Returns 0, -EAGAIN or -EBADMSG. */
static int take_message(struct enroll *e, enum enroll_news *ret, struct bytes *ret_text)
{
    const uint8_t *data = e->input.data + e->start;
    size_t left = e->input.len - e->start;
    uint32_t len;

    if (left < PROCESS_HEADER)
        return -EAGAIN;
    len = load_le32(data);
    if (len > PROCESS_MESSAGE_MAX)
        return -EBADMSG;
    if (left < PROCESS_HEADER + len)
        return -EAGAIN;
    *ret = (enum enroll_news)data[4];
    *ret_text = bytes_of(data + PROCESS_HEADER, len);
    e->start += PROCESS_HEADER + len;
    return 0;
}

int enroll_read(struct enroll *e, enum enroll_news *ret, struct bytes *ret_text)
{
    for (;;) {
        int err = e->input.data != NULL ? take_message(e, ret, ret_text) : -EAGAIN;
        uint8_t *room;
        ssize_t got;

        if (err != -EAGAIN)
            return err;
        buf_consume(&e->input, e->start);
        e->start = 0;
        room = buf_reserve(&e->input, READ_MAX);
        if (room == NULL)
            return -EBADMSG;
        got = io_read(e->fd, room, READ_MAX);
        if (got == -EAGAIN)
            return -EAGAIN;
        if (got <= 0)
            return -EPIPE;
        buf_commit(&e->input, (size_t)got);
    }
}

int process_wait(struct enroll *e, unsigned limit_s, enum enroll_news *ret, struct bytes *ret_text)
{
    struct mono until = mono_add_ms(mono_now(), (int64_t)limit_s * 1000);

    for (;;) {
        struct pollfd p = {.fd = e->fd, .events = POLLIN};
        int err = enroll_read(e, ret, ret_text);
        int64_t left_ms = (until.ns - mono_now().ns) / NS_PER_MS;

        if (err != -EAGAIN)
            return err;
        if (left_ms <= 0)
            return -ETIMEDOUT;
        if (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR)
            return -errno;
    }
}

int process_write(struct enroll *e, const void *data, size_t len)
{
    ssize_t sent = send(e->fd, data, len, MSG_NOSIGNAL); /* small, and the first: it has room */

    return sent < 0 ? -errno : (size_t)sent == len ? 0 : -EIO;
}

void enroll_stop(struct enroll *e)
{
    if (e == NULL)
        return;
    (void)close(e->fd);
    if (e->pid > 0) {
        (void)kill(e->pid, SIGKILL); /* it writes files by renaming: any moment is a good one */
        while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    if (e->input.data != NULL)
        wipe(e->input.data, e->input.cap);
    buf_done(&e->input);
    free(e);
}

/* ── The follower's side ─────────────────────────────────────────────────────────────────────────
 */

void process_tell_pair(int fd, enum enroll_news news, struct bytes first, struct bytes second)
{
    uint8_t header[PROCESS_HEADER];

    must(first.len <= PROCESS_MESSAGE_MAX && second.len <= PROCESS_MESSAGE_MAX - first.len);
    store_le32(header, (uint32_t)(first.len + second.len));
    header[4] = (uint8_t)news;
    if (io_write_all(fd, header, sizeof(header)) < 0 ||
        io_write_all(fd, first.data, first.len) < 0 ||
        io_write_all(fd, second.data, second.len) < 0)
        _exit(0);
}

void process_tell(int fd, enum enroll_news news, struct bytes text)
{
    process_tell_pair(fd, news, text, (struct bytes){0});
}

void process_tell_text(int fd, enum enroll_news news, const char *text)
{
    process_tell(fd, news, bytes_of_str(text));
}

void process_pause(int fd, int64_t ms)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    if (poll(&p, 1, (int)ms) > 0 && (p.revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0)
        _exit(0);
}

int process_jail(const char *folder, struct why *why)
{
    const struct selfjail jail = {
        .needs = SELFJAIL_SOCKETS_INET | SELFJAIL_SOCKETS_UNIX | SELFJAIL_THREADS |
                 (folder != NULL ? (unsigned)SELFJAIL_FILES : 0),
        .writable_dir = folder,
    };

    return selfjail_enter(&jail, NULL, why);
}

int64_t backoff_next(struct backoff *b)
{
    b->ms = b->ms == 0 ? BACKOFF_MIN_MS : 2 * b->ms;
    if (b->ms > BACKOFF_MAX_MS)
        b->ms = BACKOFF_MAX_MS;
    return b->ms / 2 + (int64_t)(rng_u32(rng_system()) % (uint32_t)(b->ms / 2));
}
