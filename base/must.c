/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports a broken invariant and ends the process. It allocates nothing and takes no lock, so that
 * it can be called from anywhere; everything fails closed when the supervisor ends.
 */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void must_failed(const char *cond, const char *file, int line, const char *func)
{
    char text[512];
    int len =
        snprintf(text, sizeof(text), "lattice: internal error: %s does not hold (%s:%d, %s)\n",
                 cond, file, line, func);

    if (len > 0 &&
        write(STDERR_FILENO, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1) < 0)
        abort(); /* nobody listens; the exit below would say no more */
    abort();
}
