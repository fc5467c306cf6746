/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One accept loop, in the manner of inetd: the gateway itself knows nothing of sockets. An agent
 * inside a sandbox reaches MCP servers that run outside of it this way, in sandboxes of their own,
 * and cannot pass the gateway by, because the socket is all that it has of them.
 */
#include "cmd/mcp_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"

#define EXIT_FAILED   125
#define CLIENTS_MAX   32u
#define WORDS_MAX     2048
#define GRACE_S       5 /* for the gateways' records, when we are told to end */
#define LISTEN_PREFIX "--listen="

struct listener {
    struct loop *loop;
    struct loop_watch accept;
    struct loop_watch signals;
    struct loop_watch parent; /* standard input: its end is ours */
    struct loop_timer grace;
    char *argv[WORDS_MAX + 2]; /* of a gateway process */
    pid_t clients[CLIENTS_MAX];
    unsigned client_count;
    bool is_ending;
};

static int failed(const char *text, const char *path)
{
    log_error(text, F_STR("socket", path), F_STR("error", strerror(errno)));
    return EXIT_FAILED;
}

/** The gateway's words without ours: behind `--`, everything belongs to the server. */
static int client_argv(struct listener *l, int argc, char **argv)
{
    static char program[] = "lattice-mcp";
    int count = 0;
    bool is_ours = true;

    if (argc > WORDS_MAX)
        return -E2BIG;
    l->argv[count++] = program;
    for (int i = 0; i < argc; i++) {
        if (is_ours && strcmp(argv[i], "--") == 0)
            is_ours = false;
        if (is_ours && strcmp(argv[i], "--listen") == 0)
            i++;
        else if (!is_ours || strncmp(argv[i], LISTEN_PREFIX, sizeof(LISTEN_PREFIX) - 1) != 0)
            l->argv[count++] = argv[i];
    }
    l->argv[count] = NULL;
    return 0;
}

/** A socket that nobody listens on any more is in the way; one that somebody answers is not ours.
 */
static int remove_dead(const struct sockaddr_un *addr)
{
    auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (lstat(addr->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(addr->sun_path) < 0 ? -errno : 0;
}

static int open_listener(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    auto_fd fd = -1;
    mode_t old;
    int err;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    err = remove_dead(&addr);
    if (err < 0)
        return err;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    old = umask(0177);
    err = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    (void)umask(old);
    if (err == 0 && listen(fd, (int)CLIENTS_MAX) < 0)
        err = -errno;
    return err < 0 ? err : take_fd(&fd);
}

static void gateway_exec(struct listener *l, int fd, pid_t parent)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Should this process be killed, its gateways end, too; they end their servers. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent &&
        dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0)
        (void)execv("/proc/self/exe", l->argv);
    _exit(EXIT_FAILED);
}

static void accept_ready(void *self, uint32_t events)
{
    struct listener *l = self;
    auto_fd fd = accept4(l->accept.fd, NULL, NULL, SOCK_CLOEXEC);
    pid_t parent = getpid();
    pid_t pid;

    (void)events;
    if (fd < 0)
        return;
    if (l->client_count == CLIENTS_MAX) {
        log_warn("a client was turned away: too many are connected", F_INT("limit", CLIENTS_MAX));
        return;
    }
    pid = fork();
    if (pid == 0)
        gateway_exec(l, fd, parent);
    if (pid > 0)
        l->clients[l->client_count++] = pid;
    else
        log_warn("a client was turned away: no process can be started",
                 F_STR("error", strerror(errno)));
}

static void grace_over(void *self, struct mono now)
{
    (void)now;
    loop_stop(((struct listener *)self)->loop);
}

static void end(struct listener *l)
{
    struct mono now = loop_now(l->loop);

    if (l->is_ending)
        return;
    l->is_ending = true;
    loop_unwatch(l->loop, &l->accept);
    loop_unwatch(l->loop, &l->parent);
    for (unsigned i = 0; i < l->client_count; i++)
        (void)kill(l->clients[i], SIGTERM);
    if (l->client_count == 0 ||
        loop_timer_set(l->loop, &l->grace, mono_add_ns(now, GRACE_S * NS_PER_S)) < 0)
        loop_stop(l->loop);
}

static void reap(struct listener *l)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (unsigned i = 0; i < l->client_count; i++)
            if (l->clients[i] == pid) {
                l->clients[i] = l->clients[--l->client_count];
                break;
            }
    if (l->is_ending && l->client_count == 0)
        loop_stop(l->loop);
}

static void signal_ready(void *self, uint32_t events)
{
    struct listener *l = self;
    struct signalfd_siginfo info;

    (void)events;
    while (read(l->signals.fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(l);
        else
            end(l);
    }
}

static void parent_ready(void *self, uint32_t events)
{
    struct listener *l = self;
    char ignored[256];
    ssize_t n = read(l->parent.fd, ignored, sizeof(ignored));

    (void)events;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        end(l);
}

static int watch(struct listener *l)
{
    struct stat st;
    sigset_t set;
    int err;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    l->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signals.fd < 0)
        return -errno;
    err = loop_watch(l->loop, &l->signals, EPOLLIN);
    if (err == 0)
        err = loop_watch(l->loop, &l->accept, EPOLLIN);
    if (err == 0 && fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
        err = loop_watch(l->loop, &l->parent, EPOLLIN);
    return err;
}

int mcp_listen(const char *path, int argc, char **argv)
{
    static struct listener l = {
        /* large, and one is all that a process runs */
        .accept = {.fd = -1, .ready = accept_ready, .self = &l},
        .signals = {.fd = -1, .ready = signal_ready, .self = &l},
        .parent = {.fd = STDIN_FILENO, .ready = parent_ready, .self = &l},
        .grace = {.expired = grace_over, .self = &l},
    };
    int status = 0;
    int fd;

    if (client_argv(&l, argc, argv) < 0)
        return failed("too many words on the command line", path);
    fd = open_listener(path);
    if (fd < 0) {
        errno = -fd;
        return failed("the socket cannot be made", path);
    }
    l.accept.fd = fd;
    (void)printf("listening on %s\n", path); /* whoever started us may wait for this line */
    (void)fflush(stdout);
    if (loop_new(&l.loop) < 0 || watch(&l) < 0 || loop_run(l.loop) < 0)
        status = failed("waiting failed", path);
    loop_free(l.loop);
    own_close(&l.signals.fd);
    (void)unlink(path);
    (void)close(fd);
    return status;
}
