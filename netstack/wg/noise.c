/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Noise handshake, to be read beside sections 5.4.2 to 5.4.5 of the paper: each step carries
 * its Noise token in the margin. Every reader works on locals and commits at its end, so a message
 * that fails anywhere changes nothing. It neither sends nor judges time beyond the initiation
 * interval.
 */
#include "netstack/wg/noise.h"

#include <errno.h>

#include "base/wipe.h"
#include "netstack/wg/crypto.h"

#define TAI64_EPOCH                                                                                \
    (UINT64_C(0x4000000000000000) + 10) /* 1970-01-01 UTC, D. J. Bernstein's TAI64 */

/** C and H of the paper while a message is worked on. */
struct transcript {
    uint8_t chain[WG_HASH_LEN];
    uint8_t hash[WG_HASH_LEN];
};

static struct bytes key_bytes(const uint8_t key[static WG_KEY_LEN])
{
    return bytes_of(key, WG_KEY_LEN);
}

/** H := Hash(H || data) */
static void mix_hash(struct transcript *t, struct bytes data)
{
    wg_hash(bytes_of(t->hash, sizeof(t->hash)), data, t->hash);
}

/** C := Kdf_1(C, data), or (C, key) := Kdf_2(C, data) when @ret_key is given. */
static void mix_key(struct transcript *t, struct bytes data, uint8_t *ret_key)
{
    wg_kdf(t->chain, data, t->chain, ret_key, NULL);
}

/** As mix_key(), with DH(private, public). */
static int mix_dh(struct transcript *t, const uint8_t private[static WG_KEY_LEN],
                  const uint8_t public[static WG_KEY_LEN], uint8_t *ret_key)
{
    uint8_t shared[WG_KEY_LEN];
    int err = wg_dh(private, public, shared);

    if (err == 0)
        mix_key(t, key_bytes(shared), ret_key);
    wipe(shared, sizeof(shared));
    return err;
}

/** msg := Aead(key, 0, plain, H); H := Hash(H || msg) */
static void seal_and_hash(struct transcript *t, const uint8_t key[static WG_KEY_LEN],
                          struct bytes plain, uint8_t *ret)
{
    wg_seal(key, plain, bytes_of(t->hash, sizeof(t->hash)), ret);
    mix_hash(t, bytes_of(ret, plain.len + WG_TAG_LEN));
}

static int open_and_hash(struct transcript *t, const uint8_t key[static WG_KEY_LEN],
                         struct bytes sealed, uint8_t *ret)
{
    if (wg_open(key, sealed, bytes_of(t->hash, sizeof(t->hash)), ret) < 0)
        return -EBADMSG;
    mix_hash(t, sealed);
    return 0;
}

/** What both sides know before the first message: the protocol, and who the responder is. */
static void transcript_begin(struct transcript *t, const uint8_t responder[static WG_KEY_LEN])
{
    static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
    static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

    wg_hash(bytes_of_str(construction), bytes_of(NULL, 0), t->chain);
    wg_hash(bytes_of(t->chain, sizeof(t->chain)), bytes_of_str(identifier), t->hash);
    mix_hash(t, key_bytes(responder));
}

/** psk: (C, tau, key) := Kdf_3(C, Q); H := Hash(H || tau) */
static void mix_preshared(struct transcript *t, const uint8_t preshared[static WG_KEY_LEN],
                          uint8_t ret_key[static WG_KEY_LEN])
{
    uint8_t tau[WG_HASH_LEN];

    wg_kdf(t->chain, key_bytes(preshared), t->chain, tau, ret_key);
    mix_hash(t, bytes_of(tau, sizeof(tau)));
    wipe(tau, sizeof(tau));
}

static void transcript_load(struct transcript *t, const struct noise *n)
{
    memcpy(t->chain, n->chain, sizeof(t->chain));
    memcpy(t->hash, n->hash, sizeof(t->hash));
}

static void transcript_keep(const struct transcript *t, struct noise *n)
{
    memcpy(n->chain, t->chain, sizeof(n->chain));
    memcpy(n->hash, t->hash, sizeof(n->hash));
}

int wg_noise_init(struct noise *n, const struct noise_self *self,
                  const uint8_t public_key[static WG_KEY_LEN],
                  const uint8_t preshared[static WG_KEY_LEN])
{
    *n = (struct noise){.state = NOISE_IDLE};
    memcpy(n->remote_static, public_key, WG_KEY_LEN);
    memcpy(n->preshared, preshared, WG_KEY_LEN);
    return wg_dh(self->private_key, public_key, n->static_static);
}

