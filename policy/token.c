/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens. libjwt signs and checks one ES256 signature; everything else is judged here, on bytes
 * that were decoded strictly, because libjwt takes "none", lets a doubled claim's last value win,
 * and knows nothing of exp, aud or crit. The order is: form → header → key → signature → claims, so
 * that no claim of an unsigned token is ever read.
 *
 * It refuses to choose an algorithm by the token: the key record decides, and all keys are P-256.
 */
#include <errno.h>
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/wipe.h"
#include "policy/keys.h"

#define HEADER_MAX  512u
#define AUDS_MAX    8u
#define CLAIM_S_MAX (INT64_C(1) << 40) /* times beyond the year 36812 are nonsense */

void token_claims_done(struct token_claims *c)
{
    nameset_done(&c->tools);
}

/* ── Signing ─────────────────────────────────────────────────────────────────────────────────────
 */

static void write_claims(const struct identity *id, const char *aud, int64_t now_s, int64_t exp_s,
                         struct rng rng, struct buf *to)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t raw[TOKEN_JTI_LEN / 2];
    char jti[TOKEN_JTI_LEN + 1];
    struct json_out j;

    rng.fill(rng.self, raw, sizeof(raw));
    for (size_t i = 0; i < sizeof(raw); i++) {
        jti[2 * i] = hex[raw[i] >> 4];
        jti[2 * i + 1] = hex[raw[i] & 0xf];
    }
    jti[TOKEN_JTI_LEN] = '\0';
    json_out_init(&j, to);
    json_open_object(&j);
    json_put_str(&j, "iss", TOKEN_ISSUER);
    json_put_str(&j, "aud", aud);
    json_put_str(&j, "sub", id->name);
    json_put_str(&j, "agent_id", id->name);
    json_put_str(&j, "namespace", id->ns);
    json_put_str(&j, "parent_agent_id", id->parent);
    json_key(&j, "allowed_tools");
    json_open_array(&j);
    for (unsigned i = 0; i < id->tools.count; i++)
        json_str(&j, id->tools.items[i]);
    json_close_array(&j);
    json_put_str(&j, "token_use", TOKEN_USE_ACCESS);
    json_put_str(&j, "jti", jti);
    json_put_i64(&j, "iat", now_s);
    json_put_i64(&j, "nbf", now_s);
    json_put_i64(&j, "exp", exp_s);
    json_close_object(&j);
}

static int sign(const struct keyring *k, const char *claims, struct buf *ret)
{
    struct bytes pem = keyring_private_pem(k);
    jwt_t *jwt = NULL;
    char *text = NULL;
    int err = -ENOMEM;

    if (jwt_new(&jwt) != 0)
        return err;
    err = -EIO;
    if (jwt_add_grants_json(jwt, claims) == 0 &&
        jwt_add_header(jwt, "kid", keyring_signing_id(k)) == 0 &&
        jwt_set_alg(jwt, JWT_ALG_ES256, pem.data, (int)pem.len) == 0)
        text = jwt_encode_str(jwt);
    if (text != NULL) {
        err = strlen(text) > TOKEN_MAX ? -EMSGSIZE : 0;
        if (err == 0)
            buf_add_str(ret, text);
        wipe(text, strlen(text));
        free(text);
    }
    jwt_free(jwt);
    return err < 0 ? err : buf_error(ret);
}

int token_issue(const struct keyring *k, const struct identity *id, const char *aud, int64_t now_s,
                struct rng rng, struct buf *ret, struct why *why)
{
    int64_t exp_s = now_s + TOKEN_LIFE_MAX_S;
    struct buf claims;
    int err;

    if (!identity_is_live(id, now_s))
        return why_set(why, -EPERM, "agent \"%s\" is not active", id->name);
    if (exp_s > id->expires_s)
        exp_s = id->expires_s;
    buf_init(&claims, TOKEN_MAX);
    write_claims(id, aud, now_s, exp_s, rng, &claims);
    err = buf_error(&claims);
    if (err == 0)
        err = sign(k, buf_text(&claims), ret);
    buf_done(&claims);
    if (err == -EMSGSIZE)
        return why_set(why, err, "the tools of agent \"%s\" do not fit into a token of %u bytes",
                       id->name, TOKEN_MAX);
    return err < 0 ? why_set(why, err, "the token could not be signed") : 0;
}

/* ── Verifying ───────────────────────────────────────────────────────────────────────────────────
 */

/** A token taken apart; every part borrowed from its text. */
struct token_parts {
    struct bytes header;
    struct bytes payload;
    struct bytes signature;
};

static int refuse(struct why *why, const char *reason)
{
    return why_set(why, -EACCES, "invalid token: %s", reason);
}

