/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services for the families of calls: agent memory tied to a living notification, waiting, the
 * birth and the end of virtual sockets, local names. It decides nothing about destinations.
 */
#include "sandbox/session.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/own.h"
#include "sandbox/holders.h"
#include "sandbox/loopback.h"
#include "sandbox/records.h"
#include "sandbox/sys_ping.h"
#include "sandbox/udp_errors.h"

#define RETRY_MS 10 /* until a call is tried again that nothing wakes */

uint32_t session_random(struct session *s)
{
    if (s->random_left == 0) {
        s->rng.fill(s->rng.self, s->random, sizeof(s->random));
        s->random_left = ARRAY_COUNT(s->random);
    }
    return s->random[--s->random_left];
}

/* Agent memory */

bool session_guards(const struct session *s, pid_t pid)
{
    for (unsigned i = 0; i < ARRAY_COUNT(s->guarded_pids); i++)
        if (pid != 0 && pid == s->guarded_pids[i])
            return true;
    return false;
}

int trap_read(struct session *s, const struct trap *t, uint64_t from, void *ret, size_t len)
{
    int err = agent_read(&s->agents, t->call.tid, (struct agent_ptr){from}, ret, len);

    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    return err;
}

int trap_write(struct session *s, const struct trap *t, uint64_t to, const void *data, size_t len)
{
    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    return agent_write(&s->agents, t->call.tid, (struct agent_ptr){to}, data, len);
}

int trap_tell(struct session *s, const struct trap *t, uint64_t to, const void *data, size_t len)
{
    return agent_write(&s->agents, t->call.tid, (struct agent_ptr){to}, data, len);
}

int sockaddr_read(struct session *s, const struct trap *t, uint64_t addr, uint64_t len,
                  struct sockaddr_storage *ret, unsigned *ret_len)
{
    int n = (int)len; /* the kernel's parameter is an int: the upper half does not count */

    if (n < 0 || (size_t)n > sizeof(*ret))
        return -EINVAL;
    memset(ret, 0, sizeof(*ret));
    *ret_len = (unsigned)n;
    return trap_read(s, t, addr, ret, (size_t)n);
}

/** Write @data, cut to the room that the agent's length says, and the new length, as one step. */
static int write_sized(struct session *s, const struct trap *t, const void *data, unsigned len,
                       uint64_t addr, uint64_t len_addr, bool tell_uncut)
{
    int room;
    unsigned cut, told;
    int err =
        agent_read(&s->agents, t->call.tid, (struct agent_ptr){len_addr}, &room, sizeof(room));

    if (err == 0 && room < 0)
        err = -EINVAL;
    if (!notify_is_valid(&s->notify, t->call.id))
        return -ESRCH;
    if (err < 0)
        return err;
    cut = len < (unsigned)room ? len : (unsigned)room;
    told = tell_uncut ? len : cut;
    return agent_write_pieces(
        &s->agents, t->call.tid,
        (const struct agent_piece[]){{.to = {addr}, .data = data, .len = cut},
                                     {.to = {len_addr}, .data = &told, .len = sizeof(told)}},
        2);
}

int sockaddr_write(struct session *s, const struct trap *t, const void *data, unsigned len,
                   uint64_t addr, uint64_t len_addr)
{
    return write_sized(s, t, data, len, addr, len_addr, /*tell_uncut=*/true);
}

int option_write(struct session *s, const struct trap *t, const void *value, unsigned len)
{
    return write_sized(s, t, value, len, t->call.arg[3], t->call.arg[4], /*tell_uncut=*/false);
}

/* Waiting */

