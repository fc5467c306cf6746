/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receive calls that can carry an address: recvfrom, recvmsg, recvmmsg. On TCP the kernel's own
 * message semantics fit, so those are continued where no address could leak; on UDP, ping and
 * netlink sockets they are done here, through a duplicate of the agent's end. The notes say who
 * sent what is queued there.
 *
 * What is taken from a queue cannot be put back at its head. So all that may fail is done before:
 * whether the call is still there is asked last, and what was taken is then written without asking
 * again. If a signal ends the call meanwhile, the answer is kept for the one that follows.
 */
#include <assert.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "sandbox/ancillary.h"
#include "sandbox/dispatch.h"
#include "sandbox/inet.h"
#include "sandbox/message.h"
#include "sandbox/udp_errors.h"

#define PAYLOAD_PIECES 8u /* of a received datagram, that are written together with its name */
static_assert(PAYLOAD_PIECES + 6 <= AGENT_PIECES_MAX, "name, control data, four header fields");

static int64_t receive_unix(struct session *s, const struct trap *t, const struct message *m)
{
    struct unix_message in = message_for_unix(t, m);

    in.is_one_of_many = t->call.nr == SYS_recvmmsg;
    return unix_receive(s, t, &in);
}

static int64_t receive_unix_mmsg(struct session *s, const struct trap *t, unsigned count)
{
    int flags = (int)t->call.arg[3] & ~MSG_WAITFORONE;
    unsigned done = 0;
    int64_t n = 0;

    while (done < count && n >= 0) {
        uint64_t at = t->call.arg[1] + done * sizeof(struct mmsghdr);
        struct message m;
        uint32_t len;

        n = message_read(s, t, at, done == 0 ? flags : flags | MSG_DONTWAIT, &m);
        if (n == 0)
            n = receive_unix(s, t, &m);
        message_done(&m);
        if (n == CALL_CONTINUE || n == CALL_HELD)
            return done > 0 ? (int64_t)done : n;
        if (n < 0)
            break;
        len = (uint32_t)n;
        done++;
        n = trap_tell(s, t, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
    }
    return done > 0 ? (int64_t)done : n;
}

/** recvfrom() with an address on a TCP socket: the address is left empty, which the kernel, for an
 * AF_UNIX object, would not do. */
static int64_t receive_stream(struct session *s, struct trap *t, const struct message *m)
{
    size_t len = m->total < SESSION_SCRATCH ? m->total : SESSION_SCRATCH;
    uint32_t none = 0;
    ssize_t n;
    int err;

    if (t->fd < 0)
        return CALL_CONTINUE; /* no duplicate: the name of our end is all that can be learnt */
    if (t->sock->state != VSOCK_CONNECTED && t->sock->state != VSOCK_OVER)
        return -ENOTCONN;
    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    n = recv(t->fd, s->scratch, len, (m->flags & (MSG_PEEK | MSG_OOB | MSG_TRUNC)) | MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN || trap_is_nonblock(s, t) || (m->flags & MSG_DONTWAIT) != 0)
            return -errno;
        return trap_hold_fd(s, t, HELD_INPUT, SO_RCVTIMEO, EPOLLIN | EPOLLRDHUP);
    }
    err = trap_tell(s, t, (uint64_t)(uintptr_t)m->iov[0].iov_base, s->scratch, (size_t)n);
    if (err == 0)
        err = trap_tell(s, t, t->call.arg[5], &none, sizeof(none));
    return err < 0 ? err : n;
}

/** Take the next datagram into the scratch buffer. Returns its length or the call's result. */
static int64_t take_datagram(struct session *s, struct trap *t, int flags, struct vsock_note *ret)
{
    struct vsock *v = t->sock;
    const struct vsock_note *note = NULL;
    int queued = 0;
    ssize_t n;

    if (t->fd < 0)
        return -EINVAL;
    if ((flags & MSG_ERRQUEUE) != 0)
        return udp_error_next(s, v, t->fd, s->scratch, ret);
    n = udp_error_take(s, v, t->fd); /* goes before data */
    if (n < 0)
        return n;
    if (ioctl(t->fd, SIOCINQ, &queued) == 0)
        vsock_note_sync(s->sockets, v, (uint64_t)queued);
    n = recv(t->fd, s->scratch, SESSION_SCRATCH, MSG_DONTWAIT | (flags & MSG_PEEK));
    while (n >= 0 && (note = vsock_note_first(s->sockets, v)) != NULL && note->len != (size_t)n)
        vsock_note_pop(s->sockets, v); /* of one that was received natively */
    if (n == 0 && note != NULL && note->is_alarm) {
        if ((flags & MSG_PEEK) != 0)
            (void)recv(t->fd, s->scratch, SESSION_SCRATCH, MSG_DONTWAIT);
        vsock_note_pop(s->sockets, v);
        udp_errors_rearm(s, v);
        return v->errors == NULL ? take_datagram(s, t, flags, ret) : -EAGAIN;
    }
    if (n < 0 && errno == EAGAIN) {
        if (trap_is_nonblock(s, t) || (flags & MSG_DONTWAIT) != 0)
            return -EAGAIN;
        return trap_hold(s, t, HELD_INPUT, SO_RCVTIMEO);
    }
    if (n < 0)
        return -errno;
    note = vsock_note_first(s->sockets, v);
    *ret = note != NULL ? *note : (struct vsock_note){.from = v->remote};
    if ((flags & MSG_PEEK) == 0)
        vsock_note_pop(s->sockets, v);
    return n;
}

