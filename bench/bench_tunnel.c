/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack, a tunnel and a gateway on one machine, without the sandbox's system calls: an agent
 * process at one end of an AF_UNIX stream, this process as the supervisor, a gateway process, a
 * server process on loopback. Prints one line each: name, unit, median, p99, n.
 *
 * usage: bench_tunnel [MEGABYTES [EXCHANGES]]   (default 256 and 2000)
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "bench/samples.h"
#include "gateway/gateway.h"

#define BLOCK   (256u << 10)
#define REPEATS 5u
#define GET_LEN 1024u
#define SEGMENT 1380.0

static uint8_t block[BLOCK];

/* The server: the first byte of a connection says what it wants. */

static void serve_one(int fd, uint64_t bytes)
{
    static const int on = 1;
    char what;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (io_read(fd, &what, 1) != 1)
        return;
    if (what == 'D') {
        for (uint64_t left = bytes; left > 0;) {
            size_t part = left < BLOCK ? (size_t)left : BLOCK;

            if (io_write_all(fd, block, part) < 0)
                return;
            left -= part;
        }
    } else if (what == 'U') {
        uint64_t got = 0;

        while (got < bytes) {
            ssize_t n = io_read(fd, block, BLOCK);

            if (n <= 0)
                return;
            got += (uint64_t)n;
        }
        (void)!io_write_all(fd, "k", 1);
    } else if (what == 'E') {
        while (io_read(fd, &what, 1) == 1 && io_write_all(fd, &what, 1) == 0)
            continue;
    } else {
        (void)!io_write_all(fd, block, GET_LEN);
    }
}

static void run_server(int listener, uint64_t bytes)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        must(fd >= 0);
        serve_one(fd, bytes);
        close(fd);
    }
}

static void child_begin(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static struct prefix prefix_of(const char *text)
{
    struct prefix p;

    must(prefix_parse(bytes_of_str(text), /*host_bits=*/true, &p) == 0);
    return p;
}

static void make_conf(struct wg_conf *conf, const uint8_t *private_key, const uint8_t *peer_private,
                      const char *address, const char *allowed)
{
    struct wg_peer_conf *peer = calloc(1, sizeof(*peer));

    must(peer != NULL);
    *conf = (struct wg_conf){.address_count = 1, .peers = peer, .peer_count = 1};
    memcpy(conf->private_key, private_key, WG_KEY_LEN);
    conf->addresses[0] = prefix_of(address);
    must(wg_key_public(peer_private, peer->public_key) == 0);
    peer->allowed_ips = calloc(1, sizeof(peer->allowed_ips[0]));
    must(peer->allowed_ips != NULL);
    peer->allowed_ip_count = 1;
    peer->allowed_ips[0] = prefix_of(allowed);
}

static void run_gateway(const struct wg_conf *conf, int ready)
{
    struct gateway_config config = {.wg = conf};
    struct policy *policy;
    struct gateway *gateway;
    struct why why = {0};
    uint16_t port;

    must(policy_new(POLICY_ENFORCE, &policy) == 0);
    must(policy_add_rule(policy, POLICY_RULE_ALLOW, bytes_of_str("127.0.0.1:*"), &why) == 0);
    must(loop_new(&config.loop) == 0);
    config.policy = policy;
    must(gateway_new(&config, &gateway, &why) == 0);
    port = gateway_port(gateway);
    must(io_write_all(ready, &port, sizeof(port)) == 0);
    must(loop_run(config.loop) == 0);
}

/* This process: the supervisor. */

struct bench {
    struct loop *loop;
    struct netstack *ns;
    struct endpoint server;
    pid_t gateway;
    int opened; /* 1: not called */
    int closed;
    struct flow *flow;
};

static void on_opened(void *self, struct flow *f, int err)
{
    struct bench *b = self;

    (void)f;
    b->opened = err;
    loop_stop(b->loop);
}

static void on_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    struct bench *b = self;

    (void)f;
    (void)err;
    (void)stats;
    b->closed = 0;
    loop_stop(b->loop);
}

static const struct flow_events flow_events = {.opened = on_opened, .closed = on_closed};

