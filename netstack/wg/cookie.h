/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAC1, MAC2 and the cookie reply (paper 5.4.4, 5.4.7, 5.3): a stranger who does not know our
 * public key is not answered, and under load an initiator must show that it receives at its
 * address.
 */
#ifndef NETSTACK_WG_COOKIE_H
#define NETSTACK_WG_COOKIE_H

#include "base/clock.h"
#include "base/rng.h"
#include "netstack/wg/wg_msg.h"

/** A handshake message whose MACs are looked at: mac1 at @mac1, mac2 behind it. */
struct cookie_msg {
    uint8_t *data;
    size_t mac1; /* WG_INIT_MAC1 or WG_RESP_MAC1 */
};

/** Keys that follow from one side's static public key. */
struct cookie_keys {
    uint8_t mac1[WG_HASH_LEN];   /* Hash("mac1----" || public key) */
    uint8_t cookie[WG_HASH_LEN]; /* Hash("cookie--" || public key) */
};

/** Checks what is sent to us; one of a device. */
struct cookie_checker {
    struct cookie_keys keys; /* of our public key */
    uint8_t secret[WG_HASH_LEN];
    struct mono secret_born; /* zero: no secret yet */
};

/** Stamps what we send; one of a peer. Zero-initialised, then wg_cookie_keys_init(). */
struct cookie_maker {
    struct cookie_keys keys; /* of the peer's public key */
    uint8_t last_mac1[WG_MAC_LEN];
    bool has_last_mac1; /* a message is out that a cookie reply may answer */
    uint8_t cookie[WG_COOKIE_LEN];
    struct mono cookie_born; /* zero: none */
};

void wg_cookie_keys_init(struct cookie_keys *k, const uint8_t public_key[static WG_KEY_LEN]);

/** wg_cookie_stamp() - Write mac1, and mac2 when a fresh cookie is at hand; zeros otherwise. */
void wg_cookie_stamp(struct cookie_maker *m, struct cookie_msg msg, struct mono now);
/** wg_cookie_read_reply() - Take the cookie out of a reply. -EBADMSG: nothing was asked, or it is
 * not authentic; nothing changed. */
int wg_cookie_read_reply(struct cookie_maker *m, const uint8_t reply[static WG_COOKIE_MSG_LEN],
                         struct mono now) MUST_USE;

bool wg_cookie_has_mac1(const struct cookie_checker *c, struct cookie_msg msg);
/** wg_cookie_has_mac2() - Whether mac2 was made with the cookie that we would give to @from now. */
bool wg_cookie_has_mac2(struct cookie_checker *c, struct cookie_msg msg,
                        const struct endpoint *from, struct rng rng, struct mono now);
/** wg_cookie_write_reply() - Answer @msg, whose sender index is @receiver, with a cookie for @from.
 */
void wg_cookie_write_reply(struct cookie_checker *c, struct cookie_msg msg, uint32_t receiver,
                           const struct endpoint *from, struct rng rng, struct mono now,
                           uint8_t ret[static WG_COOKIE_MSG_LEN]);

#endif
