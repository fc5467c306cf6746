/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment tokens over REST: made, listed, withdrawn. A token's secret is in one answer and
 * nowhere else.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/wipe.h"
#include "control/call.h"

#define TOKEN_TTL_DEFAULT_S 3600
#define TOKEN_TTL_MAX_S     (30 * 86400)
#define AGENT_TTL_MAX_S     (366 * 86400)

static void grant_init(struct store_token *t, const struct call *call)
{
    *t = (struct store_token){.created_s = call->now_s};
    identity_init(&t->grant);
    t->grant.expires_s = IDENTITY_NEVER;
}

bool token_keep(struct call *call, struct store_token *t, const char *prefix,
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
    if (!token_keep(call, &t, "lt-enroll-", secret))
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

static const char *token_state(const struct store_token *t, int64_t now_s)
{
    if (t->used_s != 0)
        return "used";
    return now_s >= t->expires_s ? "expired" : "unused";
}

static void write_token(void *self, int64_t number, const struct store_token *t)
{
    struct call_rows *p = self;
    struct json_out *j = &p->call->j;

    p->last = number;
    p->rows++;
    json_open_object(j);
    json_put_str(j, "id", t->id);
    json_put_str(j, "namespace", t->grant.ns);
    json_put_str(j, "agentName", t->grant.name[0] != '\0' ? t->grant.name : NULL);
    json_put_str(j, "state", token_state(t, p->call->now_s));
    json_put_str(j, "createdBy", t->created_by);
    call_identity(p->call, &t->grant);
    call_time(p->call, "createdAt", t->created_s);
    call_time(p->call, "expiresAt", t->expires_s);
    call_time(p->call, "usedAt", t->used_s);
    json_close_object(j);
}

void tokens_list(struct call *call)
{
    struct call_rows p = {.call = call};
    unsigned limit;
    int64_t after;

    if (!call_page(call, &limit, &after))
        return;
    call_page_begin(call);
    call_page_end(call, &p, limit, store_token_list(call->c->store, after, limit, write_token, &p));
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
