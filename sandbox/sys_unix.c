/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket(2), bind(2) and connect(2) on AF_UNIX sockets of the kernel's. The agent's socket is
 * connected by us, to the file or name that was judged; the kernel never gets to read the agent's
 * address.
 *
 * Where descriptors cannot be duplicated, socket(2) is trapped as well, and a duplicate is kept
 * from birth until the socket is connected or listens; a socket without one (the end of a pair, or
 * one whose duplicate had to make room) cannot be connected: EACCES.
 *
 * DEVIATES: a peer outside sees the supervisor's process number in SO_PEERCRED (uid and gid are the
 * same); one inside sees the agent's (unix_creds.h).
 */
#include "sandbox/sys_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/session.h"

/* Kept duplicates */

static struct unix_kept *kept_find(struct session *s, uint64_t inode)
{
    for (unsigned i = 0; i < UNIX_KEPT_MAX && inode != 0; i++)
        if (s->unix_kept[i].inode == inode)
            return &s->unix_kept[i];
    return NULL;
}

int unix_kept_fd(struct session *s, uint64_t inode)
{
    const struct unix_kept *k = kept_find(s, inode);

    return k != NULL ? k->fd : -1;
}

static void kept_end(struct unix_kept *k)
{
    own_close(&k->fd);
    *k = (struct unix_kept){.fd = -1};
}

void unix_kept_drop(struct session *s, uint64_t inode)
{
    struct unix_kept *k = kept_find(s, inode);

    if (k != NULL)
        kept_end(k);
}

void unix_kept_done(struct session *s)
{
    for (unsigned i = 0; i < UNIX_KEPT_MAX; i++)
        if (s->unix_kept[i].inode != 0)
            kept_end(&s->unix_kept[i]);
}

static void on_seen(void *self, uint64_t inode, pid_t tid, int fd)
{
    struct unix_kept *k = kept_find(self, inode);

    (void)tid;
    (void)fd;
    if (k != NULL)
        k->is_seen = true;
}

/** End the duplicates of sockets that the agent has closed. */
static void kept_collect(struct session *s)
{
    for (unsigned i = 0; i < UNIX_KEPT_MAX; i++)
        s->unix_kept[i].is_seen = false;
    agent_survey(&s->agents, on_seen, s);
    for (unsigned i = 0; i < UNIX_KEPT_MAX; i++)
        if (s->unix_kept[i].inode != 0 && !s->unix_kept[i].is_seen)
            kept_end(&s->unix_kept[i]);
}

static struct unix_kept *kept_room(struct session *s)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < UNIX_KEPT_MAX; i++)
            if (s->unix_kept[i].inode == 0)
                return &s->unix_kept[i];
        kept_collect(s);
    }
    s->unix_kept_next = (s->unix_kept_next + 1) % UNIX_KEPT_MAX;
    kept_end(&s->unix_kept[s->unix_kept_next]);
    return &s->unix_kept[s->unix_kept_next];
}

int64_t unix_socket(struct session *s, struct trap *t)
{
    int type = (int)t->call.arg[1];
    auto_fd fd = socket(AF_UNIX, type | SOCK_CLOEXEC, (int)t->call.arg[2]);
    struct unix_kept *k;
    uint64_t inode;
    int number;

    if (fd < 0)
        return -errno;
    number = inject_inode(fd, &inode);
    if (number == 0)
        number = notify_give_fd(&s->notify, t->call.id, fd, (type & SOCK_CLOEXEC) != 0);
    if (number < 0)
        return number == -ENOENT ? CALL_DONE : number;
    if (!s->agents.can_get_fd) {
        k = kept_room(s);
        *k = (struct unix_kept){.inode = inode, .fd = take_fd(&fd)};
    }
    return CALL_DONE;
}

void unix_bind(struct session *s, const struct trap *t)
{
    struct unix_kept *k = kept_find(s, t->inode);

    unix_note_bound(s, t);
    if (s->agents.can_get_fd)
        return;
    for (unsigned i = 0; i < UNIX_KEPT_MAX; i++) {
        if (!s->unix_kept[i].is_bound)
            continue;
        kept_collect(s); /* one that was closed must not hold the name */
        break;
    }
    if (k != NULL)
        k->is_bound = true;
}

/* Connecting */

/** Connect the agent's socket on its behalf, without waiting. */
static int connect_for(int fd, const struct unix_target *target, bool *ret_may_wait)
{
    struct sockaddr_un via;
    socklen_t len;
    const struct sockaddr *addr = unix_target_address(target, &via, &len);
    int flags = fcntl(fd, F_GETFL);
    int err;

    if (flags < 0)
        return -errno;
    *ret_may_wait = (flags & O_NONBLOCK) == 0;
    if (*ret_may_wait)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK); /* the thread waits for us meanwhile */
    err = connect(fd, addr, len) < 0 ? -errno : 0;
    if (*ret_may_wait)
        (void)fcntl(fd, F_SETFL, flags);
    return err;
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type != SOCK_DGRAM;
}

int64_t unix_connect(struct session *s, struct trap *t)
{
    struct sockaddr_storage raw;
    struct unix_target target;
    bool may_wait = false;
    unsigned len;
    int err = sockaddr_read(s, t, t->call.arg[1], t->call.arg[2], &raw, &len);

    if (err < 0)
        return err;
    if (t->inode == 0)
        return -ENOTSOCK;
    if (t->fd < 0)
        return -EACCES;
    if (raw.ss_family == AF_UNSPEC && len >= sizeof(raw.ss_family)) /* forget the peer */
        return connect(t->fd, (struct sockaddr *)&raw, len) < 0 ? -errno : 0;
    err = unix_target_judge(s, t, (const struct sockaddr_un *)&raw, len, &target);
    if (err == 0)
        err = connect_for(t->fd, &target, &may_wait);
    own_close(&target.file);
    if (err == -EAGAIN && may_wait)
        return trap_hold_shortly(s, t, HELD_OUTPUT, SO_SNDTIMEO);
    if (err == 0 && is_stream(t->fd))
        unix_kept_drop(s, t->inode); /* else its peer would never see it closed */
    if (err == 0)
        unix_creds_connected(s, t);
    return err;
}
