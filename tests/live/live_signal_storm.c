/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storm of exactly 5 000 signals over 3 000 connections. The victim is in turn the client and the
 * server of a peer; a sender follows its steps and strikes between and within its calls. The
 * signals are numbered and queued, so that one lost or delivered twice is seen; so are the
 * connections and what they carry, and messages to oneself. What a program leaves in the registers
 * of arguments that a call does not have is chance, when it calls again too. Natively first: the
 * control.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/inside.h"
#include "tests/support/suite.h"

#define CYCLES  (3000 / inside_slowness())
#define SIGNALS (5000 / inside_slowness())
#define POSTS   3 /* datagrams of a cycle */
/* Calls: four as the client, three as the server, those to oneself as both. */
#define STEPS   (CYCLES / 2 * (4 + 3 + 2 * (2 + 2 * POSTS)))
#define LAG_MAX 16u /* signals that the victim may be ahead of the sender */

/* A call of three arguments: the rest is chance. */
#define CALL(name, a, b, c) syscall(SYS_##name, a, b, c, random(), random(), random())

enum step {
    STEP_SOCKET,
    STEP_CONNECT,
    STEP_ACCEPT,
    STEP_RECV,
    STEP_SEND,
    STEP_SENDMSG,
    STEP_RECVMSG,
    STEP_SENDTO,
    STEP_RECVFROM,
    STEP_COUNT
};

/** Shared by victim, peer and sender. */
struct shared {
    atomic_uint steps; /* calls that the victim has begun */
};

static struct shared *shared;
static atomic_uint received; /* signals */
static atomic_uint out_of_turn;
static unsigned interrupted[STEP_COUNT]; /* calls that said EINTR */

static void on_signal(int n, siginfo_t *info, void *context)
{
    (void)n;
    (void)context;
    if (info->si_value.sival_int != (int)received)
        out_of_turn++;
    received++;
}

static bool again(enum step step, long result)
{
    if (result >= 0 || errno != EINTR)
        return false;
    interrupted[step]++;
    return true;
}

/** Begin one call: the sender sees it. */
static void begin(void)
{
    shared->steps++;
}

/** A message of four bytes, out and in; the peer does the same without being disturbed. */
static int put_number(int fd, uint32_t number)
{
    ssize_t n;

    begin();
    do
        n = send(fd, &number, sizeof(number), MSG_NOSIGNAL);
    while (again(STEP_SEND, n));
    EXPECT(n == sizeof(number));
    return 0;
}

static int get_number(int fd, uint32_t expected)
{
    uint32_t number = 0;
    ssize_t n;

    begin();
    do
        n = recv(fd, &number, sizeof(number), MSG_WAITALL);
    while (again(STEP_RECV, n));
    EXPECT(n == sizeof(number));
    EXPECT(number == expected);
    return 0;
}

/** A message to oneself, through a pair of sockets of the kernel's. */
static int tell_oneself(const int *pair, uint32_t number)
{
    uint32_t got = 0;
    struct iovec out = {.iov_base = &number, .iov_len = sizeof(number)};
    struct iovec in = {.iov_base = &got, .iov_len = sizeof(got)};
    struct msghdr msg = {.msg_iov = &out, .msg_iovlen = 1};
    long n;

    begin();
    do
        n = CALL(sendmsg, pair[0], &msg, MSG_NOSIGNAL);
    while (again(STEP_SENDMSG, n));
    EXPECT(n == sizeof(number));
    msg.msg_iov = &in;
    begin();
    do
        n = CALL(recvmsg, pair[1], &msg, 0);
    while (again(STEP_RECVMSG, n));
    EXPECT(n == sizeof(got));
    EXPECT(got == number);
    return 0;
}

