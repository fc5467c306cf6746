/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internet socket addresses as the agent writes and reads them: which family a socket takes, what
 * "any" means as a destination, and how an IPv6 socket shows an IPv4 peer. Pure.
 */
#ifndef SANDBOX_INET_H
#define SANDBOX_INET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/must.h"

#define INET_V6_LEN_MIN 24u /* sockaddr_in6 without its scope, RFC 2133; Linux takes it */

/**
 * inet_read() - The endpoint in the @len bytes that the agent gave as a socket address.
 * @is_v6: the socket is AF_INET6. IPv4-mapped addresses are unmapped; @ret_mapped says so.
 * Errors: as connect(2) and bind(2): -EINVAL too short; -EAFNOSUPPORT another family.
 */
int inet_read(const struct sockaddr_storage *raw, unsigned len, bool is_v6, struct endpoint *ret,
              bool *ret_mapped) MUST_USE;

/** inet_write() - @e as a socket of the family shows it; returns the length. */
unsigned inet_write(const struct endpoint *e, bool is_v6, struct sockaddr_storage *ret);

/** inet_destination() - Where a packet to @ip goes: the any address means loopback. */
struct ip inet_destination(const struct ip *ip);

/** inet_source() - Where a packet to @ip, an address of the sandbox itself, comes from: the same
 * address, but all of 127.0.0.0/8 is spoken to from 127.0.0.1. */
struct ip inet_source(const struct ip *ip);

bool inet_is_multicast(const struct ip *ip);
bool inet_is_broadcast(const struct ip *ip); /* 255.255.255.255 */
/** inet_is_lo_broadcast() - 127.255.255.255, lo's: only with SO_BROADCAST, and not for TCP. */
bool inet_is_lo_broadcast(const struct ip *ip);
bool inet_is_link_local(const struct ip *ip);
/** inet_is_of_link() - An IPv6 address that means something on one link only: sin6_scope_id says on
 * which. */
bool inet_is_of_link(const struct sockaddr_storage *raw);
/** inet_lacks_scope() - Such an address that does not say so. */
bool inet_lacks_scope(const struct sockaddr_storage *raw);

#endif
