/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of the cookie mechanism. The checker keeps no state per sender: a cookie is a MAC of
 * the sender's address under a secret that lives for two minutes. It does not decide when there is
 * load (limiter.h), nor does it send.
 */
#include "netstack/wg/cookie.h"

#include <errno.h>

#include "base/wipe.h"
#include "netstack/wg/crypto.h"

void wg_cookie_keys_init(struct cookie_keys *k, const uint8_t public_key[static WG_KEY_LEN])
{
    wg_hash(bytes_of_str("mac1----"), bytes_of(public_key, WG_KEY_LEN), k->mac1);
    wg_hash(bytes_of_str("cookie--"), bytes_of(public_key, WG_KEY_LEN), k->cookie);
}

static void mac1_make(const struct cookie_keys *k, struct cookie_msg msg,
                      uint8_t ret[static WG_MAC_LEN])
{
    wg_mac(bytes_of(k->mac1, sizeof(k->mac1)), bytes_of(msg.data, msg.mac1), ret);
}

static void mac2_make(const uint8_t cookie[static WG_COOKIE_LEN], struct cookie_msg msg,
                      uint8_t ret[static WG_MAC_LEN])
{
    wg_mac(bytes_of(cookie, WG_COOKIE_LEN), bytes_of(msg.data, msg.mac1 + WG_MAC_LEN), ret);
}

void wg_cookie_stamp(struct cookie_maker *m, struct cookie_msg msg, struct mono now)
{
    struct mono stale = mono_add_ns(m->cookie_born, WG_COOKIE_SECRET_NS - WG_COOKIE_LATENCY_NS);
    uint8_t *mac1 = msg.data + msg.mac1;
    uint8_t *mac2 = mac1 + WG_MAC_LEN;

    mac1_make(&m->keys, msg, mac1);
    memcpy(m->last_mac1, mac1, WG_MAC_LEN);
    m->has_last_mac1 = true;
    if (m->cookie_born.ns != 0 && mono_before(now, stale))
        mac2_make(m->cookie, msg, mac2);
    else
        memset(mac2, 0, WG_MAC_LEN);
}

int wg_cookie_read_reply(struct cookie_maker *m, const uint8_t reply[static WG_COOKIE_MSG_LEN],
                         struct mono now)
{
    uint8_t cookie[WG_COOKIE_LEN];

    if (!m->has_last_mac1)
        return -EBADMSG;
    if (wg_xopen(m->keys.cookie, reply + WG_COOKIE_NONCE,
                 bytes_of(reply + WG_COOKIE_SEALED, WG_COOKIE_LEN + WG_TAG_LEN),
                 bytes_of(m->last_mac1, WG_MAC_LEN), cookie) < 0)
        return -EBADMSG;
    memcpy(m->cookie, cookie, sizeof(cookie));
    m->cookie_born = now;
    m->has_last_mac1 = false;
    wipe(cookie, sizeof(cookie));
    return 0;
}

bool wg_cookie_has_mac1(const struct cookie_checker *c, struct cookie_msg msg)
{
    uint8_t mac1[WG_MAC_LEN];

    mac1_make(&c->keys, msg, mac1);
    return secret_equal(mac1, msg.data + msg.mac1, WG_MAC_LEN);
}

/** The cookie of an address: Mac(secret, address || port), with a new secret every two minutes. */
static void cookie_of(struct cookie_checker *c, const struct endpoint *from, struct rng rng,
                      struct mono now, uint8_t ret[static WG_COOKIE_LEN])
{
    uint8_t address[sizeof(from->ip.bytes) + 2];
    size_t len = ip_len(&from->ip);

    if (c->secret_born.ns == 0 ||
        !mono_before(now, mono_add_ns(c->secret_born, WG_COOKIE_SECRET_NS))) {
        rng.fill(rng.self, c->secret, sizeof(c->secret));
        c->secret_born = now;
    }
    memcpy(address, from->ip.bytes, len);
    store_be16(address + len, from->port);
    wg_mac(bytes_of(c->secret, sizeof(c->secret)), bytes_of(address, len + 2), ret);
}

bool wg_cookie_has_mac2(struct cookie_checker *c, struct cookie_msg msg,
                        const struct endpoint *from, struct rng rng, struct mono now)
{
    uint8_t cookie[WG_COOKIE_LEN];
    uint8_t mac2[WG_MAC_LEN];

    cookie_of(c, from, rng, now, cookie);
    mac2_make(cookie, msg, mac2);
    wipe(cookie, sizeof(cookie));
    return secret_equal(mac2, msg.data + msg.mac1 + WG_MAC_LEN, WG_MAC_LEN);
}

void wg_cookie_write_reply(struct cookie_checker *c, struct cookie_msg msg, uint32_t receiver,
                           const struct endpoint *from, struct rng rng, struct mono now,
                           uint8_t ret[static WG_COOKIE_MSG_LEN])
{
    uint8_t cookie[WG_COOKIE_LEN];

    cookie_of(c, from, rng, now, cookie);
    store_le32(ret + WG_MSG_TYPE, WG_MSG_COOKIE); /* and the reserved bytes */
    store_le32(ret + WG_COOKIE_RECEIVER, receiver);
    rng.fill(rng.self, ret + WG_COOKIE_NONCE, WG_XNONCE_LEN);
    wg_xseal(c->keys.cookie, ret + WG_COOKIE_NONCE, bytes_of(cookie, sizeof(cookie)),
             bytes_of(msg.data + msg.mac1, WG_MAC_LEN), ret + WG_COOKIE_SEALED);
    wipe(cookie, sizeof(cookie));
}
