/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auditor and a real nats-server with JetStream: what is in the log is in the stream, each
 * record once, whatever is killed or stopped meanwhile. An independent subscriber reads the stream.
 */
#include "tests/support/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/io.h"
#include "base/json.h"
#include "base/json_out.h"

#define RUNS_MAX    256u
#define PER_RUN_MAX 40000u
#define USER        "auditor"
#define PASSWORD    "pw-canary-8c1d"

static char dir[] = "/tmp/lattice-test-nats-XXXXXX";
static char log_path[96];
static char url[64];
static unsigned port;
static pid_t server;

static const char *find_server(void)
{
    static const char *const places[] = {"/usr/sbin/nats-server", "/usr/bin/nats-server",
                                         "/usr/local/bin/nats-server", "/sbin/nats-server"};

    for (size_t i = 0; i < ARRAY_COUNT(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static void write_config(void)
{
    char path[96];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/server.conf", dir);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(
        fprintf(f,
                "listen: \"127.0.0.1:%d\"\nports_file_dir: \"%s\"\nlog_file: \"%s/server.log\"\n"
                "jetstream { store_dir: \"%s/js\" }\n"
                "authorization { users = [ { user: " USER ", password: \"" PASSWORD "\" } ] }\n",
                port != 0 ? (int)port : -1, dir, dir, dir),
        0);
    ck_assert_int_eq(fclose(f), 0);
}

/** The port that the server wrote down; 0: not yet. */
static unsigned read_port(void)
{
    const struct json_limits limits = {.bytes = 65536};
    char path[128];
    struct json_doc *doc = NULL;
    struct buf text;
    const char *where = NULL;
    unsigned found = 0;

    (void)snprintf(path, sizeof(path), "%s/nats-server_%d.ports", dir, server);
    buf_init(&text, 65536);
    if (io_read_file(path, &text, NULL) == 0 &&
        json_parse(buf_bytes(&text), &limits, &doc, NULL) == 0 &&
        json_read_str(json_first(json_get(json_root(doc), "nats")), &where) == 0)
        found = (unsigned)strtoul(strrchr(where, ':') + 1, NULL, 10);
    json_free(doc);
    buf_done(&text);
    return found;
}

/** Start the server; the second time on the port that the first one got. */
static void start_server(void)
{
    char config[96];

    write_config();
    (void)snprintf(config, sizeof(config), "%s/server.conf", dir);
    server = fork();
    if (server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(find_server(), "nats-server", "-c", config, (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < 1000 && read_port() == 0; i++)
        (void)poll(NULL, 0, 10);
    port = read_port();
    ck_assert_uint_ne(port, 0);
    (void)snprintf(url, sizeof(url), "nats://127.0.0.1:%u", port);
}

static void kill_server(void)
{
    ck_assert_int_eq(kill(server, SIGKILL), 0);
    ck_assert_int_eq(waitpid(server, NULL, 0), server);
}

static void make_place(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(log_path, sizeof(log_path), "%s/log.jsonl", dir);
}

static void remove_place(void)
{
    char command[64];

    kill_server();
    (void)snprintf(command, sizeof(command), "%s", dir);
    if (fork() == 0) {
        (void)execl("/bin/rm", "rm", "-rf", command, (char *)NULL);
        _exit(127);
    }
    (void)wait(NULL);
}

static struct audit *start(void)
{
    const struct audit_stream stream = {
        .url = url, .user = USER, .password = PASSWORD, .workspace = "ws", .make_stream = true};
    const struct audit_config config = {.path = log_path, .identity = "agent-1", .stream = &stream};
    struct audit *a = NULL;
    struct why why = {0};

    ck_assert_msg(audit_start(&config, &a, &why) == 0, "%s", why.text);
    return a;
}

static const struct audit_record flow = {
    .kind = AUDIT_FLOW,
    .verdict = "allow",
    .protocol = "tcp",
    .direction = "egress",
    .dst = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 7}}, .port = 443},
    .bytes_out = 5,
    .bytes_in = 7,
    .duration_ns = 1000000};
static const struct audit_record call = {.kind = AUDIT_SPAN,
                                         .tool = "read_file",
                                         .status = "ok",
                                         .span_id = "00000000000000aa",
                                         .arguments =
                                             "{\"path\":\"/x\",\"password\":\"" PASSWORD "\"}",
                                         .duration_ns = 2000000};
static const struct audit_record stop = {.kind = AUDIT_STOP, .duration_ns = -1};

static void emit(struct audit *a, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(audit_emit(a, i % 3 == 0 ? &call : &flow), 0);
}

/* --- Comparing the stream with the log -------------------------------------------------------- */

struct run {
    char chain[17];
    uint64_t count;
    uint8_t *seen; /* a counter for each sequence number */
};

static struct run runs[RUNS_MAX];
static unsigned run_count;
static uint64_t log_records;

static struct run *find_run(const char *chain)
{
    for (unsigned i = run_count; i > 0; i--)
        if (strcmp(runs[i - 1].chain, chain) == 0)
            return &runs[i - 1];
    return NULL;
}

static void read_log(void)
{
    struct audit_reader *reader = NULL;
    struct audit_entry entry;

    ck_assert_int_eq(audit_reader_open(log_path, 0, &reader, NULL), 0);
    while (audit_reader_next(reader, &entry, NULL) == 1) {
        struct run *run = find_run(entry.chain);

        if (run == NULL) {
            ck_assert_uint_lt(run_count, RUNS_MAX);
            run = &runs[run_count++];
            (void)snprintf(run->chain, sizeof(run->chain), "%s", entry.chain);
            run->seen = calloc(PER_RUN_MAX, 1);
        }
        ck_assert_uint_eq(entry.seq, run->count + 1);
        ck_assert_uint_lt(entry.seq, PER_RUN_MAX);
        run->count = entry.seq;
        log_records++;
    }
    audit_reader_close(reader);
}

static void take_message(natsMsg *msg)
{
    const struct json_limits limits = {.bytes = AUDIT_LINE_MAX * 2};
    struct json_doc *doc = NULL;
    const char *id = NULL;
    const char *chain = NULL;
    const char *own_id = NULL;
    uint64_t seq = 0;
    struct run *run;

    ck_assert_int_eq(natsMsgHeader_Get(msg, "Nats-Msg-Id", &id), NATS_OK);
    ck_assert_int_eq(json_parse(bytes_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg)),
                                &limits, &doc, NULL),
                     0);
    ck_assert_int_eq(json_read_str(json_get(json_root(doc), "chain"), &chain), 0);
    ck_assert_int_eq(json_read_str(json_get(json_root(doc), "id"), &own_id), 0);
    ck_assert_int_eq(json_read_u64(json_get(json_root(doc), "seq"), &seq), 0);
    ck_assert_str_eq(own_id, id);
    ck_assert(json_is_str(json_get(json_root(doc), "agentId"), "agent-1"));
    ck_assert_ptr_null(memmem(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg), PASSWORD,
                              sizeof(PASSWORD) - 1));
    run = find_run(chain);
    ck_assert_ptr_nonnull(run);
    ck_assert_uint_le(seq, run->count);
    run->seen[seq]++;
    json_free(doc);
    natsMsg_Destroy(msg);
}

