/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy files: what good ones mean, and that each broken one names its place and changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "policy/policy.h"
#include "tests/support/cases.h"
#include "tests/support/suite.h"

#define HEAD "{\"apiVersion\":\"lattice.dev/v1\",\"kind\":\"Policy\""

static struct policy *empty_policy(void)
{
    struct policy *p = NULL;

    ck_assert_int_eq(policy_new(POLICY_ENFORCE, &p), 0);
    return p;
}

static enum verdict decide(const struct policy *p, const char *dst)
{
    struct policy_request req = {.proto = POLICY_TCP};
    struct policy_answer a;

    ck_assert_int_eq(endpoint_parse(bytes_of_str(dst), &req.dst), 0);
    ck_assert_int_eq(policy_decide(p, &req, &a), 0);
    return a.verdict;
}

/* Goal: each broken file is refused with its place; the rules that were there stay, no new ones
 * come. */
START_TEST(broken_files_table)
{
    struct case_table t;

    cases_load(TEST_SOURCE_DIR "/cases/policy_broken.cases", '|', &t);
    ck_assert_uint_ge(t.count, 50);
    for (unsigned i = 0; i < t.count; i++) {
        struct case_row *row = &t.rows[i];
        struct policy *p = empty_policy();
        enum policy_mode mode = POLICY_AUDIT;
        struct why why = {0};
        char got[32];

        ck_assert_uint_eq(row->count, 3);
        ck_assert_int_eq(policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str("192.0.2.1:443"), NULL),
                         0);
        ck_assert_msg(policy_parse(p, "p.json", case_bytes(row->fields[2]), &mode, &why) == -EINVAL,
                      "line %u was accepted", row->line);
        (void)snprintf(got, sizeof(got), "%u:%u", why.line, why.column);
        ck_assert_msg(strcmp(got, row->fields[0]) == 0 && strstr(why.text, row->fields[1]) != NULL,
                      "line %u: %s: %s", row->line, got, why.text);
        ck_assert_str_eq(why.file, "p.json");
        ck_assert_uint_eq(policy_rule_count(p), 1);
        ck_assert_int_eq(mode, POLICY_AUDIT);
        ck_assert_int_eq(decide(p, "192.0.2.1:443"), VERDICT_ALLOW);
        ck_assert_int_eq(decide(p, "192.0.2.2:443"), VERDICT_DENY);
        policy_free(p);
    }
    cases_done(&t);
}
END_TEST

static const char *const nothing_allowed[] = {
    HEAD "}",
    HEAD ",\"spec\":{}}",
    HEAD ",\"spec\":{\"egress\":{}}}",
    HEAD ",\"spec\":{\"egress\":{\"allow\":[]}}}",
    HEAD ",\"spec\":{\"egress\":{\"allow\":[],\"deny\":[]}}}",
    HEAD ",\"spec\":{\"egress\":{\"deny\":[\"192.0.2.9:1\"]}}}",
};

/* Goal: an empty list and each missing section deny everything. */
START_TEST(empty_denies_all)
{
    struct policy *p = empty_policy();
    struct why why = {0};

    ck_assert_msg(policy_parse(p, "p", bytes_of_str(nothing_allowed[_i]), NULL, &why) == 0, "%s",
                  why.text);
    ck_assert_int_eq(decide(p, "192.0.2.1:443"), VERDICT_DENY);
    ck_assert_int_eq(decide(p, "[2001:db8::1]:1"), VERDICT_DENY);
    policy_free(p);
}
END_TEST

