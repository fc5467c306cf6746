/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An enrolled sandbox: what latticed says of its identity comes into force. The tunnel is knocked
 * at until the gateway answers, and only then may the agent begin; rules are replaced while it
 * runs, and what they do not allow any more is cut; an identity that ends takes all connections and
 * the tunnel with it, at once.
 */
#ifndef SANDBOX_FOLLOWED_H
#define SANDBOX_FOLLOWED_H

#include "enroll/enroll.h"
#include "sandbox/session.h"

struct followed;

struct followed_events {
    void (*up)(void *self);                       /* the tunnel stands: the agent may begin */
    void (*ended)(void *self, const char *text);  /* the identity has; everything is cut already */
    void (*failed)(void *self, const char *text); /* it cannot be followed (any more) */
    void *self;
};

/** followed_new() - Begin to follow and to knock. The session's engines run. */
int followed_new(struct session *s, const struct followed_events *events, struct followed **ret,
                 struct why *why) MUST_USE;
/** followed_tunnel_up() - A handshake was completed. */
void followed_tunnel_up(struct followed *f);
/** followed_free() - Accepts NULL. */
void followed_free(struct followed *f);

#endif
