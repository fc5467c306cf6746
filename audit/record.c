/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record model. One table says for each field: its number in a message, where it lies in struct
 * audit_record, its key in the log and on the stream, its length limit, and the words it may hold.
 * The message is what crosses a trust boundary, so decoding refuses everything that encoding would
 * not have written. This file decides nothing about chains, files or sockets.
 *
 * Message: version (1 byte), kind (1 byte), then fields in ascending order of their number, each
 * number (1 byte), length (2 bytes, little endian), value. Text carries its NUL; numbers are 8
 * bytes, little endian; an endpoint is family, 16 address bytes, port (2 bytes). Absent = left out.
 */
#include "audit/record.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "audit/redact.h"
#include "base/clock.h"

#define MESSAGE_VERSION 1u
#define FIELD_HEADER    3u
#define ENDPOINT_BYTES  19u
#define ARGUMENTS_MAX   4096u
#define TIME_END_NS     (INT64_C(9214646400) * NS_PER_S) /* 2262-01-01: the last that fits is near */
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

struct field {
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
static const struct field fields[] = {
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

static_assert(RECORD_MESSAGE_MAX >
                  2 + 32 * (FIELD_HEADER + 1) + 128 * 3 + 256 * 4 + 1024 + 4096 + 512 + 1024,
              "every record fits a message");
static_assert(AUDIT_LINE_MAX > 6 * (128 * 3 + 256 * 4 + 1024 + 512 + 512 + 4096) + 2048,
              "every record fits a line, even when each byte is escaped");

const char *record_kind_name(enum audit_kind kind)
{
    static const char *const names[AUDIT_KINDS] = {
        [AUDIT_START] = "start", [AUDIT_DECISION] = "decision", [AUDIT_FLOW] = "flow",
        [AUDIT_EXEC] = "exec",   [AUDIT_STOP] = "stop",         [AUDIT_EXIT] = "exit",
        [AUDIT_SPAN] = "span",
    };

    return (unsigned)kind < AUDIT_KINDS ? names[kind] : "unknown";
}

static const void *member(const struct audit_record *r, const struct field *f)
{
    return (const uint8_t *)r + f->offset;
}

static const char *text_of(const struct audit_record *r, const struct field *f)
{
    const char *text;

    memcpy(&text, member(r, f), sizeof(text));
    return text;
}

static int64_t number_of(const struct audit_record *r, const struct field *f)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    bool flag = false;

    switch ((enum field_type)f->type) {
    case FIELD_BOOL:
        memcpy(&flag, member(r, f), sizeof(flag));
        return flag ? 1 : 0;
    case FIELD_PID:
    case FIELD_STATUS:
        memcpy(&narrow, member(r, f), sizeof(narrow));
        return narrow;
    case FIELD_TIME:
    case FIELD_COUNT:
    case FIELD_DURATION:
        memcpy(&wide, member(r, f), sizeof(wide));
        return f->type == FIELD_DURATION && wide > DURATION_MAX_NS ? DURATION_MAX_NS : wide;
    case FIELD_TEXT:
    case FIELD_JSON:
    case FIELD_ENDPOINT:
        break;
    }
    must(f->type == FIELD_TIME); /* not a number */
    return 0;
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

static bool is_text_valid(const struct field *f, const char *text, size_t len)
{
    if (f->words != NULL)
        return is_word_of(f->words, text, len);
    if (f->number >= NUMBER_TRACE_ID && f->number <= NUMBER_PARENT)
        return is_identifier(text, len);
    return true;
}

static void put_field(struct buf *to, const struct field *f, const void *value, size_t len)
{
    uint8_t header[FIELD_HEADER] = {f->number};

    store_le16(header + 1, (uint16_t)len);
    buf_add(to, header, sizeof(header));
    buf_add(to, value, len);
}

/** Longest prefix of at most @max bytes that does not end inside a UTF-8 sequence. */
static size_t cut_len(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);

    if (len <= max)
        return len;
    len = max;
    while (len > max - 3 && ((uint8_t)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static int encode_text(const struct audit_record *r, const struct field *f, struct buf *to)
{
    const char *text = text_of(r, f);
    uint8_t header[FIELD_HEADER] = {f->number};
    char omitted[48];
    size_t len;

    if (text == NULL || text[0] == '\0')
        return 0;
    if (f->type == FIELD_JSON && strnlen(text, f->len_max + 1u) > f->len_max) {
        (void)snprintf(omitted, sizeof(omitted), "{\"omitted_bytes\":%zu}", strlen(text));
        text = omitted;
    }
    len = cut_len(text, f->len_max);
    if (!is_text_valid(f, text, len))
        return -EINVAL;
    store_le16(header + 1, (uint16_t)(len + 1));
    buf_add(to, header, sizeof(header));
    buf_add(to, text, len);
    buf_add_char(to, '\0');
    return 0;
}

static void encode_endpoint(const struct audit_record *r, const struct field *f, struct buf *to)
{
    uint8_t wire[ENDPOINT_BYTES];
    struct endpoint e;

    memcpy(&e, member(r, f), sizeof(e));
    if (e.ip.family == IP_NONE && e.port == 0)
        return;
    wire[0] = e.ip.family;
    memcpy(wire + 1, e.ip.bytes, 16);
    store_le16(wire + 17, e.port);
    put_field(to, f, wire, sizeof(wire));
}

static bool is_number_absent(const struct field *f, int64_t v)
{
    return f->type == FIELD_DURATION ? v < 0 : v == 0;
}

int record_encode(const struct audit_record *r, struct buf *ret)
{
    must((unsigned)r->kind < AUDIT_KINDS);
    buf_add_char(ret, (char)MESSAGE_VERSION);
    buf_add_char(ret, (char)r->kind);
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        const struct field *f = &fields[i];
        uint8_t wire[8];
        int err;

        if (f->type == FIELD_TEXT || f->type == FIELD_JSON) {
            err = encode_text(r, f, ret);
            if (err < 0)
                return err;
        } else if (f->type == FIELD_ENDPOINT) {
            encode_endpoint(r, f, ret);
        } else if (!is_number_absent(f, number_of(r, f))) {
            store_le64(wire, (uint64_t)number_of(r, f));
            put_field(ret, f, wire, sizeof(wire));
        }
    }
    return buf_error(ret);
}

static const struct field *field_by_number(uint8_t number)
{
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        if (fields[i].number == number)
            return &fields[i];
    return NULL;
}

static int decode_text(const struct field *f, struct bytes value, struct audit_record *ret)
{
    const char *text = (const char *)value.data;

    if (value.len < 2 || value.len > (size_t)f->len_max + 1 ||
        memchr(text, '\0', value.len) != text + value.len - 1 ||
        !is_text_valid(f, text, value.len - 1))
        return -EINVAL;
    memcpy((uint8_t *)ret + f->offset, &text, sizeof(text));
    return 0;
}

static int decode_endpoint(const struct field *f, struct bytes value, struct audit_record *ret)
{
    struct endpoint e = {0};
    size_t len;

    if (value.len != ENDPOINT_BYTES)
        return -EINVAL;
    e.ip.family = value.data[0];
    e.port = load_le16(value.data + 17);
    len = e.ip.family == IP_V4 ? 4 : e.ip.family == IP_V6 ? 16 : 0;
    if ((len == 0 && (e.ip.family != IP_NONE || e.port == 0)))
        return -EINVAL;
    for (size_t i = len; i < 16; i++)
        if (value.data[1 + i] != 0)
            return -EINVAL;
    memcpy(e.ip.bytes, value.data + 1, len);
    memcpy((uint8_t *)ret + f->offset, &e, sizeof(e));
    return 0;
}

static int decode_number(const struct field *f, struct bytes value, struct audit_record *ret)
{
    uint8_t *to = (uint8_t *)ret + f->offset;
    int64_t v;
    int32_t narrow;

    if (value.len != 8)
        return -EINVAL;
    v = (int64_t)load_le64(value.data);
    narrow = (int32_t)v;
    if (is_number_absent(f, v))
        return -EINVAL;
    switch ((enum field_type)f->type) {
    case FIELD_BOOL:
        if (v != 1)
            return -EINVAL;
        memcpy(to, &(bool){true}, sizeof(bool));
        return 0;
    case FIELD_PID:
        if (v < 1 || v > INT32_MAX)
            return -EINVAL;
        memcpy(to, &narrow, sizeof(narrow));
        return 0;
    case FIELD_STATUS:
        if (v < INT32_MIN || v > INT32_MAX)
            return -EINVAL;
        memcpy(to, &narrow, sizeof(narrow));
        return 0;
    case FIELD_TIME:
    case FIELD_DURATION:
        if (v < 0 || v >= TIME_END_NS || (f->type == FIELD_DURATION && v > DURATION_MAX_NS))
            return -EINVAL;
        memcpy(to, &v, sizeof(v));
        return 0;
    case FIELD_COUNT:
        memcpy(to, &v, sizeof(v));
        return 0;
    case FIELD_TEXT:
    case FIELD_JSON:
    case FIELD_ENDPOINT:
        break;
    }
    return -EINVAL;
}

int record_decode(struct bytes message, struct audit_record *ret)
{
    struct audit_record r = {.duration_ns = -1};
    size_t at = 2;
    uint8_t last = 0;

    if (message.len < 2 || message.len > RECORD_MESSAGE_MAX || message.data[0] != MESSAGE_VERSION ||
        message.data[1] >= AUDIT_KINDS)
        return -EINVAL;
    r.kind = (enum audit_kind)message.data[1];
    while (at < message.len) {
        const struct field *f;
        struct bytes value;
        int err;

        if (message.len - at < FIELD_HEADER)
            return -EINVAL;
        f = field_by_number(message.data[at]);
        value = bytes_of(message.data + at + FIELD_HEADER, load_le16(message.data + at + 1));
        if (f == NULL || f->number <= last || value.len > message.len - at - FIELD_HEADER)
            return -EINVAL;
        if (f->type == FIELD_TEXT || f->type == FIELD_JSON)
            err = decode_text(f, value, &r);
        else if (f->type == FIELD_ENDPOINT)
            err = decode_endpoint(f, value, &r);
        else
            err = decode_number(f, value, &r);
        if (err < 0)
            return err;
        last = f->number;
        at += FIELD_HEADER + value.len;
    }
    *ret = r;
    return 0;
}

static void write_endpoint(const struct audit_record *r, const struct field *f,
                           enum record_naming naming, struct json_out *j)
{
    char text[IP_TEXT_CAP] = "";
    struct endpoint e;
    bool is_src = f->offset == AT(src);

    memcpy(&e, member(r, f), sizeof(e));
    if (e.ip.family != IP_NONE)
        (void)ip_print(&e.ip, text);
    json_put_str(j, naming == RECORD_LINE ? f->line_key : f->stream_key, text);
    if (is_src && e.port == 0)
        return;
    json_key(j, is_src ? (naming == RECORD_LINE ? "src_port" : "srcPort")
                       : (naming == RECORD_LINE ? "dst_port" : "dstPort"));
    json_u64(j, e.port);
}

static void write_text(const struct audit_record *r, const struct field *f, const char *key,
                       struct json_out *j)
{
    const char *text = text_of(r, f);

    if (text == NULL && !(f->kinds_always & KIND(r->kind)))
        return;
    json_key(j, key);
    if (text == NULL)
        json_str(j, "");
    else if (f->type == FIELD_JSON)
        redact_json(bytes_of_str(text), j);
    else if (f->is_free)
        redact_text(bytes_of_str(text), j);
    else
        json_str(j, text);
}

static void write_number(const struct audit_record *r, const struct field *f,
                         enum record_naming naming, const char *key, struct json_out *j)
{
    int64_t v = number_of(r, f);
    char time[RFC3339_CAP];
    char decimal[32];

    if (is_number_absent(f, v) && !(f->kinds_always & KIND(r->kind)))
        return;
    if (f->type == FIELD_TIME) {
        wall_print(v, time);
        json_put_str(j, key, time);
    } else if (f->type == FIELD_BOOL) {
        json_put_bool(j, key, v != 0);
    } else if (f->type == FIELD_COUNT) {
        json_put_u64(j, key, (uint64_t)v);
    } else if (f->type == FIELD_DURATION && naming == RECORD_LINE) {
        (void)snprintf(decimal, sizeof(decimal), "%lld.%03d", (long long)(v / NS_PER_MS),
                       (int)(v % NS_PER_MS / NS_PER_US));
        json_key(j, key);
        json_raw(j, bytes_of_str(decimal));
    } else {
        json_put_i64(j, key, f->type == FIELD_DURATION ? v / NS_PER_MS : v);
    }
}

void record_members(const struct audit_record *r, enum record_naming naming, struct json_out *j)
{
    json_put_str(j, "kind", record_kind_name(r->kind));
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        const struct field *f = &fields[i];
        const char *key = naming == RECORD_LINE ? f->line_key : f->stream_key;

        if (!(f->kinds_allowed & KIND(r->kind)))
            continue;
        if (f->type == FIELD_TEXT || f->type == FIELD_JSON)
            write_text(r, f, key, j);
        else if (f->type == FIELD_ENDPOINT)
            write_endpoint(r, f, naming, j);
        else
            write_number(r, f, naming, key, j);
    }
}

bool record_is_span(const struct audit_record *r)
{
    return r->kind == AUDIT_START || r->kind == AUDIT_STOP || r->kind == AUDIT_EXEC ||
           r->kind == AUDIT_EXIT || r->kind == AUDIT_SPAN;
}

static int read_text(const struct field *f, const struct json *v, struct record_text *t)
{
    const char *text;
    struct bytes raw;

    if (f->type == FIELD_JSON) {
        raw = json_text(v);
        t->arguments = strndup((const char *)raw.data, raw.len);
        if (t->arguments == NULL)
            return -ENOMEM;
        text = t->arguments;
    } else {
        if (json_read_str(v, &text) < 0)
            return -EINVAL;
        if (text[0] == '\0')
            return 0;
        if (!is_text_valid(f, text, strlen(text)))
            return -EINVAL;
    }
    memcpy((uint8_t *)&t->r + f->offset, &text, sizeof(text));
    return 0;
}

static int read_endpoint(const struct field *f, const struct json *object, const struct json *v,
                         enum record_naming naming, struct record_text *t)
{
    bool is_src = f->offset == AT(src);
    const struct json *port =
        json_get(object, is_src ? (naming == RECORD_LINE ? "src_port" : "srcPort")
                                : (naming == RECORD_LINE ? "dst_port" : "dstPort"));
    struct endpoint e = {0};
    const char *text;
    uint64_t number = 0;

    if (json_read_str(v, &text) < 0 || (text[0] != '\0' && ip_parse(bytes_of_str(text), &e.ip) < 0))
        return -EINVAL;
    if (port != NULL && (json_read_u64(port, &number) < 0 || number > UINT16_MAX))
        return -EINVAL;
    e.port = (uint16_t)number;
    memcpy((uint8_t *)&t->r + f->offset, &e, sizeof(e));
    return 0;
}

static int read_number(const struct field *f, const struct json *v, struct record_text *t)
{
    uint8_t *to = (uint8_t *)&t->r + f->offset;
    const char *text;
    uint64_t count;
    int64_t number;
    int32_t narrow;
    double ms;
    bool flag;

    switch ((enum field_type)f->type) {
    case FIELD_TIME:
        if (json_read_str(v, &text) < 0 || wall_parse(bytes_of_str(text), &number) < 0)
            return -EINVAL;
        memcpy(to, &number, sizeof(number));
        return 0;
    case FIELD_BOOL:
        if (json_read_bool(v, &flag) < 0)
            return -EINVAL;
        memcpy(to, &flag, sizeof(flag));
        return 0;
    case FIELD_PID:
    case FIELD_STATUS:
        if (json_read_i64(v, &number) < 0 || number < INT32_MIN || number > INT32_MAX)
            return -EINVAL;
        narrow = (int32_t)number;
        memcpy(to, &narrow, sizeof(narrow));
        return 0;
    case FIELD_COUNT:
        if (json_read_u64(v, &count) < 0)
            return -EINVAL;
        memcpy(to, &count, sizeof(count));
        return 0;
    case FIELD_DURATION:
        if (json_read_double(v, &ms) < 0 || ms < 0 || ms > (double)(DURATION_MAX_NS / NS_PER_MS))
            return -EINVAL;
        number =
            (int64_t)(ms * 1e3 + 0.5) * NS_PER_US; /* as lines have it: exact up to the limit */
        memcpy(to, &number, sizeof(number));
        return 0;
    case FIELD_TEXT:
    case FIELD_JSON:
    case FIELD_ENDPOINT:
        break;
    }
    return -EINVAL;
}

static int read_kind(const struct json *object, struct record_text *t)
{
    const struct json *kind = json_get(object, "kind");

    for (unsigned i = 0; i < AUDIT_KINDS; i++)
        if (json_is_str(kind, record_kind_name((enum audit_kind)i))) {
            t->r.kind = (enum audit_kind)i;
            return 0;
        }
    return -EINVAL;
}

static int read_place(const struct json *object, struct record_text *t)
{
    const struct json *chain = json_get(object, "chain");
    const char *text;

    if (chain == NULL)
        return 0;
    if (json_read_str(chain, &text) < 0 || strlen(text) != CHAIN_ID_LEN ||
        json_read_u64(json_get(object, "seq"), &t->seq) < 0)
        return -EINVAL;
    memcpy(t->chain, text, CHAIN_ID_LEN);
    return 0;
}

static int read_members(const struct json *object, enum record_naming naming, struct record_text *t,
                        struct why *why)
{
    if (read_kind(object, t) < 0)
        return why_set(why, -EINVAL, "it has no \"kind\" that is known");
    if (read_place(object, t) < 0)
        return why_set(why, -EINVAL, "\"chain\" and \"seq\" do not belong together");
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        const struct field *f = &fields[i];
        const char *key = naming == RECORD_LINE ? f->line_key : f->stream_key;
        const struct json *v = json_get(object, key);
        int err;

        if (v == NULL)
            continue;
        if (f->type == FIELD_TEXT || f->type == FIELD_JSON)
            err = read_text(f, v, t);
        else if (f->type == FIELD_ENDPOINT)
            err = read_endpoint(f, object, v, naming, t);
        else
            err = read_number(f, v, t);
        if (err < 0)
            return why_set(why, err, "the value of \"%s\" is not of its kind", key);
    }
    return 0;
}

int record_read(struct bytes json, enum record_naming naming, struct record_text *ret,
                struct why *why)
{
    const struct json_limits limits = {.bytes = AUDIT_LINE_MAX};
    struct record_text t = {.r = {.duration_ns = -1}};
    int err = json_parse(json, &limits, &t.doc, why);

