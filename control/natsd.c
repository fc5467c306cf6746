/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts Debian's nats-server for latticed. The kernel chooses the port, which the server writes
 * into a ports file; a server that has to be started again gets the same port. The password stands
 * in a 0600 configuration file, never on a command line. It dies with us (PR_SET_PDEATHSIG), and
 * refuses to be reached from other hosts.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/own.h"
#include "base/rng.h"
#include "base/wipe.h"
#include "control/control.h"

#define PATH_CAP     1024u
#define START_MS_MAX 10000
#define AGAIN_MS     250
#define STORE_MAX    "2GB"
#define NATS_USER    "latticed"
#define CONFIG_MAX   (16u << 20)

struct control_nats {
    struct loop *loop;
    char program[PATH_CAP];
    char dir[PATH_CAP - 64];
    char password[HASH_HEX_LEN + 1];
    uint8_t secret[HASH_LEN];
    struct buf users;    /* more entries of the list of users */
    uint16_t began_port; /* as the running server's file said first; it must not change */
    char url[64];
    uint16_t port; /* 0: not known yet */
    pid_t pid;     /* 0: does not run */
    struct loop_watch child;
    struct loop_timer again;
    struct audit_stream stream;
    unsigned restarts;
};

static int find_program(char *ret, struct why *why)
{
    static const char *const places[] = {"/usr/sbin/nats-server", "/usr/local/bin/nats-server",
                                         "/usr/bin/nats-server", "/usr/local/sbin/nats-server"};

    for (unsigned i = 0; i < ARRAY_COUNT(places); i++)
        if (access(places[i], X_OK) == 0) {
            (void)snprintf(ret, PATH_CAP, "%s", places[i]);
            return 0;
        }
    return why_set(why, -ENOENT,
                   "nats-server is not installed; run 'apt-get install nats-server', name one by "
                   "--nats URL, or go without by --no-nats");
}

static int write_config(const struct control_nats *n, const char *path, struct why *why)
{
    char fresh[PATH_CAP + 8];
    struct buf text;
    int err;

    buf_init(&text, CONFIG_MAX);
    if (n->began_port == 0)
        buf_add_str(&text, "listen: \"127.0.0.1:-1\"\n");
    else
        buf_printf(&text, "listen: \"127.0.0.1:%u\"\n", n->began_port);
    buf_printf(&text,
               "ports_file_dir: \"%s\"\n"
               "jetstream { store_dir: \"%s/store\", max_file_store: " STORE_MAX " }\n"
               "max_payload: 1MB\n"
               "authorization { users: [\n"
               "  { user: \"" NATS_USER "\", password: \"%s\" }\n",
               n->dir, n->dir, n->password);
    buf_add(&text, n->users.data, n->users.len);
    buf_add_str(&text, "] }\n");
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    (void)unlink(fresh);
    auto_fd fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    err = buf_error(&text);
    if (err == 0)
        err = fd < 0 ? -errno : io_write_all(fd, text.data, text.len);
    if (err == 0 && rename(fresh, path) < 0) /* the server never reads half a file */
        err = -errno;
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    return err < 0 ? why_set(why, err, "cannot write %s: %s", path, strerror(-err)) : 0;
}

/** In the child: become the server, or end. */
__attribute__((noreturn)) static void become_server(const struct control_nats *n,
                                                    const char *config, int log_fd, pid_t parent)
{
    char *const argv[] = {(char *)(uintptr_t) "nats-server", (char *)(uintptr_t) "-c",
                          (char *)(uintptr_t)config, NULL};
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* a ^C at the terminal is for latticed, which then ends it in order */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent ||
        dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
        _exit(127);
    (void)execv(n->program, argv);
    _exit(127);
}

static int spawn(struct control_nats *n, struct why *why)
{
    char config[PATH_CAP];
    char log_path[PATH_CAP];
    pid_t self = getpid();
    int err;

    (void)snprintf(config, sizeof(config), "%s/server.conf", n->dir);
    (void)snprintf(log_path, sizeof(log_path), "%s/server.log", n->dir);
    n->began_port = n->port;
    err = write_config(n, config, why);
    if (err < 0)
        return err;
    auto_fd log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return why_set(why, -errno, "cannot write %s: %s", log_path, strerror(errno));
    n->pid = fork();
    if (n->pid < 0)
        return why_set(why, -errno, "cannot start nats-server: %s", strerror(errno));
    if (n->pid == 0)
        become_server(n, config, log_fd, self);
    n->child.fd = (int)syscall(SYS_pidfd_open, n->pid, 0);
    return n->child.fd < 0 ? why_set(why, -errno, "pidfd_open: %s", strerror(errno)) : 0;
}

