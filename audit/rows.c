/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the projection as JSON, with the field names of tool_spans and flow_events
 * (docs/audit.md); further keys are added, none is renamed.
 */
#include "audit/tree.h"

static void put_time(struct json_out *j, const char *key, int64_t wall_ns)
{
    char text[RFC3339_CAP];

    wall_print(wall_ns > 0 ? wall_ns : 0, text);
    json_put_str(j, key, text);
}

void audit_trace_json(const struct audit_trace_row *r, struct json_out *j)
{
    json_open_object(j);
    json_put_str(j, "traceId", r->trace_id);
    json_put_str(j, "agentId", r->agent);
    json_put_str(j, "parentId", r->parent);
    put_time(j, "startedAt", r->started_ns);
    put_time(j, "endedAt", r->ended_ns);
    json_put_u64(j, "spans", r->spans);
    json_put_u64(j, "failed", r->failed);
    json_put_u64(j, "flows", r->flows);
    json_put_u64(j, "dropped", r->dropped);
    json_put_u64(j, "bytesOut", r->bytes_out);
    json_put_u64(j, "bytesIn", r->bytes_in);
    json_close_object(j);
}

void audit_span_members(const struct audit_span_row *r, struct json_out *j)
{
    json_put_str(j, "id", r->id);
    json_put_str(j, "kind", r->kind);
    json_put_str(j, "traceId", r->trace_id);
    json_put_str(j, "spanId", r->span_id);
    json_put_str(j, "parentSpanId", r->parent_span_id);
    json_put_str(j, "agentId", r->agent);
    json_put_str(j, "parentId", r->parent);
    json_put_str(j, "namespace", r->namespace_id);
    json_put_str(j, "tool", r->tool);
    json_put_str(j, "status", r->status);
    json_put_str(j, "errorMsg", r->error);
    json_put_str(j, "reason", r->reason);
    json_put_str(j, "rule", r->rule);
    json_put_str(j, "mode", r->mode);
    put_time(j, "startedAt", r->started_ns);
    if (r->duration_ns >= 0) {
        json_put_i64(j, "durationMs", r->duration_ns / NS_PER_MS);
        if (r->kind[0] != 't') /* programs and sandboxes, not tools */
            json_put_i64(j, "exitStatus", r->exit_status);
    } else {
        json_put_bool(j, "running", true);
    }
    if (r->pid > 0)
        json_put_i64(j, "pid", r->pid);
    json_put_str(j, "exe", r->exe);
    if (r->arguments != NULL) {
        json_key(j, "arguments");
        json_raw(j, bytes_of_str(r->arguments));
    }
    json_put_str(j, "detail", r->detail);
}

void audit_span_json(const struct audit_span_row *r, struct json_out *j)
{
    json_open_object(j);
    audit_span_members(r, j);
    json_close_object(j);
}

void audit_flow_json(const struct audit_flow_row *r, struct json_out *j)
{
    json_open_object(j);
    json_put_str(j, "id", r->id);
    json_put_str(j, "kind", r->is_decision ? "decision" : "flow");
    json_put_str(j, "traceId", r->trace_id);
    json_put_str(j, "spanId", r->span_id);
    json_put_str(j, "agentId", r->agent);
    json_put_str(j, "direction", r->direction);
    json_put_str(j, "protocol", r->protocol);
    json_put_str(j, "srcIp", r->src_ip);
    if (r->src_port != 0)
        json_put_u64(j, "srcPort", r->src_port);
    json_put_str(j, "dstIp", r->dst_ip);
    json_put_u64(j, "dstPort", r->dst_port);
    json_put_str(j, "name", r->name);
    json_put_str(j, "verdict", r->verdict);
    if (r->would_deny)
        json_put_bool(j, "wouldDeny", true);
    json_put_str(j, "rule", r->rule);
    json_put_str(j, "reason", r->reason);
    json_put_str(j, "mode", r->mode);
    json_put_str(j, "carrier", r->carrier);
    json_put_str(j, "peer", r->peer);
    json_put_u64(j, "bytes", r->bytes_out + r->bytes_in);
    json_put_u64(j, "bytesOut", r->bytes_out);
    json_put_u64(j, "bytesIn", r->bytes_in);
    put_time(j, "ts", r->time_ns);
    if (r->duration_ns >= 0)
        json_put_i64(j, "durationMs", r->duration_ns / NS_PER_MS);
    json_put_str(j, "errorMsg", r->error);
    if (r->pid > 0)
        json_put_i64(j, "pid", r->pid);
    json_put_str(j, "exe", r->exe);
    json_close_object(j);
}
