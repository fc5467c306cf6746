/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway: what peers open inside their tunnels is judged by our own policy and carried by
 * ordinary host sockets. A TCP connection is answered to the peer only when the host's connect was;
 * a UDP exchange is one connected host socket per (peer's address, destination), forgotten when it
 * is idle.
 *
 * It refuses to carry what could not be recorded: a record that cannot be written denies. Every
 * table is bounded, in all and per peer, so that one peer cannot use up what others need.
 */
#include "gateway/gateway.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "enroll/enroll.h"
#include "gateway/follow.h"

#define CONNS_MAX           FLOW_MAX
#define CONNS_PER_PEER_MAX  8192u
#define NATS_MAX            8192u /* UDP exchanges, also those that were refused and are remembered */
#define NATS_PER_PEER_MAX   2048u
#define PEERS_MAX           WG_PEERS_MAX
#define BUCKETS             4096u
#define NAT_IDLE_S          120 /* RFC 4787 REQ-5: not below two minutes */
#define NAT_UNANSWERED_S    30
#define NAT_REFUSED_S       5 /* how long a refusal is remembered, so that a flood makes few records */
#define SWEEP_S             5
#define RECEIVES_PER_WAKEUP 64
#define DESK_PORT           80 /* of our own address, inside the tunnels */
#define DESKS_PER_PEER_MAX  4u

/** What one peer uses now, and, when we follow latticed, who it is. */
struct peer {
    uint8_t key[WG_KEY_LEN];
    char text[WG_KEY_TEXT_CAP];
    unsigned conns;
    unsigned nats;
    unsigned desks; /* of its connections, those to the desk */
    bool is_enrolled;
    struct ip address;
    char name[64];
    char ns[64];
    int64_t expires_s;
    struct policy *policy; /* owned; NULL: our own policy alone decides */
    struct peer *chain;
};

struct conn {
    struct gateway *gateway;
    struct flow *flow;
    struct peer *peer;
    struct netstack_inbound who;
    struct loop_watch watch; /* the host's socket until it is connected; fd -1 afterwards */
    char rule[POLICY_RULE_TEXT_MAX + 8];
    uint32_t next_free; /* 1-based; unused slots */
    bool is_used;
    bool is_desk; /* its other end is the desk, not a host */
};

struct nat {
    struct gateway *gateway;
    struct peer *peer;
    struct netstack_inbound who;
    struct loop_watch watch; /* fd -1: refused */
    struct mono since;
    struct mono used;
    bool was_answered;
    int refused_err;
    uint64_t bytes_out;
    uint64_t bytes_in;
    char rule[POLICY_RULE_TEXT_MAX + 8];
    struct nat *chain;
};

struct gateway {
    struct loop *loop; /* borrowed */
    struct netstack *ns;
    const struct policy *policy; /* borrowed */
    struct audit *audit;         /* borrowed; NULL: no records */
    struct conn *conns;          /* CONNS_MAX slots */
    uint32_t conn_free;
    uint32_t conn_touched;
    struct nat *nats[BUCKETS];
    unsigned nat_count;
    struct peer *peers[BUCKETS];
    unsigned peer_count;
    struct loop_timer sweep;
    struct loop_timer expiry; /* of the enrolled peer that ends first */
    struct follow *follow;    /* owned; NULL: peers are configured */
    struct enroll *desk;      /* borrowed; NULL: none */
    uint8_t key[16];          /* of the table's hash */
    uint8_t buffer[DGRAM_PAYLOAD_MAX];
};

static struct peer **peer_slot(struct gateway *g, const uint8_t key[static WG_KEY_LEN])
{
    /* Public keys of configured peers: nobody outside chooses them, so their bytes are hash enough.
     */
    struct peer **at = &g->peers[load_le32(key) % BUCKETS];

    while (*at != NULL && memcmp((*at)->key, key, WG_KEY_LEN) != 0)
        at = &(*at)->chain;
    return at;
}

static struct peer *peer_of(struct gateway *g, const uint8_t key[static WG_KEY_LEN])
{
    struct peer **head = &g->peers[load_le32(key) % BUCKETS];
    struct peer *p = *peer_slot(g, key);

    if (p != NULL || g->peer_count == PEERS_MAX)
        return p;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    memcpy(p->key, key, WG_KEY_LEN);
    wg_key_print(key, p->text);
    p->chain = *head;
    *head = p;
    g->peer_count++;
    return p;
}

/** The agent behind the peer, for records; NULL: not known. */
static const char *agent_of(const struct peer *p)
{
    return p->name[0] != '\0' ? p->name : NULL;
}

static const char *proto_name(enum policy_proto proto)
{
    return policy_proto_name(proto);
}

static void decide_by(const struct policy *policy, const struct policy_request *request,
                      struct policy_answer *ret)
{
    if (policy_decide(policy, request, ret) < 0)
        *ret = (struct policy_answer){.reason = POLICY_FAILED};
}

/** Our own policy decides; about an enrolled peer its own must allow it as well, and ours bounds it
 * only when it has rules. Returns the policy that the answer is from. */
static const struct policy *decide(const struct gateway *g, const struct peer *peer,
                                   const struct policy_request *request, struct policy_answer *ret)
{
    if (!peer->is_enrolled || policy_rule_count(g->policy) > 0)
        decide_by(g->policy, request, ret);
    else
        *ret = (struct policy_answer){.verdict = VERDICT_ALLOW};
    if (!peer->is_enrolled || ret->verdict != VERDICT_ALLOW)
        return g->policy;
    decide_by(peer->policy, request, ret);
    return peer->policy;
}

/** Judge and record. Returns 0 to carry it, or -EACCES. @ret_rule: what decided. */
static int judge(struct gateway *g, enum policy_proto proto, const struct netstack_inbound *who,
                 const struct peer *peer, char ret_rule[static POLICY_RULE_TEXT_MAX + 8])
{
    struct policy_request request = {.proto = proto, .dst = who->dst, .now = loop_now(g->loop)};
    struct policy_answer answer;
    const struct policy *policy = decide(g, peer, &request, &answer);
    struct audit_record record = {.kind = AUDIT_DECISION,
                                  .wall_ns = wall_now_ns(),
                                  .identity = agent_of(peer),
                                  .namespace_id = peer->ns[0] != '\0' ? peer->ns : NULL,
                                  .mode = policy_mode_name(policy_get_mode(policy)),
                                  .direction = "egress",
                                  .protocol = proto_name(proto),
                                  .src = who->src,
                                  .dst = who->dst,
                                  .peer = peer->text,
                                  .carrier = "wireguard",
                                  .duration_ns = -1};
    bool allowed;

    allowed = answer.verdict == VERDICT_ALLOW;
    record.verdict = allowed ? "allow" : "drop";
    record.would_deny = answer.would_deny;
    record.rule = answer.rule[0] != '\0' ? answer.rule : NULL;
    record.reason = policy_reason_name(answer.reason);
    memcpy(ret_rule, answer.rule, sizeof(answer.rule));
    if (g->audit != NULL && audit_emit(g->audit, &record) < 0)
        return -EACCES; /* what cannot be recorded is not carried */
    if (!allowed || answer.would_deny) {
        char dst[ENDPOINT_TEXT_CAP], option[POLICY_RULE_TEXT_MAX + 32];

        policy_suggest(&request, &answer, option, sizeof(option));
        log_info(allowed ? "would refuse" : "refused", F_STR("peer", peer->text),
                 F_STR("protocol", record.protocol), F_STR("dst", endpoint_print(&who->dst, dst)),
                 F_STR("reason", record.reason), F_STR("rule", answer.rule),
                 F_STR("to allow", option));
    }
    return allowed ? 0 : -EACCES;
}

/** How a flow ended, for the record; NULL in order. */
static const char *error_name(int err)
{
    return err == 0 ? NULL : strerrorname_np(-err);
}

static void record_flow(struct gateway *g, enum policy_proto proto,
                        const struct netstack_inbound *who, const struct peer *peer,
                        const char *rule, int err, const struct flow_stats *stats)
{
    struct audit_record record = {.kind = AUDIT_FLOW,
                                  .wall_ns = wall_now_ns(),
                                  .identity = agent_of(peer),
                                  .namespace_id = peer->ns[0] != '\0' ? peer->ns : NULL,
                                  .verdict = "allow",
                                  .direction = "egress",
                                  .protocol = proto_name(proto),
                                  .src = who->src,
                                  .dst = who->dst,
                                  .rule = rule[0] != '\0' ? rule : NULL,
                                  .peer = peer->text,
                                  .carrier = "wireguard",
                                  .bytes_out = stats->bytes_out,
                                  .bytes_in = stats->bytes_in,
                                  .duration_ns = stats->duration_ns,
                                  .error = error_name(err)};

    if (g->audit != NULL && audit_emit(g->audit, &record) < 0)
        log_warn("a closed flow could not be recorded", F_STR("peer", peer->text));
}

static struct conn *conn_new(struct gateway *g, struct peer *peer)
{
    struct conn *c;

    if (peer->conns >= CONNS_PER_PEER_MAX)
        return NULL;
    if (g->conn_free != 0) {
        c = &g->conns[g->conn_free - 1];
        g->conn_free = c->next_free;
    } else if (g->conn_touched < CONNS_MAX) {
        c = &g->conns[g->conn_touched++];
    } else {
        return NULL;
    }
    *c = (struct conn){.gateway = g, .peer = peer, .watch = {.fd = -1}, .is_used = true};
    peer->conns++;
    return c;
}

static void conn_free(struct conn *c)
{
    struct gateway *g = c->gateway;

    if (c->watch.fd >= 0) {
        loop_unwatch(g->loop, &c->watch);
        (void)close(c->watch.fd);
    }
    c->peer->conns--;
    c->peer->desks -= c->is_desk;
    c->is_used = false;
    c->next_free = g->conn_free;
    g->conn_free = (uint32_t)(c - g->conns) + 1;
}

static void conn_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    struct conn *c = self;

    (void)f;
    record_flow(c->gateway, POLICY_TCP, &c->who, c->peer, c->rule, err, stats);
    conn_free(c);
}

