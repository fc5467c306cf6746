/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a record costs. Without arguments: one record handed to the auditor (the supervisor's
 * share), and records a second until all are in the log. With `nats URL [USER PASSWORD]`: records a
 * second until a JetStream server has acknowledged them all. With `query SPANS`: what a projection
 * of so many spans answers. With `fill FILE SPANS`: make such a projection, for bench/audit.py.
 */
#include <nats/nats.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/audit.h"
#include "bench/samples.h"

#define ROUNDS       10u
#define RECORDS      50000u
#define NATS_RECORDS 20000u
#define QUERY_SPANS  100u /* a trace */
#define QUERIES      500u

static char dir[] = "/tmp/lattice-bench-audit-XXXXXX";
static char path[64];

static const struct audit_record flow = {
    .kind = AUDIT_FLOW,
    .verdict = "allow",
    .mode = "enforce",
    .protocol = "tcp",
    .direction = "egress",
    .src = {.ip = {.family = IP_V4, .bytes = {10, 0, 0, 2}}, .port = 40000},
    .dst = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 7}}, .port = 443},
    .name = "api.example.org",
    .rule = "*.example.org:443",
    .exe = "/usr/bin/python3.11",
    .pid = 4711,
    .bytes_out = 512,
    .bytes_in = 20480,
    .duration_ns = 1234567,
};

static struct audit *start(const struct audit_stream *stream)
{
    const struct audit_config config = {.path = path, .identity = "bench", .stream = stream};
    struct audit *a = NULL;
    struct why why = {0};

    if (audit_start(&config, &a, &why) < 0) {
        (void)fprintf(stderr, "bench_audit: %s\n", why.text);
        exit(EXIT_FAILURE);
    }
    return a;
}

static void remove_files(void)
{
    static const char *const ends[] = {"", ".head", ".sent"};

    for (unsigned i = 0; i < 3; i++) {
        char file[80];

        (void)snprintf(file, sizeof(file), "%s%s", path, ends[i]);
        (void)unlink(file);
    }
}

static void bench_log(void)
{
    struct samples emit;
    struct samples rate;

    samples_init(&emit, ROUNDS * RECORDS / 100);
    samples_init(&rate, ROUNDS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct audit *a = start(NULL);
        double begin = now_us();

        for (unsigned i = 0; i < RECORDS; i++) {
            double before = i % 100 == 0 ? now_us() : 0;

            must(audit_emit(a, &flow) == 0);
            if (i % 100 == 0)
                samples_add(&emit, now_us() - before);
        }
        must(audit_stop(a) == 0);
        samples_add(&rate, RECORDS / ((now_us() - begin) / 1e6));
        remove_files();
    }
    samples_print(&emit, "audit_emit", "us", false);
    samples_print(&rate, "audit_to_synced_log", "records/s", true);
    samples_done(&emit);
    samples_done(&rate);
}

static uint64_t stream_count(jsCtx *js)
{
    jsStreamInfo *info = NULL;
    uint64_t count = 0;

    if (js_GetStreamInfo(&info, js, AUDIT_STREAM_NAME, NULL, NULL) == NATS_OK)
        count = info->State.Msgs;
    jsStreamInfo_Destroy(info);
    return count;
}

/** From the first record to the moment when the stream holds the last one. */
static void bench_nats(const struct audit_stream *stream)
{
    natsConnection *nc = NULL;
    natsOptions *options = NULL;
    jsCtx *js = NULL;
    struct samples rate;

    must(natsOptions_Create(&options) == NATS_OK &&
         natsOptions_SetURL(options, stream->url) == NATS_OK);
    if (stream->user != NULL)
        must(natsOptions_SetUserInfo(options, stream->user, stream->password) == NATS_OK);
    if (natsConnection_Connect(&nc, options) != NATS_OK ||
        natsConnection_JetStream(&js, nc, NULL) != NATS_OK) {
        (void)fprintf(stderr, "bench_audit: cannot reach %s\n", stream->url);
        exit(EXIT_FAILURE);
    }
    natsOptions_Destroy(options);
    samples_init(&rate, ROUNDS);
    for (unsigned round = 0; round < 3; round++) {
        struct audit *a = start(stream);
        uint64_t before = stream_count(js);
        double begin = now_us();

        for (unsigned i = 0; i < NATS_RECORDS; i++)
            must(audit_emit(a, &flow) == 0);
        while (stream_count(js) < before + NATS_RECORDS)
            (void)poll(NULL, 0, 2);
        samples_add(&rate, NATS_RECORDS / ((now_us() - begin) / 1e6));
        must(audit_stop(a) == 0);
        remove_files();
    }
    samples_print(&rate, "audit_acknowledged_by_jetstream", "records/s", true);
    samples_done(&rate);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
}

