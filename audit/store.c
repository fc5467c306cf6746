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
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/outbox.h"
#include "audit/record.h"
#include "audit/store_schema.h"
#include "base/json_out.h"
#include "base/own.h"

#define LOAD_BUNDLE  2000u /* records in one transaction */
#define BUSY_MS      5000
#define ROWS_DEFAULT 50u

enum statement {
    PUT_SPAN,
    PUT_FLOW,
    GET_SOURCE,
    PUT_SOURCE,
    LIST_TRACES,
    LIST_TRACES_OF_TRACE, /* in this order: which_list() */
    LIST_TRACES_OF_AGENT,
    LIST_SPANS,
    LIST_SPANS_OF_TRACE, /* in this order: which_list() */
    LIST_SPANS_OF_AGENT,
    LIST_FLOWS,
    LIST_FLOWS_OF_TRACE, /* in this order: which_list() */
    LIST_FLOWS_OF_AGENT,
    LIST_CHILDREN,
    GET_SESSION,
    STATEMENTS
};

/* Filters: ?1 trace, ?2 agent, ?3 verdict, each NULL when it does not matter; ?4 from; ?5 and ?6:
 * the row before which the page ends. Times always have a value, so that an index can be used: a
 * page costs as much as its rows, wherever it lies. ?7 limit. */
#define PAGE(time, id) " AND " time " >= ?4 AND (" time ", " id ") < (?5, ?6)"

/* The lists, with the condition that an index answers. */
#define TRACES(where)                                                                              \
    "SELECT trace_id, agent, parent, started_ns, ended_ns, spans, failed, flows, dropped, "        \
    "bytes_out, bytes_in FROM traces WHERE " where " AND ?3 IS NULL AND spans > 0" PAGE(           \
        "started_ns", "trace_id") " ORDER BY started_ns DESC, trace_id DESC LIMIT ?7"
#define SPANS(where)                                                                               \
    "SELECT id, kind, trace_id, span_id, parent_span_id, agent, parent, namespace,"                \
    " tool, status, error, reason, rule, mode, exe, arguments, detail, started_ns,"                \
    " coalesce(duration_ns, -1), pid, exit_status FROM spans WHERE " where                         \
    " AND (?3 IS NULL OR status = ?3)" PAGE(                                                       \
        "started_ns", "span_id") " ORDER BY started_ns DESC, span_id DESC LIMIT ?7"
#define FLOWS(where)                                                                               \
    "SELECT id, trace_id, span_id, agent, is_decision, direction, protocol, src_ip,"               \
    " dst_ip, name, verdict, rule, reason, mode, carrier, peer, error, exe,"                       \
    " would_deny, src_port, dst_port, pid, time_ns, coalesce(duration_ns, -1),"                    \
    " bytes_out, bytes_in FROM flows WHERE " where " AND (?3 IS NULL OR verdict = ?3)" PAGE(       \
        "time_ns", "id") " ORDER BY time_ns DESC, id DESC LIMIT ?7"

