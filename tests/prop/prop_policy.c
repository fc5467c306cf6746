/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of random policies over a small world, where addresses, names and ports meet often:
 *   - every answer is that of an oracle that walks all rules one by one, bit by bit and label by
 * label;
 *   - adding a deny rule never allows more;
 *   - neither the order of rules nor repeating them changes any answer, its shown rule included;
 *   - the rule that is shown covers the request, and its text parses to the same rule.
 * The seed is printed when a property fails; PROP_SEED repeats that run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/policy.h"
#include "tests/support/suite.h"

#define RULES_MAX 24u
#define PORT_LAST 8u
#define RUNS      400u

static const struct mono NOW = {.ns = 1000};

/** The world's addresses. What each carries is written by hand, not computed. */
static const struct place {
    const char *text;
    bool is_builtin;
    int own;     /* index of the address that it is judged as; itself, or a mapped one's IPv4 */
    int carried; /* index of the IPv4 address that it carries; -1: none */
} places[] = {
    {"192.0.2.1", false, 0, -1},
    {"192.0.2.2", false, 1, -1},
    {"10.0.0.1", false, 2, -1},
    {"10.1.2.3", false, 3, -1},
    {"127.0.0.1", true, 4, -1},
    {"169.254.169.254", true, 5, -1},
    {"2001:db8::1", false, 6, -1},
    {"2001:db8:1::1", false, 7, -1},
    {"::1", true, 8, 14},
    {"64:ff9b::a00:1", false, 9, 2},
    {"2002:a01:203::", false, 10, 3},
    {"64:ff9b::7f00:1", false, 11, 4},
    {"::ffff:10.0.0.1", false, 2, -1},
    {"fe80::1", true, 13, -1},
    {"0.0.0.1", true, 14, -1},
    {"224.0.0.1", true, 15, -1},
    {"2001:db8::5efe:a00:1", false, 16, 2},
    {"::ffff:127.0.0.1", true, 4, -1},
};

static const char *const names[] = {"example", "a.example", "b.a.example", "xa.example",
                                    "other.test"};

enum kind { ANY, PREFIX, NAME, SUFFIX, KINDS };

struct model_rule {
    bool is_allow;
    enum policy_proto proto;
    enum kind kind;
    struct ip ip;
    unsigned bits;
    const char *name;
    unsigned port_min;
    unsigned port_max;
    char text[96];
};

struct world {
    uint64_t state; /* of the generator */
    struct ip ips[ARRAY_COUNT(places)];
    struct model_rule rules[RULES_MAX];
    unsigned count;
    bool pinned[ARRAY_COUNT(places)][ARRAY_COUNT(names)];
    struct pins *pins;
};

static unsigned roll(struct world *w, unsigned sides)
{
    w->state = w->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(w->state >> 33) % sides;
}

