/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes and prepares the AF_UNIX objects of inject.h. The recipes rest on AF_UNIX stream behaviour
 * of Linux: an unconnected stream polls POLLOUT|POLLHUP, send buffers are charged by the peer's
 * unread queue, and closing an end with unread bytes resets the other (unix(7)).
 */
#include "sandbox/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "base/own.h"

#define FILL_CHUNK        (32u << 10)
#define FILL_BYTES_MAX    (1u << 20) /* more than any default buffer takes */
#define SEND_BUFFER       212992 /* stock wmem_max: one pinned 68 KiB buffer must not stop POLLOUT */
#define FOREIGN_PEERS_MAX 64u    /* strangers turned away from the abstract name per connection */
#define BACKLOG           4096
#define MUTE_WRITES_MAX   64u /* a handful fills the smallest buffer */

/* Rendezvous */

/** Bind @fd to the file @folder/r. Agents may learn the name (recvfrom(2) where we cannot stand in
 * for the kernel), so it is a bare "r" where the working directory can be left for a moment. */
static int bind_in(int fd, const char *folder)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "r"};
    auto_fd back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool is_there = back >= 0 && fchdir(back) == 0 && chdir(folder) == 0;
    int err;

    if (!is_there)
        (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/r", folder);
    err = bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
    if (is_there)
        must(fchdir(back) == 0); /* it could be done a moment ago */
    return err;
}

/** Bind the listener in @dir, keep the file only as a descriptor. */
static int bind_hidden(struct rendezvous *r, const char *dir)
{
    char folder[64];
    char file[72];
    int err;

    if ((size_t)snprintf(folder, sizeof(folder), "%s/.lattice-XXXXXX", dir) >= sizeof(folder))
        return -ENAMETOOLONG;
    if (mkdtemp(folder) == NULL) /* 0700, a name that nobody can have prepared */
        return -errno;
    (void)snprintf(file, sizeof(file), "%s/r", folder);
    err = bind_in(r->listener, folder);
    if (err == 0) {
        r->path_fd = open(file, O_PATH | O_CLOEXEC | O_NOFOLLOW);
        if (r->path_fd < 0)
            err = -errno;
        (void)unlink(file);
    }
    (void)rmdir(folder);
    if (err < 0)
        return err;
    (void)snprintf(r->addr.sun_path, sizeof(r->addr.sun_path), "/proc/self/fd/%d", r->path_fd);
    r->addr_len = sizeof(r->addr);
    return 0;
}

static int bind_abstract(struct rendezvous *r)
{
    struct sockaddr_un empty = {.sun_family = AF_UNIX};

    if (bind(r->listener, (struct sockaddr *)&empty, sizeof(sa_family_t)) < 0) /* autobind */
        return -errno;
    r->addr_len = sizeof(r->addr);
    return getsockname(r->listener, (struct sockaddr *)&r->addr, &r->addr_len) < 0 ? -errno : 0;
}

int rendezvous_init(struct rendezvous *r)
{
    static const char *const folders[] = {"/run/user", "/tmp", "/dev/shm", "/var/tmp"};
    socklen_t len = sizeof(r->send_buffer);
    int err = -ENOENT;

    *r = (struct rendezvous){.listener = -1,
                             .spare_fd = -1,
                             .pid = getpid(),
                             .path_fd = -1,
                             .addr = {.sun_family = AF_UNIX}};
    r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->listener < 0)
        return -errno;
    for (unsigned i = 0; i < ARRAY_COUNT(folders) && err < 0; i++)
        err = bind_hidden(r, folders[i]);
    if (err < 0) {
        own_close(&r->listener);
        r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (r->listener < 0)
            return -errno;
        err = bind_abstract(r);
    }
    if (err == 0 && listen(r->listener, BACKLOG) < 0)
        err = -errno;
    (void)getsockopt(r->listener, SOL_SOCKET, SO_SNDBUF, &r->send_buffer, &len); /* else 0 */
    if (err < 0)
        rendezvous_done(r);
    return err;
}

void rendezvous_done(struct rendezvous *r)
{
    own_close(&r->listener);
    own_close(&r->spare_fd);
    own_close(&r->path_fd);
}

/** Is the accepted peer a socket that we connected ourselves? */
static bool is_own_peer(const struct rendezvous *r, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == r->pid;
}