/** What an answer writes into the agent, to be written in one go. */
struct reply {
    struct agent_piece pieces[AGENT_PIECES_MAX];
    unsigned count;
};

static void reply_put(struct reply *r, uint64_t to, const void *data, size_t len)
{
    must(r->count < ARRAY_COUNT(r->pieces));
    r->pieces[r->count++] = (struct agent_piece){.to = {to}, .data = data, .len = len};
}

/** The bytes of a datagram. Those of many pieces are written here and now. */
static int reply_payload(struct session *s, const struct trap *t, const struct message *m,
                         size_t len, struct reply *r)
{
    size_t done = 0;

    if (m->iov_count > PAYLOAD_PIECES)
        return agent_scatter(&s->agents, t->call.tid, m->iov, m->iov_count, s->scratch, len);
    for (unsigned i = 0; i < m->iov_count && done < len; i++) {
        size_t part = m->iov[i].iov_len < len - done ? m->iov[i].iov_len : len - done;

        reply_put(r, (uint64_t)(uintptr_t)m->iov[i].iov_base, s->scratch + done, part);
        done += part;
    }
    return 0;
}

static unsigned source_name(const struct vsock *v, const struct vsock_note *note,
                            struct sockaddr_storage *ret)
{
    struct sockaddr_nl *nl = (struct sockaddr_nl *)ret;

    if (v->kind != VSOCK_NETLINK)
        return inet_write(&note->from, v->is_v6, ret);
    *nl = (struct sockaddr_nl){.nl_family = AF_NETLINK};
    return sizeof(*nl);
}

/** Room for the source's name: of recvfrom() it is where the sixth argument points. */
static int source_room(struct session *s, const struct trap *t, const struct message *m,
                       uint32_t *ret)
{
    int32_t room;
    int err;

    *ret = m->name_len;
    if (m->header != 0 || m->name == 0)
        return 0;
    err = agent_read(&s->agents, t->call.tid, (struct agent_ptr){t->call.arg[5]}, &room,
                     sizeof(room)); /* valid or not is asked before anything is written */
    if (err == 0 && room < 0)
        err = -EINVAL;
    *ret = err == 0 ? (uint32_t)room : 0;
    return err;
}

/** Take one datagram and write it where @m says; @told: where its length goes, too, or 0. */
static int64_t receive_packet(struct session *s, struct trap *t, const struct message *m,
                              uint64_t told)
{
    struct reply r = {.count = 0};
    struct sockaddr_storage name;
    struct ancillary control = {.len = 0};
    struct vsock_note note;
    int out_flags = 0;
    uint32_t room = 0, told_len;
    unsigned name_len;
    int64_t n;
    size_t len;
    int room_err = source_room(s, t, m, &room);
    int err;

    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    n = take_datagram(s, t, m->flags, &note);
    if (n < 0)
        return n;
    len = (size_t)n < m->total ? (size_t)n : m->total;
    if (len < (size_t)n)
        out_flags |= MSG_TRUNC;
    err = reply_payload(s, t, m, len, &r);
    if (err == 0)
        err = room_err; /* seen when the datagram is gone, as in the kernel */
    if (err < 0)
        return err;
    if (note.error != 0)
        out_flags |= MSG_ERRQUEUE;
    if (vsock_is_dgram(t->sock) && m->control != 0)
        ancillary_make(s, t->sock, &note, m->control_len, &control, &out_flags);
    name_len = m->name != 0 ? source_name(t->sock, &note, &name) : 0;
    reply_put(&r, m->name, &name, name_len < room ? name_len : room);
    reply_put(&r, m->control, control.data, control.len);
    if (m->header != 0) {
        reply_put(&r, m->header + offsetof(struct msghdr, msg_namelen), &name_len,
                  sizeof(name_len));
        reply_put(&r, m->header + offsetof(struct msghdr, msg_flags), &out_flags,
                  sizeof(out_flags));
        reply_put(&r, m->header + offsetof(struct msghdr, msg_controllen), &control.len,
                  sizeof(control.len));
    } else if (m->name != 0) {
        reply_put(&r, t->call.arg[5], &name_len, sizeof(name_len));
    }
    /* ping_recvmsg() has no MSG_TRUNC */
    n = (m->flags & MSG_TRUNC) != 0 && t->sock->kind != VSOCK_PING ? n : (int64_t)len;
    told_len = (uint32_t)n;
    reply_put(&r, told, &told_len, told != 0 ? sizeof(told_len) : 0);
    err = agent_write_pieces(&s->agents, t->call.tid, r.pieces, r.count);
    return err < 0 ? err : n;
}

