/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a request to the desk: what is taken is this one route's, inside its bounds, and the
 * verdict on a whole request does not depend on how much of it came first.
 */
#include <errno.h>
#include <stdlib.h>

#include "enroll/desk_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_value(const char *value, size_t cap)
{
    must(strlen(value) < cap);
    for (const char *p = value; *p != '\0'; p++)
        must(*p >= 0x20 && *p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct desk_request *r = calloc(1, sizeof(*r));
    int status;

    must(r != NULL);
    status = desk_request_parse(bytes_of(data, len), r);
    must(status == 0 || status == -EAGAIN || (status >= 400 && status < 500));
    if (status == 0) {
        check_value(r->bearer, sizeof(r->bearer));
        check_value(r->idempotency_key, sizeof(r->idempotency_key));
        must(r->body.len <= DESK_BODY_MAX);
        must(r->body.len == 0 || r->body.data + r->body.len == data + len);
        must(len > 5 && memcmp(data, "POST " DESK_PATH " ", sizeof(DESK_PATH) + 5) == 0);
        for (size_t i = 0; i < len; i++) /* its beginnings are neither whole nor refused */
            must(desk_request_parse(bytes_of(data, i), r) == -EAGAIN);
    }
    free(r);
    return 0;
}
