/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The projection and its pictures: records of one story go in, rows, trees and lines for a person
 * come out; taking records twice or in another order changes nothing.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/logfile.h"
#include "audit/record.h"
#include "base/json.h"
#include "base/json_out.h"

#define T0    INT64_C(1700000000000000000)
#define TRACE "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
#define ROOT  "00000000000000a0"
#define SHELL "00000000000000a1"
#define CURL  "00000000000000a2"
#define TOOL  "00000000000000a3"
#define SUB   "00000000000000a4"

#define MS(n) ((n)*NS_PER_MS)

/* An agent runs sh, sh runs curl, which reaches one site and is refused another; it calls a tool,
 * and a sub-agent calls one that it may not. */
static const struct audit_record story[] = {
    {.kind = AUDIT_START,
     .wall_ns = T0,
     .identity = "web",
     .trace_id = TRACE,
     .span_id = ROOT,
     .mode = "enforce",
     .duration_ns = -1},
    {.kind = AUDIT_EXEC,
     .wall_ns = T0 + MS(1),
     .identity = "web",
     .trace_id = TRACE,
     .span_id = SHELL,
     .parent_span_id = ROOT,
     .tool = "exec:sh",
     .status = "ok",
     .pid = 10,
     .exe = "/bin/sh",
     .duration_ns = -1},
    {.kind = AUDIT_EXEC,
     .wall_ns = T0 + MS(2),
     .identity = "web",
     .trace_id = TRACE,
     .span_id = CURL,
     .parent_span_id = SHELL,
     .tool = "exec:curl",
     .status = "ok",
     .pid = 11,
     .ppid = 10,
     .exe = "/usr/bin/curl",
     .duration_ns = -1},
    {.kind = AUDIT_DECISION,
     .wall_ns = T0 + MS(3),
     .identity = "web",
     .trace_id = TRACE,
     .parent_span_id = CURL,
     .verdict = "allow",
     .protocol = "tcp",
     .direction = "egress",
     .dst = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 1}}, .port = 443},
     .name = "example.org",
     .rule = "example.org:443",
     .pid = 11,
     .duration_ns = -1},
    {.kind = AUDIT_DECISION,
     .wall_ns = T0 + MS(4),
     .identity = "web",
     .trace_id = TRACE,
     .parent_span_id = CURL,
     .verdict = "drop",
     .protocol = "tcp",
     .direction = "egress",
     .dst = {.ip = {.family = IP_V4, .bytes = {198, 51, 100, 7}}, .port = 80},
     .name = "evil.test\x1b[2J",
     .rule = "default",
     .reason = "no_rule",
     .pid = 11,
     .duration_ns = -1},
    {.kind = AUDIT_FLOW,
     .wall_ns = T0 + MS(90),
     .identity = "web",
     .trace_id = TRACE,
     .parent_span_id = CURL,
     .verdict = "allow",
     .protocol = "tcp",
     .direction = "egress",
     .src = {.ip = {.family = IP_V4, .bytes = {10, 0, 0, 2}}, .port = 40000},
     .dst = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 1}}, .port = 443},
     .name = "example.org",
     .rule = "example.org:443",
     .pid = 11,
     .bytes_out = 512,
     .bytes_in = 204800,
     .duration_ns = MS(87)},
    {.kind = AUDIT_EXIT,
     .wall_ns = T0 + MS(100),
     .identity = "web",
     .trace_id = TRACE,
     .span_id = CURL,
     .parent_span_id = SHELL,
     .tool = "exec:curl",
     .status = "error",
     .pid = 11,
     .exit_status = 7,
     .duration_ns = MS(98)},
    {.kind = AUDIT_EXIT,
     .wall_ns = T0 + MS(110),
     .identity = "web",
     .trace_id = TRACE,
     .span_id = SHELL,
     .parent_span_id = ROOT,
     .tool = "exec:sh",
     .status = "ok",
     .pid = 10,
     .duration_ns = MS(109)},
    {.kind = AUDIT_SPAN,
     .wall_ns = T0 + MS(150),
     .identity = "web",
     .trace_id = TRACE,
     .span_id = TOOL,
     .parent_span_id = ROOT,
     .tool = "read_file",
     .status = "ok",
     .arguments = "{\"path\":\"/etc/hosts\",\"token\":\"s3cret\"}",
     .duration_ns = MS(20)},
    {.kind = AUDIT_SPAN,
     .wall_ns = T0 + MS(170),
     .identity = "web-sub",
     .parent_id = "web",
     .trace_id = TRACE,
     .span_id = SUB,
     .parent_span_id = TOOL,
     .tool = "write_file",
     .status = "blocked",
     .error = "not permitted",
     .reason = "tool_not_allowed",
     .duration_ns = MS(1)},
    {.kind = AUDIT_STOP,
     .wall_ns = T0 + MS(200),
     .identity = "web",
     .trace_id = TRACE,
     .span_id = ROOT,
     .exit_status = 0,
     .duration_ns = MS(200)},
};

