/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 through OpenSSL's EVP interface; this file is the only place of the ground floor that
 * knows so. It never falls back to another algorithm.
 */
#include "base/hash.h"

#include <errno.h>

#include "base/libcrypto.h"

void hash_ready(bool is_only)
{
    const struct libcrypto *openssl = libcrypto();

    if (!is_only)
        return;
    /* A failure shows at the first hash. */
    (void)openssl->OPENSSL_init_crypto(
        OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
            OPENSSL_INIT_NO_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS,
        NULL);
}

int hash_sha256(const struct bytes *parts, unsigned count, uint8_t ret[static HASH_LEN])
{
    const struct libcrypto *openssl = libcrypto();
    EVP_MD_CTX *ctx = openssl->EVP_MD_CTX_new();
    int ok;

    if (ctx == NULL)
        return -ENOMEM;
    ok = openssl->EVP_DigestInit_ex(ctx, openssl->EVP_sha256(), NULL);
    for (unsigned i = 0; ok && i < count; i++)
        ok = openssl->EVP_DigestUpdate(ctx, parts[i].data, parts[i].len);
    ok = ok && openssl->EVP_DigestFinal_ex(ctx, ret, NULL);
    openssl->EVP_MD_CTX_free(ctx);
    return ok ? 0 : -EIO;
}

void hash_hex(const uint8_t hash[static HASH_LEN], char ret[static HASH_HEX_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < HASH_LEN; i++) {
        ret[2 * i] = digits[hash[i] >> 4];
        ret[2 * i + 1] = digits[hash[i] & 15];
    }
    ret[HASH_HEX_LEN] = '\0';
}

static int digit_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int hash_parse(struct bytes hex, uint8_t ret[static HASH_LEN])
{
    uint8_t hash[HASH_LEN];

    if (hex.len != HASH_HEX_LEN)
        return -EINVAL;
    for (unsigned i = 0; i < HASH_LEN; i++) {
        int high = digit_value(hex.data[2 * i]);
        int low = digit_value(hex.data[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EINVAL;
        hash[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret, hash, HASH_LEN);
    return 0;
}
