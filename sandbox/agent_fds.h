/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which numbers of a process of the agent lead to one socket, and which of its epoll instances
 * watch it: read from /proc/PID/fd and /proc/PID/fdinfo (proc(5)). What they return is worth
 * something only while the thread's notification waits.
 */
#ifndef SANDBOX_AGENT_FDS_H
#define SANDBOX_AGENT_FDS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/must.h"
#include "sandbox/agent_mem.h"

#define AGENT_FDS_MAX     64u /* duplicates of one socket in one process that are looked after */
#define AGENT_WATCHES_MAX 64u /* epoll registrations of one socket, the same */

/** One epoll registration of the socket, epoll_ctl(2). */
struct agent_watch {
    int epoll_fd; /* the agent's number of the epoll instance */
    int fd;       /* the number that was registered */
    uint32_t events;
    uint64_t data;
    uint64_t mark; /* data of the instance's registration of @marker; 0: it has none */
};

struct agent_fds {
    unsigned count;
    int fd[AGENT_FDS_MAX];
    unsigned watch_count;
    struct agent_watch watch[AGENT_WATCHES_MAX];
};

/** agent_fds_of() - The numbers of the thread's process that are the socket @inode, and the epoll
 * registrations of it. @marker: the inode of another socket (0: none). What exceeds the bounds is
 * left out. Errors: -errno of reading. */
int agent_fds_of(struct agents *a, pid_t tid, uint64_t inode, uint64_t marker,
                 struct agent_fds *ret) MUST_USE;

/** agent_fd_anywhere() - Our own duplicate of the socket @inode, from whichever process has it
 * open;
 * @first is looked at first. Costs a look at each process of the user when it is not there.
 * Errors: -ENOENT nobody has it; -EPERM duplicates are not allowed here. */
int agent_fd_anywhere(struct agents *a, pid_t first, uint64_t inode) MUST_USE;

/** agent_watch_parse() - One line of an epoll instance's fdinfo. Pure. Returns false when the line
 * is no registration, or one of another inode. */
bool agent_watch_parse(const char *line, uint64_t inode, struct agent_watch *ret);

#endif
