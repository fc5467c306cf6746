/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions under way, each with a connected socket of its own, so that the kernel drops what does
 * not come from the server that was asked. An answer that does not fit its question is ignored, and
 * waiting goes on; when all tries are over the peer is told SERVFAIL.
 */
#include "gateway/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/inside.h"

#define OWN_TTL_S 300

struct query {
    struct names *names;
    struct query *next_free;
    bool is_busy;
    struct netstack_inbound who;
    struct dns_question question; /* as the peer asked */
    struct dns_question asked;    /* as we asked: id is ours */
    unsigned tries;
    struct loop_watch watch; /* fd -1: none */
    struct loop_timer timer;
};

struct names {
    struct names_config config;
    struct endpoint servers[NAMES_SERVERS_MAX];
    struct rng rng;
    uint8_t out[DNS_MESSAGE_MAX]; /* one message, while it is written and sent */
    struct query *free_first;
    struct query queries[NAMES_QUERIES_MAX];
};

static void close_socket(struct query *q)
{
    if (q->watch.fd < 0)
        return;
    loop_unwatch(q->names->config.loop, &q->watch);
    (void)close(q->watch.fd);
    q->watch.fd = -1;
}

static void finish(struct query *q)
{
    close_socket(q);
    loop_timer_clear(q->names->config.loop, &q->timer);
    q->is_busy = false;
    q->next_free = q->names->free_first;
    q->names->free_first = q;
}

static void reply_error(struct names *n, const struct netstack_inbound *who,
                        const struct dns_question *question, enum dns_rcode rcode)
{
    int len = dns_write_error(question, rcode, n->out, sizeof(n->out));

    if (len > 0)
        n->config.reply(n->config.self, who, bytes_of(n->out, (size_t)len));
}

/** Pass on the addresses that the owner lets pass. */
static void answer(struct query *q, struct dns_reply *r)
{
    struct names *n = q->names;
    unsigned kept = 0;
    int len;

    for (unsigned i = 0; i < r->address_count; i++)
        if (n->config.found(n->config.self, &q->who, q->question.name, &r->addresses[i]))
            r->addresses[kept++] = r->addresses[i];
    r->address_count = kept;
    r->question.id = q->question.id;
    len = dns_write_reply(r, n->out, sizeof(n->out));
    if (len > 0)
        n->config.reply(n->config.self, &q->who, bytes_of(n->out, (size_t)len));
}

static void on_ready(void *self, uint32_t events)
{
    struct query *q = self;
    uint8_t message[DNS_MESSAGE_MAX];
    struct dns_reply reply;
    ssize_t got = recv(q->watch.fd, message, sizeof(message), MSG_DONTWAIT);

    (void)events;
    if (got < 0 && errno != EAGAIN && errno != EINTR)
        close_socket(q); /* refused: the next try is due at its time */
    if (got < 0 || dns_parse_reply(bytes_of(message, (size_t)got), &q->asked, &reply) < 0)
        return;
    answer(q, &reply);
    finish(q);
}