static const char picture[] =
    "trace " TRACE "  2023-11-14 22:13:20 UTC  5 spans, 3 flows, 1 dropped\n"
    "└─ sandbox:web                     ok             200 ms  enforce\n"
    "   ├─ exec:sh                      ok             109 ms  pid 10\n"
    "   │  └─ exec:curl                 error           98 ms  exit 7  pid 11\n"
    "   │     ├─ → example.org:443      allow           87 ms  ↑ 512 B  ↓ 200.0 KiB  rule "
    "example.org:443  192.0.2.1\n"
    "   │     └─ ✗ evil.test?[2J:80     drop                   rule default  no_rule  "
    "198.51.100.7\n"
    "   └─ tool:read_file               ok              20 ms  "
    "{\"path\":\"/etc/hosts\",\"token\":\"[redacted]\"}\n"
    "      └─ tool:write_file @web-sub  blocked       1.00 ms  tool_not_allowed  not permitted\n";

static char dir[] = "/tmp/lattice-test-store-XXXXXX";
static char path[64];

static void write_story(void)
{
    struct logfile f;
    struct bytes sealed;
    struct buf lines;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    ck_assert_int_eq(logfile_open(&f, path, 1, NULL), 0);
    buf_init(&lines, LOGFILE_BATCH_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(story); i++) {
        struct json_out j;

        json_out_init(&j, &lines);
        json_open_object(&j);
        record_members(&story[i], RECORD_LINE, &j);
        buf_add_char(&lines, '\n');
    }
    ck_assert_int_eq(logfile_append(&f, buf_bytes(&lines), &sealed), 0);
    buf_done(&lines);
    logfile_close(&f);
}

static void remove_story(void)
{
    char head[80];

    (void)snprintf(head, sizeof(head), "%s.head", path);
    ck_assert_int_eq(unlink(path) + unlink(head) + rmdir(dir), 0);
}

static struct audit_store *load_story(void)
{
    struct audit_store *store = NULL;
    struct why why = {0};
    uint64_t skipped;

    write_story();
    ck_assert_msg(audit_store_open(":memory:", &store, &why) == 0, "%s", why.text);
    ck_assert_int_eq(audit_store_load(store, path, &skipped, &why), (int64_t)ARRAY_COUNT(story));
    ck_assert_uint_eq(skipped, 0);
    return store;
}

static void draw(struct audit_store *store, bool all, struct buf *ret)
{
    const struct audit_drawing how = {.all = all};
    struct audit_tree *tree = NULL;

    buf_init(ret, 1u << 20);
    ck_assert_int_eq(audit_tree_load(store, TRACE, &tree), 0);
    ck_assert_int_eq(audit_tree_draw(tree, &how, ret), 0);
    audit_tree_free(tree);
}

START_TEST(tree_is_drawn_with_programs_tools_flows_and_rules)
{
    struct audit_store *store = load_story();
    struct buf out;

    draw(store, false, &out);
    ck_assert_str_eq(buf_text(&out), picture);
    buf_done(&out);
    audit_store_close(store);
    remove_story();
}
END_TEST

START_TEST(tree_with_all_shows_the_decision_behind_a_flow)
{
    struct audit_store *store = load_story();
    struct buf out;

    draw(store, true, &out);
    ck_assert_ptr_nonnull(
        strstr(buf_text(&out), "├─ → example.org:443      allow                  rule"));
    buf_done(&out);
    audit_store_close(store);
    remove_story();
}
END_TEST