static const struct flow_events conn_events = {.closed = conn_closed};

/** The connection could not be made: tell the peer exactly that, and record it. */
static void conn_refuse(struct conn *c, int err)
{
    struct flow_stats none = {0};

    record_flow(c->gateway, POLICY_TCP, &c->who, c->peer, c->rule, err, &none);
    flow_refuse(c->flow, err);
    conn_free(c);
}

static void conn_connected(struct conn *c)
{
    int fd = c->watch.fd;
    int err;

    loop_unwatch(c->gateway->loop, &c->watch);
    c->watch.fd = -1;
    err = flow_accept(c->flow, fd, &conn_events, c);
    if (err < 0) {
        struct flow_stats none = {0};

        record_flow(c->gateway, POLICY_TCP, &c->who, c->peer, c->rule, err, &none);
        conn_free(c);
    }
}

static void conn_ready(void *self, uint32_t events)
{
    struct conn *c = self;
    int err = 0;
    socklen_t len = sizeof(err);

    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
        return;
    if (getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err != 0)
        conn_refuse(c, -err);
    else
        conn_connected(c);
}

static int host_socket(const struct endpoint *dst, int type)
{
    static const int on = 1;
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(dst, &sa);
    auto_fd fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
    if (type == SOCK_STREAM)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                         sizeof(on)); /* only a matter of speed */
    if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
        return -errno;
    return take_fd(&fd);
}

