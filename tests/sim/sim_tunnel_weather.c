/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams through the tunnel in all weathers: datagrams are lost, doubled, late by more than a
 * retransmission timeout; the network dies for a while; either end stops reading until every window
 * is closed. Whatever the weather, each byte arrives once, in its place.
 *
 * LATTICE_WEATHER_SEED=N: other chances than the usual ones; LATTICE_WEATHER_ROW=N: only that row.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/support/suite.h"
#include "tests/support/tunnel.h"

#define LIMIT_MS  60000
#define PIECE_MAX 65536u

static const struct story {
    const char *name;
    struct tunnel_weather weather;
    size_t len;         /* bytes each way */
    unsigned dead_ms;   /* the network dies now and then, for up to this */
    unsigned pause_ms;  /* a reader pauses now and then, for up to this */
    unsigned stall_ms;  /* our whole end stands still now and then, for up to this */
    unsigned piece_max; /* bytes of one write or read */
    unsigned waits;     /* after one in so many writes the writer waits until all was read */
} stories[] = {
    {.name = "calm", .len = 8 << 20, .piece_max = PIECE_MAX},
    {.name = "rain",
     .weather = {.loss_percent = 2, .late_percent = 5, .late_ms = 5},
     .len = 1 << 20,
     .piece_max = PIECE_MAX},
    {.name = "echo",
     .weather = {.twice_percent = 50, .late_ms = 30},
     .len = 8 << 20,
     .piece_max = PIECE_MAX},
    {.name = "gusts",
     .weather = {.late_percent = 50, .late_ms = 40},
     .len = 2 << 20,
     .piece_max = PIECE_MAX},
    {.name = "far away",
     .weather = {.late_percent = 100, .late_ms = 400},
     .len = 200000,
     .piece_max = PIECE_MAX},
    {.name = "tiny pieces in the rain",
     .weather = {.loss_percent = 1, .late_percent = 10, .late_ms = 5},
     .len = 60000,
     .piece_max = 20},
    {.name = "records in the rain",
     .weather = {.loss_percent = 2, .late_percent = 5, .late_ms = 5},
     .len = 2 << 20,
     .piece_max = 3000,
     .waits = 8},
    {.name = "readers pause", .len = 16 << 20, .pause_ms = 300, .piece_max = 20000},
    {.name = "readers pause in the rain",
     .weather = {.loss_percent = 1, .twice_percent = 1},
     .len = 8 << 20,
     .pause_ms = 300,
     .piece_max = 20000},
    {.name = "power cuts", .len = 16 << 20, .dead_ms = 700, .piece_max = PIECE_MAX},
    {.name = "a starved machine",
     .len = 16 << 20,
     .pause_ms = 100,
     .stall_ms = 400,
     .piece_max = PIECE_MAX},
    {.name = "everything",
     .weather = {.loss_percent = 1, .twice_percent = 2, .late_percent = 5, .late_ms = 250},
     .len = 100000,
     .dead_ms = 400,
     .pause_ms = 200,
     .stall_ms = 300,
     .piece_max = 20000,
     .waits = 100},
};

/** The byte at place @at of a stream: no two places have the same neighbourhood. */
static uint8_t byte_at(uint8_t stream, size_t at)
{
    uint64_t x = ((uint64_t)stream << 56 | (uint64_t)(at / 8)) + 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u; /* splitmix64 (Steele, Lea, Flood 2014) */
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint8_t)((x ^ x >> 31) >> at % 8 * 8);
}

struct direction {
    uint8_t stream;
    int from, to;
    size_t len, sent, got;
    struct mono paused; /* the reader, until then */
    bool waits;         /* the writer, until all was read */
    size_t piece_len;   /* of the write that did not go out yet */
    uint8_t piece[PIECE_MAX];
};

static void write_some(struct direction *d, const struct story *s, uint64_t *seed)
{
    ssize_t put;

    d->waits = d->waits && d->got < d->sent;
    if (d->sent == d->len || d->waits)
        return;
    if (d->piece_len == 0) {
        d->piece_len = 1 + tunnel_chance(seed, s->piece_max);
        if (d->piece_len > d->len - d->sent)
            d->piece_len = d->len - d->sent;
        for (size_t i = 0; i < d->piece_len; i++)
            d->piece[i] = byte_at(d->stream, d->sent + i);
    }
    put = io_write(d->from, d->piece, d->piece_len);
    if (put == -EAGAIN)
        return;
    ck_assert_msg(put > 0, "%s: write gave %zd", s->name, put);
    d->sent += (size_t)put;
    d->piece_len = 0;
    d->waits = s->waits > 0 && tunnel_chance(seed, s->waits) == 0;
    if (d->sent == d->len)
        ck_assert_int_eq(shutdown(d->from, SHUT_WR), 0);
}

