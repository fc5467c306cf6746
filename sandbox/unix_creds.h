/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sent a message, or connected, between two of the sandbox's AF_UNIX sockets. The supervisor
 * performs the agent's sendmsg(2) and connect(2), so SCM_CREDENTIALS, SO_PEERCRED (unix(7)) and
 * their pidfds would name the supervisor; the receiver's copy is put right from what is remembered
 * here. A socket outside sees the supervisor: only the kernel can say another process number.
 */
#ifndef SANDBOX_UNIX_CREDS_H
#define SANDBOX_UNIX_CREDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct session;
struct trap;

#define UNIX_SENDERS 1024u
#ifndef SO_PASSPIDFD /* linux 6.5 */
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif

struct unix_sender {
    uint32_t inode; /* of the receiver, or of the socket that was connected; 0: empty */
    pid_t pid;
};

/** The latest sender to each receiving socket, by the receiver's inode number; and who connected
 * which socket. */
struct unix_senders {
    bool is_wanted; /* some socket of the sandbox has SO_PASSCRED or SO_PASSPIDFD */
    struct unix_sender senders[UNIX_SENDERS];
    struct unix_sender connectors[UNIX_SENDERS];
};

/** unix_creds_sent() - A message without a name left by the call's socket. Costs nothing until some
 * socket asked for credentials. */
void unix_creds_sent(struct session *s, const struct trap *t);
/** unix_creds_sender() - The process that sent to the socket of the call; 0: not known. */
pid_t unix_creds_sender(const struct session *s, const struct trap *t);
/** unix_creds_pidfd() - A pidfd that came with a message to the socket of the call. Where it is the
 * supervisor's, *@fd is replaced by the sender's; -1: not known. */
void unix_creds_pidfd(const struct session *s, const struct trap *t, int *fd);
/** unix_creds_connected() - The supervisor has connected the call's socket. */
void unix_creds_connected(struct session *s, const struct trap *t);
/** unix_creds_option() - getsockopt(2) of SO_PEERCRED or SO_PEERPIDFD. Process number 0, as of one
 * in another namespace, when the peer has closed, or too many have connected since. */
int64_t unix_creds_option(struct session *s, const struct trap *t);
/** unix_socket_exists() - Is there still a socket with @inode? */
bool unix_socket_exists(struct session *s, uint32_t inode);

#endif
