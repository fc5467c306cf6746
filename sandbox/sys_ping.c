/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Echo requests of the sandbox's ping sockets: which may leave, who answers, and the records of
 * each exchange, which are one for a socket and destination. Nothing leaves unjudged. Addresses of
 * the sandbox itself answer as every host does, without a record: nothing left.
 */
#include "sandbox/sys_ping.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/inet.h"
#include "sandbox/judge.h"
#include "sandbox/records.h"
#include "sandbox/udp_errors.h"

#define VERDICT_FOR_S 30 /* a remembered verdict is asked for again after that */
#define HOPS_DEFAULT  64
#define V4_HEADER     20u /* RFC 791, counted in the length of a packet */
#define V4_ECHO       8   /* RFC 792 */
#define V6_ECHO       128 /* RFC 4443 4.1 */
static_assert(SESSION_SCRATCH / 2 >= ECHO_MAX, "a request and its reply");

struct ping_peer {
    struct ping_peer *next; /* newest first */
    struct ip to;
    struct mono judged_at;
    bool is_allowed;
    struct ping_exchange exchange;
    struct mono since;
    struct flow_info info;
};

static struct ping_peer *peer_find(const struct vsock *v, const struct ip *to)
{
    struct ping_peer *p = v->pings;

    while (p != NULL && !ip_equal(&p->to, to))
        p = p->next;
    return p;
}

static void peer_free(struct session *s, struct vsock *v, struct ping_peer *p)
{
    p->exchange.duration_ns = loop_now(s->loop).ns - p->since.ns;
    if (p->exchange.requests > 0)
        records_ping(s, v, &p->to, &p->info, &p->exchange);
    s->ping_peers--;
    free(p);
}

void ping_end(struct session *s, struct vsock *v)
{
    while (v->pings != NULL) {
        struct ping_peer *p = v->pings;

        v->pings = p->next;
        peer_free(s, v, p);
    }
}

/** One more destination; the socket's oldest makes room. NULL: no room, or no memory. */
static struct ping_peer *peer_new(struct session *s, struct vsock *v, const struct ip *to)
{
    struct ping_peer **at = &v->pings;
    struct ping_peer *p;
    unsigned count = 0;

    for (; *at != NULL; at = &(*at)->next) {
        if (++count == PING_PEERS_PER_SOCKET) {
            must((*at)->next == NULL);
            peer_free(s, v, *at);
            *at = NULL;
            break;
        }
    }
    p = s->ping_peers < PING_PEERS_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (p == NULL)
        return NULL;
    s->ping_peers++;
    p->to = *to;
    p->since = loop_now(s->loop);
    p->next = v->pings;
    v->pings = p;
    return p;
}

void ping_judge_anew(struct vsock *v)
{
    for (struct ping_peer *p = v->pings; p != NULL; p = p->next)
        p->judged_at = (struct mono){0};
}

/* Receiving */

static void on_received(void *self, struct dgram *d, const struct endpoint *from,
                        struct bytes message)
{
    struct vsock *v = self;
    const struct wire_mark seen = dgram_mark(d);
    const struct vsock_mark mark = {.hops = seen.hops, .class = seen.class};
    struct ping_peer *p = peer_find(v, &from->ip);

    if (p == NULL || !p->is_allowed)
        return; /* we never spoke to it */
    p->exchange.replies++;
    p->exchange.bytes_in += message.len - ECHO_HEADER;
    (void)udp_deliver(v->owner, v, from, message, &mark); /* closed: its own watch says so */
}

static void on_failed(void *self, struct dgram *d, const struct endpoint *to, int err,
                      struct bytes message)
{
    struct vsock *v = self;
    const struct dgram_cause cause = dgram_cause(d);

    udp_error_raise_by(v->owner, v, to, err, message, &cause);
}

static const struct dgram_events ping_events = {.received = on_received, .failed = on_failed};

/* Sending */

int ping_check(const struct vsock *v, struct bytes message)
{
    if (message.len > ECHO_MAX)
        return -EMSGSIZE;
    if (message.len < ECHO_HEADER || message.data[0] != (v->is_v6 ? V6_ECHO : V4_ECHO) ||
        message.data[1] != 0)
        return -EINVAL;
    return 0;
}

