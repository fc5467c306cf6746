/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP sockets: a pair of SOCK_SEQPACKET ends. What the agent sends natively arrives at our end;
 * what comes from the network, from DNS or from another socket of the sandbox is put into it, with
 * a note of who sent it. The calls that carry addresses are in sys_send.c and sys_receive.c.
 */
#ifndef SANDBOX_SYS_UDP_H
#define SANDBOX_SYS_UDP_H

#include "sandbox/session.h"

/** How one datagram is to be sent. */
struct udp_wish {
    struct vsock_mark mark;
    struct ip source; /* family IP_NONE: as the destination asks for */
};

/** udp_ready() - Watch handler of our end. */
void udp_ready(void *self, uint32_t events);
/** udp_flush() - Carry what the agent wrote natively before; keeps the order with trapped sends. */
void udp_flush(struct session *s, struct vsock *v);
/** udp_send() - One datagram to @dst; judged, once for a while for each destination.
 * @wish: NULL for the socket's own. Returns 0 or what sendto(2) says: -EACCES, -EMSGSIZE,
 * -ENETUNREACH, … */
int udp_send(struct session *s, struct vsock *v, pid_t tid, const struct endpoint *dst,
             struct bytes payload, const struct udp_wish *wish) MUST_USE;
/** udp_mark() - What a packet of the socket carries (TCP's, too) when its message says nothing
 * else.
 */
struct vsock_mark udp_mark(const struct vsock *v, bool is_v6_destination);
/** udp_deliver() - Put a datagram into the agent's queue; dropped when that is full.
 * @mark: NULL when it is not known. Returns 0, or -EPIPE when nobody reads there any more. */
int udp_deliver(struct session *s, struct vsock *v, const struct endpoint *from,
                struct bytes payload, const struct vsock_mark *mark);
/** udp_autobind() - Give the socket a port when it has none. */
int udp_autobind(struct session *s, struct vsock *v) MUST_USE;

#endif
