/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test vectors as people write them.
 */
#ifndef TESTS_SUPPORT_HEX_H
#define TESTS_SUPPORT_HEX_H

#include <stdio.h>
#include <string.h>

#include "base/must.h"

/** hex_read() - Exactly @len bytes of hexadecimal text into @ret; stops the program otherwise. */
static inline void hex_read(const char *text, void *ret, size_t len)
{
    unsigned char *p = ret;

    must(strlen(text) == 2 * len);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;

        must(sscanf(text + 2 * i, "%2x", &byte) == 1);
        p[i] = (unsigned char)byte;
    }
}

#endif
