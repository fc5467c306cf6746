/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice sandbox start`: turns the request of the command line and the WireGuard file into one
 * checked configuration, and hands it to the sandbox room.
 */
#include "cmd/commands.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/wipe.h"
#include "cmd/cli.h"
#include "cmd/mcp_servers.h"
#include "cmd/request.h"
#include "cmd/running.h"

/** Resolve the endpoints that the file gives by name; done once, outside, before the start. */
static int resolve_endpoints(struct wg_conf *conf, const char *path, struct why *why)
{
    for (unsigned i = 0; i < conf->peer_count; i++) {
        struct wg_peer_conf *peer = &conf->peers[i];
        struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG};
        struct addrinfo *found = NULL;
        int err;

        if (peer->has_endpoint || peer->endpoint_host[0] == '\0')
            continue;
        err = getaddrinfo(peer->endpoint_host, NULL, &hints, &found);
        if (err != 0)
            return why_set(why, -EHOSTUNREACH,
                           "%s: the peer's endpoint '%s' cannot be resolved: %s", path,
                           peer->endpoint_host, gai_strerror(err));
        err = endpoint_from_sockaddr(bytes_of(found->ai_addr, found->ai_addrlen), &peer->endpoint);
        freeaddrinfo(found);
        if (err < 0)
            return why_set(why, err, "%s: the peer's endpoint '%s' has no IPv4 or IPv6 address",
                           path, peer->endpoint_host);
        peer->endpoint.port = peer->endpoint_port;
        peer->has_endpoint = true;
    }
    return 0;
}

static int load_wg(const char *path, struct wg_conf *conf, struct why *why)
{
    int err = wg_conf_load(path, conf, why);

    if (err < 0)
        return err;
    for (unsigned i = 0; i < conf->warning_count; i++)
        log_warn(conf->warnings[i]);
    return resolve_endpoints(conf, path, why);
}

/* An enrolled sandbox */

/** The one tunnel that the identity has: through the gateway that latticed named. */
static int make_wg(const struct enroll_agent *a, struct wg_conf *ret, struct why *why)
{
    struct wg_peer_conf *gateway = calloc(1, sizeof(*gateway));
    struct prefix *all = calloc(2, sizeof(*all));

    if (gateway == NULL || all == NULL) {
        free(gateway);
        free(all);
        return why_set(why, -ENOMEM, "out of memory");
    }
    all[0] = (struct prefix){.ip = ip_any(IP_V4)};
    all[1] = (struct prefix){.ip = ip_any(IP_V6)};
    *gateway = (struct wg_peer_conf){
        .has_endpoint = true, .endpoint = a->gateway, .allowed_ips = all, .allowed_ip_count = 2};
    memcpy(gateway->public_key, a->gateway_key, WG_KEY_LEN);
    *ret = (struct wg_conf){.peers = gateway, .peer_count = 1, .address_count = 1};
    memcpy(ret->private_key, a->private_key, WG_KEY_LEN);
    ret->addresses[0] = (struct prefix){.ip = a->identity.address,
                                        .bits = (uint8_t)(8 * ip_len(&a->identity.address))};
    if (ip_parse(bytes_of_str(ENROLL_GATEWAY_IP), &ret->dns[0]) == 0)
        ret->dns_count = 1;
    return 0;
}

/** The agent finds its token, and who it is, by its environment. The token is renewed beside and
 * renamed, so its directory has to be open to the agent. */
static int tell_agent(struct request *r, const struct enroll_agent *a, struct why *why)
{
    const char *slash = strrchr(a->token_file, '/');
    int len = slash != NULL ? (int)(slash - a->token_file) : 0;
    char dir[sizeof(a->token_file) + 2];

    (void)snprintf(dir, sizeof(dir), "%s%.*s", a->token_file[0] == '/' ? "" : "./", len,
                   a->token_file);
    if (policy_add_path(r->policy, POLICY_FILES_READ, bytes_of_str(dir), why) < 0)
        return -EINVAL;
    if (setenv("LATTICE_TOKEN_FILE", a->token_file, 1) < 0 ||
        setenv("LATTICE_SERVER_URL", "http://" ENROLL_GATEWAY_NAME, 1) < 0 ||
        setenv("LATTICE_SANDBOX_NAME", a->identity.name, 1) < 0)
        return why_set(why, -ENOMEM, "out of memory");
    return 0;
}

/** With the identity at hand: fill in what the sandbox needs. */
static int use_identity(struct request *r, const struct enroll_agent *a,
                        struct sandbox_config *config, struct wg_conf *ret_wg,
                        struct policy **ret_policy, struct why *why)
{
    int err = make_wg(a, ret_wg, why);

    if (err == 0)
        err = tell_agent(r, a, why);
    if (err == 0)
        err = sandbox_identity_policy(&a->identity, r->policy, ret_policy, why);
    config->expires_s = a->identity.expires_s;
    config->local = r->policy;
    config->policy = *ret_policy;
    config->network = NETSTACK_TUNNEL;
    config->wg = ret_wg;
    return err;
}

/** Enrol or resume. On success @ret follows latticed, and @ret_agent says who we are. */
static int enter(struct request *r, struct enroll_agent *ret_agent, struct enroll **ret,
                 struct why *why)
{
    struct enroll_agent_config c = {.server = r->enroll.server,
                                    .keys = enroll_wg_keys,
                                    .name = r->name,
                                    .token = r->enroll.token,
                                    .renew_s = r->renew_s};
    int err = enroll_options_finish(&r->enroll, why);

    if (err == 0)
        err = enroll_agent_start(&c, ret, why);
    enroll_options_done(&r->enroll);
    return err < 0 ? err : enroll_agent_ready(*ret, &enroll_wg_keys, ret_agent, why);
}

/** Where an enrolled sandbox publishes, and what its records belong to, unless the user said so. */
static void use_records(const struct enroll_agent *a, struct sandbox_config *config,
                        struct audit_stream *stream)
{
    config->namespace_id = a->identity.ns;
    if (a->identity.parent[0] != '\0')
        config->parent_id = a->identity.parent;
    if (config->trace_id == NULL && a->trace_id[0] != '\0') {
        config->trace_id = a->trace_id;
        config->parent_span_id = a->parent_span_id[0] != '\0' ? a->parent_span_id : NULL;
    }
    if (config->stream != NULL || a->nats_url[0] == '\0')
        return;
    *stream = (struct audit_stream){.url = a->nats_url,
                                    .user = a->nats_user,
                                    .password = a->nats_password,
                                    .inbox = a->nats_inbox,
                                    .workspace = a->nats_workspace};
    config->stream = stream;
}

/** Start the agent's MCP servers, if it shall have some. @tools: what it may call. */
static int start_mcp(struct request *r, struct sandbox_config *config, const struct nameset *tools,
                     bool is_audit, struct mcp_servers **ret, struct why *why)
{
    struct mcp_servers_config servers;
    int err;

    if (r->mcp_path == NULL)
        return 0;
    if (config->trace_id == NULL) {
        audit_make_trace_id(r->own_trace);
        config->trace_id = r->own_trace;
    }
    audit_make_span_id(r->own_span);
    config->root_span_id = r->own_span;
    servers = (struct mcp_servers_config){
        .path = r->mcp_path,
        .agent = r->name,
        .audit_log = r->audit_log,
        .trace_id = config->trace_id,
        .parent_span = config->root_span_id,
        .namespace_id = config->namespace_id,
        .tools = tools,
        .files = policy_files(r->policy),
        .stream = config->stream,
        .is_audit = is_audit,
    };
    err = mcp_servers_start(&servers, ret, why);

    return err == 0 ? mcp_servers_give(*ret, r->policy, why) : err;
}

/** The program and its arguments on one line, cut. */
static void print_command(char *const *argv, char *ret, size_t cap)
{
    size_t at = 0;

    ret[0] = '\0';
    for (; *argv != NULL && at + 1 < cap; argv++) {
        int len = snprintf(ret + at, cap - at, "%s%s", at > 0 ? " " : "", *argv);

        at += len > 0 ? (size_t)len : 0;
    }
}

/** Run the sandbox, where `lattice sandbox ps` sees it. */
static int run_listed(struct request *r, struct sandbox_config *config, struct why *why)
{
    struct running *entry = calloc(1, sizeof(*entry));
    struct why unlisted = {0};
    char folder[512];

    if (config->trace_id == NULL) {
        audit_make_trace_id(r->own_trace);
        config->trace_id = r->own_trace;
    }
    if (entry != NULL) {
        (void)snprintf(entry->name, sizeof(entry->name), "%s", config->name);
        (void)snprintf(entry->trace_id, sizeof(entry->trace_id), "%s", config->trace_id);
        (void)snprintf(entry->network, sizeof(entry->network), "%s",
                       config->network == NETSTACK_TUNNEL    ? "tunnel"
                       : config->network == NETSTACK_OFFLINE ? "offline"
                                                             : "direct");
        (void)snprintf(entry->files, sizeof(entry->files), "%s",
                       config->files.policy->mode == POLICY_FILES_WORKSPACE ? "workspace" : "open");
        if (config->audit_log[0] == '/' || getcwd(folder, sizeof(folder)) == NULL)
            folder[0] = '\0';
        (void)snprintf(entry->audit_log, sizeof(entry->audit_log), "%s%s%s", folder,
                       folder[0] != '\0' ? "/" : "", config->audit_log);
        print_command(config->argv, entry->command, sizeof(entry->command));
        if (running_note(entry, &unlisted) < 0)
            log_info("'lattice sandbox ps' will not show this sandbox",
                     F_STR("why", unlisted.text));
    }
    free(entry);
    return sandbox_run(config, why);
}

/** Run an enrolled sandbox. @wg: filled in here. */
static int run_enrolled(struct request *r, struct sandbox_config *config, struct wg_conf *wg,
                        struct why *why)
{
    struct enroll_agent *agent = calloc(1, sizeof(*agent));
    struct audit_stream stream;
    struct enroll *enroll = NULL;
    struct policy *policy = NULL;
    struct mcp_servers *servers = NULL;
    int status = SANDBOX_EXIT_FAILED;
    int err =
        agent == NULL ? why_set(why, -ENOMEM, "out of memory") : enter(r, agent, &enroll, why);

    if (err == 0) {
        use_records(agent, config, &stream);
        err = start_mcp(r, config, &agent->identity.tools,
                        strcmp(agent->identity.enforcement, "enforce") != 0, &servers, why);
    }
    if (err == 0)
        err = use_identity(r, agent, config, wg, &policy, why);
    config->enroll = enroll;
    if (err == 0) {
        wipe(agent->private_key, sizeof(agent->private_key)); /* the tunnel has it */
        status = run_listed(r, config, why);
    }
    if (agent != NULL)
        enroll_agent_done(agent);
    free(agent);
    mcp_servers_stop(servers);
    enroll_stop(enroll);
    policy_free(policy);
    return status;
}

static void default_name(const char *program, char ret[static SANDBOX_NAME_MAX + 1])
{
    const char *slash = strrchr(program, '/');
    size_t len = 0;

    for (const char *p = slash != NULL ? slash + 1 : program; *p != '\0' && len < 40; p++) {
        char one[2] = {*p, '\0'};

        if (request_name_is_valid(one) || (len > 0 && (*p == '.' || *p == '-')))
            ret[len++] = *p;
    }
    (void)snprintf(ret + len, SANDBOX_NAME_MAX + 1 - len, "%s%06x", len > 0 ? "-" : "sandbox-",
                   rng_u32(rng_system()) & 0xffffff);
}

/** Run a sandbox that answers to nobody but its command line. */
static int run_alone(struct request *r, struct sandbox_config *config, struct why *why)
{
    struct mcp_servers *servers = NULL;
    int status = SANDBOX_EXIT_FAILED;

    if (start_mcp(r, config, &r->tools, policy_get_mode(r->policy) == POLICY_AUDIT, &servers,
                  why) == 0)
        status = run_listed(r, config, why);
    mcp_servers_stop(servers);
    return status;
}

/** What was not said: the program, the sandbox's name, the log. @name: where a name is put. */
static int fill_defaults(struct request *r, char name[static SANDBOX_NAME_MAX + 1], struct why *why)
{
    static char default_shell[] = "/bin/sh";
    static char *shell_argv[2]; /* written here only, once */

    if (r->argv[0] == NULL) {
        shell_argv[0] = getenv("SHELL");
        if (shell_argv[0] == NULL || shell_argv[0][0] == '\0')
            shell_argv[0] = default_shell;
        r->argv = shell_argv;
    }
    if (r->name == NULL) {
        default_name(r->argv[0], name);
        r->name = name;
    }
    if (r->audit_log == NULL) {
        if (audit_default_path(r->name, r->default_log, sizeof(r->default_log)) < 0)
            return why_set(why, -ENOENT,
                           "no place for records: set HOME or XDG_STATE_HOME, or use --audit-log");
        r->audit_log = r->default_log;
    }
    return 0;
}

static void note_own_files(struct request *r)
{
    request_note_own(r, "--audit-log", r->audit_log, false);
    request_note_own(r, "--mcp", r->mcp_path, false);
    request_note_own(r, "--wg", r->wg_path, true);
    request_note_own(r, "--token-file", r->enroll.token_file, true);
    request_note_own(r, "--nats-creds", r->nats.creds, true);
}

/** Run what is asked for. @stream: NULL: none. */
static int run_request(struct request *r, struct wg_conf *wg, const struct audit_stream *stream,
                       struct why *why)
{
    struct sandbox_config config = {
        .name = r->name,
        .isolation = r->isolation,
        .environment = {.named = r->env, .count = r->env_count, .is_cleared = r->clears_env},
        .files = {.policy = policy_files(r->policy), .own = r->own, .own_count = r->own_count},
        .loopback = r->loopback,
        .argv = r->argv,
        .network = r->wg_path != NULL ? NETSTACK_TUNNEL
                   : r->is_offline    ? NETSTACK_OFFLINE
                                      : NETSTACK_DIRECT,
        .wg = r->wg_path != NULL ? wg : NULL,
        .policy = r->policy,
        .audit_log = r->audit_log,
        .trace_id = r->trace_id,
        .parent_span_id = r->parent_span,
        .agent = r->agent,
        .cause_fd = r->cause_fd,
        .stream = stream,
        .verbose = r->is_verbose,
        .json = r->is_json,
    };

    return r->enroll.server.url != NULL ? run_enrolled(r, &config, wg, why)
                                        : run_alone(r, &config, why);
}

static int run(struct request *r)
{
    char name[SANDBOX_NAME_MAX + 1];
    struct wg_conf wg = {0};
    struct audit_stream stream;
    struct why why = {0};
    int has_no_stream = 0;
    int status = SANDBOX_EXIT_FAILED;
    int err = fill_defaults(r, name, &why);

    if (err == 0 && sandbox_follow_links(r->policy) < 0)
        err = why_set(&why, -ENOMEM, "out of memory");
    if (err == 0) {
        note_own_files(r);
        err = has_no_stream = nats_options_stream(&r->nats, &stream, &why);
    }
    if (err >= 0 && r->wg_path != NULL)
        err = load_wg(r->wg_path, &wg, &why);
    if (err >= 0)
        status = run_request(r, &wg, has_no_stream == 0 ? &stream : NULL, &why);
    if (why.text[0] != '\0')
        (void)request_fail(&why);
    nats_options_done(&r->nats);
    wg_conf_done(&wg);
    return status;
}

static int start(int argc, char **argv)
{
    static struct request r; /* large, and one command is all that a process runs */
    int status;

    (void)unsetenv("LATTICE_TOKEN_FILE"); /* an agent gets its own, or none */
    if (policy_new(POLICY_ENFORCE, &r.policy) < 0) {
        log_error("out of memory");
        return SANDBOX_EXIT_FAILED;
    }
    nameset_init(&r.tools, IDENTITY_TOOLS_MAX);
    status = request_parse(&r, argc, argv);
    if (status < 0) {
        log_setup("lattice", r.is_verbose ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, r.is_json);
        status = run(&r);
    }
    nameset_done(&r.tools);
    policy_free(r.policy);
    return status;
}

static const struct cli_command sandbox_command = {
    .path = "lattice sandbox",
    .synopsis = "COMMAND",
    .summary = "Run programs whose only network is judged, tunnelled and recorded.\n"
               "\n"
               "Commands:\n"
               "  start                     Run a program in a sandbox ('run' means the same).\n"
               "  ps                        List the sandboxes that run.\n"
               "  stats                     Their flows, bytes and verdicts.\n"
               "  inspect NAME              Everything about one.\n"
               "  kill NAME                 End one.",
    .usage_status = CLI_EXIT_USAGE,
};

int cmd_sandbox(int argc, char **argv)
{
    static const char *const others[] = {"ps", "stats", "inspect", "kill"};
    struct cli_parser p;

    cli_begin(&p, &sandbox_command, argc, argv);
    if (cli_next(&p) == CLI_STOP)
        return p.status;
    if (p.index >= argc)
        return cli_usage_error(&sandbox_command,
                               "say what to do: start, ps, stats, inspect or kill");
    if (strcmp(argv[p.index], "start") == 0 || strcmp(argv[p.index], "run") == 0)
        return start(argc - p.index, argv + p.index);
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        if (strcmp(argv[p.index], others[i]) == 0)
            return cmd_sandboxes(argc, argv);
    return cli_usage_error(&sandbox_command, "unknown command 'sandbox %s'", argv[p.index]);
}
