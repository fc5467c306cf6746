/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice sandbox start`: turns the command line, the WireGuard file and the policy file into one
 * checked configuration, and hands it to the sandbox room. Everything that can be wrong with what
 * the user wrote is found here, before anything is started.
 */
#include "cmd/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/wipe.h"
#include "cmd/cli.h"
#include "cmd/enroll_options.h"
#include "cmd/mcp_servers.h"
#include "cmd/nats_options.h"
#include "cmd/running.h"
#include "policy/identity.h"
#include "sandbox/sandbox.h"

#define SANDBOX_NAME_MAX 64
#define PATH_CAP         4096
#define OWN_MAX          32u /* files of ours that the command line names */
#define RENEW_MAX_S      840 /* a token lives 900 s */

enum {
    OPT_NAME,
    OPT_WG,
    OPT_DIRECT,
    OPT_OFFLINE,
    OPT_POLICY,
    OPT_ALLOW,
    OPT_DENY,
    OPT_ENFORCE,
    OPT_AUDIT,
    OPT_AUDIT_LOG,
    OPT_MCP,
    OPT_ALLOW_TOOL,
    OPT_SERVER_URL,
    OPT_TOKEN,
    OPT_TOKEN_FILE,
    OPT_RENEW,
    OPT_CA_FILE,
    OPT_INSECURE_HTTP,
    OPT_TRACE_ID,
    OPT_PARENT_SPAN,
    OPT_AGENT,
    OPT_CAUSE_FD,
    OPT_NATS,
    OPT_NATS_CREDS,
    OPT_NATS_CA,
    OPT_NATS_WORKSPACE,
    OPT_FILES,
    OPT_READ,
    OPT_WRITE,
    OPT_ENV,
    OPT_CLEAR_ENV,
    OPT_ISOLATE,
    OPT_LOOPBACK,
    OPT_VERBOSE,
    OPT_JSON,
    OPT_COUNT,
};

static const struct cli_option options[OPT_COUNT] = {
    [OPT_NAME] = {"name", "NAME", "Name of the sandbox in records and messages."},
    [OPT_WG] = {"wg", "FILE",
                "The only way out is the WireGuard tunnel of this wg-quick file.\n"
                "PostUp and the like are never run."},
    [OPT_DIRECT] = {"direct", NULL, "No tunnel: the supervisor's own sockets, policed (default)."},
    [OPT_OFFLINE] = {"offline", NULL, "No way out; loopback inside the sandbox only."},
    [OPT_POLICY] = {"policy", "FILE", "Policy file (JSON), see 'lattice policy --help'."},
    [OPT_ALLOW] = {"allow", "RULE",
                   "Allow a destination; repeatable. What no rule allows is denied."},
    [OPT_DENY] = {"deny", "RULE", "Deny a destination; repeatable. Deny wins over allow."},
    [OPT_ENFORCE] = {"enforce", NULL, "Refuse what is denied (default)."},
    [OPT_AUDIT] = {"audit", NULL, "Let it pass, and record what would have been refused."},
    [OPT_AUDIT_LOG] = {"audit-log", "FILE",
                       "Where the records go\n(default: $XDG_STATE_HOME/lattice/NAME.jsonl)."},
    [OPT_MCP] = {"mcp", "FILE",
                 "Give the agent the MCP servers of this mcpServers file. They run outside, each\n"
                 "in a sandbox and behind a gateway that lets the allowed tools pass; the agent\n"
                 "finds its copy of the file by $LATTICE_MCP_CONFIG."},
    [OPT_ALLOW_TOOL] = {"allow-tool", "TOOL",
                        "Allow a tool of these servers by its exact name; repeatable."},
    [OPT_SERVER_URL] =
        {"server-url", "URL",
         "Be the agent NAME of the latticed at this address: its identity says what\n"
         "may be reached, its gateway is the only way out. Needs --name."},
    [OPT_TOKEN] = {"token", "TOKEN",
                   "One-time enrolment token, for the first start; later ones use what is kept\n"
                   "in $LATTICE_CONFIG_DIR. It is erased from the command line."},
    [OPT_TOKEN_FILE] = {"token-file", "FILE", "File that holds the token."},
    [OPT_RENEW] = {"renew", "SECONDS", "How often the agent's token is renewed (default: 600)."},
    [OPT_CA_FILE] = {"ca-file", "FILE", ENROLL_OPTION_HELP_CA},
    [OPT_INSECURE_HTTP] = {"insecure-http", NULL, ENROLL_OPTION_HELP_PLAIN},
    [OPT_TRACE_ID] = {"trace-id", "UUID",
                      "The trace that the records belong to (default: a new one)."},
    [OPT_PARENT_SPAN] = {"parent-span", "HEX",
                         "The span of the starter that the sandbox is part of."},
    [OPT_AGENT] = {"agent", "NAME", "Whom the records are about (default: the sandbox's name)."},
    [OPT_CAUSE_FD] = {"cause-fd", "N",
                      "Descriptor on which the starter names the span that it works for, line by\n"
                      "line: what happens meanwhile belongs to that span."},
    [OPT_NATS] = {"nats", "URL", NATS_OPTION_HELP_URL},
    [OPT_NATS_CREDS] = {"nats-creds", "FILE", NATS_OPTION_HELP_CREDS},
    [OPT_NATS_CA] = {"nats-ca", "FILE", NATS_OPTION_HELP_CA},
    [OPT_NATS_WORKSPACE] = {"nats-workspace", "NAME", NATS_OPTION_HELP_WORKSPACE},
    [OPT_FILES] =
        {"files", "MODE",
         "open (default): the program uses every file that you may. workspace: it reads\n"
         "the system's directories, writes the working directory and temporary ones, and\n"
         "finds the rest closed; the kernel refuses, without a record. Where user namespaces\n"
         "are granted, .git/hooks, .vscode and their like in it are read-only."},
    [OPT_READ] = {"read", "PATH", "Open PATH and all below it for reading, too; repeatable."},
    [OPT_WRITE] = {"write", "PATH", "… and for writing; repeatable."},
    [OPT_ENV] = {"env", "NAME[=VALUE]",
                 "Set a variable, or pass one as it is although it leads to a daemon (display,\n"
                 "agents, buses) that no rule opens; repeatable. A secret is better named than\n"
                 "written: command lines can be read."},
    [OPT_CLEAR_ENV] =
        {"clear-env", NULL,
         "Of the environment pass only HOME, PATH, TERM, the locale, user, shell and\n"
         "TMPDIR, and what --env names."},
    [OPT_ISOLATE] = {"isolate", "HOW",
                     "Namespaces as further walls: none (default), auto (where the host grants\n"
                     "them), full (or do not start)."},
    [OPT_LOOPBACK] = {"loopback", "HOW",
                      "Connections inside: direct (default; fastest), or relay (a close or reset\n"
                      "is seen exactly as with TCP)."},
    [OPT_VERBOSE] = {"verbose", NULL, "Say more: tunnel events, each decision."},
    [OPT_JSON] = {"json", NULL, "Messages and records as JSON lines on standard error."},
};

static const struct cli_command command = {
    .path = "lattice sandbox start",
    .synopsis = "[OPTIONS] [-- CMD ARGS…]",
    .summary =
        "Run CMD (default: $SHELL), unmodified, in a sandbox: every connection is judged, carried\n"
        "by a TCP/IP stack of its own through the tunnel, and recorded. No privilege is needed.",
    .options = options,
    .option_count = OPT_COUNT,
    .more = "Rules:  api.github.com:443   *.pypi.org:443   10.0.0.0/8:5432   udp://192.0.2.1:123\n"
            "        [2001:db8::/32]:443   1.2.3.4:8000-8999   *:443   icmp://192.0.2.1\n"
            "\n"
            "Exit status: CMD's own; 128+n when signal n ended it; 125 lattice itself failed;\n"
            "126 CMD cannot be executed; 127 CMD was not found.\n"
            "\n"
            "Example:  lattice sandbox start --allow api.github.com:443 -- curl "
            "https://api.github.com/zen",
    .usage_status = SANDBOX_EXIT_FAILED,
};

/** What the command line said, checked as far as one option can be by itself. */
struct request {
    const char *name;
    const char *wg_path;
    const char *audit_log;
    char default_log[PATH_CAP]; /* where it points when nothing was said */
    const char *trace_id;
    const char *parent_span;
    const char *agent;
    int cause_fd; /* 0: none */
    struct nats_options nats;
    enum sandbox_isolation isolation;
    bool has_isolation; /* it was said */
    enum policy_files_mode files;
    struct sandbox_own_file own[OWN_MAX];
    unsigned own_count;
    const char *env[SANDBOX_ENV_MAX];
    unsigned env_count;
    bool clears_env;
    bool relays_loopback;
    bool is_direct;
    bool is_offline;
    bool is_enforce;
    bool is_audit;
    bool is_verbose;
    bool is_json;
    bool has_allow;        /* --allow or --policy was given */
    struct policy *policy; /* owned */
    char *const *argv;     /* borrowed */
    const char *mcp_path;
    char
        own_trace[AUDIT_TRACE_CAP]; /* where trace_id points when it is shared and none was given */
    char own_span[AUDIT_SPAN_CAP];  /* … and where root_span_id does */
    struct nameset tools;           /* that the agent's MCP clients may call */
    struct enroll_options enroll;
    uint16_t renew_s; /* 0: the default */
};

static int fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 200];

    why_print(why, text, sizeof(text));
    log_error(text);
    return SANDBOX_EXIT_FAILED;
}

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= SANDBOX_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static int add_rule(struct request *r, enum policy_action action, const char *text)
{
    struct why why;

    if (policy_add_rule(r->policy, action, bytes_of_str(text), &why) == 0)
        return 0;
    return cli_usage_error(&command, "%s: %s", action == POLICY_RULE_ALLOW ? "--allow" : "--deny",
                           why.text);
}

/** Remember a file of ours, which the agent may neither change nor (@is_secret) read. */
static void note_own(struct request *r, const char *option, const char *path, bool is_secret)
{
    if (path != NULL && r->own_count < ARRAY_COUNT(r->own))
        r->own[r->own_count++] =
            (struct sandbox_own_file){.option = option, .path = path, .is_secret = is_secret};
}

static int load_policy(struct request *r, const char *path)
{
    enum policy_mode mode = policy_get_mode(r->policy);
    struct why why;

    if (policy_load(r->policy, path, &mode, &why) < 0)
        return fail(&why);
    r->has_allow = true;
    note_own(r, "--policy", path, false);
    policy_set_mode(r->policy, mode);
    return 0;
}

/** Take an option about latticed. */
static int take_enroll_option(struct request *r, int option, const char *value)
{
    struct why why = {0};

    switch (option) {
    case OPT_SERVER_URL:
        r->enroll.server.url = value;
        return 0;
    case OPT_TOKEN:
        return enroll_options_token(&r->enroll, value, &why) < 0
                   ? cli_usage_error(&command, "--token: %s", why.text)
                   : 0;
    case OPT_TOKEN_FILE:
        r->enroll.token_file = value;
        return 0;
    case OPT_RENEW:
        if (port_parse(bytes_of_str(value), &r->renew_s) < 0 || r->renew_s == 0 ||
            r->renew_s > RENEW_MAX_S)
            return cli_usage_error(&command, "--renew %s: 1 to %d seconds, expected", value,
                                   RENEW_MAX_S);
        return 0;
    case OPT_CA_FILE:
        r->enroll.server.ca_file = value;
        return 0;
    default:
        must(option == OPT_INSECURE_HTTP);
        r->enroll.server.may_be_plain = true;
        return 0;
    }
}

/** Take an option about where records belong or go. */
static int take_audit_option(struct request *r, int option, const char *value)
{
    const char **const texts[] = {
        [OPT_AUDIT_LOG] = &r->audit_log,     [OPT_TRACE_ID] = &r->trace_id,
        [OPT_PARENT_SPAN] = &r->parent_span, [OPT_AGENT] = &r->agent,
        [OPT_NATS] = &r->nats.url,           [OPT_NATS_CREDS] = &r->nats.creds,
        [OPT_NATS_CA] = &r->nats.ca,         [OPT_NATS_WORKSPACE] = &r->nats.workspace,
    };
    uint16_t number;
    int flags;

    if (option != OPT_CAUSE_FD) {
        *texts[option] = value;
        return 0;
    }
    if (port_parse(bytes_of_str(value), &number) < 0 || number <= STDERR_FILENO)
        return cli_usage_error(&command, "--cause-fd '%s': a descriptor above 2 expected", value);
    r->cause_fd = number;
    flags = fcntl(r->cause_fd, F_GETFL);
    if (flags < 0 || fcntl(r->cause_fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(r->cause_fd, F_SETFD, FD_CLOEXEC) < 0)
        return cli_usage_error(&command, "--cause-fd %s: %s", value, strerror(errno));
    return 0;
}

static int take_isolation(struct request *r, const char *value)
{
    static const char *const names[] = {[SANDBOX_ISOLATE_NONE] = "none",
                                        [SANDBOX_ISOLATE_AUTO] = "auto",
                                        [SANDBOX_ISOLATE_FULL] = "full"};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            r->isolation = (enum sandbox_isolation)i;
            r->has_isolation = true;
            return 0;
        }
    }
    return cli_usage_error(&command, "--isolate '%s': none, auto or full, expected", value);
}

static int allow_tool(struct request *r, const char *value)
{
    if (identity_tool_check(bytes_of_str(value)) < 0)
        return cli_usage_error(
            &command, "--allow-tool '%s': 1 to 128 of A-Z a-z 0-9 _ . / : - expected", value);
    return nameset_add(&r->tools, bytes_of_str(value)) < 0
               ? cli_usage_error(&command, "more than %u tools", IDENTITY_TOOLS_MAX)
               : 0;
}

static int take_files_option(struct request *r, int option, const char *value)
{
    const char *name = option == OPT_READ ? "--read" : "--write";
    struct why why;

    if (option == OPT_FILES) {
        r->files = strcmp(value, "open") == 0        ? POLICY_FILES_OPEN
                   : strcmp(value, "workspace") == 0 ? POLICY_FILES_WORKSPACE
                                                     : POLICY_FILES_UNSAID;
        return r->files != POLICY_FILES_UNSAID
                   ? 0
                   : cli_usage_error(&command, "--files '%s': open or workspace expected", value);
    }
    return policy_add_path(r->policy, option == OPT_READ ? POLICY_FILES_READ : POLICY_FILES_WRITE,
                           bytes_of_str(value), &why) < 0
               ? cli_usage_error(&command, "%s '%s': %s", name, value, why.text)
               : 0;
}

static int take_env(struct request *r, const char *value)
{
    struct why why;

    if (sandbox_env_check(value, &why) < 0)
        return cli_usage_error(&command, "--env %s", why.text);
    if (r->env_count == ARRAY_COUNT(r->env))
        return cli_usage_error(&command, "--env: more than %u variables", SANDBOX_ENV_MAX);
    r->env[r->env_count++] = value;
    return 0;
}

/** Take one option. Returns 0, or the exit status of a usage error. */
static int take_option(struct request *r, int option, const char *value)
{
    switch (option) {
    case OPT_NAME:
        if (!name_is_valid(value))
            return cli_usage_error(&command, "--name '%s': 1 to 64 of A-Z a-z 0-9 . _ -, expected",
                                   value);
        r->name = value;
        return 0;
    case OPT_WG:
        r->wg_path = value;
        return 0;
    case OPT_DIRECT:
        r->is_direct = true;
        return 0;
    case OPT_OFFLINE:
        r->is_offline = true;
        return 0;
    case OPT_POLICY:
        return load_policy(r, value);
    case OPT_ALLOW:
        r->has_allow |= strncmp(value, "unix:", 5) != 0;
        return add_rule(r, POLICY_RULE_ALLOW, value);
    case OPT_DENY:
        return add_rule(r, POLICY_RULE_DENY, value);
    case OPT_ENFORCE:
        r->is_enforce = true;
        return 0;
    case OPT_AUDIT:
        r->is_audit = true;
        return 0;
    case OPT_MCP:
        r->mcp_path = value;
        return 0;
    case OPT_ALLOW_TOOL:
        return allow_tool(r, value);
    case OPT_SERVER_URL:
    case OPT_TOKEN:
    case OPT_TOKEN_FILE:
    case OPT_RENEW:
    case OPT_CA_FILE:
    case OPT_INSECURE_HTTP:
        return take_enroll_option(r, option, value);
    case OPT_AUDIT_LOG:
    case OPT_TRACE_ID:
    case OPT_PARENT_SPAN:
    case OPT_AGENT:
    case OPT_CAUSE_FD:
    case OPT_NATS:
    case OPT_NATS_CREDS:
    case OPT_NATS_CA:
    case OPT_NATS_WORKSPACE:
        return take_audit_option(r, option, value);
    case OPT_FILES:
    case OPT_READ:
    case OPT_WRITE:
        return take_files_option(r, option, value);
    case OPT_ENV:
        return take_env(r, value);
    case OPT_CLEAR_ENV:
        r->clears_env = true;
        return 0;
    case OPT_ISOLATE:
        return take_isolation(r, value);
    case OPT_LOOPBACK:
        r->relays_loopback = strcmp(value, "relay") == 0;
        if (!r->relays_loopback && strcmp(value, "direct") != 0)
            return cli_usage_error(&command, "--loopback '%s': direct or relay expected", value);
        return 0;
    case OPT_VERBOSE:
        r->is_verbose = true;
        return 0;
    default:
        must(option == OPT_JSON);
        r->is_json = true;
        return 0;
    }
}

static int check_options(struct request *r)
{
    const struct policy_files *files = policy_files(r->policy);

    if ((r->wg_path != NULL) + r->is_direct + r->is_offline > 1)
        return cli_usage_error(&command, "--wg, --direct and --offline exclude each other");
    if (r->is_enforce && r->is_audit)
        return cli_usage_error(&command, "--enforce and --audit exclude each other");
    if (r->enroll.server.url != NULL && (r->wg_path != NULL || r->is_direct || r->is_offline ||
                                         r->is_enforce || r->is_audit || r->has_allow))
        return cli_usage_error(&command, "with --server-url the agent's identity decides about the "
                                         "tunnel, rules and mode; only --deny and sockets of this "
                                         "machine (--allow unix:PATH) go with it");
    if (r->enroll.server.url != NULL && r->name == NULL)
        return cli_usage_error(&command, "--server-url needs the agent's --name");
    if (!r->has_isolation)
        r->isolation = SANDBOX_ISOLATE_FILES;
    if (r->files != POLICY_FILES_UNSAID)
        policy_set_files_mode(r->policy, r->files);
    if (files->mode != POLICY_FILES_WORKSPACE && r->files != POLICY_FILES_OPEN &&
        files->read.count + files->write.count > 0)
        return cli_usage_error(&command, "--read and --write go with --files=workspace: without it "
                                         "every file is open");
    if (r->is_enforce || r->is_audit)
        policy_set_mode(r->policy, r->is_audit ? POLICY_AUDIT : POLICY_ENFORCE);
    return 0;
}

/** Parse the command line into @r. Returns -1 to go on, or the exit status. */
static int parse(struct request *r, int argc, char **argv)
{
    struct cli_parser p;
    int option;
    int status;

    cli_begin(&p, &command, argc, argv);
    while ((option = cli_next(&p)) >= 0) {
        status = take_option(r, option, p.value);
        if (status != 0)
            return status;
    }
    if (option == CLI_STOP)
        return p.status;
    r->argv = argv + p.index;
    status = check_options(r);
    return status != 0 ? status : -1;
}

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
    char dir[PATH_CAP];

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

        if (name_is_valid(one) || (len > 0 && (*p == '.' || *p == '-')))
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

static int run(struct request *r)
{
    char default_shell[] = "/bin/sh";
    char *shell_argv[] = {getenv("SHELL"), NULL};
    char name[SANDBOX_NAME_MAX + 1];
    struct wg_conf wg = {0};
    struct audit_stream stream;
    struct why why = {0};
    int has_no_stream;
    int status = 0;

    if (shell_argv[0] == NULL || shell_argv[0][0] == '\0')
        shell_argv[0] = default_shell;
    if (r->argv[0] == NULL)
        r->argv = shell_argv;
    if (r->name == NULL) {
        default_name(r->argv[0], name);
        r->name = name;
    }
    if (r->audit_log == NULL) {
        if (audit_default_path(r->name, r->default_log, sizeof(r->default_log)) < 0) {
            (void)why_set(&why, -ENOENT,
                          "no place for records: set HOME or XDG_STATE_HOME, or use --audit-log");
            return fail(&why);
        }
        r->audit_log = r->default_log;
    }
    if (sandbox_follow_links(r->policy) < 0) {
        (void)why_set(&why, -ENOMEM, "out of memory");
        return fail(&why);
    }
    note_own(r, "--audit-log", r->audit_log, false);
    note_own(r, "--mcp", r->mcp_path, false);
    note_own(r, "--wg", r->wg_path, true);
    note_own(r, "--token-file", r->enroll.token_file, true);
    note_own(r, "--nats-creds", r->nats.creds, true);
    has_no_stream = nats_options_stream(&r->nats, &stream, &why);
    if (has_no_stream < 0 || (r->wg_path != NULL && load_wg(r->wg_path, &wg, &why) < 0)) {
        status = fail(&why);
    } else {
        struct sandbox_config config = {
            .name = r->name,
            .isolation = r->isolation,
            .environment = {.named = r->env, .count = r->env_count, .is_cleared = r->clears_env},
            .files = {.policy = policy_files(r->policy), .own = r->own, .own_count = r->own_count},
            .relays_loopback = r->relays_loopback,
            .argv = r->argv,
            .network = r->wg_path != NULL ? NETSTACK_TUNNEL
                       : r->is_offline    ? NETSTACK_OFFLINE
                                          : NETSTACK_DIRECT,
            .wg = r->wg_path != NULL ? &wg : NULL,
            .policy = r->policy,
            .audit_log = r->audit_log,
            .trace_id = r->trace_id,
            .parent_span_id = r->parent_span,
            .agent = r->agent,
            .cause_fd = r->cause_fd,
            .stream = has_no_stream == 0 ? &stream : NULL,
            .verbose = r->is_verbose,
            .json = r->is_json,
        };

        status = r->enroll.server.url != NULL ? run_enrolled(r, &config, &wg, &why)
                                              : run_alone(r, &config, &why);
        if (why.text[0] != '\0')
            (void)fail(&why);
    }
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
    status = parse(&r, argc, argv);
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
        return cli_usage_error(&sandbox_command, "say what to do with sandboxes");
    if (strcmp(argv[p.index], "start") == 0 || strcmp(argv[p.index], "run") == 0)
        return start(argc - p.index, argv + p.index);
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        if (strcmp(argv[p.index], others[i]) == 0)
            return cmd_sandboxes(argc, argv);
    return cli_usage_error(&sandbox_command, "unknown command 'sandbox %s'", argv[p.index]);
}
