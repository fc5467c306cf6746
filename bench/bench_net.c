/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network measurements with plain blocking sockets, and the server that they talk to.
 *
 *   bench_net server                      prints "port N", serves until it is ended
 *   bench_net get  NAME HOST PORT N       N times: connect, GET, read 1 KiB to the end, close
 *   bench_net rtt  NAME HOST PORT N       N times one byte there and back on one connection
 *   bench_net udp  NAME HOST PORT N       N times 100 datagrams of 1200 bytes there and back, ten
 * under way; datagrams per second bench_net down NAME HOST PORT N MB    N times read MB megabytes;
 * the rate bench_net up   NAME HOST PORT N MB    N times write MB megabytes until the server has
 * them bench_net idle NAME HOST PORT N       open N connections, prove each alive, print "ready",
 * keep them until standard input ends
 *
 * The first byte that a client sends chooses what the server does. The server is one epoll loop
 * without allocation per request; a client that breaks the protocol loses its connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "bench/samples.h"

#define CONNECTIONS_MAX 4096 /* descriptor numbers of the server */
#define BULK_BYTES      (256u * 1024)
#define REPLY_BYTES     1024u
#define DATAGRAM_BYTES  1200u
#define DATAGRAMS       100u /* of one sample */
#define DATAGRAM_WINDOW 10u  /* under way; what is lost is waited for LOST_MS */
#define LOST_MS         1000

enum role {
    ROLE_UNKNOWN = 0,
    ROLE_GET = 'G',    /* a request up to an empty line → 1 KiB, close */
    ROLE_ECHO = 'E',   /* every byte comes back, the first too */
    ROLE_SOURCE = 'S', /* bytes until the client closes */
    ROLE_SINK = 'K',   /* reads to the end of file, then answers one byte */
};

static char bulk[BULK_BYTES];       /* written by nobody: what is sent */
static char waste[BULK_BYTES];      /* where received bytes go */
static char roles[CONNECTIONS_MAX]; /* enum role by descriptor; written by the server's loop */

__attribute__((noreturn)) static void die(const char *what)
{
    (void)fprintf(stderr, "bench_net: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- server ---- */

static void reply_page(int fd)
{
    char reply[REPLY_BYTES + 128];
    int head =
        snprintf(reply, sizeof(reply),
                 "HTTP/1.1 200 OK\r\nContent-Length: %u\r\nConnection: close\r\n\r\n", REPLY_BYTES);

    memset(reply + head, 'x', REPLY_BYTES);
    (void)send(fd, reply, (size_t)head + REPLY_BYTES, MSG_NOSIGNAL); /* fits any send buffer */
}

static bool serve_source(int fd)
{
    ssize_t sent;

    do
        sent = send(fd, bulk, sizeof(bulk), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent > 0);
    return errno == EAGAIN;
}

/** Serve what is readable or writable now. Returns false when the connection is over. */
static bool serve(int fd)
{
    ssize_t got;

    if (roles[fd] == ROLE_SOURCE)
        return serve_source(fd);
    got = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN;
    if (got == 0) {
        if (roles[fd] == ROLE_SINK)
            (void)send(fd, "k", 1, MSG_NOSIGNAL);
        return false;
    }
    if (roles[fd] == ROLE_UNKNOWN)
        roles[fd] = waste[0];
    switch ((enum role)roles[fd]) {
    case ROLE_GET: /* a request of the bench is one small segment */
        reply_page(fd);
        return false;
    case ROLE_ECHO:
        return send(fd, waste, (size_t)got, MSG_NOSIGNAL) == got;
    case ROLE_SOURCE:
    case ROLE_SINK:
        return true;
    case ROLE_UNKNOWN:
        break;
    }
    return false;
}

static void echo_datagrams(int fd)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t got;

    while ((got = recvfrom(fd, waste, sizeof(waste), MSG_DONTWAIT, (struct sockaddr *)&from,
                           &len)) >= 0) {
        (void)sendto(fd, waste, (size_t)got, MSG_DONTWAIT, (struct sockaddr *)&from, len);
        len = sizeof(from);
    }
}

static void accept_one(int listener, int epoll)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int on = 1;

    if (fd < 0)
        return;
    if (fd >= CONNECTIONS_MAX) {
        (void)close(fd);
        return;
    }
    roles[fd] = ROLE_UNKNOWN;
    ev.data.fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl");
}

static void serve_event(int epoll, struct epoll_event *ev)
{
    int fd = ev->data.fd;

    if (!serve(fd)) {
        (void)close(fd);
    } else if (roles[fd] == ROLE_SOURCE && (ev->events & EPOLLOUT) == 0) {
        ev->events = EPOLLOUT | EPOLLRDHUP;
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, ev) < 0)
            die("epoll_ctl");
    }
}

__attribute__((noreturn)) static void server(void)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int datagrams = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};

    if (listener < 0 || epoll < 0 || bind(listener, (struct sockaddr *)&addr, len) < 0 ||
        listen(listener, 1024) < 0 || getsockname(listener, (struct sockaddr *)&addr, &len) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) < 0)
        die("listen");
    ev.data.fd = datagrams;
    if (datagrams < 0 || bind(datagrams, (struct sockaddr *)&addr, len) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, datagrams, &ev) < 0)
        die("a datagram socket");
    printf("port %u\n", ntohs(addr.sin6_port));
    (void)fflush(stdout);
    for (;;) {
        if (epoll_wait(epoll, &ev, 1, -1) < 1)
            continue;
        if (ev.data.fd == listener)
            accept_one(listener, epoll);
        else if (ev.data.fd == datagrams)
            echo_datagrams(datagrams);
        else
            serve_event(epoll, &ev);
    }
}

