/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: events reach their watch, never a watch that was removed in the same turn; timers fire
 * in order, can be moved and cleared, and never early.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"

struct counter {
    struct loop *loop;
    struct loop_watch watch;
    struct loop_timer timer;
    struct counter *victim; /* unwatched, and its memory poisoned, when we run */
    unsigned calls;
    struct mono seen;
};

static void on_ready(void *self, uint32_t events)
{
    struct counter *c = self;

    ck_assert(events & EPOLLIN);
    c->calls++;
    if (c->victim != NULL)
        loop_unwatch(c->loop, &c->victim->watch);
}

static void make_readable(struct loop *l, struct counter *c, int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq((int)write(fds[1], "x", 1), 1);
    c->loop = l;
    c->watch = (struct loop_watch){.fd = fds[0], .ready = on_ready, .self = c};
    ck_assert_int_eq(loop_watch(l, &c->watch, EPOLLIN), 0);
}

START_TEST(turn_unwatched_by_a_neighbour_is_not_called)
{
    struct counter a = {0};
    struct counter b = {0};
    struct loop *l;
    int fds[4];

    ck_assert_int_eq(loop_new(&l), 0);
    make_readable(l, &a, fds);
    make_readable(l, &b, fds + 2);
    a.victim = &b;
    b.victim = &a;
    ck_assert_int_eq(loop_turn(l, mono_now()), 0);
    ck_assert_uint_eq(a.calls + b.calls, 1); /* both were ready; the first removed the other */
    loop_free(l);
    for (unsigned i = 0; i < 4; i++)
        (void)close(fds[i]);
}
END_TEST

START_TEST(watch_of_a_regular_file_fails_with_eperm)
{
    struct loop_watch w = {.ready = on_ready};
    struct loop *l;

    ck_assert_int_eq(loop_new(&l), 0);
    w.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(w.fd, 0);
    ck_assert_int_eq(loop_watch(l, &w, EPOLLIN), -EPERM);
    ck_assert(!w.is_active);
    (void)close(w.fd);
    loop_free(l);
}
END_TEST

/* Timers record the order in which they fire. */
struct firing {
    struct loop_timer timer;
    unsigned id;
    unsigned *order;
    unsigned *count;
    struct mono due;
};

static void on_expired(void *self, struct mono now)
{
    struct firing *f = self;

    ck_assert(!mono_before(now, f->due)); /* never early */
    f->order[(*f->count)++] = f->id;
}

START_TEST(timers_fire_in_order_of_time)
{
    enum { N = 200 };
    static struct firing timers[N];
    unsigned order[N];
    unsigned count = 0;
    unsigned expected = 0;
    struct loop *l;
    struct mono base = mono_now();

    srandom(7);
    ck_assert_int_eq(loop_new(&l), 0);
    for (unsigned i = 0; i < N; i++) {
        timers[i] = (struct firing){.id = i, .order = order, .count = &count};
        timers[i].timer = (struct loop_timer){.expired = on_expired, .self = &timers[i]};
        timers[i].due = mono_add_ns(base, random() % NS_PER_MS);
        ck_assert_int_eq(loop_timer_set(l, &timers[i].timer, timers[i].due), 0);
    }
    for (unsigned i = 0; i < N; i += 3) { /* move a third, clear another third */
        timers[i].due = mono_add_ns(base, random() % NS_PER_MS);
        ck_assert_int_eq(loop_timer_set(l, &timers[i].timer, timers[i].due), 0);
        if (i + 1 < N)
            loop_timer_clear(l, &timers[i + 1].timer);
    }
    for (unsigned i = 0; i < N; i++)
        expected += i % 3 != 1;
    while (count < expected)
        ck_assert_int_eq(loop_turn(l, MONO_NEVER), 0);
    for (unsigned i = 1; i < count; i++)
        ck_assert(!mono_before(timers[order[i]].due, timers[order[i - 1]].due));
    ck_assert_uint_eq(count, expected);
    loop_free(l);
}
END_TEST

struct rearming {
    struct loop *loop;
    struct loop_timer timer;
    unsigned calls;
};

static void rearm(void *self, struct mono now)
{
    struct rearming *r = self;

    r->calls++;
    ck_assert_int_eq(loop_timer_set(r->loop, &r->timer, now), 0);
}

