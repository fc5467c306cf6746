/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following the set of live agents. A client that has seen epoch E asks with If-None-Match and
 * ?wait=SECONDS; the answer comes when the epoch moves, so that a revocation reaches gateways and
 * sandboxes at once, or as 304 when the time is over. The whole document is sent, never a
 * difference: what is not in it does not live.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "control/network.h"

#define WAITERS_MAX 1024u
#define WAIT_S_MAX  60

struct waiter {
    struct waiter *prev, *next;
    struct http_request *r;
    struct mono until;
    char etag[32];                                               /* that it has seen */
    char ns[IDENTITY_NAME_MAX + 1], name[IDENTITY_NAME_MAX + 1]; /* an agent waits; else "" */
    void (*again)(struct call *call);
};

static void print_etag(struct control *c, char ret[static 32])
{
    (void)snprintf(ret, 32, "\"%lld\"", (long long)store_epoch(c->store));
}

static void waiter_remove(struct control *c, struct waiter *w)
{
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        c->waiters = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    c->waiter_count--;
    free(w);
}

/** Answer one who waits, now. */
static void waiter_answer(struct control *c, struct waiter *w)
{
    struct call call = {.c = c, .r = w->r, .now_s = wall_now_ns() / NS_PER_S};

    buf_init(&call.data, CALL_DATA_MAX);
    json_out_init(&call.j, &call.data);
    print_etag(c, call.etag);
    if (strcmp(call.etag, w->etag) == 0) {
        call.status = 304;
    } else {
        if (w->name[0] != '\0') {
            call.role = ROLE_AGENT;
            call.has_agent = store_agent_get(c->store, w->ns, w->name, &call.agent) == 0;
        }
        w->again(&call);
    }
    waiter_remove(c, w);
    call_send(&call);
    if (call.has_agent)
        store_agent_done(&call.agent);
    buf_done(&call.data);
}

static void arm(struct control *c)
{
    struct mono next = MONO_NEVER;

    for (struct waiter *w = c->waiters; w != NULL; w = w->next)
        next = mono_min(next, w->until);
    (void)!loop_timer_set(c->config.loop, &c->waiters_timer, next);
}

static void on_waited(void *self, struct mono now)
{
    struct control *c = self;
    struct waiter *next;

    for (struct waiter *w = c->waiters; w != NULL; w = next) {
        next = w->next;
        if (!mono_before(now, w->until))
            waiter_answer(c, w);
    }
    arm(c);
}

void waiters_wake(struct control *c)
{
    char etag[32];
    struct waiter *next;

    nats_users_follow(c);
    print_etag(c, etag);
    for (struct waiter *w = c->waiters; w != NULL; w = next) {
        next = w->next;
        if (strcmp(w->etag, etag) != 0)
            waiter_answer(c, w);
    }
    arm(c);
}

void waiters_drop(void *self, struct http_request *r)
{
    struct control *c = self;

    for (struct waiter *w = c->waiters; w != NULL; w = w->next)
        if (w->r == r) {
            waiter_remove(c, w);
            return;
        }
}

/** The query member wait: 0..WAIT_S_MAX seconds. */
static bool read_wait(struct call *call, int64_t *ret_s)
{
    const char *text = http_target_query(http_request_target(call->r), "wait");
    uint16_t wait_s = 0;

    if (text != NULL && (port_parse(bytes_of_str(text), &wait_s) < 0 || wait_s > WAIT_S_MAX)) {
        call_fail(call, 400, "wait must be 0 to %d seconds", WAIT_S_MAX);
        return false;
    }
    *ret_s = wait_s;
    return true;
}

bool call_wait(struct call *call, void (*again)(struct call *call))
{
    const char *seen = http_header(call->r, "If-None-Match");
    struct control *c = call->c;
    struct waiter *w;
    int64_t wait_s;

    if (!read_wait(call, &wait_s))
        return true;
    print_etag(c, call->etag);
    if (seen == NULL || strcmp(seen, call->etag) != 0)
        return false;
    if (wait_s == 0 || c->waiter_count >= WAITERS_MAX) {
        call->status = 304;
        return true;
    }
    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        call->status = 304;
        return true;
    }
    *w = (struct waiter){.next = c->waiters, .r = call->r, .again = again};
    w->until = mono_add_ms(mono_now(), wait_s * 1000);
    memcpy(w->etag, call->etag, sizeof(w->etag));
    if (call->has_agent) {
        memcpy(w->ns, call->agent.identity.ns, sizeof(w->ns));
        memcpy(w->name, call->agent.identity.name, sizeof(w->name));
    }
    if (w->next != NULL)
        w->next->prev = w;
    c->waiters = w;
    c->waiter_count++;
    c->waiters_timer = c->waiters_timer.self != NULL
                           ? c->waiters_timer
                           : (struct loop_timer){.expired = on_waited, .self = c};
    arm(c);
    call->is_kept = true;
    return true;
}

