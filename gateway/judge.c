/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this peer reach that? Our own policy and the peer's decide; each judgement is recorded before
 * it takes effect, and one that cannot be recorded is a refusal.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "gateway/inside.h"

/** The agent behind the peer, for records; NULL: not known. */
static const char *agent_of(const struct peer *p)
{
    return p->name[0] != '\0' ? p->name : NULL;
}
static const char *proto_name(enum policy_proto proto)
{
    return policy_proto_name(proto);
}
static void decide_by(const struct policy *policy, const struct policy_request *request,
                      struct policy_answer *ret)
{
    if (policy_decide(policy, request, ret) < 0)
        *ret = (struct policy_answer){.reason = POLICY_FAILED};
}

/** Our own policy decides; about an enrolled peer its own must allow it as well, and ours bounds it
 * only when it has rules. Returns the policy that the answer is from. */
static const struct policy *decide(const struct gateway *g, const struct peer *peer,
                                   const struct policy_request *request, struct policy_answer *ret)
{
    if (!peer->is_enrolled || policy_rule_count(g->policy) > 0)
        decide_by(g->policy, request, ret);
    else
        *ret = (struct policy_answer){.verdict = VERDICT_ALLOW};
    if (!peer->is_enrolled || ret->verdict != VERDICT_ALLOW)
        return g->policy;
    decide_by(peer->policy, request, ret);
    return peer->policy;
}

int gateway_judge(struct gateway *g, enum policy_proto proto, const struct netstack_inbound *who,
                  const struct peer *peer, char ret_rule[static POLICY_RULE_TEXT_MAX + 8])
{
    struct policy_request request = {
        .proto = proto, .dst = who->dst, .pins = peer->pins, .now = loop_now(g->loop)};
    struct policy_answer answer;
    const struct policy *policy = decide(g, peer, &request, &answer);
    struct audit_record record = {.kind = AUDIT_DECISION,
                                  .wall_ns = wall_now_ns(),
                                  .identity = agent_of(peer),
                                  .namespace_id = peer->ns[0] != '\0' ? peer->ns : NULL,
                                  .mode = policy_mode_name(policy_get_mode(policy)),
                                  .direction = "egress",
                                  .protocol = proto_name(proto),
                                  .src = who->src,
                                  .dst = who->dst,
                                  .peer = peer->text,
                                  .carrier = "wireguard",
                                  .duration_ns = -1};
    bool allowed;

    allowed = answer.verdict == VERDICT_ALLOW;
    record.verdict = allowed ? "allow" : "drop";
    record.would_deny = answer.would_deny;
    record.rule = answer.rule[0] != '\0' ? answer.rule : NULL;
    record.reason = policy_reason_name(answer.reason);
    record.name = answer.name[0] != '\0' ? answer.name : NULL;
    memcpy(ret_rule, answer.rule, sizeof(answer.rule));
    if (g->audit != NULL && audit_emit(g->audit, &record) < 0)
        return -EACCES; /* what cannot be recorded is not carried */
    if (!allowed || answer.would_deny) {
        char dst[ENDPOINT_TEXT_CAP], option[POLICY_RULE_TEXT_MAX + 32];

        (void)(proto == POLICY_ICMP ? ip_print(&who->dst.ip, dst) : endpoint_print(&who->dst, dst));
        policy_suggest(&request, &answer, option, sizeof(option));
        log_info(allowed ? "would refuse" : "refused", F_STR("peer", peer->text),
                 F_STR("protocol", record.protocol), F_STR("dst", dst),
                 F_STR("reason", record.reason), F_STR("rule", answer.rule),
                 F_STR("to allow", option));
    }
    return allowed ? 0 : -EACCES;
}

/** How a flow ended, for the record; NULL in order. */
static const char *error_name(int err)
{
    return err == 0 ? NULL : strerrorname_np(-err);
}

