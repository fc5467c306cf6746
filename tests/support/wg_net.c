/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/wg_net.h"

#include <stdlib.h>

#define PORT 51820

uint64_t test_rng_next(struct test_rng *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

unsigned test_rng_below(struct test_rng *r, unsigned n)
{
    return (unsigned)(test_rng_next(r) % n);
}

static void test_rng_fill(void *self, void *ret, size_t len)
{
    uint8_t *p = ret;

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)test_rng_next(self);
}

struct rng test_rng(struct test_rng *r)
{
    return (struct rng){.fill = test_rng_fill, .self = r};
}

static struct net_bytes copy_of(const void *data, size_t len)
{
    struct net_bytes b = {.data = malloc(len > 0 ? len : 1), .len = len};

    must(b.data != NULL);
    if (len > 0)
        memcpy(b.data, data, len);
    return b;
}

static void fly(struct net *n, const struct endpoint *from, const struct endpoint *to,
                struct bytes datagram)
{
    unsigned spread = n->delay_ms_max > n->delay_ms_min ? n->delay_ms_max - n->delay_ms_min : 0;
    unsigned delay_ms = n->delay_ms_min + (spread > 0 ? test_rng_below(&n->rng, spread + 1) : 0);

    must(n->flying_count < NET_FLYING_MAX);
    n->flying[n->flying_count++] = (struct net_flying){
        .at = mono_add_ms(n->now, delay_ms),
        .from = *from,
        .to = *to,
        .datagram = copy_of(datagram.data, datagram.len),
    };
}

static void node_send(void *self, const struct endpoint *to, struct bytes datagram)
{
    struct net_node *node = self;
    struct net *n = node->net;
    unsigned type = datagram.data[0];

    must(type >= 1 && type <= 4);
    node->sent[type]++;
    free(node->last_sent[type].data);
    node->last_sent[type] = copy_of(datagram.data, datagram.len);
    node->last_to = *to;
    if (n->holds)
        return;
    if (test_rng_below(&n->rng, 100) >= n->loss_percent)
        fly(n, &node->endpoint, to, datagram);
    if (test_rng_below(&n->rng, 100) < n->duplicate_percent)
        fly(n, &node->endpoint, to, datagram);
}

static void node_deliver(void *self, struct wg_peer_id peer, struct bytes packet)
{
    struct net_node *node = self;

    must(node->delivered_count < NET_LOG_MAX);
    node->delivered[node->delivered_count++] = copy_of(packet.data, packet.len);
    node->delivered_from = peer;
    if (node->reply.len > 0)
        must(wg_output(node->w, node->reply, node->net->now) == WG_DROP_NONE);
}

static void node_event(void *self, struct wg_peer_id peer, enum wg_event event)
{
    struct net_node *node = self;

    (void)peer;
    must((unsigned)event < ARRAY_COUNT(node->events));
    node->events[event]++;
}

static int64_t node_wall_ns(void *self)
{
    const struct net_node *node = self;

    return INT64_C(1700000000) * NS_PER_S + node->net->now.ns + node->wall_offset_ns;
}

static struct endpoint home(unsigned i)
{
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(i + 1)};

    return (struct endpoint){.ip = i % 2 == 1 ? ip_from_v6(v6) : ip_v4(192, 0, 2, (uint8_t)(i + 1)),
                             .port = PORT};
}

static struct ip inner_ip(enum ip_family v, unsigned i)
{
    uint8_t v6[16] = {0xfd, [15] = (uint8_t)(i + 1)};

    return v == IP_V4 ? ip_v4(10, 0, 0, (uint8_t)(i + 1)) : ip_from_v6(v6);
}

