/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses a destination may come to mean, and which of them nobody reaches by accident.
 */
#ifndef POLICY_JUDGED_H
#define POLICY_JUDGED_H

#include "policy/policy.h"

#define EMBEDDED_MAX 6u

/** embedded_v4() - IPv4 addresses that a router or the kernel may take out of the IPv6 address @ip.
 * Returns how many; none for an IPv4 address. IPv4-mapped ones are expected to be unmapped already.
 */
unsigned embedded_v4(const struct ip *ip, struct ip ret[static EMBEDDED_MAX]);

/** builtin_name() - What the built-in deny list calls @ip ("metadata service", …); NULL: not on it.
 */
const char *builtin_name(const struct ip *ip);

#endif
