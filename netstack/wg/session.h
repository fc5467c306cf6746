/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session: the transport keys of one handshake, their counters and their age
 * (paper 5.4.6, 6.2), and the set of up to three that a peer has (6.3).
 */
#ifndef NETSTACK_WG_SESSION_H
#define NETSTACK_WG_SESSION_H

#include "netstack/wg/crypto.h"
#include "netstack/wg/noise.h"
#include "netstack/wg/replay.h"

struct session {
    bool is_alive;     /* has keys; all that follows is valid only then */
    bool is_initiator; /* we began the handshake, so we also renew it */
    uint32_t local_index;
    uint32_t remote_index;
    struct mono born;
    uint64_t send_counter; /* of the next packet */
    struct cipher seal;
    struct cipher open;
    struct replay replay;
};

/** session_sealed_len() - Length of the datagram for @inner_len bytes when packets are padded,
 * though never beyond @mtu (kernel: padding must not cause fragmentation). */
static inline size_t session_sealed_len(size_t inner_len, size_t mtu)
{
    size_t padded = (inner_len + WG_DATA_PAD - 1) / WG_DATA_PAD * WG_DATA_PAD;

    if (padded > mtu)
        padded = inner_len > mtu ? inner_len : mtu;
    return WG_DATA_LEN_MIN + padded;
}

/** wg_session_begin() - Take the keys of a finished handshake; the ciphers are reserved. */
void wg_session_begin(struct session *s, const struct noise_keys *keys, struct mono now);
/** wg_session_end() - Wipe the keys; the ciphers' memory is kept for the next session. */
void wg_session_end(struct session *s);

/** wg_session_may_send() - Has keys that are within REJECT_AFTER_TIME and REJECT_AFTER_MESSAGES. */
bool wg_session_may_send(const struct session *s, struct mono now);
/** wg_session_wants_rekey() - Past REKEY_AFTER_TIME as initiator, or past REKEY_AFTER_MESSAGES
 * (6.2).
 */
bool wg_session_wants_rekey(const struct session *s, struct mono now);

/** wg_session_seal() - Make a transport message of @inner; empty means keepalive.
 * wg_session_may_send() must hold. @ret: room for session_sealed_len() bytes. Returns that length.
 */
size_t wg_session_seal(struct session *s, struct bytes inner, size_t mtu, uint8_t *ret);
/** wg_session_open() - Authenticate and decrypt a transport message in place, and check its
 * counter. The packet is then at @msg + WG_DATA_PACKET, @len - WG_DATA_LEN_MIN bytes long. Returns
 * WG_DROP_NONE, or WG_DROP_EXPIRED, WG_DROP_AUTH or WG_DROP_REPLAY; state changes only with NONE.
 */
enum wg_drop wg_session_open(struct session *s, uint8_t *msg, size_t len, struct mono now);

/** The sessions of a peer, by role. A role without session is NULL; the others point into @slots.
 */
struct session_set {
    struct session slots[3];
    struct session *current;  /* packets are sent with this one */
    struct session *previous; /* still received: packets on the way when the keys changed */
    struct session *next;     /* as responder: not yet confirmed by a packet from the initiator */
};

/** wg_sessions_reserve() - Allocate what the next wg_sessions_add() needs. Errors: -ENOMEM. */
int wg_sessions_reserve(struct session_set *set) MUST_USE;
/** wg_sessions_add() - Begin a session. An initiator's becomes current at once, since the response
 * has proved the peer alive; a responder's becomes next. Whichever is replaced twice over is ended.
 */
void wg_sessions_add(struct session_set *set, const struct noise_keys *keys, struct mono now);
/** wg_sessions_find() - The one that has this local index, or NULL. */
struct session *wg_sessions_find(struct session_set *set, uint32_t local_index);
/** wg_sessions_confirm() - A packet arrived with @s. True when that confirmed it: next became
 * current.
 */
bool wg_sessions_confirm(struct session_set *set, struct session *s);
/** wg_sessions_end() - End all of them. */
void wg_sessions_end(struct session_set *set);
/** wg_sessions_done() - End all of them and free the memory. */
void wg_sessions_done(struct session_set *set);

#endif
