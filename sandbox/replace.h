/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An AF_UNIX stream that was connected once cannot be connected again. A TCP socket can, after a
 * failed attempt or connect(AF_UNSPEC); so the agent is then given a fresh object, wherever the
 * calling process has the old one: under each of its numbers, and in its epoll instances.
 */
#ifndef SANDBOX_REPLACE_H
#define SANDBOX_REPLACE_H

#include "sandbox/session.h"

/** replace_object() - Give the caller a fresh unconnected stream in place of the one of t->sock.
 * @ret_fd: our duplicate of it, owned by the caller; t->fd borrows it.
 * DEVIATES: other processes that share the socket keep the old object, which is closed for them.
 * Where pidfd_getfd is denied, options of the object itself (SO_RCVTIMEO, …) are lost with one that
 * was connected. */
int replace_object(struct session *s, struct trap *t, int *ret_fd) MUST_USE;

#endif
