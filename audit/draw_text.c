/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every text that is not ours is made harmless to a terminal (base/display.h) before it is added.
 */
#include "audit/draw_text.h"

#include <string.h>

#include "base/display.h"

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
    display_safe(to, text);
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