bool trap_is_nonblock(struct session *s, const struct trap *t)
{
    int flags = t->fd >= 0 ? fcntl(t->fd, F_GETFL)
                           : agent_fd_flags(&s->agents, t->call.tid, (int)t->call.arg[0]);

    return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

uint32_t trap_events(const struct trap *t)
{
    return inject_events(t->fd, t->sock != NULL ? t->sock->look_fd : -1);
}

struct mono trap_deadline(struct session *s, const struct trap *t, int option)
{
    struct timeval limit = {0};
    socklen_t len = sizeof(limit);

    if (t->is_resumed)
        return t->deadline;
    if (option == 0 || t->fd < 0 || getsockopt(t->fd, SOL_SOCKET, option, &limit, &len) < 0 ||
        (limit.tv_sec == 0 && limit.tv_usec == 0))
        return MONO_NEVER;
    if (limit.tv_sec > INT32_MAX)
        return MONO_NEVER;
    (void)s;
    return mono_add_ns(mono_now(), limit.tv_sec * NS_PER_S + limit.tv_usec * NS_PER_US);
}

int64_t trap_hold(struct session *s, const struct trap *t, enum held_for what, int option)
{
    int err = held_add(s->held, &t->call, t->sock, what, trap_deadline(s, t, option));

    return err < 0 ? err : CALL_HELD;
}

int64_t trap_hold_own(struct session *s, const struct trap *t, enum held_for what, int option,
                      int fd, uint32_t events)
{
    int err =
        held_add_fd(s->held, &t->call, t->sock, what, trap_deadline(s, t, option), fd, events);

    return err < 0 ? err : CALL_HELD;
}

int64_t trap_hold_fd(struct session *s, const struct trap *t, enum held_for what, int option,
                     uint32_t events)
{
    int copy = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0)
        return -errno;
    return trap_hold_own(s, t, what, option, copy, events);
}

int64_t trap_hold_shortly(struct session *s, const struct trap *t, enum held_for what, int option)
{
    struct itimerspec soon = {.it_value = {.tv_nsec = RETRY_MS * NS_PER_MS}};
    auto_fd timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (timer < 0 || timerfd_settime(timer, 0, &soon, NULL) < 0)
        return -EAGAIN;
    return trap_hold_own(s, t, what, option, take_fd(&timer), EPOLLIN);
}

/* Birth and end */

struct flow_info *sock_info(struct session *s, const struct vsock *v)
{
    return &s->flow_infos[vsock_index(s->sockets, v)];
}

int sock_watch(struct session *s, struct vsock *v, uint32_t events,
               void (*ready)(void *self, uint32_t events))
{
    if (v->watch.is_active)
        loop_unwatch(s->loop, &v->watch);
    v->watch = (struct loop_watch){.fd = v->our_end, .ready = ready, .self = v};
    return loop_watch(s->loop, &v->watch, events);
}

void sock_close_end(struct session *s, struct vsock *v)
{
    loop_unwatch(s->loop, &v->watch);
    own_close(&v->our_end);
}

void sock_let_go(struct vsock *v)
{
    int look;

    if (v->kept_fd < 0)
        return;
    look = inject_look(v->kept_fd);
    own_close(&v->look_fd);
    v->look_fd = look >= 0 ? look : -1; /* without it, its state is not known */
    own_close(&v->kept_fd);
}

static void answer_error(void *self, const struct call *call, int err)
{
    struct session *s = self;

    (void)notify_answer(&s->notify, call->id, err); /* ENOENT: nobody waits any more */
}

void sock_end(struct session *s, struct vsock *v)
{
    struct vsock *child;

    if (v->is_ending)
        return;
    v->is_ending = true;
    held_drop_socket(s->held, v, -EBADF, answer_error);
    if (v->flow != NULL) {
        struct flow *f = v->flow;

        flow_abort(f); /* closed() has cleared v->flow when the flow was open */
        v->flow = NULL;
    }
    loopback_forget(v);
    loopback_refuse(s, v);
    while ((child = vsock_queue_pop(v)) != NULL) {
        child->is_queued = false;
        sock_end(s, child);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(v->dgram); i++) {
        if (v->dgram[i] != NULL)
            dgram_close(v->dgram[i]);
        v->dgram[i] = NULL;
    }
    udp_errors_drop(v);
    ping_end(s, v);
    if (v->kind == VSOCK_UDP)
        records_udp_end(s, v);
    sock_close_end(s, v);
    own_close(&v->kept_fd);
    own_close(&v->look_fd);
    vsock_free(s->sockets, v);
}

