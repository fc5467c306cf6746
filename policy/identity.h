/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second door of the policy room: who an agent is, which tools it may call, how it hands a part
 * of that to a child, and the signed tokens by which it proves who it is. Everything here is pure
 * except the signing keys' files: clocks and randomness come in as arguments.
 *
 * An identity is created active (identity_init + fields, or identity_delegate), and ends expired or
 * revoked; it never comes back. What is not listed is not allowed: an empty list allows nothing.
 */
#ifndef POLICY_IDENTITY_H
#define POLICY_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/must.h"
#include "base/nameset.h"
#include "base/rng.h"
#include "base/why.h"
#include "policy/policy.h"

#define IDENTITY_NAME_MAX         63u /* bytes of an agent's or a namespace's name: one DNS label */
#define IDENTITY_TOOL_MAX         128u /* bytes of a tool's name, as in MCP 2025-11-25 */
#define IDENTITY_TOOLS_MAX        256u
#define IDENTITY_NAMESPACES_MAX   64u
#define IDENTITY_DESTINATIONS_MAX 256u
#define IDENTITY_DEPTH_MAX        8u /* a root has depth 0; nobody delegates below this */
#define IDENTITY_NEVER            INT64_MAX

/* ── Identities (field names and values: the original system)
 * ───────────────────────────────────────────
 */

enum identity_phase {
    IDENTITY_PENDING = 0, /* "Pending": announced, not enrolled yet; may do nothing */
    IDENTITY_ACTIVE,      /* "Active" */
    IDENTITY_EXPIRED,     /* "Expired" */
    IDENTITY_REVOKED,     /* "Revoked" */
};

/** How the lists are held against the agent. Ordered by strictness, the strictest first, so that
 * zeroed memory enforces. Whether the identity lives at all is always enforced. */
enum identity_enforcement {
    IDENTITY_ENFORCE = 0, /* "enforce" */
    IDENTITY_AUDIT,       /* "audit": a violation is recorded, the call proceeds */
    IDENTITY_DISABLED,    /* "disabled": the lists are not looked at */
};

/** Ordered: a child's wall is never weaker than its parent's. */
enum identity_sandbox {
    IDENTITY_SANDBOX_NONE = 0, /* "none" */
    IDENTITY_SANDBOX_POD,      /* "pod" */
    IDENTITY_SANDBOX_GVISOR,   /* "gvisor" */
    IDENTITY_SANDBOX_MICROVM,  /* "microvm" */
};

/** Ordered: a child is never recorded less than its parent. */
enum identity_audit_level {
    IDENTITY_AUDIT_NONE = 0, /* "none" */
    IDENTITY_AUDIT_WRITE,    /* "write", the default */
    IDENTITY_AUDIT_FULL,     /* "full" */
};

struct identity {
    char name[IDENTITY_NAME_MAX + 1];
    char ns[IDENTITY_NAME_MAX + 1];     /* home namespace; name and ns together are unique */
    char parent[IDENTITY_NAME_MAX + 1]; /* "": a root. The parent lives in the same namespace */
    unsigned depth;                     /* 0: a root */
    struct nameset tools;               /* exact names */
    struct nameset namespaces;          /* where it may call tools */
    struct nameset destinations;        /* rule texts, "allow HOST:PORTS" or "deny HOST:PORTS" */
    enum identity_sandbox sandbox;
    enum identity_audit_level audit_level;
    enum identity_enforcement enforcement;
    enum identity_phase phase;
    int64_t expires_s; /* seconds since 1970 UTC; IDENTITY_NEVER */
};

/** identity_init() - An empty identity: pending, expired since 1970, allowing nothing. */
void identity_init(struct identity *id);
/** identity_done() - Free the lists; accepts a half-built identity, and a second call. */
void identity_done(struct identity *id);

/** identity_is_live() - Active and not past its end. @now_s: seconds since 1970 UTC. */
bool identity_is_live(const struct identity *id, int64_t now_s);

/** identity_name_check() - Is @text fit as an agent's or a namespace's name: 1..63 of a-z, 0-9 and
 * '-', neither first nor last a '-' (RFC 1123 label, lower case)? Returns 0 or -EINVAL. */
int identity_name_check(struct bytes text) MUST_USE;
/** identity_tool_check() - Is @text fit as a tool's name: 1..128 of A-Z a-z 0-9 _ . / : -?
 * Returns 0 or -EINVAL. */
