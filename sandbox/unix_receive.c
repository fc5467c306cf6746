/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recvmsg(2) on AF_UNIX sockets of the kernel's, done by us: the descriptors that come in are
 * looked at before the agent has them: a socket of another family, a ring or a tun device from
 * outside stays outside.
 *
 * A message is looked at (MSG_PEEK), delivered, and only then taken, so that a call which is
 * interrupted loses nothing. When the answer comes too late all the same, or descriptors have
 * already been installed, the message is kept for the socket's next receive (unix_arrival.h).
 *
 * DEVIATES: MSG_WAITALL is sure to fill up to 64 KiB only.
 */
#include <assert.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "sandbox/judge.h"
#include "sandbox/session.h"
#include "sandbox/sys_unix.h"
#include "sandbox/unix_arrival.h"

#define WAITALL_MAX      65536u /* a stream surely queues so much */
#define WAITALL_RETRY_MS 2
#define TUN_MAJOR        10u
#define TUN_MINOR        200u

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
    int flags;       /* of the message, to be told */
    bool is_cloexec; /* for new descriptors */
    bool is_peek;    /* the agent's own MSG_PEEK: descriptors are installed each time */
    unsigned next;   /* of the arrival's descriptors */
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
static void collect_rights(struct arrival *a)
{
    struct rights *r = &a->rights;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&a->in); c != NULL; c = CMSG_NXTHDR(&a->in, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (!carries_fds(c))
            continue;
        must(count <= RIGHTS_MAX - r->count);
        memcpy(r->fds + r->count, CMSG_DATA(c), count * sizeof(int));
        for (size_t i = 0; i < count; i++)
            a->numbers[r->count + i] = -1;
        r->count += (unsigned)count;
    }
}

/** Has the agent got our @fd as @number, from a call that was interrupted? */
static bool has_already(struct session *s, const struct trap *t, int number, int fd)
{
    auto_fd theirs = number >= 0 ? agent_get_fd(&s->agents, t->call.tid, number) : -1;

    return theirs >= 0 && syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, theirs) == 0;
}

/** Returns the agent's number of our @fd, or -errno. */
static int install(struct session *s, const struct trap *t, struct arrival *a, struct delivery *d,
                   unsigned index, int fd)
{
    int number = d->is_peek ? -1 : a->numbers[index];

    if (!has_already(s, t, number, fd))
        number = notify_add_fd(&s->notify, t->call.id, fd, d->is_cloexec);
    if (number >= 0 && !d->is_peek) {
        a->numbers[index] = number;
        a->is_given = true;
    }
    return number;
}

/** Install those descriptors that the agent may have and has room for. */
static int give_rights(struct session *s, const struct trap *t, struct arrival *a,
                       const struct cmsghdr *c, struct delivery *d)
{
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    size_t left = d->room - d->len;
    size_t fit = left > CMSG_LEN(0) ? (left - CMSG_LEN(0)) / sizeof(int) : 0;
    int numbers[RIGHTS_MAX];
    unsigned given = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned index = d->next++;
        int fd;
        int number;

        if (c->cmsg_type == SCM_PIDFD)
            unix_creds_pidfd(s, t, &a->rights.fds[index]);
        fd = a->rights.fds[index];
        if (!is_harmless(fd)) {
            judge_refuse_descriptor(s, t->call.tid);
            d->flags |= MSG_CTRUNC; /* what the kernel says when an LSM refuses one */
            continue;
        }
        number = given < fit ? install(s, t, a, d, index, fd) : -EMFILE;
        if (number == -ENOENT || number == -ESRCH) /* the latter while the thread was at it */
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

static int give_control(struct session *s, const struct trap *t, struct arrival *a,
                        struct delivery *d)
{
    int err = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&a->in); c != NULL && err == 0;
         c = CMSG_NXTHDR(&a->in, c)) {
        if (carries_fds(c))
            err = give_rights(s, t, a, c, d);
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
    bool has_name = m->name != 0;

    static_assert(offsetof(struct msghdr, msg_flags) ==
                      offsetof(struct msghdr, msg_controllen) + sizeof(uint64_t),
                  "as the kernel has it");
    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    return agent_write_pieces(
        &s->agents, t->call.tid,
        (const struct agent_piece[]){
            {.to = {m->name}, .data = in->msg_name, .len = has_name ? shown : 0},
            {.to = {m->header + offsetof(struct msghdr, msg_namelen)},
             .data = &name_len,
             .len = has_name ? sizeof(name_len) : 0},
            {.to = {m->control}, .data = d->bytes, .len = d->len},
            {.to = {m->header + offsetof(struct msghdr, msg_controllen)},
             .data = &tail,
             .len = offsetof(struct header_tail, flags) + sizeof(tail.flags)}},
        4);
}