/** The sandbox itself answers. */
static int answer(struct session *s, struct vsock *v, const struct ip *dst, struct bytes message,
                  uint8_t class)
{
    const struct endpoint from = {.ip = *dst};
    const struct vsock_mark mark = {.hops = HOPS_DEFAULT, .class = class};
    struct ip to = inet_source(dst);
    uint8_t *reply = s->scratch + SESSION_SCRATCH / 2;

    memmove(reply, message.data, message.len);
    store_be16(reply + 4, v->local.port);
    echo_answer(reply, message.len, dst, &to);
    (void)udp_deliver(s, v, &from, bytes_of(reply, message.len), &mark); /* lost, as it may be */
    return 0;
}

/** Asked of the policy at first and then every now and then. */
static int judge_peer(struct session *s, struct vsock *v, pid_t tid, const struct ip *dst,
                      struct ping_peer **ret)
{
    const struct endpoint to = {.ip = *dst};
    struct ping_peer *p = peer_find(v, dst);
    struct mono now = mono_now();

    if (p == NULL) {
        p = peer_new(s, v, dst);
        if (p == NULL)
            return -ENOBUFS;
    } else if (mono_before(now, mono_add_ms(p->judged_at, VERDICT_FOR_S * 1000))) {
        *ret = p;
        return p->is_allowed ? 0 : -EACCES;
    }
    p->is_allowed = judge(s, tid, POLICY_ICMP, &to, &p->info) == 0;
    p->judged_at = now;
    *ret = p;
    return p->is_allowed ? 0 : -EACCES;
}

/** The socket toward the network, with the identifier that the agent's has now. */
static int open_far(struct session *s, struct vsock *v, enum ip_family family)
{
    struct dgram **d = &v->dgram[0]; /* of one family only */
    int err;

    if (s->netstack == NULL)
        return -ENETUNREACH;
    if (*d != NULL && v->echo_id == v->local.port)
        return 0;
    if (*d != NULL)
        dgram_close(*d);
    *d = NULL;
    err = dgram_open_echo(s->netstack, family, v->local.port, &ping_events, v, d);
    if (err < 0)
        *d = NULL;
    v->echo_id = v->local.port;
    return err;
}

static int send_far(struct session *s, struct vsock *v, struct ping_peer *p, struct bytes message,
                    const struct vsock_mark *mark)
{
    const struct endpoint to = {.ip = p->to};
    int err = open_far(s, v, (enum ip_family)p->to.family);

    if (err == 0)
        err = dgram_set_mark(v->dgram[0],
                             (struct wire_mark){.hops = mark->hops, .class = mark->class});
    if (err == 0)
        err = dgram_send(v->dgram[0], &to, message);
    if (err == 0) {
        p->exchange.requests++;
        p->exchange.bytes_out += message.len - ECHO_HEADER;
    }
    return err == -ENOBUFS ? 0 : err; /* dropped on the way, as it may be */
}

int ping_send(struct session *s, struct vsock *v, pid_t tid, const struct endpoint *dst,
              struct bytes message, const struct udp_wish *wish)
{
    struct udp_wish own = {.mark = udp_mark(v, v->is_v6)};
    struct ip to = inet_destination(&dst->ip);
    struct ping_peer *p;
    int err;

    if (wish == NULL)
        wish = &own;
    if ((to.family == IP_V6) != v->is_v6)
        return -EINVAL; /* ::ffff:a.b.c.d */
    if (udp_autobind(s, v) < 0)
        return -EAGAIN;
    if (inet_is_multicast(&to) || inet_is_broadcast(&to))
        return -ENETUNREACH; /* no route leads there */
    if (message.len > ECHO_MAX - (v->is_v6 ? 0 : V4_HEADER))
        return -EMSGSIZE;
    if (sock_is_own_ip(s, &to))
        return answer(s, v, &to, message, wish->mark.class);
    err = judge_peer(s, v, tid, &to, &p);
    return err < 0 ? err : send_far(s, v, p, message, &wish->mark);
}
