/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The follower of a gateway: says where the gateway is, then follows the set of live peers.
 * latticed sends the whole set at each change; the follower compares it with what its owner knows
 * and hands on what differs, so that the gateway's loop is not busy with thousands of peers because
 * one came.
 *
 * While latticed is away, the owner keeps what it has. When it is back, the gateway is announced
 * again: it may have been restored from an older day.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/http_client.h"
#include "base/io.h"
#include "base/json_out.h"
#include "enroll/call.h"
#include "enroll/process.h"

#define PEERS_PATH "/api/v1/gateway/peers"
#define ANSWER_MAX (64u << 20)
#define PEERS_MAX  65536u
#define WAIT_S     50

/** What the owner says to its follower, once. */
struct announcement {
    uint8_t public_key[32];
    char endpoint[ENDPOINT_TEXT_CAP];
};

struct known {
    uint8_t key[32];
    uint8_t hash[HASH_LEN]; /* of its whole document */
};

struct follower {
    const struct enroll_gateway_config *config;
    int fd;
    struct announcement self;
    bool is_announced;
    char etag[HTTP_CLIENT_ETAG_CAP];
    struct known *known; /* sorted by key */
    unsigned known_count;
    struct backoff backoff;
    bool is_away;
};

static int announce(struct follower *f, struct why *why)
{
    struct call c = {.server = &f->config->server,
                     .method = "PUT",
                     .path = "/api/v1/gateway",
                     .bearer = f->config->token,
                     .answer_max = 65536};
    char key[BASE64_32_LEN + 1];
    struct json_out j;
    struct buf body;
    int err;

    buf_init(&body, 1024);
    json_out_init(&j, &body);
    base64_write_32(f->self.public_key, key);
    json_open_object(&j);
    json_put_str(&j, "publicKey", key);
    json_put_str(&j, "endpoint", f->self.endpoint);
    json_close_object(&j);
    c.body = buf_text(&body);
    err = call_run(&c, why);
    f->is_announced = err == 0;
    json_free(c.doc);
    buf_done(&body);
    return err;
}

/* ── Comparing ───────────────────────────────────────────────────────────────────────────────────
 */

static int compare_known(const void *a, const void *b)
{
    const struct known *x = a, *y = b;

    return memcmp(x->key, y->key, sizeof(x->key));
}

static const struct known *find(const struct known *all, unsigned count, const struct known *one)
{
    return count == 0 ? NULL : bsearch(one, all, count, sizeof(*all), compare_known);
}

static int read_peer(const struct json *v, struct known *ret)
{
    struct bytes text = json_text(v);
    const char *key;

    if (json_read_str(json_get(v, "publicKey"), &key) < 0 ||
        base64_read_32(bytes_of_str(key), ret->key) < 0 ||
        text.len > PROCESS_MESSAGE_MAX - sizeof(ret->key))
        return -EBADMSG;
    return hash_sha256(&text, 1, ret->hash);
}

/** Hand on those peers of @list that the owner does not know so. */
static void tell_changes(struct follower *f, const struct json *list, const struct known *now,
                         unsigned count)
{
    for (unsigned i = 0; i < f->known_count; i++)
        if (find(now, count, &f->known[i]) == NULL)
            process_tell(f->fd, ENROLL_GONE, bytes_of(f->known[i].key, sizeof(f->known[i].key)));
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) {
        const struct known *old;
        struct known one;

        if (read_peer(v, &one) < 0)
            continue; /* all were read before */
        old = find(f->known, f->known_count, &one);
        if (old == NULL || memcmp(old->hash, one.hash, sizeof(one.hash)) != 0)
            process_tell_pair(f->fd, ENROLL_PEER, bytes_of(one.key, sizeof(one.key)), json_text(v));
    }
    process_tell_text(f->fd, ENROLL_COMPLETE, "");
}

/** Take over a whole new set, or nothing of it. */
static int take_peers(struct follower *f, const struct json *data, struct why *why)
{
    const struct json *list = json_get(data, "peers");
    unsigned count = json_count(list);
    struct known *now;
    unsigned i = 0;

    if (json_type(list) != JSON_ARRAY || count > PEERS_MAX)
        return why_set(why, -EBADMSG, "latticed's list of peers cannot be read");
    now = calloc(count + 1, sizeof(*now));
    if (now == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v))
        if (read_peer(v, &now[i++]) < 0) {
            free(now);
            return why_set(why, -EBADMSG, "latticed's list of peers cannot be read");
        }
    qsort(now, count, sizeof(*now), compare_known);
    tell_changes(f, list, now, count);
    free(f->known);
    f->known = now;
    f->known_count = count;
    return 0;
}

/* ── Following ───────────────────────────────────────────────────────────────────────────────────
 */

static int follow_once(struct follower *f, struct why *why)
{
    char path[64];
    struct call c = {.server = &f->config->server,
                     .method = "GET",
                     .path = path,
                     .bearer = f->config->token,
                     .etag = f->etag,
                     .timeout_s = WAIT_S + 10,
                     .answer_max = ANSWER_MAX};
    int err = f->is_announced ? 0 : announce(f, why);

    if (err < 0)
        return err;
    (void)snprintf(path, sizeof(path), PEERS_PATH "?wait=%d", f->is_away ? 0 : WAIT_S);
    err = call_run(&c, why);
    if (err == 0 && c.status != 304)
        err = take_peers(f, call_data(&c), why);
    json_free(c.doc);
    return err;
}

/** A first try, so that libraries load what they want, and then the jail. */
static void begin(struct follower *f)
{
    struct why why = {0};

    (void)!announce(f, &why); /* it is tried again */
    if (process_jail(NULL, &why) == 0)
        return;
    process_tell_text(f->fd, ENROLL_AWAY, why.text);
    _exit(1);
}

static int run(int fd, void *self)
{
    struct follower *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return 1;
    f->config = self;
    f->fd = fd;
    if (io_read(fd, &f->self, sizeof(f->self)) != sizeof(f->self))
        return 0; /* the owner has ended before it began */
    begin(f);
    for (;;) {
        struct why why = {0};

        process_tell_text(fd, ENROLL_ALIVE, "");
        if (follow_once(f, &why) == 0) {
            f->backoff.ms = 0;
            if (f->is_away)
                process_tell_text(fd, ENROLL_BACK, "");
            f->is_away = false;
            continue;
        }
        f->is_announced = false;
        f->etag[0] = '\0'; /* what comes next is compared as a whole */
        if (!f->is_away)
            process_tell_text(fd, ENROLL_AWAY, why.text);
        f->is_away = true;
        process_pause(fd, backoff_next(&f->backoff));
    }
}

/* ── The owner's side ────────────────────────────────────────────────────────────────────────────
 */

int enroll_gateway_start(const struct enroll_gateway_config *config, struct enroll **ret,
                         struct why *why)
{
    return process_start("lattice-follow", run, (void *)(uintptr_t)config, ret, why);
}

int enroll_announce(struct enroll *e, const uint8_t public_key[static 32],
                    const struct endpoint *where)
{
    struct announcement a = {0};

    memcpy(a.public_key, public_key, sizeof(a.public_key));
    (void)endpoint_print(where, a.endpoint);
    return process_write(e, &a, sizeof(a));
}
