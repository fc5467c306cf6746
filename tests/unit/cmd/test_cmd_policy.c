/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice policy` as a person calls it: exit status, standard output and standard error of command
 * lines. No network: names get their address by --ip.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "tests/support/suite.h"

#define ARGS_MAX 16

struct outcome {
    int status;
    char out[1024];
    char err[1024];
};

static void read_back(FILE *file, char *ret, size_t cap)
{
    size_t len;

    rewind(file);
    len = fread(ret, 1, cap - 1, file);
    ret[len] = '\0';
    (void)fclose(file);
}

/** Run the words of @line (apart by one blank each). */
static struct outcome run(const char *line)
{
    static char words[1024];
    char *argv[ARGS_MAX + 1] = {0};
    FILE *files[2] = {tmpfile(), tmpfile()};
    int old[2] = {dup(1), dup(2)};
    struct outcome o = {0};
    int argc = 0;

    (void)snprintf(words, sizeof(words), "%s", line);
    for (char *word = words; word != NULL && argc < ARGS_MAX;) {
        char *end = strchr(word, ' ');

        if (end != NULL)
            *end++ = '\0';
        argv[argc++] = word;
        word = end;
    }
    (void)fflush(NULL);
    ck_assert(dup2(fileno(files[0]), 1) == 1 && dup2(fileno(files[1]), 2) == 2);
    o.status = cmd_policy(argc, argv);
    (void)fflush(NULL);
    ck_assert(dup2(old[0], 1) == 1 && dup2(old[1], 2) == 2);
    (void)close(old[0]);
    (void)close(old[1]);
    read_back(files[0], o.out, sizeof(o.out));
    read_back(files[1], o.err, sizeof(o.err));
    return o;
}

static const struct {
    const char *line;
    int status;
    const char *out; /* words of standard output; "": it is empty */
    const char *err; /* the same for standard error */
} rows[] = {
    {"policy why --allow 192.0.2.1:443 192.0.2.1:443", 0, "rule: allow 192.0.2.1:443", ""},
    {"policy why 192.0.2.1:443", 3, "to allow it: --allow '192.0.2.1:443'", ""},
    {"policy why --allow *:* --deny 192.0.2.0/24:* 192.0.2.1:443", 3, "deny wins", ""},
    {"policy why --allow *:* 169.254.169.254:80", 3, "reason: builtin", ""},
    {"policy why --allow udp://*:53 udp://[2001:db8::1]:53", 0, "allow: udp [2001:db8::1]:53", ""},
    {"policy why --allow icmp://* icmp://192.0.2.1", 0, "allow: icmp 192.0.2.1\n", ""},
    {"policy why --ip 192.0.2.1 --allow *.example:443 a.example:443", 0,
     "allow: tcp 192.0.2.1:443\n  reason: rule: an allow rule covers it\n  rule: allow "
     "*.example:443\n  name: a.example\n",
     ""},
    {"policy why --ip 127.0.0.1 --allow *.example:443 a.example:443", 3, "reason: builtin", ""},
    {"policy why --ip 192.0.2.1 --ip 10.0.0.1 --allow *:443 --deny 10.0.0.0/8:* a.example:443", 3,
     "allow: tcp 192.0.2.1:443", ""},
    {"policy why --ip 192.0.2.1 --allow 192.0.2.1:443 a.example:443", 3,
     "deny: look-up of a.example", ""},
    {"policy why --json 192.0.2.1:443", 3,
     "{\"destination\":\"tcp "
     "192.0.2.1:443\",\"verdict\":\"deny\",\"wouldDeny\":true,\"reason\":\"no_"
     "rule\",\"suggestion\":\"--allow '192.0.2.1:443'\"}\n",
     ""},
    {"policy why --allow a.example a.example:443", 1, "", "column 10: a port is missing"},
    {"policy why --ip 1.2 a.example:443", 1, "", "expected an IPv4 or IPv6 address"},
    {"policy why --policy /nonexistent 192.0.2.1:443", 1, "", "/nonexistent"},
    {"policy why", 2, "", "expected one destination"},
    {"policy why 192.0.2.1", 2, "", "is not a destination"},
    {"policy why 192.0.2.1:0", 2, "", "is not a destination"},
    {"policy why 127.1:80", 2, "", "is not a destination"},
    {"policy why ::1:80", 2, "", "is not a destination"},
    {"policy why [a.example]:80", 2, "", "is not a destination"},
    {"policy why --ip 192.0.2.1 192.0.2.1:80", 2, "", "is an address"},
    {"policy why --alow x 192.0.2.1:80", 2, "", "allow"},
    {"policy check", 2, "", "a file is missing"},
    {"policy check /nonexistent", 1, "", "/nonexistent"},
    {"policy", 2, "", "expected check or why"},
    {"policy chek x", 2, "", "did you mean check?"},
    {"policy --help", 0, "lattice policy why", ""},
};

/* Goal: every row of the table. */
START_TEST(rows_table)
{
    unsigned fds = suite_open_fds();
    struct outcome o = run(rows[_i].line);

    ck_assert_msg(o.status == rows[_i].status, "%s: status %d\n%s%s", rows[_i].line, o.status,
                  o.out, o.err);
    ck_assert_msg(rows[_i].out[0] != '\0' ? strstr(o.out, rows[_i].out) != NULL : o.out[0] == '\0',
                  "%s: %s", rows[_i].line, o.out);
    ck_assert_msg(rows[_i].err[0] != '\0' ? strstr(o.err, rows[_i].err) != NULL : o.err[0] == '\0',
                  "%s: %s", rows[_i].line, o.err);
    ck_assert_uint_eq(suite_open_fds(), fds);
}
END_TEST

/* Goal: files are all looked at, the bad one is named with its place, and its mode is heeded by
 * why. */
START_TEST(check_files)
{
    char good[] = "/tmp/lattice-good-XXXXXX";
    char bad[] = "/tmp/lattice-bad-XXXXXX";
    int good_fd = mkstemp(good);
    int bad_fd = mkstemp(bad);
    char line[256];
    struct outcome o;

    ck_assert_int_gt(dprintf(good_fd, "{\"apiVersion\":\"lattice.dev/v1\",\"kind\":\"Policy\","
                                      "\"spec\":{\"mode\":\"audit\",\"egress\":{\"allow\":["
                                      "\"a.example:443\"]}}}\n"),
                     0);
    ck_assert_int_gt(dprintf(bad_fd, "{\"apiVersion\":\"lattice.dev/v1\",\n\"kidn\":\"Policy\"}"),
                     0);
    (void)snprintf(line, sizeof(line), "policy check %s %s", bad, good);
    o = run(line);
    ck_assert_int_eq(o.status, 1);
    ck_assert_msg(strstr(o.out, "good: 1 rules, mode audit") != NULL, "%s", o.out);
    ck_assert_msg(strstr(o.err, ":2:1: unknown key \"kidn\": did you mean \"kind\"?") != NULL, "%s",
                  o.err);
    (void)snprintf(line, sizeof(line), "policy check %s", good);
    ck_assert_int_eq(run(line).status, 0);
    (void)snprintf(line, sizeof(line), "policy why --policy %s 192.0.2.1:443", good);
    o = run(line);
    ck_assert_int_eq(o.status, 0);
    ck_assert_msg(strstr(o.out, "audit mode: enforced, it would be denied") != NULL, "%s", o.out);
    ck_assert(unlink(good) == 0 && unlink(bad) == 0);
    (void)close(good_fd);
    (void)close(bad_fd);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(rows_table, ARRAY_COUNT(rows)),
    SUITE_TEST(check_files),
};

SUITE_MAIN("cmd/policy", tests)