static void put_span(struct audit_store *store, unsigned trace, unsigned span)
{
    char payload[1024];
    int len = snprintf(
        payload, sizeof(payload),
        "{\"kind\":\"span\",\"ts\":\"2026-01-01T%02u:%02u:%02u.%06u000Z\",\"agentId\":\"agent-%u\","
        "\"tool\":\"read_file\",\"status\":\"ok\",\"durationMs\":3,\"traceId\":\"%08x\","
        "\"spanId\":\"%016x\",\"parentSpanId\":\"%016x\",\"chain\":\"%016x\",\"seq\":%u}",
        trace / 3600 % 24, trace / 60 % 60, trace % 60, span, trace % 100, trace, span + 1,
        span / 3, trace, span + 1);

    must(len > 0 && audit_store_put(store, NULL, bytes_of(payload, (size_t)len), NULL) == 0);
}

static int count_row(void *self, const struct audit_trace_row *r)
{
    (void)r;
    ++*(unsigned *)self;
    return 0;
}

static void bench_query(unsigned long spans)
{
    struct audit_store *store = NULL;
    struct samples put;
    struct samples tree;
    struct samples list;
    unsigned traces = (unsigned)(spans / QUERY_SPANS);

    must(audit_store_open(path, &store, NULL) == 0);
    samples_init(&put, traces);
    samples_init(&tree, QUERIES);
    samples_init(&list, QUERIES);
    for (unsigned trace = 0; trace < traces; trace++) {
        double begin = now_us();

        must(audit_store_begin(store) == 0);
        for (unsigned span = 0; span < QUERY_SPANS; span++)
            put_span(store, trace, span);
        must(audit_store_commit(store) == 0);
        samples_add(&put, QUERY_SPANS / ((now_us() - begin) / 1e6));
    }
    for (unsigned i = 0; i < QUERIES; i++) {
        struct audit_tree *t = NULL;
        struct audit_filter f = {.agent = "agent-7", .limit = 50};
        char id[16];
        double begin = now_us();
        unsigned rows = 0;

        (void)snprintf(id, sizeof(id), "%08x", (i * 7919u) % traces);
        must(audit_tree_load(store, id, &t) == 0);
        audit_tree_free(t);
        samples_add(&tree, now_us() - begin);
        if (i % 10 != 0)
            continue;
        begin = now_us();
        must(audit_store_traces(store, &f, count_row, &rows) == 0 && rows > 0);
        samples_add(&list, now_us() - begin);
    }
    samples_print(&put, "audit_store_put", "spans/s", true);
    samples_print(&tree, "audit_tree_of_100_spans", "us", false);
    samples_print(&list, "audit_traces_of_an_agent", "us", false);
    audit_store_close(store);
    remove_files();
}

static void fill(const char *file, unsigned long spans)
{
    struct audit_store *store = NULL;

    must(audit_store_open(file, &store, NULL) == 0);
    for (unsigned trace = 0; trace < spans / QUERY_SPANS; trace++) {
        must(audit_store_begin(store) == 0);
        for (unsigned span = 0; span < QUERY_SPANS; span++)
            put_span(store, trace, span);
        must(audit_store_commit(store) == 0);
    }
    audit_store_close(store);
}

int main(int argc, char **argv)
{
    struct audit_stream stream = {.workspace = "bench", .make_stream = true};

    must(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    if (argc == 1) {
        bench_log();
    } else if (strcmp(argv[1], "nats") == 0 && (argc == 3 || argc == 5)) {
        stream.url = argv[2];
        stream.user = argc == 5 ? argv[3] : NULL;
        stream.password = argc == 5 ? argv[4] : NULL;
        bench_nats(&stream);
    } else if (strcmp(argv[1], "query") == 0 && argc == 3) {
        bench_query(count_of(argv[2], 10000000));
    } else if (strcmp(argv[1], "fill") == 0 && argc == 4) {
        fill(argv[2], count_of(argv[3], 10000000));
    } else {
        (void)fprintf(stderr,
                      "usage: bench_audit [nats URL [USER PASSWORD] | query SPANS | fill FILE "
                      "SPANS]\n");
        return EXIT_FAILURE;
    }
    return rmdir(dir) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
