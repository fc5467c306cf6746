/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What interception costs, measured by the program that is intercepted. Started natively and again
 * in a sandbox it prints the same lines with another suffix, so each figure has its twin.
 *
 *   bench_intercept calls SUFFIX N    trapped calls, and calls that the filter lets through
 *   bench_intercept tcp   SUFFIX N    loopback connections: socket, connect, accept, close, close
 *   bench_intercept udp   SUFFIX N    datagrams on the loopback: connected and with addresses
 *   bench_intercept repeat WHAT   N   N times the same and nothing else, for counting what it costs
 *   bench_intercept hold  COUNT KIND  open COUNT sockets of KIND (tcp, udp), print "ready", keep
 *                                     them until standard input ends
 *
 * Each sample is the mean of a short round, for a single call is shorter than the clock is exact;
 * rounds are many, so the median is of an undisturbed round. Loopback needs 127.0.0.1 to be up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/must.h"
#include "bench/samples.h"

#define CALLS_PER_ROUND 20u
#define PAIRS_PER_ROUND 48u /* a multiple of WINDOW; short, so that most rounds are undisturbed */
#define WINDOW          16u /* datagrams under way at once; the queue of a socket takes more */
#define DATAGRAM_BYTES  64u
#define PAGE_BYTES      4096u
#define NAME_CAP        64u

__attribute__((noreturn)) static void die(const char *what)
{
    (void)fprintf(stderr, "bench_intercept: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void report(struct samples *s, const char *what, const char *suffix, const char *unit,
                   bool is_rate)
{
    char name[NAME_CAP];

    must((size_t)snprintf(name, sizeof(name), "%s.%s", what, suffix) < sizeof(name));
    samples_print(s, name, unit, is_rate);
    samples_done(s);
}

static int open_socket(int type, struct sockaddr_in *ret_at)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 ||
        getsockname(fd, (struct sockaddr *)ret_at, &len) < 0)
        die("a socket on 127.0.0.1");
    return fd;
}

/* ---- calls ---- */

static int subject;           /* descriptor that the calls are about; written by calls() */
static char page[PAGE_BYTES]; /* written by one_read() */
static char self_path[4096];  /* this program: a file to open; written by calls() */

static void one_getsockname(void)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    must(getsockname(subject, (struct sockaddr *)&at, &len) == 0);
}

static void one_getsockopt(void)
{
    int value;
    socklen_t len = sizeof(value);

    must(getsockopt(subject, SOL_SOCKET, SO_TYPE, &value, &len) == 0);
}

static void one_setsockopt(void)
{
    int on = 1;

    must(setsockopt(subject, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
}

static void one_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0);
    (void)close(fd);
}

static void one_getppid(void)
{
    must(syscall(SYS_getppid) >= 0);
}

static void one_read(void)
{
    must(pread(subject, page, sizeof(page), 0) > 0);
}

static void one_open(void)
{
    int fd = open(self_path, O_RDONLY | O_CLOEXEC);

    must(fd >= 0);
    must(read(fd, page, sizeof(page)) > 0);
    (void)close(fd);
}

static void one_transfer(void)
{
    must(send(subject, page, 1024, 0) == 1024);
    must(recv(subject + 1, page, 1024, 0) == 1024);
}

static void rounds(const char *what, const char *suffix, unsigned n, void (*one)(void),
                   const char *unit)
{
    double scale = strcmp(unit, "ns") == 0 ? 1000 : 1;
    struct samples s;

    samples_init(&s, n);
    for (unsigned i = 0; i < CALLS_PER_ROUND; i++)
        one();
    for (unsigned i = 0; i < n; i++) {
        double start = now_us();

        for (unsigned k = 0; k < CALLS_PER_ROUND; k++)
            one();
        samples_add(&s, scale * (now_us() - start) / CALLS_PER_ROUND);
    }
    report(&s, what, suffix, unit, /*is_rate=*/false);
}

