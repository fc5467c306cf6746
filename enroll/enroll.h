/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the enroll room: latticed, seen from a sandbox and from a gateway. All talking is
 * done by a *follower*, a small process of ours that is forked before anything secret is in use. It
 * asks latticed (long polls, blocking), keeps the credentials, and hands on what it learns as
 * messages over a socket, so that neither a supervisor nor a gateway ever speaks HTTP or waits for
 * an answer.
 *
 * Process card of a follower. Faces: latticed, whose answers it validates. Holds: the agent's
 * credentials, or the gateway's token. Never has: the agent's memory, notification descriptors,
 * log, tunnel sockets.
 *
 * The *desk* is a gateway's second process: what agents may ask of latticed goes through it.
 *
 * Lifecycle: enroll_agent_start or enroll_gateway_start → (enroll_agent_ready) → when enroll_fd()
 * is readable, enroll_read() until -EAGAIN → enroll_stop.
 */
#ifndef ENROLL_ENROLL_H
#define ENROLL_ENROLL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/must.h"
#include "base/nameset.h"
#include "base/why.h"

#define ENROLL_NAME_MAX         63u  /* of an agent or a namespace */
#define ENROLL_DESTINATIONS_MAX 256u /* rules of one identity */
#define ENROLL_TOOLS_MAX        256u
#define ENROLL_SECRET_CAP       9216u
#define ENROLL_PATH_CAP         1024u
#define ENROLL_KEY_TEXT_CAP     45u /* base64 of a key and its NUL */
#define ENROLL_SILENCE_S        150
#define ENROLL_RENEW_S          600                /* tokens live 900 s */
#define ENROLL_GATEWAY_IP       "10.100.0.1"       /* of the gateway inside the tunnels */
#define ENROLL_GATEWAY_NAME     "lattice.internal" /* its name there; .internal is nobody's */
#define ENROLL_POOL_BITS        16 /* … and the network in which agents have theirs */

/** Where latticed is. Borrowed texts. */
struct enroll_server {
    const char *url;     /* http://HOST:PORT or https:// */
    const char *ca_file; /* NULL: the system's */
    bool may_be_plain;   /* plain HTTP to other hosts than this one, too */
};

/** What latticed says of an agent now. */
struct enroll_identity {
    char name[ENROLL_NAME_MAX + 1];
    char ns[ENROLL_NAME_MAX + 1];
    char parent[ENROLL_NAME_MAX + 1]; /* "": none */
    char enforcement[12];             /* "enforce", "audit", "disabled" */
    int64_t expires_s;                /* seconds since 1970 UTC; INT64_MAX: never */
    struct ip address;                /* inside the tunnel */
    uint8_t public_key[32];
    struct nameset destinations; /* "allow RULE" or "deny RULE" */
    struct nameset tools;        /* exact names of the tools that it may call */
};
void enroll_identity_done(struct enroll_identity *id);
/** enroll_identity_parse() - Read an agent or a peer as latticed's API writes it.
 * Errors: -EINVAL with @why; -ENOMEM; *ret is empty then. */
int enroll_identity_parse(struct bytes json, struct enroll_identity *ret, struct why *why) MUST_USE;

enum enroll_news {
    ENROLL_READY = 1, /* agent: enrolled, or resumed; read by enroll_agent_ready() */
    ENROLL_FAILED,    /* agent: it cannot start; text: why. The follower ends */
    ENROLL_IDENTITY,  /* agent: text: its identity as it is now, JSON */
    ENROLL_GATEWAY,   /* agent: text: public key, 32 bytes, and endpoint of the gateway that it
                         has from now on */
    ENROLL_RENEWED,   /* agent: it has a new token */
    ENROLL_ENDED,     /* agent: its identity has ended; text: in latticed's words */
    ENROLL_PEER,      /* gateway: text: the key, 32 bytes, and the document, JSON, of a
                         peer that is new or has changed */
    ENROLL_GONE,      /* gateway: text: the public key, 32 bytes, of a peer that may be no more */
    ENROLL_COMPLETE,  /* gateway: what came before is the whole present state */
    ENROLL_AWAY,      /* latticed does not answer, or refuses; text: why. Trying goes on */
    ENROLL_BACK,      /* latticed answers again */
    ENROLL_ALIVE, /* nothing new; comes at least every ENROLL_SILENCE_S, or the follower hangs */
};

struct enroll; /* one follower, from its owner's side */

