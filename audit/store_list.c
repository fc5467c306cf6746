/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the store: pages of traces, spans and flows, an agent's children and its session.
 * Rows are handed on as they are read; none outlives the call.
 */
#include <errno.h>
#include <stdio.h>

#include "audit/store_sql.h"

#define ROWS_DEFAULT 50u

/** The variant of a list whose condition an index answers. */
static enum store_statement which_list(enum store_statement all, const struct audit_filter *f)
{
    return (enum store_statement)((int)all + (f->trace_id != NULL ? 1 : f->agent != NULL ? 2 : 0));
}

/** A page ends before the cursor or the end of the time asked for, whichever comes first. */
static void bind_end(sqlite3_stmt *q, const struct audit_filter *f)
{
    int64_t to_ns = f->to_ns != 0 ? f->to_ns : INT64_MAX;
    bool is_cursor = f->before_ns != 0 && f->before_ns < to_ns;

    store_bind_number(q, 5, is_cursor ? f->before_ns : to_ns, true);
    store_bind_text(q, 6, is_cursor && f->before_id != NULL ? f->before_id : "");
}

static sqlite3_stmt *begin_list(struct audit_store *s, enum store_statement which,
                                const struct audit_filter *f)
{
    sqlite3_stmt *q = store_statement(s, which_list(which, f));

    if (q == NULL)
        return NULL;
    store_bind_text(q, 1, f->trace_id);
    store_bind_text(q, 2, f->agent);
    store_bind_text(q, 3, f->verdict);
    store_bind_number(q, 4, f->from_ns, true);
    bind_end(q, f);
    store_bind_number(q, 7,
                      f->limit == 0               ? ROWS_DEFAULT
                      : f->limit < AUDIT_ROWS_MAX ? f->limit
                                                  : AUDIT_ROWS_MAX,
                      true);
    return q;
}

static int end_list(sqlite3_stmt *q, int rc, int err)
{
    (void)sqlite.sqlite3_reset(q); /* repeats the error of the last step */
    (void)sqlite.sqlite3_clear_bindings(q);
    return err < 0 ? err : store_error(rc);
}

static const char *text_at(sqlite3_stmt *q, int i)
{
    return (const char *)sqlite.sqlite3_column_text(q, i);
}

static uint64_t count_at(sqlite3_stmt *q, int i)
{
    return (uint64_t)sqlite.sqlite3_column_int64(q, i);
}

int audit_store_traces(struct audit_store *s, const struct audit_filter *f,
                       int (*row)(void *self, const struct audit_trace_row *r), void *self)
{
    sqlite3_stmt *q = begin_list(s, STORE_LIST_TRACES, f);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    while ((rc = sqlite.sqlite3_step(q)) == SQLITE_ROW && err >= 0) {
        const struct audit_trace_row r = {
            .trace_id = text_at(q, 0),
            .agent = text_at(q, 1),
            .parent = text_at(q, 2),
            .started_ns = sqlite.sqlite3_column_int64(q, 3),
            .ended_ns = sqlite.sqlite3_column_int64(q, 4),
            .spans = count_at(q, 5),
            .failed = count_at(q, 6),
            .flows = count_at(q, 7),
            .dropped = count_at(q, 8),
            .bytes_out = count_at(q, 9),
            .bytes_in = count_at(q, 10),
        };

        err = row(self, &r);
    }
    return end_list(q, rc, err);
}

