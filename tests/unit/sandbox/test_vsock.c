/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of virtual sockets: keys, states, the rules about ports, queues, options, notes.
 */
#include "sandbox/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/support/suite.h"

#define ANY4      ip_any(IP_V4)
#define ANY6      ip_any(IP_V6)
#define LOOPBACK4 ip_v4(127, 0, 0, 1)

static struct vsock_table *table(uint32_t max)
{
    struct vsock_table *t = NULL;

    ck_assert_int_eq(vsock_table_new(max, &t), 0);
    return t;
}

static struct vsock *tcp(struct vsock_table *t, uint64_t inode)
{
    struct vsock *v = NULL;

    ck_assert_int_eq(vsock_new(t, VSOCK_TCP, inode, &v), 0);
    v->local.ip = ANY4;
    return v;
}

static struct vsock *listening(struct vsock_table *t, uint64_t inode, struct ip ip, uint16_t port)
{
    struct vsock *v = tcp(t, inode);

    vsock_bind(t, v, &(struct endpoint){.ip = ip, .port = port});
    vsock_move(v, VSOCK_LISTENING);
    return v;
}

/* A slot that is used again has another generation, and the old inode finds nothing. */
START_TEST(slot_reused_has_new_generation)
{
    struct vsock_table *t = table(2);
    struct vsock *a = tcp(t, 10);
    uint32_t generation = a->generation;

    ck_assert_ptr_eq(vsock_find(t, 10), a);
    vsock_free(t, a);
    ck_assert_ptr_null(vsock_find(t, 10));
    ck_assert_ptr_eq(tcp(t, 11), a);
    ck_assert_uint_ne(a->generation, generation);
    ck_assert_uint_eq(vsock_count(t), 1);
    vsock_table_free(t);
}
END_TEST

/* The table says when it is full, and takes one again after one went. */
START_TEST(table_full_is_enfile)
{
    struct vsock_table *t = table(2);
    struct vsock *a = tcp(t, 1);
    struct vsock *v;

    (void)tcp(t, 2);
    ck_assert_int_eq(vsock_new(t, VSOCK_TCP, 3, &v), -ENFILE);
    vsock_free(t, a);
    ck_assert_int_eq(vsock_new(t, VSOCK_TCP, 3, &v), 0);
    vsock_table_free(t);
}
END_TEST

/* An inode number that comes again belongs to the newer socket: the kernel freed the older one. */
START_TEST(inode_again_belongs_to_newer)
{
    struct vsock_table *t = table(4);
    struct vsock *old = tcp(t, 7);
    struct vsock *new = tcp(t, 7);

    ck_assert_ptr_eq(vsock_find(t, 7), new);
    ck_assert_uint_eq(old->inode, 0);
    vsock_free(t, old);
    ck_assert_ptr_eq(vsock_find(t, 7), new);
    vsock_table_free(t);
}
END_TEST

struct move_row {
    enum vsock_state from, to;
    bool is_allowed;
};

static const struct move_row moves[] = {
    {VSOCK_OPEN, VSOCK_CONNECTING, true},      {VSOCK_OPEN, VSOCK_LISTENING, true},
    {VSOCK_CONNECTING, VSOCK_CONNECTED, true}, {VSOCK_CONNECTING, VSOCK_FAILED, true},
    {VSOCK_CONNECTED, VSOCK_OVER, true},       {VSOCK_FAILED, VSOCK_OPEN, true},
    {VSOCK_LISTENING, VSOCK_CONNECTED, false}, {VSOCK_CONNECTED, VSOCK_LISTENING, false},
    {VSOCK_OVER, VSOCK_CONNECTED, false},      {VSOCK_FREE, VSOCK_CONNECTED, false},
    {VSOCK_CONNECTED, VSOCK_CONNECTED, false},
};

START_TEST(moves_are_those_of_the_table)
{
    ck_assert_int_eq(vsock_may_move(moves[_i].from, moves[_i].to), moves[_i].is_allowed);
}
END_TEST

struct conflict_row {
    const char *what;
    bool a_v6, a_only, b_v6, b_only; /* wildcard binds */
    bool a_exact;                    /* a has 127.0.0.1 instead */
    bool reuse_addr, reuse_port, b_listens;
    bool is_conflict;
};

static const struct conflict_row conflicts[] = {
    {.what = "same wildcard", .is_conflict = true},
    {.what = "exact under wildcard", .a_exact = true, .is_conflict = true},
    {.what = "v6 dual covers v4", .b_v6 = true, .is_conflict = true},
    {.what = "v6 only leaves v4", .b_v6 = true, .b_only = true},
    {.what = "v6 only beside v6 dual",
     .a_v6 = true,
     .a_only = true,
     .b_v6 = true,
     .is_conflict = true},
    {.what = "v4 exact under v6 dual", .a_exact = true, .b_v6 = true, .is_conflict = true},
    {.what = "v4 exact beside v6 only", .a_exact = true, .b_v6 = true, .b_only = true},
    {.what = "reuseaddr, nobody listens", .reuse_addr = true},
    {.what = "reuseaddr, one listens", .reuse_addr = true, .b_listens = true, .is_conflict = true},
    {.what = "reuseport, one listens", .reuse_port = true, .b_listens = true},
};