static bool bit_of(const struct ip *ip, unsigned bit)
{
    return ip->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

static void make_host(struct world *w, struct model_rule *r, char *ret, size_t cap)
{
    static const unsigned v4_bits[] = {0, 8, 16, 24, 31, 32, 32, 32};
    static const unsigned v6_bits[] = {0, 16, 32, 48, 96, 127, 128, 128};
    char text[IP_TEXT_CAP];

    r->kind = (enum kind)roll(w, KINDS + 2);
    if (r->kind >= KINDS)
        r->kind = PREFIX;
    r->name = names[roll(w, ARRAY_COUNT(names))];
    if (r->kind == ANY)
        (void)snprintf(ret, cap, "*");
    if (r->kind == NAME || r->kind == SUFFIX)
        (void)snprintf(ret, cap, "%s%s", r->kind == SUFFIX ? "*." : "", r->name);
    if (r->kind != PREFIX)
        return;
    r->ip = w->ips[places[roll(w, ARRAY_COUNT(places))].own];
    r->bits = r->ip.family == IP_V4 ? v4_bits[roll(w, 8)] : v6_bits[roll(w, 8)];
    for (unsigned bit = r->bits; bit < ip_len(&r->ip) * 8; bit++)
        r->ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    (void)ip_print(&r->ip, text);
    if (r->ip.family == IP_V4)
        (void)snprintf(ret, cap, "%s/%u", text, r->bits);
    else
        (void)snprintf(ret, cap, "[%s/%u]", text, r->bits);
}

static struct model_rule make_rule(struct world *w)
{
    struct model_rule r = {.is_allow = roll(w, 5) < 3,
                           .proto = roll(w, 5) == 0 ? POLICY_UDP : POLICY_TCP};
    const char *scheme = r.proto == POLICY_UDP ? "udp://" : "";
    char host[64] = "";

    make_host(w, &r, host, sizeof(host));
    r.port_min = 1 + roll(w, PORT_LAST - 2);
    r.port_max = r.port_min + roll(w, 3);
    if (roll(w, 4) == 0) {
        r.port_min = 0;
        r.port_max = 65535;
        (void)snprintf(r.text, sizeof(r.text), "%s%s:*", scheme, host);
    } else {
        (void)snprintf(r.text, sizeof(r.text), "%s%s:%u-%u", scheme, host, r.port_min, r.port_max);
    }
    return r;
}

static void make_world(struct world *w, uint64_t seed)
{
    *w = (struct world){.state = seed};
    must(pins_new(&w->pins) == 0);
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++)
        must(ip_parse(bytes_of_str(places[i].text), &w->ips[i]) == 0);
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        for (unsigned n = 0; n < ARRAY_COUNT(names); n++) {
            if (roll(w, 8) != 0)
                continue;
            w->pinned[places[i].own][n] = true;
            pins_add(w->pins, names[n], &w->ips[i], 60, NOW);
        }
    }
    w->count = roll(w, RULES_MAX);
    for (unsigned i = 0; i < w->count; i++)
        w->rules[i] = make_rule(w);
}

/* The oracle */

static bool name_covers(const struct model_rule *r, const char *name)
{
    size_t len = strlen(name);
    size_t base = strlen(r->name);

    if (r->kind == NAME)
        return strcmp(r->name, name) == 0;
    return r->kind == SUFFIX && len > base + 1 && name[len - base - 1] == '.' &&
           strcmp(name + len - base, r->name) == 0;
}

static bool covers_place(const struct world *w, const struct model_rule *r, int place)
{
    const struct ip *ip = &w->ips[place];

    if (r->kind == ANY)
        return true;
    for (unsigned n = 0; n < ARRAY_COUNT(names) && r->kind != PREFIX; n++)
        if (w->pinned[place][n] && name_covers(r, names[n]))
            return true;
    if (r->kind != PREFIX || r->ip.family != ip->family)
        return false;
    for (unsigned bit = 0; bit < r->bits; bit++)
        if (bit_of(&r->ip, bit) != bit_of(ip, bit))
            return false;
    return true;
}

static bool applies(const struct model_rule *r, bool is_allow, enum policy_proto proto,
                    unsigned port)
{
    return r->is_allow == is_allow && r->proto == proto && port >= r->port_min &&
           port <= r->port_max;
}

static bool opens(const struct world *w, const struct model_rule *r, int place)
{
    return r->kind == PREFIX && r->bits == ip_len(&r->ip) * 8 && covers_place(w, r, place);
}

static enum policy_reason oracle(const struct world *w, unsigned place, enum policy_proto proto,
                                 unsigned port, bool *ret_allow)
{
    int own = places[place].own;
    int judged[2] = {own, places[own].carried};
    enum policy_reason reason = POLICY_NO_RULE;

    *ret_allow = false;
    for (unsigned i = 0; i < w->count; i++)
        for (unsigned k = 0; k < 2; k++)
            if (judged[k] >= 0 && applies(&w->rules[i], false, proto, port) &&
                covers_place(w, &w->rules[i], judged[k]))
                return POLICY_RULE;
    for (unsigned k = 0; k < 2; k++) {
        bool is_open = false;

        if (judged[k] < 0 || !places[judged[k]].is_builtin)
            continue;
        for (unsigned i = 0; i < w->count; i++)
            is_open =
                is_open || (applies(&w->rules[i], true, proto, port) &&
                            (opens(w, &w->rules[i], own) || opens(w, &w->rules[i], judged[k])));
        if (!is_open)
            return POLICY_BUILTIN;
    }
    for (unsigned i = 0; i < w->count; i++) {
        const struct model_rule *r = &w->rules[i];

        if (!applies(r, true, proto, port))
            continue;
        if (covers_place(w, r, own)) {
            *ret_allow = true;
            return POLICY_RULE;
        }
        if (r->kind == NAME || r->kind == SUFFIX)
            reason = POLICY_NAME_UNPINNED;
    }
    return reason;
}

