/* SPDX-License-Identifier: Apache-2.0 */
/* Echo from a client stack through a real tunnel: to the gateway itself, through it, and refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/suite.h"
#include "tests/support/tunnel.h"

#define ID 0x4321

struct mailbox {
    int count;
    int failed;
    size_t len;
    uint8_t bytes[ECHO_MAX];
    struct endpoint from;
    uint8_t hops;
    struct dgram_cause cause;
};

static void on_reply(void *self, struct dgram *d, const struct endpoint *from, struct bytes message)
{
    struct mailbox *m = self;

    m->count++;
    m->len = message.len;
    memcpy(m->bytes, message.data, message.len);
    m->from = *from;
    m->hops = dgram_mark(d).hops;
}

static void on_failed(void *self, struct dgram *d, const struct endpoint *to, int err,
                      struct bytes message)
{
    struct mailbox *m = self;

    m->failed = err;
    m->from = *to;
    m->cause = dgram_cause(d);
    m->len = message.len;
    memcpy(m->bytes, message.data, message.len);
}

static const struct dgram_events events = {.received = on_reply, .failed = on_failed};

static uint8_t request[ECHO_MAX];

/** A request of @len bytes in all; its identifier is whatever the agent wrote. */
static struct bytes request_of(enum ip_family family, size_t len)
{
    memset(request, 0, ECHO_HEADER);
    request[0] = family == IP_V4 ? 8 : 128;
    store_be16(request + 4, 99);
    store_be16(request + 6, 7);
    for (size_t i = ECHO_HEADER; i < len; i++)
        request[i] = (uint8_t)(i * 13 + i / 200);
    return bytes_of(request, len);
}

static struct endpoint at(const char *text)
{
    struct endpoint e = {0};

    ck_assert_int_eq(ip_parse(bytes_of_str(text), &e.ip), 0);
    return e;
}

static void check_reply(const struct mailbox *m, enum ip_family family, size_t len,
                        const struct endpoint *from)
{
    ck_assert_int_eq(m->failed, 0);
    ck_assert_uint_eq(m->len, len);
    ck_assert_uint_eq(m->bytes[0], family == IP_V4 ? 0 : 129);
    ck_assert_uint_eq(load_be16(m->bytes + 4), ID);
    ck_assert_uint_eq(load_be16(m->bytes + 6), 7);
    ck_assert_int_eq(memcmp(m->bytes + ECHO_HEADER, request + ECHO_HEADER, len - ECHO_HEADER), 0);
    ck_assert(endpoint_equal(&m->from, from));
    ck_assert_uint_gt(m->hops, 0);
}

static const size_t sizes[] = {8, 9, 64, 1400, 1401, 9000, 60000};

START_TEST(gateway_answers_for_itself_at_every_size)
{
    static const struct tunnel_options plain = {.allow = NULL};
    static struct mailbox m;
    enum ip_family family = _i % 2 == 0 ? IP_V4 : IP_V6;
    struct endpoint to = at(family == IP_V4 ? "10.9.0.1" : "fd09::1");
    size_t len = sizes[_i / 2];
    struct tunnel t;
    struct dgram *d, *other;

    tunnel_up(&t, &plain);
    ck_assert_int_eq(netstack_may_echo(t.ns), 0);
    ck_assert_int_eq(dgram_open_echo(t.ns, family, ID, &events, &m, &d), 0);
    /* the same identifier again: another one on the wire, and nobody's replies are mixed up */
    ck_assert_int_eq(dgram_open_echo(t.ns, family, ID, &events, NULL, &other), 0);
    ck_assert_int_eq(dgram_send(d, &to, request_of(family, len)), 0);
    tunnel_wait(&t, &m.count, 0, 5000);
    check_reply(&m, family, len, &to);
    dgram_close(other);
    ck_assert_int_eq(dgram_open_echo(t.ns, family, ID + 1, &events, &m, &other), 0);
    dgram_close(d);
    ck_assert_int_eq(dgram_send(other, &to, request_of(family, len)), 0);
    tunnel_wait(&t, &m.count, 1, 5000);
    ck_assert_uint_eq(load_be16(m.bytes + 4), ID + 1);
    dgram_close(other);
    tunnel_down(&t);
}
END_TEST