/** Is it our own address inside the tunnels, where only the desk is? */
static bool is_own(const struct gateway *g, const struct ip *ip)
{
    struct ip own;

    return netstack_local_ip(g->ns, ip->family, &own) == 0 && ip_equal(&own, ip);
}

static int record_desk(struct gateway *g, const struct netstack_inbound *who,
                       const struct peer *peer, bool allowed)
{
    struct audit_record record = {.kind = AUDIT_DECISION,
                                  .wall_ns = wall_now_ns(),
                                  .identity = agent_of(peer),
                                  .namespace_id = peer->ns[0] != '\0' ? peer->ns : NULL,
                                  .verdict = allowed ? "allow" : "drop",
                                  .mode = policy_mode_name(POLICY_ENFORCE),
                                  .direction = "egress",
                                  .protocol = "tcp",
                                  .src = who->src,
                                  .dst = who->dst,
                                  .reason = "builtin",
                                  .peer = peer->text,
                                  .carrier = "wireguard",
                                  .duration_ns = -1,
                                  .detail = "the gateway's own address"};

    return g->audit != NULL ? audit_emit(g->audit, &record) : 0;
}

/** A connection to our own address: to the desk, for agents that latticed knows, or nowhere. */
static void open_desk(struct conn *c)
{
    struct gateway *g = c->gateway;
    bool allowed = g->desk != NULL && c->who.dst.port == DESK_PORT && c->peer->is_enrolled &&
                   c->peer->desks < DESKS_PER_PEER_MAX;
    int err = record_desk(g, &c->who, c->peer, allowed);

    if (err < 0 || !allowed) {
        flow_refuse(c->flow, -EACCES);
        conn_free(c);
        return;
    }
    c->peer->desks++;
    c->is_desk = true;
    c->watch.fd = enroll_desk_open(g->desk);
    if (c->watch.fd < 0)
        conn_refuse(c, c->watch.fd);
    else
        conn_connected(c);
}

