/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines: both spellings of a value, where operands begin, and that nothing unknown or
 * abbreviated is let through.
 */
#include "tests/support/suite.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cli.h"

static const struct cli_option options[] = {
    {"name", "NAME", "A name."},
    {"verbose", NULL, "Say more."},
    {"audit", NULL, "Audit."},
    {"audit-log", "FILE", "Log."},
};

static const struct cli_command command = {
    .path = "lattice test",
    .synopsis = "[OPTIONS]",
    .summary = "Test.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .usage_status = 125,
};

static void quiet(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
    ck_assert_int_ge(dup2(fd, STDOUT_FILENO), 0);
    (void)close(fd);
}

START_TEST(cli_values_in_both_spellings_and_operands_after_dashes)
{
    char *argv[] = {
        (char[]){"test"},    (char[]){"--name"}, (char[]){"a"},         (char[]){"--audit-log=x=y"},
        (char[]){"--audit"}, (char[]){"--"},     (char[]){"--verbose"}, NULL};
    struct cli_parser p;

    cli_begin(&p, &command, 7, argv);
    ck_assert_int_eq(cli_next(&p), 0);
    ck_assert_str_eq(p.value, "a");
    ck_assert_int_eq(cli_next(&p), 3);
    ck_assert_str_eq(p.value, "x=y");
    ck_assert_int_eq(cli_next(&p), 2);
    ck_assert_ptr_null(p.value);
    ck_assert_int_eq(cli_next(&p), CLI_END);
    ck_assert_int_eq(p.index, 6);
    ck_assert(p.saw_dashes);
}
END_TEST

START_TEST(cli_operand_ends_the_options)
{
    char *argv[] = {(char[]){"test"}, (char[]){"curl"}, (char[]){"--verbose"}, NULL};
    struct cli_parser p;

    cli_begin(&p, &command, 3, argv);
    ck_assert_int_eq(cli_next(&p), CLI_END);
    ck_assert_int_eq(p.index, 1);
}
END_TEST

static const struct {
    const char *word;
    int status;
} stop_rows[] = {
    {"--nam", 125},          {"--verbose=1", 125}, {"--name", 125}, {"-x", 125},
    {"--audit-logs=1", 125}, {"--", CLI_EXIT_OK}, /* the positive control: this one goes on */
    {"--help", CLI_EXIT_OK}, {"-h", CLI_EXIT_OK},
};

START_TEST(cli_unknown_abbreviated_or_incomplete_options_stop)
{
    char word[32];
    char *argv[] = {(char[]){"test"}, word, NULL};
    struct cli_parser p;
    int result;

    quiet();
    (void)snprintf(word, sizeof(word), "%s", stop_rows[_i].word);
    cli_begin(&p, &command, 2, argv);
    result = cli_next(&p);
    ck_assert_int_eq(result, strcmp(word, "--") == 0 ? CLI_END : CLI_STOP);
    ck_assert_int_eq(p.status, stop_rows[_i].status);
}
END_TEST

static const char *word_at(void *self, unsigned i)
{
    (void)self;
    return i < ARRAY_COUNT(options) ? options[i].name : NULL;
}

START_TEST(cli_nearest_finds_slips_and_nothing_far)
{
    ck_assert_str_eq(cli_nearest("verbsoe", word_at, NULL), "verbose");
    ck_assert_str_eq(cli_nearest("auditlog", word_at, NULL), "audit-log");
    ck_assert_ptr_null(cli_nearest("quite-different", word_at, NULL));
    ck_assert_ptr_null(cli_nearest("x", word_at, NULL));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(cli_values_in_both_spellings_and_operands_after_dashes),
    SUITE_TEST(cli_operand_ends_the_options),
    SUITE_ROWS(cli_unknown_abbreviated_or_incomplete_options_stop, ARRAY_COUNT(stop_rows)),
    SUITE_TEST(cli_nearest_finds_slips_and_nothing_far),
};
SUITE_MAIN("cmd/cli", tests)
