/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database, and the only file that speaks SQL. One connection, one writer. Every statement is
 * prepared from constant text with bound values. It refuses to open a database of a newer schema.
 *
 * The epoch is a row that is raised in the same transaction as the change it stands for; with
 * synchronous=FULL the change is on the disk when the call returns, so a revocation that was
 * acknowledged survives kill -9 and a power cut.
 */
#include "control/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_out.h"

#define LIST_TEXT_MAX  65536u
#define POOL_FIRST     0x0a640002u /* 10.100.0.2; .1 is the gateway's own */
#define POOL_LAST      0x0a64fffeu /* 10.100.255.254 */
#define REQUEST_KEEP_S 86400       /* idempotency keys are remembered for a day */

struct store {
    sqlite3 *db;
};

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
};

/* ── Statements ──────────────────────────────────────────────────────────────────────────────────
 */

/** One value to bind; the kind is the letter in run()'s and query()'s format. */
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
        default: /* 'h': 32 bytes, or NULL */
            blob = va_arg(args, const void *);
            rc = sqlite3_bind_blob(st, i + 1, blob, blob != NULL ? 32 : 0, SQLITE_TRANSIENT);
            break;
        }
    }
    return rc == SQLITE_OK ? 0 : -EIO;
}

/** Prepare @sql and bind values: 'i' int64_t, 's' text, 'h' 32 bytes or NULL. */
static int query(struct store *s, sqlite3_stmt **ret, const char *sql, const char *kinds, ...)
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

/** One step: 1 a row, 0 the end, -EEXIST a constraint, -EIO. */
static int step(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);

    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    return (rc & 0xff) == SQLITE_CONSTRAINT ? -EEXIST : -EIO;
}

/** Run to the end and forget. Returns the number of changed rows, or -errno. */
static int finish(struct store *s, sqlite3_stmt *st)
{
    int err;

    do
        err = step(st);
    while (err > 0);
    (void)sqlite3_finalize(st);
    return err < 0 ? err : sqlite3_changes(s->db);
}

