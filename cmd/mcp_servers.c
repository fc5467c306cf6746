/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateways end when this process does, however it ends. A process apart, the janitor, then
 * takes away what was made for them: a supervisor that runs an agent may not touch files any more.
 *
 * A server's command, arguments and environment are given to it as they stand in the file; entries
 * without a command (remote servers, by URL) are copied unchanged, and meet the agent's own rules.
 */
#include "cmd/mcp_servers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/own.h"
#include "cmd/mcp_file.h"
#include "cmd/sibling.h"

#define COPY_MAX  (2u << 20)
#define AGENT_MAX 50u
#define PATH_CAP  256u
#define WORDS_MAX 2048u
#define START_MS  30000
#define END_MS    10000

struct server {
    const struct mcp_entry *entry; /* borrowed from the file */
    char socket[PATH_CAP];
    pid_t pid;
    int life; /* pidfd */
    int said; /* its standard output: one line when it listens */
};

struct mcp_servers {
    struct mcp_file file;
    char dir[PATH_CAP];
    char program[PATH_CAP]; /* lattice-mcp */
    char copy[PATH_CAP + 16];
    char nats[PATH_CAP + 16];  /* the gateways' credentials there, when they are not a file's */
    char agent[AGENT_MAX + 1]; /* as the gateway spells names: a-z 0-9 - */
    struct server servers[MCP_SERVERS_MAX];
    unsigned count; /* of which something is to be cleaned */
    pid_t janitor;
    int bell; /* the janitor cleans up when this pipe is written to, or ends */
};

/* ---- one gateway ---- */

struct words {
    char *items[WORDS_MAX + 1];
    unsigned count;
};

static void add(struct words *w, const char *word)
{
    if (w->count < WORDS_MAX)
        w->items[w->count] = (char *)(uintptr_t)word; /* execv(3) does not write */
    w->count++;                                       /* checked once, at the end */
}

static void stream_words(const struct mcp_servers *s, const struct audit_stream *stream,
                         struct words *w)
{
    const struct {
        const char *option;
        const char *value;
    } all[] = {
        {"--nats", stream != NULL ? stream->url : NULL},
        {"--nats-creds", stream == NULL               ? NULL
                         : stream->creds_file != NULL ? stream->creds_file
                         : stream->user != NULL       ? s->nats
                                                      : NULL},
        {"--nats-ca", stream != NULL ? stream->ca_file : NULL},
        {"--nats-workspace", stream != NULL ? stream->workspace : NULL},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        if (all[i].value != NULL) {
            add(w, all[i].option);
            add(w, all[i].value);
        }
}

static void path_words(const struct policy_files *files, struct words *w)
{
    for (unsigned i = 0; i < files->read.count; i++) {
        add(w, "--read");
        add(w, files->read.items[i]);
    }
    for (unsigned i = 0; i < files->write.count; i++) {
        add(w, "--write");
        add(w, files->write.items[i]);
    }
}

/** Which files the server may use: those of the agent and its own, or all. */
static void files_words(const struct policy_files *agent, const struct policy_files *own,
                        struct words *w)
{
    if (own->mode != POLICY_FILES_WORKSPACE)
        return;
    add(w, "--files=workspace");
    if (agent->mode == POLICY_FILES_WORKSPACE)
        path_words(agent, w);
    path_words(own, w);
}

static int gateway_words(const struct mcp_servers *s, const struct mcp_servers_config *config,
                         const struct server *server, struct words *w)
{
    const char *word;

    add(w, "lattice-mcp");
    add(w, "gateway");
    add(w, "--listen");
    add(w, server->socket);
    add(w, "--name");
    add(w, s->agent);
    add(w, "--audit-log");
    add(w, config->audit_log);
    if (config->is_audit)
        add(w, "--audit");
    for (unsigned i = 0; config->tools != NULL && i < config->tools->count; i++) {
        add(w, "--allow-tool");
        add(w, config->tools->items[i]);
    }
    add(w, "--offline"); /* a server has no tunnel of its own */
    if (config->trace_id != NULL) {
        add(w, "--trace-id");
        add(w, config->trace_id);
    }
    if (config->parent_span != NULL) {
        add(w, "--parent-span");
        add(w, config->parent_span);
    }
    if (config->namespace_id != NULL) {
        add(w, "--namespace");
        add(w, config->namespace_id);
    }
    add(w, "--label");
    add(w, json_name(server->entry->json));
    files_words(config->files, policy_files(server->entry->files), w);
    stream_words(s, config->stream, w);
    add(w, "--");
    if (json_read_str(json_get(server->entry->json, "command"), &word) < 0)
        return -EINVAL;
    add(w, word);
    for (const struct json *v = json_first(json_get(server->entry->json, "args")); v != NULL;
         v = json_next(v)) {
        if (json_read_str(v, &word) < 0)
            return -EINVAL;
        add(w, word);
    }
    if (w->count > WORDS_MAX)
        return -E2BIG;
    w->items[w->count] = NULL;
    return 0;
}

static void gateway_exec(const struct mcp_servers *s, const struct server *server, struct words *w,
                         int out, pid_t parent)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const char *value;

