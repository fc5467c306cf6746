/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record in its two shapes: the message that crosses from the supervisor to the auditor, and
 * the JSON that is kept. Both follow one table of fields (record.c).
 */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include "audit/audit.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/json_out.h"

#define RECORD_MESSAGE_MAX 16384u /* bytes of a message */

enum record_naming {
    RECORD_LINE,   /* snake_case: the local log (compat.md A4, local audit JSONL) */
    RECORD_STREAM, /* camelCase: tool_spans and flow_events (compat.md A4) */
};

const char *record_kind_name(enum audit_kind kind);

/** record_encode() - Append @r as a message. Text that is too long for its field is cut.
 * Errors: -EINVAL a field that must be one of a set of words is not; -ENOMEM. */
int record_encode(const struct audit_record *r, struct buf *ret) MUST_USE;

/** record_decode() - Read a message; texts in @ret borrow from @message.
 * Errors: -EINVAL it is not exactly one well-formed message. */
int record_decode(struct bytes message, struct audit_record *ret) MUST_USE;

/** record_members() - Write the members of @r into the object that is open in @j. */
void record_members(const struct audit_record *r, enum record_naming naming, struct json_out *j);

#endif
