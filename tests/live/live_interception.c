/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trapped calls against the real kernel: each test runs this very program inside a sandbox
 * (LATTICE_INNER names what it shall do there) and lets servers outside decide what really arrived.
 * A test of a refusal first shows that the thing is reachable when a rule allows it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/sandbox.h"
#include "tests/support/suite.h"

#define FLIPS        ((getenv("LATTICE_LONG") != NULL ? 10000u : 3000u) / slowness())
#define STORM_CYCLES (1500 / slowness())
#define STORM_US     (300 * slowness())

/** LATTICE_SLOW=N: on a machine N times slower than usual (an emulated one) do less, in more time.
 */
static unsigned slowness(void)
{
    const char *text = getenv("LATTICE_SLOW");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : 1;

    return n > 0 && n <= 1000 ? (unsigned)n : 1;
}

/* ---- inside the sandbox ---- */

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            (void)fprintf(stderr, "inner %s:%d: %s (errno %d)\n", __func__, __LINE__, #cond,       \
                          errno);                                                                  \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t env_port(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? (uint16_t)strtoul(text, NULL, 10) : 0;
}

static int connect_to(int fd, uint16_t port)
{
    struct sockaddr_in to = loopback(port);

    return connect(fd, (struct sockaddr *)&to, sizeof(to));
}

static int so_error(int fd)
{
    int err = -1;
    socklen_t len = sizeof(err);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : err;
}

/* Registered edge-triggered before connect(): silent, then writable, once; then it echoes. */
static int inner_nonblock(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    char answer[8] = "";

    EXPECT(fd >= 0 && ep >= 0);
    EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
    (void)epoll_wait(ep, &ev, 1, 0); /* the hang-up of an unconnected socket */
    EXPECT(connect_to(fd, env_port("PORT")) < 0 && errno == EINPROGRESS);
    EXPECT(epoll_wait(ep, &ev, 1, 5000) == 1);
    while ((ev.events & EPOLLOUT) == 0)
        EXPECT(epoll_wait(ep, &ev, 1, 5000) == 1);
    EXPECT((ev.events & (EPOLLERR | EPOLLHUP)) == 0);
    EXPECT(so_error(fd) == 0);
    EXPECT(connect_to(fd, env_port("PORT")) == 0 || errno == EISCONN);
    EXPECT(connect_to(fd, env_port("PORT")) < 0 && errno == EISCONN);
    EXPECT(write(fd, "ping", 4) == 4);
    do /* an edge for the room that the relay made may come first */
        EXPECT(epoll_wait(ep, &ev, 1, 5000) == 1);
    while ((ev.events & EPOLLIN) == 0);
    EXPECT(read(fd, answer, sizeof(answer)) == 4 && memcmp(answer, "ping", 4) == 0);
    return 0;
}

/* A failed connection: readiness with an error, SO_ERROR once, and the descriptor works again. */
static int inner_failed(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    EXPECT(connect_to(fd, env_port("CLOSED")) < 0 && errno == EINPROGRESS);
    EXPECT(poll(&p, 1, 5000) == 1);
    EXPECT((p.revents & (POLLERR | POLLHUP)) != 0);
    EXPECT(so_error(fd) == ECONNREFUSED);
    EXPECT(so_error(fd) == 0);
    if (connect_to(fd, env_port("PORT")) < 0 && errno == ECONNABORTED)
        (void)connect_to(fd, env_port("PORT"));
    p.fd = fd;
    EXPECT(poll(&p, 1, 5000) == 1 && (p.revents & POLLERR) == 0);
    EXPECT(so_error(fd) == 0);
    EXPECT(write(fd, "x", 1) == 1);
    (void)close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* blocking: the errno, at once */
    EXPECT(connect_to(fd, env_port("CLOSED")) < 0 && errno == ECONNREFUSED);
    EXPECT(connect_to(fd, env_port("PORT")) == 0);
    return 0;
}

