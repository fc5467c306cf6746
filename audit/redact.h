/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps secrets out of records. Members whose name sounds like a secret lose their value, and words
 * that look like a credential are masked wherever they stand. It is a net, not a proof: what looks
 * like ordinary text passes.
 */
#ifndef AUDIT_REDACT_H
#define AUDIT_REDACT_H

#include "base/bytes.h"
#include "base/json_out.h"

#define REDACTED "[redacted]"

/** redact_json() - Write the JSON text @json as one value, redacted. What cannot be read as JSON is
 * replaced by an object that says how long it was. */
void redact_json(struct bytes json, struct json_out *j);

/** redact_text() - Write @text as a string, redacted. */
void redact_text(struct bytes text, struct json_out *j);

/** redact_is_secret_name() - Does a member, parameter or variable called @name hold a secret? */
bool redact_is_secret_name(struct bytes name);

#endif