/** Hand on @len bytes and all descriptors of what was received. Returns 0 or -errno. */
static int deliver(struct session *s, const struct trap *t, const struct unix_message *m,
                   struct arrival *a, size_t len, int flags)
{
    struct delivery d = {.room = m->control_len < CONTROL_MAX ? m->control_len : CONTROL_MAX,
                         .flags = (a->in.msg_flags & ~MSG_CMSG_CLOEXEC) | flags,
                         .is_cloexec = (m->flags & MSG_CMSG_CLOEXEC) != 0,
                         .is_peek = (m->flags & MSG_PEEK) != 0};
    int err;

    if (m->control == 0 || m->is_tcp)
        d.room = 0;
    d.flags |= m->flags & MSG_CMSG_CLOEXEC;
    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    err = agent_scatter(&s->agents, t->call.tid, m->iov, m->iov_count, a->piece.iov_base, len);
    if (err == 0)
        err = give_control(s, t, a, &d);
    return err < 0 ? err : write_header(s, t, m, &a->in, &d);
}

static bool has_peek_offset(int fd)
{
    int offset = -1;
    socklen_t len = sizeof(offset);

    return getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, &len) == 0 && offset >= 0;
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
static int64_t receive_once(int fd, const struct unix_message *m, struct arrival *a, int flags)
{
    bool wants_control = m->control != 0 && m->control_len > 0;
    ssize_t n;

    a->in = (struct msghdr){
        .msg_name = &a->name,
        .msg_namelen = sizeof(a->name),
        .msg_iov = &a->piece,
        .msg_iovlen = 1,
        .msg_control = wants_control ? a->rights.control.bytes : NULL,
        .msg_controllen = wants_control ? sizeof(a->rights.control.bytes) : 0,
    };
    n = recvmsg(fd, &a->in, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    collect_rights(a);
    return n;
}

/**
 * MSG_PEEK on a stream that has filled the buffer goes on to look for descriptors: those that it
 * shows may be of a message that no byte was read of (unix_stream_read_generic()). Only taking it
 * tells. The buffer that was peeked into has the same bytes, so it is tried before.
 */
static int64_t take_surely(struct session *s, const struct trap *t, const struct unix_message *m,
                           struct arrival *a)
{
    int err = notify_is_valid(&s->notify, t->call.id) ? 0 : -ESRCH;

    rights_done(&a->rights);
    if (err == 0)
        err = agent_scatter(&s->agents, t->call.tid, m->iov, m->iov_count, a->piece.iov_base,
                            a->piece.iov_len);
    return err < 0 ? err : receive_once(t->fd, m, a, m->flags & MSG_TRUNC);
}

/** What was taken from the socket has been delivered, or could not be (@err). */
static int64_t conclude(struct session *s, const struct trap *t, const struct unix_message *m,
                        struct arrival *a, int err)
{
    if (err == 0 && m->is_one_of_many)
        return a->value;
    if (err == 0 && notify_answer(&s->notify, t->call.id, a->value) == -ENOENT)
        err = -ESRCH;
    if (err == -ESRCH)
        unix_left_keep(s, t->inode, a);
    return err < 0 ? err : CALL_DONE;
}

static int64_t receive_new(struct session *s, const struct trap *t, const struct unix_message *m,
                           struct arrival *a)
{
    int flags = m->flags & (MSG_PEEK | MSG_OOB | MSG_TRUNC);
    bool looks_first = (flags & (MSG_PEEK | MSG_OOB)) == 0 && !has_peek_offset(t->fd);
    int64_t n = receive_once(t->fd, m, a, flags | (looks_first ? MSG_PEEK : 0));
    size_t room = a->piece.iov_len;
    size_t len;
    int err;

    if (n >= 0 && looks_first && (a->rights.count > 0 || (a->in.msg_flags & MSG_CTRUNC) != 0) &&
        (size_t)n == room && socket_type(t->fd) == SOCK_STREAM) {
        looks_first = false;
        n = take_surely(s, t, m, a);
    }
    if (n == -EAGAIN && (m->flags & MSG_DONTWAIT) == 0 && !trap_is_nonblock(s, t))
        return trap_hold_fd(s, t, HELD_INPUT, SO_RCVTIMEO, EPOLLIN | EPOLLRDHUP);
    if (n < 0)
        return n;
    len = (size_t)n < room ? (size_t)n : room;
    if (a->rights.count == 0 && looks_first && is_to_be_filled(s, t, m, len, room))
        return hold_for_more(s, t);
    a->value = n;
    a->piece.iov_len = len;
    err = deliver(s, t, m, a, len, 0);
    if ((flags & MSG_PEEK) != 0)
        return err < 0 ? err : n;
    if (err < 0 && looks_first && !a->is_given)
        return err; /* it is still there */
    if (looks_first)
        (void)recv(t->fd, a->piece.iov_base, len, MSG_DONTWAIT); /* we just saw it */
    return conclude(s, t, m, a, err);
}

/** A message that was taken for a call which has been interrupted. */
static int64_t receive_left(struct session *s, const struct trap *t, const struct unix_message *m,
                            struct arrival *a)
{
    size_t whole = a->piece.iov_len;
    size_t len = m->total < whole ? m->total : whole;
    bool is_cut = len < whole && socket_type(t->fd) != SOCK_STREAM;
    int64_t value = len < whole ? (int64_t)len : a->value;
    int err = deliver(s, t, m, a, len, is_cut ? MSG_TRUNC : 0);

    if (err == -ESRCH || (m->flags & MSG_PEEK) != 0)
        return err < 0 ? err : value;
    if (err == 0 && !m->is_one_of_many) {
        if (notify_answer(&s->notify, t->call.id, value) == -ENOENT)
            return CALL_DONE; /* interrupted again */
        value = CALL_DONE;
    }
    unix_left_cut(s, a, is_cut ? whole : len);
    return err < 0 ? err : value;
}

int64_t unix_receive(struct session *s, const struct trap *t, const struct unix_message *m)
{
    struct arrival a;
    struct arrival *left;
    void *heap;
    int64_t n;

    if (t->inode == 0)
        return -ENOTSOCK;
    if (t->fd < 0)
        return CALL_CONTINUE;
    left = (m->flags & MSG_OOB) == 0 ? unix_left_find(s, t->inode) : NULL;
    if (left != NULL)
        return receive_left(s, t, m, left);
    a.rights.count = 0;
    a.is_given = false;
    a.piece.iov_len = m->total < MESSAGE_MAX ? m->total : MESSAGE_MAX;
    a.piece.iov_base = message_room(s, a.piece.iov_len, &heap);
    if (a.piece.iov_base == NULL)
        return -ENOBUFS;
    n = receive_new(s, t, m, &a);
    rights_done(&a.rights);
    free(heap);
    return n;
}
