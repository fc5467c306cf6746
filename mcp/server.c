/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of the platform's tools. Every request gets exactly one answer, or, while the user is
 * asked, waits in a bounded list; nothing that is no message is left unanswered. What a tool says
 * is a normal result with isError, as the model can mend it; only what the protocol itself forbids
 * is a JSON-RPC error.
 *
 * Source: Model Context Protocol, revisions 2024-11-05 to 2026-07-28.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "base/wipe.h"
#include "mcp/era.h"
#include "mcp/mcp.h"
#include "mcp/sealed.h"
#include "policy/toolset.h"

#define ASKED_MAX    16u
#define ANSWER_MAX   (32u << 20)
#define LIST_LIFE_MS 3600000 /* the tools of a program do not change while it runs */
#define APPROVE      "approve"

/** A tool call that waits for what the user says (legacy era). */
struct asked {
    bool is_used;
    uint64_t number; /* of our request */
    uint8_t id_len;
    uint8_t id[RPC_ID_MAX]; /* of the client's */
    char approval[SEALED_ID_MAX + 1];
};

struct mcp_server {
    struct mcp_backend backend;
    const char *version;
    uint8_t key[SEALED_KEY_LEN];
    bool is_initialized;
    bool may_elicit; /* the legacy session's client offers elicitation */
    uint64_t next_number;
    struct asked asked[ASKED_MAX];
};

/** A request, while it is answered. */
struct request {
    struct mcp_server *s;
    const struct rpc_message *m;
    struct era_of era;
    int64_t now_s;
    struct buf line;
    struct json_out j;
};

static struct bytes id_of(const struct request *q)
{
    return json_text(q->m->id);
}

static void send_line(struct mcp_server *s, struct buf *line)
{
    if (buf_error(line) == 0)
        s->backend.send(s->backend.self, buf_bytes(line));
}

static void fail_data(struct request *q, int code, const char *message, struct bytes data)
{
    buf_reset(&q->line);
    rpc_write_error_data(&q->line, id_of(q), code, message, data);
    send_line(q->s, &q->line);
}

static void fail(struct request *q, int code, const char *message)
{
    fail_data(q, code, message, bytes_of(NULL, 0));
}

/* ── Results ─────────────────────────────────────────────────────────────────────────────────────
 */

static void begin_result_of(struct json_out *j, struct bytes id, bool is_modern, const char *type,
                            const char *version)
{
    json_open_object(j);
    json_put_str(j, "jsonrpc", "2.0");
    json_key(j, "id");
    json_raw(j, id);
    json_key(j, "result");
    json_open_object(j);
    if (!is_modern)
        return;
    json_put_str(j, "resultType", type);
    json_key(j, "_meta");
    json_open_object(j);
    json_key(j, "io.modelcontextprotocol/serverInfo");
    json_open_object(j);
    json_put_str(j, "name", "lattice");
    json_put_str(j, "version", version);
    json_close_object(j);
    json_close_object(j);
}

static void begin_result(struct request *q, const char *type)
{
    buf_reset(&q->line);
    json_out_init(&q->j, &q->line);
    begin_result_of(&q->j, id_of(q), q->era.era == ERA_MODERN, type, q->s->version);
}

static void end_result(struct request *q)
{
    json_close_object(&q->j);
    json_close_object(&q->j);
    buf_add_char(&q->line, '\n');
    if (buf_error(&q->line) < 0)
        fail(q, RPC_INTERNAL_ERROR, "the answer is too long");
    else
        send_line(q->s, &q->line);
}

static void put_cacheable(struct request *q)
{
    if (q->era.era != ERA_MODERN)
        return;
    json_put_i64(&q->j, "ttlMs", LIST_LIFE_MS);
    json_put_str(&q->j, "cacheScope", "public");
}

/** Structured content is an object; a list becomes its member items. */
static void put_structured(struct json_out *j, struct bytes value)
{
    json_key(j, "structuredContent");
    if (value.len > 0 && value.data[0] == '{') {
        json_raw(j, value);
        return;
    }
    json_open_object(j);
    json_key(j, "items");
    json_raw(j, value);
    json_close_object(j);
}

/** The result of a tool: text for every client, and structure for those that know it. */
static void put_content(struct json_out *j, enum mcp_tool_end end, struct bytes value)
{
    json_key(j, "content");
    json_open_array(j);
    json_open_object(j);
    json_put_str(j, "type", "text");
    json_key(j, "text");
    json_bytes(j, value);
    json_close_object(j);
    json_close_array(j);
    if (end == MCP_TOOL_DONE)
        put_structured(j, value);
    json_put_bool(j, "isError", end == MCP_TOOL_FAILED);
}

