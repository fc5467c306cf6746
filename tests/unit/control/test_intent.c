/* SPDX-License-Identifier: Apache-2.0 */
/* Intents: each sentence is one tool call whose arguments fit; everything else is refused. */
#include "tests/support/suite.h"

#include <string.h>

#include "control/network.h"

static int parse(const char *text, struct buf *ret, struct why *why)
{
    struct json_out j;

    buf_init(ret, 1 << 16);
    json_out_init(&j, ret);
    return intent_parse(text, &j, why);
}

static const struct {
    const char *text;
    const char *changes; /* NULL: refused */
} rows[] = {
    {"delete peer web", "[{\"tool\":\"delete_peer\",\"arguments\":{\"name\":\"web\"}}]"},
    {" delete policy p ; ", "[{\"tool\":\"delete_policy\",\"arguments\":{\"name\":\"p\"}}]"},
    {"create peer web in default app nginx",
     "[{\"tool\":\"create_peer\",\"arguments\":{\"name\":\"web\",\"network\":\"default\","
     "\"appId\":\"nginx\"}}]"},
    {"create policy p deny internet for team=a,tier=b",
     "[{\"tool\":\"create_policy\",\"arguments\":{\"name\":\"p\",\"network\":\"internet\","
     "\"action\":\"DENY\",\"peerSelector\":{\"matchLabels\":{\"team\":\"a\",\"tier\":\"b\"}}}}]"},
    {"create policy p allow default",
     "[{\"tool\":\"create_policy\",\"arguments\":{\"name\":\"p\",\"network\":\"default\","
     "\"action\":\"ALLOW\"}}]"},
    {"", NULL},
    {" ; ;", NULL},
    {"delete everything", NULL},
    {"delete peer", NULL},
    {"delete peer a b", NULL},
    {"Delete peer a", NULL},
    {"create policy p maybe internet", NULL},
    {"create policy p deny internet for", NULL},
    {"create policy p deny internet for team", NULL},
    {"create policy p deny internet for =a", NULL},
    {"create peer web at default app nginx", NULL},
    {"delete peer a; drop table agents", NULL},
};

/* Goal: a sentence means one thing or nothing. Method: each row; what is accepted fits the tools'
 * own argument check. */
START_TEST(sentence_is_a_call_or_refused)
{
    struct json_limits limits = {.bytes = 1 << 16};
    struct why why = {.text = ""};
    struct json_doc *doc;
    struct buf got;
    int err = parse(rows[_i].text, &got, &why);

    if (rows[_i].changes == NULL) {
        ck_assert_msg(err < 0 && why.text[0] != '\0', "accepted: %s", rows[_i].text);
        buf_done(&got);
        return;
    }
    ck_assert_msg(err == 0, "%s: %s", rows[_i].text, why.text);
    ck_assert_str_eq(buf_text(&got), rows[_i].changes);
    ck_assert_int_eq(json_parse(buf_bytes(&got), &limits, &doc, NULL), 0);
    for (const struct json *c = json_first(json_root(doc)); c != NULL; c = json_next(c)) {
        const char *tool;

        ck_assert_int_eq(json_read_str(json_get(c, "tool"), &tool), 0);
        ck_assert_int_eq(toolset_check(toolset_find(tool), json_get(c, "arguments"), NULL), 0);
    }
    json_free(doc);
    buf_done(&got);
}
END_TEST

/* Goal: a selector with the same label twice cannot be smuggled through: what two readers could
 * understand differently is refused when the plan is read back. */
START_TEST(label_twice_is_no_plan)
{
    struct json_limits limits = {.bytes = 1 << 16};
    struct json_doc *doc = NULL;
    struct buf got;

    ck_assert_int_eq(parse("create policy p deny internet for a=b,a=c", &got, NULL), 0);
    ck_assert_int_lt(json_parse(buf_bytes(&got), &limits, &doc, NULL), 0);
    buf_done(&got);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(sentence_is_a_call_or_refused, ARRAY_COUNT(rows)),
    SUITE_TEST(label_twice_is_no_plan),
};

SUITE_MAIN("control/intent", tests)
