/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a call that changes something and the change stands a person. The call is kept word by
 * word; a person sees it and decides; what was approved is carried out at once, in the transaction
 * of the decision, and never again. Who asked is told the outcome when the same call comes once
 * more. An approval that nobody decided ends by itself.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "control/network.h"

/** What ties an approval to its call: tool, namespace and the bytes of the arguments. */
static int call_hash(const char *tool, const char *ns, struct bytes arguments,
                     uint8_t ret[static HASH_LEN])
{
    struct bytes parts[] = {bytes_of(tool, strlen(tool) + 1), bytes_of(ns, strlen(ns) + 1),
                            arguments};

    return hash_sha256(parts, ARRAY_COUNT(parts), ret);
}

/** The outcome of a call that was decided. */
static int write_outcome(struct call *call, const struct store_approval *a)
{
    if (store_approval_deliver(call->c->store, a->id) < 0) {
        call_fail(call, 500, "the approval cannot be read");
        return -EIO;
    }
    if (strcmp(a->state, "executed") == 0) {
        json_raw(&call->j, json_text(json_root(a->result)));
        return 0;
    }
    if (strcmp(a->state, "failed") == 0)
        call_fail(call, 409, "approval %s was given, but the change failed: %s", a->id, a->error);
    else
        call_fail(call, 403, "approval %s is %s; nothing was changed", a->id, a->state);
    return -EPERM;
}

static int ask(struct call *call, const struct tool_spec *tool, const char *ns,
               struct bytes arguments, bool *ret_pending)
{
    struct store_approval wish = {.expires_s = 0};
    struct store_approval a;
    uint8_t hash[HASH_LEN];
    struct buf text;
    int err = call_hash(tool->name, ns, arguments, hash);

    (void)snprintf(wish.id, sizeof(wish.id), "ap-%016llx",
                   (unsigned long long)rng_u64(rng_system()));
    (void)snprintf(wish.ns, sizeof(wish.ns), "%s", ns);
    (void)snprintf(wish.tool, sizeof(wish.tool), "%s", tool->name);
    (void)snprintf(wish.requested_by, sizeof(wish.requested_by), "%s", call->who);
    buf_init(&text, CALL_BODY_MAX);
    buf_add(&text, arguments.data, arguments.len);
    if (err == 0)
        err = buf_error(&text);
    if (err == 0)
        err = store_approval_ask(call->c->store, &wish, buf_text(&text), hash, call->now_s, &a);
    buf_done(&text);
    if (err < 0) {
        call_fail(call, err == -ENOSPC ? 429 : 500,
                  err == -ENOSPC ? "too many calls wait for approval; see 'lattice approvals list'"
                                 : "the approval cannot be stored");
        return err;
    }
    *ret_pending = strcmp(a.state, "pending") == 0;
    err = *ret_pending ? store_approval_write(call->c->store, a.id, &call->j)
                       : write_outcome(call, &a);
    store_approval_done(&a);
    return err;
}

int toolbox_run(struct call *call, const struct tool_spec *tool, const char *ns,
                const struct json *args, bool *ret_pending)
{
    struct why why = {.text = ""};
    int err = toolset_check(tool, args, &why);

    *ret_pending = false;
    if (err < 0) {
        call_fail(call, 400, "%s", why.text);
        return err;
    }
    if (tool->kind == TOOL_READS)
        return network_run(call, tool->name, ns, args);
    return ask(call, tool, ns, args != NULL ? json_text(args) : bytes_of_str("{}"), ret_pending);
}

/* ── Routes ──────────────────────────────────────────────────────────────────────────────────────
 */

void approvals_list(struct call *call)
{
    static const char *const states[] = {"pending", "approved", "executed",
                                         "failed",  "rejected", "expired"};
    const char *state = http_target_query(http_request_target(call->r), "state");
    struct call_rows rows = {.call = call};
    bool is_known = state == NULL;
    unsigned limit;
    int64_t after;
    int count;

    for (unsigned i = 0; i < ARRAY_COUNT(states); i++)
        is_known = is_known || strcmp(state, states[i]) == 0;
    if (!is_known) {
        call_fail(call, 400,
                  "state must be pending, approved, executed, failed, rejected or "
                  "expired");
        return;
    }
    if (!call_page(call, &limit, &after))
        return;
    count = store_approval_expire(call->c->store, call->now_s);
    call_page_begin(call);
    if (count == 0)
        count = store_approval_list(call->c->store, state != NULL ? state : "", after, limit,
                                    &call->j, &rows.last);
    rows.rows = count > 0 ? (unsigned)count : 0;
    call_page_end(call, &rows, limit, count);
}

static void answer_approval(struct call *call, const char *id)
{
    int err = store_approval_write(call->c->store, id, &call->j);

    if (err < 0)
        call_fail(call, err == -ENOENT ? 404 : 500, "there is no approval \"%.64s\"", id);
    else
        call_data(call, 200);
}

