/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `lattice`: finds the subcommand and nothing more.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/log.h"
#include "cmd/cli.h"
#include "cmd/commands.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct subcommand subcommands[] = {
    {"sandbox", cmd_sandbox, "Run a program in a sandbox (sandbox start -- CMD)."},
    {"gateway", cmd_gateway, "Carry sandboxes' tunnels to where policy allows."},
    {"policy", cmd_policy, "Check policy files; ask what they would decide."},
    {"audit", cmd_audit, "Read and verify the records."},
    {"nats", cmd_nats, "Look at the NATS server that records go to."},
    {"doctor", cmd_doctor, "Say what this machine offers; how to mend the rest."},
    {"login", cmd_login, "Remember where latticed is, and the token for it."},
    {"token", cmd_token, "Make, list and revoke enrolment tokens."},
    {"agent", cmd_agent, "List, show and revoke agents."},
    {"delegate", cmd_delegate, "As an agent: hand some of one's rights to a child."},
    {"approvals", cmd_approvals, "Approve or reject what tools want to change."},
    {"version", cmd_version, "Print the version."},
};

static const char *subcommand_name(void *self, unsigned i)
{
    (void)self;
    return i < ARRAY_COUNT(subcommands) ? subcommands[i].name : NULL;
}

static const struct cli_command lattice_command = {
    .path = "lattice",
    .synopsis = "COMMAND [OPTIONS]",
    .summary =
        "lattice runs an unmodified program for an ordinary user in a world whose only network is\n"
        "its own TCP/IP stack behind a WireGuard tunnel. Every destination is judged by a policy,\n"
        "every judgement is recorded, and no privilege is needed.",
    .more = "'lattice COMMAND --help' says more about each.\n"
            "\n"
            "First steps:\n"
            "  lattice doctor\n"
            "  lattice sandbox start --allow example.org:80 -- curl -sI http://example.org/",
    .usage_status = CLI_EXIT_USAGE,
};

static const struct cli_option version_options[] = {
    {"json", NULL, "As a JSON object."},
};

static const struct cli_command version_command = {
    .path = "lattice version",
    .synopsis = "[--json]",
    .summary = "Print the version.",
    .options = version_options,
    .option_count = ARRAY_COUNT(version_options),
    .usage_status = CLI_EXIT_USAGE,
};

int cmd_version(int argc, char **argv)
{
    struct cli_parser p;
    bool is_json = false;
    int option;

    cli_begin(&p, &version_command, argc, argv);
    while ((option = cli_next(&p)) >= 0)
        is_json = true;
    if (option == CLI_STOP)
        return p.status;
    if (is_json)
        printf("{\"name\":\"lattice\",\"version\":\"%s\"}\n", LATTICE_VERSION);
    else
        printf("lattice %s\n", LATTICE_VERSION);
    return CLI_EXIT_OK;
}

/** The table of subcommands, for --help and the manual page. */
static void print_subcommands(const char *fence)
{
    printf("\n%s", fence);
    for (unsigned i = 0; i < ARRAY_COUNT(subcommands); i++)
        printf("  %-26s%s\n", subcommands[i].name, subcommands[i].summary);
    printf("%s", fence);
}

static void print_help(void)
{
    struct cli_command shown = lattice_command;

    shown.more = NULL;
    cli_help(&shown);
    printf("\nCommands:");
    print_subcommands("");
    printf("\n%s\n", lattice_command.more);
}

static void print_man(void)
{
    cli_man(&lattice_command);
    printf("\n# COMMANDS\n");
    print_subcommands("```\n");
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    const char *near;

    log_setup("lattice", LOG_LEVEL_WARN, /*json=*/false);
    if (word == NULL || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
        strcmp(word, "help") == 0) {
        print_help();
        return word == NULL ? CLI_EXIT_USAGE : CLI_EXIT_OK;
    }
    if (strcmp(word, "--man") == 0) {
        print_man();
        return CLI_EXIT_OK;
    }
    if (strcmp(word, "--version") == 0)
        return cmd_version(1, argv);
    for (unsigned i = 0; i < ARRAY_COUNT(subcommands); i++)
        if (strcmp(word, subcommands[i].name) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    near = cli_nearest(word, subcommand_name, NULL);
    if (near != NULL)
        return cli_usage_error(&lattice_command, "unknown command '%s'; did you mean '%s'?", word,
                               near);
    return cli_usage_error(&lattice_command, "unknown command '%s'", word);
}