    for (const struct json *v = json_first(json_get(server->entry->json, "env")); v != NULL;
         v = json_next(v))
        if (json_read_str(v, &value) < 0 || setenv(json_name(v), value, 1) < 0)
            _exit(127);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent && nothing >= 0 &&
        dup2(nothing, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
        (void)execv(s->program, w->items);
    _exit(127);
}

static int start_one(struct mcp_servers *s, const struct mcp_servers_config *config,
                     struct server *server)
{
    static struct words w; /* too large for the stack; filled anew for each server */
    pid_t parent = getpid();
    int out[2];
    int err;

    w.count = 0;
    err = gateway_words(s, config, server, &w);
    if (err < 0)
        return err;
    if (pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    server->pid = fork();
    if (server->pid == 0)
        gateway_exec(s, server, &w, out[1], parent);
    (void)close(out[1]);
    server->said = out[0];
    if (server->pid < 0)
        return -errno;
    server->life = (int)syscall(SYS_pidfd_open, server->pid, 0);
    return server->life < 0 ? -errno : 0;
}

/** Wait for the line that says that the socket is there. */
static int wait_for(struct server *server, struct why *why)
{
    struct pollfd p = {.fd = server->said, .events = POLLIN};
    char line[512];
    int n;

    do {
        n = poll(&p, 1, START_MS);
    } while (n < 0 && errno == EINTR);
    if (n > 0 && read(server->said, line, sizeof(line)) > 0)
        return 0;
    return why_set(why, n == 0 ? -ETIMEDOUT : -ECHILD,
                   "the gateway of the MCP server '%s' does not start",
                   json_name(server->entry->json));
}

/* ---- the agent's copy of the file ---- */

static void write_entry(struct json_out *j, const struct mcp_servers *s, const struct json *entry)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->servers[i].entry->json == entry) {
            json_open_object(j);
            json_put_str(j, "command", s->program);
            json_key(j, "args");
            json_open_array(j);
            json_str(j, "connect");
            json_str(j, s->servers[i].socket);
            json_close_array(j);
            json_close_object(j);
            return;
        }
    json_raw(j, json_text(entry));
}

/** Make a file that only its owner may read. */
static int write_file(const char *path, struct buf *text)
{
    auto_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int err = buf_error(text);

    if (err == 0 && fd < 0)
        err = -errno;
    if (err == 0 && write(fd, text->data, text->len) != (ssize_t)text->len)
        err = -EIO;
    buf_done(text);
    return err;
}

static int write_copy(const struct mcp_servers *s)
{
    struct json_out j;
    struct buf text;

    buf_init(&text, COPY_MAX);
    json_out_init(&j, &text);
    json_open_object(&j);
    json_key(&j, "mcpServers");
    json_open_object(&j);
    for (const struct json *v = json_first(json_get(json_root(s->file.doc), "mcpServers"));
         v != NULL; v = json_next(v)) {
        json_key(&j, json_name(v));
        write_entry(&j, s, v);
    }
    json_close_object(&j);
    json_close_object(&j);
    buf_add_char(&text, '\n');
    return write_file(s->copy, &text);
}

