/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receives notifications, finds out which virtual socket a call is about, runs its handler once and
 * answers. Whatever goes wrong here refuses the call; only a handler's CALL_CONTINUE lets the
 * kernel run one, and the table below says for which calls that may happen at all.
 *
 * Why CONTINUE is harmless where it is allowed: socket(2) is never continued, so no descriptor of
 * another family than AF_UNIX exists inside. A descriptor or an address that is exchanged after we
 * looked can only lead to another AF_UNIX socket.
 */
#include "sandbox/dispatch.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/own.h"
#include "sandbox/filter.h"
#include "sandbox/holders.h"
#include "sandbox/programs.h"

/** All arguments are scalars, and none is judged: the kernel may go on. */
static int64_t sys_program_begins(struct session *s, struct trap *t)
{
    int err = programs_started(s->programs, &t->call);

    if (err < 0 && err != -ENOENT)
        log_warn("a program that begins cannot go on", F_INT("errno", -err));
    return CALL_DONE;
}

struct handler {
    int nr;
    int64_t (*run)(struct session *s, struct trap *t);
    bool has_fd;       /* the first argument is a descriptor */
    bool may_continue; /* for sockets of the kernel's, and where the handler says why */
    bool is_blind;     /* works although the agent's memory cannot be read */
};

static const struct handler handlers[] = {
    {.nr = SYS_socket, .run = sys_socket},
    {.nr = SYS_bind, .run = sys_bind, .has_fd = true, .may_continue = true},
    {.nr = SYS_connect, .run = sys_connect, .has_fd = true, .may_continue = true},
    {.nr = SYS_listen, .run = sys_listen, .has_fd = true, .may_continue = true},
    {.nr = SYS_accept, .run = sys_accept, .has_fd = true, .may_continue = true},
    {.nr = SYS_accept4, .run = sys_accept, .has_fd = true, .may_continue = true},
    {.nr = SYS_getsockname, .run = sys_getsockname, .has_fd = true, .may_continue = true},
    {.nr = SYS_getpeername, .run = sys_getpeername, .has_fd = true, .may_continue = true},
    {.nr = SYS_getsockopt, .run = sys_getsockopt, .has_fd = true, .may_continue = true},
    {.nr = SYS_setsockopt, .run = sys_setsockopt, .has_fd = true, .may_continue = true},
    {.nr = SYS_sendto, .run = sys_sendto, .has_fd = true, .may_continue = true},
    {.nr = SYS_recvfrom, .run = sys_recvfrom, .has_fd = true, .may_continue = true},
    {.nr = SYS_sendmsg, .run = sys_sendmsg, .has_fd = true, .may_continue = true},
    {.nr = SYS_recvmsg, .run = sys_recvmsg, .has_fd = true, .may_continue = true},
    {.nr = SYS_sendmmsg, .run = sys_sendmmsg, .has_fd = true, .may_continue = true},
    {.nr = SYS_recvmmsg, .run = sys_recvmmsg, .has_fd = true, .may_continue = true},
    {.nr = SYS_shutdown, .run = sys_shutdown, .has_fd = true, .may_continue = true},
    {.nr = SYS_ioctl, .run = sys_ioctl, .has_fd = true, .may_continue = true},
    {.nr = SYS_pidfd_send_signal, .run = sys_pidfd_send_signal},
    {.nr = FILTER_EPOLL_CREATE, .run = sys_epoll_create, .may_continue = true, .is_blind = true},
    {.nr = SYS_epoll_create1, .run = sys_epoll_create, .may_continue = true, .is_blind = true},
    {.nr = FILTER_BEGIN_CALL, .run = sys_program_begins, .is_blind = true},
};

static const struct handler *handler_of(int nr)
{
    for (unsigned i = 0; i < ARRAY_COUNT(handlers); i++) {
        if (handlers[i].nr == nr)
            return &handlers[i];
    }
    return NULL;
}

