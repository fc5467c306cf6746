/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC 2.0 messages, one to a line as MCP's stdio transport has them. Reading is strict
 * (base/json): a message that two parsers could understand differently is refused. Ids are kept as
 * the raw text that the sender wrote, so a number of any size or spelling comes back as it was.
 */
#ifndef MCP_JSONRPC_H
#define MCP_JSONRPC_H

#include "base/buf.h"
#include "base/json.h"
#include "base/must.h"

/* Error codes, JSON-RPC 2.0 section 5.1. */
#define RPC_PARSE_ERROR      (-32700)
#define RPC_INVALID_REQUEST  (-32600)
#define RPC_METHOD_NOT_FOUND (-32601)
#define RPC_INVALID_PARAMS   (-32602)
#define RPC_INTERNAL_ERROR   (-32603)
/* Of MCP 2026-07-28. */
#define RPC_UNKNOWN_VERSION (-32022)
/* Ours lie outside of the range that the specification reserves (-32768 … -32000). */
#define RPC_TOO_MANY    (-31001)
#define RPC_SERVER_GONE (-31002)
#define RPC_NO_RECORD   (-31003)

#define RPC_ID_MAX 128u /* bytes of an id as it was written */

enum rpc_kind {
    RPC_REQUEST = 0,  /* method and id */
    RPC_NOTIFICATION, /* method, no id */
    RPC_RESULT,       /* id and result */
    RPC_ERROR,        /* id (or null) and error */
};

struct rpc_message {
    enum rpc_kind kind;
    struct json_doc *doc;      /* owned; everything below is borrowed from it */
    const struct json *id;     /* a string or a number; NULL: none, or null in an RPC_ERROR */
    const char *method;        /* RPC_REQUEST, RPC_NOTIFICATION */
    const struct json *params; /* an object or array, or NULL */
    const struct json *result;
    const struct json *error;
};

/**
 * rpc_parse() - Read one message.
 * @line: borrowed, without its newline.
 * @ret:  end it with rpc_done() in any case; after a failure only its id may be looked at.
 * Returns 0, or RPC_PARSE_ERROR or RPC_INVALID_REQUEST with @why filled.
 */
int rpc_parse(struct bytes line, size_t line_max, struct rpc_message *ret,
              struct why *why) MUST_USE;
void rpc_done(struct rpc_message *m);

/** rpc_write_error_data() - The same with member data, JSON text. */
void rpc_write_error_data(struct buf *to, struct bytes id, int code, const char *message,
                          struct bytes data);
/** rpc_write_error() - Append an error response and its newline. @id: raw text; empty: null. */
void rpc_write_error(struct buf *to, struct bytes id, int code, const char *message);

#endif
