/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WireGuard, sans-I/O: bytes and a clock value in; datagrams, inner packets, events and the next
 * deadline out. Nothing here touches a descriptor or reads a clock.
 *
 * Source: J. A. Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel" (the paper), sections
 * cited at each step; Noise_IKpsk2 (Noise Protocol Framework rev. 34); RFC 6479 for the window.
 *
 * Lifecycle: wg_new → (wg_input | wg_output | wg_tick)* → wg_free.
 */
#ifndef NETSTACK_WG_WG_H
#define NETSTACK_WG_WG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/must.h"
#include "base/rng.h"
#include "base/why.h"

#define WG_KEY_LEN         32u
#define WG_KEY_TEXT_CAP    45u /* base64 of a key and its NUL */
#define WG_PEERS_MAX       65536u
#define WG_ADDRESSES_MAX   16u /* of one interface */
#define WG_DNS_MAX         8u
#define WG_ALLOWED_IPS_MAX 1024u /* of one peer */
#define WG_CONF_FILE_MAX   (4u << 20)
#define WG_MTU_DEFAULT     1420u
#define WG_MTU_MIN         576u /* RFC 791: what every host takes */
/** What sealing adds to an inner packet: header 16, padding 0..15, tag 16 (paper 5.4.6). */
#define WG_OVERHEAD_MAX (16u + 15u + 16u)

struct wg_peer_conf {
    uint8_t public_key[WG_KEY_LEN];
    uint8_t preshared_key[WG_KEY_LEN]; /* all zero: none */
    bool has_endpoint;
    struct endpoint endpoint;
    char endpoint_host[256]; /* when the file gives a name: resolve it before wg_new */
    uint16_t endpoint_port;
    uint16_t keepalive_s;       /* 0: off */
    struct prefix *allowed_ips; /* owned */
    unsigned allowed_ip_count;
};

/** A wg-quick configuration. Zero it before wg_conf_load(); wg_conf_done() wipes and frees it. */
struct wg_conf {
    uint8_t private_key[WG_KEY_LEN];
    struct prefix addresses[WG_ADDRESSES_MAX]; /* host bits kept */
    unsigned address_count;
    struct ip dns[WG_DNS_MAX];
    unsigned dns_count;
    char dns_search[256];       /* first search domain, "" none */
    uint16_t mtu;               /* 0: not said */
    uint16_t listen_port;       /* 0: any */
    struct wg_peer_conf *peers; /* owned */
    unsigned peer_count;
    unsigned warning_count;
    char warnings[8][160]; /* keys that are never run: PostUp and the like */
};

/** wg_conf_load() - Read a wg-quick file. Errors: -errno of reading; -EINVAL with file, line,
 * column and what was expected in @why; *ret is then empty. wg_conf_parse() does the same from
 * memory. */
int wg_conf_load(const char *path, struct wg_conf *ret, struct why *why) MUST_USE;
int wg_conf_parse(const char *file, struct bytes text, struct wg_conf *ret,
                  struct why *why) MUST_USE;
void wg_conf_done(struct wg_conf *conf);

/** Keys. wg_key_parse(): 44 characters of canonical base64, in constant time; -EINVAL otherwise. */
int wg_key_parse(struct bytes text, uint8_t ret[static WG_KEY_LEN]) MUST_USE;
void wg_key_print(const uint8_t key[static WG_KEY_LEN], char ret[static WG_KEY_TEXT_CAP]);
void wg_key_generate(struct rng rng, uint8_t ret_private[static WG_KEY_LEN]);
int wg_key_public(const uint8_t private_key[static WG_KEY_LEN],
                  uint8_t ret_public[static WG_KEY_LEN]) MUST_USE;

/** Every reason for which a datagram or packet is dropped; wg_drop_name() gives its metric name. */
enum wg_drop {
    WG_DROP_NONE = 0,
    WG_DROP_LENGTH,           /* no message type has this length */
    WG_DROP_TYPE,             /* unknown type, or reserved bytes not zero */
    WG_DROP_MAC1,             /* not meant for our key */
    WG_DROP_UNKNOWN_PEER,     /* a static key that we do not know */
    WG_DROP_HANDSHAKE,        /* authentication of a handshake message failed */
    WG_DROP_STALE_INITIATION, /* timestamp not greater than the last one: a replay (paper 5.1) */
    WG_DROP_RATE,             /* more initiations than the limiter lets through */
    WG_DROP_UNDER_LOAD,       /* answered with a cookie instead */
    WG_DROP_COOKIE,           /* cookie reply that we did not ask for, or that fails to open */
    WG_DROP_UNKNOWN_INDEX,    /* no session has this receiver index */
    WG_DROP_EXPIRED,          /* the session is past REJECT_AFTER_TIME or _MESSAGES */
    WG_DROP_REPLAY,           /* counter seen before, or older than the window */
    WG_DROP_AUTH,             /* transport data that fails to open */
    WG_DROP_INNER,            /* inner packet is no valid IPv4 or IPv6 packet */
    WG_DROP_SOURCE,           /* inner source is not in the peer's allowed IPs */
    WG_DROP_NO_ROUTE,         /* no peer has this inner destination */
    WG_DROP_NO_ENDPOINT,      /* the peer's endpoint is not known yet */
    WG_DROP_QUEUE,            /* too many packets wait for a handshake: the oldest makes room */
    WG_DROP_NO_SESSION,       /* waited for a handshake that never came, or for a removed peer */
    WG_DROP_COUNT
};
const char *wg_drop_name(enum wg_drop drop);