static bool is_of_unix(int fd)
{
    int domain = AF_UNSPEC;
    socklen_t len = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/** Find the socket behind the call's descriptor. @ret_owned: a descriptor to close afterwards.
 * Returns 0 (t->sock may be NULL: not virtual) or the call's -errno. */
static int identify(struct session *s, struct trap *t, int *ret_owned)
{
    int agent_fd = (int)t->call.arg[0];
    struct stat st;
    uint64_t inode;
    int err;

    if (!s->agents.can_get_fd) {
        err = agent_fd_inode(&s->agents, t->call.tid, agent_fd, &inode);
        if (err == -ENOTSOCK)
            return 0;
        if (err < 0)
            return err == -EBADF ? -EBADF : -EACCES;
        t->inode = inode;
        t->sock = vsock_find(s->sockets, inode);
        t->fd = t->sock != NULL ? t->sock->kept_fd : unix_kept_fd(s, inode);
        if (t->sock != NULL)
            holders_note(t->sock, t->call.tid, agent_fd);
        return 0;
    }
    *ret_owned = agent_get_fd(&s->agents, t->call.tid, agent_fd);
    if (*ret_owned < 0)
        return *ret_owned == -EBADF ? -EBADF : -EACCES;
    if (fstat(*ret_owned, &st) == 0 && S_ISSOCK(st.st_mode)) {
        t->inode = st.st_ino;
        t->sock = vsock_find(s->sockets, st.st_ino);
        t->fd = *ret_owned;
        if (t->sock == NULL && !is_of_unix(t->fd))
            return -EACCES; /* nothing inside may have such a socket */
    }
    return 0;
}

static int64_t handle(struct session *s, const struct handler *h, struct trap *t)
{
    auto_fd owned = -1;
    struct vsock *v;
    uint32_t generation;
    bool was_busy;
    int64_t value;
    int err = h->has_fd ? identify(s, t, &owned) : 0;

    if (err < 0) /* FIONREAD tells of the object only: whoever cannot be looked into, gets it */
        return t->call.nr == SYS_ioctl && (unsigned)t->call.arg[1] == FIONREAD ? CALL_CONTINUE
                                                                               : err;
    v = t->sock;
    if (v == NULL)
        return h->run(s, t);
    generation = v->generation;
    was_busy = v->is_busy;
    v->is_busy = true;
    value = h->run(s, t);
    if (v->generation == generation)
        v->is_busy = was_busy;
    return value;
}

static void run_call(struct session *s, const struct call *call, bool is_resumed,
                     struct mono deadline)
{
    const struct handler *h = handler_of(call->nr);
    struct trap t = {.call = *call, .fd = -1, .is_resumed = is_resumed, .deadline = deadline};
    int64_t value = h != NULL ? handle(s, h, &t) : -ENOSYS;
    int err = 0;

    if (value == CALL_HELD || value == CALL_DONE)
        return;
    if (value == CALL_CONTINUE) {
        must(h != NULL && h->may_continue);
        err = notify_continue(&s->notify, call->id);
    } else {
        err = notify_answer(&s->notify, call->id, value);
        if (err == -ENOENT && value != -ESRCH)
            replay_keep(&s->replay, call, value);
    }
    if (err < 0 && err != -ENOENT)
        log_warn("cannot answer a call", F_INT("call", call->nr), F_INT("errno", -err));
}

static void on_resume(void *self, const struct call *call, struct mono deadline)
{
    struct session *s = self;

    if (notify_is_valid(&s->notify, call->id))
        run_call(s, call, /*is_resumed=*/true, deadline);
}

static void on_expired(void *self, const struct call *call, enum held_for what)
{
    struct session *s = self;
    int err = what == HELD_CONNECT ? -EINPROGRESS : -EAGAIN; /* socket(7), SO_SNDTIMEO */

    if ((what & HELD_AGAIN) != 0)
        on_resume(self, call, (struct mono){0});
    else
        (void)notify_answer(&s->notify, call->id, err); /* ENOENT: interrupted meanwhile */
}

static bool on_is_valid(void *self, const struct call *call)
{
    struct session *s = self;

    return notify_is_valid(&s->notify, call->id);
}

int dispatch_init(struct session *s)
{
    static const struct held_events events = {
        .resume = on_resume, .expired = on_expired, .is_valid = on_is_valid};

    return held_table_new(s->loop, &events, s, &s->held);
}

static bool is_blind(int nr)
{
    const struct handler *h = handler_of(nr);

    return h != NULL && h->is_blind;
}

int dispatch_ready(struct session *s)
{
    struct call call;
    int64_t kept;
    int err = notify_receive(&s->notify, &call);

    if (err == -ENOENT || err == -EINTR || err == -EAGAIN)
        return 0; /* the call vanished before we took it */
    if (err < 0)
        return err;
    if (s->agents_err < 0 && !is_blind(call.nr))
        return s->agents_err;
    held_drop_thread(s->held, call.tid);
    if (replay_take(&s->replay, &call, &kept)) {
        if (notify_answer(&s->notify, call.id, kept) == -ENOENT)
            replay_keep(&s->replay, &call, kept);
        return 0;
    }
    run_call(s, &call, /*is_resumed=*/false, MONO_NEVER);
    return 0;
}
