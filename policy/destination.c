/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The algebra of destination rules. An intersection of two rules is one rule, or nothing: the
 * narrower host and the common ports. A name and a prefix have no intersection that a rule could
 * say, so theirs is nothing, which errs on the side of less.
 *
 * One trap: an allow rule that names an address in full opens the built-in deny list for it, and a
 * wildcard does not. So `*` of the parent and a metadata address of the request must not become a
 * rule with that address. Such results are kept only if the parent's own rule would let the address
 * pass.
 */
#include "policy/destination.h"

#include <errno.h>
#include <string.h>

#include "policy/identity.h"
#include "policy/rule.h"

enum { DENY_LEN = 5, ALLOW_LEN = 6 }; /* "deny ", "allow " */

static bool is_deny(struct bytes text)
{
    return text.len > DENY_LEN && memcmp(text.data, "deny ", DENY_LEN) == 0;
}

static bool is_allow(struct bytes text)
{
    return text.len > ALLOW_LEN && memcmp(text.data, "allow ", ALLOW_LEN) == 0;
}

int identity_destination_check(struct bytes text, struct why *why)
{
    size_t skip = is_deny(text) ? DENY_LEN : ALLOW_LEN;
    struct rule rule;

    if (!is_deny(text) && !is_allow(text))
        return why_set(why, -EINVAL, "a destination is \"allow RULE\" or \"deny RULE\"");
    return rule_parse(bytes_of(text.data + skip, text.len - skip), &rule, why);
}

/** Whatever is not on the built-in list, which nothing but an exact rule opens. */
static int allow_all(struct policy *p, struct why *why)
{
    int err = policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str("*:*"), why);

    if (err == 0)
        err = policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str("udp://*:*"), why);
    if (err == 0)
        err = policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str("icmp://*"), why);
    return err;
}

static int add_destination(struct policy *p, const char *item, struct why *why)
{
    struct bytes text = bytes_of_str(item);
    bool deny = is_deny(text);
    size_t skip = deny ? DENY_LEN : ALLOW_LEN;
    int err = identity_destination_check(text, why);

    if (err < 0)
        return err;
    return policy_add_rule(p, deny ? POLICY_RULE_DENY : POLICY_RULE_ALLOW,
                           bytes_of(text.data + skip, text.len - skip), why);
}

int identity_policy(const struct nameset *destinations, enum identity_enforcement enforcement,
                    struct policy **ret, struct why *why)
{
    struct policy *p;
    int err = policy_new(enforcement == IDENTITY_AUDIT ? POLICY_AUDIT : POLICY_ENFORCE, &p);

    if (err < 0)
        return why_set(why, err, "out of memory");
    if (enforcement == IDENTITY_DISABLED)
        err = allow_all(p, why);
    else
        for (unsigned i = 0; i < destinations->count && err == 0; i++)
            err = add_destination(p, destinations->items[i], why);
    if (err < 0)
        policy_free(p);
    else
        *ret = p;
    return err;
}

static bool is_full_length(const struct rule *r)
{
    return r->host == RULE_PREFIX && r->prefix.bits == ip_len(&r->prefix.ip) * 8;
}

/** True when @name is below @suffix: it has labels before it. */
static bool is_below(const char *name, const char *suffix)
{
    size_t len = strlen(name);
    size_t suffix_len = strlen(suffix);

    return len > suffix_len + 1 && name[len - suffix_len - 1] == '.' &&
           strcmp(name + len - suffix_len, suffix) == 0;
}

/** The same for AF_UNIX sockets. */
static bool is_narrower_unix(const struct rule *a, const struct rule *b)
{
    size_t len = strlen(b->name);

    if (b->host == RULE_UNIX)
        return a->host == RULE_UNIX && strcmp(a->name, b->name) == 0;
    if (strncmp(a->name, b->name, len) != 0)
        return false;
    return a->host == RULE_UNIX_BELOW || (a->host == RULE_UNIX && a->name[len] != '\0');
}

