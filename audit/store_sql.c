/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statements of the projection, and SQLite's errors as ours. It knows no records.
 */
#include "audit/store_sql.h"

#include <errno.h>
#include <pthread.h>

struct store_sqlite sqlite;
static const char *const sqlite_names[] = {SQLITE_FUNCTIONS(LIBRARY_NAME)};
static pthread_once_t sqlite_once = PTHREAD_ONCE_INIT;
static struct why sqlite_why; /* empty: the library is open */

static void load_sqlite(void)
{
    if (library_open("libsqlite3.so.0", "libsqlite3-0", sqlite_names, ARRAY_COUNT(sqlite_names),
                     &sqlite, &sqlite_why) == 0)
        sqlite_why.text[0] = '\0';
}

int store_load_library(struct why *why)
{
    must(pthread_once(&sqlite_once, load_sqlite) == 0);
    return sqlite_why.text[0] == '\0' ? 0 : why_set(why, -ENOENT, "%s", sqlite_why.text);
}

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

static const char *const sql[STORE_STATEMENTS] = {
    [STORE_PUT_SPAN] =
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
    [STORE_PUT_FLOW] =
        "INSERT INTO flows(id, trace_id, span_id, agent, is_decision, time_ns, "
        "duration_ns, direction,"
        " protocol, src_ip, src_port, dst_ip, dst_port, name, verdict, would_deny, rule, "
        "reason, mode,"
        " carrier, peer, error, exe, pid, bytes_out, bytes_in)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?"
        "21,?22,?23,?24,"
        "?25,?26) ON CONFLICT(id) DO NOTHING",
    [STORE_GET_SOURCE] = "SELECT device, inode, offset FROM sources WHERE path = ?1",
    [STORE_PUT_SOURCE] = "INSERT INTO sources(path, device, inode, offset) VALUES(?1,?2,?3,?4)"
                         " ON CONFLICT(path) DO UPDATE SET device = ?2, inode = ?3, offset = ?4",
    [STORE_LIST_TRACES] = TRACES("true"),
    [STORE_LIST_TRACES_OF_TRACE] = TRACES("trace_id = ?1 AND (?2 IS NULL OR trace_id IN (SELECT"
                                          " trace_id FROM trace_agents WHERE agent = ?2))"),
    [STORE_LIST_TRACES_OF_AGENT] = TRACES("trace_id IN (SELECT trace_id FROM trace_agents WHERE"
                                          " agent = ?2)"),
    [STORE_LIST_SPANS] = SPANS("true"),
    [STORE_LIST_SPANS_OF_TRACE] = SPANS("trace_id = ?1 AND (?2 IS NULL OR agent = ?2)"),
    [STORE_LIST_SPANS_OF_AGENT] = SPANS("agent = ?2"),
    [STORE_LIST_FLOWS] = FLOWS("true"),
    [STORE_LIST_FLOWS_OF_TRACE] = FLOWS("trace_id = ?1 AND (?2 IS NULL OR agent = ?2)"),
    [STORE_LIST_FLOWS_OF_AGENT] = FLOWS("agent = ?2"),
    [STORE_GET_SESSION] =
        "SELECT trace_id, span_id FROM spans AS s WHERE agent = ?1 AND kind = 'sandbox'"
        " AND NOT EXISTS (SELECT 1 FROM spans AS p WHERE p.trace_id = s.trace_id" /* of */
        " AND p.span_id = s.parent_span_id AND p.agent = s.agent)" /* an MCP server */
        " ORDER BY started_ns DESC LIMIT 1",
    [STORE_LIST_CHILDREN] = "SELECT DISTINCT agent FROM spans WHERE parent = ?1 ORDER BY agent",
};

int store_error(int rc)
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

int store_run(struct audit_store *s, const char *text)
{
    return store_error(sqlite.sqlite3_exec(s->db, text, NULL, NULL, NULL));
}

sqlite3_stmt *store_statement(struct audit_store *s, enum store_statement which)
{
    if (s->statements[which] == NULL &&
        sqlite.sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                  &s->statements[which], NULL) != SQLITE_OK)
        return NULL;
    return s->statements[which];
}

/** Run a statement that returns no rows. */
int store_finish(sqlite3_stmt *q)
{
    int rc = sqlite.sqlite3_step(q);

    (void)sqlite.sqlite3_reset(q); /* repeats the error of the step */
    (void)sqlite.sqlite3_clear_bindings(q);
    return store_error(rc);
}

void store_bind_text(sqlite3_stmt *q, int i, const char *text)
{
    /* A failure of binding (out of memory) shows as a missing NOT NULL value or a lost column; the
     * lengths are bounded by the record. */
    (void)sqlite.sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
}

void store_bind_number(sqlite3_stmt *q, int i, int64_t v, bool is_present)
{
    if (is_present)
        (void)sqlite.sqlite3_bind_int64(q, i, v);
    else
        (void)sqlite.sqlite3_bind_null(q, i);
}
