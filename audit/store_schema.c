/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans and flows are the data; a trace is what they add up to. Triggers keep one row a trace, so
 * that a list of traces reads as many rows as it shows and never groups all spans. Never change a
 * migration that was released.
 */
#include "audit/store_schema.h"

/* A trace's beginning and agent are those of its first span; a flow that comes before all spans
 * makes a row with spans = 0, which lists leave out until there is one. */
#define TRACE_OF_SPAN                                                                              \
    "INSERT INTO traces(trace_id, started_ns, ended_ns, agent, parent, spans, failed, flows, "     \
    "dropped, bytes_out, bytes_in) VALUES(new.trace_id, new.started_ns, new.started_ns + "         \
    "coalesce(new.duration_ns, 0), new.agent, new.parent, 1, new.status <> 'ok', 0, 0, 0, 0)"      \
    " ON CONFLICT(trace_id) DO UPDATE SET spans = spans + 1, failed = failed + excluded.failed,"   \
    " agent = CASE WHEN spans = 0 OR excluded.started_ns < started_ns THEN excluded.agent ELSE "   \
    "agent END, parent = CASE WHEN spans = 0 OR excluded.started_ns < started_ns THEN "            \
    "excluded.parent ELSE parent END, ended_ns = CASE WHEN spans = 0 THEN excluded.ended_ns ELSE " \
    "max(ended_ns, excluded.ended_ns) END, started_ns = CASE WHEN spans = 0 THEN "                 \
    "excluded.started_ns ELSE min(started_ns, excluded.started_ns) END;"

const char *const store_migrations[STORE_MIGRATIONS] = {
    "CREATE TABLE spans("
    " trace_id TEXT NOT NULL, span_id TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,"
    " parent_span_id TEXT, agent TEXT NOT NULL, parent TEXT, namespace TEXT, tool TEXT NOT NULL,"
    " status TEXT NOT NULL, error TEXT, reason TEXT, rule TEXT, mode TEXT, exe TEXT, arguments "
    "TEXT,"
    " detail TEXT, started_ns INTEGER NOT NULL, duration_ns INTEGER, pid INTEGER, exit_status "
    "INTEGER,"
    " is_ended INTEGER NOT NULL, PRIMARY KEY(trace_id, span_id)) STRICT;"
    "CREATE INDEX spans_by_start ON spans(started_ns, span_id);"
    "CREATE INDEX spans_by_agent ON spans(agent, started_ns);"
    "CREATE INDEX spans_by_parent ON spans(parent) WHERE parent IS NOT NULL;"
    "CREATE TABLE flows("
    " id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT, agent TEXT NOT NULL,"
    " is_decision INTEGER NOT NULL, time_ns INTEGER NOT NULL, duration_ns INTEGER, direction TEXT,"
    " protocol TEXT, src_ip TEXT, src_port INTEGER, dst_ip TEXT, dst_port INTEGER, name TEXT,"
    " verdict TEXT NOT NULL, would_deny INTEGER NOT NULL, rule TEXT, reason TEXT, mode TEXT, "
    "carrier TEXT,"
    " peer TEXT, error TEXT, exe TEXT, pid INTEGER, bytes_out INTEGER, bytes_in INTEGER) STRICT;"
    "CREATE INDEX flows_by_trace ON flows(trace_id, time_ns);"
    "CREATE INDEX flows_by_time ON flows(time_ns, id);"
    "CREATE INDEX flows_by_agent ON flows(agent, time_ns);"
    "CREATE TABLE sources(path TEXT PRIMARY KEY, device INTEGER NOT NULL, inode INTEGER NOT NULL,"
    " offset INTEGER NOT NULL) STRICT;",
    "CREATE TABLE traces(trace_id TEXT PRIMARY KEY, started_ns INTEGER NOT NULL,"
    " ended_ns INTEGER NOT NULL, agent TEXT NOT NULL, parent TEXT, spans INTEGER NOT NULL,"
    " failed INTEGER NOT NULL, flows INTEGER NOT NULL, dropped INTEGER NOT NULL,"
    " bytes_out INTEGER NOT NULL, bytes_in INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE trace_agents(agent TEXT NOT NULL, trace_id TEXT NOT NULL,"
    " PRIMARY KEY(agent, trace_id)) STRICT, WITHOUT ROWID;"
    "INSERT INTO traces SELECT trace_id, min(started_ns), max(started_ns + coalesce(duration_ns, "
    "0)), '', NULL, count(*), sum(status <> 'ok'), 0, 0, 0, 0 FROM spans GROUP BY trace_id;"
    "UPDATE traces SET (agent, parent) = (SELECT agent, parent FROM spans s WHERE s.trace_id = "
    "traces.trace_id ORDER BY started_ns, span_id LIMIT 1);"
    "INSERT INTO traces SELECT trace_id, min(time_ns), 0, '', NULL, 0, 0, sum(NOT is_decision),"
    " sum(verdict = 'drop'), coalesce(sum(bytes_out), 0), coalesce(sum(bytes_in), 0) FROM flows"
    " WHERE true GROUP BY trace_id ON CONFLICT(trace_id) DO UPDATE SET flows = excluded.flows,"
    " dropped = excluded.dropped, bytes_out = excluded.bytes_out, bytes_in = excluded.bytes_in;"
    "INSERT INTO trace_agents SELECT DISTINCT agent, trace_id FROM spans;"
    "CREATE INDEX traces_by_start ON traces(started_ns, trace_id);"
    "DROP INDEX spans_by_agent; DROP INDEX flows_by_agent; DROP INDEX flows_by_trace;"
    "CREATE INDEX spans_by_agent ON spans(agent, started_ns, span_id);"
    "CREATE INDEX spans_by_trace ON spans(trace_id, started_ns, span_id);"
    "CREATE INDEX sessions_by_agent ON spans(agent, started_ns) WHERE kind = 'sandbox';"
    "CREATE INDEX flows_by_agent ON flows(agent, time_ns, id);"
    "CREATE INDEX flows_by_trace ON flows(trace_id, time_ns, id);"
    "CREATE TRIGGER span_added AFTER INSERT ON spans BEGIN " TRACE_OF_SPAN
    " INSERT INTO trace_agents VALUES(new.agent, new.trace_id) ON CONFLICT DO NOTHING; END;"
    "CREATE TRIGGER span_changed AFTER UPDATE ON spans BEGIN UPDATE traces SET failed = failed + "
    "(new.status <> 'ok') - (old.status <> 'ok'), ended_ns = max(ended_ns, new.started_ns + "
    "coalesce(new.duration_ns, 0)), started_ns = min(started_ns, new.started_ns) WHERE trace_id = "
    "new.trace_id; END;"
    "CREATE TRIGGER flow_added AFTER INSERT ON flows BEGIN INSERT INTO traces VALUES(new.trace_id,"
    " new.time_ns, new.time_ns, new.agent, NULL, 0, 0, NOT new.is_decision, new.verdict = 'drop',"
    " coalesce(new.bytes_out, 0), coalesce(new.bytes_in, 0)) ON CONFLICT(trace_id) DO UPDATE SET"
    " flows = flows + excluded.flows, dropped = dropped + excluded.dropped,"
    " bytes_out = bytes_out + excluded.bytes_out, bytes_in = bytes_in + excluded.bytes_in; END;",
};
