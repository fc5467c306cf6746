/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the follower's messages into policy. Nothing here widens what the session began with except
 * by latticed's word, and what cannot be understood ends the session.
 *
 * Knocking: WireGuard repeats a lost initiation after five seconds (paper 6.4). A gateway learns of
 * a new agent some milliseconds after the agent itself, so the first initiation may well come too
 * early. Until the first handshake is done, the peer is made anew every KNOCK_MS, with a fresh
 * initiation.
 */
#include "sandbox/followed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "policy/identity.h"
#include "sandbox/sys_ping.h"
#include "sandbox/sys_tcp.h"

#define KNOCK_MS       250
#define KNOCKS_MAX     80u  /* then nobody is there … */
#define KNOCK_LATER_MS 5000 /* … and an agent that runs already is in no hurry */
#define LOOK_S_MAX     3600 /* the wall clock may be set: look again now and then */
#define REASON_CAP     (WHY_TEXT_MAX + 64)

struct followed {
    struct session *s;
    struct followed_events events;
    struct loop_watch watch;
    struct loop_timer knock;
    struct loop_timer expiry;
    struct loop_timer silence;   /* a follower that hangs is as bad as none */
    struct wg_peer_conf gateway; /* as it is now; its prefixes are borrowed */
    unsigned knocks;
    bool is_up;
    bool has_begun; /* the agent was let go */
    bool is_over;
    int64_t expires_s;
};

/* ── Cutting ─────────────────────────────────────────────────────────────────────────────────────
 */

/** May it still be open, as the policy is now? */
static bool is_still_allowed(struct session *s, const struct vsock *v)
{
    struct policy_request req = {
        .proto = POLICY_TCP, .dst = v->remote, .pins = s->pins, .now = mono_now()};
    struct policy_answer answer;

    return policy_decide(s->config->policy, &req, &answer) == 0 && answer.verdict == VERDICT_ALLOW;
}

static void cut(struct session *s, bool everything)
{
    for (uint32_t i = 0; i < vsock_slots_used(s->sockets); i++) {
        struct vsock *v = vsock_at(s->sockets, i);

        if (v == NULL)
            continue;
        for (unsigned p = 0; p < ARRAY_COUNT(v->peers); p++)
            v->peers[p].judged_at = (struct mono){0}; /* datagrams are judged anew */
        ping_judge_anew(v);
        if (v->flow != NULL && (everything || !is_still_allowed(s, v)))
            tcp_cut(s, v);
    }
}

/** Everything that leads out is over: connections are reset, the tunnel's keys are forgotten. */
static void end_all(struct followed *f, const char *text)
{
    struct session *s = f->s;
    struct policy *nothing;

    if (f->is_over)
        return;
    f->is_over = true;
    loop_timer_clear(s->loop, &f->knock);
    loop_timer_clear(s->loop, &f->expiry);
    loop_timer_clear(s->loop, &f->silence);
    if (policy_new(POLICY_ENFORCE, &nothing) == 0) {
        policy_swap(s->config->policy, nothing);
        policy_free(nothing);
    }
    cut(s, /*everything=*/true);
    (void)!wg_peer_remove(netstack_wg(s->netstack), f->gateway.public_key);
    f->events.ended(f->events.self, text);
}

/* ── The identity ────────────────────────────────────────────────────────────────────────────────
 */

static void arm_expiry(struct followed *f)
{
    int64_t wait_s = f->expires_s - wall_now_ns() / NS_PER_S;

    if (f->expires_s == INT64_MAX) {
        loop_timer_clear(f->s->loop, &f->expiry);
        return;
    }
    if (wait_s > LOOK_S_MAX)
        wait_s = LOOK_S_MAX;
    if (loop_timer_set(f->s->loop, &f->expiry,
                       mono_add_ms(mono_now(), wait_s > 0 ? wait_s * 1000 : 0)) < 0)
        end_all(f, "no memory for a timer, so the end of the identity could be missed");
}

static void on_expiry(void *self, struct mono now)
{
    struct followed *f = self;

    (void)now;
    if (wall_now_ns() / NS_PER_S >= f->expires_s)
        end_all(f, "the agent's identity has expired");
    else
        arm_expiry(f);
}

