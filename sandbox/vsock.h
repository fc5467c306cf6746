/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of virtual sockets: what the agent believes its sockets to be. Pure bookkeeping, no
 * calls: states, names, ports, options, and who would hear a connection. The agent-side kernel
 * object of each is an AF_UNIX socket, and its inode number is the key.
 *
 * State       entered by                      our_end            fields that mean something
 * OPEN        socket()                        -1 (UDP: the pair) local when is_bound
 * CONNECTING  connect() that has to wait      -1, or joined      remote, flow or listener awaited
 * CONNECTED   connection made, or accept()    -1 (the relay has it, or the peer agent)  remote,
 * flow FAILED      non-blocking connect() failed   -1                 so_error until it is read
 * LISTENING   listen()                        joined             queue, backlog
 * OVER        flow ended, listener shut down  -1                 local
 *
 * Addresses are kept unmapped: an IPv6 socket that talks to ::ffff:a.b.c.d has an IPv4 address here
 * and is_v6 says how to show it.
 */
#ifndef SANDBOX_VSOCK_H
#define SANDBOX_VSOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/loop.h"
#include "base/must.h"

#define VSOCK_MAX 32768u /* virtual sockets of one sandbox */
#define VSOCK_OPTIONS_MAX                                                                          \
    24u /* options of one socket that were set and differ from their default */
#define VSOCK_PEERS_MAX    8u    /* destinations of one UDP socket whose verdict is remembered */
#define VSOCK_BACKLOG_MAX  4096u /* net.core.somaxconn */
#define PORT_EPHEMERAL_MIN 32768u
#define PORT_EPHEMERAL_MAX 60999u

enum vsock_kind {
    VSOCK_TCP = 1,
    VSOCK_UDP,
    VSOCK_NETLINK,
    VSOCK_PING, /* as UDP, but for echo messages; the port is the identifier */
};

enum vsock_state {
    VSOCK_FREE = 0,
    VSOCK_OPEN,
    VSOCK_CONNECTING,
    VSOCK_CONNECTED,
    VSOCK_FAILED,
    VSOCK_LISTENING,
    VSOCK_OVER,
    VSOCK_STATE_COUNT
};

struct flow;
struct dgram;
struct ping_peer;
struct udp_error;
struct held;

struct vsock_option {
    int16_t level;
    int16_t name;
    int32_t value;
};

/** A destination that was judged for a UDP socket. */
struct vsock_peer {
    struct endpoint to;
    struct mono judged_at;
    bool is_allowed;
};

/** Header fields of a datagram that a sender may set and a receiver may ask for. */
struct vsock_mark {
    uint8_t hops;  /* TTL or hop limit */
    uint8_t class; /* type of service or traffic class */
};

/** One received datagram that waits in the agent's queue: who sent it. Nodes come from a pool. */
struct vsock_note {
    uint32_t next; /* index + 1; 0: none */
    uint32_t len;  /* bytes of the datagram */
    struct endpoint from;
    struct vsock_mark mark;
    bool is_alarm;     /* no datagram: it only wakes the agent, so that it asks for an error */
    int32_t error;     /* of the error queue: positive errno; 0: a datagram */
    uint8_t icmp_type; /* … how it was said, and by whom; offender.family IP_NONE: not known */
    uint8_t icmp_code;
    struct ip offender;
    int64_t wall_ns; /* arrival, for SO_TIMESTAMP */
};

