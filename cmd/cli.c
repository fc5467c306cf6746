/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses command lines by tables; help.c explains them. It refuses what it does not know, and
 * proposes the nearest option, because a misspelt security option that is silently ignored would be
 * a hole.
 */
#include "cmd/cli.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

unsigned cli_columns(int fd)
{
    struct winsize size = {0};

    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
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
    char text[1024];
    bool is_question;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    is_question = text[0] != '\0' && text[strlen(text) - 1] == '?';
    (void)fprintf(stderr, "lattice: %s%s '%s --help'\n", text, is_question ? " Try" : "; try",
                  command->path);
    return command->usage_status;
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
