/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the MCP room: a gateway that stands between an MCP client and a stdio MCP server, and
 * holds every tool call against AllowedTools; and, further down, a server of the platform's own
 * tools. Sans-I/O: lines go in, lines and calls come out.
 *
 * Raw lines are passed on unchanged wherever nothing has to be changed, so that a revision of MCP
 * that this gateway has never heard of still works. What is judged:
 *
 *   tools/list   the answer loses the tools that the agent may not call (not in audit mode)
 *   tools/call   a tool that may not be called is answered as an unknown one; the server never
 *                sees the call
 *   the rest     only methods of the groups that were opened pass, in both directions
 *
 * Source: Model Context Protocol, revisions 2024-11-05 to 2026-07-28; JSON-RPC 2.0.
 *
 * Lifecycle: mcp_gateway_new → (mcp_gateway_from_client | mcp_gateway_from_server)* →
 * mcp_gateway_server_gone → mcp_gateway_free.
 */
#ifndef MCP_MCP_H
#define MCP_MCP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/must.h"
#include "base/rng.h"
#include "base/why.h"
#include "policy/identity.h"

#define MCP_LINE_MAX      (16u << 20) /* bytes of one message */
#define MCP_IN_FLIGHT_MAX 256u        /* requests of each side that wait for their answer */

/** What may pass besides the handshake and tools, which always do. */
enum mcp_group {
    MCP_RESOURCES = 1 << 0,   /* resources/… */
    MCP_PROMPTS = 1 << 1,     /* prompts/…, completion/… */
    MCP_SAMPLING = 1 << 2,    /* the server asks the client's model */
    MCP_ELICITATION = 1 << 3, /* the server asks the user */
    MCP_ROOTS = 1 << 4,       /* the server asks for the client's folders */
    MCP_TASKS = 1 << 5,       /* tasks/… */
};

/** mcp_group_parse() - The group called @name ("resources", …); -EINVAL none. */
int mcp_group_parse(struct bytes name, enum mcp_group *ret) MUST_USE;

enum mcp_call_status {
    MCP_CALL_OK = 0,  /* "ok" */
    MCP_CALL_ERROR,   /* "error": the server, or the tool, said so; or no answer will come */
    MCP_CALL_BLOCKED, /* "blocked": the server never saw it */
};
const char *mcp_call_status_name(enum mcp_call_status status);

/** A tools/call. All text is borrowed for the callback. */
struct mcp_call {
    const char *tool;
    struct bytes arguments; /* JSON text as the client wrote it; empty: none */
    enum mcp_call_status status;
    struct tool_answer answer;
    const char *error;   /* NULL when status is ok */
    int64_t duration_ns; /* 0 when blocked */
    uint64_t tag;        /* what call_begins said; 0 when blocked */
};

struct mcp_sink {
    void *self;
    /** A line to write, with its newline; borrowed for the call. */
    void (*to_client)(void *self, struct bytes line);
    void (*to_server)(void *self, struct bytes line);
    /** May a call that the policy allows be passed on? False when it could not be recorded. The tag
     * comes back when the call ends. */
    bool (*call_begins)(void *self, const char *tool, uint64_t *ret_tag);
    /** A tool call ended; a blocked one, too. */
    void (*call_ended)(void *self, const struct mcp_call *call);
};

struct mcp_gateway_config {
    const struct identity *identity; /* borrowed for the gateway's life; may change meanwhile */
    const char *ns;                  /* namespace in which tools are called; borrowed */
    unsigned groups;                 /* enum mcp_group bits that may pass */
};

struct mcp_gateway;

int mcp_gateway_new(const struct mcp_gateway_config *config, const struct mcp_sink *sink,
                    struct mcp_gateway **ret) MUST_USE;
/** mcp_gateway_free() - Accepts NULL. */
void mcp_gateway_free(struct mcp_gateway *g);

/** One line, without its newline. @now_s: seconds since 1970 UTC, for the identity's end. */
void mcp_gateway_from_client(struct mcp_gateway *g, struct bytes line, struct mono now,
                             int64_t now_s);
void mcp_gateway_from_server(struct mcp_gateway *g, struct bytes line, struct mono now,
                             int64_t now_s);
/** mcp_gateway_server_gone() - Answer and report everything that still waits. */
void mcp_gateway_server_gone(struct mcp_gateway *g, struct mono now);

