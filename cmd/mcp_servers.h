/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MCP servers of a sandboxed agent (`lattice sandbox start --mcp FILE`): each server of an
 * mcpServers file runs outside, behind `lattice-mcp gateway --listen`, and the agent gets a copy of
 * the file in which every command is `lattice-mcp connect SOCKET`.
 *
 * Lifecycle: mcp_servers_start → the sandbox runs → mcp_servers_stop.
 */
#ifndef CMD_MCP_SERVERS_H
#define CMD_MCP_SERVERS_H

#include "audit/audit.h"
#include "base/must.h"
#include "base/nameset.h"
#include "base/why.h"
#include "policy/policy.h"

#define MCP_ENV_CONFIG "LATTICE_MCP_CONFIG" /* set for the agent: the path of its copy */

struct mcp_servers_config {
    const char *path;                  /* the mcpServers file */
    const char *agent;                 /* name of the agent in records */
    const char *audit_log;             /* the agent's, and so its servers' */
    const struct nameset *tools;       /* allowed tools, NULL: none */
    const struct policy_files *files;  /* of the agent: what its servers may use, too */
    const char *trace_id;              /* of the agent; NULL: each server has its own */
    const char *parent_span;           /* of the agent's sandbox; NULL: none */
    const char *namespace_id;          /* of the agent; NULL: "default" */
    const struct audit_stream *stream; /* where records are published, too; NULL: nowhere */
    bool is_audit;                     /* refuse no call, mark only */
};

struct mcp_servers;

/**
 * mcp_servers_start() - Start a gateway for each server of the file and wait until all listen.
 * Errors: -EINVAL the file is wrong (with its place); -errno a gateway does not start.
 */
int mcp_servers_start(const struct mcp_servers_config *config, struct mcp_servers **ret,
                      struct why *why) MUST_USE;
/** mcp_servers_give() - Let the agent reach the sockets by rules in @policy, and find its copy of
 * the file by this process's environment. */
int mcp_servers_give(const struct mcp_servers *s, struct policy *policy, struct why *why) MUST_USE;
/** mcp_servers_stop() - End the gateways, wait for their records, remove what was made. Accepts
 * NULL. */
void mcp_servers_stop(struct mcp_servers *s);

#endif
