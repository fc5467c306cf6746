/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options --nats, --nats-creds, --nats-ca and --nats-workspace, which several programs have,
 * and what they mean as an audit_stream.
 */
#ifndef CMD_NATS_OPTIONS_H
#define CMD_NATS_OPTIONS_H

#include "audit/audit.h"
#include "base/must.h"
#include "base/why.h"

#define NATS_SECRET_MAX 128u /* bytes of a user's name or password */

#define NATS_OPTION_HELP_URL                                                                       \
    "Publish the records to JetStream, too: nats://HOST:PORT or tls://HOST:PORT."
#define NATS_OPTION_HELP_CREDS                                                                     \
    "Who we are there: a NATS credentials file (JWT and seed), or lines: user,\n"                  \
    "password and, for a user of latticed's, inbox. Only its owner may have access."
#define NATS_OPTION_HELP_CA        "Certificate authority of that server (PEM)."
#define NATS_OPTION_HELP_WORKSPACE "Second word of the subjects (default: default)."

struct nats_options {
    const char *url; /* NULL: no stream */
    const char *creds;
    const char *ca;
    const char *workspace;
    char user[NATS_SECRET_MAX]; /* filled by nats_options_stream() */
    char password[NATS_SECRET_MAX];
    char inbox[NATS_SECRET_MAX];
};

/** nats_options_stream() - Read the credentials. *ret points into @o, which must outlive it.
 * Returns 0; 1 when no stream is wanted; -errno with @why. */
int nats_options_stream(struct nats_options *o, struct audit_stream *ret, struct why *why) MUST_USE;
/** nats_options_done() - Wipe the secrets. */
void nats_options_done(struct nats_options *o);

#endif
