/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table, and what is common to both shapes. Numbers of fields are never used again.
 */
#include "audit/record_fields.h"

#include <stdio.h>
#include <string.h>

#include "audit/record.h"

#define AT(member) ((uint16_t)offsetof(struct audit_record, member))
#define TEXT(n, member, max, line, stream)                                                         \
    {                                                                                              \
        n, FIELD_TEXT, AT(member), max, 0, KINDS_ALL, line, stream, NULL, false                    \
    }
#define FREE_TEXT(n, member, max, line, stream)                                                    \
    {                                                                                              \
        n, FIELD_TEXT, AT(member), max, 0, KINDS_ALL, line, stream, NULL, true                     \
    }
#define WORD(n, member, always, line, stream, set)                                                 \
    {                                                                                              \
        n, FIELD_TEXT, AT(member), 16, always, KINDS_ALL, line, stream, set, false                 \
    }

/* In the order of the message and of the JSON members. */
const struct record_field record_fields[RECORD_FIELDS] = {
    {1, FIELD_TIME, AT(wall_ns), 0, KINDS_ALL, KINDS_ALL, "time", "ts", NULL, false},
    TEXT(2, identity, AUDIT_NAME_MAX, "identity", "agentId"),
    {3, FIELD_ENDPOINT, AT(src), 0, KINDS_NET, KINDS_NET, "src_ip", "srcIp", NULL, false},
    {4, FIELD_ENDPOINT, AT(dst), 0, KINDS_NET, KINDS_NET, "dst_ip", "dstIp", NULL, false},
    WORD(5, protocol, KINDS_NET, "protocol", "protocol", " tcp udp icmp icmp6 dns unix "),
    WORD(6, verdict, KINDS_NET, "verdict", "verdict", " allow drop "),
    WORD(7, direction, 0, "direction", "direction", " egress ingress "),
    {8, FIELD_BOOL, AT(would_deny), 0, 0, KINDS_ALL, "would_deny", "wouldDeny", NULL, false},
    WORD(9, mode, 0, "mode", "mode", " enforce audit disabled "),
    TEXT(10, name, 256, "name", "name"),
    TEXT(11, rule, 256, "rule", "rule"),
    TEXT(12, reason, 64, "reason", "reason"),
    TEXT(13, tool, 256, "tool", "tool"),
    WORD(14, status, KIND(AUDIT_SPAN), "status", "status", " ok error blocked "),
    FREE_TEXT(15, error, 256, "error", "errorMsg"),
    {16, FIELD_PID, AT(pid), 0, 0, KINDS_ALL, "pid", "pid", NULL, false},
    {17, FIELD_PID, AT(ppid), 0, 0, KINDS_ALL, "ppid", "ppid", NULL, false},
    TEXT(18, exe, 1024, "exe", "exe"),
    {19, FIELD_COUNT, AT(bytes_out), 0, KIND(AUDIT_FLOW), KINDS_ENDS, "bytes_out", "bytesOut", NULL,
     false},
    {20, FIELD_COUNT, AT(bytes_in), 0, KIND(AUDIT_FLOW), KINDS_ENDS, "bytes_in", "bytesIn", NULL,
     false},
    {21, FIELD_DURATION, AT(duration_ns), 0, 0, KINDS_ENDS, "duration_ms", "durationMs", NULL,
     false},
    {22, FIELD_STATUS, AT(exit_status), 0, KIND(AUDIT_STOP) | KIND(AUDIT_EXIT),
     KIND(AUDIT_STOP) | KIND(AUDIT_EXIT), "exit_status", "exitStatus", NULL, false},
    TEXT(23, trace_id, 64, "trace_id", "traceId"),
    TEXT(24, span_id, 32, "span_id", "spanId"),
    TEXT(25, parent_span_id, 32, "parent_span_id", "parentSpanId"),
    TEXT(26, parent_id, AUDIT_NAME_MAX, "parent_id", "parentId"),
    TEXT(27, namespace_id, AUDIT_NAME_MAX, "namespace", "namespace"),
    TEXT(28, peer, 64, "peer", "peer"),
    TEXT(29, carrier, 32, "carrier", "carrier"),
    {30, FIELD_JSON, AT(arguments), ARGUMENTS_MAX, 0, KINDS_ALL, "arguments", "arguments", NULL,
     false},
    FREE_TEXT(31, detail, 512, "detail", "detail"),
};