/* Goal: rules as strings and as objects mean the same; lists of ports become one rule each. */
START_TEST(strings_and_objects)
{
    static const char file[] =
        HEAD ",\"$schema\":\"https://lattice.dev/policy.schema.json\",\n"
             " \"metadata\":{\"name\":\"web\",\"description\":\"two\"},\n"
             " \"spec\":{\"mode\":\"audit\",\"egress\":{\"allow\":[\n"
             "  \"api.github.com:443\",\n"
             "  {\"host\":\"*.PyPI.org\",\"ports\":443,\"comment\":\"packages\"},\n"
             "  {\"host\":\"*\",\"ports\":\"*\",\"protocol\":\"udp\"},\n"
             "  {\"cidr\":\"2001:db8::/32\",\"ports\":[80,\"8000-8999\"],\"protocol\":\"tcp\"},\n"
             "  {\"host\":\"192.0.2.7\",\"protocol\":\"icmp\"}],\n"
             " \"deny\":[{\"cidr\":\"10.0.0.0/8\",\"ports\":\"*\"}]}}}";
    static const char *const texts[] = {
        "allow 198.51.100.1:1",   "allow api.github.com:443", "allow *.pypi.org:443",
        "allow udp://*:*",        "allow [2001:db8::/32]:80", "allow [2001:db8::/32]:8000-8999",
        "allow icmp://192.0.2.7", "deny 10.0.0.0/8:*",
    };
    struct policy *p = empty_policy();
    enum policy_mode mode = POLICY_ENFORCE;
    struct why why = {0};

    ck_assert_int_eq(policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str("198.51.100.1:1"), NULL),
                     0);
    ck_assert_msg(policy_parse(p, "p", bytes_of_str(file), &mode, &why) == 0, "%u:%u %s", why.line,
                  why.column, why.text);
    ck_assert_int_eq(mode, POLICY_AUDIT);
    ck_assert_int_eq(policy_get_mode(p),
                     POLICY_ENFORCE); /* the caller decides what to do with it */
    ck_assert_uint_eq(policy_rule_count(p), ARRAY_COUNT(texts));
    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++)
        ck_assert_str_eq(policy_rule_text(p, i), texts[i]);
    ck_assert_ptr_null(policy_rule_text(p, ARRAY_COUNT(texts)));
    policy_free(p);
}
END_TEST

/* Goal: a file is read from disk; a missing one is an error that names it. */
START_TEST(load_from_disk)
{
    static const char file[] = HEAD ",\"spec\":{\"egress\":{\"allow\":[\"192.0.2.1:443\"]}}}\n";
    char path[] = "/tmp/lattice-policy-XXXXXX";
    int fd = mkstemp(path);
    struct policy *p = empty_policy();
    unsigned fds = suite_open_fds();
    struct why why = {0};

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, file, sizeof(file) - 1), (int)sizeof(file) - 1);
    ck_assert_int_eq(policy_load(p, path, NULL, &why), 0);
    ck_assert_int_eq(decide(p, "192.0.2.1:443"), VERDICT_ALLOW);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(policy_load(p, path, NULL, &why), -ENOENT);
    ck_assert(why.text[0] != '\0');
    ck_assert_uint_eq(policy_rule_count(p), 1);
    ck_assert_uint_eq(suite_open_fds(), fds);
    policy_free(p);
}
END_TEST

/* Goal: the number of rules is bounded, for files and single rules, and a file beyond it adds
 * nothing. */
START_TEST(rules_are_bounded)
{
    struct policy *p = empty_policy();
    struct why why = {0};
    struct buf text;

    buf_init(&text, POLICY_FILE_MAX);
    buf_add_str(&text, HEAD ",\"spec\":{\"egress\":{\"allow\":[\"192.0.2.1:443\"");
    for (unsigned i = 1; i < POLICY_RULES_MAX; i++)
        buf_printf(&text, ",\"10.%u.%u.%u:%u\"", i >> 16 & 255, i >> 8 & 255, i & 255,
                   1 + i % 65535);
    buf_add_str(&text, "]}}}");
    ck_assert_msg(policy_parse(p, "p", buf_bytes(&text), NULL, &why) == 0, "%s", why.text);
    ck_assert_uint_eq(policy_rule_count(p), POLICY_RULES_MAX);
    ck_assert_int_eq(decide(p, "10.0.0.5:6"), VERDICT_ALLOW);
    ck_assert_int_eq(decide(p, "10.0.0.5:7"), VERDICT_DENY);
    ck_assert_int_eq(policy_add_rule(p, POLICY_RULE_DENY, bytes_of_str("*:*"), &why), -ENOSPC);
    ck_assert_int_eq(decide(p, "10.0.0.5:6"), VERDICT_ALLOW);
    ck_assert_int_lt(policy_parse(p, "p",
                                  bytes_of_str(HEAD ",\"spec\":{\"egress\":{\"deny\":[\"*:*\"]}}}"),
                                  NULL, &why),
                     0);
    ck_assert_int_eq(decide(p, "10.0.0.5:6"), VERDICT_ALLOW);
    buf_done(&text);
    policy_free(p);
}
END_TEST

