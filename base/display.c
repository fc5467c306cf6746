/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No control character and no direction override leaves this file. Every character counts as one
 * column; wide and combining ones are not known.
 */
#include "base/display.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

/** May a terminal see it? Not control characters, nor what changes the direction of others. */
static bool is_harmless(uint32_t rune)
{
    return rune >= 0x20 && !(rune >= 0x7f && rune < 0xa0) && !(rune >= 0x200b && rune <= 0x200f) &&
           !(rune >= 0x2028 && rune <= 0x202e) && !(rune >= 0x2060 && rune <= 0x206f) &&
           rune != 0xfeff;
}

void display_safe(struct buf *to, const char *text)
{
    size_t left = text != NULL ? strlen(text) : 0;
    const uint8_t *p = (const uint8_t *)text;

    while (left > 0) {
        size_t len = utf8_len(p, left);

        if (len > 0 && is_harmless(utf8_rune(p, len)))
            buf_add(to, p, len);
        else
            buf_add_char(to, '?');
        len += len == 0;
        p += len;
        left -= len;
    }
}

unsigned display_width(const char *text)
{
    unsigned width = 0;

    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

void display_cut(struct buf *to, const char *text, unsigned columns)
{
    unsigned width = 0;

    if (display_width(text) <= columns) {
        buf_add_str(to, text);
        return;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (((uint8_t)*p & 0xc0) != 0x80 && ++width >= columns)
            break;
        buf_add_char(to, *p);
    }
    buf_add_str(to, "…");
}