/** Read the port from the ports file. -EAGAIN: it is not there yet, or not whole. */
static int read_port(struct control_nats *n)
{
    struct json_limits limits = {.bytes = 4096};
    char path[PATH_CAP];
    struct json_doc *doc;
    const char *url = "";
    const char *colon;
    struct buf text;
    int err;

    (void)snprintf(path, sizeof(path), "%s/nats-server_%d.ports", n->dir, (int)n->pid);
    buf_init(&text, 4096);
    err = io_read_file(path, &text, NULL);
    if (err == 0)
        err = json_parse(buf_bytes(&text), &limits, &doc, NULL);
    buf_done(&text);
    if (err < 0)
        return -EAGAIN;
    (void)!json_read_str(json_first(json_get(json_root(doc), "nats")), &url);
    colon = strrchr(url, ':');
    err = colon != NULL && port_parse(bytes_of_str(colon + 1), &n->port) == 0 && n->port > 0
              ? 0
              : -EAGAIN;
    json_free(doc);
    return err;
}

/** Wait for the ports file, or for the server's end. Only at start, before anything is served. */
static int wait_port(struct control_nats *n, int notify_fd, struct why *why)
{
    struct mono until = mono_add_ms(mono_now(), START_MS_MAX);
    struct pollfd fds[] = {{.fd = notify_fd, .events = POLLIN},
                           {.fd = n->child.fd, .events = POLLIN}};
    char events[4096];

    while (read_port(n) < 0) {
        int64_t left_ms = (until.ns - mono_now().ns) / NS_PER_MS;

        if (left_ms <= 0 || fds[1].revents != 0)
            return why_set(why, -ETIMEDOUT, "nats-server did not start; see %s/server.log", n->dir);
        if (poll(fds, ARRAY_COUNT(fds), (int)left_ms) < 0 && errno != EINTR)
            return why_set(why, -errno, "poll: %s", strerror(errno));
        if (fds[0].revents != 0)
            (void)!io_read(notify_fd, events, sizeof(events));
    }
    (void)snprintf(n->url, sizeof(n->url), "nats://127.0.0.1:%u", n->port);
    return 0;
}

static void reap(struct control_nats *n)
{
    if (n->pid > 0)
        (void)waitpid(n->pid, NULL, 0);
    n->pid = 0;
    if (n->child.fd >= 0)
        (void)close(n->child.fd);
    n->child.fd = -1;
}

static void on_child(void *self, uint32_t events)
{
    struct control_nats *n = self;

    (void)events;
    log_warn("nats-server has ended; starting it again", F_INT("port", n->port));
    loop_unwatch(n->loop, &n->child);
    reap(n);
    (void)!loop_timer_set(n->loop, &n->again, mono_add_ms(mono_now(), AGAIN_MS));
}

static void on_again(void *self, struct mono now)
{
    struct control_nats *n = self;
    struct why why = {.text = ""};
    int err = spawn(n, &why);

    n->restarts++;
    if (err == 0)
        err = loop_watch(n->loop, &n->child, EPOLLIN);
    if (err < 0) {
        log_error("nats-server cannot be started again", F_STR("why", why.text));
        reap(n);
        (void)!loop_timer_set(n->loop, &n->again, mono_add_ms(now, 4 * AGAIN_MS));
    }
}

/** The secret of the data directory, made when there is none. */
static int load_secret(struct control_nats *n, struct why *why)
{
    struct rng rng = rng_system();
    char path[PATH_CAP];
    struct stat st;
    int err = 0;

    (void)snprintf(path, sizeof(path), "%s/secret", n->dir);
    auto_fd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return why_set(why, -errno, "cannot open %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_uid != geteuid())
        return why_set(why, -EACCES, "%s must be a file that only its owner may read", path);
    if (st.st_size == HASH_LEN)
        return pread(fd, n->secret, HASH_LEN, 0) == HASH_LEN
                   ? 0
                   : why_set(why, -EIO, "cannot read %s", path);
    rng.fill(rng.self, n->secret, sizeof(n->secret));
    if (ftruncate(fd, 0) < 0 || pwrite(fd, n->secret, HASH_LEN, 0) != HASH_LEN || fsync(fd) < 0)
        err = why_set(why, -EIO, "cannot write %s", path);
    return err;
}

/** The port of our last life: sandboxes that outlive us know it. 0: none. */
static uint16_t last_port(const struct control_nats *n)
{
    char path[PATH_CAP];
    struct buf text;
    uint16_t port = 0;

    (void)snprintf(path, sizeof(path), "%s/port", n->dir);
    buf_init(&text, 64);
    if (io_read_file(path, &text, NULL) == 0 && text.len > 0 && text.data[text.len - 1] == '\n' &&
        port_parse(bytes_of(text.data, text.len - 1), &port) < 0)
        port = 0;
    buf_done(&text);
    return port;
}

static void keep_port(const struct control_nats *n)
{
    char path[PATH_CAP];
    char text[16];
    int len = snprintf(text, sizeof(text), "%u\n", n->port);

    (void)snprintf(path, sizeof(path), "%s/port", n->dir);
    auto_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || io_write_all(fd, text, (size_t)len) < 0)
        log_warn("nats-server's port cannot be kept; sandboxes will not find it after a restart");
}

