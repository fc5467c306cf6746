/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says about AF_UNIX sockets by their inode numbers (sock_diag(7)).
 */
#ifndef SANDBOX_UNIX_DIAG_H
#define SANDBOX_UNIX_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"

/** unix_diag_send() - Ask about the socket with @inode (its low half) in the network namespace in
 * which @fd (NETLINK_SOCK_DIAG) was made; with NLM_F_DUMP in @flags, and 0, about all. @show:
 * UDIAG_SHOW_…. False: errno. */
bool unix_diag_send(int fd, uint32_t inode, uint32_t show, uint16_t flags,
                    uint32_t serial) MUST_USE;

/* A probe for sockets of which we hold no end: does any process still have them open? */
struct unix_diag {
    int fd; /* NETLINK_SOCK_DIAG, or -1: not offered here; /proc/net/unix is read instead */
    int proc_unix_fd;
    uint32_t serial;
};
void unix_diag_init(struct unix_diag *d);
void unix_diag_done(struct unix_diag *d);
/** unix_diag_is_open() - True as well when it cannot be learnt. */
bool unix_diag_is_open(struct unix_diag *d, uint64_t inode);

#endif