/** Without a look at the agent's descriptors: closed for certain, or perhaps still open? */
static bool may_be_open(struct session *s, struct vsock *v)
{
    struct pollfd p = {.fd = v->our_end};

    if (v->our_end < 0)
        return v->inode != 0 && unix_diag_is_open(&s->diag, v->inode);
    /* shutdown(2) hangs up as well, so the hint is confirmed. */
    return poll(&p, 1, 0) <= 0 || (p.revents & POLLHUP) == 0 ||
           unix_diag_is_open(&s->diag, v->inode);
}

/** End sockets that no process has any more and that nothing else would have told us about. */
static void sweep(struct session *s)
{
    uint32_t slots = vsock_slots_used(s->sockets);

    if (!s->agents.can_get_fd)
        holders_sweep(s);
    for (uint32_t i = 0; i < slots; i++) {
        struct vsock *v = vsock_at(s->sockets, i);

        if (v == NULL || v->flow != NULL || v->is_queued || v->is_busy || v->kept_fd >= 0)
            continue;
        if (!may_be_open(s, v))
            sock_end(s, v);
    }
    s->sweep_at = 2 * vsock_count(s->sockets);
    if (s->sweep_at < 256)
        s->sweep_at = 256;
}

bool sock_make_room(struct session *s)
{
    if (s->agents.can_get_fd)
        return false; /* the kernel has told us of each */
    sweep(s);
    return true;
}

bool sock_is_open(struct session *s, struct vsock *v)
{
    bool is_open = v->is_busy || may_be_open(s, v);

    if (is_open && !v->is_busy && v->kept_fd >= 0) /* our own duplicate keeps it open: who else? */
        is_open = holders_have(s, v);
    if (!is_open)
        sock_end(s, v);
    return is_open;
}

/* Birth */

int sock_new(struct session *s, enum vsock_kind kind, int agent_end, struct vsock **ret)
{
    uint64_t inode;
    int err = inject_inode(agent_end, &inode);

    if (err < 0)
        return err;
    if (vsock_count(s->sockets) >= s->sweep_at || vsock_count(s->sockets) == VSOCK_MAX)
        sweep(s);
    err = vsock_new(s->sockets, kind, inode, ret);
    if (err < 0)
        return err;
    (*ret)->owner = s;
    (*ret)->opened_at = loop_now(s->loop);
    return 0;
}

int64_t sock_give(struct session *s, const struct trap *t, struct vsock *v, int agent_end,
                  bool is_cloexec)
{
    int number = notify_give_fd(&s->notify, t->call.id, agent_end, is_cloexec);

    if (number >= 0 && !s->agents.can_get_fd) {
        v->kept_fd = take_fd(&agent_end);
        holders_note(v, t->call.tid, number);
    }
    own_close(&agent_end);
    if (number >= 0)
        return CALL_DONE;
    sock_end(s, v);
    return number == -ENOENT ? CALL_DONE : number;
}

/* Local names */

bool sock_is_own_ip(const struct session *s, const struct ip *ip)
{
    return ip_is_any(ip) || ip_is_loopback(ip) ||
           (s->local_v4.family != IP_NONE && ip_equal(ip, &s->local_v4)) ||
           (s->local_v6.family != IP_NONE && ip_equal(ip, &s->local_v6));
}

bool sock_is_host_ip(const struct session *s, const struct ip *ip)
{
    return ip_is_loopback(ip) ||
           (s->config->network == NETSTACK_DIRECT && !ip_is_any(ip) && sock_is_own_ip(s, ip));
}

int sock_claim(struct session *s, struct vsock *v, const struct endpoint *at)
{
    struct endpoint wanted = *at;
    struct vsock *owner;

    if (wanted.port == 0) {
        int err = vsock_pick_port(s->sockets, v, &wanted.ip, session_random(s), &wanted.port);

        if (err == -EADDRINUSE) {
            sweep(s);
            err = vsock_pick_port(s->sockets, v, &wanted.ip, session_random(s), &wanted.port);
        }
        if (err < 0)
            return err;
    }
    while ((owner = vsock_conflict(s->sockets, v, &wanted)) != NULL) {
        if (owner->is_queued || owner->flow != NULL || sock_is_open(s, owner))
            return -EADDRINUSE;
    }
    vsock_bind(s->sockets, v, &wanted);
    return 0;
}
