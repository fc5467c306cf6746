/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of a device: adding, removing and the four ways of finding one (public key, id,
 * receiver index, inner address). All tables grow when a peer is added, never while packets flow.
 */
#include <errno.h>

#include "base/wipe.h"
#include "netstack/wg/device.h"

#define SLOTS_FIRST 8u

static uint32_t *bucket_of(const struct wg *w, const uint8_t public_key[static WG_KEY_LEN])
{
    uint64_t hash = wg_table_hash(w->bucket_key, bytes_of(public_key, WG_KEY_LEN));

    return &w->buckets[hash & (w->slot_cap - 1)];
}

struct peer *wg_peer_by_key(const struct wg *w, const uint8_t public_key[static WG_KEY_LEN])
{
    uint32_t slot = w->slot_cap > 0 ? *bucket_of(w, public_key) : PEER_NONE;

    while (slot != PEER_NONE) {
        struct peer *p = w->slots[slot].peer;

        if (memcmp(p->noise.remote_static, public_key, WG_KEY_LEN) == 0)
            return p;
        slot = p->bucket_next;
    }
    return NULL;
}

struct peer *wg_peer_by_id(const struct wg *w, struct wg_peer_id id)
{
    uint32_t slot = id.n & 0xffff;

    if (slot >= w->slot_count || w->slots[slot].peer == NULL || w->slots[slot].peer->id.n != id.n)
        return NULL;
    return w->slots[slot].peer;
}

struct peer *wg_peer_by_index(const struct wg *w, uint32_t index)
{
    uint32_t slot = wg_indices_find(&w->indices, index);

    return slot != INDICES_NONE ? w->slots[slot].peer : NULL;
}

uint32_t wg_peer_new_index(struct wg *w, struct peer *p)
{
    uint32_t *room = NULL;

    for (unsigned i = 0; i < PEER_INDICES_MAX; i++) {
        if (wg_sessions_find(&p->sessions, p->indices[i]) != NULL)
            continue;
        wg_indices_remove(&w->indices, p->indices[i]);
        p->indices[i] = 0;
        room = &p->indices[i];
    }
    must(room != NULL); /* three sessions leave one of four */
    *room = wg_indices_add(&w->indices, w->env.rng, p->slot);
    return *room;
}

void wg_peer_touch(struct wg *w, const struct peer *p)
{
    wg_schedule_by(&w->schedule, p->slot, wg_timers_next(&p->timers));
}

static void peer_give_indices_back(struct wg *w, struct peer *p)
{
    for (unsigned i = 0; i < PEER_INDICES_MAX; i++) {
        wg_indices_remove(&w->indices, p->indices[i]);
        p->indices[i] = 0;
    }
}

void wg_peer_wipe_sessions(struct wg *w, struct peer *p)
{
    wg_sessions_end(&p->sessions);
    wg_noise_reset(&p->noise);
    peer_give_indices_back(w, p);
}

