/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers and epoll registrations of a socket, read from /proc (sandbox/agent_fds.h). */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/agent_fds.h"
#include "sandbox/inject.h"
#include "tests/support/suite.h"

START_TEST(fdinfo_line_of_this_inode_is_taken)
{
    struct agent_watch w;
    const char *line =
        "tfd:       17 events: 8000001d data: ffffffff00000007  pos:0 ino:2a4 sdev:8";

    ck_assert(agent_watch_parse(line, 0x2a4, &w));
    ck_assert_int_eq(w.fd, 17);
    ck_assert_uint_eq(w.events, 0x8000001d);
    ck_assert_uint_eq(w.data, UINT64_C(0xffffffff00000007));
    ck_assert(!agent_watch_parse(line, 0x2a5, &w));
    ck_assert(!agent_watch_parse("pos:\t0", 0x2a4, &w));
    ck_assert(!agent_watch_parse("", 0, &w));
}
END_TEST

/* Our own process, as if it were the agent: two numbers, one of them watched twice. */
START_TEST(own_duplicates_and_registrations_are_found)
{
    struct agents a;
    struct agent_fds fds;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = 77};
    int fd = inject_stream(/*is_nonblock=*/true);
    int copy = dup(fd);
    int other = inject_stream(/*is_nonblock=*/true);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    int unmarked = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event mark = {.data.u64 = 4711};
    uint64_t inode, marker;

    ck_assert_int_eq(agents_init(&a, getpid()), 0);
    ck_assert_int_eq(inject_inode(fd, &inode), 0);
    ck_assert_int_eq(inject_inode(other, &marker), 0);
    ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, copy, &ev), 0);
    ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, other, &mark), 0);
    ck_assert_int_eq(epoll_ctl(unmarked, EPOLL_CTL_ADD, fd, &ev), 0);
    ck_assert_int_eq(agent_fds_of(&a, getpid(), inode, marker, &fds), 0);
    ck_assert_uint_eq(fds.count, 2);
    ck_assert_int_eq(fds.fd[0] + fds.fd[1], fd + copy);
    ck_assert_uint_eq(fds.watch_count, 2);
    ck_assert_int_eq(fds.watch[1].epoll_fd, unmarked);
    ck_assert_uint_eq(fds.watch[1].mark, 0);
    ck_assert_int_eq(fds.watch[0].epoll_fd, ep);
    ck_assert_uint_eq(fds.watch[0].mark, 4711);
    ck_assert_int_eq(fds.watch[0].fd, copy);
    ck_assert_uint_eq(fds.watch[0].data, 77);
    ck_assert_uint_eq(fds.watch[0].events & (EPOLLIN | EPOLLET), EPOLLIN | EPOLLET);
    agents_done(&a);
    (void)close(fd);
    (void)close(copy);
    (void)close(other);
    (void)close(ep);
    (void)close(unmarked);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(fdinfo_line_of_this_inode_is_taken),
    SUITE_TEST(own_duplicates_and_registrations_are_found),
};

int main(void)
{
    return suite_run("agent_fds", tests, (unsigned)ARRAY_COUNT(tests));
}