static void tcp_open(void *self, struct flow *f, const struct netstack_inbound *who)
{
    struct gateway *g = self;
    struct peer *peer = peer_of(g, who->peer_key);
    struct conn *c;
    int err;

    c = peer != NULL ? conn_new(g, peer) : NULL;
    if (c == NULL) {
        flow_refuse(f, -EACCES);
        return;
    }
    c->flow = f;
    c->who = *who;
    if (is_own(g, &who->dst.ip)) {
        open_desk(c);
        return;
    }
    err = judge(g, POLICY_TCP, who, peer, c->rule);
    if (err < 0) {
        flow_refuse(f, err);
        conn_free(c);
        return;
    }
    c->watch = (struct loop_watch){
        .fd = host_socket(&who->dst, SOCK_STREAM), .ready = conn_ready, .self = c};
    if (c->watch.fd < 0) {
        conn_refuse(c, c->watch.fd);
        return;
    }
    err = loop_watch(g->loop, &c->watch, EPOLLOUT);
    if (err < 0)
        conn_refuse(c, err);
}

static void tcp_cancel(void *self, struct flow *f)
{
    struct gateway *g = self;
    struct flow_stats none = {0};

    for (uint32_t i = 0; i < g->conn_touched; i++) {
        struct conn *c = &g->conns[i];

        if (!c->is_used || c->flow != f || c->watch.fd < 0)
            continue;
        record_flow(g, POLICY_TCP, &c->who, c->peer, c->rule, -ECONNRESET, &none);
        conn_free(c);
        return;
    }
}

/* UDP */

static size_t put_endpoint(uint8_t *to, const struct endpoint *e)
{
    memcpy(to, e->ip.bytes, sizeof(e->ip.bytes));
    store_be16(to + sizeof(e->ip.bytes), e->port);
    return sizeof(e->ip.bytes) + 2;
}

/** FNV-1a over a secret and both ends: peers choose the ports, so the start must not be known. */
static struct nat **nat_bucket(struct gateway *g, const struct endpoint *src,
                               const struct endpoint *dst)
{
    uint8_t bytes[16 + 2 * 18];
    size_t len = sizeof(g->key);
    uint64_t hash = 0xcbf29ce484222325u;

    memcpy(bytes, g->key, sizeof(g->key));
    len += put_endpoint(bytes + len, src);
    len += put_endpoint(bytes + len, dst);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return &g->nats[(hash ^ hash >> 32) % BUCKETS];
}

static void nat_free(struct nat *n)
{
    struct gateway *g = n->gateway;
    struct nat **at = nat_bucket(g, &n->who.src, &n->who.dst);

    while (*at != n) {
        must(*at != NULL);
        at = &(*at)->chain;
    }
    *at = n->chain;
    if (n->watch.fd >= 0) {
        struct flow_stats stats = {.bytes_out = n->bytes_out,
                                   .bytes_in = n->bytes_in,
                                   .duration_ns = n->used.ns - n->since.ns};

        record_flow(g, POLICY_UDP, &n->who, n->peer, n->rule, 0, &stats);
        loop_unwatch(g->loop, &n->watch);
        (void)close(n->watch.fd);
    }
    n->peer->nats--;
    g->nat_count--;
    free(n);
}

static void tell_unreachable(struct nat *n, int err)
{
    /* Only an error about an error could fail here, and there is nobody else to tell. */
    (void)!netstack_udp_unreachable(n->gateway->ns, &n->who.dst, &n->who.src, err);
}

