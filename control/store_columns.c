/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An identity as columns of a row: what agents and enrolment tokens have in common. Lists stand as
 * JSON texts; a row that does not read back as an identity is an error, never a weaker identity.
 */
#include "control/store_sql.h"

#include <errno.h>
#include <stdio.h>

#include "base/json.h"
#include "base/json_out.h"

#define LIST_TEXT_MAX 65536u

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

int identity_row_read(sqlite3_stmt *st, struct identity *id)
{
    identity_init(id);
    if (sql_read_text(st, 0, id->ns, sizeof(id->ns)) < 0 ||
        sql_read_text(st, 1, id->name, sizeof(id->name)) < 0 ||
        sql_read_text(st, 2, id->parent, sizeof(id->parent)) < 0 ||
        read_list(st, 4, &id->tools) < 0 || read_list(st, 5, &id->namespaces) < 0 ||
        read_list(st, 6, &id->destinations) < 0 ||
        identity_sandbox_parse(sql_bytes(st, 7), &id->sandbox) < 0 ||
        identity_enforcement_parse(sql_bytes(st, 8), &id->enforcement) < 0 ||
        identity_audit_level_parse(sql_bytes(st, 9), &id->audit_level) < 0) {
        identity_done(id);
        return -EIO;
    }
    id->depth = (unsigned)sqlite3_column_int(st, 3);
    return 0;
}

int identity_lists_init(const struct identity *id, struct identity_lists *ret)
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

void identity_lists_done(struct identity_lists *l)
{
    buf_done(&l->tools);
    buf_done(&l->namespaces);
    buf_done(&l->destinations);
}