/** How WireGuard keys are made and spelled; the owner has the crypto. */
struct enroll_keys {
    void (*generate)(uint8_t ret_private[static 32]);
    int (*public_of)(const uint8_t private_key[static 32], uint8_t ret[static 32]);
    int (*parse)(struct bytes text, uint8_t ret[static 32]);
    void (*print)(const uint8_t key[static 32], char ret[static ENROLL_KEY_TEXT_CAP]);
};

/** Borrowed until enroll_agent_start() has returned. */
struct enroll_agent_config {
    struct enroll_server server;
    struct enroll_keys keys;
    const char *name;
    const char *token; /* one-time; NULL or "": resume from the credentials */
    const char *dir;   /* for sandbox-credentials.json; NULL: as enroll_config_dir() says */
    unsigned renew_s;  /* 0: ENROLL_RENEW_S */
};

/** enroll_config_dir() - $LATTICE_CONFIG_DIR, or lattice below $XDG_CONFIG_HOME or ~/.config.
 * Errors: -ENOENT neither is an absolute path; -ENAMETOOLONG. */
int enroll_config_dir(char *ret, size_t cap, struct why *why) MUST_USE;

/** enroll_agent_start() - Fork the follower of a sandbox. It redeems the token, or renews from the
 * stored credentials when there are some of this name. */
int enroll_agent_start(const struct enroll_agent_config *config, struct enroll **ret,
                       struct why *why) MUST_USE;

#define ENROLL_TEXT_CAP 192u

/** What a sandbox needs to begin. */
struct enroll_agent {
    uint8_t private_key[32];
    uint8_t gateway_key[32];
    struct endpoint gateway;
    struct enroll_identity identity;
    char token_file[ENROLL_PATH_CAP]; /* holds the agent's JWT, replaced at each renewal */
    char nats_url[ENROLL_TEXT_CAP];   /* where records are published; "": nowhere */
    char nats_user[ENROLL_TEXT_CAP];
    char nats_password[ENROLL_TEXT_CAP];
    char nats_inbox[ENROLL_TEXT_CAP];
    char nats_workspace[ENROLL_TEXT_CAP];
    char trace_id[ENROLL_TEXT_CAP]; /* the parent's trace; "": none */
    char parent_span_id[ENROLL_TEXT_CAP];
};
void enroll_agent_done(struct enroll_agent *a);
/** enroll_agent_ready() - Wait (bounded) until the follower has enrolled. Errors: with @why. */
int enroll_agent_ready(struct enroll *e, const struct enroll_keys *keys, struct enroll_agent *ret,
                       struct why *why) MUST_USE;

struct enroll_gateway_config {
    struct enroll_server server;
    const char *token; /* the gateway's */
};
/** enroll_gateway_start() - Fork the follower of a gateway. It waits for enroll_announce(). */
int enroll_gateway_start(const struct enroll_gateway_config *config, struct enroll **ret,
                         struct why *why) MUST_USE;
/** enroll_announce() - Let latticed, and so the agents, know our public key and endpoint. */
int enroll_announce(struct enroll *e, const uint8_t public_key[static 32],
                    const struct endpoint *where) MUST_USE;

/** enroll_desk_start() - Fork the desk: it carries the agents' requests to delegate to latticed,
 * and nothing else. Of the functions below, enroll_fd() (readable: it is gone) and enroll_stop()
 * fit. */
int enroll_desk_start(const struct enroll_server *server, struct enroll **ret,
                      struct why *why) MUST_USE;
/** enroll_desk_open() - A new connection to the desk, for the agent @name of namespace @ns, whose
 * tunnel it came through: nobody else's token is taken there. A non-blocking stream socket; -errno.
 */
int enroll_desk_open(struct enroll *e, const char *ns, const char *name) MUST_USE;

/** enroll_pid() - The follower's process. */
int enroll_pid(const struct enroll *e);
/** enroll_fd() - Readable: enroll_read(). Borrowed, non-blocking. */
int enroll_fd(const struct enroll *e);
/** enroll_read() - The next message. @ret_text is borrowed until the next call.
 * Errors: -EAGAIN nothing (whole) yet; -EPIPE the follower is gone; -EBADMSG. */
int enroll_read(struct enroll *e, enum enroll_news *ret, struct bytes *ret_text) MUST_USE;
/** enroll_stop() - End the follower and wait for it. Accepts NULL. */
void enroll_stop(struct enroll *e);

#endif
