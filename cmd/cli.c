/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses and explains command lines from tables. It refuses what it does not know, and proposes the
 * nearest option, because a misspelt security option that is silently ignored would be a hole.
 */
#include "cmd/cli.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELP_INDENT  28
#define NEAR_MAX     3 /* edits up to which a word counts as a slip of the pen */
#define WORD_LEN_MAX 48

bool cli_colour(int fd)
{
    const char *term = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");

    if (no_colour != NULL && no_colour[0] != '\0')
        return false;
    return isatty(fd) == 1 && term != NULL && strcmp(term, "dumb") != 0;
}

void cli_begin(struct cli_parser *p, const struct cli_command *command, int argc, char **argv)
{
    *p = (struct cli_parser){.command = command, .argc = argc, .argv = argv, .index = 1};
}

/** Levenshtein distance; words longer than WORD_LEN_MAX are far from everything. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned row[WORD_LEN_MAX + 1];
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);

    if (a_len > WORD_LEN_MAX || b_len > WORD_LEN_MAX)
        return UINT_MAX;
    for (unsigned j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            unsigned skip = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = change < skip ? change : skip;
        }
    }
    return row[b_len];
}

const char *cli_nearest(const char *word, const char *(*words)(void *self, unsigned i), void *self)
{
    const char *best = NULL;
    unsigned best_distance = NEAR_MAX + 1;

    for (unsigned i = 0; words(self, i) != NULL; i++) {
        unsigned distance = edit_distance(word, words(self, i));

        if (distance < best_distance && distance < strlen(word)) {
            best = words(self, i);
            best_distance = distance;
        }
    }
    return best;
}

int cli_usage_error(const struct cli_command *command, const char *format, ...)
{
    va_list args;

    (void)fputs("lattice: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "; try '%s --help'\n", command->path);
    return command->usage_status;
}

/** Print @text as scdoc prose: its markup characters are escaped, its line breaks kept. */
static void man_text(const char *text, const char *line_break)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\n') {
            (void)fputs(line_break, stdout);
            continue;
        }
        if (strchr("*_\\<>[]#", *p) != NULL)
            (void)putchar('\\');
        (void)putchar(*p);
    }
}

void cli_man(const struct cli_command *command)
{
    for (const char *p = command->path; *p != '\0'; p++)
        (void)putchar(*p == ' ' ? '-' : *p);
    printf("(1)\n\n# NAME\n\n");
    for (const char *p = command->path; *p != '\0'; p++)
        (void)putchar(*p == ' ' ? '-' : *p);
    printf(" - ");
    printf("%.*s", (int)strcspn(command->summary, "(:,.\n"), command->summary);
    printf("\n\n# SYNOPSIS\n\n*%s* ", command->path);
    man_text(command->synopsis, " ");
    printf("\n\n# DESCRIPTION\n\n");
    man_text(command->summary, "++\n");
    printf("\n");
    if (command->option_count > 0)
        printf("\n# OPTIONS\n");
    for (unsigned i = 0; i < command->option_count; i++) {
        const struct cli_option *o = &command->options[i];

        printf("\n*--%s*%s%s%s\n\t", o->name, o->value != NULL ? " _" : "",
               o->value != NULL ? o->value : "", o->value != NULL ? "_" : "");
        man_text(o->help, " ");
        printf("\n");
    }
    if (command->more != NULL)
        printf("\n# NOTES\n\n```\n%s\n```\n", command->more);
}

static const char *option_name(void *self, unsigned i)
{
    const struct cli_command *command = self;

    return i < command->option_count ? command->options[i].name : NULL;
}

static int stop(struct cli_parser *p, int status)
{
    p->status = status;
    return CLI_STOP;
}

static int unknown_option(struct cli_parser *p, const char *word)
{
    struct cli_command command = *p->command;
    const char *near = cli_nearest(word + strspn(word, "-"), option_name, &command);

    if (near != NULL)
        return stop(p, cli_usage_error(p->command, "unknown option '%s'; did you mean '--%s'?",
                                       word, near));
    return stop(p, cli_usage_error(p->command, "unknown option '%s'", word));
}

int cli_next(struct cli_parser *p)
{
    const char *word = p->index < p->argc ? p->argv[p->index] : NULL;
    const char *equals;
    size_t len;

    p->value = NULL;
    if (word == NULL || word[0] != '-' || word[1] == '\0')
        return CLI_END;
    p->index++;
    if (strcmp(word, "--") == 0) {
        p->saw_dashes = true;
        return CLI_END;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cli_help(p->command);
        return stop(p, CLI_EXIT_OK);
    }
    if (strcmp(word, "--man") == 0) {
        cli_man(p->command);
        return stop(p, CLI_EXIT_OK);
    }
    if (word[1] != '-')
        return unknown_option(p, word);
    equals = strchr(word, '=');
    len = equals != NULL ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    for (unsigned i = 0; i < p->command->option_count; i++) {
        const struct cli_option *o = &p->command->options[i];

        if (strlen(o->name) != len || memcmp(o->name, word + 2, len) != 0)
            continue;
        if (o->value == NULL && equals != NULL)
            return stop(p, cli_usage_error(p->command, "option '--%s' takes no value", o->name));
        if (o->value == NULL)
            return (int)i;
        p->value = equals != NULL ? equals + 1 : p->index < p->argc ? p->argv[p->index++] : NULL;
        if (p->value == NULL)
            return stop(p, cli_usage_error(p->command, "option '--%s' needs a value (%s)", o->name,
                                           o->value));
        return (int)i;
    }
    return unknown_option(p, word);
}

/** Print @text, each further line of it under the first at column @indent. */
static void print_indented(const char *text, int indent)
{
    for (const char *p = text; *p != '\0'; p++) {
        (void)putchar(*p);
        if (*p == '\n')
            printf("%*s", indent, "");
    }
    (void)putchar('\n');
}

void cli_help(const struct cli_command *command)
{
    bool colour = cli_colour(STDOUT_FILENO);
    const char *bold = colour ? "\033[1m" : "";
    const char *plain = colour ? "\033[0m" : "";

    printf("%sUsage:%s %s %s\n\n%s\n", bold, plain, command->path, command->synopsis,
           command->summary);
    if (command->option_count > 0)
        printf("\n%sOptions:%s\n", bold, plain);
    for (unsigned i = 0; i < command->option_count; i++) {
        const struct cli_option *o = &command->options[i];
        int width = printf("  --%s%s%s", o->name, o->value != NULL ? " " : "",
                           o->value != NULL ? o->value : "");

        if (width >= HELP_INDENT - 1)
            printf("\n%*s", HELP_INDENT, "");
        else
            printf("%*s", HELP_INDENT - width, "");
        print_indented(o->help, HELP_INDENT);
    }
    if (command->more != NULL)
        printf("\n%s\n", command->more);
}
