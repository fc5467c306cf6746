/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts from the table, modes, name look-ups, and what happens to bad requests.
 */
#include "policy/policy.h"

#include <errno.h>

#include "tests/support/cases.h"
#include "tests/support/suite.h"

static const struct mono NOW = {.ns = 1000 * NS_PER_S};

/** `+rule; -rule; …` → a policy. */
static struct policy *make_policy(const char *text, enum policy_mode mode)
{
    struct policy *p = NULL;

    ck_assert_int_eq(policy_new(mode, &p), 0);
    while (*text != '\0') {
        size_t len = strcspn(text, ";");
        struct bytes rule = bytes_of(text + 1, len - 1);
        struct why why = {0};

        ck_assert_msg(text[0] == '+' || text[0] == '-', "%s", text);
        while (rule.len > 0 && rule.data[rule.len - 1] == ' ')
            rule.len--;
        ck_assert_msg(policy_add_rule(p, text[0] == '+' ? POLICY_RULE_ALLOW : POLICY_RULE_DENY,
                                      rule, &why) == 0,
                      "%s: %s", text, why.text);
        text += len;
        text += strspn(text, "; ");
    }
    return p;
}

static struct policy_request make_request(const char *text)
{
    struct policy_request req = {.proto = POLICY_TCP, .now = NOW};
    char copy[128];

    if (strncmp(text, "udp://", 6) == 0) {
        req.proto = POLICY_UDP;
        text += 6;
    } else if (strncmp(text, "icmp://", 7) == 0) {
        req.proto = POLICY_ICMP;
        (void)snprintf(copy, sizeof(copy), "%s:1", text + 7);
        text = copy;
    }
    ck_assert_msg(endpoint_parse(bytes_of_str(text), &req.dst) == 0, "%s", text);
    if (req.proto == POLICY_ICMP)
        req.dst.port = 0;
    return req;
}

static void pin_names(struct pins *pins, char *names, const struct ip *ip)
{
    for (char *name = names; name != NULL && *name != '\0';) {
        char *next = strchr(name, ',');

        if (next != NULL)
            *next++ = '\0';
        pins_add(pins, name, ip, 300, NOW);
        name = next != NULL ? next + strspn(next, " ") : NULL;
    }
}

/* Goal: every row of the table. */
START_TEST(verdicts_table)
{
    struct case_table t;

    cases_load(TEST_SOURCE_DIR "/cases/policy.cases", '|', &t);
    for (unsigned i = 0; i < t.count; i++) {
        struct case_row *row = &t.rows[i];
        struct policy *p = make_policy(row->fields[0], POLICY_ENFORCE);
        struct policy_request req = make_request(row->fields[1]);
        struct pins *pins = NULL;
        struct policy_answer a;
        char got[64];

        ck_assert_uint_ge(row->count, 5);
        ck_assert_int_eq(pins_new(&pins), 0);
        pin_names(pins, row->fields[2], &req.dst.ip);
        req.pins = pins;
        ck_assert_int_eq(policy_decide(p, &req, &a), 0);
        (void)snprintf(got, sizeof(got), "%s %s", a.verdict == VERDICT_ALLOW ? "allow" : "deny",
                       policy_reason_name(a.reason));
        ck_assert_msg(strcmp(got, row->fields[3]) == 0 && strcmp(a.rule, row->fields[4]) == 0,
                      "line %u: got %s | %s, expected %s | %s", row->line, got, a.rule,
                      row->fields[3], row->fields[4]);
        ck_assert_msg(a.would_deny == (a.verdict == VERDICT_DENY), "line %u", row->line);
        policy_free(p);
        pins_free(pins);
    }
    cases_done(&t);
}
END_TEST

/* Goal: audit mode lets through what rules refuse and says so, but not the built-in list. */
START_TEST(audit_mode)
{
    struct policy *p = make_policy("+192.0.2.1:443; -192.0.2.2:443", POLICY_AUDIT);
    struct policy_request req = make_request("192.0.2.1:443");
    struct policy_answer a;

    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    ck_assert(a.verdict == VERDICT_ALLOW && !a.would_deny);
    req = make_request("192.0.2.2:443");
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    ck_assert(a.verdict == VERDICT_ALLOW && a.would_deny && a.reason == POLICY_RULE);
    req = make_request("192.0.2.3:443");
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    ck_assert(a.verdict == VERDICT_ALLOW && a.would_deny && a.reason == POLICY_NO_RULE);
    req = make_request("169.254.169.254:80");
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    ck_assert(a.verdict == VERDICT_DENY && a.would_deny && a.reason == POLICY_BUILTIN);
    policy_set_mode(p, POLICY_ENFORCE);
    req = make_request("192.0.2.3:443");
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    ck_assert(a.verdict == VERDICT_DENY && a.would_deny);
    policy_free(p);
}
END_TEST

