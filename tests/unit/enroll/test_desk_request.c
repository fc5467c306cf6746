/* SPDX-License-Identifier: Apache-2.0 */
/* The desk's parser: each refused request is a neighbour of one that is taken. */
#include <errno.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/buf.h"
#include "enroll/desk_request.h"
#include "tests/support/suite.h"

#define LINE "POST " DESK_PATH " HTTP/1.1\r\n"
#define AUTH "Authorization: Bearer a.b.c\r\n"
#define LEN2 "Content-Length: 2\r\n"

static const struct {
    const char *text;
    int status;
} rows[] = {
    {LINE AUTH LEN2 "\r\n{}", 0},
    {LINE LEN2 "\r\n{}", 0}, /* latticed refuses it in its own words */
    {"POST " DESK_PATH " HTTP/1.0\r\n" AUTH LEN2 "\r\n{}", 0},
    {LINE AUTH "content-length:2\r\n\r\n{}", 0},
    {LINE AUTH "Content-Type: application/json; charset=utf-8\r\n" LEN2 "\r\n{}", 0},
    {LINE AUTH LEN2 "X-Other: \t anything \r\n\r\n{}", 0},
    {LINE AUTH LEN2 "\r\n{", -EAGAIN},
    {LINE AUTH LEN2 "\r\n", -EAGAIN},
    {LINE AUTH LEN2 "\r", -EAGAIN},
    {LINE AUTH "Content-Len", -EAGAIN},
    {"", -EAGAIN},
    {"POST " DESK_PATH, -EAGAIN},
    {LINE AUTH LEN2 "\r\n{}x", 400}, /* something behind it */
    {LINE AUTH "\r\n", 411},
    {LINE AUTH "Transfer-Encoding: chunked\r\n\r\n", 411},
    {LINE AUTH LEN2 "Transfer-Encoding: chunked\r\n\r\n{}", 411},
    {LINE AUTH LEN2 LEN2 "\r\n{}", 400},
    {LINE AUTH AUTH LEN2 "\r\n{}", 400},
    {LINE AUTH "Content-Length: +2\r\n\r\n{}", 400},
    {LINE AUTH "Content-Length: 0x2\r\n\r\n{}", 400},
    {LINE AUTH "Content-Length: 65537\r\n\r\n", 413},
    {LINE AUTH "Content-Length: 65536\r\n\r\n", -EAGAIN},
    {LINE "Authorization: Basic YTpi\r\n" LEN2 "\r\n{}", 401},
    {LINE "Authorization: Bearer \r\n" LEN2 "\r\n{}", 401},
    {LINE AUTH "Content-Type: text/plain\r\n" LEN2 "\r\n{}", 415},
    {LINE AUTH LEN2 " folded: x\r\n\r\n{}", 400},
    {LINE AUTH LEN2 "Name : x\r\n\r\n{}", 400},
    {LINE AUTH LEN2 "no colon\r\n\r\n{}", 400},
    {LINE AUTH LEN2 "X: \x7f\r\n\r\n{}", 400},
    {LINE AUTH LEN2 "X: a\nY: b\r\n\r\n{}", 400},
    {LINE AUTH LEN2 "X: a\rY: b\r\n\r\n{}", 400},
    {"GET " DESK_PATH " HTTP/1.1\r\n\r\n", 405},
    {"post " DESK_PATH " HTTP/1.1\r\n\r\n", 405},
    {"POST /api/v1/agent-isolation/delegate/ HTTP/1.1\r\n\r\n", 404},
    {"POST /api/v1/agent-isolation/delegate?x HTTP/1.1\r\n\r\n", 404},
    {"POST /api/v1/agent-isolation/%64elegate HTTP/1.1\r\n\r\n", 404},
    {"POST //api/v1/agent-isolation/delegate HTTP/1.1\r\n\r\n", 404},
    {"POST http://x" DESK_PATH " HTTP/1.1\r\n\r\n", 404},
    {"GET /metrics HTTP/1.1\r\n\r\n", 404},
    {"POST " DESK_PATH " HTTP/2\r\n\r\n", 400},
    {"POST " DESK_PATH "\r\n\r\n", 400},
    {"\r\n" LINE AUTH LEN2 "\r\n{}", 400},
};

static struct desk_request request; /* too large for a stack; filled by each test */

START_TEST(request_follows_the_table)
{
    const char *text = rows[_i].text;
    int status = desk_request_parse(bytes_of_str(text), &request);

    ck_assert_msg(status == rows[_i].status, "%s: %d, not %d", text, status, rows[_i].status);
}
END_TEST

