/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the gateway room: terminate WireGuard tunnels without privilege, and carry their
 * peers' TCP connections and UDP exchanges to any destination that the gateway's own policy allows.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdbool.h>

#include "audit/audit.h"
#include "base/loop.h"
#include "base/must.h"
#include "base/why.h"
#include "netstack/netstack.h"
#include "policy/policy.h"

struct gateway;

struct gateway_config {
    struct loop *loop;           /* borrowed */
    const struct wg_conf *wg;    /* borrowed for the call */
    const struct policy *policy; /* borrowed */
    struct audit *audit;         /* borrowed; NULL: no records */
};

int gateway_new(const struct gateway_config *config, struct gateway **ret,
                struct why *why) MUST_USE;
/** gateway_port() - The UDP port that peers reach us on. */
uint16_t gateway_port(const struct gateway *g);
/** gateway_usage() - What is in use now; for metrics and leak checks. */
struct gateway_usage {
    struct netstack_usage stack;
    unsigned udp_exchanges;
    unsigned peers; /* that were seen */
};
void gateway_usage(const struct gateway *g, struct gateway_usage *ret);
/** gateway_free() - Ends every flow. Accepts NULL. */
void gateway_free(struct gateway *g);

#endif
