/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An mcpServers file: which servers there are to start, and which files each may use. An entry's
 * member "lattice" is ours; clients pass over what they do not know.
 *
 *   "notes": { "command": "notes-server", "args": [], "env": {},
 *              "lattice": { "files": { "mode": "workspace", "read": ["~/notes"] } } }
 */
#ifndef CMD_MCP_FILE_H
#define CMD_MCP_FILE_H

#include "base/json.h"
#include "base/must.h"
#include "base/why.h"
#include "policy/policy.h"

#define MCP_SERVERS_MAX     16u
#define MCP_SERVER_NAME_MAX 40u /* so that a socket's path fits into its 107 bytes */

struct mcp_file {
    struct json_doc *doc; /* owned */
    struct mcp_entry {
        const struct json
            *json;            /* within doc: its command is a string, args and env are of strings */
        struct policy *files; /* owned; its files are what the entry says, and the agent's mode */
    } entries[MCP_SERVERS_MAX]; /* those with a command */
    unsigned count;
};

/** mcp_file_load() - Read @path. @agent: the file policy of servers that say nothing about mode.
 * Errors: -EINVAL the file is wrong (with its place); -errno of reading. @ret is to be done also
 * then. */
int mcp_file_load(const char *path, const struct policy_files *agent, struct mcp_file *ret,
                  struct why *why) MUST_USE;
void mcp_file_done(struct mcp_file *f);

#endif
