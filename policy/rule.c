/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of rules. What could be read in two ways is refused with the column and the spelling
 * that is meant: an IPv6 address without brackets, odd spellings of IPv4, a missing port, a prefix
 * with bits behind its length.
 */
#include "policy/rule.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "policy/unix_name.h"

#define UNIX_SCHEME "unix:"
#define MAPPED_BITS 96u /* ::ffff:0:0/96, RFC 4291 2.5.5.2 */

static struct bytes from(struct bytes text, size_t at)
{
    return bytes_of(text.data + at, text.len - at);
}

static bool starts_with(struct bytes text, const char *word)
{
    size_t len = strlen(word);

    return text.len >= len && memcmp(text.data, word, len) == 0;
}

static bool starts_with_any_case(struct bytes text, const char *word)
{
    size_t len = strlen(word);

    return text.len >= len && strncasecmp((const char *)text.data, word, len) == 0;
}

/** Offset of @c in @text, or its length. */
static size_t offset_of(struct bytes text, char c)
{
    const uint8_t *at = text.len > 0 ? memchr(text.data, c, text.len) : NULL;

    return at != NULL ? (size_t)(at - text.data) : text.len;
}

/** A mapped prefix means IPv4: requests are unmapped before they are judged. */
static struct prefix unmap_prefix(struct prefix p)
{
    struct ip plain = ip_unmap(&p.ip);

    if (plain.family == p.ip.family || p.bits < MAPPED_BITS)
        return p;
    return (struct prefix){.ip = plain, .bits = (uint8_t)(p.bits - MAPPED_BITS)};
}

static int parse_prefix(struct bytes text, const char *expected, struct rule *ret,
                        struct fault *fault)
{
    struct prefix p;

    if (prefix_parse(text, /*host_bits=*/false, &p) < 0) {
        if (prefix_parse(text, /*host_bits=*/true, &p) == 0)
            return fault_at(fault, offset_of(text, '/'),
                            "the bits behind the prefix length must be zero");
        return fault_at(fault, 0, expected);
    }
    ret->host = RULE_PREFIX;
    ret->prefix = unmap_prefix(p);
    return 0;
}

static int parse_v6(struct bytes text, struct rule *ret, struct fault *fault)
{
    return parse_prefix(text, "expected an IPv6 address (RFC 4291, without zone) or prefix", ret,
                        fault);
}

/** True for digits, dots and slashes only, beginning with a digit: meant as an IPv4 address. */
static bool is_v4_like(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!(text.data[i] >= '0' && text.data[i] <= '9') && text.data[i] != '.' &&
            text.data[i] != '/')
            return false;
    return text.len > 0 && text.data[0] != '.' && text.data[0] != '/';
}

int rule_parse_host(struct bytes text, struct rule *ret, struct fault *fault)
{
    int err;

    if (offset_of(text, ':') < text.len)
        return parse_v6(text, ret, fault);
    if (is_v4_like(text))
        return parse_prefix(
            text,
            "expected an IPv4 address of four decimal numbers without leading zeros, "
            "or a prefix such as 10.0.0.0/8",
            ret, fault);
    if (text.len == 1 && text.data[0] == '*') {
        ret->host = RULE_ANY;
        return 0;
    }
    if (!starts_with(text, "*.")) {
        ret->host = RULE_NAME;
        return hostname_parse(text, ret->name, fault);
    }
    ret->host = RULE_SUFFIX;
    if ((err = hostname_parse(from(text, 2), ret->name, fault)) < 0)
        fault->at += 2;
    return err;
}

static int parse_port(struct bytes text, size_t at, uint16_t *ret, struct fault *fault)
{
    if (port_parse(text, ret) < 0 || *ret == 0)
        return fault_at(fault, at, "expected a port 1..65535, a range such as 8000-8999, or *");
    return 0;
}

