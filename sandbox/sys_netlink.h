/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Route netlink sockets: dumps of the sandbox's two interfaces, its addresses and routes.
 */
#ifndef SANDBOX_SYS_NETLINK_H
#define SANDBOX_SYS_NETLINK_H

#include "sandbox/session.h"

/** netlink_ready() - Watch handler of our end. */
void netlink_ready(void *self, uint32_t events);
/** netlink_send() - A request that came by a trapped call. Returns 0 or -errno. */
int netlink_send(struct session *s, struct vsock *v, struct bytes message);

#endif