/* The thing itself */

static void add(struct policy *p, const struct model_rule *r)
{
    must(policy_add_rule(p, r->is_allow ? POLICY_RULE_ALLOW : POLICY_RULE_DENY,
                         bytes_of_str(r->text), NULL) == 0);
}

static struct policy *make_policy(const struct world *w)
{
    struct policy *p = NULL;

    must(policy_new(POLICY_ENFORCE, &p) == 0);
    for (unsigned i = 0; i < w->count; i++)
        add(p, &w->rules[i]);
    return p;
}

static struct policy_answer ask(const struct world *w, const struct policy *p, unsigned place,
                                enum policy_proto proto, unsigned port)
{
    struct policy_request req = {.proto = proto,
                                 .dst = {.ip = w->ips[place], .port = (uint16_t)port},
                                 .pins = w->pins,
                                 .now = NOW};
    struct policy_answer a;

    must(policy_decide(p, &req, &a) == 0);
    return a;
}

/** Visit every request of the world. */
#define FOR_EACH_REQUEST(place, proto, port)                                                       \
    for (unsigned place = 0; place < ARRAY_COUNT(places); place++)                                 \
        for (enum policy_proto proto = POLICY_TCP; proto <= POLICY_UDP; proto++)                   \
            for (unsigned port = 0; port <= PORT_LAST; port++)

