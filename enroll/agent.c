/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The follower of a sandbox: enrols or resumes, tells its owner who the agent is, and then asks
 * latticed without end what has become of it. Renews the token in time. An identity that latticed
 * knows no more, or has ended, is told once and for all; a latticed that does not answer is not an
 * end: the identity is kept until its own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/json_out.h"
#include "base/wipe.h"
#include "enroll/call.h"
#include "enroll/credentials.h"
#include "enroll/process.h"

#define ISO             "/api/v1/agent-isolation"
#define ANSWER_MAX      (1u << 20)
#define WAIT_S          50 /* of one long poll; latticed allows 60 */
#define READY_LIMIT_S   60
#define GATEWAY_LIMIT_S 20 /* how long a gateway may take to show up */

struct follower {
    const struct enroll_agent_config *config;
    int fd;
    struct credentials credentials;
    char etag[HTTP_CLIENT_ETAG_CAP];
    struct buf told;         /* the identity that the owner knows */
    uint8_t gateway_key[32]; /* … and the gateway */
    struct endpoint gateway;
    struct backoff backoff;
    struct mono renew_at;
    bool is_away;
};

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────────
 */

/** POST an object of up to three text members; the answer's credentials are kept. */
static int fetch(struct follower *f, const char *path, const char *const members[][2],
                 unsigned count, struct why *why)
{
    struct call c = {
        .server = &f->config->server, .method = "POST", .path = path, .answer_max = ANSWER_MAX};
    struct credentials *to = &f->credentials;
    const char *jwt = NULL, *refresh = NULL;
    struct json_out j;
    struct buf body;
    int err;

    buf_init(&body, 4096);
    json_out_init(&j, &body);
    json_open_object(&j);
    for (unsigned i = 0; i < count; i++)
        json_put_str(&j, members[i][0], members[i][1]);
    json_close_object(&j);
    c.body = buf_text(&body);
    err = buf_error(&body) < 0 ? why_set(why, -ENOMEM, "out of memory") : call_run(&c, why);
    if (err == 0 &&
        (json_read_str(json_get(call_data(&c), "jwt"), &jwt) < 0 || strlen(jwt) >= sizeof(to->jwt)))
        err = why_set(why, -EBADMSG, "latticed gave no token");
    if (err == 0) {
        (void)snprintf(to->jwt, sizeof(to->jwt), "%s", jwt);
        if (json_read_str(json_get(call_data(&c), "refreshToken"), &refresh) == 0 &&
            strlen(refresh) < sizeof(to->refresh))
            (void)snprintf(to->refresh, sizeof(to->refresh), "%s", refresh);
        err = credentials_save(to, why);
    }
    json_free(c.doc);
    if (body.data != NULL)
        wipe(body.data, body.cap);
    buf_done(&body);
    return err;
}

static int renew(struct follower *f, struct why *why)
{
    const char *const members[][2] = {{"refreshToken", f->credentials.refresh}};
    int64_t every_s = f->config->renew_s > 0 ? f->config->renew_s : ENROLL_RENEW_S;
    int err = fetch(f, ISO "/token", members, ARRAY_COUNT(members), why);

    if (err == 0)
        f->renew_at = mono_add_ms(mono_now(), every_s * 1000);
    return err;
}

static int redeem(struct follower *f, struct why *why)
{
    struct credentials *c = &f->credentials;
    uint8_t public_key[32];
    char key[BASE64_32_LEN + 1];
    const char *const members[][2] = {
        {"enrollmentToken", f->config->token}, {"agentName", f->config->name}, {"publicKey", key}};
    int err = 0;

    c->jwt[0] = c->refresh[0] = '\0';
    if (!c->has_key) {
        c->keys->generate(c->private_key);
        c->has_key = true;
    }
    if (c->keys->public_of(c->private_key, public_key) < 0)
        return why_set(why, -EIO, "no key pair could be made");
    base64_write_32(public_key, key);
    err = credentials_save(c, why); /* a token is spent only when its fruit can be kept */
    if (err == 0)
        err = fetch(f, ISO "/register", members, ARRAY_COUNT(members), why);
    f->renew_at = mono_add_ms(
        mono_now(), 1000 * (int64_t)(f->config->renew_s > 0 ? f->config->renew_s : ENROLL_RENEW_S));
    return err;
}

