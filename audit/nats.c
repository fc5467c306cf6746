/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishes to JetStream with nats.c. One thread of ours takes messages from a queue and hands them
 * to the library, so that a server that stops reading blocks this thread and nobody else;
 * acknowledgements come back on the library's threads and become events. Nothing is sent twice from
 * here and nothing is kept: the outbox, which can read everything from the log again, decides about
 * that.
 */
#include "audit/nats.h"

#include <errno.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/io.h"
#include "base/library.h"
#include "base/wipe.h"

#define EVENTS_CAP          8192u
#define ACK_WAIT_MS         5000
#define CONNECT_TIMEOUT_MS  2000
#define PING_MS             5000
#define RECONNECT_MS        250
#define RECONNECT_JITTER_MS 250
#define WRITE_DEADLINE_MS   5000
#define STREAM_AGE_NS       (INT64_C(30) * 86400 * NS_PER_S)
#define STREAM_BYTES        (INT64_C(1) << 30)
#define DUPLICATES_NS       (INT64_C(10) * 60 * NS_PER_S) /* longer than the outbox looks back */

/* The functions of nats.c that we use (base/library.h). */
#define NATS_FUNCTIONS(F)                                                                          \
    F(jsCtx_Destroy)                                                                               \
    F(jsOptions_Init)                                                                              \
    F(jsPubOptions_Init)                                                                           \
    F(jsStreamConfig_Init)                                                                         \
    F(jsStreamInfo_Destroy)                                                                        \
    F(js_AddStream)                                                                                \
    F(js_PublishMsgAsync)                                                                          \
    F(natsConnection_Connect)                                                                      \
    F(natsConnection_Destroy)                                                                      \
    F(natsConnection_GetConnectedServerId)                                                         \
    F(natsConnection_JetStream)                                                                    \
    F(natsConnection_Publish)                                                                      \
    F(natsConnection_Status)                                                                       \
    F(natsMsgHeader_Get)                                                                           \
    F(natsMsgHeader_Set)                                                                           \
    F(natsMsg_Create)                                                                              \
    F(natsMsg_Destroy)                                                                             \
    F(natsOptions_Create)                                                                          \
    F(natsOptions_Destroy)                                                                         \
    F(natsOptions_LoadCATrustedCertificates)                                                       \
    F(natsOptions_SetClosedCB)                                                                     \
    F(natsOptions_SetCustomInboxPrefix)                                                            \
    F(natsOptions_SetDisconnectedCB)                                                               \
    F(natsOptions_SetErrorHandler)                                                                 \
    F(natsOptions_SetMaxPingsOut)                                                                  \
    F(natsOptions_SetMaxReconnect)                                                                 \
    F(natsOptions_SetName)                                                                         \
    F(natsOptions_SetPingInterval)                                                                 \
    F(natsOptions_SetReconnectJitter)                                                              \
    F(natsOptions_SetReconnectWait)                                                                \
    F(natsOptions_SetReconnectedCB)                                                                \
    F(natsOptions_SetRetryOnFailedConnect)                                                         \
    F(natsOptions_SetSecure)                                                                       \
    F(natsOptions_SetTimeout)                                                                      \
    F(natsOptions_SetURL)                                                                          \
    F(natsOptions_SetUserCredentialsFromFiles)                                                     \
    F(natsOptions_SetUserInfo)                                                                     \
    F(natsOptions_SetWriteDeadline)                                                                \
    F(nats_Sleep)

static struct {
    NATS_FUNCTIONS(LIBRARY_MEMBER)
} nats; /* written once, by nats_link_load() */
static const char *const nats_names[] = {NATS_FUNCTIONS(LIBRARY_NAME)};

int nats_link_load(struct why *why)
{
    return library_open(NATS_SONAME, "libnats-dev", nats_names, ARRAY_COUNT(nats_names), &nats,
                        why);
}

struct message {
    char *subject;
    char *id; /* NULL: no answer wanted */
    uint8_t *payload;
    size_t len;
};

struct nats_link {
    pthread_mutex_t lock;  /* guards the two queues */
    pthread_cond_t filled; /* a message was queued, or the link came up */
    struct message queue[NATS_LINK_QUEUE];
    unsigned queue_first;
    unsigned queue_count;
    struct nats_link_event events[EVENTS_CAP];
    unsigned event_first;
    unsigned event_count;
    bool is_overrun; /* an event found no room */
    int event_fd;
    struct audit_stream config; /* texts are owned; read only by the link's thread */
    bool is_closed;             /* the library gave the connection up; guarded by lock */
    natsConnection *connection; /* of the link's thread */
    jsCtx *js;
};