/* Goal: what counts arrives. Method: each value of one request is read back. */
START_TEST(request_whole_gives_its_values)
{
    static const char text[] = LINE AUTH "Idempotency-Key: key-1\r\n" LEN2 "\r\n{}";

    ck_assert_int_eq(desk_request_parse(bytes_of_str(text), &request), 0);
    ck_assert_str_eq(request.bearer, "a.b.c");
    ck_assert_str_eq(request.idempotency_key, "key-1");
    ck_assert(bytes_equal(request.body, bytes_of_str("{}")));
    ck_assert(!request.expects_continue);
}
END_TEST

/* Goal: a client that waits to be asked for its body is seen before the body is there. */
START_TEST(request_that_expects_continue_says_so)
{
    static const char text[] = LINE AUTH "Expect: 100-continue\r\n" LEN2 "\r\n";

    ck_assert_int_eq(desk_request_parse(bytes_of_str(text), &request), -EAGAIN);
    ck_assert(request.expects_continue);
}
END_TEST

/* Goal: a head has an end. Method: header lines up to its maximum, and one line without any end. */
START_TEST(request_endless_head_is_refused)
{
    struct buf text;

    buf_init(&text, 2 * DESK_HEAD_MAX + 4096);
    buf_add_str(&text, LINE);
    while (text.len <= DESK_HEAD_MAX + 64)
        buf_add_str(&text, "X-Filler: 0123456789abcdef\r\n");
    ck_assert_int_eq(desk_request_parse(buf_bytes(&text), &request), 431);
    buf_reset(&text);
    while (text.len <= DESK_HEAD_MAX)
        buf_add_char(&text, 'P');
    ck_assert_int_eq(desk_request_parse(buf_bytes(&text), &request), 431);
    text.len = DESK_HEAD_MAX - 1;
    ck_assert_int_eq(desk_request_parse(buf_bytes(&text), &request), -EAGAIN);
    buf_done(&text);
}
END_TEST

static const struct {
    const char *payload; /* of the token */
    int status;
} bearers[] = {
    {"{\"agent_id\":\"kid\",\"namespace\":\"team\"}", 0},
    {"{\"namespace\":\"team\",\"agent_id\":\"kid\",\"exp\":1}", 0},
    {"{\"agent_id\":\"parent\",\"namespace\":\"team\"}", 403},
    {"{\"agent_id\":\"kid\",\"namespace\":\"other\"}", 403},
    {"{\"agent_id\":\"KID\",\"namespace\":\"team\"}", 403},
    {"{\"namespace\":\"team\"}", 403},
    {"{\"agent_id\":[\"kid\"],\"namespace\":\"team\"}", 403},
    {"{\"agent_id\":\"parent\",\"agent_id\":\"kid\",\"namespace\":\"team\"}", 401},
    {"no JSON", 401},
};

START_TEST(bearer_of_another_agent_is_refused)
{
    const struct desk_agent who = {.ns = "team", .name = "kid"};
    struct buf token;

    buf_init(&token, 1024);
    buf_add_str(&token, "e30.");
    base64url_write(bytes_of_str(bearers[_i].payload), &token);
    buf_add_str(&token, ".c2ln");
    (void)snprintf(request.bearer, sizeof(request.bearer), "%s", buf_text(&token));
    ck_assert_int_eq(desk_request_bearer_check(&request, &who), bearers[_i].status);
    buf_done(&token);
}
END_TEST

START_TEST(bearer_that_is_no_token_is_refused)
{
    static const char *const texts[] = {"", "a", "a.b", "a.=.c", "..", "a.b!.c"};
    const struct desk_agent who = {.ns = "team", .name = "kid"};

    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        (void)snprintf(request.bearer, sizeof(request.bearer), "%s", texts[i]);
        ck_assert_int_eq(desk_request_bearer_check(&request, &who), 401);
    }
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(bearer_of_another_agent_is_refused, ARRAY_COUNT(bearers)),
    SUITE_TEST(bearer_that_is_no_token_is_refused),
    SUITE_ROWS(request_follows_the_table, ARRAY_COUNT(rows)),
    SUITE_TEST(request_whole_gives_its_values),
    SUITE_TEST(request_that_expects_continue_says_so),
    SUITE_TEST(request_endless_head_is_refused),
};

SUITE_MAIN("enroll/desk_request", tests)
