/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Approvals: a call that changes something, kept word by word until a person decides. One moves
 * from pending to exactly one end, by a compare-and-swap; what was approved is carried out in the
 * same transaction. Its hash ties it to tool, namespace and the very bytes of the arguments.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/network.h"
#include "control/store_sql.h"

#define TIME(column) "strftime('%Y-%m-%dT%H:%M:%SZ', " column ", 'unixepoch')"
#define APPROVAL_DOC                                                                               \
    "json_object('id', id, 'namespace', ns, 'tool', tool, 'arguments', json(arguments),"           \
    " 'argumentsHash', lower(hex(hash)), 'requestedBy', requested_by, 'state', state,"             \
    " 'createdAt', " TIME("created_s") ", 'expiresAt', " TIME(                                     \
        "expires_s") ","                                                                           \
                     " 'decidedAt', iif(decided_s = 0, NULL, " TIME(                               \
                         "decided_s") "),"                                                         \
                                      " 'decidedBy', nullif(decided_by, ''), 'via', nullif(via, "  \
                                      "''),"                                                       \
                                      " 'result', json(result), 'error', nullif(error, ''))"

const char store_step_approvals[] =
    "CREATE TABLE approvals("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, ns TEXT NOT NULL,"
    "  tool TEXT NOT NULL, arguments TEXT NOT NULL, hash BLOB NOT NULL,"
    "  requested_by TEXT NOT NULL, created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
    "  state TEXT NOT NULL DEFAULT 'pending' CHECK(state IN"
    "   ('pending','approved','executed','failed','rejected','expired')),"
    "  decided_s INTEGER NOT NULL DEFAULT 0, decided_by TEXT NOT NULL DEFAULT '',"
    "  via TEXT NOT NULL DEFAULT '', result TEXT, error TEXT NOT NULL DEFAULT '',"
    "  is_delivered INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX approvals_state ON approvals(state, expires_s);";

void store_approval_done(struct store_approval *a)
{
    json_free(a->arguments);
    json_free(a->result);
    a->arguments = NULL;
    a->result = NULL;
}

static int read_doc(sqlite3_stmt *st, int column, struct json_doc **ret)
{
    struct json_limits limits = {.bytes = CALL_DATA_MAX};
    struct bytes text = sql_bytes(st, column);

    if (text.data == NULL)
        return 0;
    return json_parse(text, &limits, ret, NULL) < 0 ? -EIO : 0;
}

#define APPROVAL_COLUMNS                                                                           \
    "id, ns, tool, state, requested_by, expires_s, arguments, result, error, is_delivered"

/** Read the only row, finalise. Errors: -ENOENT no row. */
static int read_approval(sqlite3_stmt *st, struct store_approval *ret)
{
    struct store_approval a = {.expires_s = 0};
    int err = sql_step(st);

    if (err <= 0) {
        (void)sqlite3_finalize(st);
        return err == 0 ? -ENOENT : err;
    }
    a.expires_s = sqlite3_column_int64(st, 5);
    a.is_delivered = sqlite3_column_int(st, 9) != 0;
    err = 0;
    if (sql_read_text(st, 0, a.id, sizeof(a.id)) < 0 ||
        sql_read_text(st, 1, a.ns, sizeof(a.ns)) < 0 ||
        sql_read_text(st, 2, a.tool, sizeof(a.tool)) < 0 ||
        sql_read_text(st, 3, a.state, sizeof(a.state)) < 0 ||
        sql_read_text(st, 4, a.requested_by, sizeof(a.requested_by)) < 0 ||
        sql_read_text(st, 8, a.error, sizeof(a.error)) < 0 || read_doc(st, 6, &a.arguments) < 0 ||
        read_doc(st, 7, &a.result) < 0)
        err = -EIO;
    (void)sqlite3_finalize(st);
    if (err < 0)
        store_approval_done(&a);
    else
        *ret = a;
    return err;
}

int store_approval_expire(struct store *s, int64_t now_s)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "UPDATE approvals SET state = 'expired' WHERE state = 'pending'"
                        " AND expires_s <= ?1",
                        "i", now_s);

    if (err == 0)
        err = sql_finish(s, st);
    return err < 0 ? err : 0;
}

