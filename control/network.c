/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform's tools over what the store knows: lists, snapshots, and the changes that a person
 * has approved. A snapshot is a change's number in the history; nothing is copied for it.
 *
 * What a policy means: DENY takes a network away from the peers that it selects; ALLOW gives it to
 * them, but to roots only, because a child must never hold more than its parent handed down. Deny
 * wins over allow, as everywhere.
 */
#include "control/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const struct {
    const char *name;
    const char *help;
    const char *cidr;
    const char *host; /* of a rule */
} networks[] = {
    {"default", "The peers' own network, behind the gateway.", "10.100.0.0/16", "10.100.0.0/16"},
    {"internet", "Everything that a peer can reach.", "0.0.0.0/0", "*"},
};

bool network_exists(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(networks); i++)
        if (strcmp(networks[i].name, name) == 0)
            return true;
    return false;
}

int network_rule_add(struct nameset *to, const char *network, bool is_allow)
{
    static const struct {
        const char *scheme, *ports;
    } forms[] = {{"", ":*"}, {"udp://", ":*"}, {"icmp://", ""}};
    char text[64];
    int err = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(networks); i++) {
        if (strcmp(networks[i].name, network) != 0)
            continue;
        for (unsigned f = 0; f < ARRAY_COUNT(forms) && err == 0; f++) {
            (void)snprintf(text, sizeof(text), "%s %s%s%s", is_allow ? "allow" : "deny",
                           forms[f].scheme, networks[i].host, forms[f].ports);
            err = nameset_add(to, bytes_of_str(text));
        }
    }
    return err;
}

struct ruled {
    struct identity *id;
    int err;
};

static void add_rule(void *self, const char *network, bool is_allow)
{
    struct ruled *r = self;

    if (!is_allow || r->id->parent[0] == '\0')
        r->err = r->err < 0 ? r->err : network_rule_add(&r->id->destinations, network, is_allow);
}

void network_rules(struct control *c, struct identity *id)
{
    struct ruled r = {.id = id};

    if (store_policy_each(c->store, id->ns, id->name, add_rule, &r) < 0 || r.err < 0) {
        /* What cannot be read or said may hold a refusal: leave nothing. */
        nameset_done(&id->destinations);
        nameset_init(&id->destinations, IDENTITY_DESTINATIONS_MAX);
    }
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────
 */

static const char *text_arg(const struct json *args, const char *name)
{
    const char *text = "";

    (void)!json_read_str(json_get(args, name), &text); /* toolset_check() saw it; absent: "" */
    return text;
}

/** Close the array that the store wrote to; an error becomes an answer. */
static int end_list(struct call *call, int err)
{
    json_close_array(&call->j);
    if (err < 0)
        call_fail(call, 500, "the store cannot be read");
    return err;
}

static int list_peers(struct call *call, const char *ns, const struct json *args)
{
    (void)args;
    json_open_array(&call->j);
    return end_list(call, store_peers_write(call->c->store, ns, &call->j));
}

static int list_policies(struct call *call, const char *ns, const struct json *args)
{
    (void)args;
    json_open_array(&call->j);
    return end_list(call, store_policies_write(call->c->store, ns, &call->j));
}

static int list_networks(struct call *call, const char *ns, const struct json *args)
{
    struct json_out *j = &call->j;

    (void)ns;
    (void)args;
    json_open_array(j);
    for (unsigned i = 0; i < ARRAY_COUNT(networks); i++) {
        json_open_object(j);
        json_put_str(j, "name", networks[i].name);
        json_put_str(j, "description", networks[i].help);
        json_put_str(j, "cidr", networks[i].cidr);
        json_put_i64(j, "activePeers", store_count(call->c->store, IDENTITY_ACTIVE));
        json_close_object(j);
    }
    json_close_array(j);
    return 0;
}

static int check_connectivity(struct call *call, const char *ns, const struct json *args)
{
    return connectivity_write(call, ns, HISTORY_NOW, text_arg(args, "from"), text_arg(args, "to"));
}

static int read_when(struct call *call, const struct json *args, const char *name, int64_t *ret_s)
{
    int64_t ns;

    if (wall_parse(bytes_of_str(text_arg(args, name)), &ns) < 0) {
        call_fail(call, 400, "argument \"%s\" must be an RFC 3339 time", name);
        return -EINVAL;
    }
    *ret_s = ns / NS_PER_S;
    return 0;
}

static int list_snapshots(struct call *call, const char *ns, const struct json *args)
{
    int64_t from_s, to_s;

    if (read_when(call, args, "from", &from_s) < 0 || read_when(call, args, "to", &to_s) < 0)
        return -EINVAL;
    json_open_array(&call->j);
    return end_list(call, store_history_list(call->c->store, ns, from_s, to_s,
                                             text_arg(args, "triggerType"), &call->j));
}

/** A snapshot's number, if it is one of this namespace. */
static int read_snapshot(struct call *call, const char *ns, const struct json *args,
                         const char *name, int64_t *ret_seq)
{
    const char *text = text_arg(args, name);
    int64_t seq = 0;

    if (text[0] != '0' && strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text))
        seq = strtoll(text, NULL, 10);
    if (seq <= 0 || store_history_time(call->c->store, ns, seq) < 0) {
        call_fail(call, 404, "there is no snapshot \"%.64s\"; see list_snapshots", text);
        return -ENOENT;
    }
    *ret_seq = seq;
    return 0;
}

