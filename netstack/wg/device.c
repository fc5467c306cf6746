/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: making and freeing a device, packets on their way out, and the clock. It reads no clock
 * and opens nothing; what it is given is all it knows.
 */
#include <errno.h>

#include "base/wipe.h"
#include "netstack/wg/device.h"

static const char *const drop_names[WG_DROP_COUNT] = {
    [WG_DROP_NONE] = "none",
    [WG_DROP_LENGTH] = "length",
    [WG_DROP_TYPE] = "type",
    [WG_DROP_MAC1] = "mac1",
    [WG_DROP_UNKNOWN_PEER] = "unknown_peer",
    [WG_DROP_HANDSHAKE] = "handshake",
    [WG_DROP_STALE_INITIATION] = "stale_initiation",
    [WG_DROP_RATE] = "rate",
    [WG_DROP_UNDER_LOAD] = "under_load",
    [WG_DROP_COOKIE] = "cookie",
    [WG_DROP_UNKNOWN_INDEX] = "unknown_index",
    [WG_DROP_EXPIRED] = "expired",
    [WG_DROP_REPLAY] = "replay",
    [WG_DROP_AUTH] = "auth",
    [WG_DROP_INNER] = "inner",
    [WG_DROP_SOURCE] = "source",
    [WG_DROP_NO_ROUTE] = "no_route",
    [WG_DROP_NO_ENDPOINT] = "no_endpoint",
    [WG_DROP_QUEUE] = "queue",
    [WG_DROP_NO_SESSION] = "no_session",
};

const char *wg_drop_name(enum wg_drop drop)
{
    must(drop < WG_DROP_COUNT);
    return drop_names[drop];
}

uint64_t wg_drop_count(const struct wg *w, enum wg_drop drop)
{
    must(drop < WG_DROP_COUNT);
    return w->drops[drop];
}

enum wg_drop wg_device_drop(struct wg *w, enum wg_drop reason)
{
    if (reason != WG_DROP_NONE)
        w->drops[reason]++;
    return reason;
}

unsigned wg_device_jitter_ms(struct wg *w)
{
    w->jitter =
        w->jitter * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth */
    return (unsigned)((w->jitter >> 33) % WG_REKEY_JITTER_MS);
}

void wg_device_event(struct wg *w, const struct peer *p, enum wg_event event)
{
    if (w->sink.event != NULL)
        w->sink.event(w->sink.self, p->id, event);
}

static int add_first_peer(struct wg *w, const struct wg_peer_conf *conf, struct why *why)
{
    char key[WG_KEY_TEXT_CAP];
    struct wg_peer_id id;
    int err;

    wg_key_print(conf->public_key, key);
    if (conf->endpoint_host[0] != '\0' && !conf->has_endpoint)
        return why_set(why, -EINVAL, "peer %s: endpoint %s is not resolved to an address", key,
                       conf->endpoint_host);
    err = wg_peer_add(w, conf, &id);
    switch (-err) {
    case 0:
        return 0;
    case EEXIST:
        return why_set(why, -EINVAL, "peer %s is there twice", key);
    case ENOSPC:
        return why_set(why, -EINVAL, "more than %u peers", WG_PEERS_MAX);
    case EINVAL:
        return why_set(
            why, -EINVAL,
            "peer %s: not a usable public key (our own, or no X25519 point of full order), "
            "or more than %u allowed IPs",
            key, WG_ALLOWED_IPS_MAX);
    default:
        return why_set(why, err, "out of memory");
    }
}

int wg_new(const struct wg_conf *conf, const struct wg_sink *sink, const struct wg_env *env,
           struct wg **ret, struct why *why)
{
    static const uint8_t no_key[WG_KEY_LEN];
    struct wg *w;
    int err;

    if (secret_equal(conf->private_key, no_key, WG_KEY_LEN))
        return why_set(why, -EINVAL, "there is no private key");
    w = calloc(1, sizeof(*w));
    if (w == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    w->sink = *sink;
    w->env = *env;
    w->mtu = conf->mtu > 0 ? conf->mtu : WG_MTU_DEFAULT;
    w->free_slot = PEER_NONE;
    memcpy(w->self.private_key, conf->private_key, WG_KEY_LEN);
    must(wg_dh_public(w->self.private_key, w->self.public_key) == 0); /* clamping excludes 0 */
    wg_cookie_keys_init(&w->checker.keys, w->self.public_key);
    env->rng.fill(env->rng.self, w->limiter.hash_key, sizeof(w->limiter.hash_key));
    env->rng.fill(env->rng.self, w->bucket_key, sizeof(w->bucket_key));
    w->jitter = rng_u64(env->rng);
    for (unsigned i = 0; i < conf->peer_count; i++) {
        err = add_first_peer(w, &conf->peers[i], why);
        if (err < 0) {
            wg_free(w);
            return err;
        }
    }
    *ret = w;
    return 0;
}

void wg_free(struct wg *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < w->slot_count; i++)
        if (w->slots[i].peer != NULL)
            wg_peer_free(w, w->slots[i].peer);
    wg_schedule_done(&w->schedule);
    wg_indices_done(&w->indices);
    wg_allowedips_done(&w->allowedips);
    free(w->slots);
    free(w->buckets);
    wipe(w, sizeof(*w));
    free(w);
}

