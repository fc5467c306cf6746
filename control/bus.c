/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nats.c delivers on its own thread; that thread only appends to a list and rings an eventfd. The
 * loop takes the list, stores a bundle in one transaction, and acknowledges after the commit, so a
 * crash in between brings messages again, which changes nothing. How much may be on its way is
 * bounded by the consumer (MaxAckPending).
 */
#include "control/bus.h"

#include <assert.h>
#include <errno.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/io.h"

#define PENDING_MAX 1024
#define WORD_CAP    256u
#define BUNDLE_MAX  256u
#define RETRY_MS    300
#define ACK_WAIT_NS (INT64_C(30) * NS_PER_S)

struct bus {
    struct loop *loop;
    struct audit_store *store;
    struct bus_sources sources;
    natsConnection *nc;
    jsCtx *js;
    natsSubscription *subs[2]; /* one for each kind of record: a consumer has one filter */
    struct loop_watch bell;
    struct loop_timer retry; /* until the stream is there */
    struct bus_counters counters;
    pthread_mutex_t lock; /* protects the list below; held for a few instructions only */
    natsMsg *list[PENDING_MAX];
    unsigned first, count;
};

/** On nats.c's thread. A full list drops the message, which then comes again unacknowledged. */
static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *self)
{
    struct bus *b = self;
    uint64_t one = 1;
    bool is_kept;

    (void)nc;
    (void)sub;
    (void)pthread_mutex_lock(&b->lock);
    is_kept = b->count < PENDING_MAX;
    if (is_kept)
        b->list[(b->first + b->count++) % PENDING_MAX] = msg;
    (void)pthread_mutex_unlock(&b->lock);
    if (!is_kept)
        natsMsg_Destroy(msg);
    (void)!io_write(b->bell.fd, &one, sizeof(one)); /* the counter is never full */
}

static unsigned take_bundle(struct bus *b, natsMsg *ret[static BUNDLE_MAX])
{
    unsigned taken = 0;

    (void)pthread_mutex_lock(&b->lock);
    while (taken < BUNDLE_MAX && b->count > 0) {
        ret[taken++] = b->list[b->first];
        b->first = (b->first + 1) % PENDING_MAX;
        b->count--;
    }
    (void)pthread_mutex_unlock(&b->lock);
    return taken;
}

/** The two words of `lattice.WORKSPACE.flow_events.AGENT`. */
static bool split_subject(const char *subject, char workspace[static WORD_CAP],
                          char agent[static WORD_CAP])
{
    char kind[16];
    int end = 0;

    return sscanf(subject, "lattice.%255[^.].%15[^.].%255[^.]%n", workspace, kind, agent, &end) ==
               3 &&
           subject[end] == '\0' && strcmp(kind, "flow_events") == 0;
}

/** An agent that may not use the older subject for flows is spoken for, once. */
static void tell_flow(struct bus *b, natsMsg *msg)
{
    char workspace[WORD_CAP];
    char agent[WORD_CAP];
    jsMsgMetaData *meta = NULL;
    struct buf text;
    bool is_first;

    if (b->sources.is_confined == NULL ||
        !split_subject(natsMsg_GetSubject(msg), workspace, agent) ||
        !b->sources.is_confined(b->sources.self, workspace, agent))
        return;
    is_first = natsMsg_GetMetaData(&meta, msg) == NATS_OK && meta->NumDelivered == 1;
    jsMsgMetaData_Destroy(meta);
    buf_init(&text, 4096);
    if (is_first &&
        audit_compat_flow(bytes_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg)),
                          &text) == 1)
        (void)natsConnection_Publish(b->nc, AUDIT_COMPAT_SUBJECT, text.data,
                                     (int)text.len); /* at most once */
    buf_done(&text);
}

/** Store a bundle; what is stored, or is no record, is acknowledged. */
static void store_bundle(struct bus *b, natsMsg **msgs, unsigned count)
{
    bool is_done[BUNDLE_MAX];
    bool is_told[BUNDLE_MAX];
    unsigned refused = 0;
    int err = audit_store_begin(b->store);

    for (unsigned i = 0; i < count; i++) {
        int put = err < 0 ? err
                          : audit_store_put(b->store, natsMsg_GetSubject(msgs[i]),
                                            bytes_of(natsMsg_GetData(msgs[i]),
                                                     (size_t)natsMsg_GetDataLength(msgs[i])),
                                            NULL);

        is_done[i] = put == 0 || put == -EINVAL || put == -EPERM;
        refused += put == -EINVAL || put == -EPERM;
        is_told[i] = put == 0;
    }
    if (err == 0)
        err = audit_store_commit(b->store);
    for (unsigned i = 0; i < count; i++) {
        if (err == 0 && is_done[i]) {
            if (is_told[i])
                tell_flow(b, msgs[i]);
            (void)natsMsg_Ack(msgs[i], NULL); /* lost: it comes again */
            b->counters.taken++;
        } else {
            b->counters.failed++;
        }
        natsMsg_Destroy(msgs[i]);
    }
    b->counters.taken -= refused;
    b->counters.refused += refused;
}

static void on_bell(void *self, uint32_t events)
{
    natsMsg *msgs[BUNDLE_MAX];
    struct bus *b = self;
    uint64_t one = 1;
    unsigned count;

    (void)events;
    (void)!io_read(b->bell.fd, &one, sizeof(one));
    count = take_bundle(b, msgs);
    if (count > 0)
        store_bundle(b, msgs, count);
    if (count == BUNDLE_MAX)
        (void)!io_write(b->bell.fd, &one, sizeof(one)); /* more: next turn */
}

