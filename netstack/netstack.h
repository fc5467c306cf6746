/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the netstack room: it carries flows. A flow is one TCP connection or one UDP socket's
 * traffic; its near end is a stream descriptor of ours (the supervisor's end of the agent's AF_UNIX
 * stream, or a host socket of the gateway), its far end a carrier: lwIP behind WireGuard, or a host
 * socket. Policy is not known here; callers ask before they open.
 *
 * lwIP keeps its state in globals, so a process has at most one struct netstack.
 *
 * Lifecycle: netstack_new → flow_… and dgram_… → netstack_free (ends what is left). The stack takes
 * the loop's end-of-turn call (loop_set_turn) for itself.
 */
#ifndef NETSTACK_NETSTACK_H
#define NETSTACK_NETSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/loop.h"
#include "base/must.h"
#include "base/why.h"
#include "netstack/wg/wg.h"

#define FLOW_MAX          16384u /* flows of one netstack */
#define DGRAM_MAX         4096u  /* datagram sockets of one netstack */
#define DGRAM_PAYLOAD_MAX 65507u /* RFC 768 over IPv4 */

enum netstack_mode {
    NETSTACK_OFFLINE = 0, /* carries nothing */
    NETSTACK_DIRECT,      /* host sockets */
    NETSTACK_TUNNEL,      /* lwIP behind WireGuard */
};

struct netstack;
struct flow;
struct dgram;

/** Something an operator may want to know; for --verbose and metrics. */
struct netstack_notes {
    void (*peer_event)(void *self, const uint8_t public_key[static WG_KEY_LEN],
                       enum wg_event event);
};

/** Header fields that a sender chooses and a receiver may ask for; 64 and 0 where it does not. */
struct wire_mark {
    uint8_t hops;  /* time to live, or hop limit */
    uint8_t class; /* type of service, or traffic class */
};

struct flow_stats {
    uint64_t bytes_out;  /* near end → far end, payload */
    uint64_t bytes_in;   /* far end → near end */
    int64_t duration_ns; /* since the flow was opened */
};

struct flow_events {
    /** The far end answered (err 0), or opening failed: -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH,
     * -ENETUNREACH, … as connect(2) says. After a failure the flow is gone. Never called from
     * within flow_open(). */
    void (*opened)(void *self, struct flow *f, int err);
    /** Both directions are over, or the flow was reset: @err 0, -ECONNRESET, -ETIMEDOUT, -EPIPE.
     * The flow is gone afterwards; called exactly once after a successful open. */
    void (*closed)(void *self, struct flow *f, int err, const struct flow_stats *stats);
};

/** A connection or datagram that a tunnel's peer opens toward somewhere; for the gateway. */
struct netstack_inbound {
    uint8_t peer_key[WG_KEY_LEN];
    struct endpoint src; /* the peer's inner address */
    struct endpoint dst; /* where it wants to go */
    uint8_t hops;        /* of an echo request: its time to live, or hop limit */
};

/** Set by the gateway: any destination is accepted on the tunnel. NULL members refuse. */
struct netstack_server {
    void *self;
    /** A SYN arrived and is held. Answer, now or later, with flow_accept() or flow_refuse(). */
    void (*tcp_open)(void *self, struct flow *f, const struct netstack_inbound *who);
    /** The peer gave up before the held SYN was answered; the flow is gone afterwards. */
    void (*tcp_cancel)(void *self, struct flow *f);
    /** A datagram arrived. Answer it with netstack_udp_reply(). @payload is borrowed. */
    void (*udp_input)(void *self, const struct netstack_inbound *who, struct bytes payload);
    /** An echo request arrived for somebody else; who->src.port is its identifier. Answer it with
     * netstack_echo_reply(). @message is borrowed. */
    void (*echo_input)(void *self, const struct netstack_inbound *who, struct bytes message);
};

struct netstack_config {
    struct loop *loop; /* borrowed */
    enum netstack_mode mode;
    const struct wg_conf *wg; /* NETSTACK_TUNNEL: borrowed for the call; endpoints resolved */
    const struct netstack_server *server; /* gateway only; copied */
    const struct netstack_notes *notes;   /* may be NULL; copied */
    void *notes_self;
};

