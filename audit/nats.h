/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to JetStream. nats.c brings threads; they and ours meet only in two bounded queues:
 * messages out, events back. The auditor's own thread never waits for the network.
 *
 * Lifecycle: nats_link_load; nats_link_open; then publish and read events. The link lives until the
 * process ends: closing it would mean waiting for a server that may not answer.
 */
#ifndef AUDIT_NATS_H
#define AUDIT_NATS_H

#include "audit/audit.h"
#include "base/bytes.h"
#include "base/must.h"
#include "base/why.h"

#define NATS_LINK_ID_CAP 64u /* a message id, or a server's id, and its NUL */
#define NATS_LINK_QUEUE  1024u

struct nats_link;

enum nats_link_news {
    NATS_LINK_UP, /* connected; @id names the server process: another one may have lost acknowledged
                   * messages */
    NATS_LINK_DOWN,
    NATS_LINK_ACK,     /* the message @id is stored */
    NATS_LINK_REFUSED, /* the message @id is not stored, as far as we know; "": perhaps several */
};

struct nats_link_event {
    enum nats_link_news news;
    char id[NATS_LINK_ID_CAP];
};

/** nats_link_load() - Open the library; before the process confines itself, once. Errors: -ENOENT.
 */
int nats_link_load(struct why *why) MUST_USE;
/** nats_link_open() - Start the link's thread, which connects and keeps trying. @config is copied.
 */
int nats_link_open(const struct audit_stream *config, struct nats_link **ret,
                   struct why *why) MUST_USE;
/** nats_link_fd() - Readable when there is an event. */
int nats_link_fd(const struct nats_link *l);
/** nats_link_publish() - Hand a message to the link's thread. @id: its Nats-Msg-Id, answered by an
 * event; NULL: a plain message without answer. Errors: -EAGAIN the queue is full; -ENOMEM. */
int nats_link_publish(struct nats_link *l, const char *subject, const char *id,
                      struct bytes payload) MUST_USE;
/** nats_link_next() - Take the next event; false: none. */
bool nats_link_next(struct nats_link *l, struct nats_link_event *ret);

#endif
