/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floods by a hostile peer (rogue.h), toward a gateway or a sandbox, and the honest connection that
 * must not feel them. One of each in a process: every test runs in a process of its own.
 *
 * Lifecycle: rogue_key → flood_up → rogue_join or rogue_join_client → the floods → flood_check →
 * flood_down.
 */
#ifndef TESTS_SUPPORT_FLOOD_H
#define TESTS_SUPPORT_FLOOD_H

#include "tests/support/rogue.h"

#define FLOOD_SYNS      12000u
#define FLOOD_STALLED   100u
#define FLOOD_PORT      2000u /* the rogue's first */
#define FLOOD_MSS       1380u
#define FLOOD_MSS_LEAST 48u /* what a stack believes at the least */

extern struct tunnel flood_tunnel;
extern struct rogue flood_rogue;
/** Maximum segment sizes that no honest stack offers. */
extern const uint16_t flood_tiny_mss[3];

/** flood_up() - The tunnel, and the honest connection through it to a host's socket. */
void flood_up(const struct tunnel_options *options);
void flood_down(void);
/** flood_pass() - The honest connection carries exact bytes, both ways. */
void flood_pass(void);
/** flood_check() - It still does, and another one can be made. */
void flood_check(void);

/** flood_syns() - FLOOD_SYNS of them, each from another port from FLOOD_PORT on, that no ACK
 * follows, to ports @step apart from @to's on. */
void flood_syns(struct endpoint to, unsigned step);
/** flood_holes() - Segments of one byte with a hole before each, on the rogue's connection from
 * FLOOD_PORT to @to. None may be taken. Then flood_close_hole(): all that was kept behind the first
 * one is. */
void flood_holes(const struct endpoint *to);
void flood_close_hole(const struct endpoint *to);
/** flood_tiny() - Write to @fd, whose other end is the rogue's FLOOD_PORT that offered @mss, more
 * than a stack queues in such pieces. */
void flood_tiny(int fd, uint16_t mss);
/** flood_stall() - Time passes for FLOOD_STALLED connections from FLOOD_PORT on with a closed
 * window: window probes come, and no more. */
void flood_stall(void);
/** flood_fragments() - Fragments that overlap, contradict each other and never make a datagram. */
void flood_fragments(const struct endpoint *to);
/** flood_exchange_fragments() - An honest datagram of many fragments, to a host's socket and back.
 */
void flood_exchange_fragments(void);
/** flood_garbage() - Segments with every combination of flags and random numbers from @ports ports
 * from FLOOD_PORT on, where a connection with @to is; half go to any port when @anywhere. */
void flood_garbage(const struct endpoint *to, unsigned ports, bool anywhere);

#endif