int netstack_new(const struct netstack_config *config, struct netstack **ret,
                 struct why *why) MUST_USE;
void netstack_free(struct netstack *ns);
/** netstack_unsent() - What programs that are gone have written and the stack has not delivered:
 * the bytes in near ends that are closed and, through a tunnel, those that its peer has not
 * acknowledged; an end of stream counts as one. 0: netstack_free() throws nothing of theirs away.
 */
uint64_t netstack_unsent(const struct netstack *ns);

/** netstack_local_ip() - Our address of this family toward the network: the tunnel's first, or the
 * host's choice in direct mode (then *ret is the any address). -EADDRNOTAVAIL none. */
int netstack_local_ip(const struct netstack *ns, enum ip_family family, struct ip *ret) MUST_USE;
/** netstack_udp_port() - The tunnel's own UDP port on the host; 0 without a tunnel. */
uint16_t netstack_udp_port(const struct netstack *ns);
struct wg *netstack_wg(struct netstack *ns); /* borrowed; NULL without a tunnel */

/* TCP */

/** flow_open() - Begin to connect to @dst. @local_port 0: any. Errors: -ENETUNREACH no such family
 * or no carrier; -EADDRINUSE the port is taken; -EMFILE FLOW_MAX. @events and @self are borrowed
 * until the flow is gone. */
int flow_open(struct netstack *ns, const struct endpoint *dst, uint16_t local_port,
              const struct flow_events *events, void *self, struct flow **ret) MUST_USE;
/** flow_open_marked() - The same, and its packets have @mark from the first on. */
int flow_open_marked(struct netstack *ns, const struct endpoint *dst, uint16_t local_port,
                     const struct wire_mark *mark, const struct flow_events *events, void *self,
                     struct flow **ret) MUST_USE;
/** flow_set_mark() - Of its packets from now on. */
void flow_set_mark(struct flow *f, struct wire_mark mark);
/** flow_pair() - Two open flows that are each other's far end, to be attached at once; for
 * connections that do not leave the machine, in every mode. Of @events only closed() is called.
 * Errors: -EMFILE. */
int flow_pair(struct netstack *ns, const struct flow_events *events, void *self_a, void *self_b,
              struct flow **ret_a, struct flow **ret_b) MUST_USE;
/** flow_self() - An open flow that is its own far end: what is sent comes back. For a socket that
 * is connected to itself (RFC 9293, 3.5: both ends open at once). As flow_pair(). */
int flow_self(struct netstack *ns, const struct flow_events *events, void *self,
              struct flow **ret) MUST_USE;
/** flow_attach() - After opened(0): relay between the flow and @stream_fd, a non-blocking stream
 * socket (taken). Half-close and reset pass both ways. */
int flow_attach(struct flow *f, int stream_fd) MUST_USE;
/** flow_attach_canary() - As flow_attach(), for an AF_UNIX stream whose first queued byte is not
 * data but a stand-in: one byte is always left unread, so that a reset can be told to the agent as
 * ECONNRESET (closing with unread bytes does that). The agent's end must have sent that byte
 * already. */
int flow_attach_canary(struct flow *f, int stream_fd) MUST_USE;
/** flow_send() - Send @len bytes as if they had come through the near end, behind what is queued
 * there. Returns how many were taken. Errors: -EAGAIN what is queued has no room to go first;
 * -EPIPE the near end has said that it sends no more, or the far end is broken. */
ssize_t flow_send(struct flow *f, const uint8_t *data, size_t len) MUST_USE;
/** flow_abort() - End the flow now with a reset; closed() is called before this returns, unless
 * opened() had not been called: then nothing is called. */
void flow_abort(struct flow *f);
/** flow_reset_on_close() - Shall the close of the near end reset the far one (SO_LINGER {1, 0})?
 * Not asked when it was half-closed before. */
