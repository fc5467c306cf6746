/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of `lattice-mcp gateway`: what is for the gateway is kept, what is for the
 * server's sandbox becomes words of `lattice sandbox start`. It starts nothing.
 */
#include "cmd/mcp_gateway_options.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cmd/cli.h"
#include "mcp/mcp.h"
#include "policy/policy.h"

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
    OPT_FILES,
    OPT_READ,
    OPT_WRITE,
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
    [OPT_FILES] = {"files", "MODE",
                   "Which files the server may use: open (default) or workspace; see\n"
                   "'lattice sandbox start --help'."},
    [OPT_READ] = {"read", "PATH",
                  "With --files=workspace: open PATH and all below it for reading, too;\n"
                  "repeatable."},
    [OPT_WRITE] = {"write", "PATH", "… and for writing; repeatable."},
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
    .more = "Example:\n"
            "  lattice-mcp gateway --allow-tool read_text_file --allow-tool list_directory \\\n"
            "      --offline -- npx @modelcontextprotocol/server-filesystem /srv/docs",
    .usage_status = CLI_EXIT_USAGE,
};

static int fail(const char *text)
{
    log_error(text);
    return MCP_GATEWAY_EXIT_FAILED;
}

static int add_server_arg(struct mcp_gateway_options *o, const char *word)
{
    if (o->server_argc + 1 >= ARRAY_COUNT(o->server_argv))
        return cli_usage_error(&gateway_command, "more than %u words for the server",
                               MCP_SERVER_ARGS_MAX);
    o->server_argv[o->server_argc++] = word;
    return 0;
}

static int add_server_option(struct mcp_gateway_options *o, int option, const char *value)
{
    static char names[OPT_COUNT][32]; /* written here only, before anything is started */
    int status;

    (void)snprintf(names[option], sizeof(names[option]), "--%s", options[option].name);
    status = add_server_arg(o, names[option]);
    return status != 0 || value == NULL ? status : add_server_arg(o, value);
}

static int allow_tool(struct mcp_gateway_options *o, const char *value)
{
    if (identity_tool_check(bytes_of_str(value)) < 0)
        return cli_usage_error(&gateway_command,
                               "--allow-tool '%s': 1 to 128 of A-Z a-z 0-9 _ . / : - expected",
                               value);
    if (nameset_add(&o->identity.tools, bytes_of_str(value)) < 0)
        return cli_usage_error(&gateway_command, "more than %u tools", IDENTITY_TOOLS_MAX);
    return 0;
}

/** The tools and the mode of a policy file; its destinations are the sandbox's matter. */
static int take_policy(struct mcp_gateway_options *o, const char *path)
{
    enum policy_mode mode = POLICY_ENFORCE;
    struct policy *policy = NULL;
    struct why why = {.text = ""};
    char text[WHY_TEXT_MAX + 160];
    int err = policy_new(POLICY_ENFORCE, &policy);

    if (err == 0)
        err = policy_load(policy, path, &mode, &why);
    if (err == 0)
        err = nameset_copy(policy_tools(policy), &o->identity.tools);
    policy_free(policy);
    if (err < 0) {
        why_print(&why, text, sizeof(text));
        return fail(why.text[0] != '\0' ? text : "too many tools");
    }
    if (mode == POLICY_AUDIT)
        o->identity.enforcement = IDENTITY_AUDIT;
    return add_server_option(o, OPT_POLICY, path);
}

