/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client carries for us between two requests of one tool call (MCP 2026-07-28,
 * `requestState`): which approval the call waits for. Sealed with HMAC-SHA-256 (RFC 2104), tied to
 * the tool and the very bytes of its arguments, and to a time. That it is used once is the
 * approval's own matter.
 */
#ifndef MCP_SEALED_H
#define MCP_SEALED_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/must.h"

#define SEALED_KEY_LEN  32u
#define SEALED_ID_MAX   63u
#define SEALED_TEXT_CAP 192u
#define SEALED_LIFE_S   600

/** sealed_write() - @id: letters, digits and '-'. Errors: -EINVAL; -EIO the crypto library. */
int sealed_write(const uint8_t key[static SEALED_KEY_LEN], const char *id, const char *tool,
                 struct bytes arguments, int64_t now_s, char ret[static SEALED_TEXT_CAP]) MUST_USE;
/** sealed_read() - Errors: -EACCES not sealed by us, or for another call; -ETIME. */
int sealed_read(const uint8_t key[static SEALED_KEY_LEN], const char *text, const char *tool,
                struct bytes arguments, int64_t now_s,
                char ret_id[static SEALED_ID_MAX + 1]) MUST_USE;

#endif