static void prepare_pair(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    must(pair[1] == pair[0] + 1);
    subject = pair[0];
}

static void calls(const char *suffix, unsigned n)
{
    struct sockaddr_in at;
    ssize_t len = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);

    if (len <= 0)
        die("/proc/self/exe");
    subject = open_socket(SOCK_STREAM, &at);
    rounds("trap_getsockname", suffix, n, one_getsockname, "us");
    rounds("trap_getsockopt", suffix, n, one_getsockopt, "us");
    rounds("trap_setsockopt", suffix, n, one_setsockopt, "us");
    rounds("trap_socket_close", suffix, n, one_socket, "us");
    (void)close(subject);
    rounds("allowed_getppid", suffix, 4 * n, one_getppid, "ns");
    subject = open(self_path, O_RDONLY | O_CLOEXEC);
    rounds("allowed_pread_4k", suffix, 4 * n, one_read, "ns");
    (void)close(subject);
    rounds("allowed_open_read_close", suffix, 4 * n, one_open, "ns");
    prepare_pair();
    rounds("allowed_send_recv_unix", suffix, 4 * n, one_transfer, "ns");
    (void)close(subject);
    (void)close(subject + 1);
}

/* ---- tcp ---- */

static struct sockaddr_in listener_at; /* of the listener, which is the subject */

static void prepare_listener(void)
{
    subject = open_socket(SOCK_STREAM, &listener_at);
    if (listen(subject, 16) < 0)
        die("listen");
}

static void one_cycle(void)
{
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int server;

    if (client < 0 || connect(client, (struct sockaddr *)&listener_at, sizeof(listener_at)) < 0)
        die("connect");
    server = accept4(subject, NULL, NULL, SOCK_CLOEXEC);
    if (server < 0)
        die("accept");
    (void)close(client);
    (void)close(server);
}

static void tcp(const char *suffix, unsigned n)
{
    struct samples s;

    prepare_listener();
    samples_init(&s, n);
    for (unsigned i = 0; i < n; i++) {
        double start = now_us();

        one_cycle();
        samples_add(&s, now_us() - start);
    }
    report(&s, "loopback_cycle", suffix, "us", /*is_rate=*/false);
    (void)close(subject);
}

/* ---- udp ---- */

static int udp_a, udp_b;                      /* two sockets; written by udp() */
static struct sockaddr_in udp_a_at, udp_b_at; /* and their names */
static char datagram[DATAGRAM_BYTES];

static void stream_round(unsigned pairs, unsigned window)
{
    for (unsigned done = 0; done < pairs; done += window) {
        for (unsigned i = 0; i < window; i++)
            must(send(udp_a, datagram, sizeof(datagram), 0) == sizeof(datagram));
        for (unsigned i = 0; i < window; i++)
            must(recv(udp_b, datagram, sizeof(datagram), 0) == sizeof(datagram));
    }
}

/** A datagram there with sendto(), taken with recvfrom(), which tells who sent it. */
static void exchange_round(unsigned pairs)
{
    struct sockaddr_in from;
    socklen_t len;

    for (unsigned i = 0; i < pairs; i++) {
        must(sendto(udp_a, datagram, sizeof(datagram), 0, (struct sockaddr *)&udp_b_at,
                    sizeof(udp_b_at)) == sizeof(datagram));
        len = sizeof(from);
        must(recvfrom(udp_b, datagram, sizeof(datagram), 0, (struct sockaddr *)&from, &len) ==
             sizeof(datagram));
        must(from.sin_port == udp_a_at.sin_port);
    }
}

static void udp_rate(const char *what, const char *suffix, unsigned n, unsigned window)
{
    struct samples s;

    samples_init(&s, n);
    for (unsigned i = 0; i < n; i++) {
        double start = now_us();

        if (window > 0)
            stream_round(PAIRS_PER_ROUND, window);
        else
            exchange_round(PAIRS_PER_ROUND);
        samples_add(&s, PAIRS_PER_ROUND / (now_us() - start) * 1e6);
    }
    report(&s, what, suffix, "1/s", /*is_rate=*/true);
}