static const char *const sql[STATEMENTS] = {
    [PUT_SPAN] =
        "INSERT INTO spans(trace_id, span_id, id, kind, parent_span_id, agent, parent, namespace, "
        "tool,"
        " status, error, reason, rule, mode, exe, arguments, detail, started_ns, duration_ns, pid,"
        " exit_status, is_ended)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)"
        " ON CONFLICT(trace_id, span_id) DO UPDATE SET"
        " id = CASE WHEN excluded.is_ended >= is_ended THEN excluded.id ELSE id END,"
        " parent_span_id = coalesce(parent_span_id, excluded.parent_span_id),"
        " parent = coalesce(parent, excluded.parent), namespace = coalesce(namespace, "
        "excluded.namespace),"
        " status = CASE WHEN excluded.is_ended > is_ended THEN excluded.status ELSE status END,"
        " error = coalesce(error, excluded.error), reason = coalesce(reason, excluded.reason),"
        " rule = coalesce(rule, excluded.rule), mode = coalesce(mode, excluded.mode),"
        " exe = coalesce(exe, excluded.exe), arguments = coalesce(arguments, excluded.arguments),"
        " detail = coalesce(detail, excluded.detail), started_ns = min(started_ns, "
        "excluded.started_ns),"
        " duration_ns = coalesce(duration_ns, excluded.duration_ns), pid = coalesce(pid, "
        "excluded.pid),"
        " exit_status = coalesce(exit_status, excluded.exit_status),"
        " is_ended = max(is_ended, excluded.is_ended)",
    [PUT_FLOW] = "INSERT INTO flows(id, trace_id, span_id, agent, is_decision, time_ns, "
                 "duration_ns, direction,"
                 " protocol, src_ip, src_port, dst_ip, dst_port, name, verdict, would_deny, rule, "
                 "reason, mode,"
                 " carrier, peer, error, exe, pid, bytes_out, bytes_in)"
                 " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?"
                 "21,?22,?23,?24,"
                 "?25,?26) ON CONFLICT(id) DO NOTHING",
    [GET_SOURCE] = "SELECT device, inode, offset FROM sources WHERE path = ?1",
    [PUT_SOURCE] = "INSERT INTO sources(path, device, inode, offset) VALUES(?1,?2,?3,?4)"
                   " ON CONFLICT(path) DO UPDATE SET device = ?2, inode = ?3, offset = ?4",
    [LIST_TRACES] = TRACES("true"),
    [LIST_TRACES_OF_TRACE] = TRACES("trace_id = ?1 AND (?2 IS NULL OR trace_id IN (SELECT"
                                    " trace_id FROM trace_agents WHERE agent = ?2))"),
    [LIST_TRACES_OF_AGENT] = TRACES("trace_id IN (SELECT trace_id FROM trace_agents WHERE"
                                    " agent = ?2)"),
    [LIST_SPANS] = SPANS("true"),
    [LIST_SPANS_OF_TRACE] = SPANS("trace_id = ?1 AND (?2 IS NULL OR agent = ?2)"),
    [LIST_SPANS_OF_AGENT] = SPANS("agent = ?2"),
    [LIST_FLOWS] = FLOWS("true"),
    [LIST_FLOWS_OF_TRACE] = FLOWS("trace_id = ?1 AND (?2 IS NULL OR agent = ?2)"),
    [LIST_FLOWS_OF_AGENT] = FLOWS("agent = ?2"),
    [GET_SESSION] =
        "SELECT trace_id, span_id FROM spans AS s WHERE agent = ?1 AND kind = 'sandbox'"
        " AND NOT EXISTS (SELECT 1 FROM spans AS p WHERE p.trace_id = s.trace_id" /* of */
        " AND p.span_id = s.parent_span_id AND p.agent = s.agent)" /* an MCP server */
        " ORDER BY started_ns DESC LIMIT 1",
    [LIST_CHILDREN] = "SELECT DISTINCT agent FROM spans WHERE parent = ?1 ORDER BY agent",
};

struct audit_store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS]; /* prepared at first use */
    bool is_bundled;
};

static int error_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CANTOPEN:
        return -ENOENT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

static int run(struct audit_store *s, const char *text)
{
    return error_of(sqlite3_exec(s->db, text, NULL, NULL, NULL));
}

static int read_version(struct audit_store *s, int *ret)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -EIO : error_of(rc);
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
        err = run(s, store_migrations[i]);
    (void)snprintf(set, sizeof(set), "PRAGMA user_version = %d", latest);
    return err < 0 ? err : run(s, set);
}

