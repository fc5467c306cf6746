/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request of a command-line program: blocking, bounded, without redirects. Never used by a
 * supervisor or inside a loop.
 */
#ifndef BASE_HTTP_CLIENT_H
#define BASE_HTTP_CLIENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/why.h"

#define HTTP_CLIENT_TIMEOUT_S 30
#define HTTP_CLIENT_ETAG_CAP  80u

struct http_client_request {
    const char *method;
    const char *url;     /* http:// or https:// */
    const char *bearer;  /* token; NULL: none */
    const char *body;    /* JSON text; NULL: none */
    const char *ca_file; /* NULL: the system's */
    bool may_be_plain;   /* send the token over plain HTTP to other hosts than this one, too */
    const char *idempotency_key; /* NULL: none */
    unsigned timeout_s;          /* for the whole answer; 0: HTTP_CLIENT_TIMEOUT_S */
    /** HTTP_CLIENT_ETAG_CAP bytes, or NULL. What is in it is sent as If-None-Match unless it is "";
     * afterwards it holds the answer's ETag, or what it held when the answer has none. */
    char *etag;
};

/**
 * http_client_call() - Send @req and wait for the whole answer.
 * @ret_body: the answer's body is appended; its maximum is the limit.
 * Errors: -EINVAL the URL; -EPERM it would show the token to the network; -ECONNREFUSED nothing
 * answers, and every other fault of the transport; -EMSGSIZE; all with @why.
 */
int http_client_call(const struct http_client_request *req, unsigned *ret_status,
                     struct buf *ret_body, struct why *why) MUST_USE;

/** http_client_escape() - Append @text as one segment of a path or value of a query (RFC 3986 2.1).
 */
void http_client_escape(const char *text, struct buf *to);

#endif