static void conf_fill(struct net *n, unsigned i, const uint8_t preshared[static WG_KEY_LEN],
                      const struct net_options *options)
{
    struct net_node *node = &n->nodes[i];

    node->conf.peers = calloc(n->node_count, sizeof(*node->conf.peers));
    must(node->conf.peers != NULL);
    for (unsigned j = 0; j < n->node_count; j++) {
        struct wg_peer_conf *peer = &node->conf.peers[node->conf.peer_count];

        if (j == i)
            continue;
        memcpy(peer->public_key, n->nodes[j].public_key, WG_KEY_LEN);
        if (options->has_preshared)
            memcpy(peer->preshared_key, preshared, WG_KEY_LEN);
        peer->has_endpoint = i == 0 || !options->responders_only;
        peer->endpoint = n->nodes[j].endpoint;
        peer->keepalive_s = options->keepalive_s;
        peer->allowed_ips = calloc(3, sizeof(*peer->allowed_ips));
        must(peer->allowed_ips != NULL);
        peer->allowed_ips[0] = (struct prefix){.ip = inner_ip(IP_V4, j), .bits = 32};
        peer->allowed_ips[1] = (struct prefix){.ip = inner_ip(IP_V6, j), .bits = 128};
        peer->allowed_ips[2] = (struct prefix){.ip = ip_v4(10, (uint8_t)(j + 1), 0, 0), .bits = 16};
        peer->allowed_ip_count = 3;
        node->conf.peer_count++;
    }
}

void net_init(struct net *n, uint64_t seed, unsigned count, const struct net_options *options)
{
    static const struct net_options none;
    uint8_t preshared[WG_KEY_LEN];

    must(count <= NET_NODES_MAX);
    memset(n, 0, sizeof(*n));
    n->rng.state = seed;
    n->now.ns = 1000 * NS_PER_S;
    n->node_count = count;
    n->delay_ms_min = n->delay_ms_max = 10;
    wg_key_generate(test_rng(&n->rng), preshared);
    for (unsigned i = 0; i < count; i++) {
        struct net_node *node = &n->nodes[i];

        node->net = n;
        node->number = i;
        node->endpoint = home(i);
        wg_key_generate(test_rng(&n->rng), node->conf.private_key);
        must(wg_key_public(node->conf.private_key, node->public_key) == 0);
    }
    for (unsigned i = 0; i < count; i++) {
        conf_fill(n, i, preshared, options != NULL ? options : &none);
        net_start(n, i);
    }
}

void net_start(struct net *n, unsigned i)
{
    struct net_node *node = &n->nodes[i];
    struct wg_sink sink = {
        .self = node, .send = node_send, .deliver = node_deliver, .event = node_event};
    struct wg_env env = {.rng = test_rng(&n->rng), .wall_ns = node_wall_ns, .self = node};

    wg_free(node->w);
    must(wg_new(&node->conf, &sink, &env, &node->w, NULL) == 0);
}

void net_done(struct net *n)
{
    for (unsigned i = 0; i < n->node_count; i++) {
        struct net_node *node = &n->nodes[i];

        wg_free(node->w);
        for (unsigned j = 0; j < node->conf.peer_count; j++)
            free(node->conf.peers[j].allowed_ips);
        free(node->conf.peers);
        net_forget(n, i);
        for (unsigned j = 0; j < ARRAY_COUNT(node->last_sent); j++)
            free(node->last_sent[j].data);
    }
    for (unsigned i = 0; i < n->flying_count; i++)
        free(n->flying[i].datagram.data);
}

enum wg_drop net_inject(struct net *n, unsigned i, const struct endpoint *from, const void *data,
                        size_t len)
{
    struct net_bytes copy = copy_of(data, len); /* exact size, so that ASan sees an overrun */

    n->nodes[i].last_drop = wg_input(n->nodes[i].w, from, copy.data, len, n->now);
    free(copy.data);
    return n->nodes[i].last_drop;
}

/** The flying datagram that arrives first; in the order of sending when two arrive at once. */
static struct net_flying *first_flying(struct net *n)
{
    struct net_flying *first = NULL;

    for (unsigned i = 0; i < n->flying_count; i++)
        if (first == NULL || mono_before(n->flying[i].at, first->at))
            first = &n->flying[i];
    return first;
}

