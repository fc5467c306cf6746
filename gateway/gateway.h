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
    bool verbose;
};

int gateway_new(const struct gateway_config *config, struct gateway **ret,
                struct why *why) MUST_USE;
/** gateway_port() - The UDP port that peers reach us on. */
uint16_t gateway_port(const struct gateway *g);
void gateway_free(struct gateway *g);

#endif
