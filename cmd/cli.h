/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines as tables: one table of a command's options is its parser, its --help and its part
 * of the manual page. Long options take their value as `--name VALUE` or `--name=VALUE`; nothing
 * may be abbreviated, so that a script that works today works tomorrow.
 */
#ifndef CMD_CLI_H
#define CMD_CLI_H

#include <stdbool.h>

#include "base/must.h"

#define CLI_EXIT_OK     0
#define CLI_EXIT_ERROR  1
#define CLI_EXIT_USAGE  2
#define CLI_EXIT_DENIED 3 /* refused by policy */

struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* what --help calls the value; NULL: a flag without one */
    const char *help;  /* one sentence or a few; it flows */
};

/** A heading above some of a command's options. */
struct cli_section {
    unsigned first; /* the place of the first of them */
    const char *title;
};

struct cli_command {
    const char *path;     /* "lattice sandbox start" */
    const char *synopsis; /* "[OPTIONS] [-- CMD ARGS…]" */
    const char *summary;  /* one or two sentences, and lists: their lines begin with a blank */
    const struct cli_option *options;
    unsigned option_count;
    const struct cli_section *sections; /* NULL: none */
    unsigned section_count;
    const char *more; /* the same, at the end of --help: rules, examples; may be NULL */
    int usage_status; /* exit status of a usage error */
};

enum cli_result {
    CLI_END = -1,  /* no more options; the operands begin at argv[p->index] */
    CLI_STOP = -2, /* help was printed, or an error was; return p->status */
};

struct cli_parser {
    const struct cli_command *command; /* borrowed */
    int argc;
    char **argv;
    int index;         /* next word */
    const char *value; /* of the option just returned */
    int status;        /* exit status after CLI_STOP */
    bool saw_dashes;   /* the operands were set off by `--` */
};

/*
 * Every command knows two options that no table lists: --help, and --man for the manual page.
 */

/** cli_begin() - Parse from argv[1]; argv[0] is the command's own word. */
void cli_begin(struct cli_parser *p, const struct cli_command *command, int argc, char **argv);
/** cli_next() - The place of the next option in the command's table, or an enum cli_result. */
int cli_next(struct cli_parser *p) MUST_USE;
/** cli_help() - Print the command's help to standard output, as wide as the terminal is. */
void cli_help(const struct cli_command *command);
/** cli_man() - Print the command's manual page to standard output, in scdoc(5) form. */
void cli_man(const struct cli_command *command);
/** cli_usage_error() - Say one line about what is wrong and where help is; returns the exit status.
 */
int cli_usage_error(const struct cli_command *command, const char *format, ...) PRINTF_LIKE(2, 3);
/** cli_nearest() - The word of @words most like @word, or NULL when none is near; for suggestions.
 */
const char *cli_nearest(const char *word, const char *(*words)(void *self, unsigned i), void *self);
/** cli_colour() - May we use colour on this descriptor (a terminal, NO_COLOR unset, TERM not dumb)?
 */
bool cli_colour(int fd);
/** cli_columns() - How wide the terminal is; 0: it is none. */
unsigned cli_columns(int fd);

#endif
