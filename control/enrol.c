/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an agent comes to be: registration by a one-time token, renewal of its JWT, delegation to a
 * child. What a child may do is computed from its parent's live identity, at delegation and again
 * when it registers; what a request or a token claims about rights is never believed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/wipe.h"
#include "control/call.h"

#define TREE_PERIOD_S     86400
#define TREE_TOKENS_MAX   1000u
#define DELEGATED_TOKEN_S 900 /* a child enrols within this, or not at all */

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
    if (token_issue(call->c->keys, &a->identity, control_audience(call->c), call->now_s,
                    rng_system(), &jwt, &why) < 0) {
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
    call_gateway(call);
    call_nats(call, a);
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

/* ── Delegation ──────────────────────────────────────────────────────────────────────────────────
 */

/** May this family of agents delegate once more today? Each row that it makes stays a while. */
static bool has_room(struct call *call)
{
    const struct identity *id = &call->agent.identity;
    int64_t count = store_tree_count(call->c->store, id->ns, id->name, call->now_s - TREE_PERIOD_S);

    if (count >= 0 && count < TREE_TOKENS_MAX)
        return true;
    if (count < 0) {
        call_fail(call, 500, "the delegations cannot be counted");
        return false;
    }
    call->c->counters.limited++;
    call->retry_after_s = 3600;
    call_fail(call, 429, "an agent and its descendants may delegate %u times a day",
              TREE_TOKENS_MAX);
    return false;
}

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
    if (!has_room(call)) {
        store_token_done(&t);
        return;
    }
    if (t.expires_s > t.grant.expires_s)
        t.expires_s = t.grant.expires_s;
    (void)snprintf(t.created_by, sizeof(t.created_by), "%s", parent->name);
    if (token_keep(call, &t, "lt-delegate-", secret)) {
        call->c->counters.delegated++;
        json_open_object(&call->j);
        json_put_str(&call->j, "enrollmentToken", secret);
        call_time(call, "expiresAt", t.expires_s);
        json_key(&call->j, "identity");
        json_open_object(&call->j);
        json_put_str(&call->j, "name", t.grant.name);
        json_put_str(&call->j, "namespace", t.grant.ns);
        call_identity(call, &t.grant);
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
