/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the drawings of records are made of: safe text, columns, colours.
 */
#ifndef AUDIT_DRAW_TEXT_H
#define AUDIT_DRAW_TEXT_H

#include <stdint.h>

#include "audit/audit.h"
#include "base/buf.h"

enum draw_colour { DRAW_PLAIN = 0, DRAW_DIM, DRAW_GOOD, DRAW_BAD, DRAW_WARN, DRAW_STRONG };

/** draw_named() - Add foreign text behind @name, with two blanks; nothing when there is none. */
void draw_named(struct buf *to, const char *name, const char *text);
/** draw_amount() - A number of bytes, with two blanks. */
void draw_amount(struct buf *to, const char *arrow, uint64_t bytes);

/** draw_pad() - Blanks from column @width to column @want. */
void draw_pad(struct buf *to, unsigned width, unsigned want);
/** draw_trim() - Take the blanks at the end away. */
void draw_trim(struct buf *to);

void draw_begin(const struct audit_drawing *how, struct buf *to, enum draw_colour colour);
void draw_end(const struct audit_drawing *how, struct buf *to, enum draw_colour colour);

#endif
