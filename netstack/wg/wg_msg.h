/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol on one screen: message layouts as byte offsets, lengths, and every constant with its
 * unit. Messages are read and written with the load and store helpers of base/bytes.h, never by a
 * cast. Section numbers are those of the WireGuard paper; "kernel" marks values that the paper
 * leaves open and that we take as every other implementation has them.
 */
#ifndef NETSTACK_WG_WG_MSG_H
#define NETSTACK_WG_WG_MSG_H

#include "base/clock.h"
#include "netstack/wg/wg.h"

#define WG_TAG_LEN       16u /* Poly1305 tag, 5.4 */
#define WG_MAC_LEN       16u /* Mac(), 5.4.4 */
#define WG_HASH_LEN      32u /* Hash(), 5.4 */
#define WG_TIMESTAMP_LEN 12u /* TAI64N, 5.4 */
#define WG_COOKIE_LEN    16u /* 5.4.7 */
#define WG_XNONCE_LEN    24u /* XAEAD() nonce, 5.4.7 */

enum wg_msg_type {
    WG_MSG_INITIATION = 1, /* 5.4.2 */
    WG_MSG_RESPONSE = 2,   /* 5.4.3 */
    WG_MSG_COOKIE = 3,     /* 5.4.7 */
    WG_MSG_DATA = 4,       /* 5.4.6 */
};

/* All messages begin: type 1 byte, reserved 3 bytes (zero). Numbers are little-endian. */
#define WG_MSG_TYPE     0u
#define WG_MSG_RESERVED 1u

/* 5.4.2 First message: initiator to responder. */
#define WG_INIT_SENDER    4u
#define WG_INIT_EPHEMERAL 8u
#define WG_INIT_STATIC    (WG_INIT_EPHEMERAL + WG_KEY_LEN)
#define WG_INIT_TIMESTAMP (WG_INIT_STATIC + WG_KEY_LEN + WG_TAG_LEN)
#define WG_INIT_MAC1      (WG_INIT_TIMESTAMP + WG_TIMESTAMP_LEN + WG_TAG_LEN)
#define WG_INIT_MAC2      (WG_INIT_MAC1 + WG_MAC_LEN)
#define WG_INIT_LEN       (WG_INIT_MAC2 + WG_MAC_LEN)
_Static_assert(WG_INIT_LEN == 148, "5.4.2");

/* 5.4.3 Second message: responder to initiator. */
#define WG_RESP_SENDER    4u
#define WG_RESP_RECEIVER  8u
#define WG_RESP_EPHEMERAL 12u
#define WG_RESP_EMPTY     (WG_RESP_EPHEMERAL + WG_KEY_LEN)
#define WG_RESP_MAC1      (WG_RESP_EMPTY + WG_TAG_LEN)
#define WG_RESP_MAC2      (WG_RESP_MAC1 + WG_MAC_LEN)
#define WG_RESP_LEN       (WG_RESP_MAC2 + WG_MAC_LEN)
_Static_assert(WG_RESP_LEN == 92, "5.4.3");

/* 5.4.7 Cookie reply. */
#define WG_COOKIE_RECEIVER 4u
#define WG_COOKIE_NONCE    8u
#define WG_COOKIE_SEALED   (WG_COOKIE_NONCE + WG_XNONCE_LEN)
#define WG_COOKIE_MSG_LEN  (WG_COOKIE_SEALED + WG_COOKIE_LEN + WG_TAG_LEN)
_Static_assert(WG_COOKIE_MSG_LEN == 64, "5.4.7");

/* 5.4.6 Transport data: header, inner packet padded to 16 bytes, tag. No packet: a keepalive. */
#define WG_DATA_RECEIVER 4u
#define WG_DATA_COUNTER  8u
#define WG_DATA_PACKET   16u
#define WG_DATA_LEN_MIN  (WG_DATA_PACKET + WG_TAG_LEN)
#define WG_DATA_PAD      16u
#define WG_DATAGRAM_MAX  65507u /* UDP payload over IPv4, RFC 768 */
#define WG_INNER_MAX     65472u /* largest multiple of WG_DATA_PAD that still fits a datagram */
_Static_assert(WG_DATA_LEN_MIN + WG_INNER_MAX <= WG_DATAGRAM_MAX, "an inner packet fits");
_Static_assert(WG_DATA_LEN_MIN + WG_INNER_MAX + WG_DATA_PAD > WG_DATAGRAM_MAX, "and no larger one");
_Static_assert(WG_OVERHEAD_MAX == WG_DATA_PACKET + (WG_DATA_PAD - 1) + WG_TAG_LEN, "wg.h agrees");

/* 6.1 Limits of one session. */
#define WG_REKEY_AFTER_MESSAGES  (UINT64_C(1) << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13)) /* 2^64 - 2^13 - 1 */
#define WG_REKEY_AFTER_NS        (120 * NS_PER_S)
#define WG_REJECT_AFTER_NS       (180 * NS_PER_S)

/* 6.1, 6.4, 6.5 Timers. */
#define WG_REKEY_ATTEMPT_NS (90 * NS_PER_S)
#define WG_REKEY_TIMEOUT_NS (5 * NS_PER_S)
#define WG_REKEY_JITTER_MS  334u /* kernel: a retry comes 0..333 ms late, so that two peers part */
#define WG_KEEPALIVE_NS     (10 * NS_PER_S)
#define WG_REKEY_ON_RECV_NS (WG_REJECT_AFTER_NS - WG_KEEPALIVE_NS - WG_REKEY_TIMEOUT_NS) /* 6.2 */
#define WG_ZERO_AFTER_NS    (3 * WG_REJECT_AFTER_NS)                                     /* 6.3 */
#define WG_REHANDSHAKE_NS   (WG_KEEPALIVE_NS + WG_REKEY_TIMEOUT_NS)                      /* 6.5 */

/* 5.3 Denial of service. */
#define WG_COOKIE_SECRET_NS   (120 * NS_PER_S) /* 5.4.7: the secret changes every two minutes */
#define WG_COOKIE_LATENCY_NS  (5 * NS_PER_S)   /* kernel: a cookie is given up this much earlier */
#define WG_LOAD_PER_S         512u             /* handshake messages a second that mean load */
#define WG_LOAD_HOLD_NS       NS_PER_S         /* kernel: load is believed this long */
#define WG_LIMIT_PER_S        20u              /* kernel: initiations of one address, under load */
#define WG_LIMIT_BURST        5u
#define WG_PEER_INITIATION_NS (NS_PER_S / 50) /* kernel: initiations of one peer, always */
/** Timestamps are cut to 2^24 ns (17 ms), so that they tell little about our clock (kernel). */
#define WG_TIMESTAMP_GRAIN_NS (INT64_C(1) << 24)

/* Our own bounds. */
#define WG_REPLAY_WINDOW    2048u /* packets; RFC 6479 */
#define WG_QUEUE_PEER_MAX   128u  /* packets of one peer that wait for a handshake (kernel) */
#define WG_QUEUE_DEVICE_MAX 4096u /* and of all peers: at most 268 MB, usually 6 MB */

#endif
