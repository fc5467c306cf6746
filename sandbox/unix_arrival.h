/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of AF_UNIX sockets in our hands: the descriptors that go with them, and those messages
 * that were taken from a socket for a call which was interrupted before its answer. These wait here
 * for the next receive on the same socket, so that a signal loses nothing and gives nothing twice.
 *
 * What waits here is not seen by poll(2), read(2) and recv(2), which are the kernel's. A message
 * comes here only when the signal arrives in the few microseconds between taking and answering, and
 * nearly every program then calls recvmsg(2) again, or the kernel does for it.
 */
#ifndef SANDBOX_UNIX_ARRIVAL_H
#define SANDBOX_UNIX_ARRIVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/loop.h"
#include "base/own.h"

struct session;

#define MESSAGE_MAX   (1u << 20) /* above every default of net.core.wmem_max */
#define CONTROL_MAX   2048u      /* SCM_MAX_FD descriptors, credentials and what else there is */
#define RIGHTS_MAX    253u       /* SCM_MAX_FD, linux net/scm.h */
#define UNIX_LEFT_MAX 32u
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/** Control data in our memory, with the descriptors that it names in our table. */
struct rights {
    size_t len;
    int fds[RIGHTS_MAX]; /* owned */
    unsigned count;
    union {
        uint8_t bytes[CONTROL_MAX];
        size_t align; /* as struct cmsghdr */
    } control;
};

static inline void rights_done(struct rights *r)
{
    for (unsigned i = 0; i < r->count; i++)
        own_close(&r->fds[i]);
    r->count = 0;
}

static inline bool carries_fds(const struct cmsghdr *c)
{
    return c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_PIDFD);
}

static inline int socket_type(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 ? type : 0;
}

/** message_room() - Room for a payload: the scratch buffer where it fits. @ret_owned is to be
 * freed. NULL: no memory. */
uint8_t *message_room(struct session *s, size_t len, void **ret_owned);

/** A message that came in. It is not copied: @in points into it. */
struct arrival {
    struct msghdr in;
    struct iovec piece; /* borrowed bytes */
    struct sockaddr_storage name;
    struct rights rights;
    int numbers[RIGHTS_MAX]; /* of the descriptors that the agent has been given; -1: not yet */
    bool is_given;           /* some of them were */
    int64_t value;           /* what the call returns */
};

/** Messages that wait for the next receive. Zeroed: none. */
struct unix_left {
    struct unix_left_entry *entries[UNIX_LEFT_MAX]; /* owned; NULL: free */
    unsigned count;
    struct loop_timer timer; /* looks whose socket has gone */
};

/** unix_left_keep() - The message waits for the next receive on the socket @inode; its descriptors
 * are taken over. Without memory or room it is lost, and logged. */
void unix_left_keep(struct session *s, uint64_t inode, struct arrival *a);
/** unix_left_find() - The message that waits on @inode; NULL: none. Borrowed until it is cut. */
struct arrival *unix_left_find(struct session *s, uint64_t inode);
/** unix_left_cut() - The agent has @len bytes of it, and its descriptors. */
void unix_left_cut(struct session *s, struct arrival *a, size_t len);
void unix_left_done(struct session *s);

#endif
