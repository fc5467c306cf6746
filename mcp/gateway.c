/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judging half of the gateway. It owns the list of requests that wait for an answer, because an
 * answer means nothing without the request it belongs to: only by that list is a tools/list answer
 * recognised and cut, and an answer that nobody asked for is dropped.
 *
 * It never re-serialises a message. Where a list has to be cut, the line is put together from
 * pieces of the server's own text, so numbers, key order and unknown members stay as they were
 * written.
 */
#include "mcp/mcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mcp/jsonrpc.h"

enum waiting_kind {
    WAITING_FREE = 0,
    WAITING_OTHER,
    WAITING_LIST, /* tools/list */
    WAITING_CALL, /* tools/call */
};

/** A request that was passed on and is not answered yet. */
struct waiting {
    enum waiting_kind kind;
    uint8_t id_len;
    uint8_t id[RPC_ID_MAX];
    struct mono since;
    char tool[IDENTITY_TOOL_MAX + 1]; /* WAITING_CALL */
    char *arguments;                  /* WAITING_CALL: owned; NULL: none */
    size_t arguments_len;
    struct tool_answer answer; /* WAITING_CALL */
    uint64_t tag;              /* WAITING_CALL: the sink's */
};

struct mcp_gateway {
    struct mcp_gateway_config config;
    struct mcp_sink sink;
    struct waiting from_client[MCP_IN_FLIGHT_MAX];
    struct waiting from_server[MCP_IN_FLIGHT_MAX];
    struct mcp_gateway_counts counts;
};

enum side {
    CLIENT,
    SERVER,
};

struct method_row {
    const char *name; /* a whole method, or a family when it ends with '/' */
    unsigned groups;  /* any of these must be open; 0: always passes */
};

/** What a client may ask or say. */
static const struct method_row client_methods[] = {
    {"initialize", 0},
    {"ping", 0},
    {"server/discover", 0},
    {"subscriptions/listen", 0},
    {"logging/setLevel", 0},
    {"tools/list", 0},
    {"tools/call", 0},
    {"notifications/initialized", 0},
    {"notifications/cancelled", 0},
    {"notifications/progress", 0},
    {"notifications/roots/list_changed", MCP_ROOTS},
    {"resources/", MCP_RESOURCES},
    {"prompts/", MCP_PROMPTS},
    {"completion/", MCP_PROMPTS},
    {"tasks/", MCP_TASKS},
};

/** What a server may ask or say. */
static const struct method_row server_methods[] = {
    {"ping", 0},
    {"notifications/message", 0},
    {"notifications/progress", 0},
    {"notifications/cancelled", 0},
    {"notifications/tools/list_changed", 0},
    {"notifications/subscriptions/", 0},
    {"notifications/resources/", MCP_RESOURCES},
    {"notifications/prompts/", MCP_PROMPTS},
    {"notifications/elicitation/", MCP_ELICITATION},
    {"notifications/tasks/", MCP_TASKS},
    {"sampling/", MCP_SAMPLING},
    {"elicitation/", MCP_ELICITATION},
    {"roots/", MCP_ROOTS},
    {"tasks/", MCP_TASKS},
};

int mcp_group_parse(struct bytes name, enum mcp_group *ret)
{
    static const struct {
        const char *name;
        enum mcp_group group;
    } rows[] = {
        {"resources", MCP_RESOURCES},     {"prompts", MCP_PROMPTS}, {"sampling", MCP_SAMPLING},
        {"elicitation", MCP_ELICITATION}, {"roots", MCP_ROOTS},     {"tasks", MCP_TASKS},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        if (!bytes_equal(name, bytes_of_str(rows[i].name)))
            continue;
        *ret = rows[i].group;
        return 0;
    }
    return -EINVAL;
}

const char *mcp_call_status_name(enum mcp_call_status status)
{
    static const char *const names[] = {
        [MCP_CALL_OK] = "ok",
        [MCP_CALL_ERROR] = "error",
        [MCP_CALL_BLOCKED] = "blocked",
    };

    return names[status];
}

int mcp_gateway_new(const struct mcp_gateway_config *config, const struct mcp_sink *sink,
                    struct mcp_gateway **ret)
{
    struct mcp_gateway *g = calloc(1, sizeof(*g));

    if (g == NULL)
        return -ENOMEM;
    g->config = *config;
    g->sink = *sink;
    *ret = g;
    return 0;
}

static void waiting_clear(struct waiting *w)
{
    free(w->arguments);
    *w = (struct waiting){0};
}

void mcp_gateway_free(struct mcp_gateway *g)
{
    if (g == NULL)
        return;
    for (unsigned i = 0; i < MCP_IN_FLIGHT_MAX; i++) {
        waiting_clear(&g->from_client[i]);
        waiting_clear(&g->from_server[i]);
    }
    free(g);
}

