/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the families of calls share: one running sandbox and one trapped call. A family is a file
 * sys_X.c; each handler gets the session and the trap and returns what the agent's call shall
 * return: a value, -errno, or one of the three special results below.
 */
#ifndef SANDBOX_SESSION_H
#define SANDBOX_SESSION_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit/audit.h"
#include "base/loop.h"
#include "base/rng.h"
#include "netstack/netstack.h"
#include "policy/policy.h"
#include "sandbox/agent_mem.h"
#include "sandbox/filter.h"
#include "sandbox/held.h"
#include "sandbox/inject.h"
#include "sandbox/notify.h"
#include "sandbox/sandbox.h"
#include "sandbox/sys_unix.h"
#include "sandbox/unix_arrival.h"
#include "sandbox/unix_creds.h"
#include "sandbox/unix_diag.h"
#include "sandbox/vsock.h"

/** Let the kernel run the call: only where nothing pointed to was judged (dispatch.c lists where).
 */
#define CALL_CONTINUE INT64_MIN
/** Not answered yet: held. */
#define CALL_HELD (INT64_MIN + 1)
/** Answered by the handler, or vanished. */
#define CALL_DONE (INT64_MIN + 2)

#define SESSION_SCRATCH (128u << 10)

struct resolver;
struct refusals;
struct programs_seen;
struct epolls;

/** What a record of a connection needs when it ends. One for each slot of the socket table. */
struct flow_info {
    char rule[POLICY_RULE_TEXT_MAX + 8];
    char name[POLICY_HOSTNAME_MAX + 1];
    char exe[AGENT_EXE_CAP];
    char span[AUDIT_SPAN_CAP]; /* that it happened in */
    int32_t pid;
    enum policy_reason reason;
    bool would_deny;
};

/* What we keep for one virtual socket: the latter only once it was judged. Both tables are zero
 * pages of the kernel until a slot is used. */
static_assert(sizeof(struct vsock) + sizeof(struct flow_info) <= 2048, "2 KiB for one socket");

struct session {
    const struct sandbox_config *config;
    struct loop *loop;
    struct notify notify;
    struct agents agents;
    int agents_err; /* 0: agents can be used */
    struct rendezvous rendezvous;
    struct unix_diag diag;
    pid_t guarded_pids[FILTER_GUARDED_MAX]; /* ours; all 0 where Landlock keeps signals inside */
    int agent_diag_fd; /* borrowed: sees the agent's network namespace; -1: it is ours */
    struct unix_inside unix_inside;
    struct unix_senders unix_senders;
    struct unix_left unix_left;
    struct unix_kept unix_kept[UNIX_KEPT_MAX];
    unsigned unix_kept_next; /* makes room when all are in use */
    struct rng rng;
    uint32_t random[64]; /* drawn in advance: session_random() */
    unsigned random_left;
    struct vsock_table *sockets;
    struct flow_info *flow_infos;
    struct held_table *held;
    struct replay replay;
    struct netstack *netstack; /* NULL: offline */
    struct netstack
        *relay_stack; /* relays loopback: the same, or one for that only; NULL: direct */
    struct audit *audit;
    struct programs_seen *programs;
    struct pins *pins;
    struct resolver *resolver;
    struct epolls *epolls; /* NULL: none was made */
    struct refusals *refusals;
    struct ip local_v4; /* our address toward the network; IP_NONE: none */
    struct ip local_v6;
    uint8_t *scratch;                /* SESSION_SCRATCH bytes for one datagram or chunk; owned */
    uint32_t survey_serial;          /* of the latest look at who has which socket: holders.c */
    int64_t holders_ms;              /* how long until the next, while somebody waits */
    struct loop_timer holders_timer; /* looks again */
    uint32_t sweep_at;               /* look for dead sockets when so many are in use */
    uint32_t ping_peers;             /* destinations of ping sockets that are remembered */
    uint64_t handshakes;             /* tunnel handshakes completed, for the message about none */
};

/** One trapped call while it is handled. */
struct trap {
    struct call call;
    struct vsock *sock; /* NULL: a socket of the kernel's (AF_UNIX), or not about one */
    uint64_t inode;     /* of the socket behind the call's descriptor; 0: not a socket */
    int fd;          /* our duplicate of the agent's descriptor; borrowed; -1 where not available */
    bool is_resumed; /* it was held before */
    struct mono deadline; /* of a call that was held; MONO_NEVER otherwise */
};

/* Agent memory for a trap: reading asks afterwards, writing before, whether the call still waits,
 * so neither can touch a process that merely got the same number. -ESRCH when it does not. */
int trap_read(struct session *s, const struct trap *t, uint64_t from, void *ret,
              size_t len) MUST_USE;
int trap_write(struct session *s, const struct trap *t, uint64_t to, const void *data,
               size_t len) MUST_USE;
