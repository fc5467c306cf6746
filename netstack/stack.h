/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the netstack room: the stack itself, shared by its files. */
#ifndef NETSTACK_STACK_H
#define NETSTACK_STACK_H

#include "netstack/flow.h"

#define HELD_BUCKETS 1024u
#define HELD_MAX     8192u /* SYNs that wait for an answer; more are dropped and come again */
#define NOTES_MAX    32u   /* peer events told at the end of a turn; more are dropped */

struct dgram_table;
struct udp_link;

struct note {
    struct wg_peer_id peer;
    enum wg_event event;
};

struct netstack {
    struct loop *loop; /* borrowed */
    enum netstack_mode mode;
    bool is_server;
    struct netstack_server server;
    struct netstack_notes notes;
    void *notes_self;

    struct flow *flows;    /* FLOW_MAX slots; pages are touched as they are used */
    uint32_t flow_free;    /* 1-based head of the free list; 0: none */
    uint32_t flow_touched; /* slots that were ever used */
    uint32_t flow_count;
    struct flow *run_head;
    struct flow *run_tail;
    uint32_t run_count;
    struct loop_timer again; /* fires at once while flows want another turn */
    uint8_t *scratch;        /* RELAY_CHUNK bytes: one read, between its two ends */
    uint8_t *kept;           /* RELAY_KEPT_CAP bytes behind it: what is read a second time */

    struct dgram_table *dgrams;

    /* the tunnel; all NULL or zero in other modes */
    struct wg *wg;
    struct udp_link *link;
    struct loop_timer wg_timer;
    struct loop_timer tcp_timer;        /* lwIP's tick, while it has connections */
    struct mono tcp_due;                /* when the next tick should run, however late it does */
    struct loop_timer reassembly_timer; /* once a second while fragments may wait */
    unsigned reassembly_left;           /* seconds until no fragment can wait any more */
    struct ip v4;                       /* our inner addresses; family IP_NONE: none */
    struct ip v6;
    uint16_t mtu;
    uint32_t fragment_id;
    struct pbuf *inbox; /* the packet that wg_input() just delivered */
    struct wg_peer_id inbox_peer;
    struct flow *held[HELD_BUCKETS];
    unsigned held_count;
    struct note pending[NOTES_MAX];
    unsigned pending_count;
};

#endif
