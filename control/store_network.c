/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network policies, announced peers, plans, and the history. The history is written by triggers, in
 * the same transaction as the change, whoever makes it: what the network was at any change can be
 * told, because each subject's newest row up to there is its state. It refuses nothing by itself
 * but duplicates and what goes beyond the limits.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "control/network.h"
#include "control/store_sql.h"

#define TIME(column) "strftime('%Y-%m-%dT%H:%M:%SZ', " column ", 'unixepoch')"
/* Put together as text, because JSON functions may not stand in triggers of a database whose schema
 * is not trusted. Names have no character that must be escaped; lists and labels are JSON. */
#define PEER_DOC(row)                                                                              \
    "'{\"name\":\"' || " row ".name || '\",\"namespace\":\"' || " row ".ns ||"                     \
    " '\",\"state\":\"Active\",\"address\":\"' || (" row ".address >> 24) || '.' ||"               \
    " (" row ".address >> 16 & 255) || '.' || (" row ".address >> 8 & 255) || '.' ||"              \
    " (" row ".address & 255) || '\",\"parent\":\"' || " row ".parent || '\",\"labels\":' ||"      \
    " COALESCE((SELECT labels FROM peers p WHERE p.ns = " row ".ns AND p.name = " row              \
    ".name), '{}') || ',\"allowedDestinations\":' || " row ".destinations ||"                      \
    " ',\"allowedTools\":' || " row ".tools || '}'"
#define ANNOUNCED_DOC(row)                                                                         \
    "'{\"name\":\"' || " row ".name || '\",\"namespace\":\"' || " row ".ns ||"                     \
    " '\",\"state\":\"Announced\",\"network\":\"' || " row ".network || '\",\"app\":' || " row     \
    ".app || ',\"labels\":' || " row ".labels || '}'"
#define POLICY_DOC(row)                                                                            \
    "'{\"name\":\"' || " row ".name || '\",\"network\":\"' || " row ".network ||"                  \
    " '\",\"action\":\"' || " row ".action || '\",\"peerSelector\":{\"matchLabels\":' || " row     \
    ".labels || '},\"createdAt\":\"' || " TIME(row ".created_s") " || '\"}'"
#define HISTORY(kind, row, doc)                                                                    \
    " INSERT INTO history(time_s, kind, ns, name, doc) VALUES(unixepoch(), '" kind "', " row       \
    ".ns, " row ".name, " doc ");"
#define LIVE_DOC "CASE WHEN NEW.phase = 'Active' THEN " PEER_DOC("NEW") " END"
#define HAS_LIVE(row)                                                                              \
    "EXISTS(SELECT 1 FROM agents a WHERE a.ns = " row ".ns AND a.name = " row                      \
    ".name AND a.phase = 'Active')"

/* It breaks texts that macros make apart, word by word. */
/* clang-format off */
const char store_step_network[] =
    "CREATE TABLE peers("
    "  ns TEXT NOT NULL, name TEXT NOT NULL, network TEXT NOT NULL, app TEXT NOT NULL,"
    "  labels TEXT NOT NULL, created_s INTEGER NOT NULL,"
    "  PRIMARY KEY(ns, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE policies("
    "  ns TEXT NOT NULL, name TEXT NOT NULL, network TEXT NOT NULL,"
    "  action TEXT NOT NULL CHECK(action IN('ALLOW','DENY')), labels TEXT NOT NULL,"
    "  created_s INTEGER NOT NULL, PRIMARY KEY(ns, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE plans("
    "  ns TEXT NOT NULL, id TEXT NOT NULL, changes TEXT NOT NULL, expires_s INTEGER NOT NULL,"
    "  is_used INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(ns, id)) STRICT, WITHOUT ROWID;";

