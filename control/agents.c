/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities over REST: enrolment tokens, registration, renewal, delegation, revocation. What a
 * child may do is computed from its parent's live identity, at delegation and again when it
 * registers; what a request or a token claims about rights is never believed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/rng.h"
#include "base/wipe.h"
#include "control/call.h"

#define TOKEN_TTL_DEFAULT_S 3600
#define TOKEN_TTL_MAX_S     (30 * 86400)
#define AGENT_TTL_MAX_S     (366 * 86400)
#define DELEGATED_TOKEN_S   900 /* a child enrols within this, or not at all */

static const char *audience(const struct control *c)
{
    return c->config.audience != NULL ? c->config.audience : "lattice";
}

/* ── Documents ───────────────────────────────────────────────────────────────────────────────────
 */

static void write_identity(struct call *call, const struct identity *id)
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
    write_identity(call, &a->identity);
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

static void write_gateway(struct call *call)
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

/* ── Enrolment tokens ────────────────────────────────────────────────────────────────────────────
 */

static void grant_init(struct store_token *t, const struct call *call)
{
    *t = (struct store_token){.created_s = call->now_s};
    identity_init(&t->grant);
    t->grant.expires_s = IDENTITY_NEVER;
}

/** Give the token its secret and its public name, and store it. False: refused. */
static bool token_store(struct call *call, struct store_token *t, const char *prefix,
                        char secret[static SECRET_CAP])
{
    struct rng rng = rng_system();

    if (secret_make(prefix, secret, t->hash) < 0) {
        call_fail(call, 500, "no token could be made");
        return false;
    }
    (void)snprintf(t->id, sizeof(t->id), "%016llx", (unsigned long long)rng_u64(rng));
    if (store_token_add(call->c->store, t) < 0) {
        call_fail(call, 500, "the token cannot be stored");
        return false;
    }
    return true;
}

void tokens_create(struct call *call)
{
    int64_t ttl_s = TOKEN_TTL_DEFAULT_S;
    int64_t agent_ttl_s = 0;
    char secret[SECRET_CAP];
    struct store_token t;

    grant_init(&t, call);
    const struct field fields[] = {
        {.name = "namespace", .kind = FIELD_NAME, .is_required = true, .to = t.grant.ns},
        {.name = "allowedTools", .kind = FIELD_TOOLS, .to = &t.grant.tools},
        {.name = "ttlSeconds", .kind = FIELD_SECONDS, .max = TOKEN_TTL_MAX_S, .to = &ttl_s},
        {.name = "agentName", .kind = FIELD_NAME, .to = t.grant.name},
        {.name = "agentTtlSeconds",
         .kind = FIELD_SECONDS,
         .max = AGENT_TTL_MAX_S,
         .to = &agent_ttl_s},
        {.name = "allowedNamespaces", .kind = FIELD_NAMESPACES, .to = &t.grant.namespaces},
        {.name = "allowedDestinations", .kind = FIELD_DESTINATIONS, .to = &t.grant.destinations},
        {.name = "enforcementMode", .kind = FIELD_ENFORCEMENT, .to = &t.grant.enforcement},
        {.name = "auditLevel", .kind = FIELD_AUDIT_LEVEL, .to = &t.grant.audit_level},
    };
    if (!body_read(call, fields, ARRAY_COUNT(fields)))
        goto out;
    /* the original system: registration sets the namespaces to the token's namespace, unless said
     * otherwise */
    if (t.grant.namespaces.count == 0 &&
        nameset_add(&t.grant.namespaces, bytes_of_str(t.grant.ns)) < 0) {
        call_fail(call, 500, "out of memory");
        goto out;
    }
    (void)snprintf(t.created_by, sizeof(t.created_by), "admin");
    t.expires_s = call->now_s + ttl_s;
    if (agent_ttl_s > 0)
        t.grant.expires_s = call->now_s + agent_ttl_s;
    if (!token_store(call, &t, "lt-enroll-", secret))
        goto out;
    json_open_object(&call->j);
    json_put_str(&call->j, "id", t.id);
    json_put_str(&call->j, "token", secret);
    call_time(call, "expiresAt", t.expires_s);
    json_close_object(&call->j);
    wipe(secret, sizeof(secret));
    call_data(call, 201);
out:
    store_token_done(&t);
}

struct page {
    struct call *call;
    int64_t last;
    unsigned rows;
};

