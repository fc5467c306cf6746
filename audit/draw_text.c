/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign text is made harmless to a terminal: no control character, no direction override leaves
 * this file. Every character counts as one column.
 */
#include "audit/draw_text.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

/** May a terminal see it? Not control characters, nor what changes the direction of others. */
static bool is_harmless(uint32_t rune)
{
    return rune >= 0x20 && !(rune >= 0x7f && rune < 0xa0) && !(rune >= 0x200b && rune <= 0x200f) &&
           !(rune >= 0x2028 && rune <= 0x202e) && !(rune >= 0x2060 && rune <= 0x206f) &&
           rune != 0xfeff;
}

void draw_safe(struct buf *to, const char *text)
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

/** Columns that @text takes; every character counts as one. */
unsigned draw_width(const char *text)
{
    unsigned width = 0;

    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

/** Append at most @columns columns of @text; the last becomes an ellipsis when it does not fit. */
void draw_cut(struct buf *to, const char *text, unsigned columns)
{
    unsigned width = 0;

    if (draw_width(text) <= columns) {
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

void draw_amount(struct buf *to, const char *arrow, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double amount = (double)bytes;
    unsigned unit = 0;

    while (amount >= 1024 && unit + 1 < ARRAY_COUNT(units)) {
        amount /= 1024;
        unit++;
    }
    buf_printf(to, unit == 0 ? "%s%.0f %s  " : "%s%.1f %s  ", arrow, amount, units[unit]);
}

void draw_named(struct buf *to, const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    buf_add_str(to, name);
    draw_safe(to, text);
    buf_add_str(to, "  ");
}

void draw_begin(const struct audit_drawing *how, struct buf *to, enum draw_colour colour)
{
    static const char *const codes[] = {
        [DRAW_PLAIN] = "",       [DRAW_DIM] = "\033[2m",   [DRAW_GOOD] = "\033[32m",
        [DRAW_BAD] = "\033[31m", [DRAW_WARN] = "\033[33m", [DRAW_STRONG] = "\033[1m"};

    if (how->colour)
        buf_add_str(to, codes[colour]);
}

void draw_end(const struct audit_drawing *how, struct buf *to, enum draw_colour colour)
{
    if (how->colour && colour != DRAW_PLAIN)
        buf_add_str(to, "\033[0m");
}

void draw_pad(struct buf *to, unsigned width, unsigned want)
{
    for (; width < want; width++)
        buf_add_char(to, ' ');
}

void draw_trim(struct buf *ret)
{
    while (ret->len > 0 && ret->data[ret->len - 1] == ' ')
        ret->len--;
}
