/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ping sockets (icmp(7)): SOCK_DGRAM with ICMP or ICMPv6. As UDP sockets a pair of SOCK_SEQPACKET
 * ends; what passes are echo messages. The port is the identifier, which the kernel of a program
 * outside would own as well; checksums are made here. Raw sockets there are none.
 */
#ifndef SANDBOX_SYS_PING_H
#define SANDBOX_SYS_PING_H

#include "sandbox/sys_udp.h"

#define PING_PEERS_PER_SOCKET 8u    /* destinations of one socket; the oldest is forgotten first */
#define PING_PEERS_MAX        4096u /* of all sockets of a sandbox */

/** ping_check() - May the socket send this message? -EMSGSIZE; -EINVAL no echo request. */
int ping_check(const struct vsock *v, struct bytes message) MUST_USE;
/** ping_send() - One echo request that ping_check() let pass, to dst->ip. An address of the
 * sandbox's own answers at once; others are judged, once for a while each. Returns 0 or what
 * sendto(2) says: -EACCES, -ENETUNREACH, … */
int ping_send(struct session *s, struct vsock *v, pid_t tid, const struct endpoint *dst,
              struct bytes message, const struct udp_wish *wish) MUST_USE;
/** ping_judge_anew() - Forget the verdicts: the policy has changed. */
void ping_judge_anew(struct vsock *v);
/** ping_end() - The socket ends: its exchanges are recorded, and forgotten. */
void ping_end(struct session *s, struct vsock *v);

#endif