/* Goal: verdicts about AF_UNIX sockets of the host, both modes; the most specific rule is shown. */
START_TEST(unix_sockets)
{
    static const struct {
        const char *rules, *name, *verdict, *rule;
    } rows[] = {
        {"+*:*", "/run/docker.sock", "deny no_rule", ""},
        {"+unix:/run/docker.sock", "/run/docker.sock", "allow rule", "allow unix:/run/docker.sock"},
        {"+unix:/run/docker.sock", "/run/docker.sock2", "deny no_rule", ""},
        {"+unix:/run/docker.sock", "/run/docker.soc", "deny no_rule", ""},
        {"+unix:/run/docker.sock", "@/run/docker.sock", "deny no_rule", ""},
        {"+unix:/run/*", "/run/docker.sock", "allow rule", "allow unix:/run/*"},
        {"+unix:/run/*", "/run/a/b", "allow rule", "allow unix:/run/*"},
        {"+unix:/run/*", "/run", "deny no_rule", ""},
        {"+unix:/run/*", "/runner/x", "deny no_rule", ""},
        {"+unix:/run/*; +unix:/*; +unix:/run/a/*", "/run/a/b", "allow rule", "allow unix:/run/a/*"},
        {"+unix:/run/*; -unix:/run/docker.sock", "/run/docker.sock", "deny rule",
         "deny unix:/run/docker.sock"},
        {"+unix:/run/docker.sock; -unix:/run/*", "/run/docker.sock", "deny rule",
         "deny unix:/run/*"},
        {"+unix:@*", "@x", "allow rule", "allow unix:@*"},
        {"+unix:@*", "/x", "deny no_rule", ""},
        {"+unix:@ab*", "@ab%00", "allow rule", "allow unix:@ab*"},
        {"+unix:@ab", "@ab%00", "deny no_rule", ""},
        {"+unix:/*", "/run/nscd/socket", "deny builtin", ""},
        {"+unix:/*", "/run/systemd/resolve/io.systemd.Resolve", "deny builtin", ""},
        {"+unix:/run/nscd/socket; -tcp://*:*", "/run/nscd/socket", "allow rule",
         "allow unix:/run/nscd/socket"},
    };
    char got[64];

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct policy *p = make_policy(rows[i].rules, POLICY_ENFORCE);
        struct policy_answer a;

        ck_assert_int_eq(policy_decide_unix(p, rows[i].name, &a), 0);
        (void)snprintf(got, sizeof(got), "%s %s", a.verdict == VERDICT_ALLOW ? "allow" : "deny",
                       policy_reason_name(a.reason));
        ck_assert_msg(strcmp(got, rows[i].verdict) == 0 && strcmp(a.rule, rows[i].rule) == 0,
                      "row %u: %s %s", i, got, a.rule);
        ck_assert(a.would_deny == (a.verdict == VERDICT_DENY));
        policy_set_mode(p, POLICY_AUDIT);
        ck_assert_int_eq(policy_decide_unix(p, rows[i].name, &a), 0);
        ck_assert((a.verdict == VERDICT_ALLOW) == (a.reason != POLICY_BUILTIN));
        ck_assert_int_eq(policy_decide_unix(p, "run/docker.sock", &a), -EINVAL);
        ck_assert(a.verdict == VERDICT_DENY && a.would_deny);
        policy_free(p);
    }
}
END_TEST

