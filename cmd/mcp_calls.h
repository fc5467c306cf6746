/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tool calls under way in a gateway, as spans. The sandbox of the server is told which span it
 * works for, before the server gets the call, so that what the server does meanwhile, its
 * connections and the programs that it starts, hangs below the call. With several calls under way
 * that is the one that began last.
 */
#ifndef CMD_MCP_CALLS_H
#define CMD_MCP_CALLS_H

#include "audit/audit.h"
#include "mcp/mcp.h"

struct mcp_calls {
    struct audit *audit; /* borrowed */
    int cause_in;        /* the sandbox's end of the pipe; ours, too, to make room; -1 */
    int cause_out;       /* -1 */
    uint64_t serial;
    struct mcp_calls_slot {
        uint64_t serial; /* 0: free */
        struct audit_span span;
    } slots[MCP_IN_FLIGHT_MAX];
};

/** mcp_calls_open() - Make the pipe. Returns 0 or -errno. */
int mcp_calls_open(struct mcp_calls *c) MUST_USE;
/** mcp_calls_close() - Accepts what was never opened, if both descriptors are -1. */
void mcp_calls_close(struct mcp_calls *c);

/** mcp_calls_begin() - A call begins: give it a span, and tell the sandbox. Returns its tag. */
uint64_t mcp_calls_begin(struct mcp_calls *c);
/** mcp_calls_end() - It ended; 0: it never began. Records the span; @outcome says how. Errors: as
 * audit_emit(). */
int mcp_calls_end(struct mcp_calls *c, uint64_t tag, const struct audit_record *outcome) MUST_USE;

#endif
