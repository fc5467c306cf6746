/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the four kinds of message apart, and refuses what is none of them. Batches (arrays), which
 * one revision of MCP knew and the next removed, are refused: a gateway that judges calls one by
 * one has no answer for half a batch.
 */
#include "mcp/jsonrpc.h"

#include <errno.h>

#include "base/json_out.h"

static bool is_id(const struct json *v)
{
    enum json_type type = json_type(v);

    return (type == JSON_STRING || type == JSON_NUMBER) && json_text(v).len <= RPC_ID_MAX;
}

static int invalid(struct why *why, const char *what)
{
    (void)why_set(why, -EINVAL, "%s", what);
    return RPC_INVALID_REQUEST;
}

static int read_call(struct rpc_message *m, const struct json *root, struct why *why)
{
    enum json_type params = json_type(m->params);

    if (json_read_str(json_get(root, "method"), &m->method) < 0)
        return invalid(why, "method must be a string");
    if (params != JSON_NONE && params != JSON_OBJECT && params != JSON_ARRAY)
        return invalid(why, "params must be an object or an array");
    if (m->result != NULL || m->error != NULL)
        return invalid(why, "a message has either method, or result, or error");
    if (json_get(root, "id") == NULL) {
        m->kind = RPC_NOTIFICATION;
        return 0;
    }
    if (m->id == NULL)
        return invalid(why, "id must be a string or a number of at most 128 bytes");
    m->kind = RPC_REQUEST;
    return 0;
}

static int read_response(struct rpc_message *m, const struct json *root, struct why *why)
{
    if ((m->result != NULL) == (m->error != NULL))
        return invalid(why, "a message has either method, or result, or error");
    m->kind = m->result != NULL ? RPC_RESULT : RPC_ERROR;
    if (m->id == NULL && (m->kind == RPC_RESULT || json_type(json_get(root, "id")) != JSON_NULL))
        return invalid(why, "a response needs the id of its request");
    return 0;
}

int rpc_parse(struct bytes line, size_t line_max, struct rpc_message *ret, struct why *why)
{
    const struct json_limits limits = {.bytes = line_max};
    struct rpc_message m = {0};
    const struct json *root;
    const struct json *id;
    int err;

    if (json_parse(line, &limits, &m.doc, why) < 0) {
        *ret = m;
        return RPC_PARSE_ERROR;
    }
    root = json_root(m.doc);
    id = json_get(root, "id");
    m.id = is_id(id) ? id : NULL; /* whatever else is wrong: an id that can be read is answered */
    m.params = json_get(root, "params");
    m.result = json_get(root, "result");
    m.error = json_get(root, "error");
    if (json_type(root) != JSON_OBJECT)
        err = invalid(why, "a message is one JSON object; batches are not accepted");
    else if (!json_is_str(json_get(root, "jsonrpc"), "2.0"))
        err = invalid(why, "jsonrpc must be \"2.0\"");
    else if (json_get(root, "method") != NULL)
        err = read_call(&m, root, why);
    else
        err = read_response(&m, root, why);
    *ret = m;
    return err;
}

void rpc_done(struct rpc_message *m)
{
    json_free(m->doc);
    *m = (struct rpc_message){0};
}

void rpc_write_error_data(struct buf *to, struct bytes id, int code, const char *message,
                          struct bytes data)
{
    struct json_out j;

    json_out_init(&j, to);
    json_open_object(&j);
    json_put_str(&j, "jsonrpc", "2.0");
    json_key(&j, "id");
    if (id.len > 0)
        json_raw(&j, id);
    else
        json_null(&j);
    json_key(&j, "error");
    json_open_object(&j);
    json_put_i64(&j, "code", code);
    json_put_str(&j, "message", message);
    if (data.len > 0) {
        json_key(&j, "data");
        json_raw(&j, data);
    }
    json_close_object(&j);
    json_close_object(&j);
    buf_add_char(to, '\n');
}

void rpc_write_error(struct buf *to, struct bytes id, int code, const char *message)
{
    rpc_write_error_data(to, id, code, message, bytes_of(NULL, 0));
}
