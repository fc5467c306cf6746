/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the records of ended flows. They cannot undo anything any more, so a record that the
 * auditor does not take is said aloud; the session ends with the auditor anyway.
 */
#include "sandbox/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static const char *carrier_of(const struct session *s)
{
    return s->config->network == NETSTACK_TUNNEL ? "wireguard" : "direct";
}

static struct audit_record begin(struct session *s, const struct vsock *v,
                                 const struct flow_info *info, const char *protocol,
                                 const struct endpoint *dst)
{
    return (struct audit_record){
        .kind = AUDIT_FLOW,
        .wall_ns = wall_now_ns(),
        .verdict = "allow",
        .would_deny = info->would_deny,
        .mode = policy_mode_name(policy_get_mode(s->config->policy)),
        .direction = "egress",
        .protocol = protocol,
        .src = v->local,
        .dst = *dst,
        .name = info->name[0] != '\0' ? info->name : NULL,
        .rule = info->rule[0] != '\0' ? info->rule : NULL,
        .reason = policy_reason_name(info->reason),
        .parent_span_id = info->span[0] != '\0' ? info->span : NULL,
        .carrier = carrier_of(s),
        .pid = info->pid,
        .exe = info->exe,
    };
}

static void end(struct session *s, const struct audit_record *r)
{
    int err = audit_emit(s->audit, r);

    if (err < 0)
        log_warn("the record of an ended flow is lost", F_INT("errno", -err));
}

static void emit(struct session *s, const struct vsock *v, const char *protocol,
                 const struct endpoint *dst, uint64_t out, uint64_t in, int64_t duration_ns,
                 const char *error)
{
    struct audit_record r = begin(s, v, sock_info(s, v), protocol, dst);

    r.bytes_out = out;
    r.bytes_in = in;
    r.duration_ns = duration_ns;
    r.error = error;
    end(s, &r);
}

void records_flow(struct session *s, const struct vsock *v, int err, const struct flow_stats *stats)
{
    emit(s, v, "tcp", &v->remote, stats->bytes_out, stats->bytes_in, stats->duration_ns,
         err < 0 ? strerrorname_np(-err) : NULL);
}

void records_udp_end(struct session *s, const struct vsock *v)
{
    const struct endpoint *dst =
        v->state == VSOCK_CONNECTED || v->peer_next == 0 ? &v->remote : &v->peers[0].to;

    if (v->bytes_out == 0 && v->bytes_in == 0)
        return;
    emit(s, v, "udp", dst, v->bytes_out, v->bytes_in, loop_now(s->loop).ns - v->opened_at.ns, NULL);
}

void records_ping(struct session *s, const struct vsock *v, const struct ip *dst,
                  const struct flow_info *info, const struct ping_exchange *exchange)
{
    const struct endpoint to = {.ip = *dst};
    struct audit_record r = begin(s, v, info, "icmp", &to);
    char detail[96];

    (void)snprintf(detail, sizeof(detail), "echo: %" PRIu64 " requests, %" PRIu64 " replies",
                   exchange->requests, exchange->replies);
    r.bytes_out = exchange->bytes_out;
    r.bytes_in = exchange->bytes_in;
    r.duration_ns = exchange->duration_ns;
    r.detail = detail;
    end(s, &r);
}
