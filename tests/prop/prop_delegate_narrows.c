/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: no sequence of delegations widens anything. Random roots hand random parts to random
 * chains of children; then every sampled tool call that a descendant may make, each of its
 * ancestors may make, too, at every sampled time. The seed is printed; LATTICE_SEED repeats a run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/identity.h"
#include "tests/support/suite.h"

#define FAMILIES 300
#define NOW      100000

static const char *const tool_pool[] = {"read", "write", "exec", "fetch",
                                        "Read", "read_", "a",    "z.z"};
static const char *const ns_pool[] = {"team", "lab", "prod", "x"};

static const char *const rule_pool[] = {
    "allow *:*",
    "allow *:443",
    "allow 10.0.0.0/8:*",
    "allow 10.1.0.0/16:80-90",
    "allow 10.1.2.3:85",
    "allow 10.1.2.3:*",
    "allow 169.254.169.254:80",
    "allow 169.254.0.0/16:*",
    "allow 127.0.0.1:*",
    "allow 0.0.0.0/0:*",
    "allow udp://*:53",
    "allow udp://10.0.0.0/8:*",
    "allow icmp://10.0.0.0/8",
    "allow api.example.org:443",
    "allow *.example.org:*",
    "allow *.org:1-1000",
    "allow [64:ff9b::a9fe:a9fe]:80",
    "allow [64:ff9b::/96]:*",
    "allow [2001:db8::/32]:*",
    "allow [2001:db8::1]:443",
    "deny 10.1.2.0/24:*",
    "deny *.example.org:80",
    "deny api.example.org:443",
    "deny udp://10.9.0.0/16:53",
};
static const char *const address_pool[] = {
    "10.1.2.3",  "10.1.9.9",     "10.9.1.1",           "192.0.2.1",   "169.254.169.254",
    "127.0.0.1", "198.51.100.7", "64:ff9b::a9fe:a9fe", "2001:db8::1", "2001:db8::2",
};
static const uint16_t port_pool[] = {53, 80, 85, 443, 8080};

static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
    return (uint32_t)(state >> 33) % below;
}

static void draw_set(struct nameset *s, const char *const *pool, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (draw(2) == 0)
            ck_assert_int_eq(nameset_add(s, bytes_of_str(pool[i])), 0);
}

static void draw_root(struct identity *id)
{
    identity_init(id);
    (void)snprintf(id->name, sizeof(id->name), "root");
    (void)snprintf(id->ns, sizeof(id->ns), "%s", ns_pool[draw(ARRAY_COUNT(ns_pool))]);
    draw_set(&id->tools, tool_pool, ARRAY_COUNT(tool_pool));
    draw_set(&id->namespaces, ns_pool, ARRAY_COUNT(ns_pool));
    draw_set(&id->destinations, rule_pool, ARRAY_COUNT(rule_pool));
    id->phase = IDENTITY_ACTIVE;
    id->expires_s = draw(4) == 0 ? IDENTITY_NEVER : NOW + 1 + draw(2000);
    id->enforcement = (enum identity_enforcement)draw(3);
    id->sandbox = (enum identity_sandbox)draw(4);
    id->audit_level = (enum identity_audit_level)draw(3);
}

static int draw_child(const struct identity *parent, unsigned depth, struct identity *ret)
{
    struct nameset tools, namespaces, destinations;
    char name[16];
    int err;

    nameset_init(&tools, IDENTITY_TOOLS_MAX);
    nameset_init(&namespaces, IDENTITY_NAMESPACES_MAX);
    nameset_init(&destinations, IDENTITY_DESTINATIONS_MAX);
    draw_set(&destinations, rule_pool, ARRAY_COUNT(rule_pool));
    draw_set(&tools, tool_pool, ARRAY_COUNT(tool_pool));
    draw_set(&namespaces, ns_pool, ARRAY_COUNT(ns_pool));
    (void)snprintf(name, sizeof(name), "kid-%u", depth);
    struct delegation d = {
        .name = name,
        .tools = draw(8) == 0 ? NULL : &tools,
        .namespaces = draw(4) == 0 ? NULL : &namespaces,
        .destinations = draw(8) == 0 ? NULL : &destinations,
        .ttl_s = 1 + draw(3000),
        .enforcement = (enum identity_enforcement)draw(3),
        .sandbox = (enum identity_sandbox)draw(4),
        .audit_level = (enum identity_audit_level)draw(3),
    };
    err = identity_delegate(parent, &d, NOW, ret, NULL);
    nameset_done(&tools);
    nameset_done(&namespaces);
    nameset_done(&destinations);
    return err;
}

static enum verdict may_call(const struct identity *id, const char *ns, const char *tool,
                             int64_t now_s)
{
    struct tool_request req = {
        .agent = id->name, .identity = id, .ns = ns, .tool = bytes_of_str(tool), .now_s = now_s};

    return policy_decide_tool(&req).verdict;
}