/* ---- clients ---- */

static struct addrinfo *target; /* written by look_up() once */

static void look_up(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};

    if (getaddrinfo(host, port, &hints, &target) != 0) {
        (void)fprintf(stderr, "bench_net: %s port %s: a numeric address expected\n", host, port);
        exit(2);
    }
}

static int open_connection(void)
{
    int fd = socket(target->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0 || connect(fd, target->ai_addr, target->ai_addrlen) < 0)
        die("connect");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        die("TCP_NODELAY");
    return fd;
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

        if (sent <= 0)
            die("send");
        data += sent;
        len -= (size_t)sent;
    }
}

static double get_once(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
    double start = now_us();
    int fd = open_connection();
    size_t total = 0;
    ssize_t got;

    send_all(fd, request, sizeof(request) - 1);
    while ((got = recv(fd, waste, sizeof(waste), 0)) > 0)
        total += (size_t)got;
    if (got < 0 || total < REPLY_BYTES)
        die("the page came short");
    (void)close(fd);
    return now_us() - start;
}

static double rtt_once(int fd)
{
    double start = now_us();

    send_all(fd, "E", 1);
    if (recv(fd, waste, 1, MSG_WAITALL) != 1)
        die("echo");
    return now_us() - start;
}

static int open_datagrams(void)
{
    const struct timeval limit = {.tv_sec = LOST_MS / 1000};
    int fd = socket(target->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, target->ai_addr, target->ai_addrlen) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        die("a datagram socket");
    return fd;
}

static double udp_once(int fd)
{
    double start = now_us();
    unsigned sent = 0;

    for (unsigned back = 0; back < DATAGRAMS; back++) {
        for (; sent < DATAGRAMS && sent < back + DATAGRAM_WINDOW; sent++)
            if (send(fd, bulk, DATAGRAM_BYTES, 0) != DATAGRAM_BYTES)
                die("send a datagram");
        if (recv(fd, waste, sizeof(waste), 0) != DATAGRAM_BYTES)
            die("a datagram was lost");
    }
    return DATAGRAMS / (now_us() - start) * 1e6;
}

static double down_once(size_t bytes)
{
    int fd = open_connection();
    double start = now_us();
    size_t total = 0;

    send_all(fd, "S", 1);
    while (total < bytes) {
        ssize_t got = recv(fd, waste, sizeof(waste), 0);

        if (got <= 0)
            die("download");
        total += (size_t)got;
    }
    start = now_us() - start;
    (void)close(fd);
    return (double)total * 8 / start; /* bits per microsecond = Mbit/s */
}

static double up_once(size_t bytes)
{
    int fd = open_connection();
    double start = now_us();
    size_t left = bytes;

    send_all(fd, "K", 1);
    while (left > 0) {
        size_t part = left < sizeof(bulk) ? left : sizeof(bulk);

        send_all(fd, bulk, part);
        left -= part;
    }
    if (shutdown(fd, SHUT_WR) < 0 || recv(fd, waste, 1, MSG_WAITALL) != 1)
        die("upload");
    start = now_us() - start;
    (void)close(fd);
    return (double)bytes * 8 / start;
}

static void idle(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (void)rtt_once(open_connection());
    printf("ready\n");
    (void)fflush(stdout);
    while (read(STDIN_FILENO, waste, sizeof(waste)) > 0)
        continue;
}

/** Rates get no warm-up run: slow start belongs to them. */
static void measure(const char *what, const char *name, unsigned n, size_t bytes)
{
    bool is_udp = strcmp(what, "udp") == 0;
    bool is_rate = bytes > 0 || is_udp;
    struct samples s;
    int fd = -1;

    samples_init(&s, n);
    if (is_udp) {
        fd = open_datagrams();
        (void)udp_once(fd);
    } else if (strcmp(what, "rtt") == 0) {
        fd = open_connection();
        (void)rtt_once(fd);
    }
    for (unsigned i = 0; i < n; i++) {
        double value = is_udp                      ? udp_once(fd)
                       : fd >= 0                   ? rtt_once(fd)
                       : !is_rate                  ? get_once()
                       : strcmp(what, "down") == 0 ? down_once(bytes)
                                                   : up_once(bytes);

        samples_add(&s, value);
    }
    if (fd >= 0)
        (void)close(fd);
    samples_print(&s, name, is_udp ? "1/s" : is_rate ? "Mbit/s" : "us", is_rate);
    samples_done(&s);
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: bench_net server | get|rtt|udp|idle NAME HOST PORT N | "
                          "down|up NAME HOST PORT N MB\n");
    return 2;
}

int main(int argc, char **argv)
{
    bool is_rate;
    unsigned n;

    if (argc == 2 && strcmp(argv[1], "server") == 0)
        server();
    if (argc < 6)
        return usage();
    is_rate = strcmp(argv[1], "down") == 0 || strcmp(argv[1], "up") == 0;
    if (argc != (is_rate ? 7 : 6))
        return usage();
    look_up(argv[3], argv[4]);
    n = (unsigned)count_of(argv[5], SAMPLES_MAX);
    if (strcmp(argv[1], "idle") == 0)
        idle(n);
    else if (is_rate || strcmp(argv[1], "get") == 0 || strcmp(argv[1], "rtt") == 0 ||
             strcmp(argv[1], "udp") == 0)
        measure(argv[1], argv[2], n, is_rate ? count_of(argv[6], 100000) * 1000000 : 0);
    else
        return usage();
    freeaddrinfo(target);
    return 0;
}
