/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the control room: latticed's REST API over its store. Who may exist, what they may
 * do, and who is told when that ends.
 *
 * Lifecycle: control_new (opens the data directory, listens) → the loop runs → control_free.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>

#include "audit/audit.h"
#include "base/addr.h"
#include "base/bytes.h"
#include "base/loop.h"
#include "base/must.h"
#include "base/why.h"

struct control;
struct control_nats;

struct control_config {
    struct loop *loop;      /* borrowed */
    const char *data_dir;   /* exists, 0700; holds database, keys and tokens */
    struct endpoint listen; /* port 0: the kernel chooses */
    const char *tls_cert;   /* PEM text; NULL: plain HTTP */
    const char *tls_key;
    const char *audience; /* "aud" of the tokens; NULL: "lattice" */
    const struct audit_stream
        *stream; /* borrowed for the call; where all records arrive; NULL: no NATS */
    struct control_nats
        *nats;             /* borrowed; our own server, which agents get a user of; NULL: none */
    struct audit *audit;   /* borrowed; where spans of tool calls go */
    const char *audit_log; /* its file, read back for queries */
};

int control_new(const struct control_config *config, struct control **ret,
                struct why *why) MUST_USE;
/** control_port() - The port that it listens on. */
uint16_t control_port(const struct control *c);
/** control_admin_token_path() - The file (0600) that holds the administrator's token. Borrowed. */
const char *control_admin_token_path(const struct control *c);
void control_free(struct control *c);

/* A nats-server of our own: loopback, JetStream, started again when it ends, ended with us. Start
 * it before the auditor, which publishes to it. */
int control_nats_start(struct loop *loop, const char *data_dir, struct control_nats **ret,
                       struct why *why) MUST_USE;
/** control_nats_stream() - How to reach it; valid until control_nats_free(). */
const struct audit_stream *control_nats_stream(const struct control_nats *n);
/** control_nats_secret() - HASH_LEN bytes of our own that outlive restarts; borrowed. */
const uint8_t *control_nats_secret(const struct control_nats *n);
/** control_nats_set_users() - Let these users in, too, and no others: entries of nats-server's
 * `users` list as text. Running connections of users that stay are left alone. */
void control_nats_set_users(struct control_nats *n, struct bytes entries);
/** control_nats_free() - Accepts NULL. */
void control_nats_free(struct control_nats *n);

#endif