/* Loopback of the gateway's host, by its ping sockets, where it has some for us. */
START_TEST(gateway_carries_what_its_policy_allows)
{
    static const char *const allow[] = {"icmp://127.0.0.1", "icmp://[::1]", NULL};
    const struct tunnel_options options = {.allow = allow};
    static struct mailbox m;
    enum ip_family family = _i == 0 ? IP_V4 : IP_V6;
    struct endpoint to = at(family == IP_V4 ? "127.0.0.1" : "::1");
    int fd = socket(family == IP_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC,
                    family == IP_V4 ? 1 : 58);
    bool has_sockets = fd >= 0;
    struct tunnel t;
    struct dgram *d;

    if (has_sockets)
        close(fd);
    tunnel_up(&t, &options);
    ck_assert_int_eq(dgram_open_echo(t.ns, family, ID, &events, &m, &d), 0);
    ck_assert_int_eq(dgram_send(d, &to, request_of(family, 64)), 0);
    if (has_sockets) {
        tunnel_wait(&t, &m.count, 0, 5000);
        check_reply(&m, family, 64, &to);
    } else { /* net.ipv4.ping_group_range leaves us out */
        tunnel_wait(&t, &m.failed, 0, 5000);
        ck_assert_int_eq(m.count, 0);
    }
    dgram_close(d);
    tunnel_down(&t);
}
END_TEST

static void expect_failure(struct tunnel *t, struct mailbox *m, const struct endpoint *to,
                           uint8_t type, uint8_t code)
{
    tunnel_wait(t, &m->failed, 0, 5000);
    ck_assert_int_eq(m->count, 0);
    ck_assert(endpoint_equal(&m->from, to));
    ck_assert_uint_eq(m->cause.type, type);
    ck_assert_uint_eq(m->cause.code, code);
    ck_assert_uint_ge(m->len, ECHO_HEADER);
    ck_assert_uint_eq(load_be16(m->bytes + 4), ID);
    ck_assert_uint_eq(load_be16(m->bytes + 6), 7);
    m->failed = 0;
}

START_TEST(refusals_and_the_last_hop_name_the_request)
{
    static const char *const allow[] = {"icmp://127.0.0.2", "icmp://[2001:db8::1]", NULL};
    const struct tunnel_options options = {.allow = allow};
    static struct mailbox m;
    enum ip_family family = _i == 0 ? IP_V4 : IP_V6;
    struct endpoint denied = at(family == IP_V4 ? "127.0.0.1" : "::1");
    struct endpoint own = at(family == IP_V4 ? "10.9.0.1" : "fd09::1");
    struct tunnel t;
    struct dgram *d;

    tunnel_up(&t, &options);
    ck_assert_int_eq(dgram_open_echo(t.ns, family, ID, &events, &m, &d), 0);
    ck_assert_int_eq(dgram_send(d, &denied, request_of(family, 64)), 0);
    expect_failure(&t, &m, &denied, family == IP_V4 ? 3 : 1, family == IP_V4 ? 13 : 1);
    ck_assert(ip_equal(&m.cause.offender, &denied.ip));
    ck_assert_int_eq(dgram_set_mark(d, (struct wire_mark){.hops = 1}),
                     0); /* the gateway's own address is within reach */
    ck_assert_int_eq(dgram_send(d, &own, request_of(family, 64)), 0);
    tunnel_wait(&t, &m.count, 0, 5000);
    check_reply(&m, family, 64, &own);
    dgram_close(d);
    tunnel_down(&t);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(gateway_answers_for_itself_at_every_size, 14),
    SUITE_ROWS(gateway_carries_what_its_policy_allows, 2),
    SUITE_ROWS(refusals_and_the_last_hop_name_the_request, 2),
};
SUITE_MAIN("ping", tests)
