/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binds the paper's function names to OpenSSL (ChaCha20-Poly1305, BLAKE2s) and libsodium (X25519,
 * XChaCha20-Poly1305, SipHash). It holds no protocol knowledge. A library call that can fail only
 * for want of memory or through our own mistake ends in must(): nothing a peer sends decides it.
 *
 * Theory: OpenSSL's ChaCha20 uses AVX-512 and is twice as fast as libsodium's on full packets, but
 * looking an algorithm up by name costs as much as sealing a small packet; so each is fetched once,
 * and a session keeps one context per direction in which only the nonce changes. X25519 is
 * libsodium's: equally fast, and it works on bytes, while OpenSSL's needs key objects that cost
 * more than the multiplication.
 */
#include "netstack/wg/crypto.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>

#include "base/libcrypto.h"
#include "base/wipe.h"

#define HMAC_BLOCK_LEN 64u /* BLAKE2s block, RFC 7693 2.1 */
#define NONCE_LEN      12u /* 4 zero bytes, then the counter, little-endian: 5.4 */

/* Written once, by algorithms_fetch(), before the first use; kept until the process ends. The
 * private library context keeps the user's openssl.cnf, and opening files later, out of it. */
static struct {
    OSSL_LIB_CTX *lib;
    EVP_CIPHER *chacha;
    EVP_MD *blake2s;
    EVP_MAC *blake2s_mac;
} algorithms;
static const struct libcrypto *openssl; /* likewise */
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;

static void algorithms_fetch(void)
{
    must(sodium_init() >= 0);
    openssl = libcrypto();
    algorithms.lib = openssl->OSSL_LIB_CTX_new();
    must(algorithms.lib != NULL);
    algorithms.chacha = openssl->EVP_CIPHER_fetch(algorithms.lib, "ChaCha20-Poly1305", NULL);
    algorithms.blake2s = openssl->EVP_MD_fetch(algorithms.lib, "BLAKE2S-256", NULL);
    algorithms.blake2s_mac = openssl->EVP_MAC_fetch(algorithms.lib, "BLAKE2SMAC", NULL);
    must(algorithms.chacha != NULL);
    must(algorithms.blake2s != NULL);
    must(algorithms.blake2s_mac != NULL);
}

static void algorithms_need(void)
{
    must(pthread_once(&algorithms_once, algorithms_fetch) == 0);
}

void wg_hash(struct bytes a, struct bytes b, uint8_t ret[static WG_HASH_LEN])
{
    EVP_MD_CTX *ctx;
    unsigned len = 0;

    algorithms_need();
    ctx = openssl->EVP_MD_CTX_new();
    must(ctx != NULL);
    must(openssl->EVP_DigestInit_ex2(ctx, algorithms.blake2s, NULL) == 1);
    must(a.len == 0 || openssl->EVP_DigestUpdate(ctx, a.data, a.len) == 1);
    must(b.len == 0 || openssl->EVP_DigestUpdate(ctx, b.data, b.len) == 1);
    must(openssl->EVP_DigestFinal_ex(ctx, ret, &len) == 1);
    must(len == WG_HASH_LEN);
    openssl->EVP_MD_CTX_free(ctx);
}

void wg_mac(struct bytes key, struct bytes data, uint8_t ret[static WG_MAC_LEN])
{
    size_t size = WG_MAC_LEN;
    OSSL_PARAM params[2];
    EVP_MAC_CTX *ctx;
    size_t len = 0;

    algorithms_need();
    params[0] = openssl->OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size);
    params[1] = openssl->OSSL_PARAM_construct_end();
    ctx = openssl->EVP_MAC_CTX_new(algorithms.blake2s_mac);
    must(ctx != NULL);
    must(openssl->EVP_MAC_init(ctx, key.data, key.len, params) == 1);
    must(openssl->EVP_MAC_update(ctx, data.data, data.len) == 1);
    must(openssl->EVP_MAC_final(ctx, ret, &len, WG_MAC_LEN) == 1);
    must(len == WG_MAC_LEN);
    openssl->EVP_MAC_CTX_free(ctx);
}

