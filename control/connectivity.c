/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may reach whom: the documents of a moment are turned into a policy, and the policy engine is
 * asked, port by port, so the answer is the one that the sandbox and the gateway would give.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/network.h"
#include "policy/policy.h"

#define RANGES_MAX 256u /* of ports, in one answer */

static const char *text_of(const struct json *v, const char *name)
{
    const char *text = "";

    (void)!json_read_str(json_get(v, name), &text); /* absent: "" */
    return text;
}

/** Does the policy select the peer? Its labels, and its name and namespace, are looked at. */
static bool selects(const struct json *policy, const struct json *peer)
{
    const struct json *want = json_get(json_get(policy, "peerSelector"), "matchLabels");
    const struct json *labels = json_get(peer, "labels");

    for (const struct json *l = json_first(want); l != NULL; l = json_next(l)) {
        const char *value = "";
        const struct json *has =
            strcmp(json_name(l), "name") == 0 || strcmp(json_name(l), "namespace") == 0
                ? json_get(peer, json_name(l))
                : json_get(labels, json_name(l));

        (void)!json_read_str(l, &value); /* it was checked when it was written */
        if (has == NULL || !json_is_str(has, value))
            return false;
    }
    return true;
}

static int add_policies(struct nameset *rules, const struct json *policies, const struct json *peer)
{
    int err = 0;

    for (const struct json *p = json_first(policies); p != NULL && err == 0; p = json_next(p)) {
        bool is_allow = json_is_str(json_get(p, "action"), "ALLOW");

        if (selects(p, peer) && (!is_allow || text_of(peer, "parent")[0] == '\0'))
            err = network_rule_add(rules, text_of(p, "network"), is_allow);
    }
    return err;
}

static int add_to_policy(struct policy *p, const struct nameset *rules)
{
    int err = 0;

    for (unsigned i = 0; i < rules->count && err == 0; i++) {
        bool is_allow = strncmp(rules->items[i], "allow ", 6) == 0;

        err = policy_add_rule(p, is_allow ? POLICY_RULE_ALLOW : POLICY_RULE_DENY,
                              bytes_of_str(rules->items[i] + (is_allow ? 6 : 5)), NULL);
    }
    return err;
}

/** The policies of change @seq as one document. */
static int read_policies(struct call *call, const char *ns, int64_t seq, struct json_doc **ret)
{
    struct json_limits limits = {.bytes = CALL_DATA_MAX};
    struct json_out j;
    struct buf text;
    int err;

    buf_init(&text, CALL_DATA_MAX);
    json_out_init(&j, &text);
    json_open_array(&j);
    err = store_state_write(call->c->store, ns, "policy", seq, &j);
    json_close_array(&j);
    if (err == 0)
        err = json_parse(buf_bytes(&text), &limits, ret, NULL);
    buf_done(&text);
    return err;
}

static int build_policy(struct call *call, const char *ns, int64_t seq, const struct json *peer,
                        struct policy **ret)
{
    struct json_doc *policies = NULL;
    struct policy *p = NULL;
    struct nameset rules;
    int err = read_policies(call, ns, seq, &policies);

    nameset_init(&rules, IDENTITY_DESTINATIONS_MAX + 16);
    for (const struct json *d = json_first(json_get(peer, "allowedDestinations"));
         d != NULL && err == 0; d = json_next(d)) {
        const char *text;

        err = json_read_str(d, &text);
        if (err == 0)
            err = nameset_add(&rules, bytes_of_str(text));
    }
    if (err == 0)
        err = add_policies(&rules, json_root(policies), peer);
    if (err == 0)
        err = policy_new(POLICY_ENFORCE, &p);
    if (err == 0)
        err = add_to_policy(p, &rules);
    nameset_done(&rules);
    json_free(policies);
    if (err < 0)
        policy_free(p);
    else
        *ret = p;
    return err;
}

/** Split "HOST", "HOST:PORT", "[V6]:PORT". @ret_port 0: none. */
static bool split_port(const char *to, char *ret_host, size_t cap, uint16_t *ret_port)
{
    const char *colon = strrchr(to, ':');
    bool is_v6 = to[0] == '[' || (colon != NULL && strchr(to, ':') != colon);
    size_t len = strlen(to);

    *ret_port = 0;
    if (to[0] == '[') {
        const char *end = strchr(to, ']');

        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        if (end[1] == ':' && (port_parse(bytes_of_str(end + 2), ret_port) < 0 || *ret_port == 0))
            return false;
        len = (size_t)(end - to) - 1;
        to++;
    } else if (colon != NULL && !is_v6) {
        if (port_parse(bytes_of_str(colon + 1), ret_port) < 0 || *ret_port == 0)
            return false;
        len = (size_t)(colon - to);
    }
    if (len == 0 || len >= cap)
        return false;
    memcpy(ret_host, to, len);
    ret_host[len] = '\0';
    return true;
}