/** A datagram to oneself: it is sent once, and arrives. */
static int post_to_oneself(int fd, const struct sockaddr_in *name, uint32_t number)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    uint32_t got = 0;
    ssize_t n;

    begin();
    do
        n = sendto(fd, &number, sizeof(number), 0, (const struct sockaddr *)name, sizeof(*name));
    while (again(STEP_SENDTO, n));
    EXPECT(n == sizeof(number));
    begin();
    do
        n = recvfrom(fd, &got, sizeof(got), 0, (struct sockaddr *)&from, &len);
    while (again(STEP_RECVFROM, n));
    EXPECT(n == sizeof(got));
    EXPECT(got == number);
    EXPECT(from.sin_port == name->sin_port);
    return 0;
}

static int be_client(const struct sockaddr_in *to, uint32_t number)
{
    int fd;
    long r;

    begin();
    do
        fd = (int)CALL(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (again(STEP_SOCKET, fd));
    EXPECT(fd >= 0);
    begin();
    r = CALL(connect, fd, to, sizeof(*to));
    while (again(STEP_CONNECT, r)) { /* it goes on meanwhile, or has not begun */
        r = CALL(connect, fd, to, sizeof(*to));
        if (r < 0 && errno == EISCONN)
            r = 0;
    }
    EXPECT(r == 0);
    EXPECT(put_number(fd, number) == 0);
    EXPECT(get_number(fd, ~number) == 0);
    (void)close(fd);
    return 0;
}

static int be_server(int listener, uint32_t number)
{
    int fd;

    begin();
    do
        fd = (int)CALL(accept, listener, NULL, NULL);
    while (again(STEP_ACCEPT, fd));
    EXPECT(fd >= 0);
    EXPECT(get_number(fd, number) == 0);
    EXPECT(put_number(fd, ~number) == 0);
    (void)close(fd);
    return 0;
}

static int listen_on(int type, struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*ret);

    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)ret, sizeof(*ret)) < 0 ||
        (type == SOCK_STREAM && listen(fd, 16) < 0) ||
        getsockname(fd, (struct sockaddr *)ret, &len) < 0)
        return -1;
    return fd;
}

static bool is_idle(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 0;
}

/** The peer: server in even cycles, client in odd ones. */
static int peer(int listener, const struct sockaddr_in *victim)
{
    unsigned before = suite_open_fds();

    for (uint32_t i = 0; i < CYCLES; i++)
        EXPECT((i % 2 == 0 ? be_server(listener, i) : be_client(victim, i)) == 0);
    EXPECT(is_idle(listener)); /* no connection was made twice */
    EXPECT(suite_open_fds() == before);
    return 0;
}

/** Let up to 50 us pass, so that the signal comes anywhere in a call, and not only at its begin. */
static void dally(void)
{
    struct mono until = mono_add_ns(mono_now(), random() % 50000);

    while (mono_before(mono_now(), until))
        continue;
}

/** The sender: signal k is sent when the victim has come to its share of all steps. */
static int send_signals(pid_t victim)
{
    for (unsigned k = 0; k < SIGNALS; k++) {
        union sigval number = {.sival_int = (int)k};

        while (shared->steps < k * STEPS / SIGNALS)
            (void)sched_yield();
        dally();
        while (sigqueue(victim, SIGRTMIN, number) < 0) {
            EXPECT(errno == EAGAIN); /* too many are pending */
            (void)sched_yield();
        }
    }
    return 0;
}

/** What the victim talks to itself with. */
struct mirror {
    int pair[2];
    int post;
    struct sockaddr_in name; /* of post */
};

static int suffer(int listener, const struct sockaddr_in *to, const struct mirror *m)
{
    unsigned before = suite_open_fds();

    for (uint32_t i = 0; i < CYCLES; i++) {
        while (received + LAG_MAX < i * SIGNALS / CYCLES)
            (void)sched_yield();
        EXPECT((i % 2 == 0 ? be_client(to, i) : be_server(listener, i)) == 0);
        EXPECT(tell_oneself(m->pair, i) == 0);
        for (uint32_t k = 0; k < POSTS; k++)
            EXPECT(post_to_oneself(m->post, &m->name, i * POSTS + k) == 0);
    }
    while (received < SIGNALS) /* those still under way */
        (void)sched_yield();
    EXPECT(suite_open_fds() == before);
    EXPECT(is_idle(listener));
    EXPECT(is_idle(m->pair[1])); /* no message was sent twice … */
    EXPECT(is_idle(m->post));    /* … and no datagram */
    return 0;
}

