/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command's table says, for people: --help as wide as the terminal, and the manual page.
 * Lines that begin with a blank are lists and stay lines; others are prose, and flow.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/paragraph.h"
#include "cmd/cli.h"

#define HELP_INDENT 28
#define HELP_MAX    (64u << 10)
#define WIDTH       80 /* when nobody says */
#define WIDTH_MIN   60
#define WIDTH_MAX   100

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

/** The heading that stands above the @i-th option; NULL: none. */
static const char *section_at(const struct cli_command *command, unsigned i)
{
    for (unsigned k = 0; k < command->section_count; k++)
        if (command->sections[k].first == i)
            return command->sections[k].title;
    return NULL;
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

        if (section_at(command, i) != NULL)
            printf("\n## %s\n", section_at(command, i));
        printf("\n*--%s*%s%s%s\n\t", o->name, o->value != NULL ? " _" : "",
               o->value != NULL ? o->value : "", o->value != NULL ? "_" : "");
        man_text(o->help, " ");
        printf("\n");
    }
    if (command->more != NULL)
        printf("\n# NOTES\n\n```\n%s\n```\n", command->more);
}

static unsigned help_width(void)
{
    unsigned columns = cli_columns(STDOUT_FILENO);

    if (columns == 0)
        return WIDTH;
    return columns < WIDTH_MIN ? WIDTH_MIN : columns > WIDTH_MAX ? WIDTH_MAX : columns;
}

/** A line of a list: when it is too long, what is right of its first gap stays right of it. A
 * command to be copied has no gap, and is not broken. */
static void add_list_line(struct buf *out, const char *line, unsigned width)
{
    size_t indent = strspn(line, " ");
    const char *gap = strstr(line + indent, "  ");

    if (gap == NULL || strlen(line) <= width) {
        buf_printf(out, "%s\n", line);
        return;
    }
    indent = (size_t)(gap - line) + strspn(gap, " ");
    buf_add(out, line, indent);
    paragraph_add(out, (unsigned)indent, width, line + indent);
}

/** Prose and lists. */
static void add_text(struct buf *out, const char *text, unsigned width)
{
    char part[2048];

    while (*text != '\0') {
        bool is_list = *text == ' ' || *text == '\n';
        size_t len = strcspn(text, "\n");

        while (!is_list && text[len] == '\n' && strchr(" \n", text[len + 1]) == NULL)
            len += 1 + strcspn(text + len + 1, "\n");
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, text);
        if (is_list)
            add_list_line(out, part, width);
        else
            paragraph_add(out, 0, width, part);
        text += len + (text[len] == '\n');
    }
}

static void add_option(struct buf *out, const struct cli_option *o, unsigned width)
{
    char left[128];
    int len = snprintf(left, sizeof(left), "  --%s%s%s", o->name, o->value != NULL ? " " : "",
                       o->value != NULL ? o->value : "");

    buf_add_str(out, left);
    if (len >= HELP_INDENT - 1)
        buf_printf(out, "\n%*s", HELP_INDENT, "");
    else
        buf_printf(out, "%*s", HELP_INDENT - len, "");
    paragraph_add(out, HELP_INDENT, width, o->help);
}

void cli_help(const struct cli_command *command)
{
    bool colour = cli_colour(STDOUT_FILENO);
    const char *bold = colour ? "\033[1m" : "";
    const char *plain = colour ? "\033[0m" : "";
    unsigned width = help_width();
    struct buf out;

    buf_init(&out, HELP_MAX);
    buf_printf(&out, "%sUsage:%s ", bold, plain);
    buf_printf(&out, "%s %s\n\n", command->path, command->synopsis);
    add_text(&out, command->summary, width);
    for (unsigned i = 0; i < command->option_count; i++) {
        const char *title = i == 0 ? "Options" : NULL;

        if (section_at(command, i) != NULL)
            title = section_at(command, i);
        if (title != NULL)
            buf_printf(&out, "\n%s%s:%s\n", bold, title, plain);
        add_option(&out, &command->options[i], width);
    }
    if (command->more != NULL) {
        buf_add_char(&out, '\n');
        add_text(&out, command->more, width);
    }
    (void)fputs(buf_text(&out), stdout);
    buf_done(&out);
}
