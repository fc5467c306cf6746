/* SPDX-License-Identifier: Apache-2.0 */
/* The tool check: order, reasons and modes of the original system, one row a case. */
#include "policy/identity.h"

#include "tests/support/suite.h"

#define NOW 1000

enum who { NOBODY, HUMAN, GHOST, AGENT };

struct row {
    const char *what;
    enum who who;
    enum identity_enforcement global, own;
    enum identity_phase phase;
    int64_t expires_s;
    const char *ns, *tool;
    enum verdict verdict;
    bool would_deny;
    const char *reason;
};

#define LIVE  .phase = IDENTITY_ACTIVE, .expires_s = NOW + 1
#define GOOD  .ns = "team", .tool = "read_file"
#define ALLOW .verdict = VERDICT_ALLOW
#define DENY  .verdict = VERDICT_DENY

static const struct row rows[] = {
    {.what = "listed", .who = AGENT, LIVE, GOOD, ALLOW, .reason = "allowed"},
    {.what = "switched off",
     .who = GHOST,
     .global = IDENTITY_DISABLED,
     GOOD,
     ALLOW,
     .reason = "mode_disabled"},
    {.what = "a human", .who = HUMAN, GOOD, ALLOW, .reason = "not_an_agent"},
    {.what = "no such identity", .who = GHOST, GOOD, DENY, .reason = "identity_not_found"},
    {.what = "no such identity, audit",
     .who = GHOST,
     .global = IDENTITY_AUDIT,
     GOOD,
     DENY,
     .reason = "identity_not_found"},
    {.what = "expired by phase",
     .who = AGENT,
     .phase = IDENTITY_EXPIRED,
     .expires_s = NOW + 1,
     GOOD,
     DENY,
     .reason = "expired"},
    {.what = "expired by clock",
     .who = AGENT,
     .phase = IDENTITY_ACTIVE,
     .expires_s = NOW,
     GOOD,
     DENY,
     .reason = "expired"},
    {.what = "revoked",
     .who = AGENT,
     .phase = IDENTITY_REVOKED,
     .expires_s = NOW + 1,
     GOOD,
     DENY,
     .reason = "revoked"},
    {.what = "revoked and past its end",
     .who = AGENT,
     .phase = IDENTITY_REVOKED,
     .expires_s = NOW,
     GOOD,
     DENY,
     .reason = "revoked"},
    {.what = "revoked, audit",
     .who = AGENT,
     .own = IDENTITY_AUDIT,
     .phase = IDENTITY_REVOKED,
     .expires_s = NOW + 1,
     GOOD,
     DENY,
     .reason = "revoked"},
    {.what = "revoked, own mode disabled",
     .who = AGENT,
     .own = IDENTITY_DISABLED,
     .phase = IDENTITY_REVOKED,
     .expires_s = NOW + 1,
     GOOD,
     DENY,
     .reason = "revoked"},
    {.what = "not enrolled",
     .who = AGENT,
     .phase = IDENTITY_PENDING,
     .expires_s = NOW + 1,
     GOOD,
     DENY,
     .reason = "pending"},
    {.what = "foreign namespace before foreign tool",
     .who = AGENT,
     LIVE,
     .ns = "other",
     .tool = "rm",
     DENY,
     .reason = "namespace_not_allowed"},
    {.what = "foreign tool",
     .who = AGENT,
     LIVE,
     .ns = "team",
     .tool = "rm",
     DENY,
     .reason = "tool_not_allowed"},
    {.what = "other case",
     .who = AGENT,
     LIVE,
     .ns = "team",
     .tool = "Read_file",
     DENY,
     .reason = "tool_not_allowed"},
    {.what = "trailing space",
     .who = AGENT,
     LIVE,
     .ns = "team",
     .tool = "read_file ",
     DENY,
     .reason = "tool_not_allowed"},
    {.what = "server prefix",
     .who = AGENT,
     LIVE,
     .ns = "team",
     .tool = "fs__read_file",
     DENY,
     .reason = "tool_not_allowed"},
    {.what = "look-alike letter",
     .who = AGENT,
     LIVE,
     .ns = "team",
     .tool = "re\xd0\xb0"
             "d_file",
     DENY,
     .reason = "tool_not_allowed"},
    {.what = "no tool name",
     .who = AGENT,
     LIVE,
     .ns = "team",
     .tool = "",
     DENY,
     .reason = "tool_not_allowed"},
    {.what = "star is a name",
     .who = AGENT,
     LIVE,
     .ns = "team",
     .tool = "*",
     DENY,
     .reason = "tool_not_allowed"},
    {.what = "own audit",
     .who = AGENT,
     .own = IDENTITY_AUDIT,
     LIVE,
     .ns = "team",
     .tool = "rm",
     ALLOW,
     .would_deny = true,
     .reason = "tool_not_allowed"},
    {.what = "global audit",
     .who = AGENT,
     .global = IDENTITY_AUDIT,
     LIVE,
     .ns = "other",
     .tool = "rm",
     ALLOW,
     .would_deny = true,
     .reason = "namespace_not_allowed"},
    {.what = "audit, listed",
     .who = AGENT,
     .own = IDENTITY_AUDIT,
     LIVE,
     GOOD,
     ALLOW,
     .reason = "allowed"},
    {.what = "own disabled",
     .who = AGENT,
     .own = IDENTITY_DISABLED,
     LIVE,
     .ns = "x",
     .tool = "rm",
     ALLOW,
     .reason = "mode_disabled"},
};

