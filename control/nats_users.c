/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each agent's user at our nats-server. It may publish on its own two subjects and hear the answers
 * to that, nothing else: it cannot read the stream, nor write in another agent's name. Passwords
 * are derived from a secret in the data directory and the agent's public key, so none is stored,
 * and who enrols under a name again gets another one. An agent that has ended keeps its user for a
 * while: its last records are wanted.
 */
#include <stdio.h>
#include <string.h>

#include "base/wipe.h"
#include "control/call.h"

#define GRACE_S   600
#define USERS_MAX (8u << 20) /* bytes of configuration */

static void user_name(const struct store_agent *a, char ret[static NATS_USER_CAP])
{
    (void)snprintf(ret, NATS_USER_CAP, "%s.%s", a->identity.ns, a->identity.name);
}

/** An outer hash, so that the length of what is hashed cannot be extended. */
static int derive_password(const uint8_t secret[static HASH_LEN], const struct store_agent *a,
                           char ret[static HASH_HEX_LEN + 1])
{
    char user[NATS_USER_CAP];
    uint8_t hash[HASH_LEN];
    struct bytes parts[3] = {bytes_of(secret, HASH_LEN), bytes_of(a->public_key, 32)};
    int err;

    user_name(a, user);
    parts[2] = bytes_of_str(user);
    err = hash_sha256(parts, 3, hash);
    parts[1] = bytes_of(hash, HASH_LEN);
    if (err == 0)
        err = hash_sha256(parts, 2, hash);
    if (err == 0)
        hash_hex(hash, ret);
    wipe(hash, sizeof(hash));
    return err;
}

struct listing {
    const uint8_t *secret;
    struct buf *text;
    int64_t now_s;
    int64_t last;
    unsigned rows;
    bool has_ended; /* one whose user will be taken away later */
};

static void add_user(void *self, const struct store_agent *a)
{
    struct listing *l = self;
    char password[HASH_HEX_LEN + 1];
    const char *ns = a->identity.ns;
    const char *name = a->identity.name;

    l->last = a->id;
    l->rows++;
    if (!a->has_public_key || (a->ended_s != 0 && a->ended_s + GRACE_S <= l->now_s))
        return;
    l->has_ended = l->has_ended || a->ended_s != 0;
    if (derive_password(l->secret, a, password) < 0)
        return;
    buf_printf(l->text,
               "  { user: \"%s.%s\", password: \"%s\", permissions: {\n"
               "    publish: [\"lattice.%s.tool_spans.%s\", \"lattice.%s.flow_events.%s\"],\n"
               "    subscribe: [\"" NATS_INBOX ".%s.%s.>\"] } }\n",
               ns, name, password, ns, name, ns, name, ns, name);
    wipe(password, sizeof(password));
}

static void on_grace_over(void *self, struct mono now)
{
    struct control *c = self;

    (void)now;
    c->nats_epoch = 0;
    nats_users_follow(c);
}

void nats_users_follow(struct control *c)
{
    struct store_agent_filter f = {.limit = STORE_PAGE_MAX};
    struct buf text;
    struct listing l = {.text = &text, .now_s = wall_now_ns() / NS_PER_S};
    int64_t epoch;
    int err = 0;

    if (c->config.nats == NULL)
        return;
    epoch = store_epoch(c->store);
    if (epoch == c->nats_epoch)
        return;
    l.secret = control_nats_secret(c->config.nats);
    buf_init(&text, USERS_MAX);
    do {
        f.after = l.last;
        l.rows = 0;
        err = store_agent_list(c->store, &f, add_user, &l);
    } while (err == 0 && l.rows == f.limit);
    if (err == 0)
        err = buf_error(&text);
    if (err == 0)
        control_nats_set_users(c->config.nats, buf_bytes(&text));
    if (err == 0)
        c->nats_epoch = epoch;
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    c->nats_grace = (struct loop_timer){.expired = on_grace_over,
                                        .self = c,
                                        .at = c->nats_grace.at,
                                        .index_ = c->nats_grace.index_};
    if (l.has_ended)
        (void)!loop_timer_set(c->config.loop, &c->nats_grace,
                              mono_add_ns(mono_now(), (GRACE_S + 1) * NS_PER_S));
}

bool nats_users_has(void *self, const char *workspace, const char *agent)
{
    struct control *c = self;
    struct store_agent a;
    bool has;

    if (c->config.nats == NULL || store_agent_get(c->store, workspace, agent, &a) < 0)
        return false;
    has = a.has_public_key;
    store_agent_done(&a);
    return has;
}

void call_nats(struct call *call, const struct store_agent *a)
{
    const struct control_nats *n = call->c->config.nats;
    struct json_out *j = &call->j;
    char password[HASH_HEX_LEN + 1];
    char user[NATS_USER_CAP];
    char inbox[sizeof(NATS_INBOX) + NATS_USER_CAP];

    if (n == NULL || !a->has_public_key || derive_password(control_nats_secret(n), a, password) < 0)
        return;
    user_name(a, user);
    (void)snprintf(inbox, sizeof(inbox), "%s.%s", NATS_INBOX, user);
    json_key(j, "nats");
    json_open_object(j);
    json_put_str(j, "url", call->c->nats_url);
    json_put_str(j, "user", user);
    json_put_str(j, "password", password);
    json_put_str(j, "inbox", inbox);
    json_put_str(j, "workspace", a->identity.ns);
    json_close_object(j);
    wipe(password, sizeof(password));
}
