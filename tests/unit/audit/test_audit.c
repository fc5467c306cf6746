/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auditor as a process: what it writes, what it refuses to write to, and what is left when it,
 * the disk or the supervisor fails. Each test works in a directory of its own.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/auditor.h"
#include "audit/chain.h"
#include "audit/record.h"
#include "base/io.h"

static char dir[] = "/tmp/lattice-test-audit-XXXXXX";
static char path[128];

static void make_place(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/state/log.jsonl", dir);
}

static void remove_place(void)
{
    char name[128];
    static const char *const files[] = {"state/log.jsonl", "state/log.jsonl.head", "state/other",
                                        "state", ""};

    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        (void)snprintf(name, sizeof(name), "%s/%s", dir, files[i]);
        if (unlink(name) < 0)
            (void)rmdir(name);
    }
    ck_assert_int_eq(access(dir, F_OK), -1);
}

static struct audit *start(void)
{
    const struct audit_config config = {.path = path, .identity = "box"};
    struct audit *a = NULL;
    struct why why = {0};

    ck_assert_msg(audit_start(&config, &a, &why) == 0, "%s", why.text);
    return a;
}

static const struct audit_record decision = {
    .kind = AUDIT_DECISION,
    .verdict = "drop",
    .protocol = "tcp",
    .dst = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 7}}, .port = 443},
    .duration_ns = -1};
static const struct audit_record stop = {.kind = AUDIT_STOP, .duration_ns = -1};

struct log_facts {
    unsigned lines;
    unsigned stops;
    unsigned lost; /* stop records that the auditor wrote */
    bool ends_whole;
    bool is_chained; /* each line has the right hash */
    uint64_t last_seq;
};

static struct log_facts read_log(void)
{
    struct log_facts facts = {.is_chained = true};
    uint8_t head[HASH_LEN] = {0};
    struct buf text;
    size_t at = 0;

    buf_init(&text, 256u << 20);
    ck_assert_int_eq(io_read_file(path, &text, NULL), 0);
    facts.ends_whole = text.len == 0 || text.data[text.len - 1] == '\n';
    while (at < text.len) {
        const uint8_t *newline = memchr(text.data + at, '\n', text.len - at);
        struct chain_seal seal;
        uint8_t hash[HASH_LEN];
        struct bytes line;

        if (newline == NULL)
            break;
        line = bytes_of(text.data + at, (size_t)(newline - text.data) - at);
        facts.lines++;
        facts.stops += memmem(line.data, line.len, "\"kind\":\"stop\"", 13) != NULL;
        facts.lost += memmem(line.data, line.len, "supervisor lost", 15) != NULL;
        if (chain_read(line, &seal) < 0) {
            facts.is_chained = false;
            break;
        }
        if (seal.seq == 1)
            memset(head, 0, sizeof(head));
        ck_assert_int_eq(chain_hash(head, seal.covered, hash), 0);
        facts.is_chained = facts.is_chained && memcmp(hash, seal.hash, HASH_LEN) == 0;
        memcpy(head, hash, HASH_LEN);
        facts.last_seq = seal.seq;
        at = (size_t)(newline - text.data) + 1;
    }
    buf_done(&text);
    return facts;
}

START_TEST(records_are_written_in_order_chained_and_private)
{
    unsigned fds = suite_open_fds();
    struct audit *a;
    struct stat st;
    struct log_facts facts;

    make_place();
    a = start();
    ck_assert_uint_eq(strlen(audit_trace_id(a)), 36);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(audit_emit(a, &decision), 0);
    ck_assert_int_eq(audit_emit(a, &stop), 0);
    ck_assert_int_eq(audit_stop(a), 0);
    facts = read_log();
    ck_assert_uint_eq(facts.lines, 11);
    ck_assert_uint_eq(facts.stops, 1);
    ck_assert_uint_eq(facts.lost, 0);
    ck_assert_uint_eq(facts.last_seq, 11);
    ck_assert(facts.ends_whole && facts.is_chained);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    ck_assert_uint_eq(suite_open_fds(), fds);
    remove_place();
}
END_TEST

