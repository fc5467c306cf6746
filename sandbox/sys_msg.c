/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The send and receive calls that can carry an address: sendto, sendmsg, sendmmsg, recvfrom,
 * recvmsg, recvmmsg. On TCP the kernel's own message semantics fit, so those are continued where no
 * address could leak; on UDP and netlink they are done here, through a duplicate of the agent's
 * end.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "sandbox/ancillary.h"
#include "sandbox/dispatch.h"
#include "sandbox/inet.h"
#include "sandbox/sys_netlink.h"
#include "sandbox/sys_ping.h"
#include "sandbox/sys_udp.h"
#include "sandbox/udp_errors.h"

#define IOV_FEW        64u   /* pieces that need no heap */
#define MMSG_MAX       1024u /* UIO_MAXIOV: Linux cuts vlen there */
#define PAYLOAD_PIECES 8u    /* of a received datagram, that are written together with its name */
static_assert(PAYLOAD_PIECES + 4 <= AGENT_PIECES_MAX, "name and three header fields");

/** A message as one of the calls describes it, in our own memory. */
struct message {
    uint64_t name; /* agent's pointers; 0: none */
    uint32_t name_len;
    uint64_t control;
    uint64_t control_len;
    uint64_t header; /* where the agent's struct msghdr is; 0: sendto, recvfrom */
    int flags;
    unsigned iov_count;
    size_t total;
    bool is_fetched; /* raw_name has the name, and the session's scratch buffer all bytes */
    struct sockaddr_storage raw_name;
    struct iovec *iov; /* few, or owned */
    struct iovec few[IOV_FEW];
};

static void message_done(struct message *m)
{
    if (m->iov != m->few)
        free(m->iov);
}

static int message_read(struct session *s, const struct trap *t, uint64_t header, int flags,
                        struct message *ret)
{
    struct msghdr raw;
    int err;

    ret->iov = ret->few;
    ret->is_fetched = false;
    err = trap_read(s, t, header, &raw, sizeof(raw));
    if (err < 0)
        return err;
    if ((int)raw.msg_namelen < 0)
        return -EINVAL;
    ret->name = (uint64_t)(uintptr_t)raw.msg_name;
    ret->name_len = raw.msg_namelen;
    ret->control = (uint64_t)(uintptr_t)raw.msg_control;
    ret->control_len = raw.msg_controllen;
    ret->header = header;
    ret->flags = flags;
    if (raw.msg_iovlen > AGENT_IOV_MAX)
        return -EMSGSIZE;
    ret->iov_count = (unsigned)raw.msg_iovlen;
    if (ret->iov_count > IOV_FEW) {
        ret->iov = calloc(ret->iov_count, sizeof(ret->iov[0]));
        if (ret->iov == NULL) {
            ret->iov = ret->few;
            return -ENOMEM;
        }
    }
    return agent_read_iov(&s->agents, t->call.tid,
                          (struct agent_ptr){(uint64_t)(uintptr_t)raw.msg_iov}, ret->iov_count,
                          ret->iov, &ret->total);
}

/** sendto() and recvfrom() as a message of one piece. */
static void message_of_call(const struct trap *t, struct message *ret)
{
    size_t len = t->call.arg[2] < INT_MAX ? t->call.arg[2] : INT_MAX;

    ret->name = t->call.arg[4];
    ret->name_len = (uint32_t)t->call.arg[5];
    ret->control = 0;
    ret->control_len = 0;
    ret->header = 0;
    ret->flags = (int)t->call.arg[3];
    ret->is_fetched = false;
    ret->iov_count = 1;
    ret->iov = ret->few;
    ret->iov[0] = (struct iovec){.iov_base = (void *)(uintptr_t)t->call.arg[1], .iov_len = len};
    ret->total = len;
}

/* Sending */

/** Copy the name and all bytes in one go, where they are as they should be. Where they are not,
 * each is copied when its turn comes, which gives the right error. */
