/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A path-compressed binary trie per address family. It stores prefixes and owners, nothing about
 * peers.
 *
 * Theory: a node stands for a prefix. A child's prefix extends its parent's, and the bit behind the
 * parent's prefix says which child it is. A node without owner is a fork and has two children; when
 * an owner leaves, a node that is no fork any more is taken out, so there are never more than twice
 * as many nodes as prefixes. Nodes live in one array and name each other by number, which keeps
 * them small and lets the array move when it grows.
 *
 *         10.0.0.0/8 (A)
 *        /bit 8 = 0     \bit 8 = 1
 *   10.1.0.0/16 (B)    10.128.0.0/9 (C)
 */
#include "netstack/wg/allowedips.h"

#include <errno.h>
#include <stdlib.h>

#define NODES_FIRST 16u

struct allowedips_node {
    uint8_t bytes[16];
    uint8_t bits;
    uint32_t owner;    /* ALLOWEDIPS_NOBODY: a fork */
    uint32_t child[2]; /* 0: none; child[0] chains free nodes */
};

static unsigned family_of(const struct ip *ip)
{
    return ip->family == IP_V4 ? 0 : 1;
}

static unsigned bit_at(const uint8_t *bytes, unsigned bit)
{
    return (unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1u;
}

/** How many leading bits @a and @b share, at most @max. */
static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned max)
{
    unsigned bits = 0;

    while (bits + 8 <= max && a[bits / 8] == b[bits / 8])
        bits += 8;
    while (bits < max && bit_at(a, bits) == bit_at(b, bits))
        bits++;
    return bits;
}

/** Room for @count more nodes, so that node_new() cannot fail. */
static int nodes_reserve(struct allowedips *a, uint32_t count)
{
    uint32_t cap = a->node_cap > 0 ? a->node_cap : NODES_FIRST;
    struct allowedips_node *nodes;

    while (cap - a->node_count < count + 1)
        cap *= 2;
    if (cap == a->node_cap)
        return 0;
    if (cap > ALLOWEDIPS_NODES_MAX)
        return -ENOMEM;
    nodes = realloc(a->nodes, cap * sizeof(*nodes));
    if (nodes == NULL)
        return -ENOMEM;
    a->nodes = nodes;
    a->node_cap = cap;
    if (a->node_count == 0)
        a->node_count = 1; /* number 0 means none */
    return 0;
}

/** A node for the first @bits bits of @bytes. */
static uint32_t node_new(struct allowedips *a, const uint8_t bytes[static 16], unsigned bits,
                         uint32_t owner)
{
    uint32_t n = a->free_node;
    struct allowedips_node *node;

    if (n != 0)
        a->free_node = a->nodes[n].child[0];
    else
        n = a->node_count++;
    node = &a->nodes[n];
    *node = (struct allowedips_node){.bits = (uint8_t)bits, .owner = owner};
    memcpy(node->bytes, bytes, (bits + 7) / 8);
    if (bits % 8 != 0)
        node->bytes[bits / 8] &= (uint8_t)(0xff00u >> (bits % 8));
    return n;
}

static void node_free(struct allowedips *a, uint32_t n)
{
    a->nodes[n] = (struct allowedips_node){.owner = ALLOWEDIPS_NOBODY, .child = {a->free_node}};
    a->free_node = n;
}

int wg_allowedips_set(struct allowedips *a, const struct prefix *prefix, uint32_t owner)
{
    const uint8_t *bytes = prefix->ip.bytes;
    uint32_t *slot = &a->roots[family_of(&prefix->ip)];
    struct allowedips_node *node = NULL;
    unsigned common = 0;
    uint32_t added;

    if (nodes_reserve(a, 2) < 0)
        return -ENOMEM;
    while (*slot != 0) {
        node = &a->nodes[*slot];
        common =
            common_bits(node->bytes, bytes, node->bits < prefix->bits ? node->bits : prefix->bits);
        if (common < node->bits || common == prefix->bits)
            break;
        slot = &node->child[bit_at(bytes, node->bits)];
    }
    if (*slot != 0 && common == node->bits && common == prefix->bits) {
        node->owner = owner;
        return 0;
    }
    added = node_new(a, bytes, prefix->bits, owner);
    if (*slot == 0) {
        *slot = added;
    } else if (common == prefix->bits) { /* the new prefix holds the node's */
        a->nodes[added].child[bit_at(node->bytes, common)] = *slot;
        *slot = added;
    } else { /* they part at bit `common` */
        uint32_t fork = node_new(a, bytes, common, ALLOWEDIPS_NOBODY);

        a->nodes[fork].child[bit_at(bytes, common)] = added;
        a->nodes[fork].child[bit_at(node->bytes, common)] = *slot;
        *slot = fork;
    }
    return 0;
}

/** Take the node in @slot out if it is neither owned nor a fork. */
static void node_settle(struct allowedips *a, uint32_t *slot)
{
    uint32_t n = *slot;
    const struct allowedips_node *node = &a->nodes[n];

    if (node->owner != ALLOWEDIPS_NOBODY || (node->child[0] != 0 && node->child[1] != 0))
        return;
    *slot = node->child[0] != 0 ? node->child[0] : node->child[1];
    node_free(a, n);
}

void wg_allowedips_unset(struct allowedips *a, const struct prefix *prefix, uint32_t owner)
{
    const uint8_t *bytes = prefix->ip.bytes;
    uint32_t *slot = &a->roots[family_of(&prefix->ip)];
    uint32_t *parent = NULL;

    while (*slot != 0 && a->nodes[*slot].bits < prefix->bits) {
        parent = slot;
        slot = &a->nodes[*slot].child[bit_at(bytes, a->nodes[*slot].bits)];
    }
    if (*slot == 0 || a->nodes[*slot].bits != prefix->bits || a->nodes[*slot].owner != owner ||
        common_bits(a->nodes[*slot].bytes, bytes, prefix->bits) != prefix->bits)
        return;
    a->nodes[*slot].owner = ALLOWEDIPS_NOBODY;
    node_settle(a, slot);
    if (parent != NULL)
        node_settle(a, parent);
}

uint32_t wg_allowedips_find(const struct allowedips *a, const struct ip *ip)
{
    unsigned bits_max = ip_len(ip) * 8;
    uint32_t owner = ALLOWEDIPS_NOBODY;
    uint32_t n = a->roots[family_of(ip)];

    while (n != 0) {
        const struct allowedips_node *node = &a->nodes[n];

        if (common_bits(node->bytes, ip->bytes, node->bits) != node->bits)
            break;
        if (node->owner != ALLOWEDIPS_NOBODY)
            owner = node->owner;
        if (node->bits == bits_max)
            break;
        n = node->child[bit_at(ip->bytes, node->bits)];
    }
    return owner;
}

void wg_allowedips_done(struct allowedips *a)
{
    free(a->nodes);
    *a = (struct allowedips){0};
}