static uint64_t first_seed(void)
{
    const char *text = getenv("PROP_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : 20261122;
}

static unsigned runs(void)
{
    return getenv("PROP_SEED") != NULL ? 1 : RUNS;
}

START_TEST(decide_is_the_linear_oracle)
{
    unsigned allowed = 0;

    for (uint64_t seed = first_seed(), i = 0; i < runs(); i++, seed++) {
        static struct world w;
        struct policy *p;

        make_world(&w, seed);
        p = make_policy(&w);
        FOR_EACH_REQUEST(place, proto, port)
        {
            struct policy_answer a = ask(&w, p, place, proto, port);
            bool allow;
            enum policy_reason reason = oracle(&w, place, proto, port, &allow);

            ck_assert_msg(a.reason == reason && (a.verdict == VERDICT_ALLOW) == allow,
                          "PROP_SEED=%llu: %s port %u proto %u: got %s %s, oracle %s %s",
                          (unsigned long long)seed, places[place].text, port, proto,
                          policy_reason_name(a.reason), a.rule, allow ? "allow" : "deny",
                          policy_reason_name(reason));
            allowed += allow;
        }
        policy_free(p);
        pins_free(w.pins);
    }
    ck_assert_uint_gt(allowed, runs()); /* the world is not one where nothing happens */
}
END_TEST

START_TEST(adding_a_deny_never_allows_more)
{
    for (uint64_t seed = first_seed(), i = 0; i < runs(); i++, seed++) {
        static struct world w;
        struct model_rule deny;
        struct policy *before;
        struct policy *after;

        make_world(&w, seed);
        before = make_policy(&w);
        after = make_policy(&w);
        deny = make_rule(&w);
        deny.is_allow = false;
        add(after, &deny);
        FOR_EACH_REQUEST(place, proto, port)
        {
            ck_assert_msg(ask(&w, after, place, proto, port).verdict == VERDICT_DENY ||
                              ask(&w, before, place, proto, port).verdict == VERDICT_ALLOW,
                          "PROP_SEED=%llu: deny %s allowed %s", (unsigned long long)seed, deny.text,
                          places[place].text);
        }
        policy_free(before);
        policy_free(after);
        pins_free(w.pins);
    }
}
END_TEST

/** The shown rule is one of the policy's, of the right action, and covers the request. */
static void check_shown(const struct world *w, const struct policy_answer *a, unsigned place,
                        enum policy_proto proto, unsigned port)
{
    int own = places[place].own;
    int carried = places[own].carried;
    bool is_allow = a->verdict == VERDICT_ALLOW;

    ck_assert_int_eq(a->reason == POLICY_RULE, a->rule[0] != '\0');
    if (a->reason != POLICY_RULE)
        return;
    for (unsigned i = 0; i < w->count; i++) {
        const struct model_rule *r = &w->rules[i];
        struct policy *one = NULL;
        bool is_same;

        must(policy_new(POLICY_ENFORCE, &one) == 0);
        add(one, r);
        is_same = strcmp(policy_rule_text(one, 0), a->rule) == 0;
        policy_free(one);
        if (is_same && applies(r, is_allow, proto, port) &&
            (covers_place(w, r, own) || (!is_allow && carried >= 0 && covers_place(w, r, carried))))
            return;
    }
    ck_abort_msg("%s does not cover %s", a->rule, places[place].text);
}

START_TEST(order_and_repetition_do_not_matter)
{
    for (uint64_t seed = first_seed(), i = 0; i < runs() / 4 + 1; i++, seed++) {
        static struct world w;
        static struct world shuffled;
        struct policy *p;
        struct policy *q;

        make_world(&w, seed);
        p = make_policy(&w);
        shuffled = w;
        for (unsigned k = w.count; k > 1; k--) {
            unsigned other = roll(&shuffled, k);
            struct model_rule kept = shuffled.rules[k - 1];

            shuffled.rules[k - 1] = shuffled.rules[other];
            shuffled.rules[other] = kept;
        }
        q = make_policy(&shuffled);
        for (unsigned k = 0; k < w.count; k += 3)
            add(q, &w.rules[k]);
        FOR_EACH_REQUEST(place, proto, port)
        {
            struct policy_answer a = ask(&w, p, place, proto, port);
            struct policy_answer b = ask(&w, q, place, proto, port);

            ck_assert_msg(a.verdict == b.verdict && a.reason == b.reason &&
                              strcmp(a.rule, b.rule) == 0 && strcmp(a.name, b.name) == 0,
                          "PROP_SEED=%llu: %s port %u: '%s' or '%s'", (unsigned long long)seed,
                          places[place].text, port, a.rule, b.rule);
            check_shown(&w, &a, place, proto, port);
        }
        policy_free(p);
        policy_free(q);
        pins_free(w.pins);
    }
}
END_TEST

/** A name may be looked up when some port could be opened for it: tried one by one. */
static bool oracle_name(const struct world *w, const char *name)
{
    for (enum policy_proto proto = POLICY_TCP; proto <= POLICY_UDP; proto++) {
        for (unsigned port = 0; port <= PORT_LAST + 1; port++) {
            bool is_allowed = false;
            bool is_denied = false;

            for (unsigned i = 0; i < w->count; i++) {
                const struct model_rule *r = &w->rules[i];
                bool is_named = r->kind == ANY || (r->kind != PREFIX && name_covers(r, name));

                is_allowed = is_allowed || (applies(r, true, proto, port) &&
                                            (is_named || (r->kind == PREFIX && r->bits == 0)));
                is_denied = is_denied || (applies(r, false, proto, port) && is_named);
            }
            if (is_allowed && !is_denied)
                return true;
        }
    }
    return false;
}

START_TEST(decide_name_is_the_linear_oracle)
{
    unsigned allowed = 0;

    for (uint64_t seed = first_seed(), i = 0; i < runs(); i++, seed++) {
        static struct world w;
        struct policy *p;

        make_world(&w, seed);
        p = make_policy(&w);
        for (unsigned n = 0; n < ARRAY_COUNT(names); n++) {
            struct policy_answer a;

            must(policy_decide_name(p, bytes_of_str(names[n]), &a) == 0);
            ck_assert_msg((a.verdict == VERDICT_ALLOW) == oracle_name(&w, names[n]),
                          "PROP_SEED=%llu: %s", (unsigned long long)seed, names[n]);
            allowed += a.verdict == VERDICT_ALLOW;
        }
        policy_free(p);
        pins_free(w.pins);
    }
    ck_assert_uint_gt(allowed, runs() / 10);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_SLOW(decide_is_the_linear_oracle, 100),
    SUITE_SLOW(adding_a_deny_never_allows_more, 100),
    SUITE_SLOW(order_and_repetition_do_not_matter, 100),
    SUITE_SLOW(decide_name_is_the_linear_oracle, 100),
};

SUITE_MAIN("prop/policy", tests)
