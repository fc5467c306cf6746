/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice audit verify` and `show`: one log as it lies there, its chain checked, or record by
 * record. Neither writes to it.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/io.h"
#include "base/json_out.h"
#include "base/own.h"
#include "cmd/audit_commands.h"
#include "cmd/audit_query.h"

static void print_check(const char *path, int err, const struct audit_check *c,
                        const struct why *why, bool is_json)
{
    struct json_out j;
    struct buf out;

    if (!is_json) {
        if (err == 0)
            printf("%s: intact: %" PRIu64 " records in %" PRIu64 " run%s%s\n", path, c->records,
                   c->runs, c->runs == 1 ? "" : "s",
                   c->has_head ? "" : " (no head file beside it to compare its end with)");
        else
            printf("%s: NOT INTACT: %s\n", path, why->text);
        return;
    }
    buf_init(&out, 8192);
    json_out_init(&j, &out);
    json_open_object(&j);
    json_put_str(&j, "file", path);
    json_put_bool(&j, "intact", err == 0);
    json_put_u64(&j, "records", c->records);
    json_put_u64(&j, "runs", c->runs);
    json_put_u64(&j, "openRuns", c->open_runs);
    json_put_bool(&j, "hasHead", c->has_head);
    if (c->bad_line > 0)
        json_put_u64(&j, "badLine", c->bad_line);
    if (err < 0)
        json_put_str(&j, "errorMsg", why->text);
    json_close_object(&j);
    printf("%s\n", buf_text(&out));
    buf_done(&out);
}

int audit_verify_command(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"running", NULL, "the last run may still be going on"},
        {"json", NULL, "the result as JSON"},
    };
    static const struct cli_command command = {
        .path = "lattice audit verify",
        .synopsis = "[OPTIONS] FILE|NAME",
        .summary =
            "Check that a log is as it was written: nothing changed, removed, added or moved.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .more = "Exit status: 0 intact, 1 not intact or unreadable.",
        .usage_status = CLI_EXIT_USAGE,
    };
    struct audit_query q = {0};
    struct audit_check check;
    struct why why = {0};
    struct cli_parser p;
    char path[PATH_MAX];
    int status;
    int err;

    if (!audit_query_parse(&p, &command, argc, argv, 1, 1, &q, &status))
        return status;
    if (audit_query_log(q.word, path, &why) < 0)
        return audit_query_fail(&why);
    err = audit_verify(path, q.is_running, &check, &why);
    if (err < 0 && err != -EBADMSG)
        return audit_query_fail(&why);
    print_check(path, err, &check, &why, q.is_json);
    return err == 0 ? CLI_EXIT_OK : CLI_EXIT_ERROR;
}

static int show_entry(const struct audit_entry *e, const struct audit_query *q,
                      const struct audit_drawing *drawing, struct buf *out)
{
    if (q->is_json) {
        buf_add(out, e->line.data, e->line.len);
        buf_add_char(out, '\n');
    } else {
        audit_entry_draw(e, drawing, out);
    }
    return audit_query_put(out);
}

/** Show what the reader has now. */
static int show_rest(struct audit_reader *reader, const struct audit_query *q,
                     const struct audit_drawing *drawing, struct buf *out)
{
    struct audit_entry entry;
    struct why why = {0};
    int got;
    int err = 0;

    while (err == 0 && (got = audit_reader_next(reader, &entry, &why)) != 0) {
        if (got == 1)
            err = show_entry(&entry, q, drawing, out);
        else if (got == -EBADMSG)
            (void)fprintf(stderr, "lattice audit: %s\n", why.text);
        else
            return audit_query_fail(&why);
    }
    if (err < 0 || fflush(stdout) != 0)
        return CLI_EXIT_ERROR; /* nobody reads on */
    return CLI_EXIT_OK;
}

static int show_file(const char *path, const struct audit_query *q)
{
    auto_fd watch = q->is_follow ? inotify_init1(IN_CLOEXEC) : -1;
    const struct audit_drawing drawing = audit_query_drawing(q);
    struct audit_reader *reader = NULL;
    struct why why = {0};
    struct buf out;
    char event[sizeof(struct inotify_event) + NAME_MAX + 1];
    int status;

    if (q->is_follow && (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)) {
        (void)why_set(&why, -errno, "cannot follow %s: %s", path, strerror(errno));
        return audit_query_fail(&why);
    }
    if (audit_reader_open(path, 0, &reader, &why) < 0)
        return audit_query_fail(&why);
    buf_init(&out, AUDIT_OUTPUT_MAX);
    do
        status = show_rest(reader, q, &drawing, &out);
    while (status == CLI_EXIT_OK && q->is_follow && io_read(watch, event, sizeof(event)) > 0);
    buf_done(&out);
    audit_reader_close(reader);
    return status;
}

int audit_show_command(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"follow", NULL, "go on as the log grows, until interrupted"},
        {"json", NULL, "the lines as they stand in the log"},
    };
    static const struct cli_command command = {
        .path = "lattice audit show",
        .synopsis = "[OPTIONS] FILE|NAME",
        .summary = "Show a log record by record. NAME is a sandbox's name.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .usage_status = CLI_EXIT_USAGE,
    };
    struct audit_query q = {0};
    struct why why = {0};
    struct cli_parser p;
    char path[PATH_MAX];
    int status;

    if (!audit_query_parse(&p, &command, argc, argv, 1, 1, &q, &status))
        return status;
    if (audit_query_log(q.word, path, &why) < 0)
        return audit_query_fail(&why);
    return show_file(path, &q);
}