static void tool_result(struct request *q, enum mcp_tool_end end, struct bytes value)
{
    begin_result(q, "complete");
    put_content(&q->j, end, value);
    end_result(q);
}

static void tool_error(struct request *q, const char *text)
{
    tool_result(q, MCP_TOOL_FAILED, bytes_of_str(text));
}

/* ── Asking the user ─────────────────────────────────────────────────────────────────────────────
 */

/** The question: the call, word by word, and one box to tick. */
static void put_question(struct json_out *j, const char *tool, struct bytes arguments)
{
    struct buf text;

    buf_init(&text, MCP_LINE_MAX);
    buf_printf(&text, "Approve this change? %s ", tool);
    buf_add(&text, arguments.data, arguments.len);
    json_put_str(j, "mode", "form");
    json_key(j, "message");
    json_bytes(j, buf_bytes(&text));
    json_key(j, "requestedSchema");
    json_raw(j, bytes_of_str("{\"type\":\"object\",\"properties\":{\"" APPROVE
                             "\":{\"type\":\"boolean\",\"title\":\"Approve\",\"description\":"
                             "\"Carry out exactly this call, once\"}},\"required\":[\"" APPROVE
                             "\"]}"));
    buf_done(&text);
}

/** What a client says that its user said. */
static bool is_approval(const struct json *answer)
{
    bool approve = false;

    return json_is_str(json_get(answer, "action"), "accept") &&
           json_read_bool(json_get(json_get(answer, "content"), APPROVE), &approve) == 0 && approve;
}

/** Nobody could be asked here. */
static void answer_pending(struct request *q, const char *id)
{
    char text[256];
    struct json_out *j = &q->j;

    (void)snprintf(text, sizeof(text),
                   "This change waits for approval %s. A person can approve it with 'lattice "
                   "approvals approve %s'; then make the same call again to see its result.",
                   id, id);
    begin_result(q, "complete");
    json_key(j, "content");
    json_open_array(j);
    json_open_object(j);
    json_put_str(j, "type", "text");
    json_put_str(j, "text", text);
    json_close_object(j);
    json_close_array(j);
    json_key(j, "structuredContent");
    json_open_object(j);
    json_put_str(j, "status", "pending");
    json_put_str(j, "approvalId", id);
    json_close_object(j);
    json_put_bool(j, "isError", false);
    end_result(q);
}

/** Legacy era: a request of our own; the call is answered when its answer comes. */
static bool ask_by_request(struct request *q, const char *tool, struct bytes arguments,
                           const char *id)
{
    struct mcp_server *s = q->s;
    struct bytes client_id = id_of(q);
    char our_id[48];

    for (unsigned i = 0; i < ASKED_MAX; i++) {
        struct asked *a = &s->asked[i];

        if (a->is_used)
            continue;
        *a = (struct asked){
            .is_used = true, .number = ++s->next_number, .id_len = (uint8_t)client_id.len};
        memcpy(a->id, client_id.data, client_id.len);
        (void)snprintf(a->approval, sizeof(a->approval), "%s", id);
        (void)snprintf(our_id, sizeof(our_id), "lattice-elicit-%llu",
                       (unsigned long long)a->number);
        buf_reset(&q->line);
        json_out_init(&q->j, &q->line);
        json_open_object(&q->j);
        json_put_str(&q->j, "jsonrpc", "2.0");
        json_put_str(&q->j, "id", our_id);
        json_put_str(&q->j, "method", "elicitation/create");
        json_key(&q->j, "params");
        json_open_object(&q->j);
        put_question(&q->j, tool, arguments);
        json_close_object(&q->j);
        json_close_object(&q->j);
        buf_add_char(&q->line, '\n');
        send_line(s, &q->line);
        return true;
    }
    return false;
}

/** Modern era: the question is the answer; the client asks again with what the user said. */
static bool ask_by_result(struct request *q, const char *tool, struct bytes arguments,
                          const char *id)
{
    char state[SEALED_TEXT_CAP];

    if (sealed_write(q->s->key, id, tool, arguments, q->now_s, state) < 0)
        return false;
    begin_result(q, "input_required");
    json_key(&q->j, "inputRequests");
    json_open_object(&q->j);
    json_key(&q->j, APPROVE);
    json_open_object(&q->j);
    json_put_str(&q->j, "method", "elicitation/create");
    json_key(&q->j, "params");
    json_open_object(&q->j);
    put_question(&q->j, tool, arguments);
    json_close_object(&q->j);
    json_close_object(&q->j);
    json_close_object(&q->j);
    json_put_str(&q->j, "requestState", state);
    end_result(q);
    return true;
}

