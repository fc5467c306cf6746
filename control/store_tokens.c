/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment tokens in the database. Only the hash of a token's secret is here; taking one is a
 * single UPDATE, so that of many who try at once one succeeds.
 */
#include <errno.h>

#include "control/store_sql.h"

void store_token_done(struct store_token *t)
{
    identity_done(&t->grant);
}

int store_token_add(struct store *s, const struct store_token *t)
{
    const struct identity *g = &t->grant;
    struct identity_lists lists;
    sqlite3_stmt *st;
    int err = identity_lists_init(g, &lists);

    if (err == 0)
        err = sql_query(
            s, &st,
            "INSERT INTO tokens(id, hash, parent_id, agent_expires_s, created_s, expires_s,"
            " created_by, " IDENTITY_COLUMNS ") VALUES(?1, ?2,"
            " (SELECT id FROM agents WHERE ns = ?8 AND name = ?10 AND ?10 <> ''),"
            " ?3, ?4, ?5, ?6, ?8, ?9, ?10, ?7, ?11, ?12, ?13, ?14, ?15, ?16)",
            "shiiisisssssssss", t->id, t->hash, g->expires_s, t->created_s, t->expires_s,
            t->created_by, (int64_t)g->depth, g->ns, g->name, g->parent, buf_text(&lists.tools),
            buf_text(&lists.namespaces), buf_text(&lists.destinations),
            identity_sandbox_name(g->sandbox), identity_enforcement_name(g->enforcement),
            identity_audit_level_name(g->audit_level));
    if (err == 0)
        err = sql_finish(s, st);
    identity_lists_done(&lists);
    return err < 0 ? err : 0;
}

#define TOKEN_COLUMNS                                                                              \
    IDENTITY_COLUMNS ", id, agent_expires_s, created_s, expires_s, used_s, created_by, number"

static int read_token(sqlite3_stmt *st, struct store_token *ret)
{
    struct store_token t = {0};
    int at = IDENTITY_COLUMN_COUNT;
    int err = identity_row_read(st, &t.grant);

    if (err < 0)
        return err;
    t.grant.expires_s = sqlite3_column_int64(st, at + 1);
    t.created_s = sqlite3_column_int64(st, at + 2);
    t.expires_s = sqlite3_column_int64(st, at + 3);
    t.used_s = sqlite3_column_int64(st, at + 4);
    if (sql_read_text(st, at, t.id, sizeof(t.id)) < 0 ||
        sql_read_text(st, at + 5, t.created_by, sizeof(t.created_by)) < 0) {
        store_token_done(&t);
        return -EIO;
    }
    *ret = t;
    return 0;
}

/** Why a token could not be taken. */
static int token_refusal(struct store *s, const uint8_t *hash)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "SELECT used_s FROM tokens WHERE hash = ?1", "h", hash);

    if (err < 0)
        return err;
    err = sql_step(st);
    if (err == 0)
        err = -ENOENT;
    else if (err > 0)
        err = sqlite3_column_int64(st, 0) != 0 ? -EALREADY : -ETIME;
    (void)sqlite3_finalize(st);
    return err;
}

int store_token_take(struct store *s, const uint8_t hash[static HASH_LEN], int64_t now_s,
                     struct store_token *ret)
{
    sqlite3_stmt *st;
    int err =
        sql_query(s, &st,
                  "UPDATE tokens SET used_s = ?2 WHERE hash = ?1 AND used_s = 0 AND expires_s > ?2"
                  " RETURNING " TOKEN_COLUMNS,
                  "hi", hash, now_s);

    if (err < 0)
        return err;
    err = sql_step(st);
    if (err > 0) {
        err = read_token(st, ret);
        if (err == 0 && sql_step(st) < 0) {
            store_token_done(ret);
            err = -EIO;
        }
        (void)sqlite3_finalize(st);
        return err;
    }
    (void)sqlite3_finalize(st);
    return err < 0 ? err : token_refusal(s, hash);
}

int store_token_remove(struct store *s, const char *id)
{
    sqlite3_stmt *st;
    int changed = sql_query(s, &st, "DELETE FROM tokens WHERE id = ?1", "s", id);

    if (changed < 0)
        return changed;
    changed = sql_finish(s, st);
    return changed > 0 ? 0 : changed == 0 ? -ENOENT : changed;
}

int store_token_list(struct store *s, int64_t after, unsigned limit,
                     void (*row)(void *self, int64_t number, const struct store_token *t),
                     void *self)
{
    struct store_token t;
    sqlite3_stmt *st;
    int err = sql_query(
        s, &st, "SELECT " TOKEN_COLUMNS " FROM tokens WHERE number > ?1 ORDER BY number LIMIT ?2",
        "ii", after, (int64_t)limit);

    if (err < 0)
        return err;
    while ((err = sql_step(st)) > 0) {
        err = read_token(st, &t);
        if (err < 0)
            break;
        row(self, sqlite3_column_int64(st, IDENTITY_COLUMN_COUNT + 6), &t);
        store_token_done(&t);
    }
    (void)sqlite3_finalize(st);
    return err;
}