int rule_parse_ports(struct bytes text, struct rule *ret, struct fault *fault)
{
    size_t dash = offset_of(text, '-');
    int err;

    if (text.len == 1 && text.data[0] == '*') {
        ret->port_min = 0;
        ret->port_max = UINT16_MAX;
        return 0;
    }
    if ((err = parse_port(bytes_of(text.data, dash), 0, &ret->port_min, fault)) < 0)
        return err;
    ret->port_max = ret->port_min;
    if (dash == text.len)
        return 0;
    if ((err = parse_port(from(text, dash + 1), dash + 1, &ret->port_max, fault)) < 0)
        return err;
    if (ret->port_max < ret->port_min)
        return fault_at(fault, dash + 1, "a range of ports goes upwards");
    return 0;
}

/** `tcp://` and its like; @ret_at is where the host begins. */
static int parse_scheme(struct bytes text, struct rule *ret, size_t *ret_at, struct fault *fault)
{
    static const struct {
        const char *text;
        enum policy_proto proto;
    } schemes[] = {{"tcp://", POLICY_TCP}, {"udp://", POLICY_UDP}, {"icmp://", POLICY_ICMP}};

    for (unsigned i = 0; i < ARRAY_COUNT(schemes); i++) {
        if (!starts_with(text, schemes[i].text))
            continue;
        ret->proto = schemes[i].proto;
        *ret_at = strlen(schemes[i].text);
        return 0;
    }
    if (starts_with(from(text, offset_of(text, ':')), "://"))
        return fault_at(fault, 0,
                        "expected tcp://, udp://, icmp:// or unix: (nothing means tcp; https is "
                        "HOST:443, http is HOST:80)");
    *ret_at = 0;
    return 0;
}

/** The host at the beginning of @text; @ret_len is where it ends. */
static int parse_host(struct bytes text, struct rule *ret, size_t *ret_len, struct fault *fault)
{
    size_t end;
    int err;

    if (text.len == 0)
        return fault_at(fault, 0, "a host is missing");
    if (text.data[0] == '[') {
        end = offset_of(text, ']');
        if (end == text.len)
            return fault_at(fault, end, "expected ']' behind the IPv6 address");
        *ret_len = end + 1;
        if ((err = parse_v6(bytes_of(text.data + 1, end - 1), ret, fault)) < 0)
            fault->at += 1;
        else if (offset_of(bytes_of(text.data, end), ':') == end)
            err = fault_at(fault, 1, "only an IPv6 address stands in brackets");
        return err;
    }
    end = offset_of(text, ':');
    *ret_len = end;
    if (end < text.len && offset_of(from(text, end + 1), ':') < text.len - end - 1)
        return fault_at(fault, end,
                        "an IPv6 address is written in brackets: [2001:db8::1]:443 or "
                        "[2001:db8::/32]:443");
    if (end == 0)
        return fault_at(fault, 0, "a host is missing");
    return rule_parse_host(bytes_of(text.data, end), ret, fault);
}

/** What follows the host. */
static int parse_tail(struct bytes text, struct rule *ret, struct fault *fault)
{
    int err;

    if (ret->proto == POLICY_ICMP) {
        ret->port_min = 0;
        ret->port_max = UINT16_MAX;
        return text.len == 0 ? 0 : fault_at(fault, 0, "icmp has no port: the rule ends here");
    }
    if (text.len > 0 && text.data[0] == '/')
        return fault_at(fault, 0, "the prefix length stands inside the brackets: [2001:db8::/32]");
    if (text.len == 0 || text.data[0] != ':')
        return fault_at(fault, 0, "a port is missing: write HOST:443, or HOST:* for every port");
    if ((err = rule_parse_ports(from(text, 1), ret, fault)) < 0)
        fault->at += 1;
    return err;
}

