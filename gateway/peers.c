/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of peers. Configured ones are entered when they first open something; enrolled ones
 * come, change and go as latticed says, and one that goes takes everything with it that it had
 * open.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/inside.h"
#include "gateway/names.h"

#define LOOK_S_MAX 3600 /* the wall clock may be set: look again now and then */

static struct peer **peer_slot(struct gateway *g, const uint8_t key[static WG_KEY_LEN])
{
    /* Public keys of configured peers: nobody outside chooses them, so their bytes are hash enough.
     */
    struct peer **at = &g->peers[load_le32(key) % BUCKETS];

    while (*at != NULL && memcmp((*at)->key, key, WG_KEY_LEN) != 0)
        at = &(*at)->chain;
    return at;
}

struct peer *peers_get(struct gateway *g, const uint8_t key[static WG_KEY_LEN])
{
    struct peer **head = &g->peers[load_le32(key) % BUCKETS];
    struct peer *p = *peer_slot(g, key);

    if (p != NULL || g->peer_count == PEERS_MAX)
        return p;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    memcpy(p->key, key, WG_KEY_LEN);
    wg_key_print(key, p->text);
    p->chain = *head;
    *head = p;
    g->peer_count++;
    return p;
}
static void end_what_is_open(struct gateway *g, const struct peer *peer, bool everything)
{
    conns_cut(g, peer, everything);
    exchanges_cut(g, peer, everything);
    if (everything && g->names != NULL)
        names_forget(g->names, peer->key);
}

/** Look again when @expires_s is there, unless a look is due before. */
static void arm_expiry(struct gateway *g, int64_t expires_s)
{
    int64_t wait_s = expires_s - wall_now_ns() / NS_PER_S;
    struct mono at;

    if (expires_s == INT64_MAX)
        return;
    if (wait_s > LOOK_S_MAX)
        wait_s = LOOK_S_MAX;
    at = mono_add_ms(loop_now(g->loop), wait_s > 0 ? wait_s * 1000 : 0);
    if (g->expiry.index_ != 0 && !mono_before(at, g->expiry.at))
        return;
    if (loop_timer_set(g->loop, &g->expiry, at) < 0)
        log_warn("no memory for a timer: expired peers end when latticed says so");
}

static void on_expiry(void *self, struct mono now)
{
    struct gateway *g = self;
    int64_t now_s = wall_now_ns() / NS_PER_S;

    (void)now;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct peer *p = g->peers[i], *next; p != NULL; p = next) {
            next = p->chain;
            if (!p->is_enrolled)
                continue;
            if (p->expires_s > now_s) {
                arm_expiry(g, p->expires_s);
                continue;
            }
            log_info("a peer's identity has expired", F_STR("agent", p->name));
            (void)gateway_peer_remove(g, p->key);
        }
}

int gateway_peer_remove(struct gateway *g, const uint8_t public_key[static WG_KEY_LEN])
{
    struct peer **at = peer_slot(g, public_key);
    struct peer *p = *at;

    if (p == NULL || !p->is_enrolled)
        return -ENOENT;
    end_what_is_open(
        g, p, /*everything=*/true); /* first, so that the peer's programs are told by a reset */
    (void)!wg_peer_remove(netstack_wg(g->ns), p->key);
    must(p->conns == 0 && p->nats == 0);
    at = peer_slot(g, p->key);
    *at = p->chain;
    g->peer_count--;
    policy_free(p->policy);
    pins_free(p->pins);
    free(p);
    return 0;
}

static int admit(struct gateway *g, const struct gateway_peer *peer)
{
    struct prefix own = {.ip = peer->address, .bits = (uint8_t)(ip_len(&peer->address) * 8)};
    struct wg_peer_conf conf = {.allowed_ips = &own, .allowed_ip_count = 1};
    struct wg_peer_id id;

    memcpy(conf.public_key, peer->public_key, WG_KEY_LEN);
    return wg_peer_add(netstack_wg(g->ns), &conf, &id);
}

int gateway_peer_set(struct gateway *g, const struct gateway_peer *peer)
{
    struct peer *p = *peer_slot(g, peer->public_key);
    bool is_new = p == NULL || !p->is_enrolled;
    int err = 0;

    if (!is_new && !ip_equal(&p->address, &peer->address)) {
        (void)gateway_peer_remove(g, peer->public_key);
        is_new = true;
    }
    if (is_new) {
        err = admit(g, peer);
        if (err < 0)
            return err;
        p = peers_get(g, peer->public_key);
        if (p == NULL) {
            (void)!wg_peer_remove(netstack_wg(g->ns), peer->public_key);
            return -ENOMEM;
        }
    }
    p->is_enrolled = true;
    p->address = peer->address;
    memcpy(p->name, peer->name, sizeof(p->name));
    memcpy(p->ns, peer->ns, sizeof(p->ns));
    p->expires_s = peer->expires_s;
    policy_free(p->policy);
    p->policy = peer->policy;
    end_what_is_open(g, p, /*everything=*/false);
    arm_expiry(g, p->expires_s);
    return 0;
}

void peers_init(struct gateway *g)
{
    g->expiry = (struct loop_timer){.expired = on_expiry, .self = g};
}

void peers_done(struct gateway *g)
{
    loop_timer_clear(g->loop, &g->expiry);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct peer *p = g->peers[i], *next; p != NULL; p = next) {
            next = p->chain;
            policy_free(p->policy);
            pins_free(p->pins);
            free(p);
        }
    }
}
