/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer that cannot be made without saying its maximum. It remembers the first
 * failure (too large, out of memory) and ignores further appends, so a writer may append many times
 * and check once, with buf_error(), before it uses the result.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/bytes.h"
#include "base/must.h"

struct buf {
    uint8_t *data; /* owned; buf_text() keeps a NUL behind it */
    size_t len;    /* bytes in use */
    size_t cap;    /* bytes allocated */
    size_t max;    /* never longer than this */
    int err;       /* 0, -EMSGSIZE or -ENOMEM */
};

/** buf_init() - Empty buffer of at most @max bytes; allocates nothing yet. */
void buf_init(struct buf *b, size_t max);
/** buf_done() - Free the bytes; accepts a buffer that failed, and a second call. */
void buf_done(struct buf *b);
/** buf_reset() - Forget content and error, keep the memory. */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/** buf_reserve() - Room for @len more bytes at the end; NULL on failure. Say with buf_commit() how
 * many of them were written. The pointer is valid until the next call on @b. */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);
/** buf_consume() - Drop @len bytes from the front. */
void buf_consume(struct buf *b, size_t len);

/** buf_text() - The content as terminated text, valid until the next call; "" after a failure. */
const char *buf_text(struct buf *b);
static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->data, b->len);
}
static inline int buf_error(const struct buf *b)
{
    return b->err;
}

#endif