void flow_reset_on_close(struct flow *f, bool is_on);
/** flow_limit() - The agent's end has a send buffer of so few bytes that none can be kept in it. Of
 * what it sends about as much more waits here while the far end does not read; a reset is told to
 * it as an end of the stream. Nothing happens to other flows than those of flow_pair(),
 * flow_self(). */
void flow_limit(struct flow *f, int32_t bytes);
int flow_local(const struct flow *f, struct endpoint *ret) MUST_USE;
int flow_remote(const struct flow *f, struct endpoint *ret) MUST_USE;

/** Gateway: let the held SYN be answered, and relay to the connected host socket @stream_fd
 * (taken). Of @events only closed() is called, exactly once. Errors: -ENOBUFS, -errno of watching:
 * the SYN was refused, the flow is gone, nothing is called. */
int flow_accept(struct flow *f, int stream_fd, const struct flow_events *events,
                void *self) MUST_USE;
/** Gateway: answer the held SYN: -ECONNREFUSED and -EACCES with a reset, others with ICMP
 * unreachable; -ETIMEDOUT stays silent. The flow is gone afterwards. */
void flow_refuse(struct flow *f, int err);

/* UDP */

struct dgram_events {
    /** @payload is borrowed. */
    void (*received)(void *self, struct dgram *d, const struct endpoint *from,
                     struct bytes payload);
    /** An ICMP error for something sent to @to: -ECONNREFUSED, -EHOSTUNREACH, … @payload: as much
     * of it as is known, borrowed. May be NULL. */
    void (*failed)(void *self, struct dgram *d, const struct endpoint *to, int err,
                   struct bytes payload);
};

/** dgram_open() - A datagram socket of @family. @local_port 0: any. Errors as flow_open(). */
int dgram_open(struct netstack *ns, enum ip_family family, uint16_t local_port,
               const struct dgram_events *events, void *self, struct dgram **ret) MUST_USE;
/** dgram_send() - Errors: -EMSGSIZE, -ENETUNREACH, -ENOBUFS. */
int dgram_send(struct dgram *d, const struct endpoint *dst, struct bytes payload) MUST_USE;
int dgram_local(const struct dgram *d, struct endpoint *ret) MUST_USE;
void dgram_close(struct dgram *d);

/** netstack_may_echo() - Are there echo sockets at all? -EACCES: the host has none for us (direct
 * mode, net.ipv4.ping_group_range). */
int netstack_may_echo(const struct netstack *ns) MUST_USE;
/** dgram_open_echo() - A socket for ICMP echo (ping). What is sent and received are whole messages,
 * requests and replies, of at least ECHO_HEADER bytes; @id is the identifier that they show here,
 * whatever they have on the wire. Checksums are made and kept right. Ports of endpoints are 0.
 * Errors: as dgram_open(); -EACCES the host has no ping sockets for us (direct mode). */
int dgram_open_echo(struct netstack *ns, enum ip_family family, uint16_t id,
                    const struct dgram_events *events, void *self, struct dgram **ret) MUST_USE;
#define ECHO_HEADER 8u
#define ECHO_MAX    65535u /* bytes of a message; over IPv4 20 less */
/** dgram_set_mark() - Of what is sent from now on; at first 64 and 0. -errno. */
int dgram_set_mark(struct dgram *d, struct wire_mark mark) MUST_USE;
/** dgram_mark() - Of what received() is being told. */
struct wire_mark dgram_mark(const struct dgram *d);
/** Who says that something failed, and how: an ICMP or ICMPv6 message. */
struct dgram_cause {
    uint8_t type; /* 0, with code 0 and no offender: not known */
    uint8_t code;
    struct ip offender;
};
/** dgram_cause() - Of the error which failed() is being told; echo sockets only. */
struct dgram_cause dgram_cause(const struct dgram *d);
/** echo_answer() - Turn the request @message of @len bytes (at least ECHO_HEADER) into the reply to
 * it, from @src to @dst. */
void echo_answer(uint8_t *message, size_t len, const struct ip *src, const struct ip *dst);

/** Gateway: send @payload to a peer's inner address as if it came from @src. */
int netstack_udp_reply(struct netstack *ns, const struct endpoint *src, const struct endpoint *dst,
                       struct bytes payload) MUST_USE;
