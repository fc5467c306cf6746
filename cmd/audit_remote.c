/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what the REST API answers into a projection in memory, so that it is drawn by the same code
 * as this machine's logs. It asks page by page, for no more than was wanted.
 */
#include "cmd/audit_remote.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define PAGE_MAX  1000u
#define PATH_CAP  1024u
#define DEPTH_MAX 64u
#define ROWS      50u /* when nobody says how many */

static int import(struct audit_store *store, const struct json *row)
{
    struct why why = {0};

    if (audit_store_import(store, row, &why) < 0)
        return session_fail(&why);
    return 0;
}

static int import_all(struct audit_store *store, const struct json *rows)
{
    int status = 0;

    for (const struct json *row = json_first(rows); row != NULL && status == 0;
         row = json_next(row))
        status = import(store, row);
    return status;
}

/** A span of a tree, its flows, and what is below it. */
static int import_spans(struct audit_store *store, const struct json *spans, unsigned depth)
{
    int status = 0;

    for (const struct json *span = json_first(spans);
         span != NULL && status == 0 && depth < DEPTH_MAX; span = json_next(span)) {
        status = import(store, span);
        if (status == 0)
            status = import_all(store, json_get(span, "flows"));
        if (status == 0)
            status = import_spans(store, json_get(span, "children"), depth + 1);
    }
    return status;
}

static int begin_import(struct audit_store *store)
{
    return audit_store_begin(store) < 0 ? CLI_EXIT_ERROR : 0;
}

static int end_import(struct audit_store *store, int status)
{
    return audit_store_commit(store) < 0 && status == 0 ? CLI_EXIT_ERROR : status;
}

int audit_remote_trace(struct session *s, const char *id, struct audit_store *store)
{
    struct json_doc *doc = NULL;
    const struct json *data;
    int status = session_call_on(s, "GET", ISO "/audit/traces/", id, NULL, &doc);

    if (status != 0)
        return status;
    data = session_data(doc);
    status = begin_import(store);
    if (status == 0)
        status = import_spans(store, json_get(data, "spans"), 0);
    if (status == 0)
        status = import_all(store, json_get(data, "flows"));
    status = end_import(store, status);
    json_free(doc);
    return status;
}

/** Append `&NAME=VALUE`, with what a URL cannot hold written as %XX. */
static void add_query(struct buf *path, const char *name, const char *value)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    if (value == NULL)
        return;
    buf_printf(path, "&%s=", name);
    for (; *value != '\0'; value++)
        if (strchr(plain, *value) != NULL)
            buf_add_char(path, *value);
        else
            buf_printf(path, "%%%02X", (unsigned)(uint8_t)*value);
}

static void print_page(const char *route, const struct audit_filter *f, unsigned limit,
                       const char *cursor, struct buf *path)
{
    char from[RFC3339_CAP];

    buf_reset(path);
    buf_printf(path, ISO "/%s?limit=%u", route, limit);
    add_query(path, "agentId", f->agent);
    add_query(path, "traceId", f->trace_id);
    add_query(path, "verdict", f->verdict);
    if (f->from_ns > 0) {
        wall_print(f->from_ns, from);
        add_query(path, "from", from);
    }
    add_query(path, "cursor", cursor);
}

/** Pages of @route, each handed to @take, until there are as many rows as @f wants. */
static int walk(struct session *s, const char *route, const struct audit_filter *f,
                int (*take)(void *self, const struct json *items), void *self)
{
    unsigned left = f->limit != 0 ? f->limit : ROWS;
    struct json_doc *doc = NULL;
    char cursor[256] = "";
    struct buf path;
    int status = 0;

    buf_init(&path, PATH_CAP);
    while (status == 0 && left > 0) {
        unsigned want = left < PAGE_MAX ? left : PAGE_MAX;
        unsigned got = 0;

        print_page(route, f, want, cursor[0] != '\0' ? cursor : NULL, &path);
        status = session_call(s, "GET", buf_text(&path), NULL, &doc);
        if (status != 0)
            break;
        status = take(self, json_get(session_data(doc), "items"));
        for (const struct json *i = json_first(json_get(session_data(doc), "items")); i != NULL;
             i = json_next(i))
            got++;
        (void)snprintf(cursor, sizeof(cursor), "%s", session_text(session_data(doc), "nextCursor"));
        json_free(doc);
        left -= got < left ? got : left;
        if (got < want || cursor[0] == '\0')
            break;
    }
    buf_done(&path);
    return status;
}

static int take_flows(void *self, const struct json *items)
{
    return import_all(self, items);
}

int audit_remote_flows(struct session *s, const struct audit_filter *f, struct audit_store *store)
{
    int status = begin_import(store);

    return status != 0 ? status : end_import(store, walk(s, "flow-events", f, take_flows, store));
}

struct taker {
    int (*row)(void *self, const struct audit_trace_row *r);
    void *self;
};

static int64_t time_of(const struct json *item, const char *key)
{
    int64_t ns = 0;

    (void)!wall_parse(bytes_of_str(session_text(item, key)), &ns); /* 0: the beginning of time */
    return ns;
}

static uint64_t count_of(const struct json *item, const char *key)
{
    uint64_t n = 0;

    (void)!json_read_u64(json_get(item, key), &n);
    return n;
}

static int take_traces(void *self, const struct json *items)
{
    const struct taker *t = self;
    int err = 0;

    for (const struct json *i = json_first(items); i != NULL && err >= 0; i = json_next(i)) {
        const struct audit_trace_row row = {
            .trace_id = session_text(i, "traceId"),
            .agent = session_text(i, "agentId"),
            .parent = json_get(i, "parentId") != NULL ? session_text(i, "parentId") : NULL,
            .started_ns = time_of(i, "startedAt"),
            .ended_ns = time_of(i, "endedAt"),
            .spans = count_of(i, "spans"),
            .failed = count_of(i, "failed"),
            .flows = count_of(i, "flows"),
            .dropped = count_of(i, "dropped"),
            .bytes_out = count_of(i, "bytesOut"),
            .bytes_in = count_of(i, "bytesIn"),
        };

        err = t->row(t->self, &row);
    }
    return err < 0 ? CLI_EXIT_ERROR : 0;
}

int audit_remote_traces(struct session *s, const struct audit_filter *f,
                        int (*row)(void *self, const struct audit_trace_row *r), void *self)
{
    struct taker taker = {.row = row, .self = self};

    return walk(s, "audit/trace-summaries", f, take_traces, &taker);
}
