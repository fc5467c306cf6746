/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A creating request with an Idempotency-Key is carried out once. Its answer is repeated from
 * memory for a day; answers may hold secrets and are never stored, so after a restart the
 * repetition is refused (409) instead of carried out again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"
#include "control/call.h"

#define REPLAYS_MAX  1024u
#define KEY_TEXT_MAX 128u /* characters of an Idempotency-Key */

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
static int request_hash(const struct call *call, const char *path, uint8_t ret[static HASH_LEN])
{
    struct bytes parts[] = {bytes_of(path, strlen(path) + 1), http_body(call->r)};

    return hash_sha256(parts, ARRAY_COUNT(parts), ret);
}

bool replay_answered(struct call *call, const char *path, const char *key)
{
    const struct replay *p = replay_find(call, key);
    uint8_t now[HASH_LEN], then[HASH_LEN];
    int err;

    if (!is_good_key(key)) {
        call_fail(call, 400, "an Idempotency-Key is 1 to %u printable ASCII characters",
                  KEY_TEXT_MAX);
        return true;
    }
    err = store_request_find(call->c->store, call->who, key, then);
    if (err == -ENOENT)
        return false;
    if (err < 0 || request_hash(call, path, now) < 0)
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

void replay_record(struct call *call, const char *path, const char *key)
{
    uint8_t hash[HASH_LEN];

    if (request_hash(call, path, hash) < 0 ||
        store_request_add(call->c->store, call->who, key, hash, call->now_s) < 0)
        call_fail(call, 500, "the idempotency key cannot be stored");
}

/* Slots are taken in turn: the oldest answer makes room. */
void idempotency_keep(struct call *call, const char *key)
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
