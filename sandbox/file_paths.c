/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of the file policy: what is written, where it lies, and what lies below what. It looks at
 * names only, and opens nothing.
 */
#include "sandbox/file_paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

/** Is @path @dir, or below it? Both are real. */
bool path_is_within(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    if (len > 1 && strncmp(path, dir, len) != 0)
        return false;
    return len == 1 || path[len] == '\0' || path[len] == '/';
}

bool path_is_below(const char *path, const char *dir)
{
    return path_is_within(path, dir) && strcmp(path, dir) != 0;
}

/** What a path means: `~` and the working directory put in; not yet where it really lies. */
static int expand(const struct file_base *b, const char *text, char *ret, size_t cap)
{
    int len = text[0] == '~'   ? snprintf(ret, cap, "%s%s", b->home, text + 1)
              : text[0] == '/' ? snprintf(ret, cap, "%s", text)
                               : snprintf(ret, cap, "%s/%s", b->workspace, text);

    return len > 0 && (size_t)len < cap ? 0 : -ENAMETOOLONG;
}

/** The same without `.`, `..` and empty components, by the text alone. */
int path_expand_lexically(const struct file_base *b, const char *text, char *ret, size_t cap)
{
    char raw[FILE_PATH_CAP];
    size_t len = 0;

    if (expand(b, text, raw, sizeof(raw)) < 0 || strlen(raw) >= cap)
        return -ENAMETOOLONG;
    for (const char *part = raw; *part != '\0'; part += strcspn(part, "/")) {
        size_t part_len;

        part += strspn(part, "/");
        part_len = strcspn(part, "/");
        if (part_len == 0 || (part_len == 1 && part[0] == '.'))
            continue;
        if (part_len == 2 && part[0] == '.' && part[1] == '.') {
            while (len > 0 && ret[--len] != '/')
                continue;
            continue;
        }
        ret[len++] = '/';
        memcpy(ret + len, part, part_len);
        len += part_len;
    }
    if (len == 0)
        ret[len++] = '/';
    ret[len] = '\0';
    return 0;
}

/** Where a path really lies; owned; NULL: nowhere. */
char *path_real(const struct file_base *b, const char *text)
{
    char path[FILE_PATH_CAP];

    return expand(b, text, path, sizeof(path)) == 0 ? realpath(path, NULL) : NULL;
}

/** Where a file lies or will lie: its directory is followed, itself only if it is there. */
char *path_future(const struct file_base *b, const char *text)
{
    char path[FILE_PATH_CAP];
    char *real = path_real(b, text);
    auto_free char *dir = NULL;
    char *slash;
    int len;

    if (real != NULL || expand(b, text, path, sizeof(path)) < 0)
        return real;
    slash = strrchr(path, '/');
    *slash = '\0';
    dir = realpath(slash == path ? "/" : path, NULL);
    len = dir != NULL ? asprintf(&real, "%s/%s", dir, slash + 1) : -1;
    return len >= 0 ? real : NULL;
}
