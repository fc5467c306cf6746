/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that leaves: handshake messages, cookie replies, packets and keepalives. A packet is
 * sealed into the device's scratch buffer and handed to the sink; only packets that must wait for a
 * handshake are copied to the heap, in bounded number. Nothing is sent to a peer without endpoint.
 */
#include <errno.h>

#include "base/wipe.h"
#include "netstack/wg/device.h"

int wg_inner_parse(struct bytes packet, struct inner *ret)
{
    const uint8_t *p = packet.data;

    if (packet.len >= 20 && p[0] >> 4 == 4) { /* RFC 791, 3.1 */
        size_t header_len = (p[0] & 15u) * 4;

        ret->len = load_be16(p + 2);
        if (header_len < 20 || ret->len < header_len)
            return -EINVAL;
        ret->src = ip_v4(p[12], p[13], p[14], p[15]);
        ret->dst = ip_v4(p[16], p[17], p[18], p[19]);
    } else if (packet.len >= 40 && p[0] >> 4 == 6) { /* RFC 8200, 3 */
        ret->len = 40 + (size_t)load_be16(p + 4);
        ret->src = ip_from_v6(p + 8);
        ret->dst = ip_from_v6(p + 24);
    } else {
        return -EINVAL;
    }
    return ret->len <= packet.len ? 0 : -EINVAL;
}

static void send_datagram(struct wg *w, struct peer *p, size_t len)
{
    w->sink.send(w->sink.self, &p->endpoint, bytes_of(w->scratch, len));
}

/** Greater than every one before, also when the wall clock is set back (5.1). */
static void next_timestamp(struct wg *w, uint8_t ret[static WG_TIMESTAMP_LEN])
{
    int64_t wall_ns = w->env.wall_ns(w->env.self) & ~(WG_TIMESTAMP_GRAIN_NS - 1);

    w->timestamp_ns = wall_ns > w->timestamp_ns ? wall_ns : w->timestamp_ns + 1;
    wg_noise_timestamp(w->timestamp_ns, ret);
}

void wg_send_initiation(struct wg *w, struct peer *p, enum attempt attempt, struct mono now)
{
    struct cookie_msg msg = {.data = w->scratch, .mac1 = WG_INIT_MAC1};
    uint8_t ephemeral[WG_KEY_LEN];
    uint8_t timestamp[WG_TIMESTAMP_LEN];
    int err;

    if (!p->has_endpoint)
        return;
    if (attempt == ATTEMPT_FRESH)
        wg_timers_attempt_begun(&p->timers, now);
    if (p->handshake_sent.ns != 0 &&
        mono_before(now, mono_add_ns(p->handshake_sent, WG_REKEY_TIMEOUT_NS))) {
        wg_timers_retry_later(&p->timers, wg_device_jitter_ms(w), p->handshake_sent);
        wg_peer_touch(w, p);
        return;
    }
    p->handshake_sent = now;
    wg_timers_initiation_sent(&p->timers, wg_device_jitter_ms(w), now);
    wg_peer_touch(w, p);
    next_timestamp(w, timestamp);
    wg_key_generate(w->env.rng, ephemeral);
    err = wg_sessions_reserve(&p->sessions);
    if (err == 0)
        err = wg_noise_write_initiation(&p->noise, &w->self, wg_peer_new_index(w, p), ephemeral,
                                        timestamp, w->scratch);
    wipe(ephemeral, sizeof(ephemeral));
    if (err < 0)
        return; /* no memory just now: the retry timer runs */
    wg_cookie_stamp(&p->cookies, msg, now);
    send_datagram(w, p, WG_INIT_LEN);
}

enum wg_drop wg_send_response(struct wg *w, struct peer *p, struct mono now)
{
    struct cookie_msg msg = {.data = w->scratch, .mac1 = WG_RESP_MAC1};
    uint8_t ephemeral[WG_KEY_LEN];
    struct noise_keys keys;
    int err;

    wg_key_generate(w->env.rng, ephemeral);
    err = wg_sessions_reserve(&p->sessions);
    if (err == 0)
        err = wg_noise_write_response(&p->noise, wg_peer_new_index(w, p), ephemeral, w->scratch);
    wipe(ephemeral, sizeof(ephemeral));
    if (err < 0) {
        wg_noise_reset(&p->noise);
        return WG_DROP_HANDSHAKE;
    }
    wg_noise_finish(&p->noise, &keys);
    wg_sessions_add(&p->sessions, &keys, now);
    wipe(&keys, sizeof(keys));
    p->handshake_sent = now;
    wg_timers_session_born(&p->timers, now);
    wg_timers_any_sent(&p->timers, now);
    wg_peer_touch(w, p);
    wg_cookie_stamp(&p->cookies, msg, now);
    send_datagram(w, p, WG_RESP_LEN);
    return WG_DROP_NONE;
}