START_TEST(tree_in_colour_and_narrow_stays_within_its_columns)
{
    struct audit_store *store = load_story();
    const struct audit_drawing plain = {.columns = 80};
    const struct audit_drawing narrow = {.columns = 52};
    const struct audit_drawing coloured = {.columns = 80, .colour = true};
    struct audit_tree *tree = NULL;
    struct buf out;
    unsigned width = 0;

    buf_init(&out, 1u << 20);
    ck_assert_int_eq(audit_tree_load(store, TRACE, &tree), 0);
    ck_assert_int_eq(audit_tree_draw(tree, &plain, &out), 0);
    ck_assert_ptr_null(strchr(buf_text(&out), '\033'));
    for (const char *p = strchr(buf_text(&out), '\n') + 1; *p != '\0'; p++) {
        width = *p == '\n' ? 0 : width + (((unsigned char)*p & 0xc0) != 0x80);
        ck_assert_uint_le(width, 80);
    }
    buf_reset(&out);
    ck_assert_int_eq(audit_tree_draw(tree, &narrow, &out), 0);
    for (const char *p = strchr(buf_text(&out), '\n') + 1; *p != '\0'; p++) {
        width = *p == '\n' ? 0 : width + (((unsigned char)*p & 0xc0) != 0x80);
        ck_assert_uint_le(width, 52);
    }
    /* why it was refused, within the tree */
    ck_assert_ptr_nonnull(strstr(buf_text(&out), "\n   │           rule default  no_rule"));
    ck_assert_ptr_nonnull(strstr(buf_text(&out), "\n   │     │  exit 7"));
    ck_assert_ptr_null(strstr(buf_text(&out), "pid 10"));
    buf_reset(&out);
    ck_assert_int_eq(audit_tree_draw(tree, &coloured, &out), 0);
    ck_assert_ptr_nonnull(strstr(buf_text(&out), "\033[31mdrop\033[0m"));
    ck_assert_ptr_null(strstr(buf_text(&out), "\033[2J")); /* the name's own escape sequence */
    buf_done(&out);
    audit_tree_free(tree);
    audit_store_close(store);
    remove_story();
}
END_TEST

static int draw_one(void *self, const struct audit_flow_row *r)
{
    struct buf *out = self;
    const struct audit_drawing narrow = {.columns = 80};
    const struct audit_drawing wide = {.columns = 120};

    audit_flow_draw(r, &narrow, out);
    audit_flow_draw(r, &wide, out);
    return 0;
}

/* Goal: in a list no line is longer than the terminal is wide, whatever a name's length. */
START_TEST(list_stays_within_its_columns)
{
    static const char name[] =
        "a-name-that-is-longer-than-most.with-labels.and-more-labels.and-some."
        "example.org";
    const struct audit_flow_row row = {.agent = "web",
                                       .is_decision = true,
                                       .protocol = "tcp",
                                       .name = name,
                                       .dst_ip = "198.51.100.7",
                                       .dst_port = 443,
                                       .verdict = "drop",
                                       .reason = "no_rule",
                                       .exe = "/usr/bin/curl",
                                       .pid = 11};
    unsigned width = 0, lines = 0;
    struct buf out;

    buf_init(&out, 1u << 16);
    ck_assert_int_eq(draw_one(&out, &row), 0);
    for (const char *p = buf_text(&out); *p != '\0'; p++) {
        width = *p == '\n' ? 0 : width + (((unsigned char)*p & 0xc0) != 0x80);
        lines += *p == '\n';
        ck_assert_uint_le(width, lines < 2 ? 80 : 120);
    }
    ck_assert_uint_eq(lines, 4); /* two each: the name leaves no room */
    ck_assert_ptr_nonnull(strstr(buf_text(&out),
                                 "\n                          no_rule  198.51.100.7  "
                                 "/usr/bin/curl  pid 11  @web\n"));
    buf_done(&out);
}
END_TEST

START_TEST(load_again_takes_nothing_and_put_again_changes_nothing)
{
    struct audit_store *store = load_story();
    struct buf before;
    struct buf after;

    ck_assert_int_eq(audit_store_load(store, path, NULL, NULL), 0);
    draw(store, true, &before);
    for (size_t i = 0; i < ARRAY_COUNT(story);
         i++) { /* the same records as the stream brings them */
        struct buf payload;

        buf_init(&payload, AUDIT_LINE_MAX);
        ck_assert_int_eq(record_payload(&story[i], "0000000000000001", i + 1, NULL, &payload), 0);
        ck_assert_int_eq(audit_store_put(store, NULL, buf_bytes(&payload), NULL), 0);
        buf_done(&payload);
    }
    draw(store, true, &after);
    ck_assert_str_eq(buf_text(&after), buf_text(&before));
    buf_done(&before);
    buf_done(&after);
    audit_store_close(store);
    remove_story();
}
END_TEST

