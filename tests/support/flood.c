/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/flood.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define HOLES   6000u
#define PIECES  3000u
#define GARBAGE 5000u

struct tunnel flood_tunnel;
struct rogue flood_rogue;
const uint16_t flood_tiny_mss[3] = {1, 7, 64};

static struct tunnel *const t = &flood_tunnel;
static struct rogue *const rogue = &flood_rogue;
static struct tunnel_owner honest;
static struct endpoint honest_at;
static int honest_listener, honest_server;

void flood_pass(void)
{
    tunnel_pass(t, honest.agent, honest_server, 50000, 1, 20000);
    tunnel_pass(t, honest_server, honest.agent, 50000, 2, 20000);
}

void flood_up(const struct tunnel_options *options)
{
    tunnel_up(t, options);
    honest_listener = tunnel_listen(IP_V4, &honest_at);
    tunnel_connect(t, honest_listener, &honest_at, &honest, &honest_server);
}

void flood_check(void)
{
    struct tunnel_owner another;
    int server;

    flood_pass();
    tunnel_connect(t, honest_listener, &honest_at, &another, &server);
    tunnel_pass(t, another.agent, server, 100000, 3, 20000);
    (void)close(another.agent);
    (void)close(server);
    tunnel_wait(t, &another.closed, 1, 10000);
}

void flood_down(void)
{
    (void)close(honest.agent);
    (void)close(honest_server);
    tunnel_wait(t, &honest.closed, 1, 10000);
    (void)close(honest_listener);
    rogue_leave(rogue);
    tunnel_down(t);
}

/** While a flood of small packets lasts, @i of them so far. */
static void pass_sometimes(unsigned i)
{
    if (i % 2000 == 1000)
        flood_pass();
}

void flood_syns(struct endpoint to, unsigned step)
{
    unsigned first = to.port;

    for (unsigned i = 0; i < FLOOD_SYNS; i++) {
        to.port = (uint16_t)(1 + (first - 1 + i * step) % 65535);
        rogue_send(rogue, &(struct rogue_segment){.from = (uint16_t)(FLOOD_PORT + i),
                                                  .to = to,
                                                  .seq = i * 7919,
                                                  .flags = ROGUE_SYN,
                                                  .window = 65535,
                                                  .mss = FLOOD_MSS});
        pass_sometimes(i);
    }
    rogue_turn(rogue, 50);
}

static struct rogue_segment one_byte(const struct endpoint *to)
{
    return (struct rogue_segment){.from = FLOOD_PORT,
                                  .to = *to,
                                  .seq = ROGUE_OWN_SEQ,
                                  .ack = rogue->ports[FLOOD_PORT].their_seq + 1,
                                  .flags = ROGUE_ACK,
                                  .window = 65535,
                                  .len = 1};
}

void flood_holes(const struct endpoint *to)
{
    struct rogue_segment s = one_byte(to);

    for (unsigned i = 0; i < HOLES; i++) {
        s.seq = ROGUE_OWN_SEQ + 1 + 2 * (i * 7919 % HOLES); /* in no order */
        rogue_send(rogue, &s);
        pass_sometimes(i);
    }
    rogue_turn(rogue, 50);
    ck_assert_uint_gt(rogue->ports[s.from].segments, HOLES / 100); /* duplicate ACKs */
    ck_assert_uint_eq(rogue->ports[s.from].their_ack, ROGUE_OWN_SEQ);
}

void flood_close_hole(const struct endpoint *to)
{
    struct rogue_segment s = one_byte(to);

    for (unsigned i = 0; i < 100 && rogue->ports[s.from].their_ack == ROGUE_OWN_SEQ; i++) {
        rogue_send(rogue, &s);
        rogue_turn(rogue, 20);
    }
    ck_assert_uint_gt(rogue->ports[s.from].their_ack, ROGUE_OWN_SEQ);
}

