/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that comes in. The order is the security: shape → MAC1 → load → authenticity → replay
 * → inner source, and only then do endpoint, sessions and timers change. Whatever fails is counted
 * by name and not answered, except that under load a message with a good MAC1 earns a cookie reply.
 */
#include <errno.h>

#include "base/wipe.h"
#include "netstack/wg/device.h"

/** An authenticated message came from @from: answer there from now on (paper 2.1). */
static void roam(struct wg *w, struct peer *p, const struct endpoint *from)
{
    bool had_endpoint = p->has_endpoint;

    if (had_endpoint && endpoint_equal(&p->endpoint, from))
        return;
    p->endpoint = *from;
    p->has_endpoint = true;
    if (had_endpoint)
        wg_device_event(w, p, WG_EVENT_ROAMED);
}

/** Whether a handshake message is worth a Diffie-Hellman: MAC1 always, MAC2 and rate under load. */
static enum wg_drop admit(struct wg *w, const struct endpoint *from, struct cookie_msg msg,
                          uint32_t sender, struct mono now)
{
    if (!wg_cookie_has_mac1(&w->checker, msg))
        return WG_DROP_MAC1;
    if (!wg_load_note(&w->load, now))
        return WG_DROP_NONE;
    if (!wg_cookie_has_mac2(&w->checker, msg, from, w->env.rng, now)) {
        wg_send_cookie_reply(w, from, msg, sender, now);
        return WG_DROP_UNDER_LOAD;
    }
    return wg_limiter_allow(&w->limiter, &from->ip, now) ? WG_DROP_NONE : WG_DROP_RATE;
}

static void session_confirmed(struct wg *w, struct peer *p, struct mono now)
{
    wg_timers_handshake_done(&p->timers);
    p->handshake_done = now;
    p->has_renewed_late = false;
    wg_device_event(w, p, WG_EVENT_HANDSHAKE_DONE);
}

static enum wg_drop receive_initiation(struct wg *w, const struct endpoint *from, uint8_t *data,
                                       struct mono now)
{
    struct cookie_msg msg = {.data = data, .mac1 = WG_INIT_MAC1};
    enum wg_drop drop = admit(w, from, msg, load_le32(data + WG_INIT_SENDER), now);
    struct noise_opening opening;
    struct peer *p;
    int err;

    if (drop != WG_DROP_NONE)
        return drop;
    if (wg_noise_read_static(&w->self, data, &opening) < 0)
        return WG_DROP_HANDSHAKE;
    p = wg_peer_by_key(w, opening.remote_static);
    if (p == NULL) {
        wipe(&opening, sizeof(opening));
        return WG_DROP_UNKNOWN_PEER;
    }
    err = wg_noise_read_initiation(&p->noise, &opening, data, now);
    if (err == -ESTALE)
        return WG_DROP_STALE_INITIATION;
    if (err == -EBUSY)
        return WG_DROP_RATE;
    if (err < 0)
        return WG_DROP_HANDSHAKE;
    roam(w, p, from);
    wg_timers_any_received(&p->timers, now);
    return wg_send_response(w, p, now);
}

static enum wg_drop receive_response(struct wg *w, const struct endpoint *from, uint8_t *data,
                                     struct mono now)
{
    struct cookie_msg msg = {.data = data, .mac1 = WG_RESP_MAC1};
    enum wg_drop drop = admit(w, from, msg, load_le32(data + WG_RESP_SENDER), now);
    uint32_t receiver = load_le32(data + WG_RESP_RECEIVER);
    struct noise_keys keys;
    struct peer *p;

    if (drop != WG_DROP_NONE)
        return drop;
    p = wg_peer_by_index(w, receiver);
    if (p == NULL || p->noise.state != NOISE_SENT_INITIATION || p->noise.local_index != receiver)
        return WG_DROP_UNKNOWN_INDEX;
    if (wg_noise_read_response(&p->noise, &w->self, data) < 0)
        return WG_DROP_HANDSHAKE;
    wg_noise_finish(&p->noise, &keys);
    wg_sessions_add(&p->sessions, &keys, now);
    wipe(&keys, sizeof(keys));
    roam(w, p, from);
    wg_timers_any_received(&p->timers, now);
    wg_timers_session_born(&p->timers, now);
    session_confirmed(w, p, now);
    wg_peer_touch(w, p);
    /* The responder may send only after it heard from us (5.4.5): so let it hear, if only
     * emptiness. */
    if (p->queue != NULL)
        wg_send_waiting(w, p, now);
    else
        wg_send_keepalive(w, p, now);
    return WG_DROP_NONE;
}

