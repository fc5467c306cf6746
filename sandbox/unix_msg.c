/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sendmsg(2) and recvmsg(2) on AF_UNIX sockets of the kernel's, done by us on copies: whether a
 * message has a name stands in the agent's memory, and which socket it leaves by is decided by a
 * descriptor number; both can be another thread's by the time that the kernel would look. So the
 * name is judged and used from one copy, and the descriptors that come in are looked at before the
 * agent has them: a socket of another family, a ring or a tun device from outside stays outside.
 *
 * A message is looked at (MSG_PEEK), delivered, and only then taken, so that an interrupted call
 * loses nothing.
 *
 * Where the agent's socket cannot be duplicated, a named message leaves from a socket of our own,
 * which is the same to the receiver as long as the agent's has no name to answer to; and a message
 * without a name is continued (docs/threat-model.md says what that leaves open).
 *
 * DEVIATES: SCM_CREDENTIALS of a message with a name, or to a socket outside, show the supervisor's
 * process number; of others see unix_creds.h. MSG_WAITALL is sure to fill up to
 * 64 KiB only. A blocking send of more than MESSAGE_MAX bytes on a stream is cut to that.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "sandbox/judge.h"
#include "sandbox/session.h"
#include "sandbox/sys_unix.h"

#define MESSAGE_MAX      (1u << 20) /* above every default of net.core.wmem_max */
#define CONTROL_MAX      2048u      /* SCM_MAX_FD descriptors, credentials and what else there is */
#define RIGHTS_MAX       253u       /* SCM_MAX_FD, linux net/scm.h */
#define WAITALL_MAX      65536u     /* a stream surely queues so much */
#define WAITALL_RETRY_MS 2
#define PASSED_MS        1000 /* a message with a descriptor is read within this time */
#define TUN_MAJOR        10u
#define TUN_MINOR        200u
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/** Control data in our memory, with the descriptors that it names in our table. */
struct rights {
    size_t len;
    int fds[RIGHTS_MAX]; /* owned */
    unsigned count;
    union {
        uint8_t bytes[CONTROL_MAX];
        size_t align; /* as struct cmsghdr */
    } control;
};

static void rights_done(struct rights *r)
{
    for (unsigned i = 0; i < r->count; i++)
        own_close(&r->fds[i]);
    r->count = 0;
}

/** Room for the payload: the scratch buffer where it fits. @ret_owned is to be freed. */
static uint8_t *payload_room(struct session *s, size_t len, void **ret_owned)
{
    *ret_owned = NULL;
    if (len <= SESSION_SCRATCH)
        return s->scratch;
    *ret_owned = malloc(len);
    return *ret_owned;
}

static bool carries_fds(const struct cmsghdr *c)
{
    return c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_PIDFD);
}

static int socket_type(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 ? type : 0;
}

/* Sending */

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
    piece.iov_base = payload_room(s, len, &heap);
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

/* Receiving */

/** May the agent have this descriptor? Files, pipes, terminals and sockets of AF_UNIX: yes. */
static bool is_harmless(int fd)
{
    static const char *const refused[] = {"anon_inode:[io_uring]", "anon_inode:seccomp notify",
                                          "anon_inode:bpf", "anon_inode:[perf_event]"};
    char link[32], target[64];
    socklen_t len = sizeof(int);
    int domain = AF_UNSPEC;
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return false;
    if (S_ISSOCK(st.st_mode))
        return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
    if (S_ISCHR(st.st_mode))
        return major(st.st_rdev) != TUN_MAJOR || minor(st.st_rdev) != TUN_MINOR;
    if ((st.st_mode & S_IFMT) != 0)
        return true;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = '\0';
    for (unsigned i = 0; i < ARRAY_COUNT(refused); i++)
        if (strncmp(target, refused[i], strlen(refused[i])) == 0)
            return false;
    return n > 0;
}

/** Control data on its way to the agent. */
struct delivery {
    uint8_t bytes[CONTROL_MAX];
    size_t len;
    size_t room;
    int flags; /* of the message, to be told */
};

static void put_control(struct delivery *d, int type, int level, const void *data, size_t len)
{
    struct cmsghdr head = {.cmsg_level = level, .cmsg_type = type};
    size_t left = d->room - d->len;

    if (left < sizeof(head)) {
        d->flags |= MSG_CTRUNC;
        return;
    }
    if (left < CMSG_LEN(len)) {
        d->flags |= MSG_CTRUNC;
        len = left - CMSG_LEN(0);
    }
    head.cmsg_len = CMSG_LEN(len);
    memcpy(d->bytes + d->len, &head, sizeof(head));
    memcpy(d->bytes + d->len + CMSG_LEN(0), data, len);
    d->len += CMSG_SPACE(len) < left ? CMSG_SPACE(len) : left;
}

/** The descriptors that came with a message are ours to close, whatever follows. */
static void collect_rights(struct msghdr *in, struct rights *r)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c != NULL; c = CMSG_NXTHDR(in, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (!carries_fds(c))
            continue;
        must(count <= RIGHTS_MAX - r->count);
        memcpy(r->fds + r->count, CMSG_DATA(c), count * sizeof(int));
        r->count += (unsigned)count;
    }
}