/** The peer does the same calls, undisturbed, and must not count as the victim. */
static pid_t start(int (*run)(int, const struct sockaddr_in *), int listener,
                   const struct sockaddr_in *to)
{
    pid_t pid = fork();

    if (pid == 0) {
        static struct shared own;

        shared = &own;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(run(listener, to));
    }
    return pid;
}

static pid_t start_sender(pid_t victim)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(send_signals(victim));
    }
    return pid;
}

static bool ended_well(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return false;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/** @sum_min: so many calls must say EINTR when they do not restart. */
static int storm(bool is_restarting, unsigned sum_min)
{
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | (is_restarting ? SA_RESTART : 0)};
    struct sockaddr_in mine, theirs;
    int listener = listen_on(SOCK_STREAM, &mine), other = listen_on(SOCK_STREAM, &theirs);
    struct mirror mirror;
    unsigned sum = 0;
    pid_t pid, sender;

    mirror.post = listen_on(SOCK_DGRAM, &mirror.name);
    EXPECT(listener >= 0 && other >= 0 && mirror.post >= 0);
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, mirror.pair) == 0);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(shared != MAP_FAILED);
    pid = start(peer, other, &mine);
    EXPECT(pid > 0);
    EXPECT(sigaction(SIGRTMIN, &action, NULL) == 0);
    sender = start_sender(getpid());
    EXPECT(sender > 0);
    EXPECT(suffer(listener, &theirs, &mirror) == 0);
    EXPECT(ended_well(pid));
    EXPECT(ended_well(sender));
    EXPECT(received == SIGNALS);
    EXPECT(out_of_turn == 0);
    for (unsigned i = 0; i < STEP_COUNT; i++)
        sum += interrupted[i];
    printf("%u signals over %u connections; EINTR: socket %u, connect %u, accept %u, recv %u, "
           "send %u, sendmsg %u, recvmsg %u, sendto %u, recvfrom %u\n",
           (unsigned)received, CYCLES, interrupted[STEP_SOCKET], interrupted[STEP_CONNECT],
           interrupted[STEP_ACCEPT], interrupted[STEP_RECV], interrupted[STEP_SEND],
           interrupted[STEP_SENDMSG], interrupted[STEP_RECVMSG], interrupted[STEP_SENDTO],
           interrupted[STEP_RECVFROM]);
    (void)fflush(stdout);
    EXPECT(is_restarting ? sum == 0 : sum >= sum_min);
    return 0;
}

static const char *const rows[] = {"interrupting", "restarting"};

START_TEST(native_control)
{
    /* On a busy machine no call of the kernel's may take long enough to be struck. */
    ck_assert_int_eq(storm(_i == 1, 0), 0);
}
END_TEST

START_TEST(inside_nothing_is_lost_or_done_twice)
{
    struct inside in;

    inside_start(&in, rows[_i]);
    ck_assert_int_eq(inside_end(&in), 0);
}
END_TEST

static const struct suite_test tests[] = {
    {.name = "native_control", .test = &native_control, .rows = 2, .limit_s = 100},
    {.name = "inside_nothing_is_lost_or_done_twice",
     .test = &inside_nothing_is_lost_or_done_twice,
     .rows = 2,
     .limit_s = 100},
};

int main(void)
{
    const char *inner = getenv("LATTICE_INNER");

    if (inner != NULL)
        return storm(strcmp(inner, rows[1]) == 0, SIGNALS / 500);
    return suite_run("signal_storm", tests, (unsigned)ARRAY_COUNT(tests));
}