static jsCtx *js_connect(natsConnection **ret)
{
    natsOptions *o = NULL;
    jsCtx *js = NULL;

    ck_assert_int_eq(natsOptions_Create(&o), NATS_OK);
    ck_assert_int_eq(natsOptions_SetURL(o, url), NATS_OK);
    ck_assert_int_eq(natsOptions_SetUserInfo(o, USER, PASSWORD), NATS_OK);
    ck_assert_int_eq(natsConnection_Connect(ret, o), NATS_OK);
    ck_assert_int_eq(natsConnection_JetStream(&js, *ret, NULL), NATS_OK);
    natsOptions_Destroy(o);
    return js;
}

/** Messages that the stream holds; 0 when there is no stream yet. */
static uint64_t stream_count(void)
{
    natsConnection *nc = NULL;
    jsCtx *js = js_connect(&nc);
    jsStreamInfo *info = NULL;
    uint64_t count = 0;

    if (js_GetStreamInfo(&info, js, AUDIT_STREAM_NAME, NULL, NULL) == NATS_OK)
        count = info->State.Msgs;
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return count;
}

static natsSubscription *subscribe(jsCtx *js, const char *subject)
{
    natsSubscription *sub = NULL;
    jsSubOptions so;
    jsErrCode code = 0;

    ck_assert_int_eq(jsSubOptions_Init(&so), NATS_OK);
    so.Stream = AUDIT_STREAM_NAME;
    so.Config.AckPolicy = js_AckNone;
    so.Config.DeliverPolicy = js_DeliverAll;
    ck_assert_msg(js_SubscribeSync(&sub, js, subject, NULL, &so, &code) == NATS_OK, "%d: %s",
                  (int)code, nats_GetLastError(NULL));
    ck_assert_int_eq(natsSubscription_SetPendingLimits(sub, -1, -1), NATS_OK);
    return sub;
}

