/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One REST call, from the handlers' side: who calls, with which body, and what is to be answered. A
 * handler fills in either data (call_data) or a refusal (call_fail) and returns; the dispatcher
 * sends it, after the transaction that it opened around a writing handler has been committed.
 */
#ifndef CONTROL_CALL_H
#define CONTROL_CALL_H

#include "base/buf.h"
#include "base/http.h"
#include "base/json.h"
#include "base/json_out.h"
#include "control/bus.h"
#include "control/control.h"
#include "control/store.h"
#include "policy/identity.h"

#define CALL_DATA_MAX   (32u << 20)
#define CALL_DETAIL_MAX 512u
#define CALL_BODY_MAX   65536u
#define CALL_PAGE       50u /* rows of a page, unless the client says how many */

enum role {
    ROLE_NOBODY = 1,  /* no credential at all */
    ROLE_ADMIN = 2,   /* the administrator's token */
    ROLE_GATEWAY = 4, /* the gateway's token */
    ROLE_AGENT = 8,   /* a valid agent token */
};

struct waiter;

/** Counters for /metrics; each is raised in one place. */
struct control_counters {
    uint64_t requests;
    uint64_t refused;       /* answered with 4xx */
    uint64_t failed;        /* answered with 5xx */
    uint64_t tokens_issued; /* agents' JWTs */
    uint64_t enrolled;
    uint64_t delegated;
    uint64_t revoked;
    uint64_t tools_ok;
    uint64_t tools_error;
    uint64_t tools_blocked;
    uint64_t limited;                    /* answered with 429 */
    uint64_t store_faults[STORE_FAULTS]; /* answered with 503 or 507 for it */
};

struct bucket;

struct control {
    struct control_config config;
    struct store *store;
    struct keyring *keys;
    struct http_server *http;
    struct audit_store *traces; /* projection of the records, for queries */
    struct bus *bus;            /* NULL: no NATS */
    char nats_url[256];         /* told by /discovery; "": none */
    uint8_t admin_hash[HASH_LEN];
    uint8_t gateway_hash[HASH_LEN];
    char admin_path[1024];
    char gateway_path[1024];
    struct loop_timer expiry;
    struct mono tidied;     /* when old rows were last removed */
    struct waiter *waiters; /* requests that wait for a change */
    unsigned waiter_count;
    struct loop_timer waiters_timer;
    uint8_t replay_secret[HASH_LEN]; /* seals answers of creating requests */
    struct bucket *buckets;          /* how many calls each agent may still make */
    struct control_counters counters;
    int64_t nats_epoch; /* of the users that nats-server knows */
    struct loop_timer nats_grace;
};

struct call {
    struct control *c;
    struct http_request *r;
    int64_t now_s;
    enum role role;
    char who[2 * IDENTITY_NAME_MAX + 8]; /* "admin", "gateway", "agent:NS/NAME", "public" */
    struct token_claims claims;          /* ROLE_AGENT */
    struct store_agent agent;            /* ROLE_AGENT, when has_agent: as it is now */
    bool has_agent;
    const char *params[2]; /* what stood for ":x" in the route */
    struct json_doc *body; /* routes with a body */
    unsigned status;       /* 0: nothing decided yet */
    struct buf data;       /* JSON text of "data", or a whole document when type is set */
    struct json_out j;     /* writes to data */
    const char *type;      /* not NULL: data is sent as it is, with this type */
    char detail[CALL_DETAIL_MAX];
    char etag[32];
    char trace_id[AUDIT_TRACE_CAP]; /* of a tool call, for its problem body; "": none */
    const char *allow;              /* 405 */
    unsigned retry_after_s;         /* 429, 503; 0: not said */
    bool is_kept;                   /* answered later */
};

/** call_data() - Answer @status with what @call->j wrote. */
void call_data(struct call *call, unsigned status);
/** call_fail() - Refuse with a sentence that says what to mend. */
void call_fail(struct call *call, unsigned status, const char *format, ...) PRINTF_LIKE(3, 4);
/** call_blame_store() - A refusal whose cause is the database's own trouble is said as that:
 * nothing was changed, and it is not the client's fault. Before any rollback, which would hide the
 * cause. */
void call_blame_store(struct call *call);
/** call_send() - Send what was decided; used by the dispatcher and by waiters. */
void call_send(struct call *call);

/** call_page() - Read the query members limit and cursor. False: refused already. */
bool call_page(struct call *call, unsigned *ret_limit, int64_t *ret_after);
/** call_time() - Write member @key as RFC 3339; nothing for 0 and IDENTITY_NEVER. */
void call_time(struct call *call, const char *key, int64_t time_s);
/** call_names() - Write member @key as an array. */
void call_names(struct call *call, const char *key, const struct nameset *names);
/** call_agent() - Write an agent's document. */
void call_agent(struct call *call, const struct store_agent *a);
/** call_identity() - Write the members that agents and tokens share. */
void call_identity(struct call *call, const struct identity *id);
/** call_nats() - Write member nats: where and as whom the agent publishes its records. */
void call_nats(struct call *call, const struct store_agent *a);
/** call_gateway() - Write member gateway, when one has announced itself. */
void call_gateway(struct call *call);