static void fetch(struct session *s, const struct trap *t, struct message *m)
{
    if (m->name == 0 || m->name_len == 0 || m->name_len > sizeof(m->raw_name) || m->total == 0 ||
        m->total > DGRAM_PAYLOAD_MAX)
        return;
    memset(&m->raw_name, 0, sizeof(m->raw_name));
    m->is_fetched =
        agent_read_two(&s->agents, t->call.tid, (struct agent_ptr){m->name}, &m->raw_name,
                       m->name_len, m->iov, m->iov_count, s->scratch, m->total) == 0 &&
        notify_is_valid(&s->notify, t->call.id);
}

static int gather(struct session *s, const struct trap *t, const struct message *m, size_t len)
{
    int err;

    if (m->is_fetched)
        return 0;
    err = agent_gather(&s->agents, t->call.tid, m->iov, m->iov_count, s->scratch, len);
    return notify_is_valid(&s->notify, t->call.id) ? err : -ESRCH;
}

/** sendmsg() with an address on a TCP socket that is left to the kernel: Linux ignores the address
 * there, for an AF_UNIX object it would not. So it is taken away before the kernel looks. */
static int64_t send_nameless(struct session *s, const struct trap *t, const struct message *m)
{
    static const uint32_t zero = 0;
    int err =
        trap_write(s, t, m->header + offsetof(struct msghdr, msg_namelen), &zero, sizeof(zero));

    return err < 0 ? err : CALL_CONTINUE; /* nothing was judged: the peer is fixed */
}

/** sendto() with an address on a TCP socket: Linux ignores the address. */
static int64_t send_stream(struct session *s, struct trap *t, const struct message *m)
{
    size_t len = m->total < SESSION_SCRATCH ? m->total : SESSION_SCRATCH;
    ssize_t n;
    int err;

    if ((m->flags & MSG_FASTOPEN) != 0)
        return -EOPNOTSUPP;
    if (t->sock->state != VSOCK_CONNECTED)
        return t->sock->state == VSOCK_OVER ? -EPIPE : -ENOTCONN;
    if (t->fd < 0 && t->sock->flow == NULL)
        return m->header != 0 ? send_nameless(s, t, m) : -EISCONN; /* nobody but the agent can */
    err = gather(s, t, m, len);
    if (err < 0)
        return err;
    if (t->fd < 0)
        n = flow_send(t->sock->flow, s->scratch, len);
    else
        n = send(t->fd, s->scratch, len, (m->flags & MSG_OOB) | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && t->fd >= 0)
        n = -errno;
    if (n != -EAGAIN || trap_is_nonblock(s, t) || (m->flags & MSG_DONTWAIT) != 0)
        return n;
    return t->fd >= 0 ? trap_hold_fd(s, t, HELD_OUTPUT, SO_SNDTIMEO, EPOLLOUT)
                      : trap_hold_shortly(s, t, HELD_OUTPUT, SO_SNDTIMEO);
}

/** The address that a ping socket sends to: ping_v4_sendmsg(), ping_v6_sendmsg(). */
static int ping_destination(const struct vsock *v, const struct sockaddr_storage *raw, unsigned len,
                            struct endpoint *ret)
{
    bool is_mapped;
    int err;

    if (len < (v->is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)))
        return -EINVAL;
    err = inet_read(raw, len, v->is_v6, ret, &is_mapped);
    return err == 0 && is_mapped ? -EINVAL : err;
}

static int destination(struct session *s, struct trap *t, const struct message *m,
                       struct endpoint *ret)
{
    struct vsock *v = t->sock;
    struct sockaddr_storage raw;
    bool is_mapped;
    unsigned len;
    int err;