START_TEST(second_run_continues_the_file_after_the_first)
{
    struct log_facts facts;

    make_place();
    for (unsigned run = 0; run < 2; run++) {
        struct audit *a = start();

        ck_assert_int_eq(audit_emit(a, &decision), 0);
        ck_assert_int_eq(audit_stop(a), 0);
    }
    facts = read_log();
    ck_assert_uint_eq(facts.lines, 4); /* each with the stop record that the auditor adds */
    ck_assert_uint_eq(facts.lost, 0);
    ck_assert(facts.is_chained);
    remove_place();
}
END_TEST

START_TEST(two_auditors_on_one_file_do_not_mix_lines)
{
    struct log_facts facts;
    struct audit *a;
    struct audit *b;

    make_place();
    a = start();
    b = start();
    for (unsigned i = 0; i < 2000; i++) {
        ck_assert_int_eq(audit_emit(a, &decision), 0);
        ck_assert_int_eq(audit_emit(b, &decision), 0);
    }
    ck_assert_int_eq(audit_stop(a), 0);
    ck_assert_int_eq(audit_stop(b), 0);
    facts = read_log();
    ck_assert_uint_eq(facts.lines, 4002);
    ck_assert(facts.ends_whole);
    remove_place();
}
END_TEST

START_TEST(torn_end_of_an_earlier_crash_is_cut_off)
{
    struct log_facts facts;
    struct audit *a;
    int fd;

    make_place();
    ck_assert_int_eq(audit_stop(start()), 0);
    fd = open(path, O_WRONLY | O_APPEND);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write_all(fd, "{\"kind\":\"fl", 11), 0);
    (void)close(fd);
    ck_assert(!read_log().ends_whole);
    a = start();
    ck_assert_int_eq(audit_stop(a), 0);
    facts = read_log();
    ck_assert_uint_eq(facts.lines, 2);
    ck_assert(facts.ends_whole && facts.is_chained);
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

START_TEST(killed_writers_lose_and_repeat_nothing)
{
    /* 200 kills at changing moments in a flood; each record has its own name. */
    struct audit_check check;
    struct audit_reader *reader = NULL;
    struct audit_entry entry;
    unsigned kills = 0;
    unsigned sent = 0;
    struct audit *a;
    unsigned seen = 0;

    make_place();
    a = start();
    while (kills < 200) {
        char name[16];
        struct audit_record r = decision;
        pid_t writer;

        (void)snprintf(name, sizeof(name), "n%u", sent);
        r.name = name;
        ck_assert_int_eq(audit_emit(a, &r), 0);
        sent++;
        if (sent % 83 != 0 && sent % 7 != kills % 7)
            continue;
        if (sent % 3 == 0)
            (void)poll(NULL, 0, (int)(kills % 8)); /* the moment of the kill */
        writer = writer_of(a);
        kills += writer > 0 && kill(writer, SIGKILL) == 0;
    }
    ck_assert_int_eq(audit_emit(a, &stop), 0);
    ck_assert_int_eq(audit_stop(a), 0);
    ck_assert_int_eq(audit_verify(path, false, &check, NULL), 0);
    ck_assert_uint_eq(check.runs, 1);
    ck_assert_uint_eq(check.records, sent + 1);
    ck_assert_int_eq(audit_reader_open(path, 0, &reader, NULL), 0);
    while (audit_reader_next(reader, &entry, NULL) == 1 && entry.record.kind == AUDIT_DECISION) {
        char name[16];

        (void)snprintf(name, sizeof(name), "n%u", seen++);
        ck_assert_str_eq(entry.record.name, name);
    }
    ck_assert_uint_eq(seen, sent);
    audit_reader_close(reader);
    remove_place();
}
END_TEST

