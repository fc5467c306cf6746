/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record as a message. It crosses a trust boundary, so decoding refuses everything that encoding
 * would not have written. This file decides nothing about chains, files or sockets.
 *
 * Message: version (1 byte), kind (1 byte), then fields in ascending order of their number, each
 * number (1 byte), length (2 bytes, little endian), value. Text carries its NUL; numbers are 8
 * bytes, little endian; an endpoint is family, 16 address bytes, port (2 bytes). Absent = left out.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/record.h"
#include "audit/record_fields.h"

#define MESSAGE_VERSION 1u
#define FIELD_HEADER    3u
#define ENDPOINT_BYTES  19u

static_assert(DURATION_MAX_NS < TIME_END_NS, "a duration is no later than a time can be");

static_assert(RECORD_MESSAGE_MAX >
                  2 + 32 * (FIELD_HEADER + 1) + 128 * 3 + 256 * 4 + 1024 + 4096 + 512 + 1024,
              "every record fits a message");

static void put_field(struct buf *to, const struct record_field *f, const void *value, size_t len)
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

static int encode_text(const struct audit_record *r, const struct record_field *f, struct buf *to)
{
    const char *text = record_text_of(r, f);
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
    if (!record_is_text_valid(f, text, len))
        return -EINVAL;
    store_le16(header + 1, (uint16_t)(len + 1));
    buf_add(to, header, sizeof(header));
    buf_add(to, text, len);
    buf_add_char(to, '\0');
    return 0;
}

static void encode_endpoint(const struct audit_record *r, const struct record_field *f,
                            struct buf *to)
{
    uint8_t wire[ENDPOINT_BYTES];
    struct endpoint e;

    memcpy(&e, record_member(r, f), sizeof(e));
    if (e.ip.family == IP_NONE && e.port == 0)
        return;
    wire[0] = e.ip.family;
    memcpy(wire + 1, e.ip.bytes, 16);
    store_le16(wire + 17, e.port);
    put_field(to, f, wire, sizeof(wire));
}

int record_encode(const struct audit_record *r, struct buf *ret)
{
    must((unsigned)r->kind < AUDIT_KINDS);
    buf_add_char(ret, (char)MESSAGE_VERSION);
    buf_add_char(ret, (char)r->kind);
    for (size_t i = 0; i < RECORD_FIELDS; i++) {
        const struct record_field *f = &record_fields[i];
        uint8_t wire[8];
        int err;

        if (f->type == FIELD_TEXT || f->type == FIELD_JSON) {
            err = encode_text(r, f, ret);
            if (err < 0)
                return err;
        } else if (f->type == FIELD_ENDPOINT) {
            encode_endpoint(r, f, ret);
        } else if (!record_is_absent(f, record_number_of(r, f))) {
            store_le64(wire, (uint64_t)record_number_of(r, f));
            put_field(ret, f, wire, sizeof(wire));
        }
    }
    return buf_error(ret);
}

static const struct record_field *field_by_number(uint8_t number)
{
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        if (record_fields[i].number == number)
            return &record_fields[i];
    return NULL;
}

static int decode_text(const struct record_field *f, struct bytes value, struct audit_record *ret)
{
    const char *text = (const char *)value.data;

    if (value.len < 2 || value.len > (size_t)f->len_max + 1 ||
        memchr(text, '\0', value.len) != text + value.len - 1 ||
        !record_is_text_valid(f, text, value.len - 1))
        return -EINVAL;
    memcpy((uint8_t *)ret + f->offset, &text, sizeof(text));
    return 0;
}

static int decode_endpoint(const struct record_field *f, struct bytes value,
                           struct audit_record *ret)
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

/** Would encoding have written it? */
static bool is_number_valid(const struct record_field *f, int64_t v)
{
    switch ((enum field_type)f->type) {
    case FIELD_BOOL:
        return v == 1;
    case FIELD_PID:
        return v >= 1 && v <= INT32_MAX;
    case FIELD_STATUS:
        return v >= INT32_MIN && v <= INT32_MAX;
    case FIELD_TIME:
        return v >= 0 && v < TIME_END_NS;
    case FIELD_DURATION:
        return v >= 0 && v <= DURATION_MAX_NS;
    case FIELD_COUNT:
        return true;
    case FIELD_TEXT:
    case FIELD_JSON:
    case FIELD_ENDPOINT:
        break;
    }
    return false;
}

static int decode_number(const struct record_field *f, struct bytes value, struct audit_record *ret)
{
    int64_t v;

    if (value.len != 8)
        return -EINVAL;
    v = (int64_t)load_le64(value.data);
    if (record_is_absent(f, v) || !is_number_valid(f, v))
        return -EINVAL;
    record_set_number(ret, f, v);
    return 0;
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
        const struct record_field *f;
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