/** What this machine's side adds: its deny rules, and the sockets of its own that it opens. */
static int add_local_rules(struct policy *to, const struct policy *local, struct why *why)
{
    const char *text;

    for (unsigned i = 0; local != NULL && (text = policy_rule_text(local, i)) != NULL; i++) {
        int err = 0;

        if (strncmp(text, "deny ", 5) == 0)
            err = policy_add_rule(to, POLICY_RULE_DENY, bytes_of_str(text + 5), why);
        else if (strncmp(text, "allow unix:", 11) == 0)
            err = policy_add_rule(to, POLICY_RULE_ALLOW, bytes_of_str(text + 6), why);
        if (err < 0)
            return err;
    }
    return 0;
}

int sandbox_identity_policy(const struct enroll_identity *id, const struct policy *local,
                            struct policy **ret, struct why *why)
{
    static const char *const own[] = {ENROLL_GATEWAY_IP ":80", ENROLL_GATEWAY_NAME ":80"};
    enum identity_enforcement enforcement;
    int err;

    if (identity_enforcement_parse(bytes_of_str(id->enforcement), &enforcement) < 0)
        enforcement = IDENTITY_ENFORCE;
    err = identity_policy(&id->destinations, enforcement, ret, why);
    if (err < 0)
        return err;
    for (unsigned i = 0; i < ARRAY_COUNT(own) && err == 0; i++)
        err = policy_add_rule(*ret, POLICY_RULE_ALLOW, bytes_of_str(own[i]), why);
    if (err == 0)
        err = add_local_rules(*ret, local, why);
    if (err < 0)
        policy_free(*ret);
    return err;
}

static void take_identity(struct followed *f, struct bytes text)
{
    struct session *s = f->s;
    struct enroll_identity id;
    struct policy *fresh;
    struct why why = {0};
    int err = enroll_identity_parse(text, &id, &why);

    if (err == 0) {
        err = sandbox_identity_policy(&id, s->config->local, &fresh, &why);
        f->expires_s = id.expires_s;
        enroll_identity_done(&id);
    }
    if (err < 0) {
        end_all(f, why.text);
        return;
    }
    policy_swap(s->config->policy, fresh);
    policy_free(fresh);
    cut(s, /*everything=*/false);
    arm_expiry(f);
    log_info("the agent's identity is as latticed has it now");
}

/** The gateway is another now, or elsewhere: the old tunnel is over, and we knock at the new one.
 * Connections that it cannot continue are reset by the gateway itself. */
static void take_gateway(struct followed *f, struct bytes text)
{
    struct wg *wg = netstack_wg(f->s->netstack);
    struct endpoint where;

    if (text.len <= WG_KEY_LEN ||
        endpoint_parse(bytes_of(text.data + WG_KEY_LEN, text.len - WG_KEY_LEN), &where) < 0)
        return;
    (void)!wg_peer_remove(wg, f->gateway.public_key);
    memcpy(f->gateway.public_key, text.data, WG_KEY_LEN);
    f->gateway.endpoint = where;
    f->is_up = false;
    f->knocks = 0;
    log_warn("the gateway has changed; the tunnel is set up anew");
    if (loop_timer_set(f->s->loop, &f->knock, loop_now(f->s->loop)) < 0)
        f->events.failed(f->events.self, "the tunnel cannot be set up: out of memory");
}

static void take(struct followed *f, enum enroll_news news, struct bytes text)
{
    char reason[REASON_CAP];

    (void)snprintf(reason, sizeof(reason), "%.*s", (int)text.len, (const char *)text.data);
    switch (news) {
    case ENROLL_IDENTITY:
        take_identity(f, text);
        break;
    case ENROLL_GATEWAY:
        take_gateway(f, text);
        break;
    case ENROLL_RENEWED:
        log_info("the agent's token was renewed");
        break;
    case ENROLL_ENDED:
        end_all(f, reason);
        break;
    case ENROLL_AWAY:
        log_warn("latticed cannot be followed; the identity stays as it is, and it is tried again",
                 F_STR("why", reason));
        break;
    case ENROLL_BACK:
        log_warn("latticed can be followed again");
        break;
    case ENROLL_ALIVE:
        break;
    case ENROLL_READY:
    case ENROLL_FAILED:
    case ENROLL_PEER:
    case ENROLL_GONE:
    case ENROLL_COMPLETE:
        break; /* before this, or a gateway's */
    }
}

