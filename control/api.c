/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dispatcher: route, credential, body, transaction, idempotency, answer. Denies by default: a
 * route names the roles that may use it and the query members it knows; everything else is a 4xx
 * problem (RFC 9457) that also carries the original system's code and msg.
 */
#include <stdio.h>
#include <string.h>

#include "base/wipe.h"
#include "control/call.h"

enum {
    HAS_BODY = 1, /* a JSON object */
    WRITES = 2,   /* in one transaction; those who wait are told */
    CREATES = 4,  /* takes an Idempotency-Key */
};

static const struct route {
    const char *method;
    const char *path; /* ":x" stands for one segment */
    unsigned roles;   /* enum role, or 0: anybody */
    unsigned flags;
    void (*run)(struct call *call);
    const char *query[6];
} routes[] = {
#define API "/api/v1"
#define ISO API "/agent-isolation"
    {"POST", ISO "/register", 0, HAS_BODY | WRITES | CREATES, agents_register, {0}},
    {"POST", ISO "/token", 0, HAS_BODY, agents_refresh, {0}},
    {"POST", ISO "/enrollment-tokens", ROLE_ADMIN, HAS_BODY | WRITES | CREATES, tokens_create, {0}},
    {"GET", ISO "/enrollment-tokens", ROLE_ADMIN, 0, tokens_list, {"limit", "cursor"}},
    {"DELETE", ISO "/enrollment-tokens/:id", ROLE_ADMIN, WRITES, tokens_remove, {0}},
    {"GET",
     ISO "/agents",
     ROLE_ADMIN,
     0,
     agents_list,
     {"workspace", "parentRef", "limit", "cursor"}},
    {"GET", ISO "/agents/:name", ROLE_ADMIN, 0, agents_show, {"namespace"}},
    {"DELETE", ISO "/agents/:name", ROLE_ADMIN, WRITES, agents_revoke, {"namespace"}},
    {"GET", ISO "/self", ROLE_AGENT, 0, agents_self, {"wait"}},
    {"POST", ISO "/delegate", ROLE_AGENT, HAS_BODY | WRITES | CREATES, agents_delegate, {0}},
    {"POST", API "/agents/tools/call", ROLE_AGENT, HAS_BODY, tools_call, {0}},
    {"POST", API "/ai/tools/call", ROLE_ADMIN, HAS_BODY, tools_call, {0}},
    {"GET", API "/ai/tools", ROLE_ADMIN, 0, toolbox_list, {0}},
    {"GET", API "/approvals", ROLE_ADMIN, 0, approvals_list, {"state", "limit", "cursor"}},
    {"GET", API "/approvals/:id", ROLE_ADMIN, 0, approvals_show, {0}},
    {"POST", API "/approvals/:id/approve", ROLE_ADMIN, HAS_BODY | WRITES, approvals_approve, {0}},
    {"POST", API "/approvals/:id/reject", ROLE_ADMIN, HAS_BODY | WRITES, approvals_reject, {0}},
    {"GET",
     ISO "/audit/traces",
     ROLE_ADMIN,
     0,
     traces_list,
     {"agentId", "from", "to", "limit", "cursor"}},
    {"GET",
     ISO "/audit/trace-summaries",
     ROLE_ADMIN,
     0,
     traces_summaries,
     {"agentId", "from", "to", "limit", "cursor"}},
    {"GET", ISO "/audit/traces/:id", ROLE_ADMIN, 0, traces_show, {0}},
    {"GET", ISO "/audit/agents/:id/calltree", ROLE_ADMIN, 0, traces_call_tree, {0}},
    {"GET",
     ISO "/flow-events",
     ROLE_ADMIN,
     0,
     traces_flows,
     {"traceId", "agentId", "from", "to", "limit", "cursor"}},
    {"GET", API "/gateway/peers", ROLE_GATEWAY | ROLE_ADMIN, 0, peers_list, {"wait"}},
    {"PUT", API "/gateway", ROLE_GATEWAY | ROLE_ADMIN, HAS_BODY | WRITES, peers_announce, {0}},
    {"GET", API "/discovery", 0, 0, system_discovery, {0}},
    {"GET", API "/openapi.json", 0, 0, system_openapi, {0}},
    {"GET", "/.well-known/jwks.json", 0, 0, system_jwks, {0}},
    {"GET", "/healthz", 0, 0, system_health, {0}},
    {"GET", "/readyz", 0, 0, system_ready, {0}},
    {"GET", "/metrics", 0, 0, system_metrics, {0}},
};

