/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual sockets in a fixed table with two hashes: by inode number for every trapped call, by port
 * for bind, connect and loopback delivery. No calls are made here.
 */
#include "sandbox/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INODE_BUCKETS 8192u
#define PORT_BUCKETS  4096u
#define NOTES_MAX     65536u /* datagrams that wait in all sockets together */

struct vsock_table {
    uint32_t max;
    uint32_t used;  /* slots that were ever used */
    uint32_t count; /* slots in use */
    uint32_t note_used;
    uint32_t note_free; /* index + 1 */
    struct vsock *slots;
    struct vsock *free_first;
    struct vsock_note *notes;
    struct vsock **by_inode; /* INODE_BUCKETS chains */
    struct vsock **by_port;  /* PORT_BUCKETS chains */
};

/* Lifecycle. Slots are zero pages of the kernel until they are used first. */

int vsock_table_new(uint32_t max, struct vsock_table **ret)
{
    struct vsock_table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return -ENOMEM;
    t->max = max;
    t->slots = calloc(max, sizeof(t->slots[0]));
    t->notes = calloc(NOTES_MAX, sizeof(t->notes[0]));
    t->by_inode = calloc(INODE_BUCKETS, sizeof(struct vsock *));
    t->by_port = calloc(PORT_BUCKETS, sizeof(struct vsock *));
    if (t->slots == NULL || t->notes == NULL || t->by_inode == NULL || t->by_port == NULL) {
        vsock_table_free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

void vsock_table_free(struct vsock_table *t)
{
    if (t == NULL)
        return;
    free(t->slots);
    free(t->notes);
    free(t->by_inode);
    free(t->by_port);
    free(t);
}

static struct vsock **inode_bucket(const struct vsock_table *t, uint64_t inode)
{
    return &t->by_inode[inode % INODE_BUCKETS];
}

static void inode_remove(struct vsock_table *t, struct vsock *v)
{
    if (v->inode == 0)
        return;
    for (struct vsock **at = inode_bucket(t, v->inode); *at != NULL; at = &(*at)->inode_next) {
        if (*at == v) {
            *at = v->inode_next;
            break;
        }
    }
    v->inode = 0;
    v->inode_next = NULL;
}

static void inode_add(struct vsock_table *t, struct vsock *v, uint64_t inode)
{
    struct vsock **bucket = inode_bucket(t, inode);
    struct vsock *old = vsock_find(t, inode);

    if (old != NULL)
        inode_remove(t, old);
    v->inode = inode;
    v->inode_next = *bucket;
    *bucket = v;
}

int vsock_new(struct vsock_table *t, enum vsock_kind kind, uint64_t inode, struct vsock **ret)
{
    struct vsock *v = t->free_first;
    uint32_t generation;

    if (v != NULL)
        t->free_first = v->inode_next;
    else if (t->used < t->max)
        v = &t->slots[t->used++];
    else
        return -ENFILE;
    generation = v->generation + 1;
    *v = (struct vsock){.kind = (uint8_t)kind,
                        .generation = generation,
                        .our_end = -1,
                        .kept_fd = -1,
                        .look_fd = -1};
    t->count++;
    inode_add(t, v, inode);
    vsock_move(v, VSOCK_OPEN);
    *ret = v;
    return 0;
}

bool vsock_is_dgram(const struct vsock *v)
{
    return v->kind == VSOCK_UDP || v->kind == VSOCK_PING;
}

void vsock_free(struct vsock_table *t, struct vsock *v)
{
    must(v->state != VSOCK_FREE);
    must(v->our_end < 0);
    must(v->flow == NULL);
    must(v->waiters == NULL);
    while (v->note_first != 0)
        vsock_note_pop(t, v);
    vsock_unbind(t, v);
    inode_remove(t, v);
    v->state = VSOCK_FREE;
    v->inode_next = t->free_first;
    t->free_first = v;
    t->count--;
}

void vsock_rekey(struct vsock_table *t, struct vsock *v, uint64_t inode)
{
    inode_remove(t, v);
    inode_add(t, v, inode);
}

struct vsock *vsock_find(const struct vsock_table *t, uint64_t inode)
{
    struct vsock *v = *inode_bucket(t, inode);

    while (v != NULL && v->inode != inode)
        v = v->inode_next;
    return v;
}

uint32_t vsock_count(const struct vsock_table *t)
{
    return t->count;
}

struct vsock *vsock_at(const struct vsock_table *t, uint32_t idx)
{
    if (idx >= t->used || t->slots[idx].state == VSOCK_FREE)
        return NULL;
    return &t->slots[idx];
}

uint32_t vsock_slots_used(const struct vsock_table *t)
{
    return t->used;
}

uint32_t vsock_index(const struct vsock_table *t, const struct vsock *v)
{
    return (uint32_t)(v - t->slots);
}

/* States */

bool vsock_may_move(enum vsock_state from, enum vsock_state to)
{
#define TO(s) (1u << VSOCK_##s)
    static const uint8_t moves[VSOCK_STATE_COUNT] = {
        [VSOCK_FREE] = TO(OPEN),
        [VSOCK_OPEN] = TO(CONNECTING) | TO(CONNECTED) | TO(LISTENING) | TO(FAILED),
        [VSOCK_CONNECTING] = TO(OPEN) | TO(CONNECTED) | TO(FAILED),
        [VSOCK_CONNECTED] = TO(OPEN) | TO(OVER),
        [VSOCK_FAILED] = TO(OPEN),
        [VSOCK_LISTENING] = TO(OVER) | TO(OPEN),
        [VSOCK_OVER] = TO(OPEN),
    };
#undef TO

    return (moves[from] >> to & 1u) != 0;
}

void vsock_move(struct vsock *v, enum vsock_state to)
{
    must(vsock_may_move((enum vsock_state)v->state, to));
    v->state = (uint8_t)to;
}

const char *vsock_state_name(enum vsock_state s)
{
    static const char *const names[VSOCK_STATE_COUNT] = {
        [VSOCK_FREE] = "free",
        [VSOCK_OPEN] = "open",
        [VSOCK_CONNECTING] = "connecting",
        [VSOCK_CONNECTED] = "connected",
        [VSOCK_FAILED] = "failed",
        [VSOCK_LISTENING] = "listening",
        [VSOCK_OVER] = "over",
    };

    return (unsigned)s < VSOCK_STATE_COUNT ? names[s] : "?";
}

/* Ports */

static struct vsock **port_bucket(const struct vsock_table *t, uint16_t port)
{
    return &t->by_port[port % PORT_BUCKETS];
}

/** Does the wildcard address @any of a socket, IPv6-only or not, cover @ip? */
static bool any_covers(const struct ip *any, bool is_v6only, const struct ip *ip)
{
    return any->family == ip->family || (any->family == IP_V6 && !is_v6only);
}

static bool overlaps(const struct vsock *a, const struct endpoint *a_at, const struct vsock *b)
{
    const struct ip *x = &a_at->ip;
    const struct ip *y = &b->local.ip;

    if (a->kind == VSOCK_PING)
        return true; /* ping_get_port(): an identifier is taken for every address, of both families
                      */
    if (ip_is_any(x) && ip_is_any(y))
        return x->family == y->family || !(x->family == IP_V6 ? a->is_v6only : b->is_v6only);
    if (ip_is_any(x))
        return any_covers(x, a->is_v6only, y);
    if (ip_is_any(y))
        return any_covers(y, b->is_v6only, x);
    return ip_equal(x, y);
}

/** The rules of inet_csk_bind_conflict() for TCP, udp_lib_lport_inuse() for UDP and
 * ping_get_port() for echo. */
static bool may_share(const struct vsock *a, const struct vsock *b)
{
    if (a->may_reuse_port && b->may_reuse_port && a->kind != VSOCK_PING)
        return true;
    if (!a->may_reuse_addr || !b->may_reuse_addr)
        return false;
    return vsock_is_dgram(a) || (a->state != VSOCK_LISTENING && b->state != VSOCK_LISTENING);
}

struct vsock *vsock_conflict(const struct vsock_table *t, const struct vsock *v,
                             const struct endpoint *at)
{
    for (struct vsock *o = *port_bucket(t, at->port); o != NULL; o = o->port_next) {
        if (o != v && o->kind == v->kind && o->local.port == at->port && overlaps(v, at, o) &&
            !may_share(v, o))
            return o;
    }
    return NULL;
}

void vsock_bind(struct vsock_table *t, struct vsock *v, const struct endpoint *at)
{
    struct vsock **bucket = port_bucket(t, at->port);

    must(at->port != 0);
    vsock_unbind(t, v);
    v->local = *at;
    v->is_bound = true;
    v->port_next = *bucket;
    *bucket = v;
}

void vsock_unbind(struct vsock_table *t, struct vsock *v)
{
    if (!v->is_bound)
        return;
    for (struct vsock **at = port_bucket(t, v->local.port); *at != NULL; at = &(*at)->port_next) {
        if (*at == v) {
            *at = v->port_next;
            break;
        }
    }
    v->port_next = NULL;
    v->is_bound = false;
    v->local.port = 0;
}

int vsock_pick_port(const struct vsock_table *t, const struct vsock *v, const struct ip *ip,
                    uint32_t random, uint16_t *ret)
{
    const uint32_t range = PORT_EPHEMERAL_MAX - PORT_EPHEMERAL_MIN + 1;

    for (uint32_t i = 0; i < range; i++) {
        struct endpoint at = {
            .ip = *ip, .port = (uint16_t)(PORT_EPHEMERAL_MIN + (random % range + i) % range)};
        struct vsock *o = *port_bucket(t, at.port);

        /* A port of our choice is shared with nobody, whatever SO_REUSEADDR says. */
        while (o != NULL &&
               (o->kind != v->kind || o->local.port != at.port || !overlaps(v, &at, o)))
            o = o->port_next;
        if (o == NULL || o == v) {
            *ret = at.port;
            return 0;
        }
    }
    return -EADDRINUSE;
}

/** How exactly does the socket's local address fit @ip? 0: not at all. */
static unsigned fit(const struct vsock *v, const struct ip *ip)
{
    if (ip_equal(&v->local.ip, ip))
        return 3;
    if (!ip_is_any(&v->local.ip))
        return 0;
    if (v->local.ip.family == ip->family)
        return 2;
    return any_covers(&v->local.ip, v->is_v6only, ip) ? 1 : 0;
}

struct vsock *vsock_listener(const struct vsock_table *t, const struct endpoint *dst,
                             uint32_t random)
{
    struct vsock *best = NULL;
    unsigned best_fit = 0;
    uint32_t equals = 0;

    for (struct vsock *o = *port_bucket(t, dst->port); o != NULL; o = o->port_next) {
        unsigned f =
            o->kind == VSOCK_TCP && o->state == VSOCK_LISTENING && o->local.port == dst->port
                ? fit(o, &dst->ip)
                : 0;

        if (f == 0 || f < best_fit)
            continue;
        equals = f > best_fit ? 1 : equals + 1;
        if (f > best_fit || random % equals == 0)
            best = o;
        best_fit = f;
    }
    return best;
}

struct vsock *vsock_receiver(const struct vsock_table *t, const struct endpoint *dst,
                             const struct endpoint *src)
{
    struct vsock *best = NULL;
    unsigned best_fit = 0;

    for (struct vsock *o = *port_bucket(t, dst->port); o != NULL; o = o->port_next) {
        unsigned f = o->kind == VSOCK_UDP && o->local.port == dst->port ? fit(o, &dst->ip) : 0;

        if (f == 0)
            continue;
        if (o->state == VSOCK_CONNECTED) {
            if (!endpoint_equal(&o->remote, src))
                continue;
            f += 4;
        }
        if (f > best_fit) {
            best = o;
            best_fit = f;
        }
    }
    return best;
}

/* Queue */

void vsock_queue_push(struct vsock *listener, struct vsock *child)
{
    child->queue_next = NULL;
    if (listener->queue_last != NULL)
        listener->queue_last->queue_next = child;
    else
        listener->queue_first = child;
    listener->queue_last = child;
    listener->queue_count++;
}

void vsock_queue_push_front(struct vsock *listener, struct vsock *child)
{
    child->queue_next = listener->queue_first;
    listener->queue_first = child;
    if (listener->queue_last == NULL)
        listener->queue_last = child;
    listener->queue_count++;
}

struct vsock *vsock_queue_pop(struct vsock *listener)
{
    struct vsock *child = listener->queue_first;

    if (child == NULL)
        return NULL;
    listener->queue_first = child->queue_next;
    if (listener->queue_first == NULL)
        listener->queue_last = NULL;
    child->queue_next = NULL;
    listener->queue_count--;
    return child;
}

/* Options */

static struct vsock_option *option_find(struct vsock *v, int level, int name)
{
    for (uint32_t i = 0; i < v->option_count; i++) {
        if (v->options[i].level == level && v->options[i].name == name)
            return &v->options[i];
    }
    return NULL;
}

int vsock_option_set(struct vsock *v, int level, int name, int32_t value)
{
    struct vsock_option *o = option_find(v, level, name);

    if (o == NULL) {
        if (v->option_count == VSOCK_OPTIONS_MAX)
            return -ENOBUFS;
        o = &v->options[v->option_count++];
        o->level = (int16_t)level;
        o->name = (int16_t)name;
    }
    o->value = value;
    return 0;
}

bool vsock_option_get(const struct vsock *v, int level, int name, int32_t *ret)
{
    for (uint32_t i = 0; i < v->option_count; i++) {
        if (v->options[i].level == level && v->options[i].name == name) {
            *ret = v->options[i].value;
            return true;
        }
    }
    return false;
}

void vsock_option_clear(struct vsock *v, int level, int name)
{
    struct vsock_option *o = option_find(v, level, name);

    if (o != NULL)
        *o = v->options[--v->option_count];
}

void vsock_options_copy(struct vsock *to, const struct vsock *from)
{
    memcpy(to->options, from->options, sizeof(to->options));
    to->option_count = from->option_count;
}

/* Notes */

int vsock_note_push(struct vsock_table *t, struct vsock *v, const struct vsock_note *note)
{
    uint32_t index = t->note_free;
    struct vsock_note *n;

    if (index != 0)
        t->note_free = t->notes[index - 1].next;
    else if (t->note_used < NOTES_MAX)
        index = ++t->note_used;
    else
        return -ENOBUFS;
    n = &t->notes[index - 1];
    *n = *note;
    n->next = 0;
    if (v->note_last != 0)
        t->notes[v->note_last - 1].next = index;
    else
        v->note_first = index;
    v->note_last = index;
    v->note_count++;
    v->note_bytes += n->len;
    return 0;
}

const struct vsock_note *vsock_note_first(const struct vsock_table *t, const struct vsock *v)
{
    return v->note_first != 0 ? &t->notes[v->note_first - 1] : NULL;
}

void vsock_note_pop(struct vsock_table *t, struct vsock *v)
{
    uint32_t index = v->note_first;
    struct vsock_note *n;

    if (index == 0)
        return;
    n = &t->notes[index - 1];
    v->note_first = n->next;
    if (v->note_first == 0)
        v->note_last = 0;
    v->note_count--;
    v->note_bytes -= n->len;
    n->next = t->note_free;
    t->note_free = index;
}

bool vsock_note_has_room(const struct vsock_table *t)
{
    return t->note_free != 0 || t->note_used < NOTES_MAX;
}

void vsock_note_sync(struct vsock_table *t, struct vsock *v, uint64_t queued_bytes)
{
    while (v->note_first != 0 && v->note_bytes > queued_bytes)
        vsock_note_pop(t, v);
}
