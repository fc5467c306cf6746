/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The send calls that can carry an address: sendto, sendmsg, sendmmsg. On TCP the kernel's own
 * message semantics fit, so those are continued where no address could leak; on UDP, ping and
 * netlink sockets they are done here, through a duplicate of the agent's end.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "sandbox/ancillary.h"
#include "sandbox/dispatch.h"
#include "sandbox/inet.h"
#include "sandbox/message.h"
#include "sandbox/sys_netlink.h"
#include "sandbox/sys_ping.h"
#include "sandbox/sys_udp.h"
#include "sandbox/udp_errors.h"

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

static int64_t send_unix(struct session *s, const struct trap *t, const struct message *m)
{
    const struct unix_message out = message_for_unix(t, m);

    return unix_send(s, t, &out);
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
        n = trap_tell(s, t, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
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
    unsigned count =
        (unsigned)t->call.arg[2] < MESSAGES_MAX ? (unsigned)t->call.arg[2] : MESSAGES_MAX;
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
        n = trap_tell(s, t, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
    }
    return done > 0 ? (int64_t)done : n;
}