START_TEST(put_in_reverse_order_gives_the_same_tree)
{
    struct audit_store *store = NULL;
    struct buf out;

    ck_assert_int_eq(audit_store_open(":memory:", &store, NULL), 0);
    ck_assert_int_eq(audit_store_begin(store), 0);
    for (size_t i = ARRAY_COUNT(story); i > 0; i--) {
        struct buf payload;

        buf_init(&payload, AUDIT_LINE_MAX);
        ck_assert_int_eq(record_payload(&story[i - 1], "0000000000000001", i, NULL, &payload), 0);
        ck_assert_int_eq(audit_store_put(store, NULL, buf_bytes(&payload), NULL), 0);
        buf_done(&payload);
    }
    ck_assert_int_eq(audit_store_commit(store), 0);
    draw(store, false, &out);
    ck_assert_str_eq(buf_text(&out), picture);
    buf_done(&out);
    audit_store_close(store);
}
END_TEST

START_TEST(put_what_is_no_message_is_refused)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"kind\":\"flow\"}",
        "{\"kind\":\"flow\",\"chain\":\"00\",\"seq\":1}",
        "{\"kind\":\"flow\",\"chain\":\"0000000000000001\",\"seq\":-1}",
        "{\"kind\":\"flow\",\"chain\":\"0000000000000001\",\"seq\":1,\"verdict\":\"maybe\"}",
        "{\"kind\":\"flow\",\"chain\":\"0000000000000001\",\"seq\":1,\"dstIp\":\"localhost\"}",
        "{\"kind\":\"flow\",\"chain\":\"0000000000000001\",\"seq\":1,\"kind\":\"flow\"}",
    };
    struct audit_store *store = NULL;
    struct why why = {0};

    ck_assert_int_eq(audit_store_open(":memory:", &store, NULL), 0);
    ck_assert_int_eq(audit_store_put(store, NULL, bytes_of_str(rows[_i]), &why), -EINVAL);
    ck_assert(why.text[0] != '\0');
    audit_store_close(store);
}
END_TEST

struct seen {
    unsigned rows;
    struct audit_trace_row trace;
    int64_t last_ns;
    char last_id[64];
};

static int see_trace(void *self, const struct audit_trace_row *r)
{
    struct seen *seen = self;

    seen->rows++;
    seen->trace = *r;
    ck_assert_str_eq(r->trace_id, TRACE);
    ck_assert_str_eq(r->agent, "web");
    return 0;
}

static int see_flow(void *self, const struct audit_flow_row *r)
{
    struct seen *seen = self;

    ck_assert(seen->rows == 0 || r->time_ns <= seen->last_ns); /* newest first */
    seen->rows++;
    seen->last_ns = r->time_ns;
    (void)snprintf(seen->last_id, sizeof(seen->last_id), "%s", r->id);
    return 0;
}

START_TEST(traces_are_summed_up)
{
    struct audit_store *store = load_story();
    struct audit_filter f = {.agent = "web-sub"};
    struct seen seen = {0};

    ck_assert_int_eq(audit_store_traces(store, &f, see_trace, &seen), 0);
    ck_assert_uint_eq(seen.rows, 1);
    ck_assert_uint_eq(seen.trace.spans, 5);
    ck_assert_uint_eq(seen.trace.failed, 2);
    ck_assert_uint_eq(seen.trace.flows, 1);
    ck_assert_uint_eq(seen.trace.dropped, 1);
    ck_assert_uint_eq(seen.trace.bytes_in, 204800);
    ck_assert_int_eq(seen.trace.ended_ns - seen.trace.started_ns, MS(200));
    f.agent = "nobody";
    ck_assert_int_eq(audit_store_traces(store, &f, see_trace, &seen), 0);
    ck_assert_uint_eq(seen.rows, 1);
    audit_store_close(store);
    remove_story();
}
END_TEST

