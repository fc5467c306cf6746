/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's epoll instances, where pidfd_getfd is denied. When the object behind a TCP socket is
 * exchanged (replace.h), its registrations are made anew through a duplicate of the instance; so
 * instances are made by us there, and a duplicate is kept. Each has one more registration, of a
 * socket of ours for no event: its data, the mark, tells in /proc/PID/fdinfo which instance it is.
 */
#ifndef SANDBOX_EPOLLS_H
#define SANDBOX_EPOLLS_H

#include "sandbox/session.h"

/** epolls_marker() - The inode number of the socket that all instances of ours have registered; 0:
 * there is none. */
uint64_t epolls_marker(const struct session *s);
/** epolls_dup() - A duplicate of the instance with @mark, owned by the caller. -ENOENT. */
int epolls_dup(const struct session *s, uint64_t mark) MUST_USE;
void epolls_done(struct session *s);

#endif
