/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MCP gateway: what it passes on is what was written, byte by byte; what the policy refuses
 * never reaches the server; nothing but an allowed tool's own name opens it (threats F1, F2, F10).
 */
#include "tests/support/suite.h"

#include <string.h>

#include "base/buf.h"
#include "mcp/mcp.h"

struct bench {
    struct identity identity;
    struct mcp_gateway *gateway;
    struct buf client; /* everything written to the client since the last step */
    struct buf server;
    struct buf calls; /* "tool status reason;" each */
    bool may_record;
};

static void to_client(void *self, struct bytes line)
{
    buf_add(&((struct bench *)self)->client, line.data, line.len);
}

static void to_server(void *self, struct bytes line)
{
    buf_add(&((struct bench *)self)->server, line.data, line.len);
}

static bool call_begins(void *self, const char *tool, uint64_t *ret_tag)
{
    (void)tool;
    *ret_tag = 7;
    return ((struct bench *)self)->may_record;
}

static void call_ended(void *self, const struct mcp_call *call)
{
    buf_printf(&((struct bench *)self)->calls, "%s %s %s%s;", call->tool,
               mcp_call_status_name(call->status), tool_reason_name(call->answer.reason),
               call->answer.would_deny ? " would_deny" : "");
}

static void bench_init(struct bench *b, enum identity_enforcement mode, unsigned groups)
{
    const struct mcp_sink sink = {.self = b,
                                  .to_client = to_client,
                                  .to_server = to_server,
                                  .call_begins = call_begins,
                                  .call_ended = call_ended};
    struct mcp_gateway_config config = {
        .identity = &b->identity, .ns = "default", .groups = groups};

    *b = (struct bench){.may_record = true};
    buf_init(&b->client, 1 << 20);
    buf_init(&b->server, 1 << 20);
    buf_init(&b->calls, 1 << 16);
    identity_init(&b->identity);
    (void)snprintf(b->identity.name, sizeof(b->identity.name), "agent");
    b->identity.phase = IDENTITY_ACTIVE;
    b->identity.expires_s = 1000;
    b->identity.enforcement = mode;
    ck_assert_int_eq(nameset_add(&b->identity.namespaces, bytes_of_str("default")), 0);
    ck_assert_int_eq(nameset_add(&b->identity.tools, bytes_of_str("read_file")), 0);
    ck_assert_int_eq(mcp_gateway_new(&config, &sink, &b->gateway), 0);
}

static void bench_done(struct bench *b)
{
    mcp_gateway_free(b->gateway);
    identity_done(&b->identity);
    buf_done(&b->client);
    buf_done(&b->server);
    buf_done(&b->calls);
}

/** One line of the client; afterwards b->client and b->server hold only what it caused. */
static void client(struct bench *b, const char *line)
{
    buf_reset(&b->client);
    buf_reset(&b->server);
    mcp_gateway_from_client(b->gateway, bytes_of_str(line), (struct mono){.ns = 1}, 10);
}

static void server(struct bench *b, const char *line)
{
    buf_reset(&b->client);
    buf_reset(&b->server);
    mcp_gateway_from_server(b->gateway, bytes_of_str(line), (struct mono){.ns = 5}, 10);
}

#define CALL(id, name)                                                                             \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":" name      \
    ",\"arguments\":{\"path\":\"a\"}}}"
#define LIST "{\"id\": 7 ,\"jsonrpc\":\"2.0\",\"method\":\"tools/list\"}"

START_TEST(allowed_call_passes_unchanged_both_ways_and_is_recorded)
{
    struct bench b;

    bench_init(&b, IDENTITY_ENFORCE, 0);
    client(&b, CALL("1.50e0", "\"read_file\""));
    ck_assert_str_eq(buf_text(&b.server), CALL("1.50e0", "\"read_file\"") "\n");
    ck_assert_str_eq(buf_text(&b.client), "");
    server(&b, "{\"jsonrpc\":\"2.0\",\"id\":1.50e0,\"result\":{\"content\":[],\"n\":"
               "12345678901234567890}}");
    ck_assert_str_eq(buf_text(&b.client),
                     "{\"jsonrpc\":\"2.0\",\"id\":1.50e0,\"result\":{\"content\":[],\"n\":"
                     "12345678901234567890}}\n");
    ck_assert_str_eq(buf_text(&b.calls), "read_file ok allowed;");
    server(&b,
           "{\"jsonrpc\":\"2.0\",\"id\":1.50e0,\"result\":{}}"); /* a second answer: nobody asked */
    ck_assert_str_eq(buf_text(&b.client), "");
    bench_done(&b);
}
END_TEST

/* Every way to write a tool's name that is not exactly an allowed one (F1). */
static const char *const foreign_names[] = {
    "\"write_file\"",
    "\"Read_file\"",
    "\"READ_FILE\"",
    "\"read_file \"",
    "\" read_file\"",
    "\"read_file\\t\"",
    "\"read\\u005ffile2\"",
    "\"re\u0430d_file\"", /* a Cyrillic letter */
    "\"fs__read_file\"",
    "\"read_file\\u200b\"",
    "\"\"",
    "\"*\"",
    "\"read_file/../write_file\"",
};