/** Gateway: tell a peer's inner address @dst that its datagram to @src failed: -ECONNREFUSED (ICMP
 * port unreachable), -ENETUNREACH, -EACCES (prohibited), others host unreachable. */
int netstack_udp_unreachable(struct netstack *ns, const struct endpoint *src,
                             const struct endpoint *dst, int err) MUST_USE;

/** netstack_echo_reply() - Gateway: send the echo reply @message to the peer's address and
 * identifier @dst as if it came from @src. @hops: as it arrived here. */
int netstack_echo_reply(struct netstack *ns, const struct ip *src, const struct endpoint *dst,
                        struct bytes message, uint8_t hops) MUST_USE;
/** netstack_echo_unreachable() - Gateway: as netstack_udp_unreachable(), about the echo request
 * @message (its first bytes will do) that @dst sent to @src. */
int netstack_echo_unreachable(struct netstack *ns, const struct ip *src, const struct endpoint *dst,
                              struct bytes message, int err) MUST_USE;
/** netstack_echo_error() - The same with the ICMP message that somebody on the way sent. */
int netstack_echo_error(struct netstack *ns, const struct ip *src, const struct endpoint *dst,
                        struct bytes message, const struct dgram_cause *cause) MUST_USE;

/** What is in use now; for metrics and leak checks. */
struct netstack_usage {
    uint32_t flows;
    uint32_t dgrams;
    uint32_t connections;    /* lwIP's: also those that only finish, or wait in TIME_WAIT */
    uint64_t lwip_bytes;     /* memory that lwIP holds */
    uint64_t datagrams_sent; /* on the tunnel's socket */
    uint64_t datagrams_received;
    uint64_t send_failed; /* datagrams that the kernel did not take */
    uint64_t trains;      /* system calls that sent them */
};
void netstack_usage(const struct netstack *ns, struct netstack_usage *ret);

/*
 * DNS, the codec only (sans-I/O): RFC 1035 messages of the sandbox's own resolver. Strict: one
 * question, class IN, compression pointers only backwards, everything bounded.
 */
#define DNS_MESSAGE_MAX 4096u
#define DNS_NAME_MAX    253u
#define DNS_ANSWERS_MAX 64u

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SVCB = 64,
    DNS_HTTPS = 65,
    DNS_ANY = 255
};
enum dns_rcode {
    DNS_OK = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5
};

struct dns_question {
    uint16_t id;
    uint16_t type; /* enum dns_type, or a number that we do not know */
    bool recursion_desired;
    char name[DNS_NAME_MAX + 1]; /* lower case, no trailing dot; "" is the root */
};
struct dns_address {
    struct ip ip;
    uint32_t ttl_s;
};
struct dns_reply {
    struct dns_question question;
    enum dns_rcode rcode;
    bool is_truncated;
    struct dns_address addresses[DNS_ANSWERS_MAX]; /* A and AAAA at the end of the CNAME chain that
                                                      starts at the question; nothing else */
    unsigned address_count;
};

/** dns_parse_query() - Errors: -EBADMSG not a single-question query; then, when *ret.id could be
 * read, answer with dns_write_error(DNS_FORMERR). */
int dns_parse_query(struct bytes message, struct dns_question *ret) MUST_USE;
/** dns_parse_reply() - Errors: -EBADMSG malformed, or not an answer to @asked (id, name, type). */
int dns_parse_reply(struct bytes message, const struct dns_question *asked,
                    struct dns_reply *ret) MUST_USE;
/** Writers return the length, or -ENOBUFS. dns_write_reply() writes fresh bytes, never upstream's.
 */
int dns_write_query(const struct dns_question *q, uint8_t *ret, size_t cap) MUST_USE;
int dns_write_reply(const struct dns_reply *r, uint8_t *ret, size_t cap) MUST_USE;
int dns_write_error(const struct dns_question *q, enum dns_rcode rcode, uint8_t *ret,
                    size_t cap) MUST_USE;

#endif
