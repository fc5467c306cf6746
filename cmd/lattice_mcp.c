/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `lattice-mcp`. `lattice-mcp gateway -- SERVER ARGS…` starts the server inside a
 * sandbox (by the program `lattice` beside this one) and stands between it and the client on
 * standard input and output. It speaks to people on standard error only.
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
#include "cmd/cli.h"
#include "cmd/mcp_calls.h"
#include "cmd/mcp_commands.h"
#include "cmd/session.h"
#include "cmd/nats_options.h"
#include "mcp/mcp.h"

#define EXIT_FAILED     125
#define SERVER_ARGS_MAX 256u
#define SERVER_GRACE_S  20 /* of silence, after the client has gone */
#define SERVER_TERM_S   5  /* from SIGTERM to SIGKILL */
#define PATH_CAP        2048u

enum {
    OPT_NAME,
    OPT_ALLOW_TOOL,
    OPT_OPEN,
    OPT_AUDIT,
    OPT_ALLOW,
    OPT_DENY,
    OPT_POLICY,
    OPT_WG,
    OPT_OFFLINE,
    OPT_AUDIT_LOG,
    OPT_TRACE_ID,
    OPT_PARENT_SPAN,
    OPT_NAMESPACE,
    OPT_LABEL,
    OPT_NATS,
    OPT_NATS_CREDS,
    OPT_NATS_CA,
    OPT_NATS_WORKSPACE,
    OPT_LISTEN,
    OPT_VERBOSE,
    OPT_COUNT,
};

static const struct cli_option options[OPT_COUNT] = {
    [OPT_NAME] = {"name", "NAME", "Name of the agent in records (default: mcp)."},
    [OPT_ALLOW_TOOL] =
        {"allow-tool", "TOOL",
         "Allow a tool by its exact name; repeatable. What is not allowed is hidden\n"
         "from lists, and answered as an unknown tool."},
    [OPT_OPEN] = {"open", "GROUP",
                  "Let more than tools pass; repeatable: resources, prompts, sampling,\n"
                  "elicitation, roots, tasks."},
    [OPT_AUDIT] = {"audit", NULL, "Hide and refuse nothing; record what would have been refused."},
    [OPT_ALLOW] = {"allow", "RULE",
                   "Allow the server a destination; see 'lattice sandbox start --help'."},
    [OPT_DENY] = {"deny", "RULE", "Deny the server a destination."},
    [OPT_POLICY] = {"policy", "FILE",
                    "Policy file: the tools that are allowed, and the server's destinations."},
    [OPT_WG] = {"wg", "FILE", "The server's only way out is this WireGuard tunnel."},
    [OPT_OFFLINE] = {"offline", NULL, "The server has no way out."},
    [OPT_AUDIT_LOG] = {"audit-log", "FILE",
                       "Records of the tool calls, and of what the server does meanwhile\n"
                       "(default: $XDG_STATE_HOME/lattice/NAME.jsonl)."},
    [OPT_TRACE_ID] = {"trace-id", "UUID",
                      "The trace that the records belong to (default: a new one)."},
    [OPT_PARENT_SPAN] = {"parent-span", "HEX",
                         "The span that the gateway belongs to (default: none)."},
    [OPT_NAMESPACE] = {"namespace", "NAME", "The agent's namespace (default: default)."},
    [OPT_LABEL] = {"label", "TEXT", "Name of the server in traces (default: the agent's)."},
    [OPT_NATS] = {"nats", "URL", NATS_OPTION_HELP_URL},
    [OPT_NATS_CREDS] = {"nats-creds", "FILE", NATS_OPTION_HELP_CREDS},
    [OPT_NATS_CA] = {"nats-ca", "FILE", NATS_OPTION_HELP_CA},
    [OPT_NATS_WORKSPACE] = {"nats-workspace", "NAME", NATS_OPTION_HELP_WORKSPACE},
    [OPT_LISTEN] = {"listen", "SOCKET",
                    "Serve clients of this socket ('lattice-mcp connect SOCKET') instead of\n"
                    "standard input and output; each gets a server process of its own."},
    [OPT_VERBOSE] = {"verbose", NULL, "Say more."},
};

static const struct cli_command gateway_command = {
    .path = "lattice-mcp gateway",
    .synopsis = "[OPTIONS] -- SERVER ARGS…",
    .summary =
        "Run a stdio MCP server inside a sandbox, and hold every tool call of its client against\n"
        "the list of allowed tools. Each call is recorded.",
    .options = options,
    .option_count = OPT_COUNT,
    .more =
        "Example:  lattice-mcp gateway --allow-tool read_text_file --allow-tool list_directory \\\n"
        "              --offline -- npx @modelcontextprotocol/server-filesystem /srv/docs",
    .usage_status = CLI_EXIT_USAGE,
};