/** As `--nats-creds` reads them: a secret has no place on a command line. */
static int write_nats(const struct mcp_servers *s, const struct audit_stream *stream)
{
    struct buf text;

    if (stream == NULL || stream->creds_file != NULL || stream->user == NULL)
        return 0;
    buf_init(&text, 4096);
    buf_printf(&text, "%s\n%s\n", stream->user, stream->password != NULL ? stream->password : "");
    if (stream->inbox != NULL)
        buf_printf(&text, "%s\n", stream->inbox);
    return write_file(s->nats, &text);
}

/* ---- all of them ---- */

/** A directory whose name is short enough, and in which we may write; owned. Rules follow no link.
 */
static char *usable(const char *path)
{
    char *real = path != NULL ? realpath(path, NULL) : NULL;

    if (real == NULL || (strlen(real) <= 40 && access(real, W_OK) == 0))
        return real;
    if (strlen(real) > 40)
        errno = ENAMETOOLONG;
    free(real);
    return NULL;
}

/** A directory of ours alone: $XDG_RUNTIME_DIR ends with the session; where the records are is
 * closed to sandboxes with a file policy; /tmp is everywhere. */
static int make_dir(struct mcp_servers *s)
{
    char records[PATH_CAP];
    char *slash;
    auto_free char *base = usable(getenv("XDG_RUNTIME_DIR"));

    if (base == NULL && audit_default_path("x", records, sizeof(records)) == 0 &&
        (slash = strrchr(records, '/')) != NULL) {
        *slash = '\0';
        if (io_mkdirs(records) == 0)
            base = usable(records);
    }
    if (base == NULL)
        base = usable("/tmp");
    if (base == NULL)
        return -errno;
    (void)snprintf(s->dir, sizeof(s->dir), "%.40s/lattice-mcp.XXXXXX", base);
    if (mkdtemp(s->dir) == NULL) {
        s->dir[0] = '\0';
        return -errno;
    }
    (void)snprintf(s->copy, sizeof(s->copy), "%s/mcp.json", s->dir);
    (void)snprintf(s->nats, sizeof(s->nats), "%s/nats", s->dir);
    return 0;
}

static void spell_agent(struct mcp_servers *s, const char *name)
{
    size_t len = 0;

    for (; *name != '\0' && len < AGENT_MAX; name++) {
        char c = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (is_plain || len > 0)
            s->agent[len++] = is_plain ? c : '-';
    }
    while (len > 0 && s->agent[len - 1] == '-')
        len--;
    s->agent[len] = '\0';
}

static int start_all(struct mcp_servers *s, const struct mcp_servers_config *config,
                     struct why *why)
{
    int err = sibling_program("lattice-mcp", s->program, sizeof(s->program));

    if (err < 0)
        return why_set(why, err, "the program '%s' cannot be run: %s", s->program, strerror(-err));
    err = make_dir(s);
    if (err < 0)
        return why_set(why, err, "no directory for sockets can be made: %s", strerror(-err));
    err = write_nats(s, config->stream);
    if (err < 0)
        return why_set(why, err, "%s: %s", s->nats, strerror(-err));
    for (unsigned i = 0; i < s->count; i++) {
        struct server *server = &s->servers[i];

        (void)snprintf(server->socket, sizeof(server->socket), "%.*s/%s.sock", 200, s->dir,
                       json_name(server->entry->json));
        err = start_one(s, config, server);
        if (err < 0)
            return why_set(why, err, "the gateway of the MCP server '%s' cannot be started: %s",
                           json_name(server->entry->json), strerror(-err));
    }
    for (unsigned i = 0; i < s->count; i++) {
        err = wait_for(&s->servers[i], why);
        if (err < 0)
            return err;
    }
    err = write_copy(s);
    return err < 0 ? why_set(why, err, "%s: %s", s->copy, strerror(-err)) : 0;
}