static int get_snapshot(struct call *call, const char *ns, const struct json *args)
{
    struct json_out *j = &call->j;
    int64_t seq;
    int err = read_snapshot(call, ns, args, "id", &seq);

    if (err < 0)
        return err;
    json_open_object(j);
    json_put_str(j, "id", text_arg(args, "id"));
    call_time(call, "createdAt", store_history_time(call->c->store, ns, seq));
    json_key(j, "peers");
    json_open_array(j);
    err = store_state_write(call->c->store, ns, "peer", seq, j);
    json_close_array(j);
    json_key(j, "policies");
    json_open_array(j);
    if (err == 0)
        err = store_state_write(call->c->store, ns, "policy", seq, j);
    err = end_list(call, err);
    json_close_object(j);
    return err;
}

static int diff_snapshots(struct call *call, const char *ns, const struct json *args)
{
    int64_t from, to;
    int err;

    if (read_snapshot(call, ns, args, "from_id", &from) < 0 ||
        read_snapshot(call, ns, args, "to_id", &to) < 0)
        return -ENOENT;
    json_open_array(&call->j);
    err = store_state_diff(call->c->store, ns, from, to, &call->j);
    return end_list(call, err);
}

static int check_connectivity_at(struct call *call, const char *ns, const struct json *args)
{
    int64_t seq;
    int err = read_snapshot(call, ns, args, "snapshot_id", &seq);

    return err < 0
               ? err
               : connectivity_write(call, ns, seq, text_arg(args, "from"), text_arg(args, "to"));
}

/* ── Changing ────────────────────────────────────────────────────────────────────────────────────
 */

static int write_done(struct call *call, const char *resource, const char *name, const char *change)
{
    json_open_object(&call->j);
    json_put_str(&call->j, "type", resource);
    json_put_str(&call->j, "name", name);
    json_put_str(&call->j, "change", change);
    json_close_object(&call->j);
    return 0;
}

/** A store's error as an answer. */
static int refuse_store(struct call *call, int err, const char *resource, const char *name)
{
    if (err == -EEXIST)
        call_fail(call, 409, "there is a %s \"%.64s\" already", resource, name);
    else if (err == -ENOENT)
        call_fail(call, 404, "there is no %s \"%.64s\"", resource, name);
    else if (err == -ENOSPC)
        call_fail(call, 409, "no more of this kind fit into the namespace");
    else
        call_fail(call, 500, "the change cannot be stored");
    return err;
}

static int check_names(struct call *call, const struct json *args)
{
    const char *network = text_arg(args, "network");

    if (identity_name_check(bytes_of_str(text_arg(args, "name"))) < 0) {
        call_fail(call, 400,
                  "argument \"name\" must be 1 to 63 of a-z, 0-9 and '-', not beginning or ending "
                  "with '-'");
        return -EINVAL;
    }
    if (!network_exists(network)) {
        call_fail(call, 404, "there is no network \"%.64s\"; see list_networks", network);
        return -ENOENT;
    }
    return 0;
}

/** Labels as they were written; "{}": none. */
static void copy_labels(const struct json *labels, struct buf *to)
{
    struct bytes text = json_text(labels);

    buf_init(to, CALL_BODY_MAX);
    if (labels == NULL)
        buf_add_str(to, "{}");
    else
        buf_add(to, text.data, text.len);
}

static int create_policy(struct call *call, const char *ns, const struct json *args)
{
    const char *name = text_arg(args, "name");
    struct buf labels;
    int err = check_names(call, args);

    if (err < 0)
        return err;
    copy_labels(json_get(json_get(args, "peerSelector"), "matchLabels"), &labels);
    err = buf_error(&labels);
    if (err == 0)
        err = store_policy_add(call->c->store, ns, name, text_arg(args, "network"),
                               text_arg(args, "action"), buf_text(&labels), call->now_s);
    buf_done(&labels);
    return err < 0 ? refuse_store(call, err, "policy", name)
                   : write_done(call, "policy", name, "created");
}

static int delete_policy(struct call *call, const char *ns, const struct json *args)
{
    const char *name = text_arg(args, "name");
    int err = store_policy_remove(call->c->store, ns, name);

    return err < 0 ? refuse_store(call, err, "policy", name)
                   : write_done(call, "policy", name, "removed");
}

