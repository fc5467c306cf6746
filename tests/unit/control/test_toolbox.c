/* SPDX-License-Identifier: Apache-2.0 */
/* latticed's own tools against a store in memory: arguments, connectivity, snapshots, namespaces.
 */
#include "control/toolbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "tests/support/suite.h"

#define NOW 1000000

struct bench {
    struct store *store;
    struct buf text;
    struct tool_run run;
};

static void bench_init(struct bench *b)
{
    *b = (struct bench){.store = NULL};
    buf_init(&b->text, 1u << 20);
    ck_assert_int_eq(store_open(":memory:", &b->store, NULL), 0);
}

static void bench_done(struct bench *b)
{
    store_close(b->store);
    buf_done(&b->text);
}

/** Enrol an agent of @ns with @destinations, which NULL ends. */
static void put(struct bench *b, const char *ns, const char *name, enum identity_enforcement mode,
                const char *const *destinations)
{
    static unsigned n = 1;
    struct store_agent a = {.has_public_key = true};
    struct bytes part = bytes_of(&n, sizeof(n));
    uint8_t hash[HASH_LEN];

    identity_init(&a.identity);
    (void)snprintf(a.identity.ns, sizeof(a.identity.ns), "%s", ns);
    (void)snprintf(a.identity.name, sizeof(a.identity.name), "%s", name);
    a.identity.phase = IDENTITY_ACTIVE;
    a.identity.enforcement = mode;
    a.identity.expires_s = IDENTITY_NEVER;
    for (unsigned i = 0; destinations[i] != NULL; i++)
        ck_assert_int_eq(nameset_add(&a.identity.destinations, bytes_of_str(destinations[i])), 0);
    n++;
    ck_assert_int_eq(hash_sha256(&part, 1, hash), 0);
    memcpy(a.public_key, hash, sizeof(a.public_key));
    ck_assert_int_eq(store_agent_put(b->store, &a, hash, NOW), 0);
    store_agent_done(&a);
}

/** Run @tool in namespace team; the result is in @b->text. */
static bool run(struct bench *b, const char *tool, const char *input)
{
    struct json_limits limits = {.bytes = 65536};
    struct json_doc *doc = NULL;
    struct json_out j;
    bool done;

    if (input != NULL)
        ck_assert_int_eq(json_parse(bytes_of_str(input), &limits, &doc, NULL), 0);
    buf_reset(&b->text);
    json_out_init(&j, &b->text);
    b->run = (struct tool_run){.store = b->store,
                               .ns = "team",
                               .now_s = NOW,
                               .input = doc != NULL ? json_root(doc) : NULL,
                               .out = &j};
    done = toolbox_run(tool, &b->run);
    json_free(doc);
    return done;
}

static void says(struct bench *b, const char *part)
{
    ck_assert_msg(strstr(buf_text(&b->text), part) != NULL, "no %s in %s", part,
                  buf_text(&b->text));
}

static void says_not(struct bench *b, const char *part)
{
    ck_assert_msg(strstr(buf_text(&b->text), part) == NULL, "%s in %s", part, buf_text(&b->text));
}

static void check(struct bench *b, const char *from, const char *to)
{
    char input[512];

    (void)snprintf(input, sizeof(input), "{\"from\":\"%s\",\"to\":\"%s\"}", from, to);
    ck_assert_msg(run(b, "check_connectivity", input), "%s → %s: %s", from, to, b->run.error);
}

static const char *const nothing[] = {NULL};
static const char *const web[] = {"allow *.example.org:443", "allow 192.0.2.0/24:8000-8080",
                                  "deny 192.0.2.7:8010", "allow 10.100.0.0/16:22", NULL};

/* Goal: an argument that is missing, unknown or no text is refused, and a tool that is not there is
 * said to be unknown. Method: each fault beside the call that works. */