static void add_event(struct nats_link *l, enum nats_link_news news, const char *id)
{
    const uint64_t one = 1;

    must(pthread_mutex_lock(&l->lock) == 0);
    if (l->event_count == EVENTS_CAP) {
        l->is_overrun = true;
    } else {
        struct nats_link_event *e = &l->events[(l->event_first + l->event_count++) % EVENTS_CAP];

        *e = (struct nats_link_event){.news = news};
        (void)snprintf(e->id, sizeof(e->id), "%s", id);
    }
    must(pthread_mutex_unlock(&l->lock) == 0);
    (void)!write(l->event_fd, &one,
                 sizeof(one)); /* full only when nobody has read for 2^64 events */
}

bool nats_link_next(struct nats_link *l, struct nats_link_event *ret)
{
    uint64_t count;
    bool has_event;

    must(pthread_mutex_lock(&l->lock) == 0);
    has_event = l->event_count > 0;
    if (has_event) {
        *ret = l->events[l->event_first];
        l->event_first = (l->event_first + 1) % EVENTS_CAP;
        l->event_count--;
    } else if (l->is_overrun) {
        *ret = (struct nats_link_event){.news = NATS_LINK_REFUSED};
        l->is_overrun = false;
        has_event = true;
    } else {
        (void)!read(l->event_fd, &count, sizeof(count)); /* non-blocking: empty is as good */
    }
    must(pthread_mutex_unlock(&l->lock) == 0);
    return has_event;
}

int nats_link_fd(const struct nats_link *l)
{
    return l->event_fd;
}

static void message_done(struct message *m)
{
    free(m->subject);
    free(m->id);
    free(m->payload);
    *m = (struct message){0};
}

int nats_link_publish(struct nats_link *l, const char *subject, const char *id,
                      struct bytes payload)
{
    struct message m = {.subject = strdup(subject),
                        .id = id != NULL ? strdup(id) : NULL,
                        .payload = malloc(payload.len > 0 ? payload.len : 1),
                        .len = payload.len};
    int err = 0;

    if (m.subject == NULL || m.payload == NULL || (id != NULL && m.id == NULL)) {
        message_done(&m);
        return -ENOMEM;
    }
    memcpy(m.payload, payload.data, payload.len);
    must(pthread_mutex_lock(&l->lock) == 0);
    if (l->queue_count < NATS_LINK_QUEUE)
        l->queue[(l->queue_first + l->queue_count++) % NATS_LINK_QUEUE] = m;
    else
        err = -EAGAIN;
    must(pthread_cond_signal(&l->filled) == 0 && pthread_mutex_unlock(&l->lock) == 0);
    if (err < 0)
        message_done(&m);
    return err;
}

/** The next message; without a subject when the connection was given up meanwhile. */
static struct message wait_for_message(struct nats_link *l)
{
    struct message m = {0};

    must(pthread_mutex_lock(&l->lock) == 0);
    while (l->queue_count == 0 && !l->is_closed)
        must(pthread_cond_wait(&l->filled, &l->lock) == 0);
    if (!l->is_closed) {
        m = l->queue[l->queue_first];
        l->queue_first = (l->queue_first + 1) % NATS_LINK_QUEUE;
        l->queue_count--;
    }
    must(pthread_mutex_unlock(&l->lock) == 0);
    return m;
}

/* --- The library's threads -------------------------------------------------------------------- */

static void on_ack(jsCtx *js, natsMsg *msg, jsPubAck *ack, jsPubAckErr *failure, void *closure)
{
    struct nats_link *l = closure;
    const char *id = NULL;

    (void)js;
    (void)failure;
    if (nats.natsMsgHeader_Get(msg, "Nats-Msg-Id", &id) == NATS_OK && id != NULL)
        add_event(l, ack != NULL ? NATS_LINK_ACK : NATS_LINK_REFUSED, id);
    nats.natsMsg_Destroy(msg);
}

static void on_up(natsConnection *connection, void *closure)
{
    char server[NATS_LINK_ID_CAP] = "";

    (void)nats.natsConnection_GetConnectedServerId(connection, server,
                                                   sizeof(server)); /* "": as a new one */
    add_event(closure, NATS_LINK_UP, server);
}

static void on_down(natsConnection *connection, void *closure)
{
    (void)connection;
    add_event(closure, NATS_LINK_DOWN, "");
}

/** The library gives up when the server refuses us twice: it may not know our user yet. */
static void on_closed(natsConnection *connection, void *closure)
{
    struct nats_link *l = closure;

    (void)connection;
    must(pthread_mutex_lock(&l->lock) == 0);
    l->is_closed = true;
    must(pthread_cond_signal(&l->filled) == 0 && pthread_mutex_unlock(&l->lock) == 0);
}

