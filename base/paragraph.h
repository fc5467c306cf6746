/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people, broken between words.
 */
#ifndef BASE_PARAGRAPH_H
#define BASE_PARAGRAPH_H

#include "base/buf.h"

/** paragraph_add() - Add @text, which begins in column @indent; a line ends before column @width
 * (0: never), and the next begins in column @indent. Blanks and line ends in @text are all the
 * same; a word that is too long has a line of its own. Ends the last line. */
void paragraph_add(struct buf *out, unsigned indent, unsigned width, const char *text);

#endif
