/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SANDBOX_SYS_LISTEN_H
#define SANDBOX_SYS_LISTEN_H

#include "sandbox/session.h"

/** listen_announce() - Connections were queued: make the listener readable, one dummy byte for
 * each, and wake those who wait in accept(). */
/** listen_stop() - End listening: waiting accept() calls, and connections that nobody accepted. The
 * socket is then OVER. */
void listen_stop(struct session *s, struct vsock *listener);
void listen_announce(struct session *s, struct vsock *listener);

#endif
