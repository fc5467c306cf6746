/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes into the strict JSON reader. What it accepts must be readable to the end, and every
 * value's raw text must itself be a document with the same type.
 */
#include <stdint.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_value(const struct json *v)
{
    static const struct json_limits limits = {.bytes = 1 << 16};
    struct json_doc *again = NULL;

    must(json_parse(json_text(v), &limits, &again, NULL) == 0);
    must(json_type(json_root(again)) == json_type(v));
    must(json_count(json_root(again)) == json_count(v));
    json_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_limits limits = {.bytes = 1 << 16};
    struct json_doc *doc = NULL;
    struct why why = {0};
    unsigned count = 0;

    if (json_parse(bytes_of(data, len), &limits, &doc, &why) < 0) {
        must(why.text[0] != '\0');
        return 0;
    }
    check_value(json_root(doc));
    for (const struct json *v = json_first(json_root(doc)); v != NULL; v = json_next(v)) {
        uint64_t u;
        int64_t i;

        if (count++ < 16)
            check_value(v);
        if (json_read_u64(v, &u) == 0 && json_read_i64(v, &i) == 0)
            must(i >= 0 && (uint64_t)i == u);
    }
    must(count == json_count(json_root(doc)));
    json_free(doc);
    return 0;
}