START_TEST(foreign_name_is_answered_as_unknown_and_never_reaches_the_server)
{
    struct bench b;
    char line[512];

    bench_init(&b, IDENTITY_ENFORCE, 0);
    (void)snprintf(
        line, sizeof(line),
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"tools/call\",\"params\":{\"name\":%s}}",
        foreign_names[_i]);
    client(&b, line);
    ck_assert_str_eq(buf_text(&b.server), "");
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "\"code\":-32602"));
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "\"id\":\"x\""));
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "Unknown tool: "));
    ck_assert_ptr_nonnull(strstr(buf_text(&b.calls), " blocked tool_not_allowed;"));
    bench_done(&b);
}
END_TEST

static const struct {
    const char *line;
    const char *code;
} broken_rows[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
     "call\",\"params\":{\"name\":\"read_file\",\"name\":\"write_file\"}}",
     "-32700"}, /* which of the two would the server take? */
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"method\":\"ping\"}", "-32700"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
     "call\",\"params\":{\"name\":\"read_file\\u0000\"}}",
     "-32700"},
    {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", "-32600"},
    {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", "-32600"},
    {"{\"id\":1,\"method\":\"ping\"}", "-32600"},
    {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", "-32600"},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", "-32600"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", "-32600"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":\"x\"}", "-32600"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1}", "-32600"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
     "call\",\"params\":{\"name\":[\"read_file\"]}}",
     "-32602"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"Name\":\"read_file\"}}",
     "-32602"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}", "-32602"},
    {"not json", "-32700"},
    {"", "-32700"},
};

START_TEST(broken_message_gets_the_right_error_and_is_not_passed_on)
{
    struct bench b;

    bench_init(&b, IDENTITY_ENFORCE, 0);
    client(&b, broken_rows[_i].line);
    ck_assert_str_eq(buf_text(&b.server), "");
    ck_assert_msg(strstr(buf_text(&b.client), broken_rows[_i].code) != NULL, "%s",
                  buf_text(&b.client));
    bench_done(&b);
}
END_TEST

#define TOOLS                                                                                      \
    "{\"name\":\"write_file\",\"inputSchema\":{}}, {\"inputSchema\":{}} ,{\"x\":1e3, "             \
    "\"name\":\"read_file\"}"

START_TEST(list_loses_what_may_not_be_called_and_nothing_else)
{
    struct bench b;

    bench_init(&b, IDENTITY_ENFORCE, 0);
    client(&b, LIST);
    ck_assert_str_eq(buf_text(&b.server), LIST "\n");
    server(&b, "{\"result\":{\"ttlMs\":0,\"tools\":[" TOOLS
               "],\"nextCursor\":\"z\"},\"id\":7,\"jsonrpc\":\"2.0\"}");
    ck_assert_str_eq(buf_text(&b.client),
                     "{\"result\":{\"ttlMs\":0,\"tools\":[{\"x\":1e3, \"name\":\"read_file\"}],"
                     "\"nextCursor\":\"z\"},\"id\":7,\"jsonrpc\":\"2.0\"}\n");
    ck_assert_uint_eq(mcp_gateway_counts(b.gateway).hidden, 2);
    bench_done(&b);
}
END_TEST

START_TEST(audit_mode_hides_nothing_and_marks_the_call)
{
    struct bench b;

    bench_init(&b, IDENTITY_AUDIT, 0);
    client(&b, LIST);
    server(&b, "{\"result\":{\"tools\":[" TOOLS "]},\"id\":7,\"jsonrpc\":\"2.0\"}");
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "write_file"));
    client(&b, CALL("8", "\"write_file\""));
    ck_assert_str_eq(buf_text(&b.server), CALL("8", "\"write_file\"") "\n");
    server(&b, "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{\"isError\":true}}");
    ck_assert_str_eq(buf_text(&b.calls), "write_file error tool_not_allowed would_deny;");
    bench_done(&b);
}
END_TEST

START_TEST(revoked_identity_is_refused_from_the_next_call_on)
{
    struct bench b;

    bench_init(&b, IDENTITY_ENFORCE, 0);
    client(&b, CALL("1", "\"read_file\""));
    ck_assert_str_ne(buf_text(&b.server), ""); /* the positive control */
    b.identity.phase = IDENTITY_REVOKED;
    client(&b, CALL("2", "\"read_file\""));
    ck_assert_str_eq(buf_text(&b.server), "");
    ck_assert_str_eq(buf_text(&b.calls), "read_file blocked revoked;");
    bench_done(&b);
}
END_TEST

