/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record as JSON: a line of the log, or a message of the stream, and back.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/record.h"
#include "audit/record_fields.h"
#include "audit/redact.h"

static_assert(AUDIT_LINE_MAX > 6 * (128 * 3 + 256 * 4 + 1024 + 512 + 512 + 4096) + 2048,
              "every record fits a line, even when each byte is escaped");

static void write_endpoint(const struct audit_record *r, const struct record_field *f,
                           enum record_naming naming, struct json_out *j)
{
    char text[IP_TEXT_CAP] = "";
    struct endpoint e;
    bool is_src = f->offset == offsetof(struct audit_record, src);

    memcpy(&e, record_member(r, f), sizeof(e));
    if (e.ip.family != IP_NONE)
        (void)ip_print(&e.ip, text);
    json_put_str(j, naming == RECORD_LINE ? f->line_key : f->stream_key, text);
    if (is_src && e.port == 0)
        return;
    json_key(j, is_src ? (naming == RECORD_LINE ? "src_port" : "srcPort")
                       : (naming == RECORD_LINE ? "dst_port" : "dstPort"));
    json_u64(j, e.port);
}

static void write_text(const struct audit_record *r, const struct record_field *f, const char *key,
                       struct json_out *j)
{
    const char *text = record_text_of(r, f);

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

static void write_number(const struct audit_record *r, const struct record_field *f,
                         enum record_naming naming, const char *key, struct json_out *j)
{
    int64_t v = record_number_of(r, f);
    char time[RFC3339_CAP];
    char decimal[32];

    if (record_is_absent(f, v) && !(f->kinds_always & KIND(r->kind)))
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
    for (size_t i = 0; i < RECORD_FIELDS; i++) {
        const struct record_field *f = &record_fields[i];
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

static int read_text(const struct record_field *f, const struct json *v, struct record_text *t)
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
        if (!record_is_text_valid(f, text, strlen(text)))
            return -EINVAL;
    }
    memcpy((uint8_t *)&t->r + f->offset, &text, sizeof(text));
    return 0;
}

static int read_endpoint(const struct record_field *f, const struct json *object,
                         const struct json *v, enum record_naming naming, struct record_text *t)
{
    bool is_src = f->offset == offsetof(struct audit_record, src);
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

static int read_duration(const struct json *v, int64_t *ret)
{
    double ms;

    if (json_read_double(v, &ms) < 0 || ms < 0 || ms > (double)(DURATION_MAX_NS / NS_PER_MS))
        return -EINVAL;
    *ret = (int64_t)(ms * 1e3 + 0.5) * NS_PER_US; /* as lines have it: exact up to the limit */
    return 0;
}

static int read_number(const struct record_field *f, const struct json *v, struct record_text *t)
{
    const char *text;
    uint64_t count;
    int64_t number = 0;
    bool flag = false;
    int err = -EINVAL;

    switch ((enum field_type)f->type) {
    case FIELD_TIME:
        err = json_read_str(v, &text);
        if (err == 0)
            err = wall_parse(bytes_of_str(text), &number);
        break;
    case FIELD_BOOL:
        err = json_read_bool(v, &flag);
        number = flag;
        break;
    case FIELD_PID:
    case FIELD_STATUS:
        err = json_read_i64(v, &number);
        if (number < INT32_MIN || number > INT32_MAX)
            err = -EINVAL;
        break;
    case FIELD_COUNT:
        err = json_read_u64(v, &count);
        if (err == 0)
            memcpy(&number, &count, sizeof(number));
        break;
    case FIELD_DURATION:
        err = read_duration(v, &number);
        break;
    case FIELD_TEXT:
    case FIELD_JSON:
    case FIELD_ENDPOINT:
        break;
    }
    if (err < 0)
        return -EINVAL;
    record_set_number(&t->r, f, number);
    return 0;
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
    for (size_t i = 0; i < RECORD_FIELDS; i++) {
        const struct record_field *f = &record_fields[i];
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
