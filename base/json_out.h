/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON text (RFC 8259) into a buf, one value after the other; commas and nesting are kept
 * here. Strings are escaped in this one place: control bytes, quotes and DEL as \u00XX, and bytes
 * that are not valid UTF-8 as U+FFFD, so foreign text can never break a record or a terminal.
 */
#ifndef BASE_JSON_OUT_H
#define BASE_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define JSON_OUT_DEPTH_MAX 32

struct json_out {
    struct buf *to;       /* borrowed; holds the error, too */
    unsigned depth;       /* open objects and arrays */
    uint32_t has_element; /* bit per depth: a comma is due before the next element */
    bool after_key;       /* the next value belongs to a key that was just written */
};

void json_out_init(struct json_out *j, struct buf *to);

void json_open_object(struct json_out *j);
void json_close_object(struct json_out *j);
void json_open_array(struct json_out *j);
void json_close_array(struct json_out *j);
/** json_key() - The next call writes this member's value. */
void json_key(struct json_out *j, const char *key);

void json_str(struct json_out *j, const char *text);
void json_bytes(struct json_out *j, struct bytes text);
void json_u64(struct json_out *j, uint64_t v);
void json_i64(struct json_out *j, int64_t v);
void json_bool(struct json_out *j, bool v);
void json_null(struct json_out *j);
/** json_raw() - Insert JSON text that is known to be valid, as it is. */
void json_raw(struct json_out *j, struct bytes text);

/** Key and value in one call. json_put_str() leaves the member out when @text is NULL. */
void json_put_str(struct json_out *j, const char *key, const char *text);
void json_put_u64(struct json_out *j, const char *key, uint64_t v);
void json_put_i64(struct json_out *j, const char *key, int64_t v);
void json_put_bool(struct json_out *j, const char *key, bool v);

#endif