int audit_store_spans(struct audit_store *s, const struct audit_filter *f,
                      int (*row)(void *self, const struct audit_span_row *r), void *self)
{
    sqlite3_stmt *q = begin_list(s, STORE_LIST_SPANS, f);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    while ((rc = sqlite.sqlite3_step(q)) == SQLITE_ROW && err >= 0) {
        const struct audit_span_row r = {
            .id = text_at(q, 0),
            .kind = text_at(q, 1),
            .trace_id = text_at(q, 2),
            .span_id = text_at(q, 3),
            .parent_span_id = text_at(q, 4),
            .agent = text_at(q, 5),
            .parent = text_at(q, 6),
            .namespace_id = text_at(q, 7),
            .tool = text_at(q, 8),
            .status = text_at(q, 9),
            .error = text_at(q, 10),
            .reason = text_at(q, 11),
            .rule = text_at(q, 12),
            .mode = text_at(q, 13),
            .exe = text_at(q, 14),
            .arguments = text_at(q, 15),
            .detail = text_at(q, 16),
            .started_ns = sqlite.sqlite3_column_int64(q, 17),
            .duration_ns = sqlite.sqlite3_column_int64(q, 18),
            .pid = sqlite.sqlite3_column_int(q, 19),
            .exit_status = sqlite.sqlite3_column_int(q, 20),
        };

        err = row(self, &r);
    }
    return end_list(q, rc, err);
}

int audit_store_flows(struct audit_store *s, const struct audit_filter *f,
                      int (*row)(void *self, const struct audit_flow_row *r), void *self)
{
    sqlite3_stmt *q = begin_list(s, STORE_LIST_FLOWS, f);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    while ((rc = sqlite.sqlite3_step(q)) == SQLITE_ROW && err >= 0) {
        const struct audit_flow_row r = {
            .id = text_at(q, 0),
            .trace_id = text_at(q, 1),
            .span_id = text_at(q, 2),
            .agent = text_at(q, 3),
            .is_decision = sqlite.sqlite3_column_int(q, 4) != 0,
            .direction = text_at(q, 5),
            .protocol = text_at(q, 6),
            .src_ip = text_at(q, 7),
            .dst_ip = text_at(q, 8),
            .name = text_at(q, 9),
            .verdict = text_at(q, 10),
            .rule = text_at(q, 11),
            .reason = text_at(q, 12),
            .mode = text_at(q, 13),
            .carrier = text_at(q, 14),
            .peer = text_at(q, 15),
            .error = text_at(q, 16),
            .exe = text_at(q, 17),
            .would_deny = sqlite.sqlite3_column_int(q, 18) != 0,
            .src_port = (uint16_t)sqlite.sqlite3_column_int(q, 19),
            .dst_port = (uint16_t)sqlite.sqlite3_column_int(q, 20),
            .pid = sqlite.sqlite3_column_int(q, 21),
            .time_ns = sqlite.sqlite3_column_int64(q, 22),
            .duration_ns = sqlite.sqlite3_column_int64(q, 23),
            .bytes_out = count_at(q, 24),
            .bytes_in = count_at(q, 25),
        };

        err = row(self, &r);
    }
    return end_list(q, rc, err);
}

int audit_store_children(struct audit_store *s, const char *parent,
                         int (*agent)(void *self, const char *agent), void *self)
{
    sqlite3_stmt *q = store_statement(s, STORE_LIST_CHILDREN);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    store_bind_text(q, 1, parent);
    while ((rc = sqlite.sqlite3_step(q)) == SQLITE_ROW && err >= 0)
        err = agent(self, text_at(q, 0));
    return end_list(q, rc, err);
}

int audit_store_session(struct audit_store *s, const char *agent,
                        char ret_trace[static AUDIT_TRACE_CAP],
                        char ret_span[static AUDIT_SPAN_CAP])
{
    sqlite3_stmt *q = store_statement(s, STORE_GET_SESSION);
    int err = -ENOENT;
    int rc;

    if (q == NULL)
        return -EIO;
    store_bind_text(q, 1, agent);
    rc = sqlite.sqlite3_step(q);
    if (rc == SQLITE_ROW && sqlite.sqlite3_column_bytes(q, 0) < (int)AUDIT_TRACE_CAP &&
        sqlite.sqlite3_column_bytes(q, 1) < (int)AUDIT_SPAN_CAP) {
        (void)snprintf(ret_trace, AUDIT_TRACE_CAP, "%s", text_at(q, 0));
        (void)snprintf(ret_span, AUDIT_SPAN_CAP, "%s", text_at(q, 1));
        err = 0;
    }
    return end_list(q, rc, err);
}
