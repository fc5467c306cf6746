/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the follower's messages and sets peers accordingly. A peer whose document cannot be
 * understood is removed: what we cannot judge does not come in. While latticed is away the peers
 * stay as they are, each until its own end.
 */
#include "gateway/follow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "policy/identity.h"

#define MESSAGES_PER_TURN 256u

struct follow {
    struct follow_config config;
    struct loop_watch watch;
    struct loop_timer silence; /* a follower that hangs is as bad as none */
};

static int read_peer(struct bytes text, struct gateway_peer *ret, struct why *why)
{
    enum identity_enforcement enforcement;
    struct enroll_identity id;
    int err = enroll_identity_parse(text, &id, why);

    if (err < 0)
        return err;
    *ret = (struct gateway_peer){.address = id.address, .expires_s = id.expires_s};
    memcpy(ret->public_key, id.public_key, sizeof(ret->public_key));
    (void)snprintf(ret->name, sizeof(ret->name), "%s", id.name);
    (void)snprintf(ret->ns, sizeof(ret->ns), "%s", id.ns);
    if (identity_enforcement_parse(bytes_of_str(id.enforcement), &enforcement) < 0)
        enforcement = IDENTITY_ENFORCE;
    err = identity_policy(&id.destinations, enforcement, &ret->policy, why);
    enroll_identity_done(&id);
    return err;
}

/** @text: the peer's key, and its document. */
static void take_peer(struct follow *f, struct bytes text)
{
    struct gateway_peer peer = {0};
    struct why why = {0};
    int err;

    if (text.len < WG_KEY_LEN)
        return;
    err = read_peer(bytes_of(text.data + WG_KEY_LEN, text.len - WG_KEY_LEN), &peer, &why);
    if (err < 0) {
        log_error("a peer cannot be let in", F_STR("why", why.text));
        (void)gateway_peer_remove(f->config.gateway, text.data);
        return;
    }
    err = gateway_peer_set(f->config.gateway, &peer);
    if (err < 0) {
        log_error("a peer cannot be let in", F_STR("agent", peer.name),
                  F_STR("why", strerror(-err)));
        policy_free(peer.policy);
        return;
    }
    log_info("a peer may come", F_STR("agent", peer.name), F_STR("namespace", peer.ns));
}

static void take_gone(struct follow *f, struct bytes key)
{
    char text[WG_KEY_TEXT_CAP];

    if (key.len != WG_KEY_LEN || gateway_peer_remove(f->config.gateway, key.data) < 0)
        return;
    wg_key_print(key.data, text);
    log_info("a peer was cut and may not come any more", F_STR("peer", text));
}

static void take(struct follow *f, enum enroll_news news, struct bytes text)
{
    char reason[WHY_TEXT_MAX];

    switch (news) {
    case ENROLL_PEER:
        take_peer(f, text);
        break;
    case ENROLL_GONE:
        take_gone(f, text);
        break;
    case ENROLL_AWAY:
        (void)snprintf(reason, sizeof(reason), "%.*s", (int)text.len, (const char *)text.data);
        log_warn("latticed cannot be followed; the peers stay as they are, and it is tried again",
                 F_STR("why", reason));
        break;
    case ENROLL_BACK:
        log_warn("latticed can be followed again");
        break;
    case ENROLL_COMPLETE:
        log_info("the peers are as latticed has them");
        break;
    case ENROLL_ALIVE:
        break;
    case ENROLL_READY:
    case ENROLL_FAILED:
    case ENROLL_IDENTITY:
    case ENROLL_GATEWAY:
    case ENROLL_RENEWED:
    case ENROLL_ENDED:
        break; /* a sandbox's */
    }
}

static void lose(struct follow *f)
{
    loop_unwatch(f->config.loop, &f->watch);
    loop_timer_clear(f->config.loop, &f->silence);
    f->config.lost(f->config.self);
}

static void on_silence(void *self, struct mono now)
{
    (void)now;
    lose(self);
}

static void watch_silence(struct follow *f)
{
    if (loop_timer_set(f->config.loop, &f->silence,
                       mono_add_ms(loop_now(f->config.loop), ENROLL_SILENCE_S * 1000)) < 0)
        log_warn("no memory for a timer: a follower that hangs is not noticed");
}

static void on_message(void *self, uint32_t events)
{
    struct follow *f = self;

    (void)events;
    watch_silence(f);
    for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
        enum enroll_news news;
        struct bytes text;
        int err = enroll_read(f->config.enroll, &news, &text);

        if (err == -EAGAIN)
            return;
        if (err < 0) {
            lose(f);
            return;
        }
        take(f, news, text);
    }
}

int follow_new(const struct follow_config *config, struct follow **ret)
{
    struct follow *f = calloc(1, sizeof(*f));
    int err;

    if (f == NULL)
        return -ENOMEM;
    f->config = *config;
    f->watch = (struct loop_watch){.fd = enroll_fd(config->enroll), .ready = on_message, .self = f};
    f->silence = (struct loop_timer){.expired = on_silence, .self = f};
    err = loop_watch(config->loop, &f->watch, EPOLLIN);
    if (err < 0) {
        free(f);
        return err;
    }
    watch_silence(f);
    *ret = f;
    return 0;
}

void follow_free(struct follow *f)
{
    if (f == NULL)
        return;
    loop_unwatch(f->config.loop, &f->watch);
    loop_timer_clear(f->config.loop, &f->silence);
    free(f);
}
