/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/jws.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "base/base64.h"

static EVP_PKEY *load(const char *pem_path)
{
    FILE *file = fopen(pem_path, "re");
    EVP_PKEY *key;

    must(file != NULL);
    key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    (void)fclose(file);
    must(key != NULL);
    return key;
}

static void add_body(const char *header, const char *claims, struct buf *ret)
{
    base64url_write(bytes_of_str(header), ret);
    buf_add_char(ret, '.');
    base64url_write(bytes_of_str(claims), ret);
}

void jws_es256(const char *pem_path, const char *header, const char *claims, struct buf *ret)
{
    EVP_PKEY *key = load(pem_path);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t der[128], raw[64];
    const uint8_t *p = der;
    size_t len = sizeof(der);
    ECDSA_SIG *sig;

    add_body(header, claims, ret);
    must(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1);
    must(EVP_DigestSign(md, der, &len, ret->data, ret->len) == 1);
    sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    must(sig != NULL);
    must(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32);
    must(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32);
    buf_add_char(ret, '.');
    base64url_write(bytes_of(raw, sizeof(raw)), ret);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    must(buf_error(ret) == 0);
}

void jws_hs256(struct bytes key, const char *header, const char *claims, struct buf *ret)
{
    uint8_t mac[32];
    unsigned len = 0;

    add_body(header, claims, ret);
    must(HMAC(EVP_sha256(), key.data, (int)key.len, ret->data, ret->len, mac, &len) != NULL);
    buf_add_char(ret, '.');
    base64url_write(bytes_of(mac, len), ret);
    must(buf_error(ret) == 0);
}

void jws_public_pem(const char *pem_path, struct buf *ret)
{
    EVP_PKEY *key = load(pem_path);
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    long len;

    must(PEM_write_bio_PUBKEY(bio, key) == 1);
    len = BIO_get_mem_data(bio, &data);
    buf_add(ret, data, (size_t)len);
    BIO_free(bio);
    EVP_PKEY_free(key);
}