/** trap_tell() - Write what a call that has had its effect tells, right after a question whether it
 * still waits, and without another: if a signal has ended it since, the answer is kept for the call
 * that follows. */
int trap_tell(struct session *s, const struct trap *t, uint64_t to, const void *data,
              size_t len) MUST_USE;
bool trap_is_nonblock(struct session *s, const struct trap *t);
/** session_guards() - Is it a process of ours that the agent may not signal? */
bool session_guards(const struct session *s, pid_t pid);
/** trap_events() - What poll(2) says of the agent's own end (EPOLLIN, EPOLLHUP, …); 0 where that
 * cannot be learnt. */
uint32_t trap_events(const struct trap *t);
/** trap_deadline() - Until when a call may wait: SO_RCVTIMEO or SO_SNDTIMEO as @option says. */
struct mono trap_deadline(struct session *s, const struct trap *t, int option);
/** trap_hold() - Keep the call waiting for @what on its socket; the time limit is SO_RCVTIMEO or
 * SO_SNDTIMEO as @option says, 0: none. Returns CALL_HELD or -errno. */
int64_t trap_hold(struct session *s, const struct trap *t, enum held_for what, int option);
/** trap_hold_fd() - The same, woken by @events on the agent's own end. */
int64_t trap_hold_fd(struct session *s, const struct trap *t, enum held_for what, int option,
                     uint32_t events);

/** trap_hold_own() - The same, woken by @events on a descriptor of ours (taken). */
int64_t trap_hold_own(struct session *s, const struct trap *t, enum held_for what, int option,
                      int fd, uint32_t events);

/** trap_hold_shortly() - The same, tried again in a moment: for what cannot be waited for. -EAGAIN
 * when there is no timer. */
int64_t trap_hold_shortly(struct session *s, const struct trap *t, enum held_for what, int option);

/* Socket addresses as the kernel's move_addr_to_kernel() and move_addr_to_user() copy them. */
int sockaddr_read(struct session *s, const struct trap *t, uint64_t addr, uint64_t len,
                  struct sockaddr_storage *ret, unsigned *ret_len) MUST_USE;
int sockaddr_write(struct session *s, const struct trap *t, const void *data, unsigned len,
                   uint64_t addr, uint64_t len_addr) MUST_USE;

/** option_write() - A value for getsockopt(2): cut to the agent's room, and the length of the cut.
 */
int option_write(struct session *s, const struct trap *t, const void *value, unsigned len) MUST_USE;

/* Sockets (session.c) */

/** session_random() - A random number; many are drawn from the kernel at once. */
uint32_t session_random(struct session *s);

/** sock_give() - Finish a socket's birth: install @agent_end (taken) in the caller and answer
 * with its number. On failure the socket is ended. */
int64_t sock_give(struct session *s, const struct trap *t, struct vsock *v, int agent_end,
                  bool is_cloexec);
/** sock_watch() - Watch the socket's our_end; @ready gets the socket. */
int sock_watch(struct session *s, struct vsock *v, uint32_t events,
               void (*ready)(void *self, uint32_t events)) MUST_USE;
void sock_close_end(struct session *s, struct vsock *v);
/** sock_let_go() - The connection stands: a duplicate of the agent's end that we kept would hide
 * its close, and is closed. A trap's t->fd was one. */
void sock_let_go(struct vsock *v);
/** sock_end() - The agent has no descriptor of the socket any more: release everything. */
void sock_end(struct session *s, struct vsock *v);
/** sock_make_room() - We are out of descriptors: close those of sockets that nobody has any more.
 * Returns false where we keep none of such. */
bool sock_make_room(struct session *s);
/** sock_is_open() - Does a process of the agent still have the socket? When not, it is ended. */
bool sock_is_open(struct session *s, struct vsock *v);
/** sock_claim() - Take the local name @at for @v; dead owners are cleared away first.
 * Port 0: one of our choice. Errors: -EADDRINUSE. */
int sock_claim(struct session *s, struct vsock *v, const struct endpoint *at) MUST_USE;
/** sock_is_own_ip() - Is it an address of the sandbox itself: loopback, any, the tunnel's? */
bool sock_is_own_ip(const struct session *s, const struct ip *ip);
/** sock_is_host_ip() - Is it one of those that the host has, too, so that a rule may lead out to
 * it: loopback, and in direct mode the host's address, which the sandbox borrows? */
bool sock_is_host_ip(const struct session *s, const struct ip *ip);
/** sock_new() - Enter an agent-side object into the table. Errors: -ENFILE. */
int sock_new(struct session *s, enum vsock_kind kind, int agent_end, struct vsock **ret) MUST_USE;
struct flow_info *sock_info(struct session *s, const struct vsock *v);

#endif
