/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database: its schema, its epoch, the gateway and the idempotency keys; agents and tokens have
 * files of their own. One connection, one writer. It refuses to open a database of a newer schema.
 *
 * The epoch is a row that is raised in the same transaction as the change it stands for; with
 * synchronous=FULL the change is on the disk when the call returns, so a revocation that was
 * acknowledged survives kill -9 and a power cut.
 */
#include "control/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/store_sql.h"

#define REQUEST_KEEP_S 86400        /* idempotency keys are remembered for a day */
#define TOKEN_KEEP_S   (30 * 86400) /* for "already used" instead of "invalid" */

/* Schema by steps: step n brings user_version from n to n+1. Never edit a step that was released.
 */
static const char *const migrations[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('epoch', 1);"
    "CREATE TABLE agents("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  ns TEXT NOT NULL, name TEXT NOT NULL,"
    "  parent_id INTEGER REFERENCES agents(id), parent TEXT NOT NULL, depth INTEGER NOT NULL,"
    "  phase TEXT NOT NULL CHECK(phase IN('Pending','Active','Expired','Revoked')),"
    "  tools TEXT NOT NULL, namespaces TEXT NOT NULL, destinations TEXT NOT NULL,"
    "  sandbox TEXT NOT NULL, enforcement TEXT NOT NULL, audit_level TEXT NOT NULL,"
    "  expires_s INTEGER NOT NULL, public_key BLOB, address INTEGER NOT NULL,"
    "  refresh_hash BLOB NOT NULL UNIQUE,"
    "  created_s INTEGER NOT NULL, ended_s INTEGER NOT NULL DEFAULT 0,"
    "  seen_s INTEGER NOT NULL DEFAULT 0,"
    "  UNIQUE(ns, name)) STRICT;"
    "CREATE INDEX agents_parent ON agents(parent_id);"
    "CREATE UNIQUE INDEX agents_live_key ON agents(public_key) WHERE phase = 'Active';"
    "CREATE INDEX agents_end ON agents(expires_s) WHERE phase = 'Active';"
    "CREATE TABLE addresses("
    "  address INTEGER PRIMARY KEY, ns TEXT NOT NULL, name TEXT NOT NULL, UNIQUE(ns, name)) STRICT;"
    "CREATE TABLE tokens("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    "  hash BLOB NOT NULL UNIQUE, ns TEXT NOT NULL, name TEXT NOT NULL,"
    "  parent_id INTEGER REFERENCES agents(id), parent TEXT NOT NULL, depth INTEGER NOT NULL,"
    "  tools TEXT NOT NULL, namespaces TEXT NOT NULL, destinations TEXT NOT NULL,"
    "  sandbox TEXT NOT NULL, enforcement TEXT NOT NULL, audit_level TEXT NOT NULL,"
    "  agent_expires_s INTEGER NOT NULL, created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
    "  used_s INTEGER NOT NULL DEFAULT 0, created_by TEXT NOT NULL) STRICT;"
    "CREATE TABLE gateway("
    "  one INTEGER PRIMARY KEY CHECK(one = 1), public_key BLOB NOT NULL, endpoint TEXT NOT NULL)"
    "  STRICT;"
    "CREATE TABLE requests("
    "  who TEXT NOT NULL, key TEXT NOT NULL, hash BLOB NOT NULL, created_s INTEGER NOT NULL,"
    "  PRIMARY KEY(who, key)) STRICT, WITHOUT ROWID;",
    store_step_network,
    store_step_history,
    store_step_approvals,
    "DELETE FROM requests;" /* keys stood there in clear, without answers */
    "ALTER TABLE requests ADD COLUMN status INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE requests ADD COLUMN answer BLOB NOT NULL DEFAULT x'';",
};

int store_raise_epoch(struct store *s)
{
    return sql_exec(s, "UPDATE meta SET value = value + 1 WHERE key = 'epoch'");
}

int64_t store_epoch(struct store *s)
{
    return sql_number(s, "SELECT value FROM meta WHERE key = 'epoch'", 0);
}

/* ── Opening ─────────────────────────────────────────────────────────────────────────────────────
 */

static int migrate(struct store *s, struct why *why)
{
    int64_t version = sql_number(s, "PRAGMA user_version", -1);

    if (version < 0 || version > (int64_t)ARRAY_COUNT(migrations))
        return why_set(why, -EPROTO, "the database has schema %lld, this program knows up to %zu",
                       (long long)version, ARRAY_COUNT(migrations));
    for (size_t i = (size_t)version; i < ARRAY_COUNT(migrations); i++) {
        char mark[48];

        (void)snprintf(mark, sizeof(mark), "PRAGMA user_version = %zu", i + 1);
        if (store_begin(s) < 0 || sql_exec(s, migrations[i]) < 0 || sql_exec(s, mark) < 0 ||
            store_commit(s) < 0) {
            (void)why_set(why, -EIO, "cannot bring the database to schema %zu: %s", i + 1,
                          sqlite3_errmsg(s->db));
            store_rollback(s);
            return -EIO;
        }
    }
    return 0;
}

