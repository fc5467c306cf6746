/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the netstack room: the stack itself, shared by its files. */
#ifndef NETSTACK_STACK_H
#define NETSTACK_STACK_H

#include "netstack/flow.h"

struct dgram_table;

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

    struct dgram_table *dgrams;
};

#endif