static void land(struct net *n, struct net_flying *f)
{
    struct net_flying landed = *f;
    size_t behind = (size_t)(n->flying + n->flying_count - (f + 1));

    memmove(f, f + 1, behind * sizeof(*f));
    n->flying_count--;
    for (unsigned i = 0; i < n->node_count; i++)
        if (endpoint_equal(&n->nodes[i].endpoint, &landed.to) && !n->nodes[i].is_deaf)
            (void)net_inject(n, i, &landed.from, landed.datagram.data, landed.datagram.len);
    free(landed.datagram.data);
}

void net_run(struct net *n, int64_t ms)
{
    struct mono end = mono_add_ms(n->now, ms);

    for (;;) {
        struct net_flying *f = first_flying(n);
        struct mono next = f != NULL ? f->at : MONO_NEVER;
        unsigned who = n->node_count;

        for (unsigned i = 0; i < n->node_count; i++) {
            if (mono_before(wg_deadline(n->nodes[i].w), next)) {
                next = wg_deadline(n->nodes[i].w);
                who = i;
            }
        }
        if (mono_before(end, next))
            break;
        if (mono_before(n->now, next))
            n->now = next;
        if (who < n->node_count)
            wg_tick(n->nodes[who].w, n->now);
        else
            land(n, f);
    }
    n->now = end;
}

void net_settle(struct net *n)
{
    struct net_flying *f;

    while ((f = first_flying(n)) != NULL) {
        if (mono_before(n->now, f->at))
            n->now = f->at;
        land(n, f);
    }
}

size_t net_packet(enum ip_family v, unsigned from, unsigned to, uint32_t tag, size_t len,
                  uint8_t *ret)
{
    struct ip src = inner_ip(v, from);
    struct ip dst = inner_ip(v, to);
    size_t header = v == IP_V4 ? 20 : 40;

    must(len >= header + 4);
    for (size_t i = 0; i < len; i++)
        ret[i] = (uint8_t)(i * 7 + tag);
    memset(ret, 0, header);
    if (v == IP_V4) {
        ret[0] = 0x45;
        store_be16(ret + 2, (uint16_t)len);
        ret[9] = 17;
        memcpy(ret + 12, src.bytes, 4);
        memcpy(ret + 16, dst.bytes, 4);
    } else {
        ret[0] = 0x60;
        store_be16(ret + 4, (uint16_t)(len - header));
        ret[6] = 17;
        memcpy(ret + 8, src.bytes, 16);
        memcpy(ret + 24, dst.bytes, 16);
    }
    store_be32(ret + header, tag);
    return len;
}

enum wg_drop net_send(struct net *n, enum ip_family v, unsigned from, unsigned to, uint32_t tag,
                      size_t len)
{

    (void)net_packet(v, from, to, tag, len, n->packet);
    return wg_output(n->nodes[from].w, bytes_of(n->packet, len), n->now);
}

unsigned net_got(struct net *n, unsigned i, enum ip_family v, unsigned from, unsigned to,
                 uint32_t tag, size_t len)
{
    const struct net_node *node = &n->nodes[i];
    unsigned count = 0;

    (void)net_packet(v, from, to, tag, len, n->packet);
    for (unsigned j = 0; j < node->delivered_count; j++)
        if (bytes_equal(bytes_of(node->delivered[j].data, node->delivered[j].len),
                        bytes_of(n->packet, len)))
            count++;
    return count;
}

void net_forget(struct net *n, unsigned i)
{
    for (unsigned j = 0; j < n->nodes[i].delivered_count; j++)
        free(n->nodes[i].delivered[j].data);
    n->nodes[i].delivered_count = 0;
}

struct wg_peer_id net_peer(const struct net *n, unsigned of, unsigned peer)
{
    struct ip ip = inner_ip(IP_V4, peer);
    struct wg_peer_id id;

    must(wg_peer_find(n->nodes[of].w, &ip, &id) == 0);
    return id;
}

struct wg_peer_stats net_stats(const struct net *n, unsigned of, unsigned peer)
{
    struct wg_peer_stats stats;

    must(wg_peer_stats(n->nodes[of].w, net_peer(n, of, peer), &stats) == 0);
    return stats;
}
