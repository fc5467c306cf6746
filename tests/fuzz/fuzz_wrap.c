/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a client's configuration. What is wrapped is JSON again; wrapping it once more
 * changes nothing; unwrapping gives back what unwrapping the original gives, byte by byte.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "mcp/mcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** @plain was unwrapped once; what is wrapped in what was wrapped is unwrapped, too. */
static void check(struct buf *plain, unsigned changed)
{
    static const char *const words[] = {"--allow-tool", "a"};
    const struct mcp_wrap_options options = {
        .program = "/usr/bin/lattice-mcp", .words = words, .word_count = 2};
    struct json_limits limits = {.bytes = MCP_CONFIG_MAX};
    struct buf wrapped, again, back;
    struct json_doc *doc = NULL;
    int err;

    buf_init(&wrapped, MCP_CONFIG_MAX);
    buf_init(&again, MCP_CONFIG_MAX);
    buf_init(&back, MCP_CONFIG_MAX);
    while (changed > 0) {
        struct buf next;

        buf_init(&next, MCP_CONFIG_MAX);
        must(mcp_wrap(buf_bytes(plain), NULL, &next, &changed, NULL) == 0);
        must(changed == 0 || next.len < plain->len);
        buf_done(plain);
        *plain = next;
    }
    err = mcp_wrap(buf_bytes(plain), &options, &wrapped, &changed, NULL);
    must(err == 0 || err == -E2BIG);
    if (err == 0) {
        must(json_parse(buf_bytes(&wrapped), &limits, &doc, NULL) == 0);
        json_free(doc);
        must(mcp_wrap(buf_bytes(&wrapped), &options, &again, &changed, NULL) == 0);
        must(changed == 0 && bytes_equal(buf_bytes(&again), buf_bytes(&wrapped)));
        must(mcp_wrap(buf_bytes(&wrapped), NULL, &back, &changed, NULL) == 0);
        /* Our own mark for "no arguments", written by somebody else, is taken away, too. */
        must(bytes_equal(buf_bytes(&back), buf_bytes(plain)) ||
             strstr(buf_text(plain), ",\"args\" :[") != NULL);
    }
    buf_done(&wrapped);
    buf_done(&again);
    buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct why why = {.text = ""};
    struct buf plain;
    unsigned changed;

    if (len > 65536)
        return 0;
    buf_init(&plain, MCP_CONFIG_MAX);
    if (mcp_wrap(bytes_of(data, len), NULL, &plain, &changed, &why) < 0)
        must(why.text[0] != '\0');
    else
        check(&plain, changed);
    buf_done(&plain);
    return 0;
}