START_TEST(flows_are_filtered_and_paged_without_gap_or_repetition)
{
    struct audit_store *store = load_story();
    struct audit_filter f = {.verdict = "drop"};
    struct seen seen = {0};

    ck_assert_int_eq(audit_store_flows(store, &f, see_flow, &seen), 0);
    ck_assert_uint_eq(seen.rows, 1);
    f = (struct audit_filter){.limit = 1};
    seen = (struct seen){0};
    for (unsigned page = 0; page < 4; page++) {
        ck_assert_int_eq(audit_store_flows(store, &f, see_flow, &seen), 0);
        ck_assert_uint_eq(seen.rows, page < 3 ? page + 1 : 3);
        f.before_ns = seen.last_ns;
        f.before_id = seen.last_id;
    }
    f = (struct audit_filter){.from_ns = T0 + MS(4), .to_ns = T0 + MS(90)};
    seen = (struct seen){0};
    ck_assert_int_eq(audit_store_flows(store, &f, see_flow, &seen), 0);
    ck_assert_uint_eq(seen.rows, 1);
    audit_store_close(store);
    remove_story();
}
END_TEST

static int see_span(void *self, const struct audit_span_row *r)
{
    struct seen *seen = self;

    ck_assert(seen->rows == 0 || r->started_ns < seen->last_ns ||
              (r->started_ns == seen->last_ns && strcmp(r->span_id, seen->last_id) < 0));
    seen->rows++;
    seen->last_ns = r->started_ns;
    (void)snprintf(seen->last_id, sizeof(seen->last_id), "%s", r->span_id);
    return 0;
}

