/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer state machine of section 6. It knows nothing but deadlines, so that ten years pass in a
 * test as fast as the additions run.
 */
#include "netstack/wg/timers.h"

void wg_timers_init(struct timers *t, unsigned persistent_s)
{
    wg_timers_stop(t);
    t->persistent_s = persistent_s;
    if (persistent_s > 0)
        t->persistent = (struct mono){.ns = 0};
}

void wg_timers_stop(struct timers *t)
{
    *t = (struct timers){
        .retry = MONO_NEVER,
        .give_up = MONO_NEVER,
        .keepalive = MONO_NEVER,
        .rehandshake = MONO_NEVER,
        .wipe = MONO_NEVER,
        .persistent = MONO_NEVER,
        .persistent_s = t->persistent_s,
    };
}

struct mono wg_timers_next(const struct timers *t)
{
    struct mono next = mono_min(t->retry, t->keepalive);

    next = mono_min(next, t->rehandshake);
    next = mono_min(next, t->wipe);
    return mono_min(next, t->persistent);
}

bool wg_timers_is_handshaking(const struct timers *t)
{
    return t->retry.ns != MONO_NEVER.ns;
}

static bool timer_due(struct mono *timer, struct mono now)
{
    if (mono_before(now, *timer))
        return false;
    *timer = MONO_NEVER;
    return true;
}

/** With nothing else under way, keys that nobody renews are wiped in due time, even when there
 * never was a session: then the handshake's own secrets are. */
static void timers_gave_up(struct timers *t, struct mono now)
{
    t->keepalive = MONO_NEVER;
    t->wipe = mono_min(t->wipe, mono_add_ns(now, WG_ZERO_AFTER_NS));
}

enum timers_due wg_timers_expire(struct timers *t, struct mono now)
{
    if (timer_due(&t->retry, now)) {
        if (mono_before(now, t->give_up))
            return TIMERS_RETRY;
        timers_gave_up(t, now);
        return TIMERS_GIVE_UP;
    }
    if (timer_due(&t->keepalive, now))
        return TIMERS_KEEPALIVE;
    if (timer_due(&t->rehandshake, now))
        return TIMERS_REHANDSHAKE;
    if (timer_due(&t->wipe, now))
        return TIMERS_WIPE;
    if (timer_due(&t->persistent, now)) {
        t->persistent = mono_add_ns(now, (int64_t)t->persistent_s * NS_PER_S);
        return TIMERS_PERSISTENT;
    }
    return TIMERS_NOTHING;
}

void wg_timers_attempt_begun(struct timers *t, struct mono now)
{
    t->give_up = mono_add_ns(now, WG_REKEY_ATTEMPT_NS);
}

void wg_timers_initiation_sent(struct timers *t, unsigned jitter_ms, struct mono now)
{
    t->retry = mono_add_ms(mono_add_ns(now, WG_REKEY_TIMEOUT_NS), jitter_ms);
    wg_timers_any_sent(t, now);
}

void wg_timers_retry_later(struct timers *t, unsigned jitter_ms, struct mono sent)
{
    if (t->retry.ns == MONO_NEVER.ns)
        t->retry = mono_add_ms(mono_add_ns(sent, WG_REKEY_TIMEOUT_NS), jitter_ms);
}

void wg_timers_handshake_done(struct timers *t)
{
    t->retry = MONO_NEVER;
}

void wg_timers_session_born(struct timers *t, struct mono now)
{
    t->wipe = mono_add_ns(now, WG_ZERO_AFTER_NS);
}

void wg_timers_data_sent(struct timers *t, unsigned jitter_ms, struct mono now)
{
    if (t->rehandshake.ns == MONO_NEVER.ns)
        t->rehandshake = mono_add_ms(mono_add_ns(now, WG_REHANDSHAKE_NS), jitter_ms);
}

void wg_timers_data_received(struct timers *t, struct mono now)
{
    if (t->keepalive.ns == MONO_NEVER.ns)
        t->keepalive = mono_add_ns(now, WG_KEEPALIVE_NS);
    else
        t->keepalive_again = true;
}

/** Any authenticated message, in either direction, puts off the persistent keepalive. */
static void timers_traversed(struct timers *t, struct mono now)
{
    if (t->persistent_s > 0)
        t->persistent = mono_add_ns(now, (int64_t)t->persistent_s * NS_PER_S);
}

void wg_timers_any_sent(struct timers *t, struct mono now)
{
    t->keepalive = MONO_NEVER;
    t->keepalive_again = false;
    timers_traversed(t, now);
}

void wg_timers_any_received(struct timers *t, struct mono now)
{
    t->rehandshake = MONO_NEVER;
    timers_traversed(t, now);
}

void wg_timers_keepalive_expired(struct timers *t, bool again, struct mono now)
{
    if (again)
        t->keepalive = mono_add_ns(now, WG_KEEPALIVE_NS);
}
