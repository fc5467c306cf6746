/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in deny list: destinations that give away credentials or reach the host itself, and
 * that no wildcard or name should open. Only a rule that names the very address does.
 */
#include "policy/judged.h"

#define V4(a, b, c, d, len)                                                                        \
    {                                                                                              \
        .ip = {.family = IP_V4, .bytes = {a, b, c, d}}, .bits = (len)                              \
    }
#define V6(len, ...)                                                                               \
    {                                                                                              \
        .ip = {.family = IP_V6, .bytes = {__VA_ARGS__}}, .bits = (len)                             \
    }

struct builtin {
    struct prefix prefix;
    const char *name;
};

static const struct builtin builtins[] = {
    {V4(0, 0, 0, 0, 8), "this host"}, /* Linux takes 0.0.0.0 for loopback */
    {V4(127, 0, 0, 0, 8), "the host's loopback"},
    {V4(169, 254, 0, 0, 16), "link-local or metadata service"}, /* most clouds: 169.254.169.254 */
    {V4(100, 100, 100, 200, 32), "metadata service"},           /* Alibaba */
    {V4(168, 63, 129, 16, 32), "metadata service"},             /* Azure */
    {V4(224, 0, 0, 0, 4), "multicast"},
    {V4(255, 255, 255, 255, 32), "broadcast"},
    {V6(128, 0), "this host"},
    {V6(128, [15] = 1), "the host's loopback"},
    {V6(10, 0xfe, 0x80), "link-local"},
    {V6(8, 0xff), "multicast"},
    {V6(128, 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54), "metadata service"}, /* AWS */
    {V6(128, 0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23), "metadata service"}, /* AWS, pods of EKS */
    {V6(128, 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54), "metadata service"}, /* Google */
    {V6(128, 0xfd, 0x00, 0x00, 0xc1, [12] = 0xa9, [13] = 0xfe, [14] = 0xa9, [15] = 0xfe),
     "metadata service"}, /* Oracle */
};

const char *builtin_name(const struct ip *ip)
{
    for (unsigned i = 0; i < ARRAY_COUNT(builtins); i++)
        if (prefix_contains(&builtins[i].prefix, ip))
            return builtins[i].name;
    return NULL;
}
