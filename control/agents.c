/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents over REST: their documents, lists of them, revocation, and an agent's look at itself.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "control/network.h"

/* ── Documents ───────────────────────────────────────────────────────────────────────────────────
 */

void call_identity(struct call *call, const struct identity *id)
{
    struct json_out *j = &call->j;

    if (id->parent[0] != '\0') {
        json_key(j, "parentRef");
        json_open_object(j);
        json_put_str(j, "name", id->parent);
        json_put_str(j, "namespace", id->ns);
        json_close_object(j);
    }
    json_put_u64(j, "depth", id->depth);
    call_names(call, "allowedTools", &id->tools);
    call_names(call, "allowedNamespaces", &id->namespaces);
    call_names(call, "allowedDestinations", &id->destinations);
    json_put_str(j, "sandbox", identity_sandbox_name(id->sandbox));
    json_put_str(j, "enforcementMode", identity_enforcement_name(id->enforcement));
    json_put_str(j, "auditLevel", identity_audit_level_name(id->audit_level));
}

void call_agent(struct call *call, const struct store_agent *a)
{
    enum identity_phase phase = a->identity.phase;
    struct json_out *j = &call->j;
    char text[IP_TEXT_CAP];
    char key[BASE64_32_LEN + 1];

    if (phase == IDENTITY_ACTIVE && call->now_s >= a->identity.expires_s)
        phase = IDENTITY_EXPIRED; /* the mark follows within a second */
    json_open_object(j);
    json_put_str(j, "name", a->identity.name);
    json_put_str(j, "namespace", a->identity.ns);
    json_put_str(j, "phase", identity_phase_name(phase));
    call_identity(call, &a->identity);
    json_put_str(j, "peerIP", ip_print(&a->address, text));
    if (a->has_public_key) {
        base64_write_32(a->public_key, key);
        json_put_str(j, "publicKey", key);
    }
    call_time(call, "createdAt", a->created_s);
    call_time(call, "expiresAt", a->identity.expires_s);
    call_time(call, "endedAt", a->ended_s);
    call_time(call, "lastSeenAt", a->seen_s);
    json_close_object(j);
}

void call_gateway(struct call *call)
{
    struct store_gateway g;
    char key[BASE64_32_LEN + 1];

    if (store_gateway_get(call->c->store, &g) < 0)
        return;
    base64_write_32(g.public_key, key);
    json_key(&call->j, "gateway");
    json_open_object(&call->j);
    json_put_str(&call->j, "publicKey", key);
    json_put_str(&call->j, "endpoint", g.endpoint);
    json_close_object(&call->j);
}

/* ── Looking, revoking ───────────────────────────────────────────────────────────────────────────
 */

static void write_row(void *self, const struct store_agent *a)
{
    struct call_rows *p = self;

    p->last = a->id;
    p->rows++;
    call_agent(p->call, a);
}

void agents_list(struct call *call)
{
    const struct http_target *target = http_request_target(call->r);
    struct store_agent_filter f = {.ns = http_target_query(target, "workspace"),
                                   .parent = http_target_query(target, "parentRef")};
    struct call_rows p = {.call = call};

    if (!call_page(call, &f.limit, &f.after))
        return;
    call_page_begin(call);
    call_page_end(call, &p, f.limit, store_agent_list(call->c->store, &f, write_row, &p));
}

/** The agent that the path and ?namespace= name. False: refused. */
static bool read_target(struct call *call, char ret_ns[static IDENTITY_NAME_MAX + 1])
{
    const char *ns = http_target_query(http_request_target(call->r), "namespace");

    if (ns == NULL || identity_name_check(bytes_of_str(ns)) < 0) {
        call_fail(call, 400, "say which namespace: ?namespace=NAME");
        return false;
    }
    (void)snprintf(ret_ns, IDENTITY_NAME_MAX + 1, "%s", ns);
    return true;
}

static void fail_unknown(struct call *call, const char *ns)
{
    call_fail(call, 404, "there is no agent \"%.64s\" in namespace \"%s\"", call->params[0], ns);
}

void agents_show(struct call *call)
{
    char ns[IDENTITY_NAME_MAX + 1];
    struct store_agent a;
    int err;

    if (!read_target(call, ns))
        return;
    err = store_agent_get(call->c->store, ns, call->params[0], &a);
    if (err == -ENOENT) {
        fail_unknown(call, ns);
    } else if (err < 0) {
        call_fail(call, 500, "the agent cannot be read");
    } else {
        call_agent(call, &a);
        store_agent_done(&a);
        call_data(call, 200);
    }
}

void agents_revoke(struct call *call)
{
    char ns[IDENTITY_NAME_MAX + 1];
    int count;

    if (!read_target(call, ns))
        return;
    count = store_agent_revoke(call->c->store, ns, call->params[0], call->now_s);
    if (count == -ENOENT) {
        fail_unknown(call, ns);
    } else if (count < 0) {
        call_fail(call, 500, "the agent cannot be revoked");
    } else {
        call->c->counters.revoked += (uint64_t)count;
        json_open_object(&call->j);
        json_put_str(&call->j, "name", call->params[0]);
        json_put_str(&call->j, "namespace", ns);
        json_put_str(&call->j, "phase", "Revoked");
        json_put_i64(&call->j, "revoked", count);
        json_close_object(&call->j);
        call_data(call, 200);
    }
}

/** A delegated agent belongs into its parent's latest trace. */
static void write_trace(struct call *call)
{
    const char *parent = call->agent.identity.parent;
    char trace[AUDIT_TRACE_CAP];
    char span[AUDIT_SPAN_CAP];

    if (parent[0] == '\0' || audit_store_session(call->c->traces, parent, trace, span) < 0)
        return;
    json_key(&call->j, "trace");
    json_open_object(&call->j);
    json_put_str(&call->j, "traceId", trace);
    json_put_str(&call->j, "parentSpanId", span);
    json_close_object(&call->j);
}

/** An agent's own document, as long as it lives. */
static void write_self(struct call *call)
{
    if (!call->has_agent || !identity_is_live(&call->agent.identity, call->now_s)) {
        call_fail(call, 401, "this identity has ended");
        return;
    }
    json_open_object(&call->j);
    json_put_i64(&call->j, "version", store_epoch(call->c->store));
    json_key(&call->j, "agent");
    network_rules(call->c, &call->agent.identity); /* what policies say, too */
    call_agent(call, &call->agent);
    call_gateway(call);
    call_nats(call, &call->agent);
    write_trace(call);
    json_close_object(&call->j);
    call_data(call, 200);
}

void agents_self(struct call *call)
{
    (void)!store_agent_seen(call->c->store, call->agent.identity.ns, call->agent.identity.name,
                            call->now_s); /* a missed mark is no reason to refuse */
    if (!call_wait(call, write_self))
        write_self(call);
}
