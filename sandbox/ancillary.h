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

/** ancillary_write() - Write what the options of the socket ask for about the datagram of @note.
 * *ret_len: bytes written; MSG_CTRUNC is set in *flags when the room was too small. */
int ancillary_write(struct session *s, const struct trap *t, uint64_t control, uint64_t room,
                    const struct vsock_note *note, size_t *ret_len, int *flags) MUST_USE;

#endif
