/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign text for a terminal.
 */
#ifndef BASE_DISPLAY_H
#define BASE_DISPLAY_H

#include "base/buf.h"

/** display_safe() - Add @text (NULL: none); what is not UTF-8, control characters and what changes
 * the direction of others become '?'. */
void display_safe(struct buf *to, const char *text);
/** display_width() - Columns that @text takes. */
unsigned display_width(const char *text);
/** display_cut() - Add at most @columns columns of @text; the last is an ellipsis when it does not
 * fit. */
void display_cut(struct buf *to, const char *text, unsigned columns);

#endif
