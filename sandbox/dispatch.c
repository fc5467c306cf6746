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
    unsigned args; /* how many it has; the other registers hold anything */
    int64_t (*run)(struct session *s, struct trap *t);
    bool has_fd;       /* the first argument is a descriptor */
    bool may_continue; /* for sockets of the kernel's, and where the handler says why */
    bool is_blind;     /* works although the agent's memory cannot be read */
};

#define ON_SOCKET(name, handler, count)                                                            \
    {                                                                                              \
        .nr = SYS_##name, .args = (count), .run = (handler), .has_fd = true, .may_continue = true  \
    }

static const struct handler handlers[] = {
    {.nr = SYS_socket, .args = 3, .run = sys_socket},
    ON_SOCKET(bind, sys_bind, 3),
    ON_SOCKET(connect, sys_connect, 3),
    ON_SOCKET(listen, sys_listen, 2),
    ON_SOCKET(accept, sys_accept, 3),
    ON_SOCKET(accept4, sys_accept, 4),
    ON_SOCKET(getsockname, sys_getsockname, 3),
    ON_SOCKET(getpeername, sys_getpeername, 3),
    ON_SOCKET(getsockopt, sys_getsockopt, 5),
    ON_SOCKET(setsockopt, sys_setsockopt, 5),
    ON_SOCKET(sendto, sys_sendto, 6),
    ON_SOCKET(recvfrom, sys_recvfrom, 6),
    ON_SOCKET(sendmsg, sys_sendmsg, 3),
    ON_SOCKET(recvmsg, sys_recvmsg, 3),
    ON_SOCKET(sendmmsg, sys_sendmmsg, 4),
    ON_SOCKET(recvmmsg, sys_recvmmsg, 5),
    ON_SOCKET(shutdown, sys_shutdown, 2),
    ON_SOCKET(ioctl, sys_ioctl, 3),
    {.nr = SYS_pidfd_send_signal, .args = 4, .run = sys_pidfd_send_signal},
    {FILTER_EPOLL_CREATE, 1, sys_epoll_create, .may_continue = true, .is_blind = true},
    {SYS_epoll_create1, 1, sys_epoll_create, .may_continue = true, .is_blind = true},
    {FILTER_BEGIN_CALL, 6, sys_program_begins, .is_blind = true},
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

/** What a call has no argument for is chance: two of the same call differ in it. */
static void forget_chance(struct call *call)
{
    const struct handler *h = handler_of(call->nr);

    for (unsigned i = h != NULL ? h->args : 0; i < ARRAY_COUNT(call->arg); i++)
        call->arg[i] = 0;
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
    forget_chance(&call);
    held_drop_thread(s->held, call.tid);
    if (replay_take(&s->replay, &call, &kept)) {
        if (notify_answer(&s->notify, call.id, kept) == -ENOENT)
            replay_keep(&s->replay, &call, kept);
        return 0;
    }
    run_call(s, &call, /*is_resumed=*/false, MONO_NEVER);
    return 0;
}
