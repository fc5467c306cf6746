/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record model: the exact keys of the local log, hostile text, and a decoder that refuses what
 * the encoder would not have written.
 */
#include "tests/support/suite.h"

#include <errno.h>

#include "audit/record.h"
#include "base/addr.h"

static struct audit_record flow_record(void)
{
    return (struct audit_record){
        .kind = AUDIT_FLOW,
        .wall_ns = INT64_C(1700000000123456789),
        .identity = "agent-1",
        .verdict = "allow",
        .mode = "enforce",
        .direction = "egress",
        .protocol = "tcp",
        .src = {.ip = ip_v4(10, 0, 0, 2), .port = 40000},
        .dst = {.ip = ip_v4(192, 0, 2, 1), .port = 443},
        .name = "example.org",
        .rule = "*.example.org:443",
        .pid = 42,
        .exe = "/usr/bin/curl",
        .bytes_out = 100,
        .bytes_in = 2000,
        .duration_ns = 12345678,
        .trace_id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        .parent_span_id = "0123456789abcdef",
    };
}

static void write_line(const struct audit_record *r, enum record_naming naming, struct buf *to)
{
    struct json_out j;

    json_out_init(&j, to);
    json_open_object(&j);
    record_members(r, naming, &j);
    json_close_object(&j);
    ck_assert_int_eq(buf_error(to), 0);
}

static void check_line(const struct audit_record *r, enum record_naming naming,
                       const char *expected)
{
    struct buf line;

    buf_init(&line, AUDIT_LINE_MAX);
    write_line(r, naming, &line);
    ck_assert_str_eq(buf_text(&line), expected);
    buf_done(&line);
}

START_TEST(flow_line_has_exactly_the_documented_keys)
{
    struct audit_record r = flow_record();

    check_line(
        &r, RECORD_LINE,
        "{\"kind\":\"flow\",\"time\":\"2023-11-14T22:13:20.123456789Z\",\"identity\":\"agent-1\","
        "\"src_ip\":\"10.0.0.2\",\"src_port\":40000,\"dst_ip\":\"192.0.2.1\",\"dst_port\":443,"
        "\"protocol\":\"tcp\",\"verdict\":\"allow\",\"direction\":\"egress\",\"mode\":\"enforce\","
        "\"name\":\"example.org\",\"rule\":\"*.example.org:443\",\"pid\":42,"
        "\"exe\":\"/usr/bin/curl\",\"bytes_out\":100,\"bytes_in\":2000,\"duration_ms\":12.345,"
        "\"trace_id\":\"6f9619ff-8b86-4d01-b42d-00cf4fc964ff\","
        "\"parent_span_id\":\"0123456789abcdef\"}");
}
END_TEST

START_TEST(decision_line_keeps_the_six_compatible_keys_even_when_empty)
{
    struct audit_record r = {.kind = AUDIT_DECISION, .identity = "a", .verdict = "drop"};

    check_line(
        &r, RECORD_LINE,
        "{\"kind\":\"decision\",\"time\":\"1970-01-01T00:00:00.000000000Z\",\"identity\":\"a\","
        "\"src_ip\":\"\",\"dst_ip\":\"\",\"dst_port\":0,\"protocol\":\"\",\"verdict\":\"drop\"}");
}
END_TEST

START_TEST(stream_members_have_the_names_of_flow_events)
{
    struct audit_record r = {.kind = AUDIT_FLOW,
                             .identity = "a",
                             .verdict = "allow",
                             .protocol = "tcp",
                             .dst = {.ip = ip_v4(192, 0, 2, 1), .port = 80},
                             .duration_ns = 2500000};

    check_line(&r, RECORD_STREAM,
               "{\"kind\":\"flow\",\"ts\":\"1970-01-01T00:00:00.000000000Z\",\"agentId\":\"a\","
               "\"srcIp\":\"\",\"dstIp\":\"192.0.2.1\",\"dstPort\":80,\"protocol\":\"tcp\","
               "\"verdict\":\"allow\",\"bytesOut\":0,\"bytesIn\":0,\"durationMs\":2}");
}
END_TEST