struct mcp_gateway_counts mcp_gateway_counts(const struct mcp_gateway *g)
{
    return g->counts;
}

/* ---- requests that wait ---- */

static struct waiting *waiting_find(struct waiting *table, struct bytes id)
{
    for (unsigned i = 0; i < MCP_IN_FLIGHT_MAX; i++)
        if (table[i].kind != WAITING_FREE &&
            bytes_equal(bytes_of(table[i].id, table[i].id_len), id))
            return &table[i];
    return NULL;
}

static struct waiting *waiting_add(struct waiting *table, enum waiting_kind kind, struct bytes id,
                                   struct mono now)
{
    for (unsigned i = 0; i < MCP_IN_FLIGHT_MAX; i++) {
        struct waiting *w = &table[i];

        if (w->kind != WAITING_FREE)
            continue;
        w->kind = kind;
        w->since = now;
        w->id_len = (uint8_t)id.len;
        memcpy(w->id, id.data, id.len);
        return w;
    }
    return NULL;
}

/* ---- writing ---- */

static void write_buf(struct mcp_gateway *g, enum side to, const struct buf *b)
{
    if (buf_error(b) != 0)
        g->counts.dropped++; /* out of memory: the other side's own time limit must do */
    else if (to == CLIENT)
        g->sink.to_client(g->sink.self, buf_bytes(b));
    else
        g->sink.to_server(g->sink.self, buf_bytes(b));
}

static void write_raw(struct mcp_gateway *g, enum side to, struct bytes line)
{
    struct buf b;

    buf_init(&b, MCP_LINE_MAX + 1);
    buf_add(&b, line.data, line.len);
    buf_add_char(&b, '\n');
    write_buf(g, to, &b);
    buf_done(&b);
}

static void write_error(struct mcp_gateway *g, enum side to, struct bytes id, int code,
                        const char *text)
{
    struct buf b;

    buf_init(&b, 4096);
    rpc_write_error(&b, id, code, text);
    write_buf(g, to, &b);
    buf_done(&b);
}

static struct bytes id_text(const struct rpc_message *m)
{
    return m->id != NULL ? json_text(m->id) : bytes_of("", 0);
}

static bool may_pass(const struct mcp_gateway *g, enum side from, const char *method)
{
    const struct method_row *rows = from == CLIENT ? client_methods : server_methods;
    size_t count = from == CLIENT ? ARRAY_COUNT(client_methods) : ARRAY_COUNT(server_methods);

    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].name);
        bool is_family = rows[i].name[len - 1] == '/';

        if (strncmp(method, rows[i].name, len) == 0 && (is_family || method[len] == '\0'))
            return rows[i].groups == 0 || (rows[i].groups & g->config.groups) != 0;
    }
    return false;
}

/* ---- tool calls ---- */

static struct tool_request tool_request_of(const struct mcp_gateway *g, const char *tool,
                                           int64_t now_s)
{
    return (struct tool_request){.global = IDENTITY_ENFORCE,
                                 .agent = g->config.identity->name,
                                 .identity = g->config.identity,
                                 .ns = g->config.ns,
                                 .tool = bytes_of_str(tool),
                                 .now_s = now_s};
}

/** Refuse a call as a server refuses the name of a tool that it does not have. */
static void block(struct mcp_gateway *g, const struct rpc_message *m, const char *tool,
                  const struct tool_request *request, const struct tool_answer *answer)
{
    char reason[TOOL_ERROR_CAP];
    char text[IDENTITY_TOOL_MAX + 32];
    struct mcp_call call = {.tool = tool,
                            .arguments = json_text(json_get(m->params, "arguments")),
                            .status = MCP_CALL_BLOCKED,
                            .answer = *answer,
                            .error = reason};

    policy_tool_error(request, answer, reason);
    (void)snprintf(text, sizeof(text), "Unknown tool: %.*s", (int)IDENTITY_TOOL_MAX, tool);
    g->counts.blocked++;
    g->sink.call_ended(g->sink.self, &call);
    write_error(g, CLIENT, id_text(m), RPC_INVALID_PARAMS, text);
}

/** Put a request of the client on the list of those that wait; NULL: it was refused. */
static struct waiting *admit(struct mcp_gateway *g, const struct rpc_message *m,
                             enum waiting_kind kind, struct mono now)
{
    struct waiting *w;

    if (waiting_find(g->from_client, id_text(m)) != NULL) {
        write_error(g, CLIENT, id_text(m), RPC_INVALID_REQUEST,
                    "a request with this id still waits for its answer");
        return NULL;
    }
    w = waiting_add(g->from_client, kind, id_text(m), now);
    if (w == NULL)
        write_error(g, CLIENT, id_text(m), RPC_TOO_MANY,
                    "too many requests wait for their answer; try again later");
    return w;
}

