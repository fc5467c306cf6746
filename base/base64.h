/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648): the URL alphabet without padding, as in tokens (RFC 7515 2), and the standard
 * alphabet with padding, as in WireGuard keys. Reading is strict: one spelling for each run of
 * bytes, so unused bits must be zero, and blanks, line ends or the other alphabet are refused. Not
 * constant-time: for text that an attacker may see, not for private keys.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/must.h"

/** base64url_write() - Append @data; a failure stays in @to (buf_error). */
void base64url_write(struct bytes data, struct buf *to);
/** base64url_read() - Append the bytes that @text stands for. Errors: -EINVAL; -errno of @to. */
int base64url_read(struct bytes text, struct buf *to) MUST_USE;

#define BASE64_32_LEN 44u /* text length of 32 bytes in the standard alphabet */
void base64_write_32(const uint8_t data[static 32], char ret[static BASE64_32_LEN + 1]);
/** base64_read_32() - Read exactly 32 bytes (a WireGuard key). Errors: -EINVAL. */
int base64_read_32(struct bytes text, uint8_t ret[static 32]) MUST_USE;

#endif
