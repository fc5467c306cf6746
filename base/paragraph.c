/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A column is a character: the later bytes of UTF-8 take none. Wide and combining characters are
 * not known, for no text of ours has them.
 */
#include "base/paragraph.h"

#include <string.h>

void paragraph_add(struct buf *out, unsigned indent, unsigned width, const char *text)
{
    unsigned at = indent;

    text += strspn(text, " \n");
    while (*text != '\0') {
        size_t len = strcspn(text, " \n");
        unsigned columns = 0;

        for (size_t i = 0; i < len; i++)
            columns += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (at > indent && width > 0 && at + 1 + columns > width) {
            buf_printf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            buf_add_char(out, ' ');
            at++;
        }
        buf_add(out, text, len);
        at += columns;
        text += len;
        text += strspn(text, " \n");
    }
    buf_add_char(out, '\n');
}