/** Ask the next server. */
static int try_again(struct query *q)
{
    struct names *n = q->names;
    const struct endpoint *server = &n->servers[q->tries % n->config.server_count];
    uint8_t message[DNS_MESSAGE_MAX];
    int err, len;

    close_socket(q);
    q->tries++;
    q->asked = q->question;
    q->asked.id = (uint16_t)rng_u32(n->rng);
    q->asked.recursion_desired = true;
    len = dns_write_query(&q->asked, message, sizeof(message));
    if (len < 0)
        return len;
    q->watch = (struct loop_watch){
        .fd = gateway_socket(server, SOCK_DGRAM, /*protocol=*/0), .ready = on_ready, .self = q};
    if (q->watch.fd < 0)
        return q->watch.fd;
    err = loop_watch(n->config.loop, &q->watch, EPOLLIN);
    if (err < 0)
        return err;
    if (send(q->watch.fd, message, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return -errno;
    return loop_timer_set(n->config.loop, &q->timer, mono_add_ms(mono_now(), NAMES_TRY_MS));
}

static void on_timer(void *self, struct mono now)
{
    struct query *q = self;

    (void)now;
    while (q->tries < NAMES_TRIES) {
        if (try_again(q) == 0)
            return;
    }
    reply_error(q->names, &q->who, &q->question, DNS_SERVFAIL);
    finish(q);
}

/** The gateway's own name needs nobody else. */
static void answer_own(struct names *n, const struct netstack_inbound *who,
                       const struct dns_question *question)
{
    struct dns_reply r = {.question = *question};
    int len;

    if (question->type == DNS_A) {
        r.addresses[0] = (struct dns_address){.ip = who->dst.ip, .ttl_s = OWN_TTL_S};
        r.address_count = 1;
    }
    len = dns_write_reply(&r, n->out, sizeof(n->out));
    if (len > 0)
        n->config.reply(n->config.self, who, bytes_of(n->out, (size_t)len));
}

static bool is_of(const struct query *q, const uint8_t key[static WG_KEY_LEN])
{
    return q->is_busy && memcmp(q->who.peer_key, key, WG_KEY_LEN) == 0;
}

static struct query *query_new(struct names *n, const struct netstack_inbound *who)
{
    struct query *q = n->free_first;
    unsigned count = 0;

    for (unsigned i = 0; i < NAMES_QUERIES_MAX; i++)
        count += is_of(&n->queries[i], who->peer_key);
    if (q == NULL || count >= NAMES_PER_PEER_MAX || n->config.server_count == 0)
        return NULL;
    n->free_first = q->next_free;
    return q;
}

void names_ask(struct names *n, const struct netstack_inbound *who, struct bytes message)
{
    struct dns_question question = {0};
    char name[POLICY_HOSTNAME_MAX + 1];
    struct query *q;

    if (dns_parse_query(message, &question) < 0) {
        if (message.len >= 2)
            reply_error(n, who, &question, DNS_FORMERR);
        return;
    }
    if (hostname_canonical(bytes_of_str(question.name), name) == 0 &&
        strcmp(name, ENROLL_GATEWAY_NAME) == 0) {
        answer_own(n, who, &question);
        return;
    }
    if (hostname_canonical(bytes_of_str(question.name), name) < 0 ||
        !n->config.may_ask(n->config.self, who, name)) {
        reply_error(n, who, &question, DNS_NXDOMAIN);
        return;
    }
    if (question.type != DNS_A && question.type != DNS_AAAA && question.type != DNS_CNAME) {
        reply_error(n, who, &question, DNS_OK); /* NODATA, RFC 2308 2.2 */
        return;
    }
    q = query_new(n, who);
    if (q == NULL) {
        reply_error(n, who, &question, DNS_SERVFAIL);
        return;
    }
    *q = (struct query){.names = n,
                        .is_busy = true,
                        .who = *who,
                        .question = question,
                        .watch = {.fd = -1},
                        .timer = {.expired = on_timer, .self = q}};
    on_timer(q, mono_now());
}

void names_forget(struct names *n, const uint8_t peer_key[static WG_KEY_LEN])
{
    for (unsigned i = 0; i < NAMES_QUERIES_MAX; i++)
        if (is_of(&n->queries[i], peer_key))
            finish(&n->queries[i]);
}

int names_new(const struct names_config *config, struct names **ret)
{
    struct names *n = calloc(1, sizeof(*n));

    if (n == NULL)
        return -ENOMEM;
    must(config->server_count <= NAMES_SERVERS_MAX);
    n->config = *config;
    n->rng = rng_system();
    for (unsigned i = 0; i < config->server_count; i++)
        n->servers[i] = config->servers[i];
    for (unsigned i = 0; i < NAMES_QUERIES_MAX; i++) {
        n->queries[i].names = n;
        n->queries[i].next_free = n->free_first;
        n->free_first = &n->queries[i];
    }
    *ret = n;
    return 0;
}

void names_free(struct names *n)
{
    if (n == NULL)
        return;
    for (unsigned i = 0; i < NAMES_QUERIES_MAX; i++)
        if (n->queries[i].is_busy)
            finish(&n->queries[i]);
    free(n);
}
