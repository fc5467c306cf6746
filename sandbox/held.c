/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting calls in a fixed pool, found by socket and by thread; and the replay cache. No call is
 * answered here: events go to the owner.
 */
#include "sandbox/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

#define LOOK_MS_MIN 20u
#define LOOK_MS_MAX 640u
#define TID_BUCKETS 1024u

struct held_table {
    struct vsock nobody; /* has the calls about sockets of the kernel's among its waiters */
    struct loop *loop;
    struct held_events events;
    void *self;
    struct held *pool;
    struct held *free_first;
    struct held *by_tid[TID_BUCKETS];
    uint32_t used;
    uint32_t count;
    uint32_t fds; /* calls held with a descriptor */
    struct loop_timer look_timer;
    uint32_t look_ms;
};

int held_table_new(struct loop *loop, const struct held_events *events, void *self,
                   struct held_table **ret)
{
    struct held_table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return -ENOMEM;
    t->loop = loop;
    t->events = *events;
    t->self = self;
    t->pool = calloc(HELD_MAX, sizeof(t->pool[0]));
    if (t->pool == NULL) {
        free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

/** Unlink from thread, timer and watch; the socket's list is the caller's business. */
static void release(struct held_table *t, struct held *h)
{
    for (struct held **at = &t->by_tid[(unsigned)h->call.tid % TID_BUCKETS]; *at != NULL;
         at = &(*at)->tid_next) {
        if (*at == h) {
            *at = h->tid_next;
            break;
        }
    }
    loop_timer_clear(t->loop, &h->timer);
    if (h->watch.fd >= 0) {
        loop_unwatch(t->loop, &h->watch);
        own_close(&h->watch.fd);
        t->fds--;
    }
    h->sock = NULL;
    h->next = t->free_first;
    t->free_first = h;
    t->count--;
}

static void unlink_from_socket(struct held *h)
{
    for (struct held **at = &h->sock->waiters; *at != NULL; at = &(*at)->next) {
        if (*at == h) {
            *at = h->next;
            return;
        }
    }
}

void held_table_free(struct held_table *t)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->used; i++) {
        if (t->pool[i].sock != NULL) {
            unlink_from_socket(&t->pool[i]);
            release(t, &t->pool[i]);
        }
    }
    loop_timer_clear(t->loop, &t->look_timer);
    free(t->pool);
    free(t);
}

static void on_timer(void *self, struct mono now)
{
    struct held *h = self;
    struct held_table *t = h->table;
    struct call call = h->call;
    enum held_for what = h->what;

    (void)now;
    unlink_from_socket(h);
    release(t, h);
    t->events.expired(t->self, &call, what);
}

static void run_again(struct held *h)
{
    struct held_table *t = h->table;
    struct call call = h->call;
    struct mono deadline = h->deadline;

    unlink_from_socket(h);
    release(t, h);
    t->events.resume(t->self, &call, deadline);
}

static void on_ready(void *self, uint32_t events)
{
    (void)events;
    run_again(self);
}

/** Make room by dropping calls that nobody waits for any more. */
static void sweep(struct held_table *t)
{
    for (uint32_t i = 0; i < t->used; i++) {
        struct held *h = &t->pool[i];

        if (h->sock != NULL && !t->events.is_valid(t->self, &h->call)) {
            unlink_from_socket(h);
            release(t, h);
        }
    }
}

static void look_again(struct held_table *t)
{
    /* Without a timer, a dead call's descriptor stays open until its thread makes another. */
    (void)!loop_timer_set(t->loop, &t->look_timer, mono_add_ms(mono_now(), t->look_ms));
}

static void on_look(void *self, struct mono now)
{
    struct held_table *t = self;

    (void)now;
    sweep(t);
    if (t->fds == 0)
        return;
    t->look_ms = t->look_ms * 2 < LOOK_MS_MAX ? t->look_ms * 2 : LOOK_MS_MAX;
    look_again(t);
}

/** A call that was killed or interrupted leaves our duplicate of its socket open, and the peer
 * would not see the end: nothing tells us but a look. The longer nothing new comes, the rarer it
 * is. */
static void begin_to_look(struct held_table *t)
{
    t->look_timer.expired = on_look;
    t->look_timer.self = t;
    t->look_ms = LOOK_MS_MIN;
    if (t->look_timer.index_ == 0)
        look_again(t);
}

static struct held *take_slot(struct held_table *t)
{
    struct held *h = t->free_first;