void gateway_record_flow(struct gateway *g, enum policy_proto proto,
                         const struct netstack_inbound *who, const struct peer *peer,
                         const char *rule, int err, const struct flow_stats *stats)
{
    struct audit_record record = {.kind = AUDIT_FLOW,
                                  .wall_ns = wall_now_ns(),
                                  .identity = agent_of(peer),
                                  .namespace_id = peer->ns[0] != '\0' ? peer->ns : NULL,
                                  .verdict = "allow",
                                  .direction = "egress",
                                  .protocol = proto_name(proto),
                                  .src = who->src,
                                  .dst = who->dst,
                                  .rule = rule[0] != '\0' ? rule : NULL,
                                  .peer = peer->text,
                                  .carrier = "wireguard",
                                  .bytes_out = stats->bytes_out,
                                  .bytes_in = stats->bytes_in,
                                  .duration_ns = stats->duration_ns,
                                  .error = error_name(err)};

    if (g->audit != NULL && audit_emit(g->audit, &record) < 0)
        log_warn("a closed flow could not be recorded", F_STR("peer", peer->text));
}
bool gateway_still_allows(const struct gateway *g, enum policy_proto proto, const struct peer *peer,
                          const struct endpoint *dst)
{
    struct policy_request request = {
        .proto = proto, .dst = *dst, .pins = peer->pins, .now = loop_now(g->loop)};
    struct policy_answer answer;

    (void)decide(g, peer, &request, &answer);
    return answer.verdict == VERDICT_ALLOW;
}

int gateway_record_own(struct gateway *g, const struct netstack_inbound *who,
                       const struct peer *peer, bool allowed)
{
    struct audit_record record = {.kind = AUDIT_DECISION,
                                  .wall_ns = wall_now_ns(),
                                  .identity = agent_of(peer),
                                  .namespace_id = peer->ns[0] != '\0' ? peer->ns : NULL,
                                  .verdict = allowed ? "allow" : "drop",
                                  .mode = policy_mode_name(POLICY_ENFORCE),
                                  .direction = "egress",
                                  .protocol = "tcp",
                                  .src = who->src,
                                  .dst = who->dst,
                                  .reason = "builtin",
                                  .peer = peer->text,
                                  .carrier = "wireguard",
                                  .duration_ns = -1,
                                  .detail = "the tunnels' own network"};

    return g->audit != NULL ? audit_emit(g->audit, &record) : 0;
}

static void decide_name_by(const struct policy *policy, const char *name, struct policy_answer *ret)
{
    if (policy_decide_name(policy, bytes_of_str(name), ret) < 0)
        *ret = (struct policy_answer){.reason = POLICY_FAILED};
}

int gateway_judge_name(struct gateway *g, const struct netstack_inbound *who,
                       const struct peer *peer, const char *name)
{
    const struct policy *policy = peer->policy;
    struct policy_answer answer = {.verdict = VERDICT_ALLOW};
    struct audit_record record = {.kind = AUDIT_DECISION,
                                  .wall_ns = wall_now_ns(),
                                  .identity = agent_of(peer),
                                  .namespace_id = peer->ns[0] != '\0' ? peer->ns : NULL,
                                  .direction = "egress",
                                  .protocol = "dns",
                                  .src = who->src,
                                  .dst = who->dst,
                                  .name = name,
                                  .peer = peer->text,
                                  .carrier = "wireguard",
                                  .duration_ns = -1};

    if (policy_rule_count(g->policy) > 0) {
        decide_name_by(g->policy, name, &answer);
        policy = g->policy;
    }
    if (answer.verdict == VERDICT_ALLOW) {
        decide_name_by(peer->policy, name, &answer);
        policy = peer->policy;
    }
    record.mode = policy_mode_name(policy_get_mode(policy));
    record.verdict = answer.verdict == VERDICT_ALLOW ? "allow" : "drop";
    record.would_deny = answer.would_deny;
    record.rule = answer.rule[0] != '\0' ? answer.rule : NULL;
    record.reason = policy_reason_name(answer.reason);
    if (g->audit != NULL && audit_emit(g->audit, &record) < 0)
        return -EACCES;
    return answer.verdict == VERDICT_ALLOW ? 0 : -EACCES;
}

bool gateway_judge_answer(const struct gateway *g, const struct peer *peer, const struct ip *ip)
{
    struct policy_request request = {.dst = {.ip = *ip}, .now = loop_now(g->loop)};
    struct policy_answer answer;

    (void)decide(g, peer, &request, &answer);
    return answer.reason != POLICY_BUILTIN;
}