void wg_noise_reset(struct noise *n)
{
    n->state = NOISE_IDLE;
    n->local_index = 0;
    n->remote_index = 0;
    wipe(n->local_ephemeral, sizeof(n->local_ephemeral));
    wipe(n->remote_ephemeral, sizeof(n->remote_ephemeral));
    wipe(n->chain, sizeof(n->chain));
    wipe(n->hash, sizeof(n->hash));
}

void wg_noise_done(struct noise *n)
{
    wipe(n, sizeof(*n));
}

int wg_noise_write_initiation(struct noise *n, const struct noise_self *self, uint32_t local_index,
                              const uint8_t ephemeral[static WG_KEY_LEN],
                              const uint8_t timestamp[static WG_TIMESTAMP_LEN],
                              uint8_t ret[static WG_INIT_LEN])
{
    struct transcript t;
    uint8_t key[WG_KEY_LEN];
    int err;

    memset(ret, 0, WG_INIT_LEN);
    ret[WG_MSG_TYPE] = WG_MSG_INITIATION;
    store_le32(ret + WG_INIT_SENDER, local_index);
    transcript_begin(&t, n->remote_static);

    /* e */
    err = wg_dh_public(ephemeral, ret + WG_INIT_EPHEMERAL);
    if (err < 0)
        goto out;
    mix_key(&t, key_bytes(ret + WG_INIT_EPHEMERAL), NULL);
    mix_hash(&t, key_bytes(ret + WG_INIT_EPHEMERAL));

    /* es */
    err = mix_dh(&t, ephemeral, n->remote_static, key);
    if (err < 0)
        goto out;

    /* s */
    seal_and_hash(&t, key, key_bytes(self->public_key), ret + WG_INIT_STATIC);

    /* ss */
    mix_key(&t, key_bytes(n->static_static), key);

    /* payload: the timestamp */
    seal_and_hash(&t, key, bytes_of(timestamp, WG_TIMESTAMP_LEN), ret + WG_INIT_TIMESTAMP);

    wg_noise_reset(n);
    memcpy(n->local_ephemeral, ephemeral, WG_KEY_LEN);
    transcript_keep(&t, n);
    n->local_index = local_index;
    n->state = NOISE_SENT_INITIATION;
out:
    wipe(key, sizeof(key));
    wipe(&t, sizeof(t));
    return err;
}

int wg_noise_read_static(const struct noise_self *self, const uint8_t msg[static WG_INIT_LEN],
                         struct noise_opening *ret)
{
    struct transcript t;
    uint8_t key[WG_KEY_LEN];
    uint8_t remote_static[WG_KEY_LEN];
    int err;

    transcript_begin(&t, self->public_key);

    /* e */
    mix_key(&t, key_bytes(msg + WG_INIT_EPHEMERAL), NULL);
    mix_hash(&t, key_bytes(msg + WG_INIT_EPHEMERAL));

    /* es */
    err = mix_dh(&t, self->private_key, msg + WG_INIT_EPHEMERAL, key);
    if (err < 0)
        goto out;

    /* s */
    err = open_and_hash(&t, key, bytes_of(msg + WG_INIT_STATIC, WG_KEY_LEN + WG_TAG_LEN),
                        remote_static);
    if (err < 0)
        goto out;

    memcpy(ret->remote_static, remote_static, WG_KEY_LEN);
    memcpy(ret->chain, t.chain, sizeof(t.chain));
    memcpy(ret->hash, t.hash, sizeof(t.hash));
out:
    wipe(key, sizeof(key));
    wipe(&t, sizeof(t));
    return err;
}

int wg_noise_read_initiation(struct noise *n, struct noise_opening *o,
                             const uint8_t msg[static WG_INIT_LEN], struct mono now)
{
    struct transcript t;
    uint8_t key[WG_KEY_LEN];
    uint8_t timestamp[WG_TIMESTAMP_LEN];
    int err;

    must(memcmp(n->remote_static, o->remote_static, WG_KEY_LEN) == 0);
    memcpy(t.chain, o->chain, sizeof(t.chain));
    memcpy(t.hash, o->hash, sizeof(t.hash));
    wipe(o, sizeof(*o));

    /* ss */
    mix_key(&t, key_bytes(n->static_static), key);

    /* payload: the timestamp; big-endian, so that memcmp orders it */
    err = open_and_hash(&t, key, bytes_of(msg + WG_INIT_TIMESTAMP, WG_TIMESTAMP_LEN + WG_TAG_LEN),
                        timestamp);
    if (err == 0 && memcmp(timestamp, n->latest_timestamp, WG_TIMESTAMP_LEN) <= 0)
        err = -ESTALE;
    if (err == 0 && n->latest_initiation.ns != 0 &&
        mono_before(now, mono_add_ns(n->latest_initiation, WG_PEER_INITIATION_NS)))
        err = -EBUSY;
    if (err < 0)
        goto out;

    wg_noise_reset(n);
    memcpy(n->remote_ephemeral, msg + WG_INIT_EPHEMERAL, WG_KEY_LEN);
    memcpy(n->latest_timestamp, timestamp, WG_TIMESTAMP_LEN);
    n->latest_initiation = now;
    n->remote_index = load_le32(msg + WG_INIT_SENDER);
    transcript_keep(&t, n);
    n->state = NOISE_READ_INITIATION;
out:
    wipe(key, sizeof(key));
    wipe(&t, sizeof(t));
    return err;
}

