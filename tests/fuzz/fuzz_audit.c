/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what the audit room reads: a message of the supervisor, a line of a log, a payload
 * of the stream. What is accepted must survive a round trip: written as a line it is one line of
 * harmless bytes, and read back it gives the same line (threat H6).
 */
#include <stdint.h>

#include "audit/chain.h"
#include "audit/record.h"
#include "base/json.h"
#include "base/json_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void write_line(const struct audit_record *r, struct buf *to)
{
    struct json_out j;

    buf_init(to, AUDIT_LINE_MAX - 256);
    json_out_init(&j, to);
    json_open_object(&j);
    record_members(r, RECORD_LINE, &j);
    json_close_object(&j);
    must(buf_error(to) == 0);
}

static void check_harmless(const struct buf *line)
{
    for (size_t i = 0; i < line->len; i++)
        must(line->data[i] >= 0x20 && line->data[i] != 0x7f);
}

/** Read @line and write it again. */
static void rewrite(const struct buf *line, struct buf *ret)
{
    struct record_text t;
    struct why why = {0};

    must(record_read(buf_bytes(line), RECORD_LINE, &t, &why) == 0);
    write_line(&t.r, ret);
    check_harmless(ret);
    record_text_done(&t);
}

/** A record that was accepted: its line must be readable, and the second writing (in which bytes
 * that were not UTF-8 have become characters) stays as it is from then on. */
static void check_record(const struct audit_record *r)
{
    struct buf first;
    struct buf second;
    struct buf third;

    write_line(r, &first);
    check_harmless(&first);
    rewrite(&first, &second);
    rewrite(&second, &third);
    must(bytes_equal(buf_bytes(&second), buf_bytes(&third)));
    buf_done(&first);
    buf_done(&second);
    buf_done(&third);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes input = bytes_of(data, len);
    struct audit_record r;
    struct record_text t;
    struct chain_seal seal;

    if (record_decode(input, &r) == 0)
        check_record(&r);
    for (unsigned naming = RECORD_LINE; naming <= RECORD_STREAM; naming++) {
        struct why why = {0};

        if (record_read(input, (enum record_naming)naming, &t, &why) == 0) {
            struct buf line;

            write_line(&t.r, &line);
            check_harmless(&line);
            buf_done(&line);
            record_text_done(&t);
        } else {
            must(why.text[0] != '\0');
        }
    }
    if (chain_read(input, &seal) == 0)
        must(seal.covered.len < len && seal.seq > 0);
    return 0;
}
