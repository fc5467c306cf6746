/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record in its two shapes: the message that crosses from the supervisor to the auditor, and
 * the JSON that is kept. Both follow one table of fields (record_fields.h).
 */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include "audit/audit.h"
#include "audit/chain.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/json_out.h"

#define RECORD_MESSAGE_MAX 16384u /* bytes of a message */

enum record_naming {
    RECORD_LINE,   /* snake_case: the local log (docs/audit.md, local audit JSONL) */
    RECORD_STREAM, /* camelCase: tool_spans and flow_events (docs/audit.md) */
};

const char *record_kind_name(enum audit_kind kind);

/** record_encode() - Append @r as a message. Text that is too long for its field is cut.
 * Errors: -EINVAL a field that must be one of a set of words is not; -ENOMEM. */
int record_encode(const struct audit_record *r, struct buf *ret) MUST_USE;

/** record_decode() - Read a message; texts in @ret borrow from @message.
 * Errors: -EINVAL it is not exactly one well-formed message. */
int record_decode(struct bytes message, struct audit_record *ret) MUST_USE;

/** A record that was read back from JSON, with its place in its chain. */
struct record_text {
    struct audit_record r;        /* texts borrow from @doc and @arguments */
    char chain[CHAIN_ID_LEN + 1]; /* empty: the text names none */
    uint64_t seq;
    struct json_doc *doc;
    char *arguments;
};

/** record_read() - Read one object that record_members() wrote. Unknown members are ignored.
 * Errors: -EINVAL not such an object; -EMSGSIZE longer than a line may be; -ENOMEM. */
int record_read(struct bytes json, enum record_naming naming, struct record_text *ret,
                struct why *why) MUST_USE;
void record_text_done(struct record_text *t);

/** record_is_span() - True for the kinds that describe a span: start, stop, exec, exit, span. */
bool record_is_span(const struct audit_record *r);

/** record_members() - Write the members of @r into the object that is open in @j. Arguments and the
 * free texts are redacted (redact.h). */
void record_members(const struct audit_record *r, enum record_naming naming, struct json_out *j);

/** record_payload() - Append the message that the stream gets for record @seq of run @chain:
 * tool_spans or flow_events (docs/audit.md). @hash: the record's hash in its chain, NULL: left out.
 */
int record_payload(const struct audit_record *r, const char *chain, uint64_t seq,
                   const uint8_t *hash, struct buf *ret) MUST_USE;

#endif