enum wg_event {
    WG_EVENT_HANDSHAKE_DONE = 0, /* a session was confirmed */
    WG_EVENT_HANDSHAKE_RETRY,    /* no answer within REKEY_TIMEOUT; trying again */
    WG_EVENT_HANDSHAKE_GAVE_UP,  /* REKEY_ATTEMPT_TIME passed without an answer */
    WG_EVENT_ROAMED,             /* an authenticated packet came from a new endpoint */
};

/** Names a peer for as long as the device lives; removed peers' numbers are not used again. */
struct wg_peer_id {
    uint32_t n;
};

/** Where results go. Data is borrowed for the call only. deliver() is called last, when the
 * device's state is whole, so it may call wg_output() and wg_output_peer(); the other two, and any
 * other function of the device, may not be called back. */
struct wg_sink {
    void *self;
    /** Send @datagram to @to. */
    void (*send)(void *self, const struct endpoint *to, struct bytes datagram);
    /** An authenticated inner packet of @peer, source already checked, padding already cut off. */
    void (*deliver)(void *self, struct wg_peer_id peer, struct bytes packet);
    /** May be NULL. */
    void (*event)(void *self, struct wg_peer_id peer, enum wg_event event);
};

struct wg_env {
    struct rng rng;
    int64_t (*wall_ns)(void *self); /* for TAI64N timestamps (paper 5.1) */
    void *self;
};

struct wg;

/** wg_new() - @conf is copied; names in endpoints must be resolved. Errors: -ENOMEM; -EINVAL @why.
 */
int wg_new(const struct wg_conf *conf, const struct wg_sink *sink, const struct wg_env *env,
           struct wg **ret, struct why *why) MUST_USE;
/** wg_free() - Wipes every key. Accepts NULL. */
void wg_free(struct wg *w);

/** wg_input() - A datagram from the network. @datagram is decrypted in place. Returns why it was
 * dropped (also counted), or WG_DROP_NONE. */
enum wg_drop wg_input(struct wg *w, const struct endpoint *from, uint8_t *datagram, size_t len,
                      struct mono now);
/** wg_output() - An inner IP packet to seal and send; waits, copied, when there is no session yet.
 */
enum wg_drop wg_output(struct wg *w, struct bytes packet, struct mono now);
/** wg_output_peer() - As wg_output(), to a peer that the caller chose; its allowed IPs must agree.
 */
enum wg_drop wg_output_peer(struct wg *w, struct wg_peer_id peer, struct bytes packet,
                            struct mono now);
/** wg_tick() - Run the timers that are due. */
void wg_tick(struct wg *w, struct mono now);
/** wg_deadline() - When wg_tick() is due next; MONO_NEVER when nothing waits. Cheap. */
struct mono wg_deadline(const struct wg *w);

/** Peers at run time. wg_peer_add(): -EEXIST the key is known; -ENOSPC; -ENOMEM. wg_peer_remove()
 * ends its sessions at once and wipes them; -ENOENT. */
int wg_peer_add(struct wg *w, const struct wg_peer_conf *peer, struct wg_peer_id *ret) MUST_USE;
int wg_peer_remove(struct wg *w, const uint8_t public_key[static WG_KEY_LEN]) MUST_USE;
/** wg_handshake() - Begin a handshake with the peer now, if none is under way and none is fresh. */
void wg_handshake(struct wg *w, struct wg_peer_id peer, struct mono now);

struct wg_peer_stats {
    uint8_t public_key[WG_KEY_LEN];
    bool has_endpoint;
    struct endpoint endpoint;
    struct mono last_handshake; /* zero: never */
    uint64_t rx_bytes;          /* inner packets and keepalives, as sealed */
    uint64_t tx_bytes;
};
/** wg_peer_stats() - -ENOENT no such peer. */
int wg_peer_stats(const struct wg *w, struct wg_peer_id peer, struct wg_peer_stats *ret) MUST_USE;
/** wg_peer_find() - The peer whose allowed IPs hold @ip; -ENOENT none. */
int wg_peer_find(const struct wg *w, const struct ip *ip, struct wg_peer_id *ret) MUST_USE;
unsigned wg_peer_count(const struct wg *w);
uint64_t wg_drop_count(const struct wg *w, enum wg_drop drop);

#endif