/** Remember what the record of the call will need; without memory it goes without arguments. */
static void keep_call(struct waiting *w, const struct rpc_message *m, const char *tool,
                      const struct tool_answer *answer)
{
    struct bytes arguments = json_text(json_get(m->params, "arguments"));

    (void)snprintf(w->tool, sizeof(w->tool), "%s", tool);
    w->answer = *answer;
    w->arguments = arguments.len > 0 ? malloc(arguments.len) : NULL;
    if (w->arguments == NULL)
        return;
    memcpy(w->arguments, arguments.data, arguments.len);
    w->arguments_len = arguments.len;
}

static void client_call(struct mcp_gateway *g, const struct rpc_message *m, struct bytes line,
                        struct mono now, int64_t now_s)
{
    const char *tool;
    struct tool_request request;
    struct tool_answer answer;
    struct waiting *w;

    if (json_read_str(json_get(m->params, "name"), &tool) < 0) {
        write_error(g, CLIENT, id_text(m), RPC_INVALID_PARAMS, "params.name must be a string");
        return;
    }
    g->counts.calls++;
    request = tool_request_of(g, tool, now_s);
    answer = policy_decide_tool(&request);
    if (answer.verdict != VERDICT_ALLOW) {
        block(g, m, tool, &request, &answer);
        return;
    }
    w = admit(g, m, WAITING_CALL, now);
    if (w == NULL)
        return;
    if (!g->sink.call_begins(g->sink.self, tool, &w->tag)) {
        waiting_clear(w);
        write_error(g, CLIENT, id_text(m), RPC_NO_RECORD,
                    "the call cannot be recorded, so it is refused");
        return;
    }
    g->counts.would_block += answer.would_deny;
    keep_call(w, m, tool, &answer);
    write_raw(g, SERVER, line);
}

static void client_request(struct mcp_gateway *g, const struct rpc_message *m, struct bytes line,
                           struct mono now, int64_t now_s)
{
    bool is_list = strcmp(m->method, "tools/list") == 0;
    char text[160];

    if (!may_pass(g, CLIENT, m->method)) {
        (void)snprintf(text, sizeof(text), "Method not found: %.100s", m->method);
        write_error(g, CLIENT, id_text(m), RPC_METHOD_NOT_FOUND, text);
    } else if (strcmp(m->method, "tools/call") == 0) {
        client_call(g, m, line, now, now_s);
    } else if (admit(g, m, is_list ? WAITING_LIST : WAITING_OTHER, now) != NULL) {
        write_raw(g, SERVER, line);
    }
}

static void call_report(struct mcp_gateway *g, const struct waiting *w, const char *error,
                        struct mono now)
{
    struct mcp_call call = {.tool = w->tool,
                            .arguments = bytes_of(w->arguments, w->arguments_len),
                            .status = error == NULL ? MCP_CALL_OK : MCP_CALL_ERROR,
                            .answer = w->answer,
                            .error = error,
                            .duration_ns = now.ns - w->since.ns,
                            .tag = w->tag};

    g->sink.call_ended(g->sink.self, &call);
}

static void client_notification(struct mcp_gateway *g, const struct rpc_message *m,
                                struct bytes line, struct mono now)
{
    struct waiting *w;

    if (!may_pass(g, CLIENT, m->method)) {
        g->counts.dropped++;
        return;
    }
    if (strcmp(m->method, "notifications/cancelled") == 0) {
        /* A server need not answer what was cancelled; its late answer is dropped. */
        w = waiting_find(g->from_client, json_text(json_get(m->params, "requestId")));
        if (w != NULL && w->kind == WAITING_CALL)
            call_report(g, w, "cancelled by the client", now);
        if (w != NULL)
            waiting_clear(w);
    }
    write_raw(g, SERVER, line);
}

/** An answer of the client to something that the server asked. */
static void client_response(struct mcp_gateway *g, const struct rpc_message *m, struct bytes line)
{
    struct waiting *w = m->id != NULL ? waiting_find(g->from_server, id_text(m)) : NULL;

    if (w == NULL) {
        g->counts.dropped++; /* nobody asked */
        return;
    }
    waiting_clear(w);
    write_raw(g, SERVER, line);
}

void mcp_gateway_from_client(struct mcp_gateway *g, struct bytes line, struct mono now,
                             int64_t now_s)
{
    struct rpc_message m;
    struct why why = {0};
    int code = rpc_parse(line, MCP_LINE_MAX, &m, &why);

    if (code != 0)
        write_error(g, CLIENT, id_text(&m), code, why.text);
    else if (m.kind == RPC_REQUEST)
        client_request(g, &m, line, now, now_s);
    else if (m.kind == RPC_NOTIFICATION)
        client_notification(g, &m, line, now);
    else
        client_response(g, &m, line);
    rpc_done(&m);
}

/* ---- the server's side ---- */

