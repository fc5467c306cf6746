/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile peer, of a gateway or of a sandbox: it speaks WireGuard as it must, and inside sends
 * whatever packets it likes, built here. It answers nothing by itself; what the other side says to
 * each of its ports is noted.
 *
 * Lifecycle: rogue_key → tunnel_up (with the key) → rogue_join or rogue_join_client → … →
 * rogue_leave → tunnel_down.
 */
#ifndef TESTS_SUPPORT_ROGUE_H
#define TESTS_SUPPORT_ROGUE_H

#include "netstack/wg/wg.h"
#include "tests/support/tunnel.h"

#define ROGUE_FIN 0x01u
#define ROGUE_SYN 0x02u
#define ROGUE_RST 0x04u
#define ROGUE_ACK 0x10u

#define ROGUE_PAYLOAD_MAX 1380u
#define ROGUE_OWN_SEQ     1001u /* behind rogue_connect() and rogue_accept() */

/** What has come to one of its ports. */
struct rogue_port {
    uint32_t their_seq;  /* of the last SYN or SYN-ACK */
    uint16_t their_port; /* of the last SYN */
    uint32_t their_ack;  /* the last one */
    unsigned segments;
    unsigned resets;
    unsigned bytes;   /* of payload */
    unsigned largest; /* payload of one segment */
    bool is_answered; /* by a SYN-ACK */
    bool is_asked;    /* by a SYN */
};

struct rogue {
    struct tunnel *tunnel;
    struct wg *wg;
    struct loop_watch udp;
    struct endpoint victim; /* outer address */
    struct ip own;
    uint8_t private_key[WG_KEY_LEN], public_key[WG_KEY_LEN];
    unsigned sent;            /* packets since the loop was turned */
    uint64_t replies;         /* inner packets that came */
    uint8_t last[48];         /* the first bytes of the last one */
    struct rogue_port *ports; /* 65536 */
};

/** A TCP segment; the numbers are the sender's to invent. */
struct rogue_segment {
    uint16_t from;      /* our port */
    struct endpoint to; /* IPv4 */
    uint32_t seq;
    uint32_t ack;
    uint16_t flags;
    uint16_t window;
    uint16_t mss; /* 0: no option */
    size_t len;   /* of a payload of zeroes */
};

void rogue_key(struct rogue *r);
/** rogue_join() - As a peer of the gateway, 10.9.0.3 (tunnel_options.rogue_public). */
void rogue_join(struct rogue *r, struct tunnel *t);
/** rogue_join_client() - As a peer of the client, with 10.8.0.9 (tunnel_options.client_rogue). */
void rogue_join_client(struct rogue *r, struct tunnel *t);
void rogue_leave(struct rogue *r);
/** rogue_send() - A segment; now and then everybody else gets a turn. */
void rogue_send(struct rogue *r, const struct rogue_segment *s);
/** rogue_fragment() - A fragment of a UDP datagram: @at and @len in bytes, @at a multiple of 8. */
void rogue_fragment(struct rogue *r, const struct endpoint *to, uint16_t id, unsigned at,
                    unsigned len, bool has_more);
/** rogue_datagram() - A whole UDP datagram of @len bytes, with this type of service and time to
 * live.
 */
void rogue_datagram(struct rogue *r, const struct endpoint *to, uint16_t from, unsigned len,
                    uint8_t class, uint8_t hops);
/** rogue_connect() - A handshake from port @from; the window and the MSS are ours to choose. False:
 * no answer within @limit_ms. */
bool rogue_connect(struct rogue *r, uint16_t from, const struct endpoint *to, uint16_t window,
                   uint16_t mss, int64_t limit_ms);
/** rogue_accept() - Answer the SYN that comes, or came, to @port; gives the other end to @ret. */
void rogue_accept(struct rogue *r, uint16_t port, uint16_t window, uint16_t mss,
                  struct endpoint *ret);
/** rogue_turn() - Let everybody have @count turns. */
void rogue_turn(struct rogue *r, unsigned count);

#endif