/** True when every host of @a is one of @b. */
static bool is_narrower(const struct rule *a, const struct rule *b)
{
    if (b->host == RULE_ANY)
        return true;
    if (a->host == RULE_PREFIX && b->host == RULE_PREFIX)
        return a->prefix.bits >= b->prefix.bits && prefix_contains(&b->prefix, &a->prefix.ip);
    if (a->host == RULE_NAME && b->host == RULE_NAME)
        return strcmp(a->name, b->name) == 0;
    if (b->host == RULE_UNIX || b->host == RULE_UNIX_BELOW)
        return is_narrower_unix(a, b);
    if (b->host == RULE_SUFFIX && (a->host == RULE_NAME || a->host == RULE_SUFFIX))
        return is_below(a->name, b->name) ||
               (a->host == RULE_SUFFIX && strcmp(a->name, b->name) == 0);
    return false;
}

/** Does @rule alone let @dst pass? Asked of the judgement itself, built-in list included. */
static int lets_pass(const struct rule *rule, const struct rule *dst, bool *ret)
{
    struct policy_request req = {.proto = dst->proto,
                                 .dst = {.ip = dst->prefix.ip, .port = dst->port_min}};
    char text[POLICY_RULE_TEXT_MAX + 1];
    struct policy_answer answer;
    struct policy *p;
    int err = policy_new(POLICY_ENFORCE, &p);

    if (err < 0)
        return err;
    err = policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of(text, rule_print(rule, text)), NULL);
    if (err == 0)
        err = policy_decide(p, &req, &answer);
    policy_free(p);
    *ret = err == 0 && answer.verdict == VERDICT_ALLOW;
    return err;
}

/** The rule that both say, if there is one. */
static bool intersect_rules(const struct rule *parent, const struct rule *asked, struct rule *ret)
{
    if (parent->proto != asked->proto)
        return false;
    if (is_narrower(asked, parent))
        *ret = *asked;
    else if (is_narrower(parent, asked))
        *ret = *parent;
    else
        return false;
    ret->port_min = parent->port_min > asked->port_min ? parent->port_min : asked->port_min;
    ret->port_max = parent->port_max < asked->port_max ? parent->port_max : asked->port_max;
    return ret->port_min <= ret->port_max;
}

static int add_rule(const struct rule *rule, struct nameset *ret)
{
    char text[ALLOW_LEN + POLICY_RULE_TEXT_MAX + 1] = "allow ";
    size_t len = rule_print(rule, text + ALLOW_LEN);

    return nameset_add(ret, bytes_of(text, ALLOW_LEN + len));
}

static int add_pair(const struct rule *parent, const struct rule *asked, struct nameset *ret)
{
    struct rule both;
    bool passes = true;
    int err = 0;

    if (!intersect_rules(parent, asked, &both))
        return 0;
    if (is_full_length(&both) && !is_full_length(parent))
        err = lets_pass(parent, &both, &passes);
    if (err < 0 || !passes)
        return err;
    return add_rule(&both, ret);
}

static int add_denials(const struct nameset *from, struct nameset *ret)
{
    for (unsigned i = 0; i < from->count; i++) {
        struct bytes text = bytes_of_str(from->items[i]);
        int err = is_deny(text) ? nameset_add(ret, text) : 0;

        if (err < 0)
            return err;
    }
    return 0;
}

static int parse_allow(const char *text, bool *ret_is_allow, struct rule *ret)
{
    struct bytes all = bytes_of_str(text);

    *ret_is_allow = is_allow(all);
    if (!*ret_is_allow)
        return is_deny(all) ? 0 : -EINVAL;
    return rule_parse(bytes_of(all.data + ALLOW_LEN, all.len - ALLOW_LEN), ret, NULL);
}

/** All intersections of one allow rule of the request with the parent's. */
static int add_allowed(const struct nameset *parent, const struct rule *asked, struct nameset *ret)
{
    for (unsigned i = 0; i < parent->count; i++) {
        struct rule rule;
        bool is_one;
        int err = parse_allow(parent->items[i], &is_one, &rule);

        if (err == 0 && is_one)
            err = add_pair(&rule, asked, ret);
        if (err < 0)
            return err;
    }
    return 0;
}

int destination_intersect(const struct nameset *parent, const struct nameset *asked,
                          struct nameset *ret)
{
    int err = add_denials(parent, ret);

    if (err == 0)
        err = add_denials(asked, ret);
    for (unsigned i = 0; err == 0 && i < asked->count; i++) {
        struct rule rule;
        bool is_one;

        err = parse_allow(asked->items[i], &is_one, &rule);
        if (err == 0 && is_one)
            err = add_allowed(parent, &rule, ret);
    }
    return err;
}