/** Make room for one more peer in every table. */
static int tables_reserve(struct wg *w)
{
    uint32_t cap = w->slot_cap > 0 ? w->slot_cap * 2 : SLOTS_FIRST;
    struct peer_slot *slots;
    uint32_t *buckets;

    if (w->free_slot != PEER_NONE || w->slot_count < w->slot_cap)
        return 0;
    if (cap > WG_PEERS_MAX)
        return -ENOSPC;
    if (wg_schedule_reserve(&w->schedule, cap) < 0 ||
        wg_indices_reserve(&w->indices, cap * PEER_INDICES_MAX) < 0)
        return -ENOMEM;
    slots = realloc(w->slots, cap * sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    w->slots = slots;
    buckets = realloc(w->buckets, cap * sizeof(*buckets));
    if (buckets == NULL)
        return -ENOMEM;
    w->buckets = buckets;
    w->slot_cap = cap;
    memset(buckets, 0xff, cap * sizeof(*buckets)); /* PEER_NONE */
    for (uint32_t i = 0; i < w->slot_count; i++) {
        struct peer *p = slots[i].peer;
        uint32_t *bucket;

        if (p == NULL)
            continue;
        bucket = bucket_of(w, p->noise.remote_static);
        p->bucket_next = *bucket;
        *bucket = i;
    }
    return 0;
}

/** Take a slot out of the free ones; tables_reserve() has seen to it that there is one. */
static uint32_t slot_take(struct wg *w)
{
    uint32_t slot = w->free_slot;

    if (slot != PEER_NONE) {
        w->free_slot = w->slots[slot].next_free;
        return slot;
    }
    slot = w->slot_count++;
    w->slots[slot] = (struct peer_slot){.generation = 1};
    return slot;
}

static int allowed_ips_take(struct wg *w, struct peer *p, const struct wg_peer_conf *conf)
{
    if (conf->allowed_ip_count == 0)
        return 0;
    p->allowed_ips = calloc(conf->allowed_ip_count, sizeof(*p->allowed_ips));
    if (p->allowed_ips == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < conf->allowed_ip_count; i++) {
        if (wg_allowedips_set(&w->allowedips, &conf->allowed_ips[i], p->slot) < 0)
            return -ENOMEM;
        p->allowed_ips[p->allowed_ip_count++] = conf->allowed_ips[i];
    }
    return 0;
}

int wg_peer_add(struct wg *w, const struct wg_peer_conf *conf, struct wg_peer_id *ret)
{
    struct peer *p;
    uint32_t *bucket;
    int err;

    if (wg_peer_by_key(w, conf->public_key) != NULL)
        return -EEXIST;
    if (conf->allowed_ip_count > WG_ALLOWED_IPS_MAX ||
        memcmp(conf->public_key, w->self.public_key, WG_KEY_LEN) == 0)
        return -EINVAL;
    err = tables_reserve(w);
    if (err < 0)
        return err;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    if (wg_noise_init(&p->noise, &w->self, conf->public_key, conf->preshared_key) < 0) {
        wg_noise_done(&p->noise);
        free(p);
        return -EINVAL;
    }
    p->slot = slot_take(w);
    p->id.n = (uint32_t)w->slots[p->slot].generation << 16 | p->slot;
    w->slots[p->slot].peer = p;
    w->peer_count++;
    bucket = bucket_of(w, conf->public_key);
    p->bucket_next = *bucket;
    *bucket = p->slot;
    p->queue_end = &p->queue;
    wg_cookie_keys_init(&p->cookies.keys, conf->public_key);
    p->has_endpoint = conf->has_endpoint;
    p->endpoint = conf->endpoint;
    wg_timers_init(&p->timers, conf->keepalive_s);
    if (allowed_ips_take(w, p, conf) < 0) {
        wg_peer_free(w, p);
        return -ENOMEM;
    }
    wg_peer_touch(w, p);
    *ret = p->id;
    return 0;
}

static void bucket_remove(struct wg *w, const struct peer *p)
{
    uint32_t *link = bucket_of(w, p->noise.remote_static);

    while (*link != p->slot)
        link = &w->slots[*link].peer->bucket_next;
    *link = p->bucket_next;
}

void wg_peer_free(struct wg *w, struct peer *p)
{
    struct peer_slot *slot = &w->slots[p->slot];

    wg_send_forget(w, p);
    for (unsigned i = 0; i < p->allowed_ip_count; i++)
        wg_allowedips_unset(&w->allowedips, &p->allowed_ips[i], p->slot);
    free(p->allowed_ips);
    wg_schedule_set(&w->schedule, p->slot, MONO_NEVER);
    bucket_remove(w, p);
    peer_give_indices_back(w, p);
    wg_sessions_done(&p->sessions);
    slot->peer = NULL;
    if (slot->generation < UINT16_MAX) { /* else all ids of this slot are used up */
        slot->generation++;
        slot->next_free = w->free_slot;
        w->free_slot = p->slot;
    }
    w->peer_count--;
    wipe(p, sizeof(*p));
    free(p);
}

int wg_peer_remove(struct wg *w, const uint8_t public_key[static WG_KEY_LEN])
{
    struct peer *p = wg_peer_by_key(w, public_key);

    if (p == NULL)
        return -ENOENT;
    wg_peer_free(w, p);
    return 0;
}

int wg_peer_stats(const struct wg *w, struct wg_peer_id peer, struct wg_peer_stats *ret)
{
    const struct peer *p = wg_peer_by_id(w, peer);

    if (p == NULL)
        return -ENOENT;
    *ret = (struct wg_peer_stats){
        .has_endpoint = p->has_endpoint,
        .endpoint = p->endpoint,
        .last_handshake = p->handshake_done,
        .rx_bytes = p->rx_bytes,
        .tx_bytes = p->tx_bytes,
    };
    memcpy(ret->public_key, p->noise.remote_static, WG_KEY_LEN);
    return 0;
}

int wg_peer_find(const struct wg *w, const struct ip *ip, struct wg_peer_id *ret)
{
    uint32_t slot = wg_allowedips_find(&w->allowedips, ip);

    if (slot == ALLOWEDIPS_NOBODY)
        return -ENOENT;
    *ret = w->slots[slot].peer->id;
    return 0;
}

unsigned wg_peer_count(const struct wg *w)
{
    return w->peer_count;
}
