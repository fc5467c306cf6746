/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake: Noise_IKpsk2 as the paper specifies it in 5.4.2 to 5.4.5. MACs and cookies are not
 * its concern (cookie.h), nor when to send (timers.h).
 *
 * A peer has one struct noise. Walk of an initiator: wg_noise_write_initiation →
 * wg_noise_read_response → wg_noise_finish. Walk of a responder: wg_noise_read_static (who is it?)
 * → wg_noise_read_initiation → wg_noise_write_response → wg_noise_finish. A newer walk overwrites
 * an older one, so of two initiations that cross, the one read last counts on each side, and the
 * retry timer's jitter parts the two.
 */
#ifndef NETSTACK_WG_NOISE_H
#define NETSTACK_WG_NOISE_H

#include "base/clock.h"
#include "netstack/wg/wg_msg.h"

/** Our own static keys and what follows from them. */
struct noise_self {
    uint8_t private_key[WG_KEY_LEN];
    uint8_t public_key[WG_KEY_LEN];
};

enum noise_state {
    NOISE_IDLE = 0,        /* no handshake; only the static members are valid */
    NOISE_SENT_INITIATION, /* by wg_noise_write_initiation(): a response may be read */
    NOISE_READ_INITIATION, /* by wg_noise_read_initiation(): a response must be written next */
    NOISE_SENT_RESPONSE,   /* by wg_noise_write_response(): may be finished, as responder */
    NOISE_READ_RESPONSE,   /* by wg_noise_read_response(): may be finished, as initiator */
};

struct noise {
    /* Static: set by wg_noise_init(), kept by wg_noise_reset(). */
    uint8_t remote_static[WG_KEY_LEN];
    uint8_t preshared[WG_KEY_LEN];              /* all zero: none (5.2) */
    uint8_t static_static[WG_KEY_LEN];          /* DH of both static keys */
    uint8_t latest_timestamp[WG_TIMESTAMP_LEN]; /* greatest that was read; survives handshakes */
    struct mono latest_initiation;              /* when; zero: never */
    /* Of the handshake under way. */
    enum noise_state state;
    uint32_t local_index;
    uint32_t remote_index;                /* from NOISE_READ_INITIATION or NOISE_READ_RESPONSE on */
    uint8_t local_ephemeral[WG_KEY_LEN];  /* private; from NOISE_SENT_INITIATION on */
    uint8_t remote_ephemeral[WG_KEY_LEN]; /* from NOISE_READ_INITIATION on, as responder */
    uint8_t chain[WG_HASH_LEN];           /* C in the paper */
    uint8_t hash[WG_HASH_LEN];            /* H in the paper */
};

/** What wg_noise_read_static() found out; wiped by wg_noise_read_initiation(), or
 * noise_opening_wipe().
 */
struct noise_opening {
    uint8_t remote_static[WG_KEY_LEN];
    uint8_t chain[WG_HASH_LEN];
    uint8_t hash[WG_HASH_LEN];
};

/** The keys of a session, for the caller to place and to wipe. */
struct noise_keys {
    uint8_t send[WG_KEY_LEN];
    uint8_t receive[WG_KEY_LEN];
    uint32_t local_index;
    uint32_t remote_index;
    bool is_initiator;
};

/** wg_noise_init() - Of a peer. -EBADMSG: @public_key is of low order, so nothing can be agreed
 * with it. */
int wg_noise_init(struct noise *n, const struct noise_self *self,
                  const uint8_t public_key[static WG_KEY_LEN],
                  const uint8_t preshared[static WG_KEY_LEN]) MUST_USE;
/** wg_noise_reset() - Forget the handshake under way and wipe its secrets. */
void wg_noise_reset(struct noise *n);
/** wg_noise_done() - Wipe everything. */
void wg_noise_done(struct noise *n);

/** wg_noise_write_initiation() - 5.4.2. @ephemeral: 32 random bytes. @ret: WG_INIT_LEN bytes, MACs
 * left zero. Errors: -EBADMSG a point of low order came up; nothing changed. */
int wg_noise_write_initiation(struct noise *n, const struct noise_self *self, uint32_t local_index,
                              const uint8_t ephemeral[static WG_KEY_LEN],
                              const uint8_t timestamp[static WG_TIMESTAMP_LEN],
                              uint8_t ret[static WG_INIT_LEN]) MUST_USE;
/** wg_noise_read_static() - First half of reading an initiation: whose is it? -EBADMSG: not
 * authentic.
 */
int wg_noise_read_static(const struct noise_self *self, const uint8_t msg[static WG_INIT_LEN],
                         struct noise_opening *ret) MUST_USE;
/** wg_noise_read_initiation() - Second half, with the state of the peer whose key was found.
 * Errors, and then nothing changed: -EBADMSG not authentic; -ESTALE its timestamp is not greater
 * than every one before it (5.1); -EBUSY the peer's last initiation is less than 20 ms old. */
int wg_noise_read_initiation(struct noise *n, struct noise_opening *o,
                             const uint8_t msg[static WG_INIT_LEN], struct mono now) MUST_USE;
/** wg_noise_write_response() - 5.4.3. In NOISE_READ_INITIATION only. @ret: WG_RESP_LEN bytes, MACs
 * left zero. Errors: as wg_noise_write_initiation(). */
int wg_noise_write_response(struct noise *n, uint32_t local_index,
                            const uint8_t ephemeral[static WG_KEY_LEN],
                            uint8_t ret[static WG_RESP_LEN]) MUST_USE;
/** wg_noise_read_response() - -EBADMSG: not authentic, or no initiation is waiting for it; nothing
 * changed. */
int wg_noise_read_response(struct noise *n, const struct noise_self *self,
                           const uint8_t msg[static WG_RESP_LEN]) MUST_USE;
/** wg_noise_finish() - 5.4.5: in NOISE_SENT_RESPONSE or NOISE_READ_RESPONSE, make the session's
 * keys and reset. */
void wg_noise_finish(struct noise *n, struct noise_keys *ret);

/** wg_noise_timestamp() - TAI64N of @wall_ns since 1970, UTC taken for TAI - 10 s as everyone does.
 */
void wg_noise_timestamp(int64_t wall_ns, uint8_t ret[static WG_TIMESTAMP_LEN]);

#endif
