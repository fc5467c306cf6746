/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network interfaces that the sandbox has: `lo` and, when there is a way out, one more. Pure.
 */
#ifndef SANDBOX_INTERFACES_H
#define SANDBOX_INTERFACES_H

#include "base/addr.h"

#define INTERFACE_LO_INDEX  1
#define INTERFACE_OUT_INDEX 2
#define INTERFACE_MTU       1420

struct interface {
    int index;
    const char *name;
    unsigned flags; /* IFF_… */
    unsigned mtu;
    unsigned short hardware; /* ARPHRD_… */
    struct ip v4;            /* IP_NONE: none */
    struct ip v6;
    uint8_t v4_bits;
    uint8_t v6_bits;
};

/** interfaces_list() - Fill in the interfaces for these addresses; returns how many, 1 or 2. */
unsigned interfaces_list(const struct ip *v4, const struct ip *v6, struct interface ret[static 2]);

#endif