struct program {
    /* what the command line said */
    const char *name;
    const char *audit_log;
    char default_log[PATH_CAP]; /* where audit_log points when nothing was said */
    char trace_id[AUDIT_TRACE_CAP];
    char root_span[AUDIT_SPAN_CAP]; /* of this gateway: its calls and its server's sandbox are below
                                     */
    const char *parent_span;
    const char *ns;
    const char *label;
    struct nats_options nats;
    const char *listen; /* path of a socket, or NULL */
    unsigned groups;
    struct identity identity;
    const char *server_argv[SERVER_ARGS_MAX + 16]; /* `lattice sandbox start … -- SERVER …` */
    unsigned server_argc;

    struct loop *loop;
    struct audit *audit;
    struct mcp_calls calls;
    char cause_fd[12]; /* the server's options, known when it is started */
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

/* ---- the command line ---- */

static int add_server_arg(struct program *p, const char *word)
{
    if (p->server_argc + 1 >= ARRAY_COUNT(p->server_argv))
        return cli_usage_error(&gateway_command, "more than %u words for the server",
                               SERVER_ARGS_MAX);
    p->server_argv[p->server_argc++] = word;
    return 0;
}

static int add_server_option(struct program *p, int option, const char *value)
{
    static char names[OPT_COUNT][32]; /* written here only, before anything is started */
    int status;

    (void)snprintf(names[option], sizeof(names[option]), "--%s", options[option].name);
    status = add_server_arg(p, names[option]);
    return status != 0 || value == NULL ? status : add_server_arg(p, value);
}

static int allow_tool(struct program *p, const char *value)
{
    if (identity_tool_check(bytes_of_str(value)) < 0)
        return cli_usage_error(&gateway_command,
                               "--allow-tool '%s': 1 to 128 of A-Z a-z 0-9 _ . / : - expected",
                               value);
    if (nameset_add(&p->identity.tools, bytes_of_str(value)) < 0)
        return cli_usage_error(&gateway_command, "more than %u tools", IDENTITY_TOOLS_MAX);
    return 0;
}

/** The tools and the mode of a policy file; its destinations are the sandbox's matter. */
static int take_policy(struct program *p, const char *path)
{
    enum policy_mode mode = POLICY_ENFORCE;
    struct policy *policy = NULL;
    struct why why = {.text = ""};
    char text[WHY_TEXT_MAX + 160];
    int err = policy_new(POLICY_ENFORCE, &policy);

    if (err == 0)
        err = policy_load(policy, path, &mode, &why);
    if (err == 0)
        err = nameset_copy(policy_tools(policy), &p->identity.tools);
    policy_free(policy);
    if (err < 0) {
        why_print(&why, text, sizeof(text));
        return fail(why.text[0] != '\0' ? text : "too many tools");
    }
    if (mode == POLICY_AUDIT)
        p->identity.enforcement = IDENTITY_AUDIT;
    return add_server_option(p, OPT_POLICY, path);
}

static int take_option(struct program *p, int option, const char *value)
{
    enum mcp_group group;

    switch (option) {
    case OPT_NAME:
        if (identity_name_check(bytes_of_str(value)) < 0 || strlen(value) > 50)
            return cli_usage_error(&gateway_command, "--name '%s': 1 to 50 of a-z 0-9 - expected",
                                   value);
        p->name = value;
        return 0;
    case OPT_ALLOW_TOOL:
        return allow_tool(p, value);
    case OPT_OPEN:
        if (mcp_group_parse(bytes_of_str(value), &group) < 0)
            return cli_usage_error(&gateway_command, "--open '%s': no such group", value);
        p->groups |= group;
        return 0;
    case OPT_AUDIT:
        p->identity.enforcement = IDENTITY_AUDIT;
        return add_server_option(p, option, NULL);
    case OPT_POLICY:
        return take_policy(p, value);
    case OPT_AUDIT_LOG:
        p->audit_log = value;
        return 0;
    case OPT_TRACE_ID:
        if (strlen(value) >= sizeof(p->trace_id))
            return cli_usage_error(&gateway_command, "--trace-id '%s': a UUID expected", value);
        (void)snprintf(p->trace_id, sizeof(p->trace_id), "%s", value);
        return 0;
    case OPT_PARENT_SPAN:
        p->parent_span = value;
        return 0;
    case OPT_NAMESPACE:
        if (identity_name_check(bytes_of_str(value)) < 0)
            return cli_usage_error(&gateway_command,
                                   "--namespace '%s': 1 to 63 of a-z 0-9 -, expected", value);
        p->ns = value;
        return 0;
    case OPT_LABEL:
        p->label = value;
        return 0;
    case OPT_NATS:
        p->nats.url = value;
        return add_server_option(p, option, value);
    case OPT_NATS_CREDS:
        p->nats.creds = value;
        return add_server_option(p, option, value);
    case OPT_NATS_CA:
        p->nats.ca = value;
        return add_server_option(p, option, value);
    case OPT_NATS_WORKSPACE:
        p->nats.workspace = value;
        return add_server_option(p, option, value);
    case OPT_LISTEN:
        p->listen = value;
        return 0;
    default:
        return add_server_option(p, option, value);
    }
}

static int emit_lifecycle(struct program *p, enum audit_kind kind, int status)
{
    const struct audit_record r = {.kind = kind,
                                   .mode = identity_enforcement_name(p->identity.enforcement),
                                   .pid = getpid(),
                                   .exit_status = status,
                                   .duration_ns = -1};

    return audit_emit(p->audit, &r);
}

/** The server's sandbox shares our log and our trace: one record from the tool call to the packet.
 */
static int share_records(struct program *p)
{
    int status;

    if (p->audit_log == NULL) {
        if (audit_default_path(p->name, p->default_log, sizeof(p->default_log)) < 0)
            return fail("no place for records: set HOME or XDG_STATE_HOME, or use --audit-log");
        p->audit_log = p->default_log;
    }
    if (p->trace_id[0] == '\0')
        audit_make_trace_id(p->trace_id);
    audit_make_span_id(p->root_span);
    status = add_server_option(p, OPT_AUDIT_LOG, p->audit_log);
    if (status == 0)
        status = add_server_option(p, OPT_TRACE_ID, p->trace_id);
    for (unsigned i = 0; i < 6 && status == 0; i++)
        status =
            add_server_arg(p, (const char *const[]){"--parent-span", p->root_span, "--cause-fd",
                                                    p->cause_fd, "--agent", p->name}[i]);
    return status;
}

static int parse(struct program *p, int argc, char **argv)
{
    struct cli_parser c;
    int option;
    int status = 0;

    cli_begin(&c, &gateway_command, argc, argv);
    while (status == 0 && (option = cli_next(&c)) >= 0)
        status = take_option(p, option, c.value);
    if (status != 0)
        return status;
    if (option == CLI_STOP)
        return c.status;
    if (c.index >= argc)
        return cli_usage_error(&gateway_command, "say which server to run, behind '--'");
    status = share_records(p);
    if (status == 0)
        status = add_server_arg(p, "--");
    while (status == 0 && c.index < argc)
        status = add_server_arg(p, argv[c.index++]);
    return status != 0 ? status : -1;
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
        .namespace_id = p->ns,
        .tool = call->tool,
        .status = status,
        .arguments = fits ? arguments : NULL,
        .verdict = call->answer.verdict == VERDICT_ALLOW ? "allow" : "drop",
        .would_deny = call->answer.would_deny,
        .mode = identity_enforcement_name(p->identity.enforcement),
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
                                   .namespace_id = p->ns,
                                   .tool = tool,
                                   .name = tool,
                                   .verdict = "allow",
                                   .mode = identity_enforcement_name(p->identity.enforcement),
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

/** The path of the program `lattice`, which is installed beside this one. */
static int find_lattice(char *ret, size_t cap)
{
    ssize_t len = readlink("/proc/self/exe", ret, cap - 1);
    char *slash;

    if (len < 0)
        return -errno;
    ret[len] = '\0';
    slash = strrchr(ret, '/');
    if (slash == NULL || (size_t)(slash - ret) + sizeof("/lattice") > cap)
        return -ENAMETOOLONG;
    memcpy(slash, "/lattice", sizeof("/lattice"));
    return access(ret, X_OK) < 0 ? -errno : 0;
}

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
        (void)execv(lattice, (char *const *)(uintptr_t)p->server_argv);
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
    int has_no_stream = nats_options_stream(&p->nats, &stream, &why);
    struct audit_config config = {.path = p->audit_log,
                                  .identity = p->name,
                                  .namespace_id = p->ns,
                                  .trace_id = p->trace_id,
                                  .parent_span_id = p->parent_span,
                                  .root_span_id = p->root_span,
                                  .label = label,
                                  .stream = has_no_stream == 0 ? &stream : NULL};
    int err = has_no_stream;

    (void)snprintf(label, sizeof(label), "mcp:%s", p->label != NULL ? p->label : p->name);
    if (err >= 0)
        err = audit_start(&config, &p->audit, &why);
    if (err == 0)
        err = emit_lifecycle(p, AUDIT_START, 0);
    nats_options_done(&p->nats);
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
        .identity = &p->identity, .ns = p->ns, .groups = p->groups};
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
    if (find_lattice(lattice, sizeof(lattice)) < 0)
        return fail("the program 'lattice' is not installed beside lattice-mcp");
    if (loop_new(&p->loop) < 0 || watch_signals(p) < 0)
        return fail("out of resources");
    p->calls.audit = p->audit;
    if (mcp_calls_open(&p->calls) < 0)
        return fail("out of resources");
    (void)snprintf(p->cause_fd, sizeof(p->cause_fd), "%d", p->calls.cause_in);
    if (start_server(p, lattice) < 0)
        return fail("the server cannot be started");
    status = start_transport(p);
    if (status == 0 && loop_run(p->loop) < 0)
        status = fail("waiting failed");
    client_ended(p);
    own_close(&p->server_out);
    return status != 0 ? status : wait_for_server(p);
}