struct vsock {
    uint8_t kind;  /* enum vsock_kind */
    uint8_t state; /* enum vsock_state; changed by vsock_move() only */
    bool is_v6;    /* AF_INET6 socket */
    bool is_v6only;
    bool is_bound;       /* local.port is taken in the port table */
    bool is_bound_port;  /* by bind(), not by connect() or listen() */
    bool is_port_locked; /* bind() named the port: it survives connect(AF_UNSPEC) */
    bool is_ip_locked;   /* bind() named the address: the same */
    bool may_reuse_addr;
    bool may_reuse_port;
    bool connect_returns_0; /* CONNECTED, and the connect() that says so is still due */
    bool is_flow_open;   /* CONNECTING: the network answered, the agent's end is not joined yet */
    bool is_spoilt;      /* the agent's object cannot be used for another connection */
    bool is_queued;      /* in a listener's queue */
    bool has_canary;     /* queued: the first byte in our_end is the stand-in, not data */
    bool is_busy;        /* a call on it is being handled: not the time to sweep it away */
    bool is_ending;      /* sock_end() is at work */
    bool is_loopback;    /* connected to another socket of this sandbox */
    bool is_resetting;   /* SO_LINGER {1, 0}: close is a reset */
    bool is_limited;     /* relayed, and its send buffer is a small one */
    bool is_torn;        /* the other end of a direct connection closes with a reset */
    uint16_t protocol;   /* as asked for, for SO_PROTOCOL */
    uint32_t generation; /* grows with each use of the slot */
    uint64_t inode;      /* 0: no longer known to the agent */
    struct endpoint local;
    struct endpoint remote;
    int32_t so_error; /* positive errno, read once */
    int32_t pid;      /* process that made or connected it, for records */
    int our_end;      /* owned; -1 */
    int kept_fd;      /* our duplicate of the agent's end where pidfd_getfd is denied; owned; -1 */
    int look_fd;      /* an epoll instance that tells the state of the agent's end, which we do not
                         keep; owned; -1 */
    pid_t holder_tid; /* a thread that had it, and under which number: holders.c */
    int holder_fd;
    uint32_t seen;            /* serial of the latest survey that found it */
    uint8_t passed_waits;     /* how often that was put off */
    struct mono passed_until; /* it may be in a message until then, where no survey sees it */
    struct loop_watch watch;  /* of our_end */
    struct held *waiters;     /* calls held for this socket */
    void *owner;              /* borrowed: the session, for callbacks that get the socket only */

    /* TCP */
    struct flow *flow;         /* to the network; NULL: none */
    struct vsock *queue_first; /* LISTENING: connections to accept, oldest first */
    struct vsock *queue_last;
    struct vsock *queue_next; /* in a listener's queue */
    struct vsock *wait_first; /* LISTENING: connections that wait for room in the queue */
    struct vsock *awaited;    /* CONNECTING: the listener whose queue is full */
    uint32_t wait_count;
    uint32_t queue_count;
    uint32_t backlog;
    uint32_t announced; /* dummy bytes in the agent's end: connections it can see */
    size_t filled; /* CONNECTING: bytes of ours that keep the agent's end from being writable */

    /* UDP */
    struct dgram *dgram[2]; /* toward the network: IPv4, IPv6 */
    uint32_t note_first;    /* index + 1 into the pool */
    uint32_t note_last;
    uint32_t note_count;
    uint64_t note_bytes;
    struct vsock_peer peers[VSOCK_PEERS_MAX];
    uint32_t peer_next;
    struct udp_error *errors; /* IP_RECVERR: what went wrong, oldest first; owned */
    bool has_alarm;           /* the agent's queue has a wake-up for an error */
    uint64_t bytes_out;
    uint64_t bytes_in;
    struct mono opened_at;

    /* PING; dgram[0] is toward the network, its only family */
    struct ping_peer *pings; /* destinations; owned */
    uint16_t echo_id;        /* identifier of dgram[0] */

    struct vsock_option options[VSOCK_OPTIONS_MAX];
    uint32_t option_count;

    struct vsock *inode_next; /* private: hash chains and the free list */
    struct vsock *port_next;
};

struct vsock_table;

int vsock_table_new(uint32_t max, struct vsock_table **ret) MUST_USE;
void vsock_table_free(struct vsock_table *t);

/** vsock_new() - A socket in state OPEN. An older one with the same inode number is dead and loses
 * it. Errors: -ENFILE the table is full. */
int vsock_new(struct vsock_table *t, enum vsock_kind kind, uint64_t inode,
              struct vsock **ret) MUST_USE;
