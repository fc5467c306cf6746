/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The projection of records into SQLite: one table of spans, one of flows. It is derived data:
 * every row can be made again from a log or from the stream, and taking the same record twice
 * changes nothing. A span has two records when it is a program or a sandbox (begin and end);
 * whichever comes first makes the row, the other completes it.
 */
#include "audit/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/outbox.h"
#include "audit/record.h"
#include "audit/store_schema.h"
#include "audit/store_sql.h"

#define BUSY_MS 5000

static int read_version(struct audit_store *s, int *ret)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite.sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite.sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *ret = sqlite.sqlite3_column_int(q, 0);
    (void)sqlite.sqlite3_finalize(q);
    return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -EIO : store_error(rc);
}

static int migrate_locked(struct audit_store *s, struct why *why)
{
    const int latest = STORE_MIGRATIONS;
    char set[48];
    int version = 0;
    int err = read_version(s, &version);

    if (err < 0)
        return err;
    if (version > latest)
        return why_set(why, -EPROTO,
                       "the database was made by a newer lattice (schema %d, we know %d)", version,
                       latest);
    for (int i = version; err == 0 && i < latest; i++)
        err = store_run(s, store_migrations[i]);
    (void)snprintf(set, sizeof(set), "PRAGMA user_version = %d", latest);
    return err < 0 ? err : store_run(s, set);
}