/* ── Who calls ───────────────────────────────────────────────────────────────────────────────────
 */

static bool is_secret(const char *text, const uint8_t hash[static HASH_LEN])
{
    uint8_t got[HASH_LEN];

    return secret_hash(text, got) == 0 && secret_equal(got, hash, HASH_LEN);
}

/** An agent's token: verify it, and look at the identity as it is now. */
static bool judge_agent(struct call *call, const char *text)
{
    struct control *c = call->c;
    struct why why = {.text = ""};
    int err = token_verify(c->keys, bytes_of_str(text), control_audience(c), call->now_s,
                           &call->claims, &why);

    if (err < 0) {
        call_fail(call, 401, "%s", why.text[0] != '\0' ? why.text : "invalid agent token");
        return false;
    }
    call->role = ROLE_AGENT;
    err = store_agent_get(c->store, call->claims.ns, call->claims.agent_id, &call->agent);
    call->has_agent = err == 0;
    /* A token of an earlier life of the same name is none of this one's. */
    if (call->has_agent && call->claims.iat_s < call->agent.created_s) {
        call_fail(call, 401, "invalid token: it was issued before the agent enrolled");
        return false;
    }
    (void)snprintf(call->who, sizeof(call->who), "agent:%s/%s", call->claims.ns,
                   call->claims.agent_id);
    return true;
}

/** Find the role. False: a credential was given, and it is no good. */
static bool authenticate(struct call *call)
{
    const char *header = http_header(call->r, "Authorization");

    call->role = ROLE_NOBODY;
    (void)snprintf(call->who, sizeof(call->who), "public");
    if (header == NULL)
        return true;
    if (strncmp(header, "Bearer ", 7) != 0) {
        call_fail(call, 401, "the Authorization header must be: Bearer TOKEN");
        return false;
    }
    header += 7;
    if (is_secret(header, call->c->admin_hash)) {
        call->role = ROLE_ADMIN;
        (void)snprintf(call->who, sizeof(call->who), "admin");
        return true;
    }
    if (is_secret(header, call->c->gateway_hash)) {
        call->role = ROLE_GATEWAY;
        (void)snprintf(call->who, sizeof(call->who), "gateway");
        return true;
    }
    return judge_agent(call, header);
}

/** May this caller use the route? Agents must live. */
static bool authorise(struct call *call, const struct route *route)
{
    if (route->roles == 0)
        return true;
    if (!authenticate(call))
        return false;
    if (call->role == ROLE_NOBODY) {
        call_fail(call, 401, "%s",
                  (route->roles & ROLE_AGENT) != 0 ? "missing agent token" : "missing token");
        return false;
    }
    if ((route->roles & (unsigned)call->role) == 0) {
        call_fail(call, 403, "%s may not use this route",
                  call->role == ROLE_AGENT ? "an agent's token" : "this token");
        return false;
    }
    if (call->role != ROLE_AGENT)
        return true;
    if (!limit_take(call))
        return false;
    if (route->run == tools_call)
        return true; /* the tool check has its own words for an identity that has ended */
    if (!call->has_agent || !identity_is_live(&call->agent.identity, call->now_s) ||
        store_agent_has_live_ancestors(call->c->store, call->claims.ns, call->claims.agent_id,
                                       call->now_s) != 1) {
        call_fail(call, 401, "invalid agent token: the identity has ended");
        call_blame_store(call);
        return false;
    }
    return true;
}

/* ── One call ────────────────────────────────────────────────────────────────────────────────────
 */

static bool read_body(struct call *call)
{
    const char *type = http_header(call->r, "Content-Type");
    struct json_limits limits = {.bytes = CALL_BODY_MAX, .depth = 16, .values = 4096};
    struct why why = {.text = ""};
    char reason[WHY_TEXT_MAX + 64];

    if (type != NULL && strncmp(type, "application/json", 16) != 0) {
        call_fail(call, 415, "the body must be application/json");
        return false;
    }
    if (json_parse(http_body(call->r), &limits, &call->body, &why) < 0) {
        why_print(&why, reason, sizeof(reason));
        call_fail(call, 400, "the body is not strict JSON: %.300s", reason);
        return false;
    }
    if (json_type(json_root(call->body)) != JSON_OBJECT) {
        call_fail(call, 400, "the body must be a JSON object");
        return false;
    }
    return true;
}

