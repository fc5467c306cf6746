/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer keeps one bit per nesting level and nothing else; a misuse (a key outside an object,
 * too deep) is our own bug and stops the program.
 */
#include "base/json_out.h"

#include "base/utf8.h"

void json_out_init(struct json_out *j, struct buf *to)
{
    *j = (struct json_out){.to = to};
}

static void before_value(struct json_out *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (j->has_element & (1u << j->depth))
        buf_add_char(j->to, ',');
    j->has_element |= 1u << j->depth;
}

static void open_level(struct json_out *j, char c)
{
    before_value(j);
    must(j->depth + 1 < JSON_OUT_DEPTH_MAX);
    j->depth++;
    j->has_element &= ~(1u << j->depth);
    buf_add_char(j->to, c);
}

static void close_level(struct json_out *j, char c)
{
    must(j->depth > 0 && !j->after_key);
    j->depth--;
    buf_add_char(j->to, c);
}

void json_open_object(struct json_out *j)
{
    open_level(j, '{');
}

void json_close_object(struct json_out *j)
{
    close_level(j, '}');
}

void json_open_array(struct json_out *j)
{
    open_level(j, '[');
}

void json_close_array(struct json_out *j)
{
    close_level(j, ']');
}

static void add_escaped(struct buf *to, struct bytes text)
{
    size_t i = 0;

    while (i < text.len) {
        uint8_t c = text.data[i];
        size_t len = utf8_len(text.data + i, text.len - i);

        if (len == 0)
            buf_add_str(to, "\\ufffd");
        else if (c == '"' || c == '\\')
            buf_printf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(to, "\\u%04x", c);
        else
            buf_add(to, text.data + i, len);
        i += len > 0 ? len : 1;
    }
}

static void add_string(struct json_out *j, struct bytes text)
{
    buf_add_char(j->to, '"');
    add_escaped(j->to, text);
    buf_add_char(j->to, '"');
}

void json_key(struct json_out *j, const char *key)
{
    must(j->depth > 0 && !j->after_key);
    before_value(j);
    add_string(j, bytes_of_str(key));
    buf_add_char(j->to, ':');
    j->after_key = true;
}

void json_bytes(struct json_out *j, struct bytes text)
{
    before_value(j);
    add_string(j, text);
}

void json_str(struct json_out *j, const char *text)
{
    json_bytes(j, bytes_of_str(text));
}

void json_u64(struct json_out *j, uint64_t v)
{
    before_value(j);
    buf_printf(j->to, "%llu", (unsigned long long)v);
}

void json_i64(struct json_out *j, int64_t v)
{
    before_value(j);
    buf_printf(j->to, "%lld", (long long)v);
}

void json_bool(struct json_out *j, bool v)
{
    before_value(j);
    buf_add_str(j->to, v ? "true" : "false");
}

void json_null(struct json_out *j)
{
    before_value(j);
    buf_add_str(j->to, "null");
}

void json_raw(struct json_out *j, struct bytes text)
{
    before_value(j);
    buf_add(j->to, text.data, text.len);
}

void json_put_str(struct json_out *j, const char *key, const char *text)
{
    if (text == NULL)
        return;
    json_key(j, key);
    json_str(j, text);
}

void json_put_u64(struct json_out *j, const char *key, uint64_t v)
{
    json_key(j, key);
    json_u64(j, v);
}

void json_put_i64(struct json_out *j, const char *key, int64_t v)
{
    json_key(j, key);
    json_i64(j, v);
}

void json_put_bool(struct json_out *j, const char *key, bool v)
{
    json_key(j, key);
    json_bool(j, v);
}