/* ── What the gateway sees ───────────────────────────────────────────────────────────────────────
 */

struct peers {
    struct call *call;
    int64_t last;
    unsigned rows;
};

/** The destinations that are in force: the identity's own, and what policies say. */
static void write_destinations(struct call *call, const struct store_agent *a)
{
    struct identity in_force = {.depth = 0};

    identity_init(&in_force);
    memcpy(in_force.ns, a->identity.ns, sizeof(in_force.ns));
    memcpy(in_force.name, a->identity.name, sizeof(in_force.name));
    memcpy(in_force.parent, a->identity.parent, sizeof(in_force.parent));
    if (nameset_copy(&a->identity.destinations, &in_force.destinations) == 0)
        network_rules(call->c, &in_force);
    call_names(call, "allowedDestinations", &in_force.destinations);
    identity_done(&in_force);
}

static void write_peer(void *self, const struct store_agent *a)
{
    struct peers *p = self;
    struct json_out *j = &p->call->j;
    char text[IP_TEXT_CAP];
    char key[BASE64_32_LEN + 1];

    p->last = a->id;
    p->rows++;
    if (!a->has_public_key || !identity_is_live(&a->identity, p->call->now_s))
        return;
    base64_write_32(a->public_key, key);
    json_open_object(j);
    json_put_str(j, "name", a->identity.name);
    json_put_str(j, "namespace", a->identity.ns);
    json_put_str(j, "publicKey", key);
    json_put_str(j, "address", ip_print(&a->address, text));
    json_put_str(j, "enforcementMode", identity_enforcement_name(a->identity.enforcement));
    write_destinations(p->call, a);
    call_time(p->call, "expiresAt", a->identity.expires_s);
    json_close_object(j);
}

static void write_peers(struct call *call)
{
    struct store_agent_filter f = {.only_active = true, .limit = STORE_PAGE_MAX};
    struct peers p = {.call = call};
    int err;

    json_open_object(&call->j);
    json_put_i64(&call->j, "version", store_epoch(call->c->store));
    json_key(&call->j, "peers");
    json_open_array(&call->j);
    do {
        p.rows = 0;
        err = store_agent_list(call->c->store, &f, write_peer, &p);
        f.after = p.last;
    } while (err == 0 && p.rows == STORE_PAGE_MAX);
    json_close_array(&call->j);
    json_close_object(&call->j);
    if (err < 0)
        call_fail(call, 500, "the peers cannot be read");
    else
        call_data(call, 200);
}

void peers_list(struct call *call)
{
    if (!call_wait(call, write_peers))
        write_peers(call);
}

void peers_announce(struct call *call)
{
    struct store_gateway g;
    struct endpoint where;
    const char *endpoint = NULL;
    const struct field fields[] = {
        {.name = "publicKey", .kind = FIELD_KEY, .is_required = true, .to = g.public_key},
        {.name = "endpoint",
         .kind = FIELD_TEXT,
         .is_required = true,
         .max = ENDPOINT_TEXT_CAP - 1,
         .to = &endpoint},
    };

    if (!body_read(call, fields, ARRAY_COUNT(fields)))
        return;
    if (endpoint_parse(bytes_of_str(endpoint), &where) < 0) {
        call_fail(call, 400, "\"endpoint\" must be ADDRESS:PORT or [ADDRESS]:PORT");
        return;
    }
    (void)endpoint_print(&where, g.endpoint);
    if (store_gateway_put(call->c->store, &g) < 0) {
        call_fail(call, 500, "the gateway cannot be stored");
        return;
    }
    json_open_object(&call->j);
    json_put_str(&call->j, "endpoint", g.endpoint);
    json_close_object(&call->j);
    call_data(call, 200);
}