/** Run a writing handler in one transaction: all of it, or nothing. */
static void run_writing(struct call *call, const struct route *route, const char *key)
{
    if (store_begin(call->c->store) < 0) {
        call_fail(call, 503, "no transaction can be begun");
        call_blame_store(call);
        return;
    }
    route->run(call);
    if (call->status < 400 && key != NULL)
        replay_record(call, route->path, key);
    if (call->status < 400 && store_commit(call->c->store) < 0)
        call_fail(call, 503, "the change could not be written to disk; nothing was changed");
    if (call->status >= 400) {
        call_blame_store(call);
        store_rollback(call->c->store);
    }
}

static bool query_is_known(struct call *call, const struct route *route)
{
    const struct http_target *t = http_request_target(call->r);

    for (unsigned i = 0; i < t->query_count; i++) {
        bool known = false;

        for (unsigned k = 0; k < ARRAY_COUNT(route->query) && route->query[k] != NULL; k++)
            known = known || strcmp(t->query[i].name, route->query[k]) == 0;
        if (!known) {
            call_fail(call, 400, "unknown query member \"%.64s\"", t->query[i].name);
            return false;
        }
    }
    return true;
}

static void run(struct call *call, const struct route *route)
{
    const char *key =
        (route->flags & CREATES) != 0 ? http_header(call->r, "Idempotency-Key") : NULL;

    if (!authorise(call, route) || !query_is_known(call, route))
        return;
    if ((route->flags & HAS_BODY) != 0 && !read_body(call))
        return;
    if ((route->flags & HAS_BODY) == 0 && http_body(call->r).len > 0) {
        call_fail(call, 400, "this route takes no body");
        return;
    }
    if (key != NULL && replay_answered(call, route->path, key))
        return;
    if ((route->flags & WRITES) != 0) {
        run_writing(call, route, key);
    } else {
        route->run(call);
        call_blame_store(call);
    }
}

/** Does the path fit? What stands for ":x" goes to @params. */
static bool fits(const char *path, const struct http_target *t, const char *params[static 2])
{
    unsigned param = 0;
    const char *p = path;

    for (unsigned i = 0; i < t->segment_count; i++) {
        size_t len;

        if (*p != '/')
            return false;
        p++;
        len = strcspn(p, "/");
        if (p[0] == ':') {
            if (param < 2)
                params[param++] = t->segments[i];
        } else if (strlen(t->segments[i]) != len || memcmp(p, t->segments[i], len) != 0) {
            return false;
        }
        p += len;
    }
    return *p == '\0' && t->segment_count > 0;
}

/** The route, or NULL with 404 or 405 said. */
static const struct route *find(struct call *call, char *allow, size_t cap)
{
    const struct http_target *t = http_request_target(call->r);
    size_t len = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(routes); i++) {
        if (!fits(routes[i].path, t, call->params))
            continue;
        if (strcmp(routes[i].method, http_method(call->r)) == 0)
            return &routes[i];
        if (len < cap)
            len += (size_t)snprintf(allow + len, cap - len, "%s%s", len > 0 ? ", " : "",
                                    routes[i].method);
    }
    if (len == 0) {
        call_fail(call, 404, "there is no such route");
        return NULL;
    }
    call->allow = allow;
    call_fail(call, 405, "this route takes %s", allow);
    return NULL;
}

void api_request(void *self, struct http_request *r)
{
    struct call call = {.c = self, .r = r, .now_s = wall_now_ns() / NS_PER_S};
    const struct route *route;
    char allow[64] = "";

    buf_init(&call.data, CALL_DATA_MAX);
    json_out_init(&call.j, &call.data);
    route = find(&call, allow, sizeof(allow));
    if (route != NULL)
        run(&call, route);
    if (!call.is_kept && call.status == 0)
        call_fail(&call, 500, "the handler did not answer");
    if (!call.is_kept)
        call_send(&call);
    json_free(call.body);
    token_claims_done(&call.claims);
    if (call.has_agent)
        store_agent_done(&call.agent);
    if (call.data.data != NULL)
        wipe(call.data.data, call.data.cap);
    buf_done(&call.data);
    if (route != NULL && (route->flags & WRITES) != 0 && call.status < 400)
        control_expire(call.c); /* a new end may be the next one; then tells those who wait */
}

void api_refused(void *self, struct http_request *r, unsigned status, const char *reason)
{
    struct call call = {.c = self, .r = r};

    buf_init(&call.data, 16);
    call_fail(&call, status, "%s", reason);
    call_send(&call);
    buf_done(&call.data);
}
