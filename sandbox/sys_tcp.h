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

/** udp_connect() - sys_udp.c */
int64_t udp_connect(struct session *s, struct trap *t, const struct sockaddr_storage *raw,
                    unsigned len);

#endif
