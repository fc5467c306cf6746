/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a request target: an accepted one has only clean pieces, inside its own storage. */
#include "base/http_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_piece(const struct http_target *t, const char *piece)
{
    must(piece >= t->text && piece + strlen(piece) < t->text + sizeof(t->text));
    for (const char *p = piece; *p != '\0'; p++)
        must((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct http_target t;

    if (http_target_parse(bytes_of(data, len), &t) < 0)
        return 0;
    for (unsigned i = 0; i < t.segment_count; i++) {
        check_piece(&t, t.segments[i]);
        must(t.segments[i][0] != '\0' && strchr(t.segments[i], '/') == NULL);
        must(strcmp(t.segments[i], "..") != 0 && strcmp(t.segments[i], ".") != 0);
    }
    for (unsigned i = 0; i < t.query_count; i++) {
        check_piece(&t, t.query[i].name);
        check_piece(&t, t.query[i].value);
        must(http_target_query(&t, t.query[i].name) == t.query[i].value);
    }
    return 0;
}