static const char *token_state(const struct store_token *t, int64_t now_s)
{
    if (t->used_s != 0)
        return "used";
    return now_s >= t->expires_s ? "expired" : "unused";
}

static void write_token(void *self, int64_t number, const struct store_token *t)
{
    struct page *p = self;
    struct json_out *j = &p->call->j;

    p->last = number;
    p->rows++;
    json_open_object(j);
    json_put_str(j, "id", t->id);
    json_put_str(j, "namespace", t->grant.ns);
    json_put_str(j, "agentName", t->grant.name[0] != '\0' ? t->grant.name : NULL);
    json_put_str(j, "state", token_state(t, p->call->now_s));
    json_put_str(j, "createdBy", t->created_by);
    write_identity(p->call, &t->grant);
    call_time(p->call, "createdAt", t->created_s);
    call_time(p->call, "expiresAt", t->expires_s);
    call_time(p->call, "usedAt", t->used_s);
    json_close_object(j);
}

/** Close a page: the array, and the cursor when there may be more. */
static void end_page(struct call *call, const struct page *p, unsigned limit, int err)
{
    char cursor[24];

    json_close_array(&call->j);
    if (p->rows == limit) {
        (void)snprintf(cursor, sizeof(cursor), "%lld", (long long)p->last);
        json_put_str(&call->j, "nextCursor", cursor);
    }
    json_close_object(&call->j);
    if (err < 0)
        call_fail(call, 500, "the list cannot be read");
    else
        call_data(call, 200);
}

static void begin_page(struct call *call)
{
    json_open_object(&call->j);
    json_key(&call->j, "items");
    json_open_array(&call->j);
}

void tokens_list(struct call *call)
{
    struct page p = {.call = call};
    unsigned limit;
    int64_t after;

    if (!call_page(call, &limit, &after))
        return;
    begin_page(call);
    end_page(call, &p, limit, store_token_list(call->c->store, after, limit, write_token, &p));
}

void tokens_remove(struct call *call)
{
    int err = store_token_remove(call->c->store, call->params[0]);

    if (err == -ENOENT)
        call_fail(call, 404, "there is no enrolment token with id \"%.32s\"", call->params[0]);
    else if (err < 0)
        call_fail(call, 500, "the token cannot be removed");
    else
        call->status = 204;
}

/* ── Registration and renewal ────────────────────────────────────────────────────────────────────
 */

/** Write the answer of registration and renewal: a fresh JWT and where to go with it. */
static void write_credentials(struct call *call, const struct store_agent *a, const char *refresh)
{
    struct json_out *j = &call->j;
    char text[IP_TEXT_CAP];
    struct buf jwt;
    struct why why;

    buf_init(&jwt, TOKEN_MAX);
    if (token_issue(call->c->keys, &a->identity, audience(call->c), call->now_s, rng_system(), &jwt,
                    &why) < 0) {
        call_fail(call, 403, "%s", why.text);
        buf_done(&jwt);
        return;
    }
    call->c->counters.tokens_issued++;
    json_open_object(j);
    json_put_str(j, "jwt", buf_text(&jwt));
    json_put_str(j, "agentIdentityName", a->identity.name);
    json_put_str(j, "namespace", a->identity.ns);
    json_put_str(j, "localIP", ip_print(&a->address, text));
    json_put_str(j, "refreshToken", refresh);
    call_time(call, "expiresAt", a->identity.expires_s);
    write_gateway(call);
    json_close_object(j);
    if (jwt.data != NULL)
        wipe(jwt.data, jwt.cap);
    buf_done(&jwt);
    call_data(call, 200);
}

/** A child's grant is computed again from its parent as it is now. Takes over the grant's lists. */
static bool narrow_again(struct call *call, struct store_token *t)
{
    struct store_agent parent;
    struct identity child;
    struct why why = {.text = ""};
    int err = store_agent_get(call->c->store, t->grant.ns, t->grant.parent, &parent);

    if (err < 0) {
        call_fail(call, 403, "the agent that delegated this token is gone");
        return false;
    }
    struct delegation d = {
        .name = t->grant.name,
        .tools = &t->grant.tools,
        .namespaces = &t->grant.namespaces,
        .destinations = &t->grant.destinations,
        .ttl_s = t->grant.expires_s - call->now_s,
        .enforcement = t->grant.enforcement,
        .sandbox = t->grant.sandbox,
        .audit_level = t->grant.audit_level,
    };
    err = store_agent_has_live_ancestors(call->c->store, t->grant.ns, t->grant.parent, call->now_s);
    if (err == 1)
        err = identity_delegate(&parent.identity, &d, call->now_s, &child, &why);
    else
        err = why_set(&why, -EPERM, "an ancestor of the delegating agent has ended");
    store_agent_done(&parent);
    if (err < 0) {
        call_fail(call, 403, "%s", why.text);
        return false;
    }
    identity_done(&t->grant);
    t->grant = child;
    return true;
}

