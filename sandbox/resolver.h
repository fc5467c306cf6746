/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's DNS: every datagram that the agent sends to port 53 of whatever server comes here.
 * A name that the policy does not let through is answered NXDOMAIN on the spot. Others are asked
 * anew, with an id and a port of our own, from the tunnel's DNS server, the host's, or the one that
 * the agent meant; of the answer only addresses are passed on, and remembered as pins.
 */
#ifndef SANDBOX_RESOLVER_H
#define SANDBOX_RESOLVER_H

#include "sandbox/session.h"

#define RESOLVER_QUERIES_MAX 512u /* under way at the same time; more are dropped, as UDP may */
#define RESOLVER_SERVERS_MAX 3u   /* MAXNS of resolv.conf(5) */
#define RESOLVER_TRIES       4u
#define RESOLVER_TRY_MS      1500
#define RESOLVER_HOSTS_MAX   (256u << 10) /* bytes of /etc/hosts that are read */

/** resolver_new() - Reads resolv.conf and hosts of the host, pins the latter for ever. */
int resolver_new(struct session *s, struct resolver **ret) MUST_USE;
void resolver_free(struct resolver *r);
/** resolver_query() - The agent's socket @v sent @message to the DNS server @server. The answer
 * comes as a datagram from @server. @pid and @exe say who asks. */
void resolver_query(struct resolver *r, struct vsock *v, const struct endpoint *server,
                    struct bytes message, pid_t pid, const char *exe);

#endif