/* shutdown(SHUT_WR) reaches the server as an end, and its answer still arrives. */
static int inner_half_close(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer[8];
    ssize_t n = 0, total = 0;

    EXPECT(connect_to(fd, env_port("PORT")) == 0);
    EXPECT(write(fd, "abcd", 4) == 4);
    EXPECT(shutdown(fd, SHUT_WR) == 0);
    while (total < (ssize_t)sizeof(answer) &&
           (n = read(fd, answer + total, sizeof(answer) - (size_t)total)) > 0)
        total += n;
    EXPECT(n == 0 && total == 4 && memcmp(answer, "abcd", 4) == 0);
    EXPECT(write(fd, "x", 1) < 0 && errno == EPIPE);
    return 0;
}

/* The server resets (SO_LINGER 0) after it heard a byte: the data first, then ECONNRESET. */
static int inner_reset(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer[8];

    EXPECT(connect_to(fd, env_port("PORT")) == 0);
    EXPECT(write(fd, "R", 1) == 1);
    EXPECT(read(fd, answer, sizeof(answer)) < 0 && errno == ECONNRESET);
    return 0;
}

static atomic_uint alarms;

static void on_alarm(int n)
{
    (void)n;
    alarms++;
}

static int cycle(int listener, const struct sockaddr_in *at)
{
    int client = -1, server = -1, r;
    char byte = 0;

    do
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (client < 0 && errno == EINTR);
    EXPECT(client >= 0);
    do
        r = connect(client, (const struct sockaddr *)at, sizeof(*at));
    while (r < 0 && errno == EINTR);
    EXPECT(r == 0 || errno == EISCONN);
    do
        server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    while (server < 0 && errno == EINTR);
    EXPECT(server >= 0);
    EXPECT(write(client, "s", 1) == 1);
    while ((r = (int)read(server, &byte, 1)) < 0 && errno == EINTR)
        ;
    EXPECT(r == 1 && byte == 's');
    (void)close(client);
    (void)close(server);
    return 0;
}

/* A signal every 300 µs, with and without SA_RESTART: nothing lost, nothing double, nothing leaked.
 */
static int inner_storm(void)
{
    struct sigaction action = {.sa_handler = on_alarm,
                               .sa_flags = getenv("RESTART") != NULL ? SA_RESTART : 0};
    struct itimerval every = {.it_interval.tv_usec = STORM_US, .it_value.tv_usec = STORM_US};
    struct itimerval off = {0};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof(at);
    unsigned before, after;
    struct pollfd p = {.fd = listener, .events = POLLIN};

    EXPECT(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0);
    EXPECT(listen(listener, 16) == 0);
    EXPECT(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    before = suite_open_fds();
    EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
    EXPECT(setitimer(ITIMER_REAL, &every, NULL) == 0);
    for (unsigned i = 0; i < STORM_CYCLES || alarms <= 50; i++)
        EXPECT(cycle(listener, &at) == 0);
    EXPECT(setitimer(ITIMER_REAL, &off, NULL) == 0);
    after = suite_open_fds();
    EXPECT(before == after);
    EXPECT(poll(&p, 1, 0) == 0); /* no connection was made twice */
    return 0;
}

static struct sockaddr_in flipped;
static atomic_bool is_over;

static void *flipper(void *arg)
{
    const uint16_t *ports = arg;

    while (!is_over) {
        ((volatile struct sockaddr_in *)&flipped)->sin_port = htons(ports[0]);
        ((volatile struct sockaddr_in *)&flipped)->sin_port = htons(ports[1]);
    }
    return NULL;
}

/* A1: another thread changes the port while connect() is judged. */
static int inner_flip(void)
{
    uint16_t ports[2] = {env_port("PORT"), env_port("OTHER")};
    pthread_t thread;
    unsigned connected = 0;

    flipped = loopback(ports[0]);
    EXPECT(pthread_create(&thread, NULL, flipper, ports) == 0);
    for (unsigned i = 0; i < FLIPS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        EXPECT(fd >= 0);
        if (connect(fd, (struct sockaddr *)&flipped, sizeof(flipped)) == 0)
            connected++;
        (void)close(fd);
    }
    is_over = true;
    (void)pthread_join(thread, NULL);
    EXPECT(connected > 0);
    return 0;
}

/* A7: a supervisor without descriptors refuses; it lets nothing through. */
static int inner_starved(void)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < 200; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect_to(fd, env_port("OTHER")) < 0)
            refused++;
    }
    EXPECT(refused == 200);
    (void)close_range(3, ~0U, 0); /* what runs at exit may want one, too */
    return 0;
}

