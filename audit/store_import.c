/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that another store answered with, as JSON: back into records, and into this store.
 */
#include <errno.h>
#include <string.h>

#include "audit/record.h"
#include "audit/store_sql.h"
#include "base/json.h"
#include "base/json_out.h"

/** A span of the REST API as the record that says the same. */
static int print_span_record(const struct json *span, struct buf *to)
{
    static const char left_out[] = " kind flows children startedAt running ";
    const struct json *kind = json_get(span, "kind");
    bool is_ended = json_get(span, "durationMs") != NULL;
    bool is_sandbox = json_is_str(kind, "sandbox");
    const char *text;
    double took_ms = 0;
    int64_t started_ns;
    char time[RFC3339_CAP];
    struct json_out j;

    if (json_read_str(json_get(span, "startedAt"), &text) < 0 ||
        wall_parse(bytes_of_str(text), &started_ns) < 0 ||
        (is_ended && (json_read_double(json_get(span, "durationMs"), &took_ms) < 0 || took_ms < 0 ||
                      took_ms > 1e12)))
        return -EINVAL;
    wall_print(started_ns + (int64_t)took_ms * NS_PER_MS, time);
    json_out_init(&j, to);
    json_open_object(&j);
    json_put_str(&j, "kind",
                 json_is_str(kind, "tool") ? "span"
                 : is_sandbox              ? (is_ended ? "stop" : "start")
                                           : (is_ended ? "exit" : "exec"));
    json_put_str(&j, "ts", time);
    for (const struct json *m = json_first(span); m != NULL; m = json_next(m)) {
        char word[64];

        (void)snprintf(word, sizeof(word), " %.60s ", json_name(m));
        if (strstr(left_out, word) != NULL)
            continue;
        json_key(&j, json_name(m));
        json_raw(&j, json_text(m));
    }
    json_close_object(&j);
    return buf_error(to);
}

int audit_store_import(struct audit_store *s, const struct json *row, struct why *why)
{
    const struct json *kind = json_get(row, "kind");
    bool is_span = !json_is_str(kind, "flow") && !json_is_str(kind, "decision");
    struct record_text t;
    struct buf text;
    const char *id;
    int err = json_read_str(json_get(row, "id"), &id);

    buf_init(&text, AUDIT_LINE_MAX);
    if (err == 0 && is_span)
        err = print_span_record(row, &text);
    if (err == 0)
        err = record_read(is_span ? buf_bytes(&text) : json_text(row), RECORD_STREAM, &t, why);
    else
        (void)why_set(why, err, "it has no id or no time");
    if (err == 0) {
        err = is_span ? store_put_span(s, &t.r, id) : store_put_flow(s, &t.r, id);
        record_text_done(&t);
    }
    buf_done(&text);
    return err;
}