/** Read @count messages from the two subjects. */
static void take_messages(jsCtx *js, uint64_t count)
{
    natsSubscription *subs[] = {subscribe(js, "lattice.ws.tool_spans.agent-1"),
                                subscribe(js, "lattice.ws.flow_events.agent-1")};
    unsigned misses = 0;

    for (uint64_t i = 0; i < count && misses < 100;) {
        natsMsg *msg = NULL;

        if (natsSubscription_NextMsg(&msg, subs[misses % 2], 100) == NATS_OK) {
            take_message(msg);
            i++;
            continue;
        }
        misses++;
    }
    natsSubscription_Destroy(subs[0]);
    natsSubscription_Destroy(subs[1]);
}

/** Read the whole stream and hold it against the log: each record is there, and @max_times at most.
 */
static void compare(unsigned max_times)
{
    natsConnection *nc = NULL;
    jsCtx *js = js_connect(&nc);
    uint64_t count = stream_count();

    read_log();
    take_messages(js, count);
    for (unsigned r = 0; r < run_count; r++) {
        for (uint64_t seq = 1; seq <= runs[r].count; seq++) {
            ck_assert_msg(runs[r].seen[seq] >= 1,
                          "record %" PRIu64 " of run %s is not in the stream", seq, runs[r].chain);
            ck_assert_uint_le(runs[r].seen[seq], max_times);
        }
        free(runs[r].seen);
    }
    printf("%u runs, %" PRIu64 " records in the log, %" PRIu64 " messages in the stream\n",
           run_count, log_records, count);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
}

/** Runs of the auditor without records until the stream has as many messages as the log has lines.
 */
static void drain(void)
{
    struct audit_check check;

    for (unsigned i = 0; i < 30; i++) {
        ck_assert_int_eq(audit_stop(start()), 0);
        ck_assert_int_eq(audit_verify(log_path, true, &check, NULL), 0);
        if (stream_count() >= check.records)
            return;
    }
    ck_abort_msg("the stream never got everything");
}

START_TEST(every_record_reaches_the_stream_once)
{
    struct audit *a;

    make_place();
    start_server();
    a = start();
    emit(a, 20000);
    ck_assert_int_eq(audit_emit(a, &stop), 0);
    ck_assert_int_eq(audit_stop(a), 0);
    drain();
    compare(1);
    remove_place();
}
END_TEST

START_TEST(records_made_while_the_server_is_away_arrive_later)
{
    struct audit *a;

    make_place();
    start_server();
    kill_server();
    a = start();
    emit(a, 3000);
    ck_assert_int_eq(audit_stop(a), 0); /* not delayed by the absence */
    a = start();
    emit(a, 1000);
    start_server();
    emit(a, 1000);
    ck_assert_int_eq(audit_stop(a), 0);
    drain();
    compare(1);
    remove_place();
}
END_TEST

START_TEST(killed_server_loses_nothing)
{
    /* Killed five times in the middle of the flow; its store survives as far as it was written. */
    struct audit *a;

    make_place();
    start_server();
    a = start();
    for (unsigned round = 0; round < 5; round++) {
        emit(a, 2000);
        (void)poll(NULL, 0, (int)(round * 23));
        kill_server();
        emit(a, 500);
        start_server();
    }
    emit(a, 500);
    ck_assert_int_eq(audit_stop(a), 0);
    drain();
    compare(2); /* a record may be stored again when the server forgot its ids; the id tells */
    remove_place();
}
END_TEST