static int create_peer(struct call *call, const char *ns, const struct json *args)
{
    struct announced_peer p = {.ns = ns,
                               .name = text_arg(args, "name"),
                               .network = text_arg(args, "network"),
                               .app_id = text_arg(args, "appId"),
                               .platform = text_arg(args, "platform")};
    struct buf labels;
    int err = check_names(call, args);

    if (err < 0)
        return err;
    copy_labels(json_get(args, "labels"), &labels);
    err = buf_error(&labels);
    p.labels = buf_text(&labels);
    if (err == 0)
        err = store_peer_announce(call->c->store, &p, call->now_s);
    buf_done(&labels);
    return err < 0 ? refuse_store(call, err, "peer", p.name)
                   : write_done(call, "peer", p.name, "announced");
}

static int delete_peer(struct call *call, const char *ns, const struct json *args)
{
    const char *name = text_arg(args, "name");
    int revoked = store_agent_revoke(call->c->store, ns, name, call->now_s);
    int forgotten = store_peer_forget(call->c->store, ns, name);

    if (forgotten < 0 || (revoked < 0 && revoked != -ENOENT))
        return refuse_store(call, -EIO, "peer", name);
    if (revoked <= 0 && forgotten == 0)
        return refuse_store(call, -ENOENT, "peer", name);
    if (revoked > 0)
        call->c->counters.revoked += (uint64_t)revoked;
    return write_done(call, "peer", name, "removed");
}

/* ── Plans ───────────────────────────────────────────────────────────────────────────────────────
 */

static int plan_network_change(struct call *call, const char *ns, const struct json *args)
{
    const struct json_limits limits = {.bytes = CALL_BODY_MAX};
    char id[ID_CAP];
    struct why why = {.text = ""};
    struct json_doc *doc = NULL;
    struct json_out changes;
    struct buf text;
    int err;

    buf_init(&text, CALL_BODY_MAX);
    json_out_init(&changes, &text);
    err = intent_parse(text_arg(args, "intent"), &changes, &why);
    if (err == 0 && json_parse(buf_bytes(&text), &limits, &doc, NULL) < 0)
        err = why_set(&why, -EINVAL, "a label stands twice in one statement");
    json_free(doc);
    if (err < 0) {
        call_fail(call, 400, "%s", why.text);
    } else {
        (void)snprintf(id, sizeof(id), "plan-%016llx", (unsigned long long)rng_u64(rng_system()));
        err = store_plan_add(call->c->store, ns, id, buf_text(&text), call->now_s);
        if (err < 0)
            (void)refuse_store(call, err, "plan", id);
    }
    if (err == 0) {
        json_open_object(&call->j);
        json_put_str(&call->j, "planId", id);
        json_key(&call->j, "changes");
        json_raw(&call->j, buf_bytes(&text));
        json_put_str(&call->j, "riskLevel",
                     strstr(buf_text(&text), "\"delete_") != NULL ? "high" : "medium");
        call_time(call, "expiresAt", call->now_s + PLAN_LIFE_S);
        json_close_object(&call->j);
    }
    buf_done(&text);
    return err;
}

static int apply_changes(struct call *call, const char *ns, const struct json *changes)
{
    int err = 0;

    json_open_array(&call->j);
    for (const struct json *c = json_first(changes); c != NULL && err == 0; c = json_next(c))
        err = network_run(call, text_arg(c, "tool"), ns, json_get(c, "arguments"));
    json_close_array(&call->j);
    return err;
}

static int apply_network_change(struct call *call, const char *ns, const struct json *args)
{
    const char *id = text_arg(args, "plan_id");
    struct json_doc *changes = NULL;
    int err = store_plan_get(call->c->store, ns, id, call->now_s, &changes);

    if (err == -ETIME)
        call_fail(call, 409, "plan \"%.64s\" has expired; make it again", id);
    else if (err == -EALREADY)
        call_fail(call, 409, "plan \"%.64s\" was applied before", id);
    else if (err < 0)
        (void)refuse_store(call, err, "plan", id);
    if (err == 0)
        err = store_plan_use(call->c->store, ns, id);
    if (err == 0)
        err = apply_changes(call, ns, json_root(changes));
    json_free(changes);
    return err;
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────────
 */

static const struct {
    const char *name;
    int (*run)(struct call *call, const char *ns, const struct json *args);
} tools[] = {
    {"list_peers", list_peers},
    {"list_policies", list_policies},
    {"list_networks", list_networks},
    {"check_connectivity", check_connectivity},
    {"list_snapshots", list_snapshots},
    {"get_snapshot", get_snapshot},
    {"diff_snapshots", diff_snapshots},
    {"check_connectivity_at", check_connectivity_at},
    {"create_policy", create_policy},
    {"delete_policy", delete_policy},
    {"create_peer", create_peer},
    {"delete_peer", delete_peer},
    {"plan_network_change", plan_network_change},
    {"apply_network_change", apply_network_change},
};

int network_run(struct call *call, const char *tool, const char *ns, const struct json *args)
{
    for (unsigned i = 0; i < ARRAY_COUNT(tools); i++)
        if (strcmp(tools[i].name, tool) == 0)
            return tools[i].run(call, ns, args);
    call_fail(call, 404, "there is no tool \"%.128s\" here", tool);
    return -ENOENT;
}
