/* SPDX-License-Identifier: Apache-2.0 */
/* Two flows that are each other's far end: bytes, ends of stream and resets pass, nothing leaks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netstack/netstack.h"
#include "tests/support/suite.h"

struct world {
    unsigned fds;
    struct loop *loop;
    struct netstack *ns;
    struct flow *flow[2];
    int agent[2];
    int closed[2]; /* 1: not called; else its err */
};

static void on_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    (void)f;
    (void)stats;
    ck_assert_int_eq(*(int *)self, 1);
    *(int *)self = err;
}

static const struct flow_events events = {.closed = on_closed};

static void setup(struct world *w)
{
    struct netstack_config config = {.mode = NETSTACK_OFFLINE};
    struct why why;

    w->fds = suite_open_fds();
    ck_assert_int_eq(loop_new(&w->loop), 0);
    config.loop = w->loop;
    ck_assert_int_eq(netstack_new(&config, &w->ns, &why), 0);
    w->closed[0] = w->closed[1] = 1;
    ck_assert_int_eq(
        flow_pair(w->ns, &events, &w->closed[0], &w->closed[1], &w->flow[0], &w->flow[1]), 0);
    for (unsigned i = 0; i < 2; i++) {
        int pair[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                         0);
        w->agent[i] = pair[0];
        ck_assert_int_eq(write(w->agent[i], "?", 1), 1); /* the stand-in */
        ck_assert_int_eq(flow_attach_canary(w->flow[i], pair[1]), 0);
    }
}

static void teardown(struct world *w)
{
    struct netstack_usage usage;

    for (unsigned i = 0; i < 2; i++) {
        if (w->agent[i] >= 0)
            (void)close(w->agent[i]);
    }
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(loop_turn(w->loop, mono_now()), 0);
    netstack_usage(w->ns, &usage);
    ck_assert_uint_eq(usage.flows, 0);
    netstack_free(w->ns);
    loop_free(w->loop);
    ck_assert_uint_eq(suite_open_fds(), w->fds);
}

static void turns(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(loop_turn(w->loop, mono_now()), 0);
}

START_TEST(bytes_pass_both_ways_and_back_pressure_holds)
{
    static uint8_t data[1 << 16];
    struct world w;
    size_t sent = 0, got = 0;
    ssize_t n;

    setup(&w);
    for (unsigned i = 0; i < 200; i++) { /* nobody reads: it must stop */
        n = write(w.agent[0], data, sizeof(data));
        sent += n > 0 ? (size_t)n : 0;
        turns(&w, 2);
    }
    ck_assert_uint_lt(sent, 200 * sizeof(data));
    for (unsigned i = 0; i < 2000 && got < sent; i++) {
        turns(&w, 1);
        while ((n = read(w.agent[1], data, sizeof(data))) > 0)
            got += (size_t)n;
    }
    ck_assert_uint_eq(got, sent);
    ck_assert_int_eq(write(w.agent[1], "back", 4), 4);
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[0], data, sizeof(data)), 4);
    teardown(&w);
}
END_TEST

/* Each message, and a byte may be one, holds its part of the writer's buffer until it is taken out:
 * what was passed on must not hold it for ever. */
START_TEST(a_writer_of_single_bytes_is_never_stuck)
{
    struct world w;
    size_t sent = 0, got = 0, passes = 0;
    char byte, bytes[4096];
    ssize_t n;

    setup(&w);
    while (got < 5000) {
        struct pollfd out = {.fd = w.agent[0], .events = POLLOUT};

        if (poll(&out, 1, 0) == 1) { /* as programs do: only when they are told that it is free */
            while (write(w.agent[0], "x", 1) == 1)
                sent++;
        }
        ck_assert_int_eq(loop_turn(w.loop, mono_add_ms(mono_now(), 1000)), 0);
        while ((n = read(w.agent[1], bytes, sizeof(bytes))) > 0)
            got += (size_t)n;
        ck_assert_uint_lt(++passes, 5000);
    }
    while (got < sent) {
        turns(&w, 1);
        while ((n = read(w.agent[1], bytes, sizeof(bytes))) > 0)
            got += (size_t)n;
    }
    ck_assert_uint_eq(got, sent);
    turns(&w, 4);
    (void)close(w.agent[0]); /* what was kept is no reset */
    w.agent[0] = -1;
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], &byte, 1), 0);
    teardown(&w);
}
END_TEST