/* Goal: what is suggested for a refused socket is a rule that allows it, whatever its bytes. */
START_TEST(unix_suggestion_allows)
{
    static const uint8_t names[][8] = {"/a/b c", "/it's%", "\0x*\0\xff", "/*", "/\xc3\xa9"};
    static const size_t lengths[] = {6, 6, 5, 2, 3};
    char name[64], option[128], rule[128];
    struct policy_answer a;

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct policy *p = make_policy("", POLICY_ENFORCE);

        ck_assert_int_gt(policy_unix_print(bytes_of(names[i], lengths[i]), name, sizeof(name)), 0);
        ck_assert_int_eq(policy_decide_unix(p, name, &a), 0);
        policy_suggest_unix(name, &a, option, sizeof(option));
        ck_assert_int_eq(sscanf(option, "--allow '%127[^']'", rule), 1);
        ck_assert_int_eq(policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str(rule), NULL), 0);
        ck_assert_int_eq(policy_decide_unix(p, name, &a), 0);
        ck_assert_msg(a.verdict == VERDICT_ALLOW, "%s", option);
        policy_free(p);
    }
    ck_assert_int_eq(policy_unix_print(bytes_of_str("/abc"), name, 4), -ENAMETOOLONG);
    ck_assert_int_eq(policy_unix_print(bytes_of_str("/abc"), name, 5), 4);
}
END_TEST

/* Goal: a request that is none is denied with -EINVAL, even by a policy that allows everything. */
START_TEST(decide_bad_request_denies)
{
    struct policy *p = make_policy("+*:*", POLICY_AUDIT);
    struct policy_request req = make_request("192.0.2.1:443");
    struct policy_answer a;

    req.dst.ip.family = IP_NONE;
    ck_assert_int_eq(policy_decide(p, &req, &a), -EINVAL);
    ck_assert(a.verdict == VERDICT_DENY && a.would_deny && a.reason == POLICY_FAILED);
    req = make_request("192.0.2.1:443");
    req.proto = (enum policy_proto)7;
    ck_assert_int_eq(policy_decide(p, &req, &a), -EINVAL);
    ck_assert(a.verdict == VERDICT_DENY);
    policy_free(p);
}
END_TEST

/* Goal: a pin that ended opens nothing; the answer's name is the most recent live one. */
START_TEST(decide_expired_pin_denies)
{
    struct policy *p = make_policy("+a.example:443", POLICY_ENFORCE);
    struct policy_request req = make_request("192.0.2.1:443");
    struct pins *pins = NULL;
    struct policy_answer a;

    ck_assert_int_eq(pins_new(&pins), 0);
    pins_add(pins, "a.example", &req.dst.ip, 100, NOW);
    pins_add(pins, "b.example", &req.dst.ip, 200, NOW);
    req.pins = pins;
    req.now = mono_add_ns(NOW, 100 * NS_PER_S - 1);
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    ck_assert(a.verdict == VERDICT_ALLOW);
    ck_assert_str_eq(a.name, "a.example");
    req.now = mono_add_ns(NOW, 100 * NS_PER_S);
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    ck_assert(a.verdict == VERDICT_DENY && a.reason == POLICY_NAME_UNPINNED);
    ck_assert_str_eq(a.name, "b.example");
    policy_free(p);
    pins_free(pins);
}
END_TEST

static const struct {
    const char *rules;
    const char *name;
    bool allow;
    const char *rule;
} name_rows[] = {
    {"", "a.example", false, ""},
    {"+a.example:443", "a.example", true, "allow a.example:443"},
    {"+a.example:443", "A.Example.", true, "allow a.example:443"},
    {"+a.example:443", "b.example", false, ""},
    {"+udp://a.example:53", "a.example", true, "allow udp://a.example:53"},
    {"+icmp://a.example", "a.example", true, "allow icmp://a.example"},
    {"+*.example:443", "a.example", true, "allow *.example:443"},
    {"+*.example:443", "example", false, ""},
    {"+*:443", "a.example", true, "allow *:443"},
    {"+0.0.0.0/0:443", "a.example", true, "allow 0.0.0.0/0:443"},
    {"+[::/0]:443", "a.example", true, "allow [::/0]:443"},
    {"+10.0.0.0/8:443", "a.example", false, ""},
    {"+*:443; -a.example:443", "a.example", false, "deny a.example:443"},
    {"+*:443; -a.example:80", "a.example", true, "allow *:443"},
    {"+*:443-445; -a.example:443; -a.example:445", "a.example", true, "allow *:443-445"},
    {"+*:443-445; -a.example:443-444; -*.example:445", "a.example", false, "deny *.example:445"},
    {"+*:443; -*.example:*", "b.a.example", false, "deny *.example:*"},
    {"+a.example:443; -*:443", "a.example", false, "deny *:443"},
    {"+*:*; +udp://*:*; -a.example:*", "a.example", true, "allow udp://*:*"},
    {"+*:443; -10.0.0.0/8:443", "a.example", true, "allow *:443"},
};

