/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as the file policy writes them, and as they really lie.
 */
#ifndef SANDBOX_FILE_PATHS_H
#define SANDBOX_FILE_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/must.h"

#define FILE_PATH_CAP 1536u /* a longer one stays closed */

/** What `~` and a relative path begin with; both are real. */
struct file_base {
    char *home;
    char *workspace;
};

/** path_is_within() - Is @path @dir, or below it? Both are real. */
bool path_is_within(const char *path, const char *dir);
bool path_is_below(const char *path, const char *dir);

/** path_expand_lexically() - What a path means, `~` and the working directory put in, without `.`,
 * `..` and empty components, by the text alone. Errors: -ENAMETOOLONG. */
int path_expand_lexically(const struct file_base *b, const char *text, char *ret,
                          size_t cap) MUST_USE;
/** path_real() - Where a path really lies; the caller's to free; NULL: nowhere. */
char *path_real(const struct file_base *b, const char *text);
/** path_future() - Where a file lies or will lie: its directory is followed, itself only if it is
 * there. As path_real(). */
char *path_future(const struct file_base *b, const char *text);

#endif
