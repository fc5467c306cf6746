/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two one-way carriers between standard input and output and a socket. When the client closes its
 * side, ours of the socket is shut down, and what the server still says is carried to the end.
 */
#include "cmd/mcp_commands.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "cmd/cli.h"

#define EXIT_FAILED 125
#define CARRIER_CAP 65536u

/** Bytes on their way from one descriptor to another. */
struct carrier {
    int from;
    int to;
    bool has_ended; /* @from is at its end, and everything was written */
    uint32_t begin;
    uint32_t end;
    char bytes[CARRIER_CAP];
};

static const struct cli_command connect_command = {
    .path = "lattice-mcp connect",
    .synopsis = "SOCKET",
    .summary = "Speak to the MCP gateway behind a socket (lattice-mcp gateway --listen SOCKET) on\n"
               "standard input and output, for clients that start stdio servers.",
    .usage_status = CLI_EXIT_USAGE,
};

static bool is_holding(const struct carrier *c)
{
    return c->begin < c->end;
}

/** Move what can be moved now. Returns 0, or -errno when either side is broken. No more than
 * PIPE_BUF bytes are written at once: what poll(2) calls writable takes that many without waiting.
 */
static int carry(struct carrier *c, short from_events, short to_events)
{
    uint32_t held = c->end - c->begin;
    ssize_t n;

    if (is_holding(c)) {
        if (to_events == 0)
            return 0;
        n = write(c->to, c->bytes + c->begin, held < PIPE_BUF ? held : PIPE_BUF);
        if (n < 0)
            return errno == EINTR || errno == EAGAIN ? 0 : -errno;
        c->begin += (uint32_t)n;
        return 0;
    }
    if (from_events == 0)
        return 0;
    n = read(c->from, c->bytes, sizeof(c->bytes));
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    c->begin = 0;
    c->end = (uint32_t)n;
    if (n == 0) {
        c->has_ended = true;
        (void)shutdown(c->to, SHUT_WR); /* ENOTSOCK when it is standard output: no matter */
    }
    return 0;
}

static void wanted(const struct carrier *c, struct pollfd *from, struct pollfd *to)
{
    from->fd = c->has_ended || is_holding(c) ? -1 : c->from;
    from->events = POLLIN;
    to->fd = is_holding(c) ? c->to : -1;
    to->events = POLLOUT;
}

/** Until the server's side has ended; the client's side may end earlier. */
static int carry_all(struct carrier *up, struct carrier *down)
{
    while (!down->has_ended) {
        struct pollfd p[4];
        int err;

        wanted(up, &p[0], &p[1]);
        wanted(down, &p[2], &p[3]);
        if (poll(p, 4, -1) < 0 && errno != EINTR)
            return -errno;
        err = carry(down, p[2].revents, p[3].revents);
        if (err < 0)
            return err;
        if (carry(up, p[0].revents, p[1].revents) < 0)
            up->has_ended = true; /* the server reads no more; it may still speak */
    }
    return 0;
}

int mcp_connect(int argc, char **argv)
{
    static struct carrier up; /* 64 KiB each: not on the stack */
    static struct carrier down;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct cli_parser c;
    auto_fd fd = -1;

    cli_begin(&c, &connect_command, argc, argv);
    if (cli_next(&c) == CLI_STOP)
        return c.status;
    if (c.index + 1 != argc)
        return cli_usage_error(&connect_command, "say which socket, and nothing else");
    if (strlen(argv[c.index]) >= sizeof(addr.sun_path))
        return cli_usage_error(&connect_command, "the socket's path is longer than %zu bytes",
                               sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, argv[c.index], strlen(argv[c.index]) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        log_error("the gateway does not answer", F_STR("socket", argv[c.index]),
                  F_STR("error", strerror(errno)));
        return EXIT_FAILED;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    up.from = STDIN_FILENO;
    up.to = fd;
    down.from = fd;
    down.to = STDOUT_FILENO;
    return carry_all(&up, &down) < 0 ? EXIT_FAILED : 0;
}