static int parse_rule(struct bytes text, struct rule *ret, struct fault *fault)
{
    size_t at = 0;
    size_t len = 0;
    int err;

    if (text.len == 0)
        return fault_at(fault, 0, "expected a rule such as api.github.com:443");
    if (text.len > POLICY_RULE_TEXT_MAX)
        return fault_at(fault, POLICY_RULE_TEXT_MAX, "a rule has at most 320 characters");
    if (starts_with(text, UNIX_SCHEME)) {
        at = strlen(UNIX_SCHEME);
        if ((err = unix_rule_parse(from(text, at), ret, fault)) < 0)
            fault->at += at;
        return err;
    }
    if (starts_with_any_case(text, UNIX_SCHEME))
        return fault_at(fault, 0,
                        "write unix: for a socket of this host, or tcp://unix:PORT for a host of "
                        "that name");
    if ((err = parse_scheme(text, ret, &at, fault)) < 0)
        return err;
    if ((err = parse_host(from(text, at), ret, &len, fault)) < 0) {
        fault->at += at;
        return err;
    }
    at += len;
    if ((err = parse_tail(from(text, at), ret, fault)) < 0)
        fault->at += at;
    return err;
}

int rule_parse(struct bytes text, struct rule *ret, struct why *why)
{
    struct rule rule = {0};
    struct fault fault;

    if (parse_rule(text, &rule, &fault) < 0) {
        int shown = text.len < 100 ? (int)text.len : 100;

        (void)why_set(why, -EINVAL, "rule '%.*s', column %zu: %s", shown,
                      shown > 0 ? (const char *)text.data : "", fault.at + 1, fault.what);
        if (why != NULL)
            why->column = (unsigned)fault.at + 1;
        return -EINVAL;
    }
    *ret = rule;
    return 0;
}

static void print_host(const struct rule *r, char *ret, size_t cap)
{
    char prefix[PREFIX_TEXT_CAP];
    bool is_v6 = r->prefix.ip.family == IP_V6;
    bool is_full = r->prefix.bits == ip_len(&r->prefix.ip) * 8;

    switch (r->host) {
    case RULE_ANY:
        (void)snprintf(ret, cap, "*");
        return;
    case RULE_NAME:
        (void)snprintf(ret, cap, "%s", r->name);
        return;
    case RULE_SUFFIX:
        (void)snprintf(ret, cap, "*.%s", r->name);
        return;
    case RULE_UNIX:
        (void)snprintf(ret, cap, "%s", r->name);
        return;
    case RULE_UNIX_BELOW:
        (void)snprintf(ret, cap, "%s*", r->name);
        return;
    case RULE_PREFIX:
        break;
    }
    if (is_full)
        (void)ip_print(&r->prefix.ip, prefix);
    else
        (void)prefix_print(&r->prefix, prefix);
    (void)snprintf(ret, cap, "%s%s%s", is_v6 ? "[" : "", prefix, is_v6 ? "]" : "");
}

size_t rule_print(const struct rule *r, char ret[static POLICY_RULE_TEXT_MAX + 1])
{
    static const char *const schemes[] = {[POLICY_TCP] = "",
                                          [POLICY_UDP] = "udp://",
                                          [POLICY_ICMP] = "icmp://",
                                          [POLICY_UNIX] = "unix:"};
    char host[POLICY_HOSTNAME_MAX + 3];
    char ports[16] = ":*";
    const char *scheme = schemes[r->proto];
    int len;

    print_host(r, host, sizeof(host));
    if (r->proto == POLICY_TCP && strcmp(host, "unix") == 0)
        scheme = "tcp://"; /* a host of this name; without it would be a scheme */
    if (r->proto == POLICY_ICMP || r->proto == POLICY_UNIX)
        ports[0] = '\0';
    else if (r->port_min == r->port_max)
        (void)snprintf(ports, sizeof(ports), ":%u", r->port_min);
    else if (r->port_min > 0)
        (void)snprintf(ports, sizeof(ports), ":%u-%u", r->port_min, r->port_max);
    len = snprintf(ret, POLICY_RULE_TEXT_MAX + 1, "%s%s%s", scheme, host, ports);
    must(len > 0 && len <= (int)POLICY_RULE_TEXT_MAX);
    return (size_t)len;
}
