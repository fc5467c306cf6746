/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three bytes are four digits of six bits. The last group may be short; then its unused low bits
 * must be zero, or two texts would mean the same bytes (RFC 4648 3.5).
 */
#include "base/base64.h"

#include <errno.h>

static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char std_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Digits for up to three bytes; returns how many were written. */
static size_t encode_group(const char *digits, const uint8_t *data, size_t len, char ret[static 4])
{
    uint32_t bits = (uint32_t)data[0] << 16;

    if (len > 1)
        bits |= (uint32_t)data[1] << 8;
    if (len > 2)
        bits |= data[2];
    for (size_t i = 0; i <= len; i++)
        ret[i] = digits[bits >> (18 - 6 * i) & 0x3f];
    return len + 1;
}

static int digit_value(const char *digits, uint8_t c)
{
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -EINVAL;
}

/** Bytes for two to four digits; returns how many, or -EINVAL. */
static int decode_group(const char *digits, const uint8_t *text, size_t len, uint8_t ret[static 3])
{
    uint32_t bits = 0;

    for (size_t i = 0; i < len; i++) {
        int value = digit_value(digits, text[i]);

        if (value < 0)
            return value;
        bits |= (uint32_t)value << (18 - 6 * i);
    }
    if ((len == 2 && (bits & 0xffff) != 0) || (len == 3 && (bits & 0xff) != 0))
        return -EINVAL;
    for (size_t i = 0; i + 1 < len; i++)
        ret[i] = (uint8_t)(bits >> (16 - 8 * i));
    return (int)len - 1;
}

void base64url_write(struct bytes data, struct buf *to)
{
    for (size_t i = 0; i < data.len; i += 3) {
        char group[4];
        size_t left = data.len - i;

        buf_add(to, group, encode_group(url_digits, data.data + i, left < 3 ? left : 3, group));
    }
}

int base64url_read(struct bytes text, struct buf *to)
{
    if (text.len % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < text.len; i += 4) {
        uint8_t group[3];
        size_t left = text.len - i;
        int got = decode_group(url_digits, text.data + i, left < 4 ? left : 4, group);

        if (got < 0)
            return got;
        buf_add(to, group, (size_t)got);
    }
    return buf_error(to);
}

void base64_write_32(const uint8_t data[static 32], char ret[static BASE64_32_LEN + 1])
{
    for (size_t i = 0; i < 32; i += 3)
        (void)encode_group(std_digits, data + i, 32 - i < 3 ? 32 - i : 3, ret + i / 3 * 4);
    ret[43] = '=';
    ret[44] = '\0';
}

int base64_read_32(struct bytes text, uint8_t ret[static 32])
{
    uint8_t all[33];

    if (text.len != BASE64_32_LEN || text.data[43] != '=')
        return -EINVAL;
    for (size_t i = 0; i < 43; i += 4) {
        size_t left = 43 - i;

        if (decode_group(std_digits, text.data + i, left < 4 ? left : 4, all + i / 4 * 3) < 0)
            return -EINVAL;
    }
    memcpy(ret, all, 32);
    return 0;
}