void approvals_show(struct call *call)
{
    if (store_approval_expire(call->c->store, call->now_s) < 0)
        call_fail(call, 500, "the approvals cannot be read");
    else
        answer_approval(call, call->params[0]);
}

/** Refuse what could not be decided. */
static void refuse(struct call *call, int err, const char *id)
{
    if (err == -ENOENT)
        call_fail(call, 404, "there is no approval \"%.64s\"", id);
    else if (err == -ETIME)
        call_fail(call, 409, "approval \"%.64s\" has expired", id);
    else if (err == -EALREADY)
        call_fail(call, 409, "approval \"%.64s\" was decided before", id);
    else
        call_fail(call, 500, "the decision cannot be stored");
}

/** Every decision is a span, like the call that it is about. */
static int record(struct call *call, const struct store_approval *a, const char *status,
                  const char *error)
{
    struct audit_span span;
    char detail[96];
    struct bytes arguments = json_text(json_root(a->arguments));
    struct buf text;
    struct audit_record r = {.kind = AUDIT_SPAN,
                             .identity = call->who,
                             .namespace_id = a->ns,
                             .tool = a->tool,
                             .status = status,
                             .verdict = strcmp(status, "blocked") == 0 ? "drop" : "allow",
                             .mode = "enforce",
                             .reason = "approval",
                             .error = error,
                             .detail = detail,
                             .duration_ns = -1};
    int err;

    (void)snprintf(detail, sizeof(detail), "approval %s", a->id);
    buf_init(&text, CALL_BODY_MAX);
    buf_add(&text, arguments.data, arguments.len);
    r.arguments = buf_text(&text);
    audit_span_begin(call->c->config.audit, NULL, &span);
    err = audit_span_end(call->c->config.audit, &span, &r);
    buf_done(&text);
    return err;
}

/** Carry the approved call out; a failure leaves nothing behind but its reason. */
static int carry_out(struct call *call, const struct store_approval *a, const char *via)
{
    struct store *s = call->c->store;
    int err = network_run(call, a->tool, a->ns, json_root(a->arguments));
    char detail[CALL_DETAIL_MAX];

    if (err == 0)
        err = buf_error(&call->data);
    if (err == 0) {
        err = record(call, a, "ok", NULL);
        if (err == 0)
            err = store_approval_outcome(s, a->id, "executed", buf_text(&call->data), "");
        buf_reset(&call->data);
        json_out_init(&call->j, &call->data);
        return err;
    }
    (void)snprintf(detail, sizeof(detail), "%s", call->detail);
    call->status = 0;
    buf_reset(&call->data);
    json_out_init(&call->j, &call->data);
    store_rollback(s); /* also the decision: it is made again, with its failure */
    err = record(call, a, "error", detail);
    if (err == 0)
        err = store_begin(s);
    if (err == 0)
        err = store_approval_decide(s, a->id, "approved", call->who, via, call->now_s);
    return err == 0 ? store_approval_outcome(s, a->id, "failed", "", detail) : err;
}

static void decide(struct call *call, bool is_approved)
{
    struct store_approval a;
    const char *via = "";
    const char *id = call->params[0];
    const struct field fields[] = {{.name = "via", .kind = FIELD_TEXT, .max = 32, .to = &via}};
    int err;

    if (!body_read(call, fields, ARRAY_COUNT(fields)))
        return;
    err = store_approval_decide(call->c->store, id, is_approved ? "approved" : "rejected",
                                call->who, via, call->now_s);
    if (err == 0)
        err = store_approval_get(call->c->store, id, &a);
    if (err < 0) {
        refuse(call, err, id);
        return;
    }
    err = is_approved ? carry_out(call, &a, via) : record(call, &a, "blocked", "rejected");
    if (err == 0 && strcmp(via, "mcp-elicitation") == 0) /* who asked hears it in this answer */
        err = store_approval_deliver(call->c->store, a.id);
    store_approval_done(&a);
    if (err < 0)
        refuse(call, -EIO, id);
    else
        answer_approval(call, id);
}

void approvals_approve(struct call *call)
{
    decide(call, true);
}

void approvals_reject(struct call *call)
{
    decide(call, false);
}

void toolbox_list(struct call *call)
{
    struct json_out *j = &call->j;

    json_open_array(j);
    for (unsigned i = 0; toolset_at(i) != NULL; i++) {
        const struct tool_spec *t = toolset_at(i);

        json_open_object(j);
        json_put_str(j, "name", t->name);
        json_put_str(j, "description", t->help);
        json_key(j, "inputSchema");
        toolset_write_schema(t, j);
        json_put_bool(j, "needsApproval", t->kind == TOOL_WRITES);
        json_close_object(j);
    }
    json_close_array(j);
    call_data(call, 200);
}