/** End the gateways, wait until their records are written, and remove what was made. */
static void clean(const struct mcp_servers *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->servers[i].life >= 0)
            (void)syscall(SYS_pidfd_send_signal, s->servers[i].life, SIGTERM, NULL, 0);
    for (unsigned i = 0; i < s->count; i++) {
        struct pollfd p = {.fd = s->servers[i].life, .events = POLLIN};

        if (p.fd >= 0)
            (void)poll(&p, 1, END_MS);
        if (s->servers[i].socket[0] != '\0')
            (void)unlink(s->servers[i].socket); /* a gateway does it itself, unless it was killed */
    }
    if (s->dir[0] != '\0') {
        (void)unlink(s->copy);
        (void)unlink(s->nats);
        (void)rmdir(s->dir);
    }
}

static int start_janitor(struct mcp_servers *s, struct why *why)
{
    sigset_t all;
    int ends[2];
    char byte;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return why_set(why, -errno, "a pipe cannot be made: %s", strerror(errno));
    s->janitor = fork();
    if (s->janitor == 0) {
        (void)close(ends[1]);
        (void)sigfillset(&all); /* what ends the whole group must not end the cleaning */
        (void)sigprocmask(SIG_BLOCK, &all, NULL);
        (void)!read(ends[0], &byte, 1);
        clean(s);
        _exit(0);
    }
    (void)close(ends[0]);
    s->bell = ends[1];
    return s->janitor < 0 ? why_set(why, -errno, "the janitor cannot be started") : 0;
}

int mcp_servers_start(const struct mcp_servers_config *config, struct mcp_servers **ret,
                      struct why *why)
{
    struct mcp_servers *s = calloc(1, sizeof(*s));
    int err;

    if (s == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    s->bell = -1;
    for (unsigned i = 0; i < MCP_SERVERS_MAX; i++)
        s->servers[i].life = s->servers[i].said = -1;
    spell_agent(s, config->agent);
    err = mcp_file_load(config->path, config->files, &s->file, why);
    for (; err == 0 && s->count < s->file.count; s->count++)
        s->servers[s->count].entry = &s->file.entries[s->count];
    if (err == 0)
        err = start_all(s, config, why);
    if (err == 0)
        err = start_janitor(s, why);
    if (err < 0) {
        mcp_servers_stop(s);
        return err;
    }
    *ret = s;
    return 0;
}

int mcp_servers_give(const struct mcp_servers *s, struct policy *policy, struct why *why)
{
    for (unsigned i = 0; i < s->count; i++) {
        char rule[PATH_CAP + 8];
        int err;

        (void)snprintf(rule, sizeof(rule), "unix:%s", s->servers[i].socket);
        err = policy_add_rule(policy, POLICY_RULE_ALLOW, bytes_of_str(rule), why);
        if (err < 0)
            return err;
    }
    if (policy_add_path(policy, POLICY_FILES_READ, bytes_of_str(s->copy), why) < 0 ||
        policy_add_path(policy, POLICY_FILES_READ, bytes_of_str(s->program), why) < 0)
        return -EINVAL;
    return setenv(MCP_ENV_CONFIG, s->copy, 1) < 0 ? why_set(why, -ENOMEM, "out of memory") : 0;
}

void mcp_servers_stop(struct mcp_servers *s)
{
    if (s == NULL)
        return;
    if (s->janitor > 0) {
        (void)!write(s->bell, "", 1); /* another process may hold the pipe open: no end of file */
        while (waitpid(s->janitor, NULL, 0) < 0 && errno == EINTR)
            ;
    } else {
        clean(s);
    }
    own_close(&s->bell);
    for (unsigned i = 0; i < s->count; i++) {
        own_close(&s->servers[i].life);
        own_close(&s->servers[i].said);
        if (s->servers[i].pid > 0)
            (void)waitpid(s->servers[i].pid, NULL, WNOHANG);
    }
    mcp_file_done(&s->file);
    free(s);
}