static int split(struct bytes text, struct token_parts *ret, struct why *why)
{
    const uint8_t *dot[2];
    const uint8_t *end = text.data + text.len;

    if (text.len == 0 || text.len > TOKEN_MAX)
        return refuse(why, "it is empty or longer than 8192 bytes");
    dot[0] = memchr(text.data, '.', text.len);
    dot[1] = dot[0] != NULL ? memchr(dot[0] + 1, '.', (size_t)(end - dot[0] - 1)) : NULL;
    if (dot[1] == NULL || memchr(dot[1] + 1, '.', (size_t)(end - dot[1] - 1)) != NULL)
        return refuse(why, "it does not have three parts");
    ret->header = bytes_of(text.data, (size_t)(dot[0] - text.data));
    ret->payload = bytes_of(dot[0] + 1, (size_t)(dot[1] - dot[0] - 1));
    ret->signature = bytes_of(dot[1] + 1, (size_t)(end - dot[1] - 1));
    return 0;
}

/** Decode one part and parse it as a JSON object. */
static int open_part(struct bytes part, size_t max, struct json_doc **ret, const char *name,
                     struct why *why)
{
    struct json_limits limits = {.bytes = max, .depth = 4, .values = IDENTITY_TOOLS_MAX + 64};
    char reason[64];
    struct buf text;
    int err;

    buf_init(&text, max);
    err = base64url_read(part, &text);
    if (err == 0)
        err = json_parse(buf_bytes(&text), &limits, ret, NULL);
    buf_done(&text);
    if (err == 0 && json_type(json_root(*ret)) != JSON_OBJECT) {
        json_free(*ret);
        err = -EINVAL;
    }
    if (err == 0 || err == -ENOMEM)
        return err;
    (void)snprintf(reason, sizeof(reason), "its %s is not strict base64url of a JSON object", name);
    return refuse(why, reason);
}

/** Find the key that the header names; the header must be exactly what we write ourselves. */
static int judge_header(const struct keyring *k, const struct json *header, struct bytes *ret_pem,
                        struct why *why)
{
    static const char *const members[] = {"alg", "kid", "typ"};
    const char *kid;

    if (json_check_keys(header, members, ARRAY_COUNT(members), "token", NULL) < 0)
        return refuse(why, "its header has members other than alg, kid and typ");
    if (!json_is_str(json_get(header, "alg"), "ES256"))
        return refuse(why, "its algorithm is not ES256");
    if (!json_is_str(json_get(header, "typ"), "JWT"))
        return refuse(why, "its type is not JWT");
    if (json_read_str(json_get(header, "kid"), &kid) < 0)
        return refuse(why, "it does not name its key");
    *ret_pem = keyring_public_pem(k, bytes_of_str(kid));
    return ret_pem->data != NULL ? 0 : refuse(why, "its key is unknown");
}

static int check_signature(struct bytes text, struct bytes pem, struct why *why)
{
    char *copy = strndup((const char *)text.data, text.len); /* base64url and dots only, by now */
    jwt_t *jwt = NULL;
    int err;

    if (copy == NULL)
        return -ENOMEM;
    err = jwt_decode(&jwt, copy, pem.data, (int)pem.len);
    if (err == 0 && jwt_get_alg(jwt) != JWT_ALG_ES256)
        err = -EINVAL;
    jwt_free(jwt);
    free(copy);
    return err == 0 ? 0 : refuse(why, "its signature does not fit");
}

/** Copy a string claim that must be there; @may_be_empty: or "". */
static int read_name(const struct json *claims, const char *claim, bool may_be_empty,
                     char ret[static IDENTITY_NAME_MAX + 1], struct why *why)
{
    const char *text;
    char reason[96];

    if (json_read_str(json_get(claims, claim), &text) == 0 &&
        ((may_be_empty && text[0] == '\0') || identity_name_check(bytes_of_str(text)) == 0)) {
        (void)snprintf(ret, IDENTITY_NAME_MAX + 1, "%s", text);
        return 0;
    }
    (void)snprintf(reason, sizeof(reason), "its claim %s is missing or not a name", claim);
    return refuse(why, reason);
}

static int read_time(const struct json *claims, const char *claim, int64_t *ret, struct why *why)
{
    char reason[96];

    if (json_read_i64(json_get(claims, claim), ret) == 0 && *ret >= 0 && *ret < CLAIM_S_MAX)
        return 0;
    (void)snprintf(reason, sizeof(reason),
                   "its claim %s is missing or not a whole number of seconds", claim);
    return refuse(why, reason);
}

/** RFC 7519 4.1.3: a string, or an array of strings one of which is meant. */
static bool is_meant_for(const struct json *value, const char *aud)
{
    if (json_type(value) != JSON_ARRAY)
        return json_is_str(value, aud);
    if (json_count(value) > AUDS_MAX)
        return false;
    for (const struct json *v = json_first(value); v != NULL; v = json_next(v))
        if (json_is_str(v, aud))
            return true;
    return false;
}

