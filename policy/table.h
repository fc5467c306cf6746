/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled form of one list of rules (one action, one protocol): hosts in a hash table, each
 * with the ports that rules name for it. It answers "which rule covers this host and port", the
 * most specific one, so the answer depends neither on the order of the rules nor much on their
 * number.
 */
#ifndef POLICY_TABLE_H
#define POLICY_TABLE_H

#include "policy/rule.h"

/** A run of ports that one rule covers. */
struct segment {
    uint16_t min;
    uint16_t max;
    uint16_t rule_min; /* the rule's own ports, of which this may be a piece */
    uint16_t rule_max;
    uint32_t rule; /* number of the rule in the policy */
};

/** Runs of ports without overlap, in rising order; where rules overlap, the narrowest one has it.
 */
struct segments {
    struct segment *list; /* owned */
    uint32_t count;
    uint32_t cap;
};

enum host_kind { HOST_V4, HOST_V6, HOST_NAME, HOST_SUFFIX };

struct host {
    uint64_t hash;
    uint8_t kind;   /* enum host_kind */
    uint8_t bits;   /* addresses: length of the prefix */
    uint8_t ip[16]; /* addresses: the prefix */
    char *name;     /* names: owned, canonical */
    struct segments ports;
};

struct table {
    struct host *hosts; /* owned */
    uint32_t host_count;
    uint32_t host_cap;
    uint32_t *slots;        /* owned; open addressing: number of the host plus 1, 0 is free */
    uint32_t slot_count;    /* power of two, or 0 */
    uint64_t lengths[2][3]; /* per family: which prefix lengths occur */
    uint32_t name_count;    /* hosts of HOST_NAME and HOST_SUFFIX */
    struct segments any;    /* rules for `*` */
    struct segments named;  /* union over all rules with names */
};

void table_done(struct table *t);
/** table_add() - Add @rule, which has @number. -ENOMEM: the table may hold a part of the rule and
 * must not be used any more. */
int table_add(struct table *t, const struct rule *rule, uint32_t number) MUST_USE;

/** Each finds the most specific rule; false: there is none. */
bool table_find_ip(const struct table *t, const struct ip *ip, uint16_t port, uint32_t *ret);
bool table_find_name(const struct table *t, const char *name, uint16_t port, uint32_t *ret);
bool table_find_any(const struct table *t, uint16_t port, uint32_t *ret);
/** table_find_exact() - Only rules whose prefix is this very address. */
bool table_find_exact(const struct table *t, const struct ip *ip, uint16_t port, uint32_t *ret);
/** table_has_named() - True when some rule with a name has @port, whatever the name. */
bool table_has_named(const struct table *t, uint16_t port);

/** Most lists of ports that can apply to one name: itself, each suffix, `*`, and both families' /0.
 */
#define NAME_LISTS_MAX 132u
/** table_name_lists() - All lists of ports that apply to @name whatever its address; returns how
 * many.
 * @with_zero_prefixes: also those of 0.0.0.0/0 and ::/0. */
unsigned table_name_lists(const struct table *t, const char *name, bool with_zero_prefixes,
                          const struct segments *ret[static NAME_LISTS_MAX]);

/** segments_find() - The run that has @port, or NULL. */
const struct segment *segments_find(const struct segments *s, uint16_t port);

#endif