START_TEST(successor_skips_what_its_predecessor_wrote_but_did_not_take)
{
    /* The moment between writing and taking out of the socket, played by hand: three of five
     * waiting records are in the log already.  */
    struct auditor_config config = {
        .path = path, .identity = "box", .trace_id = "00", .root_span = "01", .chain_number = 5};
    struct audit_check check;
    struct buf message;
    int records[2];
    int status[2];

    make_place();
    buf_init(&message, 1024);
    for (unsigned round = 0; round < 2; round++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, records), 0);
        ck_assert_int_eq(pipe(status), 0);
        config.records_fd = records[1];
        config.status_fd = status[1];
        for (uint8_t number = 1; number <= (round == 0 ? 3 : 5); number++) {
            const uint8_t header[AUDITOR_HEADER] = {number};

            buf_reset(&message);
            buf_add(&message, header, sizeof(header));
            ck_assert_int_eq(record_encode(number == 3 ? &stop : &decision, &message), 0);
            ck_assert_int_eq(send(records[0], message.data, message.len, 0), (ssize_t)message.len);
        }
        ck_assert_int_eq(shutdown(records[0], SHUT_WR), 0);
        ck_assert_int_eq(auditor_write(&config, /*is_successor=*/round == 1), 0);
        (void)close(records[0]);
        (void)close(records[1]);
        (void)close(status[0]);
        (void)close(status[1]);
    }
    buf_done(&message);
    ck_assert_int_eq(audit_verify(path, false, &check, NULL), 0);
    ck_assert_uint_eq(check.runs, 1);
    ck_assert_uint_eq(check.records, 6); /* 1 2 3 | 4 5 and the stop record that closes them */
    remove_place();
}
END_TEST

START_TEST(killed_auditor_makes_emit_fail_and_the_descriptor_readable)
{
    struct audit *a;
    struct pollfd p;

    make_place();
    a = start();
    p = (struct pollfd){.fd = audit_fd(a), .events = POLLIN};
    ck_assert_int_eq(audit_emit(a, &decision), 0);
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    ck_assert_int_eq(kill(-audit_pid(a), SIGKILL), 0);
    ck_assert_int_eq(poll(&p, 1, 5000), 1);
    ck_assert_int_eq(audit_emit(a, &decision), -EPIPE);
    ck_assert_int_eq(audit_stop(a), -EIO);
    ck_assert(read_log().ends_whole);
    remove_place();
}
END_TEST

START_TEST(settled_records_can_be_read)
{
    struct audit *a;

    make_place();
    a = start();
    ck_assert_int_eq(audit_settle(a), 0); /* nothing to wait for */
    for (unsigned n = 1; n <= 300; n++) {
        ck_assert_int_eq(audit_emit(a, &decision), 0);
        ck_assert_int_eq(audit_settle(a), 0);
        ck_assert_uint_eq(read_log().lines, n);
    }
    ck_assert_int_eq(audit_stop(a), 0);
    ck_assert(read_log().is_chained);
    ck_assert_uint_eq(read_log().lines, 301); /* the questions left nothing but a stop record */
    remove_place();
}
END_TEST

START_TEST(settling_gives_up_on_a_stopped_auditor_and_takes_no_late_answer)
{
    struct audit *a;

    make_place();
    a = start();
    ck_assert_int_eq(kill(-audit_pid(a), SIGSTOP), 0);
    ck_assert_int_eq(audit_emit(a, &decision), 0);
    ck_assert_int_eq(audit_settle(a), -ETIMEDOUT);
    ck_assert_uint_eq(read_log().lines, 0);
    ck_assert_int_eq(kill(-audit_pid(a), SIGCONT), 0);
    ck_assert_int_eq(audit_emit(a, &decision), 0);
    ck_assert_int_eq(audit_settle(a), 0);
    ck_assert_uint_eq(read_log().lines, 2);
    ck_assert_int_eq(audit_stop(a), 0);
    remove_place();
}
END_TEST

