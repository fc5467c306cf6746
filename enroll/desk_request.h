/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the enroll room: the one HTTP/1.1 request that an agent may make to latticed, as bytes
 * (sans-I/O). Strict on purpose: what it says is taken apart and asked anew, so nothing that it did
 * not understand goes on, and nothing else than this one route is understood.
 */
#ifndef ENROLL_DESK_REQUEST_H
#define ENROLL_DESK_REQUEST_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/must.h"
#include "enroll/enroll.h"

#define DESK_PATH      "/api/v1/agent-isolation/delegate"
#define DESK_HEAD_MAX  16384u
#define DESK_BODY_MAX  65536u
#define DESK_VALUE_CAP 9216u /* of a header's value that goes on */

struct desk_request {
    char bearer[DESK_VALUE_CAP]; /* "": none */
    char idempotency_key[132];   /* "": none */
    struct bytes body;           /* borrowed from the input */
    bool expects_continue;       /* RFC 9110 10.1.1; also set while the body is not there yet */
};

/** Who asks, as the gateway knows from the tunnel. */
struct desk_agent {
    char ns[ENROLL_NAME_MAX + 1];
    char name[ENROLL_NAME_MAX + 1];
};

/**
 * desk_request_bearer_check() - Is the token this agent's? Its signature is latticed's to check;
 * here only the claims "agent_id" and "namespace" are compared (RFC 7519 section 4.3, private
 * claims). Returns 0, or the status of the refusal: 401 no token, or none that can be read; 403
 * another's.
 */
int desk_request_bearer_check(const struct desk_request *r, const struct desk_agent *who) MUST_USE;

/**
 * desk_request_parse() - Read a request from all that has come so far.
 * Returns 0: it is whole; -EAGAIN: more must come; or the status (400 …) of its refusal.
 * Source: RFC 9112 sections 2, 3, 5, 6.
 */
int desk_request_parse(struct bytes input, struct desk_request *ret) MUST_USE;

#endif
