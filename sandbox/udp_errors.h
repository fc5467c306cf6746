/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ICMP would tell a UDP socket: the pending error of a connected one, and the error queue of
 * one that asked for it (IP_RECVERR, ip(7)).
 *
 * An AF_UNIX socket cannot be made to poll as POLLERR. So that nobody waits for ever, an alarm, an
 * empty datagram, is put into the agent's queue: the socket becomes readable, and the receiving
 * call then finds the error. DEVIATES: recv(2) and read(2), which are native, see an empty
 * datagram.
 */
#ifndef SANDBOX_UDP_ERRORS_H
#define SANDBOX_UDP_ERRORS_H

#include "sandbox/session.h"

#define UDP_ERRORS_MAX   16u   /* of one socket; more are dropped */
#define UDP_ERROR_QUOTED 1472u /* bytes of the datagram that are kept */

/** udp_error_raise() - A datagram to @to failed with @err (-errno); @payload of it is known. */
void udp_error_raise(struct session *s, struct vsock *v, const struct endpoint *to, int err,
                     struct bytes payload);
/** udp_error_raise_by() - The same, and who said it how. */
void udp_error_raise_by(struct session *s, struct vsock *v, const struct endpoint *to, int err,
                        struct bytes payload, const struct dgram_cause *cause);
/** udp_error_take() - The pending error, -errno, which is then none any more; 0 none. @agent_end:
 * our duplicate of the agent's end, or -1. */
int udp_error_take(struct session *s, struct vsock *v, int agent_end);
/** udp_error_put() - The next call shall fail with @err (-errno), whatever it is about. */
void udp_error_put(struct session *s, struct vsock *v, int err);
/** udp_error_next() - Take the oldest entry of the error queue: what it quotes to @ret_data, of
 * SESSION_SCRATCH bytes. Returns the length, or -EAGAIN the queue is empty. */
int udp_error_next(struct session *s, struct vsock *v, int agent_end, uint8_t *ret_data,
                   struct vsock_note *ret) MUST_USE;
/** udp_errors_rearm() - An alarm was received: put it back while something waits. */
void udp_errors_rearm(struct session *s, struct vsock *v);
/** udp_errors_drop() - The socket ends. */
void udp_errors_drop(struct vsock *v);

#endif