/** A page of a list, while its rows are written. */
struct call_rows {
    struct call *call;
    int64_t last; /* row number, for the cursor */
    unsigned rows;
};

void call_page_begin(struct call *call);
/** call_page_end() - Close the array, and name the cursor when there may be more. */
void call_page_end(struct call *call, const struct call_rows *p, unsigned limit, int err);

/* Bodies (body.c): a table says which members there may be. */
enum field_kind {
    FIELD_NAME,         /* char[IDENTITY_NAME_MAX + 1]; empty when absent */
    FIELD_TEXT,         /* const char *, at most max bytes */
    FIELD_SECONDS,      /* int64_t, 1..max */
    FIELD_TOOLS,        /* struct nameset of tool names */
    FIELD_NAMESPACES,   /* struct nameset of names */
    FIELD_DESTINATIONS, /* struct nameset of rules */
    FIELD_ENFORCEMENT,
    FIELD_SANDBOX,
    FIELD_AUDIT_LEVEL,
    FIELD_KEY,  /* uint8_t[32] in base64 */
    FIELD_JSON, /* const struct json *, an object */
};

struct field {
    const char *name; /* camelCase; the same with a capital first letter is taken, too */
    enum field_kind kind;
    bool is_required;
    int64_t max;
    void *to; /* initialised by the caller; unchanged when the member is absent */
};

/** body_read() - Read the members of @call's body. False: refused already, with the reason. */
bool body_read(struct call *call, const struct field *fields, unsigned count);

/** secret_make() - @prefix and 64 hexadecimal digits of 256 random bits, and their hash. */
#define SECRET_CAP 96u
int secret_make(const char *prefix, char ret[static SECRET_CAP],
                uint8_t ret_hash[static HASH_LEN]) MUST_USE;
int secret_hash(const char *secret, uint8_t ret_hash[static HASH_LEN]) MUST_USE;

/** token_keep() - Give an enrolment token its secret and its public name, and store it. False:
 * refused. */
bool token_keep(struct call *call, struct store_token *t, const char *prefix,
                char secret[static SECRET_CAP]);
/** control_audience() - "aud" of the tokens. */
const char *control_audience(const struct control *c);

/* Users of our nats-server (nats_users.c). */
#define NATS_USER_CAP (2 * IDENTITY_NAME_MAX + 2)
#define NATS_INBOX    "_INBOX_lattice"
/** nats_users_follow() - The set of live agents may have changed: tell nats-server. */
void nats_users_follow(struct control *c);
/** nats_users_has() - For struct bus_sources; @self: struct control. */
bool nats_users_has(void *self, const char *workspace, const char *agent);

/* Handlers, by noun. */
void agents_register(struct call *call);
void agents_refresh(struct call *call);
void agents_list(struct call *call);
void agents_show(struct call *call);
void agents_self(struct call *call);
void agents_revoke(struct call *call);
void agents_delegate(struct call *call);
void tokens_create(struct call *call);
void tokens_list(struct call *call);
void tokens_remove(struct call *call);
void tools_call(struct call *call);
void toolbox_list(struct call *call);
void approvals_list(struct call *call);
void approvals_show(struct call *call);
void approvals_approve(struct call *call);
void approvals_reject(struct call *call);
void peers_list(struct call *call);
void peers_announce(struct call *call);
void traces_list(struct call *call);
void traces_summaries(struct call *call);
void traces_show(struct call *call);
void traces_call_tree(struct call *call);
void traces_flows(struct call *call);
void system_discovery(struct call *call);
void system_jwks(struct call *call);
void system_health(struct call *call);
void system_ready(struct call *call);
void system_metrics(struct call *call);
void system_openapi(struct call *call);

/* The dispatcher (api.c). */
void api_request(void *self, struct http_request *r);
void api_refused(void *self, struct http_request *r, unsigned status, const char *reason);

/* Idempotency-Key (idempotency.c). */
/** replay_answered() - Was this request carried out before, or is @key none? True: answered. */
bool replay_answered(struct call *call, const char *path, const char *key);
/** replay_record() - Within the transaction: @key is used up, and the answer kept for who asks
 * again. */
void replay_record(struct call *call, const char *path, const char *key);

/** limit_take() - May this caller ask once more? False: 429 was said (limits.c). */
bool limit_take(struct call *call);
int buckets_new(struct bucket **ret) MUST_USE;

/* Waiting for a change of the live set (peers.c). */
/** waiters_wake() - Answer those who wait, if the epoch has moved. */
void waiters_wake(struct control *c);
void waiters_drop(void *self, struct http_request *r);
/** call_wait() - When the client has seen the present epoch and is ready to wait: keep the call.
 * Returns true when it was kept or answered. @again runs when the epoch has moved. */
bool call_wait(struct call *call, void (*again)(struct call *call));

/** control_expire() - Mark what has run out, tell those who wait, and arm the timer for the next.
 */
void control_expire(struct control *c);

#endif
