/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 server on the process's epoll loop. A handler gets whole requests, with bounded
 * bodies, and answers at once or later. Clients that are slow to send or to read, and too many of
 * them, meet limits here and never reach a handler.
 *
 * Lifecycle: http_server_new → requests arrive by callback → http_server_free.
 */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/http_target.h"
#include "base/loop.h"
#include "base/must.h"
#include "base/why.h"

#define HTTP_ANSWER_HEADERS_MAX 8u

struct http_server;
struct http_request;

struct http_config {
    struct loop *loop;      /* borrowed */
    struct endpoint listen; /* port 0: the kernel chooses */
    const char *tls_cert;   /* PEM text; NULL: plain HTTP */
    const char *tls_key;    /* PEM text */
    size_t body_max;        /* longer bodies get 413 */
    unsigned connections_max;
    unsigned request_ms_max; /* for a request to arrive whole, and for its answer to be read */
    /** A whole request. Answer it now by http_answer(), or keep @r and answer later. */
    void (*request)(void *self, struct http_request *r);
    /** A request that was refused before any handler (400, 413): fill in the body. May be NULL. */
    void (*refused)(void *self, struct http_request *r, unsigned status, const char *reason);
    /** A kept request will be answered with 503 now; forget it. May be NULL if none is ever kept.
     */
    void (*dropped)(void *self, struct http_request *r);
    void *self;
};

/** http_server_new() - Listen. Errors: -errno of socket, bind or listen, or -EIO, with @why. */
int http_server_new(const struct http_config *config, struct http_server **ret,
                    struct why *why) MUST_USE;
uint16_t http_server_port(const struct http_server *s);
unsigned http_server_connections(const struct http_server *s);
/** http_server_free() - Close all connections; accepts NULL. */
void http_server_free(struct http_server *s);

/* What the client said; borrowed until the request is answered. */
const char *http_method(const struct http_request *r);
const struct http_target *http_request_target(const struct http_request *r);
/** http_header() - The header's value, or NULL. Names do not depend on case. A header that may
 * stand once (Authorization, Content-Type, Idempotency-Key, …) does: twice is refused earlier. */
const char *http_header(const struct http_request *r, const char *name);
struct bytes http_body(const struct http_request *r);
struct endpoint http_peer(const struct http_request *r);

struct http_answer_header {
    const char *name;
    const char *value;
};

struct http_answer {
    unsigned status;
    const char *type; /* Content-Type; NULL: no body */
    struct bytes body;
    struct http_answer_header headers[HTTP_ANSWER_HEADERS_MAX]; /* until the first without a name */
};

/** http_answer() - Answer @r, once; everything is copied. @r may not be used afterwards. */
void http_answer(struct http_request *r, const struct http_answer *answer);

#endif