START_TEST(arguments_are_checked)
{
    static const struct {
        const char *tool, *input, *error;
        unsigned status;
    } rows[] = {
        {"nothing", "{}", "no tool", 404},
        {"list_peer", "{}", "no tool", 404},
        {"LIST_PEERS", "{}", "no tool", 404},
        {"list_peers", "{\"x\":\"y\"}", "no argument \"x\"", 400},
        {"check_connectivity", NULL, "needs argument \"from\"", 400},
        {"check_connectivity", "{\"from\":\"a\"}", "needs argument \"to\"", 400},
        {"check_connectivity", "{\"from\":1,\"to\":\"b\"}", "must be a string", 400},
        {"check_connectivity", "{\"From\":\"a\",\"to\":\"b\"}", "no argument \"From\"", 400},
        {"check_connectivity", "{\"from\":\"ghost\",\"to\":\"b\"}", "no live agent", 404},
        {"check_connectivity", "{\"from\":\"a\",\"to\":\"\"}", "\"to\" must be", 400},
        {"check_connectivity", "{\"from\":\"a\",\"to\":\"x:\"}", "\"to\" must be", 400},
        {"check_connectivity", "{\"from\":\"a\",\"to\":\"x:0\"}", "\"to\" must be", 400},
        {"check_connectivity", "{\"from\":\"a\",\"to\":\"x:70000\"}", "\"to\" must be", 400},
        {"check_connectivity", "{\"from\":\"a\",\"to\":\"a b\"}", "\"to\" must be", 400},
        {"check_connectivity", "{\"from\":\"a\",\"to\":\"[::1\"}", "\"to\" must be", 400},
        {"get_snapshot", "{\"id\":\"x\"}", "is a number", 400},
        {"get_snapshot", "{\"id\":\"1x\"}", "is a number", 400},
        {"get_snapshot", "{\"id\":\"77\"}", "no snapshot 77", 404},
        {"list_snapshots", "{\"from\":\"soon\",\"to\":\"2026-01-01T00:00:00Z\"}", "must be a time",
         400},
        {"list_snapshots",
         "{\"from\":\"2026-01-01T00:00:00Z\",\"to\":\"2026-01-01T00:00:00Z\",\"triggerType\":"
         "\"x\"}",
         "is enrolled, revoked or expired", 400},
    };
    struct bench b;

    bench_init(&b);
    put(&b, "team", "a", IDENTITY_ENFORCE, web);
    ck_assert(!run(&b, rows[_i].tool, rows[_i].input));
    ck_assert_uint_eq(b.run.status, rows[_i].status);
    ck_assert_msg(strstr(b.run.error, rows[_i].error) != NULL, "%s", b.run.error);
    ck_assert(run(&b, "list_peers", "{}"));
    says(&b, "\"name\":\"a\"");
    bench_done(&b);
}
END_TEST

/* Goal: the answer is the policy engine's, with the rule; a port's neighbour is judged for itself.
 * Method: inside and outside of ranges, prefixes and names. */
START_TEST(connectivity_follows_the_rules)
{
    struct bench b;

    bench_init(&b);
    put(&b, "team", "a", IDENTITY_ENFORCE, web);
    put(&b, "team", "b", IDENTITY_ENFORCE, nothing);
    check(&b, "a", "192.0.2.1:8000");
    says(&b, "\"reachable\":true");
    says(&b, "\"rule\":\"allow 192.0.2.0/24:8000-8080\"");
    check(&b, "a", "192.0.2.1:7999");
    says(&b, "\"reachable\":false");
    check(&b, "a", "192.0.2.7:8010");
    says(&b, "\"reachable\":false");
    says(&b, "\"rule\":\"deny 192.0.2.7:8010\"");
    check(&b, "a", "api.example.org:443");
    says(&b, "\"reachable\":true");
    says(&b, "\"note\"");
    check(&b, "a", "example.org:443");
    says(&b, "\"reachable\":false");
    check(&b, "a", "b:22"); /* an agent, by the address that it has */
    says(&b, "\"address\":\"10.100.0.3\"");
    says(&b, "\"reachable\":true");
    check(&b, "b", "a:22");
    says(&b, "\"reachable\":false");
    check(&b, "a", "169.254.169.254:80");
    says(&b, "\"reason\":\"builtin\"");
    bench_done(&b);
}
END_TEST