static struct tool_answer decide(const struct row *row, struct tool_request *ret_req,
                                 struct identity *id)
{
    identity_init(id);
    ck_assert_int_eq(nameset_add(&id->tools, bytes_of_str("read_file")), 0);
    ck_assert_int_eq(nameset_add(&id->namespaces, bytes_of_str("team")), 0);
    id->phase = row->phase;
    id->expires_s = row->expires_s;
    id->enforcement = row->own;
    *ret_req = (struct tool_request){
        .global = row->global,
        .agent = row->who == HUMAN ? NULL : "bot",
        .identity = row->who == AGENT ? id : NULL,
        .ns = row->ns,
        .tool = bytes_of_str(row->tool),
        .now_s = NOW,
    };
    return policy_decide_tool(ret_req);
}

/* Goal: each case gets its verdict and reason. Method: the table above. */
START_TEST(decide_tool_follows_the_table)
{
    const struct row *row = &rows[_i];
    struct tool_request req;
    struct identity id;
    struct tool_answer a = decide(row, &req, &id);

    ck_assert_msg(a.verdict == row->verdict, "%s: verdict %d", row->what, (int)a.verdict);
    ck_assert_msg(a.would_deny == row->would_deny, "%s: would_deny %d", row->what, a.would_deny);
    ck_assert_str_eq(tool_reason_name(a.reason), row->reason);
    identity_done(&id);
}
END_TEST

/* Goal: a NUL inside does not end the name. Method: the listed name with bytes behind a NUL. */
START_TEST(decide_tool_with_nul_is_denied)
{
    struct row row = {.what = "", .who = AGENT, LIVE, GOOD};
    struct tool_request req;
    struct identity id;
    struct tool_answer a = decide(&row, &req, &id);

    ck_assert_int_eq(a.verdict, VERDICT_ALLOW);
    req.tool = bytes_of("read_file\0", 10);
    a = policy_decide_tool(&req);
    ck_assert_int_eq(a.verdict, VERDICT_DENY);
    ck_assert_int_eq(a.reason, TOOL_TOOL_NOT_ALLOWED);
    identity_done(&id);
}
END_TEST

/* Goal: the text names agent, tool, namespace and reason, and foreign bytes cannot reach a
 * terminal. */
START_TEST(error_text_names_everything_and_is_printable)
{
    struct row row = {.what = "", .who = AGENT, LIVE, .ns = "team", .tool = "rm\x1b[2J"};
    char text[TOOL_ERROR_CAP];
    struct tool_request req;
    struct identity id;
    struct tool_answer a = decide(&row, &req, &id);

    policy_tool_error(&req, &a, text);
    ck_assert_str_eq(text,
                     "agent \"bot\" is not permitted to call \"rm?[2J\" in namespace \"team\" "
                     "(tool_not_allowed)");
    identity_done(&id);
}
END_TEST

/* Goal: zeroed memory denies. */
START_TEST(zeroed_answer_denies)
{
    struct tool_answer a = {0};

    ck_assert_int_eq(a.verdict, VERDICT_DENY);
    ck_assert_str_eq(tool_reason_name(a.reason), "not_judged");
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(decide_tool_follows_the_table, ARRAY_COUNT(rows)),
    SUITE_TEST(decide_tool_with_nul_is_denied),
    SUITE_TEST(error_text_names_everything_and_is_printable),
    SUITE_TEST(zeroed_answer_denies),
};

SUITE_MAIN("policy/tool", tests)