static int judge_times(struct token_claims *c, int64_t now_s, struct why *why)
{
    if (c->exp_s <= c->iat_s || c->exp_s - c->iat_s > TOKEN_LIFE_MAX_S || c->nbf_s > c->exp_s)
        return refuse(why, "it lives longer than 15 minutes, or not at all");
    if (c->iat_s > now_s + TOKEN_SKEW_S || c->nbf_s > now_s + TOKEN_SKEW_S)
        return refuse(why, "it is not valid yet");
    if (now_s >= c->exp_s + TOKEN_SKEW_S)
        return refuse(why, "it has expired");
    return 0;
}

static int read_tools(const struct json *claims, struct nameset *ret, struct why *why)
{
    const struct json *tools = json_get(claims, "allowed_tools");

    if (json_type(tools) != JSON_ARRAY)
        return refuse(why, "its claim allowed_tools is not an array");
    for (const struct json *v = json_first(tools); v != NULL; v = json_next(v)) {
        const char *name;
        int err = json_read_str(v, &name);

        if (err == 0)
            err = identity_tool_check(bytes_of_str(name));
        if (err == 0)
            err = nameset_add(ret, bytes_of_str(name));
        if (err == -ENOMEM)
            return err;
        if (err < 0)
            return refuse(why, "its claim allowed_tools holds something that is not a tool's name");
    }
    return 0;
}

static int read_jti(const struct json *claims, char ret[static TOKEN_JTI_LEN + 1], struct why *why)
{
    const char *text;

    if (json_read_str(json_get(claims, "jti"), &text) < 0 || strlen(text) != TOKEN_JTI_LEN ||
        strspn(text, "0123456789abcdef") != TOKEN_JTI_LEN)
        return refuse(why, "its claim jti is missing or not of our making");
    memcpy(ret, text, TOKEN_JTI_LEN + 1);
    return 0;
}

static int judge_claims(const struct json *claims, const char *aud, int64_t now_s,
                        struct token_claims *c, struct why *why)
{
    char sub[IDENTITY_NAME_MAX + 1];
    int err;

    if (!json_is_str(json_get(claims, "iss"), TOKEN_ISSUER))
        return refuse(why, "it has another issuer");
    if (!is_meant_for(json_get(claims, "aud"), aud))
        return refuse(why, "it is meant for another audience");
    if (!json_is_str(json_get(claims, "token_use"), TOKEN_USE_ACCESS))
        return refuse(why, "it is not an access token");
    if ((err = read_time(claims, "iat", &c->iat_s, why)) < 0 ||
        (err = read_time(claims, "nbf", &c->nbf_s, why)) < 0 ||
        (err = read_time(claims, "exp", &c->exp_s, why)) < 0 ||
        (err = judge_times(c, now_s, why)) < 0 || (err = read_jti(claims, c->jti, why)) < 0 ||
        (err = read_name(claims, "agent_id", /*may_be_empty=*/false, c->agent_id, why)) < 0 ||
        (err = read_name(claims, "sub", /*may_be_empty=*/false, sub, why)) < 0 ||
        (err = read_name(claims, "namespace", /*may_be_empty=*/false, c->ns, why)) < 0 ||
        (err = read_name(claims, "parent_agent_id", /*may_be_empty=*/true, c->parent, why)) < 0)
        return err;
    if (strcmp(sub, c->agent_id) != 0)
        return refuse(why, "its subject is not its agent");
    return read_tools(claims, &c->tools, why);
}

int token_verify(const struct keyring *k, struct bytes text, const char *aud, int64_t now_s,
                 struct token_claims *ret, struct why *why)
{
    struct token_claims claims = {.jti = ""};
    struct json_doc *header = NULL;
    struct json_doc *payload = NULL;
    struct token_parts parts;
    struct bytes pem;
    struct buf signature;
    int err = split(text, &parts, why);

    if (err < 0)
        return err;
    nameset_init(&claims.tools, IDENTITY_TOOLS_MAX);
    buf_init(&signature, 64); /* r and s of 32 bytes each, RFC 7518 3.4 */
    if (base64url_read(parts.signature, &signature) < 0 || signature.len != 64)
        err = refuse(why, "its signature is not 64 bytes in strict base64url");
    if (err == 0)
        err = open_part(parts.header, HEADER_MAX, &header, "header", why);
    if (err == 0)
        err = judge_header(k, json_root(header), &pem, why);
    if (err == 0)
        err = open_part(parts.payload, TOKEN_MAX, &payload, "payload", why);
    if (err == 0)
        err = check_signature(text, pem, why);
    if (err == 0)
        err = judge_claims(json_root(payload), aud, now_s, &claims, why);
    json_free(header);
    json_free(payload);
    buf_done(&signature);
    if (err < 0)
        token_claims_done(&claims);
    else
        *ret = claims;
    return err;
}
