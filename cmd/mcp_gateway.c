/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice-mcp gateway`: starts the server inside a sandbox (by the program `lattice` beside this
 * one) and stands between it and the client on standard input and output. It speaks to people on
 * standard error only.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/log.h"
#include "base/own.h"
#include "cmd/mcp_calls.h"
#include "cmd/mcp_commands.h"
#include "cmd/mcp_gateway_options.h"
#include "cmd/sibling.h"
#include "mcp/mcp.h"

#define EXIT_FAILED    MCP_GATEWAY_EXIT_FAILED
#define SERVER_GRACE_S 20 /* of silence, after the client has gone */
#define SERVER_TERM_S  5  /* from SIGTERM to SIGKILL */
#define PATH_CAP       2048u

struct program {
    struct mcp_gateway_options o;

    struct loop *loop;
    struct audit *audit;
    struct mcp_calls calls;
    struct mcp_gateway *gateway;
    struct mcp_stdio *stdio;
    pid_t server_pid;
    int server_in;  /* write */
    int server_out; /* read */
    struct loop_watch signals;
    struct loop_timer grace; /* set when the client has gone */
    bool is_alone;           /* the client has gone */
    bool is_told;            /* the server was told to end */
};

static int fail(const char *text)
{
    log_error(text);
    return EXIT_FAILED;
}

static int emit_lifecycle(struct program *p, enum audit_kind kind, int status)
{
    const struct audit_record r = {.kind = kind,
                                   .mode = identity_enforcement_name(p->o.identity.enforcement),
                                   .pid = getpid(),
                                   .exit_status = status,
                                   .duration_ns = -1};

    return audit_emit(p->audit, &r);
}

/* ---- what the gateway and its transport tell us ---- */

/** The client has gone: a server that says nothing more for a while is ended. */
static void give_grace(struct program *p)
{
    (void)!loop_timer_set(p->loop, &p->grace, mono_add_ms(mono_now(), SERVER_GRACE_S * 1000));
}

static void grace_over(void *self, struct mono now)
{
    struct program *p = self;

    if (!p->is_told)
        log_warn("the server does not end although its client has gone; it is ended");
    if (p->server_pid > 0) /* its sandbox ends with its supervisor */
        (void)kill(p->server_pid, p->is_told ? SIGKILL : SIGTERM);
    p->is_told = true;
    (void)!loop_timer_set(p->loop, &p->grace, mono_add_ms(now, SERVER_TERM_S * 1000));
}

static void to_client(void *self, struct bytes line)
{
    struct program *p = self;

    if (p->is_alone && !p->is_told)
        give_grace(p);
    mcp_stdio_to_client(p->stdio, line);
}

static void to_server(void *self, struct bytes line)
{
    mcp_stdio_to_server(((struct program *)self)->stdio, line);
}

static int record_call(struct program *p, const struct mcp_call *call, const char *status)
{
    char arguments[4096];
    bool fits = call->arguments.len > 0 && call->arguments.len < sizeof(arguments);
    struct audit_record r = {
        .kind = AUDIT_SPAN,
        .namespace_id = p->o.ns,
        .tool = call->tool,
        .status = status,
        .arguments = fits ? arguments : NULL,
        .verdict = call->answer.verdict == VERDICT_ALLOW ? "allow" : "drop",
        .would_deny = call->answer.would_deny,
        .mode = identity_enforcement_name(p->o.identity.enforcement),
        .reason = tool_reason_name(call->answer.reason),
        .error = call->error,
    };

    if (fits) {
        memcpy(arguments, call->arguments.data, call->arguments.len);
        arguments[call->arguments.len] = '\0';
    }
    return mcp_calls_end(&p->calls, call->tag, &r);
}

static bool call_begins(void *self, const char *tool, uint64_t *ret_tag)
{
    struct program *p = self;
    const struct audit_record r = {.kind = AUDIT_DECISION,
                                   .namespace_id = p->o.ns,
                                   .tool = tool,
                                   .name = tool,
                                   .verdict = "allow",
                                   .mode = identity_enforcement_name(p->o.identity.enforcement),
                                   .duration_ns = -1};

    if (audit_emit(p->audit, &r) < 0)
        return false;
    *ret_tag = mcp_calls_begin(&p->calls);
    return true;
}

static void call_ended(void *self, const struct mcp_call *call)
{
    struct program *p = self;

    if (record_call(p, call, mcp_call_status_name(call->status)) < 0)
        log_error("a tool call could not be recorded; further calls are refused until it can",
                  F_STR("tool", call->tool));
    if (call->status == MCP_CALL_BLOCKED)
        log_sentence(call->error, "blocked", (const struct log_field[]){F_STR("tool", call->tool)},
                     1);
}

static void ended(void *self)
{
    loop_stop(((struct program *)self)->loop);
}

static void client_ended(void *self)
{
    struct program *p = self;

    if (p->server_in >= 0)
        own_close(&p->server_in);
    p->is_alone = true;
    p->grace.expired = grace_over;
    p->grace.self = p;
    if (!p->is_told)
        give_grace(p);
}

static void signal_ready(void *self, uint32_t events)
{
    struct program *p = self;
    struct signalfd_siginfo info;

    (void)events;
    while (read(p->signals.fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (p->server_pid > 0)
            (void)kill(p->server_pid, (int)info.ssi_signo); /* lattice passes it on and ends */
    p->is_told = true;
    p->grace.expired = grace_over;
    p->grace.self = p;
    (void)!loop_timer_set(p->loop, &p->grace,
                          mono_add_ms(mono_now(), (int64_t)SERVER_TERM_S * 1000));
}

/* ---- the server ---- */

static void server_exec(struct program *p, const char *lattice, int in, int out)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Whose tokens these are, the server is not: it would be a deputy with our rights. */
    (void)unsetenv("LATTICE_AUTH_TOKEN");
    (void)unsetenv("LATTICE_TOKEN_FILE");
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        fcntl(p->calls.cause_in, F_SETFD, 0) == 0)
        (void)execv(lattice, (char *const *)(uintptr_t)p->o.server_argv);
    _exit(EXIT_FAILED);
}

static int start_server(struct program *p, const char *lattice)
{
    int in[2];
    int out[2];

    if (pipe2(in, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(out, O_CLOEXEC) < 0) {
        int err = -errno;

        (void)close(in[0]);
        (void)close(in[1]);
        return err;
    }
    p->server_pid = fork();
    if (p->server_pid == 0)
        server_exec(p, lattice, in[0], out[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    p->server_in = in[1];
    p->server_out = out[0];
    return p->server_pid < 0 ? -errno : 0;
}

static int watch_signals(struct program *p)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    p->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (p->signals.fd < 0)
        return -errno;
    p->signals.ready = signal_ready;
    p->signals.self = p;
    return loop_watch(p->loop, &p->signals, EPOLLIN);
}

static int wait_for_server(struct program *p)
{
    int status = 0;

    if (p->server_pid <= 0)
        return EXIT_FAILED;
    while (waitpid(p->server_pid, &status, 0) < 0 && errno == EINTR)
        ;
    p->server_pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- putting it together ---- */

static int start_audit(struct program *p)
{
    struct audit_stream stream;
    struct why why = {0};
    char label[AUDIT_NAME_MAX + 1];
    int has_no_stream = nats_options_stream(&p->o.nats, &stream, &why);
    struct audit_config config = {.path = p->o.audit_log,
                                  .identity = p->o.name,
                                  .namespace_id = p->o.ns,
                                  .trace_id = p->o.trace_id,
                                  .parent_span_id = p->o.parent_span,
                                  .root_span_id = p->o.root_span,
                                  .label = label,
                                  .stream = has_no_stream == 0 ? &stream : NULL};
    int err = has_no_stream;

    (void)snprintf(label, sizeof(label), "mcp:%s", p->o.label != NULL ? p->o.label : p->o.name);
    if (err >= 0)
        err = audit_start(&config, &p->audit, &why);
    if (err == 0)
        err = emit_lifecycle(p, AUDIT_START, 0);
    nats_options_done(&p->o.nats);
    return err < 0 ? fail(why.text) : 0;
}

static int start_transport(struct program *p)
{
    const struct mcp_sink sink = {.self = p,
                                  .to_client = to_client,
                                  .to_server = to_server,
                                  .call_begins = call_begins,
                                  .call_ended = call_ended};
    const struct mcp_gateway_config config = {
        .identity = &p->o.identity, .ns = p->o.ns, .groups = p->o.groups};
    const struct mcp_stdio_config stdio = {.loop = p->loop,
                                           .client_in = STDIN_FILENO,
                                           .client_out = STDOUT_FILENO,
                                           .server_in = p->server_in,
                                           .server_out = p->server_out,
                                           .self = p,
                                           .ended = ended,
                                           .client_ended = client_ended};
    int err = mcp_gateway_new(&config, &sink, &p->gateway);

    if (err == 0)
        err = mcp_stdio_new(&stdio, &p->stdio);
    if (err == 0)
        err = mcp_stdio_start(p->stdio, p->gateway);
    if (err == -EPERM)
        return fail("standard input must be a pipe, a socket or a terminal, not a file");
    return err < 0 ? fail(strerror(-err)) : 0;
}

static int run(struct program *p)
{
    char lattice[PATH_CAP];
    int status = start_audit(p);

    if (status != 0)
        return status;
    if (sibling_program("lattice", lattice, sizeof(lattice)) < 0)
        return fail("the program 'lattice' is not installed beside lattice-mcp");
    if (loop_new(&p->loop) < 0 || watch_signals(p) < 0)
        return fail("out of resources");
    p->calls.audit = p->audit;
    if (mcp_calls_open(&p->calls) < 0)
        return fail("out of resources");
    (void)snprintf(p->o.cause_fd, sizeof(p->o.cause_fd), "%d", p->calls.cause_in);
    if (start_server(p, lattice) < 0)
        return fail("the server cannot be started");
    status = start_transport(p);
    if (status == 0 && loop_run(p->loop) < 0)
        status = fail("waiting failed");
    client_ended(p);
    own_close(&p->server_out);
    return status != 0 ? status : wait_for_server(p);
}

int mcp_gateway_command(int argc, char **argv)
{
    static struct program p = {/* large, and one gateway is all that a process runs */
                               .o = {.name = "mcp", .ns = "default"},
                               .server_in = -1,
                               .server_out = -1,
                               .calls = {.cause_in = -1, .cause_out = -1},
                               .signals = {.fd = -1}};
    struct identity *identity = &p.o.identity;
    int status;

    identity_init(identity);
    identity->phase = IDENTITY_ACTIVE;
    identity->expires_s = IDENTITY_NEVER;
    status = mcp_gateway_options_parse(&p.o, argc, argv);
    if (status < 0 && nameset_add(&identity->namespaces, bytes_of_str(p.o.ns)) < 0)
        status = fail("out of memory");
    if (status < 0) {
        (void)snprintf(identity->name, sizeof(identity->name), "%s", p.o.name);
        if (identity->tools.count == 0 && identity->enforcement == IDENTITY_ENFORCE)
            log_warn(
                "no tool is allowed; allow one with --allow-tool, or record calls with --audit");
        status = p.o.listen != NULL ? mcp_listen(p.o.listen, argc, argv) : run(&p);
    }
    mcp_stdio_free(p.stdio);
    mcp_gateway_free(p.gateway);
    loop_free(p.loop);
    own_close(&p.signals.fd);
    mcp_calls_close(&p.calls);
    if (p.audit != NULL && emit_lifecycle(&p, AUDIT_STOP, status) < 0)
        status = fail("the end could not be recorded");
    if (audit_stop(p.audit) < 0)
        status = fail("records could not be written");
    identity_done(identity);
    return status;
}