static enum wg_drop receive_cookie(struct wg *w, const uint8_t *data, struct mono now)
{
    uint32_t receiver = load_le32(data + WG_COOKIE_RECEIVER);
    struct peer *p = wg_peer_by_index(w, receiver);

    if (p == NULL ||
        (p->noise.local_index != receiver && wg_sessions_find(&p->sessions, receiver) == NULL))
        return WG_DROP_UNKNOWN_INDEX;
    return wg_cookie_read_reply(&p->cookies, data, now) < 0 ? WG_DROP_COOKIE : WG_DROP_NONE;
}

/** 6.2: an initiator renews in time also when it only receives, once per session. */
static bool is_late(const struct peer *p, const struct session *s, struct mono now)
{
    return s == p->sessions.current && s->is_initiator && !p->has_renewed_late &&
           !mono_before(now, mono_add_ns(s->born, WG_REKEY_ON_RECV_NS));
}

/** Everything about the message was found good: let it have its effects. */
static void accept_data(struct wg *w, struct peer *p, struct session *s,
                        const struct endpoint *from, bool is_keepalive, struct mono now)
{
    roam(w, p, from);
    wg_timers_any_received(&p->timers, now);
    if (!is_keepalive)
        wg_timers_data_received(&p->timers, now);
    wg_peer_touch(w, p);
    if (wg_sessions_confirm(&p->sessions, s)) {
        session_confirmed(w, p, now);
        wg_send_waiting(w, p, now);
    }
    if (is_late(p, s, now)) {
        p->has_renewed_late = true;
        wg_send_initiation(w, p, ATTEMPT_FRESH, now);
    }
}

static enum wg_drop receive_data(struct wg *w, const struct endpoint *from, uint8_t *data,
                                 size_t len, struct mono now)
{
    uint32_t receiver = load_le32(data + WG_DATA_RECEIVER);
    struct peer *p = wg_peer_by_index(w, receiver);
    struct session *s = p != NULL ? wg_sessions_find(&p->sessions, receiver) : NULL;
    struct bytes packet = bytes_of(data + WG_DATA_PACKET, len - WG_DATA_LEN_MIN);
    struct inner inner;
    enum wg_drop drop;

    if (s == NULL)
        return WG_DROP_UNKNOWN_INDEX;
    drop = wg_session_open(s, data, len, now);
    if (drop != WG_DROP_NONE)
        return drop;
    if (packet.len > 0) {
        if (wg_inner_parse(packet, &inner) < 0)
            return WG_DROP_INNER;
        if (wg_allowedips_find(&w->allowedips, &inner.src) != p->slot)
            return WG_DROP_SOURCE;
    }
    p->rx_bytes += len;
    accept_data(w, p, s, from, packet.len == 0, now);
    if (packet.len > 0)
        w->sink.deliver(w->sink.self, p->id, bytes_of(packet.data, inner.len));
    return WG_DROP_NONE;
}

enum wg_drop wg_input(struct wg *w, const struct endpoint *from, uint8_t *datagram, size_t len,
                      struct mono now)
{
    if (len < sizeof(uint32_t) || len > WG_DATAGRAM_MAX)
        return wg_device_drop(w, WG_DROP_LENGTH);
    switch (load_le32(datagram)) { /* the type, and the reserved bytes, which are zero */
    case WG_MSG_INITIATION:
        if (len == WG_INIT_LEN)
            return wg_device_drop(w, receive_initiation(w, from, datagram, now));
        break;
    case WG_MSG_RESPONSE:
        if (len == WG_RESP_LEN)
            return wg_device_drop(w, receive_response(w, from, datagram, now));
        break;
    case WG_MSG_COOKIE:
        if (len == WG_COOKIE_MSG_LEN)
            return wg_device_drop(w, receive_cookie(w, datagram, now));
        break;
    case WG_MSG_DATA:
        if (len >= WG_DATA_LEN_MIN)
            return wg_device_drop(w, receive_data(w, from, datagram, len, now));
        break;
    default:
        return wg_device_drop(w, WG_DROP_TYPE);
    }
    return wg_device_drop(w, WG_DROP_LENGTH);
}
