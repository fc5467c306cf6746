/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person must know to mend a failure: one line of text and, for files, where in the file.
 * Filled on failure only, by the function that found the fault; never on the heap.
 */
#ifndef BASE_WHY_H
#define BASE_WHY_H

#include "base/must.h"

#define WHY_TEXT_MAX 384

struct why {
    char text[WHY_TEXT_MAX]; /* one line, no newline, always terminated */
    char file[128];          /* empty: not about a file */
    unsigned line;           /* 1-based; 0: not about a line */
    unsigned column;         /* 1-based; 0: not about a column */
};

/** why_set() - Say what was wrong and what was expected. @why may be NULL. Returns @err as it is,
 * so that a caller writes `return why_set(why, -EINVAL, "…");`. */
int why_set(struct why *why, int err, const char *format, ...) PRINTF_LIKE(3, 4);

/** why_at() - Add the place to a reason that was set before. @file is copied, cut when too long. */
void why_at(struct why *why, const char *file, unsigned line, unsigned column);

/** why_print() - Write the reason as `FILE:LINE:COLUMN: TEXT` into @ret (always terminated). */
void why_print(const struct why *why, char *ret, size_t cap);

#endif
