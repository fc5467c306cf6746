/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a gateway that follows latticed finds out for itself: its keys, and where agents reach it.
 */
#ifndef CMD_GATEWAY_CONF_H
#define CMD_GATEWAY_CONF_H

#include "enroll/enroll.h"
#include "gateway/gateway.h"
#include "netstack/netstack.h"

/** gateway_conf_own() - Read gateway.conf of the configuration directory, which is made, with a
 * fresh key, when there is none. */
int gateway_conf_own(struct wg_conf *ret, struct why *why) MUST_USE;

/** gateway_endpoint() - Where agents reach UDP @port of this host: @said (ADDRESS or ADDRESS:PORT),
 * or, when that is NULL, the address from which latticed is reached. */
int gateway_endpoint(const struct enroll_server *server, const char *said, uint16_t port,
                     struct endpoint *ret, struct why *why) MUST_USE;

/** gateway_dns_parse() - ADDRESS or ADDRESS:PORT of a name server. */
bool gateway_dns_parse(const char *text, struct endpoint *ret);
/** gateway_dns_of_host() - The name servers of /etc/resolv.conf; returns how many. */
unsigned gateway_dns_of_host(struct endpoint ret[static GATEWAY_DNS_MAX]);

#endif