static int gateway(int argc, char **argv)
{
    static char server_name[64]; /* written here only */
    static struct program p = {  /* large, and one gateway is all that a process runs */
                               .name = "mcp",
                               .ns = "default",
                               .server_in = -1,
                               .server_out = -1,
                               .calls = {.cause_in = -1, .cause_out = -1},
                               .signals = {.fd = -1}};
    int status;

    identity_init(&p.identity);
    p.identity.phase = IDENTITY_ACTIVE;
    p.identity.expires_s = IDENTITY_NEVER;
    for (unsigned i = 0; i < 5; i++)
        (void)add_server_arg(&p, (const char *const[]){"lattice", "sandbox", "start", "--name",
                                                       server_name}[i]); /* always room for five */
    status = parse(&p, argc, argv);
    if (status < 0 && nameset_add(&p.identity.namespaces, bytes_of_str(p.ns)) < 0)
        status = fail("out of memory");
    if (status < 0) {
        (void)snprintf(p.identity.name, sizeof(p.identity.name), "%s", p.name);
        (void)snprintf(server_name, sizeof(server_name), "%s-server", p.name);
        if (p.identity.tools.count == 0 && p.identity.enforcement == IDENTITY_ENFORCE)
            log_warn(
                "no tool is allowed; allow one with --allow-tool, or record calls with --audit");
        status = p.listen != NULL ? mcp_listen(p.listen, argc, argv) : run(&p);
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
    identity_done(&p.identity);
    return status;
}

/* ---- the program itself ---- */

enum { SERVE_WORKSPACE = OPT_OWN };

static const struct cli_option serve_options[] = {
    SHARED_OPTIONS,
    [SERVE_WORKSPACE] = {"workspace", "NAME", "The namespace that the tools work in (default)"},
};

static const struct cli_command lattice_mcp_command = {
    .path = "lattice-mcp",
    .synopsis = "[OPTIONS] | COMMAND",
    .summary =
        "The Model Context Protocol under lattice. Without a command: serve the tools of the\n"
        "network (peers, policies, snapshots) on standard input and output.\n"
        "\n"
        "Commands:\n"
        "  gateway                   Run an MCP server in a sandbox and judge each tool call.\n"
        "  connect                   Speak to a gateway behind a socket on standard input and "
        "output.\n"
        "  wrap, unwrap              Put the servers of a client's configuration behind gateways, "
        "or back.",
    .options = serve_options,
    .option_count = ARRAY_COUNT(serve_options),
    .more = "latticed and the token are those of 'lattice login', or $LATTICE_SERVER_URL and\n"
            "$LATTICE_AUTH_TOKEN.",
    .usage_status = CLI_EXIT_USAGE,
};

static int serve(int argc, char **argv)
{
    const char *workspace = "default";
    struct session session;
    struct cli_parser c;
    int option;

    session_init(&session);
    cli_begin(&c, &lattice_mcp_command, argc, argv);
    while ((option = cli_next(&c)) >= 0)
        if (!session_take(&session, &c, option))
            workspace = c.value;
    if (option == CLI_STOP)
        return session_done(&session, c.status);
    if (c.index < argc)
        return session_done(
            &session, cli_usage_error(&lattice_mcp_command, "unknown command '%s'", argv[c.index]));
    if (identity_name_check(bytes_of_str(workspace)) < 0)
        return session_done(&session,
                            cli_usage_error(&lattice_mcp_command,
                                            "--workspace '%s': 1 to 63 of a-z 0-9 - expected",
                                            workspace));
    if (argc == 1 && isatty(STDIN_FILENO) == 1) {
        cli_help(&lattice_mcp_command); /* a person, not a client */
        return session_done(&session, CLI_EXIT_USAGE);
    }
    return mcp_serve_tools(&session, workspace);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *word;
        int (*run)(int argc, char **argv);
    } commands[] = {{"gateway", gateway},
                    {"connect", mcp_connect},
                    {"wrap", mcp_wrap_command},
                    {"unwrap", mcp_unwrap_command}};

    log_setup("lattice-mcp", LOG_LEVEL_WARN, /*json=*/false);
    for (unsigned i = 0; argc > 1 && i < ARRAY_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].word) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return serve(argc, argv);
}
