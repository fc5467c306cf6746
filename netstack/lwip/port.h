/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform under lwIP: time, randomness, memory with a limit, the Internet checksum, and the
 * initial sequence numbers of RFC 6528. Included by lwIP itself (LWIP_HOOK_FILENAME), and by
 * lwip_*.c.
 */
#ifndef LATTICE_LWIP_PORT_H
#define LATTICE_LWIP_PORT_H

#include <stddef.h>
#include <stdint.h>

#include <lwip/ip_addr.h>

/** All that lwIP may hold at once: pcbs, segments, packets. Beyond it packets are dropped. */
#define LWIP_MEMORY_MAX_BYTES (256u << 20)

/** lattice_lwip_time() - Tell lwIP the loop's monotonic time; sys_now() and sequence numbers use
 * it. */
void lattice_lwip_time(int64_t mono_ns);
/** lattice_lwip_key() - A fresh key for sequence numbers; once, at start. */
void lattice_lwip_key(void);
/** Bytes and pieces that lwIP holds now, for leak checks and metrics. */
size_t lattice_lwip_memory_bytes(void);
size_t lattice_lwip_memory_pieces(void);

/** lattice_lwip_isn() - RFC 6528 section 3: a 4 µs clock plus a keyed hash of the connection. */
uint32_t lattice_lwip_isn(const ip_addr_t *local_ip, uint16_t local_port,
                          const ip_addr_t *remote_ip, uint16_t remote_port);

/** lattice_lwip_hash() - Keyed, so that nobody can choose ports that meet in one bucket. */
uint32_t lattice_lwip_hash(const ip_addr_t *local_ip, uint16_t local_port,
                           const ip_addr_t *remote_ip, uint16_t remote_port);

struct tcp_pcb;
/** lattice_lwip_defer_output() - True: the carrier will call tcp_output(@pcb) at the end of this
 * batch. (netstack/lwip_tcp.c sets who decides; nobody: never.) */
int lattice_lwip_defer_output(struct tcp_pcb *pcb);
void lattice_lwip_set_defer(int (*defer)(struct tcp_pcb *pcb));
/** lattice_lwip_set_tick() - Who is told that TCP needs its timer from now on. */
void lattice_lwip_set_tick(void (*needed)(void));

/** lattice_siphash() - SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash of short input. */
uint64_t lattice_siphash(const uint8_t key[static 16], const uint8_t *data, size_t len);

#endif