static int prepare_database(struct audit_store *s, struct why *why)
{
    int err = store_run(
        s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");

    if (err == 0)
        err = store_run(s, "BEGIN IMMEDIATE");
    if (err < 0)
        return err;
    err = migrate_locked(s, why);
    if (err < 0) {
        (void)store_run(s, "ROLLBACK"); /* the first error is the one to tell */
        return err;
    }
    return store_run(s, "COMMIT");
}

int audit_store_open(const char *path, struct audit_store **ret, struct why *why)
{
    struct audit_store *s;
    mode_t mask;
    int err = store_load_library(why);

    if (err < 0)
        return err;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    mask = umask(0077); /* it holds what the logs hold */
    err = store_error(sqlite.sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
    if (err == 0) {
        (void)sqlite.sqlite3_busy_timeout(s->db, BUSY_MS);
        if (why != NULL)
            why->text[0] = '\0';
        err = prepare_database(s, why);
    }
    (void)umask(mask);
    if (err < 0) {
        if (why == NULL || why->text[0] == '\0')
            (void)why_set(why, err, "cannot open the database %s: %s", path,
                          sqlite.sqlite3_errmsg(s->db));
        audit_store_close(s);
        return err;
    }
    *ret = s;
    return 0;
}

void audit_store_close(struct audit_store *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < STORE_STATEMENTS; i++)
        (void)sqlite.sqlite3_finalize(s->statements[i]);
    (void)sqlite.sqlite3_close(s->db);
    free(s);
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static const char *span_kind(const struct audit_record *r)
{
    if (r->kind == AUDIT_START || r->kind == AUDIT_STOP)
        return "sandbox";
    return r->kind == AUDIT_SPAN ? "tool" : "exec";
}

static const char *span_status(const struct audit_record *r)
{
    if (r->status != NULL)
        return r->status;
    return r->kind == AUDIT_STOP && (r->exit_status != 0 || r->error != NULL) ? "error" : "ok";
}

int store_put_span(struct audit_store *s, const struct audit_record *r, const char *id)
{
    sqlite3_stmt *q = store_statement(s, STORE_PUT_SPAN);
    bool is_ended = r->kind == AUDIT_STOP || r->kind == AUDIT_EXIT || r->kind == AUDIT_SPAN;
    bool has_duration = is_ended && r->duration_ns >= 0;
    char tool[AUDIT_NAME_MAX + 16];

    if (q == NULL)
        return -EIO;
    tool[0] = '\0';
    if (r->kind == AUDIT_START || r->kind == AUDIT_STOP)
        (void)snprintf(tool, sizeof(tool), "sandbox:%s", or_empty(r->identity));
    store_bind_text(q, 1, or_empty(r->trace_id));
    store_bind_text(q, 2, r->span_id != NULL ? r->span_id : id);
    store_bind_text(q, 3, id);
    store_bind_text(q, 4, span_kind(r));
    store_bind_text(q, 5, r->parent_span_id);
    store_bind_text(q, 6, or_empty(r->identity));
    store_bind_text(q, 7, r->parent_id);
    store_bind_text(q, 8, r->namespace_id);
    store_bind_text(q, 9, r->tool != NULL ? r->tool : tool);
    store_bind_text(q, 10, span_status(r));
    store_bind_text(q, 11, r->error);
    store_bind_text(q, 12, r->reason);
    store_bind_text(q, 13, r->rule);
    store_bind_text(q, 14, r->mode);
    store_bind_text(q, 15, r->exe);
    store_bind_text(q, 16, r->arguments);
    store_bind_text(q, 17, r->detail);
    store_bind_number(q, 18, r->wall_ns - (has_duration ? r->duration_ns : 0), true);
    store_bind_number(q, 19, r->duration_ns, has_duration);
    store_bind_number(q, 20, r->pid, r->pid > 0);
    store_bind_number(q, 21, r->exit_status, r->kind == AUDIT_STOP || r->kind == AUDIT_EXIT);
    store_bind_number(q, 22, is_ended, true);
    return store_finish(q);
}

int store_put_flow(struct audit_store *s, const struct audit_record *r, const char *id)
{
    sqlite3_stmt *q = store_statement(s, STORE_PUT_FLOW);
    char src[IP_TEXT_CAP];
    char dst[IP_TEXT_CAP];

    if (q == NULL)
        return -EIO;
    store_bind_text(q, 1, id);
    store_bind_text(q, 2, or_empty(r->trace_id));
    store_bind_text(q, 3, r->span_id != NULL ? r->span_id : r->parent_span_id);
    store_bind_text(q, 4, or_empty(r->identity));
    store_bind_number(q, 5, r->kind == AUDIT_DECISION, true);
    store_bind_number(q, 6, r->wall_ns, true);
    store_bind_number(q, 7, r->duration_ns, r->kind == AUDIT_FLOW && r->duration_ns >= 0);
    store_bind_text(q, 8, r->direction);
    store_bind_text(q, 9, r->protocol);
    store_bind_text(q, 10, r->src.ip.family != IP_NONE ? ip_print(&r->src.ip, src) : NULL);
    store_bind_number(q, 11, r->src.port, r->src.port != 0);
    store_bind_text(q, 12, r->dst.ip.family != IP_NONE ? ip_print(&r->dst.ip, dst) : NULL);
    store_bind_number(q, 13, r->dst.port, true);
    store_bind_text(q, 14, r->name);
    store_bind_text(q, 15, or_empty(r->verdict));
    store_bind_number(q, 16, r->would_deny, true);
    store_bind_text(q, 17, r->rule);
    store_bind_text(q, 18, r->reason);
    store_bind_text(q, 19, r->mode);
    store_bind_text(q, 20, r->carrier);
    store_bind_text(q, 21, r->peer);
    store_bind_text(q, 22, r->error);
    store_bind_text(q, 23, r->exe);
    store_bind_number(q, 24, r->pid, r->pid > 0);
    store_bind_number(q, 25, (int64_t)(r->bytes_out & INT64_MAX), true);
    store_bind_number(q, 26, (int64_t)(r->bytes_in & INT64_MAX), true);
    return store_finish(q);
}

int store_put_record(struct audit_store *s, const struct audit_record *r, const char *chain,
                     uint64_t seq)
{
    char id[64];

    (void)snprintf(id, sizeof(id), "%s-%" PRIu64, chain, seq);
    return record_is_span(r) ? store_put_span(s, r, id) : store_put_flow(s, r, id);
}

int audit_store_begin(struct audit_store *s)
{
    int err = s->is_bundled ? 0 : store_run(s, "BEGIN IMMEDIATE");

    s->is_bundled = s->is_bundled || err == 0;
    return err;
}

int audit_store_commit(struct audit_store *s)
{
    int err = s->is_bundled ? store_run(s, "COMMIT") : 0;

    if (err < 0)
        (void)store_run(s, "ROLLBACK"); /* all of the bundle or nothing; the caller hears of it */
    s->is_bundled = false;
    return err;
}

/** Does the subject's last word say the same agent as the record? */
static bool is_subject_of(const char *subject, const struct audit_record *r)
{
    const char *dot = strrchr(subject, '.');
    struct buf token;
    bool is_same;

    buf_init(&token, AUDIT_NAME_MAX + 1);
    outbox_add_token(&token, r->identity);
    is_same = dot != NULL && strcmp(dot + 1, buf_text(&token)) == 0;
    buf_done(&token);
    return is_same;
}

int audit_store_put(struct audit_store *s, const char *subject, struct bytes payload,
                    struct why *why)
{
    struct record_text t;
    int err = record_read(payload, RECORD_STREAM, &t, why);

    if (err < 0)
        return err;
    if (t.chain[0] == '\0')
        err = why_set(why, -EINVAL, "it has no \"chain\" and \"seq\"");
    else if (subject != NULL && !is_subject_of(subject, &t.r))
        err = why_set(why, -EPERM, "it speaks for another agent than its subject");
    else
        err = store_put_record(s, &t.r, t.chain, t.seq);
    record_text_done(&t);
    return err;
}
