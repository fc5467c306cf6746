/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the netstack room: inner packets between WireGuard, lwIP, and our own UDP. */
#ifndef NETSTACK_TUNNEL_H
#define NETSTACK_TUNNEL_H

#include "netstack/dgram.h"
#include "netstack/packet.h"
#include "netstack/stack.h"

/* tunnel.c */
int tunnel_start(struct netstack *ns, const struct wg_conf *conf, struct why *why) MUST_USE;
void tunnel_stop(struct netstack *ns);
/** tunnel_send() - Seal and queue an inner packet. Dropped (and counted by wg) when it has no
 * route. */
void tunnel_send(struct netstack *ns, struct bytes packet);
/** tunnel_end_of_turn() - Let datagrams out, tell events, set the timer. */
void tunnel_end_of_turn(struct netstack *ns);
/** tunnel_take() - One inner packet whose fragments were put together. False: lwIP shall have it.
 */
bool tunnel_take(struct netstack *ns, const struct packet *p);
/** tunnel_deliver() - As if @peer had sent this inner packet just now; for tests of this side. */
void tunnel_deliver(struct netstack *ns, struct wg_peer_id peer, struct bytes packet);
/** tunnel_source() - Our address toward @dst, when a peer has it: -ENETUNREACH otherwise. */
int tunnel_source(const struct netstack *ns, const struct ip *dst, struct ip *ret) MUST_USE;

/* tunnel_dgram.c */
int tunnel_dgram_open(struct dgram *d, uint16_t local_port) MUST_USE;
int tunnel_dgram_send(struct dgram *d, const struct endpoint *dst, struct bytes payload) MUST_USE;
void tunnel_dgram_close(struct dgram *d);
/** tunnel_dgram_find() - The socket with this local family and port, or (@is_echo) identifier; NULL
 * none. */
struct dgram *tunnel_dgram_find(struct netstack *ns, const struct endpoint *local, bool is_echo);
/** tunnel_echo_received() - An echo reply for one of our sockets; nobody's is dropped. */
void tunnel_echo_received(struct netstack *ns, const struct packet *p);
/** tunnel_echo_failed() - An ICMP error about an echo request that we sent. @from: who says it. */
void tunnel_echo_failed(struct netstack *ns, const struct packet_error *e, const struct ip *from);

/* lwip_port.c: the one interface, and packets in and out of lwIP */
int lwip_port_start(struct netstack *ns) MUST_USE;
void lwip_port_stop(struct netstack *ns);
/** lwip_port_usage() - Fill in lwIP's part. */
void lwip_port_usage(struct netstack_usage *ret);
/** lwip_packet_new() - A copy that lwIP can own; NULL when memory is short. */
struct pbuf *lwip_packet_new(struct bytes packet);
struct bytes lwip_packet_bytes(const struct pbuf *p);
void lwip_packet_free(struct pbuf *p);
/** lwip_input() - Hand a packet to lwIP (taken), which for this moment has the address @as. */
void lwip_input(struct netstack *ns, struct pbuf *p, const struct ip *as);
/** lwip_fragment() - The same for a fragment; the timers that forget lost ones start. */
void lwip_fragment(struct netstack *ns, struct pbuf *p, const struct ip *as);

/* lwip_tcp.c */
/** lwip_tcp_syn() - Server: true when @p opens a connection, and was dealt with. */
bool lwip_tcp_syn(struct netstack *ns, const struct packet *p);
void lwip_tcp_error(struct netstack *ns, const struct packet_error *e);
int lwip_tcp_start(struct netstack *ns) MUST_USE;
void lwip_tcp_stop(struct netstack *ns);
/** lwip_tcp_unsent() - What closed connections still have to deliver: bytes, and 1 for each end. */
uint64_t lwip_tcp_unsent(void);

#endif