/** GET self, waiting for news when we know an ETag. The caller frees @ret->doc. */
static int ask(struct follower *f, unsigned wait_s, struct call *ret, struct why *why)
{
    char path[96];

    (void)snprintf(path, sizeof(path), ISO "/self?wait=%u", wait_s);
    *ret = (struct call){.server = &f->config->server,
                         .method = "GET",
                         .path = path,
                         .bearer = f->credentials.jwt,
                         .etag = f->etag,
                         .timeout_s = wait_s + 10,
                         .answer_max = ANSWER_MAX};
    return call_run(ret, why);
}

/* ── Start ───────────────────────────────────────────────────────────────────────────────────────
 */

static bool has_token(const struct follower *f)
{
    return f->config->token != NULL && f->config->token[0] != '\0';
}

/** Resume, or enrol. */
static int get_in(struct follower *f, struct why *why)
{
    struct credentials *c = &f->credentials;
    int err;

    if (c->refresh[0] != '\0') {
        err = renew(f, why);
        if (err != -EACCES)
            return err;
        if (!has_token(f))
            return why_set(why, err, "the identity in %s has ended; enrol again with a new --token",
                           c->folder);
        c->has_key = false; /* a new life has a new key */
    }
    if (!has_token(f))
        return why_set(why, -ENOENT, "agent \"%s\" has no credentials in %s; enrol it with --token",
                       f->config->name, c->folder);
    return redeem(f, why);
}

/** Does the answer name a gateway whose key and endpoint we can read? */
static bool read_gateway(const struct json *data, uint8_t ret_key[static 32], struct endpoint *ret)
{
    const struct json *g = json_get(data, "gateway");
    const char *key, *endpoint;

    return json_read_str(json_get(g, "publicKey"), &key) == 0 &&
           json_read_str(json_get(g, "endpoint"), &endpoint) == 0 &&
           base64_read_32(bytes_of_str(key), ret_key) == 0 &&
           endpoint_parse(bytes_of_str(endpoint), ret) == 0;
}

static void tell_member(struct json_out *j, const struct json *data, const char *name)
{
    const struct json *member = json_get(data, name);

    if (member == NULL)
        return;
    json_key(j, name);
    json_raw(j, json_text(member));
}

/** Tell the owner all that it needs to begin. */
static int tell_ready(struct follower *f, const struct json *data)
{
    const struct credentials *c = &f->credentials;
    char path[ENROLL_PATH_CAP + 16], key[ENROLL_KEY_TEXT_CAP];
    struct json_out j;
    struct buf text;
    int err;

    credentials_token_path(c, path, sizeof(path));
    c->keys->print(c->private_key, key);
    buf_init(&text, PROCESS_MESSAGE_MAX);
    json_out_init(&j, &text);
    json_open_object(&j);
    json_put_str(&j, "privateKey", key);
    json_put_str(&j, "tokenFile", path);
    json_key(&j, "gateway");
    json_raw(&j, json_text(json_get(data, "gateway")));
    json_key(&j, "agent");
    json_raw(&j, json_text(json_get(data, "agent")));
    tell_member(&j, data, "nats");
    tell_member(&j, data, "trace");
    json_close_object(&j);
    err = buf_error(&text);
    if (err == 0)
        process_tell(f->fd, ENROLL_READY, buf_bytes(&text));
    wipe(key, sizeof(key));
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    return err;
}

/** The first answer about ourselves, with a gateway in it: it may be about to start. */
static int begin(struct follower *f, struct why *why)
{
    struct mono until = mono_add_ms(mono_now(), GATEWAY_LIMIT_S * 1000);
    struct call c;
    int err;

    for (;;) {
        f->etag[0] = '\0';
        err = ask(f, 0, &c, why);
        if (err < 0)
            return err;
        if (read_gateway(call_data(&c), f->gateway_key, &f->gateway))
            break;
        json_free(c.doc);
        if (!mono_before(mono_now(), until))
            return why_set(why, -ENOENT,
                           "latticed knows no gateway; start one: lattice gateway --server-url %s",
                           f->config->server.url);
        process_pause(f->fd, BACKOFF_MIN_MS);
    }
    buf_add(&f->told, json_text(json_get(call_data(&c), "agent")).data,
            json_text(json_get(call_data(&c), "agent")).len);
    err = tell_ready(f, call_data(&c));
    json_free(c.doc);
    return err < 0 ? why_set(why, err, "latticed's answer is too large") : 0;
}

