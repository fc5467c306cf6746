/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What token.c needs of a keyring: PEM texts by key id, since libjwt takes keys as PEM.
 */
#ifndef POLICY_KEYS_H
#define POLICY_KEYS_H

#include "base/bytes.h"
#include "policy/identity.h"

/** Each borrowed from the keyring, without the terminating NUL. */
struct bytes keyring_private_pem(const struct keyring *k);
/** keyring_public_pem() - The public key called @kid; no data when there is none. */
struct bytes keyring_public_pem(const struct keyring *k, struct bytes kid);

#endif
