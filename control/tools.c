/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tool calls over REST (the original's ExecuteTool): check, then span, then dispatch. Every call
 * makes a span, also a refused one, and a call whose span cannot be recorded is refused: what
 * cannot be remembered is not done. The tools here are latticed's own; others run behind the MCP
 * gateway.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "control/network.h"

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
    const struct json *input; /* NULL: none */
    const char *arguments;    /* its text; NULL: none */
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
        .identity = t->request.agent != NULL ? t->request.agent : call->who,
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

/** A call that was not carried out: its span carries the reason that was said. */
static void fail(struct call *call, const struct tool_try *t)
{
    char reason[CALL_DETAIL_MAX];
    unsigned status = call->status;

    (void)snprintf(reason, sizeof(reason), "%s", call->detail);
    call->c->counters.tools_error++;
    if (record(call, t, "error", reason))
        call_fail(call, status, "%s", reason);
}

static void carry_out(struct call *call, const struct tool_try *t)
{
    const struct tool_spec *tool = toolset_find(t->tool);
    bool is_pending = false;
    struct buf result;
    struct json_out outer;
    int err;

    buf_init(&result, CALL_DATA_MAX);
    outer = call->j;
    json_out_init(&call->j, &result);
    if (tool == NULL) {
        call_fail(call, 404, "there is no tool \"%.128s\" here", t->tool);
        err = -ENOENT;
    } else {
        err = toolbox_run(call, tool, t->request.ns, t->input, &is_pending);
    }
    call->j = outer;
    if (err == 0 && buf_error(&result) < 0) {
        call_fail(call, 500, "the result is too long");
        err = -EMSGSIZE;
    }
    if (err < 0) {
        fail(call, t);
    } else if (record(call, t, "ok", is_pending ? "waits for approval" : NULL)) {
        json_open_object(&call->j);
        json_put_str(&call->j, "traceId", t->span.trace_id);
        json_put_str(&call->j, "spanId", t->span.span_id);
        if (t->answer.would_deny)
            json_put_str(&call->j, "wouldDeny", tool_reason_name(t->answer.reason));
        json_key(&call->j, is_pending ? "approval" : "result");
        json_raw(&call->j, buf_bytes(&result));
        json_close_object(&call->j);
        call->c->counters.tools_ok++;
        call_data(call, is_pending ? 202 : 200);
    }
    buf_done(&result);
}

void tools_call(struct call *call)
{
    struct tool_try t = {.tool = NULL};
    char ns[IDENTITY_NAME_MAX + 1] = "";
    struct buf arguments;
    const struct field fields[] = {
        {.name = "tool",
         .kind = FIELD_TEXT,
         .is_required = true,
         .max = IDENTITY_TOOL_MAX,
         .to = &t.tool},
        {.name = "input", .kind = FIELD_JSON, .to = &t.input},
        {.name = "namespace", .kind = FIELD_NAME, .to = ns},
        {.name = "workspaceId", .kind = FIELD_NAME, .to = ns},
    };

    if (!body_read(call, fields, ARRAY_COUNT(fields)))
        return;
    buf_init(&arguments, CALL_BODY_MAX);
    if (t.input != NULL) {
        struct bytes text = json_text(t.input);

        buf_add(&arguments, text.data, text.len);
        t.arguments = buf_text(&arguments);
    }
    audit_span_begin(call->c->config.audit, NULL, &t.span);
    new_trace(&t.span);
    memcpy(call->trace_id, t.span.trace_id, sizeof(call->trace_id));
    t.request = (struct tool_request){
        .agent = call->role == ROLE_AGENT ? call->claims.agent_id : NULL, /* NULL: a person */
        .identity = call->has_agent ? &call->agent.identity : NULL,
        .ns = ns[0] != '\0'              ? ns
              : call->role == ROLE_AGENT ? call->claims.ns
                                         : "default",
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
