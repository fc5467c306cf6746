/* SPDX-License-Identifier: Apache-2.0 */
/* recvmmsg(2): how many messages it waits for, and until when. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/differ/differ.h"

#define ROOM 4u

static int receiver_on(uint16_t *ret_port, int64_t limit_ms)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof(at);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0);
    must(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/** A child that sends datagrams "a", "bb", … so many, each after a pause. */
static pid_t sender(uint16_t port, unsigned count, unsigned pause_ms)
{
    static const char text[] = "abcdef";
    struct sockaddr_in to = at_port(port);
    struct timespec pause = {.tv_nsec = (long)pause_ms * 1000000};
    pid_t pid = fork();
    int fd;

    must(pid >= 0);
    if (pid != 0)
        return pid;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (unsigned i = 0; i < count; i++) {
        (void)nanosleep(&pause, NULL);
        (void)sendto(fd, text, i + 1, 0, (struct sockaddr *)&to, sizeof(to));
    }
    _exit(0);
}

static void receive(const char *what, int fd, unsigned room, int flags, struct timespec *limit)
{
    char data[ROOM][8];
    struct iovec iov[ROOM];
    struct mmsghdr m[ROOM];
    long n;

    for (unsigned i = 0; i < ROOM; i++) {
        iov[i] = (struct iovec){data[i], sizeof(data[i])};
        m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
    }
    n = show(what, recvmmsg(fd, m, room, flags, limit));
    for (long i = 0; i < n; i++)
        (void)printf("  len %u\n", m[i].msg_len);
}

static void waits_for_all(void)
{
    uint16_t port;
    int fd = receiver_on(&port, 10000);
    pid_t pid = sender(port, 3, 20);

    receive("three", fd, 3, 0, NULL);
    (void)waitpid(pid, NULL, 0);
    pid = sender(port, 3, 20);
    receive("one", fd, 3, MSG_WAITFORONE, NULL);
    receive("two more", fd, 2, 0, NULL);
    (void)waitpid(pid, NULL, 0);
    receive("none", fd, 2, MSG_DONTWAIT, NULL);
    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    receive("none", fd, 2, 0, NULL);
}

static void until_silence(void)
{
    uint16_t port;
    int fd = receiver_on(&port, 700);
    pid_t pid = sender(port, 2, 20);

    receive("two of four", fd, 4, 0, NULL);
    (void)waitpid(pid, NULL, 0);
    receive("none", fd, 4, 0, NULL);
    pid = sender(port, 4, 250); /* each within the limit, all together not */
    receive("four", fd, 4, 0, NULL);
    (void)waitpid(pid, NULL, 0);
}

static void until_limit(void)
{
    struct timespec limit = {.tv_nsec = 600000000};
    struct timespec wrong = {.tv_nsec = 1000000000}, past = {.tv_sec = -1};
    uint16_t port;
    int fd = receiver_on(&port, 10000);
    pid_t pid;

    receive("wrong", fd, 4, 0, &wrong);
    receive("past", fd, 4, 0, &past);
    pid = sender(port, 3, 400); /* the second is the first behind the limit */
    receive("two of four", fd, 4, 0, &limit);
    (void)printf("left %ld\n", (long)limit.tv_sec + limit.tv_nsec);
    (void)waitpid(pid, NULL, 0);
    limit = (struct timespec){0};
    receive("one", fd, 4, 0, &limit);
    pid = sender(port, 2, 10);
    (void)waitpid(pid, NULL, 0);
    receive("one of two", fd, 4, 0, &limit);
    limit.tv_sec = 100;
    receive("both", fd, 1, 0, &limit);
    (void)printf("less %d\n", limit.tv_sec < 100);
}

static void on_alarm(int n)
{
    (void)n;
}

/** A signal whose handler has no SA_RESTART loses no datagram. */
static void interrupted(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value = {.tv_usec = 200000}};
    uint16_t port;
    int fd = receiver_on(&port, 10000);
    char data[4][8];
    struct iovec iov[4];
    struct mmsghdr m[4];
    long seen = 0;
    pid_t pid;

    for (unsigned i = 0; i < 4; i++) {
        iov[i] = (struct iovec){data[i], sizeof(data[i])};
        m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
    }
    must(sigaction(SIGALRM, &action, NULL) == 0);
    must(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    pid = sender(port, 2, 10);
    for (long n = 0; seen < 2 && n >= 0; seen += n > 0 ? n : 0) {
        n = recvmmsg(fd, m, 4, 0, NULL);
        if (n < 0 && errno == EINTR)
            n = recvmmsg(fd, m, 4, MSG_DONTWAIT, NULL);
    }
    (void)show("both", seen);
    (void)waitpid(pid, NULL, 0);
}

/** What waits is more than a queue holds comfortably: nothing is lost. */
static void large(void)
{
    static uint8_t data[ROOM][65507];
    struct iovec iov[ROOM];
    struct mmsghdr m[ROOM];
    struct timespec pause = {.tv_nsec = 20000000};
    struct sockaddr_in to;
    uint16_t port;
    int fd = receiver_on(&port, 10000);
    unsigned seen = 0;
    pid_t pid;

    to = at_port(port);
    pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        int out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        for (unsigned i = 0; i < ROOM; i++) {
            (void)sendto(out, data[0], sizeof(data[0]), 0, (struct sockaddr *)&to, sizeof(to));
            (void)nanosleep(&pause, NULL);
        }
        _exit(0);
    }
    while (seen < ROOM) {
        int n;

        for (unsigned i = seen; i < ROOM; i++) {
            iov[i] = (struct iovec){data[i], sizeof(data[i])};
            m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
        }
        n = recvmmsg(fd, m + seen, ROOM - seen, 0, NULL);
        must(n > 0); /* inside, fewer at a time */
        seen += (unsigned)n;
    }
    for (unsigned i = 0; i < ROOM; i++)
        (void)show("len", m[i].msg_len);
    (void)waitpid(pid, NULL, 0);
}

const struct differ_case batch_cases[] = {
    {"udp_batch_waits_for_all", waits_for_all},
    {"udp_batch_until_silence", until_silence},
    {"udp_batch_until_limit", until_limit},
    {"udp_batch_interrupted", interrupted},
    {"udp_batch_large", large},
};
const unsigned batch_case_count = ARRAY_COUNT(batch_cases);