/** Take the token, once. False: refused, in the original system's words. */
static bool take_token(struct call *call, const char *secret, struct store_token *ret)
{
    uint8_t hash[HASH_LEN];
    int err = secret_hash(secret, hash);

    if (err == 0)
        err = store_token_take(call->c->store, hash, call->now_s, ret);
    if (err == 0)
        return true;
    if (err == -ENOENT)
        call_fail(call, 400, "invalid enrollment token");
    else if (err == -EALREADY)
        call_fail(call, 400, "enrollment token already used");
    else if (err == -ETIME)
        call_fail(call, 400, "enrollment token expired");
    else
        call_fail(call, 500, "the token cannot be looked up");
    return false;
}

/** Turn a taken token into an agent. The dispatcher's transaction undoes the taking when this
 * fails. */
static void enrol(struct call *call, struct store_token *t, const char *name,
                  const uint8_t *public_key, enum identity_sandbox sandbox)
{
    struct store_agent a = {.has_public_key = true};
    char refresh[SECRET_CAP];
    uint8_t hash[HASH_LEN];
    int err;

    if (t->grant.name[0] != '\0' && strcmp(t->grant.name, name) != 0) {
        call_fail(call, 403, "this enrollment token is for agent \"%s\"", t->grant.name);
        return;
    }
    if (t->grant.parent[0] != '\0' && !narrow_again(call, t))
        return;
    (void)snprintf(t->grant.name, sizeof(t->grant.name), "%s", name);
    t->grant.phase = IDENTITY_ACTIVE;
    if (sandbox > t->grant.sandbox)
        t->grant.sandbox = sandbox;
    a.identity = t->grant; /* borrowed: freed with the token */
    memcpy(a.public_key, public_key, 32);
    err = secret_make("lt-refresh-", refresh, hash);
    if (err == 0)
        err = store_agent_put(call->c->store, &a, hash, call->now_s);
    if (err == -EEXIST)
        call_fail(call, 409, "agent \"%s\" or its public key is enrolled already; revoke it first",
                  name);
    else if (err == -ENOSPC)
        call_fail(call, 503, "all addresses are taken; revoke agents that are not needed");
    else if (err < 0)
        call_fail(call, 500, "the agent cannot be stored");
    else
        write_credentials(call, &a, refresh);
    wipe(refresh, sizeof(refresh));
}

void agents_register(struct call *call)
{
    enum identity_sandbox sandbox = IDENTITY_SANDBOX_NONE;
    char name[IDENTITY_NAME_MAX + 1] = "";
    const char *secret = NULL;
    uint8_t key[32];
    struct store_token t;
    const struct field fields[] = {
        {.name = "enrollmentToken",
         .kind = FIELD_TEXT,
         .is_required = true,
         .max = SECRET_CAP,
         .to = &secret},
        {.name = "agentName", .kind = FIELD_NAME, .is_required = true, .to = name},
        {.name = "publicKey", .kind = FIELD_KEY, .is_required = true, .to = key},
        {.name = "sandbox", .kind = FIELD_SANDBOX, .to = &sandbox},
    };

    if (!body_read(call, fields, ARRAY_COUNT(fields)) || !take_token(call, secret, &t))
        return;
    enrol(call, &t, name, key, sandbox);
    if (call->status < 400)
        call->c->counters.enrolled++;
    store_token_done(&t);
}

void agents_refresh(struct call *call)
{
    const char *secret = NULL;
    struct store_agent a;
    uint8_t hash[HASH_LEN];
    const struct field fields[] = {
        {.name = "refreshToken",
         .kind = FIELD_TEXT,
         .is_required = true,
         .max = SECRET_CAP,
         .to = &secret},
    };

    if (!body_read(call, fields, ARRAY_COUNT(fields)))
        return;
    if (secret_hash(secret, hash) < 0 || store_agent_by_refresh(call->c->store, hash, &a) < 0) {
        call_fail(call, 401, "invalid refresh token");
        return;
    }
    if (!identity_is_live(&a.identity, call->now_s) ||
        store_agent_has_live_ancestors(call->c->store, a.identity.ns, a.identity.name,
                                       call->now_s) != 1)
        call_fail(call, 401, "agent \"%s\" has ended (%s)", a.identity.name,
                  a.identity.phase == IDENTITY_ACTIVE ? "Expired"
                                                      : identity_phase_name(a.identity.phase));
    else
        write_credentials(call, &a, NULL);
    store_agent_done(&a);
}

