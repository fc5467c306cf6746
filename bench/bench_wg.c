/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WireGuard in one process, without sockets: what one packet and one handshake cost. Two devices
 * hand each other datagrams through memory; a sample of a packet measurement is the mean of a
 * batch.
 *
 *   bench_wg [BATCHES]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "bench/samples.h"
#include "netstack/wg/crypto.h"
#include "netstack/wg/wg.h"

#define BATCH          100u
#define INNER_LEN      1420u
#define DATAGRAM_MAX   2048u
#define HANDSHAKES_MAX 2000u

struct side {
    struct wg *w;
    struct endpoint endpoint;
    uint8_t out[BATCH][DATAGRAM_MAX]; /* datagrams sent, oldest first */
    size_t out_len[BATCH];
    unsigned out_count;
    uint64_t delivered;
};

static struct side sides[2]; /* too large for the stack; written by this program's one thread */

/** This thread's time on a processor: other work on the machine disturbs it least. */
static double cpu_us(void)
{
    struct timespec ts;

    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) == 0);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void on_send(void *self, const struct endpoint *to, struct bytes datagram)
{
    struct side *s = self;

    (void)to;
    must(s->out_count < BATCH && datagram.len <= DATAGRAM_MAX);
    memcpy(s->out[s->out_count], datagram.data, datagram.len);
    s->out_len[s->out_count++] = datagram.len;
}

static void on_deliver(void *self, struct wg_peer_id peer, struct bytes packet)
{
    struct side *s = self;

    (void)peer;
    s->delivered += packet.len;
}

static int64_t wall_ns(void *self)
{
    const struct mono *now = self;

    return wall_now_ns() + now->ns;
}

/** Hand everything that @from sent to the other side. */
static void carry(unsigned from, struct mono now)
{
    struct side *s = &sides[from];
    unsigned count = s->out_count;

    s->out_count = 0;
    for (unsigned i = 0; i < count; i++)
        must(wg_input(sides[1 - from].w, &s->endpoint, s->out[i], s->out_len[i], now) ==
             WG_DROP_NONE);
}

static void sides_init(struct mono *now)
{
    struct wg_conf conf[2] = {{.address_count = 0}};
    struct wg_peer_conf peers[2] = {{.has_endpoint = true}, {.has_endpoint = true}};
    struct prefix allowed[2];

    for (unsigned i = 0; i < 2; i++) {
        wg_key_generate(rng_system(), conf[i].private_key);
        must(wg_key_public(conf[i].private_key, peers[1 - i].public_key) == 0);
        sides[i].endpoint = (struct endpoint){.ip = ip_v4(192, 0, 2, (uint8_t)i), .port = 1};
        allowed[i] = (struct prefix){.ip = ip_v4(10, 0, 0, (uint8_t)i), .bits = 32};
    }
    for (unsigned i = 0; i < 2; i++) {
        struct wg_sink sink = {.self = &sides[i], .send = on_send, .deliver = on_deliver};
        struct wg_env env = {.rng = rng_system(), .wall_ns = wall_ns, .self = now};

        peers[i].endpoint = sides[1 - i].endpoint;
        peers[i].allowed_ips = &allowed[1 - i];
        peers[i].allowed_ip_count = 1;
        conf[i].peers = &peers[i];
        conf[i].peer_count = 1;
        must(wg_new(&conf[i], &sink, &env, &sides[i].w, NULL) == 0);
    }
}

/** One handshake, both sides' work: initiation, response, confirming keepalive. */
static double handshake_us(struct mono now)
{
    struct ip ip = ip_v4(10, 0, 0, 1);
    struct wg_peer_id peer;
    double begin = cpu_us();

    must(wg_peer_find(sides[0].w, &ip, &peer) == 0);
    wg_handshake(sides[0].w, peer, now);
    must(sides[0].out_count == 1);
    carry(0, now);
    carry(1, now);
    carry(0, now);
    return cpu_us() - begin;
}

static void packets(unsigned batches, size_t len, const char *seal_name, const char *open_name,
                    struct mono now)
{
    static uint8_t packet[INNER_LEN]; /* zero but for its header */
    struct samples seal;
    struct samples open;

    samples_init(&seal, batches);
    samples_init(&open, batches);
    packet[0] = 0x45;
    store_be16(packet + 2, (uint16_t)len);
    memcpy(packet + 12, (uint8_t[]){10, 0, 0, 0, 10, 0, 0, 1}, 8);
    for (unsigned i = 0; i < batches; i++) {
        double begin = cpu_us();
        double middle;

        for (unsigned j = 0; j < BATCH; j++)
            must(wg_output(sides[0].w, bytes_of(packet, len), now) == WG_DROP_NONE);
        middle = cpu_us();
        carry(0, now);
        samples_add(&open, (cpu_us() - middle) * 1000 / BATCH);
        samples_add(&seal, (middle - begin) * 1000 / BATCH);
    }
    samples_print(&seal, seal_name, "ns", /*is_rate=*/false);
    samples_print(&open, open_name, "ns", /*is_rate=*/false);
    samples_done(&seal);
    samples_done(&open);
}

/** The cipher alone, as the floor of what a packet can cost. */
static void cipher_alone(unsigned batches)
{
    static uint8_t data[INNER_LEN + WG_TAG_LEN]; /* scratch */
    const uint8_t key[WG_KEY_LEN] = {1};
    struct cipher c = {0};
    struct samples seal;

    must(wg_cipher_reserve(&c) == 0);
    wg_cipher_key(&c, CIPHER_SEAL, key);
    samples_init(&seal, batches);
    for (unsigned i = 0; i < batches; i++) {
        double begin = cpu_us();

        for (unsigned j = 0; j < BATCH; j++)
            wg_cipher_seal(&c, j, data, INNER_LEN);
        samples_add(&seal, (cpu_us() - begin) * 1000 / BATCH);
    }
    samples_print(&seal, "aead_seal_1420", "ns", /*is_rate=*/false);
    samples_done(&seal);
    wg_cipher_done(&c);
}

int main(int argc, char **argv)
{
    unsigned batches = argc > 1 ? (unsigned)count_of(argv[1], 100000) : 1000;
    unsigned handshakes = batches < HANDSHAKES_MAX ? batches : HANDSHAKES_MAX;
    struct mono now = {.ns = NS_PER_S};
    struct samples shake;

    sides_init(&now);
    samples_init(&shake, handshakes);
    for (unsigned i = 0; i < handshakes; i++) {
        now = mono_add_ns(now, 10 * NS_PER_S); /* past REKEY_TIMEOUT */
        samples_add(&shake, handshake_us(now));
    }
    samples_print(&shake, "wg_handshake", "us", /*is_rate=*/false);
    samples_done(&shake);
    cipher_alone(batches);
    packets(batches, INNER_LEN, "wg_output_1420", "wg_input_1420", now);
    packets(batches, 60, "wg_output_60", "wg_input_60", now);
    for (unsigned i = 0; i < 2; i++)
        wg_free(sides[i].w);
    return EXIT_SUCCESS;
}
