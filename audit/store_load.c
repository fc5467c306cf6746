/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log into the store, from where the last reading of it ended. What is no record is counted and
 * left out; whether the log is whole is not asked here (verify.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/store_sql.h"

#define LOAD_BUNDLE 2000u /* records in one transaction */

static int find_source(struct audit_store *s, const char *path, const struct stat *st,
                       uint64_t *ret_offset)
{
    sqlite3_stmt *q = store_statement(s, STORE_GET_SOURCE);
    int rc;

    *ret_offset = 0;
    if (q == NULL)
        return -EIO;
    store_bind_text(q, 1, path);
    rc = sqlite.sqlite3_step(q);
    /* Another file under the same name, or one that was cut, is read anew. */
    if (rc == SQLITE_ROW && sqlite.sqlite3_column_int64(q, 0) == (int64_t)st->st_dev &&
        sqlite.sqlite3_column_int64(q, 1) == (int64_t)st->st_ino &&
        sqlite.sqlite3_column_int64(q, 2) <= st->st_size)
        *ret_offset = (uint64_t)sqlite.sqlite3_column_int64(q, 2);
    (void)sqlite.sqlite3_reset(q);
    return store_error(rc);
}

static int remember_source(struct audit_store *s, const char *path, const struct stat *st,
                           uint64_t offset)
{
    sqlite3_stmt *q = store_statement(s, STORE_PUT_SOURCE);

    if (q == NULL)
        return -EIO;
    store_bind_text(q, 1, path);
    store_bind_number(q, 2, (int64_t)st->st_dev, true);
    store_bind_number(q, 3, (int64_t)st->st_ino, true);
    store_bind_number(q, 4, (int64_t)offset, true);
    return store_finish(q);
}

struct load {
    struct audit_store *store;
    const char *path;
    struct stat st;
    uint64_t offset;
    int64_t taken;
    uint64_t skipped;
};

static void roll_back(struct audit_store *s)
{
    (void)store_run(s, "ROLLBACK"); /* fails only when the error before has rolled back already */
    s->is_bundled = false;
}

/** One bundle. Returns 1 when more may follow, 0 at the end. */
static int load_bundle(struct load *l, struct audit_reader *reader, struct why *why)
{
    int got = 1;
    int err = audit_store_begin(l->store);

    for (unsigned i = 0; err == 0 && i < LOAD_BUNDLE; i++) {
        struct audit_entry entry;

        got = audit_reader_next(reader, &entry, why);
        if (got == -EBADMSG) {
            l->skipped++;
            continue;
        }
        if (got <= 0)
            break;
        if (entry.chain[0] == '\0') {
            l->skipped++;
            continue;
        }
        err = store_put_record(l->store, &entry.record, entry.chain, entry.seq);
        l->offset = entry.end_offset;
        l->taken++;
    }
    if (err == 0)
        err = remember_source(l->store, l->path, &l->st, l->offset);
    if (err == 0)
        err = audit_store_commit(l->store);
    else
        roll_back(l->store);
    return err < 0 ? err : got == -EBADMSG ? 1 : got;
}

int64_t audit_store_load(struct audit_store *s, const char *log_path, uint64_t *ret_skipped,
                         struct why *why)
{
    struct load l = {.store = s, .path = log_path};
    struct audit_reader *reader = NULL;
    int err;

    must(!s->is_bundled);
    if (stat(log_path, &l.st) < 0)
        return why_set(why, -errno, "cannot read %s: %s", log_path, strerror(errno));
    err = find_source(s, log_path, &l.st, &l.offset);
    if (err == 0)
        err = audit_reader_open(log_path, l.offset, &reader, why);
    if (err < 0)
        return err;
    do
        err = load_bundle(&l, reader, why);
    while (err == 1);
    audit_reader_close(reader);
    if (ret_skipped != NULL)
        *ret_skipped = l.skipped;
    return err < 0 ? err : l.taken;
}