int wg_noise_write_response(struct noise *n, uint32_t local_index,
                            const uint8_t ephemeral[static WG_KEY_LEN],
                            uint8_t ret[static WG_RESP_LEN])
{
    struct transcript t;
    uint8_t key[WG_KEY_LEN];
    int err;

    must(n->state == NOISE_READ_INITIATION);
    memset(ret, 0, WG_RESP_LEN);
    ret[WG_MSG_TYPE] = WG_MSG_RESPONSE;
    store_le32(ret + WG_RESP_SENDER, local_index);
    store_le32(ret + WG_RESP_RECEIVER, n->remote_index);
    transcript_load(&t, n);

    /* e */
    err = wg_dh_public(ephemeral, ret + WG_RESP_EPHEMERAL);
    if (err < 0)
        goto out;
    mix_key(&t, key_bytes(ret + WG_RESP_EPHEMERAL), NULL);
    mix_hash(&t, key_bytes(ret + WG_RESP_EPHEMERAL));

    /* ee */
    err = mix_dh(&t, ephemeral, n->remote_ephemeral, NULL);
    if (err < 0)
        goto out;

    /* se */
    err = mix_dh(&t, ephemeral, n->remote_static, NULL);
    if (err < 0)
        goto out;

    /* psk */
    mix_preshared(&t, n->preshared, key);

    /* payload: empty */
    seal_and_hash(&t, key, bytes_of(NULL, 0), ret + WG_RESP_EMPTY);

    memcpy(n->local_ephemeral, ephemeral, WG_KEY_LEN);
    transcript_keep(&t, n);
    n->local_index = local_index;
    n->state = NOISE_SENT_RESPONSE;
out:
    wipe(key, sizeof(key));
    wipe(&t, sizeof(t));
    return err;
}

int wg_noise_read_response(struct noise *n, const struct noise_self *self,
                           const uint8_t msg[static WG_RESP_LEN])
{
    struct transcript t;
    uint8_t key[WG_KEY_LEN];
    int err;

    if (n->state != NOISE_SENT_INITIATION || load_le32(msg + WG_RESP_RECEIVER) != n->local_index)
        return -EBADMSG;
    transcript_load(&t, n);

    /* e */
    mix_key(&t, key_bytes(msg + WG_RESP_EPHEMERAL), NULL);
    mix_hash(&t, key_bytes(msg + WG_RESP_EPHEMERAL));

    /* ee */
    err = mix_dh(&t, n->local_ephemeral, msg + WG_RESP_EPHEMERAL, NULL);
    if (err < 0)
        goto out;

    /* se */
    err = mix_dh(&t, self->private_key, msg + WG_RESP_EPHEMERAL, NULL);
    if (err < 0)
        goto out;

    /* psk */
    mix_preshared(&t, n->preshared, key);

    /* payload: empty */
    err = open_and_hash(&t, key, bytes_of(msg + WG_RESP_EMPTY, WG_TAG_LEN), NULL);
    if (err < 0)
        goto out;

    transcript_keep(&t, n);
    n->remote_index = load_le32(msg + WG_RESP_SENDER);
    n->state = NOISE_READ_RESPONSE;
out:
    wipe(key, sizeof(key));
    wipe(&t, sizeof(t));
    return err;
}

void wg_noise_finish(struct noise *n, struct noise_keys *ret)
{
    bool is_initiator = n->state == NOISE_READ_RESPONSE;
    uint8_t *first = is_initiator ? ret->send : ret->receive;
    uint8_t *second = is_initiator ? ret->receive : ret->send;

    must(is_initiator || n->state == NOISE_SENT_RESPONSE);
    wg_kdf(n->chain, bytes_of(NULL, 0), first, second, NULL);
    ret->is_initiator = is_initiator;
    ret->local_index = n->local_index;
    ret->remote_index = n->remote_index;
    wg_noise_reset(n);
}

void wg_noise_timestamp(int64_t wall_ns, uint8_t ret[static WG_TIMESTAMP_LEN])
{
    uint64_t ns = wall_ns > 0 ? (uint64_t)wall_ns : 0;

    store_be64(ret, TAI64_EPOCH + ns / NS_PER_S);
    store_be32(ret + 8, (uint32_t)(ns % NS_PER_S));
}