static int exec(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

/** One number of one row; @none when there is no row. */
static int64_t number(struct store *s, const char *sql, int64_t none)
{
    sqlite3_stmt *st;
    int64_t v = none;

    if (query(s, &st, sql, "") < 0)
        return none;
    if (step(st) > 0 && sqlite3_column_type(st, 0) != SQLITE_NULL)
        v = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return v;
}

/* ── Transactions: they may nest, the outermost decides ──────────────────────────────────────────
 */

int store_begin(struct store *s)
{
    return exec(s, "BEGIN IMMEDIATE");
}

int store_commit(struct store *s)
{
    return exec(s, "COMMIT");
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        (void)exec(s, "ROLLBACK");
}

/** Begin unless the caller has begun already; says so in @ret_own. */
static int begin_own(struct store *s, bool *ret_own)
{
    *ret_own = sqlite3_get_autocommit(s->db) != 0;
    return *ret_own ? store_begin(s) : 0;
}

/** End what begin_own() began: commit when @result is no error. Returns @result or the commit's. */
static int end_own(struct store *s, bool own, int result)
{
    int err;

    if (!own)
        return result;
    err = result < 0 ? result : store_commit(s);
    if (err < 0)
        store_rollback(s);
    return err < 0 ? err : result;
}

static int raise_epoch(struct store *s)
{
    return exec(s, "UPDATE meta SET value = value + 1 WHERE key = 'epoch'");
}

int64_t store_epoch(struct store *s)
{
    return number(s, "SELECT value FROM meta WHERE key = 'epoch'", 0);
}

/* ── Opening ─────────────────────────────────────────────────────────────────────────────────────
 */

static int migrate(struct store *s, struct why *why)
{
    int64_t version = number(s, "PRAGMA user_version", -1);

    if (version < 0 || version > (int64_t)ARRAY_COUNT(migrations))
        return why_set(why, -EPROTO, "the database has schema %lld, this program knows up to %zu",
                       (long long)version, ARRAY_COUNT(migrations));
    for (size_t i = (size_t)version; i < ARRAY_COUNT(migrations); i++) {
        char mark[48];

        (void)snprintf(mark, sizeof(mark), "PRAGMA user_version = %zu", i + 1);
        if (store_begin(s) < 0 || exec(s, migrations[i]) < 0 || exec(s, mark) < 0 ||
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
        exec(s,
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
             "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON; PRAGMA busy_timeout = 2000") <
            0) {
        err = why_set(why, -EIO, "cannot open %s: %s", path,
                      s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory");
        store_close(s);
        return err;
    }
    err = migrate(s, why);
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
    return number(s, "SELECT 1", 0) == 1 ? 0 : -EIO;
}

/* ── Lists as JSON columns ───────────────────────────────────────────────────────────────────────
 */

static void write_list(const struct nameset *names, struct buf *to)
{
    struct json_out j;

    json_out_init(&j, to);
    json_open_array(&j);
    for (unsigned i = 0; i < names->count; i++)
        json_str(&j, names->items[i]);
    json_close_array(&j);
}

static int read_list(sqlite3_stmt *st, int column, struct nameset *ret)
{
    struct json_limits limits = {.bytes = LIST_TEXT_MAX, .depth = 2};
    struct bytes text =
        bytes_of(sqlite3_column_text(st, column), (size_t)sqlite3_column_bytes(st, column));
    struct json_doc *doc;
    const char *name;
    int err = text.data != NULL ? json_parse(text, &limits, &doc, NULL) : -EIO;

    if (err < 0)
        return -EIO;
    for (const struct json *v = json_first(json_root(doc)); v != NULL && err == 0;
         v = json_next(v)) {
        err = json_read_str(v, &name);
        if (err == 0)
            err = nameset_add(ret, bytes_of_str(name));
    }
    json_free(doc);
    return err < 0 ? -EIO : 0;
}

static int read_text(sqlite3_stmt *st, int column, char *ret, size_t cap)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    int len = snprintf(ret, cap, "%s", text != NULL ? (const char *)text : "");

    return text != NULL && len >= 0 && (size_t)len < cap ? 0 : -EIO;
}

static struct bytes column_bytes(sqlite3_stmt *st, int column)
{
    const void *text = sqlite3_column_text(st, column);

    return bytes_of(text, text != NULL ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

/* The columns that identities and tokens share, in this order, from the first on. */
#define IDENTITY_COLUMNS                                                                           \
    "ns, name, parent, depth, tools, namespaces, destinations, sandbox, enforcement, audit_level"
#define IDENTITY_COLUMN_COUNT 10

static int read_identity(sqlite3_stmt *st, struct identity *id)
{
    identity_init(id);
    if (read_text(st, 0, id->ns, sizeof(id->ns)) < 0 ||
        read_text(st, 1, id->name, sizeof(id->name)) < 0 ||
        read_text(st, 2, id->parent, sizeof(id->parent)) < 0 || read_list(st, 4, &id->tools) < 0 ||
        read_list(st, 5, &id->namespaces) < 0 || read_list(st, 6, &id->destinations) < 0 ||
        identity_sandbox_parse(column_bytes(st, 7), &id->sandbox) < 0 ||
        identity_enforcement_parse(column_bytes(st, 8), &id->enforcement) < 0 ||
        identity_audit_level_parse(column_bytes(st, 9), &id->audit_level) < 0) {
        identity_done(id);
        return -EIO;
    }
    id->depth = (unsigned)sqlite3_column_int(st, 3);
    return 0;
}

/** The three lists as texts, for binding. */
struct list_texts {
    struct buf tools, namespaces, destinations;
};

static int lists_init(const struct identity *id, struct list_texts *ret)
{
    buf_init(&ret->tools, LIST_TEXT_MAX);
    buf_init(&ret->namespaces, LIST_TEXT_MAX);
    buf_init(&ret->destinations, LIST_TEXT_MAX);
    write_list(&id->tools, &ret->tools);
    write_list(&id->namespaces, &ret->namespaces);
    write_list(&id->destinations, &ret->destinations);
    return buf_error(&ret->tools) < 0 || buf_error(&ret->namespaces) < 0 ||
                   buf_error(&ret->destinations) < 0
               ? -EIO
               : 0;
}

static void lists_done(struct list_texts *l)
{
    buf_done(&l->tools);
    buf_done(&l->namespaces);
    buf_done(&l->destinations);
}

/* ── Tokens ──────────────────────────────────────────────────────────────────────────────────────
 */

void store_token_done(struct store_token *t)
{
    identity_done(&t->grant);
}

int store_token_add(struct store *s, const struct store_token *t)
{
    const struct identity *g = &t->grant;
    struct list_texts lists;
    sqlite3_stmt *st;
    int err = lists_init(g, &lists);

    if (err == 0)
        err = query(s, &st,
                    "INSERT INTO tokens(id, hash, parent_id, agent_expires_s, created_s, expires_s,"
                    " created_by, " IDENTITY_COLUMNS ") VALUES(?1, ?2,"
                    " (SELECT id FROM agents WHERE ns = ?8 AND name = ?10 AND ?10 <> ''),"
                    " ?3, ?4, ?5, ?6, ?8, ?9, ?10, ?7, ?11, ?12, ?13, ?14, ?15, ?16)",
                    "shiiisisssssssss", t->id, t->hash, g->expires_s, t->created_s, t->expires_s,
                    t->created_by, (int64_t)g->depth, g->ns, g->name, g->parent,
                    buf_text(&lists.tools), buf_text(&lists.namespaces),
                    buf_text(&lists.destinations), identity_sandbox_name(g->sandbox),
                    identity_enforcement_name(g->enforcement),
                    identity_audit_level_name(g->audit_level));
    if (err == 0)
        err = finish(s, st);
    lists_done(&lists);
    return err < 0 ? err : 0;
}

#define TOKEN_COLUMNS                                                                              \
    IDENTITY_COLUMNS ", id, agent_expires_s, created_s, expires_s, used_s, created_by, number"

static int read_token(sqlite3_stmt *st, struct store_token *ret)
{
    struct store_token t = {0};
    int at = IDENTITY_COLUMN_COUNT;
    int err = read_identity(st, &t.grant);

    if (err < 0)
        return err;
    t.grant.expires_s = sqlite3_column_int64(st, at + 1);
    t.created_s = sqlite3_column_int64(st, at + 2);
    t.expires_s = sqlite3_column_int64(st, at + 3);
    t.used_s = sqlite3_column_int64(st, at + 4);
    if (read_text(st, at, t.id, sizeof(t.id)) < 0 ||
        read_text(st, at + 5, t.created_by, sizeof(t.created_by)) < 0) {
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
    int err = query(s, &st, "SELECT used_s FROM tokens WHERE hash = ?1", "h", hash);

    if (err < 0)
        return err;
    err = step(st);
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
        query(s, &st,
              "UPDATE tokens SET used_s = ?2 WHERE hash = ?1 AND used_s = 0 AND expires_s > ?2"
              " RETURNING " TOKEN_COLUMNS,
              "hi", hash, now_s);

    if (err < 0)
        return err;
    err = step(st);
    if (err > 0) {
        err = read_token(st, ret);
        if (err == 0 && step(st) < 0) {
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
    int changed = query(s, &st, "DELETE FROM tokens WHERE id = ?1", "s", id);

    if (changed < 0)
        return changed;
    changed = finish(s, st);
    return changed > 0 ? 0 : changed == 0 ? -ENOENT : changed;
}

int store_token_list(struct store *s, int64_t after, unsigned limit,
                     void (*row)(void *self, int64_t number, const struct store_token *t),
                     void *self)
{
    struct store_token t;
    sqlite3_stmt *st;
    int err = query(
        s, &st, "SELECT " TOKEN_COLUMNS " FROM tokens WHERE number > ?1 ORDER BY number LIMIT ?2",
        "ii", after, (int64_t)limit);

    if (err < 0)
        return err;
    while ((err = step(st)) > 0) {
        err = read_token(st, &t);
        if (err < 0)
            break;
        row(self, sqlite3_column_int64(st, IDENTITY_COLUMN_COUNT + 6), &t);
        store_token_done(&t);
    }
    (void)sqlite3_finalize(st);
    return err;
}

/* ── Agents ──────────────────────────────────────────────────────────────────────────────────────
 */

void store_agent_done(struct store_agent *a)
{
    identity_done(&a->identity);
}

#define AGENT_COLUMNS                                                                              \
    IDENTITY_COLUMNS ", id, phase, expires_s, public_key, address, created_s, ended_s, seen_s"

static struct ip pool_ip(int64_t address)
{
    return ip_v4((uint8_t)(address >> 24), (uint8_t)(address >> 16), (uint8_t)(address >> 8),
                 (uint8_t)address);
}

static int read_agent(sqlite3_stmt *st, struct store_agent *ret)
{
    struct store_agent a = {0};
    int at = IDENTITY_COLUMN_COUNT;
    int err = read_identity(st, &a.identity);

    if (err < 0)
        return err;
    if (identity_phase_parse(column_bytes(st, at + 1), &a.identity.phase) < 0) {
        store_agent_done(&a);
        return -EIO;
    }
    a.id = sqlite3_column_int64(st, at);
    a.identity.expires_s = sqlite3_column_int64(st, at + 2);
    a.has_public_key = sqlite3_column_bytes(st, at + 3) == 32;
    if (a.has_public_key)
        memcpy(a.public_key, sqlite3_column_blob(st, at + 3), 32);
    a.address = pool_ip(sqlite3_column_int64(st, at + 4));
    a.created_s = sqlite3_column_int64(st, at + 5);
    a.ended_s = sqlite3_column_int64(st, at + 6);
    a.seen_s = sqlite3_column_int64(st, at + 7);
    *ret = a;
    return 0;
}

/** The one row of @st, which is finalised. */
static int read_one_agent(sqlite3_stmt *st, struct store_agent *ret)
{
    int err = step(st);

    if (err > 0)
        err = read_agent(st, ret);
    else if (err == 0)
        err = -ENOENT;
    (void)sqlite3_finalize(st);
    return err;
}

int store_agent_get(struct store *s, const char *ns, const char *name, struct store_agent *ret)
{
    sqlite3_stmt *st;
    int err = query(s, &st, "SELECT " AGENT_COLUMNS " FROM agents WHERE ns = ?1 AND name = ?2",
                    "ss", ns, name);

    return err < 0 ? err : read_one_agent(st, ret);
}

int store_agent_by_refresh(struct store *s, const uint8_t hash[static HASH_LEN],
                           struct store_agent *ret)
{
    sqlite3_stmt *st;
    int err =
        query(s, &st, "SELECT " AGENT_COLUMNS " FROM agents WHERE refresh_hash = ?1", "h", hash);

    return err < 0 ? err : read_one_agent(st, ret);
}

int store_agent_list(struct store *s, const struct store_agent_filter *f,
                     void (*row)(void *self, const struct store_agent *a), void *self)
{
    struct store_agent a;
    sqlite3_stmt *st;
    int err = query(s, &st,
                    "SELECT " AGENT_COLUMNS " FROM agents WHERE id > ?1"
                    " AND (?2 = '' OR ns = ?2) AND (?3 = '' OR parent = ?3)"
                    " AND (?4 = 0 OR phase = 'Active') ORDER BY id LIMIT ?5",
                    "issii", f->after, f->ns != NULL ? f->ns : "",
                    f->parent != NULL ? f->parent : "", (int64_t)f->only_active, (int64_t)f->limit);

    if (err < 0)
        return err;
    while ((err = step(st)) > 0) {
        err = read_agent(st, &a);
        if (err < 0)
            break;
        row(self, &a);
        store_agent_done(&a);
    }
    (void)sqlite3_finalize(st);
    return err;
}

/** The address that the agent has or had; 0: none. */
static int64_t address_of(struct store *s, const char *ns, const char *name)
{
    sqlite3_stmt *st;
    int64_t address = 0;

    if (query(s, &st, "SELECT address FROM addresses WHERE ns = ?1 AND name = ?2", "ss", ns, name) <
        0)
        return -EIO;
    if (step(st) > 0)
        address = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return address;
}

/** The lowest address that nobody has; when all are given out, the lowest of an agent that has
 * ended. */
static int64_t free_address(struct store *s)
{
    char sql[512];
    int64_t address;

    (void)snprintf(sql, sizeof(sql),
                   "SELECT min(a) FROM (SELECT %u AS a UNION ALL SELECT address + 1 FROM addresses)"
                   " WHERE a <= %u AND a NOT IN (SELECT address FROM addresses)",
                   POOL_FIRST, POOL_LAST);
    address = number(s, sql, 0);
    if (address != 0)
        return address;
    address = number(s,
                     "SELECT min(d.address) FROM addresses d LEFT JOIN agents a USING(ns, name)"
                     " WHERE a.phase IS NULL OR a.phase IN ('Expired', 'Revoked')",
                     0);
    if (address == 0)
        return -ENOSPC;
    (void)snprintf(sql, sizeof(sql), "DELETE FROM addresses WHERE address = %lld",
                   (long long)address);
    return exec(s, sql) < 0 ? -EIO : address;
}

static int64_t give_address(struct store *s, const struct identity *id)
{
    sqlite3_stmt *st;
    int64_t address = address_of(s, id->ns, id->name);

    if (address != 0)
        return address;
    address = free_address(s);
    if (address < 0)
        return address;
    if (query(s, &st, "INSERT INTO addresses VALUES(?1, ?2, ?3)", "iss", address, id->ns,
              id->name) < 0)
        return -EIO;
    return finish(s, st) < 0 ? -EIO : address;
}

/** May @a take its name? -EEXIST: somebody with another key lives under it. */
static int check_name_free(struct store *s, const struct store_agent *a, int64_t now_s)
{
    struct store_agent old;
    int err = store_agent_get(s, a->identity.ns, a->identity.name, &old);

    if (err == -ENOENT)
        return 0;
    if (err < 0)
        return err;
    if (identity_is_live(&old.identity, now_s) && !(old.has_public_key && a->has_public_key &&
                                                    memcmp(old.public_key, a->public_key, 32) == 0))
        err = -EEXIST;
    store_agent_done(&old);
    return err;
}

static int insert_agent(struct store *s, const struct store_agent *a, int64_t address,
                        const uint8_t *refresh_hash, int64_t now_s)
{
    const struct identity *id = &a->identity;
    struct list_texts lists;
    sqlite3_stmt *st;
    int err = lists_init(id, &lists);

    if (err == 0)
        err = query(
            s, &st,
            "INSERT INTO agents(phase, expires_s, public_key, address, refresh_hash, created_s,"
            " depth, parent_id, ns, name, parent, tools, namespaces, destinations, sandbox,"
            " enforcement, audit_level) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7,"
            " (SELECT id FROM agents WHERE ns = ?8 AND name = ?10 AND ?10 <> ''), ?8, ?9, ?10,"
            " ?11, ?12, ?13, ?14, ?15, ?16)"
            " ON CONFLICT(ns, name) DO UPDATE SET phase = excluded.phase,"
            " expires_s = excluded.expires_s, public_key = excluded.public_key,"
            " address = excluded.address, refresh_hash = excluded.refresh_hash,"
            " created_s = excluded.created_s, depth = excluded.depth, ended_s = 0, seen_s = 0,"
            " parent_id = excluded.parent_id, parent = excluded.parent, tools = excluded.tools,"
            " namespaces = excluded.namespaces, destinations = excluded.destinations,"
            " sandbox = excluded.sandbox, enforcement = excluded.enforcement,"
            " audit_level = excluded.audit_level",
            "sihihiisssssssss", identity_phase_name(id->phase), id->expires_s,
            a->has_public_key ? a->public_key : NULL, address, refresh_hash, now_s,
            (int64_t)id->depth, id->ns, id->name, id->parent, buf_text(&lists.tools),
            buf_text(&lists.namespaces), buf_text(&lists.destinations),
            identity_sandbox_name(id->sandbox), identity_enforcement_name(id->enforcement),
            identity_audit_level_name(id->audit_level));
    if (err == 0)
        err = finish(s, st);
    lists_done(&lists);
    return err;
}

int store_agent_put(struct store *s, struct store_agent *a,
                    const uint8_t refresh_hash[static HASH_LEN], int64_t now_s)
{
    int64_t address = 0;
    bool own;
    int err = begin_own(s, &own);

    if (err < 0)
        return err;
    err = check_name_free(s, a, now_s);
    if (err == 0) {
        address = give_address(s, &a->identity);
        err = address < 0 ? (int)address : insert_agent(s, a, address, refresh_hash, now_s);
    }
    if (err >= 0)
        err = raise_epoch(s);
    err = end_own(s, own, err);
    if (err >= 0) {
        a->address = pool_ip(address);
        a->created_s = now_s;
    }
    return err < 0 ? err : 0;
}

/* The agent (?1, ?2) and all its ancestors; the row count is bounded by the depth limit. */
#define WITH_ANCESTORS                                                                             \
    "WITH RECURSIVE line(id, parent_id, n) AS ("                                                   \
    " SELECT id, parent_id, 0 FROM agents WHERE ns = ?1 AND name = ?2 UNION ALL"                   \
    " SELECT a.id, a.parent_id, n + 1 FROM agents a JOIN line l ON a.id = l.parent_id WHERE n < "  \
    "64)"
#define WITH_DESCENDANTS                                                                           \
    "WITH RECURSIVE tree(id) AS ("                                                                 \
    " SELECT id FROM agents WHERE ns = ?1 AND name = ?2 UNION"                                     \
    " SELECT a.id FROM agents a JOIN tree t ON a.parent_id = t.id)"

int store_agent_has_live_ancestors(struct store *s, const char *ns, const char *name, int64_t now_s)
{
    sqlite3_stmt *st;
    int err = query(s, &st,
                    WITH_ANCESTORS " SELECT count(*) FROM line JOIN agents a USING(id)"
                                   " WHERE a.phase <> 'Active' OR a.expires_s <= ?3",
                    "ssi", ns, name, now_s);

    if (err < 0)
        return err;
    err = step(st);
    if (err > 0)
        err = sqlite3_column_int64(st, 0) == 0;
    else
        err = -EIO;
    (void)sqlite3_finalize(st);
    return err;
}

int store_agent_seen(struct store *s, const char *ns, const char *name, int64_t now_s)
{
    sqlite3_stmt *st;
    int err = query(
        s, &st, "UPDATE agents SET seen_s = ?3 WHERE ns = ?1 AND name = ?2 AND seen_s < ?3 - 10",
        "ssi", ns, name, now_s);

    if (err == 0)
        err = finish(s, st);
    return err < 0 ? err : 0;
}

static int revoke_subtree(struct store *s, const char *ns, const char *name, int64_t now_s)
{
    sqlite3_stmt *st;
    int count;
    int err =
        query(s, &st, WITH_DESCENDANTS " DELETE FROM tokens WHERE used_s = 0 AND parent_id IN tree",
              "ss", ns, name);

    if (err == 0)
        err = finish(s, st);
    if (err >= 0)
        err = query(s, &st,
                    WITH_DESCENDANTS " UPDATE agents SET phase = 'Revoked', ended_s = ?3"
                                     " WHERE id IN tree AND phase IN ('Active', 'Pending')",
                    "ssi", ns, name, now_s);
    count = err < 0 ? err : finish(s, st);
    if (count < 0)
        return count;
    err = raise_epoch(s);
    return err < 0 ? err : count;
}

int store_agent_revoke(struct store *s, const char *ns, const char *name, int64_t now_s)
{
    struct store_agent a;
    bool own;
    int err = begin_own(s, &own);

    if (err < 0)
        return err;
    err = store_agent_get(s, ns, name, &a);
    if (err == 0) {
        store_agent_done(&a);
        err = revoke_subtree(s, ns, name, now_s);
    }
    return end_own(s, own, err);
}

int store_expire(struct store *s, int64_t now_s, int64_t *ret_next_s)
{
    sqlite3_stmt *st;
    bool own;
    int count;
    int err = begin_own(s, &own);

    if (err < 0)
        return err;
    count = query(s, &st,
                  "UPDATE agents SET phase = 'Expired', ended_s = expires_s"
                  " WHERE phase = 'Active' AND expires_s <= ?1",
                  "i", now_s);
    if (count == 0)
        count = finish(s, st);
    if (count > 0 && (err = raise_epoch(s)) < 0)
        count = err;
    if (count >= 0 && query(s, &st, "DELETE FROM requests WHERE created_s < ?1", "i",
                            now_s - REQUEST_KEEP_S) == 0)
        (void)finish(s, st);
    *ret_next_s =
        number(s, "SELECT min(expires_s) FROM agents WHERE phase = 'Active'", IDENTITY_NEVER);
    return end_own(s, own, count);
}

int64_t store_count(struct store *s, enum identity_phase phase)
{
    sqlite3_stmt *st;
    int64_t count = 0;

    if (query(s, &st, "SELECT count(*) FROM agents WHERE phase = ?1", "s",
              identity_phase_name(phase)) < 0)
        return 0;
    if (step(st) > 0)
        count = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return count;
}

/* ── The gateway ─────────────────────────────────────────────────────────────────────────────────
 */

int store_gateway_put(struct store *s, const struct store_gateway *g)
{
    sqlite3_stmt *st;
    bool own;
    int err = begin_own(s, &own);

    if (err < 0)
        return err;
    err = query(s, &st,
                "INSERT INTO gateway VALUES(1, ?1, ?2) ON CONFLICT(one) DO UPDATE SET"
                " public_key = excluded.public_key, endpoint = excluded.endpoint"
                " WHERE public_key <> excluded.public_key OR endpoint <> excluded.endpoint",
                "hs", g->public_key, g->endpoint);
    if (err == 0)
        err = finish(s, st);
    if (err > 0)
        err = raise_epoch(s);
    return end_own(s, own, err);
}

int store_gateway_get(struct store *s, struct store_gateway *ret)
{
    sqlite3_stmt *st;
    int err = query(s, &st, "SELECT public_key, endpoint FROM gateway", "");

    if (err < 0)
        return err;
    err = step(st);
    if (err == 0)
        err = -ENOENT;
    else if (err > 0)
        err = sqlite3_column_bytes(st, 0) == 32
                  ? read_text(st, 1, ret->endpoint, sizeof(ret->endpoint))
                  : -EIO;
    if (err == 0)
        memcpy(ret->public_key, sqlite3_column_blob(st, 0), 32);
    (void)sqlite3_finalize(st);
    return err;
}

/* ── Idempotency keys ────────────────────────────────────────────────────────────────────────────
 */

int store_request_find(struct store *s, const char *who, const char *key,
                       uint8_t ret_hash[static HASH_LEN])
{
    sqlite3_stmt *st;
    int err =
        query(s, &st, "SELECT hash FROM requests WHERE who = ?1 AND key = ?2", "ss", who, key);

    if (err < 0)
        return err;
    err = step(st);
    if (err == 0) {
        err = -ENOENT;
    } else if (err > 0) {
        err = sqlite3_column_bytes(st, 0) == (int)HASH_LEN ? 0 : -EIO;
        if (err == 0)
            memcpy(ret_hash, sqlite3_column_blob(st, 0), HASH_LEN);
    }
    (void)sqlite3_finalize(st);
    return err;
}

int store_request_add(struct store *s, const char *who, const char *key,
                      const uint8_t hash[static HASH_LEN], int64_t now_s)
{
    sqlite3_stmt *st;
    int err =
        query(s, &st, "INSERT INTO requests VALUES(?1, ?2, ?3, ?4)", "sshi", who, key, hash, now_s);

    if (err == 0)
        err = finish(s, st);
    return err < 0 ? err : 0;
}
