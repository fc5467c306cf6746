/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sendmsg(2) on AF_UNIX sockets of the kernel's, done by us on copies: whether a message has a name
 * stands in the agent's memory, and which socket it leaves by is decided by a descriptor number;
 * both can be another thread's by the time that the kernel would look. So the name is judged and
 * used from one copy. Receiving is in unix_receive.c.
 *
 * Where the agent's socket cannot be duplicated, a named message leaves from a socket of our own,
 * which is the same to the receiver as long as the agent's has no name to answer to; and a message
 * without a name is continued (docs/threat-model.md says what that leaves open).
 *
 * DEVIATES: SCM_CREDENTIALS of a message with a name, or to a socket outside, show the supervisor's
 * process number; of others see unix_creds.h. A blocking send of more than MESSAGE_MAX bytes on a
 * stream is cut to that.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/judge.h"
#include "sandbox/session.h"
#include "sandbox/sys_unix.h"
#include "sandbox/unix_arrival.h"

#define PASSED_MS 1000 /* a message with a descriptor is read within this time */

uint8_t *message_room(struct session *s, size_t len, void **ret_owned)
{
    *ret_owned = NULL;
    if (len <= SESSION_SCRATCH)
        return s->scratch;
    *ret_owned = malloc(len);
    return *ret_owned;
}

/** The descriptors of one SCM_RIGHTS message become ours. */
static int take_rights(struct session *s, const struct trap *t, struct cmsghdr *c, struct rights *r)
{
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int *numbers = (int *)(void *)CMSG_DATA(c);

    if (count > RIGHTS_MAX - r->count)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        int fd = agent_get_fd(&s->agents, t->call.tid, numbers[i]);

        if (fd < 0)
            return fd == -EBADF ? -EBADF : -EPERM;
        r->fds[r->count++] = fd;
        numbers[i] = fd;
    }
    return 0;
}

/** The kernel takes only the sender's own; that is us. */
static int take_credentials(struct cmsghdr *c)
{
    struct ucred cred;

    if (c->cmsg_len != CMSG_LEN(sizeof(cred)))
        return -EINVAL;
    memcpy(&cred, CMSG_DATA(c), sizeof(cred));
    if (cred.uid != getuid() || cred.gid != getgid())
        return -EPERM;
    cred.pid = getpid();
    memcpy(CMSG_DATA(c), &cred, sizeof(cred));
    return 0;
}

static int control_read(struct session *s, const struct trap *t, const struct unix_message *m,
                        struct rights *ret)
{
    struct msghdr walk = {.msg_control = ret->control.bytes, .msg_controllen = m->control_len};
    int err;

    if (m->control_len > sizeof(ret->control.bytes))
        return -ENOBUFS;
    err = agent_read(&s->agents, t->call.tid, (struct agent_ptr){m->control}, ret->control.bytes,
                     m->control_len);
    ret->len = m->control_len;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&walk); c != NULL && err == 0;
         c = CMSG_NXTHDR(&walk, c)) {
        size_t room = (size_t)(ret->control.bytes + ret->len - (uint8_t *)c);

        if (c->cmsg_len < sizeof(*c) || c->cmsg_len > room)
            return -EINVAL;
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS)
            err = take_rights(s, t, c, ret);
        else if (c->cmsg_type == SCM_CREDENTIALS)
            err = take_credentials(c);
    }
    return err;
}

/** The socket that a message leaves by. @ret_owned: one of our own, to close. */
static int sending_socket(struct session *s, const struct trap *t, int *ret_owned)
{
    if (t->fd >= 0)
        return t->fd;
    if (unix_is_bound_inside(s, t->inode))
        return -EACCES; /* ours would not have its name */
    *ret_owned = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return *ret_owned < 0 ? -errno : *ret_owned;
}

/** Wait for room at the receiver. */
static int64_t hold_for_room(struct session *s, const struct trap *t, const struct sockaddr *name,
                             socklen_t name_len)
{
    auto_fd probe = -1;

    if (name == NULL)
        return trap_hold_fd(s, t, HELD_OUTPUT, SO_SNDTIMEO, EPOLLOUT);
    /* The room of a receiver is seen by a socket that is connected to it. */
    probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0 || connect(probe, name, name_len) < 0)
        return -EAGAIN;
    return trap_hold_own(s, t, HELD_OUTPUT, SO_SNDTIMEO, take_fd(&probe), EPOLLOUT);
}

/** A writer without a reader gets the signal behind the error, as from the kernel. */
static int64_t broken_pipe(struct session *s, const struct trap *t)
{
    int err = notify_answer(&s->notify, t->call.id, -EPIPE);

    if (err == 0)
        (void)syscall(SYS_tgkill, agent_pid(&s->agents, t->call.tid), t->call.tid, SIGPIPE);
    else
        replay_keep(&s->replay, &t->call, -EPIPE);
    return CALL_DONE;
}

