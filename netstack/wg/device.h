/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device and its peers, as the files of this folder share them: peers.c owns their lifetime,
 * send.c everything that leaves, receive.c everything that comes in, device.c the door and the
 * clock.
 */
#ifndef NETSTACK_WG_DEVICE_H
#define NETSTACK_WG_DEVICE_H

#include "netstack/wg/allowedips.h"
#include "netstack/wg/cookie.h"
#include "netstack/wg/indices.h"
#include "netstack/wg/limiter.h"
#include "netstack/wg/noise.h"
#include "netstack/wg/schedule.h"
#include "netstack/wg/session.h"
#include "netstack/wg/timers.h"
#include "netstack/wg/wg.h"

/* Of one peer: three sessions, and the initiation that we sent. */
#define PEER_INDICES_MAX 4u

/** An inner packet that waits for a session. */
struct waiting {
    struct waiting *next;
    size_t len;
    uint8_t data[];
};

struct peer {
    struct wg_peer_id id;
    uint32_t slot;        /* its number in the device's tables */
    uint32_t bucket_next; /* slot of the next peer in the same bucket, PEER_NONE at the end */
    struct noise noise;
    struct session_set sessions;
    struct timers timers;
    struct cookie_maker cookies;
    uint32_t indices[PEER_INDICES_MAX]; /* given out to it; 0: none. Dead ones are removed lazily */
    bool has_endpoint;
    struct endpoint endpoint;
    struct mono handshake_sent; /* last initiation or response; zero: never (6.4) */
    struct mono handshake_done; /* last confirmed session; zero: never */
    bool has_renewed_late;      /* rekeyed once because of a received packet (6.2) */
    struct waiting *queue;      /* owned; oldest first */
    struct waiting **queue_end;
    unsigned queue_count;
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    struct prefix *allowed_ips; /* owned: what was asked for; the table says what it has now */
    unsigned allowed_ip_count;
};

#define PEER_NONE UINT32_MAX

struct peer_slot {
    struct peer *peer;   /* NULL: free */
    uint16_t generation; /* of the present or next peer here; starts at 1, ends at UINT16_MAX */
    uint32_t next_free;  /* slot, or PEER_NONE */
};

struct wg {
    struct wg_sink sink;
    struct wg_env env;
    struct noise_self self;
    struct cookie_checker checker;
    struct limiter limiter;
    struct load load;
    struct schedule schedule;
    struct indices indices;
    struct allowedips allowedips;
    struct peer_slot *slots; /* owned; slot_count of them have been used, slot_cap are there */
    uint32_t slot_count;
    uint32_t slot_cap;
    uint32_t free_slot;     /* PEER_NONE: none */
    uint32_t *buckets;      /* owned: slot_cap heads of lists, by hash of the public key */
    uint8_t bucket_key[16]; /* random: peers must not choose their bucket */
    unsigned peer_count;
    unsigned waiting_count; /* of all peers */
    int64_t timestamp_ns;   /* of our last initiation */
    uint64_t jitter;        /* generator state; needs spread, not secrecy */
    size_t mtu;
    uint64_t drops[WG_DROP_COUNT];
    uint8_t scratch[WG_DATAGRAM_MAX]; /* what is being sent */
};

/** wg_device_drop() - Count @reason (also NONE, which nobody reads) and return it. */
enum wg_drop wg_device_drop(struct wg *w, enum wg_drop reason);
/** wg_device_jitter_ms() - 0..WG_REKEY_JITTER_MS-1. */
unsigned wg_device_jitter_ms(struct wg *w);
void wg_device_event(struct wg *w, const struct peer *p, enum wg_event event);

/* peers.c */
struct peer *wg_peer_by_key(const struct wg *w, const uint8_t public_key[static WG_KEY_LEN]);
struct peer *wg_peer_by_id(const struct wg *w, struct wg_peer_id id);
/** wg_peer_by_index() - The peer that the receiver index was given to; NULL: nobody. The index may
 * have died since: ask wg_sessions_find() or the handshake. */
struct peer *wg_peer_by_index(const struct wg *w, uint32_t index);
/** wg_peer_new_index() - For a handshake that begins; the one before gives its own back. */
uint32_t wg_peer_new_index(struct wg *w, struct peer *p);
/** wg_peer_touch() - After events: let the schedule know the peer's next deadline. */
void wg_peer_touch(struct wg *w, const struct peer *p);
/** wg_peer_wipe_sessions() - 6.3: end all sessions, reset the handshake. */
void wg_peer_wipe_sessions(struct wg *w, struct peer *p);
void wg_peer_free(struct wg *w, struct peer *p);

/* send.c */
enum attempt { ATTEMPT_FRESH, ATTEMPT_RETRY };
/** wg_send_initiation() - Begin a handshake, or begin it again. Nothing is sent when one was sent
 * within REKEY_TIMEOUT; the retry timer then sees to it. */
void wg_send_initiation(struct wg *w, struct peer *p, enum attempt attempt, struct mono now);
/** wg_send_response() - Answer the initiation that p->noise has read, and begin the session. */
enum wg_drop wg_send_response(struct wg *w, struct peer *p, struct mono now);
void wg_send_cookie_reply(struct wg *w, const struct endpoint *to, struct cookie_msg msg,
                          uint32_t receiver, struct mono now);
/** wg_send_keepalive() - An empty packet; a handshake instead when there is no session. */
void wg_send_keepalive(struct wg *w, struct peer *p, struct mono now);
/** wg_send_waiting() - What waits, as far as there is a session; a handshake otherwise. */
void wg_send_waiting(struct wg *w, struct peer *p, struct mono now);
enum wg_drop wg_send_packet(struct wg *w, struct peer *p, struct bytes packet, struct mono now);
/** wg_send_forget() - Drop what waits. */
void wg_send_forget(struct wg *w, struct peer *p);

/** An inner packet's addresses. */
struct inner {
    size_t len; /* of the packet, without padding */
    struct ip src;
    struct ip dst;
};
/** wg_inner_parse() - -EINVAL: no whole IPv4 or IPv6 packet. Bytes behind the packet are allowed.
 */
int wg_inner_parse(struct bytes packet, struct inner *ret) MUST_USE;

#endif
