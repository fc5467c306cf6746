/* SPDX-License-Identifier: Apache-2.0 */
/* differ: the program, and how it says what it sees. See differ.h. */
#include "tests/differ/differ.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#define WAIT_MS 5000

long show(const char *what, long ret)
{
    if (ret < 0)
        (void)printf("%s: %s\n", what, strerrorname_np(errno));
    else
        (void)printf("%s = %ld\n", what, ret);
    return ret;
}

long show_ok(const char *what, long ret)
{
    if (ret < 0)
        (void)printf("%s: %s\n", what, strerrorname_np(errno));
    else
        (void)printf("%s: ok\n", what);
    return ret;
}

static void print_events(const char *what, short events)
{
    static const struct {
        short bit;
        const char *name;
    } names[] = {{POLLIN, "IN"},   {POLLPRI, "PRI"}, {POLLOUT, "OUT"},
                 {POLLERR, "ERR"}, {POLLHUP, "HUP"}, {POLLRDHUP, "RDHUP"}};

    (void)printf("%s:", what);
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if ((events & names[i].bit) != 0)
            (void)printf(" %s", names[i].name);
    }
    (void)printf("\n");
}

static short events_of(int fd, int wait_ms, short wanted)
{
    struct pollfd p = {.fd = fd, .events = wanted};

    (void)poll(&p, 1, wait_ms);
    return p.revents;
}

#define ALL_EVENTS (POLLIN | POLLPRI | POLLOUT | POLLRDHUP)

void show_events(const char *what, int fd)
{
    print_events(what, events_of(fd, 0, ALL_EVENTS));
}

bool await_quiet(int fd, short events)
{
    for (unsigned i = 0; i < WAIT_MS; i++) {
        if ((events_of(fd, 0, ALL_EVENTS) & events) == events)
            return true;
        if ((events_of(fd, 1, (short)(events & ~POLLHUP & ~POLLERR)) & events) == events)
            return true;
        (void)usleep(1000); /* other events are there already: look again soon */
    }
    return false;
}

void await_events(const char *what, int fd, short events)
{
    if (!await_quiet(fd, events))
        (void)printf("(timed out) ");
    show_events(what, fd);
}

void show_name(const char *what, int fd, bool is_peer)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    char text[INET6_ADDRSTRLEN] = "?";
    uint16_t port = 0;
    int r = is_peer ? getpeername(fd, (struct sockaddr *)&sa, &len)
                    : getsockname(fd, (struct sockaddr *)&sa, &len);

    if (r < 0) {
        (void)show(what, r);
        return;
    }
    if (sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&sa;

        (void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        port = in->sin_port;
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&sa;

        (void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        port = in6->sin6_port;
    }
    (void)printf("%s: family %d len %u %s port %s\n", what, sa.ss_family, len, text,
                 port != 0 ? "set" : "0");
}

void show_error(const char *what, int fd)
{
    int err = -1;
    socklen_t len = sizeof(err);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        (void)show(what, -1);
    else
        (void)printf("%s SO_ERROR %s\n", what, err == 0 ? "0" : strerrorname_np(err));
}

uint16_t env_port(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? (uint16_t)strtoul(text, NULL, 10) : 0;
}

struct sockaddr_in at_port(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int connect_port(int fd, uint16_t port)
{
    struct sockaddr_in to = at_port(port);

    return connect(fd, (struct sockaddr *)&to, sizeof(to));
}

int connect_nowhere(int fd)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};

    return connect(fd, &none, sizeof(none));
}

int tcp_socket(int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    must(fd >= 0);
    return fd;
}

/** The server answers when no connection but this one is left. */
static void ask_status(char ret[32])
{
    int fd = tcp_socket(0);

    memset(ret, 0, 32);
    must(connect_port(fd, env_port("TCP")) == 0);
    must(write(fd, "S", 1) == 1);
    must(read(fd, ret, 31) > 0);
    (void)close(fd);
}

void peer_status(const char *what)
{
    char text[32];

    ask_status(text);
    (void)printf("%s: peer saw %s\n", what, text);
}

int listening(int backlog, uint16_t *ret_port)
{
    int fd = tcp_socket(0);
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof(at);

    must(bind(fd, (struct sockaddr *)&at, len) == 0);
    must(listen(fd, backlog) == 0);
    must(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

void tcp_pair(int *ret_client, int *ret_server)
{
    uint16_t port;
    int listener = listening(4, &port);

    *ret_client = tcp_socket(0);
    must(connect_port(*ret_client, port) == 0);
    *ret_server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(*ret_server >= 0);
    (void)close(listener);
}

static const struct {
    const struct differ_case *cases;
    const unsigned *count;
} groups[] = {
    {tcp_cases, &tcp_case_count},         {loopback_cases, &loopback_case_count},
    {option_cases, &option_case_count},   {sweep_cases, &sweep_case_count},
    {udp_cases, &udp_case_count},         {ping_cases, &ping_case_count},
    {address_cases, &address_case_count}, {batch_cases, &batch_case_count},
    {mark_cases, &mark_case_count},
};

/** Run the case; NULL: print the names of all. */
static int run(const char *name)
{
    for (unsigned g = 0; g < ARRAY_COUNT(groups); g++) {
        for (unsigned i = 0; i < *groups[g].count; i++) {
            if (name == NULL) {
                (void)printf("%s\n", groups[g].cases[i].name);
            } else if (strcmp(groups[g].cases[i].name, name) == 0) {
                groups[g].cases[i].run();
                return 0;
            }
        }
    }
    return name == NULL ? 0 : 2;
}

/** Each case in a process of its own, which takes all its descriptors with it. */
static void run_each(char *const *names)
{
    for (; *names != NULL; names++) {
        int status;
        pid_t pid;

        (void)printf("== %s\n", *names);
        pid = fork();
        if (pid == 0) {
            char before[32];

            (void)alarm(60);
            ask_status(before); /* what the case before left behind has ended */
            exit(run(*names));
        }
        must(waitpid(pid, &status, 0) == pid);
        if (status != 0)
            (void)printf("ended with %x\n", (unsigned)status);
    }
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 2)
        return 2;
    if (strcmp(argv[1], "serve") == 0)
        return differ_serve();
    if (strcmp(argv[1], "list") == 0)
        return run(NULL);
    run_each(argv + 1);
    return 0;
}