START_TEST(settling_outlives_killed_writers)
{
    /* A writer that is killed with the question in the socket leaves it to its successor. */
    struct audit *a;
    unsigned n;

    make_place();
    a = start();
    for (n = 1; n <= 20; n++) {
        pid_t writer = writer_of(a);

        ck_assert_int_gt(writer, 0);
        ck_assert_int_eq(kill(writer, SIGSTOP), 0);
        ck_assert_int_eq(audit_emit(a, &decision), 0);
        ck_assert_int_eq(kill(writer, SIGKILL), 0);
        ck_assert_int_eq(audit_settle(a), 0);
        ck_assert_uint_eq(read_log().lines, n);
    }
    ck_assert_int_eq(audit_stop(a), 0);
    ck_assert(read_log().is_chained);
    remove_place();
}
END_TEST

START_TEST(stopped_auditor_makes_emit_time_out_instead_of_hang)
{
    struct audit *a;
    int err = 0;

    make_place();
    a = start();
    ck_assert_int_eq(kill(-audit_pid(a), SIGSTOP), 0);
    for (unsigned i = 0; i < 100000 && err == 0; i++)
        err = audit_emit(a, &decision);
    ck_assert_int_eq(err, -ETIMEDOUT);
    ck_assert_int_eq(kill(-audit_pid(a), SIGCONT), 0);
    do
        err = audit_emit(a, &decision);
    while (err == -ETIMEDOUT);
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(audit_stop(a), 0);
    ck_assert(read_log().is_chained);
    remove_place();
}
END_TEST

START_TEST(killed_supervisor_leaves_whole_lines_and_a_stop_record)
{
    /* A child plays the supervisor and is killed in the middle of a flood; the auditor ends by
     * itself, which the closing of the pipe that only it still holds shows. */
    int alive[2];
    struct log_facts facts;
    pid_t child;
    char byte;

    make_place();
    ck_assert_int_eq(pipe(alive), 0);
    child = fork();
    if (child == 0) {
        struct audit *a = start();

        for (unsigned i = 0;; i++)
            if (audit_emit(a, &decision) == 0 && i == 5000 && write(alive[1], "x", 1) < 0)
                _exit(1);
    }
    ck_assert_int_eq(read(alive[0], &byte, 1), 1);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    (void)close(alive[0]);
    (void)close(alive[1]);
    for (unsigned i = 0; i < 500; i++) {
        facts = read_log();
        if (facts.lost == 1)
            break;
        (void)poll(NULL, 0, 10);
    }
    ck_assert_uint_eq(facts.lost, 1);
    ck_assert_uint_ge(facts.lines, 5001);
    ck_assert(facts.ends_whole && facts.is_chained);
    remove_place();
}
END_TEST

START_TEST(file_at_its_size_limit_fails_emits_and_recovers)
{
    /* RLIMIT_FSIZE plays the full disk; it works for every user. Lifting the limit of the auditor's
     * process is the disk being cleaned. */
    struct rlimit limit = {.rlim_cur = 20000, .rlim_max = RLIM_INFINITY};
    struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    struct log_facts facts;
    unsigned sent = 0;
    struct audit *a;
    int err = 0;

    make_place();
    a = start();
    if (prlimit(writer_of(a), RLIMIT_FSIZE, &limit, NULL) < 0) {
        /* Not dumpable: another process of the same user may not. Set it before the fork instead.
         */
        ck_assert_int_eq(audit_stop(a), 0);
        remove_place();
        memcpy(strrchr(dir, '-') + 1, "XXXXXX", 6);
        make_place();
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        a = start();
    }
    while (err == 0 && sent < 200000) {
        err = audit_emit(a, &decision);
        sent += err == 0;
    }
    ck_assert_int_eq(err, -EFBIG);
    facts = read_log();
    ck_assert(facts.ends_whole && facts.is_chained);
    if (prlimit(writer_of(a), RLIMIT_FSIZE, &none, NULL) < 0) {
        ck_assert_int_eq(audit_stop(a), -EFBIG);
        remove_place();
        return;
    }
    for (unsigned i = 0; err != 0 && i < 300; i++) {
        (void)poll(NULL, 0, 10);
        err = audit_emit(a, &stop);
    }
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(audit_stop(a), 0);
    facts = read_log();
    ck_assert_uint_eq(facts.lines, sent + 1);
    ck_assert(facts.ends_whole && facts.is_chained);
    remove_place();
}
END_TEST