void flood_tiny(int fd, uint16_t mss)
{
    static uint8_t payload[65536];
    struct rogue_port *port = &rogue->ports[FLOOD_PORT];

    for (unsigned i = 0; i < 5; i++) {
        /* First what is queued in pieces of that size, then more than is. */
        ck_assert_int_gt(write(fd, payload, i == 0 ? 4000 : sizeof(payload)), 0);
        rogue_turn(rogue, 50);
        flood_pass();
    }
    printf("MSS %u: %u segments, %u bytes, the largest %u\n", mss, port->segments, port->bytes,
           port->largest);
    ck_assert_uint_gt(port->bytes, 0);
    ck_assert_uint_le(port->largest, mss > FLOOD_MSS_LEAST ? mss : FLOOD_MSS_LEAST);
}

void flood_stall(void)
{
    unsigned got = 0;

    for (unsigned i = 0; i < 10; i++) {
        rogue_turn(rogue, 100);
        flood_pass();
    }
    for (unsigned i = 0; i < FLOOD_STALLED; i++) {
        got += rogue->ports[FLOOD_PORT + i].bytes;
        ck_assert_uint_lt(rogue->ports[FLOOD_PORT + i].bytes, 100); /* a byte each */
    }
    printf("%u bytes were probed\n", got);
    ck_assert_uint_gt(got, 0);
}

void flood_fragments(const struct endpoint *to)
{
    for (unsigned i = 0; i < PIECES; i++) {
        uint16_t id = (uint16_t)(i / 10);

        rogue_fragment(rogue, to, id, i % 10 * 8 * 50, 808, true); /* twice each byte */
        rogue_fragment(rogue, to, id, 65528, 400, i % 2 == 0);     /* beyond the end */
        if (i % 10 == 5)
            rogue_fragment(rogue, to, id, 16, 8, false); /* an end in the middle */
        if (i % 1000 == 500)
            flood_pass();
    }
}

static void count_datagram(void *self, struct dgram *d, const struct endpoint *from,
                           struct bytes payload)
{
    int *bytes = self;

    (void)d;
    (void)from;
    *bytes = (int)payload.len;
}

void flood_exchange_fragments(void)
{
    static const struct dgram_events events = {.received = count_datagram};
    static uint8_t payload[20000], got[65536];
    struct endpoint at = {.ip = ip_v4(127, 0, 0, 1)};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&at, &sa);
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int came = 0;
    ssize_t n = -1;
    struct dgram *d;

    ck_assert_int_eq(bind(server, (struct sockaddr *)&sa, len), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(server, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), &at), 0);
    ck_assert_int_eq(dgram_open(t->ns, IP_V4, 0, &events, &came, &d), 0);
    ck_assert_int_eq(dgram_send(d, &at, bytes_of(payload, sizeof(payload))), 0);
    for (unsigned i = 0; n < 0 && i < 1000; i++) {
        rogue_turn(rogue, 1);
        len = sizeof(sa);
        n = recvfrom(server, got, sizeof(got), 0, (struct sockaddr *)&sa, &len);
    }
    ck_assert_int_eq(n, sizeof(payload));
    ck_assert_int_eq(sendto(server, got, (size_t)n, 0, (struct sockaddr *)&sa, len), n);
    tunnel_wait(t, &came, 0, 10000);
    ck_assert_int_eq(came, sizeof(payload));
    dgram_close(d);
    (void)close(server);
}

void flood_garbage(const struct endpoint *to, unsigned ports, bool anywhere)
{
    struct endpoint at = *to;
    uint32_t seed = 1;

    for (unsigned i = 0; i < GARBAGE; i++) {
        seed = seed * 1664525 + 1013904223;
        at.port = !anywhere || (seed & 4) != 0 ? to->port : (uint16_t)(seed >> 10);
        rogue_send(rogue, &(struct rogue_segment){
                              .from = (uint16_t)(FLOOD_PORT + (seed >> 8) % ports),
                              .to = at,
                              .seq = (seed & 1) != 0 ? ROGUE_OWN_SEQ + (seed >> 20) : seed,
                              .ack = rogue->ports[FLOOD_PORT].their_seq + (seed >> 28),
                              .flags = (uint16_t)(i & 0x3f),
                              .window = (uint16_t)(seed >> 16),
                              .mss = (seed & 2) != 0 ? (uint16_t)(seed >> 4) : 0,
                              .len = seed >> 23});
        pass_sometimes(i);
    }
    ck_assert_uint_gt(rogue->replies, GARBAGE / 100);
}