/** Said on the library's standard error otherwise; what matters comes as events. */
static void on_error(natsConnection *connection, natsSubscription *sub, natsStatus err,
                     void *closure)
{
    (void)connection;
    (void)sub;
    (void)err;
    (void)closure;
}

/* --- The link's thread ------------------------------------------------------------------------ */

static natsStatus set_identity(natsOptions *o, const struct audit_stream *config)
{
    natsStatus s = nats.natsOptions_SetURL(o, config->url);

    if (s == NATS_OK && config->creds_file != NULL)
        s = nats.natsOptions_SetUserCredentialsFromFiles(o, config->creds_file, NULL);
    if (s == NATS_OK && config->user != NULL)
        s = nats.natsOptions_SetUserInfo(o, config->user, config->password);
    if (s == NATS_OK && config->inbox != NULL)
        s = nats.natsOptions_SetCustomInboxPrefix(o, config->inbox);
    if (s == NATS_OK && config->ca_file != NULL) {
        s = nats.natsOptions_SetSecure(o, true);
        if (s == NATS_OK)
            s = nats.natsOptions_LoadCATrustedCertificates(o, config->ca_file);
    }
    return s;
}

static natsStatus set_behaviour(natsOptions *o, struct nats_link *l)
{
    natsStatus s = nats.natsOptions_SetName(o, "lattice auditor");

    if (s == NATS_OK)
        s = nats.natsOptions_SetTimeout(o, CONNECT_TIMEOUT_MS);
    if (s == NATS_OK)
        s = nats.natsOptions_SetPingInterval(o, PING_MS);
    if (s == NATS_OK)
        s = nats.natsOptions_SetMaxPingsOut(o, 2);
    if (s == NATS_OK)
        s = nats.natsOptions_SetWriteDeadline(o, WRITE_DEADLINE_MS);
    if (s == NATS_OK)
        s = nats.natsOptions_SetMaxReconnect(o, -1);
    if (s == NATS_OK)
        s = nats.natsOptions_SetReconnectWait(o, RECONNECT_MS);
    if (s == NATS_OK)
        s = nats.natsOptions_SetReconnectJitter(o, RECONNECT_JITTER_MS, RECONNECT_JITTER_MS);
    if (s == NATS_OK)
        s = nats.natsOptions_SetRetryOnFailedConnect(o, true, on_up, l);
    if (s == NATS_OK)
        s = nats.natsOptions_SetReconnectedCB(o, on_up, l);
    if (s == NATS_OK)
        s = nats.natsOptions_SetDisconnectedCB(o, on_down, l);
    if (s == NATS_OK)
        s = nats.natsOptions_SetClosedCB(o, on_closed, l);
    if (s == NATS_OK)
        s = nats.natsOptions_SetErrorHandler(o, on_error, l);
    return s;
}

/** To be tried again by the thread's loop. */
static bool give_up(struct nats_link *l)
{
    on_closed(NULL, l);
    return true;
}

static bool connect_link(struct nats_link *l)
{
    natsOptions *o = NULL;
    jsOptions jo;
    natsStatus s = nats.natsOptions_Create(&o);

    if (s == NATS_OK)
        s = set_identity(o, &l->config);
    if (s == NATS_OK)
        s = set_behaviour(o, l);
    if (s == NATS_OK)
        s = nats.natsConnection_Connect(&l->connection, o);
    nats.natsOptions_Destroy(o);
    if (s == NATS_OK)
        on_up(l->connection, l); /* later connections call it by themselves */
    else if (s == NATS_CONNECTION_AUTH_FAILED || s == NATS_TIMEOUT || s == NATS_NO_SERVER)
        return give_up(l);
    else if (s != NATS_NOT_YET_CONNECTED)
        return false;
    if (nats.jsOptions_Init(&jo) != NATS_OK)
        return false;
    jo.PublishAsync.AckHandler = on_ack;
    jo.PublishAsync.AckHandlerClosure = l;
    return nats.natsConnection_JetStream(&l->js, l->connection, &jo) == NATS_OK;
}

