/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rtnetlink and SIOCGIF* report. The host's own interfaces are never among it.
 */
#include "sandbox/interfaces.h"

#include <net/if.h>
#include <net/if_arp.h>

unsigned interfaces_list(const struct ip *v4, const struct ip *v6, struct interface ret[static 2])
{
    struct ip one = ip_any(IP_V6);

    one.bytes[15] = 1;
    ret[0] = (struct interface){
        .index = INTERFACE_LO_INDEX,
        .name = "lo",
        .flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING,
        .mtu = 65536,
        .hardware = ARPHRD_LOOPBACK,
        .v4 = ip_v4(127, 0, 0, 1),
        .v4_bits = 8,
        .v6 = one,
        .v6_bits = 128,
    };
    if (v4->family == IP_NONE && v6->family == IP_NONE)
        return 1;
    ret[1] = (struct interface){
        .index = INTERFACE_OUT_INDEX,
        .name = "lat0",
        .flags = IFF_UP | IFF_POINTOPOINT | IFF_RUNNING | IFF_NOARP,
        .mtu = INTERFACE_MTU,
        .hardware = ARPHRD_NONE,
        .v4 = *v4,
        .v4_bits = 32,
        .v6 = *v6,
        .v6_bits = 128,
    };
    return 2;
}
