/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's processes seen from outside: their memory, their descriptors, their names. All take
 * the thread id of a notification; what they return is worth something only once notify_is_valid()
 * says that the notification still waits (else the number may meanwhile belong to another process).
 *
 * Where the usual ways are denied (process_vm_readv and pidfd_getfd under Docker's default profile)
 * /proc/PID/mem is used, and descriptors cannot be duplicated: `can_get_fd` says so.
 */
#ifndef SANDBOX_AGENT_MEM_H
#define SANDBOX_AGENT_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/must.h"

#define AGENT_CACHE_COUNT 256u /* threads whose pidfd is kept open, direct-mapped by thread id */
#define AGENT_EXE_CAP     512u
#define AGENT_IOV_MAX     1024u /* UIO_MAXIOV: a longer vector is EMSGSIZE, as in the kernel */

/** An address in the agent's memory: never to be dereferenced by us. */
struct agent_ptr {
    uint64_t addr;
};

struct agent_slot {
    pid_t tid; /* 0: empty */
    pid_t pid; /* thread group id; 0: not asked yet */
    int pidfd;
};

struct agents {
    int proc_fd;           /* /proc, O_PATH; owned */
    bool can_get_fd;       /* pidfd_getfd is allowed */
    bool can_vm;           /* process_vm_readv and _writev are allowed */
    bool has_thread_pidfd; /* PIDFD_THREAD, kernel 6.9 */
    uint64_t netns_dev;    /* the sandbox's network namespace */
    uint64_t netns_ino;
    struct agent_slot slots[AGENT_CACHE_COUNT];
};

/** agent_vm_is_allowed() - Do the calls process_vm_readv and process_vm_writev exist for us? Tried
 * on ourselves: what the kernel asks about two processes it asks for /proc/PID/mem as well. Where
 * they do not, agent_write() opens /proc/PID/mem for writing. */
bool agent_vm_is_allowed(void);
/** agents_init() - Learn what is allowed here, by trying it on @pid, the agent's first process.
 * Errors: -EPERM its memory cannot be read in any way (Yama 2 or 3): refuse to start. */
int agents_init(struct agents *a, pid_t pid) MUST_USE;
void agents_done(struct agents *a);
/** agents_forget_fds() - From now on act as if pidfd_getfd were denied (for tests and Docker). */
void agents_forget_fds(struct agents *a);

/** agent_read() - Copy @len bytes. -EFAULT as the kernel's copy_from_user; -EPERM, -ESRCH. */
int agent_read(struct agents *a, pid_t tid, struct agent_ptr from, void *ret, size_t len) MUST_USE;
/** agent_write() - Copy @len bytes into the agent. Errors as agent_read(). */
int agent_write(struct agents *a, pid_t tid, struct agent_ptr to, const void *data,
                size_t len) MUST_USE;

/** One of several pieces to write in one go: @len bytes of @data to the agent's address @to. */
struct agent_piece {
    struct agent_ptr to;
    const void *data;
    size_t len;
};
#define AGENT_PIECES_MAX 16u

/** agent_write_pieces() - Several writes in one call, empty ones left out. At most
 * AGENT_PIECES_MAX. Errors as agent_read(); part may then be written. */
int agent_write_pieces(struct agents *a, pid_t tid, const struct agent_piece *pieces,
                       unsigned count) MUST_USE;
/** agent_read_two() - One read of @len_a bytes into @ret_a, and of the first @len_b bytes of what
 * @iov describes into @ret_b. Errors as agent_read(); -EOPNOTSUPP there are too many pieces, or no
 * way to do it in one call. */
int agent_read_two(struct agents *a, pid_t tid, struct agent_ptr from_a, void *ret_a, size_t len_a,
                   const struct iovec *iov, size_t iov_count, void *ret_b, size_t len_b) MUST_USE;

/** agent_read_iov() - Copy a struct iovec array of the agent. -EMSGSIZE more than AGENT_IOV_MAX;
 * -EINVAL a length that is negative. *ret_total: the sum of lengths, at most INT_MAX. */
int agent_read_iov(struct agents *a, pid_t tid, struct agent_ptr vec, size_t count,
                   struct iovec *ret, size_t *ret_total) MUST_USE;
/** agent_gather(), agent_scatter() - Copy @len bytes from or into the pieces that @iov describes.
 */
int agent_gather(struct agents *a, pid_t tid, const struct iovec *iov, size_t count, void *ret,
                 size_t len) MUST_USE;
int agent_scatter(struct agents *a, pid_t tid, const struct iovec *iov, size_t count,
                  const void *data, size_t len) MUST_USE;

/** agent_get_fd() - Duplicate the thread's descriptor @fd into us (close-on-exec).
 * Errors: -EBADF; -EPERM not allowed here; -ESRCH. */
int agent_get_fd(struct agents *a, pid_t tid, int fd) MUST_USE;
/** agent_fd_inode() - The inode number of the socket behind the thread's descriptor @fd, without
 * duplicating it. Errors: -EBADF; -ENOTSOCK. */
int agent_fd_inode(struct agents *a, pid_t tid, int fd, uint64_t *ret) MUST_USE;

/** agent_fd_flags() - The open flags (O_NONBLOCK, O_CLOEXEC, …) of the thread's descriptor @fd.
 * Errors: -errno. */
int agent_fd_flags(struct agents *a, pid_t tid, int fd) MUST_USE;

/** agent_fd_pidfd() - The number of the process (or thread) that the thread's descriptor @fd, a
 * pidfd, stands for. Errors: -EBADF it is no pidfd; -ESRCH the process was waited for; -EPERM it
 * has no number here, being of a foreign process namespace. */
pid_t agent_fd_pidfd(struct agents *a, pid_t tid, int fd);

typedef void agent_seen(void *self, uint64_t inode, pid_t tid, int fd);
/** agent_survey() - Call @seen for every descriptor of a socket that any process but ourselves has
 * open: the socket's inode number, the process (or one of its threads) and the number; as far as
 * this user may look. For places without pidfd_getfd, where our own duplicates hide that a socket
 * was closed. Costs a few microseconds for each open descriptor of the user. */
void agent_survey(struct agents *a, agent_seen *seen, void *self_arg);

/** agent_fd_carries() - Is the thread's descriptor @fd an AF_UNIX socket with descriptors in its
 * queue? No survey sees those. */
bool agent_fd_carries(struct agents *a, pid_t tid, int fd);

/** agent_is_foreign() - True when the thread is in another network namespace than the sandbox, or
 * cannot be asked: it gets no sockets. */
bool agent_is_foreign(struct agents *a, pid_t tid);
/** agent_pid() - The thread's process; @tid itself when it cannot be learnt. */
pid_t agent_pid(struct agents *a, pid_t tid);
/** agent_exe() - Path of the program that the thread runs; "" when unknown. */
void agent_exe(struct agents *a, pid_t tid, char *ret, size_t cap);

#endif