/** The address of @host: its own, or that of the peer called so. */
static int find_address(struct call *call, const char *ns, int64_t seq, const char *host,
                        struct ip *ret)
{
    struct json_doc *peer = NULL;
    int err;

    if (ip_parse(bytes_of_str(host), ret) == 0)
        return 0;
    err = store_state_get(call->c->store, ns, "peer", host, seq, &peer);
    if (err == 0)
        err = ip_parse(bytes_of_str(text_of(json_root(peer), "address")), ret);
    json_free(peer);
    if (err < 0)
        call_fail(call, 404, "\"%.64s\" is neither an address nor a peer that has one", host);
    return err;
}

static void decide(const struct policy *p, const struct ip *ip, uint16_t port,
                   struct policy_answer *ret)
{
    struct policy_request req = {.proto = POLICY_TCP, .dst = {.ip = *ip, .port = port}};

    (void)!policy_decide(p, &req, ret); /* a failure is a denial */
}

static void write_one(struct json_out *j, const struct policy *p, const struct ip *ip,
                      uint16_t port)
{
    struct policy_answer a;

    decide(p, ip, port, &a);
    json_put_u64(j, "port", port);
    json_put_bool(j, "reachable", a.verdict == VERDICT_ALLOW);
    json_put_str(j, "reason", policy_reason_name(a.reason));
    json_put_str(j, "rule", a.rule[0] != '\0' ? a.rule : NULL);
}

static void write_range(struct json_out *j, uint32_t first, uint32_t last, const char *rule)
{
    json_open_object(j);
    json_put_u64(j, "from", first);
    json_put_u64(j, "to", last);
    json_put_str(j, "rule", rule);
    json_close_object(j);
}

/** All ports that may be reached, as ranges of one rule each. */
static void write_all(struct json_out *j, const struct policy *p, const struct ip *ip)
{
    struct policy_answer a, open = {.verdict = VERDICT_DENY};
    uint32_t first = 0;
    unsigned ranges = 0;

    json_key(j, "tcpPorts");
    json_open_array(j);
    for (uint32_t port = 1; port <= 65536; port++) {
        a.verdict = VERDICT_DENY;
        if (port <= 65535)
            decide(p, ip, (uint16_t)port, &a);
        if (open.verdict == VERDICT_ALLOW &&
            (a.verdict != VERDICT_ALLOW || strcmp(a.rule, open.rule) != 0)) {
            if (ranges++ < RANGES_MAX)
                write_range(j, first, port - 1, open.rule);
            open.verdict = VERDICT_DENY;
        }
        if (a.verdict == VERDICT_ALLOW && open.verdict != VERDICT_ALLOW) {
            open = a;
            first = port;
        }
    }
    json_close_array(j);
    json_put_bool(j, "reachable", ranges > 0);
    if (ranges > RANGES_MAX)
        json_put_u64(j, "moreRanges", ranges - RANGES_MAX);
}

static int judge(struct call *call, const char *ns, int64_t seq, const struct json *peer,
                 const char *to)
{
    struct json_out *j = &call->j;
    char host[POLICY_HOSTNAME_MAX + 1];
    char text[IP_TEXT_CAP];
    struct policy *p = NULL;
    uint16_t port;
    struct ip ip;
    int err;

    if (!split_port(to, host, sizeof(host), &port)) {
        call_fail(call, 400,
                  "argument \"to\" must be a peer's name or an address, with or without "
                  ":PORT");
        return -EINVAL;
    }
    err = find_address(call, ns, seq, host, &ip);
    if (err < 0)
        return err;
    err = build_policy(call, ns, seq, peer, &p);
    if (err < 0) {
        call_fail(call, 500, "the rules cannot be read");
        return err;
    }
    json_open_object(j);
    json_put_str(j, "from", text_of(peer, "name"));
    json_put_str(j, "to", to);
    json_put_str(j, "address", ip_print(&ip, text));
    if (port != 0)
        write_one(j, p, &ip, port);
    else
        write_all(j, p, &ip);
    json_close_object(j);
    policy_free(p);
    return 0;
}

int connectivity_write(struct call *call, const char *ns, int64_t seq, const char *from,
                       const char *to)
{
    struct json_doc *peer = NULL;
    int err = store_state_get(call->c->store, ns, "peer", from, seq, &peer);

    if (err == 0)
        err = judge(call, ns, seq, json_root(peer), to);
    else
        call_fail(call, err == -ENOENT ? 404 : 500, "there is no peer \"%.64s\"", from);
    json_free(peer);
    return err;
}