static void read_some(struct direction *d, const struct story *s, uint64_t *seed, struct mono now)
{
    static uint8_t piece[PIECE_MAX];
    ssize_t got;

    if (d->got == d->len || mono_before(now, d->paused))
        return;
    got = io_read(d->to, piece, 1 + tunnel_chance(seed, s->piece_max));
    if (got == -EAGAIN)
        return;
    ck_assert_msg(got > 0, "%s: read of stream %u gave %zd after %zu of %zu bytes", s->name,
                  d->stream, got, d->got, d->len);
    for (ssize_t i = 0; i < got; i++) /* no ck_assert for each byte: it writes to a file */
        if (piece[i] != byte_at(d->stream, d->got + (size_t)i))
            ck_abort_msg("%s: byte %zu of stream %u is another", s->name, d->got + (size_t)i,
                         d->stream);
    d->got += (size_t)got;
    if (s->pause_ms > 0 && tunnel_chance(seed, 200) == 0)
        d->paused = mono_add_ms(now, (int64_t)tunnel_chance(seed, s->pause_ms));
}

/** Until when something lasts that begins now, once in a while. */
static struct mono until(uint64_t *seed, unsigned ms, struct mono now, struct mono before)
{
    if (ms == 0 || mono_before(now, before) || tunnel_chance(seed, 400) != 0)
        return before;
    return mono_add_ms(now, (int64_t)tunnel_chance(seed, ms));
}

static void transfer(struct tunnel *t, const struct story *s, struct direction way[2],
                     uint64_t *seed)
{
    struct mono limit = mono_add_ms(mono_now(), LIMIT_MS);
    struct mono dead = {0}, stall = {0};

    while (way[0].got < way[0].len || way[1].got < way[1].len) {
        struct mono now = mono_now();

        ck_assert_msg(mono_before(now, limit), "%s: only %zu and %zu of %zu bytes", s->name,
                      way[0].got, way[1].got, s->len);
        for (unsigned i = 0; i < 2; i++) {
            write_some(&way[i], s, seed);
            read_some(&way[i], s, seed, now);
        }
        dead = until(seed, s->dead_ms, now, dead);
        t->relay.weather.is_dead = mono_before(now, dead);
        stall = until(seed, s->stall_ms, now, stall);
        if (!mono_before(now, stall))
            ck_assert_int_eq(loop_turn(t->loop, mono_add_ms(now, 1)), 0);
    }
}

START_TEST(each_byte_arrives_once_in_its_place)
{
    const struct story *s = &stories[_i];
    struct tunnel_options options = {.has_relay = true};
    const char *wish = getenv("LATTICE_WEATHER_SEED"), *only = getenv("LATTICE_WEATHER_ROW");
    uint64_t seed = 1001 * (wish != NULL ? strtoull(wish, NULL, 10) : 1) + (unsigned)_i;
    static struct direction way[2]; /* each test runs in a process of its own */
    struct tunnel t;
    struct tunnel_owner o;
    struct endpoint at;
    int listener, server;

    if (only != NULL && strtol(only, NULL, 10) != _i)
        return;
    tunnel_up(&t, &options);
    listener = tunnel_listen(seed % 2 == 0 ? IP_V4 : IP_V6, &at);
    tunnel_connect(&t, listener, &at, &o, &server);
    way[0].stream = 1;
    way[1].stream = 2;
    way[0].len = way[1].len = s->len;
    way[0].from = way[1].to = o.agent;
    way[1].from = way[0].to = server;
    t.relay.weather = s->weather;
    t.relay.seed = seed;
    transfer(&t, s, way, &seed);
    t.relay.weather = (struct tunnel_weather){0};
    tunnel_wait(&t, &o.closed, 1, LIMIT_MS);
    ck_assert_int_eq(o.closed, 0);
    ck_assert_uint_eq(o.stats.bytes_out, s->len);
    ck_assert_uint_eq(o.stats.bytes_in, s->len);
    close(o.agent);
    close(server);
    close(listener);
    tunnel_turns(&t, 100);
    tunnel_down(&t);
}
END_TEST

static const struct suite_test tests[] = {
    {.name = "each_byte_arrives_once_in_its_place",
     .test = &each_byte_arrives_once_in_its_place,
     .rows = ARRAY_COUNT(stories),
     .limit_s = 150},
};
SUITE_MAIN("tunnel_weather", tests)