/* Goal: without a port, every allowed stretch is named, exactly. Method: one rule with a hole. */
START_TEST(connectivity_without_port_names_the_open_ones)
{
    struct bench b;

    bench_init(&b);
    put(&b, "team", "a", IDENTITY_ENFORCE, web);
    check(&b, "a", "192.0.2.7");
    says(&b, "\"ports\":\"8000-8009\"");
    says(&b, "\"ports\":\"8011-8080\"");
    says_not(&b, "8010");
    check(&b, "a", "192.0.2.8");
    says(&b, "\"ports\":\"8000-8080\"");
    check(&b, "a", "198.51.100.1");
    says(&b, "\"decisions\":[],\"reachable\":false");
    check(&b, "a", "2001:db8::1");
    says(&b, "\"reachable\":false");
    check(&b, "a", "[2001:db8::1]:443");
    says(&b, "\"address\":\"2001:db8::1\"");
    bench_done(&b);
}
END_TEST

/* Goal: audit mode lets pass and says that it would not. */
START_TEST(connectivity_in_audit_mode_says_would_deny)
{
    struct bench b;

    bench_init(&b);
    put(&b, "team", "a", IDENTITY_AUDIT, nothing);
    check(&b, "a", "192.0.2.1:80");
    says(&b, "\"reachable\":true");
    says(&b, "\"wouldDeny\":\"no_rule\"");
    says(&b, "\"mode\":\"audit\"");
    bench_done(&b);
}
END_TEST

/* Goal: a snapshot is what was, also after it has changed. Method: enrol, revoke, enrol anew with
 * other rules, and ask for each state. */
START_TEST(snapshots_keep_what_was)
{
    static const char *const other[] = {"allow 198.51.100.1:80", NULL};
    struct bench b;

    bench_init(&b);                                                     /* epoch 1 */
    put(&b, "team", "a", IDENTITY_ENFORCE, web);                        /* 2 */
    put(&b, "team", "b", IDENTITY_ENFORCE, nothing);                    /* 3 */
    ck_assert_int_eq(store_agent_revoke(b.store, "team", "a", NOW), 1); /* 4 */
    put(&b, "team", "a", IDENTITY_ENFORCE, other);                      /* 5 */
    put(&b, "else", "c", IDENTITY_ENFORCE, nothing);                    /* 6 */
    ck_assert(run(&b, "list_snapshots",
                  "{\"from\":\"2020-01-01T00:00:00Z\",\"to\":\"2100-01-01T00:00:00Z\"}"));
    says(&b, "[{\"id\":\"5\"");
    says(&b, "{\"id\":\"4\"");
    says(&b, "\"triggerType\":\"revoked\"");
    says_not(&b, "\"id\":\"6\""); /* another namespace's */
    ck_assert(run(&b, "list_snapshots",
                  "{\"from\":\"2020-01-01T00:00:00Z\",\"to\":\"2100-01-01T00:00:00Z\","
                  "\"triggerType\":\"revoked\"}"));
    says(&b, "[{\"id\":\"4\"");
    says_not(&b, "enrolled");
    ck_assert(run(&b, "get_snapshot", "{\"id\":\"3\"}"));
    says(&b, "\"name\":\"a\"");
    says(&b, "\"name\":\"b\"");
    ck_assert(run(&b, "get_snapshot", "{\"id\":\"4\"}"));
    says_not(&b, "\"name\":\"a\"");
    ck_assert(run(&b, "diff_snapshots", "{\"from_id\":\"3\",\"to_id\":\"4\"}"));
    ck_assert_str_eq(buf_text(&b.text), "[{\"change\":\"removed\",\"name\":\"a\"}]");
    ck_assert(run(&b, "diff_snapshots", "{\"from_id\":\"2\",\"to_id\":\"5\"}"));
    ck_assert_str_eq(
        buf_text(&b.text),
        "[{\"change\":\"added\",\"name\":\"b\"},{\"change\":\"changed\",\"name\":\"a\"}]");
    ck_assert(run(&b, "diff_snapshots", "{\"from_id\":\"5\",\"to_id\":\"5\"}"));
    ck_assert_str_eq(buf_text(&b.text), "[]");
    ck_assert(run(&b, "check_connectivity_at",
                  "{\"snapshot_id\":\"3\",\"from\":\"a\",\"to\":\"192.0.2.1:8000\"}"));
    says(&b, "\"reachable\":true");
    ck_assert(run(&b, "check_connectivity_at",
                  "{\"snapshot_id\":\"5\",\"from\":\"a\",\"to\":\"192.0.2.1:8000\"}"));
    says(&b, "\"reachable\":false");
    ck_assert(!run(&b, "check_connectivity_at",
                   "{\"snapshot_id\":\"4\",\"from\":\"a\",\"to\":\"192.0.2.1:8000\"}"));
    ck_assert_uint_eq(b.run.status, 404);
    ck_assert(!run(&b, "get_snapshot", "{\"id\":\"6\"}"));
    bench_done(&b);
}
END_TEST