/* ── Following ───────────────────────────────────────────────────────────────────────────────────
 */

/** The owner hears of an identity that is another than it knows. */
static void tell_identity(struct follower *f, const struct json *data)
{
    struct bytes text = json_text(json_get(data, "agent"));

    if (text.len == 0 || text.len > PROCESS_MESSAGE_MAX || bytes_equal(text, buf_bytes(&f->told)))
        return;
    buf_reset(&f->told);
    buf_add(&f->told, text.data, text.len);
    process_tell(f->fd, ENROLL_IDENTITY, text);
}

/** … and of a gateway that is another, or elsewhere. */
static void tell_gateway(struct follower *f, const struct json *data)
{
    char text[ENDPOINT_TEXT_CAP];
    struct endpoint where;
    uint8_t key[32];

    if (!read_gateway(data, key, &where) ||
        (memcmp(key, f->gateway_key, sizeof(key)) == 0 && endpoint_equal(&where, &f->gateway)))
        return;
    memcpy(f->gateway_key, key, sizeof(key));
    f->gateway = where;
    process_tell_pair(f->fd, ENROLL_GATEWAY, bytes_of(key, sizeof(key)),
                      bytes_of_str(endpoint_print(&where, text)));
}

static void tell_answering(struct follower *f)
{
    f->backoff.ms = 0;
    if (f->is_away)
        process_tell_text(f->fd, ENROLL_BACK, "");
    f->is_away = false;
}

static void wait_and_try_again(struct follower *f, const struct why *why)
{
    if (!f->is_away)
        process_tell_text(f->fd, ENROLL_AWAY, why->text);
    f->is_away = true;
    process_pause(f->fd, backoff_next(&f->backoff));
}

/** Returns 0, or -EACCES: the identity has ended. */
static int renew_or_end(struct follower *f)
{
    struct why why = {0};
    int err = renew(f, &why);

    if (err == 0) {
        process_tell_text(f->fd, ENROLL_RENEWED, "");
    } else if (err == -EACCES) {
        process_tell_text(f->fd, ENROLL_ENDED, why.text);
    } else {
        wait_and_try_again(f, &why);
        err = 0;
    }
    return err;
}

static unsigned seconds_until(struct mono at)
{
    int64_t left = (at.ns - mono_now().ns) / NS_PER_S;

    return left < 0 ? 0 : left > WAIT_S ? WAIT_S : (unsigned)left;
}

/** One question, and what follows from its answer. Returns 0, or -EACCES. */
static int follow_once(struct follower *f)
{
    unsigned wait_s = seconds_until(f->renew_at);
    struct why why = {0};
    struct call c;
    int err;

    if (!mono_before(mono_now(), f->renew_at))
        return renew_or_end(f);
    err = ask(f, wait_s > 0 ? wait_s : 1, &c, &why);
    if (err == 0) {
        tell_answering(f);
        tell_identity(f, call_data(&c));
        tell_gateway(f, call_data(&c));
    } else if (err == -EACCES) { /* the token is too old, or the identity has ended */
        f->etag[0] = '\0';
        err = renew_or_end(f);
        if (err == 0)
            process_pause(f->fd, backoff_next(&f->backoff));
    } else {
        wait_and_try_again(f, &why);
        err = 0;
    }
    json_free(c.doc);
    return err;
}

