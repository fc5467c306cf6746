/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads JSON text (RFC 8259), strictly: what two parsers could understand differently is refused
 * before cJSON sees it. Refused are duplicate member names, \u0000, lone surrogates, invalid UTF-8,
 * raw control bytes, a byte order mark, leading zeros, NaN and Infinity, trailing data, and
 * whatever goes beyond the caller's limits. Names are compared byte by byte, never without regard
 * to case.
 *
 * Lifecycle: json_parse → json_root, look-ups, readers → json_free. A value (const struct json *)
 * is borrowed from its document and dies with it. Every look-up and reader accepts NULL, so an
 * absent member needs one check only.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/why.h"

#define JSON_DEPTH_MAX  64u        /* nested arrays and objects */
#define JSON_VALUES_MAX (1u << 20) /* values of one document */
#define JSON_NUMBER_MAX 63u        /* characters of one number; cJSON reads no more */

struct json_doc;
struct json;

enum json_type {
    JSON_NONE = 0, /* the type of NULL: there is no value */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_limits {
    size_t bytes;    /* longest text, at most UINT32_MAX - 1 */
    unsigned depth;  /* 0: JSON_DEPTH_MAX, which is also the most */
    unsigned values; /* 0: JSON_VALUES_MAX */
};

/**
 * json_parse() - Read one document.
 * @text: borrowed for the call; the document keeps a copy.
 * @why:  on failure the fault in words, with line and column (both 1-based, columns in characters).
 * Errors: -EINVAL not such a text; -EMSGSIZE beyond a limit; -ENOMEM.
 */
int json_parse(struct bytes text, const struct json_limits *limits, struct json_doc **ret,
               struct why *why) MUST_USE;
void json_free(struct json_doc *doc);

const struct json *json_root(const struct json_doc *doc);
enum json_type json_type(const struct json *v);
/** json_type_name() - With its article: "a string", "an object". */
const char *json_type_name(enum json_type type);

/** json_get() - The member called @name, or NULL: no object, or no such member. */
const struct json *json_get(const struct json *object, const char *name);
/** json_first(), json_next() - Elements of an array or members of an object, in order of the text.
 */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *v);
unsigned json_count(const struct json *container);
/** json_name() - A member's own name, NULL for anything else. Borrowed. */
const char *json_name(const struct json *member);

/** json_text() - The value exactly as it was written, without surrounding blanks. Borrowed. */
struct bytes json_text(const struct json *v);
/** json_place() - Where the value begins in the text. 0, 0 for NULL. */
void json_place(const struct json *v, unsigned *ret_line, unsigned *ret_column);

/** Readers. -EINVAL: another type, or a number that does not fit exactly. */
int json_read_str(const struct json *v, const char **ret) MUST_USE; /* no NUL inside; borrowed */
int json_read_i64(const struct json *v, int64_t *ret) MUST_USE;     /* no fraction, no exponent */
int json_read_u64(const struct json *v, uint64_t *ret) MUST_USE;
int json_read_double(const struct json *v, double *ret) MUST_USE; /* finite */
int json_read_bool(const struct json *v, bool *ret) MUST_USE;
/** json_is_str() - True when @v is the string @text. */
bool json_is_str(const struct json *v, const char *text);

/** json_fail() - Say what is wrong with @v and where it stands. Returns -EINVAL. */
int json_fail(struct why *why, const char *file, const struct json *v, const char *format, ...)
    PRINTF_LIKE(4, 5);
/** json_fail_name() - The same, about a member's name. */
int json_fail_name(struct why *why, const char *file, const struct json *member, const char *format,
                   ...) PRINTF_LIKE(4, 5);

/**
 * json_check_keys() - Refuse members that are not among @allowed (@count names).
 * @file: for the message. Errors: -EINVAL, @why names the member, its place and the nearest allowed
 * name.
 */
int json_check_keys(const struct json *object, const char *const *allowed, unsigned count,
                    const char *file, struct why *why) MUST_USE;

#endif
