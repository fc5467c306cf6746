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

#define GATEWAY_DNS_MAX 3u

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

/** A peer that the control plane vouches for. */
struct gateway_peer {
    uint8_t public_key[WG_KEY_LEN];
    struct ip address; /* inside the tunnel; it may send from nothing else */
    char name[64];     /* of the agent, for records */
    char ns[64];
    int64_t expires_s;     /* seconds since 1970 UTC: then it is removed; INT64_MAX: never */
    struct policy *policy; /* what it may reach, and nothing that the gateway's own policy forbids,
                              if that has rules; taken on success */
};
/** gateway_peer_set() - Let the peer in, or hold it to its new policy: what that does not allow is
 * cut. Errors: -EINVAL, -ENOSPC, -ENOMEM; nothing has changed then, but a peer that was known is
 * gone. */
int gateway_peer_set(struct gateway *g, const struct gateway_peer *peer) MUST_USE;
/** gateway_peer_remove() - Cut everything that the peer has open, and know its key no more.
 * -ENOENT. */
int gateway_peer_remove(struct gateway *g, const uint8_t public_key[static WG_KEY_LEN]);

struct enroll;
/** How a gateway and latticed belong together. All borrowed. */
struct gateway_following {
    struct enroll *peers; /* whom to take the peers from */
    struct enroll *desk;  /* where peers' connections to our own address lead; NULL: nowhere */
    const struct endpoint *dns; /* name servers to ask for the peers, at most GATEWAY_DNS_MAX;
                                   borrowed for the call */
    unsigned dns_count;
    void (*lost)(void *self); /* nobody follows any more */
    void *self;
};
/** gateway_follow() - Take the peers from latticed from now on. */
int gateway_follow(struct gateway *g, const struct gateway_following *following) MUST_USE;

/** gateway_free() - Ends every flow. Accepts NULL. */
void gateway_free(struct gateway *g);

#endif