void wg_send_cookie_reply(struct wg *w, const struct endpoint *to, struct cookie_msg msg,
                          uint32_t receiver, struct mono now)
{
    wg_cookie_write_reply(&w->checker, msg, receiver, to, w->env.rng, now, w->scratch);
    w->sink.send(w->sink.self, to, bytes_of(w->scratch, WG_COOKIE_MSG_LEN));
}

/** Seal with the current session, which may send, and tell the timers. */
static void seal_and_send(struct wg *w, struct peer *p, struct bytes packet, struct mono now)
{
    struct session *s = p->sessions.current;
    size_t len = wg_session_seal(s, packet, w->mtu, w->scratch);

    p->tx_bytes += len;
    wg_timers_any_sent(&p->timers, now);
    if (packet.len > 0)
        wg_timers_data_sent(&p->timers, wg_device_jitter_ms(w), now);
    wg_peer_touch(w, p);
    send_datagram(w, p, len);
    if (wg_session_wants_rekey(s, now))
        wg_send_initiation(w, p, ATTEMPT_FRESH, now);
}

static bool has_session(const struct peer *p, struct mono now)
{
    return p->sessions.current != NULL && wg_session_may_send(p->sessions.current, now);
}

static struct waiting *waiting_pop(struct wg *w, struct peer *p)
{
    struct waiting *first = p->queue;

    p->queue = first->next;
    if (p->queue == NULL)
        p->queue_end = &p->queue;
    p->queue_count--;
    w->waiting_count--;
    return first;
}

void wg_send_forget(struct wg *w, struct peer *p)
{
    while (p->queue != NULL) {
        free(waiting_pop(w, p));
        (void)wg_device_drop(w, WG_DROP_NO_SESSION);
    }
}

void wg_send_waiting(struct wg *w, struct peer *p, struct mono now)
{
    while (p->queue != NULL && has_session(p, now)) {
        struct waiting *first = waiting_pop(w, p);

        seal_and_send(w, p, bytes_of(first->data, first->len), now);
        free(first);
    }
    if (p->queue != NULL)
        wg_send_initiation(w, p, ATTEMPT_FRESH, now);
}

void wg_send_keepalive(struct wg *w, struct peer *p, struct mono now)
{
    if (!p->has_endpoint)
        return;
    if (has_session(p, now))
        seal_and_send(w, p, bytes_of(NULL, 0), now);
    else
        wg_send_initiation(w, p, ATTEMPT_FRESH, now);
}

/** Queue a copy behind what waits; the oldest of this peer makes room when there are too many. */
static enum wg_drop wait_for_session(struct wg *w, struct peer *p, struct bytes packet)
{
    struct waiting *copy;

    if (w->waiting_count >= WG_QUEUE_DEVICE_MAX && p->queue_count == 0)
        return wg_device_drop(w, WG_DROP_QUEUE);
    copy = malloc(sizeof(*copy) + packet.len);
    if (copy == NULL)
        return wg_device_drop(w, WG_DROP_QUEUE);
    if (p->queue_count >= WG_QUEUE_PEER_MAX || w->waiting_count >= WG_QUEUE_DEVICE_MAX) {
        free(waiting_pop(w, p));
        (void)wg_device_drop(w, WG_DROP_QUEUE);
    }
    copy->next = NULL;
    copy->len = packet.len;
    memcpy(copy->data, packet.data, packet.len);
    *p->queue_end = copy;
    p->queue_end = &copy->next;
    p->queue_count++;
    w->waiting_count++;
    return WG_DROP_NONE;
}

enum wg_drop wg_send_packet(struct wg *w, struct peer *p, struct bytes packet, struct mono now)
{
    enum wg_drop drop;

    if (!p->has_endpoint)
        return wg_device_drop(w, WG_DROP_NO_ENDPOINT);
    if (p->queue == NULL && has_session(p, now)) {
        seal_and_send(w, p, packet, now);
        return WG_DROP_NONE;
    }
    drop = wait_for_session(w, p, packet);
    wg_send_waiting(w, p, now);
    return drop;
}
