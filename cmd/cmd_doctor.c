/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice doctor`: the command line of sandbox_doctor(). It looks, and changes nothing.
 */
#include "cmd/commands.h"

#include <stdbool.h>
#include <unistd.h>

#include "cmd/cli.h"
#include "sandbox/sandbox.h"

enum {
    OPT_JSON,
};

static const struct cli_option options[] = {
    [OPT_JSON] = {.name = "json", .help = "Print one JSON object for programs"},
};

static const struct cli_command command = {
    .path = "lattice doctor",
    .synopsis = "[OPTIONS]",
    .summary = "Try what this machine offers to the sandbox: what it needs, which walls stand,\n"
               "what is missing and how to mend it. Changes nothing.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .more = "Exit status: 0 when the sandbox can run here, 1 when it cannot.\n",
    .usage_status = CLI_EXIT_USAGE,
};

int cmd_doctor(int argc, char **argv)
{
    struct cli_parser p;
    bool json = false;
    int option;

    cli_begin(&p, &command, argc, argv);
    while ((option = cli_next(&p)) >= 0)
        json = true; /* there is but one option */
    if (option == CLI_STOP)
        return p.status;
    if (p.index < argc)
        return cli_usage_error(&command, "unexpected argument: %s", argv[p.index]);
    return sandbox_doctor(json, cli_colour(STDOUT_FILENO));
}
