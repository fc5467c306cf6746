/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes tokens of any shape for attacks: the caller writes header and claims as text, this signs
 * them with OpenSSL directly, so that the code under test never helps to build what it must refuse.
 */
#ifndef TESTS_SUPPORT_JWS_H
#define TESTS_SUPPORT_JWS_H

#include "base/buf.h"

/** jws_es256() - header.claims.signature with the P-256 private key in file @pem_path. */
void jws_es256(const char *pem_path, const char *header, const char *claims, struct buf *ret);
/** jws_hs256() - The same with HMAC-SHA256 and any key bytes. */
void jws_hs256(struct bytes key, const char *header, const char *claims, struct buf *ret);
/** jws_public_pem() - Append the public half of the private key in @pem_path as PEM. */
void jws_public_pem(const char *pem_path, struct buf *ret);

#endif
