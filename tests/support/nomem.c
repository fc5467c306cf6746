/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the allocations of the process. Only what is linked with --wrap comes by here: memory that
 * a shared library takes for itself is not counted.
 */
#include "tests/support/nomem.h"

#include <stddef.h>

static long calls_left = -1; /* until one fails; negative: none does. Set by nomem_begin(). */
static bool *has_failed;     /* borrowed, or NULL; the same */

void nomem_begin(long calls, bool *ret_has_failed)
{
    has_failed = ret_has_failed;
    calls_left = calls;
}

void nomem_end(void)
{
    calls_left = -1;
}

static bool fails_now(void)
{
    if (calls_left < 0 || calls_left-- != 0)
        return false;
    if (has_failed != NULL)
        *has_failed = true;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails_now() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}