    if (m->name == 0 || m->name_len == 0) {
        if (v->state != VSOCK_CONNECTED)
            return -EDESTADDRREQ;
        *ret = v->remote;
        return 0;
    }
    if (m->is_fetched) {
        raw = m->raw_name;
        len = m->name_len;
    } else {
        err = sockaddr_read(s, t, m->name, m->name_len, &raw, &len);
        if (err < 0)
            return err;
    }
    if (v->kind == VSOCK_PING)
        return ping_destination(v, &raw, len, ret);
    if (v->is_v6 && len >= sizeof(struct sockaddr_in) && raw.ss_family == AF_INET) {
        err = v->is_v6only ? -ENETUNREACH : inet_read(&raw, len, /*is_v6=*/false, ret, &is_mapped);
        return err;
    }
    if (!v->is_v6 && len >= sizeof(struct sockaddr_in) && raw.ss_family == AF_UNSPEC)
        raw.ss_family = AF_INET; /* Linux lets both pass */
    err = inet_read(&raw, len, v->is_v6, ret, &is_mapped);
    if (err == 0 && is_mapped && v->is_v6only)
        return -ENETUNREACH;
    return err;
}

/** An echo request: what it is, is looked at before where it shall go. */
static int64_t send_ping(struct session *s, struct trap *t, const struct message *m)
{
    struct vsock *v = t->sock;
    const struct bytes message = bytes_of(s->scratch, m->total);
    struct udp_wish wish = {.mark = udp_mark(v, v->is_v6)};
    struct endpoint dst = {0};
    int err;

    if (v->state == VSOCK_CONNECTED) /* only then does what was sent natively go anywhere */
        udp_flush(s, v);
    if (udp_autobind(s, v) < 0)
        return -EAGAIN;
    if (m->total > ECHO_MAX)
        return -EMSGSIZE;
    if (m->total < ECHO_HEADER)
        return -EINVAL;
    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    err = gather(s, t, m, m->total);
    if (err == 0)
        err = ping_check(v, message);
    if (err == 0)
        err = destination(s, t, m, &dst);
    if (err == 0 && m->control_len != 0)
        err = ancillary_read(s, t, m->control, m->control_len, v->is_v6, &wish);
    if (err == 0)
        err = udp_error_take(s, v, t->fd);
    if (err == 0)
        err = ping_send(s, v, t->call.tid, &dst, message, &wish);
    return err < 0 ? err : (int64_t)m->total;
}

