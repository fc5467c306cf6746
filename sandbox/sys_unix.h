/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on AF_UNIX sockets of the kernel's. What could reach the host is done by the supervisor, on
 * copies of the arguments and on the very socket that was looked at; nothing of it is left to the
 * kernel, where another thread could still change it.
 */
#ifndef SANDBOX_SYS_UNIX_H
#define SANDBOX_SYS_UNIX_H

#include <sys/uio.h>

#include "sandbox/unix_target.h"

/** Sockets that we made for the agent and keep a duplicate of, because we could not get one when it
 * connects (pidfd_getfd refused, as in Docker). Only those that may still connect. */
#define UNIX_KEPT_MAX 512u

struct unix_kept {
    uint64_t inode;
    int fd; /* owned; meaningful when inode is not 0 */
    bool is_bound;
    bool is_seen; /* by the look at everybody's descriptors */
};

/** unix_socket() - socket(2) of AF_UNIX, in places where it is trapped (filter.h). */
int64_t unix_socket(struct session *s, struct trap *t);
/** unix_kept_fd() - Our duplicate of the socket with @inode; -1: none. */
int unix_kept_fd(struct session *s, uint64_t inode);
void unix_kept_drop(struct session *s, uint64_t inode);
void unix_kept_done(struct session *s);
/** unix_bind() - The agent is about to bind the socket. */
void unix_bind(struct session *s, const struct trap *t);

/** unix_connect() - connect(2), judged and performed on a copy of the address. */
int64_t unix_connect(struct session *s, struct trap *t);

/** A message to send or a place for one; all pointers are the agent's, still to be copied. */
struct unix_message {
    uint64_t name; /* 0: none */
    uint32_t name_len;
    uint64_t control; /* 0: none */
    uint64_t control_len;
    uint64_t header; /* of struct msghdr; 0: the call has none */
    int flags;
    unsigned iov_count;
    const struct iovec *iov;
    size_t total;
    bool is_one_of_many; /* of recvmmsg(2): the caller answers */
    bool is_tcp; /* the socket stands for a TCP socket: it has neither names nor control data */
};

/** unix_send() - sendmsg(2). CALL_CONTINUE only without a name and where no duplicate is to be had.
 */
int64_t unix_send(struct session *s, const struct trap *t, const struct unix_message *m);
/** unix_receive() - recvmsg(2). Answers itself (CALL_DONE) what came. CALL_CONTINUE only where no
 * duplicate is to be had. */
int64_t unix_receive(struct session *s, const struct trap *t, const struct unix_message *m);

#endif