int identity_tool_check(struct bytes text) MUST_USE;

/** identity_destination_check() - Is @text `allow RULE` or `deny RULE`, with a RULE as
 * policy_add_rule() reads it? Errors: -EINVAL with @why. */
int identity_destination_check(struct bytes text, struct why *why) MUST_USE;

/** identity_policy() - The policy over destinations that an identity's list stands for, in its
 * mode; with IDENTITY_DISABLED one that allows whatever is not on the built-in list.
 * Errors: -EINVAL a rule, @why says which; -ENOSPC; -ENOMEM. */
int identity_policy(const struct nameset *destinations, enum identity_enforcement enforcement,
                    struct policy **ret, struct why *why) MUST_USE;

const char *identity_phase_name(enum identity_phase phase);
const char *identity_enforcement_name(enum identity_enforcement e);
const char *identity_sandbox_name(enum identity_sandbox s);
const char *identity_audit_level_name(enum identity_audit_level l);
/** Readers of those names; -EINVAL: no such name. */
int identity_phase_parse(struct bytes text, enum identity_phase *ret) MUST_USE;
int identity_enforcement_parse(struct bytes text, enum identity_enforcement *ret) MUST_USE;
int identity_sandbox_parse(struct bytes text, enum identity_sandbox *ret) MUST_USE;
int identity_audit_level_parse(struct bytes text, enum identity_audit_level *ret) MUST_USE;

/* ── May this agent call this tool? (tool.c; check order and reason names: the original system)
 * ─────────
 */

enum tool_reason {
    TOOL_NOT_JUDGED = 0,        /* "not_judged": zeroed memory; denied */
    TOOL_MODE_DISABLED,         /* "mode_disabled": the whole check is switched off */
    TOOL_NOT_AN_AGENT,          /* "not_an_agent": a human asked */
    TOOL_IDENTITY_NOT_FOUND,    /* "identity_not_found" */
    TOOL_EXPIRED,               /* "expired" */
    TOOL_REVOKED,               /* "revoked" */
    TOOL_PENDING,               /* "pending": not enrolled yet */
    TOOL_NAMESPACE_NOT_ALLOWED, /* "namespace_not_allowed" */
    TOOL_TOOL_NOT_ALLOWED,      /* "tool_not_allowed" */
    TOOL_ALLOWED,               /* "allowed" */
};

struct tool_request {
    enum identity_enforcement
        global;        /* the installation's mode; the laxer of it and the identity's counts */
    const char *agent; /* the name that the caller proved; NULL: a human, not an agent */
    const struct identity *identity; /* as it is now, not as the token says; NULL: there is none */
    const char *ns;                  /* where the tool is called */
    struct bytes tool;               /* foreign text, compared byte by byte */
    int64_t now_s;                   /* seconds since 1970 UTC */
};

struct tool_answer {
    enum verdict verdict;    /* zeroed memory denies */
    bool would_deny;         /* the lists refuse it, but the mode lets it pass */
    enum tool_reason reason; /* of the refusal, also when it only would have been one */
};

/** policy_decide_tool() - Judge one call; cannot fail. Pure. */
struct tool_answer policy_decide_tool(const struct tool_request *req);
const char *tool_reason_name(enum tool_reason reason);

#define TOOL_ERROR_CAP 512
/** policy_tool_error() - Say the refusal: agent "X" is not permitted to call "T" in namespace "N"
 * (reason). Bytes of the tool's name that are not printable ASCII become '?'. */
void policy_tool_error(const struct tool_request *req, const struct tool_answer *answer,
                       char ret[static TOOL_ERROR_CAP]);

/* ── Delegation (delegate.c): child = parent ∩ request ────────────────────────────────────────────
 */

#define DELEGATE_TTL_DEFAULT_S 900
#define DELEGATE_TTL_MAX_S     (7 * 86400)

struct delegation {
    const char *name;                      /* of the child */
    const struct nameset *tools;           /* asked for; NULL: none */
    const struct nameset *namespaces;      /* NULL: the parent's home, if the parent may use it */
    const struct nameset *destinations;    /* NULL: none */
    int64_t ttl_s;                         /* 1..DELEGATE_TTL_MAX_S, cut to the parent's own end */
    enum identity_enforcement enforcement; /* the stricter of it and the parent's counts */
    enum identity_sandbox sandbox;
    enum identity_audit_level audit_level;
};

