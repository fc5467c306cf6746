/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the families that touch TCP sockets share (sys_connect.c).
 */
#ifndef SANDBOX_SYS_TCP_H
#define SANDBOX_SYS_TCP_H

#include "sandbox/session.h"

/** tcp_settle() - A blocking connect() was interrupted, and the network answered meanwhile: join
 * the agent's end now that we see it. Harmless in every other state. */
void tcp_settle(struct session *s, struct trap *t);

/** tcp_is_pending() - Is a connection under way whose end the agent cannot see by polling? */
bool tcp_is_pending(const struct vsock *v);

/** tcp_cut() - End the socket's connection to the network, or its attempt, with a reset. */
void tcp_cut(struct session *s, struct vsock *v);

/** tcp_fail() - The attempt to connect failed with @err: waiting calls and pollers learn it. */
void tcp_fail(struct session *s, struct vsock *v, int err);
/** tcp_join() - Connect the agent's end to one of ours: t->sock->our_end. Errors: -errno. */
int tcp_join(struct session *s, struct trap *t) MUST_USE;
/** tcp_join_wide() - The same for a connection that we carry: both ends keep more unsent. */
int tcp_join_wide(struct session *s, struct trap *t) MUST_USE;
/** tcp_watch_connecting() - Notice that the agent closes its end while the attempt is under way. */
int tcp_watch_connecting(struct session *s, struct vsock *v) MUST_USE;

/** udp_connect() - sys_udp.c */
int64_t udp_connect(struct session *s, struct trap *t, const struct sockaddr_storage *raw,
                    unsigned len);

#endif
