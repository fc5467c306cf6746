/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds a program by where this one lies; it does not follow what the environment says.
 */
#include "cmd/sibling.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int sibling_program(const char *name, char *ret, size_t cap)
{
    ssize_t len = readlink("/proc/self/exe", ret, cap - 1);
    char *slash;
    size_t left;

    if (len < 0) {
        ret[0] = '\0';
        return -errno;
    }
    ret[len] = '\0';
    slash = strrchr(ret, '/');
    if (slash == NULL)
        return -ENOENT;
    left = cap - (size_t)(slash + 1 - ret);
    if ((size_t)snprintf(slash + 1, left, "%s", name) >= left)
        return -ENAMETOOLONG;
    return access(ret, X_OK) < 0 ? -errno : 0;
}
