/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the store's files: statements, transactions, and an identity as columns.
 */
#ifndef CONTROL_STORE_SQL_H
#define CONTROL_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "control/store.h"

struct store {
    sqlite3 *db;
};

/* Statements (store_sql.c). */

/** sql_query() - Prepare @sql and bind values: 'i' int64_t, 's' text, 'h' 32 bytes or NULL,
 * 'b' const struct bytes *. The
 * statement is the caller's to finalise. */
int sql_query(struct store *s, sqlite3_stmt **ret, const char *sql, const char *kinds,
              ...) MUST_USE;
/** sql_step() - 1 a row, 0 the end, -EEXIST a constraint, -EIO. */
int sql_step(sqlite3_stmt *st) MUST_USE;
/** sql_finish() - Run to the end and finalise. The number of changed rows, or -errno. */
int sql_finish(struct store *s, sqlite3_stmt *st);
int sql_exec(struct store *s, const char *sql) MUST_USE;
/** sql_number() - One number of one row; @none when there is no row. */
int64_t sql_number(struct store *s, const char *sql, int64_t none);

/** sql_read_text() - -EIO: no text, or longer than fits. */
int sql_read_text(sqlite3_stmt *st, int column, char *ret, size_t cap) MUST_USE;
/** sql_bytes() - A column's text, borrowed until the next step. */
struct bytes sql_bytes(sqlite3_stmt *st, int column);

/** sql_begin() - Begin a transaction unless the caller has begun one; says so in @ret_own. */
int sql_begin(struct store *s, bool *ret_own) MUST_USE;
/** sql_end() - End what sql_begin() began: commit when @result is no error. Returns @result or the
 * commit's. */
int sql_end(struct store *s, bool own, int result) MUST_USE;

/* Steps of the schema: the network and its history (store_network.c), approvals. */
extern const char store_step_network[];
extern const char store_step_history[];
extern const char store_step_approvals[];

#define HISTORY_KEEP 100000 /* changes; what is older and overtaken is forgotten */
int store_history_trim(struct store *s) MUST_USE;

/** store_raise_epoch() - The set of live agents changes in this transaction (store.c). */
int store_raise_epoch(struct store *s) MUST_USE;

/* The columns that agents and tokens share, in this order, from the first on (store_columns.c). */
#define IDENTITY_COLUMNS                                                                           \
    "ns, name, parent, depth, tools, namespaces, destinations, sandbox, enforcement, audit_level"
#define IDENTITY_COLUMN_COUNT 10

int identity_row_read(sqlite3_stmt *st, struct identity *id) MUST_USE;

/** The three lists of an identity as texts, for binding. */
struct identity_lists {
    struct buf tools, namespaces, destinations;
};

int identity_lists_init(const struct identity *id, struct identity_lists *ret) MUST_USE;
void identity_lists_done(struct identity_lists *l);

#endif
