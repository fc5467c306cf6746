/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform under lwIP. It keeps a few values in globals, as lwIP itself does: a process has one
 * stack. It never reads a clock (the loop's time is handed in) and never sleeps.
 */
#include "netstack/lwip/port.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/rng.h"
#include <lwip/sys.h>

/* Written by lattice_lwip_time() and lattice_lwip_key(), and by the allocator below. */
static int64_t time_ns;
static uint8_t isn_key[16];
static uint8_t hash_key[16];
static int (*defer_output)(struct tcp_pcb *pcb);
static void (*tick_needed)(void);
static size_t held_bytes;
static size_t held_pieces;
/* Random words in store, so that a port number does not cost a system call. */
static uint32_t pool[64];
static unsigned pool_left;

void lattice_lwip_time(int64_t mono_ns)
{
    time_ns = mono_ns;
}

void lattice_lwip_key(void)
{
    struct rng rng = rng_system();

    rng.fill(rng.self, isn_key, sizeof(isn_key));
    rng.fill(rng.self, hash_key, sizeof(hash_key));
}

u32_t sys_now(void)
{
    return (u32_t)(time_ns / 1000000);
}

uint32_t lattice_lwip_random(void)
{
    uint32_t word;

    if (pool_left == 0) {
        struct rng rng = rng_system();

        rng.fill(rng.self, pool, sizeof(pool));
        pool_left = ARRAY_COUNT(pool);
    }
    word = pool[--pool_left];
    pool[pool_left] = 0;
    return word;
}

void *lattice_lwip_malloc(size_t len)
{
    void *p;

    if (held_bytes + len > LWIP_MEMORY_MAX_BYTES)
        return NULL;
    p = malloc(len);
    if (p == NULL)
        return NULL;
    held_bytes += malloc_usable_size(p);
    held_pieces++;
    return p;
}

void *lattice_lwip_calloc(size_t count, size_t len)
{
    size_t all;
    void *p;

    if (__builtin_mul_overflow(count, len, &all))
        return NULL;
    p = lattice_lwip_malloc(all);
    if (p != NULL)
        memset(p, 0, all);
    return p;
}

void lattice_lwip_free(void *p)
{
    if (p == NULL)
        return;
    held_bytes -= malloc_usable_size(p);
    held_pieces--;
    free(p);
}

size_t lattice_lwip_memory_bytes(void)
{
    return held_bytes;
}

size_t lattice_lwip_memory_pieces(void)
{
    return held_pieces;
}

void lattice_lwip_assert(const char *what, const char *file, int line)
{
    must_failed(what, file, line, "lwIP");
}

static uint64_t load_word(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/** Add with the carry brought round, as one's complement addition does. */
static uint64_t add_carry(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? sum + 1 : sum;
}

/**
 * The one's complement sum of RFC 1071, in memory order, 8 bytes at a time in four chains. Any
 * alignment; an odd last byte counts as if a zero byte followed it.
 */
uint16_t lattice_lwip_checksum(const void *data, int len)
{
    const uint8_t *p = data;
    size_t left = (size_t)len;
    uint64_t a = 0, b = 0, c = 0, d = 0, sum;

    for (; left >= 32; left -= 32, p += 32) {
        a = add_carry(a, load_word(p));
        b = add_carry(b, load_word(p + 8));
        c = add_carry(c, load_word(p + 16));
        d = add_carry(d, load_word(p + 24));
    }
    sum = add_carry(add_carry(a, b), add_carry(c, d));
    for (; left >= 8; left -= 8, p += 8)
        sum = add_carry(sum, load_word(p));
    if (left > 0) {
        uint8_t tail[8] = {0};

        memcpy(tail, p, left);
        sum = add_carry(sum, load_word(tail));
    }
    sum = (sum >> 32) + (sum & 0xffffffffu);
    sum = (sum >> 32) + (sum & 0xffffffffu);
    sum = (sum >> 16) + (sum & 0xffffu);
    sum = (sum >> 16) + (sum & 0xffffu);
    sum = (sum >> 16) + (sum & 0xffffu);
    return (uint16_t)sum;
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t lattice_siphash(const uint8_t key[static 16], const uint8_t *data, size_t len)
{
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)len << 56;
    size_t left = len;

    for (; left >= 8; left -= 8, data += 8) {
        uint64_t m = load_le64(data);

        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)data[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static size_t put_address(uint8_t *to, const ip_addr_t *ip)
{
    size_t len = IP_IS_V6(ip) ? 16 : 4;

    memcpy(to, IP_IS_V6(ip) ? (const void *)ip_2_ip6(ip)->addr : (const void *)&ip_2_ip4(ip)->addr,
           len);
    return len;
}

static uint64_t hash_tuple(const uint8_t key[static 16], const ip_addr_t *local_ip,
                           uint16_t local_port, const ip_addr_t *remote_ip, uint16_t remote_port)
{
    uint8_t tuple[2 * 16 + 4];
    size_t len = put_address(tuple, local_ip);

    len += put_address(tuple + len, remote_ip);
    store_be16(tuple + len, local_port);
    store_be16(tuple + len + 2, remote_port);
    return lattice_siphash(key, tuple, len + 4);
}

uint32_t lattice_lwip_isn(const ip_addr_t *local_ip, uint16_t local_port,
                          const ip_addr_t *remote_ip, uint16_t remote_port)
{
    return (uint32_t)(time_ns / 4000) +
           (uint32_t)hash_tuple(isn_key, local_ip, local_port, remote_ip, remote_port);
}

uint32_t lattice_lwip_hash(const ip_addr_t *local_ip, uint16_t local_port,
                           const ip_addr_t *remote_ip, uint16_t remote_port)
{
    return (uint32_t)hash_tuple(hash_key, local_ip, local_port, remote_ip, remote_port);
}

void lattice_lwip_set_defer(int (*defer)(struct tcp_pcb *pcb))
{
    defer_output = defer;
}

int lattice_lwip_defer_output(struct tcp_pcb *pcb)
{
    return defer_output != NULL && defer_output(pcb);
}

void lattice_lwip_set_tick(void (*needed)(void))
{
    tick_needed = needed;
}

/** Called by lwIP whenever a pcb enters a list. */
void tcp_timer_needed(void)
{
    if (tick_needed != NULL)
        tick_needed();
}
