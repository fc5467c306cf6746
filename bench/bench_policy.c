/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long one judgement takes, with few rules and with very many: one line each for an address
 * that a prefix allows, one that nothing allows, and a name; then for tool calls. With `count
 * RULES` it makes 1000 judgements and nothing else, for counting instructions (valgrind
 * --tool=callgrind
 * --toggle-collect=policy_decide).
 */
#include <stdio.h>
#include <string.h>

#include "bench/samples.h"
#include "policy/identity.h"
#include "policy/policy.h"

#define BATCH   1000u /* judgements per sample: one is too short for the clock */
#define SAMPLES 300u

static const struct mono NOW = {.ns = 1};

static void add(struct policy *p, enum policy_action action, const char *text)
{
    must(policy_add_rule(p, action, bytes_of_str(text), NULL) == 0);
}

/** @count rules: prefixes of all lengths 16..32, host names and suffixes, a tenth of them denies.
 */
static struct policy *make_policy(unsigned count)
{
    struct policy *p = NULL;

    must(policy_new(POLICY_ENFORCE, &p) == 0);
    add(p, POLICY_RULE_ALLOW, "192.0.2.0/24:443");
    add(p, POLICY_RULE_ALLOW, "*.pypi.org:443");
    for (unsigned i = 2; i < count; i++) {
        unsigned bits = 16 + i % 17;
        unsigned ip = (10u << 24 | (i * 2654435761u & 0xffffffu)) & (~0u << (32 - bits));
        char text[64];

        if (i % 2 == 0)
            (void)snprintf(text, sizeof(text), "%s%s%u.example:%u", i % 4 == 0 ? "*." : "", "host",
                           i, 1 + i % 1000);
        else
            (void)snprintf(text, sizeof(text), "%u.%u.%u.%u/%u:%u", ip >> 24, ip >> 16 & 255,
                           ip >> 8 & 255, ip & 255, bits, 1 + i % 1000);
        add(p, i % 10 == 9 ? POLICY_RULE_DENY : POLICY_RULE_ALLOW, text);
    }
    return p;
}

static double run_batch(const struct policy *p, const struct policy_request *req,
                        enum verdict expected)
{
    struct policy_answer a;
    double start = now_us();

    for (unsigned i = 0; i < BATCH; i++)
        must(policy_decide(p, req, &a) == 0 && a.verdict == expected);
    return (now_us() - start) * 1000 / BATCH;
}

static void measure(const char *what, unsigned rules, const struct policy *p,
                    const struct policy_request *req, enum verdict expected)
{
    struct samples s;
    char name[64];

    samples_init(&s, SAMPLES);
    (void)run_batch(p, req, expected); /* warm */
    for (unsigned i = 0; i < SAMPLES; i++)
        samples_add(&s, run_batch(p, req, expected));
    (void)snprintf(name, sizeof(name), "policy_decide_%s_%u_rules", what, rules);
    samples_print(&s, name, "ns", /*is_rate=*/false);
    samples_done(&s);
}

static void measure_all(unsigned rules)
{
    struct policy_request prefix = {.dst = {.ip = ip_v4(192, 0, 2, 7), .port = 443}, .now = NOW};
    struct policy_request none = {.dst = {.ip = ip_v4(203, 0, 113, 9), .port = 443}, .now = NOW};
    struct policy_request named = {.dst = {.ip = ip_v4(198, 51, 100, 3), .port = 443}, .now = NOW};
    struct policy *p = make_policy(rules);
    struct pins *pins = NULL;

    must(pins_new(&pins) == 0);
    pins_add(pins, "files.pypi.org", &named.dst.ip, 60, NOW);
    named.pins = pins;
    measure("prefix", rules, p, &prefix, VERDICT_ALLOW);
    measure("none", rules, p, &none, VERDICT_DENY);
    measure("name", rules, p, &named, VERDICT_ALLOW);
    pins_free(pins);
    policy_free(p);
}

static double run_tool_batch(const struct tool_request *req, enum verdict expected)
{
    double start = now_us();

    for (unsigned i = 0; i < BATCH; i++)
        must(policy_decide_tool(req).verdict == expected);
    return (now_us() - start) * 1000 / BATCH;
}

/** A tool call of an agent that may call @tools tools: the last one, and one that it may not. */
static void measure_tools(unsigned tools)
{
    static const char *const names[] = {"allowed", "denied"};
    struct identity id;
    char text[32] = "";

    identity_init(&id);
    id.phase = IDENTITY_ACTIVE;
    id.expires_s = IDENTITY_NEVER;
    must(nameset_add(&id.namespaces, bytes_of_str("team")) == 0);
    for (unsigned i = 0; i < tools; i++) {
        (void)snprintf(text, sizeof(text), "server__tool_%03u", i);
        must(nameset_add(&id.tools, bytes_of_str(text)) == 0);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        enum verdict expected = i == 0 ? VERDICT_ALLOW : VERDICT_DENY;
        struct tool_request req = {.agent = "bot", .identity = &id, .ns = "team", .now_s = 1};
        struct samples s;
        char name[64];

        req.tool = bytes_of_str(i == 0 ? text : "server__tool_none");
        samples_init(&s, SAMPLES);
        (void)run_tool_batch(&req, expected); /* warm */
        for (unsigned k = 0; k < SAMPLES; k++)
            samples_add(&s, run_tool_batch(&req, expected));
        (void)snprintf(name, sizeof(name), "tool_decide_%s_%u_tools", names[i], tools);
        samples_print(&s, name, "ns", /*is_rate=*/false);
        samples_done(&s);
    }
    identity_done(&id);
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {10, 1000, POLICY_RULES_MAX};

    if (argc == 3 && strcmp(argv[1], "count") == 0) {
        struct policy_request req = {.dst = {.ip = ip_v4(192, 0, 2, 7), .port = 443}, .now = NOW};
        struct policy *p = make_policy((unsigned)count_of(argv[2], POLICY_RULES_MAX));

        (void)run_batch(p, &req, VERDICT_ALLOW);
        policy_free(p);
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++)
        measure_all(sizes[i]);
    measure_tools(10);
    measure_tools(IDENTITY_TOOLS_MAX);
    return 0;
}
