/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The five timers of a peer (paper section 6), as deadlines: events move them, wg_timers_expire()
 * says what is due. They neither send nor look at sessions; send.c and receive.c report to them.
 */
#ifndef NETSTACK_WG_TIMERS_H
#define NETSTACK_WG_TIMERS_H

#include <stdbool.h>

#include "base/clock.h"
#include "netstack/wg/wg_msg.h"

/** Each deadline is MONO_NEVER while its timer is off. */
struct timers {
    struct mono retry;       /* 6.4: no response to our initiation */
    struct mono give_up;     /* 6.4: end of REKEY_ATTEMPT_TIME; not a timer, judged with retry */
    struct mono keepalive;   /* 6.5: data came in and nothing went out since */
    struct mono rehandshake; /* 6.5: data went out and nothing came in since */
    struct mono wipe;        /* 6.3: the last session is three times REJECT_AFTER_TIME old */
    struct mono persistent;  /* 6.5: nothing went either way for persistent_s */
    bool keepalive_again;    /* more data came in while keepalive was running */
    unsigned persistent_s;   /* 0: off */
};

enum timers_due {
    TIMERS_NOTHING = 0,
    TIMERS_RETRY,       /* send the initiation again */
    TIMERS_GIVE_UP,     /* drop the packets that wait */
    TIMERS_KEEPALIVE,   /* send an empty packet; then wg_timers_keepalive_expired() */
    TIMERS_REHANDSHAKE, /* begin a handshake */
    TIMERS_WIPE,        /* end all sessions, reset the handshake */
    TIMERS_PERSISTENT,  /* send an empty packet */
};

/** wg_timers_init() - All off, but a persistent keepalive is due at once. */
void wg_timers_init(struct timers *t, unsigned persistent_s);
/** wg_timers_next() - The earliest deadline. */
struct mono wg_timers_next(const struct timers *t);
/** wg_timers_is_handshaking() - An initiation is out and may still be answered. */
bool wg_timers_is_handshaking(const struct timers *t);
/** wg_timers_expire() - Turn off one timer that is due and say which; call until nothing is due. */
enum timers_due wg_timers_expire(struct timers *t, struct mono now);

/** Events. @jitter_ms: random, below WG_REKEY_JITTER_MS. */
void wg_timers_attempt_begun(struct timers *t, struct mono now); /* a handshake, unless a retry */
void wg_timers_initiation_sent(struct timers *t, unsigned jitter_ms, struct mono now);
/** wg_timers_retry_later() - A handshake message went out at @sent, too recently for another one.
 */
void wg_timers_retry_later(struct timers *t, unsigned jitter_ms, struct mono sent);
void wg_timers_handshake_done(struct timers *t);
void wg_timers_session_born(struct timers *t, struct mono now);
void wg_timers_data_sent(struct timers *t, unsigned jitter_ms, struct mono now);
void wg_timers_data_received(struct timers *t, struct mono now);
void wg_timers_any_sent(struct timers *t, struct mono now);     /* any authenticated message */
void wg_timers_any_received(struct timers *t, struct mono now); /* any authenticated message */
void wg_timers_keepalive_expired(struct timers *t, bool again, struct mono now);
void wg_timers_stop(struct timers *t);

#endif