START_TEST(half_close_leaves_the_other_way_open)
{
    struct world w;
    char byte;

    setup(&w);
    ck_assert_int_eq(shutdown(w.agent[0], SHUT_WR), 0);
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], &byte, 1), 0);
    ck_assert_int_eq(write(w.agent[1], "x", 1), 1);
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[0], &byte, 1), 1);
    ck_assert_int_eq(shutdown(w.agent[1], SHUT_WR), 0);
    turns(&w, 4);
    ck_assert_int_eq(w.closed[0], 0);
    ck_assert_int_eq(w.closed[1], 0);
    teardown(&w);
}
END_TEST

/* TCP: the first write after the peer's close goes out and is answered by a reset. */
START_TEST(write_after_close_is_answered_by_a_reset)
{
    struct world w;
    char byte;

    setup(&w);
    (void)close(w.agent[0]);
    w.agent[0] = -1;
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], &byte, 1), 0);
    ck_assert_int_eq(write(w.agent[1], "x", 1), 1);
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], &byte, 1), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_eq(w.closed[1], -ECONNRESET);
    teardown(&w);
}
END_TEST

START_TEST(close_with_unread_data_is_a_reset)
{
    struct world w;
    char byte;

    setup(&w);
    ck_assert_int_eq(write(w.agent[1], "unread", 6), 6);
    turns(&w, 4);
    (void)close(w.agent[0]);
    w.agent[0] = -1;
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], &byte, 1), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    teardown(&w);
}
END_TEST

static void *read_once(void *agent_end)
{
    char byte;
    ssize_t got = read(*(int *)agent_end, &byte, 1);

    return (void *)(intptr_t)(got < 0 ? -errno : got);
}

/* SO_LINGER {1, 0}: one that waits in read() is told of the reset, and of nothing before it. */
START_TEST(a_reader_that_waits_hears_the_reset_only)
{
    enum { ROUNDS = 100 };

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct world w;
        pthread_t reader;
        void *heard = NULL;
        int flags;

        setup(&w);
        turns(&w, 2);
        flags = fcntl(w.agent[1], F_GETFL);
        ck_assert_int_eq(fcntl(w.agent[1], F_SETFL, flags & ~O_NONBLOCK), 0);
        ck_assert_int_eq(pthread_create(&reader, NULL, read_once, &w.agent[1]), 0);
        flow_reset_on_close(w.flow[0], true);
        (void)close(w.agent[0]);
        w.agent[0] = -1;
        turns(&w, 4);
        ck_assert_int_eq(pthread_join(reader, &heard), 0);
        ck_assert_int_eq((int)(intptr_t)heard, -ECONNRESET);
        teardown(&w);
    }
}
END_TEST

/* One that was sent more than it reads is told at once that the sender went away with bytes unread:
 * a reset does not wait for what is still on the sender's side. */
START_TEST(reset_passes_bytes_that_found_no_room)
{
    static uint8_t data[1 << 16];
    struct world w;
    struct pollfd told = {.events = 0};
    ssize_t n;

    setup(&w);
    for (unsigned i = 0; i < 50; i++) { /* the receiver has enough */
        (void)!write(w.agent[0], data, sizeof(data));
        turns(&w, 2);
    }
    ck_assert_int_eq(write(w.agent[1], "answer", 6), 6); /* which nobody reads */
    turns(&w, 4);
    (void)close(w.agent[0]);
    w.agent[0] = -1;
    turns(&w, 4);
    told.fd = w.agent[1];
    ck_assert_int_eq(poll(&told, 1, 0), 1);
    ck_assert_int_ne(told.revents & POLLHUP, 0);
    while ((n = read(w.agent[1], data, sizeof(data))) > 0) /* what had arrived is still there */
        continue;
    ck_assert_int_eq(n, -1);
    ck_assert_int_eq(errno, ECONNRESET);
    teardown(&w);
}
END_TEST

