/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call: URL put together, the answer strictly parsed, a problem document's detail handed on as
 * the reason. Nothing is retried here.
 */
#include "enroll/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/http_client.h"
#include "base/wipe.h"

#define URL_CAP 1024u

static int status_error(unsigned status)
{
    if (status == 401)
        return -EACCES;
    if (status == 403)
        return -EPERM;
    return status >= 500 ? -EAGAIN : -EINVAL;
}

/** Judge the answer that @text holds. */
static int read_answer(struct call *c, const struct buf *text, struct why *why)
{
    const struct json_limits limits = {.bytes = c->answer_max};
    const char *detail = NULL;
    struct why fault = {0};
    int err = 0;

    if (c->status == 304 || (text->len == 0 && c->status < 400))
        return 0;
    if (json_parse(buf_bytes(text), &limits, &c->doc, &fault) < 0) {
        c->doc = NULL;
        return why_set(why, c->status >= 400 ? status_error(c->status) : -EBADMSG,
                       "%s did not answer with JSON (status %u); is this latticed?", c->server->url,
                       c->status);
    }
    if (c->status >= 200 && c->status < 300)
        return 0;
    if (json_read_str(json_get(json_root(c->doc), "detail"), &detail) < 0)
        detail = "no reason was given";
    err = why_set(why, status_error(c->status), "latticed: %.300s (%u)", detail, c->status);
    json_free(c->doc);
    c->doc = NULL;
    return err;
}

int call_run(struct call *c, struct why *why)
{
    size_t len = strlen(c->server->url);
    char url[URL_CAP];
    struct http_client_request req = {.method = c->method,
                                      .url = url,
                                      .bearer = c->bearer,
                                      .body = c->body,
                                      .ca_file = c->server->ca_file,
                                      .may_be_plain = c->server->may_be_plain,
                                      .timeout_s = c->timeout_s,
                                      .etag = c->etag};
    struct buf text;
    int err;

    c->status = 0;
    c->doc = NULL;
    if (len > 0 && c->server->url[len - 1] == '/')
        len--;
    if ((size_t)snprintf(url, sizeof(url), "%.*s%s", (int)len, c->server->url, c->path) >=
        sizeof(url))
        return why_set(why, -EINVAL, "the URL of latticed is too long");
    buf_init(&text, c->answer_max);
    err = http_client_call(&req, &c->status, &text, why);
    if (err == 0)
        err = read_answer(c, &text, why);
    if (text.data != NULL)
        wipe(text.data, text.cap); /* it may hold a token */
    buf_done(&text);
    return err;
}

const struct json *call_data(const struct call *c)
{
    return c->doc != NULL ? json_get(json_root(c->doc), "data") : NULL;
}