static int prepare_database(struct audit_store *s, struct why *why)
{
    int err =
        run(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");

    if (err == 0)
        err = run(s, "BEGIN IMMEDIATE");
    if (err < 0)
        return err;
    err = migrate_locked(s, why);
    if (err < 0) {
        (void)run(s, "ROLLBACK"); /* the first error is the one to tell */
        return err;
    }
    return run(s, "COMMIT");
}

int audit_store_open(const char *path, struct audit_store **ret, struct why *why)
{
    struct audit_store *s = calloc(1, sizeof(*s));
    mode_t mask;
    int err;

    if (s == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    mask = umask(0077); /* it holds what the logs hold */
    err = error_of(sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
    if (err == 0) {
        (void)sqlite3_busy_timeout(s->db, BUSY_MS);
        if (why != NULL)
            why->text[0] = '\0';
        err = prepare_database(s, why);
    }
    (void)umask(mask);
    if (err < 0) {
        if (why == NULL || why->text[0] == '\0')
            (void)why_set(why, err, "cannot open the database %s: %s", path, sqlite3_errmsg(s->db));
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
    for (unsigned i = 0; i < STATEMENTS; i++)
        (void)sqlite3_finalize(s->statements[i]);
    (void)sqlite3_close(s->db);
    free(s);
}

static sqlite3_stmt *statement(struct audit_store *s, enum statement which)
{
    if (s->statements[which] == NULL &&
        sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[which],
                           NULL) != SQLITE_OK)
        return NULL;
    return s->statements[which];
}

/** Run a statement that returns no rows. */
static int finish(sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);

    (void)sqlite3_reset(q); /* repeats the error of the step */
    (void)sqlite3_clear_bindings(q);
    return error_of(rc);
}

static void bind_text(sqlite3_stmt *q, int i, const char *text)
{
    /* A failure of binding (out of memory) shows as a missing NOT NULL value or a lost column; the
     * lengths are bounded by the record. */
    (void)sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *q, int i, int64_t v, bool is_present)
{
    if (is_present)
        (void)sqlite3_bind_int64(q, i, v);
    else
        (void)sqlite3_bind_null(q, i);
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

static int put_span(struct audit_store *s, const struct audit_record *r, const char *id)
{
    sqlite3_stmt *q = statement(s, PUT_SPAN);
    bool is_ended = r->kind == AUDIT_STOP || r->kind == AUDIT_EXIT || r->kind == AUDIT_SPAN;
    bool has_duration = is_ended && r->duration_ns >= 0;
    char tool[AUDIT_NAME_MAX + 16];

    if (q == NULL)
        return -EIO;
    tool[0] = '\0';
    if (r->kind == AUDIT_START || r->kind == AUDIT_STOP)
        (void)snprintf(tool, sizeof(tool), "sandbox:%s", or_empty(r->identity));
    bind_text(q, 1, or_empty(r->trace_id));
    bind_text(q, 2, r->span_id != NULL ? r->span_id : id);
    bind_text(q, 3, id);
    bind_text(q, 4, span_kind(r));
    bind_text(q, 5, r->parent_span_id);
    bind_text(q, 6, or_empty(r->identity));
    bind_text(q, 7, r->parent_id);
    bind_text(q, 8, r->namespace_id);
    bind_text(q, 9, r->tool != NULL ? r->tool : tool);
    bind_text(q, 10, span_status(r));
    bind_text(q, 11, r->error);
    bind_text(q, 12, r->reason);
    bind_text(q, 13, r->rule);
    bind_text(q, 14, r->mode);
    bind_text(q, 15, r->exe);
    bind_text(q, 16, r->arguments);
    bind_text(q, 17, r->detail);
    bind_number(q, 18, r->wall_ns - (has_duration ? r->duration_ns : 0), true);
    bind_number(q, 19, r->duration_ns, has_duration);
    bind_number(q, 20, r->pid, r->pid > 0);
    bind_number(q, 21, r->exit_status, r->kind == AUDIT_STOP || r->kind == AUDIT_EXIT);
    bind_number(q, 22, is_ended, true);
    return finish(q);
}

static int put_flow(struct audit_store *s, const struct audit_record *r, const char *id)
{
    sqlite3_stmt *q = statement(s, PUT_FLOW);
    char src[IP_TEXT_CAP];
    char dst[IP_TEXT_CAP];

    if (q == NULL)
        return -EIO;
    bind_text(q, 1, id);
    bind_text(q, 2, or_empty(r->trace_id));
    bind_text(q, 3, r->span_id != NULL ? r->span_id : r->parent_span_id);
    bind_text(q, 4, or_empty(r->identity));
    bind_number(q, 5, r->kind == AUDIT_DECISION, true);
    bind_number(q, 6, r->wall_ns, true);
    bind_number(q, 7, r->duration_ns, r->kind == AUDIT_FLOW && r->duration_ns >= 0);
    bind_text(q, 8, r->direction);
    bind_text(q, 9, r->protocol);
    bind_text(q, 10, r->src.ip.family != IP_NONE ? ip_print(&r->src.ip, src) : NULL);
    bind_number(q, 11, r->src.port, r->src.port != 0);
    bind_text(q, 12, r->dst.ip.family != IP_NONE ? ip_print(&r->dst.ip, dst) : NULL);
    bind_number(q, 13, r->dst.port, true);
    bind_text(q, 14, r->name);
    bind_text(q, 15, or_empty(r->verdict));
    bind_number(q, 16, r->would_deny, true);
    bind_text(q, 17, r->rule);
    bind_text(q, 18, r->reason);
    bind_text(q, 19, r->mode);
    bind_text(q, 20, r->carrier);
    bind_text(q, 21, r->peer);
    bind_text(q, 22, r->error);
    bind_text(q, 23, r->exe);
    bind_number(q, 24, r->pid, r->pid > 0);
    bind_number(q, 25, (int64_t)(r->bytes_out & INT64_MAX), true);
    bind_number(q, 26, (int64_t)(r->bytes_in & INT64_MAX), true);
    return finish(q);
}

static int put_record(struct audit_store *s, const struct audit_record *r, const char *chain,
                      uint64_t seq)
{
    char id[64];

    (void)snprintf(id, sizeof(id), "%s-%" PRIu64, chain, seq);
    return record_is_span(r) ? put_span(s, r, id) : put_flow(s, r, id);
}

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
        err = is_span ? put_span(s, &t.r, id) : put_flow(s, &t.r, id);
        record_text_done(&t);
    }
    buf_done(&text);
    return err;
}

int audit_store_begin(struct audit_store *s)
{
    int err = s->is_bundled ? 0 : run(s, "BEGIN IMMEDIATE");

    s->is_bundled = s->is_bundled || err == 0;
    return err;
}

int audit_store_commit(struct audit_store *s)
{
    int err = s->is_bundled ? run(s, "COMMIT") : 0;

    if (err < 0)
        (void)run(s, "ROLLBACK"); /* all of the bundle or nothing; the caller hears of it */
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
        err = put_record(s, &t.r, t.chain, t.seq);
    record_text_done(&t);
    return err;
}

static int find_source(struct audit_store *s, const char *path, const struct stat *st,
                       uint64_t *ret_offset)
{
    sqlite3_stmt *q = statement(s, GET_SOURCE);
    int rc;

    *ret_offset = 0;
    if (q == NULL)
        return -EIO;
    bind_text(q, 1, path);
    rc = sqlite3_step(q);
    /* Another file under the same name, or one that was cut, is read anew. */
    if (rc == SQLITE_ROW && sqlite3_column_int64(q, 0) == (int64_t)st->st_dev &&
        sqlite3_column_int64(q, 1) == (int64_t)st->st_ino &&
        sqlite3_column_int64(q, 2) <= st->st_size)
        *ret_offset = (uint64_t)sqlite3_column_int64(q, 2);
    (void)sqlite3_reset(q);
    return error_of(rc);
}

static int remember_source(struct audit_store *s, const char *path, const struct stat *st,
                           uint64_t offset)
{
    sqlite3_stmt *q = statement(s, PUT_SOURCE);

    if (q == NULL)
        return -EIO;
    bind_text(q, 1, path);
    bind_number(q, 2, (int64_t)st->st_dev, true);
    bind_number(q, 3, (int64_t)st->st_ino, true);
    bind_number(q, 4, (int64_t)offset, true);
    return finish(q);
}

struct load {
    struct audit_store *store;
    const char *path;
    struct stat st;
    uint64_t offset;
    int64_t taken;
    uint64_t skipped;
};

static void roll_back(struct audit_store *s)
{
    (void)run(s, "ROLLBACK"); /* fails only when the error before has rolled back already */
    s->is_bundled = false;
}

/** One bundle. Returns 1 when more may follow, 0 at the end. */
static int load_bundle(struct load *l, struct audit_reader *reader, struct why *why)
{
    int got = 1;
    int err = audit_store_begin(l->store);

    for (unsigned i = 0; err == 0 && i < LOAD_BUNDLE; i++) {
        struct audit_entry entry;

        got = audit_reader_next(reader, &entry, why);
        if (got == -EBADMSG) {
            l->skipped++;
            continue;
        }
        if (got <= 0)
            break;
        if (entry.chain[0] == '\0') {
            l->skipped++;
            continue;
        }
        err = put_record(l->store, &entry.record, entry.chain, entry.seq);
        l->offset = entry.end_offset;
        l->taken++;
    }
    if (err == 0)
        err = remember_source(l->store, l->path, &l->st, l->offset);
    if (err == 0)
        err = audit_store_commit(l->store);
    else
        roll_back(l->store);
    return err < 0 ? err : got == -EBADMSG ? 1 : got;
}

int64_t audit_store_load(struct audit_store *s, const char *log_path, uint64_t *ret_skipped,
                         struct why *why)
{
    struct load l = {.store = s, .path = log_path};
    struct audit_reader *reader = NULL;
    int err;

    must(!s->is_bundled);
    if (stat(log_path, &l.st) < 0)
        return why_set(why, -errno, "cannot read %s: %s", log_path, strerror(errno));
    err = find_source(s, log_path, &l.st, &l.offset);
    if (err == 0)
        err = audit_reader_open(log_path, l.offset, &reader, why);
    if (err < 0)
        return err;
    do
        err = load_bundle(&l, reader, why);
    while (err == 1);
    audit_reader_close(reader);
    if (ret_skipped != NULL)
        *ret_skipped = l.skipped;
    return err < 0 ? err : l.taken;
}

/** The variant of a list whose condition an index answers. */
static enum statement which_list(enum statement all, const struct audit_filter *f)
{
    return (enum statement)((int)all + (f->trace_id != NULL ? 1 : f->agent != NULL ? 2 : 0));
}

/** A page ends before the cursor or the end of the time asked for, whichever comes first. */
static void bind_end(sqlite3_stmt *q, const struct audit_filter *f)
{
    int64_t to_ns = f->to_ns != 0 ? f->to_ns : INT64_MAX;
    bool is_cursor = f->before_ns != 0 && f->before_ns < to_ns;

    bind_number(q, 5, is_cursor ? f->before_ns : to_ns, true);
    bind_text(q, 6, is_cursor && f->before_id != NULL ? f->before_id : "");
}

static sqlite3_stmt *begin_list(struct audit_store *s, enum statement which,
                                const struct audit_filter *f)
{
    sqlite3_stmt *q = statement(s, which_list(which, f));

    if (q == NULL)
        return NULL;
    bind_text(q, 1, f->trace_id);
    bind_text(q, 2, f->agent);
    bind_text(q, 3, f->verdict);
    bind_number(q, 4, f->from_ns, true);
    bind_end(q, f);
    bind_number(q, 7,
                f->limit == 0               ? ROWS_DEFAULT
                : f->limit < AUDIT_ROWS_MAX ? f->limit
                                            : AUDIT_ROWS_MAX,
                true);
    return q;
}

static int end_list(sqlite3_stmt *q, int rc, int err)
{
    (void)sqlite3_reset(q); /* repeats the error of the last step */
    (void)sqlite3_clear_bindings(q);
    return err < 0 ? err : error_of(rc);
}

static const char *text_at(sqlite3_stmt *q, int i)
{
    return (const char *)sqlite3_column_text(q, i);
}

static uint64_t count_at(sqlite3_stmt *q, int i)
{
    return (uint64_t)sqlite3_column_int64(q, i);
}

int audit_store_traces(struct audit_store *s, const struct audit_filter *f,
                       int (*row)(void *self, const struct audit_trace_row *r), void *self)
{
    sqlite3_stmt *q = begin_list(s, LIST_TRACES, f);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && err >= 0) {
        const struct audit_trace_row r = {
            .trace_id = text_at(q, 0),
            .agent = text_at(q, 1),
            .parent = text_at(q, 2),
            .started_ns = sqlite3_column_int64(q, 3),
            .ended_ns = sqlite3_column_int64(q, 4),
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
    sqlite3_stmt *q = begin_list(s, LIST_SPANS, f);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && err >= 0) {
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
            .started_ns = sqlite3_column_int64(q, 17),
            .duration_ns = sqlite3_column_int64(q, 18),
            .pid = sqlite3_column_int(q, 19),
            .exit_status = sqlite3_column_int(q, 20),
        };

        err = row(self, &r);
    }
    return end_list(q, rc, err);
}

