/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the enroll room: one call of latticed's API, by a follower. */
#ifndef ENROLL_CALL_H
#define ENROLL_CALL_H

#include "base/json.h"
#include "enroll/enroll.h"

struct call {
    const struct enroll_server *server;
    const char *method;
    const char *path;
    const char *bearer; /* NULL: none */
    const char *body;   /* NULL: none */
    char *etag;         /* as in http_client_request */
    unsigned timeout_s; /* 0: the client's own */
    size_t answer_max;
    unsigned status;      /* of the answer; 0: there was none */
    struct json_doc *doc; /* 2xx with a body; owned by the caller: json_free() */
};

/** call_run() - Returns 0 for 2xx and 304. Errors: -EACCES 401: who we are is not believed (any
 * more); -EPERM 403; -EINVAL another 4xx; -EBADMSG not latticed's kind of answer; -EAGAIN 5xx;
 * -errno of the transport; all with @why. */
int call_run(struct call *c, struct why *why) MUST_USE;
/** call_data() - The member "data" of the answer; NULL: none. */
const struct json *call_data(const struct call *c);

#endif
