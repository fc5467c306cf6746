/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel objects that stand for virtual sockets, and the tricks that make them behave: all are
 * AF_UNIX, so that read, write, poll and epoll run natively in the agent.
 *
 * A TCP socket begins as an unconnected stream. It is later connected in place, keeping its open
 * file description, to a private listener of ours (the rendezvous); the accepted end is then our
 * side. So descriptors that were duplicated, and epoll registrations made before, stay valid.
 */
#ifndef SANDBOX_INJECT_H
#define SANDBOX_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/must.h"

struct rendezvous {
    int listener;            /* owned */
    int spare_fd;            /* owned; given up when there is no number for an accepted end; -1 */
    pid_t pid;               /* ours */
    int32_t send_buffer;     /* what a joined end keeps unsent at most, as SO_SNDBUF reads it */
    bool has_stale;          /* a connection was left behind in its queue */
    int path_fd;             /* O_PATH of the unlinked socket file, or -1: abstract name */
    struct sockaddr_un addr; /* what connect(2) is given */
    socklen_t addr_len;
};

/** rendezvous_init() - Make the listener. It is reachable for nobody else: its file is unlinked at
 * once and reached through a descriptor; where no directory is writable its name is abstract, and
 * each accepted peer is checked. Errors: -errno. */
int rendezvous_init(struct rendezvous *r) MUST_USE;
void rendezvous_done(struct rendezvous *r);
/** rendezvous_join() - Connect @agent_end, an unconnected AF_UNIX stream of the agent duplicated
 * into us, and return our non-blocking end. Of what both keep unsent
 * see r->send_buffer, inject_widen() and inject_limit_send(). Errors: -EMFILE, before anything was
 * done; -EISCONN it was connected already; others of -errno. */
int rendezvous_join(struct rendezvous *r, int agent_end) MUST_USE;

/** inject_stream() - An unconnected stream for the agent. Returns the descriptor or -errno. */
int inject_stream(bool is_nonblock) MUST_USE;
/** inject_copy_options() - Give @to what the agent set on @from itself: the limits of time, and
 * SO_OOBINLINE. @from may be -1: nothing is copied. */
int inject_copy_options(int from, int to) MUST_USE;
/** inject_packets() - A SOCK_SEQPACKET pair: datagrams keep their bounds, and the close of one end
 * is seen at the other. Our end is non-blocking. */
int inject_packets(bool is_nonblock, int *ret_agent_end, int *ret_our_end) MUST_USE;
/** inject_inode() - The inode number of a socket of ours. */
int inject_inode(int fd, uint64_t *ret) MUST_USE;

/** inject_widen() - Let the end keep more unsent than the system's default. */
void inject_widen(int end);
/** inject_limit_send() - Let the end keep @bytes unsent at most, as SO_SNDBUF reads them back; for
 * ends that agents hold on both sides, where no byte stays queued as a canary. */
void inject_limit_send(int end, int32_t bytes);

/** inject_fill() - Fill what @agent_end sends, until not one byte more goes in: it is then not
 * writable, like a TCP socket in SYN_SENT. Returns how many bytes went in. */
size_t inject_fill(int agent_end);
/** inject_drain() - Take @bytes away again at our end, which wakes the agent exactly once. What the
 * agent writes as soon as there is room stands behind them, and is not touched. */
void inject_drain(int our_end, size_t bytes);
/** inject_canary() - Queue one junk byte toward us. While a byte is queued unread, closing our end
 * resets the agent's (ECONNRESET), as RST does. */
int inject_canary(int agent_end);
/** inject_mute() - Let a listener's end be neither writable nor written to: write(2) says EPIPE,
 * as on a TCP socket that listens. It can still be read. */
void inject_mute(int agent_end);
/** inject_edge() - Make @agent_end's writability flicker once, so that edge-triggered waiters which
 * registered before the connection see it. */
void inject_edge(int agent_end, int our_end);

/** inject_look() - An epoll instance that goes on telling the events of @agent_end after our
 * duplicate of it is closed, and does not keep it open. Returns the descriptor or -errno. */
int inject_look(int agent_end) MUST_USE;
/** inject_events() - What poll(2) would say of @agent_end, or of the one that @look_fd looks at; 0
 * when both are -1. */
uint32_t inject_events(int agent_end, int look_fd);

#endif
