/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans, flows and call trees over REST, read from the projection of the records. The projection is
 * brought up to date with latticed's own log before each answer, so a call that was answered is in
 * the next query; it can be thrown away and is built again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"

#define ROWS_MAX   1000u
#define CURSOR_CAP 96u

struct rows {
    struct call *call;
    unsigned count;
    int64_t last_ns;
    char last_id[64];
};

static bool refresh(struct call *call)
{
    struct control *c = call->c;
    struct why why = {.text = ""};
    uint64_t skipped;
    int err = audit_settle(c->config.audit); /* the auditor writes in its own time */

    if (err < 0) {
        call_fail(call, 503, "the newest records are not in the log yet: %s", strerror(-err));
        return false;
    }
    if (audit_store_load(c->traces, c->config.audit_log, &skipped, &why) >= 0)
        return true;
    call_fail(call, 503, "the records cannot be read: %s", why.text);
    return false;
}

static bool read_time(struct call *call, const char *name, int64_t *ret_ns)
{
    const char *text = http_target_query(http_request_target(call->r), name);

    if (text == NULL || wall_parse(bytes_of_str(text), ret_ns) == 0)
        return true;
    call_fail(call, 400, "%s must be a time such as 2026-01-31T12:00:00Z", name);
    return false;
}

/** The cursor is NANOSECONDS_ID of the last row before, with the id that audit_filter asks for. */
static bool read_cursor(struct call *call, struct audit_filter *f)
{
    const char *text = http_target_query(http_request_target(call->r), "cursor");
    char *end;

    if (text == NULL)
        return true;
    errno = 0;
    f->before_ns = strtoll(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '_' || end[1] == '\0' ||
        strlen(end + 1) >= sizeof(((struct rows *)NULL)->last_id)) {
        call_fail(call, 400, "cursor must be the nextCursor of an earlier page");
        return false;
    }
    f->before_id = end + 1;
    return true;
}

static bool read_filter(struct call *call, struct audit_filter *f)
{
    const struct http_target *t = http_request_target(call->r);
    const char *limit = http_target_query(t, "limit");
    uint16_t n = CALL_PAGE;

    *f = (struct audit_filter){.agent = http_target_query(t, "agentId"),
                               .trace_id = http_target_query(t, "traceId"),
                               .verdict = http_target_query(t, "verdict")};
    if (limit != NULL && (port_parse(bytes_of_str(limit), &n) < 0 || n == 0 || n > ROWS_MAX)) {
        call_fail(call, 400, "limit must be 1 to %u", ROWS_MAX);
        return false;
    }
    f->limit = n;
    return read_time(call, "from", &f->from_ns) && read_time(call, "to", &f->to_ns) &&
           read_cursor(call, f);
}

static void note_last(struct rows *rows, const char *id, int64_t at_ns)
{
    rows->count++;
    rows->last_ns = at_ns;
    (void)snprintf(rows->last_id, sizeof(rows->last_id), "%s", id);
}

static int write_span(void *self, const struct audit_span_row *row)
{
    struct rows *rows = self;

    audit_span_json(row, &rows->call->j);
    note_last(rows, row->span_id, row->started_ns); /* its id changes when the span ends */
    return 0;
}

static int write_flow(void *self, const struct audit_flow_row *row)
{
    struct rows *rows = self;

    audit_flow_json(row, &rows->call->j);
    note_last(rows, row->id, row->time_ns);
    return 0;
}

/** One page of rows by @query, with the cursor of the next when this one is full. */
static void answer_page(struct call *call, const struct audit_filter *f, struct rows *rows, int err)
{
    char cursor[CURSOR_CAP];

    json_close_array(&call->j);
    if (rows->count == f->limit) {
        (void)snprintf(cursor, sizeof(cursor), "%lld_%s", (long long)rows->last_ns, rows->last_id);
        json_put_str(&call->j, "nextCursor", cursor);
    }
    json_close_object(&call->j);
    if (err < 0)
        call_fail(call, 500, "the records cannot be read");
    else
        call_data(call, 200);
}

static void begin(struct call *call)
{
    json_open_object(&call->j);
    json_key(&call->j, "items");
    json_open_array(&call->j);
}

void traces_list(struct call *call)
{
    struct rows rows = {.call = call};
    struct audit_filter f;

    if (!read_filter(call, &f) || !refresh(call))
        return;
    begin(call);
    answer_page(call, &f, &rows, audit_store_spans(call->c->traces, &f, write_span, &rows));
}

static int write_summary(void *self, const struct audit_trace_row *row)
{
    struct rows *rows = self;

    audit_trace_json(row, &rows->call->j);
    note_last(rows, row->trace_id, row->started_ns);
    return 0;
}

void traces_summaries(struct call *call)
{
    struct rows rows = {.call = call};
    struct audit_filter f;

    if (!read_filter(call, &f) || !refresh(call))
        return;
    begin(call);
    answer_page(call, &f, &rows, audit_store_traces(call->c->traces, &f, write_summary, &rows));
}

void traces_flows(struct call *call)
{
    struct rows rows = {.call = call};
    struct audit_filter f;

    if (!read_filter(call, &f) || !refresh(call))
        return;
    begin(call);
    answer_page(call, &f, &rows, audit_store_flows(call->c->traces, &f, write_flow, &rows));
}

static void answer_tree(struct call *call, int err, struct audit_tree *tree, const char *what)
{
    if (err == -ENOENT) {
        call_fail(call, 404, "there is no %s \"%.64s\"", what, call->params[0]);
    } else if (err < 0) {
        call_fail(call, 500, "the records cannot be read");
    } else {
        audit_tree_json(tree, &call->j);
        audit_tree_free(tree);
        call_data(call, 200);
    }
}

void traces_show(struct call *call)
{
    struct audit_tree *tree = NULL;

    int err;

    if (!refresh(call))
        return;
    err = audit_tree_load(call->c->traces, call->params[0], &tree);
    answer_tree(call, err, tree, "trace");
}

void traces_call_tree(struct call *call)
{
    struct audit_tree *tree = NULL;

    int err;

    if (!refresh(call))
        return;
    err = audit_tree_load_agent(call->c->traces, call->params[0], &tree);
    answer_tree(call, err, tree, "recorded agent");
}
