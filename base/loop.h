/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One epoll loop per process: descriptors, timers, signals. Handlers run to completion on one
 * thread and do bounded work. Watches and timers live in the caller's storage; the loop only links
 * to them.
 *
 * Lifecycle: loop_init → add watches and timers → loop_run (until loop_stop) → loop_done.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/must.h"

struct loop;

/** A watched descriptor. The owner embeds it; zero it before the first loop_watch(). */
struct loop_watch {
    int fd;                                     /* borrowed: loop_unwatch() before closing it */
    void (*ready)(void *self, uint32_t events); /* EPOLLIN … ; may unwatch and free any watch */
    void *self;
    bool is_active;   /* read-only for the owner */
    uint64_t serial_; /* private: tells an event for an older watch in the same memory */
};

/** A timer. The owner embeds it; zero it before the first loop_timer_set(). */
struct loop_timer {
    void (*expired)(void *self, struct mono now);
    void *self;
    struct mono at;  /* read-only for the owner */
    uint32_t index_; /* private: 1-based place in the heap, 0 when not armed */
};

int loop_new(struct loop **ret_loop) MUST_USE;
/** loop_free() - Accepts NULL. Watches and timers still linked are forgotten, not called. */
void loop_free(struct loop *l);

/** loop_watch() - Start or change watching w->fd for @events (level-triggered unless EPOLLET is
 * given). Errors: -errno of epoll_ctl(2), e.g. -EPERM for a regular file. */
int loop_watch(struct loop *l, struct loop_watch *w, uint32_t events) MUST_USE;
/** loop_unwatch() - Stop; harmless when not active. No handler of @w runs afterwards, not even for
 * an event already received in this turn. */
void loop_unwatch(struct loop *l, struct loop_watch *w);

/** loop_timer_set() - Arm, or move, @t to @at; MONO_NEVER disarms. A past time fires in the next
 * turn. Errors: -ENOMEM the heap could not grow (the timer is then disarmed). */
int loop_timer_set(struct loop *l, struct loop_timer *t, struct mono at) MUST_USE;
void loop_timer_clear(struct loop *l, struct loop_timer *t);

/** loop_watch_directly() - Wait for input on w->fd with poll(2), beside epoll and not through it:
 * the waker's wish on which processor its reader shall go on gets lost in epoll, and that is half
 * of the cost of a short question and answer. One per loop (@w is borrowed); NULL ends it. Its
 * handler runs first in a turn. loop_fd() does not show it. */
void loop_watch_directly(struct loop *l, struct loop_watch *w);

/** loop_set_turn() - Call @before_wait(@self) once in every turn, after all handlers and before
 * sleeping; for flushing batches. One per loop; NULL removes it. */
void loop_set_turn(struct loop *l, void (*before_wait)(void *self), void *self);

/** loop_now() - The time at which this turn began; cheap, monotonic. */
struct mono loop_now(const struct loop *l);

/** loop_run() - Turn until loop_stop(). Returns 0, or -errno when waiting itself fails. */
int loop_run(struct loop *l) MUST_USE;
/** loop_turn() - One turn: wait until something is ready, at most until @until, and handle it. */
int loop_turn(struct loop *l, struct mono until) MUST_USE;
void loop_stop(struct loop *l);

/** loop_fd() - The epoll descriptor (borrowed), so that one loop can nest in another. */
int loop_fd(const struct loop *l);

#endif