/* Texts of identifiers: what is written into subjects, file names and queries elsewhere. */
#define NUMBER_TRACE_ID 23
#define NUMBER_PARENT   25

const char *record_kind_name(enum audit_kind kind)
{
    static const char *const names[AUDIT_KINDS] = {
        [AUDIT_START] = "start", [AUDIT_DECISION] = "decision", [AUDIT_FLOW] = "flow",
        [AUDIT_EXEC] = "exec",   [AUDIT_STOP] = "stop",         [AUDIT_EXIT] = "exit",
        [AUDIT_SPAN] = "span",
    };

    return (unsigned)kind < AUDIT_KINDS ? names[kind] : "unknown";
}

const void *record_member(const struct audit_record *r, const struct record_field *f)
{
    return (const uint8_t *)r + f->offset;
}

const char *record_text_of(const struct audit_record *r, const struct record_field *f)
{
    const char *text;

    memcpy(&text, record_member(r, f), sizeof(text));
    return text;
}

int64_t record_number_of(const struct audit_record *r, const struct record_field *f)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    bool flag = false;

    switch ((enum field_type)f->type) {
    case FIELD_BOOL:
        memcpy(&flag, record_member(r, f), sizeof(flag));
        return flag ? 1 : 0;
    case FIELD_PID:
    case FIELD_STATUS:
        memcpy(&narrow, record_member(r, f), sizeof(narrow));
        return narrow;
    case FIELD_TIME:
    case FIELD_COUNT:
    case FIELD_DURATION:
        memcpy(&wide, record_member(r, f), sizeof(wide));
        return f->type == FIELD_DURATION && wide > DURATION_MAX_NS ? DURATION_MAX_NS : wide;
    case FIELD_TEXT:
    case FIELD_JSON:
    case FIELD_ENDPOINT:
        break;
    }
    must(f->type == FIELD_TIME); /* not a number */
    return 0;
}

void record_set_number(struct audit_record *r, const struct record_field *f, int64_t v)
{
    uint8_t *to = (uint8_t *)r + f->offset;
    int32_t narrow = (int32_t)v;
    bool flag = v != 0;

    if (f->type == FIELD_BOOL)
        memcpy(to, &flag, sizeof(flag));
    else if (f->type == FIELD_PID || f->type == FIELD_STATUS)
        memcpy(to, &narrow, sizeof(narrow));
    else
        memcpy(to, &v, sizeof(v));
}

static bool is_word_of(const char *words, const char *text, size_t len)
{
    char padded[24];

    if (len == 0 || len > sizeof(padded) - 3 || memchr(text, ' ', len) != NULL)
        return false;
    (void)snprintf(padded, sizeof(padded), " %.*s ", (int)len, text);
    return strstr(words, padded) != NULL;
}

static bool is_identifier(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f') ||
              text[i] == '-'))
            return false;
    return len > 0;
}

bool record_is_text_valid(const struct record_field *f, const char *text, size_t len)
{
    if (f->words != NULL)
        return is_word_of(f->words, text, len);
    if (f->number >= NUMBER_TRACE_ID && f->number <= NUMBER_PARENT)
        return is_identifier(text, len);
    return true;
}

bool record_is_absent(const struct record_field *f, int64_t v)
{
    return f->type == FIELD_DURATION ? v < 0 : v == 0;
}

bool record_is_span(const struct audit_record *r)
{
    return r->kind == AUDIT_START || r->kind == AUDIT_STOP || r->kind == AUDIT_EXEC ||
           r->kind == AUDIT_EXIT || r->kind == AUDIT_SPAN;
}
