/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll plus a binary heap of timers. An epoll event carries a slot number and that slot's serial,
 * not a pointer: a handler may unwatch and free any watch, and an event of the same turn that was
 * meant for it then finds an empty slot, or another serial, and is dropped.
 */
#include "base/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64

struct slot {
    struct loop_watch *watch; /* NULL: free */
    uint32_t serial;
    uint32_t next_free; /* 1-based; 0: end of the free list */
};

struct loop {
    int epoll_fd;
    bool is_stopping;
    struct mono now;
    struct slot *slots;
    uint32_t slot_count;
    uint32_t slot_cap;
    uint32_t first_free; /* 1-based */
    struct loop_timer **heap;
    uint32_t heap_count;
    uint32_t heap_cap;
    void (*before_wait)(void *self);
    void *before_wait_self;
    struct loop_watch *direct; /* borrowed; NULL: none */
};

int loop_new(struct loop **ret_loop)
{
    struct loop *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return -ENOMEM;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        int err = -errno;

        free(l);
        return err;
    }
    l->now = mono_now();
    *ret_loop = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    (void)close(l->epoll_fd);
    free(l->slots);
    free(l->heap);
    free(l);
}

static uint64_t tag_make(uint32_t index, uint32_t serial)
{
    return (uint64_t)serial << 32 | index;
}

/** Double an array that is full. */
static int grow(void **array, uint32_t *cap, size_t element)
{
    uint32_t more = *cap > 0 ? *cap * 2 : 64;
    void *grown = reallocarray(*array, more, element);

    if (grown == NULL)
        return -ENOMEM;
    *array = grown;
    *cap = more;
    return 0;
}

static int slot_take(struct loop *l, uint32_t *ret_index)
{
    if (l->first_free != 0) {
        *ret_index = l->first_free - 1;
        l->first_free = l->slots[*ret_index].next_free;
        return 0;
    }
    if (l->slot_count == l->slot_cap &&
        grow((void **)&l->slots, &l->slot_cap, sizeof(l->slots[0])) < 0)
        return -ENOMEM;
    *ret_index = l->slot_count++;
    l->slots[*ret_index] = (struct slot){0};
    return 0;
}

static void slot_give(struct loop *l, uint32_t index)
{
    struct slot *s = &l->slots[index];

    s->watch = NULL;
    s->serial++;
    s->next_free = l->first_free;
    l->first_free = index + 1;
}

int loop_watch(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = events};
    uint32_t index;

    if (w->is_active) {
        ev.data.u64 = w->serial_;
        return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) < 0 ? -errno : 0;
    }
    if (slot_take(l, &index) < 0)
        return -ENOMEM;
    ev.data.u64 = tag_make(index, l->slots[index].serial);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0) {
        int err = -errno;

        slot_give(l, index);
        return err;
    }
    l->slots[index].watch = w;
    w->serial_ = ev.data.u64;
    w->is_active = true;
    return 0;
}

void loop_unwatch(struct loop *l, struct loop_watch *w)
{
    if (!w->is_active)
        return;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL); /* closed already: gone anyway */
    slot_give(l, (uint32_t)w->serial_);
    w->is_active = false;
}

/* The heap: parent of i is (i-1)/2; each timer knows its place, so it can be moved and removed. */

static void heap_put(struct loop *l, uint32_t i, struct loop_timer *t)
{
    l->heap[i] = t;
    t->index_ = i + 1;
}

static void heap_up(struct loop *l, uint32_t i, struct loop_timer *t)
{
    while (i > 0 && mono_before(t->at, l->heap[(i - 1) / 2]->at)) {
        heap_put(l, i, l->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(l, i, t);
}

static void heap_down(struct loop *l, uint32_t i, struct loop_timer *t)
{
    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= l->heap_count)
            break;
        if (child + 1 < l->heap_count && mono_before(l->heap[child + 1]->at, l->heap[child]->at))
            child++;
        if (!mono_before(l->heap[child]->at, t->at))
            break;
        heap_put(l, i, l->heap[child]);
        i = child;
    }
    heap_put(l, i, t);
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
    struct loop_timer *last;
    uint32_t i;

    if (t->index_ == 0)
        return;
    i = t->index_ - 1;
    t->index_ = 0;
    t->at = MONO_NEVER;
    last = l->heap[--l->heap_count];
    if (last == t)
        return;
    if (i > 0 && mono_before(last->at, l->heap[(i - 1) / 2]->at))
        heap_up(l, i, last);
    else
        heap_down(l, i, last);
}