static int64_t send_copy(struct session *s, const struct trap *t, const struct unix_message *m,
                         const struct unix_target *target, struct rights *r)
{
    struct sockaddr_un via;
    struct msghdr out = {.msg_iovlen = 1};
    auto_fd owned = -1;
    int fd = sending_socket(s, t, &owned);
    bool is_stream = fd >= 0 && socket_type(fd) == SOCK_STREAM;
    size_t len = m->total < MESSAGE_MAX ? m->total : MESSAGE_MAX;
    struct iovec piece = {.iov_len = len};
    void *heap = NULL;
    int64_t n;

    if (fd < 0)
        return fd;
    if (len < m->total && !is_stream)
        return -EMSGSIZE;
    piece.iov_base = message_room(s, len, &heap);
    if (piece.iov_base == NULL)
        return -ENOBUFS;
    n = agent_gather(&s->agents, t->call.tid, m->iov, m->iov_count, piece.iov_base, len);
    if (n == 0 && !notify_is_valid(&s->notify, t->call.id))
        n = -ESRCH; /* nothing that was read is worth anything */
    out.msg_iov = &piece;
    if (target != NULL)
        out.msg_name = (void *)(uintptr_t)unix_target_address(target, &via, &out.msg_namelen);
    if (r->len > 0) {
        out.msg_control = r->control.bytes;
        out.msg_controllen = r->len;
    }
    if (n == 0) {
        n = sendmsg(fd, &out, (m->flags & (MSG_OOB | MSG_EOR)) | MSG_DONTWAIT | MSG_NOSIGNAL);
        n = n < 0 ? -errno : n;
    }
    free(heap);
    if (n == -EAGAIN && (m->flags & MSG_DONTWAIT) == 0 && !trap_is_nonblock(s, t))
        return hold_for_room(s, t, out.msg_name, out.msg_namelen);
    if (n == -EPIPE && is_stream && (m->flags & MSG_NOSIGNAL) == 0)
        return broken_pipe(s, t);
    return n;
}

/** The kernel passes these on. Until they arrive no process has them, and they are open all the
 * same. What is read here decides nothing else. */
static void note_passed(struct session *s, const struct trap *t, const struct unix_message *m)
{
    struct mono until = mono_add_ms(mono_now(), PASSED_MS);
    struct rights r = {.len = m->control_len};
    struct msghdr walk = {.msg_control = r.control.bytes, .msg_controllen = m->control_len};

    if (m->control == 0 || m->control_len == 0 || m->control_len > sizeof(r.control.bytes) ||
        trap_read(s, t, m->control, r.control.bytes, m->control_len) < 0)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&walk); c != NULL; c = CMSG_NXTHDR(&walk, c)) {
        size_t room = (size_t)(r.control.bytes + r.len - (uint8_t *)c);
        size_t count;

        if (c->cmsg_len < sizeof(*c) || c->cmsg_len > room)
            return;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; carries_fds(c) && i < count && i < RIGHTS_MAX; i++) {
            struct vsock *v;
            uint64_t inode;
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (agent_fd_inode(&s->agents, t->call.tid, fd, &inode) == 0 &&
                (v = vsock_find(s->sockets, inode)) != NULL)
                v->passed_until = until;
        }
    }
}

int64_t unix_send(struct session *s, const struct trap *t, const struct unix_message *m)
{
    bool has_name = m->name != 0 && m->name_len != 0 && !m->is_tcp;
    struct sockaddr_storage raw;
    struct unix_target target = {.file = -1};
    struct rights r = {0};
    unsigned len;
    int64_t n = 0;

    if (t->inode == 0)
        return -ENOTSOCK;
    if (!has_name && t->fd < 0) {
        note_passed(s, t, m);
        return CALL_CONTINUE;
    }
    if (has_name) {
        n = sockaddr_read(s, t, m->name, m->name_len, &raw, &len);
        if (n == 0)
            n = unix_target_judge(s, t, (const struct sockaddr_un *)&raw, len, &target);
    }
    if (n == 0 && m->control != 0 && m->control_len != 0 && !m->is_tcp)
        n = control_read(s, t, m, &r);
    if (n == 0) /* after the judgement, which uses the scratch buffer */
        n = send_copy(s, t, m, has_name ? &target : NULL, &r);
    if (n >= 0 && !has_name && !m->is_tcp)
        unix_creds_sent(s, t);
    rights_done(&r);
    own_close(&target.file);
    return n;
}
