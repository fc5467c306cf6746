/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections between two sockets of the sandbox. Directly: the two agents hold the two ends of
 * one AF_UNIX stream, and nothing is in between. Relayed (sandbox_config.loopback): each holds one
 * end of a stream to us, and what is sent passes through a pair of flows, so that closing, resets
 * and half-open ends are exactly TCP's.
 */
#ifndef SANDBOX_LOOPBACK_H
#define SANDBOX_LOOPBACK_H

#include "sandbox/session.h"

/** loopback_connect() - connect(2) of t->sock to @listener, which was found under @dst. */
int64_t loopback_connect(struct session *s, struct trap *t, struct vsock *listener,
                         const struct endpoint *dst);
/** loopback_limit() - A send buffer of @bytes is asked for a connection that stands. Returns
 * whether the agent's end shall have it: a relayed one only when it is small. */
bool loopback_limit(struct vsock *v, int32_t bytes);
/** loopback_is_self() - Is @dst, where nothing listens, the socket's own name? */
bool loopback_is_self(const struct vsock *v, const struct endpoint *dst);
/** loopback_self() - connect(2) of t->sock to itself: what it sends it reads. */
int64_t loopback_self(struct session *s, struct trap *t, const struct endpoint *dst);
/** loopback_admit() - The listener's queue may have room: connections that wait for it get in. */
void loopback_admit(struct session *s, struct vsock *listener);
/** loopback_refuse() - The listener is no more: connections that wait for it fail. */
void loopback_refuse(struct session *s, struct vsock *listener);
/** loopback_forget() - The socket does not wait for a listener any more. */
void loopback_forget(struct vsock *v);

#endif