START_TEST(spans_of_the_same_moment_are_paged_by_span_id)
{
    static const char *const span_ids[] = {"00000000000000a1", "ffffffffffffffa2",
                                           "80000000000000a3", "80000000000000a4"};
    struct audit_filter f = {.agent = "busy", .limit = 1};
    struct audit_store *store = NULL;
    struct seen seen = {0};

    ck_assert_int_eq(audit_store_open(":memory:", &store, NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(span_ids); i++) {
        const struct audit_record r = {.kind = AUDIT_SPAN,
                                       .identity = "busy",
                                       .trace_id = TRACE,
                                       .span_id = span_ids[i],
                                       .tool = "t",
                                       .status = "ok",
                                       .wall_ns = T0,
                                       .duration_ns = 0};
        struct buf payload;

        buf_init(&payload, AUDIT_LINE_MAX);
        ck_assert_int_eq(record_payload(&r, "8000000000000000", i + 1, NULL, &payload), 0);
        ck_assert_int_eq(audit_store_put(store, NULL, buf_bytes(&payload), NULL), 0);
        buf_done(&payload);
    }
    for (unsigned page = 0; page < 6; page++) {
        ck_assert_int_eq(audit_store_spans(store, &f, see_span, &seen), 0);
        ck_assert_uint_eq(seen.rows, page < 4 ? page + 1 : 4);
        f.before_ns = seen.last_ns;
        f.before_id = seen.last_id;
    }
    audit_store_close(store);
}
END_TEST

START_TEST(tree_as_json_nests_children_and_flows)
{
    const struct json_limits limits = {.bytes = 1u << 20};
    struct audit_store *store = load_story();
    struct audit_tree *tree = NULL;
    struct json_doc *doc = NULL;
    const struct json *span;
    struct json_out j;
    struct buf out;

    buf_init(&out, 1u << 20);
    ck_assert_int_eq(audit_tree_load_agent(store, "web", &tree), 0);
    json_out_init(&j, &out);
    audit_tree_json(tree, &j);
    ck_assert_int_eq(json_parse(buf_bytes(&out), &limits, &doc, NULL), 0);
    span = json_first(json_get(json_root(doc), "spans"));
    ck_assert(json_is_str(json_get(span, "tool"), "sandbox:web"));
    ck_assert_uint_eq(json_count(json_get(span, "children")), 2);
    span = json_first(json_get(json_first(json_get(span, "children")), "children"));
    ck_assert(json_is_str(json_get(span, "tool"), "exec:curl"));
    ck_assert_uint_eq(json_count(json_get(span, "flows")), 3);
    ck_assert_ptr_nonnull(strstr(buf_text(&out), "web-sub"));
    json_free(doc);
    buf_done(&out);
    audit_tree_free(tree);
    audit_store_close(store);
    remove_story();
}
END_TEST

START_TEST(tree_of_circles_and_depth_is_still_drawn_whole)
{
    /* Spans name each other as parents in a circle, and a chain is 1000 deep. */
    const struct audit_drawing how = {0};
    struct audit_store *store = NULL;
    struct audit_tree *tree = NULL;
    struct json_out j;
    struct buf out;
    unsigned lines = 0;

    ck_assert_int_eq(audit_store_open(":memory:", &store, NULL), 0);
    ck_assert_int_eq(audit_store_begin(store), 0);
    for (unsigned i = 0; i < 1003; i++) {
        char id[AUDIT_SPAN_CAP];
        char parent[AUDIT_SPAN_CAP];
        struct audit_record r = {.kind = AUDIT_SPAN,
                                 .wall_ns = T0 + i,
                                 .identity = "a",
                                 .trace_id = TRACE,
                                 .tool = "t",
                                 .status = "ok",
                                 .span_id = id,
                                 .parent_span_id = parent,
                                 .duration_ns = -1};
        struct buf payload;

        (void)snprintf(id, sizeof(id), "%016x", i);
        (void)snprintf(parent, sizeof(parent), "%016x", i < 3 ? (i + 1) % 3 : i - 1);
        buf_init(&payload, AUDIT_LINE_MAX);
        ck_assert_int_eq(record_payload(&r, "0000000000000001", i + 1, NULL, &payload), 0);
        ck_assert_int_eq(audit_store_put(store, NULL, buf_bytes(&payload), NULL), 0);
        buf_done(&payload);
    }
    ck_assert_int_eq(audit_store_commit(store), 0);
    ck_assert_int_eq(audit_tree_load(store, TRACE, &tree), 0);
    buf_init(&out, 1u << 24);
    ck_assert_int_eq(audit_tree_draw(tree, &how, &out), 0);
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    ck_assert_uint_eq(lines, 1004);
    buf_reset(&out);
    json_out_init(&j, &out);
    audit_tree_json(tree, &j);
    ck_assert_int_eq(buf_error(&out), 0);
    buf_done(&out);
    audit_tree_free(tree);
    audit_store_close(store);
}
END_TEST

START_TEST(tree_of_an_unknown_trace_is_not_found)
{
    struct audit_store *store = load_story();
    struct audit_tree *tree = NULL;

    ck_assert_int_eq(audit_tree_load(store, "00000000-0000-4000-8000-000000000000", &tree),
                     -ENOENT);
    ck_assert_int_eq(audit_tree_load_agent(store, "nobody", &tree), -ENOENT);
    audit_store_close(store);
    remove_story();
}
END_TEST

START_TEST(database_on_disk_is_private_and_goes_on_where_it_stopped)
{
    struct audit_store *store = load_story();
    char db[80];

    audit_store_close(store);
    (void)snprintf(db, sizeof(db), "%s/db", dir);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(audit_store_open(db, &store, NULL), 0);
        ck_assert_int_eq(audit_store_load(store, path, NULL, NULL),
                         i == 0 ? (int64_t)ARRAY_COUNT(story) : 0);
        audit_store_close(store);
    }
    ck_assert_int_eq(unlink(db), 0);
    remove_story();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(tree_is_drawn_with_programs_tools_flows_and_rules),
    SUITE_TEST(tree_with_all_shows_the_decision_behind_a_flow),
    SUITE_TEST(tree_in_colour_and_narrow_stays_within_its_columns),
    SUITE_TEST(list_stays_within_its_columns),
    SUITE_TEST(load_again_takes_nothing_and_put_again_changes_nothing),
    SUITE_TEST(put_in_reverse_order_gives_the_same_tree),
    SUITE_ROWS(put_what_is_no_message_is_refused, 9),
    SUITE_TEST(traces_are_summed_up),
    SUITE_TEST(flows_are_filtered_and_paged_without_gap_or_repetition),
    SUITE_TEST(spans_of_the_same_moment_are_paged_by_span_id),
    SUITE_TEST(tree_as_json_nests_children_and_flows),
    SUITE_TEST(tree_of_circles_and_depth_is_still_drawn_whole),
    SUITE_TEST(tree_of_an_unknown_trace_is_not_found),
    SUITE_TEST(database_on_disk_is_private_and_goes_on_where_it_stopped),
};

SUITE_MAIN("audit store", tests)