/** HMAC (RFC 2104) over BLAKE2s; the key is always one hash long here. @ret may be @key. */
static void hmac(const uint8_t key[static WG_HASH_LEN], struct bytes data,
                 uint8_t ret[static WG_HASH_LEN])
{
    uint8_t pad[HMAC_BLOCK_LEN];
    uint8_t inner[WG_HASH_LEN];

    for (unsigned i = 0; i < sizeof(pad); i++)
        pad[i] = (uint8_t)((i < WG_HASH_LEN ? key[i] : 0) ^ 0x36);
    wg_hash(bytes_of(pad, sizeof(pad)), data, inner);
    for (unsigned i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36 ^ 0x5c;
    wg_hash(bytes_of(pad, sizeof(pad)), bytes_of(inner, sizeof(inner)), ret);
    wipe(pad, sizeof(pad));
    wipe(inner, sizeof(inner));
}

void wg_kdf(const uint8_t chain[static WG_HASH_LEN], struct bytes input, uint8_t *ret1,
            uint8_t *ret2, uint8_t *ret3)
{
    uint8_t *rets[] = {ret1, ret2, ret3};
    uint8_t secret[WG_HASH_LEN];
    uint8_t block[WG_HASH_LEN + 1]; /* the output before, and the number of this one */

    hmac(chain, input, secret);
    for (unsigned i = 0; i < ARRAY_COUNT(rets) && rets[i] != NULL; i++) {
        block[WG_HASH_LEN] = (uint8_t)(i + 1);
        if (i == 0)
            hmac(secret, bytes_of(block + WG_HASH_LEN, 1), block);
        else
            hmac(secret, bytes_of(block, sizeof(block)), block);
        memcpy(rets[i], block, WG_HASH_LEN);
    }
    wipe(secret, sizeof(secret));
    wipe(block, sizeof(block));
}

int wg_dh(const uint8_t private[static WG_KEY_LEN], const uint8_t public[static WG_KEY_LEN],
          uint8_t ret[static WG_KEY_LEN])
{
    algorithms_need();
    return crypto_scalarmult_curve25519(ret, private, public) == 0 ? 0 : -EBADMSG;
}

int wg_dh_public(const uint8_t private[static WG_KEY_LEN], uint8_t ret[static WG_KEY_LEN])
{
    algorithms_need();
    return crypto_scalarmult_curve25519_base(ret, private) == 0 ? 0 : -EBADMSG;
}

int wg_cipher_reserve(struct cipher *c)
{
    algorithms_need();
    if (c->ctx == NULL)
        c->ctx = openssl->EVP_CIPHER_CTX_new();
    return c->ctx != NULL ? 0 : -ENOMEM;
}

void wg_cipher_key(struct cipher *c, enum cipher_direction direction,
                   const uint8_t key[static WG_KEY_LEN])
{
    int seal = direction == CIPHER_SEAL;

    must(c->ctx != NULL);
    must(openssl->EVP_CipherInit_ex2(c->ctx, algorithms.chacha, key, NULL, seal, NULL) == 1);
}

static void nonce_set(uint8_t nonce[static NONCE_LEN], uint64_t counter)
{
    store_le32(nonce, 0);
    store_le64(nonce + 4, counter);
}

/** Seal @len bytes at @data in place, as the context's key and @counter say. */
static void seal_with(EVP_CIPHER_CTX *ctx, uint64_t counter, struct bytes aad, uint8_t *data,
                      size_t len)
{
    uint8_t nonce[NONCE_LEN];
    int done = 0;

    must(len <= WG_DATAGRAM_MAX);
    nonce_set(nonce, counter);
    must(openssl->EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1);
    must(aad.len == 0 || openssl->EVP_EncryptUpdate(ctx, NULL, &done, aad.data, (int)aad.len) == 1);
    must(len == 0 || openssl->EVP_EncryptUpdate(ctx, data, &done, data, (int)len) == 1);
    must(openssl->EVP_EncryptFinal_ex(ctx, data + len, &done) == 1);
    must(openssl->EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, WG_TAG_LEN, data + len) == 1);
}