static int run(int fd, void *self)
{
    struct follower *f = calloc(1, sizeof(*f));
    char dir[ENROLL_PATH_CAP];
    struct why why = {0};
    int err = 0;

    if (f == NULL)
        return 1;
    f->config = self;
    f->fd = fd;
    buf_init(&f->told, PROCESS_MESSAGE_MAX);
    if (f->config->dir == NULL)
        err = enroll_config_dir(dir, sizeof(dir), &why);
    else
        (void)snprintf(dir, sizeof(dir), "%s", f->config->dir);
    if (err == 0)
        err = credentials_open(dir, f->config->name, &f->config->keys, &f->credentials, &why);
    if (err == 0)
        err = get_in(f, &why);
    if (err == 0)
        err = process_jail(f->credentials.folder, &why);
    if (err == 0)
        err = begin(f, &why);
    if (err < 0) {
        process_tell_text(fd, ENROLL_FAILED, why.text);
        return 1;
    }
    while (follow_once(f) == 0)
        process_tell_text(fd, ENROLL_ALIVE, "");
    process_pause(fd, -1); /* the owner has heard it: it ends us */
    return 0;
}

/* ── The owner's side ────────────────────────────────────────────────────────────────────────────
 */

int enroll_agent_start(const struct enroll_agent_config *config, struct enroll **ret,
                       struct why *why)
{
    return process_start("lattice-follow", run, (void *)(uintptr_t)config, ret, why);
}

/** A member that may be missing, or too long to be right: then it is empty. */
static void read_text(const struct json *object, const char *name, char ret[static ENROLL_TEXT_CAP])
{
    const char *text = "";

    if (json_read_str(json_get(object, name), &text) < 0 || strlen(text) >= ENROLL_TEXT_CAP)
        text = "";
    (void)snprintf(ret, ENROLL_TEXT_CAP, "%s", text);
}

/** Where records go, and what they belong to; a sandbox can do without both. */
static void read_records(const struct json *root, struct enroll_agent *ret)
{
    const struct json *nats = json_get(root, "nats");
    const struct json *trace = json_get(root, "trace");

    read_text(nats, "user", ret->nats_user);
    read_text(nats, "password", ret->nats_password);
    read_text(nats, "inbox", ret->nats_inbox);
    read_text(nats, "workspace", ret->nats_workspace);
    read_text(nats, "url", ret->nats_url);
    if (ret->nats_user[0] == '\0' || ret->nats_password[0] == '\0' || ret->nats_inbox[0] == '\0')
        ret->nats_url[0] = '\0';
    read_text(trace, "traceId", ret->trace_id);
    read_text(trace, "parentSpanId", ret->parent_span_id);
}

static int read_ready(struct bytes text, const struct enroll_keys *keys, struct enroll_agent *ret,
                      struct why *why)
{
    const struct json_limits limits = {.bytes = PROCESS_MESSAGE_MAX};
    const char *key, *path;
    struct json_doc *doc;
    int err = json_parse(text, &limits, &doc, why);

    if (err < 0)
        return err;
    if (json_read_str(json_get(json_root(doc), "privateKey"), &key) < 0 ||
        keys->parse(bytes_of_str(key), ret->private_key) < 0 ||
        json_read_str(json_get(json_root(doc), "tokenFile"), &path) < 0 ||
        strlen(path) >= sizeof(ret->token_file) ||
        !read_gateway(json_root(doc), ret->gateway_key, &ret->gateway))
        err = why_set(why, -EBADMSG, "latticed's answer cannot be read");
    if (err == 0) {
        read_records(json_root(doc), ret);
        (void)snprintf(ret->token_file, sizeof(ret->token_file), "%s", path);
        err = enroll_identity_parse(json_text(json_get(json_root(doc), "agent")), &ret->identity,
                                    why);
    }
    json_free(doc);
    return err;
}

int enroll_agent_ready(struct enroll *e, const struct enroll_keys *keys, struct enroll_agent *ret,
                       struct why *why)
{
    enum enroll_news news = ENROLL_FAILED;
    struct bytes text = {0};
    int err = process_wait(e, READY_LIMIT_S, &news, &text);

    *ret = (struct enroll_agent){0};
    if (err == -ETIMEDOUT)
        return why_set(why, err, "latticed did not answer in time");
    if (err < 0)
        return why_set(why, err, "the process that follows latticed has ended");
    if (news == ENROLL_READY)
        return read_ready(text, keys, ret, why);
    return why_set(why, -EACCES, "%.*s", (int)text.len, (const char *)text.data);
}

void enroll_agent_done(struct enroll_agent *a)
{
    enroll_identity_done(&a->identity);
    wipe(a->private_key, sizeof(a->private_key));
    wipe(a->nats_password, sizeof(a->nats_password));
}
