/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4), for chains and fingerprints; not for passwords.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/must.h"

#define HASH_LEN     32u
#define HASH_HEX_LEN 64u

/** hash_sha256() - Hash @count runs of bytes, one after the other. Errors: -ENOMEM, -EIO the crypto
 * library refused. */
int hash_sha256(const struct bytes *parts, unsigned count, uint8_t ret[static HASH_LEN]) MUST_USE;

/** hash_hex() - Write @hash in lower-case hexadecimal, terminated. */
void hash_hex(const uint8_t hash[static HASH_LEN], char ret[static HASH_HEX_LEN + 1]);

/** hash_parse() - Read exactly 64 lower-case hexadecimal digits. Errors: -EINVAL. */
int hash_parse(struct bytes hex, uint8_t ret[static HASH_LEN]) MUST_USE;

/**
 * hash_ready() - Open the crypto library now: for a process that is about to confine itself, which
 * could not open it at the first hash. @is_only: this process wants nothing else of it, so it reads
 * no configuration file and fills no tables of ciphers, which costs more than a whole short
 * session. That cannot be taken back: not for a process that may speak TLS.
 */
void hash_ready(bool is_only);

#endif