static void make_password(char ret[static HASH_HEX_LEN + 1])
{
    struct rng rng = rng_system();
    uint8_t raw[HASH_LEN];

    rng.fill(rng.self, raw, sizeof(raw));
    hash_hex(raw, ret);
    wipe(raw, sizeof(raw));
}

int control_nats_start(struct loop *loop, const char *data_dir, struct control_nats **ret,
                       struct why *why)
{
    struct control_nats *n = calloc(1, sizeof(*n));
    auto_fd notify_fd = inotify_init1(IN_CLOEXEC);
    int err;

    if (n == NULL || notify_fd < 0) {
        free(n);
        return why_set(why, -ENOMEM, "out of memory or descriptors");
    }
    n->loop = loop;
    buf_init(&n->users, CONFIG_MAX / 2);
    n->child = (struct loop_watch){.fd = -1, .ready = on_child, .self = n};
    n->again = (struct loop_timer){.expired = on_again, .self = n};
    make_password(n->password);
    err = find_program(n->program, why);
    if (err == 0 && snprintf(n->dir, sizeof(n->dir), "%s/nats", data_dir) >= (int)sizeof(n->dir))
        err = why_set(why, -ENAMETOOLONG, "the data directory's name is too long");
    if (err == 0 && strpbrk(data_dir, "\"\\\n") != NULL)
        err = why_set(why, -EINVAL, "nats-server takes no quotes in the data directory's name");
    if (err == 0 && (err = io_mkdirs(n->dir)) < 0)
        (void)why_set(why, err, "cannot create %s: %s", n->dir, strerror(-err));
    if (err == 0)
        err = load_secret(n, why);
    if (err == 0 && inotify_add_watch(notify_fd, n->dir, IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
        err = why_set(why, -errno, "cannot watch %s: %s", n->dir, strerror(errno));
    n->port = last_port(n);
    if (err == 0)
        err = spawn(n, why);
    if (err == 0)
        err = wait_port(n, notify_fd, why);
    if (err < 0 && n->port != 0 && n->child.fd >= 0) { /* somebody else has the port by now */
        (void)kill(n->pid, SIGKILL);
        reap(n);
        n->port = 0;
        err = spawn(n, why);
        if (err == 0)
            err = wait_port(n, notify_fd, why);
    }
    if (err == 0)
        keep_port(n);
    if (err == 0 && (err = loop_watch(loop, &n->child, EPOLLIN)) < 0)
        (void)why_set(why, err, "cannot watch nats-server: %s", strerror(-err));
    if (err < 0) {
        control_nats_free(n);
        return err;
    }
    n->stream = (struct audit_stream){
        .url = n->url, .user = NATS_USER, .password = n->password, .make_stream = true};
    *ret = n;
    return 0;
}

const struct audit_stream *control_nats_stream(const struct control_nats *n)
{
    return &n->stream;
}

const uint8_t *control_nats_secret(const struct control_nats *n)
{
    return n->secret;
}

void control_nats_set_users(struct control_nats *n, struct bytes entries)
{
    char path[PATH_CAP];
    struct why why = {.text = ""};

    if (bytes_equal(buf_bytes(&n->users), entries))
        return;
    buf_reset(&n->users);
    buf_add(&n->users, entries.data, entries.len);
    (void)snprintf(path, sizeof(path), "%s/server.conf", n->dir);
    if (buf_error(&n->users) < 0 || write_config(n, path, &why) < 0)
        log_error("nats-server's users cannot be written", F_STR("why", why.text));
    else if (n->pid > 0)
        (void)kill(n->pid, SIGHUP); /* read it again; our child, so the number is its own */
}

void control_nats_free(struct control_nats *n)
{
    if (n == NULL)
        return;
    loop_unwatch(n->loop, &n->child);
    loop_timer_clear(n->loop, &n->again);
    if (n->pid > 0)
        (void)kill(n->pid, SIGTERM); /* it ends within its own grace time */
    reap(n);
    wipe(n->password, sizeof(n->password));
    wipe(n->secret, sizeof(n->secret));
    if (n->users.data != NULL)
        wipe(n->users.data, n->users.cap);
    buf_done(&n->users);
    free(n);
}
