/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting calls and answers that were lost: who is woken, when, and who gets an answer a second
 * time.
 */
#include "sandbox/held.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/suite.h"

struct world {
    struct loop *loop;
    struct vsock_table *sockets;
    struct held_table *held;
    struct vsock *sock;
    uint64_t resumed[16]; /* ids, in order */
    unsigned resumed_count;
    uint64_t expired;
    unsigned answered;
    bool is_valid;
};

static void on_resume(void *self, const struct call *call, struct mono deadline)
{
    struct world *w = self;

    (void)deadline;
    w->resumed[w->resumed_count++] = call->id;
}

static void on_expired(void *self, const struct call *call, enum held_for what)
{
    struct world *w = self;

    (void)what;
    w->expired = call->id;
    loop_stop(w->loop);
}

static bool on_valid(void *self, const struct call *call)
{
    struct world *w = self;

    (void)call;
    return w->is_valid;
}

static void world_init(struct world *w)
{
    static const struct held_events events = {
        .resume = on_resume, .expired = on_expired, .is_valid = on_valid};

    *w = (struct world){.is_valid = true};
    ck_assert_int_eq(loop_new(&w->loop), 0);
    ck_assert_int_eq(vsock_table_new(4, &w->sockets), 0);
    ck_assert_int_eq(held_table_new(w->loop, &events, w, &w->held), 0);
    ck_assert_int_eq(vsock_new(w->sockets, VSOCK_TCP, 1, &w->sock), 0);
}

static void world_done(struct world *w)
{
    held_table_free(w->held);
    vsock_free(w->sockets, w->sock);
    vsock_table_free(w->sockets);
    loop_free(w->loop);
}

static struct call call_of(pid_t tid, uint64_t id)
{
    return (struct call){.id = id, .tid = tid, .nr = 42, .arg = {3, 4}, .ip = 0x1000};
}

static void hold(struct world *w, pid_t tid, uint64_t id, enum held_for what)
{
    struct call call = call_of(tid, id);

    ck_assert_int_eq(held_add(w->held, &call, w->sock, what, MONO_NEVER), 0);
}

/* Only those that wait for it are woken, first come, first served. */
START_TEST(wake_picks_by_reason_in_order)
{
    struct world w;

    world_init(&w);
    hold(&w, 1, 11, HELD_ACCEPT);
    hold(&w, 2, 12, HELD_INPUT);
    hold(&w, 3, 13, HELD_ACCEPT);
    held_wake(w.held, w.sock, HELD_ACCEPT);
    ck_assert_uint_eq(w.resumed_count, 2);
    ck_assert_uint_eq(w.resumed[0], 11);
    ck_assert_uint_eq(w.resumed[1], 13);
    ck_assert_uint_eq(held_count(w.held), 1);
    held_wake(w.held, w.sock, HELD_ALL);
    ck_assert_uint_eq(w.resumed[2], 12);
    ck_assert_uint_eq(held_count(w.held), 0);
    world_done(&w);
}
END_TEST

/* A thread that makes another call no longer waits in the one before. */
START_TEST(new_call_voids_the_old)
{
    struct world w;

    world_init(&w);
    hold(&w, 7, 1, HELD_INPUT);
    held_drop_thread(w.held, 8);
    ck_assert_uint_eq(held_count(w.held), 1);
    held_drop_thread(w.held, 7);
    ck_assert_uint_eq(held_count(w.held), 0);
    held_wake(w.held, w.sock, HELD_ALL);
    ck_assert_uint_eq(w.resumed_count, 0);
    world_done(&w);
}
END_TEST

/* A deadline that has passed ends the call, once. */
START_TEST(deadline_expires_once)
{
    struct world w;
    struct call call = call_of(5, 50);

    world_init(&w);
    ck_assert_int_eq(held_add(w.held, &call, w.sock, HELD_INPUT, mono_now()), 0);
    ck_assert_int_eq(loop_run(w.loop), 0);
    ck_assert_uint_eq(w.expired, 50);
    held_wake(w.held, w.sock, HELD_ALL);
    ck_assert_uint_eq(w.resumed_count, 0);
    world_done(&w);
}
END_TEST

/* A descriptor that becomes readable wakes the call that waits on it. */
START_TEST(descriptor_wakes)
{
    struct world w;
    struct call call = call_of(5, 51);
    int pair[2];

    world_init(&w);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(held_add_fd(w.held, &call, w.sock, HELD_INPUT, MONO_NEVER, pair[0], EPOLLIN),
                     0);
    ck_assert_int_eq(loop_turn(w.loop, mono_now()), 0);
    ck_assert_uint_eq(w.resumed_count, 0);
    ck_assert_int_eq(write(pair[1], "x", 1), 1);
    ck_assert_int_eq(loop_turn(w.loop, mono_add_ms(mono_now(), 5000)), 0);
    ck_assert_uint_eq(w.resumed_count, 1);
    (void)close(pair[1]);
    world_done(&w);
}
END_TEST

/* When the pool is full, calls that nobody waits for any more make room; else it says so. */
START_TEST(full_pool_drops_the_dead)
{
    struct world w;
    struct call one = call_of(99999, 99999);

    world_init(&w);
    for (unsigned i = 0; i < HELD_MAX; i++)
        hold(&w, (pid_t)(i + 1), i + 1, HELD_INPUT);
    ck_assert_int_lt(held_add(w.held, &one, w.sock, HELD_INPUT, MONO_NEVER), 0);
    w.is_valid = false;
    ck_assert_int_eq(held_add(w.held, &one, w.sock, HELD_INPUT, MONO_NEVER), 0);
    ck_assert_uint_eq(held_count(w.held), 1);
    world_done(&w);
}
END_TEST

/* The same call of the same thread from the same place gets the lost answer, once. */
START_TEST(replay_only_the_same_call)
{
    static struct replay r;
    struct call call = call_of(3, 1), other = call_of(3, 2), elsewhere = call_of(3, 3);
    int64_t value = 0;

    other.arg[1]++;
    elsewhere.ip++;
    replay_keep(&r, &call, 7);
    call.id = 9; /* a restarted call is a new notification */
    ck_assert(replay_take(&r, &call, &value));
    ck_assert_int_eq(value, 7);
    ck_assert(!replay_take(&r, &call, &value));
    replay_keep(&r, &call, 7);
    ck_assert(!replay_take(&r, &other, &value)); /* the program went on: forgotten */
    ck_assert(!replay_take(&r, &call, &value));
    replay_keep(&r, &call, 7);
    ck_assert(!replay_take(&r, &elsewhere, &value));
}
END_TEST

/* More threads than ways: the oldest answer makes room, the newest stays. */
START_TEST(replay_is_bounded)
{
    static struct replay r;
    int64_t value;

    for (unsigned i = 0; i <= REPLAY_WAYS; i++) {
        struct call call = call_of((pid_t)(i * REPLAY_SETS + 1), i);

        replay_keep(&r, &call, i);
    }
    for (unsigned i = 0; i <= REPLAY_WAYS; i++) {
        struct call call = call_of((pid_t)(i * REPLAY_SETS + 1), i);

        ck_assert_int_eq(replay_take(&r, &call, &value), i > 0);
    }
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(wake_picks_by_reason_in_order),
    SUITE_TEST(new_call_voids_the_old),
    SUITE_TEST(deadline_expires_once),
    SUITE_TEST(descriptor_wakes),
    SUITE_TEST(full_pool_drops_the_dead),
    SUITE_TEST(replay_only_the_same_call),
    SUITE_TEST(replay_is_bounded),
};

SUITE_MAIN("held", tests)