struct mcp_gateway_counts {
    uint64_t calls;
    uint64_t blocked;
    uint64_t would_block; /* audit mode let it pass */
    uint64_t hidden;      /* tools cut from lists */
    uint64_t dropped;     /* messages of either side that are none, or that may not pass */
};
struct mcp_gateway_counts mcp_gateway_counts(const struct mcp_gateway *g);

/*
 * The platform's own tools (policy/toolset.h) as an MCP server, sans-I/O. Both eras of the protocol
 * are spoken, decided request by request: a request that carries the modern `_meta` keys is a
 * modern one, whatever came before; all others belong to the session that `initialize` began.
 *
 * A call that needs a person's approval is put before the user by elicitation where the client
 * offers it; else the answer names the approval, and who can give it.
 */
enum mcp_tool_end {
    MCP_TOOL_FAILED = 0, /* a sentence was written */
    MCP_TOOL_DONE,       /* the result was written, JSON */
    MCP_TOOL_PENDING,    /* the approval was written, a JSON object with member id */
};

struct mcp_backend {
    void *self;
    /** Carry out a call whose arguments fit (an object, JSON text); write what came of it. */
    enum mcp_tool_end (*call)(void *self, const char *tool, struct bytes arguments,
                              struct buf *ret);
    /** The user decided: DONE with the result, or FAILED. */
    enum mcp_tool_end (*decide)(void *self, const char *approval, bool is_approved,
                                struct buf *ret);
    /** A line for the client, with its newline; borrowed for the call. */
    void (*send)(void *self, struct bytes line);
};

struct mcp_server;

/** mcp_server_new() - @version: of this program; borrowed. @rng: for the key that seals what a
 * client carries for us between two requests. */
int mcp_server_new(const struct mcp_backend *backend, const char *version, struct rng rng,
                   struct mcp_server **ret) MUST_USE;
/** mcp_server_line() - One line of the client, without its newline. */
void mcp_server_line(struct mcp_server *s, struct bytes line, int64_t now_s);
/** mcp_server_too_long() - The client sent a line that is longer than MCP_LINE_MAX. */
void mcp_server_too_long(struct mcp_server *s);
/** mcp_server_free() - Accepts NULL. */
void mcp_server_free(struct mcp_server *s);

/*
 * Clients keep their servers in a JSON file, in an object "mcpServers".
 */
#define MCP_CONFIG_MAX (8u << 20) /* bytes of such a file */

struct mcp_wrap_options {
    const char *program;      /* path of lattice-mcp */
    const char *const *words; /* options for each gateway */
    unsigned word_count;
    const char *only; /* name of the one server to wrap; NULL: all */
};

/**
 * mcp_wrap() - Rewrite the file's @text so that its stdio servers run behind the gateway.
 * @options: NULL: the other way round. Servers that are wrapped already, servers without a command
 * and lattice-mcp itself stay as they are, and so does every byte that need not change.
 * @ret: the text is appended. @ret_changed: how many servers changed.
 * Errors: -EINVAL with @why: no strict JSON, or no mcpServers; -E2BIG; -EMSGSIZE; -ENOMEM.
 */
int mcp_wrap(struct bytes text, const struct mcp_wrap_options *options, struct buf *ret,
             unsigned *ret_changed, struct why *why) MUST_USE;

/*
 * The stdio transport: two descriptors toward the client, two toward the server, one loop.
 */
struct mcp_stdio;

struct mcp_stdio_config {
    struct loop *loop; /* borrowed */
    int client_in;     /* read: lines of the client. All four are borrowed and made non-blocking */
    int client_out;
    int server_in; /* write: lines for the server */
    int server_out;
    void *self;
    /** Nothing more will come: the server closed its output and all of it was passed on, or the
     * client no longer reads. Called once. */
    void (*ended)(void *self);
    /** The client closed its input: close server_in now, so that the server can end. */
    void (*client_ended)(void *self);
};

/** mcp_stdio_new() - Make the transport; mcp_stdio_start() ties a gateway to it. */
int mcp_stdio_new(const struct mcp_stdio_config *config, struct mcp_stdio **ret) MUST_USE;
int mcp_stdio_start(struct mcp_stdio *s, struct mcp_gateway *gateway) MUST_USE;
/** What a gateway's sink calls: queue a line for either side. */
void mcp_stdio_to_client(struct mcp_stdio *s, struct bytes line);
void mcp_stdio_to_server(struct mcp_stdio *s, struct bytes line);
/** mcp_stdio_free() - Accepts NULL. */
void mcp_stdio_free(struct mcp_stdio *s);

#endif
