/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SO_LINGER {1, 0} and connect(AF_UNSPEC) on a direct loopback connection: its close is a reset.
 * The two agents hold the two ends of one AF_UNIX stream and we none, so the kernel must see to it:
 * a stream that is closed with something unread gives its peer ECONNRESET (unix(7) is silent;
 * net/unix/af_unix.c, unix_release_sock). So something is left there that no reading finds, an
 * out-of-band byte: a read(2) skips it and drops it. It makes the socket readable once, as a socket
 * may always be for nothing (select(2), BUGS); after a read the close is an orderly one again.
 */
#ifndef SANDBOX_LINGER_H
#define SANDBOX_LINGER_H

#include "sandbox/dispatch.h"

/** linger_reset_at_close() - From now on a close of the trap's socket resets the connection.
 * Nothing happens where the peer's end cannot be had (no pidfd_getfd), where urgent data is read in
 * line, or when the socket is no direct loopback connection. */
void linger_reset_at_close(struct session *s, const struct trap *t);
/** linger_close_in_order() - Take that back. */
void linger_close_in_order(struct session *s, const struct trap *t);

#endif