static bool subscribe(struct bus *b, unsigned i)
{
    static const struct {
        const char *subject;
        const char *durable;
    } kinds[] = {{"lattice.*.tool_spans.*", "latticed-spans"},
                 {"lattice.*.flow_events.*", "latticed-flows"}};
    jsSubOptions options;
    jsOptions wait;

    static_assert(ARRAY_COUNT(kinds) == ARRAY_COUNT(b->subs), "one subscription a kind");
    if (b->subs[i] != NULL)
        return true;
    if (jsSubOptions_Init(&options) != NATS_OK || jsOptions_Init(&wait) != NATS_OK)
        return false;
    options.Stream = AUDIT_STREAM_NAME;
    options.ManualAck = true;
    options.Config.Durable = kinds[i].durable;
    options.Config.AckPolicy = js_AckExplicit;
    options.Config.AckWait = ACK_WAIT_NS;
    options.Config.MaxAckPending = PENDING_MAX / ARRAY_COUNT(kinds);
    wait.Wait = 1000;
    return js_Subscribe(&b->subs[i], b->js, kinds[i].subject, on_message, b, &wait, &options,
                        NULL) == NATS_OK;
}

/** Subscribe when we are connected and the stream is there; else try again. */
static void on_retry(void *self, struct mono now)
{
    struct bus *b = self;

    b->counters.is_subscribed = natsConnection_Status(b->nc) == NATS_CONN_STATUS_CONNECTED &&
                                subscribe(b, 0) && subscribe(b, 1);
    if (!b->counters.is_subscribed)
        (void)!loop_timer_set(b->loop, &b->retry, mono_add_ms(now, RETRY_MS));
}

/** Without a callback, connecting would wait for a server that is away. */
static void on_connected(natsConnection *nc, void *self)
{
    (void)nc;
    (void)self;
}

static natsStatus set_options(natsOptions *o, const struct audit_stream *stream)
{
    natsStatus s = natsOptions_SetURL(o, stream->url);

    if (s == NATS_OK && stream->creds_file != NULL)
        s = natsOptions_SetUserCredentialsFromFiles(o, stream->creds_file, NULL);
    if (s == NATS_OK && stream->user != NULL)
        s = natsOptions_SetUserInfo(o, stream->user, stream->password);
    if (s == NATS_OK)
        s = natsOptions_SetName(o, "latticed");
    if (s == NATS_OK)
        s = natsOptions_SetMaxReconnect(o, -1);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectWait(o, RETRY_MS);
    if (s == NATS_OK)
        s = natsOptions_SetRetryOnFailedConnect(o, true, on_connected, NULL);
    return s;
}

static int connect_bus(struct bus *b, const struct audit_stream *stream, struct why *why)
{
    natsOptions *options = NULL;
    natsStatus s = natsOptions_Create(&options);

    if (s == NATS_OK)
        s = set_options(options, stream);
    if (s == NATS_OK)
        s = natsConnection_Connect(&b->nc, options);
    natsOptions_Destroy(options);
    if (s == NATS_NOT_YET_CONNECTED)
        s = NATS_OK;
    if (s == NATS_OK)
        s = natsConnection_JetStream(&b->js, b->nc, NULL);
    return s == NATS_OK ? 0
                        : why_set(why, -EIO, "NATS at %s: %s", stream->url, natsStatus_GetText(s));
}

int bus_open(struct loop *loop, const struct audit_stream *stream, struct audit_store *store,
             const struct bus_sources *sources, struct bus **ret, struct why *why)
{
    struct bus *b = calloc(1, sizeof(*b));
    int err;

    if (b == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    b->loop = loop;
    b->store = store;
    b->sources = *sources;
    (void)pthread_mutex_init(&b->lock, NULL);
    b->bell = (struct loop_watch){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_bell, .self = b};
    b->retry = (struct loop_timer){.expired = on_retry, .self = b};
    err = b->bell.fd < 0 ? why_set(why, -errno, "eventfd: %s", strerror(errno))
                         : connect_bus(b, stream, why);
    if (err == 0 && (err = loop_watch(loop, &b->bell, EPOLLIN)) < 0)
        (void)why_set(why, err, "cannot watch the bus: %s", strerror(-err));
    if (err < 0) {
        bus_close(b);
        return err;
    }
    on_retry(b, mono_now());
    *ret = b;
    return 0;
}

struct bus_counters bus_counters(const struct bus *b)
{
    return b->counters;
}

void bus_close(struct bus *b)
{
    natsMsg *msgs[BUNDLE_MAX];
    unsigned count;

    if (b == NULL)
        return;
    loop_unwatch(b->loop, &b->bell);
    loop_timer_clear(b->loop, &b->retry);
    /* Destroying the subscription would delete nothing: the consumer is durable. Closing the
     * connection waits for the callback that runs, after which no other one does. */
    natsConnection_Close(b->nc);
    for (unsigned i = 0; i < ARRAY_COUNT(b->subs); i++)
        natsSubscription_Destroy(b->subs[i]);
    jsCtx_Destroy(b->js);
    natsConnection_Destroy(b->nc);
    while ((count = take_bundle(b, msgs)) > 0)
        for (unsigned i = 0; i < count; i++)
            natsMsg_Destroy(msgs[i]);
    if (b->bell.fd >= 0)
        (void)close(b->bell.fd);
    (void)pthread_mutex_destroy(&b->lock);
    free(b);
}
