/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives at a datagram socket, with what its control messages say: the next datagram, or the
 * next error of its queue (ip(7) and ipv6(7): IP_RECVERR, IP_RECVTTL, IP_RECVTOS, and theirs).
 */
#ifndef BASE_ARRIVAL_H
#define BASE_ARRIVAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/must.h"

struct arrival {
    struct endpoint from;     /* of an error: where the datagram was sent. IP_NONE: not an Internet
                               * address */
    int hops;                 /* time to live, or hop limit; -1: not told */
    int class;                /* type of service, or traffic class; -1: not told */
    int error;                /* errno of the error; 0: none */
    uint8_t type;             /* of the ICMP message behind it; 0: none */
    uint8_t code;             /* the same */
    struct endpoint offender; /* who sent that; IP_NONE: not told, or this host without a message */
};

/**
 * arrival_receive() - recvmsg(2), never waiting. @flags: MSG_ERRQUEUE for an error, or 0. Returns
 * bytes (of an error: those of the datagram that it is about), or -errno: -EAGAIN there is nothing;
 * of a datagram also a pending error, whose details are in the queue.
 */
ssize_t arrival_receive(int fd, int flags, void *buffer, size_t cap, struct arrival *ret) MUST_USE;

#endif
