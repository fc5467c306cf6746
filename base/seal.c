/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM through OpenSSL's EVP interface. It gives out no byte of a text whose tag does not
 * fit.
 */
#include "base/seal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/wipe.h"

#define NONCE_LEN 12u
#define TAG_LEN   16u

static_assert(SEAL_OVERHEAD == NONCE_LEN + TAG_LEN, "nonce in front, tag behind");

static int run_shut(EVP_CIPHER_CTX *ctx, const uint8_t *key, struct bytes bound, struct bytes plain,
                    uint8_t *out)
{
    uint8_t *body = out + NONCE_LEN;
    int len = 0;

    return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, out) == 1 &&
                   EVP_EncryptUpdate(ctx, NULL, &len, bound.data, (int)bound.len) == 1 &&
                   EVP_EncryptUpdate(ctx, body, &len, plain.data, (int)plain.len) == 1 &&
                   EVP_EncryptFinal_ex(ctx, body + plain.len, &len) == 1 &&
                   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, body + plain.len) == 1
               ? 0
               : -EIO;
}

int seal_shut(const uint8_t key[static SEAL_KEY_LEN], struct rng rng, struct bytes bound,
              struct bytes plain, struct buf *ret)
{
    EVP_CIPHER_CTX *ctx;
    uint8_t *out;
    int err;

    if (plain.len > INT_MAX - SEAL_OVERHEAD || bound.len > INT_MAX)
        return -EMSGSIZE;
    ctx = EVP_CIPHER_CTX_new();
    out = malloc(plain.len + SEAL_OVERHEAD);
    err = ctx != NULL && out != NULL ? 0 : -ENOMEM;
    if (err == 0) {
        rng.fill(rng.self, out, NONCE_LEN);
        err = run_shut(ctx, key, bound, plain, out);
    }
    if (err == 0) {
        buf_add(ret, out, plain.len + SEAL_OVERHEAD);
        err = buf_error(ret);
    }
    free(out);
    EVP_CIPHER_CTX_free(ctx);
    return err;
}

static int run_open(EVP_CIPHER_CTX *ctx, const uint8_t *key, struct bytes bound,
                    struct bytes sealed, uint8_t *out)
{
    const uint8_t *body = sealed.data + NONCE_LEN;
    size_t body_len = sealed.len - SEAL_OVERHEAD;
    uint8_t tag[TAG_LEN];
    int len = 0;

    for (unsigned i = 0; i < TAG_LEN; i++)
        tag[i] = body[body_len + i];
    if (EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, sealed.data) != 1 ||
        EVP_DecryptUpdate(ctx, NULL, &len, bound.data, (int)bound.len) != 1 ||
        EVP_DecryptUpdate(ctx, out, &len, body, (int)body_len) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) != 1)
        return -EIO;
    return EVP_DecryptFinal_ex(ctx, out + body_len, &len) == 1 ? 0 : -EBADMSG;
}

int seal_open(const uint8_t key[static SEAL_KEY_LEN], struct bytes bound, struct bytes sealed,
              struct buf *ret)
{
    EVP_CIPHER_CTX *ctx;
    uint8_t *out;
    int err;

    if (sealed.len < SEAL_OVERHEAD || sealed.len > INT_MAX || bound.len > INT_MAX)
        return -EBADMSG;
    ctx = EVP_CIPHER_CTX_new();
    out = malloc(sealed.len); /* never empty */
    err = ctx != NULL && out != NULL ? 0 : -ENOMEM;
    if (err == 0)
        err = run_open(ctx, key, bound, sealed, out);
    if (err == 0) {
        buf_add(ret, out, sealed.len - SEAL_OVERHEAD);
        err = buf_error(ret);
    }
    if (out != NULL)
        wipe(out, sealed.len);
    free(out);
    EVP_CIPHER_CTX_free(ctx);
    return err;
}
