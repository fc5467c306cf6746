/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwards allowed questions and rewrites the answers. Each try has a fresh random id and a fresh
 * random port (RFC 5452); an answer that does not fit its question is ignored, and waiting goes on.
 *
 * Addresses on the policy's built-in deny list are cut out of answers: a public name that points at
 * the host's loopback or at a metadata service is an attack (DNS rebinding).
 */
#include "sandbox/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "sandbox/judge.h"
#include "sandbox/sys_udp.h"

#define DNS_PORT 53

struct query {
    struct resolver *resolver;
    struct query *next_free;
    bool is_busy;
    uint32_t vsock_idx;
    uint32_t vsock_generation;
    struct endpoint server;       /* whom the agent asked: the answer seems to come from there */
    struct dns_question question; /* as the agent asked */
    struct dns_question asked;    /* as we asked: id is ours */
    struct endpoint upstream;
    unsigned tries;
    struct dgram *dgram;
    struct loop_timer timer;
};

struct resolver {
    struct session *session;
    struct endpoint servers[RESOLVER_SERVERS_MAX];
    unsigned server_count;
    struct query *free_first; /* of those that were in use before */
    unsigned used;            /* slots that ever were */
    struct query queries[RESOLVER_QUERIES_MAX];
};

static void finish(struct query *q)
{
    struct resolver *r = q->resolver;

    loop_timer_clear(r->session->loop, &q->timer);
    if (q->dgram != NULL)
        dgram_close(q->dgram);
    q->dgram = NULL;
    q->is_busy = false;
    q->next_free = r->free_first;
    r->free_first = q;
}

static struct vsock *asker(const struct query *q)
{
    struct vsock *v = vsock_at(q->resolver->session->sockets, q->vsock_idx);

    return v != NULL && v->generation == q->vsock_generation ? v : NULL;
}

static void answer_error(struct session *s, struct vsock *v, const struct endpoint *server,
                         const struct dns_question *question, enum dns_rcode rcode)
{
    uint8_t reply[DNS_MESSAGE_MAX];
    int len = dns_write_error(question, rcode, reply, sizeof(reply));

    if (len > 0)
        (void)udp_deliver(s, v, server, bytes_of(reply, (size_t)len), NULL);
}

static void answer_and_finish(struct query *q, enum dns_rcode rcode)
{
    struct vsock *v = asker(q);

    if (v != NULL)
        answer_error(q->resolver->session, v, &q->server, &q->question, rcode);
    finish(q);
}

/** Is it an address that no DNS answer may lead to? */
static bool is_rebinding(struct session *s, const struct ip *ip)
{
    struct policy_request req = {.dst = {.ip = *ip}, .now = mono_now()};
    struct policy_answer answer;

    if (policy_decide(s->config->policy, &req, &answer) < 0)
        return true;
    return answer.reason == POLICY_BUILTIN;
}

/** Keep the harmless addresses, and remember whose they are. */
static void take_addresses(struct session *s, struct dns_reply *reply)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < reply->address_count; i++) {
        const struct dns_address *a = &reply->addresses[i];

        if (is_rebinding(s, &a->ip)) {
            char text[IP_TEXT_CAP];

            log_warn("an address was cut out of a DNS answer", F_STR("name", reply->question.name),
                     F_STR("address", ip_print(&a->ip, text)));
            continue;
        }
        pins_add(s->pins, reply->question.name, &a->ip, a->ttl_s, mono_now());
        reply->addresses[kept++] = *a;
    }
    reply->address_count = kept;
}

static void on_received(void *self, struct dgram *d, const struct endpoint *from,
                        struct bytes payload)
{
    struct query *q = self;
    struct session *s = q->resolver->session;
    struct vsock *v = asker(q);
    struct dns_reply reply;
    uint8_t out[DNS_MESSAGE_MAX];
    int len;

    (void)d;
    if (!endpoint_equal(from, &q->upstream) || dns_parse_reply(payload, &q->asked, &reply) < 0)
        return; /* not an answer to our question: go on waiting */
    take_addresses(s, &reply);
    reply.question.id = q->question.id;
    len = dns_write_reply(&reply, out, sizeof(out));
    if (v != NULL && len > 0)
        (void)udp_deliver(s, v, &q->server, bytes_of(out, (size_t)len), NULL);
    finish(q);
}

static const struct dgram_events dns_events = {.received = on_received};

/** Which server is asked at this try? Those of the tunnel or the host in turn, else the agent's. */
static struct endpoint upstream_of(const struct query *q)
{
    const struct resolver *r = q->resolver;

    return r->server_count > 0 ? r->servers[q->tries % r->server_count] : q->server;
}

/** Send the question once more. Errors: it cannot be sent. */
static int try_again(struct query *q)
{
    struct session *s = q->resolver->session;
    uint8_t message[DNS_MESSAGE_MAX];
    int len;
    int err;

    if (q->dgram != NULL)
        dgram_close(q->dgram);
    q->dgram = NULL;
    q->upstream = upstream_of(q);
    q->tries++;
    q->asked = q->question;
    q->asked.id = (uint16_t)rng_u32(s->rng);
    q->asked.recursion_desired = true;
    len = dns_write_query(&q->asked, message, sizeof(message));
    if (len < 0)
        return len;
    err = dgram_open(s->netstack, (enum ip_family)q->upstream.ip.family, 0, &dns_events, q,
                     &q->dgram);
    if (err < 0)
        return err;
    err = dgram_send(q->dgram, &q->upstream, bytes_of(message, (size_t)len));
    if (err < 0 && err != -ENOBUFS)
        return err;
    return loop_timer_set(s->loop, &q->timer, mono_add_ms(mono_now(), RESOLVER_TRY_MS * q->tries));
}