const char store_step_history[] =
    "CREATE TABLE history("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, time_s INTEGER NOT NULL, kind TEXT NOT NULL,"
    "  ns TEXT NOT NULL, name TEXT NOT NULL, doc TEXT) STRICT;"
    "CREATE INDEX history_subject ON history(ns, kind, name, seq);"
    "CREATE INDEX history_time ON history(ns, time_s);"
    "CREATE TRIGGER agents_added AFTER INSERT ON agents"
    " BEGIN" HISTORY("peer", "NEW", LIVE_DOC) "END;"
    "CREATE TRIGGER agents_changed AFTER UPDATE OF phase, address, destinations, tools ON agents"
    " WHEN OLD.phase IS NOT NEW.phase OR OLD.address IS NOT NEW.address"
    "  OR OLD.destinations IS NOT NEW.destinations OR OLD.tools IS NOT NEW.tools"
    " BEGIN" HISTORY("peer", "NEW", LIVE_DOC) "END;"
    "CREATE TRIGGER peers_added AFTER INSERT ON peers WHEN NOT " HAS_LIVE("NEW")
    " BEGIN" HISTORY("peer", "NEW", ANNOUNCED_DOC("NEW")) "END;"
    "CREATE TRIGGER peers_removed AFTER DELETE ON peers WHEN NOT " HAS_LIVE("OLD")
    " BEGIN" HISTORY("peer", "OLD", "NULL") "END;"
    "CREATE TRIGGER policies_added AFTER INSERT ON policies"
    " BEGIN" HISTORY("policy", "NEW", POLICY_DOC("NEW")) "END;"
    "CREATE TRIGGER policies_removed AFTER DELETE ON policies"
    " BEGIN" HISTORY("policy", "OLD", "NULL") "END;"
    "INSERT INTO history(time_s, kind, ns, name, doc)"
    " SELECT unixepoch(), 'peer', a.ns, a.name, " PEER_DOC("a")
    " FROM agents a WHERE a.phase = 'Active';";
/* clang-format on */

/** Append each row's first column, JSON text, as an element. */
static int write_rows(sqlite3_stmt *st, struct json_out *j)
{
    int err;

    while ((err = sql_step(st)) > 0)
        json_raw(j, sql_bytes(st, 0));
    (void)sqlite3_finalize(st);
    return err;
}

int store_policies_write(struct store *s, const char *ns, struct json_out *j)
{
    sqlite3_stmt *st;
    int err = sql_query(
        s, &st, "SELECT " POLICY_DOC("p") " FROM policies p WHERE ns = ?1 ORDER BY name", "s", ns);

    return err < 0 ? err : write_rows(st, j);
}

int store_peers_write(struct store *s, const char *ns, struct json_out *j)
{
    return store_state_write(s, ns, "peer", HISTORY_NOW, j);
}

/* ── History ─────────────────────────────────────────────────────────────────────────────────────
 */

/* The newest row of each subject up to change ?N. */
#define STATE(seq)                                                                                 \
    "SELECT h.kind, h.name, h.doc FROM history h WHERE h.ns = ?1 AND h.doc IS NOT NULL"            \
    " AND h.seq = (SELECT max(g.seq) FROM history g WHERE g.ns = h.ns AND g.kind = h.kind"         \
    " AND g.name = h.name AND g.seq <= " seq ")"

int store_history_list(struct store *s, const char *ns, int64_t from_s, int64_t to_s,
                       const char *trigger, struct json_out *j)
{
    sqlite3_stmt *st;
    int err =
        sql_query(s, &st,
                  "SELECT json_object('id', CAST(seq AS TEXT), 'createdAt', " TIME(
                      "time_s") ", 'triggerType', kind, 'resource', name,"
                                " 'change', iif(doc IS NULL, 'removed', 'set'))"
                                " FROM history WHERE ns = ?1 AND time_s >= ?2 AND time_s <= ?3"
                                " AND (?4 = '' OR kind = ?4) ORDER BY seq DESC LIMIT 1000",
                  "siis", ns, from_s, to_s, trigger);

    return err < 0 ? err : write_rows(st, j);
}

int64_t store_history_time(struct store *s, const char *ns, int64_t seq)
{
    sqlite3_stmt *st;
    int64_t time_s = -ENOENT;

    if (sql_query(s, &st, "SELECT time_s FROM history WHERE ns = ?1 AND seq = ?2", "si", ns, seq) <
        0)
        return -EIO;
    if (sql_step(st) > 0)
        time_s = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return time_s;
}