static struct sockaddr_un flipped_path;
static size_t flipped_at;   /* the last letter of the path */
static unsigned path_flips; /* FLIPS, or more */
static atomic_bool is_flipping;

static void *path_flipper(void *arg)
{
    (void)arg;
    is_flipping = true;
    while (!is_over) {
        ((volatile struct sockaddr_un *)&flipped_path)->sun_path[flipped_at] = 'i';
        ((volatile struct sockaddr_un *)&flipped_path)->sun_path[flipped_at] = 'o';
    }
    return NULL;
}

static ssize_t send_flipped(unsigned how, int fd)
{
    char byte = 'x';
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct mmsghdr m = {.msg_hdr = {.msg_name = &flipped_path,
                                    .msg_namelen = sizeof(flipped_path),
                                    .msg_iov = &piece,
                                    .msg_iovlen = 1}};

    if (how == 0)
        return sendto(fd, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&flipped_path,
                      sizeof(flipped_path));
    return how == 1 ? sendmsg(fd, &m.msg_hdr, MSG_DONTWAIT) : sendmmsg(fd, &m, 1, MSG_DONTWAIT);
}

/* A1: another thread turns the path of our own socket ("…i") into the host's ("…o"). */
static int inner_unix_flip(void)
{
    const char *path = getenv("UNIX_PATH");
    int receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned arrived = 0;
    pthread_t thread;
    char byte;

    EXPECT(path != NULL);
    if (path_flips == 0)
        path_flips = FLIPS;
    flipped_path.sun_family = AF_UNIX;
    (void)snprintf(flipped_path.sun_path, sizeof(flipped_path.sun_path), "%si", path);
    flipped_at = strlen(path);
    EXPECT(bind(receiver, (struct sockaddr *)&flipped_path, sizeof(flipped_path)) == 0);
    EXPECT(pthread_create(&thread, NULL, path_flipper, NULL) == 0);
    while (!is_flipping)
        (void)sched_yield();
    for (unsigned i = 0; i < path_flips || (arrived == 0 && i < 100 * path_flips); i++) {
        if (i % 64 == 0)
            (void)sched_yield(); /* so that both get their turn on one processor, too */
        (void)send_flipped(i % 3, sender);
        if (recv(receiver, &byte, 1, 0) == 1)
            arrived++;
    }
    is_over = true;
    (void)pthread_join(thread, NULL);
    flipped_path.sun_path[flipped_at] = 'i';
    (void)unlink(flipped_path.sun_path);
    EXPECT(arrived > 0);
    return 0;
}

