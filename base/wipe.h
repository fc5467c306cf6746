/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets are wiped when they are no longer needed, and compared in constant time only.
 */
#ifndef BASE_WIPE_H
#define BASE_WIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** wipe() - Overwrite @len bytes at @secret; the compiler may not drop the write. */
static inline void wipe(void *secret, size_t len)
{
    explicit_bzero(secret, len);
}

/** secret_equal() - Compare two runs of @len bytes in time that depends on @len alone. */
static inline bool secret_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint8_t diff = 0;

    for (size_t i = 0; i < len; i++)
        diff = (uint8_t)(diff | (a[i] ^ b[i]));
    __asm__ volatile("" : "+r"(diff)); /* keep the loop from being cut short */
    return diff == 0;
}

#endif
