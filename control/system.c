/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes about latticed itself: where things are, the public keys, health, and counters as
 * Prometheus reads them (text exposition 0.0.4).
 */
#include <stdio.h>
#include <string.h>

#include "control/call.h"
#include "control/openapi_json.h"

void system_discovery(struct call *call)
{
    struct json_out *j = &call->j;

    json_open_object(j);
    json_put_str(j, "nats_url", call->c->nats_url);
    json_put_str(j, "issuer", TOKEN_ISSUER);
    json_put_str(j, "jwks_uri", "/.well-known/jwks.json");
    json_put_str(j, "openapi", "/api/v1/openapi.json");
    json_close_object(j);
    call_data(call, 200);
}

void system_jwks(struct call *call)
{
    if (keyring_write_jwks(call->c->keys, &call->data) < 0) {
        call_fail(call, 500, "the keys cannot be written");
        return;
    }
    call->type = "application/jwk-set+json";
    call_data(call, 200);
}

void system_health(struct call *call)
{
    buf_add_str(&call->data, "ok\n");
    call->type = "text/plain";
    call_data(call, 200);
}

void system_ready(struct call *call)
{
    if (store_check(call->c->store) < 0) {
        call_fail(call, 503, "the database does not answer");
        return;
    }
    if (call->c->bus != NULL && !bus_counters(call->c->bus).is_subscribed) {
        call_fail(call, 503, "NATS does not answer yet");
        return;
    }
    system_health(call);
}

void system_openapi(struct call *call)
{
    buf_add(&call->data, openapi_json, sizeof(openapi_json));
    call->type = "application/json";
    call_data(call, 200);
}

static void write_metric(struct call *call, const char *name, const char *type, const char *help)
{
    buf_printf(&call->data, "# HELP lattice_%s %s\n# TYPE lattice_%s %s\n", name, help, name, type);
}

static void write_value(struct call *call, const char *name, const char *labels, uint64_t value)
{
    buf_printf(&call->data, "lattice_%s%s %llu\n", name, labels, (unsigned long long)value);
}

static void write_agents(struct call *call)
{
    char labels[32];

    write_metric(call, "agents", "gauge", "Identities by phase.");
    for (int i = IDENTITY_PENDING; i <= IDENTITY_REVOKED; i++) {
        enum identity_phase phase = (enum identity_phase)i;

        (void)snprintf(labels, sizeof(labels), "{phase=\"%s\"}", identity_phase_name(phase));
        write_value(call, "agents", labels, (uint64_t)store_count(call->c->store, phase));
    }
}

static void write_bus(struct call *call)
{
    struct bus_counters n = bus_counters(call->c->bus);

    write_metric(call, "stream_subscribed", "gauge", "1: records of the stream arrive here.");
    write_value(call, "stream_subscribed", "", n.is_subscribed ? 1 : 0);
    write_metric(call, "stream_messages_total", "counter", "Messages of the stream by outcome.");
    write_value(call, "stream_messages_total", "{outcome=\"taken\"}", n.taken);
    write_value(call, "stream_messages_total", "{outcome=\"refused\"}", n.refused);
    write_value(call, "stream_messages_total", "{outcome=\"failed\"}", n.failed);
}

void system_metrics(struct call *call)
{
    const struct control_counters *n = &call->c->counters;
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } totals[] = {
        {"http_requests_total", "Requests answered.", n->requests},
        {"http_refused_total", "Requests answered with a 4xx status.", n->refused},
        {"http_failed_total", "Requests answered with a 5xx status.", n->failed},
        {"http_limited_total", "Requests answered with 429: an agent asked too often.", n->limited},
        {"jwt_issued_total", "Access tokens issued to agents.", n->tokens_issued},
        {"agents_enrolled_total", "Agents enrolled.", n->enrolled},
        {"agents_delegated_total", "Enrolment tokens handed out by agents.", n->delegated},
        {"agents_revoked_total", "Agents revoked, with their descendants.", n->revoked},
    };
    const struct {
        const char *labels;
        uint64_t value;
    } calls[] = {
        {"{status=\"ok\"}", n->tools_ok},
        {"{status=\"error\"}", n->tools_error},
        {"{status=\"blocked\"}", n->tools_blocked},
    };

    char labels[32];

    write_metric(call, "build_info", "gauge", "Version of this program.");
    buf_printf(&call->data, "lattice_build_info{version=\"%s\"} 1\n", LATTICE_VERSION);
    write_agents(call);
    write_metric(call, "http_connections", "gauge", "Open connections.");
    write_value(call, "http_connections", "", http_server_connections(call->c->http));
    write_metric(call, "http_waiting", "gauge", "Requests that wait for a change.");
    write_value(call, "http_waiting", "", call->c->waiter_count);
    for (unsigned i = 0; i < ARRAY_COUNT(totals); i++) {
        write_metric(call, totals[i].name, "counter", totals[i].help);
        write_value(call, totals[i].name, "", totals[i].value);
    }
    write_metric(call, "store_faults_total", "counter",
                 "Requests refused because the database could not work, by cause.");
    for (int i = STORE_FULL; i < STORE_FAULTS; i++) {
        (void)snprintf(labels, sizeof(labels), "{cause=\"%s\"}",
                       store_fault_name((enum store_fault)i));
        write_value(call, "store_faults_total", labels, n->store_faults[i]);
    }
    if (call->c->bus != NULL)
        write_bus(call);
    write_metric(call, "tool_calls_total", "counter", "Tool calls over REST by outcome.");
    for (unsigned i = 0; i < ARRAY_COUNT(calls); i++)
        write_value(call, "tool_calls_total", calls[i].labels, calls[i].value);
    call->type = "text/plain; version=0.0.4";
    call_data(call, 200);
}
