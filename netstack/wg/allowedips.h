/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which peer has an inner address: longest prefix wins (paper section 2, cryptokey routing). One
 * table serves both directions: destination of what goes out, source of what comes in.
 */
#ifndef NETSTACK_WG_ALLOWEDIPS_H
#define NETSTACK_WG_ALLOWEDIPS_H

#include "base/addr.h"
#include "base/must.h"

#define ALLOWEDIPS_NOBODY    UINT32_MAX
#define ALLOWEDIPS_NODES_MAX (1u << 28) /* node numbers fit a uint32_t with room to double */

struct allowedips_node; /* private */

/** Zero-initialised: empty. wg_allowedips_done() frees. */
struct allowedips {
    struct allowedips_node *nodes; /* owned; node 0 is never used */
    uint32_t node_count;           /* in use or once used */
    uint32_t node_cap;
    uint32_t free_node; /* head of the list of nodes to use again, 0: none */
    uint32_t roots[2];  /* IPv4, IPv6; 0: empty */
};

/** wg_allowedips_set() - @prefix belongs to @owner from now on; a previous owner loses it (as `wg
 * set` does). Bits behind the prefix are ignored. Errors: -ENOMEM, and nothing changed. */
int wg_allowedips_set(struct allowedips *a, const struct prefix *prefix, uint32_t owner) MUST_USE;
/** wg_allowedips_unset() - @prefix belongs to nobody, if it belonged to @owner. */
void wg_allowedips_unset(struct allowedips *a, const struct prefix *prefix, uint32_t owner);
/** wg_allowedips_find() - Owner of the longest prefix that holds @ip, or ALLOWEDIPS_NOBODY. */
uint32_t wg_allowedips_find(const struct allowedips *a, const struct ip *ip);
void wg_allowedips_done(struct allowedips *a);

#endif