static const struct {
    unsigned group;
    bool is_client;
    const char *method;
} group_rows[] = {
    {MCP_RESOURCES, true, "resources/read"},
    {MCP_PROMPTS, true, "prompts/get"},
    {MCP_PROMPTS, true, "completion/complete"},
    {MCP_TASKS, true, "tasks/get"},
    {MCP_SAMPLING, false, "sampling/createMessage"},
    {MCP_ELICITATION, false, "elicitation/create"},
    {MCP_ROOTS, false, "roots/list"},
};

START_TEST(method_of_a_closed_group_is_refused_in_its_direction)
{
    struct bench b;
    char line[256];

    (void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"%s\"}",
                   group_rows[_i].method);
    for (int open = 0; open < 2; open++) {
        const char *passed;
        const char *answered;

        bench_init(&b, IDENTITY_ENFORCE, open ? group_rows[_i].group : 0);
        if (group_rows[_i].is_client)
            client(&b, line);
        else
            server(&b, line);
        passed = buf_text(group_rows[_i].is_client ? &b.server : &b.client);
        answered = buf_text(group_rows[_i].is_client ? &b.client : &b.server);
        ck_assert_int_eq(strlen(passed) > 0, open);
        ck_assert_int_eq(strstr(answered, "-32601") != NULL, !open);
        bench_done(&b);
    }
}
END_TEST

START_TEST(unknown_method_is_refused_even_with_every_group_open)
{
    struct bench b;

    bench_init(&b, IDENTITY_ENFORCE, ~0u);
    client(&b, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/callx\"}");
    ck_assert_str_eq(buf_text(&b.server), "");
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "-32601"));
    client(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"tools/callx\"}");
    ck_assert_str_eq(buf_text(&b.server), "");
    ck_assert_str_eq(buf_text(&b.client), ""); /* a notification is never answered */
    bench_done(&b);
}
END_TEST

START_TEST(full_table_and_reused_id_are_refused_and_nothing_is_lost)
{
    struct bench b;
    char line[128];

    bench_init(&b, IDENTITY_ENFORCE, 0);
    for (unsigned i = 0; i < MCP_IN_FLIGHT_MAX; i++) {
        (void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"ping\"}",
                       i);
        client(&b, line);
        ck_assert_str_ne(buf_text(&b.server), "");
    }
    client(&b, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}");
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "-32600"));
    client(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"more\",\"method\":\"ping\"}");
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "-31001"));
    server(&b, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}");
    client(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"more\",\"method\":\"ping\"}");
    ck_assert_str_ne(buf_text(&b.server), "");
    bench_done(&b);
}
END_TEST

START_TEST(call_that_cannot_be_recorded_is_refused)
{
    struct bench b;

    bench_init(&b, IDENTITY_ENFORCE, 0);
    b.may_record = false;
    client(&b, CALL("1", "\"read_file\""));
    ck_assert_str_eq(buf_text(&b.server), "");
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "-31003"));
    b.may_record = true; /* the positive control, with the same id: the slot was given back */
    client(&b, CALL("1", "\"read_file\""));
    ck_assert_str_ne(buf_text(&b.server), "");
    bench_done(&b);
}
END_TEST

START_TEST(server_that_ends_leaves_no_request_without_an_answer)
{
    struct bench b;

    bench_init(&b, IDENTITY_ENFORCE, 0);
    client(&b, CALL("\"a\"", "\"read_file\""));
    client(&b, CALL("\"b\"", "\"read_file\""));
    client(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
               "cancelled\",\"params\":{\"requestId\":\"b\"}}");
    ck_assert_str_eq(buf_text(&b.calls), "read_file error allowed;");
    buf_reset(&b.client);
    mcp_gateway_server_gone(b.gateway, (struct mono){.ns = 9});
    ck_assert_ptr_nonnull(strstr(buf_text(&b.client), "\"id\":\"a\""));
    ck_assert_ptr_null(strstr(buf_text(&b.client), "\"id\":\"b\""));
    ck_assert_str_eq(buf_text(&b.calls), "read_file error allowed;read_file error allowed;");
    bench_done(&b);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(allowed_call_passes_unchanged_both_ways_and_is_recorded),
    SUITE_ROWS(foreign_name_is_answered_as_unknown_and_never_reaches_the_server,
               ARRAY_COUNT(foreign_names)),
    SUITE_ROWS(broken_message_gets_the_right_error_and_is_not_passed_on, ARRAY_COUNT(broken_rows)),
    SUITE_TEST(list_loses_what_may_not_be_called_and_nothing_else),
    SUITE_TEST(audit_mode_hides_nothing_and_marks_the_call),
    SUITE_TEST(revoked_identity_is_refused_from_the_next_call_on),
    SUITE_ROWS(method_of_a_closed_group_is_refused_in_its_direction, ARRAY_COUNT(group_rows)),
    SUITE_TEST(unknown_method_is_refused_even_with_every_group_open),
    SUITE_TEST(full_table_and_reused_id_are_refused_and_nothing_is_lost),
    SUITE_TEST(call_that_cannot_be_recorded_is_refused),
    SUITE_TEST(server_that_ends_leaves_no_request_without_an_answer),
};
SUITE_MAIN("mcp/gateway", tests)