/* A12: lengths and pointers that no program would pass; the errno is the kernel's. */
static int inner_lengths(void)
{
    struct sockaddr_in at = loopback(9);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct iovec piece = {.iov_base = &at, .iov_len = 1};
    struct msghdr m = {
        .msg_name = &at, .msg_namelen = sizeof(at), .msg_iov = &piece, .msg_iovlen = 1};
    socklen_t len = (socklen_t)-1;
    int value = 1;

    EXPECT(syscall(SYS_connect, tcp, &at, 0xffffffffUL) < 0 && errno == EINVAL);
    EXPECT(syscall(SYS_connect, tcp, &at, 129UL) < 0 && errno == EINVAL);
    EXPECT(syscall(SYS_connect, tcp, 8UL, 16UL) < 0 && errno == EFAULT);
    EXPECT(syscall(SYS_bind, tcp, &at, 1UL << 32 | 3) < 0 && errno == EINVAL);
    EXPECT(getsockname(tcp, (struct sockaddr *)&at, &len) < 0 && errno == EINVAL);
    EXPECT(getsockopt(tcp, SOL_SOCKET, SO_TYPE, &value, &len) < 0 && errno == EINVAL);
    EXPECT(syscall(SYS_setsockopt, tcp, SOL_SOCKET, SO_REUSEADDR, &value, -1L) < 0 &&
           errno == EINVAL);
    EXPECT(syscall(SYS_setsockopt, tcp, SOL_SOCKET, SO_REUSEADDR, 8UL, 4UL) < 0 && errno == EFAULT);
    at = loopback(9);
    m.msg_iovlen = 1UL << 31;
    EXPECT(sendmsg(udp, &m, 0) < 0 && errno == EMSGSIZE);
    m.msg_iovlen = 1;
    m.msg_control = &at;
    m.msg_controllen = 1UL << 40;
    EXPECT(sendmsg(udp, &m, 0) < 0 && errno == ENOBUFS);
    m.msg_control = NULL;
    m.msg_controllen = 0;
    piece.iov_len = 1UL << 40;
    EXPECT(sendmsg(udp, &m, 0) < 0 && errno == EMSGSIZE);
    piece.iov_len = (size_t)-1;
    EXPECT(sendmsg(udp, &m, 0) < 0 && errno == EINVAL);
    EXPECT(syscall(SYS_sendto, udp, &at, 1UL << 40, 0, &at, sizeof(at)) < 0 && errno == EMSGSIZE);
    EXPECT(syscall(SYS_sendto, udp, &at, 1UL, 0, 8UL, sizeof(at)) < 0 && errno == EFAULT);
    return 0;
}

/* B7: of two datagrams in one call the forbidden one stops the call: it returns 1. */
static int inner_mmsg(void)
{
    struct sockaddr_in good = loopback(env_port("PORT"));
    struct sockaddr_in bad = {.sin_family = AF_INET,
                              .sin_port = htons(9),
                              .sin_addr.s_addr = htonl(0xc0000201)}; /* 192.0.2.1 */
    struct iovec piece = {.iov_base = &good, .iov_len = 1};
    struct mmsghdr m[2] = {
        {.msg_hdr =
             {.msg_name = &good, .msg_namelen = sizeof(good), .msg_iov = &piece, .msg_iovlen = 1}},
        {.msg_hdr =
             {.msg_name = &bad, .msg_namelen = sizeof(bad), .msg_iov = &piece, .msg_iovlen = 1}},
    };
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    EXPECT(sendmmsg(udp, m, 2, 0) == 1);
    EXPECT(sendmmsg(udp, m + 1, 1, 0) < 0 && errno == EACCES);
    return 0;
}

/* B7: every call that names a peer and opens a connection in one go. Natively it arrives. */
static int inner_fastopen(void)
{
    struct sockaddr_in to = loopback(env_port("OTHER"));
    struct iovec piece = {.iov_base = (void *)(uintptr_t) "x", .iov_len = 1};
    struct mmsghdr m = {
        .msg_hdr = {
            .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &piece, .msg_iovlen = 1}};
    bool is_native = getenv("NATIVE") != NULL;

    for (unsigned i = 0; i < 3; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ssize_t n = i == 0   ? sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to))
                    : i == 1 ? sendmsg(fd, &m.msg_hdr, MSG_FASTOPEN)
                             : sendmmsg(fd, &m, 1, MSG_FASTOPEN);
        char byte;

        EXPECT(is_native ? n == 1 : n < 0 && errno == EOPNOTSUPP);
        EXPECT(!is_native || read(fd, &byte, 1) == 1);
        (void)close(fd);
    }
    return 0;
}