/** vsock_is_dgram() - UDP or ping: a pair of which we keep one end. */
bool vsock_is_dgram(const struct vsock *v);
/** vsock_free() - Give the slot back. The owner has closed descriptors and ended flows before. */
void vsock_free(struct vsock_table *t, struct vsock *v);
/** vsock_rekey() - The agent's object is another one now (a descriptor was replaced). */
void vsock_rekey(struct vsock_table *t, struct vsock *v, uint64_t inode);
struct vsock *vsock_find(const struct vsock_table *t, uint64_t inode);
uint32_t vsock_count(const struct vsock_table *t);
/** vsock_at() - The slot number @idx, for sweeps; NULL when it is free or past the end. */
struct vsock *vsock_at(const struct vsock_table *t, uint32_t idx);
uint32_t vsock_slots_used(const struct vsock_table *t);
uint32_t vsock_index(const struct vsock_table *t, const struct vsock *v);

/** vsock_move() - The one place where a state changes; a move that the table of moves does not have
 * is a bug of ours. */
void vsock_move(struct vsock *v, enum vsock_state to);
bool vsock_may_move(enum vsock_state from, enum vsock_state to);
const char *vsock_state_name(enum vsock_state s);

/* Ports. The address families' rules are those of Linux: an IPv6 wildcard covers IPv4, too, unless
 * it is IPV6_V6ONLY. */

/** vsock_conflict() - A socket that forbids @v to take @at; NULL: it may. The caller asks whether
 * that one is still open before it believes. */
struct vsock *vsock_conflict(const struct vsock_table *t, const struct vsock *v,
                             const struct endpoint *at);
/** vsock_bind() - Take @at (port not 0) without asking. */
void vsock_bind(struct vsock_table *t, struct vsock *v, const struct endpoint *at);
void vsock_unbind(struct vsock_table *t, struct vsock *v);
/** vsock_pick_port() - A free ephemeral port for @ip, starting the search at @random.
 * Errors: -EADDRINUSE all are taken. */
int vsock_pick_port(const struct vsock_table *t, const struct vsock *v, const struct ip *ip,
                    uint32_t random, uint16_t *ret) MUST_USE;
/** vsock_listener() - Who accepts a connection to @dst: the most exact LISTENING socket; among
 * equals (SO_REUSEPORT) the one that @random chooses. NULL none. */
struct vsock *vsock_listener(const struct vsock_table *t, const struct endpoint *dst,
                             uint32_t random);
/** vsock_receiver() - Which UDP socket gets a datagram from @src to @dst: a connected one first. */
struct vsock *vsock_receiver(const struct vsock_table *t, const struct endpoint *dst,
                             const struct endpoint *src);

/* A listener's queue. */
void vsock_queue_push(struct vsock *listener, struct vsock *child);
struct vsock *vsock_queue_pop(struct vsock *listener);
void vsock_queue_push_front(struct vsock *listener, struct vsock *child);

/* Options that were set. */
int vsock_option_set(struct vsock *v, int level, int name,
                     int32_t value) MUST_USE; /* -ENOBUFS full */
bool vsock_option_get(const struct vsock *v, int level, int name, int32_t *ret);
/** vsock_option_clear() - Forget it: it reads as at first. */
void vsock_option_clear(struct vsock *v, int level, int name);
void vsock_options_copy(struct vsock *to, const struct vsock *from);

/* Notes about received datagrams. -ENOBUFS: the pool is empty; drop the datagram. */
int vsock_note_push(struct vsock_table *t, struct vsock *v, const struct vsock_note *note) MUST_USE;
bool vsock_note_has_room(const struct vsock_table *t);
/** vsock_note_first() - The oldest note, or NULL. */
const struct vsock_note *vsock_note_first(const struct vsock_table *t, const struct vsock *v);
void vsock_note_pop(struct vsock_table *t, struct vsock *v);
/** vsock_note_sync() - Forget the notes of datagrams that the agent took natively: @queued_bytes
 * are left in its queue. */
void vsock_note_sync(struct vsock_table *t, struct vsock *v, uint64_t queued_bytes);

#endif