int store_state_write(struct store *s, const char *ns, const char *kind, int64_t seq,
                      struct json_out *j)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "SELECT doc FROM (" STATE("?3") ") WHERE kind = ?2 ORDER BY name LIMIT ?4",
                        "ssii", ns, kind, seq, (int64_t)NETWORK_PEERS_MAX);

    return err < 0 ? err : write_rows(st, j);
}

/** The document in the first column of the only row. */
static int read_doc(sqlite3_stmt *st, struct json_doc **ret)
{
    struct json_limits limits = {.bytes = CALL_DATA_MAX};
    int err = sql_step(st);

    if (err > 0)
        err = json_parse(sql_bytes(st, 0), &limits, ret, NULL) < 0 ? -EIO : 0;
    else if (err == 0)
        err = -ENOENT;
    (void)sqlite3_finalize(st);
    return err;
}

int store_state_get(struct store *s, const char *ns, const char *kind, const char *name,
                    int64_t seq, struct json_doc **ret)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "SELECT doc FROM (SELECT doc FROM history WHERE ns = ?1 AND kind = ?2"
                        " AND name = ?3 AND seq <= ?4 ORDER BY seq DESC LIMIT 1)"
                        " WHERE doc IS NOT NULL",
                        "sssi", ns, kind, name, seq);

    return err < 0 ? err : read_doc(st, ret);
}

int store_state_diff(struct store *s, const char *ns, int64_t from_seq, int64_t to_seq,
                     struct json_out *j)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "WITH a AS (" STATE("?2") "), b AS (" STATE(
                            "?3") ")"
                                  " SELECT json_object('type', COALESCE(a.kind, b.kind),"
                                  " 'name', COALESCE(a.name, b.name),"
                                  " 'change', CASE WHEN a.doc IS NULL THEN 'added'"
                                  " WHEN b.doc IS NULL THEN 'removed' ELSE 'changed' END,"
                                  " 'before', json(a.doc), 'after', json(b.doc))"
                                  " FROM a FULL JOIN b ON a.kind = b.kind AND a.name = b.name"
                                  " WHERE a.doc IS NOT b.doc ORDER BY 1 LIMIT ?4",
                        "siii", ns, from_seq, to_seq, (int64_t)NETWORK_PEERS_MAX);

    return err < 0 ? err : write_rows(st, j);
}

int store_history_trim(struct store *s)
{
    sqlite3_stmt *st;
    int err = sql_query(
        s, &st,
        "DELETE FROM history WHERE seq <= (SELECT max(seq) - ?1 FROM history)"
        " AND EXISTS(SELECT 1 FROM history g WHERE g.ns = history.ns AND g.kind = history.kind"
        "  AND g.name = history.name AND g.seq > history.seq)",
        "i", (int64_t)HISTORY_KEEP);

    if (err == 0)
        err = sql_finish(s, st);
    return err < 0 ? err : 0;
}

/* ── Policies and announced peers ────────────────────────────────────────────────────────────────
 */

/** An insert that counts first: nothing inserted means that there is no room. */
static int add(struct store *s, sqlite3_stmt *st)
{
    int err = sql_finish(s, st);

    if (err == 0)
        return -ENOSPC;
    return err < 0 ? err : store_raise_epoch(s);
}

int store_policy_add(struct store *s, const char *ns, const char *name, const char *network,
                     const char *action, const char *labels, int64_t now_s)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "INSERT INTO policies SELECT ?1, ?2, ?3, ?4, ?5, ?6"
                        " WHERE (SELECT count(*) FROM policies WHERE ns = ?1) < ?7",
                        "sssssii", ns, name, network, action, labels, now_s,
                        (int64_t)NETWORK_POLICIES_MAX);

    return err < 0 ? err : add(s, st);
}

int store_policy_remove(struct store *s, const char *ns, const char *name)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "DELETE FROM policies WHERE ns = ?1 AND name = ?2", "ss", ns, name);

    if (err == 0)
        err = sql_finish(s, st);
    if (err == 0)
        return -ENOENT;
    return err < 0 ? err : store_raise_epoch(s);
}