/** Install those descriptors that the agent may have and has room for. */
static int give_rights(struct session *s, const struct trap *t, const struct cmsghdr *c,
                       bool cloexec, struct delivery *d)
{
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    size_t left = d->room - d->len;
    size_t fit = left > CMSG_LEN(0) ? (left - CMSG_LEN(0)) / sizeof(int) : 0;
    int numbers[RIGHTS_MAX];
    unsigned given = 0;

    for (size_t i = 0; i < count; i++) {
        int fd;
        int number;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
        if (!is_harmless(fd)) {
            judge_refuse_descriptor(s, t->call.tid);
            d->flags |= MSG_CTRUNC; /* what the kernel says when an LSM refuses one */
            continue;
        }
        number = given < fit ? notify_add_fd(&s->notify, t->call.id, fd, cloexec) : -EMFILE;
        if (number == -ENOENT)
            return -ESRCH;
        if (number < 0) {
            d->flags |= MSG_CTRUNC;
            fit = 0; /* the kernel stops at the first, too */
            continue;
        }
        numbers[given++] = number;
    }
    if (given > 0)
        put_control(d, c->cmsg_type, SOL_SOCKET, numbers, given * sizeof(int));
    return 0;
}

/** What we sent in an agent's place is the agent's. */
static void give_credentials(struct session *s, const struct trap *t, const struct cmsghdr *c,
                             struct delivery *d)
{
    struct ucred who;
    pid_t sender = unix_creds_sender(s, t);

    memcpy(&who, CMSG_DATA(c), sizeof(who));
    if (who.pid == getpid() && sender > 0)
        who.pid = sender;
    put_control(d, SCM_CREDENTIALS, SOL_SOCKET, &who, sizeof(who));
}

static int give_control(struct session *s, const struct trap *t, struct msghdr *in, bool cloexec,
                        struct delivery *d)
{
    int err = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c != NULL && err == 0; c = CMSG_NXTHDR(in, c)) {
        if (carries_fds(c))
            err = give_rights(s, t, c, cloexec, d);
        else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
            give_credentials(s, t, c, d);
        else
            put_control(d, c->cmsg_type, c->cmsg_level, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    }
    return err;
}

/** msg_controllen and msg_flags, which are neighbours. */
struct header_tail {
    uint64_t control_len;
    int flags;
};

/** The parts of the agent's struct msghdr that the call fills in. */
static int write_header(struct session *s, const struct trap *t, const struct unix_message *m,
                        const struct msghdr *in, const struct delivery *d)
{
    uint32_t name_len = m->is_tcp ? 0 : in->msg_namelen;
    uint32_t shown = name_len < m->name_len ? name_len : m->name_len;
    struct header_tail tail = {.control_len = d->len, .flags = d->flags};
    int err = 0;

    static_assert(offsetof(struct msghdr, msg_flags) ==
                      offsetof(struct msghdr, msg_controllen) + sizeof(uint64_t),
                  "as the kernel has it");
    if (m->name != 0 && shown > 0)
        err = trap_write(s, t, m->name, in->msg_name, shown);
    if (err == 0 && m->name != 0)
        err = trap_write(s, t, m->header + offsetof(struct msghdr, msg_namelen), &name_len,
                         sizeof(name_len));
    if (err == 0 && d->len > 0)
        err = trap_write(s, t, m->control, d->bytes, d->len);
    if (err == 0)
        err = trap_write(s, t, m->header + offsetof(struct msghdr, msg_controllen), &tail,
                         offsetof(struct header_tail, flags) + sizeof(tail.flags));
    return err;
}

static bool has_peek_offset(int fd)
{
    int offset = -1;
    socklen_t len = sizeof(offset);

    return getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, &len) == 0 && offset >= 0;
}

/** Hand on what was received. Returns 0 or -errno. */
static int deliver(struct session *s, const struct trap *t, const struct unix_message *m,
                   struct msghdr *in, size_t len)
{
    struct delivery d = {.room = m->control_len < CONTROL_MAX ? m->control_len : CONTROL_MAX,
                         .flags = in->msg_flags & ~MSG_CMSG_CLOEXEC};
    int err;

    if (m->control == 0 || m->is_tcp)
        d.room = 0;
    d.flags |= m->flags & MSG_CMSG_CLOEXEC;
    err = give_control(s, t, in, (m->flags & MSG_CMSG_CLOEXEC) != 0, &d);
    if (err == 0 && !notify_is_valid(&s->notify, t->call.id))
        err = -ESRCH;
    if (err == 0)
        err = agent_scatter(&s->agents, t->call.tid, m->iov, m->iov_count, in->msg_iov->iov_base,
                            len);
    return err < 0 ? err : write_header(s, t, m, in, &d);
}

