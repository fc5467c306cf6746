/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents in the database: who lives, with which address, below whom. Whatever changes the set of
 * live agents raises the epoch in the same transaction.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/store_sql.h"

#define POOL_FIRST 0x0a640002u /* 10.100.0.2; .1 is the gateway's own */
#define POOL_LAST  0x0a64fffeu /* 10.100.255.254 */

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
    int err = identity_row_read(st, &a.identity);

    if (err < 0)
        return err;
    if (identity_phase_parse(sql_bytes(st, at + 1), &a.identity.phase) < 0) {
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
    int err = sql_step(st);

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
    int err = sql_query(s, &st, "SELECT " AGENT_COLUMNS " FROM agents WHERE ns = ?1 AND name = ?2",
                        "ss", ns, name);

    return err < 0 ? err : read_one_agent(st, ret);
}

int store_agent_by_refresh(struct store *s, const uint8_t hash[static HASH_LEN],
                           struct store_agent *ret)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "SELECT " AGENT_COLUMNS " FROM agents WHERE refresh_hash = ?1", "h",
                        hash);

    return err < 0 ? err : read_one_agent(st, ret);
}

int store_agent_list(struct store *s, const struct store_agent_filter *f,
                     void (*row)(void *self, const struct store_agent *a), void *self)
{
    struct store_agent a;
    sqlite3_stmt *st;
    int err =
        sql_query(s, &st,
                  "SELECT " AGENT_COLUMNS " FROM agents WHERE id > ?1"
                  " AND (?2 = '' OR ns = ?2) AND (?3 = '' OR parent = ?3)"
                  " AND (?4 = 0 OR phase = 'Active') ORDER BY id LIMIT ?5",
                  "issii", f->after, f->ns != NULL ? f->ns : "", f->parent != NULL ? f->parent : "",
                  (int64_t)f->only_active, (int64_t)f->limit);

    if (err < 0)
        return err;
    while ((err = sql_step(st)) > 0) {
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

    if (sql_query(s, &st, "SELECT address FROM addresses WHERE ns = ?1 AND name = ?2", "ss", ns,
                  name) < 0)
        return -EIO;
    if (sql_step(st) > 0)
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
    address = sql_number(s, sql, 0);
    if (address != 0)
        return address;
    address = sql_number(s,
                         "SELECT min(d.address) FROM addresses d LEFT JOIN agents a USING(ns, name)"
                         " WHERE a.phase IS NULL OR a.phase IN ('Expired', 'Revoked')",
                         0);
    if (address == 0)
        return -ENOSPC;
    (void)snprintf(sql, sizeof(sql), "DELETE FROM addresses WHERE address = %lld",
                   (long long)address);
    return sql_exec(s, sql) < 0 ? -EIO : address;
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
    if (sql_query(s, &st, "INSERT INTO addresses VALUES(?1, ?2, ?3)", "iss", address, id->ns,
                  id->name) < 0)
        return -EIO;
    return sql_finish(s, st) < 0 ? -EIO : address;
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
    struct identity_lists lists;
    sqlite3_stmt *st;
    int err = identity_lists_init(id, &lists);

    if (err == 0)
        err = sql_query(
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
        err = sql_finish(s, st);
    identity_lists_done(&lists);
    return err;
}

int store_agent_put(struct store *s, struct store_agent *a,
                    const uint8_t refresh_hash[static HASH_LEN], int64_t now_s)
{
    int64_t address = 0;
    bool own;
    int err = sql_begin(s, &own);

    if (err < 0)
        return err;
    err = check_name_free(s, a, now_s);
    if (err == 0) {
        address = give_address(s, &a->identity);
        err = address < 0 ? (int)address : insert_agent(s, a, address, refresh_hash, now_s);
    }
    if (err >= 0)
        err = store_raise_epoch(s);
    err = sql_end(s, own, err);
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
    int err = sql_query(s, &st,
                        WITH_ANCESTORS " SELECT count(*) FROM line JOIN agents a USING(id)"
                                       " WHERE a.phase <> 'Active' OR a.expires_s <= ?3",
                        "ssi", ns, name, now_s);

    if (err < 0)
        return err;
    err = sql_step(st);
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
    int err = sql_query(
        s, &st, "UPDATE agents SET seen_s = ?3 WHERE ns = ?1 AND name = ?2 AND seen_s < ?3 - 10",
        "ssi", ns, name, now_s);

    if (err == 0)
        err = sql_finish(s, st);
    return err < 0 ? err : 0;
}

static int revoke_subtree(struct store *s, const char *ns, const char *name, int64_t now_s)
{
    sqlite3_stmt *st;
    int count;
    int err = sql_query(
        s, &st, WITH_DESCENDANTS " DELETE FROM tokens WHERE used_s = 0 AND parent_id IN tree", "ss",
        ns, name);

    if (err == 0)
        err = sql_finish(s, st);
    if (err >= 0)
        err = sql_query(s, &st,
                        WITH_DESCENDANTS " UPDATE agents SET phase = 'Revoked', ended_s = ?3"
                                         " WHERE id IN tree AND phase IN ('Active', 'Pending')",
                        "ssi", ns, name, now_s);
    count = err < 0 ? err : sql_finish(s, st);
    if (count < 0)
        return count;
    err = store_raise_epoch(s);
    return err < 0 ? err : count;
}

int store_agent_revoke(struct store *s, const char *ns, const char *name, int64_t now_s)
{
    struct store_agent a;
    bool own;
    int err = sql_begin(s, &own);

    if (err < 0)
        return err;
    err = store_agent_get(s, ns, name, &a);
    if (err == 0) {
        store_agent_done(&a);
        err = revoke_subtree(s, ns, name, now_s);
    }
    return sql_end(s, own, err);
}

int store_expire(struct store *s, int64_t now_s, int64_t *ret_next_s)
{
    sqlite3_stmt *st;
    bool own;
    int count;
    int err = sql_begin(s, &own);

    if (err < 0)
        return err;
    count = sql_query(s, &st,
                      "UPDATE agents SET phase = 'Expired', ended_s = expires_s"
                      " WHERE phase = 'Active' AND expires_s <= ?1",
                      "i", now_s);
    if (count == 0)
        count = sql_finish(s, st);
    if (count > 0 && (err = store_raise_epoch(s)) < 0)
        count = err;
    *ret_next_s =
        sql_number(s, "SELECT min(expires_s) FROM agents WHERE phase = 'Active'", IDENTITY_NEVER);
    return sql_end(s, own, count);
}

int64_t store_tree_count(struct store *s, const char *ns, const char *name, int64_t since_s)
{
    sqlite3_stmt *st;
    int64_t count = -EIO;

    if (sql_query(s, &st,
                  WITH_ANCESTORS ", tree(id) AS (SELECT id FROM line WHERE parent_id IS NULL UNION"
                                 " SELECT a.id FROM agents a JOIN tree t ON a.parent_id = t.id)"
                                 " SELECT count(*) FROM tokens WHERE parent_id IN tree"
                                 " AND created_s > ?3",
                  "ssi", ns, name, since_s) < 0)
        return -EIO;
    if (sql_step(st) > 0)
        count = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return count;
}

int64_t store_count(struct store *s, enum identity_phase phase)
{
    sqlite3_stmt *st;
    int64_t count = 0;

    if (sql_query(s, &st, "SELECT count(*) FROM agents WHERE phase = ?1", "s",
                  identity_phase_name(phase)) < 0)
        return 0;
    if (sql_step(st) > 0)
        count = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return count;
}
