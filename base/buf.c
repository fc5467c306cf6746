/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growth by doubling up to the declared maximum. One byte more than asked for is always allocated,
 * so that the text form can be terminated without another allocation that might fail.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_CAP 256

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->err = 0;
}

static int buf_fail(struct buf *b, int err)
{
    if (b->err == 0)
        b->err = err;
    return b->err;
}

static int buf_grow(struct buf *b, size_t more)
{
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST_CAP;
    uint8_t *grown;

    if (b->err != 0)
        return b->err;
    if (more > b->max - b->len)
        return buf_fail(b, -EMSGSIZE);
    if (b->cap > 0 && more < b->cap - b->len)
        return 0;
    while (cap - b->len <= more)
        cap *= 2;
    grown = realloc(b->data, cap);
    if (grown == NULL)
        return buf_fail(b, -ENOMEM);
    b->data = grown;
    b->cap = cap;
    return 0;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    return buf_grow(b, len) < 0 ? NULL : b->data + b->len;
}

void buf_commit(struct buf *b, size_t len)
{
    must(len < b->cap - b->len);
    b->len += len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (len == 0 || buf_grow(b, len) < 0)
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buf_add_str(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_list again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    if (len >= 0 && buf_grow(b, (size_t)len) == 0) {
        (void)vsnprintf((char *)b->data + b->len, (size_t)len + 1, format, again);
        b->len += (size_t)len;
    } else if (len < 0) {
        (void)buf_fail(b, -EINVAL);
    }
    va_end(again);
    va_end(args);
}

void buf_consume(struct buf *b, size_t len)
{
    must(len <= b->len);
    b->len -= len;
    if (b->len > 0 && len > 0)
        memmove(b->data, b->data + len, b->len);
}

const char *buf_text(struct buf *b)
{
    if (b->err != 0 || b->data == NULL)
        return "";
    b->data[b->len] = '\0';
    return (const char *)b->data;
}
