/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes back: data in the original system's envelope, problems as RFC 9457 bodies that also
 * carry its code and msg, and pages of lists.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/wipe.h"
#include "control/call.h"

void call_data(struct call *call, unsigned status)
{
    if (call->status == 0)
        call->status = status;
}

void call_fail(struct call *call, unsigned status, const char *format, ...)
{
    va_list args;

    call->status = status;
    va_start(args, format);
    (void)vsnprintf(call->detail, sizeof(call->detail), format, args);
    va_end(args);
}

void call_blame_store(struct call *call)
{
    static const struct {
        unsigned status;
        const char *detail;
    } faults[STORE_FAULTS] = {
        [STORE_FULL] = {507, "the disk is full; nothing was changed"},
        [STORE_READ_ONLY] = {503, "the database cannot be written; nothing was changed"},
        [STORE_BUSY] = {503, "the database is busy; nothing was changed, try again"},
        [STORE_BROKEN] = {503, "the database does not work; nothing was changed"},
    };
    enum store_fault fault = store_fault(call->c->store);

    if (fault == STORE_FINE || call->status < 400)
        return;
    call->c->counters.store_faults[fault]++;
    call->retry_after_s = fault == STORE_BUSY ? 1 : 30;
    call_fail(call, faults[fault].status, "%s", faults[fault].detail);
}

static const char *status_title(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {
        {400, "Bad request"},
        {401, "Not authenticated"},
        {403, "Not permitted"},
        {404, "Not found"},
        {405, "Method not allowed"},
        {409, "Conflict"},
        {413, "Too large"},
        {414, "Target too long"},
        {415, "Media type not supported"},
        {422, "Does not match the first request"},
        {429, "Too many requests"},
        {503, "Not available now"},
        {507, "No room to store"},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return status < 500 ? "Refused" : "Internal error";
}

static void write_problem(struct call *call, struct buf *to)
{
    struct json_out j;
    char type[48];
    char id[17];

    (void)snprintf(type, sizeof(type), "urn:lattice:problem:%u", call->status);
    (void)snprintf(id, sizeof(id), "%016llx", (unsigned long long)rng_u64(rng_system()));
    json_out_init(&j, to);
    json_open_object(&j);
    json_put_str(&j, "type", type);
    json_put_str(&j, "title", status_title(call->status));
    json_put_u64(&j, "status", call->status);
    json_put_str(&j, "detail", call->detail);
    json_put_str(&j, "requestId", id);
    json_put_str(&j, "traceId", call->trace_id[0] != '\0' ? call->trace_id : NULL);
    json_put_u64(&j, "code", call->status); /* the original system's envelope */
    json_put_str(&j, "msg", call->detail);
    if (call->status == 401)
        json_put_str(&j, "error", call->detail);
    json_close_object(&j);
}

static void write_envelope(struct call *call, struct buf *to)
{
    struct json_out j;

    json_out_init(&j, to);
    json_open_object(&j);
    json_put_u64(&j, "code", call->status);
    json_put_str(&j, "msg", "success");
    json_key(&j, "data");
    json_raw(&j, buf_bytes(&call->data));
    json_close_object(&j);
}

static void count_answer(struct call *call)
{
    call->c->counters.requests++;
    if (call->status >= 500)
        call->c->counters.failed++;
    else if (call->status >= 400)
        call->c->counters.refused++;
}

void call_send(struct call *call)
{
    struct http_answer a = {.status = call->status, .headers = {{"Cache-Control", "no-store"}}};
    unsigned headers = 1;
    char seconds[12];
    struct buf text;

    if (buf_error(&call->data) < 0 && call->status < 400)
        call_fail(call, 500, "the answer is too large");
    a.status = call->status;
    buf_init(&text, CALL_DATA_MAX + 4096);
    if (call->status >= 400) {
        write_problem(call, &text);
        a.type = "application/problem+json";
    } else if (call->type != NULL) {
        buf_add(&text, call->data.data, call->data.len);
        a.type = call->type;
        a.headers[0].value = "max-age=60";
    } else if (call->status != 204 && call->status != 304) {
        write_envelope(call, &text);
        a.type = "application/json";
    }
    if (call->etag[0] != '\0' && call->status < 400)
        a.headers[headers++] = (struct http_answer_header){"ETag", call->etag};
    if (call->status == 401)
        a.headers[headers++] =
            (struct http_answer_header){"WWW-Authenticate", "Bearer realm=\"lattice\""};
    if (call->allow != NULL)
        a.headers[headers++] = (struct http_answer_header){"Allow", call->allow};
    if (call->retry_after_s > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%u", call->retry_after_s);
        a.headers[headers++] = (struct http_answer_header){"Retry-After", seconds};
    }
    a.body = buf_bytes(&text);
    count_answer(call);
    http_answer(call->r, &a);
    if (text.data != NULL)
        wipe(text.data, text.cap); /* it may hold a token */
    buf_done(&text);
}

void call_time(struct call *call, const char *key, int64_t time_s)
{
    char text[RFC3339_CAP];

    if (time_s <= 0 || time_s > INT64_MAX / NS_PER_S)
        return;
    wall_print(time_s * NS_PER_S, text);
    json_put_str(&call->j, key, text);
}

void call_names(struct call *call, const char *key, const struct nameset *names)
{
    json_key(&call->j, key);
    json_open_array(&call->j);
    for (unsigned i = 0; i < names->count; i++)
        json_str(&call->j, names->items[i]);
    json_close_array(&call->j);
}

bool call_page(struct call *call, unsigned *ret_limit, int64_t *ret_after)
{
    const struct http_target *t = http_request_target(call->r);
    const char *limit = http_target_query(t, "limit");
    const char *cursor = http_target_query(t, "cursor");
    uint16_t n = CALL_PAGE;
    char *end;

    if (limit != NULL &&
        (port_parse(bytes_of_str(limit), &n) < 0 || n == 0 || n > STORE_PAGE_MAX)) {
        call_fail(call, 400, "limit must be 1 to %u", STORE_PAGE_MAX);
        return false;
    }
    *ret_limit = n;
    *ret_after = 0;
    if (cursor == NULL)
        return true;
    errno = 0;
    *ret_after = strtoll(cursor, &end, 10);
    if (errno != 0 || *end != '\0' || cursor[0] < '0' || cursor[0] > '9') {
        call_fail(call, 400, "cursor must be the nextCursor of an earlier page");
        return false;
    }
    return true;
}

void call_page_end(struct call *call, const struct call_rows *p, unsigned limit, int err)
{
    char cursor[24];

    json_close_array(&call->j);
    if (p->rows == limit) {
        (void)snprintf(cursor, sizeof(cursor), "%lld", (long long)p->last);
        json_put_str(&call->j, "nextCursor", cursor);
    }
    json_close_object(&call->j);
    if (err < 0)
        call_fail(call, 500, "the list cannot be read");
    else
        call_data(call, 200);
}

void call_page_begin(struct call *call)
{
    json_open_object(&call->j);
    json_key(&call->j, "items");
    json_open_array(&call->j);
}
