/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pump between a flow's near end, a stream descriptor of ours, and its carrier. It passes on
 * bytes, ends of stream, and resets, both ways, and reads from an end only what the other end can
 * take. It refuses to buffer: at most one chunk a direction waits here; the rest stays in the two
 * sockets.
 *
 * The near end is watched edge-triggered. An edge only sets a flag; the flags are cleared when a
 * call says EAGAIN, or moves less than it was asked for. Each read of the peer's is an edge for who
 * waits to write (EPOLLOUT), and wakes us: so that is waited for only from when the near end was
 * full until many such edges in a row told us nothing.
 *
 * A near end of AF_UNIX tells its peer of a reset only if unread bytes are queued when it is
 * closed. So a near end attached with flow_attach_canary() always keeps bytes in its queue: the
 * first byte there is a stand-in, later some that were already passed on. Small messages are only
 * peeked at, one call each, and taken out when there are several, or a moment later: each of them,
 * and a byte may be one, holds its part of the peer's send buffer. Of a large amount the last byte
 * stays. They are drained before an orderly close.
 */
#include "netstack/flow.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "netstack/stack.h"

#define NEAR_EVENTS         (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET)
#define NEAR_NEEDLESS_MAX   16u   /* edges of EPOLLOUT that told nothing, until it is left out */
#define NEAR_SMALL          512u  /* bytes that are peeked at; more are read */
#define NEAR_KEPT_MAX       1024u /* bytes that were passed on and are still in the queue … */
#define NEAR_KEPT_COUNT_MAX 16u   /* … and after how many looks */
#define NEAR_KEPT_SAFE      16u /* as messages of one byte these leave the peer's buffer free … */
#define NEAR_KEPT_MS        2   /* … more are not kept for longer than this */
static_assert(NEAR_KEPT_MAX + NEAR_SMALL <= RELAY_KEPT_CAP, "what is kept can be read at once");

int leftover_keep(struct leftover *l, const uint8_t *data, size_t len)
{
    must(l->data == NULL && len > 0 && len <= RELAY_CHUNK);
    l->data = malloc(len);
    if (l->data == NULL)
        return -ENOMEM;
    memcpy(l->data, data, len);
    l->at = 0;
    l->len = len;
    return 0;
}

void leftover_drop(struct leftover *l)
{
    free(l->data);
    *l = (struct leftover){0};
}

/** Be woken when there is room (again). */
static void await_room(struct flow *f, bool is_on)
{
    uint32_t events = is_on ? NEAR_EVENTS | EPOLLOUT : NEAR_EVENTS;

    if (f->near_awaits_room == is_on)
        return;
    must(loop_watch(f->ns->loop, &f->near, events) == 0); /* it is watched: only a change */
    f->near_awaits_room = is_on;
    f->near_needless = 0;
}

/** The near end took less than there was. */
static void near_is_full(struct flow *f)
{
    f->near_writable = false;
    f->near_needless = 0;
    await_room(f, true);
}

static void near_ready(void *self, uint32_t events)
{
    struct flow *f = self;

    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        f->near_readable = true;
    f->near_is_urgent |= (events & EPOLLPRI) != 0;
    if ((events & EPOLLOUT) != 0 && f->near_writable && ++f->near_needless >= NEAR_NEEDLESS_MAX)
        await_room(f, false);
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        f->near_writable = true;
    f->near_rdhup |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
    f->near_hup |= (events & EPOLLHUP) != 0;
    f->near_err |= (events & EPOLLERR) != 0;
    flow_queue(f);
}

/** Take @len bytes that were passed on out of the near end's queue. */
static void take_kept(struct flow *f, uint32_t len)
{
    ssize_t got = recv(f->near.fd, f->ns->kept, len, MSG_DONTWAIT);

    if (got > 0)
        f->near_kept -= (uint32_t)got;
    f->near_kept_count = 0;
}

static void kept_for_long(void *self, struct mono now)
{
    struct flow *f = self;

    (void)now;
    if (f->near_kept > NEAR_KEPT_SAFE)
        take_kept(f, f->near_kept - 1);
}