START_TEST(stopped_server_never_holds_up_the_supervisor)
{
    /* SIGSTOP: the connection stays, nobody reads. Every record must still be taken. */
    struct audit *a;
    struct mono begin;

    make_place();
    start_server();
    a = start();
    emit(a, 1000);
    ck_assert_int_eq(kill(server, SIGSTOP), 0);
    begin = mono_now();
    emit(a, 20000);
    ck_assert_int_lt(mono_now().ns - begin.ns, 15 * NS_PER_S);
    ck_assert_int_eq(kill(server, SIGCONT), 0);
    emit(a, 1000);
    ck_assert_int_eq(audit_stop(a), 0);
    drain();
    compare(1);
    remove_place();
}
END_TEST

START_TEST(killed_auditors_leave_a_chain_that_verifies_and_a_stream_that_is_complete)
{
    struct audit_check check;
    uint32_t seed = 4711;

    make_place();
    start_server();
    for (unsigned i = 0; i < 200; i++) {
        struct audit *a = start();
        unsigned count;

        seed = seed * 1664525u + 1013904223u;
        count = (seed >> 16) % 60;
        for (unsigned n = 0; n < count; n++)
            (void)!audit_emit(a, &flow);
        (void)poll(NULL, 0,
                   (int)(count % 16)); /* the moment of the kill, not a wait for anything */
        ck_assert_int_eq(kill(-audit_pid(a), SIGKILL), 0);
        ck_assert_int_eq(audit_stop(a), -EIO);
    }
    drain();
    ck_assert_int_eq(audit_verify(log_path, false, &check, NULL), 0);
    ck_assert_uint_gt(check.records, 200); /* the kills came late enough to mean something */
    compare(1);
    remove_place();
}
END_TEST

/** The writer, the keeper's only child; 0: between two. */
static pid_t writer_of(const struct audit *a)
{
    char name[64];
    struct buf text;
    pid_t pid = 0;

    (void)snprintf(name, sizeof(name), "/proc/%d/task/%d/children", audit_pid(a), audit_pid(a));
    buf_init(&text, 4096);
    if (io_read_file(name, &text, NULL) == 0)
        pid = (pid_t)strtol(buf_text(&text), NULL, 10);
    buf_done(&text);
    return pid;
}

START_TEST(killed_writers_and_servers_lose_nothing_that_was_emitted)
{
    /* 200 kills of the writer, and 8 of the server, while records are emitted: emitted = log =
     * stream. */
    struct audit_check check;
    unsigned kills = 0;
    unsigned sent = 0;
    struct audit *a;

    make_place();
    start_server();
    a = start();
    while (kills < 200) {
        pid_t writer;

        emit(a, 1 + kills % 40);
        sent += 1 + kills % 40;
        (void)poll(NULL, 0, (int)(kills % 11)); /* the moment of the kill */
        writer = writer_of(a);
        kills += writer > 0 && kill(writer, SIGKILL) == 0;
        if (kills % 25 == 24) {
            kill_server();
            start_server();
        }
    }
    ck_assert_int_eq(audit_emit(a, &stop), 0);
    ck_assert_int_eq(audit_stop(a), 0);
    ck_assert_int_eq(audit_verify(log_path, false, &check, NULL), 0);
    ck_assert_uint_eq(check.records, sent + 1);
    drain();
    compare(2);
    remove_place();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_SLOW(every_record_reaches_the_stream_once, 60),
    SUITE_SLOW(records_made_while_the_server_is_away_arrive_later, 60),
    SUITE_SLOW(killed_server_loses_nothing, 90),
    SUITE_SLOW(stopped_server_never_holds_up_the_supervisor, 90),
    SUITE_SLOW(killed_auditors_leave_a_chain_that_verifies_and_a_stream_that_is_complete, 120),
    SUITE_SLOW(killed_writers_and_servers_lose_nothing_that_was_emitted, 150),
};

int main(void)
{
    if (find_server() == NULL)
        suite_skip("nats-server is not installed (package nats-server)");
    return suite_run("audit over NATS", tests, (unsigned)ARRAY_COUNT(tests));
}
