/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into /proc/PID/fd for the holders of virtual sockets. It ends no socket itself but those
 * that nobody has and somebody waits for. What it is good for is shown live: by the listeners and
 * receivers that are closed in tests/differ.
 *
 * A look at everybody's descriptors takes a while, and a descriptor may be moved to a number that
 * was passed already (dup2 and close). So only what two looks in a row did not find is closed.
 */
#include "sandbox/holders.h"

#define LOOKS            2
#define LOOK_MS_MIN      1
#define LOOK_MS_MAX      250
#define PASSED_MS        1000 /* then it is asked again whether a message may still carry it */
#define PASSED_WAITS_MAX 60
#define LOOK_SHARE       20 /* looking takes at most this part of the time */

void holders_note(struct vsock *v, pid_t tid, int fd)
{
    v->holder_tid = tid;
    v->holder_fd = fd;
}

static bool is_where_it_was(struct session *s, const struct vsock *v)
{
    uint64_t inode;

    return agent_fd_inode(&s->agents, v->holder_tid, v->holder_fd, &inode) == 0 &&
           inode == v->inode;
}

static bool is_passed_on(const struct vsock *v)
{
    return mono_before(mono_now(), v->passed_until);
}

static void on_seen(void *self, uint64_t inode, pid_t tid, int fd)
{
    struct session *s = self;
    struct vsock *v = vsock_find(s->sockets, inode);

    if (v == NULL)
        return;
    v->seen = s->survey_serial;
    holders_note(v, tid, fd);
}

static void survey(struct session *s)
{
    agent_survey(&s->agents, on_seen, s);
}

struct carriers {
    struct agents *agents;
    bool is_any;
};

static void on_socket(void *self, uint64_t inode, pid_t tid, int fd)
{
    struct carriers *c = self;

    (void)inode;
    c->is_any = c->is_any || agent_fd_carries(c->agents, tid, fd);
}

/** It was sent to another process, which may not have read the message yet. Which message carries
 * what is not to be seen, so this is believed for a minute at most. */
static bool may_be_unread(struct session *s, struct vsock *v)
{
    struct carriers c = {.agents = &s->agents};

    if (v->passed_until.ns == 0 || v->passed_waits == PASSED_WAITS_MAX)
        return false;
    agent_survey(&s->agents, on_socket, &c);
    if (!c.is_any)
        return false;
    v->passed_waits++;
    v->passed_until = mono_add_ms(mono_now(), PASSED_MS);
    return true;
}

bool holders_have(struct session *s, struct vsock *v)
{
    if (is_where_it_was(s, v) || is_passed_on(v))
        return true;
    s->survey_serial++;
    for (unsigned i = 0; i < LOOKS && v->seen != s->survey_serial; i++)
        survey(s);
    return v->seen == s->survey_serial || may_be_unread(s, v);
}

static bool is_kept(const struct vsock *v)
{
    return v->kept_fd >= 0 && !v->is_busy;
}

/** Would somebody see that it was closed? */
static bool is_awaited(const struct vsock *v)
{
    if (!is_kept(v))
        return false;
    switch ((enum vsock_kind)v->kind) {
    case VSOCK_TCP:
        return v->state == VSOCK_CONNECTING || v->queue_count > 0 || v->wait_count > 0;
    case VSOCK_UDP:
    case VSOCK_PING:
        return v->dgram[0] != NULL || v->dgram[1] != NULL; /* its record, and its port outside */
    case VSOCK_NETLINK:
        break;
    }
    return false;
}

/** End those that @is_meant and nobody has: one survey for all. Returns how many are left. */
static unsigned sweep(struct session *s, bool (*is_meant)(const struct vsock *v))
{
    uint32_t slots = vsock_slots_used(s->sockets);
    uint32_t serial = ++s->survey_serial;
    unsigned doubts = 0;
    unsigned left = 0;

    for (uint32_t i = 0; i < slots; i++) {
        struct vsock *v = vsock_at(s->sockets, i);

        if (v == NULL || !is_meant(v))
            continue;
        if (is_where_it_was(s, v) || is_passed_on(v))
            v->seen = serial;
        else
            doubts++;
    }
    for (unsigned i = 0; i < LOOKS && doubts > 0; i++)
        survey(s);
    for (uint32_t i = 0; i < slots; i++) {
        struct vsock *v = vsock_at(s->sockets, i);

        if (v == NULL || !is_meant(v))
            continue;
        if (v->seen == serial || may_be_unread(s, v))
            left++;
        else
            sock_end(s, v);
    }
    return left;
}

void holders_sweep(struct session *s)
{
    (void)sweep(s, is_kept);
}

static void look_after(struct session *s, int64_t wait_ns)
{
    /* Without a timer, they are looked up only where the answer decides something. */
    (void)!loop_timer_set(s->loop, &s->holders_timer, mono_add_ns(mono_now(), wait_ns));
}

static void on_look(void *self, struct mono now)
{
    struct session *s = self;
    struct mono begun = mono_now();
    int64_t took_ns, wait_ns;

    (void)now;
    if (sweep(s, is_awaited) == 0)
        return;
    s->holders_ms = 2 * s->holders_ms < LOOK_MS_MAX ? 2 * s->holders_ms : LOOK_MS_MAX;
    took_ns = mono_now().ns - begun.ns;
    wait_ns = s->holders_ms * NS_PER_MS;
    look_after(s, wait_ns > LOOK_SHARE * took_ns ? wait_ns : LOOK_SHARE * took_ns);
}

void holders_look_soon(struct session *s, const struct vsock *v)
{
    if (v->kept_fd < 0)
        return;
    s->holders_timer.expired = on_look;
    s->holders_timer.self = s;
    if (s->holders_timer.index_ != 0 && s->holders_ms == LOOK_MS_MIN)
        return; /* it is due soon enough */
    s->holders_ms = LOOK_MS_MIN;
    look_after(s, LOOK_MS_MIN * NS_PER_MS);
}

void holders_done(struct session *s)
{
    loop_timer_clear(s->loop, &s->holders_timer);
}