static void nat_ready(void *self, uint32_t events)
{
    struct nat *n = self;
    struct gateway *g = n->gateway;

    (void)events;
    for (unsigned i = 0; i < RECEIVES_PER_WAKEUP; i++) {
        ssize_t got = recv(n->watch.fd, g->buffer, sizeof(g->buffer), 0);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got < 0) {
            tell_unreachable(n, -errno);
            return;
        }
        n->used = loop_now(g->loop);
        n->was_answered = true;
        n->bytes_in += (uint64_t)got;
        if (netstack_udp_reply(g->ns, &n->who.dst, &n->who.src, bytes_of(g->buffer, (size_t)got)) <
            0)
            return;
    }
}

static struct nat *nat_find(struct gateway *g, const struct netstack_inbound *who)
{
    struct nat *n = *nat_bucket(g, &who->src, &who->dst);

    while (n != NULL &&
           !(endpoint_equal(&n->who.src, &who->src) && endpoint_equal(&n->who.dst, &who->dst)))
        n = n->chain;
    return n;
}

/** Begin an exchange: judged, and with a socket when it is allowed. NULL: no room for it. */
static struct nat *nat_new(struct gateway *g, const struct netstack_inbound *who)
{
    struct peer *peer = peer_of(g, who->peer_key);
    struct nat **head = nat_bucket(g, &who->src, &who->dst);
    struct nat *n;
    int err;

    if (peer == NULL || g->nat_count >= NATS_MAX || peer->nats >= NATS_PER_PEER_MAX)
        return NULL;
    n = calloc(1, sizeof(*n));
    if (n == NULL)
        return NULL;
    n->gateway = g;
    n->peer = peer;
    n->who = *who;
    n->since = n->used = loop_now(g->loop);
    n->watch = (struct loop_watch){.fd = -1, .ready = nat_ready, .self = n};
    n->chain = *head;
    *head = n;
    peer->nats++;
    g->nat_count++;
    err = judge(g, POLICY_UDP, who, peer, n->rule);
    if (err == 0) {
        int fd = host_socket(&who->dst, SOCK_DGRAM);

        n->watch.fd = fd;
        err = fd < 0 ? fd : loop_watch(g->loop, &n->watch, EPOLLIN);
        if (fd >= 0 && err < 0)
            (void)close(fd);
        if (err < 0)
            n->watch.fd = -1;
    }
    n->refused_err = err;
    return n;
}

static void udp_input(void *self, const struct netstack_inbound *who, struct bytes payload)
{
    struct gateway *g = self;
    struct nat *n = nat_find(g, who);

    if (n == NULL)
        n = nat_new(g, who);
    if (n == NULL)
        return; /* no room: dropped, as a full router does */
    if (n->watch.fd < 0) {
        tell_unreachable(n, n->refused_err);
        return;
    }
    n->used = loop_now(g->loop);
    for (unsigned attempt = 0; attempt < 4; attempt++) {
        if (send(n->watch.fd, payload.data, payload.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
            n->bytes_out += payload.len;
            return;
        }
        if (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH)
            tell_unreachable(n,
                             -errno); /* about an earlier datagram; the next try sends this one */
        else if (errno != EINTR)
            return; /* dropped: the host's buffers are full, or the datagram is too large for its
                       path */
    }
}

static bool nat_is_idle(const struct nat *n, struct mono now)
{
    int64_t limit_s = n->watch.fd < 0   ? NAT_REFUSED_S
                      : n->was_answered ? NAT_IDLE_S
                                        : NAT_UNANSWERED_S;

    return mono_before(mono_add_ns(n->used, limit_s * NS_PER_S), now);
}

static void sweep(void *self, struct mono now)
{
    struct gateway *g = self;

    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct nat *n = g->nats[i], *next; n != NULL; n = next) {
            next = n->chain;
            if (nat_is_idle(n, now))
                nat_free(n);
        }
    }
    if (loop_timer_set(g->loop, &g->sweep, mono_add_ms(now, SWEEP_S * 1000)) < 0)
        log_warn("no memory for a timer: idle exchanges are kept");
}

/* Enrolled peers */

/** May the peer still do this? For what is open already; not recorded again. */
static bool is_still_allowed(struct gateway *g, enum policy_proto proto, const struct peer *peer,
                             const struct endpoint *dst)
{
    struct policy_request request = {.proto = proto, .dst = *dst, .now = loop_now(g->loop)};
    struct policy_answer answer;

    (void)decide(g, peer, &request, &answer);
    return answer.verdict == VERDICT_ALLOW;
}