int relay_start(struct flow *f, int fd)
{
    static const int on = 1;
    int domain = AF_UNIX;
    socklen_t len = sizeof(domain);
    int err = io_set_nonblock(fd);

    if (err < 0)
        return err;
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain,
                     &len); /* not a socket: handled as AF_UNIX */
    f->near_is_tcp = domain != AF_UNIX;
    (void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on,
                     sizeof(on)); /* RFC 6093: urgent data is data */
    f->near = (struct loop_watch){.fd = fd, .ready = near_ready, .self = f};
    err = loop_watch(f->ns->loop, &f->near, NEAR_EVENTS);
    if (err < 0) {
        f->near.fd = -1;
        return err;
    }
    f->near_readable = true;
    f->near_writable = true;
    f->near_kept = f->near_keeps_byte ? 1 : 0;
    f->near_late = (struct loop_timer){.expired = kept_for_long, .self = f, .at = MONO_NEVER};
    return 0;
}

/** What was just passed on stays in the queue, but not for long. */
static void bound_kept(struct flow *f)
{
    if (f->near_kept > NEAR_KEPT_MAX || ++f->near_kept_count >= NEAR_KEPT_COUNT_MAX)
        take_kept(f, f->near_kept - 1);
    else if (f->near_kept > NEAR_KEPT_SAFE && f->near_late.at.ns == MONO_NEVER.ns &&
             loop_timer_set(f->ns->loop, &f->near_late,
                            mono_add_ms(loop_now(f->ns->loop), NEAR_KEPT_MS)) < 0)
        take_kept(f, f->near_kept - 1);
}

void relay_keep_nothing(struct flow *f)
{
    uint32_t left = 0;

    f->near_keeps_byte = false;
    while (f->near_kept != left) { /* in pieces when there is an urgent byte among them */
        left = f->near_kept;
        take_kept(f, left);
        if (f->near_kept == 0)
            return;
    }
    f->near_kept = 0;
}

void relay_stop(struct flow *f, bool reset)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    leftover_drop(&f->out);
    if (f->near.fd < 0)
        return;
    loop_unwatch(f->ns->loop, &f->near);
    loop_timer_clear(f->ns->loop, &f->near_late);
    if (reset && f->near_is_tcp)
        (void)setsockopt(f->near.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    if (!reset && f->near_kept > 0)
        take_kept(f, f->near_kept);
    (void)close(f->near.fd);
    f->near.fd = -1;
}

