/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tool calls over REST (the original's ExecuteTool): check, then span, then dispatch. Every call
 * makes a span, also a refused one, and a call whose span cannot be recorded is refused: what
 * cannot be remembered is not done. The tools here are latticed's own; others run behind the MCP
 * gateway.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "control/call.h"

#define TOOL_RATE_PER_S 50u /* calls of one agent, on average */
#define TOOL_BURST      200u
#define BUCKETS         1024u

struct tool_bucket {
    char who[2 * IDENTITY_NAME_MAX + 8];
    struct mono filled;
    uint32_t tokens;
};

/** May @call's agent call once more? Agents that share a slot take turns in it, full each time: the
 * limit protects the machine, it is not a right. */
static bool take_token(struct call *call)
{
    struct tool_bucket *buckets = call->c->tool_buckets;
    uint32_t hash = 2166136261u; /* FNV-1a */
    struct tool_bucket *b;
    struct mono now = mono_now();
    int64_t gained;

    for (const char *p = call->who; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    b = &buckets[hash % BUCKETS];
    if (strcmp(b->who, call->who) != 0) {
        *b = (struct tool_bucket){.filled = now, .tokens = TOOL_BURST};
        (void)snprintf(b->who, sizeof(b->who), "%s", call->who);
    }
    gained = (now.ns - b->filled.ns) / (NS_PER_S / TOOL_RATE_PER_S);
    if (gained > 0) {
        b->tokens = gained > TOOL_BURST - b->tokens ? TOOL_BURST : b->tokens + (uint32_t)gained;
        b->filled = mono_add_ns(b->filled, gained * (NS_PER_S / TOOL_RATE_PER_S));
    }
    if (b->tokens == 0)
        return false;
    b->tokens--;
    return true;
}

int tool_buckets_new(struct tool_bucket **ret)
{
    *ret = calloc(BUCKETS, sizeof(**ret));
    return *ret != NULL ? 0 : -ENOMEM;
}

/* ── The tools ───────────────────────────────────────────────────────────────────────────────────
 */

struct peers_result {
    struct call *call;
    const char *ns;
    int64_t last;
    unsigned rows;
};

static void write_peer(void *self, const struct store_agent *a)
{
    struct peers_result *p = self;
    struct json_out *j = &p->call->j;
    char text[IP_TEXT_CAP];

    p->last = a->id;
    p->rows++;
    if (!identity_is_live(&a->identity, p->call->now_s))
        return;
    json_open_object(j);
    json_put_str(j, "name", a->identity.name);
    json_put_str(j, "namespace", a->identity.ns);
    json_put_str(j, "address", ip_print(&a->address, text));
    json_put_str(j, "parent", a->identity.parent[0] != '\0' ? a->identity.parent : NULL);
    json_close_object(j);
}

/** list_peers: the live agents of the namespace. */
static int tool_list_peers(struct call *call, const char *ns)
{
    struct store_agent_filter f = {.ns = ns, .only_active = true, .limit = STORE_PAGE_MAX};
    struct peers_result p = {.call = call, .ns = ns};
    int err;

    json_open_array(&call->j);
    do {
        p.rows = 0;
        err = store_agent_list(call->c->store, &f, write_peer, &p);
        f.after = p.last;
    } while (err == 0 && p.rows == STORE_PAGE_MAX);
    json_close_array(&call->j);
    return err;
}

/** list_networks: there is one pool of addresses. */
static int tool_list_networks(struct call *call, const char *ns)
{
    (void)ns;
    json_open_array(&call->j);
    json_open_object(&call->j);
    json_put_str(&call->j, "name", "default");
    json_put_str(&call->j, "cidr", "10.100.0.0/16");
    json_put_i64(&call->j, "activePeers", store_count(call->c->store, IDENTITY_ACTIVE));
    json_close_object(&call->j);
    json_close_array(&call->j);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct call *call, const char *ns);
} tools[] = {
    {"list_networks", tool_list_networks},
    {"list_peers", tool_list_peers},
};

/** Write the tool's result into the call's data. -ENOENT: there is no such tool. */
static int dispatch(struct call *call, const char *name, const char *ns)
{
    for (unsigned i = 0; i < ARRAY_COUNT(tools); i++)
        if (strcmp(tools[i].name, name) == 0)
            return tools[i].run(call, ns);
    return -ENOENT;
}

/** A call is a trace of its own, with a random UUID (RFC 9562 5.4) as the original has it. */
static void new_trace(struct audit_span *span)
{
    struct rng rng = rng_system();
    uint64_t high = rng_u64(rng);
    uint64_t low = rng_u64(rng);

    (void)snprintf(span->trace_id, sizeof(span->trace_id), "%08x-%04x-4%03x-%04x-%012llx",
                   (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff),
                   (unsigned)(high & 0xfff), (unsigned)((low >> 48 & 0x3fff) | 0x8000),
                   (unsigned long long)(low & 0xffffffffffff));
    span->parent_span_id[0] = '\0';
}

/* ── The call ────────────────────────────────────────────────────────────────────────────────────
 */

struct tool_try {
    const char *tool;
    const char *arguments; /* JSON text; NULL: none */
    struct tool_request request;
    struct tool_answer answer;
    struct audit_span span;
};

/** Record the span; without a record there is no call. False: refused. */
static bool record(struct call *call, const struct tool_try *t, const char *status,
                   const char *error)
{
    struct audit_record r = {
        .kind = AUDIT_SPAN,
        .identity = t->request.agent,
        .parent_id = call->claims.parent[0] != '\0' ? call->claims.parent : NULL,
        .namespace_id = t->request.ns,
        .tool = t->tool,
        .status = status,
        .arguments = t->arguments,
        .verdict = t->answer.verdict == VERDICT_ALLOW ? "allow" : "drop",
        .would_deny = t->answer.would_deny,
        .mode = call->has_agent ? identity_enforcement_name(call->agent.identity.enforcement)
                                : "enforce",
        .reason = tool_reason_name(t->answer.reason),
        .error = error,
        .duration_ns = -1,
    };
    int err = audit_span_end(call->c->config.audit, &t->span, &r);

    if (err == 0)
        return true;
    buf_reset(&call->data);
    call_fail(call, 503, "the call cannot be recorded, so it is not done (%s)", strerror(-err));
    return false;
}

static void refuse(struct call *call, const struct tool_try *t)
{
    char text[TOOL_ERROR_CAP];

    policy_tool_error(&t->request, &t->answer, text);
    if (!record(call, t, "blocked", text))
        return;
    call->c->counters.tools_blocked++;
    call_fail(call, 403, "%s", text);
}

static void carry_out(struct call *call, const struct tool_try *t)
{
    int err;

    json_open_object(&call->j);
    json_put_str(&call->j, "traceId", t->span.trace_id);
    json_put_str(&call->j, "spanId", t->span.span_id);
    if (t->answer.would_deny)
        json_put_str(&call->j, "wouldDeny", tool_reason_name(t->answer.reason));
    json_key(&call->j, "result");
    err = dispatch(call, t->tool, t->request.ns);
    if (err == 0) {
        json_close_object(&call->j);
        if (!record(call, t, "ok", NULL))
            return;
        call->c->counters.tools_ok++;
        call_data(call, 200);
        return;
    }
    call->c->counters.tools_error++;
    if (!record(call, t, "error", err == -ENOENT ? "unknown tool" : "the tool failed"))
        return;
    if (err == -ENOENT)
        call_fail(call, 404, "there is no tool \"%.128s\" here", t->tool);
    else
        call_fail(call, 500, "the tool failed");
}

void tools_call(struct call *call)
{
    const struct json *input = NULL;
    struct tool_try t = {.tool = NULL};
    char ns[IDENTITY_NAME_MAX + 1] = "";
    struct buf arguments;
    const struct field fields[] = {
        {.name = "tool",
         .kind = FIELD_TEXT,
         .is_required = true,
         .max = IDENTITY_TOOL_MAX,
         .to = &t.tool},
        {.name = "input", .kind = FIELD_JSON, .to = &input},
        {.name = "namespace", .kind = FIELD_NAME, .to = ns},
    };

    if (!body_read(call, fields, ARRAY_COUNT(fields)))
        return;
    if (!take_token(call)) {
        call_fail(call, 429, "too many tool calls: at most %u a second on average",
                  TOOL_RATE_PER_S);
        return;
    }
    buf_init(&arguments, CALL_BODY_MAX);
    if (input != NULL) {
        struct bytes text = json_text(input);

        buf_add(&arguments, text.data, text.len);
        t.arguments = buf_text(&arguments);
    }
    audit_span_begin(call->c->config.audit, NULL, &t.span);
    new_trace(&t.span);
    t.request = (struct tool_request){
        .agent = call->claims.agent_id,
        .identity = call->has_agent ? &call->agent.identity : NULL,
        .ns = ns[0] != '\0' ? ns : call->claims.ns,
        .tool = bytes_of_str(t.tool),
        .now_s = call->now_s,
    };
    t.answer = policy_decide_tool(&t.request);
    if (t.answer.verdict == VERDICT_ALLOW)
        carry_out(call, &t);
    else
        refuse(call, &t);
    buf_done(&arguments);
}
