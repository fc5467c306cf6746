/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this agent reach that target? Answered by the policy engine itself, from the identity's list
 * of destinations; no packet is sent. Along the ports a list of rules changes its mind only where a
 * rule's range begins or ends, so judging one port of each stretch judges them all.
 *
 * For a host name the addresses are not known here: the answer holds for an address that no rule
 * names, and says so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/toolbox.h"
#include "policy/policy.h"

#define EDGES_MAX  (2u * IDENTITY_DESTINATIONS_MAX + 8u)
#define PORT_END   65536u
#define NAME_PIN_S 3600u

struct reach {
    struct tool_run *run;
    struct policy *policy;
    struct pins *pins; /* NULL: the target is an address */
    struct ip ip;
    uint32_t edges[EDGES_MAX]; /* first ports of the stretches, ascending */
    unsigned edge_count;
    bool is_reachable;
};

bool reach_split(const char *to, char *ret_host, size_t cap, uint16_t *ret_port)
{
    const char *colon = strrchr(to, ':');
    size_t len = strlen(to);
    struct ip ip;

    *ret_port = 0;
    if (to[0] == '[') {
        const char *end = strchr(to, ']');

        if (end == NULL ||
            (end[1] != '\0' && (end[1] != ':' || port_parse(bytes_of_str(end + 2), ret_port) < 0)))
            return false;
        to++;
        len = (size_t)(end - to);
    } else if (colon != NULL && ip_parse(bytes_of(to, len), &ip) < 0) { /* not a bare IPv6 */
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

static void add_edge(struct reach *r, uint32_t port)
{
    unsigned at = 0;

    while (at < r->edge_count && r->edges[at] < port)
        at++;
    if ((at < r->edge_count && r->edges[at] == port) || port >= PORT_END)
        return;
    must(r->edge_count < EDGES_MAX);
    memmove(&r->edges[at + 1], &r->edges[at], (r->edge_count - at) * sizeof(r->edges[0]));
    r->edges[at] = port;
    r->edge_count++;
}

/** The ends of a rule's range of ports: "…:N", "…:N-M" or "…:*". */
static void add_edges(struct reach *r, const char *rule)
{
    const char *ports = strrchr(rule, ':');
    char *end;
    unsigned long first;

    if (ports == NULL || ports[1] < '0' || ports[1] > '9')
        return;
    first = strtoul(ports + 1, &end, 10);
    add_edge(r, (uint32_t)first);
    if (*end == '-')
        first = strtoul(end + 1, NULL, 10);
    add_edge(r, (uint32_t)first + 1);
}

static void write_stretch(struct reach *r, enum policy_proto proto, uint32_t first, uint32_t last,
                          const struct policy_answer *a)
{
    struct json_out *j = r->run->out;
    char ports[16];

    (void)snprintf(ports, sizeof(ports), first == last ? "%u" : "%u-%u", first, last);
    json_open_object(j);
    json_put_str(j, "protocol", policy_proto_name(proto));
    json_put_str(j, "ports", ports);
    json_put_str(j, "verdict", a->verdict == VERDICT_ALLOW ? "allow" : "deny");
    if (a->would_deny)
        json_put_str(j, "wouldDeny", policy_reason_name(a->reason));
    json_put_str(j, "reason", policy_reason_name(a->reason));
    json_put_str(j, "rule", a->rule[0] != '\0' ? a->rule : NULL);
    json_close_object(j);
}

static void decide(struct reach *r, enum policy_proto proto, uint32_t port,
                   struct policy_answer *ret)
{
    struct policy_request req = {.proto = proto,
                                 .dst = {.ip = r->ip, .port = (uint16_t)port},
                                 .pins = r->pins,
                                 .now = {.ns = 0}};

    (void)!policy_decide(r->policy, &req, ret); /* a failure is a denial, and says so */
    r->is_reachable = r->is_reachable || ret->verdict == VERDICT_ALLOW;
}

/** Every stretch of ports that is allowed, neighbours with the same reason as one. */
static void write_open_ports(struct reach *r, enum policy_proto proto)
{
    struct policy_answer before = {.verdict = VERDICT_DENY};
    uint32_t first = 0;

    for (unsigned i = 0; i < r->edge_count; i++) {
        struct policy_answer a;

        decide(r, proto, r->edges[i], &a);
        if (a.verdict == before.verdict && a.would_deny == before.would_deny &&
            strcmp(a.rule, before.rule) == 0)
            continue;
        if (before.verdict == VERDICT_ALLOW)
            write_stretch(r, proto, first, r->edges[i] - 1, &before);
        before = a;
        first = r->edges[i];
    }
    if (before.verdict == VERDICT_ALLOW)
        write_stretch(r, proto, first, PORT_END - 1, &before);
}

/** The address that is judged; a name gets one that stands for "some address", tied to it. */
static bool find_target(struct reach *r, const char *host, const struct store_agent *to_agent)
{
    char name[POLICY_HOSTNAME_MAX + 1];

    if (to_agent != NULL) {
        r->ip = to_agent->address;
        return true;
    }
    if (ip_parse(bytes_of_str(host), &r->ip) == 0)
        return true;
    if (hostname_canonical(bytes_of_str(host), name) < 0)
        return tool_fail(r->run, 400,
                         "\"to\" must be an agent, an address or a host name, with or "
                         "without :PORT");
    if (pins_new(&r->pins) < 0)
        return tool_fail(r->run, 500, "out of memory");
    r->ip = ip_v4(203, 0, 113, 254); /* RFC 5737: nobody's */
    pins_add(r->pins, name, &r->ip, NAME_PIN_S, (struct mono){.ns = 0});
    return true;
}

static void write_answer(struct reach *r, uint16_t port)
{
    static const enum policy_proto protos[] = {POLICY_TCP, POLICY_UDP};
    struct json_out *j = r->run->out;
    char text[IP_TEXT_CAP];

    json_put_str(j, "address", r->pins == NULL ? ip_print(&r->ip, text) : NULL);
    if (r->pins != NULL)
        json_put_str(j, "note", "the address that the name has then is judged as well");
    json_put_str(j, "mode", policy_mode_name(policy_get_mode(r->policy)));
    json_key(j, "decisions");
    json_open_array(j);
    for (unsigned i = 0; i < ARRAY_COUNT(protos); i++) {
        struct policy_answer a;

        if (port == 0) {
            write_open_ports(r, protos[i]);
        } else {
            decide(r, protos[i], port, &a);
            write_stretch(r, protos[i], port, port, &a);
        }
    }
    json_close_array(j);
    json_put_bool(j, "reachable", r->is_reachable);
}

bool reach_write(struct tool_run *run, const struct store_agent *from, const char *to,
                 const struct store_agent *to_agent)
{
    struct reach r = {.run = run, .edges = {1}, .edge_count = 1};
    struct why why = {.text = ""};
    char host[POLICY_HOSTNAME_MAX + 1];
    uint16_t port;
    bool done;

    if (!reach_split(to, host, sizeof(host), &port))
        return tool_fail(run, 400, "\"to\" must be HOST or HOST:PORT");
    if (identity_policy(&from->identity.destinations, from->identity.enforcement, &r.policy, &why) <
        0)
        return tool_fail(run, 500, "the agent's rules cannot be read: %.120s", why.text);
    for (unsigned i = 0; i < policy_rule_count(r.policy); i++)
        add_edges(&r, policy_rule_text(r.policy, i));
    done = find_target(&r, host, to_agent);
    if (done)
        write_answer(&r, port);
    pins_free(r.pins);
    policy_free(r.policy);
    return done;
}
