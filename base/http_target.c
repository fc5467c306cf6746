/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splits first and decodes after, as RFC 3986 2.4 asks, so that an encoded separator never
 * separates.
 */
#include "base/http_target.h"

#include <errno.h>

#include "base/utf8.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** RFC 3986 3.3 pchar and 3.4, without the escapes; '+' stands for itself. */
static bool is_plain(uint8_t c, bool in_query)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr(in_query ? "-._~!$'()*,;:@/?+" : "-._~!$&'()*+,;=:@", c) != NULL;
}

static bool is_text(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(p + i, len - i);

        if (n == 0 || p[i] < 0x20 || p[i] == 0x7f)
            return false;
        i += n;
    }
    return true;
}

/** Decode one piece to @out, which has room for it, and terminate it. Returns its length. */
static int decode(struct bytes piece, bool in_query, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < piece.len; i++) {
        uint8_t c = piece.data[i];

        if (c == '%') {
            bool is_whole = piece.len - i > 2;
            int high = is_whole ? hex_value(piece.data[i + 1]) : -1;
            int low = is_whole ? hex_value(piece.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            c = (uint8_t)(high << 4 | low);
            if (c == '/' && !in_query)
                return -EINVAL;
            i += 2;
        } else if (!is_plain(c, in_query)) {
            return -EINVAL;
        }
        out[len++] = (char)c;
    }
    if (!is_text((const uint8_t *)out, len))
        return -EINVAL;
    out[len] = '\0';
    return (int)len;
}

/** Cut the piece before the first @separator off the front of @rest; false: there was nothing left.
 */
static bool next_piece(struct bytes *rest, char separator, struct bytes *ret)
{
    const uint8_t *at;

    if (rest->data == NULL)
        return false;
    at = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    if (at == NULL) {
        *ret = *rest;
        *rest = (struct bytes){0};
        return true;
    }
    *ret = bytes_of(rest->data, (size_t)(at - rest->data));
    *rest = bytes_of(at + 1, rest->len - ret->len - 1);
    return true;
}

static int add_segment(struct bytes piece, struct http_target *t, char **out)
{
    int len;

    if (t->segment_count == HTTP_SEGMENT_MAX)
        return -EMSGSIZE;
    len = decode(piece, /*in_query=*/false, *out);
    if (len <= 0 || strcmp(*out, ".") == 0 || strcmp(*out, "..") == 0)
        return -EINVAL;
    t->segments[t->segment_count++] = *out;
    *out += len + 1;
    return 0;
}

static int add_member(struct bytes piece, struct http_target *t, char **out)
{
    struct bytes value = piece;
    struct bytes name;
    int name_len;
    int value_len;

    if (t->query_count == HTTP_QUERY_MAX)
        return -EMSGSIZE;
    (void)next_piece(&value, '=', &name);
    name_len = decode(name, /*in_query=*/true, *out);
    if (name_len <= 0 || http_target_query(t, *out) != NULL)
        return -EINVAL;
    value_len = decode(value, /*in_query=*/true, *out + name_len + 1);
    if (value_len < 0)
        return value_len;
    t->query[t->query_count].name = *out;
    t->query[t->query_count++].value = *out + name_len + 1;
    *out += name_len + value_len + 2;
    return 0;
}

int http_target_parse(struct bytes text, struct http_target *ret)
{
    struct bytes rest = text;
    struct bytes path;
    struct bytes piece;
    char *out = ret->text;
    int err = 0;

    ret->segment_count = 0;
    ret->query_count = 0;
    if (text.len > HTTP_TARGET_MAX)
        return -EMSGSIZE;
    if (text.len == 0 || text.data[0] != '/')
        return -EINVAL;
    (void)next_piece(&rest, '?', &path);
    path = path.len > 1 ? bytes_of(path.data + 1, path.len - 1) : (struct bytes){0};
    while (err == 0 && next_piece(&path, '/', &piece))
        err = add_segment(piece, ret, &out);
    if (rest.len == 0)
        rest = (struct bytes){0}; /* "?" alone */
    while (err == 0 && next_piece(&rest, '&', &piece))
        err = add_member(piece, ret, &out);
    return err;
}

const char *http_target_query(const struct http_target *t, const char *name)
{
    for (unsigned i = 0; i < t->query_count; i++)
        if (strcmp(t->query[i].name, name) == 0)
            return t->query[i].value;
    return NULL;
}