    if (err < 0)
        return err;
    err = read_members(json_root(t.doc), naming, &t, why);
    if (err < 0) {
        record_text_done(&t);
        return err;
    }
    *ret = t;
    return 0;
}

void record_text_done(struct record_text *t)
{
    json_free(t->doc);
    free(t->arguments);
    *t = (struct record_text){0};
}

int record_payload(const struct audit_record *r, const char *chain, uint64_t seq,
                   const uint8_t *hash, struct buf *ret)
{
    int64_t took_ns = (KINDS_ENDS & KIND(r->kind)) && r->duration_ns > 0 ? r->duration_ns : 0;
    char hex[HASH_HEX_LEN + 1];
    char time[RFC3339_CAP];
    char id[64];
    struct json_out j;

    (void)snprintf(id, sizeof(id), "%s-%llu", chain, (unsigned long long)seq);
    json_out_init(&j, ret);
    json_open_object(&j);
    json_put_str(&j, "id", id);
    if (record_is_span(r)) {
        wall_print(r->wall_ns > took_ns ? r->wall_ns - took_ns : 0, time);
        json_put_str(&j, "startedAt", time);
    } else {
        json_put_u64(&j, "bytes", r->bytes_out + r->bytes_in);
    }
    record_members(r, RECORD_STREAM, &j);
    json_put_str(&j, "chain", chain);
    json_put_u64(&j, "seq", seq);
    if (hash != NULL) {
        hash_hex(hash, hex);
        json_put_str(&j, "hash", hex);
    }
    json_close_object(&j);
    return buf_error(ret);
}
