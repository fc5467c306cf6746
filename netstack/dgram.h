/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the netstack room: the table of datagram sockets and its two far sides. */
#ifndef NETSTACK_DGRAM_H
#define NETSTACK_DGRAM_H

#include "netstack/netstack.h"

#define DGRAM_BUCKETS 1024u
#define DGRAM_BUFFER  ECHO_MAX

struct dgram {
    struct netstack *ns;
    bool is_used;
    uint32_t next_free;  /* 1-based; unused slots */
    struct dgram *chain; /* tunnel: others of this bucket */
    enum ip_family family;
    bool is_echo;
    uint16_t echo_id;         /* echo: the identifier that the owner knows */
    uint8_t hops;             /* echo: of requests; 0: the default */
    uint8_t received_hops;    /* echo: valid while received() runs */
    struct dgram_cause cause; /* echo: valid while failed() runs */
    struct endpoint local;    /* echo in a tunnel: the port is the identifier on the wire */
    const struct dgram_events *events;
    void *self;
    struct loop_watch watch; /* direct: the host's socket; fd -1 in a tunnel */
};

struct dgram_table {
    struct dgram *slots; /* DGRAM_MAX */
    uint32_t free_head;  /* 1-based */
    uint32_t touched;
    uint32_t count;
    struct dgram *buckets[DGRAM_BUCKETS]; /* tunnel: by family and local port or identifier */
    uint8_t *buffer;                      /* DGRAM_BUFFER bytes: one received datagram */
};

int dgram_table_new(struct dgram_table **ret) MUST_USE;
/** dgram_table_free() - All sockets must be closed. Accepts NULL. */
void dgram_table_free(struct dgram_table *t);
void dgram_close_all(struct dgram_table *t);

/* host_dgram.c */
int host_dgram_open(struct dgram *d, uint16_t local_port) MUST_USE;
int host_dgram_send(struct dgram *d, const struct endpoint *dst, struct bytes payload) MUST_USE;
void host_dgram_close(struct dgram *d);

/* host_echo.c */
int host_echo_open(struct dgram *d) MUST_USE;
/** host_echo_try() - 0 when the host has ping sockets for us, -EACCES otherwise. */
int host_echo_try(void) MUST_USE;
/** host_echo_set_hops() - d->hops is what the next requests have. */
int host_echo_set_hops(struct dgram *d) MUST_USE;

#endif
