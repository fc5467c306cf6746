/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that only the holder of a key can read or change: AES-256-GCM (NIST SP 800-38D) with a
 * random nonce in front. A key may seal up to 2^32 texts (section 8.3 there).
 */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/must.h"
#include "base/rng.h"

#define SEAL_KEY_LEN  32u
#define SEAL_OVERHEAD 28u /* nonce and tag */

/**
 * seal_shut() - Append the sealed form of @plain to @ret.
 * @bound: not sealed, but must be the same when it is opened. Errors: -ENOMEM; -EMSGSIZE; -EIO.
 */
int seal_shut(const uint8_t key[static SEAL_KEY_LEN], struct rng rng, struct bytes bound,
              struct bytes plain, struct buf *ret) MUST_USE;
/** seal_open() - Append what was sealed to @ret. Errors: -EBADMSG another key, other bound bytes,
 * or changed since, nothing is appended; else as seal_shut(). */
int seal_open(const uint8_t key[static SEAL_KEY_LEN], struct bytes bound, struct bytes sealed,
              struct buf *ret) MUST_USE;

#endif