int64_t sys_recvfrom(struct session *s, struct trap *t)
{
    struct message m;

    if (t->sock == NULL)
        return CALL_CONTINUE;
    message_of_call(t, &m);
    return t->sock->kind == VSOCK_TCP ? receive_stream(s, t, &m) : receive_packet(s, t, &m, 0);
}

/** The kernel would fill in the name of our end. TCP says that there is none: say it for the
 * kernel, by taking the pointer away before it looks. The flag MSG_ERRQUEUE finds an empty queue.
 */
static int64_t receive_stream_msg(struct session *s, struct trap *t)
{
    static const uint64_t null_pointer = 0;
    static const uint32_t zero = 0;
    uint64_t header = t->call.arg[1];
    uint64_t name;
    int err;

    if (((int)t->call.arg[2] & MSG_ERRQUEUE) != 0)
        return -EAGAIN;
    if (t->sock->state == VSOCK_OPEN || t->sock->state == VSOCK_LISTENING)
        return -ENOTCONN;
    if (t->fd >= 0) {
        struct message m;
        int64_t n = message_read(s, t, header, (int)t->call.arg[2], &m);

        if (n == 0)
            n = receive_unix(s, t, &m);
        message_done(&m);
        return n;
    }
    err = trap_read(s, t, header + offsetof(struct msghdr, msg_name), &name, sizeof(name));
    if (err < 0)
        return err;
    if (name != 0) {
        err = trap_write(s, t, header + offsetof(struct msghdr, msg_name), &null_pointer,
                         sizeof(null_pointer));
        if (err == 0)
            err = trap_write(s, t, header + offsetof(struct msghdr, msg_namelen), &zero,
                             sizeof(zero));
    }
    return err < 0 ? err : CALL_CONTINUE; /* nothing was judged: the peer is fixed */
}

int64_t sys_recvmsg(struct session *s, struct trap *t)
{
    struct message m;
    int64_t n;

    if (t->sock != NULL && t->sock->kind == VSOCK_TCP)
        return receive_stream_msg(s, t);
    n = message_read(s, t, t->call.arg[1], (int)t->call.arg[2], &m);
    if (n == 0)
        n = t->sock == NULL ? receive_unix(s, t, &m) : receive_packet(s, t, &m, 0);
    message_done(&m);
    return n;
}

/* recvmmsg(2) without MSG_WAITFORONE waits for all the messages that it has room for. None is taken
 * before, so that a signal loses none. The agent's queue is no place for many: from so much on, the
 * call ends with fewer. */
#define BATCH_QUEUED_MAX 64u
#define BATCH_BYTES_MAX  (96u << 10)

/** Its time limit, which is looked at when a datagram arrives, and at no other time. */
struct batch_limit {
    bool is_given;
    int64_t ns;
};

static int limit_read(struct session *s, const struct trap *t, struct batch_limit *ret)
{
    struct timespec raw;
    int err;

    *ret = (struct batch_limit){.is_given = t->call.arg[4] != 0};
    if (!ret->is_given)
        return 0;
    err = trap_read(s, t, t->call.arg[4], &raw, sizeof(raw));
    if (err < 0)
        return err;
    if (raw.tv_sec < 0 || raw.tv_nsec < 0 || raw.tv_nsec >= NS_PER_S)
        return -EINVAL;
    ret->ns = raw.tv_sec < INT32_MAX ? raw.tv_sec * NS_PER_S + raw.tv_nsec : INT64_MAX;
    return 0;
}

