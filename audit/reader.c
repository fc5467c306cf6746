/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands out the records of a log one by one. It does not check the chain (audit_verify() does).
 */
#include "audit/audit.h"

#include <errno.h>
#include <stdlib.h>

#include "audit/lines.h"
#include "audit/record.h"

struct audit_reader {
    struct lines lines;
    struct record_text text; /* of the entry that was handed out last */
    uint64_t number;
};

int audit_reader_open(const char *path, uint64_t offset, struct audit_reader **ret, struct why *why)
{
    struct audit_reader *r = calloc(1, sizeof(*r));
    int err;

    if (r == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    err = lines_open(&r->lines, path, offset, why);
    if (err < 0) {
        free(r);
        return err;
    }
    *ret = r;
    return 0;
}

int audit_reader_next(struct audit_reader *r, struct audit_entry *ret, struct why *why)
{
    struct why reason = {0};
    struct bytes line;
    int got = lines_next(&r->lines, &line);
    int err;

    record_text_done(&r->text);
    if (got == -EMSGSIZE)
        return why_set(why, -E2BIG, "line %llu is longer than a record can be",
                       (unsigned long long)r->number + 1);
    if (got <= 0)
        return got < 0 ? why_set(why, got, "cannot read the log: %s", strerror(-got)) : 0;
    r->number++;
    err = record_read(line, RECORD_LINE, &r->text, &reason);
    if (err == -ENOMEM)
        return why_set(why, err, "out of memory");
    if (err < 0)
        return why_set(why, -EBADMSG, "line %llu is no record: %s", (unsigned long long)r->number,
                       reason.text);
    *ret = (struct audit_entry){.line = line,
                                .record = r->text.r,
                                .chain = r->text.chain,
                                .seq = r->text.seq,
                                .line_number = r->number,
                                .end_offset = r->lines.offset};
    return 1;
}

void audit_reader_close(struct audit_reader *r)
{
    if (r == NULL)
        return;
    record_text_done(&r->text);
    lines_close(&r->lines);
    free(r);
}