/** What must be true of a packet before it is sent to anyone. */
static enum wg_drop outgoing_parse(struct bytes packet, struct inner *ret)
{
    if (packet.len > WG_INNER_MAX || wg_inner_parse(packet, ret) < 0 || ret->len != packet.len)
        return WG_DROP_INNER;
    return WG_DROP_NONE;
}

enum wg_drop wg_output(struct wg *w, struct bytes packet, struct mono now)
{
    struct inner inner;
    uint32_t slot;

    if (outgoing_parse(packet, &inner) != WG_DROP_NONE)
        return wg_device_drop(w, WG_DROP_INNER);
    slot = wg_allowedips_find(&w->allowedips, &inner.dst);
    if (slot == ALLOWEDIPS_NOBODY)
        return wg_device_drop(w, WG_DROP_NO_ROUTE);
    return wg_send_packet(w, w->slots[slot].peer, packet, now);
}

enum wg_drop wg_output_peer(struct wg *w, struct wg_peer_id peer, struct bytes packet,
                            struct mono now)
{
    struct peer *p = wg_peer_by_id(w, peer);
    struct inner inner;

    if (outgoing_parse(packet, &inner) != WG_DROP_NONE)
        return wg_device_drop(w, WG_DROP_INNER);
    if (p == NULL || wg_allowedips_find(&w->allowedips, &inner.dst) != p->slot)
        return wg_device_drop(w, WG_DROP_NO_ROUTE);
    return wg_send_packet(w, p, packet, now);
}

static void run_timer(struct wg *w, struct peer *p, enum timers_due due, struct mono now)
{
    bool again = p->timers.keepalive_again;

    switch (due) {
    case TIMERS_RETRY:
        wg_device_event(w, p, WG_EVENT_HANDSHAKE_RETRY);
        wg_send_initiation(w, p, ATTEMPT_RETRY, now);
        break;
    case TIMERS_GIVE_UP:
        wg_send_forget(w, p);
        wg_device_event(w, p, WG_EVENT_HANDSHAKE_GAVE_UP);
        break;
    case TIMERS_KEEPALIVE:
        wg_send_keepalive(w, p, now);
        wg_timers_keepalive_expired(&p->timers, again, now);
        break;
    case TIMERS_REHANDSHAKE:
        wg_send_initiation(w, p, ATTEMPT_FRESH, now);
        break;
    case TIMERS_WIPE:
        wg_peer_wipe_sessions(w, p);
        break;
    case TIMERS_PERSISTENT:
        wg_send_keepalive(w, p, now);
        break;
    case TIMERS_NOTHING:
        break;
    }
}

void wg_tick(struct wg *w, struct mono now)
{
    while (!mono_before(now, wg_schedule_next(&w->schedule))) {
        struct peer *p = w->slots[wg_schedule_first(&w->schedule)].peer;
        enum timers_due due;

        do {
            due = wg_timers_expire(&p->timers, now);
            run_timer(w, p, due, now);
        } while (due != TIMERS_NOTHING);
        wg_schedule_set(&w->schedule, p->slot, wg_timers_next(&p->timers));
    }
}

struct mono wg_deadline(const struct wg *w)
{
    return wg_schedule_next(&w->schedule);
}

void wg_handshake(struct wg *w, struct wg_peer_id peer, struct mono now)
{
    struct peer *p = wg_peer_by_id(w, peer);
    const struct session *s = p != NULL ? p->sessions.current : NULL;

    if (p == NULL || wg_timers_is_handshaking(&p->timers))
        return;
    if (s != NULL && mono_before(now, mono_add_ns(s->born, WG_REKEY_TIMEOUT_NS)))
        return;
    wg_send_initiation(w, p, ATTEMPT_FRESH, now);
}
