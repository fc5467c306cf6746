/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The target of an HTTP request (RFC 9112 3.2.1, origin form), taken apart strictly, so that a path
 * or a query means the same thing to the router, to the handler and to a proxy in front. Refused:
 * other forms, empty, "." and ".." segments, an encoded "/", NUL or control byte, bad escapes, text
 * that is not UTF-8, and a query member named twice.
 */
#ifndef BASE_HTTP_TARGET_H
#define BASE_HTTP_TARGET_H

#include "base/bytes.h"
#include "base/must.h"

#define HTTP_TARGET_MAX  2048u
#define HTTP_SEGMENT_MAX 16u
#define HTTP_QUERY_MAX   16u

struct http_query_member {
    const char *name;
    const char *value;
};

struct http_target {
    char text[HTTP_TARGET_MAX + HTTP_SEGMENT_MAX +
              2 * HTTP_QUERY_MAX];          /* decoded, terminated pieces */
    const char *segments[HTTP_SEGMENT_MAX]; /* of the path, in text; "/" alone has none */
    unsigned segment_count;
    struct http_query_member query[HTTP_QUERY_MAX];
    unsigned query_count;
};

/** http_target_parse() - Errors: -EINVAL refused as said above; -EMSGSIZE too long or too many
 * parts. The pointers in @ret point into @ret: do not copy it. */
int http_target_parse(struct bytes text, struct http_target *ret) MUST_USE;
/** http_target_query() - The value of query member @name, or NULL. */
const char *http_target_query(const struct http_target *t, const char *name);

#endif