START_TEST(full_file_system_fails_emits_and_loses_nothing_accepted_once_cleaned)
{
    /* As root: a small tmpfs with a ballast file; removing the ballast lets the auditor recover. */
    struct log_facts facts;
    char state[128];
    char ballast[144];
    static const char zeros[120 * 1024];
    unsigned sent = 0;
    struct audit *a;
    int err = 0;
    int fd;

    if (geteuid() != 0)
        return; /* the size limit above is the same test for other users */
    make_place();
    (void)snprintf(state, sizeof(state), "%s/state", dir);
    (void)snprintf(ballast, sizeof(ballast), "%s/other", state);
    ck_assert_int_eq(mkdir(state, 0700), 0);
    if (mount("tmpfs", state, "tmpfs", 0, "size=160k") < 0) {
        ck_assert_int_eq(errno, EPERM); /* root without the right to mount */
        remove_place();
        return;
    }
    fd = open(ballast, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(io_write_all(fd, zeros, sizeof(zeros)), 0);
    (void)close(fd);
    a = start();
    while (err == 0 && sent < 200000) {
        err = audit_emit(a, &decision);
        sent += err == 0;
    }
    ck_assert_int_eq(err, -ENOSPC);
    facts = read_log();
    ck_assert(facts.ends_whole && facts.is_chained);
    ck_assert_int_eq(mount(NULL, state, NULL, MS_REMOUNT, "size=64m"), 0);
    for (unsigned i = 0; err != 0 && i < 300; i++) {
        (void)poll(NULL, 0, 10);
        err = audit_emit(a, &stop);
    }
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(audit_stop(a), 0);
    facts = read_log();
    ck_assert_uint_eq(facts.lines, sent + 1);
    ck_assert(facts.ends_whole && facts.is_chained);
    ck_assert_int_eq(umount(state), 0);
    remove_place();
}
END_TEST

START_TEST(hundred_thousand_records_arrive)
{
    struct log_facts facts;
    struct audit *a;

    make_place();
    a = start();
    for (unsigned i = 0; i < 100000; i++)
        ck_assert_int_eq(audit_emit(a, &decision), 0);
    ck_assert_int_eq(audit_emit(a, &stop), 0);
    ck_assert_int_eq(audit_stop(a), 0);
    facts = read_log();
    ck_assert_uint_eq(facts.lines, 100001);
    ck_assert_uint_eq(facts.last_seq, 100001);
    ck_assert(facts.ends_whole && facts.is_chained);
    remove_place();
}
END_TEST

static int try_start(struct why *why)
{
    const struct audit_config config = {.path = path, .identity = "box"};
    struct audit *a = NULL;
    int err = audit_start(&config, &a, why);

    if (err == 0)
        ck_assert_int_eq(audit_stop(a), 0);
    return err;
}

START_TEST(start_refuses_what_is_not_our_own_regular_file)
{
    unsigned fds = suite_open_fds();
    struct why why = {0};
    char other[128];

    make_place();
    ck_assert_int_eq(try_start(&why), 0); /* the place itself is in order */
    (void)snprintf(other, sizeof(other), "%s/state/other", dir);
    ck_assert_int_eq(rename(path, other), 0);

    ck_assert_int_eq(symlink(other, path), 0);
    ck_assert_int_eq(try_start(&why), -ELOOP);
    ck_assert_ptr_nonnull(strstr(why.text, "symbolic link"));
    ck_assert_int_eq(unlink(path), 0);

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(try_start(&why), -EINVAL);
    ck_assert_int_eq(unlink(path), 0);

    ck_assert_int_eq(rename(other, path), 0);
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(try_start(&why), -EPERM);
    ck_assert_int_eq(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 1000, 1000), 0);
        ck_assert_int_eq(try_start(&why), -EPERM);
        ck_assert_ptr_nonnull(strstr(why.text, "another user"));
        ck_assert_int_eq(chown(path, 0, 0), 0);
    }
    ck_assert_int_eq(try_start(&why), 0);
    ck_assert_uint_eq(suite_open_fds(), fds);
    remove_place();
}
END_TEST

