/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/cases.h"

#include <stdlib.h>

#include "base/io.h"

#define CASE_FILE_MAX (1u << 20)

static char *trim(char *text)
{
    size_t len;

    while (*text == ' ' || *text == '\t')
        text++;
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t' || text[len - 1] == '\r'))
        text[--len] = '\0';
    return text;
}

static void split(struct case_row *row, char *line, char separator)
{
    for (;;) {
        char *end = strchr(line, separator);

        must(row->count < CASE_FIELDS_MAX);
        if (end != NULL)
            *end = '\0';
        row->fields[row->count++] = trim(line);
        if (end == NULL)
            return;
        line = end + 1;
    }
}

void cases_load(const char *path, char separator, struct case_table *ret)
{
    unsigned line = 0;
    char *next;

    *ret = (struct case_table){0};
    buf_init(&ret->text, CASE_FILE_MAX);
    must(io_read_file(path, &ret->text, NULL) == 0);
    buf_add_char(&ret->text, '\0');
    must(buf_error(&ret->text) == 0);
    next = (char *)ret->text.data;
    while (next != NULL && *next != '\0') {
        char *text = next;
        char *end = strchr(text, '\n');

        next = end != NULL ? end + 1 : NULL;
        if (end != NULL)
            *end = '\0';
        line++;
        if (*text == '#' || *trim(text) == '\0')
            continue;
        ret->rows = reallocarray(ret->rows, ret->count + 1, sizeof(*ret->rows));
        must(ret->rows != NULL);
        ret->rows[ret->count] = (struct case_row){.line = line};
        split(&ret->rows[ret->count++], text, separator);
    }
    must(ret->count > 0);
}

void cases_done(struct case_table *t)
{
    free(t->rows);
    buf_done(&t->text);
}

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    must((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    return (unsigned)((c | 0x20) - 'a' + 10);
}

struct bytes case_bytes(char *field)
{
    size_t len = 0;

    for (const char *in = field; *in != '\0'; in++) {
        if (*in == '%') {
            field[len++] = (char)(hex_digit(in[1]) << 4 | hex_digit(in[2]));
            in += 2;
        } else {
            field[len++] = *in;
        }
    }
    return bytes_of(field, len);
}