START_TEST(timer_that_rearms_itself_in_the_past_does_not_starve_the_loop)
{
    struct rearming r = {0};

    ck_assert_int_eq(loop_new(&r.loop), 0);
    r.timer = (struct loop_timer){.expired = rearm, .self = &r};
    ck_assert_int_eq(loop_timer_set(r.loop, &r.timer, mono_now()), 0);
    ck_assert_int_eq(loop_turn(r.loop, MONO_NEVER), 0);
    ck_assert_uint_eq(r.calls, 1);
    ck_assert_int_eq(loop_turn(r.loop, MONO_NEVER), 0);
    ck_assert_uint_eq(r.calls, 2);
    loop_free(r.loop);
}
END_TEST

static void stop_at_end_of_turn(void *self)
{
    loop_stop(self);
}

START_TEST(stop_from_the_end_of_turn_call_ends_the_run_at_once)
{
    struct loop *loop;

    /* Nothing is watched and no timer set: a wait would last for ever (the test's limit is 20 s).
     */
    ck_assert_int_eq(loop_new(&loop), 0);
    loop_set_turn(loop, stop_at_end_of_turn, loop);
    ck_assert_int_eq(loop_run(loop), 0);
    loop_free(loop);
}
END_TEST

START_TEST(direct_watch_comes_first_and_timers_and_others_still_come)
{
    struct counter direct = {0};
    struct counter other = {0};
    struct loop *l;
    int fds[4];

    ck_assert_int_eq(loop_new(&l), 0);
    make_readable(l, &direct, fds);
    make_readable(l, &other, fds + 2);
    loop_unwatch(l, &direct.watch);
    loop_watch_directly(l, &direct.watch);
    ck_assert_int_eq(loop_turn(l, MONO_NEVER), 0);
    ck_assert_uint_eq(direct.calls, 1);
    ck_assert_uint_eq(other.calls, 1);
    direct.victim = &other; /* gone before its turn comes */
    ck_assert_int_eq(loop_turn(l, MONO_NEVER), 0);
    ck_assert_uint_eq(direct.calls, 2);
    ck_assert_uint_eq(other.calls, 1);
    loop_watch_directly(l, NULL);
    ck_assert_int_eq(loop_turn(l, mono_now()), 0); /* readable still, and nobody asks */
    ck_assert_uint_eq(direct.calls, 2);
    loop_free(l);
    for (unsigned i = 0; i < 4; i++)
        (void)close(fds[i]);
}
END_TEST

static void stop_late(void *self, struct mono now)
{
    (void)now;
    loop_stop(self);
}

START_TEST(silent_direct_watch_leaves_timers_their_time)
{
    struct counter silent = {0};
    struct loop_timer timer = {.expired = stop_late};
    struct loop *l;
    struct mono due;
    int fds[2];
    char byte;

    ck_assert_int_eq(loop_new(&l), 0);
    make_readable(l, &silent, fds);
    ck_assert_int_eq((int)read(fds[0], &byte, 1), 1);
    loop_unwatch(l, &silent.watch);
    loop_watch_directly(l, &silent.watch);
    timer.self = l;
    due = mono_add_ms(mono_now(), 20);
    ck_assert_int_eq(loop_timer_set(l, &timer, due), 0);
    ck_assert_int_eq(loop_run(l), 0);
    ck_assert(!mono_before(mono_now(), due));
    ck_assert_uint_eq(silent.calls, 0);
    loop_free(l);
    (void)close(fds[0]);
    (void)close(fds[1]);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(turn_unwatched_by_a_neighbour_is_not_called),
    SUITE_TEST(watch_of_a_regular_file_fails_with_eperm),
    SUITE_TEST(timers_fire_in_order_of_time),
    SUITE_TEST(timer_that_rearms_itself_in_the_past_does_not_starve_the_loop),
    SUITE_TEST(direct_watch_comes_first_and_timers_and_others_still_come),
    SUITE_TEST(silent_direct_watch_leaves_timers_their_time),
    SUITE_TEST(stop_from_the_end_of_turn_call_ends_the_run_at_once),
};
SUITE_MAIN("base/loop", tests)