/* Who may share a port with whom: the rows are Linux's answers. */
START_TEST(bind_conflicts_as_linux)
{
    const struct conflict_row *row = &conflicts[_i];
    struct vsock_table *t = table(4);
    struct vsock *a = tcp(t, 1);
    struct vsock *b = tcp(t, 2);
    struct endpoint a_at = {.ip = row->a_exact ? LOOPBACK4 : row->a_v6 ? ANY6 : ANY4, .port = 80};
    struct endpoint b_at = {.ip = row->b_v6 ? ANY6 : ANY4, .port = 80};

    a->is_v6 = row->a_v6;
    a->is_v6only = row->a_only;
    b->is_v6 = row->b_v6;
    b->is_v6only = row->b_only;
    a->may_reuse_addr = b->may_reuse_addr = row->reuse_addr;
    a->may_reuse_port = b->may_reuse_port = row->reuse_port;
    vsock_bind(t, b, &b_at);
    if (row->b_listens)
        vsock_move(b, VSOCK_LISTENING);
    ck_assert_msg((vsock_conflict(t, a, &a_at) == b) == row->is_conflict, "%s", row->what);
    a_at.port = 81;
    ck_assert_ptr_null(vsock_conflict(t, a, &a_at));
    vsock_table_free(t);
}
END_TEST

/* An identifier is one name for both families and all addresses; who says so shares it. */
START_TEST(identifier_taken_as_linux)
{
    struct vsock_table *t = table(4);
    struct endpoint a_at = {.ip = LOOPBACK4, .port = 7}, b_at = {.ip = ANY6, .port = 7};
    struct vsock *a, *b, *udp;
    uint16_t port;

    ck_assert_int_eq(vsock_new(t, VSOCK_PING, 1, &a), 0);
    ck_assert_int_eq(vsock_new(t, VSOCK_PING, 2, &b), 0);
    ck_assert_int_eq(vsock_new(t, VSOCK_UDP, 3, &udp), 0);
    b->is_v6 = b->is_v6only = true;
    vsock_bind(t, a, &a_at);
    ck_assert_ptr_eq(vsock_conflict(t, b, &b_at), a);
    a->may_reuse_addr = true;
    ck_assert_ptr_eq(vsock_conflict(t, b, &b_at), a);
    b->may_reuse_addr = true;
    ck_assert_ptr_null(vsock_conflict(t, b, &b_at));
    a->may_reuse_addr = b->may_reuse_addr = false;
    a->may_reuse_port = b->may_reuse_port = true; /* means nothing here */
    ck_assert_ptr_eq(vsock_conflict(t, b, &b_at), a);
    ck_assert_ptr_null(vsock_conflict(t, udp, &a_at)); /* ports are another thing */
    ck_assert_ptr_null(vsock_receiver(t, &a_at, &a_at));
    a_at.port = PORT_EPHEMERAL_MIN;
    vsock_bind(t, a, &a_at);
    ck_assert_int_eq(vsock_pick_port(t, b, &b_at.ip, 0, &port), 0);
    ck_assert_uint_eq(port, PORT_EPHEMERAL_MIN + 1);
    vsock_table_free(t);
}
END_TEST

/* The most exact listener gets the connection; a closed port gets none. */
START_TEST(listener_most_exact_wins)
{
    struct vsock_table *t = table(8);
    struct vsock *dual = listening(t, 1, ANY6, 80);
    struct endpoint v4 = {.ip = LOOPBACK4, .port = 80};
    struct endpoint other = {.ip = LOOPBACK4, .port = 81};
    struct vsock *any4, *exact;

    ck_assert_ptr_eq(vsock_listener(t, &v4, 0), dual);
    any4 = listening(t, 2, ANY4, 80);
    ck_assert_ptr_eq(vsock_listener(t, &v4, 0), any4);
    exact = listening(t, 3, LOOPBACK4, 80);
    ck_assert_ptr_eq(vsock_listener(t, &v4, 0), exact);
    ck_assert_ptr_null(vsock_listener(t, &other, 0));
    vsock_free(t, exact);
    vsock_free(t, any4);
    dual->is_v6only = true;
    ck_assert_ptr_null(vsock_listener(t, &v4, 0));
    vsock_table_free(t);
}
END_TEST

/* A connected UDP socket comes before an unconnected one, and hears its peer only. */
START_TEST(receiver_connected_first)
{
    struct vsock_table *t = table(4);
    struct endpoint at = {.ip = LOOPBACK4, .port = 53};
    struct endpoint peer = {.ip = LOOPBACK4, .port = 1000};
    struct endpoint stranger = {.ip = LOOPBACK4, .port = 1001};
    struct vsock *open, *connected;

    ck_assert_int_eq(vsock_new(t, VSOCK_UDP, 1, &open), 0);
    ck_assert_int_eq(vsock_new(t, VSOCK_UDP, 2, &connected), 0);
    vsock_bind(t, open, &at);
    vsock_bind(t, connected, &at);
    connected->remote = peer;
    vsock_move(connected, VSOCK_CONNECTED);
    ck_assert_ptr_eq(vsock_receiver(t, &at, &peer), connected);
    ck_assert_ptr_eq(vsock_receiver(t, &at, &stranger), open);
    vsock_table_free(t);
}
END_TEST

