/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification finds every fault: a flipped byte, a cut, a removed, repeated or moved record, a
 * removed run (threats H1, H2). Each test first shows that the untouched log passes.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/chain.h"
#include "audit/logfile.h"
#include "base/io.h"
#include "base/json_out.h"
#include "audit/record.h"

static char dir[] = "/tmp/lattice-test-verify-XXXXXX";
static char path[64];
static char head_path[80];

static void make_place(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    (void)snprintf(head_path, sizeof(head_path), "%s.head", path);
}

static void remove_place(void)
{
    (void)unlink(path);
    (void)unlink(head_path);
    ck_assert_int_eq(rmdir(dir), 0);
}

static void add_line(enum audit_kind kind, unsigned number, struct buf *to)
{
    const struct audit_record r = {.kind = kind,
                                   .wall_ns = 1700000000000000000 + number,
                                   .identity = "box",
                                   .verdict = kind == AUDIT_FLOW ? "allow" : NULL,
                                   .dst = {.ip = ip_v4(192, 0, 2, (uint8_t)number), .port = 443},
                                   .duration_ns = -1};
    struct json_out j;

    json_out_init(&j, to);
    json_open_object(&j);
    record_members(&r, RECORD_LINE, &j);
    buf_add_char(to, '\n');
}

/** One run of @count records: start, flows, and (when @is_stopped) stop. */
static void write_run(uint64_t run, unsigned count, bool is_stopped)
{
    struct logfile f;
    struct bytes sealed;
    struct why why = {0};
    struct buf lines;

    ck_assert_msg(logfile_open(&f, path, run, &why) == 0, "%s", why.text);
    buf_init(&lines, LOGFILE_BATCH_MAX);
    for (unsigned i = 0; i < count; i++)
        add_line(i == 0                         ? AUDIT_START
                 : is_stopped && i == count - 1 ? AUDIT_STOP
                                                : AUDIT_FLOW,
                 i, &lines);
    ck_assert_int_eq(logfile_append(&f, buf_bytes(&lines), &sealed), 0);
    buf_done(&lines);
    logfile_close(&f);
}

static void read_log(struct buf *ret)
{
    buf_init(ret, 1u << 24);
    ck_assert_int_eq(io_read_file(path, ret, NULL), 0);
}

static void write_log(const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write_all(fd, data, len), 0);
    (void)close(fd);
}

static int verify(struct audit_check *check)
{
    struct why why = {0};
    int err = audit_verify(path, /*may_run=*/false, check, &why);

    ck_assert(err == 0 || why.text[0] != '\0');
    return err;
}

/** Offset of line @n (0-based); the end of the text for the line behind the last. */
static size_t line_at(const struct buf *text, unsigned n)
{
    const uint8_t *p = text->data;

    while (n-- > 0)
        p = (const uint8_t *)memchr(p, '\n', text->len - (size_t)(p - text->data)) + 1;
    return (size_t)(p - text->data);
}

START_TEST(verify_untouched_log_passes)
{
    struct audit_check check;

    make_place();
    write_run(1, 100, true);
    write_run(2, 5, true);
    ck_assert_int_eq(verify(&check), 0);
    ck_assert_uint_eq(check.records, 105);
    ck_assert_uint_eq(check.runs, 2);
    ck_assert_uint_eq(check.open_runs, 0);
    ck_assert(check.has_head);
    remove_place();
}
END_TEST

START_TEST(verify_each_flipped_byte_fails_at_its_record)
{
    /* H1: 100 records, each byte of them flipped in one bit, in turn by position, one at a time. */
    struct audit_check check;
    struct buf text;
    uint64_t line = 1;

    make_place();
    write_run(1, 100, true);
    ck_assert_int_eq(verify(&check), 0);
    read_log(&text);
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t was = text.data[i];
        const uint8_t now = was ^ (uint8_t)(1u << (i % 8));
        int fd = open(path, O_WRONLY);

        ck_assert_int_eq(pwrite(fd, &now, 1, (off_t)i), 1);
        ck_assert_msg(verify(&check) == -EBADMSG, "byte %zu", i);
        ck_assert_msg(check.bad_line == line, "byte %zu of line %llu: found at %llu", i,
                      (unsigned long long)line, (unsigned long long)check.bad_line);
        ck_assert_int_eq(pwrite(fd, &was, 1, (off_t)i), 1);
        (void)close(fd);
        line += was == '\n';
    }
    ck_assert_int_eq(verify(&check), 0);
    buf_done(&text);
    remove_place();
}
END_TEST