/* B4, B5: only these families, and of them only what is emulated; a kernel socket never appears. */
static int inner_families(void)
{
    for (int domain = 0; domain < 64; domain++) {
        for (int type = 1; type <= 10; type++) {
            int fd = socket(domain, type | SOCK_CLOEXEC, 0);
            bool is_known = domain == AF_UNIX || domain == AF_INET || domain == AF_INET6 ||
                            domain == AF_NETLINK;

            EXPECT(fd < 0 || is_known);
            EXPECT(fd < 0 || type != SOCK_RAW || domain == AF_NETLINK || domain == AF_UNIX);
            if (fd >= 0)
                (void)close(fd);
        }
    }
    EXPECT(syscall(SYS_socket, 0x100000002UL, SOCK_RAW, 0) < 0 && errno == EPERM);
    EXPECT(socket(AF_INET, SOCK_STREAM, 262) < 0 && errno == EPROTONOSUPPORT); /* MPTCP */
    EXPECT(socket(AF_INET, SOCK_STREAM, 132) < 0 && errno == EPROTONOSUPPORT); /* SCTP */
    EXPECT(socket(AF_NETLINK, SOCK_RAW, 4) < 0 && errno == EPROTONOSUPPORT);   /* SOCK_DIAG */
    EXPECT(socket(AF_VSOCK, SOCK_STREAM, 0) < 0 &&
           (errno == EAFNOSUPPORT || errno == EPERM)); /* EPERM: Docker */
    EXPECT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM);
    return 0;
}

struct inner_row {
    const char *name;
    int (*run)(void);
};

static const struct inner_row inner_rows[] = {
    {"nonblock", inner_nonblock},   {"failed", inner_failed},     {"half_close", inner_half_close},
    {"reset", inner_reset},         {"storm", inner_storm},       {"flip", inner_flip},
    {"unix_flip", inner_unix_flip}, {"starved", inner_starved},   {"lengths", inner_lengths},
    {"mmsg", inner_mmsg},           {"families", inner_families}, {"fastopen", inner_fastopen},
};

static int inner_main(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(inner_rows); i++) {
        if (strcmp(inner_rows[i].name, name) == 0)
            return inner_rows[i].run();
    }
    return 2;
}

/* ---- outside ---- */

struct server {
    uint16_t port;
    pid_t pid;
    atomic_uint *count; /* connections that arrived */
};

/** Echo until the end; a byte 'R' asks for a reset. */
static void serve(int fd)
{
    static const struct linger at_once = {.l_onoff = 1};
    char data[64];
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0) {
        if (data[0] == 'R') {
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
            break;
        }
        if (write(fd, data, (size_t)n) != n)
            break;
    }
    (void)close(fd);
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof(at);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static struct server server_start(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct server s = {.port = bound_port(listener)};

    ck_assert_int_eq(listen(listener, 1024), 0);
    s.count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(s.count, MAP_FAILED);
    s.pid = fork();
    if (s.pid == 0) {
        (void)signal(SIGPIPE, SIG_IGN);
        for (;;) {
            int fd = accept(listener, NULL, NULL);

            if (fd < 0)
                _exit(1);
            (*s.count)++;
            serve(fd);
        }
    }
    (void)close(listener);
    return s;
}

/** How many connections have arrived. The server takes them in turn, so when it answers one of our
 * own, it has counted all before. */