/** A connection that was not accepted in its turn must not be taken for the next one's. */
static int forget_stale(struct rendezvous *r)
{
    int end;

    while ((end = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        (void)close(end);
    if (errno != EAGAIN)
        return -errno;
    r->has_stale = false;
    return 0;
}

/** Keep a number for the end that will be accepted: asked before there is no way back. */
static int reserve(struct rendezvous *r)
{
    if (r->spare_fd < 0)
        r->spare_fd = fcntl(r->listener, F_DUPFD_CLOEXEC, 0);
    return r->spare_fd < 0 ? -errno : 0;
}

static int accept_end(struct rendezvous *r)
{
    int end = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (end < 0 && errno == EMFILE) {
        own_close(&r->spare_fd);
        end = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    return end < 0 ? -errno : end;
}

int rendezvous_join(struct rendezvous *r, int agent_end)
{
    int err = reserve(r);

    if (err == 0 && r->has_stale)
        err = forget_stale(r);
    if (err < 0)
        return err;
    if (connect(agent_end, (const struct sockaddr *)&r->addr, r->addr_len) < 0)
        return -errno;
    for (unsigned i = 0; i <= FOREIGN_PEERS_MAX; i++) {
        auto_fd end = accept_end(r);

        if (end < 0) {
            r->has_stale = true;
            return end;
        }
        if (is_own_peer(r, end))
            return take_fd(&end);
    }
    r->has_stale = true;
    return -EBUSY;
}

/* Objects */

int inject_stream(bool is_nonblock)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (is_nonblock ? SOCK_NONBLOCK : 0), 0);

    return fd < 0 ? -errno : fd;
}

int inject_copy_options(int from, int to)
{
    static const int names[] = {SO_RCVTIMEO, SO_SNDTIMEO, SO_OOBINLINE, SO_RCVLOWAT};
    union {
        struct timeval time;
        int number;
    } value;

    for (unsigned i = 0; from >= 0 && i < ARRAY_COUNT(names); i++) {
        socklen_t len = sizeof(value);

        if (getsockopt(from, SOL_SOCKET, names[i], &value, &len) < 0 ||
            setsockopt(to, SOL_SOCKET, names[i], &value, len) < 0)
            return -errno;
    }
    return 0;
}

int inject_packets(bool is_nonblock, int *ret_agent_end, int *ret_our_end)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    if (!is_nonblock && fcntl(pair[0], F_SETFL, 0) < 0) {
        int err = -errno;

        (void)close(pair[0]);
        (void)close(pair[1]);
        return err;
    }
    inject_widen(pair[0]);
    inject_widen(pair[1]);
    *ret_agent_end = pair[0];
    *ret_our_end = pair[1];
    return 0;
}

int inject_inode(int fd, uint64_t *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    *ret = st.st_ino;
    return 0;
}

void inject_widen(int end)
{
    int buffer = SEND_BUFFER;

    (void)setsockopt(end, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)); /* else smaller */
}

void inject_limit_send(int end, int32_t bytes)
{
    int half = bytes / 2; /* the kernel doubles it */

    (void)setsockopt(end, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)); /* else it stays larger */
}

size_t inject_fill(int agent_end)
{
    static const uint8_t junk[FILL_CHUNK];
    size_t chunk = sizeof(junk);
    size_t total = 0;

    while (total < FILL_BYTES_MAX) {
        ssize_t n = send(agent_end, junk, chunk, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0) {
            total += (size_t)n;
            continue;
        }
        if (chunk == 1)
            break;
        chunk /= 2;
    }
    return total;
}

void inject_drain(int our_end, size_t bytes)
{
    uint8_t junk[4096];

    /* Counted, not "until it is empty": from the first byte taken the agent may write behind it. */
    while (bytes > 0) {
        ssize_t n = recv(our_end, junk, bytes < sizeof(junk) ? bytes : sizeof(junk), MSG_DONTWAIT);

        if (n <= 0)
            return;
        bytes -= (size_t)n;
    }
}

int inject_canary(int agent_end)
{
    static const uint8_t junk = 0;

    return send(agent_end, &junk, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -EAGAIN;
}

void inject_mute(int agent_end)
{
    static const int smallest = 1;

    (void)setsockopt(agent_end, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
    for (unsigned i = 0; i < MUTE_WRITES_MAX && inject_canary(agent_end) == 0; i++)
        ;
    (void)shutdown(agent_end, SHUT_WR); /* fails when the agent did so before */
}

void inject_edge(int agent_end, int our_end)
{
    if (inject_canary(agent_end) == 0)
        inject_drain(our_end, 1);
}

/* Looking */

int inject_look(int agent_end)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP};
    auto_fd look = epoll_create1(EPOLL_CLOEXEC);

    /* A registration ends with the open file, not with the descriptor that it was made by:
     * epoll(7). */
    if (look < 0 || epoll_ctl(look, EPOLL_CTL_ADD, agent_end, &ev) < 0)
        return -errno;
    return take_fd(&look);
}

uint32_t inject_events(int agent_end, int look_fd)
{
    struct pollfd p = {.fd = agent_end, .events = POLLIN | POLLOUT | POLLRDHUP};
    struct epoll_event ev = {0};

    if (agent_end >= 0)
        return poll(&p, 1, 0) > 0 ? (uint32_t)(uint16_t)p.revents : 0;
    return look_fd >= 0 && epoll_wait(look_fd, &ev, 1, 0) == 1 ? ev.events : 0;
}
