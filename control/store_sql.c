/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements and transactions, in few words. Every statement is prepared from constant text with
 * bound values; SQLite's codes become -errno here and nowhere else. It knows nothing of what is
 * stored.
 */
#include "control/store_sql.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/** One value to bind; the kind is the letter in sql_query()'s format. */
static int bind_all(sqlite3_stmt *st, const char *kinds, va_list args)
{
    int rc = SQLITE_OK;

    for (int i = 0; kinds[i] != '\0' && rc == SQLITE_OK; i++) {
        const void *blob;

        switch (kinds[i]) {
        case 'i':
            rc = sqlite3_bind_int64(st, i + 1, va_arg(args, int64_t));
            break;
        case 's':
            rc = sqlite3_bind_text(st, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
            break;
        case 'b':
            blob = va_arg(args, const struct bytes *);
            rc = sqlite3_bind_blob64(st, i + 1, ((const struct bytes *)blob)->data,
                                     ((const struct bytes *)blob)->len, SQLITE_TRANSIENT);
            break;
        default: /* 'h': 32 bytes, or NULL */
            blob = va_arg(args, const void *);
            rc = sqlite3_bind_blob(st, i + 1, blob, blob != NULL ? 32 : 0, SQLITE_TRANSIENT);
            break;
        }
    }
    return rc == SQLITE_OK ? 0 : -EIO;
}

int sql_query(struct store *s, sqlite3_stmt **ret, const char *sql, const char *kinds, ...)
{
    va_list args;
    int err;

    if (sqlite3_prepare_v2(s->db, sql, -1, ret, NULL) != SQLITE_OK)
        return -EIO;
    va_start(args, kinds);
    err = bind_all(*ret, kinds, args);
    va_end(args);
    if (err < 0) {
        (void)sqlite3_finalize(*ret);
        *ret = NULL;
    }
    return err;
}

int sql_step(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);

    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    return (rc & 0xff) == SQLITE_CONSTRAINT ? -EEXIST : -EIO;
}

int sql_finish(struct store *s, sqlite3_stmt *st)
{
    int err;

    do
        err = sql_step(st);
    while (err > 0);
    (void)sqlite3_finalize(st);
    return err < 0 ? err : sqlite3_changes(s->db);
}

int sql_exec(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

int64_t sql_number(struct store *s, const char *sql, int64_t none)
{
    sqlite3_stmt *st;
    int64_t v = none;

    if (sql_query(s, &st, sql, "") < 0)
        return none;
    if (sql_step(st) > 0 && sqlite3_column_type(st, 0) != SQLITE_NULL)
        v = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return v;
}

int sql_read_text(sqlite3_stmt *st, int column, char *ret, size_t cap)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    int len = snprintf(ret, cap, "%s", text != NULL ? (const char *)text : "");

    return text != NULL && len >= 0 && (size_t)len < cap ? 0 : -EIO;
}

struct bytes sql_bytes(sqlite3_stmt *st, int column)
{
    const void *text = sqlite3_column_text(st, column);

    return bytes_of(text, text != NULL ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

/* ── Transactions: they may nest, the outermost decides ──────────────────────────────────────────
 */

int store_begin(struct store *s)
{
    return sql_exec(s, "BEGIN IMMEDIATE");
}

int store_commit(struct store *s)
{
    return sql_exec(s, "COMMIT");
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        (void)!sql_exec(s, "ROLLBACK");
}

int sql_begin(struct store *s, bool *ret_own)
{
    *ret_own = sqlite3_get_autocommit(s->db) != 0;
    return *ret_own ? store_begin(s) : 0;
}

int sql_end(struct store *s, bool own, int result)
{
    int err;

    if (!own)
        return result;
    err = result < 0 ? result : store_commit(s);
    if (err < 0)
        store_rollback(s);
    return err < 0 ? err : result;
}
