/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the netstack room: the tunnel's socket toward the network, one per address family on
 * one port. Datagrams of equal size to one endpoint leave as one train (UDP_SEGMENT), and trains
 * that the kernel has put together arrive as one (UDP_GRO): per datagram the kernel's path is the
 * dearest part of a tunnel. Where the kernel cannot do this, datagrams travel singly.
 */
#ifndef NETSTACK_UDP_LINK_H
#define NETSTACK_UDP_LINK_H

#include "base/addr.h"
#include "base/loop.h"
#include "base/must.h"
#include "base/why.h"

struct udp_link;

/** @datagram may be changed in place; it is valid for the call only. */
typedef void udp_link_received(void *self, const struct endpoint *from, uint8_t *datagram,
                               size_t len);

struct udp_link_stats {
    uint64_t received; /* datagrams */
    uint64_t sent;
    uint64_t send_failed; /* datagrams dropped because the kernel did not take them */
    uint64_t trains;      /* system calls that sent them */
};

/** udp_link_new() - Bind @port (0: any) for IPv4, and for IPv6 where the host has it. */
int udp_link_new(struct loop *loop, uint16_t port, udp_link_received *received, void *self,
                 struct udp_link **ret, struct why *why) MUST_USE;
void udp_link_free(struct udp_link *l);
uint16_t udp_link_port(const struct udp_link *l);
/** udp_link_send() - Queue a copy; it leaves with udp_link_flush(), or earlier. */
void udp_link_send(struct udp_link *l, const struct endpoint *to, struct bytes datagram);
void udp_link_flush(struct udp_link *l);
struct udp_link_stats udp_link_stats(const struct udp_link *l);

#endif