/* Both have sent more than fits, nobody reads, one goes away: the other is not left waiting. */
START_TEST(reset_reaches_one_that_is_blocked_in_writing)
{
    static uint8_t data[1 << 16];
    struct world w;

    setup(&w);
    for (unsigned i = 0; i < 50; i++) {
        (void)!write(w.agent[0], data, sizeof(data));
        (void)!write(w.agent[1], data, sizeof(data));
        turns(&w, 2);
    }
    ck_assert_int_lt(write(w.agent[1], data, 1), 1);
    (void)close(w.agent[0]);
    w.agent[0] = -1;
    for (unsigned i = 0; i < 50 && w.closed[1] == 1; i++) {
        (void)!send(w.agent[1], data, sizeof(data), MSG_NOSIGNAL);
        turns(&w, 2);
    }
    ck_assert_int_eq(w.closed[1], -ECONNRESET);
    teardown(&w);
}
END_TEST

/* Goal: bytes that are handed over stand behind those that the near end wrote before, and those
 * that it writes later behind them; after its end nothing is taken any more. */
START_TEST(bytes_handed_over_keep_their_place)
{
    struct world w;
    char got[16];

    setup(&w);
    turns(&w, 2);
    ck_assert_int_eq(write(w.agent[0], "ab", 2), 2);
    ck_assert_int_eq(flow_send(w.flow[0], (const uint8_t *)"cd", 2), 2);
    ck_assert_int_eq(write(w.agent[0], "ef", 2), 2);
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], got, sizeof(got)), 6);
    ck_assert_mem_eq(got, "abcdef", 6);
    ck_assert_int_eq(write(w.agent[0], "gh", 2), 2);
    ck_assert_int_eq(shutdown(w.agent[0], SHUT_WR), 0);
    ck_assert_int_eq(flow_send(w.flow[0], (const uint8_t *)"x", 1), -EPIPE);
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], got, sizeof(got)), 2);
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], got, sizeof(got)), 0);
    teardown(&w);
}
END_TEST

/* Goal: nothing is taken past what waits for room; when there is room again, no byte is missing. */
START_TEST(bytes_handed_over_wait_for_room)
{
    static uint8_t data[1 << 16];
    struct world w;
    size_t sent = 0, got = 0;
    ssize_t n = 0;

    setup(&w);
    turns(&w, 2);
    for (unsigned i = 0; i < 200 && n != -EAGAIN; i++) {
        n = flow_send(w.flow[0], data, sizeof(data));
        sent += n > 0 ? (size_t)n : 0;
        turns(&w, 2);
    }
    ck_assert_int_eq(n, -EAGAIN);
    for (unsigned i = 0; i < 2000 && got < sent; i++) {
        turns(&w, 1);
        while ((n = read(w.agent[1], data, sizeof(data))) > 0)
            got += (size_t)n;
    }
    ck_assert_uint_eq(got, sent);
    ck_assert_int_eq(flow_send(w.flow[0], data, 7), 7);
    (void)close(w.agent[1]);
    w.agent[1] = -1;
    turns(&w, 4);
    teardown(&w);
}
END_TEST