static int take_option(struct mcp_gateway_options *o, int option, const char *value)
{
    enum mcp_group group;

    switch (option) {
    case OPT_NAME:
        if (identity_name_check(bytes_of_str(value)) < 0 || strlen(value) > 50)
            return cli_usage_error(&gateway_command, "--name '%s': 1 to 50 of a-z 0-9 - expected",
                                   value);
        o->name = value;
        return 0;
    case OPT_ALLOW_TOOL:
        return allow_tool(o, value);
    case OPT_OPEN:
        if (mcp_group_parse(bytes_of_str(value), &group) < 0)
            return cli_usage_error(&gateway_command, "--open '%s': no such group", value);
        o->groups |= group;
        return 0;
    case OPT_AUDIT:
        o->identity.enforcement = IDENTITY_AUDIT;
        return add_server_option(o, option, NULL);
    case OPT_POLICY:
        return take_policy(o, value);
    case OPT_AUDIT_LOG:
        o->audit_log = value;
        return 0;
    case OPT_TRACE_ID:
        if (strlen(value) >= sizeof(o->trace_id))
            return cli_usage_error(&gateway_command, "--trace-id '%s': a UUID expected", value);
        (void)snprintf(o->trace_id, sizeof(o->trace_id), "%s", value);
        return 0;
    case OPT_PARENT_SPAN:
        o->parent_span = value;
        return 0;
    case OPT_NAMESPACE:
        if (identity_name_check(bytes_of_str(value)) < 0)
            return cli_usage_error(&gateway_command,
                                   "--namespace '%s': 1 to 63 of a-z 0-9 -, expected", value);
        o->ns = value;
        return 0;
    case OPT_LABEL:
        o->label = value;
        return 0;
    case OPT_NATS:
        o->nats.url = value;
        return add_server_option(o, option, value);
    case OPT_NATS_CREDS:
        o->nats.creds = value;
        return add_server_option(o, option, value);
    case OPT_NATS_CA:
        o->nats.ca = value;
        return add_server_option(o, option, value);
    case OPT_NATS_WORKSPACE:
        o->nats.workspace = value;
        return add_server_option(o, option, value);
    case OPT_LISTEN:
        o->listen = value;
        return 0;
    default:
        return add_server_option(o, option, value);
    }
}

/** The server's sandbox shares our log and our trace: one record from the tool call to the packet.
 */
static int share_records(struct mcp_gateway_options *o)
{
    int status;

    if (o->audit_log == NULL) {
        if (audit_default_path(o->name, o->default_log, sizeof(o->default_log)) < 0)
            return fail("no place for records: set HOME or XDG_STATE_HOME, or use --audit-log");
        o->audit_log = o->default_log;
    }
    if (o->trace_id[0] == '\0')
        audit_make_trace_id(o->trace_id);
    audit_make_span_id(o->root_span);
    status = add_server_option(o, OPT_AUDIT_LOG, o->audit_log);
    if (status == 0)
        status = add_server_option(o, OPT_TRACE_ID, o->trace_id);
    for (unsigned i = 0; i < 6 && status == 0; i++)
        status =
            add_server_arg(o, (const char *const[]){"--parent-span", o->root_span, "--cause-fd",
                                                    o->cause_fd, "--agent", o->name}[i]);
    return status;
}

int mcp_gateway_options_parse(struct mcp_gateway_options *o, int argc, char **argv)
{
    struct cli_parser c;
    int option;
    int status = 0;

    for (unsigned i = 0; i < 5; i++)
        (void)add_server_arg(o, (const char *const[]){"lattice", "sandbox", "start", "--name",
                                                      o->server_name}[i]); /* room for five */
    cli_begin(&c, &gateway_command, argc, argv);
    while (status == 0 && (option = cli_next(&c)) >= 0)
        status = take_option(o, option, c.value);
    if (status != 0)
        return status;
    if (option == CLI_STOP)
        return c.status;
    if (c.index >= argc)
        return cli_usage_error(&gateway_command, "say which server to run, behind '--'");
    status = share_records(o);
    if (status == 0)
        status = add_server_arg(o, "--");
    while (status == 0 && c.index < argc)
        status = add_server_arg(o, argv[c.index++]);
    (void)snprintf(o->server_name, sizeof(o->server_name), "%s-server", o->name);
    return status != 0 ? status : -1;
}
