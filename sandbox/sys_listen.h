/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SANDBOX_SYS_LISTEN_H
#define SANDBOX_SYS_LISTEN_H

#include "sandbox/session.h"

/** listen_announce() - Connections were queued: make the listener readable, one dummy byte for
 * each, and wake those who wait in accept(). */
void listen_announce(struct session *s, struct vsock *listener);

#endif