int loop_timer_set(struct loop *l, struct loop_timer *t, struct mono at)
{
    if (t->index_ != 0 && t->at.ns == at.ns)
        return 0;
    loop_timer_clear(l, t);
    t->at = at;
    if (at.ns == INT64_MAX)
        return 0;
    if (l->heap_count == l->heap_cap &&
        grow((void **)&l->heap, &l->heap_cap, sizeof(l->heap[0])) < 0)
        return -ENOMEM;
    heap_up(l, l->heap_count++, t);
    return 0;
}

void loop_watch_directly(struct loop *l, struct loop_watch *w)
{
    l->direct = w;
}

void loop_set_turn(struct loop *l, void (*before_wait)(void *self), void *self)
{
    l->before_wait = before_wait;
    l->before_wait_self = self;
}

struct mono loop_now(const struct loop *l)
{
    return l->now;
}

int loop_fd(const struct loop *l)
{
    return l->epoll_fd;
}

void loop_stop(struct loop *l)
{
    l->is_stopping = true;
}

/** Milliseconds to sleep, rounded up so that a timer is never early; -1: no deadline. */
static int wait_ms(const struct loop *l, struct mono until)
{
    struct mono next = l->heap_count > 0 ? mono_min(until, l->heap[0]->at) : until;
    int64_t left;

    if (l->is_stopping) /* by the end-of-turn call: loop_run() must come back and see it */
        return 0;
    if (next.ns == INT64_MAX)
        return -1;
    left = next.ns - mono_now().ns;
    if (left <= 0)
        return 0;
    left = (left + NS_PER_MS - 1) / NS_PER_MS;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

static void fire_timers(struct loop *l)
{
    struct mono turn = l->now;

    /* A handler that re-arms at or before this turn's time waits for the next turn. */
    for (uint32_t budget = l->heap_count; budget > 0 && l->heap_count > 0; budget--) {
        struct loop_timer *t = l->heap[0];

        if (mono_before(turn, t->at))
            break;
        loop_timer_clear(l, t);
        t->expired(t->self, turn);
    }
}

/** Wait with poll(2) for the direct descriptor and for epoll's, and handle the former.
 * Returns 1: epoll has events; 0; -errno. */
static int wait_direct(struct loop *l, int timeout_ms)
{
    struct loop_watch *w = l->direct;
    struct pollfd polled[] = {{.fd = w->fd, .events = POLLIN},
                              {.fd = l->epoll_fd, .events = POLLIN}};
    int count = poll(polled, ARRAY_COUNT(polled), timeout_ms);

    if (count <= 0)
        return count == 0 || errno == EINTR ? 0 : -errno;
    l->now = mono_now();
    if (polled[0].revents != 0) /* the bits are those of epoll */
        w->ready(w->self, (uint32_t)(uint16_t)polled[0].revents);
    return polled[1].revents != 0 ? 1 : 0;
}

static int wait_events(struct loop *l, struct mono until, struct epoll_event *ret, int cap)
{
    int timeout_ms = wait_ms(l, until);
    int count = 1;

    if (l->direct != NULL) {
        count = wait_direct(l, timeout_ms);
        timeout_ms = 0;
    }
    if (count <= 0)
        return count;
    count = epoll_wait(l->epoll_fd, ret, cap, timeout_ms);
    if (count >= 0)
        return count;
    return errno == EINTR ? 0 : -errno;
}

int loop_turn(struct loop *l, struct mono until)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count;

    if (l->before_wait != NULL)
        l->before_wait(l->before_wait_self);
    count = wait_events(l, until, events, EVENTS_PER_TURN);
    if (count < 0)
        return count;
    l->now = mono_now();
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)events[i].data.u64;
        struct slot *s = &l->slots[index];

        if (s->watch != NULL && tag_make(index, s->serial) == events[i].data.u64)
            s->watch->ready(s->watch->self, events[i].events);
    }
    fire_timers(l);
    return 0;
}

int loop_run(struct loop *l)
{
    l->is_stopping = false;
    while (!l->is_stopping) {
        int err = loop_turn(l, MONO_NEVER);

        if (err < 0)
            return err;
    }
    if (l->before_wait != NULL)
        l->before_wait(l->before_wait_self);
    return 0;
}
