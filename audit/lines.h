/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a log line by line, with a limit on the line and none on the file, and can go on when the
 * file has grown.
 */
#ifndef AUDIT_LINES_H
#define AUDIT_LINES_H

#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/must.h"
#include "base/why.h"

struct lines {
    int fd;
    struct buf buf;
    size_t at;       /* first byte of @buf that was not handed out */
    uint64_t offset; /* of that byte in the file */
};

int lines_open(struct lines *l, const char *path, uint64_t offset, struct why *why) MUST_USE;
/** lines_next() - Returns 1 and a line without its newline (borrowed until the next call), 0 when
 * no whole line is left now. Errors: -EMSGSIZE longer than AUDIT_LINE_MAX; -errno of read(2). */
int lines_next(struct lines *l, struct bytes *ret) MUST_USE;
/** lines_rest() - After a 0: bytes behind the last newline. */
size_t lines_rest(const struct lines *l);
/** lines_seek() - Go on at @offset, the beginning of a line. */
void lines_seek(struct lines *l, uint64_t offset);
void lines_close(struct lines *l);

#endif