/* Goal: a name may be looked up exactly when something could be opened for it. */
START_TEST(decide_name_rows)
{
    struct policy *p = make_policy(name_rows[_i].rules, POLICY_ENFORCE);
    struct policy_answer a;

    ck_assert_int_eq(policy_decide_name(p, bytes_of_str(name_rows[_i].name), &a), 0);
    ck_assert_int_eq(a.verdict, name_rows[_i].allow ? VERDICT_ALLOW : VERDICT_DENY);
    ck_assert_int_eq(a.would_deny, !name_rows[_i].allow);
    ck_assert_str_eq(a.rule, name_rows[_i].rule);
    policy_set_mode(p, POLICY_AUDIT);
    ck_assert_int_eq(policy_decide_name(p, bytes_of_str(name_rows[_i].name), &a), 0);
    ck_assert_int_eq(a.verdict, VERDICT_ALLOW);
    ck_assert_int_eq(a.would_deny, !name_rows[_i].allow);
    policy_free(p);
}
END_TEST

/* Goal: what is no name is denied in both modes. */
START_TEST(decide_name_bad_denies)
{
    struct policy *p = make_policy("+*:*", POLICY_AUDIT);
    struct policy_answer a;

    ck_assert_int_eq(policy_decide_name(p, bytes_of("a\0.example", 10), &a), -EINVAL);
    ck_assert(a.verdict == VERDICT_DENY && a.reason == POLICY_FAILED);
    ck_assert_int_eq(policy_decide_name(p, bytes_of("", 0), &a), -EINVAL);
    policy_free(p);
}
END_TEST

static const struct {
    const char *rules;
    const char *dst;
    const char *name;
    const char *suggestion;
} suggest_rows[] = {
    {"", "192.0.2.1:443", "", "--allow '192.0.2.1:443'"},
    {"", "192.0.2.1:443", "a.example", "--allow 'a.example:443'"},
    {"+b.example:443", "udp://[2001:db8::1]:53", "", "--allow 'udp://[2001:db8::1]:53'"},
    {"", "icmp://192.0.2.1", "", "--allow 'icmp://192.0.2.1'"},
    {"+*:*", "169.254.169.254:80", "a.example", "--allow '169.254.169.254:80'"},
    {"+*:*", "[64:ff9b::a9fe:a9fe]:80", "", "--allow '[64:ff9b::a9fe:a9fe]:80'"},
    {"-192.0.2.0/24:*", "192.0.2.1:443", "a.example",
     "remove the rule 'deny 192.0.2.0/24:*': deny wins over every allow"},
    {"+*:*", "192.0.2.1:443", "", ""},
};

/* Goal: following the suggestion works: an option that is added makes the request allowed. */
START_TEST(suggest_rows_work)
{
    struct policy *p = make_policy(suggest_rows[_i].rules, POLICY_ENFORCE);
    struct policy_request req = make_request(suggest_rows[_i].dst);
    struct pins *pins = NULL;
    struct policy_answer a;
    char text[512];

    ck_assert_int_eq(pins_new(&pins), 0);
    if (suggest_rows[_i].name[0] != '\0')
        pins_add(pins, suggest_rows[_i].name, &req.dst.ip, 60, NOW);
    req.pins = pins;
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    policy_suggest(&req, &a, text, sizeof(text));
    ck_assert_str_eq(text, suggest_rows[_i].suggestion);
    if (strncmp(text, "--allow '", 9) == 0) {
        struct bytes rule = bytes_of(text + 9, strlen(text) - 10);

        ck_assert_int_eq(policy_add_rule(p, POLICY_RULE_ALLOW, rule, NULL), 0);
        ck_assert_int_eq(policy_decide(p, &req, &a), 0);
        ck_assert_int_eq(a.verdict, VERDICT_ALLOW);
    }
    policy_free(p);
    pins_free(pins);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(verdicts_table),
    SUITE_TEST(audit_mode),
    SUITE_TEST(unix_sockets),
    SUITE_TEST(unix_suggestion_allows),
    SUITE_TEST(decide_bad_request_denies),
    SUITE_TEST(decide_expired_pin_denies),
    SUITE_ROWS(decide_name_rows, ARRAY_COUNT(name_rows)),
    SUITE_TEST(decide_name_bad_denies),
    SUITE_ROWS(suggest_rows_work, ARRAY_COUNT(suggest_rows)),
};

SUITE_MAIN("policy/policy", tests)