/** The pending error of the near end, as -errno; 0 none. */
static int near_error(struct flow *f)
{
    int err = 0;
    socklen_t len = sizeof(err);

    f->near_err = false;
    if (getsockopt(f->near.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    return -err;
}

/** Nothing new is in the queue: has an end come, or an error? */
static ssize_t near_silence(struct flow *f)
{
    int err = f->near_err ? near_error(f) : 0;

    if (err < 0)
        return err;
    return f->near_rdhup ? 0 : -EAGAIN;
}

/**
 * Peek at a small message behind the bytes that were passed on before. Returns 0 when there is
 * nothing new.
 */
static ssize_t peek_small(struct flow *f, uint8_t *ret, size_t cap)
{
    struct iovec iov[2] = {{.iov_base = f->ns->kept, .iov_len = f->near_kept},
                           {.iov_base = ret, .iov_len = cap}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t got = recvmsg(f->near.fd, &msg, MSG_PEEK | MSG_DONTWAIT);

    got -= (ssize_t)f->near_kept;
    if (got <= 0)
        return 0;
    f->near_kept += (uint32_t)got;
    f->near_is_bulk = (size_t)got == NEAR_SMALL;
    f->near_has_more = f->near_is_bulk; /* it may */
    bound_kept(f);
    return got;
}

/**
 * Read while leaving one byte queued. The queue's first bytes were passed on before (or are the
 * stand-in); the new last byte is only peeked at, and becomes the kept one.
 */
static ssize_t read_keeping(struct flow *f, uint8_t *ret, size_t cap)
{
    struct iovec iov[2] = {{.iov_base = f->ns->kept, .iov_len = f->near_kept}, {.iov_base = ret}};
    int queued = 0, mark = 0;
    size_t want;
    ssize_t got;

    if (ioctl(f->near.fd, FIONREAD, &queued) < 0)
        return -errno;
    if (queued <= (int)f->near_kept) {
        f->near_is_urgent = false;
        return near_silence(f);
    }
    want = (size_t)queued - f->near_kept < cap ? (size_t)queued - f->near_kept : cap;
    iov[1].iov_len = want - 1;
    /* less than is there: up to an urgent byte */
    got = readv(f->near.fd, iov, want > 1 ? 2 : 1) - (ssize_t)f->near_kept + 1;
    if (got < 1)
        return -EIO; /* the bytes are there: FIONREAD said so, and nobody else reads */
    f->near_kept = 1;
    f->near_kept_count = 0;
    f->near_has_more = (size_t)got < want;
    f->out_ends_urgent = f->near_is_urgent && ioctl(f->near.fd, SIOCATMARK, &mark) == 0 && mark;
    f->near_is_bulk = (size_t)got >= NEAR_SMALL;
    if (recv(f->near.fd, ret + got - 1, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
        return -EIO;
    return got;
}

static ssize_t read_all(struct flow *f, uint8_t *ret, size_t cap)
{
    int mark = 0;
    ssize_t got;

    f->near_has_more = f->near_is_urgent; /* the kernel stops before such a byte, and behind it */
    f->out_ends_urgent = f->near_is_urgent && ioctl(f->near.fd, SIOCATMARK, &mark) == 0 && mark;
    got = io_read(f->near.fd, ret, f->out_ends_urgent ? 1 : cap);
    if (got < 1)
        f->near_is_urgent = false;
    return got;
}

static ssize_t near_read(struct flow *f, uint8_t *ret, size_t cap)
{
    ssize_t got = 0;

    if (!f->near_keeps_byte)
        return read_all(f, ret, cap);
    f->near_has_more = false;
    f->out_ends_urgent = false;
    /* A look stops at an urgent byte and does not say so. */
    if (!f->near_is_bulk && !f->near_is_urgent && f->near_kept <= NEAR_KEPT_MAX)
        got = peek_small(f, ret, cap < NEAR_SMALL ? cap : NEAR_SMALL);
    if (got == 0)
        got = read_keeping(f, ret, cap);
    return got;
}

/** Hand @len bytes to the carrier and keep what it does not take. */
static int pass_out(struct flow *f, const uint8_t *data, size_t len)
{
    ssize_t took = f->carrier->send(f, data, len);

    if (took < 0)
        return (int)took;
    if ((size_t)took < len)
        return leftover_keep(&f->out, data + took, len - (size_t)took);
    return 0;
}

/** Pass on what waits since an earlier turn. Returns 1 when nothing waits any more. */
static int pass_leftover(struct flow *f)
{
    struct leftover *l = &f->out;
    ssize_t took;

    if (l->data == NULL)
        return 1;
    took = f->carrier->send(f, l->data + l->at, l->len - l->at);
    if (took < 0)
        return (int)took;
    l->at += (size_t)took;
    if (l->at < l->len)
        return 0;
    leftover_drop(l);
    return 1;
}

/** Bytes of the near end's wait for room. A reset, its close with unread bytes, does not: whoever
 * sent it is gone. Returns 0 or -errno. */
static int pump_blocked(struct flow *f)
{
    return f->near_err && f->near_hup ? near_error(f) : 0;
}

/** near → far. Returns 1: the budget is used up; 0: nothing more to do now; -errno: the flow broke.
 */
static int pump_out(struct flow *f)
{
    size_t budget = RELAY_BYTES_PER_TURN;

    while (!f->out_over) {
        int left = pass_leftover(f);
        size_t room, want;
        ssize_t got;

        if (left <= 0)
            return left < 0 ? left : pump_blocked(f);
        if (!f->near_readable)
            return 0;
        room = f->carrier->room(f);
        if (room == 0)
            return pump_blocked(f);
        if (budget == 0)
            return 1;
        want = room < RELAY_CHUNK ? room : RELAY_CHUNK;
        want = want < budget ? want : budget;
        got = near_read(f, f->ns->scratch, want);
        if (got == -EAGAIN) {
            f->near_readable = false;
            return 0;
        }
        if (got < 0)
            return (int)got;
        if (got == 0) {
            if (f->near_resets && f->near_hup)
                return -ECONNRESET;
            f->out_over = true;
            f->carrier->send_end(f);
            return 0;
        }
        if ((size_t)got < want && !f->near_has_more && !f->near_rdhup && !f->near_err)
            f->near_readable = false; /* drained; what comes later makes a new edge */
        budget -= (size_t)got;
        f->bytes_out += (uint64_t)got;
        left = pass_out(f, f->ns->scratch, (size_t)got);
        f->out_ends_urgent = false;
        if (left < 0)
            return left;
    }
    return 0;
}

/** Has all that the near end sent gone out? */
static bool is_near_drained(const struct flow *f)
{
    int queued = 0;

    return f->out.data == NULL && ioctl(f->near.fd, FIONREAD, &queued) == 0 &&
           queued <= (int)f->near_kept;
}

size_t relay_unsent(const struct flow *f)
{
    struct pollfd near = {.fd = f->near.fd, .events = POLLRDHUP};
    int queued = 0;
    size_t left = f->out.len - f->out.at;

    if (f->near.fd < 0 || poll(&near, 1, 0) <= 0 || (near.revents & (POLLRDHUP | POLLHUP)) == 0)
        return 0;
    if (!f->out_over && ioctl(f->near.fd, FIONREAD, &queued) == 0 && queued > (int)f->near_kept)
        left += (size_t)queued - f->near_kept;
    return left + (f->out_over ? 0 : 1);
}

ssize_t flow_send(struct flow *f, const uint8_t *data, size_t len)
{
    struct pollfd near = {.fd = f->near.fd, .events = POLLRDHUP};
    size_t room;
    ssize_t took;
    int err;

    if (f->state != FLOW_RELAYING || f->far_failed || f->out_over ||
        (poll(&near, 1, 0) > 0 && (near.revents & (POLLRDHUP | POLLHUP)) != 0))
        return -EPIPE;
    flow_queue(f); /* what breaks here is told in its turn */
    f->near_readable = true;
    err = pump_out(f);
    if (err < 0)
        flow_far_failed(f, err);
    if (err < 0 || f->out_over)
        return -EPIPE;
    room = f->carrier->room(f);
    if (err > 0 || room == 0 || !is_near_drained(f))
        return -EAGAIN;
    took = f->carrier->send(f, data, len < room ? len : room);
    if (took < 0)
        flow_far_failed(f, (int)took);
    else
        f->bytes_out += (uint64_t)took;
    return took < 0 ? -EPIPE : took == 0 ? -EAGAIN : took;
}

static size_t iov_total(const struct iovec *iov, int count)
{
    size_t total = 0;

    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

/** Write to the near end, the last byte as an urgent one if it is. Returns bytes, or -errno; a near
 * end that no longer reads takes all. */
static ssize_t near_write(struct flow *f, struct iovec *iov, int count, bool ends_urgent)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (ends_urgent ? MSG_OOB : 0);
    ssize_t put;

    if (f->near_deaf)
        return f->near_hup ? -EPIPE : (ssize_t)iov_total(iov, count);
    do
        put = sendmsg(f->near.fd, &msg, flags);
    while (put < 0 && errno == EINTR);
    if (put >= 0)
        return put;
    if ((errno == EPIPE || errno == ECONNRESET) && !f->near_hup && !f->near_is_tcp) {
        f->near_deaf = true; /* SHUT_RD: as TCP does, what comes is acknowledged and dropped */
        return (ssize_t)iov_total(iov, count);
    }
    return -errno;
}

/** far → near. Returns as pump_out(). */
static int pump_in(struct flow *f)
{
    size_t budget = RELAY_BYTES_PER_TURN;

    while (!f->in_over) {
        struct iovec iov[RELAY_IOV_MAX];
        int count;
        size_t total;
        ssize_t put;

        if (!f->near_writable)
            return 0;
        if (budget == 0)
            return 1;
        count = f->carrier->peek(f, iov, RELAY_IOV_MAX);
        if (count == 0)
            return 0;
        if (count == -ENODATA) {
            f->in_over = true;
            (void)shutdown(f->near.fd, SHUT_WR); /* fails only when the near end is gone already */
            return 0;
        }
        if (count < 0)
            return count;
        total = iov_total(iov, count);
        put = near_write(f, iov, count, f->in_ends_urgent);
        if (put == -EAGAIN) {
            near_is_full(f);
            f->carrier->take(f, 0);
            return 0;
        }
        if (put < 0)
            return (int)put;
        f->carrier->take(f, (size_t)put);
        f->bytes_in += (uint64_t)put;
        budget -= (size_t)put < budget ? (size_t)put : budget;
        if ((size_t)put < total)
            near_is_full(f);
    }
    return 0;
}

size_t relay_deliver(struct flow *f, const uint8_t *data, size_t len, bool ends_urgent)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len}; /* only read */
    ssize_t put;

    if (f->state != FLOW_RELAYING || f->in_over || f->far_failed || !f->near_writable)
        return 0;
    put = near_write(f, &iov, 1, ends_urgent);
    if (put < 0 && put != -EAGAIN)
        return 0; /* its own turn meets it again */
    if (put > 0)
        f->bytes_in += (uint64_t)put;
    if (put < (ssize_t)len)
        near_is_full(f);
    return put > 0 ? (size_t)put : 0;
}

/** True when the far end has sent what the near end, which is closed, can no longer read. */
static bool has_undelivered(struct flow *f)
{
    struct iovec iov[1];
    int count = f->carrier->peek(f, iov, 1);

    if (count > 0)
        f->carrier->take(f, 0);
    return count > 0;
}

/** The far end is broken, and the near end has not read all that came before. What it sent so far
 * is thrown away; what it sends later, or was blocked in sending, it must be told about. */
static bool speaks_to_nobody(struct flow *f)
{
    size_t thrown = 0;
    ssize_t got = 0;
    bool was_warned = f->near_is_unheard;

    leftover_drop(&f->out);
    while (f->near_readable && thrown < RELAY_BYTES_PER_TURN &&
           (got = near_read(f, f->ns->scratch, RELAY_CHUNK)) > 0)
        thrown += (size_t)got;
    f->near_readable = f->near_readable && got != -EAGAIN && got != 0;
    f->near_is_unheard = true;
    return was_warned && thrown > 0;
}

enum relay_result relay_run(struct flow *f)
{
    int out, in;

    in = pump_in(f);
    out = in < 0 || f->far_failed ? 0 : pump_out(f);
    if (in < 0 || out < 0) {
        flow_end(f, in < 0 ? in : out, /*reset_far=*/true);
        return RELAY_GONE;
    }
    if (f->far_failed) {
        /* What was received before the reset can still be read, as from a socket. */
        if (!f->near_hup && !f->carrier->is_outrun && has_undelivered(f) && !speaks_to_nobody(f))
            return in > 0 ? RELAY_AGAIN : RELAY_WAIT;
        flow_end(f, f->err, /*reset_far=*/true);
        return RELAY_GONE;
    }
    if (f->out_over && f->in_over && f->out.data == NULL) {
        flow_end(f, 0, /*reset_far=*/false);
        return RELAY_GONE;
    }
    if (f->out_over && f->near_hup && f->out.data == NULL) {
        /* The near end closed for good; the carrier finishes alone. Undelivered bytes make it a
         * reset (RFC 1122 4.2.2.13). */
        bool reset = has_undelivered(f);

        flow_end(f, reset ? -EPIPE : 0, reset);
        return RELAY_GONE;
    }
    f->carrier->flush(f);
    return in > 0 || out > 0 ? RELAY_AGAIN : RELAY_WAIT;
}
