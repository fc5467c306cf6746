/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a record, as one table: each field's number in a message, where it lies in struct
 * audit_record, its key in the log and on the stream, its length limit, and the words it may hold.
 * Both shapes of a record follow it: the message (record_message.c) and the JSON (record_json.c).
 */
#ifndef AUDIT_RECORD_FIELDS_H
#define AUDIT_RECORD_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/audit.h"
#include "base/clock.h"

#define RECORD_FIELDS 31u

#define ARGUMENTS_MAX 4096u
#define TIME_END_NS   (INT64_C(9214646400) * NS_PER_S) /* 2262-01-01: the last that fits is near */
#define DURATION_MAX_NS                                                                            \
    (INT64_C(100000000) * NS_PER_S) /* three years: exact as a decimal of ms                       \
                                     */

enum field_type {
    FIELD_TIME = 0, /* int64_t wall_ns */
    FIELD_TEXT,     /* const char * */
    FIELD_JSON,     /* const char *: JSON text */
    FIELD_ENDPOINT, /* struct endpoint; two members */
    FIELD_BOOL,
    FIELD_PID,      /* int32_t, above 0 */
    FIELD_COUNT,    /* uint64_t */
    FIELD_DURATION, /* int64_t ns, -1 absent */
    FIELD_STATUS,   /* int */
};

#define KIND(k)    (1u << (k))
#define KINDS_ALL  ((1u << AUDIT_KINDS) - 1)
#define KINDS_NET  (KIND(AUDIT_DECISION) | KIND(AUDIT_FLOW))
#define KINDS_ENDS (KIND(AUDIT_FLOW) | KIND(AUDIT_STOP) | KIND(AUDIT_EXIT) | KIND(AUDIT_SPAN))

struct record_field {
    uint8_t number; /* in the message; never reused */
    uint8_t type;   /* enum field_type */
    uint16_t offset;
    uint16_t len_max;       /* bytes of text without its NUL */
    uint16_t kinds_always;  /* written even when empty */
    uint16_t kinds_allowed; /* left out of others */
    const char *line_key;
    const char *stream_key;
    const char *words; /* NULL, or the only values: each between spaces */
    bool is_free;      /* free text, in which a secret may stand */
};

/** In the order of the message and of the JSON members. */
extern const struct record_field record_fields[RECORD_FIELDS];

/** record_member() - Where the field lies in @r. */
const void *record_member(const struct audit_record *r, const struct record_field *f);
const char *record_text_of(const struct audit_record *r, const struct record_field *f);
/** record_number_of() - A field of any of the types that are numbers. */
int64_t record_number_of(const struct audit_record *r, const struct record_field *f);
/** record_set_number() - Put such a number, which is in the range of its type, into @r. */
void record_set_number(struct audit_record *r, const struct record_field *f, int64_t v);
/** record_is_absent() - Does the number stand for none? */
bool record_is_absent(const struct record_field *f, int64_t v);
/** record_is_text_valid() - May the field hold the text? */
bool record_is_text_valid(const struct record_field *f, const char *text, size_t len);

#endif