static unsigned long check_pair(const struct identity *ancestor, const struct identity *child)
{
    static const int64_t moments[] = {NOW - 1, NOW, NOW + 10, NOW + 700, NOW + 2500, NOW + 100000};
    unsigned long allowed = 0;

    ck_assert_int_le(child->expires_s, ancestor->expires_s);
    ck_assert_int_le(child->enforcement, ancestor->enforcement);
    ck_assert_int_ge(child->sandbox, ancestor->sandbox);
    ck_assert_int_ge(child->audit_level, ancestor->audit_level);
    for (unsigned t = 0; t < ARRAY_COUNT(tool_pool); t++)
        for (unsigned n = 0; n < ARRAY_COUNT(ns_pool); n++)
            for (unsigned m = 0; m < ARRAY_COUNT(moments); m++) {
                if (may_call(child, ns_pool[n], tool_pool[t], moments[m]) != VERDICT_ALLOW)
                    continue;
                allowed++;
                ck_assert_msg(may_call(ancestor, ns_pool[n], tool_pool[t], moments[m]) ==
                                  VERDICT_ALLOW,
                              "%s may call %s in %s, its ancestor %s may not", child->name,
                              tool_pool[t], ns_pool[n], ancestor->name);
            }
    return allowed;
}

/* ── Destinations, judged by the policy engine itself ── */

static struct policy *compile(const struct identity *id)
{
    struct policy *p;

    ck_assert_int_eq(policy_new(POLICY_ENFORCE, &p), 0);
    for (unsigned i = 0; i < id->destinations.count; i++) {
        const char *text = id->destinations.items[i];

        ck_assert_int_eq(policy_add_rule(p, text[0] == 'a' ? POLICY_RULE_ALLOW : POLICY_RULE_DENY,
                                         bytes_of_str(strchr(text, ' ') + 1), NULL),
                         0);
    }
    return p;
}

static bool may_reach(const struct policy *p, const struct pins *pins, const char *address,
                      uint16_t port, enum policy_proto proto)
{
    struct policy_request req = {.proto = proto, .dst = {.port = port}, .pins = pins};
    struct policy_answer answer;

    ck_assert_int_eq(ip_parse(bytes_of_str(address), &req.dst.ip), 0);
    ck_assert_int_eq(policy_decide(p, &req, &answer), 0);
    return answer.verdict == VERDICT_ALLOW;
}

static unsigned long check_destinations(const struct policy *ancestor, const struct policy *child,
                                        const struct pins *pins)
{
    unsigned long allowed = 0;

    for (unsigned a = 0; a < ARRAY_COUNT(address_pool); a++)
        for (unsigned p = 0; p < ARRAY_COUNT(port_pool); p++)
            for (int proto = POLICY_TCP; proto <= POLICY_ICMP; proto++) {
                enum policy_proto kind = (enum policy_proto)proto;
                uint16_t port = kind == POLICY_ICMP ? 0 : port_pool[p];

                if (!may_reach(child, pins, address_pool[a], port, kind))
                    continue;
                allowed++;
                ck_assert_msg(may_reach(ancestor, pins, address_pool[a], port, kind),
                              "the child may reach %s port %u proto %d, an ancestor may not",
                              address_pool[a], port, proto);
            }
    return allowed;
}

static void pin(struct pins *pins, const char *name, const char *address)
{
    struct ip ip;

    ck_assert_int_eq(ip_parse(bytes_of_str(address), &ip), 0);
    pins_add(pins, name, &ip, UINT32_MAX, (struct mono){0});
}

static unsigned long check_family_destinations(const struct identity *line, unsigned count)
{
    struct policy *policies[IDENTITY_DEPTH_MAX + 1];
    unsigned long allowed = 0;
    struct pins *pins;

    ck_assert_int_eq(pins_new(&pins), 0);
    pin(pins, "api.example.org", "198.51.100.7");
    pin(pins, "other.example.org", "192.0.2.1");
    pin(pins, "api.example.org", "169.254.169.254");
    for (unsigned i = 0; i < count; i++)
        policies[i] = compile(&line[i]);
    for (unsigned child = 1; child < count; child++)
        for (unsigned ancestor = 0; ancestor < child; ancestor++)
            allowed += check_destinations(policies[ancestor], policies[child], pins);
    for (unsigned i = 0; i < count; i++)
        policy_free(policies[i]);
    pins_free(pins);
    return allowed;
}

START_TEST(delegation_never_widens)
{
    const char *given = getenv("LATTICE_SEED");
    unsigned long allowed = 0;
    unsigned long reached = 0;

    state = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)rng_u64(rng_system());
    printf("seed %llu\n", (unsigned long long)state);
    for (unsigned family = 0; family < FAMILIES; family++) {
        struct identity line[IDENTITY_DEPTH_MAX + 1];
        unsigned count = 1;

        draw_root(&line[0]);
        while (count <= IDENTITY_DEPTH_MAX &&
               draw_child(&line[count - 1], count, &line[count]) == 0)
            line[count++].phase = IDENTITY_ACTIVE;
        ck_assert_uint_eq(count, IDENTITY_DEPTH_MAX + 1);
        for (unsigned child = 1; child < count; child++)
            for (unsigned ancestor = 0; ancestor < child; ancestor++)
                allowed += check_pair(&line[ancestor], &line[child]);
        reached += check_family_destinations(line, count);
        for (unsigned i = 0; i < count; i++)
            identity_done(&line[i]);
    }
    ck_assert_uint_gt(reached, 1000);
    ck_assert_uint_gt(allowed, 1000); /* the samples must reach things that are allowed */
    printf("%lu tool calls and %lu destinations allowed, each to every ancestor, too\n", allowed,
           reached);
}
END_TEST

static const struct suite_test tests[] = {SUITE_SLOW(delegation_never_widens, 60)};

SUITE_MAIN("delegation narrows", tests)
