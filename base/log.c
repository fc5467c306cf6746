/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One write(2) per line, from a stack buffer, so lines of several processes never mix and logging
 * cannot fail half-way. It refuses to block the caller's work: a failing write is dropped.
 */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"

#define LOG_LINE_MAX 2048

/* Written once by log_setup() at start, read by everything in this process. */
static struct {
    const char *program;
    enum log_level level;
    bool json;
} log_state = {.program = "lattice", .level = LOG_LEVEL_WARN};

void log_setup(const char *program, enum log_level level, bool json)
{
    log_state.program = program;
    log_state.level = level;
    log_state.json = json;
}

bool log_enabled(enum log_level level)
{
    return level <= log_state.level;
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    return names[level];
}

/** Append foreign text: control bytes become '?', so that no escape sequence reaches a terminal. */
static void add_text(struct buf *b, const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        buf_add_char(b, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
}

static void add_plain(struct buf *b, enum log_level level, const char *text,
                      const struct log_field *fields, unsigned count)
{
    buf_printf(b, "%s: ", log_state.program);
    if (level <= LOG_LEVEL_WARN)
        buf_printf(b, "%s: ", level == LOG_LEVEL_WARN ? "warning" : "error");
    buf_add_str(b, text);
    for (unsigned i = 0; i < count; i++) {
        buf_printf(b, " %s=", fields[i].key);
        if (fields[i].text != NULL)
            add_text(b, fields[i].text);
        else
            buf_printf(b, "%lld", (long long)fields[i].number);
    }
    buf_add_char(b, '\n');
}

static void add_json(struct buf *b, enum log_level level, const char *text,
                     const struct log_field *fields, unsigned count)
{
    struct json_out j;
    char when[RFC3339_CAP];

    wall_print(wall_now_ns(), when);
    json_out_init(&j, b);
    json_open_object(&j);
    json_put_str(&j, "time", when);
    json_put_str(&j, "level", level_name(level));
    json_put_str(&j, "program", log_state.program);
    json_put_str(&j, "message", text);
    for (unsigned i = 0; i < count; i++) {
        if (fields[i].text != NULL)
            json_put_str(&j, fields[i].key, fields[i].text);
        else
            json_put_i64(&j, fields[i].key, fields[i].number);
    }
    json_close_object(&j);
    buf_add_char(b, '\n');
}

static void put(struct buf *b)
{
    if (b->len > 0 && write(STDERR_FILENO, b->data, b->len) < 0) {
        /* standard error is gone or full; there is nowhere to say so */
    }
    buf_done(b);
}

void log_line(enum log_level level, const char *text, const struct log_field *fields,
              unsigned count)
{
    struct buf b;

    buf_init(&b, LOG_LINE_MAX);
    if (log_state.json)
        add_json(&b, level, text, fields, count);
    else
        add_plain(&b, level, text, fields, count);
    put(&b);
}

void log_sentence(const char *sentence, const char *text, const struct log_field *fields,
                  unsigned count)
{
    struct buf b;

    if (!log_enabled(LOG_LEVEL_WARN))
        return;
    buf_init(&b, LOG_LINE_MAX);
    if (log_state.json) {
        add_json(&b, LOG_LEVEL_WARN, text, fields, count);
    } else {
        buf_printf(&b, "%s: ", log_state.program);
        add_text(&b, sentence);
        buf_add_char(&b, '\n');
    }
    put(&b);
}
