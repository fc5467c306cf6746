/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller in a foreign network namespace gets nothing: neither a virtual socket nor one of the
 * kernel's. The control is the same call by a process in the sandbox's own namespace.
 */
#include "sandbox/agent_mem.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/dispatch.h"
#include "tests/support/suite.h"

enum place { PLACE_OURS, PLACE_FOREIGN };

/** A process that waits in its place for a signal; 0: the namespace cannot be had. */
static pid_t start(enum place place)
{
    int line[2];
    char byte = 'n';
    pid_t pid;

    must(pipe(line) == 0);
    pid = fork();
    if (pid == 0) {
        bool is_there = place == PLACE_OURS || unshare(CLONE_NEWNET) == 0 ||
                        unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;

        (void)!write(line[1], is_there ? "y" : "n", 1);
        for (;;)
            (void)pause();
    }
    (void)close(line[1]);
    must(read(line[0], &byte, 1) == 1);
    (void)close(line[0]);
    if (byte == 'y')
        return pid;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return 0;
}

static void end(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(process_of_another_network_namespace_is_foreign)
{
    pid_t ours = start(PLACE_OURS), foreign = start(PLACE_FOREIGN);
    struct agents a;

    ck_assert_int_eq(agents_init(&a, ours), 0);
    ck_assert(!agent_is_foreign(&a, ours));
    ck_assert(!agent_is_foreign(&a, getpid()));
    ck_assert(agent_is_foreign(&a, foreign));
    end(ours);
    ck_assert(agent_is_foreign(&a, ours)); /* cannot be asked any more */
    end(foreign);
    agents_done(&a);
}
END_TEST

struct row {
    const char *what;
    int domain, type, protocol;
    int control; /* what a caller of ours gets; 0: a descriptor, which nobody is there to take */
};

static const struct row rows[] = {
    {"TCP", AF_INET, SOCK_STREAM, 0, 0},
    {"TCP over IPv6", AF_INET6, SOCK_STREAM, 0, 0},
    {"UDP", AF_INET, SOCK_DGRAM, 0, 0},
    {"ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, 0},
    {"ping over IPv6", AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, 0},
    {"ping of the other family", AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6, -EPROTONOSUPPORT},
    {"netlink", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, 0},
    {"raw", AF_INET, SOCK_RAW, IPPROTO_ICMP, -EPERM},
    {"packets", AF_PACKET, SOCK_RAW, 0, -EPERM},
    {"Bluetooth", AF_BLUETOOTH, SOCK_RAW, 0, -EAFNOSUPPORT},
};

static struct call call_of(pid_t tid, const struct row *row)
{
    return (struct call){
        .tid = tid,
        .nr = SYS_socket,
        .arg = {(uint64_t)row->domain, (uint64_t)row->type, (uint64_t)row->protocol}};
}

static bool is_valid(void *self, const struct call *call)
{
    (void)self;
    (void)call;
    return true;
}

static void resume(void *self, const struct call *call, struct mono deadline)
{
    (void)self;
    (void)call;
    (void)deadline;
}

static void expired(void *self, const struct call *call, enum held_for what)
{
    (void)self;
    (void)call;
    (void)what;
}

/* The session has no notification descriptor: what would be given to the agent fails with EBADF,
 * after the socket was made for it. */
START_TEST(socket_of_a_foreign_caller_is_refused)
{
    static const struct held_events events = {
        .resume = resume, .expired = expired, .is_valid = is_valid};
    const struct row *row = &rows[_i];
    pid_t ours = start(PLACE_OURS), foreign = start(PLACE_FOREIGN);
    static struct session s;
    struct trap t = {.fd = -1};
    unsigned before;

    s.notify.fd = -1;
    s.sweep_at = VSOCK_MAX;
    ck_assert_int_eq(loop_new(&s.loop), 0);
    ck_assert_int_eq(vsock_table_new(16, &s.sockets), 0);
    ck_assert_int_eq(held_table_new(s.loop, &events, &s, &s.held), 0);
    ck_assert_int_eq(agents_init(&s.agents, ours), 0);
    before = suite_open_fds();
    t.call = call_of(foreign, row);
    ck_assert_msg(sys_socket(&s, &t) == -EACCES, "%s for a foreign caller", row->what);
    ck_assert_uint_eq(vsock_slots_used(s.sockets), 0);
    t.call = call_of(ours, row);
    ck_assert_int_eq(sys_socket(&s, &t), row->control != 0 ? row->control : -EBADF);
    ck_assert_uint_eq(vsock_slots_used(s.sockets), row->control != 0 ? 0 : 1);
    ck_assert_uint_eq(vsock_count(s.sockets), 0);
    ck_assert_uint_le(suite_open_fds(), before + 1); /* the cached pidfd of `ours` */
    agents_done(&s.agents);
    held_table_free(s.held);
    vsock_table_free(s.sockets);
    loop_free(s.loop);
    end(ours);
    end(foreign);
}
END_TEST

struct sought {
    uint64_t inode;
    pid_t tid;
    int fd;
    unsigned count;
};

static void on_seen(void *self, uint64_t inode, pid_t tid, int fd)
{
    struct sought *x = self;

    if (inode != x->inode)
        return;
    x->tid = tid;
    x->fd = fd;
    x->count++;
}

/* Goal: a survey says which process has a socket, and under which number; our own do not count. */
START_TEST(survey_finds_the_holder)
{
    int pair[2];
    int line[2];
    char byte;
    struct agents a;
    struct sought x = {.count = 0};
    uint64_t inode;
    pid_t pid;

    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(line) == 0);
    pid = fork();
    if (pid == 0) {
        must(dup2(pair[0], 77) == 77 && close(pair[0]) == 0 && write(line[1], "y", 1) == 1);
        for (;;)
            (void)pause();
    }
    must(read(line[0], &byte, 1) == 1);
    ck_assert_int_eq(agents_init(&a, pid), 0);
    ck_assert_int_eq(agent_fd_inode(&a, getpid(), pair[0], &x.inode), 0);
    agent_survey(&a, on_seen, &x);
    ck_assert_uint_eq(x.count, 1);
    ck_assert_int_eq(x.tid, pid);
    ck_assert_int_eq(x.fd, 77);
    ck_assert_int_eq(agent_fd_inode(&a, x.tid, x.fd, &inode), 0);
    ck_assert_uint_eq(inode, x.inode);
    (void)kill(pid, SIGKILL);
    must(waitpid(pid, NULL, 0) == pid);
    ck_assert_int_lt(agent_fd_inode(&a, x.tid, x.fd, &inode), 0);
    agent_survey(&a, on_seen, &x);
    ck_assert_uint_eq(x.count, 1);
    agents_done(&a);
    for (unsigned i = 0; i < 2; i++) {
        (void)close(pair[i]);
        (void)close(line[i]);
    }
}
END_TEST

/* Goal: a descriptor that is in a message, and in no table, is noticed until the message is read.
 */
START_TEST(passed_descriptors_are_noticed)
{
    int pair[2], line[2];
    char byte = 0;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct agents a;
    pid_t pid;

    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(line) == 0);
    pid = fork();
    if (pid == 0) {
        for (;;)
            (void)pause();
    }
    ck_assert_int_eq(agents_init(&a, pid), 0);
    ck_assert(!agent_fd_carries(&a, pid, pair[1])); /* control */
    control.align = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&control.align), &line[0], sizeof(int));
    ck_assert_int_eq(sendmsg(pair[0], &m, 0), 1);
    ck_assert(agent_fd_carries(&a, pid, pair[1]));
    ck_assert(!agent_fd_carries(&a, pid, pair[0]));
    ck_assert(!agent_fd_carries(&a, pid, line[0]));
    ck_assert(!agent_fd_carries(&a, pid, -1));
    ck_assert_int_eq(read(pair[1], &byte, 1), 1); /* throws the descriptor away */
    ck_assert(!agent_fd_carries(&a, pid, pair[1]));
    (void)kill(pid, SIGKILL);
    must(waitpid(pid, NULL, 0) == pid);
    agents_done(&a);
    for (unsigned i = 0; i < 2; i++) {
        (void)close(pair[i]);
        (void)close(line[i]);
    }
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(passed_descriptors_are_noticed),
    SUITE_TEST(survey_finds_the_holder),
    SUITE_TEST(process_of_another_network_namespace_is_foreign),
    SUITE_ROWS(socket_of_a_foreign_caller_is_refused, ARRAY_COUNT(rows)),
};

int main(void)
{
    pid_t probe = start(PLACE_FOREIGN);

    if (probe == 0)
        suite_skip("no network namespace of our own, neither as root nor by a user namespace");
    (void)kill(probe, SIGKILL);
    (void)waitpid(probe, NULL, 0);
    return suite_run("agent_mem", tests, (unsigned)ARRAY_COUNT(tests));
}
