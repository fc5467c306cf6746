/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens from the command line or a file, and WireGuard's keys for the enroll room, which has no
 * crypto of its own.
 */
#include "cmd/enroll_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/rng.h"
#include "base/wipe.h"
#include "netstack/netstack.h"

static int keep(struct enroll_options *o, const char *text, size_t len, struct why *why)
{
    if (len == 0 || len >= sizeof(o->token) || strcspn(text, " \t\r\n") < len)
        return why_set(why, -EINVAL, "the token is empty, too long or not one word");
    memcpy(o->token, text, len);
    o->token[len] = '\0';
    return 0;
}

int enroll_options_token(struct enroll_options *o, const char *value, struct why *why)
{
    int err = keep(o, value, strlen(value), why);

    wipe((char *)(uintptr_t)value, strlen(value)); /* argv is ours to write */
    return err;
}

int enroll_options_finish(struct enroll_options *o, struct why *why)
{
    struct buf text;
    size_t len;
    int err;

    if (o->token_file == NULL)
        return 0;
    buf_init(&text, sizeof(o->token));
    err = io_read_file(o->token_file, &text, why);
    if (err == 0) {
        len = strcspn(buf_text(&text), "\r\n");
        err = keep(o, buf_text(&text), len, why);
        if (err < 0)
            why_at(why, o->token_file, 0, 0);
    }
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    return err;
}

void enroll_options_done(struct enroll_options *o)
{
    wipe(o->token, sizeof(o->token));
}

static void generate(uint8_t ret_private[static 32])
{
    wg_key_generate(rng_system(), ret_private);
}

const struct enroll_keys enroll_wg_keys = {
    .generate = generate,
    .public_of = wg_key_public,
    .parse = wg_key_parse,
    .print = wg_key_print,
};