static void on_silence(void *self, struct mono now)
{
    struct followed *f = self;

    (void)now;
    f->events.failed(f->events.self, "the process that follows latticed is silent; nobody would "
                                     "hear of a revocation");
}

static void watch_silence(struct followed *f)
{
    if (loop_timer_set(f->s->loop, &f->silence, mono_add_ms(mono_now(), ENROLL_SILENCE_S * 1000)) <
        0)
        end_all(f, "no memory for a timer, so a follower that hangs would not be noticed");
}

static void on_message(void *self, uint32_t events)
{
    struct followed *f = self;

    (void)events;
    watch_silence(f);
    while (!f->is_over) {
        enum enroll_news news;
        struct bytes text;
        int err = enroll_read(f->s->config->enroll, &news, &text);

        if (err == -EAGAIN)
            return;
        if (err < 0) {
            loop_unwatch(f->s->loop, &f->watch);
            f->events.failed(f->events.self, "the process that follows latticed has died; nobody "
                                             "would hear of a revocation");
            return;
        }
        take(f, news, text);
    }
    loop_unwatch(f->s->loop, &f->watch);
}

/* ── Knocking ────────────────────────────────────────────────────────────────────────────────────
 */

static void on_knock(void *self, struct mono now)
{
    struct followed *f = self;
    struct wg *wg = netstack_wg(f->s->netstack);
    int64_t again_ms = f->knocks < KNOCKS_MAX ? KNOCK_MS : KNOCK_LATER_MS;
    struct wg_peer_id id;

    if (f->is_up || f->is_over)
        return;
    if (f->knocks++ == KNOCKS_MAX && !f->has_begun) {
        f->events.failed(f->events.self, "the gateway does not answer; can its UDP port be reached "
                                         "from here, and does it follow the same latticed?");
        return;
    }
    (void)!wg_peer_remove(wg, f->gateway.public_key);
    if (wg_peer_add(wg, &f->gateway, &id) < 0 ||
        loop_timer_set(f->s->loop, &f->knock, mono_add_ms(now, again_ms)) < 0)
        f->events.failed(f->events.self, "the tunnel cannot be set up: out of memory");
    else
        wg_handshake(wg, id, now);
}

void followed_tunnel_up(struct followed *f)
{
    if (f->is_up || f->is_over)
        return;
    f->is_up = true;
    loop_timer_clear(f->s->loop, &f->knock);
    if (!f->has_begun)
        f->events.up(f->events.self);
    f->has_begun = true;
}

int followed_new(struct session *s, const struct followed_events *events, struct followed **ret,
                 struct why *why)
{
    struct followed *f = calloc(1, sizeof(*f));
    int err;

    if (f == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    must(s->config->wg != NULL && s->config->wg->peer_count == 1);
    f->s = s;
    f->events = *events;
    f->expires_s = s->config->expires_s;
    f->gateway = s->config->wg->peers[0];
    f->watch =
        (struct loop_watch){.fd = enroll_fd(s->config->enroll), .ready = on_message, .self = f};
    f->knock = (struct loop_timer){.expired = on_knock, .self = f};
    f->expiry = (struct loop_timer){.expired = on_expiry, .self = f};
    f->silence = (struct loop_timer){.expired = on_silence, .self = f};
    err = loop_watch(s->loop, &f->watch, EPOLLIN);
    if (err == 0)
        err = loop_timer_set(s->loop, &f->knock, loop_now(s->loop));
    if (err < 0) {
        followed_free(f);
        return why_set(why, err, "latticed cannot be followed: %s", strerror(-err));
    }
    arm_expiry(f);
    watch_silence(f);
    *ret = f;
    return 0;
}

void followed_free(struct followed *f)
{
    if (f == NULL)
        return;
    loop_timer_clear(f->s->loop, &f->knock);
    loop_timer_clear(f->s->loop, &f->expiry);
    loop_timer_clear(f->s->loop, &f->silence);
    loop_unwatch(f->s->loop, &f->watch);
    free(f);
}
