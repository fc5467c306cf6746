/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time to live and type of service of datagrams in a tunnel: what a sandbox asks for is in the
 * inner header, and what a peer's datagrams have is told.
 */
#include <string.h>

#include "tests/support/rogue.h"
#include "tests/support/suite.h"

struct seen {
    int count;
    struct wire_mark mark;
};

static void on_received(void *self, struct dgram *d, const struct endpoint *from,
                        struct bytes payload)
{
    struct seen *s = self;

    (void)from;
    ck_assert_uint_eq(payload.len, 5);
    s->mark = dgram_mark(d);
    s->count++;
}

static const struct dgram_events events = {.received = on_received};

/** Turn until the peer has a packet of @protocol, whose header is then in r->last. */
static void await(struct rogue *r, uint8_t protocol)
{
    memset(r->last, 0, sizeof(r->last));
    for (unsigned i = 0; i < 5000 && r->last[9] != protocol; i++)
        rogue_turn(r, 1);
    ck_assert_uint_eq(r->last[9], protocol);
}

START_TEST(marks_are_in_the_inner_header_both_ways)
{
    struct tunnel_options options = {.allow = NULL};
    struct endpoint local, to = {.port = 7}, sandbox = {.ip = ip_v4(10, 9, 0, 2), .port = 9};
    struct seen seen = {0};
    struct rogue rogue;
    struct tunnel t;
    struct dgram *d;

    rogue_key(&rogue);
    options.client_rogue = rogue.public_key;
    tunnel_up(&t, &options);
    rogue_join_client(&rogue, &t);
    to.ip = rogue.own;
    /* refused (ICMP, with the defaults), but the sandbox knows its peer now */
    rogue_datagram(&rogue, &sandbox, 7, 5, 0, 64);
    await(&rogue, 1);
    ck_assert_uint_eq(rogue.last[1], 0);
    ck_assert_int_eq(dgram_open(t.ns, IP_V4, 0, &events, &seen, &d), 0);
    ck_assert_int_eq(dgram_send(d, &to, bytes_of("hello", 5)), 0);
    await(&rogue, 17);
    ck_assert_uint_eq(rogue.last[1], 0);
    ck_assert_uint_eq(rogue.last[8], 64);
    ck_assert_int_eq(dgram_set_mark(d, (struct wire_mark){.hops = 33, .class = 0xb8}), 0);
    ck_assert_int_eq(dgram_send(d, &to, bytes_of("hello", 5)), 0);
    await(&rogue, 17);
    ck_assert_uint_eq(rogue.last[1], 0xb8);
    ck_assert_uint_eq(rogue.last[8], 33);
    ck_assert_int_eq(dgram_local(d, &local), 0);
    rogue_datagram(&rogue, &local, 7, 5, 0x50, 41);
    for (unsigned i = 0; i < 5000 && seen.count == 0; i++)
        rogue_turn(&rogue, 1);
    ck_assert_int_eq(seen.count, 1);
    ck_assert_uint_eq(seen.mark.class, 0x50);
    ck_assert_uint_eq(seen.mark.hops, 41);
    dgram_close(d);
    rogue_leave(&rogue);
    tunnel_down(&t);
}
END_TEST

START_TEST(marks_of_a_connection_are_in_its_packets_from_the_first_on)
{
    static const struct wire_mark mark = {.hops = 33, .class = 0xb8};
    struct tunnel_options options = {.allow = NULL};
    struct endpoint to = {.port = 7}, sandbox = {.ip = ip_v4(10, 9, 0, 2), .port = 9};
    struct tunnel_owner o = {.opened = 1, .closed = 1, .agent = -1};
    struct rogue rogue;
    struct tunnel t;

    rogue_key(&rogue);
    options.client_rogue = rogue.public_key;
    tunnel_up(&t, &options);
    rogue_join_client(&rogue, &t);
    to.ip = rogue.own;
    rogue_datagram(&rogue, &sandbox, 7, 5, 0, 64);
    await(&rogue, 1);
    ck_assert_int_eq(flow_open_marked(t.ns, &to, 0, &mark, &tunnel_owner_events, &o, &o.flow), 0);
    await(&rogue, 6); /* the SYN */
    ck_assert(rogue.ports[7].is_asked);
    ck_assert_uint_eq(rogue.last[1], 0xb8);
    ck_assert_uint_eq(rogue.last[8], 33);
    flow_set_mark(o.flow, (struct wire_mark){.hops = 50, .class = 0x20});
    rogue_accept(&rogue, 7, 65535, 1380, &sandbox);
    await(&rogue, 6); /* the ACK */
    ck_assert_uint_eq(rogue.last[1], 0x20);
    ck_assert_uint_eq(rogue.last[8], 50);
    tunnel_wait(&t, &o.opened, 1, 10000);
    flow_abort(o.flow);
    rogue_leave(&rogue);
    tunnel_down(&t);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(marks_are_in_the_inner_header_both_ways),
    SUITE_TEST(marks_of_a_connection_are_in_its_packets_from_the_first_on),
};
SUITE_MAIN("marks", tests)
