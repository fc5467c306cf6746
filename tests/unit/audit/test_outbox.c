/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbox against a stream that is played here, in virtual time: whatever is refused, forgotten
 * or cut off, in the end the stream has exactly the records of the log, once each.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/logfile.h"
#include "audit/outbox.h"
#include "audit/record.h"

#define LINES_MAX 4000u

static char dir[] = "/tmp/lattice-test-outbox-XXXXXX";
static char path[64];
static char other[96];

static void make_place(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/log", dir);
}

static void remove_place(void)
{
    static const char *const ends[] = {"", ".head", ".sent"};

    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(other, sizeof(other), "%s%s", path, ends[i]);
        (void)unlink(other);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

static void add_records(struct logfile *f, unsigned count)
{
    struct bytes sealed;
    struct buf lines;

    buf_init(&lines, LOGFILE_BATCH_MAX);
    for (unsigned i = 0; i < count; i++) {
        const struct audit_record r = {.kind = i % 2 == 0 ? AUDIT_FLOW : AUDIT_EXEC,
                                       .identity = "agent.one",
                                       .verdict = i % 2 == 0 ? "allow" : NULL,
                                       .tool = i % 2 == 0 ? NULL : "exec:x",
                                       .duration_ns = -1};
        struct json_out j;

        json_out_init(&j, &lines);
        json_open_object(&j);
        record_members(&r, RECORD_LINE, &j);
        buf_add_char(&lines, '\n');
    }
    ck_assert_int_eq(logfile_append(f, buf_bytes(&lines), &sealed), 0);
    buf_done(&lines);
}

/** The stream: stores each id once, as JetStream does; what the network does is up to the dice. */
struct stream {
    uint32_t seed;
    unsigned lose_percent;   /* messages that vanish, without answer */
    unsigned refuse_percent; /* … that are answered by a refusal */
    unsigned full_percent;   /* … for which the queue has no room */
    bool stored[LINES_MAX + 1];
    unsigned stored_count;
    unsigned repeated;
    unsigned compat;
    char answers[OUTBOX_WINDOW * 4][NATS_LINK_ID_CAP];
    bool is_ack[OUTBOX_WINDOW * 4];
    unsigned answer_count;
};

static struct stream s = {.seed = 1}; /* each test runs in a process of its own */
static struct outbox o;
static struct outbox b;

static unsigned dice(struct stream *stream)
{
    stream->seed = stream->seed * 1664525u + 1013904223u;
    return (stream->seed >> 16) % 100;
}

static int take(void *self, const char *subject, const char *id, struct bytes payload)
{
    struct stream *stream = self;
    unsigned seq;

    if (id == NULL) {
        ck_assert_str_eq(subject, "lattice.audit.flow");
        stream->compat++;
        return 0;
    }
    if (dice(stream) < stream->full_percent)
        return -EAGAIN;
    ck_assert(strcmp(subject, "lattice.my_space.flow_events.agent_one") == 0 ||
              strcmp(subject, "lattice.my_space.tool_spans.agent_one") == 0);
    ck_assert_int_eq(memcmp(id, "0000000000000007-", 17), 0);
    ck_assert_ptr_nonnull(memmem(payload.data, payload.len, "\"hash\":\"", 8));
    if (dice(stream) < stream->lose_percent)
        return 0;
    seq = (unsigned)strtoul(id + 17, NULL, 10);
    ck_assert_uint_le(seq, LINES_MAX);
    ck_assert_uint_lt(stream->answer_count, ARRAY_COUNT(stream->answers));
    (void)snprintf(stream->answers[stream->answer_count], NATS_LINK_ID_CAP, "%s", id);
    stream->is_ack[stream->answer_count] = dice(stream) >= stream->refuse_percent;
    if (stream->is_ack[stream->answer_count++]) {
        stream->repeated += stream->stored[seq];
        stream->stored_count += !stream->stored[seq];
        stream->stored[seq] = true;
    }
    return 0;
}

static void answer(struct stream *stream, struct outbox *box, struct mono now)
{
    for (unsigned i = 0; i < stream->answer_count; i++) {
        struct nats_link_event e = {.news = stream->is_ack[i] ? NATS_LINK_ACK : NATS_LINK_REFUSED};

        memcpy(e.id, stream->answers[i], sizeof(e.id));
        if (dice(stream) >= stream->lose_percent) /* an answer may be lost, too */
            outbox_hear(box, &e, now);
    }
    stream->answer_count = 0;
}

static void open_outbox(struct outbox *box, struct stream *stream)
{
    const struct outbox_link link = {.publish = take, .self = stream};
    struct why why = {0};

    ck_assert_msg(outbox_open(box, path, "my space", &link, &why) == 0, "%s", why.text);
}

static const struct nats_link_event up = {.news = NATS_LINK_UP, .id = "NSERVER1"};
static const struct nats_link_event up_other = {.news = NATS_LINK_UP, .id = "NSERVER2"};
static const struct nats_link_event down = {.news = NATS_LINK_DOWN};

START_TEST(outbox_without_trouble_sends_each_line_once)
{
    struct mono now = {.ns = NS_PER_S};
    struct logfile f;

    make_place();
    ck_assert_int_eq(logfile_open(&f, path, 7, NULL), 0);
    add_records(&f, 700);
    open_outbox(&o, &s);
    outbox_pump(&o, now);
    ck_assert_uint_eq(s.stored_count, 0); /* nothing before the link is up */
    outbox_hear(&o, &up, now);
    while (!outbox_is_empty(&o)) {
        outbox_pump(&o, now);
        ck_assert_uint_le(o.count, OUTBOX_WINDOW);
        answer(&s, &o, now);
    }
    ck_assert_uint_eq(s.stored_count, 700);
    ck_assert_uint_eq(s.repeated, 0);
    ck_assert_uint_eq(s.compat, 350);
    outbox_close(&o);
    logfile_close(&f);
    remove_place();
}
END_TEST

START_TEST(outbox_under_loss_refusal_and_reconnection_delivers_all)
{
    /* 25 seeds; loss both ways, refusals, a full queue, the link down now and then, and the process
     * killed and started again (a new outbox on the same files). */
    struct mono now = {.ns = NS_PER_S};
    unsigned written = 0;
    unsigned turns = 0;
    struct logfile f;

    s.seed = (uint32_t)_i;
    s.lose_percent = 3;
    s.refuse_percent = 2;
    s.full_percent = 3;
    make_place();
    ck_assert_int_eq(logfile_open(&f, path, 7, NULL), 0);
    add_records(&f, 1);
    written = 1;
    open_outbox(&o, &s);
    outbox_hear(&o, &up, now);
    while ((written < 2000 || !outbox_is_empty(&o)) && turns++ < 100000) {
        if (written < 2000) {
            add_records(&f, 20);
            written += 20;
        }
        if (dice(&s) < 2) {
            outbox_hear(&o, &down, now);
            s.answer_count = 0;
            now = mono_add_ms(now, 3000);
            outbox_pump(&o, now);
            outbox_hear(&o, &up, now);
        }
        if (dice(&s) < 2) {
            outbox_close(&o);
            s.answer_count = 0;
            open_outbox(&o, &s);
            outbox_hear(&o, &up, now);
        }
        outbox_pump(&o, now);
        answer(&s, &o, now);
        now = mono_add_ms(now, 400);
        if (written >= 2000) {
            s.lose_percent = s.refuse_percent = s.full_percent =
                0; /* liveness: faults stop, all arrives */
        }
    }
    ck_assert(outbox_is_empty(&o));
    ck_assert_uint_eq(s.stored_count, written);
    outbox_close(&o);
    logfile_close(&f);
    remove_place();
}
END_TEST

START_TEST(outbox_remembers_what_is_safe_only_after_its_time)
{
    struct mono now = {.ns = NS_PER_S};
    struct logfile f;

    make_place();
    ck_assert_int_eq(logfile_open(&f, path, 7, NULL), 0);
    add_records(&f, 100);
    open_outbox(&o, &s);
    outbox_hear(&o, &up, now);
    for (unsigned second = 0; second <= OUTBOX_KEEP_S + 30; second++) {
        outbox_pump(&o, now);
        answer(&s, &o, now);
        if (second <= OUTBOX_KEEP_S)
            ck_assert_uint_eq(o.safe, 0);
        now = mono_add_ms(now, 1000);
    }
    ck_assert(outbox_is_empty(&o));
    ck_assert_uint_eq(o.safe, o.acked);
    ck_assert_uint_eq(s.repeated, 0);
    outbox_close(&o);
    open_outbox(&o, &s); /* a new process goes on behind what is safe */
    outbox_hear(&o, &up, now);
    outbox_pump(&o, now);
    ck_assert_uint_eq(s.repeated, 0);
    add_records(&f, 10);
    outbox_pump(&o, now);
    answer(&s, &o, now);
    ck_assert_uint_eq(s.stored_count, 110);
    outbox_close(&o);
    logfile_close(&f);
    remove_place();
}
END_TEST

START_TEST(outbox_sends_again_only_to_another_server_process)
{
    struct mono now = {.ns = NS_PER_S};
    struct logfile f;

    make_place();
    ck_assert_int_eq(logfile_open(&f, path, 7, NULL), 0);
    add_records(&f, 100);
    for (unsigned round = 0; round < 3; round++) {
        open_outbox(&o, &s);
        outbox_hear(&o, round == 2 ? &up_other : &up, now);
        while (!outbox_is_empty(&o)) {
            outbox_pump(&o, now);
            answer(&s, &o, now);
        }
        outbox_remember(&o, now);
        outbox_close(&o);
        ck_assert_uint_eq(s.stored_count, 100);
        ck_assert_uint_eq(s.repeated, round == 2 ? 100 : 0);
    }
    logfile_close(&f);
    remove_place();
}
END_TEST

START_TEST(outbox_cursor_that_makes_no_sense_means_from_the_beginning)
{
    static const char *const texts[] = {"", "hello", "00000000000000000003\n",
                                        "99999999999999999999\n", "00000000000099999999\n"};
    struct mono now = {.ns = NS_PER_S};
    struct logfile f;
    FILE *file;

    make_place();
    ck_assert_int_eq(logfile_open(&f, path, 7, NULL), 0);
    add_records(&f, 10);
    (void)snprintf(other, sizeof(other), "%s.sent", path);
    file = fopen(other, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(texts[_i], file), 0);
    ck_assert_int_eq(fclose(file), 0);
    open_outbox(&o, &s);
    outbox_hear(&o, &up, now);
    outbox_pump(&o, now);
    ck_assert_uint_eq(s.stored_count, 10);
    outbox_close(&o);
    logfile_close(&f);
    remove_place();
}
END_TEST

START_TEST(second_outbox_of_a_log_waits_until_the_first_is_gone)
{
    struct mono now = {.ns = NS_PER_S};
    struct logfile f;

    make_place();
    ck_assert_int_eq(logfile_open(&f, path, 7, NULL), 0);
    add_records(&f, 10);
    open_outbox(&o, &s);
    open_outbox(&b, &s);
    outbox_hear(&o, &up, now);
    outbox_hear(&b, &up, now);
    outbox_pump(&o, now);
    outbox_pump(&b, now);
    ck_assert_uint_eq(s.stored_count, 10);
    ck_assert_uint_eq(s.repeated, 0);
    outbox_close(&o);
    s.answer_count = 0;
    add_records(&f, 5);
    outbox_pump(&b, now);
    ck_assert_uint_eq(s.stored_count, 15);
    outbox_close(&b);
    logfile_close(&f);
    remove_place();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(outbox_without_trouble_sends_each_line_once),
    SUITE_ROWS(outbox_under_loss_refusal_and_reconnection_delivers_all, 25),
    SUITE_TEST(outbox_remembers_what_is_safe_only_after_its_time),
    SUITE_TEST(outbox_sends_again_only_to_another_server_process),
    SUITE_ROWS(outbox_cursor_that_makes_no_sense_means_from_the_beginning, 5),
    SUITE_TEST(second_outbox_of_a_log_waits_until_the_first_is_gone),
};

SUITE_MAIN("audit outbox", tests)