int store_policy_each(struct store *s, const char *ns, const char *peer,
                      void (*row)(void *self, const char *network, bool is_allow), void *self)
{
    sqlite3_stmt *st;
    int err =
        sql_query(s, &st,
                  "SELECT DISTINCT network, action = 'ALLOW' FROM policies p WHERE ns = ?1"
                  " AND NOT EXISTS(SELECT 1 FROM json_each(p.labels) want WHERE want.value IS NOT"
                  "  CASE want.key WHEN 'name' THEN ?2 WHEN 'namespace' THEN ?1 ELSE"
                  "  (SELECT has.value FROM peers q, json_each(q.labels) has"
                  "   WHERE q.ns = ?1 AND q.name = ?2 AND has.key = want.key) END)",
                  "ss", ns, peer);

    if (err < 0)
        return err;
    while ((err = sql_step(st)) > 0)
        row(self, (const char *)sqlite3_column_text(st, 0), sqlite3_column_int(st, 1) != 0);
    (void)sqlite3_finalize(st);
    return err;
}

int store_peer_announce(struct store *s, const struct announced_peer *p, int64_t now_s)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "INSERT INTO peers SELECT ?1, ?2, ?3, json_object('id', ?4, 'platform',"
                        " nullif(?5, '')), ?6, ?7"
                        " WHERE (SELECT count(*) FROM peers WHERE ns = ?1) < ?8",
                        "ssssssii", p->ns, p->name, p->network, p->app_id, p->platform, p->labels,
                        now_s, (int64_t)NETWORK_PEERS_MAX);

    return err < 0 ? err : add(s, st);
}

int store_peer_forget(struct store *s, const char *ns, const char *name)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "DELETE FROM peers WHERE ns = ?1 AND name = ?2", "ss", ns, name);

    if (err == 0)
        err = sql_finish(s, st);
    return err;
}

/* ── Plans ───────────────────────────────────────────────────────────────────────────────────────
 */

int store_plan_add(struct store *s, const char *ns, const char *id, const char *changes,
                   int64_t now_s)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "DELETE FROM plans WHERE expires_s + 86400 < ?1", "i", now_s);

    if (err == 0)
        err = sql_finish(s, st);
    if (err >= 0)
        err =
            sql_query(s, &st,
                      "INSERT INTO plans(ns, id, changes, expires_s) SELECT ?1, ?2, ?3, ?4"
                      " WHERE (SELECT count(*) FROM plans WHERE ns = ?1 AND expires_s > ?5) < 1000",
                      "sssii", ns, id, changes, now_s + PLAN_LIFE_S, now_s);
    if (err == 0)
        err = sql_finish(s, st);
    if (err == 0)
        return -ENOSPC;
    return err < 0 ? err : 0;
}

int store_plan_get(struct store *s, const char *ns, const char *id, int64_t now_s,
                   struct json_doc **ret)
{
    sqlite3_stmt *st;
    int err =
        sql_query(s, &st, "SELECT changes, is_used, expires_s FROM plans WHERE ns = ?1 AND id = ?2",
                  "ss", ns, id);

    if (err < 0)
        return err;
    err = sql_step(st);
    if (err > 0 && sqlite3_column_int(st, 1) != 0)
        err = -EALREADY;
    else if (err > 0 && sqlite3_column_int64(st, 2) <= now_s)
        err = -ETIME;
    if (err <= 0) {
        (void)sqlite3_finalize(st);
        return err == 0 ? -ENOENT : err;
    }
    (void)sqlite3_reset(st);
    return read_doc(st, ret);
}

int store_plan_use(struct store *s, const char *ns, const char *id)
{
    sqlite3_stmt *st;
    int err =
        sql_query(s, &st, "UPDATE plans SET is_used = 1 WHERE ns = ?1 AND id = ?2 AND is_used = 0",
                  "ss", ns, id);

    if (err == 0)
        err = sql_finish(s, st);
    if (err == 0)
        return -EALREADY;
    return err < 0 ? err : 0;
}