/* An ephemeral port is in the range, free, and different for the next one. */
START_TEST(picked_ports_are_free)
{
    struct vsock_table *t = table(64);
    struct ip any = ANY4;
    uint16_t last = 0;

    for (unsigned i = 0; i < 60; i++) {
        struct vsock *v = tcp(t, i + 1);
        uint16_t port;

        ck_assert_int_eq(vsock_pick_port(t, v, &any, 7, &port), 0);
        ck_assert_uint_ge(port, PORT_EPHEMERAL_MIN);
        ck_assert_uint_le(port, PORT_EPHEMERAL_MAX);
        ck_assert_uint_ne(port, last);
        last = port;
        vsock_bind(t, v, &(struct endpoint){.ip = any, .port = port});
    }
    vsock_table_free(t);
}
END_TEST

/* First queued, first accepted; what is given back is next again. */
START_TEST(queue_keeps_order)
{
    struct vsock_table *t = table(8);
    struct vsock *l = tcp(t, 1), *a = tcp(t, 2), *b = tcp(t, 3);

    vsock_queue_push(l, a);
    vsock_queue_push(l, b);
    ck_assert_ptr_eq(vsock_queue_pop(l), a);
    vsock_queue_push_front(l, a);
    ck_assert_uint_eq(l->queue_count, 2);
    ck_assert_ptr_eq(vsock_queue_pop(l), a);
    ck_assert_ptr_eq(vsock_queue_pop(l), b);
    ck_assert_ptr_null(vsock_queue_pop(l));
    vsock_table_free(t);
}
END_TEST

/* Options are kept, overwritten in place, and bounded. */
START_TEST(options_are_bounded)
{
    struct vsock_table *t = table(1);
    struct vsock *v = tcp(t, 1);
    int32_t value;

    for (int i = 0; i < (int)VSOCK_OPTIONS_MAX; i++)
        ck_assert_int_eq(vsock_option_set(v, SOL_SOCKET, i, i), 0);
    ck_assert_int_eq(vsock_option_set(v, SOL_SOCKET, VSOCK_OPTIONS_MAX, 1), -ENOBUFS);
    ck_assert_int_eq(vsock_option_set(v, SOL_SOCKET, 3, 99), 0);
    ck_assert(vsock_option_get(v, SOL_SOCKET, 3, &value));
    ck_assert_int_eq(value, 99);
    ck_assert(!vsock_option_get(v, SOL_SOCKET, VSOCK_OPTIONS_MAX, &value));
    vsock_table_free(t);
}
END_TEST

/* Datagrams that the agent took natively leave no notes behind. */
START_TEST(notes_follow_native_reads)
{
    struct vsock_table *t = table(1);
    struct vsock *v;

    ck_assert_int_eq(vsock_new(t, VSOCK_UDP, 1, &v), 0);
    for (uint16_t i = 1; i <= 3; i++) {
        struct vsock_note note = {.len = i * 10u, .from = {.ip = LOOPBACK4, .port = i}};

        ck_assert_int_eq(vsock_note_push(t, v, &note), 0);
    }
    vsock_note_sync(t, v, 60);
    ck_assert_uint_eq(vsock_note_first(t, v)->from.port, 1);
    vsock_note_sync(t, v, 50); /* the first, of 10 bytes, is gone */
    ck_assert_uint_eq(vsock_note_first(t, v)->from.port, 2);
    vsock_note_pop(t, v);
    ck_assert_uint_eq(vsock_note_first(t, v)->from.port, 3);
    vsock_note_sync(t, v, 0);
    ck_assert_ptr_null(vsock_note_first(t, v));
    ck_assert_uint_eq(v->note_count, 0);
    vsock_table_free(t);
}
END_TEST

/* The stated memory of a virtual socket. */
START_TEST(vsock_is_small)
{
    ck_assert_uint_le(sizeof(struct vsock), 2048);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(slot_reused_has_new_generation),
    SUITE_TEST(table_full_is_enfile),
    SUITE_TEST(inode_again_belongs_to_newer),
    SUITE_ROWS(moves_are_those_of_the_table, ARRAY_COUNT(moves)),
    SUITE_ROWS(bind_conflicts_as_linux, ARRAY_COUNT(conflicts)),
    SUITE_TEST(identifier_taken_as_linux),
    SUITE_TEST(listener_most_exact_wins),
    SUITE_TEST(receiver_connected_first),
    SUITE_TEST(picked_ports_are_free),
    SUITE_TEST(queue_keeps_order),
    SUITE_TEST(options_are_bounded),
    SUITE_TEST(notes_follow_native_reads),
    SUITE_TEST(vsock_is_small),
};

SUITE_MAIN("vsock", tests)