START_TEST(message_round_trip_gives_the_same_line)
{
    struct audit_record r = flow_record();
    struct audit_record back;
    struct buf message;
    struct buf before;
    struct buf after;

    buf_init(&message, RECORD_MESSAGE_MAX);
    buf_init(&before, AUDIT_LINE_MAX);
    buf_init(&after, AUDIT_LINE_MAX);
    ck_assert_int_eq(record_encode(&r, &message), 0);
    ck_assert_int_eq(record_decode(buf_bytes(&message), &back), 0);
    write_line(&r, RECORD_LINE, &before);
    write_line(&back, RECORD_LINE, &after);
    ck_assert_str_eq(buf_text(&after), buf_text(&before));
    buf_done(&message);
    buf_done(&before);
    buf_done(&after);
}
END_TEST

/* Goal: a line that is read and written again is the same line, whatever the duration. */
START_TEST(line_round_trip_keeps_the_duration)
{
    static const int64_t durations_ns[] = {
        0, 1000, 12345000, 35283761927617000, 35465847065561000, 99999999999999000,
    };
    struct audit_record r = flow_record();
    struct record_text t;
    struct buf before;
    struct buf after;

    buf_init(&before, AUDIT_LINE_MAX);
    buf_init(&after, AUDIT_LINE_MAX);
    r.duration_ns = durations_ns[_i];
    write_line(&r, RECORD_LINE, &before);
    ck_assert_int_eq(record_read(buf_bytes(&before), RECORD_LINE, &t, NULL), 0);
    ck_assert_int_eq(t.r.duration_ns, r.duration_ns);
    write_line(&t.r, RECORD_LINE, &after);
    ck_assert_str_eq(buf_text(&after), buf_text(&before));
    record_text_done(&t);
    buf_done(&before);
    buf_done(&after);
}
END_TEST

static const char *const hostile_texts[] = {
    "line\r\nfeed {\"kind\":\"flow\"}",
    "\x1b[2J\x1b]0;title\x07",
    "quote\"backslash\\",
    "bad utf-8 \xff\xc0\x80\xed\xa0\x80 end",
    "\x7f\x01\x1f",
    "\",\"hash\":\"00\"}",
};

START_TEST(hostile_text_stays_inside_its_string)
{
    /* No byte below 0x20, no DEL, no invalid UTF-8 and no bare quote leaves the writer. */
    struct audit_record r = flow_record();
    struct buf line;
    unsigned quotes = 0;
    unsigned expected = 0;

    buf_init(&line, AUDIT_LINE_MAX);
    write_line(&r, RECORD_LINE, &line);
    for (size_t i = 0; i < line.len; i++)
        expected += line.data[i] == '"';
    buf_reset(&line);
    r.name = hostile_texts[_i];
    r.exe = hostile_texts[_i];
    r.identity = hostile_texts[_i];
    write_line(&r, RECORD_LINE, &line);
    for (size_t i = 0; i < line.len; i++) {
        ck_assert_uint_ge(line.data[i], 0x20);
        ck_assert_uint_ne(line.data[i], 0x7f);
        ck_assert_uint_ne(line.data[i], 0xff);
        if (line.data[i] == '\\')
            i++;
        else
            quotes += line.data[i] == '"';
    }
    ck_assert_uint_eq(quotes, expected);
    buf_done(&line);
}
END_TEST

START_TEST(text_longer_than_its_field_is_cut_between_characters)
{
    struct audit_record r = {.kind = AUDIT_DECISION, .duration_ns = -1};
    struct audit_record back;
    struct buf message;
    char name[300];

    for (unsigned i = 0; i + 2 < sizeof(name); i += 3)
        memcpy(name + i, "\xe2\x82\xac", 3);
    name[sizeof(name) - 1] = '\0';
    r.name = name;
    buf_init(&message, RECORD_MESSAGE_MAX);
    ck_assert_int_eq(record_encode(&r, &message), 0);
    ck_assert_int_eq(record_decode(buf_bytes(&message), &back), 0);
    ck_assert_uint_eq(strlen(back.name), 255);
    ck_assert_int_eq(memcmp(back.name, name, 255), 0);
    buf_done(&message);
}
END_TEST

START_TEST(largest_record_fits_a_message_and_a_line)
{
    static char text[8192];
    struct audit_record r = flow_record();
    struct buf message;
    struct audit_record back;
    struct buf line;

    memset(text, 1, sizeof(text) - 1);
    r.identity = r.name = r.rule = r.reason = r.tool = r.error = r.exe = text;
    r.parent_id = r.namespace_id = r.peer = r.carrier = r.arguments = r.detail = text;
    r.status = "blocked";
    buf_init(&message, RECORD_MESSAGE_MAX);
    buf_init(&line, AUDIT_LINE_MAX - 256);
    ck_assert_int_eq(record_encode(&r, &message), 0);
    ck_assert_int_eq(record_decode(buf_bytes(&message), &back), 0);
    write_line(&back, RECORD_LINE, &line);
    buf_done(&message);
    buf_done(&line);
}
END_TEST