    if (h != NULL)
        t->free_first = h->next;
    else if (t->used < HELD_MAX)
        h = &t->pool[t->used++];
    return h;
}

int held_add_fd(struct held_table *t, const struct call *call, struct vsock *v, enum held_for what,
                struct mono deadline, int fd, uint32_t events)
{
    struct held **bucket = &t->by_tid[(unsigned)call->tid % TID_BUCKETS];
    struct held *h = take_slot(t);
    struct held **last;

    if (h == NULL) {
        sweep(t);
        h = take_slot(t);
    }
    if (h == NULL) {
        own_close(&fd);
        return -ENOMEM;
    }
    *h = (struct held){
        .call = *call,
        .sock = v != NULL ? v : &t->nobody,
        .what = what,
        .deadline = deadline,
        .timer = {.expired = on_timer, .self = h},
        .watch = {.fd = fd, .ready = on_ready, .self = h},
        .table = t,
        .tid_next = *bucket,
    };
    *bucket = h;
    t->count++;
    t->fds += fd >= 0;
    for (last = &h->sock->waiters; *last != NULL; last = &(*last)->next)
        ; /* first come, first served */
    *last = h;
    if (loop_timer_set(t->loop, &h->timer, deadline) < 0 ||
        (fd >= 0 && loop_watch(t->loop, &h->watch, events | EPOLLONESHOT) < 0)) {
        unlink_from_socket(h);
        release(t, h);
        return -ENOMEM;
    }
    if (fd >= 0)
        begin_to_look(t);
    return 0;
}

int held_add(struct held_table *t, const struct call *call, struct vsock *v, enum held_for what,
             struct mono deadline)
{
    return held_add_fd(t, call, v, what, deadline, -1, 0);
}

void held_wake(struct held_table *t, struct vsock *v, unsigned what)
{
    struct call calls[64];
    struct mono deadlines[ARRAY_COUNT(calls)];
    unsigned count = 0;

    /* Taken out first: a call that has to wait again is appended, and @v may be freed meanwhile. */
    for (struct held **at = &v->waiters; *at != NULL && count < ARRAY_COUNT(calls);) {
        struct held *h = *at;

        if ((h->what & what) == 0) {
            at = &h->next;
            continue;
        }
        calls[count] = h->call;
        deadlines[count++] = h->deadline;
        *at = h->next;
        release(t, h);
    }
    for (unsigned i = 0; i < count; i++)
        t->events.resume(t->self, &calls[i], deadlines[i]);
}

void held_drop_thread(struct held_table *t, pid_t tid)
{
    struct held *h = t->by_tid[(unsigned)tid % TID_BUCKETS];

    while (h != NULL && h->call.tid != tid)
        h = h->tid_next;
    if (h == NULL)
        return;
    unlink_from_socket(h);
    release(t, h);
}

void held_drop_socket(struct held_table *t, struct vsock *v, int err,
                      void (*answer)(void *self, const struct call *call, int err))
{
    while (v->waiters != NULL) {
        struct held *h = v->waiters;
        struct call call = h->call;

        v->waiters = h->next;
        release(t, h);
        answer(t->self, &call, err);
    }
}

uint32_t held_count(const struct held_table *t)
{
    return t->count;
}

/* Replay */

void replay_keep(struct replay *r, const struct call *call, int64_t value)
{
    struct replay_entry *set = r->entries[(unsigned)call->tid % REPLAY_SETS];
    struct replay_entry *slot = &set[0];

    for (unsigned i = 0; i < REPLAY_WAYS; i++) {
        if (set[i].tid == call->tid || set[i].tid == 0) {
            slot = &set[i];
            break;
        }
        if (set[i].age < slot->age)
            slot = &set[i]; /* the oldest makes room */
    }
    *slot = (struct replay_entry){
        .tid = call->tid, .nr = call->nr, .ip = call->ip, .value = value, .age = ++r->clock};
    memcpy(slot->arg, call->arg, sizeof(slot->arg));
}

bool replay_take(struct replay *r, const struct call *call, int64_t *ret_value)
{
    struct replay_entry *set = r->entries[(unsigned)call->tid % REPLAY_SETS];

    for (unsigned i = 0; i < REPLAY_WAYS; i++) {
        struct replay_entry *e = &set[i];

        if (e->tid != call->tid)
            continue;
        e->tid = 0;
        if (e->nr != call->nr || e->ip != call->ip ||
            memcmp(e->arg, call->arg, sizeof(e->arg)) != 0)
            return false;
        *ret_value = e->value;
        return true;
    }
    return false;
}