/** Make the stream when it is not there; who may not make it finds it made by the control plane. */
static void ensure_stream(struct nats_link *l)
{
    char spans[160];
    char flows[160];
    const char *subjects[] = {spans, flows};
    jsStreamConfig config;
    jsStreamInfo *info = NULL;

    if (!l->config.make_stream || nats.jsStreamConfig_Init(&config) != NATS_OK)
        return;
    (void)snprintf(spans, sizeof(spans), "lattice.*.tool_spans.*");
    (void)snprintf(flows, sizeof(flows), "lattice.*.flow_events.*");
    config.Name = AUDIT_STREAM_NAME;
    config.Subjects = subjects;
    config.SubjectsLen = (int)ARRAY_COUNT(subjects);
    config.Storage = js_FileStorage;
    config.MaxAge = STREAM_AGE_NS;
    config.MaxBytes = STREAM_BYTES;
    config.Duplicates = DUPLICATES_NS;
    (void)nats.js_AddStream(&info, l->js, &config, NULL,
                            NULL); /* publishing shows whether there is one */
    nats.jsStreamInfo_Destroy(info);
}

static natsStatus send_message(struct nats_link *l, const struct message *m)
{
    jsPubOptions options;
    natsMsg *msg = NULL;
    natsStatus s;

    if (m->id == NULL)
        return nats.natsConnection_Publish(l->connection, m->subject, m->payload, (int)m->len);
    s = nats.natsMsg_Create(&msg, m->subject, NULL, (const char *)m->payload, (int)m->len);
    if (s == NATS_OK)
        s = nats.natsMsgHeader_Set(msg, "Nats-Msg-Id", m->id);
    if (s == NATS_OK)
        s = nats.natsMsgHeader_Set(msg, "Content-Type", "application/json");
    if (s == NATS_OK)
        s = nats.jsPubOptions_Init(&options);
    if (s == NATS_OK) {
        options.MaxWait = ACK_WAIT_MS;
        s = nats.js_PublishMsgAsync(l->js, &msg, &options); /* takes the message when it succeeds */
    }
    nats.natsMsg_Destroy(msg);
    return s;
}

/** Begin anew after the library gave up. False: it cannot even be tried. */
static bool connect_again(struct nats_link *l)
{
    jsCtx *js = l->js;
    natsConnection *connection = l->connection;

    add_event(l, NATS_LINK_DOWN, "");
    l->js = NULL;
    l->connection = NULL;
    nats.jsCtx_Destroy(js);
    nats.natsConnection_Destroy(connection);
    nats.nats_Sleep(RECONNECT_MS);
    must(pthread_mutex_lock(&l->lock) == 0);
    l->is_closed = false;
    must(pthread_mutex_unlock(&l->lock) == 0);
    return connect_link(l);
}

static void *run_link(void *self)
{
    struct nats_link *l = self;
    bool has_stream = false;

    if (!connect_link(l)) {
        add_event(l, NATS_LINK_DOWN,
                  ""); /* a configuration that can never work: the outbox keeps all */
        return NULL;
    }
    for (;;) {
        struct message m = wait_for_message(l);

        if (m.subject == NULL) {
            if (!connect_again(l))
                return NULL;
            continue;
        }
        if (!has_stream &&
            nats.natsConnection_Status(l->connection) == NATS_CONN_STATUS_CONNECTED) {
            ensure_stream(l);
            has_stream = true;
        }
        if (send_message(l, &m) != NATS_OK && m.id != NULL)
            add_event(l, NATS_LINK_REFUSED, m.id);
        message_done(&m);
    }
}

static int copy_text(const char *from, const char **to)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from != NULL && *to == NULL ? -ENOMEM : 0;
}

static int copy_config(const struct audit_stream *from, struct audit_stream *to)
{
    to->make_stream = from->make_stream;
    if (copy_text(from->url, &to->url) < 0 || copy_text(from->creds_file, &to->creds_file) < 0 ||
        copy_text(from->user, &to->user) < 0 || copy_text(from->password, &to->password) < 0 ||
        copy_text(from->ca_file, &to->ca_file) < 0 ||
        copy_text(from->workspace, &to->workspace) < 0 || copy_text(from->inbox, &to->inbox) < 0)
        return -ENOMEM;
    return 0;
}

int nats_link_open(const struct audit_stream *config, struct nats_link **ret, struct why *why)
{
    struct nats_link *l = calloc(1, sizeof(*l));
    pthread_t thread;
    int err;

    if (l == NULL || copy_config(config, &l->config) < 0) {
        free(l); /* texts that were copied leak; the process ends */
        return why_set(why, -ENOMEM, "out of memory");
    }
    l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event_fd < 0)
        return why_set(why, -errno, "cannot make an event descriptor: %s", strerror(errno));
    must(pthread_mutex_init(&l->lock, NULL) == 0 && pthread_cond_init(&l->filled, NULL) == 0);
    err = pthread_create(&thread, NULL, run_link, l);
    if (err != 0)
        return why_set(why, -err, "cannot start the thread of the NATS link: %s", strerror(err));
    must(pthread_detach(thread) == 0);
    *ret = l;
    return 0;
}