START_TEST(auditor_holds_no_descriptor_of_the_supervisor)
{
    /* The reading end sees the end of the file although the auditor still runs. */
    struct audit *a;
    int leak[2];
    char byte;

    make_place();
    ck_assert_int_eq(pipe(leak), 0);
    ck_assert_int_eq(dup2(leak[1], 700), 700);
    a = start();
    (void)close(leak[1]);
    (void)close(700);
    ck_assert_int_eq(read(leak[0], &byte, 1), 0);
    (void)close(leak[0]);
    ck_assert_int_eq(audit_stop(a), 0);
    remove_place();
}
END_TEST

START_TEST(default_path_follows_the_state_home)
{
    char ret[256];

    ck_assert_int_eq(setenv("XDG_STATE_HOME", "/x/state", 1), 0);
    ck_assert_int_eq(audit_default_path("web-1", ret, sizeof(ret)), 0);
    ck_assert_str_eq(ret, "/x/state/lattice/web-1.jsonl");
    ck_assert_int_eq(setenv("XDG_STATE_HOME", "relative", 1), 0);
    ck_assert_int_eq(setenv("HOME", "/home/u", 1), 0);
    ck_assert_int_eq(audit_default_path("web-1", ret, sizeof(ret)), 0);
    ck_assert_str_eq(ret, "/home/u/.local/state/lattice/web-1.jsonl");
    ck_assert_int_eq(audit_default_path("web-1", ret, 20), -ENAMETOOLONG);
    ck_assert_int_eq(audit_default_path("", ret, sizeof(ret)), -EINVAL);
    ck_assert_int_eq(audit_default_path("../x", ret, sizeof(ret)), -EINVAL);
    ck_assert_int_eq(audit_default_path("a/b", ret, sizeof(ret)), -EINVAL);
    ck_assert_int_eq(audit_default_path(".hidden", ret, sizeof(ret)), -EINVAL);
    ck_assert_int_eq(unsetenv("XDG_STATE_HOME") + unsetenv("HOME"), 0);
    ck_assert_int_eq(audit_default_path("web-1", ret, sizeof(ret)), -ENOENT);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(records_are_written_in_order_chained_and_private),
    SUITE_TEST(second_run_continues_the_file_after_the_first),
    SUITE_TEST(two_auditors_on_one_file_do_not_mix_lines),
    SUITE_TEST(torn_end_of_an_earlier_crash_is_cut_off),
    SUITE_SLOW(killed_writers_lose_and_repeat_nothing, 60),
    SUITE_TEST(successor_skips_what_its_predecessor_wrote_but_did_not_take),
    SUITE_TEST(killed_auditor_makes_emit_fail_and_the_descriptor_readable),
    SUITE_TEST(settled_records_can_be_read),
    SUITE_TEST(settling_gives_up_on_a_stopped_auditor_and_takes_no_late_answer),
    SUITE_TEST(settling_outlives_killed_writers),
    SUITE_TEST(stopped_auditor_makes_emit_time_out_instead_of_hang),
    SUITE_TEST(killed_supervisor_leaves_whole_lines_and_a_stop_record),
    SUITE_TEST(file_at_its_size_limit_fails_emits_and_recovers),
    SUITE_TEST(full_file_system_fails_emits_and_loses_nothing_accepted_once_cleaned),
    SUITE_SLOW(hundred_thousand_records_arrive, 60),
    SUITE_TEST(start_refuses_what_is_not_our_own_regular_file),
    SUITE_TEST(auditor_holds_no_descriptor_of_the_supervisor),
    SUITE_TEST(default_path_follows_the_state_home),
};

SUITE_MAIN("audit", tests)
