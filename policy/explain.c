/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers for people: the stable names of reasons, and what to change so that a denied destination
 * would be allowed.
 */
#include <stdio.h>

#include "policy/policy.h"

const char *policy_reason_name(enum policy_reason reason)
{
    static const char *const names[] = {
        [POLICY_NO_RULE] = "no_rule",      [POLICY_RULE] = "rule",
        [POLICY_BUILTIN] = "builtin",      [POLICY_NAME_UNPINNED] = "name_unpinned",
        [POLICY_FAILED] = "policy_failed",
    };

    must(reason < ARRAY_COUNT(names));
    return names[reason];
}

const char *policy_proto_name(enum policy_proto proto)
{
    static const char *const names[] = {
        [POLICY_TCP] = "tcp", [POLICY_UDP] = "udp", [POLICY_ICMP] = "icmp", [POLICY_UNIX] = "unix"};

    must(proto < ARRAY_COUNT(names));
    return names[proto];
}

const char *policy_mode_name(enum policy_mode mode)
{
    return mode == POLICY_AUDIT ? "audit" : "enforce";
}

/** The destination as the text of a rule. A name is suggested where a name would do. */
static void print_destination(const struct policy_request *req, const char *name, char *ret,
                              size_t cap)
{
    static const char *const schemes[] = {
        [POLICY_TCP] = "", [POLICY_UDP] = "udp://", [POLICY_ICMP] = "icmp://"};
    struct ip ip = ip_unmap(&req->dst.ip);
    bool is_v6 = name[0] == '\0' && ip.family == IP_V6;
    char host[POLICY_HOSTNAME_MAX + 1];
    char port[8] = "";

    if (name[0] != '\0')
        (void)snprintf(host, sizeof(host), "%s", name);
    else
        (void)ip_print(&ip, host);
    if (req->proto != POLICY_ICMP)
        (void)snprintf(port, sizeof(port), ":%u", req->dst.port);
    (void)snprintf(ret, cap, "%s%s%s%s%s", schemes[req->proto], is_v6 ? "[" : "", host,
                   is_v6 ? "]" : "", port);
}

void policy_suggest(const struct policy_request *req, const struct policy_answer *answer, char *ret,
                    size_t cap)
{
    char to[POLICY_RULE_TEXT_MAX + 1];
    bool by_address = answer->reason == POLICY_BUILTIN;

    ret[0] = '\0';
    if (!answer->would_deny || answer->reason == POLICY_FAILED)
        return;
    print_destination(req, by_address ? "" : answer->name, to, sizeof(to));
    if (answer->reason == POLICY_RULE)
        (void)snprintf(ret, cap, "remove the rule '%s': deny wins over every allow", answer->rule);
    else
        (void)snprintf(ret, cap, "--allow '%s'", to);
}

void policy_suggest_unix(const char *name, const struct policy_answer *answer, char *ret,
                         size_t cap)
{
    ret[0] = '\0';
    if (!answer->would_deny || answer->reason == POLICY_FAILED)
        return;
    if (answer->reason == POLICY_RULE)
        (void)snprintf(ret, cap, "remove the rule '%s': deny wins over every allow", answer->rule);
    else if (strlen(name) > POLICY_HOSTNAME_MAX)
        (void)snprintf(ret, cap, "a rule for a directory above it, --allow 'unix:/DIR/*'");
    else
        (void)snprintf(ret, cap, "--allow 'unix:%s'", name);
}
