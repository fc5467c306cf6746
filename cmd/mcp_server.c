/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice-mcp` alone: the platform's tools over standard input and output, answered by latticed.
 * One request after the other; what cannot be asked of latticed is the tool's own answer, so the
 * model and its user can read what to mend. Nothing but messages goes to standard output.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/io.h"
#include "base/json_out.h"
#include "cmd/mcp_commands.h"
#include "cmd/session.h"
#include "mcp/mcp.h"
#include "policy/identity.h"

#define READ_CHUNK 65536u

struct tools_server {
    struct session session;
    const char *workspace;
    struct mcp_server *mcp;
    bool is_open;   /* address and token are known */
    bool is_broken; /* nobody reads our output */
};

static enum mcp_tool_end say(struct buf *ret, const char *text)
{
    buf_add_str(ret, text);
    return MCP_TOOL_FAILED;
}

/** One call to latticed; what it refuses becomes a sentence. */
static enum mcp_tool_end ask(struct tools_server *t, const char *path, const char *body,
                             struct json_doc **ret_doc, unsigned *ret_status, struct buf *ret)
{
    struct why why = {.text = ""};
    const char *detail = "latticed refused without a reason";

    *ret_doc = NULL;
    if (!t->is_open) {
        buf_reset(&t->session.token);
        if (session_find(&t->session, NULL, &why) < 0)
            return say(ret, why.text);
        t->is_open = true;
    }
    if (session_ask(&t->session, "POST", path, body, ret_status, ret_doc, &why) < 0)
        return say(ret, why.text);
    if (*ret_status < 400)
        return MCP_TOOL_DONE;
    if (*ret_status == 401)
        t->is_open = false; /* a new login may have been made when the next call comes */
    (void)!json_read_str(json_get(json_root(*ret_doc), "detail"), &detail); /* the default stays */
    return say(ret, detail);
}

static void add_json(struct buf *to, const struct json *v)
{
    struct bytes text = json_text(v);

    buf_add(to, text.data, text.len);
}

static enum mcp_tool_end call(void *self, const char *tool, struct bytes arguments, struct buf *ret)
{
    struct tools_server *t = self;
    struct json_doc *doc;
    enum mcp_tool_end end;
    unsigned status;
    struct json_out j;
    struct buf body;

    buf_init(&body, MCP_LINE_MAX + 1024);
    json_out_init(&j, &body);
    json_open_object(&j);
    json_put_str(&j, "workspaceId", t->workspace);
    json_put_str(&j, "tool", tool);
    json_key(&j, "input");
    json_raw(&j, arguments);
    json_close_object(&j);
    end = ask(t, "/api/v1/ai/tools/call", buf_text(&body), &doc, &status, ret);
    if (end == MCP_TOOL_DONE) {
        const struct json *approval = json_get(session_data(doc), "approval");

        add_json(ret, approval != NULL ? approval : json_get(session_data(doc), "result"));
        if (approval != NULL)
            end = MCP_TOOL_PENDING;
    }
    json_free(doc);
    buf_done(&body);
    return end;
}

static enum mcp_tool_end decide(void *self, const char *approval, bool is_approved, struct buf *ret)
{
    struct tools_server *t = self;
    const struct json *state;
    struct json_doc *doc;
    enum mcp_tool_end end;
    unsigned status;
    struct buf path;

    buf_init(&path, 512);
    buf_add_str(&path, "/api/v1/approvals/");
    http_client_escape(approval, &path);
    buf_add_str(&path, is_approved ? "/approve" : "/reject");
    end = ask(t, buf_text(&path), "{\"via\":\"mcp-elicitation\"}", &doc, &status, ret);
    state = json_get(session_data(doc), "state");
    if (end == MCP_TOOL_DONE && json_is_str(state, "executed")) {
        add_json(ret, json_get(session_data(doc), "result"));
    } else if (end == MCP_TOOL_DONE) {
        const char *error = "The user did not approve this change; nothing was changed.";

        if (is_approved)
            (void)!json_read_str(json_get(session_data(doc), "error"), &error); /* else as it is */
        end = say(ret, error);
    }
    json_free(doc);
    buf_done(&path);
    return end;
}

static void send_line(void *self, struct bytes line)
{
    struct tools_server *t = self;

    if (!t->is_broken && io_write_all(STDOUT_FILENO, line.data, line.len) < 0)
        t->is_broken = true;
}

/** Hand over the whole lines of @in. @skips: the rest of a line that was too long comes first. */
static void take_lines(struct tools_server *t, struct buf *in, bool *skips)
{
    const uint8_t *end;

    while (in->len > 0 && (end = memchr(in->data, '\n', in->len)) != NULL) {
        size_t len = (size_t)(end - in->data);
        size_t text = len > 0 && in->data[len - 1] == '\r' ? len - 1 : len;

        if (!*skips && text > 0)
            mcp_server_line(t->mcp, bytes_of(in->data, text), wall_now_ns() / NS_PER_S);
        *skips = false;
        buf_consume(in, len + 1);
    }
    if (in->len > MCP_LINE_MAX) {
        if (!*skips)
            mcp_server_too_long(t->mcp);
        *skips = true;
        buf_reset(in);
    }
}

static int serve(struct tools_server *t)
{
    bool skips = false;
    ssize_t got = 1;
    struct buf in;

    buf_init(&in, MCP_LINE_MAX + READ_CHUNK + 1);
    while (got > 0 && !t->is_broken) {
        uint8_t *room = buf_reserve(&in, READ_CHUNK);

        got = room != NULL ? io_read(STDIN_FILENO, room, READ_CHUNK) : -ENOMEM;
        if (got > 0) {
            buf_commit(&in, (size_t)got);
            take_lines(t, &in, &skips);
        }
    }
    if (got == 0 && in.len > 0 && !skips) /* a last line without its newline */
        mcp_server_line(t->mcp, buf_bytes(&in), wall_now_ns() / NS_PER_S);
    buf_done(&in);
    return got < 0 ? CLI_EXIT_ERROR : CLI_EXIT_OK;
}

int mcp_serve_tools(struct session *session, const char *workspace)
{
    struct tools_server t = {.session = *session, .workspace = workspace};
    const struct mcp_backend backend = {
        .self = &t, .call = call, .decide = decide, .send = send_line};
    int status = CLI_EXIT_ERROR;

    (void)signal(SIGPIPE, SIG_IGN);
    if (mcp_server_new(&backend, LATTICE_VERSION, rng_system(), &t.mcp) == 0)
        status = serve(&t);
    mcp_server_free(t.mcp);
    return session_done(&t.session, status);
}