START_TEST(verify_cut_at_each_record_fails_and_names_the_missing_range)
{
    /* H2, with the head file, and again without it: then the missing stop record tells. */
    struct audit_check check;
    struct why why = {0};
    struct buf text;

    make_place();
    write_run(1, 100, true);
    ck_assert_int_eq(verify(&check), 0);
    read_log(&text);
    if (_i == 1)
        ck_assert_int_eq(unlink(head_path), 0);
    for (unsigned n = 0; n < 100; n++) {
        char range[64];

        if (_i == 1 && n == 0)
            continue; /* an empty log without a head file is an empty log */
        write_log(text.data, line_at(&text, n));
        ck_assert_int_eq(audit_verify(path, false, &check, &why), -EBADMSG);
        (void)snprintf(range, sizeof(range), _i == 0 ? "records %u to 100 " : "ends at record %u ",
                       _i == 0 ? n + 1 : n);
        ck_assert_msg(strstr(why.text, range) != NULL || n == 0, "%u: %s", n, why.text);
    }
    buf_done(&text);
    remove_place();
}
END_TEST

START_TEST(verify_cut_inside_a_record_fails_at_it)
{
    struct audit_check check;
    struct buf text;

    make_place();
    write_run(1, 3, true);
    read_log(&text);
    for (size_t cut = line_at(&text, 1) + 1; cut < line_at(&text, 2); cut++) {
        write_log(text.data, cut);
        ck_assert_int_eq(verify(&check), -EBADMSG);
        ck_assert_uint_eq(check.bad_line, 2);
    }
    buf_done(&text);
    remove_place();
}
END_TEST

enum { REMOVED, REPEATED, SWAPPED, TAMPERINGS };

START_TEST(verify_removed_repeated_or_swapped_record_fails)
{
    struct audit_check check;
    struct buf text;

    make_place();
    write_run(1, 20, true);
    ck_assert_int_eq(verify(&check), 0);
    read_log(&text);
    for (unsigned n = 0; n < 19; n++) {
        size_t a = line_at(&text, n);
        size_t b = line_at(&text, n + 1);
        size_t c = line_at(&text, n + 2);
        struct buf changed;

        buf_init(&changed, 1u << 24);
        buf_add(&changed, text.data, _i == REPEATED ? b : a);
        if (_i == SWAPPED)
            buf_add(&changed, text.data + b, c - b);
        if (_i != REMOVED)
            buf_add(&changed, text.data + a, b - a);
        buf_add(&changed, text.data + (_i == SWAPPED ? c : b), text.len - (_i == SWAPPED ? c : b));
        write_log(changed.data, changed.len);
        ck_assert_int_eq(verify(&check), -EBADMSG);
        ck_assert_uint_eq(check.bad_line, n + (_i == REPEATED ? 2 : 1));
        buf_done(&changed);
    }
    buf_done(&text);
    remove_place();
}
END_TEST

START_TEST(verify_removed_run_fails_wherever_it_stood)
{
    struct audit_check check;
    struct buf text;
    size_t a;
    size_t b;

    make_place();
    for (unsigned run = 1; run <= 3; run++)
        write_run(run, 4, true);
    ck_assert_int_eq(verify(&check), 0);
    read_log(&text);
    a = line_at(&text, (unsigned)_i * 4);
    b = line_at(&text, (unsigned)_i * 4 + 4);
    memmove(text.data + a, text.data + b, text.len - b);
    write_log(text.data, text.len - (b - a));
    ck_assert_int_eq(verify(&check), -EBADMSG);
    buf_done(&text);
    remove_place();
}
END_TEST

