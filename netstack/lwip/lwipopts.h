/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lwIP as we use it: no operating system layer, one network interface (the WireGuard tunnel), IPv4
 * and IPv6, TCP by callbacks. UDP is ours (netstack/lwip_udp.c), on lwIP's IP layer through one raw
 * pcb, because a gateway answers from any address. Memory is the heap's, under one hard limit
 * (port.c).
 */
#ifndef LATTICE_LWIPOPTS_H
#define LATTICE_LWIPOPTS_H

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS          0 /* the loop's timers call tcp_tmr() and the reassembly timers */
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0
#define LWIP_SINGLE_NETIF    1
#define LWIP_HAVE_LOOPIF     0
#define LWIP_NETIF_LOOPBACK  0
#define LWIP_ARP             0
#define LWIP_ETHERNET        0
#define LWIP_DHCP            0
#define LWIP_AUTOIP          0
#define LWIP_IGMP            0
#define LWIP_DNS             0
#define LWIP_UDP             0
#define LWIP_RAW             1

/* Memory: mem_clib_* of arch/cc.h count and limit. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT   8

/* IPv4 and IPv6. No neighbour discovery on a tunnel: no duplicate detection, no router
 * solicitation. */
#define LWIP_IPV4                     1
#define LWIP_IPV6                     1
#define IP_FORWARD                    0
#define IP_REASSEMBLY                 1
#define IP_FRAG                       1
#define IP_REASS_MAX_PBUFS            512 /* fragments held at once; 47 make the largest datagram */
#define IP_REASS_MAXAGE               15  /* seconds */
#define LWIP_IPV6_NUM_ADDRESSES       1
#define LWIP_IPV6_REASS               1
#define LWIP_IPV6_FRAG                1
#define IPV6_FRAG_COPYHEADER          1 /* pointers have 8 bytes */
#define LWIP_IPV6_SCOPES              0
#define LWIP_IPV6_MLD                 0
#define LWIP_IPV6_AUTOCONFIG          0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_ND6_ALLOW_RA_UPDATES     0
#define LWIP_ND6_NUM_NEIGHBORS        1
#define LWIP_ND6_NUM_DESTINATIONS     1
#define LWIP_ND6_NUM_PREFIXES         1
#define LWIP_ND6_NUM_ROUTERS          1
#define LWIP_ICMP                     1
#define LWIP_ICMP6                    1
#define LWIP_BROADCAST_PING           0
#define LWIP_MULTICAST_PING           0

/* TCP. A slow tick (2 x TCP_TMR_INTERVAL) is the unit of the retransmission timer. */
#define LWIP_TCP                   1
#define TCP_TMR_INTERVAL           25   /* ms; also the longest delay of an ACK is one tick */
#define LWIP_TCP_RTO_TIME          1000 /* ms, RFC 6298 (2.1) */
#define LWIP_TCP_RTO_MIN           200 /* ms; patch 0001. RFC 6298 (2.4) says 1 s, Linux has 200 ms */
#define TCP_SYNMAXRTX              7 /* with patch 0001: gives up after 1+2+…+64 = 127 s, as Linux does */
#define TCP_MAXRTX                 12
#define TCP_MSL                    5000 /* ms; TIME_WAIT lasts twice this, so that ports come back */
#define TCP_ORPHAN_TIMEOUT         100000 /* ms; patch 0008. Linux's tcp_orphan_retries of 8: as long */
#define TCP_LOCAL_PORT_RANGE_START 32768
#define TCP_LOCAL_PORT_RANGE_END   60999
#define TCP_ENSURE_LOCAL_PORT_RANGE(port)                                                          \
    ((u16_t)(TCP_LOCAL_PORT_RANGE_START +                                                          \
             (port) % (TCP_LOCAL_PORT_RANGE_END - TCP_LOCAL_PORT_RANGE_START)))
#define TCP_MSS                         8960 /* upper bound; the interface's MTU decides */
#define LWIP_WND_SCALE                  1
#define TCP_RCV_SCALE                   5
#define TCP_WND                         (1024 * 1024)
#define TCP_SND_BUF                     (1024 * 1024)
#define TCP_SND_QUEUELEN                8192
#define MEMP_NUM_TCP_SEG                TCP_SND_QUEUELEN /* only checked, the heap serves */
#define TCP_SNDLOWAT                    16384 /* below 64 KiB - 4 x MSS, or lwIP's own check refuses */
#define TCP_WND_UPDATE_THRESHOLD        (TCP_WND / 4)
#define TCP_QUEUE_OOSEQ                 1
#define TCP_OOSEQ_MAX_BYTES             TCP_WND
#define TCP_OOSEQ_MAX_PBUFS             2048 /* a flood of tiny segments is held to this many */
#define LWIP_TCP_SACK_OUT               1
#define LWIP_TCP_MAX_SACK_NUM           4
#define LWIP_TCP_KEEPALIVE              1
#define LWIP_TCP_TIMESTAMPS             0
#define TCP_LISTEN_BACKLOG              0 /* SYNs are held and counted before lwIP sees them */
#define LWIP_TCP_CALC_INITIAL_CWND(mss) ((tcpwnd_size_t)10U * (mss)) /* RFC 6928 */

#define LWIP_STATS            1
#define LWIP_STATS_LARGE      1
#define MEM_STATS             0
#define SYS_STATS             0
#define LWIP_CHECKSUM_ON_COPY 0

/* RFC 6528: a keyed hash of the connection plus a clock. */
#define LWIP_HOOK_FILENAME "netstack/lwip/port.h"
#define LWIP_HOOK_TCP_ISN  lattice_lwip_isn
/* There is one way out for every destination. */
#define LWIP_HOOK_IP4_ROUTE_SRC(src, dst) netif_default
/* Of our patches: which bucket a connection is in, and whether a pcb's output waits for the batch's
 * end. */
#define LWIP_HOOK_TCP_HASH         lattice_lwip_hash
#define LWIP_HOOK_TCP_DEFER_OUTPUT lattice_lwip_defer_output

#endif