static void turn_until(struct bench *b, const int *what)
{
    while (*what == 1)
        must(loop_run(b->loop) == 0); /* the callback stops it */
}

/** Connect; returns the agent's end, blocking. */
static int open_flow(struct bench *b)
{
    int pair[2];

    b->opened = b->closed = 1;
    must(flow_open(b->ns, &b->server, 0, &flow_events, b, &b->flow) == 0);
    turn_until(b, &b->opened);
    must(b->opened == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    must(flow_attach(b->flow, pair[1]) == 0);
    return pair[0];
}

/** CPU time of a process in nanoseconds: clock id of another process, clock_getcpuclockid(3). */
static double cpu_ns(pid_t pid)
{
    struct timespec ts;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
        return 0;
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/** What the agent process does with its end, for each kind of measurement. */
static void run_agent(int fd, char what, uint64_t bytes)
{
    char answer;

    if (io_write_all(fd, &what, 1) < 0)
        _exit(1);
    if (what == 'U') {
        for (uint64_t left = bytes; left > 0;) {
            size_t part = left < BLOCK ? (size_t)left : BLOCK;

            if (io_write_all(fd, block, part) < 0)
                _exit(1);
            left -= part;
        }
        _exit(io_read(fd, &answer, 1) == 1 ? 0 : 1);
    }
    for (uint64_t got = 0; got < bytes;) {
        ssize_t n = io_read(fd, block, BLOCK);

        if (n <= 0)
            _exit(1);
        got += (uint64_t)n;
    }
    _exit(0);
}

static void throughput(struct bench *b, const char *name, char what, uint64_t bytes)
{
    struct samples rate, own, theirs;
    char line[64];

    samples_init(&rate, REPEATS);
    samples_init(&own, REPEATS);
    samples_init(&theirs, REPEATS);
    for (unsigned i = 0; i < REPEATS; i++) {
        int fd = open_flow(b);
        double start = now_us(), cpu = cpu_ns(0), gateway_cpu = cpu_ns(b->gateway);
        pid_t agent = fork();
        int status;
        double segments = (double)bytes / SEGMENT;

        must(agent >= 0);
        if (agent == 0) {
            child_begin();
            run_agent(fd, what, bytes);
        }
        close(fd);
        turn_until(b, &b->closed);
        must(waitpid(agent, &status, 0) == agent && status == 0);
        samples_add(&rate, (double)bytes * 8 / (now_us() - start) / 1000);
        samples_add(&own, (cpu_ns(0) - cpu) / segments);
        samples_add(&theirs, (cpu_ns(b->gateway) - gateway_cpu) / segments);
    }
    (void)snprintf(line, sizeof(line), "tunnel_%s", name);
    samples_print(&rate, line, "Gbit/s", /*is_rate=*/true);
    (void)snprintf(line, sizeof(line), "tunnel_%s_client_cpu", name);
    samples_print(&own, line, "ns/segment", /*is_rate=*/false);
    (void)snprintf(line, sizeof(line), "tunnel_%s_gateway_cpu", name);
    samples_print(&theirs, line, "ns/segment", /*is_rate=*/false);
    samples_done(&rate);
    samples_done(&own);
    samples_done(&theirs);
}

/** 1-byte ping-pong; the agent process takes the times and prints. */
static void round_trips(struct bench *b, unsigned count)
{
    int fd = open_flow(b);
    pid_t agent = fork();
    int status;

    must(agent >= 0);
    if (agent == 0) {
        struct samples s;
        char c = 'E';

        child_begin();
        samples_init(&s, count);
        must(io_write_all(fd, &c, 1) == 0);
        for (unsigned i = 0; i < count; i++) {
            double start = now_us();

            must(io_write_all(fd, &c, 1) == 0 && io_read(fd, &c, 1) == 1);
            samples_add(&s, now_us() - start);
        }
        samples_print(&s, "tunnel_rtt_1_byte", "us", /*is_rate=*/false);
        (void)fflush(stdout);
        _exit(0);
    }
    close(fd);
    turn_until(b, &b->closed);
    must(waitpid(agent, &status, 0) == agent && status == 0);
}

static void agent_ready(void *self, uint32_t events)
{
    (void)events;
    loop_stop(self);
}

static void turn_until_readable(struct bench *b, int fd, size_t want)
{
    struct loop_watch watch = {.fd = fd, .ready = agent_ready, .self = b->loop};

    must(loop_watch(b->loop, &watch, EPOLLIN) == 0);
    for (size_t got = 0; got < want;) {
        ssize_t n = recv(fd, block, want - got, MSG_DONTWAIT);

        must(n > 0 || (n < 0 && errno == EAGAIN));
        if (n > 0)
            got += (size_t)n;
        else
            must(loop_run(b->loop) == 0);
    }
    loop_unwatch(b->loop, &watch);
}

static void short_gets(struct bench *b, unsigned count)
{
    struct samples s;

    samples_init(&s, count);
    for (unsigned i = 0; i < count; i++) {
        double start = now_us();
        int fd = open_flow(b);

        must(io_write_all(fd, "G", 1) == 0);
        turn_until_readable(b, fd, GET_LEN);
        samples_add(&s, now_us() - start);
        close(fd);
        turn_until(b, &b->closed);
    }
    samples_print(&s, "tunnel_connect_get_1k", "us", /*is_rate=*/false);
    samples_done(&s);
}

static pid_t start_server(struct bench *b, uint64_t bytes)
{
    struct endpoint at = {.ip = ip_v4(127, 0, 0, 1)};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&at, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    must(fd >= 0 && bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, 64) == 0);
    len = sizeof(sa);
    must(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
    must(endpoint_from_sockaddr(bytes_of(&sa, len), &b->server) == 0);
    pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        child_begin();
        run_server(fd, bytes);
    }
    close(fd);
    return pid;
}

int main(int argc, char **argv)
{
    uint64_t bytes = (argc > 1 ? count_of(argv[1], 1u << 20) : 256) << 20;
    unsigned exchanges = (unsigned)(argc > 2 ? count_of(argv[2], SAMPLES_MAX) : 2000);
    struct rng rng = rng_system();
    uint8_t client_key[WG_KEY_LEN], gateway_key[WG_KEY_LEN];
    struct wg_conf client, far;
    struct netstack_config config = {.mode = NETSTACK_TUNNEL, .wg = &client};
    struct netstack_usage usage;
    struct why why = {0};
    struct bench b = {0};
    uint16_t port;
    pid_t server;
    int ready[2];

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    wg_key_generate(rng, client_key);
    wg_key_generate(rng, gateway_key);
    make_conf(&client, client_key, gateway_key, "10.9.0.2/24", "0.0.0.0/0");
    make_conf(&far, gateway_key, client_key, "10.9.0.1/24", "10.9.0.2/32");
    server = start_server(&b, bytes);
    must(pipe(ready) == 0);
    b.gateway = fork();
    must(b.gateway >= 0);
    if (b.gateway == 0) {
        child_begin();
        run_gateway(&far, ready[1]);
    }
    must(io_read(ready[0], &port, sizeof(port)) == sizeof(port));
    must(loop_new(&b.loop) == 0);
    client.peers[0].has_endpoint = true;
    client.peers[0].endpoint = (struct endpoint){.ip = ip_v4(127, 0, 0, 1), .port = port};
    config.loop = b.loop;
    must(netstack_new(&config, &b.ns, &why) == 0);
    short_gets(&b, exchanges);
    round_trips(&b, exchanges);
    throughput(&b, "upload", 'U', bytes);
    throughput(&b, "download", 'D', bytes);
    netstack_usage(b.ns, &usage);
    printf("# datagrams: sent %llu in %llu calls, received %llu, not taken by the kernel %llu\n",
           (unsigned long long)usage.datagrams_sent, (unsigned long long)usage.trains,
           (unsigned long long)usage.datagrams_received, (unsigned long long)usage.send_failed);
    netstack_free(b.ns);
    loop_free(b.loop);
    (void)kill(b.gateway, SIGKILL);
    (void)kill(server, SIGKILL);
    return 0;
}