static void conn_cut(struct conn *c)
{
    if (c->watch.fd >= 0)
        conn_refuse(c, -EACCES);
    else
        flow_abort(c->flow); /* conn_closed() does the rest */
}

/** End what the peer has open: all of it, or only what its policy does not allow any more. */
static void cut(struct gateway *g, const struct peer *peer, bool everything)
{
    for (uint32_t i = 0; i < g->conn_touched && peer->conns > 0; i++) {
        struct conn *c = &g->conns[i];

        if (c->is_used && c->peer == peer && (everything || !c->is_desk) &&
            (everything || !is_still_allowed(g, POLICY_TCP, peer, &c->who.dst)))
            conn_cut(c);
    }
    for (unsigned i = 0; i < BUCKETS && peer->nats > 0; i++)
        for (struct nat *n = g->nats[i], *next; n != NULL; n = next) {
            next = n->chain;
            if (n->peer == peer &&
                (everything || !is_still_allowed(g, POLICY_UDP, peer, &n->who.dst)))
                nat_free(n);
        }
}

static void arm_expiry(struct gateway *g)
{
    int64_t now_s = wall_now_ns() / NS_PER_S;
    int64_t wait_s = 3600; /* the wall clock may be set: look now and then */
    bool any = false;

    for (unsigned i = 0; i < BUCKETS; i++)
        for (const struct peer *p = g->peers[i]; p != NULL; p = p->chain) {
            if (!p->is_enrolled || p->expires_s == INT64_MAX)
                continue;
            any = true;
            if (p->expires_s - now_s < wait_s)
                wait_s = p->expires_s > now_s ? p->expires_s - now_s : 0;
        }
    if (!any)
        loop_timer_clear(g->loop, &g->expiry);
    else if (loop_timer_set(g->loop, &g->expiry, mono_add_ms(loop_now(g->loop), wait_s * 1000)) < 0)
        log_warn("no memory for a timer: expired peers end when latticed says so");
}

static void on_expiry(void *self, struct mono now)
{
    struct gateway *g = self;
    int64_t now_s = wall_now_ns() / NS_PER_S;

    (void)now;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct peer *p = g->peers[i], *next; p != NULL; p = next) {
            next = p->chain;
            if (p->is_enrolled && p->expires_s <= now_s) {
                log_info("a peer's identity has expired", F_STR("agent", p->name));
                (void)gateway_peer_remove(g, p->key);
            }
        }
    arm_expiry(g);
}

int gateway_peer_remove(struct gateway *g, const uint8_t public_key[static WG_KEY_LEN])
{
    struct peer **at = peer_slot(g, public_key);
    struct peer *p = *at;

    if (p == NULL || !p->is_enrolled)
        return -ENOENT;
    cut(g, p, /*everything=*/true); /* first, so that the peer's programs are told by a reset */
    (void)!wg_peer_remove(netstack_wg(g->ns), p->key);
    must(p->conns == 0 && p->nats == 0);
    at = peer_slot(g, p->key);
    *at = p->chain;
    g->peer_count--;
    policy_free(p->policy);
    free(p);
    return 0;
}

static int admit(struct gateway *g, const struct gateway_peer *peer)
{
    struct prefix own = {.ip = peer->address, .bits = (uint8_t)(ip_len(&peer->address) * 8)};
    struct wg_peer_conf conf = {.allowed_ips = &own, .allowed_ip_count = 1};
    struct wg_peer_id id;

    memcpy(conf.public_key, peer->public_key, WG_KEY_LEN);
    return wg_peer_add(netstack_wg(g->ns), &conf, &id);
}