/**
 * identity_delegate() - Make the identity of @parent's child: everything is the intersection of
 * what the parent has and what is asked for; it ends no later than the parent.
 * @ret: uninitialised; the caller owns it on success and ends it with identity_done(). It is
 * PENDING until it enrols. Errors: -EPERM the parent is not live; -ELOOP IDENTITY_DEPTH_MAX;
 * -EINVAL the name, the lifetime or a rule; -ENOSPC the destinations' intersection is too long;
 * -ENOMEM. @why says which.
 */
int identity_delegate(const struct identity *parent, const struct delegation *request,
                      int64_t now_s, struct identity *ret, struct why *why) MUST_USE;

/* ── Signing keys (keys.c) ────────────────────────────────────────────────────────────────────────
 */

#define KEY_ID_LEN  43u /* base64url of a SHA-256: the key's thumbprint, RFC 7638 */
#define KEYRING_MAX 2u  /* the signing key and, while its tokens still live, the one before it */

struct keyring;

/**
 * keyring_open() - Load the signing keys of a directory; make the first one when there is none.
 * @dir: exists; holds signing-key.pem and perhaps signing-key.previous.pem, both PKCS#8, P-256,
 * 0600. Errors: -errno with @why: unreadable, not such a key, or open to others than the owner
 * (-EACCES).
 */
int keyring_open(const char *dir, struct keyring **ret, struct why *why) MUST_USE;
/** keyring_rotate() - Put a new key in front of the one in @dir; the old one still verifies. */
int keyring_rotate(const char *dir, struct why *why) MUST_USE;
void keyring_free(struct keyring *k);
/** keyring_signing_id() - The key id that new tokens carry. Borrowed. */
const char *keyring_signing_id(const struct keyring *k);
/** keyring_write_jwks() - Append the JWK Set document (RFC 7517 5) of the public keys. */
int keyring_write_jwks(const struct keyring *k, struct buf *to) MUST_USE;

/* ── Tokens (token.c): JWS, ES256 only (RFC 7515, 7518 3.4, 7519, 8725) ───────────────────────────
 */

#define TOKEN_MAX        8192u /* bytes of a whole token */
#define TOKEN_LIFE_MAX_S 900   /* exp - iat at most */
#define TOKEN_SKEW_S     60    /* clocks may differ by so much */
#define TOKEN_ISSUER     "lattice-agent-registration"
#define TOKEN_USE_ACCESS "access"
#define TOKEN_JTI_LEN    32u /* 128 bits in hexadecimal */

struct token_claims {
    char agent_id[IDENTITY_NAME_MAX + 1]; /* "sub" says the same */
    char ns[IDENTITY_NAME_MAX + 1];
    char parent[IDENTITY_NAME_MAX + 1]; /* "": none */
    char jti[TOKEN_JTI_LEN + 1];
    struct nameset tools; /* information for the holder; the live identity decides */
    int64_t iat_s, nbf_s, exp_s;
};

void token_claims_done(struct token_claims *c);

/**
 * token_issue() - Sign a token for @id that lives from @now_s for TOKEN_LIFE_MAX_S, at most until
 * the identity's end.
 * @aud: the audience, i.e. who may accept it. @ret: the text is appended.
 * Errors: -EPERM the identity is not live; -EMSGSIZE its tools do not fit a token; -ENOMEM; -EIO.
 */
int token_issue(const struct keyring *k, const struct identity *id, const char *aud, int64_t now_s,
                struct rng rng, struct buf *ret, struct why *why) MUST_USE;

/**
 * token_verify() - Check form, header, signature and claims of foreign @text.
 * Refused: anything but three strict base64url parts; a header with other members than alg, kid,
 * typ, or another algorithm than the key's; an unknown key; claims missing, doubled, of the wrong
 * type or size; a life longer than TOKEN_LIFE_MAX_S; another issuer, audience or use; before nbf or
 * after exp.
 * @ret: on success the caller ends it with token_claims_done().
 * Errors: -EACCES with the reason in @why (safe to show: it holds no part of the token); -ENOMEM.
 */
int token_verify(const struct keyring *k, struct bytes text, const char *aud, int64_t now_s,
                 struct token_claims *ret, struct why *why) MUST_USE;

#endif
