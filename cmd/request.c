/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `lattice sandbox start`: their help, and what each one means. It judges nothing
 * and starts nothing; everything that can be wrong with what the user wrote is found here.
 */
#include "cmd/request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/cli.h"

#define RENEW_MAX_S 840 /* a token lives 900 s */

enum {
    OPT_NAME,
    OPT_VERBOSE,
    OPT_JSON,
    OPT_WG,
    OPT_DIRECT,
    OPT_OFFLINE,
    OPT_ALLOW,
    OPT_DENY,
    OPT_POLICY,
    OPT_ENFORCE,
    OPT_AUDIT,
    OPT_FILES,
    OPT_READ,
    OPT_WRITE,
    OPT_ENV,
    OPT_CLEAR_ENV,
    OPT_ISOLATE,
    OPT_LOOPBACK,
    OPT_MCP,
    OPT_ALLOW_TOOL,
    OPT_SERVER_URL,
    OPT_TOKEN,
    OPT_TOKEN_FILE,
    OPT_RENEW,
    OPT_CA_FILE,
    OPT_INSECURE_HTTP,
    OPT_AUDIT_LOG,
    OPT_NATS,
    OPT_NATS_CREDS,
    OPT_NATS_CA,
    OPT_NATS_WORKSPACE,
    OPT_TRACE_ID,
    OPT_PARENT_SPAN,
    OPT_AGENT,
    OPT_CAUSE_FD,
    OPT_COUNT,
};

static const struct cli_option options[OPT_COUNT] = {
    [OPT_NAME] = {"name", "NAME", "Name of the sandbox in records and messages."},
    [OPT_VERBOSE] = {"verbose", NULL, "Say more: tunnel events, each decision."},
    [OPT_JSON] = {"json", NULL, "Messages and records as JSON lines on standard error."},
    [OPT_WG] = {"wg", "FILE",
                "The only way out is the WireGuard tunnel of this wg-quick file.\n"
                "PostUp and the like are never run."},
    [OPT_DIRECT] = {"direct", NULL, "No tunnel: the supervisor's own sockets, policed (default)."},
    [OPT_OFFLINE] = {"offline", NULL, "No way out; loopback inside the sandbox only."},
    [OPT_ALLOW] = {"allow", "RULE",
                   "Allow a destination; repeatable. What no rule allows is denied."},
    [OPT_DENY] = {"deny", "RULE", "Deny a destination; repeatable. Deny wins over allow."},
    [OPT_POLICY] = {"policy", "FILE", "Policy file (JSON), see 'lattice policy --help'."},
    [OPT_ENFORCE] = {"enforce", NULL, "Refuse what is denied (default)."},
    [OPT_AUDIT] = {"audit", NULL, "Let it pass, and record what would have been refused."},
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
                      "Connections inside: direct (fastest), relay (each close and reset is seen\n"
                      "exactly as with TCP), or auto (default): direct, and relay where\n"
                      "pidfd_getfd is denied, as by Docker's default profile."},
    [OPT_MCP] = {"mcp", "FILE",
                 "Give the agent the MCP servers of this mcpServers file. They run outside, each\n"
                 "in a sandbox with the same --files, and behind a gateway that lets the allowed\n"
                 "tools pass; the agent finds its copy of the file by $LATTICE_MCP_CONFIG."},
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
    [OPT_AUDIT_LOG] = {"audit-log", "FILE",
                       "Where the records go\n(default: $XDG_STATE_HOME/lattice/NAME.jsonl)."},
    [OPT_NATS] = {"nats", "URL", NATS_OPTION_HELP_URL},
    [OPT_NATS_CREDS] = {"nats-creds", "FILE", NATS_OPTION_HELP_CREDS},
    [OPT_NATS_CA] = {"nats-ca", "FILE", NATS_OPTION_HELP_CA},
    [OPT_NATS_WORKSPACE] = {"nats-workspace", "NAME", NATS_OPTION_HELP_WORKSPACE},
    [OPT_TRACE_ID] = {"trace-id", "UUID",
                      "The trace that the records belong to (default: a new one)."},
    [OPT_PARENT_SPAN] = {"parent-span", "HEX",
                         "The span of the starter that the sandbox is part of."},
    [OPT_AGENT] = {"agent", "NAME", "Whom the records are about (default: the sandbox's name)."},
    [OPT_CAUSE_FD] = {"cause-fd", "N",
                      "Descriptor on which the starter names the span that it works for, line by\n"
                      "line: what happens meanwhile belongs to that span."},
};

static const struct cli_section sections[] = {
    {OPT_NAME, "General"},
    {OPT_WG, "The way out"},
    {OPT_ALLOW, "Rules"},
    {OPT_FILES, "Files and environment"},
    {OPT_ISOLATE, "Walls"},
    {OPT_MCP, "MCP servers"},
    {OPT_SERVER_URL, "Enrolment with latticed"},
    {OPT_AUDIT_LOG, "Records"},
};

static const struct cli_command command = {
    .path = "lattice sandbox start",
    .synopsis = "[OPTIONS] [-- CMD ARGS…]",
    .summary =
        "Run CMD (default: $SHELL), unmodified, in a sandbox: every connection is judged, carried\n"
        "by a TCP/IP stack of its own through the tunnel, and recorded. No privilege is needed.",
    .options = options,
    .option_count = OPT_COUNT,
    .sections = sections,
    .section_count = ARRAY_COUNT(sections),
    .more = "Rules:\n"
            "  api.github.com:443    *.pypi.org:443        *:443\n"
            "  10.0.0.0/8:5432       [2001:db8::/32]:443   1.2.3.4:8000-8999\n"
            "  udp://192.0.2.1:123   icmp://192.0.2.1      unix:/run/postgresql/.s.PGSQL.5432\n"
            "\n"
            "Exit status: CMD's own; 128+n when signal n ended it; 125 lattice itself failed;\n"
            "126 CMD cannot be executed; 127 CMD was not found.\n"
            "\n"
            "Example:\n"
            "  lattice sandbox start --allow example.org:443 -- curl https://example.org/",
    .usage_status = SANDBOX_EXIT_FAILED,
};
int request_fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 200];

    why_print(why, text, sizeof(text));
    log_error(text);
    return SANDBOX_EXIT_FAILED;
}

bool request_name_is_valid(const char *name)
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

void request_note_own(struct request *r, const char *option, const char *path, bool is_secret)
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
        return request_fail(&why);
    r->has_allow = true;
    request_note_own(r, "--policy", path, false);
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

static int take_loopback(struct request *r, const char *value)
{
    static const char *const words[] = {[SANDBOX_LOOPBACK_AUTO] = "auto",
                                        [SANDBOX_LOOPBACK_DIRECT] = "direct",
                                        [SANDBOX_LOOPBACK_RELAY] = "relay"};

    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(value, words[i]) == 0) {
            r->loopback = (enum sandbox_loopback)i;
            return 0;
        }
    }
    return cli_usage_error(&command, "--loopback '%s': auto, direct or relay expected", value);
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
        if (!request_name_is_valid(value))
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
        return take_loopback(r, value);
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

int request_parse(struct request *r, int argc, char **argv)
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