START_TEST(verify_killed_run_passes_once_the_next_run_vouches_for_its_end)
{
    struct audit_check check;
    struct buf text;
    size_t a;
    size_t b;

    make_place();
    write_run(1, 4, false);
    ck_assert_int_eq(verify(&check), -EBADMSG);
    ck_assert_int_eq(audit_verify(path, /*may_run=*/true, &check, NULL), 0);
    write_run(2, 4, true);
    ck_assert_int_eq(verify(&check), 0);
    ck_assert_uint_eq(check.open_runs, 1);
    read_log(&text); /* … and fails when the killed run's last record is taken out afterwards */
    a = line_at(&text, 3);
    b = line_at(&text, 4);
    memmove(text.data + a, text.data + b, text.len - b);
    write_log(text.data, text.len - (b - a));
    ck_assert_int_eq(verify(&check), -EBADMSG);
    buf_done(&text);
    remove_place();
}
END_TEST

START_TEST(verify_what_cannot_be_read_is_no_verdict)
{
    struct audit_check check;
    struct why why = {0};

    make_place();
    ck_assert_int_eq(audit_verify(path, false, &check, &why), -ENOENT);
    ck_assert_int_eq(audit_verify(dir, false, &check, &why), -EINVAL);
    write_log("hello\n", 6);
    ck_assert_int_eq(verify(&check), -EBADMSG);
    ck_assert_uint_eq(check.bad_line, 1);
    remove_place();
}
END_TEST

/** A disk whose @fail_at-th write fails, after writing half of what it was given. */
struct bad_disk {
    unsigned calls;
    unsigned fail_at;
};

static ssize_t bad_write(void *self, int fd, const void *data, size_t len)
{
    struct bad_disk *disk = self;

    disk->calls++;
    if (disk->calls == disk->fail_at)
        return io_write(fd, data, len / 2 > 0 ? len / 2 : 1);
    if (disk->calls == disk->fail_at + 1)
        return -EIO;
    return io_write(fd, data, len);
}

static int bad_sync(void *self, int fd)
{
    (void)self;
    (void)fd;
    return 0;
}

START_TEST(append_failing_at_each_write_leaves_a_valid_log_and_can_be_repeated)
{
    /* H4: for all N until no write fails any more. */
    for (unsigned n = 1; n <= 12; n++) {
        struct bad_disk disk = {.fail_at = n};
        struct audit_check check;
        struct logfile f;
        struct bytes sealed;
        unsigned failures = 0;

        if (n == 1)
            make_place();
        (void)unlink(path);
        (void)unlink(head_path);
        ck_assert_int_eq(logfile_open(&f, path, n, NULL), 0);
        f.calls = (struct file_calls){.write = bad_write, .sync = bad_sync, .self = &disk};
        for (unsigned batch = 0; batch < 10; batch++) {
            struct buf lines;

            buf_init(&lines, LOGFILE_BATCH_MAX);
            for (unsigned i = 0; i < 3; i++)
                add_line(batch == 9 && i == 2 ? AUDIT_STOP : AUDIT_FLOW, i, &lines);
            while (logfile_append(&f, buf_bytes(&lines), &sealed) != 0) {
                failures++;
                ck_assert_int_eq(audit_verify(path, /*may_run=*/true, &check, NULL), 0);
                ck_assert_uint_eq(check.records, batch * 3);
            }
            buf_done(&lines);
        }
        logfile_close(&f);
        ck_assert_uint_eq(failures, n <= 10 ? 1 : 0);
        ck_assert_int_eq(verify(&check), 0);
        ck_assert_uint_eq(check.records, 30);
    }
    remove_place();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(verify_untouched_log_passes),
    SUITE_SLOW(verify_each_flipped_byte_fails_at_its_record, 120),
    SUITE_ROWS(verify_cut_at_each_record_fails_and_names_the_missing_range, 2),
    SUITE_TEST(verify_cut_inside_a_record_fails_at_it),
    SUITE_ROWS(verify_removed_repeated_or_swapped_record_fails, TAMPERINGS),
    SUITE_ROWS(verify_removed_run_fails_wherever_it_stood, 3),
    SUITE_TEST(verify_killed_run_passes_once_the_next_run_vouches_for_its_end),
    SUITE_TEST(verify_what_cannot_be_read_is_no_verdict),
    SUITE_TEST(append_failing_at_each_write_leaves_a_valid_log_and_can_be_repeated),
};

SUITE_MAIN("audit verify", tests)
