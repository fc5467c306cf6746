/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the netstack room: the table of datagram sockets and its two far sides. */
#ifndef NETSTACK_DGRAM_H
#define NETSTACK_DGRAM_H

#include "netstack/netstack.h"

struct arrival;

#define DGRAM_BUCKETS 1024u
#define DGRAM_BUFFER  ECHO_MAX

struct dgram {
    struct netstack *ns;
    bool is_used;
    uint32_t next_free;  /* 1-based; unused slots */
    struct dgram *chain; /* tunnel: others of this bucket */
    enum ip_family family;
    bool is_echo;
    uint16_t echo_id;          /* echo: the identifier that the owner knows */
    struct wire_mark mark;     /* of what is sent */
    struct wire_mark told;     /* direct: what the host's socket has been told */
    struct wire_mark received; /* valid while received() runs */
    struct dgram_cause cause;  /* echo: valid while failed() runs */
    struct endpoint local;     /* echo in a tunnel: the port is the identifier on the wire */
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
/** host_dgram_turn() - Take errors and datagrams by turns, some of each, until there is none, or
 * the owner, who is told of each, closes the socket. Both functions say whether there was one. */
void host_dgram_turn(struct dgram *d, uint32_t events, bool (*next_error)(struct dgram *d),
                     bool (*next)(struct dgram *d));
/** host_dgram_set_mark() - d->mark is what goes out next; of echo sockets, too. */
int host_dgram_set_mark(struct dgram *d) MUST_USE;
/** host_dgram_ask_marks() - Let the socket @fd tell what arrives with. */
int host_dgram_ask_marks(int fd, enum ip_family family) MUST_USE;
/** host_dgram_note() - d->received is what @a says. */
void host_dgram_note(struct dgram *d, const struct arrival *a);

/* host_echo.c */
int host_echo_open(struct dgram *d) MUST_USE;
/** host_echo_try() - 0 when the host has ping sockets for us, -EACCES otherwise. */
int host_echo_try(void) MUST_USE;

#endif
