/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message as the send and receive calls describe it: copied from the agent once, checked as the
 * kernel does, and then only this copy is looked at.
 */
#ifndef SANDBOX_MESSAGE_H
#define SANDBOX_MESSAGE_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "sandbox/session.h"

#define MESSAGE_IOV_FEW 64u   /* pieces that need no heap */
#define MESSAGES_MAX    1024u /* of one call; UIO_MAXIOV: Linux cuts vlen there */

/** A message as one of the calls describes it, in our own memory. */
struct message {
    uint64_t name; /* agent's pointers; 0: none */
    uint32_t name_len;
    uint64_t control;
    uint64_t control_len;
    uint64_t header; /* where the agent's struct msghdr is; 0: sendto, recvfrom */
    int flags;
    unsigned iov_count;
    size_t total;
    bool is_fetched; /* raw_name has the name, and the session's scratch buffer all bytes */
    struct sockaddr_storage raw_name;
    struct iovec *iov; /* few, or owned */
    struct iovec few[MESSAGE_IOV_FEW];
};

/** message_read() - Of the agent's struct msghdr at @header. message_done() in any case. Errors:
 * those of sendmsg(2). */
int message_read(struct session *s, const struct trap *t, uint64_t header, int flags,
                 struct message *ret) MUST_USE;
/** message_of_call() - sendto() and recvfrom() as a message of one piece. */
void message_of_call(const struct trap *t, struct message *ret);
void message_done(struct message *m);
/** message_for_unix() - The same for unix_msg.c: on a socket of the kernel's (AF_UNIX), and on a
 * TCP socket's stand-in. */
struct unix_message message_for_unix(const struct trap *t, const struct message *m);

#endif
