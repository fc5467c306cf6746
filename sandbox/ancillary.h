/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ancillary data of UDP messages: what the socket's options ask for, with values of the sandbox.
 */
#ifndef SANDBOX_ANCILLARY_H
#define SANDBOX_ANCILLARY_H

#include "sandbox/session.h"
#include "sandbox/sys_udp.h"

#define ANCILLARY_MAX 4096u /* bytes of control data that one message may bring */

/** ancillary_read() - The control data of a message to an IPv4 or (@is_v6) IPv6 destination: @wish
 * is changed where it says so, a source address only to one of the sandbox's own. Errors: -EINVAL
 * malformed, or not known; -ENOBUFS more than ANCILLARY_MAX. */
int ancillary_read(struct session *s, const struct trap *t, uint64_t control, uint64_t len,
                   bool is_v6, struct udp_wish *wish) MUST_USE;

/** Control data on its way to the agent. */
struct ancillary {
    uint8_t data[512];
    size_t len;
};

/** ancillary_make() - What the options of the socket ask for about the datagram of @note, for
 * @room bytes of the agent's. MSG_CTRUNC is set in *flags when the room was too small. */
void ancillary_make(struct session *s, const struct vsock *v, const struct vsock_note *note,
                    size_t room, struct ancillary *ret, int *flags);

#endif
