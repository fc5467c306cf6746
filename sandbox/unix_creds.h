/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sent a message between two of the sandbox's AF_UNIX sockets. The supervisor performs the
 * agent's sendmsg(2), so SCM_CREDENTIALS (unix(7)) would name the supervisor; the receiver's copy
 * is put right from what is remembered here.
 */
#ifndef SANDBOX_UNIX_CREDS_H
#define SANDBOX_UNIX_CREDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct session;
struct trap;

#define UNIX_SENDERS 1024u

/** The latest sender to each receiving socket, by the receiver's inode number. */
struct unix_senders {
    bool is_wanted; /* some socket of the sandbox has SO_PASSCRED */
    struct {
        uint32_t receiver; /* 0: empty */
        pid_t sender;
    } rows[UNIX_SENDERS];
};

/** unix_creds_sent() - A message without a name left by the call's socket. Costs nothing until some
 * socket asked for credentials. */
void unix_creds_sent(struct session *s, const struct trap *t);
/** unix_creds_sender() - The process that sent to the socket of the call; 0: not known. */
pid_t unix_creds_sender(const struct session *s, const struct trap *t);

#endif