static void put_before_user(struct request *q, const char *tool, struct bytes arguments,
                            struct bytes approval)
{
    struct json_limits limits = {.bytes = ANSWER_MAX};
    struct json_doc *doc = NULL;
    const char *id = "";
    bool is_modern = q->era.era == ERA_MODERN;
    bool is_asked = false;

    if (json_parse(approval, &limits, &doc, NULL) < 0 ||
        json_read_str(json_get(json_root(doc), "id"), &id) < 0 || strlen(id) > SEALED_ID_MAX) {
        json_free(doc);
        tool_error(q, "latticed named no approval");
        return;
    }
    if (is_modern && json_get(q->era.client_caps, "elicitation") != NULL)
        is_asked = ask_by_result(q, tool, arguments, id);
    else if (!is_modern && q->s->may_elicit)
        is_asked = ask_by_request(q, tool, arguments, id);
    if (!is_asked)
        answer_pending(q, id);
    json_free(doc);
}

/** The client's answer to a question of ours. */
static void on_response(struct mcp_server *s, const struct rpc_message *m)
{
    struct asked *a = NULL;
    struct json_out j;
    struct buf value, line;
    char our_id[48];
    enum mcp_tool_end end;

    for (unsigned i = 0; i < ASKED_MAX && m->id != NULL && a == NULL; i++) {
        (void)snprintf(our_id, sizeof(our_id), "lattice-elicit-%llu",
                       (unsigned long long)s->asked[i].number);
        if (s->asked[i].is_used && json_is_str(m->id, our_id))
            a = &s->asked[i];
    }
    if (a == NULL)
        return; /* nobody asked; an answer has no answer */
    a->is_used = false;
    buf_init(&value, ANSWER_MAX);
    buf_init(&line, 2 * ANSWER_MAX);
    end = s->backend.decide(s->backend.self, a->approval, is_approval(m->result), &value);
    json_out_init(&j, &line);
    begin_result_of(&j, bytes_of(a->id, a->id_len), /*is_modern=*/false, NULL, NULL);
    put_content(&j, end, buf_bytes(&value));
    json_close_object(&j);
    json_close_object(&j);
    buf_add_char(&line, '\n');
    send_line(s, &line);
    buf_done(&value);
    buf_done(&line);
}

static void forget_asked(struct mcp_server *s, struct bytes id)
{
    for (unsigned i = 0; i < ASKED_MAX; i++)
        if (s->asked[i].is_used && bytes_equal(bytes_of(s->asked[i].id, s->asked[i].id_len), id))
            s->asked[i].is_used = false; /* the approval waits on, until it expires */
}

/* ── Methods ─────────────────────────────────────────────────────────────────────────────────────
 */

static void put_capabilities(struct json_out *j)
{
    json_key(j, "capabilities");
    json_raw(j, bytes_of_str("{\"tools\":{}}"));
    json_put_str(j, "instructions",
                 "Tools of a lattice network: peers, policies, snapshots. A call that changes "
                 "something waits for a person's approval.");
}

static void on_initialize(struct request *q)
{
    const struct json *caps = json_get(q->m->params, "capabilities");
    const char *asked = NULL;
    const char *version;

    if (json_read_str(json_get(q->m->params, "protocolVersion"), &asked) < 0) {
        fail(q, RPC_INVALID_PARAMS, "protocolVersion must be a string");
        return;
    }
    version = era_legacy_version(asked);
    q->s->is_initialized = true;
    q->s->may_elicit = json_type(json_get(caps, "elicitation")) == JSON_OBJECT &&
                       strcmp(version, "2025-06-18") >= 0;
    begin_result(q, NULL);
    json_put_str(&q->j, "protocolVersion", version);
    json_key(&q->j, "serverInfo");
    json_open_object(&q->j);
    json_put_str(&q->j, "name", "lattice");
    json_put_str(&q->j, "version", q->s->version);
    json_close_object(&q->j);
    put_capabilities(&q->j);
    end_result(q);
}

static void on_discover(struct request *q)
{
    begin_result(q, "complete");
    json_key(&q->j, "supportedVersions");
    era_write_supported(&q->j);
    put_capabilities(&q->j);
    put_cacheable(q);
    end_result(q);
}