static void udp(const char *suffix, unsigned n)
{
    udp_a = open_socket(SOCK_DGRAM, &udp_a_at);
    udp_b = open_socket(SOCK_DGRAM, &udp_b_at);
    udp_rate("udp_unconnected", suffix, n, 0);
    if (connect(udp_a, (struct sockaddr *)&udp_b_at, sizeof(udp_b_at)) < 0 ||
        connect(udp_b, (struct sockaddr *)&udp_a_at, sizeof(udp_a_at)) < 0)
        die("connect");
    udp_rate("udp_connected_one", suffix, n, 1);
    udp_rate("udp_connected_window", suffix, n, WINDOW);
    (void)close(udp_a);
    (void)close(udp_b);
}

/* ---- repeat ---- */

static void prepare_tcp(void)
{
    struct sockaddr_in at;

    subject = open_socket(SOCK_STREAM, &at);
}

static void prepare_udp(void)
{
    udp_a = open_socket(SOCK_DGRAM, &udp_a_at);
    udp_b = open_socket(SOCK_DGRAM, &udp_b_at);
}

static void one_exchange(void)
{
    exchange_round(1);
}

static const struct {
    const char *name;
    void (*prepare)(void);
    void (*one)(void);
} repeats[] = {
    {"getsockname", prepare_tcp, one_getsockname},  {"getsockopt", prepare_tcp, one_getsockopt},
    {"setsockopt", prepare_tcp, one_setsockopt},    {"socket_close", prepare_tcp, one_socket},
    {"udp_exchange", prepare_udp, one_exchange},    {"getppid", prepare_tcp, one_getppid},
    {"send_recv_unix", prepare_pair, one_transfer}, {"loopback_cycle", prepare_listener, one_cycle},
};

static int repeat(const char *what, unsigned n)
{
    for (unsigned i = 0; i < ARRAY_COUNT(repeats); i++) {
        if (strcmp(repeats[i].name, what) != 0)
            continue;
        repeats[i].prepare();
        for (unsigned k = 0; k < n; k++)
            repeats[i].one();
        return 0;
    }
    (void)fprintf(stderr, "bench_intercept: no call is named '%s'\n", what);
    return 2;
}

/* ---- hold ---- */

static void hold(unsigned count, int type)
{
    struct rlimit limit;
    char waste[64];

    must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* else: "ready" never comes, and socket() says why */
    for (unsigned i = 0; i < count; i++) {
        if (socket(AF_INET, type | SOCK_CLOEXEC, 0) < 0)
            die("socket");
    }
    printf("ready\n");
    (void)fflush(stdout);
    while (read(STDIN_FILENO, waste, sizeof(waste)) > 0)
        continue;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: bench_intercept calls|tcp|udp SUFFIX N | repeat WHAT N | "
                          "hold COUNT tcp|udp\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return usage();
    if (strcmp(argv[1], "hold") == 0)
        hold((unsigned)count_of(argv[2], SAMPLES_MAX),
             strcmp(argv[3], "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM);
    else if (strcmp(argv[1], "repeat") == 0)
        return repeat(argv[2], (unsigned)count_of(argv[3], SAMPLES_MAX));
    else if (strcmp(argv[1], "calls") == 0)
        calls(argv[2], (unsigned)count_of(argv[3], SAMPLES_MAX / 4));
    else if (strcmp(argv[1], "tcp") == 0)
        tcp(argv[2], (unsigned)count_of(argv[3], SAMPLES_MAX));
    else if (strcmp(argv[1], "udp") == 0)
        udp(argv[2], (unsigned)count_of(argv[3], SAMPLES_MAX));
    else
        return usage();
    return 0;
}
