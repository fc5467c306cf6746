/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which era of MCP a request belongs to. Legacy revisions (2024-11-05 to 2025-11-25) begin a
 * session with `initialize`; the modern one (2026-07-28) carries version and capabilities in the
 * `_meta` of each request and knows no session.
 */
#ifndef MCP_ERA_H
#define MCP_ERA_H

#include <stdbool.h>

#include "base/json_out.h"
#include "mcp/jsonrpc.h"

#define ERA_MODERN_VERSION "2026-07-28"

enum era {
    ERA_LEGACY = 0,
    ERA_MODERN,
    ERA_MODERN_UNKNOWN, /* a revision that we do not speak: answer RPC_UNKNOWN_VERSION */
    ERA_INVALID,        /* modern keys, but not all, or of the wrong type: RPC_INVALID_PARAMS */
};

struct era_of {
    enum era era;
    const char *version;            /* what the request asked for; NULL: nothing */
    const struct json *client_caps; /* ERA_MODERN; borrowed from the message */
};

struct era_of era_of_request(const struct rpc_message *m, struct why *why);

/** era_legacy_version() - The revision to answer `initialize` with: the client's, if we know it,
 * else our newest legacy one. */
const char *era_legacy_version(const char *asked);

/** era_write_supported() - The versions that we speak, as a JSON array. */
void era_write_supported(struct json_out *j);

#endif
