/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges the object behind a virtual TCP socket. Numbers are exchanged by the kernel on our
 * behalf (SECCOMP_IOCTL_NOTIF_ADDFD with SETFD). An epoll registration is known to the kernel by
 * the pair of file and number, so it is made through a duplicate of the agent's epoll instance, and
 * with the fresh object standing, for that moment, under the very same number among our own
 * descriptors.
 */
#include "sandbox/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/agent_fds.h"
#include "sandbox/epolls.h"

/** What stood under a number of ours that is lent to another file for a moment. */
struct lent {
    int number;
    int saved; /* -1: the number was free */
};

static int lend(int number, struct lent *ret)
{
    *ret = (struct lent){.number = number, .saved = fcntl(number, F_DUPFD_CLOEXEC, 0)};
    return ret->saved < 0 && errno != EBADF ? -errno : 0;
}

static void take_back(struct lent *l)
{
    if (l->saved >= 0) {
        must(dup3(l->saved, l->number, O_CLOEXEC) == l->number);
        own_close(&l->saved);
    } else {
        (void)close(l->number);
    }
}

/** Let the epoll instance watch @fresh instead of @old, both known to it as @w->fd. */
static int move_watch(struct session *s, const struct trap *t, const struct agent_watch *w,
                      int fresh, int old)
{
    struct epoll_event ev = {.events = w->events, .data.u64 = w->data};
    auto_fd epoll_fd = s->agents.can_get_fd ? agent_get_fd(&s->agents, t->call.tid, w->epoll_fd)
                                            : epolls_dup(s, w->mark);
    auto_fd new_end = -1;
    auto_fd old_end = -1;
    struct lent lent;
    int err;

    if (epoll_fd < 0)
        return epoll_fd;
    /* Copies that cannot be the number which is about to be lent. */
    new_end = fcntl(fresh, F_DUPFD_CLOEXEC, 0);
    old_end = old >= 0 ? fcntl(old, F_DUPFD_CLOEXEC, 0) : -1;
    if (new_end < 0 || (old >= 0 && old_end < 0))
        return -errno;
    if (w->fd == epoll_fd || w->fd == new_end || w->fd == old_end) {
        auto_fd again = fcntl(w->fd, F_DUPFD_CLOEXEC, 0); /* another number: this one is taken */

        if (again < 0)
            return -errno;
        if (w->fd == epoll_fd)
            epoll_fd = take_fd(&again);
        else if (w->fd == new_end)
            new_end = take_fd(&again);
        else
            old_end = take_fd(&again);
        (void)close(w->fd);
    }
    err = lend(w->fd, &lent);
    if (err < 0)
        return err;
    if (old_end >= 0 && dup3(old_end, w->fd, O_CLOEXEC) == w->fd)
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL); /* else it ends with the object */
    if (dup3(new_end, w->fd, O_CLOEXEC) != w->fd)
        err = -errno; /* beyond our limit of descriptors */
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0)
        err = -errno;
    take_back(&lent);
    return err;
}

/** Every number of the process that is the old object becomes the fresh one. */
static int move_numbers(struct session *s, const struct trap *t, const struct agent_fds *fds,
                        int fresh)
{
    int own = (int)t->call.arg[0];
    int err = 0;

    for (unsigned i = 0; i < fds->count && err == 0; i++) {
        int flags = agent_fd_flags(&s->agents, t->call.tid, fds->fd[i]);

        if (flags >= 0 || fds->fd[i] == own)
            err = notify_replace_fd(&s->notify, t->call.id, fresh, fds->fd[i],
                                    flags >= 0 && (flags & O_CLOEXEC) != 0);
    }
    return err;
}

int replace_object(struct session *s, struct trap *t, int *ret_fd)
{
    struct vsock *v = t->sock;
    int flags = agent_fd_flags(&s->agents, t->call.tid, (int)t->call.arg[0]);
    auto_fd fresh = -1;
    struct agent_fds fds;
    uint64_t inode;
    int err;

    if (flags < 0)
        return flags;
    fresh = inject_stream((flags & O_NONBLOCK) != 0);
    if (fresh < 0)
        return fresh;
    err = inject_inode(fresh, &inode);
    if (err == 0)
        err = agent_fds_of(&s->agents, t->call.tid, v->inode, epolls_marker(s), &fds);
    if (err == 0)
        err = inject_copy_options(t->fd, fresh);
    if (err == 0)
        err = move_numbers(s, t, &fds, fresh);
    if (err < 0)
        return err;
    for (unsigned i = 0; i < fds.watch_count; i++)
        (void)move_watch(s, t, &fds.watch[i], fresh, t->fd); /* as if it had not been registered */
    vsock_rekey(s->sockets, v, inode);
    v->is_spoilt = false;
    if (!s->agents.can_get_fd) {
        own_close(&v->kept_fd);
        v->kept_fd = fcntl(fresh, F_DUPFD_CLOEXEC, 0);
    }
    *ret_fd = take_fd(&fresh);
    t->fd = *ret_fd;
    return 0;
}