static bool tool_is_shown(const struct mcp_gateway *g, const struct json *tool, int64_t now_s)
{
    const char *name;
    struct tool_request request;

    if (json_read_str(json_get(tool, "name"), &name) < 0)
        return false; /* it has no name that the policy could know */
    request = tool_request_of(g, name, now_s);
    return policy_decide_tool(&request).verdict == VERDICT_ALLOW;
}

/** Pass the answer to tools/list on without the tools that may not be called. */
static void pass_list(struct mcp_gateway *g, const struct rpc_message *m, struct bytes line,
                      int64_t now_s)
{
    const struct json *tools = json_get(m->result, "tools");
    struct bytes whole = json_text(json_root(m->doc));
    struct bytes list = json_text(tools);
    unsigned shown = 0;
    struct buf b;

    if (json_type(tools) != JSON_ARRAY) {
        write_raw(g, CLIENT, line);
        return;
    }
    buf_init(&b, MCP_LINE_MAX + 1);
    buf_add(&b, whole.data, (size_t)(list.data - whole.data));
    buf_add_char(&b, '[');
    for (const struct json *tool = json_first(tools); tool != NULL; tool = json_next(tool)) {
        struct bytes text = json_text(tool);

        if (!tool_is_shown(g, tool, now_s))
            continue;
        if (shown++ > 0)
            buf_add_char(&b, ',');
        buf_add(&b, text.data, text.len);
    }
    buf_add_char(&b, ']');
    buf_add(&b, list.data + list.len, (size_t)(whole.data + whole.len - (list.data + list.len)));
    buf_add_char(&b, '\n');
    g->counts.hidden += json_count(tools) - shown;
    write_buf(g, CLIENT, &b);
    buf_done(&b);
}

/** How the call ended, in words; NULL: well. Borrowed from @m. */
static const char *call_error(const struct rpc_message *m)
{
    const char *text = "an error without a message";
    bool is_error = false;

    if (m->kind == RPC_ERROR) {
        (void)!json_read_str(json_get(m->error, "message"), &text); /* the default stays */
        return text;
    }
    if (json_read_bool(json_get(m->result, "isError"), &is_error) == 0 && is_error)
        return "tool_error";
    return NULL;
}

static void server_response(struct mcp_gateway *g, const struct rpc_message *m, struct bytes line,
                            struct mono now, int64_t now_s)
{
    struct waiting *w = m->id != NULL ? waiting_find(g->from_client, id_text(m)) : NULL;
    enum waiting_kind kind;

    if (w == NULL) {
        g->counts.dropped++;
        return;
    }
    kind = w->kind;
    if (kind == WAITING_CALL)
        call_report(g, w, call_error(m), now);
    waiting_clear(w);
    if (kind == WAITING_LIST && m->kind == RPC_RESULT)
        pass_list(g, m, line, now_s);
    else
        write_raw(g, CLIENT, line);
}

static void server_request(struct mcp_gateway *g, const struct rpc_message *m, struct bytes line,
                           struct mono now)
{
    if (!may_pass(g, SERVER, m->method))
        write_error(g, SERVER, id_text(m), RPC_METHOD_NOT_FOUND, "Method not found");
    else if (waiting_find(g->from_server, id_text(m)) != NULL)
        write_error(g, SERVER, id_text(m), RPC_INVALID_REQUEST,
                    "a request with this id still waits for its answer");
    else if (waiting_add(g->from_server, WAITING_OTHER, id_text(m), now) == NULL)
        write_error(g, SERVER, id_text(m), RPC_TOO_MANY, "too many requests wait for their answer");
    else
        write_raw(g, CLIENT, line);
}

void mcp_gateway_from_server(struct mcp_gateway *g, struct bytes line, struct mono now,
                             int64_t now_s)
{
    struct rpc_message m;

    if (rpc_parse(line, MCP_LINE_MAX, &m, NULL) != 0)
        g->counts.dropped++;
    else if (m.kind == RPC_REQUEST)
        server_request(g, &m, line, now);
    else if (m.kind != RPC_NOTIFICATION)
        server_response(g, &m, line, now, now_s);
    else if (may_pass(g, SERVER, m.method))
        write_raw(g, CLIENT, line);
    else
        g->counts.dropped++;
    rpc_done(&m);
}

void mcp_gateway_server_gone(struct mcp_gateway *g, struct mono now)
{
    static const char text[] = "the server ended before it answered";

    for (unsigned i = 0; i < MCP_IN_FLIGHT_MAX; i++) {
        struct waiting *w = &g->from_client[i];

        if (w->kind == WAITING_FREE)
            continue;
        if (w->kind == WAITING_CALL)
            call_report(g, w, text, now);
        write_error(g, CLIENT, bytes_of(w->id, w->id_len), RPC_SERVER_GONE, text);
        waiting_clear(w);
    }
}