static int find_same(struct store *s, const struct store_approval *a,
                     const uint8_t hash[static HASH_LEN], struct store_approval *ret)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "SELECT " APPROVAL_COLUMNS " FROM approvals WHERE hash = ?1 AND ns = ?2"
                        " AND tool = ?3 AND requested_by = ?4 AND is_delivered = 0"
                        " ORDER BY number DESC LIMIT 1",
                        "hsss", hash, a->ns, a->tool, a->requested_by);

    return err < 0 ? err : read_approval(st, ret);
}

int store_approval_ask(struct store *s, const struct store_approval *a, const char *arguments,
                       const uint8_t hash[static HASH_LEN], int64_t now_s,
                       struct store_approval *ret)
{
    sqlite3_stmt *st;
    int err = store_approval_expire(s, now_s);

    if (err == 0)
        err = find_same(s, a, hash, ret);
    if (err != -ENOENT)
        return err;
    err = sql_query(s, &st,
                    "INSERT INTO approvals(id, ns, tool, arguments, hash, requested_by,"
                    " created_s, expires_s) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8"
                    " WHERE (SELECT count(*) FROM approvals WHERE ns = ?2 AND state = 'pending')"
                    " < ?9",
                    "sssshsiii", a->id, a->ns, a->tool, arguments, hash, a->requested_by, now_s,
                    now_s + APPROVAL_LIFE_S, (int64_t)APPROVALS_MAX);
    if (err == 0)
        err = sql_finish(s, st);
    if (err == 0)
        return -ENOSPC;
    return err < 0 ? err : store_approval_get(s, a->id, ret);
}

int store_approval_get(struct store *s, const char *id, struct store_approval *ret)
{
    sqlite3_stmt *st;
    int err =
        sql_query(s, &st, "SELECT " APPROVAL_COLUMNS " FROM approvals WHERE id = ?1", "s", id);

    return err < 0 ? err : read_approval(st, ret);
}

int store_approval_decide(struct store *s, const char *id, const char *state, const char *by,
                          const char *via, int64_t now_s)
{
    struct store_approval a;
    sqlite3_stmt *st;
    int err = store_approval_expire(s, now_s);

    if (err == 0)
        err = sql_query(s, &st,
                        "UPDATE approvals SET state = ?2, decided_by = ?3, via = ?4,"
                        " decided_s = ?5 WHERE id = ?1 AND state = 'pending'",
                        "ssssi", id, state, by, via, now_s);
    if (err == 0)
        err = sql_finish(s, st);
    if (err != 0)
        return err < 0 ? err : 0;
    err = store_approval_get(s, id, &a);
    if (err < 0)
        return err;
    err = strcmp(a.state, "expired") == 0 ? -ETIME : -EALREADY;
    store_approval_done(&a);
    return err;
}

int store_approval_outcome(struct store *s, const char *id, const char *state, const char *result,
                           const char *error)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "UPDATE approvals SET state = ?2, result = nullif(?3, ''), error = ?4"
                        " WHERE id = ?1 AND state = 'approved'",
                        "ssss", id, state, result, error);

    if (err == 0)
        err = sql_finish(s, st);
    return err < 0 ? err : 0;
}

int store_approval_deliver(struct store *s, const char *id)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "UPDATE approvals SET is_delivered = 1 WHERE id = ?1", "s", id);

    if (err == 0)
        err = sql_finish(s, st);
    return err < 0 ? err : 0;
}

int store_approval_list(struct store *s, const char *state, int64_t after, unsigned limit,
                        struct json_out *j, int64_t *ret_last)
{
    sqlite3_stmt *st;
    int rows = 0;
    int err = sql_query(s, &st,
                        "SELECT " APPROVAL_DOC ", number FROM approvals"
                        " WHERE (?1 = '' OR state = ?1) AND (?2 = 0 OR number < ?2)"
                        " ORDER BY number DESC LIMIT ?3",
                        "sii", state, after, (int64_t)limit);

    if (err < 0)
        return err;
    while ((err = sql_step(st)) > 0) {
        json_raw(j, sql_bytes(st, 0));
        *ret_last = sqlite3_column_int64(st, 1);
        rows++;
    }
    (void)sqlite3_finalize(st);
    return err < 0 ? err : rows;
}

int store_approval_write(struct store *s, const char *id, struct json_out *j)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "SELECT " APPROVAL_DOC " FROM approvals WHERE id = ?1", "s", id);

    if (err < 0)
        return err;
    err = sql_step(st);
    if (err > 0)
        json_raw(j, sql_bytes(st, 0));
    (void)sqlite3_finalize(st);
    if (err == 0)
        return -ENOENT;
    return err < 0 ? err : 0;
}
