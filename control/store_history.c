/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the set of live agents was at each epoch. A database trigger writes a row whenever an agent
 * begins or ends, in the transaction of that change, so no handler can forget it; the state at an
 * epoch is each agent's last row up to it. Nothing here changes an agent.
 */
#include <errno.h>
#include <stdio.h>

#include "control/store_sql.h"

#define HISTORY_COLUMNS                                                                            \
    IDENTITY_COLUMNS ", seq, phase, expires_s, NULL, address, created_s, ended_s, 0"
/* Each agent's last row up to epoch ?2 in namespace ?1. */
#define STATE                                                                                      \
    "WITH state AS (SELECT max(seq) AS seq FROM history WHERE ns = ?1 AND epoch <= ?2"             \
    " GROUP BY name) "

int store_snapshot_list(struct store *s, const struct store_snapshot_filter *f,
                        void (*row)(void *self, const struct store_snapshot *p), void *self)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "SELECT epoch, min(at_s), cause, count(*) FROM history WHERE ns = ?1"
                        " AND at_s >= ?2 AND at_s < ?3 AND (?4 = '' OR cause = ?4)"
                        " GROUP BY epoch, cause ORDER BY epoch DESC LIMIT ?5",
                        "siisi", f->ns, f->from_s, f->to_s, f->cause != NULL ? f->cause : "",
                        (int64_t)f->limit);

    if (err < 0)
        return err;
    while ((err = sql_step(st)) > 0) {
        struct store_snapshot p = {.epoch = sqlite3_column_int64(st, 0),
                                   .at_s = sqlite3_column_int64(st, 1),
                                   .count = sqlite3_column_int64(st, 3)};

        err = sql_read_text(st, 2, p.cause, sizeof(p.cause));
        if (err < 0)
            break;
        row(self, &p);
    }
    (void)sqlite3_finalize(st);
    return err;
}

int store_snapshot_check(struct store *s, const char *ns, int64_t epoch)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st, "SELECT 1 FROM history WHERE ns = ?1 AND epoch = ?2 LIMIT 1", "si",
                        ns, epoch);

    if (err < 0)
        return err;
    err = sql_step(st);
    (void)sqlite3_finalize(st);
    return err > 0 ? 0 : err == 0 ? -ENOENT : err;
}

int store_snapshot_agents(struct store *s, const char *ns, int64_t epoch,
                          void (*row)(void *self, const struct store_agent *a), void *self)
{
    struct store_agent a;
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        STATE "SELECT " HISTORY_COLUMNS " FROM history JOIN state USING(seq)"
                              " WHERE phase = 'Active' ORDER BY name",
                        "si", ns, epoch);

    if (err < 0)
        return err;
    while ((err = sql_step(st)) > 0) {
        err = agent_row_read(st, &a);
        if (err < 0)
            break;
        row(self, &a);
        store_agent_done(&a);
    }
    (void)sqlite3_finalize(st);
    return err;
}

int store_snapshot_agent(struct store *s, const char *ns, int64_t epoch, const char *name,
                         struct store_agent *ret)
{
    sqlite3_stmt *st;
    int err = sql_query(s, &st,
                        "SELECT " HISTORY_COLUMNS " FROM history WHERE seq ="
                        " (SELECT max(seq) FROM history WHERE ns = ?1 AND epoch <= ?2"
                        " AND name = ?3) AND phase = 'Active'",
                        "sis", ns, epoch, name);

    return err < 0 ? err : agent_row_read_one(st, ret);
}

int store_snapshot_diff(struct store *s, const char *ns, int64_t from, int64_t to,
                        void (*row)(void *self, const char *change, const char *name), void *self)
{
    char name[IDENTITY_NAME_MAX + 1];
    char change[16];
    sqlite3_stmt *st;
    int err = sql_query(
        s, &st,
        "WITH a AS (SELECT name, max(seq) AS seq FROM history WHERE ns = ?1 AND epoch <= ?2"
        " GROUP BY name), b AS (SELECT name, max(seq) AS seq FROM history WHERE ns = ?1"
        " AND epoch <= ?3 GROUP BY name),"
        " x AS (SELECT h.name, h.seq FROM history h JOIN a USING(seq) WHERE h.phase = 'Active'),"
        " y AS (SELECT h.name, h.seq FROM history h JOIN b USING(seq) WHERE h.phase = 'Active')"
        " SELECT 'added', name FROM y WHERE name NOT IN (SELECT name FROM x)"
        " UNION ALL SELECT 'removed', name FROM x WHERE name NOT IN (SELECT name FROM y)"
        " UNION ALL SELECT 'changed', x.name FROM x JOIN y USING(name) WHERE x.seq <> y.seq"
        " ORDER BY 1, 2",
        "sii", ns, from, to);

    if (err < 0)
        return err;
    while ((err = sql_step(st)) > 0) {
        err = sql_read_text(st, 0, change, sizeof(change));
        if (err == 0)
            err = sql_read_text(st, 1, name, sizeof(name));
        if (err < 0)
            break;
        row(self, change, name);
    }
    (void)sqlite3_finalize(st);
    return err;
}

int store_history_prune(struct store *s, int64_t before_s)
{
    sqlite3_stmt *st;
    /* The last row of each agent before the limit stays: later states still rest on it. */
    int err = sql_query(s, &st,
                        "DELETE FROM history WHERE at_s < ?1 AND seq NOT IN"
                        " (SELECT max(seq) FROM history WHERE at_s < ?1 GROUP BY ns, name)",
                        "i", before_s);

    if (err == 0)
        err = sql_finish(s, st);
    return err < 0 ? err : 0;
}