/** What goes in comes out again, in order, and the end of the stream, too. */
START_TEST(a_flow_may_be_its_own_far_end)
{
    struct netstack_config config = {.mode = NETSTACK_OFFLINE};
    struct world w = {.fds = suite_open_fds(), .closed = {1, 1}, .agent = {-1, -1}};
    struct why why;
    char data[8];
    int pair[2];

    ck_assert_int_eq(loop_new(&w.loop), 0);
    config.loop = w.loop;
    ck_assert_int_eq(netstack_new(&config, &w.ns, &why), 0);
    ck_assert_int_eq(flow_self(w.ns, &events, &w.closed[0], &w.flow[0]), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    w.agent[0] = pair[0];
    ck_assert_int_eq(write(w.agent[0], "?", 1), 1); /* the stand-in */
    ck_assert_int_eq(flow_attach_canary(w.flow[0], pair[1]), 0);
    ck_assert_int_eq(write(w.agent[0], "abc", 3), 3);
    turns(&w, 10);
    ck_assert_int_eq(read(w.agent[0], data, sizeof(data)), 3);
    ck_assert_int_eq(memcmp(data, "abc", 3), 0);
    ck_assert_int_eq(write(w.agent[0], "d", 1), 1);
    ck_assert_int_eq(shutdown(w.agent[0], SHUT_WR), 0);
    turns(&w, 10);
    ck_assert_int_eq(read(w.agent[0], data, sizeof(data)), 1);
    ck_assert_int_eq(read(w.agent[0], data, sizeof(data)), 0);
    turns(&w, 10);
    ck_assert_int_ne(w.closed[0], 1);
    teardown(&w);
}
END_TEST

/** Small messages stay in the queue for a while after they were passed on: they are passed on once
 * only, and what the end of the connection means is not changed by them. */
START_TEST(many_small_messages_then_an_end)
{
    enum { MESSAGES = 300, LONGEST = 100 };
    static const bool resets[] = {false, true};
    char out[LONGEST], in[LONGEST + 1];
    struct world w;

    setup(&w);
    for (unsigned i = 0; i < MESSAGES; i++) {
        unsigned len = 1 + i % LONGEST;

        memset(out, (int)('a' + i % 26), len);
        ck_assert_int_eq(write(w.agent[i % 2], out, len), len);
        turns(&w, 2);
        ck_assert_int_eq(read(w.agent[1 - i % 2], in, sizeof(in)), len);
        ck_assert_mem_eq(in, out, len);
    }
    flow_reset_on_close(w.flow[0], resets[_i]);
    (void)close(w.agent[0]);
    w.agent[0] = -1;
    turns(&w, 4);
    ck_assert_int_eq(read(w.agent[1], in, 1), resets[_i] ? -1 : 0);
    teardown(&w);
}
END_TEST

/** Small and large and urgent bytes in one stream: nothing is lost, doubled, or out of place. */
START_TEST(small_and_large_keep_their_order)
{
    enum { TOTAL = 2 << 20, LARGEST = 100000 };
    static uint8_t data[LARGEST];
    static const int on = 1;
    struct world w;
    uint32_t sent = 0, got = 0, wrong = 0, random = 12345;
    ssize_t n;

    setup(&w);
    ck_assert_int_eq(setsockopt(w.agent[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
    while (got < TOTAL) {
        size_t len;

        random = random * 1664525 + 1013904223;
        len = (random >> 8) % ((random >> 28) < 12 ? 5000 : LARGEST) + 1;
        len = len < TOTAL - sent ? len : TOTAL - sent;
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)((sent + i) * 7 >> 3);
        n = len > 0 ? send(w.agent[0], data, len, random % 64 == 0 ? MSG_OOB : 0) : 0;
        sent += n > 0 ? (uint32_t)n : 0;
        turns(&w, random >> 31);
        n = read(w.agent[1], data, (random >> 4) % LARGEST + 1);
        for (ssize_t i = 0; i < n; i++)
            wrong += data[i] != (uint8_t)((got + (uint32_t)i) * 7 >> 3);
        got += n > 0 ? (uint32_t)n : 0;
        if (sent == TOTAL)
            turns(&w, 1);
    }
    ck_assert_uint_eq(got, TOTAL);
    ck_assert_uint_eq(wrong, 0);
    teardown(&w);
}
END_TEST

/** An urgent byte between others: where the kernel stops a read, bytes are not forgotten, and at
 * the other end it is urgent, too. */
START_TEST(an_urgent_byte_is_passed_on)
{
    struct world w;
    char got[16] = {0};
    size_t len = 0;

    setup(&w);
    turns(&w, 2);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(send(w.agent[0], "ab", 2, 0), 2);
        if (send(w.agent[0], "!", 1, MSG_OOB) != 1) { /* Linux 5.15 */
            teardown(&w);
            return;
        }
        ck_assert_int_eq(send(w.agent[0], "c", 1, 0), 1);
        turns(&w, 4);
        for (unsigned part = 0; part < 3; part++) {
            ssize_t n = recv(w.agent[1], got + len, 4, part == 1 ? MSG_OOB : 0);

            ck_assert_int_ge(n, 1);
            len += (size_t)n;
        }
    }
    ck_assert_str_eq(got, "ab!cab!cab!c");
    teardown(&w);
}
END_TEST

/** A small send buffer is one: of what nobody reads little is taken, and then nothing is missing.
 */
START_TEST(a_small_send_buffer_holds_little)
{
    enum { SMALL = 8192 };
    static const int half = SMALL / 2;
    static uint8_t data[100000];
    struct world w;
    size_t sent = 0, got = 0;
    ssize_t n = 0;

    setup(&w);
    ck_assert_int_eq(write(w.agent[0], "ab", 2), 2);
    turns(&w, 2);
    ck_assert_int_eq(setsockopt(w.agent[0], SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)), 0);
    flow_limit(w.flow[0], SMALL);
    for (unsigned i = 0; i < 50; i++) {
        n = write(w.agent[0], data, sizeof(data));
        sent += n > 0 ? (size_t)n : 0;
        turns(&w, 2);
    }
    ck_assert_int_eq(n, -1);
    ck_assert_uint_lt(sent, 8 * SMALL);
    for (unsigned i = 0; i < 200 && got < sent + 2; i++) {
        n = read(w.agent[1], data, sizeof(data));
        got += n > 0 ? (size_t)n : 0;
        turns(&w, 2);
    }
    ck_assert_uint_eq(got, sent + 2);
    ck_assert_int_ge(write(w.agent[0], "c", 1), 1);
    (void)close(w.agent[1]);
    w.agent[1] = -1;
    turns(&w, 4);
    (void)!send(w.agent[0], "d", 1, MSG_NOSIGNAL);
    turns(&w, 4);
    ck_assert_int_eq(send(w.agent[0], "e", 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EPIPE);
    teardown(&w);
}
END_TEST

/** Who reads a message wakes nobody: only who was full wants to know of room. */
START_TEST(reading_wakes_nobody)
{
    struct world w;
    struct pollfd woken;
    char byte;

    setup(&w);
    woken = (struct pollfd){.fd = loop_fd(w.loop), .events = POLLIN};
    turns(&w, 4);
    ck_assert_int_eq(write(w.agent[0], "x", 1), 1);
    ck_assert_int_eq(poll(&woken, 1, 0), 1);
    turns(&w, 4);
    ck_assert_int_eq(poll(&woken, 1, 0), 0);
    ck_assert_int_eq(read(w.agent[1], &byte, 1), 1);
    ck_assert_int_eq(poll(&woken, 1, 0), 0);
    teardown(&w);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(a_small_send_buffer_holds_little),
    SUITE_TEST(an_urgent_byte_is_passed_on),
    SUITE_ROWS(many_small_messages_then_an_end, 2),
    SUITE_TEST(reading_wakes_nobody),
    SUITE_TEST(small_and_large_keep_their_order),
    SUITE_TEST(a_flow_may_be_its_own_far_end),
    SUITE_TEST(a_reader_that_waits_hears_the_reset_only),
    SUITE_TEST(bytes_handed_over_keep_their_place),
    SUITE_TEST(a_writer_of_single_bytes_is_never_stuck),
    SUITE_TEST(bytes_handed_over_wait_for_room),
    SUITE_TEST(bytes_pass_both_ways_and_back_pressure_holds),
    SUITE_TEST(half_close_leaves_the_other_way_open),
    SUITE_TEST(write_after_close_is_answered_by_a_reset),
    SUITE_TEST(close_with_unread_data_is_a_reset),
    SUITE_TEST(reset_passes_bytes_that_found_no_room),
    SUITE_TEST(reset_reaches_one_that_is_blocked_in_writing),
};

int main(void)
{
    return suite_run("pair", tests, (unsigned)ARRAY_COUNT(tests));
}
