/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dispatcher: route, credential, body, transaction, idempotency, answer. Denies by default: a
 * route names the roles that may use it and the query members it knows; everything else is a 4xx
 * problem (RFC 9457) that also carries the original system's code and msg.
 *
 * A creating request with an Idempotency-Key is carried out once. Its answer is repeated from
 * memory for a day; answers may hold secrets and are never stored, so after a restart the
 * repetition is refused (409) instead of carried out again.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/wipe.h"
#include "control/call.h"

#define REPLAYS_MAX  1024u
#define KEY_TEXT_MAX 128u /* characters of an Idempotency-Key */

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
    {"GET",
     ISO "/audit/traces",
     ROLE_ADMIN,
     0,
     traces_list,
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

/* ── Answers ─────────────────────────────────────────────────────────────────────────────────────
 */

void call_data(struct call *call, unsigned status)
{
    if (call->status == 0)
        call->status = status;
}

void call_fail(struct call *call, unsigned status, const char *format, ...)
{
    va_list args;

    call->status = status;
    va_start(args, format);
    (void)vsnprintf(call->detail, sizeof(call->detail), format, args);
    va_end(args);
}

static const char *status_title(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {
        {400, "Bad request"},
        {401, "Not authenticated"},
        {403, "Not permitted"},
        {404, "Not found"},
        {405, "Method not allowed"},
        {409, "Conflict"},
        {413, "Too large"},
        {414, "Target too long"},
        {415, "Media type not supported"},
        {422, "Does not match the first request"},
        {429, "Too many requests"},
        {503, "Not available now"},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return status < 500 ? "Refused" : "Internal error";
}

static void write_problem(struct call *call, struct buf *to)
{
    struct json_out j;
    char type[48];
    char id[17];

    (void)snprintf(type, sizeof(type), "urn:lattice:problem:%u", call->status);
    (void)snprintf(id, sizeof(id), "%016llx", (unsigned long long)rng_u64(rng_system()));
    json_out_init(&j, to);
    json_open_object(&j);
    json_put_str(&j, "type", type);
    json_put_str(&j, "title", status_title(call->status));
    json_put_u64(&j, "status", call->status);
    json_put_str(&j, "detail", call->detail);
    json_put_str(&j, "requestId", id);
    json_put_u64(&j, "code", call->status); /* the original system's envelope */
    json_put_str(&j, "msg", call->detail);
    if (call->status == 401)
        json_put_str(&j, "error", call->detail);
    json_close_object(&j);
}

static void write_envelope(struct call *call, struct buf *to)
{
    struct json_out j;

    json_out_init(&j, to);
    json_open_object(&j);
    json_put_u64(&j, "code", call->status);
    json_put_str(&j, "msg", "success");
    json_key(&j, "data");
    json_raw(&j, buf_bytes(&call->data));
    json_close_object(&j);
}

static void count_answer(struct call *call)
{
    call->c->counters.requests++;
    if (call->status >= 500)
        call->c->counters.failed++;
    else if (call->status >= 400)
        call->c->counters.refused++;
}

void call_send(struct call *call)
{
    struct http_answer a = {.status = call->status, .headers = {{"Cache-Control", "no-store"}}};
    unsigned headers = 1;
    struct buf text;

    if (buf_error(&call->data) < 0 && call->status < 400)
        call_fail(call, 500, "the answer is too large");
    a.status = call->status;
    buf_init(&text, CALL_DATA_MAX + 4096);
    if (call->status >= 400) {
        write_problem(call, &text);
        a.type = "application/problem+json";
    } else if (call->type != NULL) {
        buf_add(&text, call->data.data, call->data.len);
        a.type = call->type;
        a.headers[0].value = "max-age=60";
    } else if (call->status != 204 && call->status != 304) {
        write_envelope(call, &text);
        a.type = "application/json";
    }
    if (call->etag[0] != '\0' && call->status < 400)
        a.headers[headers++] = (struct http_answer_header){"ETag", call->etag};
    if (call->status == 401)
        a.headers[headers++] =
            (struct http_answer_header){"WWW-Authenticate", "Bearer realm=\"lattice\""};
    if (call->allow != NULL)
        a.headers[headers++] = (struct http_answer_header){"Allow", call->allow};
    a.body = buf_bytes(&text);
    count_answer(call);
    http_answer(call->r, &a);
    if (text.data != NULL)
        wipe(text.data, text.cap); /* it may hold a token */
    buf_done(&text);
}

void call_time(struct call *call, const char *key, int64_t time_s)
{
    char text[RFC3339_CAP];

    if (time_s <= 0 || time_s > INT64_MAX / NS_PER_S)
        return;
    wall_print(time_s * NS_PER_S, text);
    json_put_str(&call->j, key, text);
}

void call_names(struct call *call, const char *key, const struct nameset *names)
{
    json_key(&call->j, key);
    json_open_array(&call->j);
    for (unsigned i = 0; i < names->count; i++)
        json_str(&call->j, names->items[i]);
    json_close_array(&call->j);
}

bool call_page(struct call *call, unsigned *ret_limit, int64_t *ret_after)
{
    const struct http_target *t = http_request_target(call->r);
    const char *limit = http_target_query(t, "limit");
    const char *cursor = http_target_query(t, "cursor");
    uint16_t n = CALL_PAGE;
    char *end;

    if (limit != NULL &&
        (port_parse(bytes_of_str(limit), &n) < 0 || n == 0 || n > STORE_PAGE_MAX)) {
        call_fail(call, 400, "limit must be 1 to %u", STORE_PAGE_MAX);
        return false;
    }
    *ret_limit = n;
    *ret_after = 0;
    if (cursor == NULL)
        return true;
    errno = 0;
    *ret_after = strtoll(cursor, &end, 10);
    if (errno != 0 || *end != '\0' || cursor[0] < '0' || cursor[0] > '9') {
        call_fail(call, 400, "cursor must be the nextCursor of an earlier page");
        return false;
    }
    return true;
}

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
    const char *aud = c->config.audience != NULL ? c->config.audience : "lattice";
    struct why why = {.text = ""};
    int err = token_verify(c->keys, bytes_of_str(text), aud, call->now_s, &call->claims, &why);

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
    if (call->role != ROLE_AGENT || route->run == tools_call)
        return true; /* the tool check has its own words for an identity that has ended */
    if (!call->has_agent || !identity_is_live(&call->agent.identity, call->now_s) ||
        store_agent_has_live_ancestors(call->c->store, call->claims.ns, call->claims.agent_id,
                                       call->now_s) != 1) {
        call_fail(call, 401, "invalid agent token: the identity has ended");
        return false;
    }
    return true;
}

/* ── Idempotency ─────────────────────────────────────────────────────────────────────────────────
 */

struct replay {
    char who[2 * IDENTITY_NAME_MAX + 8];
    char key[KEY_TEXT_MAX + 1];
    unsigned status;
    struct buf data;
};

int replays_new(struct replay **ret)
{
    *ret = calloc(REPLAYS_MAX, sizeof(**ret));
    return *ret != NULL ? 0 : -ENOMEM;
}

static void replay_clear(struct replay *p)
{
    if (p->data.data != NULL)
        wipe(p->data.data, p->data.cap);
    buf_done(&p->data);
    p->key[0] = '\0';
}

void replays_free(struct replay *replays)
{
    if (replays == NULL)
        return;
    for (unsigned i = 0; i < REPLAYS_MAX; i++)
        replay_clear(&replays[i]);
    free(replays);
}

/** Slots are taken in turn: the oldest answer makes room. */
static void replay_keep(struct call *call, const char *key)
{
    struct replay *p = &call->c->replays[call->c->counters.requests % REPLAYS_MAX];

    replay_clear(p);
    (void)snprintf(p->who, sizeof(p->who), "%s", call->who);
    (void)snprintf(p->key, sizeof(p->key), "%s", key);
    p->status = call->status;
    buf_init(&p->data, CALL_DATA_MAX);
    buf_add(&p->data, call->data.data, call->data.len);
    if (buf_error(&p->data) < 0)
        replay_clear(p);
}

static const struct replay *replay_find(const struct call *call, const char *key)
{
    for (unsigned i = 0; i < REPLAYS_MAX; i++) {
        const struct replay *p = &call->c->replays[i];

        if (p->key[0] != '\0' && strcmp(p->key, key) == 0 && strcmp(p->who, call->who) == 0)
            return p;
    }
    return NULL;
}

static bool is_good_key(const char *key)
{
    size_t len = strlen(key);

    if (len == 0 || len > KEY_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (key[i] < 0x21 || key[i] > 0x7e)
            return false;
    return true;
}

/** What makes two requests the same: route and body, byte by byte. */
static int request_hash(const struct call *call, const struct route *route,
                        uint8_t ret[static HASH_LEN])
{
    struct bytes parts[] = {bytes_of(route->path, strlen(route->path) + 1), http_body(call->r)};

    return hash_sha256(parts, ARRAY_COUNT(parts), ret);
}

/** Has this request been carried out before? True: it is answered. */
static bool replayed(struct call *call, const struct route *route, const char *key)
{
    const struct replay *p = replay_find(call, key);
    uint8_t now[HASH_LEN], then[HASH_LEN];
    int err = store_request_find(call->c->store, call->who, key, then);

    if (err == -ENOENT)
        return false;
    if (err < 0 || request_hash(call, route, now) < 0)
        call_fail(call, 500, "the idempotency key cannot be looked up");
    else if (!secret_equal(now, then, HASH_LEN))
        call_fail(call, 422, "this Idempotency-Key was used for another request");
    else if (p == NULL)
        call_fail(call, 409,
                  "this request was carried out before; its answer is not kept any more");
    else {
        buf_add(&call->data, p->data.data, p->data.len);
        call->status = p->status;
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
    uint8_t hash[HASH_LEN];

    if (store_begin(call->c->store) < 0) {
        call_fail(call, 503, "the database is busy; try again");
        return;
    }
    route->run(call);
    if (call->status < 400 && key != NULL &&
        (request_hash(call, route, hash) < 0 ||
         store_request_add(call->c->store, call->who, key, hash, call->now_s) < 0))
        call_fail(call, 500, "the idempotency key cannot be stored");
    if (call->status < 400 && store_commit(call->c->store) < 0)
        call_fail(call, 503, "the change could not be written to disk; nothing was changed");
    if (call->status >= 400)
        store_rollback(call->c->store);
    else if (key != NULL)
        replay_keep(call, key);
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
    if (key != NULL && !is_good_key(key)) {
        call_fail(call, 400, "an Idempotency-Key is 1 to %u printable ASCII characters",
                  KEY_TEXT_MAX);
        return;
    }
    if (key != NULL && replayed(call, route, key))
        return;
    if ((route->flags & WRITES) != 0)
        run_writing(call, route, key);
    else
        route->run(call);
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
