/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rule as a value: which protocol, which hosts, which ports. The grammar stands at
 * policy_add_rule(); rule_print() writes the canonical text, which parses to the same value.
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include "policy/hostname.h"
#include "policy/policy.h"

enum rule_host {
    RULE_ANY = 0,    /* `*` */
    RULE_PREFIX,     /* an address or prefix; IPv4-mapped ones are kept as IPv4 */
    RULE_NAME,       /* exactly this name */
    RULE_SUFFIX,     /* `*.name`: one or more labels before it */
    RULE_UNIX,       /* exactly this AF_UNIX socket */
    RULE_UNIX_BELOW, /* `…*`: every one whose name goes on behind this */
};

struct rule {
    enum policy_proto proto;
    enum rule_host host;
    struct prefix prefix;               /* RULE_PREFIX */
    char name[POLICY_HOSTNAME_MAX + 1]; /* RULE_NAME, RULE_SUFFIX (without "*."), RULE_UNIX,
                                           RULE_UNIX_BELOW (without "*"); canonical */
    uint16_t port_min; /* `*` is 0..65535, and so is a rule without ports (icmp, unix) */
    uint16_t port_max;
};

/** rule_parse() - @why also gets the column in @text (why->column, 1-based). */
int rule_parse(struct bytes text, struct rule *ret, struct why *why) MUST_USE;

/** The parts of a rule, for rules written as objects. An IPv6 address may stand without brackets.
 */
int rule_parse_host(struct bytes text, struct rule *ret, struct fault *fault) MUST_USE;
int rule_parse_ports(struct bytes text, struct rule *ret, struct fault *fault) MUST_USE;

/** rule_print() - The canonical text; returns its length. */
size_t rule_print(const struct rule *r, char ret[static POLICY_RULE_TEXT_MAX + 1]);

#endif
