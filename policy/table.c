/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash table of hosts. Addresses are looked up once per prefix length that occurs, longest
 * first; names are hashed from their end, so one pass over a name gives the hashes of all its
 * suffixes. Rules come from the operator, so nobody can choose keys that collide on purpose.
 */
#include "policy/table.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t hash_ip(const uint8_t ip[static 16], unsigned bits)
{
    return mix(mix(load_be64(ip)) ^ load_be64(ip + 8) ^ bits);
}

/** One more byte, to the left of those that are in @h already. */
static uint64_t hash_left(uint64_t h, char c)
{
    return (h ^ (uint8_t)c) * UINT64_C(0x100000001b3);
}

#define HASH_EMPTY UINT64_C(0xcbf29ce484222325)

static uint64_t hash_name(const char *name)
{
    uint64_t h = HASH_EMPTY;

    for (size_t i = strlen(name); i > 0; i--)
        h = hash_left(h, name[i - 1]);
    return h;
}

static uint64_t hash_kind(uint64_t h, enum host_kind kind)
{
    return mix(h + kind);
}

static void mask_ip(uint8_t ip[static 16], unsigned bits)
{
    unsigned whole = bits / 8;

    if (whole == 16)
        return;
    ip[whole] = (uint8_t)(ip[whole] & ~(0xffu >> bits % 8));
    memset(ip + whole + 1, 0, 16 - whole - 1);
}

/* Ports */

const struct segment *segments_find(const struct segments *s, uint16_t port)
{
    uint32_t low = 0;
    uint32_t high = s->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (s->list[middle].max < port)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->count && s->list[low].min <= port ? &s->list[low] : NULL;
}

/** Does @a have the port where both cover it? The narrower rule has; of equals, the one that begins
 * lower; of two with the same ports (the same rule twice), the one that was there. */
static bool is_preferred(const struct segment *a, const struct segment *b)
{
    int width_a = a->rule_max - a->rule_min;
    int width_b = b->rule_max - b->rule_min;

    return width_a < width_b || (width_a == width_b && a->rule_min < b->rule_min);
}