static void on_timer(void *self, struct mono now)
{
    struct query *q = self;

    (void)now;
    while (q->tries < RESOLVER_TRIES) {
        if (try_again(q) == 0)
            return;
    }
    answer_and_finish(q, DNS_SERVFAIL);
}

/** A slot that is free; NULL: all are in use. */
static struct query *take_query(struct resolver *r)
{
    struct query *q = r->free_first;

    if (q != NULL)
        r->free_first = q->next_free;
    else if (r->used < RESOLVER_QUERIES_MAX)
        q = &r->queries[r->used++];
    return q;
}

static void forward(struct resolver *r, struct vsock *v, const struct endpoint *server,
                    const struct dns_question *question)
{
    struct session *s = r->session;
    struct query *q = s->netstack != NULL ? take_query(r) : NULL;

    if (q == NULL) {
        answer_error(s, v, server, question, DNS_SERVFAIL);
        return;
    }
    *q = (struct query){
        .resolver = r,
        .is_busy = true,
        .vsock_idx = vsock_index(s->sockets, v),
        .vsock_generation = v->generation,
        .server = *server,
        .question = *question,
        .timer = {.expired = on_timer, .self = q},
    };
    on_timer(q, mono_now());
}

void resolver_query(struct resolver *r, struct vsock *v, const struct endpoint *server,
                    struct bytes message, pid_t pid, const char *exe)
{
    struct session *s = r->session;
    struct dns_question question = {0};
    char name[POLICY_HOSTNAME_MAX + 1];

    if (dns_parse_query(message, &question) < 0) {
        if (message.len >= 2)
            answer_error(s, v, server, &question, DNS_FORMERR);
        return;
    }
    if (hostname_canonical(bytes_of_str(question.name), name) < 0 ||
        judge_name(s, pid, exe, name, server) < 0) {
        answer_error(s, v, server, &question, DNS_NXDOMAIN);
        return;
    }
    if (question.type != DNS_A && question.type != DNS_AAAA && question.type != DNS_CNAME) {
        answer_error(s, v, server, &question, DNS_OK); /* NODATA, RFC 2308 2.2 */
        return;
    }
    forward(r, v, server, &question);
}

/* The host's files */

/** Cut the next word off @line: bytes up to a blank; empty at the end or at a comment. */
static struct bytes next_word(struct bytes *line)
{
    size_t start = 0;
    size_t end;
    struct bytes word;

    while (start < line->len && (line->data[start] == ' ' || line->data[start] == '\t'))
        start++;
    end = start;
    while (end < line->len && line->data[end] != ' ' && line->data[end] != '\t' &&
           line->data[end] != '#' && line->data[end] != ';')
        end++;
    word = bytes_of(line->data + start, end - start);
    *line = bytes_of(line->data + end, line->len - end);
    return word;
}

static void read_lines(const char *path, void (*take)(struct resolver *r, struct bytes line),
                       struct resolver *r)
{
    struct buf text;
    size_t start = 0;

    buf_init(&text, RESOLVER_HOSTS_MAX);
    if (io_read_file(path, &text, NULL) == 0) {
        for (size_t i = 0; i <= text.len; i++) {
            if (i < text.len && text.data[i] != '\n')
                continue;
            take(r, bytes_of(text.data + start, i - start));
            start = i + 1;
        }
    }
    buf_done(&text);
}

static void take_hosts_line(struct resolver *r, struct bytes line)
{
    struct bytes word = next_word(&line);
    struct ip ip;

    if (word.len == 0 || ip_parse(word, &ip) < 0)
        return;
    for (word = next_word(&line); word.len > 0; word = next_word(&line)) {
        char name[POLICY_HOSTNAME_MAX + 1];

        if (hostname_canonical(word, name) == 0)
            pins_add(r->session->pins, name, &ip, UINT32_MAX, mono_now());
    }
}

static void take_resolv_line(struct resolver *r, struct bytes line)
{
    struct bytes word = next_word(&line);
    struct ip ip;

    if (!bytes_equal(word, bytes_of_str("nameserver")) || r->server_count == RESOLVER_SERVERS_MAX)
        return;
    word = next_word(&line);
    if (ip_parse(word, &ip) == 0)
        r->servers[r->server_count++] = (struct endpoint){.ip = ip, .port = DNS_PORT};
}

static void find_servers(struct resolver *r)
{
    const struct sandbox_config *c = r->session->config;

    if (c->network == NETSTACK_DIRECT)
        read_lines("/etc/resolv.conf", take_resolv_line, r);
    if (c->network != NETSTACK_TUNNEL)
        return;
    for (unsigned i = 0; i < c->wg->dns_count && i < RESOLVER_SERVERS_MAX; i++)
        r->servers[r->server_count++] = (struct endpoint){.ip = c->wg->dns[i], .port = DNS_PORT};
}

int resolver_new(struct session *s, struct resolver **ret)
{
    struct resolver *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return -ENOMEM;
    r->session = s;
    read_lines("/etc/hosts", take_hosts_line, r);
    find_servers(r);
    *ret = r;
    return 0;
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    for (unsigned i = 0; i < r->used; i++) {
        if (r->queries[i].is_busy)
            finish(&r->queries[i]);
    }
    free(r);
}
