/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 as RFC 3629 section 4 allows it: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/** utf8_len() - Length of the valid sequence at @p, of which @left bytes (at least 1) may be read;
 * 0 when there is none. */
static inline size_t utf8_len(const uint8_t *p, size_t left)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80         ? 1
                 : p[0] >> 5 == 0x6  ? 2
                 : p[0] >> 4 == 0xe  ? 3
                 : p[0] >> 3 == 0x1e ? 4
                                     : 0;
    uint32_t rune;

    if (len <= 1 || len > left)
        return len <= left ? len : 0;
    rune = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        rune = rune << 6 | (p[i] & 0x3fu);
    }
    if (rune < least[len] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return 0;
    return len;
}

/** utf8_rune() - The character of a valid sequence of @len bytes. */
static inline uint32_t utf8_rune(const uint8_t *p, size_t len)
{
    uint32_t rune = len == 1 ? p[0] : p[0] & (0x7fu >> len);

    for (size_t i = 1; i < len; i++)
        rune = rune << 6 | (p[i] & 0x3fu);
    return rune;
}

#endif