int audit_store_flows(struct audit_store *s, const struct audit_filter *f,
                      int (*row)(void *self, const struct audit_flow_row *r), void *self)
{
    sqlite3_stmt *q = begin_list(s, LIST_FLOWS, f);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && err >= 0) {
        const struct audit_flow_row r = {
            .id = text_at(q, 0),
            .trace_id = text_at(q, 1),
            .span_id = text_at(q, 2),
            .agent = text_at(q, 3),
            .is_decision = sqlite3_column_int(q, 4) != 0,
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
            .would_deny = sqlite3_column_int(q, 18) != 0,
            .src_port = (uint16_t)sqlite3_column_int(q, 19),
            .dst_port = (uint16_t)sqlite3_column_int(q, 20),
            .pid = sqlite3_column_int(q, 21),
            .time_ns = sqlite3_column_int64(q, 22),
            .duration_ns = sqlite3_column_int64(q, 23),
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
    sqlite3_stmt *q = statement(s, LIST_CHILDREN);
    int err = 0;
    int rc;

    if (q == NULL)
        return -EIO;
    bind_text(q, 1, parent);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && err >= 0)
        err = agent(self, text_at(q, 0));
    return end_list(q, rc, err);
}

int audit_store_session(struct audit_store *s, const char *agent,
                        char ret_trace[static AUDIT_TRACE_CAP],
                        char ret_span[static AUDIT_SPAN_CAP])
{
    sqlite3_stmt *q = statement(s, GET_SESSION);
    int err = -ENOENT;
    int rc;

    if (q == NULL)
        return -EIO;
    bind_text(q, 1, agent);
    rc = sqlite3_step(q);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(q, 0) < (int)AUDIT_TRACE_CAP &&
        sqlite3_column_bytes(q, 1) < (int)AUDIT_SPAN_CAP) {
        (void)snprintf(ret_trace, AUDIT_TRACE_CAP, "%s", text_at(q, 0));
        (void)snprintf(ret_span, AUDIT_SPAN_CAP, "%s", text_at(q, 1));
        err = 0;
    }
    return end_list(q, rc, err);
}
