/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix_race connect|link|message|swap OWN HOST ROUNDS: threads that change arguments of AF_UNIX
 * calls while they are judged. OWN is a path to bind, HOST the path of a daemon of the host; what
 * arrives there is for the caller to count. Prints `own: N`, what arrived at home, which must not
 * be 0.
 *
 * connect: the path of connect(2) turns from OWN into HOST.
 * link:    that path is a link, which is turned from OWN to HOST by rename(2).
 * message: the header of sendmsg(2) on a connected pair gets HOST as its name.
 * swap:    besides, the descriptor turns from a stream's into a datagram socket's (dup2).
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un addresses[2]; /* own, host */
static struct sockaddr_un flipped;
static struct msghdr header;
static int swapped = -1; /* the descriptor number that is used */
static int swap_with[2] = {-1, -1};
static atomic_bool is_over;
static atomic_bool is_turning;

static void need(bool holds)
{
    if (!holds) {
        perror("unix_race");
        exit(2);
    }
}

static void *flip_path(void *unused)
{
    (void)unused;
    while (!is_over) {
        for (unsigned i = 0; i < 2; i++)
            for (size_t k = 0; k < sizeof(flipped.sun_path); k++)
                ((volatile struct sockaddr_un *)&flipped)->sun_path[k] = addresses[i].sun_path[k];
        is_turning = true;
    }
    return NULL;
}

static char link_path[sizeof(flipped.sun_path) + 8];

static void *flip_link(void *unused)
{
    char aside[sizeof(link_path) + 8];

    (void)unused;
    (void)snprintf(aside, sizeof(aside), "%s.new", link_path);
    for (unsigned i = 0; !is_over; i++) {
        (void)symlink(addresses[i % 2].sun_path, aside);
        (void)rename(aside, link_path);
        is_turning = true;
    }
    (void)unlink(aside);
    return NULL;
}

static void *flip_name(void *unused)
{
    (void)unused;
    while (!is_over) {
        volatile struct msghdr *h = &header;

        h->msg_namelen = sizeof(addresses[1]);
        h->msg_name = &addresses[1];
        is_turning = true;
        h->msg_name = NULL;
        h->msg_namelen = 0;
    }
    return NULL;
}

static void *flip_fd(void *unused)
{
    (void)unused;
    for (unsigned i = 0; !is_over; i++)
        (void)dup2(swap_with[i % 2], swapped);
    return NULL;
}

static pthread_t start(void *(*run)(void *))
{
    pthread_t thread;

    need(pthread_create(&thread, NULL, run, NULL) == 0);
    return thread;
}

static int bound(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    need(fd >= 0);
    need(bind(fd, (struct sockaddr *)&addresses[0], sizeof(addresses[0])) == 0);
    return fd;
}

static unsigned race_connect(unsigned rounds, bool by_link)
{
    int listener = bound(SOCK_STREAM);
    unsigned arrived = 0;

    need(listen(listener, 64) == 0);
    flipped = addresses[0];
    if (by_link) {
        (void)snprintf(link_path, sizeof(link_path), "%s.l", addresses[0].sun_path);
        need(strlen(link_path) < sizeof(flipped.sun_path));
        memcpy(flipped.sun_path, link_path, strlen(link_path) + 1);
    }
    (void)start(by_link ? flip_link : flip_path);
    while (!is_turning)
        (void)sched_yield();
    for (unsigned i = 0; i < rounds || (arrived == 0 && i < 100 * rounds); i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int end;

        need(fd >= 0);
        (void)connect(fd, (struct sockaddr *)&flipped, sizeof(flipped));
        (void)close(fd);
        while ((end = accept(listener, NULL, NULL)) >= 0) {
            arrived++;
            (void)close(end);
        }
        if (i % 16 == 0)
            (void)sched_yield();
    }
    return arrived;
}

static unsigned race_message(unsigned rounds, bool swaps)
{
    char byte = 'x';
    char in[64];
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    int pair[2];
    unsigned arrived = 0;

    need(socketpair(AF_UNIX, (swaps ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0, pair) == 0);
    header = (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1};
    swapped = pair[0];
    if (swaps) {
        swap_with[0] = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
        swap_with[1] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        need(swap_with[0] >= 0 && swap_with[1] >= 0);
        (void)start(flip_fd);
    }
    (void)start(flip_name);
    while (!is_turning)
        (void)sched_yield();
    for (unsigned i = 0; i < rounds || (arrived == 0 && i < 100 * rounds); i++) {
        (void)sendmsg(swapped, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (recv(pair[1], in, sizeof(in), MSG_DONTWAIT) > 0)
            arrived++;
        if (i % 16 == 0)
            (void)sched_yield();
    }
    return arrived;
}

int main(int argc, char **argv)
{
    unsigned rounds;
    unsigned arrived;

    if (argc != 5)
        return 2;
    for (unsigned i = 0; i < 2; i++) {
        addresses[i].sun_family = AF_UNIX;
        (void)snprintf(addresses[i].sun_path, sizeof(addresses[i].sun_path), "%s", argv[2 + i]);
    }
    rounds = (unsigned)strtoul(argv[4], NULL, 10);
    if (strcmp(argv[1], "connect") == 0 || strcmp(argv[1], "link") == 0)
        arrived = race_connect(rounds, strcmp(argv[1], "link") == 0);
    else
        arrived = race_message(rounds, strcmp(argv[1], "swap") == 0);
    is_over = true;
    (void)unlink(argv[2]);
    (void)unlink(link_path);
    printf("own: %u\n", arrived);
    return arrived > 0 ? 0 : 1;
}
