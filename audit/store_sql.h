/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the store's files: SQLite, the store's statements, and how they are run.
 */
#ifndef AUDIT_STORE_SQL_H
#define AUDIT_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit/audit.h"
#include "base/library.h"
#include "base/must.h"

/* The functions of SQLite that the store uses: opened with the first store (base/library.h). */
#define SQLITE_FUNCTIONS(F)                                                                        \
    F(sqlite3_bind_int64)                                                                          \
    F(sqlite3_bind_null)                                                                           \
    F(sqlite3_bind_text)                                                                           \
    F(sqlite3_busy_timeout)                                                                        \
    F(sqlite3_clear_bindings)                                                                      \
    F(sqlite3_close)                                                                               \
    F(sqlite3_column_bytes)                                                                        \
    F(sqlite3_column_int)                                                                          \
    F(sqlite3_column_int64)                                                                        \
    F(sqlite3_column_text)                                                                         \
    F(sqlite3_errmsg)                                                                              \
    F(sqlite3_exec)                                                                                \
    F(sqlite3_finalize)                                                                            \
    F(sqlite3_open_v2)                                                                             \
    F(sqlite3_prepare_v2)                                                                          \
    F(sqlite3_prepare_v3)                                                                          \
    F(sqlite3_reset)                                                                               \
    F(sqlite3_step)

extern struct store_sqlite {
    SQLITE_FUNCTIONS(LIBRARY_MEMBER)
} sqlite; /* written once, by store_load_library() */

enum store_statement {
    STORE_PUT_SPAN,
    STORE_PUT_FLOW,
    STORE_GET_SOURCE,
    STORE_PUT_SOURCE,
    STORE_LIST_TRACES,
    STORE_LIST_TRACES_OF_TRACE, /* in this order: which_list() */
    STORE_LIST_TRACES_OF_AGENT,
    STORE_LIST_SPANS,
    STORE_LIST_SPANS_OF_TRACE, /* in this order: which_list() */
    STORE_LIST_SPANS_OF_AGENT,
    STORE_LIST_FLOWS,
    STORE_LIST_FLOWS_OF_TRACE, /* in this order: which_list() */
    STORE_LIST_FLOWS_OF_AGENT,
    STORE_LIST_CHILDREN,
    STORE_GET_SESSION,
    STORE_STATEMENTS
};

struct audit_store {
    sqlite3 *db;
    sqlite3_stmt *statements[STORE_STATEMENTS]; /* prepared at first use */
    bool is_bundled;
};

/** store_load_library() - Open SQLite, once for the process. Errors: -ENOENT it is missing. */
int store_load_library(struct why *why) MUST_USE;
/** store_run() - Run SQL that has no values and returns no rows. Returns 0 or -errno. */
int store_run(struct audit_store *s, const char *text);
/** store_error() - SQLite's result code as 0 or -errno. */
int store_error(int rc);

/** store_statement() - A statement, ready to be bound; NULL: it cannot be prepared. */
sqlite3_stmt *store_statement(struct audit_store *s, enum store_statement which);
/** store_bind_text() - @text (NULL: no value) is borrowed until the statement is reset. */
void store_bind_text(sqlite3_stmt *q, int i, const char *text);
void store_bind_number(sqlite3_stmt *q, int i, int64_t v, bool is_present);
/** store_finish() - Run a statement that returns no rows, and reset it. */
int store_finish(sqlite3_stmt *q) MUST_USE;

/* Rows (store.c). @id: of the row; else it is made from @chain and @seq. */
int store_put_span(struct audit_store *s, const struct audit_record *r, const char *id) MUST_USE;
int store_put_flow(struct audit_store *s, const struct audit_record *r, const char *id) MUST_USE;
int store_put_record(struct audit_store *s, const struct audit_record *r, const char *chain,
                     uint64_t seq) MUST_USE;

#endif
