/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of differ, always native. TCP: each byte is a command: 'E' echo what follows, 'R' reset
 * now, 'D' send data and reset, 'F' close in order, 'H' send data, half-close and go on reading,
 * 'Q' stay quiet, 'M' say what the handshake had for a time to live and a type of
 * service, 'S' say how the connection before this one ended. UDP: echo; "marks" is answered
 * with the time to live and the type of service that it came with.
 */
#include "tests/differ/differ.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arrival.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned active;
static unsigned long served;      /* connections that were numbered */
static unsigned long last_serial; /* of the one that last_end is about */
static const char *last_end = "nothing";

static void reset(int fd)
{
    static const struct linger at_once = {.l_onoff = 1};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static void tell_status(int fd)
{
    char text[32];

    (void)pthread_mutex_lock(&lock);
    while (active > 1)
        (void)pthread_cond_wait(&changed, &lock);
    (void)snprintf(text, sizeof(text), "%s", last_end);
    (void)pthread_mutex_unlock(&lock);
    must(write(fd, text, strlen(text)) > 0);
}

/** Of the segment that made the connection: ip(7), IP_PKTOPTIONS. */
static void tell_handshake(int fd)
{
    union {
        struct cmsghdr align;
        char bytes[256];
    } control = {0};
    socklen_t len = sizeof(control);
    struct msghdr m = {.msg_control = control.bytes};
    int on = 1, ttl = -1, tos = -1;
    char text[32];

    must(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)) == 0);
    must(setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)) == 0);
    must(getsockopt(fd, IPPROTO_IP, IP_PKTOPTIONS, control.bytes, &len) == 0);
    m.msg_controllen = len;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == IP_TTL)
            memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
        if (c->cmsg_type == IP_TOS)
            tos = *CMSG_DATA(c);
    }
    (void)snprintf(text, sizeof(text), "ttl %d tos %x", ttl, (unsigned)tos);
    (void)!write(fd, text, strlen(text));
}

/** Serve until the connection is over; how it ended, NULL when we ended it. */
static const char *serve_commands(int fd)
{
    char data[4096];
    bool is_echo = false, is_deaf = false;
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0) {
        if (is_deaf)
            continue;
        if (is_echo) {
            if (write(fd, data, (size_t)n) != n)
                break;
            continue;
        }
        switch (data[0]) {
        case 'E':
            is_echo = true;
            if (n > 1)
                (void)!write(fd, data + 1, (size_t)n - 1);
            break;
        case 'D':
            (void)!write(fd, "data", 4);
            reset(fd);
            return NULL;
        case 'R':
            reset(fd);
            return NULL;
        case 'F':
            return NULL;
        case 'H':
            (void)!write(fd, "half", 4);
            (void)shutdown(fd, SHUT_WR);
            is_deaf = true;
            break;
        case 'Q':
            is_deaf = true;
            break;
        case 'M':
            tell_handshake(fd);
            break;
        case 'S':
            tell_status(fd);
            return NULL;
        default:
            break;
        }
    }
    return n == 0 ? "end of file" : strerrorname_np(errno);
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    unsigned long serial;
    const char *end;

    (void)pthread_mutex_lock(&lock);
    serial = ++served;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    end = serve_commands(fd);
    (void)close(fd);
    (void)pthread_mutex_lock(&lock);
    active--;
    if (end != NULL && serial > last_serial) { /* an older one may end late */
        last_serial = serial;
        last_end = end;
    }
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    return NULL;
}

/** What a datagram had in its header, in a reply that has marks of its own. */
static void tell_marks(int fd, const struct arrival *a, const struct sockaddr *to, socklen_t len)
{
    static const int ttl = 41, tos = 0x50;
    char text[32];

    must(setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)) == 0);
    must(setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) == 0);
    (void)snprintf(text, sizeof(text), "ttl %d tos %x", a->hops, (unsigned)a->class);
    (void)sendto(fd, text, strlen(text), 0, to, len);
    must(setsockopt(fd, IPPROTO_IP, IP_TTL, &(int){64}, sizeof(ttl)) == 0);
    must(setsockopt(fd, IPPROTO_IP, IP_TOS, &(int){0}, sizeof(tos)) == 0);
}

static void *serve_udp(void *arg)
{
    int fd = (int)(intptr_t)arg, on = 1;
    static uint8_t data[65536];
    struct pollfd p = {.fd = fd, .events = POLLIN};

    must(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)) == 0);
    must(setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)) == 0);
    for (;;) {
        struct sockaddr_storage from;
        struct arrival a;
        ssize_t n;
        socklen_t len;

        (void)poll(&p, 1, -1);
        n = arrival_receive(fd, 0, data, sizeof(data), &a);
        if (n < 0)
            continue;
        len = endpoint_to_sockaddr(&a.from, &from);
        if (n == 5 && memcmp(data, "marks", 5) == 0)
            tell_marks(fd, &a, (struct sockaddr *)&from, len);
        else
            (void)sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, len);
    }
    return NULL;
}

static int bound(int type, uint16_t *ret_port)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof(at);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0);
    must(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

int differ_serve(void)
{
    uint16_t tcp, closed, udp, udp_closed;
    int listener = bound(SOCK_STREAM, &tcp);
    int udp_fd = bound(SOCK_DGRAM, &udp);
    pthread_t thread;
    unsigned long taken = 0;

    (void)bound(SOCK_STREAM, &closed); /* bound and not listening: refuses, and nobody takes it */
    (void)close(bound(SOCK_DGRAM, &udp_closed));
    must(listen(listener, 64) == 0);
    must(pthread_create(&thread, NULL, serve_udp, (void *)(intptr_t)udp_fd) == 0);
    (void)printf("ready TCP=%u CLOSED=%u UDP=%u UDP_CLOSED=%u\n", tcp, closed, udp, udp_closed);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            continue;
        (void)pthread_mutex_lock(&lock);
        active++;
        taken++;
        must(pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0);
        (void)pthread_detach(thread);
        while (served < taken) /* so that they are numbered in the order in which they came */
            (void)pthread_cond_wait(&changed, &lock);
        (void)pthread_mutex_unlock(&lock);
    }
}
