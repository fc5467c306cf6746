/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: sealing, opening, and which of a peer's three sessions plays which role. It refuses to
 * seal or open past the limits of 6.1, and gives no packet away before its counter was judged.
 *
 * Theory: a renewed session must not lose packets on their way, so the one before stays as
 * `previous`. A responder cannot know that its response arrived, so its session waits as `next`
 * until a packet sealed with it comes in; only then does it send with it (paper 5.4.5, 6.3).
 */
#include "netstack/wg/session.h"

#include <errno.h>

#include "base/own.h"

void wg_session_begin(struct session *s, const struct noise_keys *keys, struct mono now)
{
    must(!s->is_alive);
    wg_cipher_key(&s->seal, CIPHER_SEAL, keys->send);
    wg_cipher_key(&s->open, CIPHER_OPEN, keys->receive);
    s->is_initiator = keys->is_initiator;
    s->local_index = keys->local_index;
    s->remote_index = keys->remote_index;
    s->born = now;
    s->send_counter = 0;
    s->replay = (struct replay){0};
    s->is_alive = true;
}

void wg_session_end(struct session *s)
{
    wg_cipher_wipe(&s->seal);
    wg_cipher_wipe(&s->open);
    s->local_index = 0;
    s->is_alive = false;
}

static bool session_is_past(const struct session *s, int64_t age_ns, struct mono now)
{
    return !mono_before(now, mono_add_ns(s->born, age_ns));
}

bool wg_session_may_send(const struct session *s, struct mono now)
{
    return s->is_alive && s->send_counter < WG_REJECT_AFTER_MESSAGES &&
           !session_is_past(s, WG_REJECT_AFTER_NS, now);
}

bool wg_session_wants_rekey(const struct session *s, struct mono now)
{
    return s->send_counter > WG_REKEY_AFTER_MESSAGES ||
           (s->is_initiator && session_is_past(s, WG_REKEY_AFTER_NS, now));
}

size_t wg_session_seal(struct session *s, struct bytes inner, size_t mtu, uint8_t *ret)
{
    size_t len = session_sealed_len(inner.len, mtu);
    size_t padded = len - WG_DATA_LEN_MIN;

    must(inner.len <= WG_INNER_MAX);
    must(s->send_counter < WG_REJECT_AFTER_MESSAGES);
    store_le32(ret + WG_MSG_TYPE, WG_MSG_DATA); /* and the reserved bytes */
    store_le32(ret + WG_DATA_RECEIVER, s->remote_index);
    store_le64(ret + WG_DATA_COUNTER, s->send_counter);
    if (inner.len > 0)
        memmove(ret + WG_DATA_PACKET, inner.data, inner.len);
    memset(ret + WG_DATA_PACKET + inner.len, 0, padded - inner.len);
    wg_cipher_seal(&s->seal, s->send_counter, ret + WG_DATA_PACKET, padded);
    s->send_counter++;
    return len;
}

enum wg_drop wg_session_open(struct session *s, uint8_t *msg, size_t len, struct mono now)
{
    uint64_t counter = load_le64(msg + WG_DATA_COUNTER);

    must(len >= WG_DATA_LEN_MIN);
    if (session_is_past(s, WG_REJECT_AFTER_NS, now) || counter >= WG_REJECT_AFTER_MESSAGES)
        return WG_DROP_EXPIRED;
    if (wg_cipher_open(&s->open, counter, msg + WG_DATA_PACKET, len - WG_DATA_PACKET) < 0)
        return WG_DROP_AUTH;
    if (!wg_replay_accept(&s->replay, counter))
        return WG_DROP_REPLAY;
    return WG_DROP_NONE;
}

int wg_sessions_reserve(struct session_set *set)
{
    for (unsigned i = 0; i < ARRAY_COUNT(set->slots); i++)
        if (wg_cipher_reserve(&set->slots[i].seal) < 0 ||
            wg_cipher_reserve(&set->slots[i].open) < 0)
            return -ENOMEM;
    return 0;
}

static void sessions_drop(struct session **role)
{
    if (*role != NULL)
        wg_session_end(*role);
    *role = NULL;
}

static struct session *sessions_free_slot(struct session_set *set)
{
    unsigned i = 0;

    while (set->slots[i].is_alive)
        must(++i < ARRAY_COUNT(set->slots));
    return &set->slots[i];
}

void wg_sessions_add(struct session_set *set, const struct noise_keys *keys, struct mono now)
{
    struct session **role = keys->is_initiator ? &set->current : &set->next;

    sessions_drop(&set->previous);
    if (!keys->is_initiator) {
        sessions_drop(&set->next);
    } else if (set->next != NULL) {
        /* The peer may already be sending with it, so it outlives the older current one. */
        sessions_drop(&set->current);
        set->previous = take_ptr(set->next);
    } else {
        set->previous = take_ptr(set->current);
    }
    *role = sessions_free_slot(set);
    wg_session_begin(*role, keys, now);
}

struct session *wg_sessions_find(struct session_set *set, uint32_t local_index)
{
    for (unsigned i = 0; i < ARRAY_COUNT(set->slots); i++)
        if (set->slots[i].is_alive && set->slots[i].local_index == local_index)
            return &set->slots[i];
    return NULL;
}

bool wg_sessions_confirm(struct session_set *set, struct session *s)
{
    if (s != set->next)
        return false;
    sessions_drop(&set->previous);
    set->previous = set->current;
    set->current = set->next;
    set->next = NULL;
    return true;
}

void wg_sessions_end(struct session_set *set)
{
    sessions_drop(&set->current);
    sessions_drop(&set->previous);
    sessions_drop(&set->next);
}

void wg_sessions_done(struct session_set *set)
{
    wg_sessions_end(set);
    for (unsigned i = 0; i < ARRAY_COUNT(set->slots); i++) {
        wg_cipher_done(&set->slots[i].seal);
        wg_cipher_done(&set->slots[i].open);
    }
}