int gateway_peer_set(struct gateway *g, const struct gateway_peer *peer)
{
    struct peer *p = *peer_slot(g, peer->public_key);
    bool is_new = p == NULL || !p->is_enrolled;
    int err = 0;

    if (!is_new && !ip_equal(&p->address, &peer->address)) {
        (void)gateway_peer_remove(g, peer->public_key);
        is_new = true;
    }
    if (is_new) {
        err = admit(g, peer);
        if (err < 0)
            return err;
        p = peer_of(g, peer->public_key);
        if (p == NULL) {
            (void)!wg_peer_remove(netstack_wg(g->ns), peer->public_key);
            return -ENOMEM;
        }
    }
    p->is_enrolled = true;
    p->address = peer->address;
    memcpy(p->name, peer->name, sizeof(p->name));
    memcpy(p->ns, peer->ns, sizeof(p->ns));
    p->expires_s = peer->expires_s;
    policy_free(p->policy);
    p->policy = peer->policy;
    cut(g, p, /*everything=*/false);
    arm_expiry(g);
    return 0;
}

static void peer_event(void *self, const uint8_t public_key[static WG_KEY_LEN], enum wg_event event)
{
    static const char *const texts[] = {
        [WG_EVENT_HANDSHAKE_DONE] = "handshake completed",
        [WG_EVENT_HANDSHAKE_RETRY] = "handshake: no answer yet",
        [WG_EVENT_HANDSHAKE_GAVE_UP] = "handshake: gave up",
        [WG_EVENT_ROAMED] = "peer has a new endpoint",
    };
    char key[WG_KEY_TEXT_CAP];

    (void)self;
    if (!log_enabled(LOG_LEVEL_INFO) || (unsigned)event >= ARRAY_COUNT(texts))
        return;
    wg_key_print(public_key, key);
    log_info(texts[event], F_STR("peer", key));
}

int gateway_follow(struct gateway *g, const struct gateway_following *following)
{
    struct follow_config config = {.loop = g->loop,
                                   .gateway = g,
                                   .enroll = following->peers,
                                   .lost = following->lost,
                                   .self = following->self};

    g->desk = following->desk;
    return follow_new(&config, &g->follow);
}

int gateway_new(const struct gateway_config *config, struct gateway **ret, struct why *why)
{
    struct gateway *g = calloc(1, sizeof(*g));
    struct rng rng = rng_system();
    struct netstack_server server = {
        .self = g, .tcp_open = tcp_open, .tcp_cancel = tcp_cancel, .udp_input = udp_input};
    struct netstack_notes notes = {.peer_event = peer_event};
    struct netstack_config stack = {.loop = config->loop,
                                    .mode = NETSTACK_TUNNEL,
                                    .wg = config->wg,
                                    .server = &server,
                                    .notes = &notes};
    int err = -ENOMEM;

    if (g == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    g->loop = config->loop;
    g->policy = config->policy;
    g->audit = config->audit;
    g->expiry = (struct loop_timer){.expired = on_expiry, .self = g};
    rng.fill(rng.self, g->key, sizeof(g->key));
    g->conns = calloc(CONNS_MAX, sizeof(g->conns[0]));
    g->sweep = (struct loop_timer){.expired = sweep, .self = g};
    if (g->conns == NULL ||
        loop_timer_set(g->loop, &g->sweep, mono_add_ms(loop_now(g->loop), SWEEP_S * 1000)) < 0)
        (void)why_set(why, err, "out of memory");
    else
        err = netstack_new(&stack, &g->ns, why);
    if (err < 0) {
        gateway_free(g);
        return err;
    }
    *ret = g;
    return 0;
}

uint16_t gateway_port(const struct gateway *g)
{
    return netstack_udp_port(g->ns);
}

void gateway_usage(const struct gateway *g, struct gateway_usage *ret)
{
    *ret = (struct gateway_usage){.udp_exchanges = g->nat_count, .peers = g->peer_count};
    netstack_usage(g->ns, &ret->stack);
}

void gateway_free(struct gateway *g)
{
    if (g == NULL)
        return;
    follow_free(g->follow);
    loop_timer_clear(g->loop, &g->sweep);
    loop_timer_clear(g->loop, &g->expiry);
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (g->nats[i] != NULL)
            nat_free(g->nats[i]);
    }
    for (uint32_t i = 0; i < g->conn_touched; i++) {
        if (g->conns[i].is_used && g->conns[i].watch.fd >= 0)
            conn_refuse(&g->conns[i], -ECONNREFUSED);
    }
    netstack_free(g->ns); /* ends the flows: conn_closed() frees the rest */
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct peer *p = g->peers[i], *next; p != NULL; p = next) {
            next = p->chain;
            policy_free(p->policy);
            free(p);
        }
    }
    free(g->conns);
    free(g);
}
