/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats reasons for people. Control bytes of foreign input are shown as '?', so that a hostile
 * file cannot write escape sequences to a terminal through our error messages.
 */
#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

static void make_printable(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

int why_set(struct why *why, int err, const char *format, ...)
{
    va_list args;

    if (why == NULL)
        return err;
    why->file[0] = '\0';
    why->line = 0;
    why->column = 0;
    va_start(args, format);
    if (vsnprintf(why->text, sizeof(why->text), format, args) < 0)
        why->text[0] = '\0';
    va_end(args);
    make_printable(why->text);
    return err;
}

void why_at(struct why *why, const char *file, unsigned line, unsigned column)
{
    if (why == NULL)
        return;
    (void)snprintf(why->file, sizeof(why->file), "%s", file); /* cut when too long */
    make_printable(why->file);
    why->line = line;
    why->column = column;
}

void why_print(const struct why *why, char *ret, size_t cap)
{
    if (why->file[0] == '\0')
        (void)snprintf(ret, cap, "%s", why->text);
    else if (why->line == 0)
        (void)snprintf(ret, cap, "%s: %s", why->file, why->text);
    else
        (void)snprintf(ret, cap, "%s:%u:%u: %s", why->file, why->line, why->column, why->text);
}
