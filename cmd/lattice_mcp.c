/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `lattice-mcp`: finds the command that is meant; without one, serves the tools of the
 * network.
 */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/cli.h"
#include "cmd/mcp_commands.h"
#include "cmd/session.h"
#include "policy/identity.h"

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
    } commands[] = {{"gateway", mcp_gateway_command},
                    {"connect", mcp_connect},
                    {"wrap", mcp_wrap_command},
                    {"unwrap", mcp_unwrap_command}};

    log_setup("lattice-mcp", LOG_LEVEL_WARN, /*json=*/false);
    for (unsigned i = 0; argc > 1 && i < ARRAY_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].word) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return serve(argc, argv);
}