int store_open(const char *path, struct store **ret, struct why *why)
{
    struct store *s = calloc(1, sizeof(*s));
    int err;

    if (s == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    if (sqlite3_open_v2(path, &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sql_exec(
            s,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
            "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON; PRAGMA busy_timeout = 500") <
            0) {
        err = why_set(why, -EIO, "cannot open %s: %s", path,
                      s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory");
        store_close(s);
        return err;
    }
    err = migrate(s, why);
    if (err == 0 && store_history_trim(s) < 0)
        err = why_set(why, -EIO, "cannot trim the history: %s", sqlite3_errmsg(s->db));
    if (err < 0) {
        store_close(s);
        return err;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    (void)sqlite3_close(s->db);
    free(s);
}

int store_check(struct store *s)
{
    return sql_number(s, "SELECT 1", 0) == 1 ? 0 : -EIO;
}

enum store_fault store_fault(struct store *s)
{
    switch (sqlite3_errcode(s->db) & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
    case SQLITE_CONSTRAINT:
        return STORE_FINE;
    case SQLITE_FULL:
        return STORE_FULL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return STORE_READ_ONLY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STORE_BUSY;
    default:
        return STORE_BROKEN;
    }
}

const char *store_fault_name(enum store_fault fault)
{
    static const char *const names[STORE_FAULTS] = {
        [STORE_FINE] = "none", [STORE_FULL] = "full",     [STORE_READ_ONLY] = "read_only",
        [STORE_BUSY] = "busy", [STORE_BROKEN] = "broken",
    };

    return names[fault];
}

int store_tidy(struct store *s, int64_t now_s)
{
    sqlite3_stmt *st;
    bool own;
    int err = sql_begin(s, &own);

    if (err < 0)
        return err;
    err =
        sql_query(s, &st, "DELETE FROM requests WHERE created_s < ?1", "i", now_s - REQUEST_KEEP_S);
    if (err == 0)
        err = sql_finish(s, st);
    if (err >= 0)
        err =
            sql_query(s, &st, "DELETE FROM tokens WHERE expires_s < ?1", "i", now_s - TOKEN_KEEP_S);
    if (err == 0)
        err = sql_finish(s, st);
    return sql_end(s, own, err < 0 ? err : 0);
}

/* ── The gateway ─────────────────────────────────────────────────────────────────────────────────
 */

int store_gateway_put(struct store *s, const struct store_gateway *g)
{
    sqlite3_stmt *st;
    bool own;
    int err = sql_begin(s, &own);

    if (err < 0)
        return err;
    err = sql_query(s, &st,
                    "INSERT INTO gateway VALUES(1, ?1, ?2) ON CONFLICT(one) DO UPDATE SET"
                    " public_key = excluded.public_key, endpoint = excluded.endpoint"
                    " WHERE public_key <> excluded.public_key OR endpoint <> excluded.endpoint",
                    "hs", g->public_key, g->endpoint);
    if (err == 0)
        err = sql_finish(s, st);
    if (err > 0)
        err = store_raise_epoch(s);
    return sql_end(s, own, err);
}

int store_gateway_get(struct store *s, struct store_gateway *ret)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "SELECT public_key, endpoint FROM gateway", "");

    if (err < 0)
        return err;
    err = sql_step(st);
    if (err == 0)
        err = -ENOENT;
    else if (err > 0)
        err = sqlite3_column_bytes(st, 0) == 32
                  ? sql_read_text(st, 1, ret->endpoint, sizeof(ret->endpoint))
                  : -EIO;
    if (err == 0)
        memcpy(ret->public_key, sqlite3_column_blob(st, 0), 32);
    (void)sqlite3_finalize(st);
    return err;
}

/* ── Idempotency keys ────────────────────────────────────────────────────────────────────────────
 */

int store_request_find(struct store *s, const char *who, const uint8_t key[static HASH_LEN],
                       struct store_request *ret)
{
    char text[HASH_HEX_LEN + 1];
    sqlite3_stmt *st;
    int err;

    hash_hex(key, text);
    err = sql_query(s, &st, "SELECT hash, status, answer FROM requests WHERE who = ?1 AND key = ?2",
                    "ss", who, text);
    if (err < 0)
        return err;
    err = sql_step(st);
    if (err == 0) {
        err = -ENOENT;
    } else if (err > 0) {
        err = sqlite3_column_bytes(st, 0) == (int)HASH_LEN ? 0 : -EIO;
        if (err == 0) {
            memcpy(ret->hash, sqlite3_column_blob(st, 0), HASH_LEN);
            ret->status = (unsigned)sqlite3_column_int(st, 1);
            buf_add(&ret->answer, sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2));
            err = buf_error(&ret->answer) < 0 ? -EIO : 0;
        }
    }
    (void)sqlite3_finalize(st);
    return err;
}

int store_request_add(struct store *s, const char *who, const uint8_t key[static HASH_LEN],
                      const struct store_request *r, int64_t now_s)
{
    struct bytes answer = buf_bytes(&r->answer);
    char text[HASH_HEX_LEN + 1];
    sqlite3_stmt *st;
    int err;

    hash_hex(key, text);
    err = sql_query(s, &st, "INSERT INTO requests VALUES(?1, ?2, ?3, ?4, ?5, ?6)", "sshiib", who,
                    text, r->hash, now_s, (int64_t)r->status, &answer);
    if (err == 0)
        err = sql_finish(s, st);
    return err < 0 ? err : 0;
}
