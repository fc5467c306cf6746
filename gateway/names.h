/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the gateway room: DNS for enrolled peers, on port 53 of our own address. A rule that
 * names a host means the addresses that our own answers gave it, so the gateway must be who
 * answers. Each question is asked anew from the host's name servers, with an id and a port of our
 * own (RFC 5452); of the answer only addresses are passed on.
 */
#ifndef GATEWAY_NAMES_H
#define GATEWAY_NAMES_H

#include "base/loop.h"
#include "base/rng.h"
#include "netstack/netstack.h"

#define NAMES_PORT         53u
#define NAMES_QUERIES_MAX  512u
#define NAMES_PER_PEER_MAX 32u
#define NAMES_SERVERS_MAX  3u /* MAXNS of resolv.conf(5) */
#define NAMES_TRIES        4u
#define NAMES_TRY_MS       1200

struct names;

struct names_config {
    struct loop *loop;              /* borrowed */
    const struct endpoint *servers; /* copied */
    unsigned server_count;
    /** May the peer ask for @name? Recorded by the owner. */
    bool (*may_ask)(void *self, const struct netstack_inbound *who, const char *name);
    /** @name has this address: remember it for the peer. False: it must not be told. */
    bool (*found)(void *self, const struct netstack_inbound *who, const char *name,
                  const struct dns_address *address);
    void (*reply)(void *self, const struct netstack_inbound *who, struct bytes message);
    void *self;
};

int names_new(const struct names_config *config, struct names **ret) MUST_USE;
/** names_ask() - A peer sent @message to our port 53. */
void names_ask(struct names *n, const struct netstack_inbound *who, struct bytes message);
/** names_forget() - The peer is gone: nothing more is answered. */
void names_forget(struct names *n, const uint8_t peer_key[static WG_KEY_LEN]);
/** names_free() - Accepts NULL. */
void names_free(struct names *n);

#endif
