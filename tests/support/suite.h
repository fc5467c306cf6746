/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One test file = one program = one suite of Check tests. A file lists its tests in an array and
 * ends with SUITE_MAIN; every test runs in a process of its own, which may do irreversible things
 * (load a seccomp filter, drop privilege). Each test checks at its end that no descriptor was
 * leaked, unless it ends with the process.
 */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stdio.h>

#include "base/must.h"

struct suite_test {
    const char *name;
    const TTest **test; /* the variable that START_TEST defines */
    int rows;           /* 0: once; n: a loop test, _i runs from 0 to n-1 */
    double limit_s;     /* 0: the suite's default of 20 s */
};

#define SUITE_TEST(fn)                                                                             \
    {                                                                                              \
        .name = #fn, .test = &fn                                                                   \
    }
#define SUITE_ROWS(fn, n)                                                                          \
    {                                                                                              \
        .name = #fn, .test = &fn, .rows = (int)(n)                                                 \
    }
#define SUITE_SLOW(fn, secs)                                                                       \
    {                                                                                              \
        .name = #fn, .test = &fn, .limit_s = (secs)                                                \
    }

/** suite_run() - Run the tests and print Check's summary; returns the exit status. */
int suite_run(const char *name, const struct suite_test *tests, unsigned count);

/** suite_skip() - End the whole program as skipped, with the reason that CI looks for. */
__attribute__((noreturn)) void suite_skip(const char *reason);

/** suite_open_fds() - Count the descriptors that this process has open. */
unsigned suite_open_fds(void);

#define SUITE_MAIN(name, tests)                                                                    \
    int main(void)                                                                                 \
    {                                                                                              \
        return suite_run((name), (tests), (unsigned)ARRAY_COUNT(tests));                           \
    }

#endif