static int64_t send_packet(struct session *s, struct trap *t, struct message *m)
{
    struct vsock *v = t->sock;
    struct endpoint dst = {0};
    struct udp_wish wish = {0};
    int err;

    if (v->kind == VSOCK_PING)
        return send_ping(s, t, m);
    if ((m->flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (v->kind == VSOCK_UDP) {
        err = udp_error_take(s, v, t->fd);
        if (err < 0)
            return err;
        if (v->state == VSOCK_CONNECTED) /* only then does what was sent natively go anywhere */
            udp_flush(s, v);
        fetch(s, t, m);
        err = destination(s, t, m, &dst);
        if (err < 0)
            return err;
    }
    wish.mark = udp_mark(v, dst.ip.family == IP_V6);
    if (m->total > DGRAM_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (m->control_len != 0) {
        err = ancillary_read(s, t, m->control, m->control_len, dst.ip.family == IP_V6, &wish);
        if (err < 0)
            return err;
    }
    err = gather(s, t, m, m->total);
    if (err < 0)
        return err;
    if (v->kind == VSOCK_UDP)
        err = udp_send(s, v, t->call.tid, &dst, bytes_of(s->scratch, m->total), &wish);
    else
        err = netlink_send(s, v, bytes_of(s->scratch, m->total));
    return err < 0 ? err : (int64_t)m->total;
}

/* On a socket of the kernel's (AF_UNIX), and on a TCP socket's stand-in, see unix_msg.c. */

static struct unix_message message_for(const struct trap *t, const struct message *m)
{
    return (struct unix_message){
        .name = m->name,
        .name_len = m->name_len,
        .control = m->control,
        .control_len = m->control_len,
        .header = m->header,
        .flags = m->flags,
        .iov_count = m->iov_count,
        .iov = m->iov,
        .total = m->total,
        .is_tcp = t->sock != NULL,
    };
}

static int64_t send_unix(struct session *s, const struct trap *t, const struct message *m)
{
    const struct unix_message out = message_for(t, m);

    return unix_send(s, t, &out);
}

static int64_t receive_unix(struct session *s, const struct trap *t, const struct message *m)
{
    struct unix_message in = message_for(t, m);

    in.is_one_of_many = t->call.nr == SYS_recvmmsg;
    return unix_receive(s, t, &in);
}

static bool has_name(const struct message *m)
{
    return m->name != 0 && m->name_len != 0;
}

/** On a stream: TCP's own rules where a peer is named, otherwise as on any AF_UNIX object. */
static int64_t send_native(struct session *s, struct trap *t, struct message *m)
{
    if (t->sock != NULL && (m->name != 0 || (m->flags & MSG_FASTOPEN) != 0))
        return send_stream(s, t, m);
    return send_unix(s, t, m);
}

/** sendmmsg(2), one by one; what the kernel must send itself ends the batch, or is all of it. */
static int64_t send_unix_mmsg(struct session *s, struct trap *t, unsigned count)
{
    unsigned done = 0;
    int64_t n = 0;

    while (done < count && n >= 0) {
        uint64_t at = t->call.arg[1] + done * sizeof(struct mmsghdr);
        int flags = (int)t->call.arg[3] | (done > 0 ? MSG_DONTWAIT : 0);
        struct message m;
        uint32_t len;

        n = message_read(s, t, at, flags, &m);
        if (n == 0)
            n = send_native(s, t, &m);
        message_done(&m);
        if (n == CALL_CONTINUE || n == CALL_HELD || n == CALL_DONE)
            return done > 0 ? (int64_t)done : n;
        if (n < 0)
            break;
        len = (uint32_t)n;
        done++;
        n = trap_write(s, t, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
    }
    return done > 0 ? (int64_t)done : n;
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
        n = trap_write(s, t, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
    }
    return done > 0 ? (int64_t)done : n;
}

int64_t sys_sendto(struct session *s, struct trap *t)
{
    struct message m;

    message_of_call(t, &m);
    if (t->sock == NULL) /* whether there is a name is in registers: nothing pointed to is judged */
        return has_name(&m) ? send_unix(s, t, &m) : CALL_CONTINUE;
    return t->sock->kind == VSOCK_TCP ? send_stream(s, t, &m) : send_packet(s, t, &m);
}

int64_t sys_sendmsg(struct session *s, struct trap *t)
{
    struct message m;
    int64_t n;

    n = message_read(s, t, t->call.arg[1], (int)t->call.arg[2], &m);
    if (n == 0 && t->sock != NULL && t->sock->kind != VSOCK_TCP)
        n = send_packet(s, t, &m);
    else if (n == 0)
        n = send_native(s, t, &m);
    message_done(&m);
    return n;
}

int64_t sys_sendmmsg(struct session *s, struct trap *t)
{
    unsigned count = (unsigned)t->call.arg[2] < MMSG_MAX ? (unsigned)t->call.arg[2] : MMSG_MAX;
    struct message m;
    unsigned done = 0;
    int64_t n = 0;

    if (t->sock == NULL || t->sock->kind == VSOCK_TCP)
        return send_unix_mmsg(s, t, count);
    for (; done < count && n >= 0; done++) {
        uint64_t at = t->call.arg[1] + done * sizeof(struct mmsghdr);
        uint32_t len;

        n = message_read(s, t, at, (int)t->call.arg[3], &m);
        if (n == 0)
            n = send_packet(s, t, &m); /* each entry has its own destination, and its own verdict */
        message_done(&m);
        if (n < 0)
            break;
        len = (uint32_t)n;
        n = trap_write(s, t, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
    }
    return done > 0 ? (int64_t)done : n;
}

/* Receiving */

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
    n = recv(t->fd, s->scratch, len, (m->flags & (MSG_PEEK | MSG_OOB | MSG_TRUNC)) | MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN || trap_is_nonblock(s, t) || (m->flags & MSG_DONTWAIT) != 0)
            return -errno;
        return trap_hold_fd(s, t, HELD_INPUT, SO_RCVTIMEO, EPOLLIN | EPOLLRDHUP);
    }
    err = trap_write(s, t, (uint64_t)(uintptr_t)m->iov[0].iov_base, s->scratch, (size_t)n);
    if (err == 0)
        err = trap_write(s, t, t->call.arg[5], &none, sizeof(none));
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
        return notify_is_valid(&s->notify, t->call.id)
                   ? agent_scatter(&s->agents, t->call.tid, m->iov, m->iov_count, s->scratch, len)
                   : -ESRCH;
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

static int64_t receive_packet(struct session *s, struct trap *t, const struct message *m)
{
    struct reply r = {.count = 0};
    struct sockaddr_storage name;
    struct vsock_note note;
    int64_t n = take_datagram(s, t, m->flags, &note);
    int out_flags = 0;
    size_t control_len = 0;
    uint32_t room = 0;
    unsigned name_len;
    size_t len;
    int err;

    if (n < 0)
        return n;
    len = (size_t)n < m->total ? (size_t)n : m->total;
    if (len < (size_t)n)
        out_flags |= MSG_TRUNC;
    err = reply_payload(s, t, m, len, &r);
    if (err == 0)
        err = source_room(s, t, m, &room);
    if (note.error != 0)
        out_flags |= MSG_ERRQUEUE;
    if (err == 0 && vsock_is_dgram(t->sock) && m->control != 0)
        err = ancillary_write(s, t, m->control, m->control_len, &note, &control_len, &out_flags);
    if (err < 0)
        return notify_is_valid(&s->notify, t->call.id) ? err : -ESRCH;
    name_len = m->name != 0 ? source_name(t->sock, &note, &name) : 0;
    reply_put(&r, m->name, &name, name_len < room ? name_len : room);
    if (m->header != 0) {
        reply_put(&r, m->header + offsetof(struct msghdr, msg_namelen), &name_len,
                  sizeof(name_len));
        reply_put(&r, m->header + offsetof(struct msghdr, msg_flags), &out_flags,
                  sizeof(out_flags));
        reply_put(&r, m->header + offsetof(struct msghdr, msg_controllen), &control_len,
                  sizeof(control_len));
    } else if (m->name != 0) {
        reply_put(&r, t->call.arg[5], &name_len, sizeof(name_len));
    }
    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    err = agent_write_pieces(&s->agents, t->call.tid, r.pieces, r.count);
    if (err < 0)
        return err;
    /* ping_recvmsg() has no MSG_TRUNC */
    return (m->flags & MSG_TRUNC) != 0 && t->sock->kind != VSOCK_PING ? n : (int64_t)len;
}

int64_t sys_recvfrom(struct session *s, struct trap *t)
{
    struct message m;

    if (t->sock == NULL)
        return CALL_CONTINUE;
    message_of_call(t, &m);
    return t->sock->kind == VSOCK_TCP ? receive_stream(s, t, &m) : receive_packet(s, t, &m);
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
        n = t->sock == NULL ? receive_unix(s, t, &m) : receive_packet(s, t, &m);
    message_done(&m);
    return n;
}

int64_t sys_recvmmsg(struct session *s, struct trap *t)
{
    unsigned count = (unsigned)t->call.arg[2] < MMSG_MAX ? (unsigned)t->call.arg[2] : MMSG_MAX;
    int flags = (int)t->call.arg[3] & ~MSG_WAITFORONE;
    struct message m;
    unsigned done = 0;
    int64_t n = 0;

    if (t->sock == NULL || t->sock->kind == VSOCK_TCP)
        return receive_unix_mmsg(s, t, count);
    for (; done < count; done++) {
        uint64_t at = t->call.arg[1] + done * sizeof(struct mmsghdr);
        uint32_t len;

        n = message_read(s, t, at, done == 0 ? flags : flags | MSG_DONTWAIT, &m);
        if (n == 0)
            n = receive_packet(s, t, &m);
        message_done(&m);
        if (n < 0)
            break;
        len = (uint32_t)n;
        n = trap_write(s, t, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
        if (n < 0)
            break;
    }
    return done > 0 ? (int64_t)done : n;
}