static void on_ping(struct request *q)
{
    begin_result(q, "complete");
    end_result(q);
}

static void put_tool(struct json_out *j, const struct tool_spec *t)
{
    bool reads = t->kind == TOOL_READS;

    json_open_object(j);
    json_put_str(j, "name", t->name);
    json_put_str(j, "title", t->title);
    json_put_str(j, "description", t->help);
    json_key(j, "inputSchema");
    toolset_write_schema(t, j);
    json_key(j, "annotations");
    json_open_object(j);
    json_put_bool(j, "readOnlyHint", reads);
    if (!reads)
        json_put_bool(j, "destructiveHint", t->is_destructive);
    json_put_bool(j, "openWorldHint", false);
    json_close_object(j);
    json_close_object(j);
}

static void on_list(struct request *q)
{
    if (json_get(q->m->params, "cursor") != NULL) {
        fail(q, RPC_INVALID_PARAMS, "this list has one page, and no cursor");
        return;
    }
    begin_result(q, "complete");
    json_key(&q->j, "tools");
    json_open_array(&q->j);
    for (unsigned i = 0; toolset_at(i) != NULL; i++)
        put_tool(&q->j, toolset_at(i));
    json_close_array(&q->j);
    put_cacheable(q);
    end_result(q);
}

/** A call that comes again, with what the user said. */
static void call_again(struct request *q, const char *tool, struct bytes arguments,
                       const char *state)
{
    const struct json *answer = json_get(json_get(q->m->params, "inputResponses"), APPROVE);
    char id[SEALED_ID_MAX + 1];
    enum mcp_tool_end end;
    struct buf value;
    int err = sealed_read(q->s->key, state, tool, arguments, q->now_s, id);

    if (err < 0) {
        fail(q, RPC_INVALID_PARAMS,
             err == -ETIME ? "requestState has expired; make the call again"
                           : "requestState is not what this server handed out for this call");
        return;
    }
    if (answer == NULL) { /* not asked yet, as far as the client says: the question stands */
        if (!ask_by_result(q, tool, arguments, id))
            answer_pending(q, id);
        return;
    }
    buf_init(&value, ANSWER_MAX);
    end = q->s->backend.decide(q->s->backend.self, id, is_approval(answer), &value);
    tool_result(q, end, buf_bytes(&value));
    buf_done(&value);
}

static void on_call(struct request *q)
{
    const struct json *arguments = json_get(q->m->params, "arguments");
    struct bytes text = arguments != NULL ? json_text(arguments) : bytes_of_str("{}");
    const struct tool_spec *tool;
    const char *name, *state;
    struct why why = {.text = ""};
    enum mcp_tool_end end;
    struct buf value;
    char unknown[200];

    if (json_read_str(json_get(q->m->params, "name"), &name) < 0) {
        fail(q, RPC_INVALID_PARAMS, "params.name must be a string");
        return;
    }
    tool = toolset_find(name);
    if (tool == NULL) {
        (void)snprintf(unknown, sizeof(unknown), "Unknown tool: %.128s", name);
        fail(q, RPC_INVALID_PARAMS, unknown);
        return;
    }
    if (toolset_check(tool, arguments, &why) < 0) {
        tool_error(q, why.text);
        return;
    }
    if (q->era.era == ERA_MODERN &&
        json_read_str(json_get(q->m->params, "requestState"), &state) == 0) {
        call_again(q, tool->name, text, state);
        return;
    }
    buf_init(&value, ANSWER_MAX);
    end = q->s->backend.call(q->s->backend.self, tool->name, text, &value);
    if (buf_error(&value) < 0)
        tool_error(q, "the result is too long");
    else if (end == MCP_TOOL_PENDING)
        put_before_user(q, tool->name, text, buf_bytes(&value));
    else
        tool_result(q, end, buf_bytes(&value));
    buf_done(&value);
}

/** Nothing of ours changes while we run: the subscription is acknowledged, and stays silent. */
static void on_listen(struct request *q)
{
    struct json_out *j = &q->j;

    buf_reset(&q->line);
    json_out_init(j, &q->line);
    json_open_object(j);
    json_put_str(j, "jsonrpc", "2.0");
    json_put_str(j, "method", "notifications/subscriptions/acknowledged");
    json_key(j, "params");
    json_open_object(j);
    json_key(j, "_meta");
    json_open_object(j);
    json_key(j, "io.modelcontextprotocol/subscriptionId");
    json_raw(j, id_of(q));
    json_close_object(j);
    json_key(j, "notifications");
    json_raw(j, bytes_of_str("{}"));
    json_close_object(j);
    json_close_object(j);
    buf_add_char(&q->line, '\n');
    send_line(q->s, &q->line);
}