/** Undo seal_with(): @len counts the tag. */
static int open_with(EVP_CIPHER_CTX *ctx, uint64_t counter, struct bytes aad, uint8_t *data,
                     size_t len)
{
    uint8_t nonce[NONCE_LEN];
    size_t plain_len = len - WG_TAG_LEN;
    int done = 0;

    must(len >= WG_TAG_LEN);
    must(len <= WG_DATAGRAM_MAX);
    nonce_set(nonce, counter);
    must(openssl->EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1);
    must(openssl->EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, WG_TAG_LEN, data + plain_len) ==
         1);
    must(aad.len == 0 || openssl->EVP_DecryptUpdate(ctx, NULL, &done, aad.data, (int)aad.len) == 1);
    must(plain_len == 0 || openssl->EVP_DecryptUpdate(ctx, data, &done, data, (int)plain_len) == 1);
    return openssl->EVP_DecryptFinal_ex(ctx, data + plain_len, &done) == 1 ? 0 : -EBADMSG;
}

void wg_cipher_seal(struct cipher *c, uint64_t counter, uint8_t *data, size_t len)
{
    seal_with(c->ctx, counter, bytes_of(NULL, 0), data, len);
}

int wg_cipher_open(struct cipher *c, uint64_t counter, uint8_t *data, size_t len)
{
    return open_with(c->ctx, counter, bytes_of(NULL, 0), data, len);
}

void wg_cipher_wipe(struct cipher *c)
{
    if (c->ctx != NULL)
        must(openssl->EVP_CIPHER_CTX_reset(c->ctx) ==
             1); /* frees the provider's state, which wipes it */
}

void wg_cipher_done(struct cipher *c)
{
    if (c->ctx != NULL)
        openssl->EVP_CIPHER_CTX_free(c->ctx); /* wipes the key */
    c->ctx = NULL;
}

void wg_seal(const uint8_t key[static WG_KEY_LEN], struct bytes plain, struct bytes aad,
             uint8_t *ret)
{
    struct cipher c = {0};

    must(wg_cipher_reserve(&c) == 0);
    wg_cipher_key(&c, CIPHER_SEAL, key);
    if (plain.len > 0)
        memmove(ret, plain.data, plain.len);
    seal_with(c.ctx, 0, aad, ret, plain.len);
    wg_cipher_done(&c);
}

int wg_open(const uint8_t key[static WG_KEY_LEN], struct bytes sealed, struct bytes aad,
            uint8_t *ret)
{
    uint8_t copy[WG_KEY_LEN + WG_TAG_LEN]; /* the largest thing that a handshake seals */
    struct cipher c = {0};
    int err;

    must(sealed.len <= sizeof(copy));
    must(wg_cipher_reserve(&c) == 0);
    wg_cipher_key(&c, CIPHER_OPEN, key);
    memcpy(copy, sealed.data, sealed.len);
    err = open_with(c.ctx, 0, aad, copy, sealed.len);
    if (err == 0 && sealed.len > WG_TAG_LEN)
        memcpy(ret, copy, sealed.len - WG_TAG_LEN);
    wipe(copy, sizeof(copy));
    wg_cipher_done(&c);
    return err;
}

void wg_xseal(const uint8_t key[static WG_KEY_LEN], const uint8_t nonce[static WG_XNONCE_LEN],
              struct bytes plain, struct bytes aad, uint8_t *ret)
{
    algorithms_need();
    must(crypto_aead_xchacha20poly1305_ietf_encrypt(ret, NULL, plain.data, plain.len, aad.data,
                                                    aad.len, NULL, nonce, key) == 0);
}

int wg_xopen(const uint8_t key[static WG_KEY_LEN], const uint8_t nonce[static WG_XNONCE_LEN],
             struct bytes sealed, struct bytes aad, uint8_t *ret)
{
    algorithms_need();
    return crypto_aead_xchacha20poly1305_ietf_decrypt(ret, NULL, NULL, sealed.data, sealed.len,
                                                      aad.data, aad.len, nonce, key) == 0
               ? 0
               : -EBADMSG;
}

uint64_t wg_table_hash(const uint8_t key[static 16], struct bytes data)
{
    uint8_t hash[crypto_shorthash_BYTES];

    algorithms_need();
    must(crypto_shorthash(hash, data.data, data.len, key) == 0);
    return load_le64(hash);
}