/* Goal: what `files` says is there, survives a second file, and neither the first file's paths nor
 * its mode are lost. */
START_TEST(files_are_read)
{
    static const char first[] =
        HEAD ",\"spec\":{\"files\":{\"mode\":\"workspace\",\"read\":[\"~/.cargo\",\"/srv\",\"~\"],"
             "\"write\":[\".\",\"../out\",\"./a\"]}}}";
    static const char second[] = HEAD ",\"spec\":{\"files\":{\"read\":[\"/srv\",\"/data\"]}}}";
    struct policy *p = empty_policy();
    const struct policy_files *f = policy_files(p);
    struct why why = {0};

    ck_assert_int_eq(f->mode, POLICY_FILES_UNSAID);
    ck_assert_msg(policy_parse(p, "p", bytes_of_str(first), NULL, &why) == 0, "%s", why.text);
    ck_assert_msg(policy_parse(p, "p", bytes_of_str(second), NULL, &why) == 0, "%s", why.text);
    f = policy_files(p);
    ck_assert_int_eq(f->mode, POLICY_FILES_WORKSPACE);
    ck_assert_uint_eq(f->read.count, 4);
    ck_assert_uint_eq(f->write.count, 3);
    ck_assert(nameset_has(&f->read, bytes_of_str("~/.cargo")));
    ck_assert(nameset_has(&f->read, bytes_of_str("/data")));
    ck_assert(nameset_has(&f->write, bytes_of_str("../out")));
    policy_free(p);
}
END_TEST

/* Goal: a path more than the most is refused. */
START_TEST(paths_are_bounded)
{
    struct policy *p = empty_policy();
    char longest[POLICY_PATH_MAX + 2];
    char text[32];

    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    ck_assert_int_eq(
        policy_add_path(p, POLICY_FILES_READ, bytes_of(longest, POLICY_PATH_MAX + 1), NULL),
        -EINVAL);
    ck_assert_int_eq(
        policy_add_path(p, POLICY_FILES_READ, bytes_of(longest, POLICY_PATH_MAX), NULL), 0);
    for (unsigned i = 1; i < POLICY_PATHS_MAX; i++) {
        (void)snprintf(text, sizeof(text), "/%u", i);
        ck_assert_int_eq(policy_add_path(p, POLICY_FILES_READ, bytes_of_str(text), NULL), 0);
    }
    ck_assert_int_eq(policy_add_path(p, POLICY_FILES_READ, bytes_of_str("/more"), NULL), -ENOSPC);
    ck_assert_int_eq(policy_add_path(p, POLICY_FILES_WRITE, bytes_of_str("/more"), NULL), 0);
    policy_free(p);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(broken_files_table),    SUITE_ROWS(empty_denies_all, ARRAY_COUNT(nothing_allowed)),
    SUITE_TEST(strings_and_objects),   SUITE_TEST(load_from_disk),
    SUITE_SLOW(rules_are_bounded, 60), SUITE_TEST(files_are_read),
    SUITE_TEST(paths_are_bounded),
};

SUITE_MAIN("policy/parse", tests)