/* Goal: pruning forgets changes, never the state that they left. */
START_TEST(pruning_keeps_the_last_state)
{
    struct bench b;

    bench_init(&b);
    put(&b, "team", "a", IDENTITY_ENFORCE, web);
    ck_assert_int_eq(store_agent_revoke(b.store, "team", "a", NOW), 1);
    put(&b, "team", "b", IDENTITY_ENFORCE, nothing);
    ck_assert_int_eq(store_snapshot_check(b.store, "team", 2), 0);
    ck_assert_int_eq(store_history_prune(b.store, INT64_MAX), 0);
    ck_assert_int_eq(store_snapshot_check(b.store, "team", 2), -ENOENT);
    ck_assert(run(&b, "get_snapshot", "{\"id\":\"4\"}"));
    says(&b, "\"name\":\"b\"");
    says_not(&b, "\"name\":\"a\"");
    bench_done(&b);
}
END_TEST

/* Goal: another namespace's agents are not shown. */
START_TEST(lists_stay_in_their_namespace)
{
    struct bench b;

    bench_init(&b);
    put(&b, "team", "a", IDENTITY_ENFORCE, web);
    put(&b, "else", "c", IDENTITY_ENFORCE, nothing);
    ck_assert(run(&b, "list_policies", NULL));
    says(&b, "\"allow *.example.org:443\"");
    says_not(&b, "\"c\"");
    ck_assert(run(&b, "list_peers", NULL));
    says_not(&b, "\"c\"");
    ck_assert(run(&b, "list_networks", NULL));
    says(&b, "\"activePeers\":2");
    ck_assert(!run(&b, "check_connectivity", "{\"from\":\"c\",\"to\":\"a\"}"));
    bench_done(&b);
}
END_TEST

/* Goal: the list shows what may be called, no more. */
START_TEST(tools_are_listed_by_what_is_allowed)
{
    struct nameset allowed;
    struct json_out j;
    struct buf text;

    buf_init(&text, 65536);
    json_out_init(&j, &text);
    nameset_init(&allowed, 4);
    ck_assert_int_eq(nameset_add(&allowed, bytes_of_str("list_peers")), 0);
    toolbox_list(&j, &allowed);
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "list_peers"));
    ck_assert_ptr_null(strstr(buf_text(&text), "list_networks"));
    buf_reset(&text);
    json_out_init(&j, &text);
    toolbox_list(&j, NULL);
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "list_networks"));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "\"required\":[\"from\",\"to\"]"));
    nameset_done(&allowed);
    buf_done(&text);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(arguments_are_checked, 20),
    SUITE_TEST(connectivity_follows_the_rules),
    SUITE_TEST(connectivity_without_port_names_the_open_ones),
    SUITE_TEST(connectivity_in_audit_mode_says_would_deny),
    SUITE_TEST(snapshots_keep_what_was),
    SUITE_TEST(pruning_keeps_the_last_state),
    SUITE_TEST(lists_stay_in_their_namespace),
    SUITE_TEST(tools_are_listed_by_what_is_allowed),
};

SUITE_MAIN("control/toolbox", tests)
