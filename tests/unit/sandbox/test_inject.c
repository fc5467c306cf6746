/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel objects that stand for virtual sockets: filled while a connection is under way, and
 * drained without a byte of the agent's. */
#include "sandbox/inject.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/suite.h"

struct ends {
    struct rendezvous r;
    int agent;
    int ours;
};

static struct ends joined(void)
{
    struct ends e;

    ck_assert_int_eq(rendezvous_init(&e.r), 0);
    e.agent = inject_stream(/*is_nonblock=*/true);
    ck_assert_int_ge(e.agent, 0);
    e.ours = rendezvous_join(&e.r, e.agent);
    ck_assert_int_ge(e.ours, 0);
    return e;
}

static void part(struct ends *e)
{
    (void)close(e->agent);
    (void)close(e->ours);
    rendezvous_done(&e->r);
}

static bool is_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

/* Goal: as in SYN_SENT, neither poll nor write finds room; after the drain both do. */
START_TEST(filled_end_is_not_writable_until_drained)
{
    struct ends e = joined();
    size_t filled;

    ck_assert(is_writable(e.agent));
    filled = inject_fill(e.agent);
    ck_assert_uint_gt(filled, 1);
    ck_assert(!is_writable(e.agent));
    ck_assert_int_eq(send(e.agent, "x", 1, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    inject_drain(e.ours, filled);
    ck_assert(is_writable(e.agent));
    part(&e);
}
END_TEST

/* Goal: an agent on another processor may write as soon as the first bytes are taken away, long
 * before the last are. Method: it writes in the middle; what it wrote must stand behind the canary.
 */
START_TEST(bytes_written_during_the_drain_are_kept)
{
    struct ends e = joined();
    size_t filled = inject_fill(e.agent);
    char got[16];

    inject_drain(e.ours, filled * 3 / 4);
    ck_assert_int_eq(send(e.agent, "early", 5, MSG_DONTWAIT), 5);
    inject_drain(e.ours, filled - filled * 3 / 4 - 1);
    ck_assert_int_eq(recv(e.ours, got, 1, MSG_DONTWAIT), 1); /* the canary */
    ck_assert_int_eq(got[0], 0);
    ck_assert_int_eq(recv(e.ours, got, sizeof(got), MSG_DONTWAIT), 5);
    ck_assert_mem_eq(got, "early", 5);
    part(&e);
}
END_TEST

/* Goal: the flicker of writability leaves what the agent wrote after it. */
START_TEST(edge_takes_only_its_own_byte)
{
    struct ends e = joined();
    char got[8];

    inject_edge(e.agent, e.ours);
    ck_assert_int_eq(recv(e.ours, got, sizeof(got), MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    part(&e);
}
END_TEST

/* Goal: an end is looked at without being kept open. Method: a look is taken through a duplicate
 * that is then closed; events are still told, and the peer hears the close of the last other one.
 */
START_TEST(look_tells_events_and_keeps_nothing_open)
{
    struct ends e = joined();
    int copy = dup(e.agent);
    int look = inject_look(copy);
    struct pollfd ours = {.fd = e.ours, .events = POLLRDHUP};

    ck_assert_int_ge(look, 0);
    ck_assert_int_eq(close(copy), 0);
    ck_assert_uint_eq(inject_events(-1, look), EPOLLOUT);
    ck_assert_uint_eq(inject_events(e.agent, -1), EPOLLOUT);
    ck_assert_int_eq(send(e.ours, "x", 1, MSG_DONTWAIT), 1);
    ck_assert_uint_eq(inject_events(-1, look), EPOLLIN | EPOLLOUT);
    ck_assert_int_eq(shutdown(e.ours, SHUT_WR), 0);
    ck_assert_uint_eq(inject_events(-1, look), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    ck_assert_int_eq(shutdown(e.agent, SHUT_WR), 0);
    ck_assert_uint_eq(inject_events(-1, look) & EPOLLHUP, EPOLLHUP);
    ck_assert_uint_eq(inject_events(e.agent, -1) & EPOLLHUP, EPOLLHUP);
    part(&e);
    e = joined();
    (void)close(look);
    look = inject_look(e.agent);
    ck_assert_int_eq(close(e.agent), 0);
    ours.fd = e.ours;
    ck_assert_int_eq(poll(&ours, 1, 0), 1);
    ck_assert_int_eq(ours.revents & POLLHUP, POLLHUP);
    ck_assert_uint_eq(inject_events(-1, look), 0);
    ck_assert_uint_eq(inject_events(-1, -1), 0);
    (void)close(look);
    (void)close(e.ours);
    rendezvous_done(&e.r);
}
END_TEST

/* Goal: what a peer can learn of our end is one letter, and our working directory is as it was. */
START_TEST(name_of_our_end_says_nothing)
{
    char before[256], after[256];
    struct sockaddr_un name;
    socklen_t len = sizeof(name);
    struct ends e;

    ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
    e = joined();
    ck_assert_ptr_nonnull(getcwd(after, sizeof(after)));
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(getpeername(e.agent, (struct sockaddr *)&name, &len), 0);
    ck_assert_uint_eq(len, offsetof(struct sockaddr_un, sun_path) + 2);
    ck_assert_str_eq(name.sun_path, "r");
    part(&e);
}
END_TEST

/* Goal: without a descriptor for our end the agent's stays as it was, and the next join is not
 * given another's end. */
START_TEST(join_without_descriptors_leaves_nothing_behind)
{
    struct rlimit before, none;
    struct rendezvous r;
    int first, second, end;
    char byte = 0;

    ck_assert_int_eq(rendezvous_init(&r), 0);
    first = inject_stream(/*is_nonblock=*/true);
    second = inject_stream(/*is_nonblock=*/true);
    must(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 1;
    must(setrlimit(RLIMIT_NOFILE, &none) == 0);
    end = rendezvous_join(&r, first);
    must(setrlimit(RLIMIT_NOFILE, &before) == 0);
    ck_assert_int_eq(end, -EMFILE);
    r.has_stale = true; /* as after a failure that could not be foreseen */
    ck_assert_int_eq(connect(first, (struct sockaddr *)&r.addr, r.addr_len), 0);
    end = rendezvous_join(&r, second);
    ck_assert_int_ge(end, 0);
    ck_assert(!r.has_stale);
    ck_assert_int_eq(send(second, "x", 1, MSG_DONTWAIT), 1);
    ck_assert_int_eq(recv(end, &byte, 1, MSG_DONTWAIT), 1);
    ck_assert_int_eq(byte, 'x');
    (void)close(end);
    (void)close(first);
    (void)close(second);
    rendezvous_done(&r);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(join_without_descriptors_leaves_nothing_behind),
    SUITE_TEST(name_of_our_end_says_nothing),
    SUITE_TEST(look_tells_events_and_keeps_nothing_open),
    SUITE_TEST(filled_end_is_not_writable_until_drained),
    SUITE_TEST(bytes_written_during_the_drain_are_kept),
    SUITE_TEST(edge_takes_only_its_own_byte),
};

SUITE_MAIN("inject", tests)
