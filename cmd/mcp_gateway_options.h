/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line of `lattice-mcp gateway` asks for, and the command line of the server's
 * sandbox that follows from it.
 */
#ifndef CMD_MCP_GATEWAY_OPTIONS_H
#define CMD_MCP_GATEWAY_OPTIONS_H

#include "audit/audit.h"
#include "base/must.h"
#include "cmd/nats_options.h"
#include "policy/identity.h"

#define MCP_GATEWAY_EXIT_FAILED 125
#define MCP_SERVER_ARGS_MAX     2048u
#define MCP_LOG_PATH_CAP        2048u

struct mcp_gateway_options {
    const char *name;
    const char *audit_log;
    char default_log[MCP_LOG_PATH_CAP]; /* where audit_log points when nothing was said */
    char trace_id[AUDIT_TRACE_CAP];
    char root_span[AUDIT_SPAN_CAP]; /* of this gateway: its calls and its server's sandbox are below
                                     */
    const char *parent_span;
    const char *ns;
    const char *label;
    struct nats_options nats;
    const char *listen; /* path of a socket, or NULL */
    unsigned groups;    /* enum mcp_group, or-ed */
    struct identity identity;
    const char *server_argv[MCP_SERVER_ARGS_MAX + 16]; /* `lattice sandbox start … -- SERVER …` */
    unsigned server_argc;
    char server_name[64];
    char cause_fd[12]; /* a word of server_argv; filled in when the server is started */
};

/** mcp_gateway_options_parse() - Read the command line into @o, whose identity is initialised and
 * whose name and ns have their defaults. Returns -1 to go on, or the exit status. */
int mcp_gateway_options_parse(struct mcp_gateway_options *o, int argc, char **argv) MUST_USE;

#endif