START_TEST(encode_word_outside_its_set_is_refused)
{
    const struct audit_record bad[] = {
        {.kind = AUDIT_DECISION, .verdict = "deny"},
        {.kind = AUDIT_DECISION, .verdict = "allow drop"},
        {.kind = AUDIT_FLOW, .protocol = "TCP"},
        {.kind = AUDIT_FLOW, .mode = "enforced"},
        {.kind = AUDIT_SPAN, .status = "okay"},
        {.kind = AUDIT_FLOW, .trace_id = "ABC"},
        {.kind = AUDIT_FLOW, .span_id = "00\"11"},
    };
    struct buf message;

    buf_init(&message, RECORD_MESSAGE_MAX);
    ck_assert_int_eq(record_encode(&bad[_i], &message), -EINVAL);
    buf_done(&message);
}
END_TEST

START_TEST(decode_cut_message_is_refused_unless_it_ends_between_fields)
{
    /* Every prefix either is a message of fewer fields or is refused; none reads out of bounds. */
    struct audit_record r = flow_record();
    struct audit_record back;
    struct buf message;
    unsigned accepted = 0;

    buf_init(&message, RECORD_MESSAGE_MAX);
    ck_assert_int_eq(record_encode(&r, &message), 0);
    for (size_t cut = 0; cut < message.len; cut++)
        accepted += record_decode(bytes_of(message.data, cut), &back) == 0;
    ck_assert_uint_eq(accepted, 17); /* after the header, and after each field but the last */
    buf_done(&message);
}
END_TEST

START_TEST(decode_malformed_message_is_refused)
{
    static const struct {
        const char *raw;
        size_t len;
    } rows[] = {
        {"\x02\x01", 2},                                          /* another version */
        {"\x01\x07", 2},                                          /* no such kind */
        {"\x01\x01\x63\x01\x00\x00", 6},                          /* no such field */
        {"\x01\x01\x0a\x02\x00\x41\x00\x02\x02\x00\x41\x00", 12}, /* descending order */
        {"\x01\x01\x0a\x02\x00\x41\x00\x0a\x02\x00\x41\x00", 12}, /* twice the same */
        {"\x01\x01\x0a\x02\x00\x41\x42", 7},                      /* text without its NUL */
        {"\x01\x01\x0a\x03\x00\x00\x41\x00", 8},                  /* text with a NUL inside */
        {"\x01\x01\x0a\x01\x00\x00", 6},                          /* empty text */
        {"\x01\x01\x06\x05\x00"
         "deny\0",
         10},                                                         /* not a word of the set */
        {"\x01\x01\x10\x08\x00\0\0\0\0\0\0\0\0", 13},                 /* pid 0 */
        {"\x01\x01\x10\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff", 13}, /* pid -1 */
        {"\x01\x01\x08\x08\x00\x02\0\0\0\0\0\0\0", 13},               /* a bool of 2 */
        {"\x01\x01\x04\x13\x00\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00", 24}, /* family 5 */
        {"\x01\x01\x04\x13\x00\x04\x01\x01\x01\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x50\x00",
         24}, /* v4 tail */
    };
    struct audit_record back;

    ck_assert_int_eq(record_decode(bytes_of(rows[_i].raw, rows[_i].len), &back), -EINVAL);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(flow_line_has_exactly_the_documented_keys),
    SUITE_TEST(decision_line_keeps_the_six_compatible_keys_even_when_empty),
    SUITE_TEST(stream_members_have_the_names_of_flow_events),
    SUITE_TEST(message_round_trip_gives_the_same_line),
    SUITE_ROWS(line_round_trip_keeps_the_duration, 6),
    SUITE_ROWS(hostile_text_stays_inside_its_string, 6),
    SUITE_TEST(text_longer_than_its_field_is_cut_between_characters),
    SUITE_TEST(largest_record_fits_a_message_and_a_line),
    SUITE_ROWS(encode_word_outside_its_set_is_refused, 7),
    SUITE_TEST(decode_cut_message_is_refused_unless_it_ends_between_fields),
    SUITE_ROWS(decode_malformed_message_is_refused, 14),
};

SUITE_MAIN("audit record", tests)
