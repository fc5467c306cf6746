/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cryptographic functions that the paper names in 5.4, over bytes. The only file that sees a
 * cryptographic library is crypto.c.
 */
#ifndef NETSTACK_WG_CRYPTO_H
#define NETSTACK_WG_CRYPTO_H

#include "base/bytes.h"
#include "base/must.h"
#include "netstack/wg/wg_msg.h"

/** wg_hash() - Hash(): BLAKE2s-256 of @a followed by @b (either may be empty). @ret may be
 * @a. */
void wg_hash(struct bytes a, struct bytes b, uint8_t ret[static WG_HASH_LEN]);
/** wg_mac() - Mac(): BLAKE2s-128 of @data, keyed with 1..32 bytes. */
void wg_mac(struct bytes key, struct bytes data, uint8_t ret[static WG_MAC_LEN]);
/** wg_kdf() - Kdf_n(): n = 1..3 outputs of HKDF with HMAC-BLAKE2s. A NULL output, and those
 * after it, are not made. @ret1 may be @chain. */
void wg_kdf(const uint8_t chain[static WG_HASH_LEN], struct bytes input, uint8_t *ret1,
            uint8_t *ret2, uint8_t *ret3);

/** wg_dh() - DH(): X25519 (RFC 7748). -EBADMSG: @public is a point of low order. */
int wg_dh(const uint8_t private[static WG_KEY_LEN], const uint8_t public[static WG_KEY_LEN],
          uint8_t ret[static WG_KEY_LEN]) MUST_USE;
/** wg_dh_public() - The public key of @private; -EBADMSG cannot happen to a clamped key. */
int wg_dh_public(const uint8_t private[static WG_KEY_LEN], uint8_t ret[static WG_KEY_LEN]) MUST_USE;

/** wg_seal() - Aead() with a key used once and counter 0: ChaCha20-Poly1305 (RFC 8439).
 * Writes plain.len + 16 bytes. */
void wg_seal(const uint8_t key[static WG_KEY_LEN], struct bytes plain, struct bytes aad,
             uint8_t *ret);
/** wg_open() - Undo wg_seal(): writes sealed.len - 16 bytes. -EBADMSG: not authentic.
 */
int wg_open(const uint8_t key[static WG_KEY_LEN], struct bytes sealed, struct bytes aad,
            uint8_t *ret) MUST_USE;
/** wg_xseal() - Xaead(): XChaCha20-Poly1305 with a random 24-byte nonce. */
void wg_xseal(const uint8_t key[static WG_KEY_LEN], const uint8_t nonce[static WG_XNONCE_LEN],
              struct bytes plain, struct bytes aad, uint8_t *ret);
int wg_xopen(const uint8_t key[static WG_KEY_LEN], const uint8_t nonce[static WG_XNONCE_LEN],
             struct bytes sealed, struct bytes aad, uint8_t *ret) MUST_USE;

/** A key schedule kept between packets, for one direction. Zero-initialised: without memory. */
struct cipher {
    void *ctx; /* owned */
};
enum cipher_direction { CIPHER_SEAL, CIPHER_OPEN };

/** wg_cipher_reserve() - Allocate, unless that was done before. Errors: -ENOMEM. */
int wg_cipher_reserve(struct cipher *c) MUST_USE;
/** wg_cipher_key() - Take a key for one direction; replaces the one before. After
 * wg_cipher_reserve(). */
void wg_cipher_key(struct cipher *c, enum cipher_direction direction,
                   const uint8_t key[static WG_KEY_LEN]);
/** wg_cipher_seal() - Encrypt @data in place; the tag follows it, so there is room for len + 16. */
void wg_cipher_seal(struct cipher *c, uint64_t counter, uint8_t *data, size_t len);
/** wg_cipher_open() - Decrypt @len bytes (tag included) in place. -EBADMSG: not authentic; the
 * bytes are then garbage. */
int wg_cipher_open(struct cipher *c, uint64_t counter, uint8_t *data, size_t len) MUST_USE;
/** wg_cipher_wipe() - Forget the key, keep the memory. */
void wg_cipher_wipe(struct cipher *c);
/** wg_cipher_done() - Forget the key and free the memory. */
void wg_cipher_done(struct cipher *c);

/** wg_table_hash() - SipHash-2-4, for hash tables whose keys a stranger may choose. */
uint64_t wg_table_hash(const uint8_t key[static 16], struct bytes data);

#endif
