/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that have to wait: their notification is simply not answered yet. When what they wait for
 * may have happened, they are taken out and run again from the start, so each run copies and judges
 * anew.
 *
 * A waiting call may be interrupted at any time without our being told; a later call of the same
 * thread, or the answer's ENOENT, shows it. The replay cache keeps answers that could not be
 * delivered: when the very same call comes again from that thread (the kernel restarts it after a
 * signal handler), it gets that answer instead of being done twice.
 */
#ifndef SANDBOX_HELD_H
#define SANDBOX_HELD_H

#include "base/loop.h"
#include "sandbox/notify.h"
#include "sandbox/vsock.h"

#define HELD_MAX    8192u /* calls waiting at the same time */
#define REPLAY_SETS 256u
#define REPLAY_WAYS 4u

enum held_for {
    HELD_ACCEPT = 1 << 0,
    HELD_CONNECT = 1 << 1,
    HELD_INPUT = 1 << 2,
    HELD_OUTPUT = 1 << 3,
    HELD_ALL = 0xf,
    HELD_AGAIN = 1 << 4, /* with others: at the deadline the call is run again, not ended */
};

struct held {
    struct call call;
    struct vsock *sock;
    struct held *next;     /* of the same socket, or the free list */
    struct held *tid_next; /* same hash bucket */
    enum held_for what;
    struct mono deadline;
    struct loop_timer timer;
    struct loop_watch watch; /* of a duplicate of the agent's end; fd -1: none */
    struct held_table *table;
};

struct held_events {
    /** Run @call again; @deadline is what was given to held_add(). */
    void (*resume)(void *self, const struct call *call, struct mono deadline);
    /** The deadline has passed: end the call. */
    void (*expired)(void *self, const struct call *call, enum held_for what);
    bool (*is_valid)(void *self, const struct call *call);
};

struct held_table;

int held_table_new(struct loop *loop, const struct held_events *events, void *self,
                   struct held_table **ret) MUST_USE;
void held_table_free(struct held_table *t);

/** held_add() - Keep @call for @v (NULL: a socket of the kernel's) until held_wake() or @deadline.
 * Errors: -ENOMEM too many wait. */
int held_add(struct held_table *t, const struct call *call, struct vsock *v, enum held_for what,
             struct mono deadline) MUST_USE;
/** held_add_fd() - As held_add(), and also wake when @fd (taken) has @events of epoll. */
int held_add_fd(struct held_table *t, const struct call *call, struct vsock *v, enum held_for what,
                struct mono deadline, int fd, uint32_t events) MUST_USE;
/** held_wake() - Run again the calls that wait for @what (bits) on @v. */
void held_wake(struct held_table *t, struct vsock *v, unsigned what);
/** held_drop_thread() - The thread has made another call: what it waited for is void. */
void held_drop_thread(struct held_table *t, pid_t tid);
/** held_drop_socket() - End every call that waits on @v with @err. */
void held_drop_socket(struct held_table *t, struct vsock *v, int err,
                      void (*answer)(void *self, const struct call *call, int err));
uint32_t held_count(const struct held_table *t);

/* Undelivered answers. */
struct replay_entry {
    pid_t tid; /* 0: empty */
    int nr;
    uint64_t arg[6];
    uint64_t ip;
    int64_t value;
    uint32_t age;
};

struct replay {
    struct replay_entry entries[REPLAY_SETS][REPLAY_WAYS];
    uint32_t clock;
};

void replay_keep(struct replay *r, const struct call *call, int64_t value);
/** replay_take() - Is @call the restart of one whose answer was lost? Whatever was kept for its
 * thread is forgotten. */
bool replay_take(struct replay *r, const struct call *call, int64_t *ret_value);

#endif
