/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual network of WireGuard devices in virtual time: datagrams fly with delay, loss,
 * duplication and reordering that follow from a printed seed; time jumps from one event to the
 * next.
 */
#ifndef TESTS_SUPPORT_WG_NET_H
#define TESTS_SUPPORT_WG_NET_H

#include "netstack/wg/wg.h"

#define NET_NODES_MAX  8u
#define NET_FLYING_MAX 8192u
#define NET_LOG_MAX    4096u

struct net;

/** splitmix64: a test's randomness, from a seed. */
struct test_rng {
    uint64_t state;
};
uint64_t test_rng_next(struct test_rng *r);
/** test_rng_below() - 0..@n-1. */
unsigned test_rng_below(struct test_rng *r, unsigned n);
struct rng test_rng(struct test_rng *r);

struct net_bytes {
    uint8_t *data; /* owned */
    size_t len;
};

struct net_node {
    struct net *net;
    unsigned number;
    struct wg *w;
    struct wg_conf conf; /* keys and peers as made by net_init(); owned */
    uint8_t public_key[WG_KEY_LEN];
    struct endpoint endpoint; /* where it is reached now; change it to roam */
    bool is_deaf;             /* loses what is sent to it */
    int64_t wall_offset_ns;
    /* What happened. */
    struct net_bytes delivered[NET_LOG_MAX]; /* inner packets, in order */
    unsigned delivered_count;
    struct wg_peer_id delivered_from; /* of the last one */
    unsigned sent[5];                 /* datagrams by message type */
    struct net_bytes last_sent[5];    /* the last of each type */
    struct endpoint last_to;
    unsigned events[4];
    enum wg_drop last_drop; /* of the last datagram that came in */
    struct bytes reply;     /* sent with wg_output() from within deliver(), unless empty */
};

struct net_flying {
    struct mono at;
    struct endpoint from;
    struct endpoint to;
    struct net_bytes datagram;
};

struct net {
    struct mono now;
    struct test_rng rng;
    struct net_node nodes[NET_NODES_MAX];
    unsigned node_count;
    struct net_flying flying[NET_FLYING_MAX];
    unsigned flying_count;
    /* Of every link. */
    unsigned loss_percent;
    unsigned duplicate_percent;
    unsigned delay_ms_min;
    unsigned delay_ms_max; /* more than min: reordering */
    uint8_t packet[65536]; /* scratch of net_send() and net_got() */
    bool holds;            /* datagrams are dropped: the test carries last_sent itself */
};

/** What net_node_conf() should put into every peer entry. */
struct net_options {
    bool has_preshared;
    uint16_t keepalive_s;
    bool responders_only; /* nodes but 0 do not know the endpoints of the others */
};

/** net_init() - @count nodes, each a peer of every other. Node i has inner
 * addresses 10.0.0.(i+1)/32, fd00::(i+1)/128 and 10.(i+1).0.0/16, and is at 192.0.2.(i+1):51820, or
 * 2001:db8::(i+1) if i is odd. */
void net_init(struct net *n, uint64_t seed, unsigned count, const struct net_options *options);
void net_done(struct net *n);
/** net_start() - Make (again) the device of node @i; what it had is lost. */
void net_start(struct net *n, unsigned i);

/** net_run() - Let @ms pass: datagrams arrive, timers run. */
void net_run(struct net *n, int64_t ms);
/** net_settle() - Carry datagrams until none flies, without letting timers run. */
void net_settle(struct net *n);
/** net_inject() - Give node @i a copy of a datagram now. */
enum wg_drop net_inject(struct net *n, unsigned i, const struct endpoint *from, const void *data,
                        size_t len);

/** net_packet() - Build an inner packet of node @from to node @to into @ret: @len bytes in all,
 * family
 * @v, the payload begins with @tag. Returns @len. */
size_t net_packet(enum ip_family v, unsigned from, unsigned to, uint32_t tag, size_t len,
                  uint8_t *ret);
/** net_send() - wg_output() of such a packet. */
enum wg_drop net_send(struct net *n, enum ip_family v, unsigned from, unsigned to, uint32_t tag,
                      size_t len);
/** net_got() - How often node @i got exactly that packet. */
unsigned net_got(struct net *n, unsigned i, enum ip_family v, unsigned from, unsigned to,
                 uint32_t tag, size_t len);
/** net_forget() - Forget what node @i was delivered. */
void net_forget(struct net *n, unsigned i);
struct wg_peer_id net_peer(const struct net *n, unsigned of, unsigned peer);
/** net_stats() - Of the peer @peer at node @of. */
struct wg_peer_stats net_stats(const struct net *n, unsigned of, unsigned peer);

#endif