static bool limit_is_over(const struct trap *t, const struct batch_limit *limit)
{
    return limit->is_given && mono_now().ns - t->call.since.ns >= limit->ns;
}

/** What is left of it, to where it was read from. */
static int limit_write(struct session *s, const struct trap *t, const struct batch_limit *limit)
{
    int64_t left = limit->ns - (mono_now().ns - t->call.since.ns);
    struct timespec raw = {0};

    if (!limit->is_given || limit->ns == INT64_MAX)
        return 0;
    if (left > 0)
        raw = (struct timespec){.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
    return trap_tell(s, t, t->call.arg[4], &raw, sizeof(raw));
}

/** Is there more to wait for? Says no when in doubt: what there is, is then taken. */
static bool batch_waits(struct session *s, const struct trap *t, unsigned count,
                        const struct batch_limit *limit)
{
    struct vsock *v = t->sock;
    uint32_t events = trap_events(t);
    int queued = 0;

    if (v->so_error != 0 || (events & (EPOLLRDHUP | EPOLLHUP)) != 0 ||
        (t->is_resumed && !mono_before(mono_now(), t->deadline)))
        return false;
    if (ioctl(t->fd, SIOCINQ, &queued) == 0)
        vsock_note_sync(s->sockets, v, (uint64_t)queued);
    if ((events & EPOLLIN) == 0)
        return true;
    return v->note_count < count && v->note_count < BATCH_QUEUED_MAX &&
           v->note_bytes < BATCH_BYTES_MAX && !(v->note_count > 0 && limit_is_over(t, limit));
}

/** SO_RCVTIMEO begins anew with each datagram. */
static int64_t batch_hold(struct session *s, const struct trap *t)
{
    struct trap fresh = *t;
    int err;

    fresh.is_resumed = false;
    err = held_add(s->held, &t->call, t->sock, (enum held_for)(HELD_INPUT | HELD_AGAIN),
                   trap_deadline(s, &fresh, SO_RCVTIMEO));
    return err < 0 ? err : CALL_HELD;
}

/** Take what is there, up to @count. */
static int64_t batch_take(struct session *s, struct trap *t, unsigned count, int flags,
                          const struct batch_limit *limit)
{
    struct message m;
    unsigned done = 0;
    int64_t n = 0;

    while (done < count) {
        uint64_t at = t->call.arg[1] + done * sizeof(struct mmsghdr);

        n = message_read(s, t, at, done == 0 ? flags : flags | MSG_DONTWAIT, &m);
        if (n == 0)
            n = receive_packet(s, t, &m, at + offsetof(struct mmsghdr, msg_len));
        message_done(&m);
        if (n < 0)
            break;
        done++;
        if (!t->is_resumed && limit_is_over(t, limit))
            break;
    }
    if (done == 0)
        return n;
    if (n < 0 && n != -EAGAIN && n != -ESRCH && vsock_is_dgram(t->sock))
        udp_error_put(s, t->sock, (int)n); /* as do_recvmmsg() */
    n = limit_write(s, t, limit);
    return n < 0 ? n : (int64_t)done;
}

int64_t sys_recvmmsg(struct session *s, struct trap *t)
{
    unsigned count =
        (unsigned)t->call.arg[2] < MESSAGES_MAX ? (unsigned)t->call.arg[2] : MESSAGES_MAX;
    int flags = (int)t->call.arg[3] & ~MSG_WAITFORONE;
    struct batch_limit limit;
    bool waits_for_all;
    int64_t n;

    if (t->sock == NULL || t->sock->kind == VSOCK_TCP)
        return receive_unix_mmsg(s, t, count);
    n = limit_read(s, t, &limit);
    if (n < 0)
        return n;
    if (limit.is_given && t->call.since.ns == 0)
        t->call.since = mono_now();
    waits_for_all = count > 1 && t->fd >= 0 && vsock_is_dgram(t->sock) &&
                    ((int)t->call.arg[3] & (MSG_WAITFORONE | MSG_DONTWAIT | MSG_ERRQUEUE)) == 0 &&
                    !trap_is_nonblock(s, t);
    if (!waits_for_all)
        return batch_take(s, t, count, flags, &limit);
    if (batch_waits(s, t, count, &limit))
        return batch_hold(s, t);
    n = batch_take(s, t, count, flags | MSG_DONTWAIT, &limit);
    return n == -EAGAIN && mono_before(mono_now(), t->deadline) ? batch_hold(s, t) : n;
}
