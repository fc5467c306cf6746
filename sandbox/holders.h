/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who of the agent has a socket? Where pidfd_getfd is denied we keep a duplicate of our own of an
 * agent's end (vsock.kept_fd) for as long as calls need it, and the kernel does not tell us any
 * more that the agent has closed its last one. So it is looked up: first where it was seen last,
 * which is one readlink(2), then in everybody's descriptors. It is looked up whenever the answer
 * decides something, and now and then while somebody waits for the end.
 */
#ifndef SANDBOX_HOLDERS_H
#define SANDBOX_HOLDERS_H

#include "sandbox/session.h"

/** holders_note() - The thread's descriptor @fd is the socket. */
void holders_note(struct vsock *v, pid_t tid, int fd);
/** holders_have() - Does any process of the agent have the socket, or is it on its way to one? */
bool holders_have(struct session *s, struct vsock *v);
/** holders_look_soon() - Somebody waits for what happens when @v is closed: look often at first,
 * then ever more rarely. Does nothing where the kernel tells us. */
void holders_look_soon(struct session *s, const struct vsock *v);
/** holders_sweep() - End all sockets that we keep open ourselves and nobody else has. */
void holders_sweep(struct session *s);
void holders_done(struct session *s);

#endif