static int segments_reserve(struct segments *s, uint32_t count)
{
    uint32_t cap = s->cap > 0 ? s->cap : 1;
    struct segment *grown;

    if (count <= s->cap)
        return 0;
    while (cap < count)
        cap *= 2;
    grown = reallocarray(s->list, cap, sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    s->list = grown;
    s->cap = cap;
    return 0;
}

static void append(struct segments *s, const struct segment *owner, unsigned min, unsigned max)
{
    struct segment piece = *owner;
    struct segment *last = s->count > 0 ? &s->list[s->count - 1] : NULL;

    if (min > max)
        return;
    if (last != NULL && last->rule == owner->rule && last->max + 1u == min) {
        last->max = (uint16_t)max;
        return;
    }
    must(s->count < s->cap);
    piece.min = (uint16_t)min;
    piece.max = (uint16_t)max;
    s->list[s->count++] = piece;
}

/** Lay @fresh over the runs of @s and write the result to @out, which has room. */
static void overlay(const struct segments *s, const struct segment *fresh, struct segments *out)
{
    unsigned next = fresh->min; /* first port of @fresh that is not written yet */

    for (uint32_t i = 0; i < s->count; i++) {
        const struct segment *old = &s->list[i];
        unsigned low = old->min > fresh->min ? old->min : fresh->min;
        unsigned high = old->max < fresh->max ? old->max : fresh->max;

        if (old->min > next && next <= fresh->max) {
            append(out, fresh, next, old->min - 1u < fresh->max ? old->min - 1u : fresh->max);
            next = old->min;
        }
        if (low > high) { /* apart */
            append(out, old, old->min, old->max);
            continue;
        }
        if (old->min < low)
            append(out, old, old->min, low - 1);
        append(out, is_preferred(fresh, old) ? fresh : old, low, high);
        if (old->max > high)
            append(out, old, high + 1, old->max);
        next = high + 1;
    }
    append(out, fresh, next, fresh->max);
}

static int segments_add(struct segments *s, const struct rule *rule, uint32_t number)
{
    struct segment fresh = {.min = rule->port_min,
                            .max = rule->port_max,
                            .rule_min = rule->port_min,
                            .rule_max = rule->port_max,
                            .rule = number};
    struct segments out = {0};

    if (s->count == 0 || s->list[s->count - 1].max < fresh.min) {
        if (segments_reserve(s, s->count + 1) < 0)
            return -ENOMEM;
        s->list[s->count++] = fresh;
        return 0;
    }
    /* Every old run may be cut twice, and every gap may get a piece. */
    if (segments_reserve(&out, 2 * s->count + 3) < 0)
        return -ENOMEM;
    overlay(s, &fresh, &out);
    free(s->list);
    *s = out;
    return 0;
}

/* Hosts */

static bool is_host(const struct host *h, enum host_kind kind, const uint8_t *ip, unsigned bits,
                    const char *name)
{
    if (h->kind != kind)
        return false;
    if (kind == HOST_NAME || kind == HOST_SUFFIX)
        return strcmp(h->name, name) == 0;
    return h->bits == bits && memcmp(h->ip, ip, 16) == 0;
}

/** Look for a host; NULL when it is not there. @ip is masked to @bits. */
static struct host *find_host(const struct table *t, uint64_t hash, enum host_kind kind,
                              const uint8_t *ip, unsigned bits, const char *name)
{
    uint32_t mask = t->slot_count - 1;

    if (t->slot_count == 0)
        return NULL;
    for (uint32_t i = (uint32_t)hash & mask; t->slots[i] != 0; i = (i + 1) & mask) {
        struct host *h = &t->hosts[t->slots[i] - 1];

        if (h->hash == hash && is_host(h, kind, ip, bits, name))
            return h;
    }
    return NULL;
}

static void place_host(struct table *t, uint32_t number)
{
    uint32_t mask = t->slot_count - 1;
    uint32_t i = (uint32_t)t->hosts[number].hash & mask;

    while (t->slots[i] != 0)
        i = (i + 1) & mask;
    t->slots[i] = number + 1;
}

/** Room for one more host, with at most half of the slots taken. */
static int grow_hosts(struct table *t)
{
    uint32_t cap = t->host_cap > 0 ? t->host_cap * 2 : 4;
    struct host *hosts;
    uint32_t *slots;

    if (t->host_count < t->host_cap)
        return 0;
    hosts = reallocarray(t->hosts, cap, sizeof(*hosts));
    if (hosts == NULL)
        return -ENOMEM;
    t->hosts = hosts;
    slots = calloc((size_t)cap * 2, sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    free(t->slots);
    t->slots = slots;
    t->slot_count = cap * 2;
    t->host_cap = cap;
    for (uint32_t i = 0; i < t->host_count; i++)
        place_host(t, i);
    return 0;
}

static unsigned family_idx(enum host_kind kind)
{
    return kind == HOST_V6;
}

static enum host_kind kind_of_ip(const struct ip *ip)
{
    return ip->family == IP_V6 ? HOST_V6 : HOST_V4;
}

/** The host that @rule names, made when it is new; NULL: no memory. */
static struct host *need_host(struct table *t, const struct rule *rule)
{
    bool is_name = rule->host != RULE_PREFIX;
    struct host fresh = {.bits = rule->prefix.bits};
    enum host_kind kind = rule->host == RULE_NAME     ? HOST_NAME
                          : rule->host == RULE_SUFFIX ? HOST_SUFFIX
                                                      : kind_of_ip(&rule->prefix.ip);
    struct host *found;

    fresh.kind = (uint8_t)kind;
    memcpy(fresh.ip, rule->prefix.ip.bytes, sizeof(fresh.ip));
    fresh.hash = hash_kind(is_name ? hash_name(rule->name) : hash_ip(fresh.ip, fresh.bits), kind);
    found = find_host(t, fresh.hash, kind, fresh.ip, fresh.bits, rule->name);
    if (found != NULL)
        return found;
    if (grow_hosts(t) < 0 || (is_name && (fresh.name = strdup(rule->name)) == NULL))
        return NULL;
    if (is_name)
        t->name_count++;
    else
        t->lengths[family_idx(kind)][fresh.bits / 64] |= UINT64_C(1) << fresh.bits % 64;
    t->hosts[t->host_count] = fresh;
    place_host(t, t->host_count);
    return &t->hosts[t->host_count++];
}

int table_add(struct table *t, const struct rule *rule, uint32_t number)
{
    struct host *host;

    if (rule->host == RULE_ANY)
        return segments_add(&t->any, rule, number);
    if (rule->host != RULE_PREFIX && segments_add(&t->named, rule, number) < 0)
        return -ENOMEM;
    host = need_host(t, rule);
    return host != NULL ? segments_add(&host->ports, rule, number) : -ENOMEM;
}

void table_done(struct table *t)
{
    for (uint32_t i = 0; i < t->host_count; i++) {
        free(t->hosts[i].name);
        free(t->hosts[i].ports.list);
    }
    free(t->hosts);
    free(t->slots);
    free(t->any.list);
    free(t->named.list);
    *t = (struct table){0};
}

/* Look-ups */

static bool has_port(const struct segments *s, uint16_t port, uint32_t *ret)
{
    const struct segment *found = segments_find(s, port);

    if (found == NULL)
        return false;
    *ret = found->rule;
    return true;
}

static bool find_prefix(const struct table *t, enum host_kind kind, const uint8_t ip[static 16],
                        unsigned bits, uint16_t port, uint32_t *ret)
{
    const struct host *h = find_host(t, hash_kind(hash_ip(ip, bits), kind), kind, ip, bits, NULL);

    return h != NULL && has_port(&h->ports, port, ret);
}

bool table_find_ip(const struct table *t, const struct ip *ip, uint16_t port, uint32_t *ret)
{
    enum host_kind kind = kind_of_ip(ip);
    uint8_t masked[16];

    memcpy(masked, ip->bytes, sizeof(masked));
    for (unsigned word = 3; word-- > 0;) {
        uint64_t lengths = t->lengths[family_idx(kind)][word];

        while (lengths != 0) {
            unsigned bits = 63 - (unsigned)__builtin_clzll(lengths);

            lengths ^= UINT64_C(1) << bits;
            mask_ip(masked, word * 64 + bits);
            if (find_prefix(t, kind, masked, word * 64 + bits, port, ret))
                return true;
        }
    }
    return false;
}

bool table_find_exact(const struct table *t, const struct ip *ip, uint16_t port, uint32_t *ret)
{
    return find_prefix(t, kind_of_ip(ip), ip->bytes, ip_len(ip) * 8, port, ret);
}

bool table_find_any(const struct table *t, uint16_t port, uint32_t *ret)
{
    return has_port(&t->any, port, ret);
}

bool table_has_named(const struct table *t, uint16_t port)
{
    return segments_find(&t->named, port) != NULL;
}

/** The hosts that cover @name: all of them in @ret, most specific last; returns how many. */
static unsigned find_names(const struct table *t, const char *name,
                           const struct host *ret[static NAME_LISTS_MAX])
{
    uint64_t h = HASH_EMPTY;
    unsigned count = 0;

    if (t->name_count == 0)
        return 0;
    for (size_t i = strlen(name); i > 0; i--) {
        const struct host *found = NULL;

        /* Before the dot is taken in, h is the hash of what stands behind it. */
        if (name[i - 1] == '.')
            found = find_host(t, hash_kind(h, HOST_SUFFIX), HOST_SUFFIX, NULL, 0, name + i);
        if (found != NULL && count < NAME_LISTS_MAX)
            ret[count++] = found;
        h = hash_left(h, name[i - 1]);
    }
    ret[count] = find_host(t, hash_kind(h, HOST_NAME), HOST_NAME, NULL, 0, name);
    return ret[count] != NULL ? count + 1 : count;
}

bool table_find_name(const struct table *t, const char *name, uint16_t port, uint32_t *ret)
{
    const struct host *hosts[NAME_LISTS_MAX];
    unsigned count = find_names(t, name, hosts);

    while (count-- > 0)
        if (has_port(&hosts[count]->ports, port, ret))
            return true;
    return false;
}

unsigned table_name_lists(const struct table *t, const char *name, bool with_zero_prefixes,
                          const struct segments *ret[static NAME_LISTS_MAX])
{
    static const uint8_t zero[16];
    const struct host *hosts[NAME_LISTS_MAX];
    unsigned found = find_names(t, name, hosts);
    unsigned count = 0;

    while (found-- > 0)
        ret[count++] = &hosts[found]->ports;
    ret[count++] = &t->any;
    for (unsigned i = 0; with_zero_prefixes && i < 2; i++) {
        enum host_kind kind = i == 0 ? HOST_V4 : HOST_V6;
        const struct host *h = find_host(t, hash_kind(hash_ip(zero, 0), kind), kind, zero, 0, NULL);

        if (h != NULL)
            ret[count++] = &h->ports;
    }
    return count;
}