static unsigned server_end(struct server *s)
{
    struct sockaddr_in at = loopback(s->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned count;
    char byte;

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    count = *s->count - 1;
    (void)close(fd);
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    (void)munmap(s->count, 4096);
    return count;
}

static char own_path[4096];

struct inside {
    const char *name;
    const char *allow[3]; /* rules */
    rlim_t files;         /* 0: unchanged */
};

static char folder[64]; /* of the records */

static void set_port(const char *name, uint16_t port)
{
    char text[8];

    (void)snprintf(text, sizeof(text), "%u", port);
    (void)setenv(name, text, 1);
}

static const char *rule(const char *scheme, uint16_t port)
{
    static char texts[4][64];
    static unsigned next;
    char *text = texts[next++ % ARRAY_COUNT(texts)];

    (void)snprintf(text, sizeof(texts[0]), "%s127.0.0.1:%u", scheme, port);
    return text;
}

__attribute__((noreturn)) static void run_child(const struct inside *in)
{
    char *argv[] = {own_path, NULL};
    struct why why = {0};
    struct policy *policy = NULL;
    char log[sizeof(folder) + 8];
    int status;
    struct sandbox_config config = {
        .name = "live", .argv = argv, .network = NETSTACK_DIRECT, .audit_log = log};

    (void)snprintf(log, sizeof(log), "%s/records", folder);
    log_setup("live", LOG_LEVEL_ERROR, /*json=*/false);
    must(policy_new(POLICY_ENFORCE, &policy) == 0);
    for (unsigned i = 0; i < ARRAY_COUNT(in->allow); i++) {
        if (in->allow[i] != NULL)
            must(policy_add_rule(policy, POLICY_RULE_ALLOW, bytes_of_str(in->allow[i]), &why) == 0);
    }
    if (in->files != 0) {
        struct rlimit limit = {.rlim_cur = in->files, .rlim_max = in->files};

        must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    config.policy = policy;
    (void)setenv("LATTICE_INNER", in->name, 1);
    status = sandbox_run(&config, &why);
    if (why.text[0] != '\0')
        (void)fprintf(stderr, "sandbox: %s\n", why.text);
    _exit(status);
}

static int run_inside(const struct inside *in)
{
    char file[sizeof(folder) + 16];
    int status;
    pid_t pid;

    (void)snprintf(folder, sizeof(folder), "/tmp/live-interception-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        run_child(in);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    (void)snprintf(file, sizeof(file), "%s/records", folder);
    (void)unlink(file);
    (void)snprintf(file, sizeof(file), "%s/records.head", folder);
    (void)unlink(file);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/** A port on which nobody listens, and which nobody else can take while the test runs. */
static uint16_t closed_port(void)
{
    return bound_port(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static const char *const flow_rows[] = {"nonblock", "failed", "half_close", "reset"};

START_TEST(flows_behave_as_tcp)
{
    struct server s = server_start();
    uint16_t closed = closed_port();
    struct inside in = {.name = flow_rows[_i], .allow = {rule("", s.port), rule("", closed)}};

    set_port("PORT", s.port);
    set_port("CLOSED", closed);
    ck_assert_int_eq(run_inside(&in), 0);
    ck_assert_uint_gt(server_end(&s), 0);
}
END_TEST

static const char *const pure_rows[] = {"lengths", "families"};

START_TEST(odd_calls_get_the_kernels_errno)
{
    ck_assert_int_eq(run_inside(&(struct inside){.name = pure_rows[_i]}), 0);
}
END_TEST

START_TEST(signal_storm_loses_nothing)
{
    if (_i == 1)
        (void)setenv("RESTART", "1", 1);
    ck_assert_int_eq(run_inside(&(struct inside){.name = "storm"}), 0);
}
END_TEST

/* Row 0 is the control: with both ports allowed the flipper reaches the other one. */
START_TEST(address_flipped_while_judged_never_arrives)
{
    struct server allowed = server_start(), other = server_start();
    struct inside in = {.name = "flip",
                        .allow = {rule("", allowed.port), _i == 0 ? rule("", other.port) : NULL}};
    unsigned arrived;

    set_port("PORT", allowed.port);
    set_port("OTHER", other.port);
    ck_assert_int_eq(run_inside(&in), 0);
    ck_assert_uint_gt(server_end(&allowed), 0);
    arrived = server_end(&other);
    printf("row %d: %u of %u reached the other port\n", _i, arrived, FLIPS);
    if (_i == 0)
        ck_assert_uint_gt(arrived, 0);
    else
        ck_assert_uint_eq(arrived, 0);
}
END_TEST

/** Take what arrives at @fd until the process ends. Returns how many messages came. */
static unsigned count_until_end(int fd, pid_t pid, int *ret_status)
{
    unsigned arrived = 0;
    char byte;

    while (waitpid(pid, ret_status, WNOHANG) == 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, 20) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 1)
            arrived++;
    }
    while (recv(fd, &byte, 1, MSG_DONTWAIT) == 1)
        arrived++;
    return arrived;
}

/* Row 0 is the control: without a sandbox the flipper reaches the host's socket. */
START_TEST(path_flipped_while_judged_never_arrives)
{
    struct sockaddr_un host = {.sun_family = AF_UNIX};
    char path[64];
    char dir[] = "/tmp/live-flip-XXXXXX";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned arrived;
    int status = -1;
    pid_t pid;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/", dir);
    (void)snprintf(host.sun_path, sizeof(host.sun_path), "%so", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&host, sizeof(host)), 0);
    (void)setenv("UNIX_PATH", path, 1);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0 && _i == 0)
        path_flips = 50 * FLIPS; /* without a supervisor they take no time */
    if (pid == 0)
        _exit(_i == 0 ? inner_unix_flip() : run_inside(&(struct inside){.name = "unix_flip"}));
    arrived = count_until_end(fd, pid, &status);
    (void)close(fd);
    (void)unlink(host.sun_path);
    ck_assert_int_eq(rmdir(dir), 0);
    printf("row %d: %u messages reached the host's socket\n", _i, arrived);
    ck_assert_int_eq(status, 0);
    if (_i == 0)
        ck_assert_uint_gt(arrived, 0);
    else
        ck_assert_uint_eq(arrived, 0);
}
END_TEST

/* The control is flows_behave_as_tcp: such a server is reached when a rule names it. */
START_TEST(supervisor_without_descriptors_denies)
{
    struct server s = server_start();

    set_port("OTHER", s.port);
    ck_assert_int_eq(run_inside(&(struct inside){.name = "starved", .files = 64}), 0);
    ck_assert_uint_eq(server_end(&s), 0);
}
END_TEST

START_TEST(each_datagram_of_one_call_is_judged)
{
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint16_t port = bound_port(udp);
    struct pollfd p = {.fd = udp, .events = POLLIN};
    char byte;

    set_port("PORT", port);
    ck_assert_int_eq(run_inside(&(struct inside){.name = "mmsg", .allow = {rule("udp://", port)}}),
                     0);
    ck_assert_int_eq(poll(&p, 1, 5000), 1);
    ck_assert_int_eq(recv(udp, &byte, 1, 0), 1);
    ck_assert_int_eq(poll(&p, 1, 0), 0); /* one only */
    (void)close(udp);
}
END_TEST

/* Row 0 is the control: natively each of the three calls arrives. */
START_TEST(b7_peer_named_with_the_first_bytes_is_not_reached)
{
    struct server s = server_start();
    int status = -1;
    pid_t pid;

    set_port("OTHER", s.port);
    if (_i == 0)
        (void)setenv("NATIVE", "1", 1);
    pid = fork();
    if (pid == 0)
        _exit(_i == 0 ? inner_fastopen() : run_inside(&(struct inside){.name = "fastopen"}));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(server_end(&s), _i == 0 ? 3 : 0);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(flows_behave_as_tcp, ARRAY_COUNT(flow_rows)),
    SUITE_ROWS(odd_calls_get_the_kernels_errno, ARRAY_COUNT(pure_rows)),
    {.name = "signal_storm_loses_nothing",
     .test = &signal_storm_loses_nothing,
     .rows = 2,
     .limit_s = 60},
    {.name = "address_flipped_while_judged_never_arrives",
     .test = &address_flipped_while_judged_never_arrives,
     .rows = 2,
     .limit_s = 60},
    {.name = "path_flipped_while_judged_never_arrives",
     .test = &path_flipped_while_judged_never_arrives,
     .rows = 2,
     .limit_s = 60},
    SUITE_TEST(supervisor_without_descriptors_denies),
    SUITE_TEST(each_datagram_of_one_call_is_judged),
    SUITE_ROWS(b7_peer_named_with_the_first_bytes_is_not_reached, 2),
};

int main(void)
{
    const char *inner = getenv("LATTICE_INNER");
    ssize_t n;

    (void)signal(SIGPIPE, SIG_IGN);
    if (inner != NULL)
        return inner_main(inner);
    n = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
    must(n > 0);
    return suite_run("interception", tests, (unsigned)ARRAY_COUNT(tests));
}
