/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A creating request with an Idempotency-Key is carried out once, and its answer is repeated for a
 * day, also after a restart. Answers may hold tokens, and the database must not: an answer is
 * sealed with a key made of latticed's own secret and the client's Idempotency-Key, of which only a
 * hash is kept. Neither the file nor the client alone can open it.
 *
 * The answer is stored in the transaction of what it tells of: either both are there, or neither.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/seal.h"
#include "base/wipe.h"
#include "control/call.h"

#define KEY_TEXT_MAX 128u /* characters of an Idempotency-Key */

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

/** A hash of @use, our secret, the caller and the key. */
static int derive(const struct call *call, const char *use, const char *key,
                  uint8_t ret[static HASH_LEN])
{
    const struct bytes parts[] = {
        bytes_of(use, strlen(use) + 1),
        bytes_of(call->c->replay_secret, HASH_LEN),
        bytes_of(call->who, strlen(call->who) + 1),
        bytes_of(key, strlen(key) + 1),
    };

    return hash_sha256(parts, ARRAY_COUNT(parts), ret);
}

/** What makes two requests the same: route and body, byte by byte. */
static int request_hash(const struct call *call, const char *path, uint8_t ret[static HASH_LEN])
{
    struct bytes parts[] = {bytes_of(path, strlen(path) + 1), http_body(call->r)};

    return hash_sha256(parts, ARRAY_COUNT(parts), ret);
}

/** Repeat the answer that @r keeps. */
static void repeat(struct call *call, const struct store_request *r, const char *key)
{
    uint8_t sealing[HASH_LEN];
    int err = derive(call, "seal", key, sealing);

    if (err == 0)
        err = seal_open(sealing, bytes_of(r->hash, HASH_LEN), buf_bytes(&r->answer), &call->data);
    wipe(sealing, sizeof(sealing));
    if (err == 0)
        call->status = r->status;
    else
        call_fail(call, 409, "this request was carried out before; its answer cannot be read");
}

bool replay_answered(struct call *call, const char *path, const char *key)
{
    struct store_request r = {.status = 0};
    uint8_t now[HASH_LEN], id[HASH_LEN];
    int err;

    if (!is_good_key(key)) {
        call_fail(call, 400, "an Idempotency-Key is 1 to %u printable ASCII characters",
                  KEY_TEXT_MAX);
        return true;
    }
    buf_init(&r.answer, CALL_DATA_MAX + SEAL_OVERHEAD);
    err = derive(call, "id", key, id);
    if (err == 0)
        err = store_request_find(call->c->store, call->who, id, &r);
    if (err == 0)
        err = request_hash(call, path, now);
    if (err == 0 && !secret_equal(now, r.hash, HASH_LEN))
        call_fail(call, 422, "this Idempotency-Key was used for another request");
    else if (err == 0)
        repeat(call, &r, key);
    else if (err != -ENOENT)
        call_fail(call, 500, "the idempotency key cannot be looked up");
    buf_done(&r.answer);
    return err != -ENOENT;
}

void replay_record(struct call *call, const char *path, const char *key)
{
    struct store_request r = {.status = call->status};
    uint8_t sealing[HASH_LEN], id[HASH_LEN];
    int err;

    buf_init(&r.answer, CALL_DATA_MAX + SEAL_OVERHEAD);
    err = derive(call, "id", key, id);
    if (err == 0)
        err = derive(call, "seal", key, sealing);
    if (err == 0)
        err = request_hash(call, path, r.hash);
    if (err == 0)
        err = seal_shut(sealing, rng_system(), bytes_of(r.hash, HASH_LEN), buf_bytes(&call->data),
                        &r.answer);
    if (err == 0)
        err = store_request_add(call->c->store, call->who, id, &r, call->now_s);
    wipe(sealing, sizeof(sealing));
    buf_done(&r.answer);
    if (err < 0)
        call_fail(call, 500, "the idempotency key cannot be stored");
}