/** MSG_WAITALL on a stream: is more to be waited for? Only as much as the kernel surely queues. */
static bool is_to_be_filled(struct session *s, const struct trap *t, const struct unix_message *m,
                            size_t len, size_t wanted)
{
    struct pollfd p = {.fd = t->fd, .events = POLLRDHUP};

    return (m->flags & MSG_WAITALL) != 0 && len > 0 && len < wanted && len < WAITALL_MAX &&
           (m->flags & MSG_DONTWAIT) == 0 && socket_type(t->fd) == SOCK_STREAM &&
           !trap_is_nonblock(s, t) && poll(&p, 1, 0) == 0;
}

/** Look again in a moment: what is there already would wake us at once. */
static int64_t hold_for_more(struct session *s, const struct trap *t)
{
    struct itimerspec soon = {.it_value = {.tv_nsec = WAITALL_RETRY_MS * NS_PER_MS}};
    auto_fd timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (timer < 0 || timerfd_settime(timer, 0, &soon, NULL) < 0)
        return -ENOBUFS;
    return trap_hold_own(s, t, HELD_INPUT, SO_RCVTIMEO, take_fd(&timer), EPOLLIN);
}

/** One recvmsg(2) without waiting. Returns its result or -errno. */
static int64_t receive_once(int fd, const struct unix_message *m, struct msghdr *in, int flags,
                            struct rights *r)
{
    bool wants_control = m->control != 0 && m->control_len > 0;
    ssize_t n;

    in->msg_namelen = sizeof(struct sockaddr_storage);
    in->msg_control = wants_control ? r->control.bytes : NULL;
    in->msg_controllen = wants_control ? sizeof(r->control.bytes) : 0;
    n = recvmsg(fd, in, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    collect_rights(in, r);
    return n;
}

/**
 * MSG_PEEK on a stream that has filled the buffer goes on to look for descriptors: those that it
 * shows may be of a message that no byte was read of (unix_stream_read_generic()). Only taking it
 * tells. The buffer that was peeked into has the same bytes, so it is tried before.
 */
static int64_t take_surely(struct session *s, const struct trap *t, const struct unix_message *m,
                           struct msghdr *in, struct rights *r)
{
    const struct iovec *piece = in->msg_iov;
    int err = notify_is_valid(&s->notify, t->call.id) ? 0 : -ESRCH;

    rights_done(r);
    if (err == 0)
        err = agent_scatter(&s->agents, t->call.tid, m->iov, m->iov_count, piece->iov_base,
                            piece->iov_len);
    return err < 0 ? err : receive_once(t->fd, m, in, m->flags & MSG_TRUNC, r);
}

static int64_t receive_into(struct session *s, const struct trap *t, const struct unix_message *m,
                            struct iovec *piece, struct rights *r)
{
    int flags = m->flags & (MSG_PEEK | MSG_OOB | MSG_TRUNC);
    bool looks_first = (flags & (MSG_PEEK | MSG_OOB)) == 0 && !has_peek_offset(t->fd);
    struct sockaddr_storage name;
    struct msghdr in = {.msg_name = &name, .msg_iov = piece, .msg_iovlen = 1};
    int64_t n = receive_once(t->fd, m, &in, flags | (looks_first ? MSG_PEEK : 0), r);
    size_t len;
    int err;

    if (n >= 0 && looks_first && (r->count > 0 || (in.msg_flags & MSG_CTRUNC) != 0) &&
        (size_t)n == piece->iov_len && socket_type(t->fd) == SOCK_STREAM) {
        looks_first = false;
        n = take_surely(s, t, m, &in, r);
    }
    if (n == -EAGAIN && (m->flags & MSG_DONTWAIT) == 0 && !trap_is_nonblock(s, t))
        return trap_hold_fd(s, t, HELD_INPUT, SO_RCVTIMEO, EPOLLIN | EPOLLRDHUP);
    if (n < 0)
        return n;
    len = (size_t)n < piece->iov_len ? (size_t)n : piece->iov_len;
    if (r->count == 0 && looks_first && is_to_be_filled(s, t, m, len, piece->iov_len))
        return hold_for_more(s, t);
    err = deliver(s, t, m, &in, len);
    if (err < 0)
        return err;
    if (looks_first) {
        piece->iov_len = len;
        (void)recv(t->fd, piece->iov_base, len, MSG_DONTWAIT); /* it is there: we just saw it */
    }
    return n;
}

int64_t unix_receive(struct session *s, const struct trap *t, const struct unix_message *m)
{
    struct rights r = {0};
    struct iovec piece = {.iov_len = m->total < MESSAGE_MAX ? m->total : MESSAGE_MAX};
    void *heap;
    int64_t n;

    if (t->inode == 0)
        return -ENOTSOCK;
    if (t->fd < 0)
        return CALL_CONTINUE;
    piece.iov_base = payload_room(s, piece.iov_len, &heap);
    if (piece.iov_base == NULL)
        return -ENOBUFS;
    n = receive_into(s, t, m, &piece, &r);
    rights_done(&r);
    free(heap);
    return n;
}
