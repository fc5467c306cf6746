/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What latticed must not forget: identities, enrolment tokens, addresses, which creating requests
 * were carried out, and the epoch that grows whenever the set of live agents changes. SQLite in WAL
 * mode; each call that changes something is one transaction and is on the disk when it returns.
 * Secrets are never stored, only their SHA-256.
 */
#ifndef CONTROL_STORE_H
#define CONTROL_STORE_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/hash.h"
#include "policy/identity.h"

#define STORE_PAGE_MAX 200u

struct store;

/** An agent: its identity, and where it sits. */
struct store_agent {
    int64_t id; /* row number, grows; never shown */
    struct identity identity;
    uint8_t public_key[32]; /* WireGuard */
    bool has_public_key;
    struct ip address;
    int64_t created_s;
    int64_t ended_s; /* 0: not ended */
    int64_t seen_s;  /* 0: never */
};

void store_agent_done(struct store_agent *a);

/** An enrolment token: what its bearer may become. */
struct store_token {
    char id[17]; /* public name, hexadecimal */
    uint8_t hash[HASH_LEN];
    struct identity grant; /* name "": any; parent "": a root; expires_s: of the identity to be */
    int64_t created_s;
    int64_t expires_s; /* of the token */
    int64_t used_s;    /* 0: not yet */
    char created_by[IDENTITY_NAME_MAX + 1];
};

void store_token_done(struct store_token *t);

/** store_open() - Open or create the database and bring its schema up to date. */
int store_open(const char *path, struct store **ret, struct why *why) MUST_USE;
void store_close(struct store *s);
/** store_check() - Does the database answer? 0 or -EIO. */
int store_check(struct store *s) MUST_USE;
/** Why the last call to the database failed, if it did. */
enum store_fault {
    STORE_FINE = 0,
    STORE_FULL,      /* no room on the disk */
    STORE_READ_ONLY, /* the file or its directory may not be written */
    STORE_BUSY,      /* another process holds the lock */
    STORE_BROKEN,    /* anything else: I/O, corruption, memory */
    STORE_FAULTS
};
/** store_fault() - Of the most recent call that reached the database; ask before the next one. */
enum store_fault store_fault(struct store *s);
const char *store_fault_name(enum store_fault fault); /* "full", "read_only", "busy", "broken" */
/** store_epoch() - The present epoch; it outlives restarts. */
int64_t store_epoch(struct store *s);

/* Transactions around calls that belong together; without one each call is its own. */
int store_begin(struct store *s) MUST_USE;
int store_commit(struct store *s) MUST_USE;
void store_rollback(struct store *s);

/* Tokens. */
int store_token_add(struct store *s, const struct store_token *t) MUST_USE;
/** store_token_take() - Use up the token with this hash, if it is unused and alive at @now_s.
 * Errors: -ENOENT no such token; -EALREADY used before; -ETIME expired; -EIO. */
int store_token_take(struct store *s, const uint8_t hash[static HASH_LEN], int64_t now_s,
                     struct store_token *ret) MUST_USE;
/** store_token_remove() - Errors: -ENOENT. */
int store_token_remove(struct store *s, const char *id) MUST_USE;
/** store_token_list() - Call @row for up to @limit tokens, oldest first, behind row number @after
 * (0: from the start). @row gets the token's row number for the next call. */
int store_token_list(struct store *s, int64_t after, unsigned limit,
                     void (*row)(void *self, int64_t number, const struct store_token *t),
                     void *self) MUST_USE;

/* Agents. */
/** store_agent_put() - Create the agent, or bring one back that has ended, with an address: the one
 * it had, or the lowest free one. @a->address is set. Errors: -EEXIST it lives, with another public
 * key; -ENOSPC no address is free; -EIO. */
int store_agent_put(struct store *s, struct store_agent *a,
                    const uint8_t refresh_hash[static HASH_LEN], int64_t now_s) MUST_USE;
/** store_agent_get() - Errors: -ENOENT; -EIO. */
int store_agent_get(struct store *s, const char *ns, const char *name,
                    struct store_agent *ret) MUST_USE;
int store_agent_by_refresh(struct store *s, const uint8_t hash[static HASH_LEN],
                           struct store_agent *ret) MUST_USE;
struct store_agent_filter {
    const char *ns;     /* NULL: all */
    const char *parent; /* NULL: all */
    bool only_active;
    int64_t after; /* row number; 0: from the start */
    unsigned limit;
};
int store_agent_list(struct store *s, const struct store_agent_filter *f,
                     void (*row)(void *self, const struct store_agent *a), void *self) MUST_USE;
/** store_agent_has_live_ancestors() - Is each ancestor of the agent active at @now_s? 1, 0 or -EIO.
 */
int store_agent_has_live_ancestors(struct store *s, const char *ns, const char *name,
                                   int64_t now_s) MUST_USE;
int store_agent_seen(struct store *s, const char *ns, const char *name, int64_t now_s) MUST_USE;
/** store_agent_revoke() - Revoke it and all its descendants, and the tokens that they handed out.
 * Returns how many lived until now, or -ENOENT, -EIO. */
int store_agent_revoke(struct store *s, const char *ns, const char *name, int64_t now_s) MUST_USE;
/** store_expire() - Mark what has run out. Returns how many, or -EIO. @ret_next_s: when the next
 * one will; IDENTITY_NEVER. */
int store_expire(struct store *s, int64_t now_s, int64_t *ret_next_s) MUST_USE;

/** store_tree_count() - How many tokens all agents that descend from @name's root, the root too,
 * have handed out since @since_s. -EIO. */
int64_t store_tree_count(struct store *s, const char *ns, const char *name,
                         int64_t since_s) MUST_USE;
/** store_tidy() - Forget what nobody can ask for any more: idempotency keys of yesterday, tokens
 * that ended long ago. */
int store_tidy(struct store *s, int64_t now_s) MUST_USE;

/** store_count() - How many agents have this phase. */
int64_t store_count(struct store *s, enum identity_phase phase);

/* The gateway, as it announced itself. */
struct store_gateway {
    uint8_t public_key[32];
    char endpoint[ENDPOINT_TEXT_CAP]; /* where its tunnel port is reached */
};
int store_gateway_put(struct store *s, const struct store_gateway *g) MUST_USE;
/** store_gateway_get() - Errors: -ENOENT none announced itself yet. */
int store_gateway_get(struct store *s, struct store_gateway *ret) MUST_USE;

/* Requests that were carried out, by idempotency key. */
struct store_request {
    uint8_t hash[HASH_LEN]; /* of route and body */
    unsigned status;        /* 0: from a time when answers were not kept */
    struct buf answer;      /* sealed; set up by the caller */
};
/** store_request_find() - 0: found; -ENOENT: new. */
int store_request_find(struct store *s, const char *who, const uint8_t key[static HASH_LEN],
                       struct store_request *ret) MUST_USE;
int store_request_add(struct store *s, const char *who, const uint8_t key[static HASH_LEN],
                      const struct store_request *r, int64_t now_s) MUST_USE;

#endif