enum { IN_LEGACY = 1, IN_MODERN = 2, BEFORE_INITIALIZE = 4 };

static const struct {
    const char *method;
    unsigned where;
    void (*run)(struct request *q);
} methods[] = {
    {"initialize", IN_LEGACY | BEFORE_INITIALIZE, on_initialize},
    {"ping", IN_LEGACY | BEFORE_INITIALIZE, on_ping},
    {"server/discover", IN_MODERN, on_discover},
    {"tools/list", IN_LEGACY | IN_MODERN, on_list},
    {"tools/call", IN_LEGACY | IN_MODERN, on_call},
    {"subscriptions/listen", IN_MODERN, on_listen},
};

static void refuse_version(struct request *q)
{
    struct json_out j;
    struct buf data;

    buf_init(&data, 4096);
    json_out_init(&j, &data);
    json_open_object(&j);
    json_key(&j, "supported");
    era_write_supported(&j);
    json_put_str(&j, "requested", q->era.version);
    json_close_object(&j);
    fail_data(q, RPC_UNKNOWN_VERSION, "Unsupported protocol version", buf_bytes(&data));
    buf_done(&data);
}

static void dispatch(struct request *q)
{
    unsigned where = q->era.era == ERA_MODERN ? IN_MODERN : IN_LEGACY;
    char text[160];

    if (where == IN_LEGACY && !q->s->is_initialized)
        where = BEFORE_INITIALIZE;
    for (unsigned i = 0; i < ARRAY_COUNT(methods); i++) {
        if (strcmp(methods[i].method, q->m->method) != 0 || (methods[i].where & where) == 0)
            continue;
        methods[i].run(q);
        return;
    }
    if (where == BEFORE_INITIALIZE) {
        fail(q, RPC_INVALID_PARAMS,
             "send initialize first, or put io.modelcontextprotocol/protocolVersion and "
             "io.modelcontextprotocol/clientCapabilities into params._meta");
        return;
    }
    (void)snprintf(text, sizeof(text), "Method not found: %.100s", q->m->method);
    fail(q, RPC_METHOD_NOT_FOUND, text);
}

static void on_request(struct mcp_server *s, const struct rpc_message *m, int64_t now_s)
{
    struct why why = {.text = ""};
    struct request q = {.s = s, .m = m, .now_s = now_s, .era = era_of_request(m, &why)};

    buf_init(&q.line, 2 * ANSWER_MAX);
    if (q.era.era == ERA_INVALID)
        fail(&q, RPC_INVALID_PARAMS, why.text);
    else if (q.era.era == ERA_MODERN_UNKNOWN)
        refuse_version(&q);
    else
        dispatch(&q);
    buf_done(&q.line);
}

static void send_error(struct mcp_server *s, struct bytes id, int code, const char *text)
{
    struct buf line;

    buf_init(&line, 4096);
    rpc_write_error(&line, id, code, text);
    send_line(s, &line);
    buf_done(&line);
}

void mcp_server_line(struct mcp_server *s, struct bytes line, int64_t now_s)
{
    struct why why = {.text = ""};
    struct rpc_message m;
    int code = rpc_parse(line, MCP_LINE_MAX, &m, &why);

    if (code != 0)
        send_error(s, json_text(m.id), code, why.text);
    else if (m.kind == RPC_REQUEST)
        on_request(s, &m, now_s);
    else if (m.kind != RPC_NOTIFICATION)
        on_response(s, &m);
    else if (strcmp(m.method, "notifications/cancelled") == 0)
        forget_asked(s, json_text(json_get(m.params, "requestId")));
    rpc_done(&m);
}

void mcp_server_too_long(struct mcp_server *s)
{
    send_error(s, bytes_of(NULL, 0), RPC_PARSE_ERROR, "a message is at most 16 MiB long");
}

int mcp_server_new(const struct mcp_backend *backend, const char *version, struct rng rng,
                   struct mcp_server **ret)
{
    struct mcp_server *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return -ENOMEM;
    s->backend = *backend;
    s->version = version;
    rng.fill(rng.self, s->key, sizeof(s->key));
    *ret = s;
    return 0;
}

void mcp_server_free(struct mcp_server *s)
{
    if (s == NULL)
        return;
    wipe(s->key, sizeof(s->key));
    free(s);
}