/* ── Looking, revoking ───────────────────────────────────────────────────────────────────────────
 */

static void write_row(void *self, const struct store_agent *a)
{
    struct page *p = self;

    p->last = a->id;
    p->rows++;
    call_agent(p->call, a);
}

void agents_list(struct call *call)
{
    const struct http_target *target = http_request_target(call->r);
    struct store_agent_filter f = {.ns = http_target_query(target, "workspace"),
                                   .parent = http_target_query(target, "parentRef")};
    struct page p = {.call = call};

    if (!call_page(call, &f.limit, &f.after))
        return;
    begin_page(call);
    end_page(call, &p, f.limit, store_agent_list(call->c->store, &f, write_row, &p));
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
    call_agent(call, &call->agent);
    write_gateway(call);
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

/* ── Delegation ──────────────────────────────────────────────────────────────────────────────────
 */

static void hand_out(struct call *call, const struct delegation *d)
{
    const struct identity *parent = &call->agent.identity;
    char secret[SECRET_CAP];
    struct why why = {.text = ""};
    struct store_token t = {.created_s = call->now_s, .expires_s = call->now_s + DELEGATED_TOKEN_S};
    int err = identity_delegate(parent, d, call->now_s, &t.grant, &why);

    if (err < 0) {
        call_fail(call, err == -EINVAL ? 400 : 403, "%s", why.text);
        return;
    }
    if (t.expires_s > t.grant.expires_s)
        t.expires_s = t.grant.expires_s;
    (void)snprintf(t.created_by, sizeof(t.created_by), "%s", parent->name);
    if (token_store(call, &t, "lt-delegate-", secret)) {
        call->c->counters.delegated++;
        json_open_object(&call->j);
        json_put_str(&call->j, "enrollmentToken", secret);
        call_time(call, "expiresAt", t.expires_s);
        json_key(&call->j, "identity");
        json_open_object(&call->j);
        json_put_str(&call->j, "name", t.grant.name);
        json_put_str(&call->j, "namespace", t.grant.ns);
        write_identity(call, &t.grant);
        call_time(call, "expiresAt", t.grant.expires_s);
        json_close_object(&call->j);
        json_close_object(&call->j);
        call_data(call, 201);
        wipe(secret, sizeof(secret));
    }
    store_token_done(&t);
}

void agents_delegate(struct call *call)
{
    char name[IDENTITY_NAME_MAX + 1] = "";
    struct nameset tools, namespaces, destinations;
    struct delegation d = {.name = name,
                           .ttl_s = DELEGATE_TTL_DEFAULT_S,
                           .tools = &tools,
                           .destinations = &destinations};
    const struct field fields[] = {
        {.name = "agentName", .kind = FIELD_NAME, .is_required = true, .to = name},
        {.name = "requestedTools", .kind = FIELD_TOOLS, .to = &tools},
        {.name = "requestedNamespaces", .kind = FIELD_NAMESPACES, .to = &namespaces},
        {.name = "requestedDestinations", .kind = FIELD_DESTINATIONS, .to = &destinations},
        {.name = "ttlSeconds", .kind = FIELD_SECONDS, .max = DELEGATE_TTL_MAX_S, .to = &d.ttl_s},
        {.name = "enforcementMode", .kind = FIELD_ENFORCEMENT, .to = &d.enforcement},
        {.name = "auditLevel", .kind = FIELD_AUDIT_LEVEL, .to = &d.audit_level},
        {.name = "sandbox", .kind = FIELD_SANDBOX, .to = &d.sandbox},
    };

    nameset_init(&tools, IDENTITY_TOOLS_MAX);
    nameset_init(&namespaces, IDENTITY_NAMESPACES_MAX);
    nameset_init(&destinations, IDENTITY_DESTINATIONS_MAX);
    if (body_read(call, fields, ARRAY_COUNT(fields))) {
        d.namespaces = namespaces.count > 0 ? &namespaces : NULL;
        hand_out(call, &d);
    }
    nameset_done(&tools);
    nameset_done(&namespaces);
    nameset_done(&destinations);
}
