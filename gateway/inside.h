/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the gateway room: what its files share. One gateway carries connections (conns.c) and
 * exchanges (exchanges.c) of peers (peers.c); judge.c says which, and records it.
 */
#ifndef GATEWAY_INSIDE_H
#define GATEWAY_INSIDE_H

#include "enroll/enroll.h"
#include "gateway/gateway.h"

#define CONNS_MAX          FLOW_MAX
#define CONNS_PER_PEER_MAX 8192u
/* Of them, those that the host has not connected yet: one peer's SYNs to where nobody answers must
 * leave the stack room to hold another's. */
#define PENDING_PER_PEER_MAX 1024u
#define NATS_MAX                                                                                   \
    8192u /* UDP and echo exchanges, also those that were refused and are remembered               \
           */
#define NATS_PER_PEER_MAX   2048u
#define PEERS_MAX           WG_PEERS_MAX
#define BUCKETS             4096u
#define NAT_IDLE_S          120 /* RFC 4787 REQ-5: not below two minutes; RFC 5508 REQ-2: one for echo */
#define NAT_UNANSWERED_S    30
#define NAT_REFUSED_S       5 /* how long a refusal is remembered, so that a flood makes few records */
#define SWEEP_S             5
#define RECEIVES_PER_WAKEUP 64
#define DESK_PORT           80 /* of our own address, inside the tunnels */
#define DESKS_PER_PEER_MAX  4u

struct follow;
struct names;

/** What one peer uses now, and, when we follow latticed, who it is. */
struct peer {
    uint8_t key[WG_KEY_LEN];
    char text[WG_KEY_TEXT_CAP];
    unsigned conns;
    unsigned pending; /* of them, those that wait for the host's connect */
    unsigned nats;
    unsigned desks; /* of its connections, those to the desk */
    bool is_enrolled;
    struct ip address;
    char name[64];
    char ns[64];
    int64_t expires_s;
    struct policy *policy; /* owned; NULL: our own policy alone decides */
    struct pins *pins;     /* owned; names that our answers gave its addresses; NULL: none yet */
    struct peer *chain;
};

struct conn {
    struct gateway *gateway;
    struct flow *flow;
    struct peer *peer;
    struct netstack_inbound who;
    struct loop_watch watch; /* the host's socket until it is connected; fd -1 afterwards */
    char rule[POLICY_RULE_TEXT_MAX + 8];
    uint32_t next_free; /* 1-based; unused slots */
    bool is_used;
    bool is_pending;
    bool is_desk; /* its other end is the desk, not a host */
};

struct nat {
    struct gateway *gateway;
    struct peer *peer;
    enum policy_proto proto;     /* POLICY_UDP or POLICY_ICMP */
    struct netstack_inbound who; /* of echo, the ports are the peer's identifier and 0 */
    struct loop_watch watch;     /* fd -1: refused */
    struct mono since;
    struct mono used;
    bool was_answered;
    uint8_t hops; /* echo: of the host's socket; 0: its own choice */
    int refused_err;
    uint64_t bytes_out;
    uint64_t bytes_in;
    char rule[POLICY_RULE_TEXT_MAX + 8];
    struct nat *chain;
};

struct gateway {
    struct loop *loop; /* borrowed */
    struct netstack *ns;
    const struct policy *policy; /* borrowed */
    struct audit *audit;         /* borrowed; NULL: no records */
    struct conn *conns;          /* CONNS_MAX slots */
    uint32_t conn_free;
    uint32_t conn_touched;
    struct nat *nats[BUCKETS];
    unsigned nat_count;
    struct peer *peers[BUCKETS];
    unsigned peer_count;
    struct loop_timer sweep;
    struct loop_timer expiry; /* of the enrolled peer that ends first */
    struct follow *follow;    /* owned; NULL: peers are configured */
    struct enroll *desk;      /* borrowed; NULL: none */
    struct names *names;      /* owned; NULL: peers are configured */
    struct prefix inside;     /* the tunnels\' own network */
    uint8_t key[16];          /* of the table's hash */
    bool has_said_no_ping;
    uint8_t buffer[ECHO_MAX];
};

/* judge.c */

/** gateway_judge() - Judge and record. Returns 0 to carry it, or -EACCES. @ret_rule: what decided.
 */
int gateway_judge(struct gateway *g, enum policy_proto proto, const struct netstack_inbound *who,
                  const struct peer *peer, char ret_rule[static POLICY_RULE_TEXT_MAX + 8]) MUST_USE;
/** gateway_still_allows() - May the peer still do this? For what is open; not recorded again. */
bool gateway_still_allows(const struct gateway *g, enum policy_proto proto, const struct peer *peer,
                          const struct endpoint *dst);
void gateway_record_flow(struct gateway *g, enum policy_proto proto,
                         const struct netstack_inbound *who, const struct peer *peer,
                         const char *rule, int err, const struct flow_stats *stats);
/** gateway_judge_name() - May the peer ask for @name? Recorded. Returns 0 or -EACCES. */
int gateway_judge_name(struct gateway *g, const struct netstack_inbound *who,
                       const struct peer *peer, const char *name) MUST_USE;
/** gateway_judge_answer() - False: an address of the built-in list, which no name may lead to. */
bool gateway_judge_answer(const struct gateway *g, const struct peer *peer, const struct ip *ip);
/** gateway_record_own() - Record what became of a packet to our own address. */
int gateway_record_own(struct gateway *g, const struct netstack_inbound *who,
                       const struct peer *peer, bool allowed) MUST_USE;

/* peers.c */

/** peers_get() - The peer of this key; one that is configured is entered at first sight. NULL: no
 * room. */
struct peer *peers_get(struct gateway *g, const uint8_t key[static WG_KEY_LEN]);
void peers_init(struct gateway *g);
void peers_done(struct gateway *g);

/* conns.c */
void conns_open(void *self, struct flow *f, const struct netstack_inbound *who);
void conns_cancel(void *self, struct flow *f);
/** conns_cut() - End the peer's connections: all, or those that its policy does not allow any more.
 */
void conns_cut(struct gateway *g, const struct peer *peer, bool everything);
void conns_done(struct gateway *g);
/** gateway_socket() - A non-blocking socket of @type and @protocol (0: the usual one), connecting
 * to
 * @dst. -errno. */
int gateway_socket(const struct endpoint *dst, int type, int protocol) MUST_USE;
/** gateway_is_own() - Is it our own address inside the tunnels? */
bool gateway_is_own(const struct gateway *g, const struct ip *ip);
/** gateway_is_inside() - … or, when we follow latticed, an address of its agents? */
bool gateway_is_inside(const struct gateway *g, const struct ip *ip);

/* exchanges.c */
void exchanges_input(void *self, const struct netstack_inbound *who, struct bytes payload);
void exchanges_echo(void *self, const struct netstack_inbound *who, struct bytes message);
void exchanges_cut(struct gateway *g, const struct peer *peer, bool everything);
/** exchanges_sweep() - Forget exchanges that are idle. */
void exchanges_sweep(struct gateway *g, struct mono now);
void exchanges_done(struct gateway *g);

#endif
