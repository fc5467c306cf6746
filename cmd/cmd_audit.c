/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice audit`: finds the command that is meant.
 */
#include <string.h>

#include "cmd/audit_commands.h"
#include "cmd/cli.h"
#include "cmd/commands.h"

static const struct {
    const char *word;
    int (*run)(int argc, char **argv);
} subcommands[] = {
    {"verify", audit_verify_command}, {"show", audit_show_command},
    {"traces", audit_traces_command}, {"trace", audit_trace_command},
    {"flows", audit_flows_command},
};

static const char *subcommand_word(void *self, unsigned i)
{
    (void)self;
    return i < ARRAY_COUNT(subcommands) ? subcommands[i].word : NULL;
}

int cmd_audit(int argc, char **argv)
{
    static const struct cli_command command = {
        .path = "lattice audit",
        .synopsis = "verify|show|traces|trace|flows …",
        .summary = "Check and read audit logs.",
        .more = "  verify FILE|NAME   check that a log is as it was written\n"
                "  show FILE|NAME     show a log record by record (--follow)\n"
                "  traces             list traces\n"
                "  trace ID           draw one trace as a tree\n"
                "  flows [TRACE]      list judgements and flows\n\n"
                "NAME is a sandbox's name; its log is $XDG_STATE_HOME/lattice/NAME.jsonl.",
        .usage_status = CLI_EXIT_USAGE,
    };
    struct cli_parser p;
    const char *near;
    int result;

    cli_begin(&p, &command, argc > 1 && argv[1][0] == '-' ? argc : 1, argv);
    result = cli_next(&p);
    if (result == CLI_STOP)
        return p.status;
    if (argc < 2) {
        cli_help(&command);
        return CLI_EXIT_USAGE;
    }
    for (size_t i = 0; i < ARRAY_COUNT(subcommands); i++)
        if (strcmp(argv[1], subcommands[i].word) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    near = cli_nearest(argv[1], subcommand_word, NULL);
    if (near != NULL)
        return cli_usage_error(&command, "\"%s\" is not one of its commands; did you mean \"%s\"?",
                               argv[1], near);
    return cli_usage_error(&command, "\"%s\" is not one of its commands", argv[1]);
}
