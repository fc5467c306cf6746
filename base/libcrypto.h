/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of OpenSSL's libcrypto that hashing (base/hash.c) and the tunnel (netstack/wg) use,
 * opened at the first use: a session without a tunnel hashes in its auditor only (base/library.h).
 */
#ifndef BASE_LIBCRYPTO_H
#define BASE_LIBCRYPTO_H

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/library.h"

#define LIBCRYPTO_FUNCTIONS(F)                                                                     \
    F(EVP_CIPHER_CTX_ctrl)                                                                         \
    F(EVP_CIPHER_CTX_free)                                                                         \
    F(EVP_CIPHER_CTX_new)                                                                          \
    F(EVP_CIPHER_CTX_reset)                                                                        \
    F(EVP_CIPHER_fetch)                                                                            \
    F(EVP_CipherInit_ex2)                                                                          \
    F(EVP_DecryptFinal_ex)                                                                         \
    F(EVP_DecryptInit_ex2)                                                                         \
    F(EVP_DecryptUpdate)                                                                           \
    F(EVP_DigestFinal_ex)                                                                          \
    F(EVP_DigestInit_ex)                                                                           \
    F(EVP_DigestInit_ex2)                                                                          \
    F(EVP_DigestUpdate)                                                                            \
    F(EVP_EncryptFinal_ex)                                                                         \
    F(EVP_EncryptInit_ex2)                                                                         \
    F(EVP_EncryptUpdate)                                                                           \
    F(EVP_MAC_CTX_free)                                                                            \
    F(EVP_MAC_CTX_new)                                                                             \
    F(EVP_MAC_fetch)                                                                               \
    F(EVP_MAC_final)                                                                               \
    F(EVP_MAC_init)                                                                                \
    F(EVP_MAC_update)                                                                              \
    F(EVP_MD_CTX_free)                                                                             \
    F(EVP_MD_CTX_new)                                                                              \
    F(EVP_MD_fetch)                                                                                \
    F(EVP_sha256)                                                                                  \
    F(OPENSSL_init_crypto)                                                                         \
    F(OSSL_LIB_CTX_new)                                                                            \
    F(OSSL_PARAM_construct_end)                                                                    \
    F(OSSL_PARAM_construct_size_t)

struct libcrypto {
    LIBCRYPTO_FUNCTIONS(LIBRARY_MEMBER)
};

/** libcrypto() - The library; the first call opens it, which a process that has confined itself
 * cannot do any more. Safe from every thread. Without the library the process ends: what would
 * have been hashed or sealed must not go on. */
const struct libcrypto *libcrypto(void);

#endif
