/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/suite.h"

#include <dirent.h>
#include <stdlib.h>

int suite_run(const char *name, const struct suite_test *tests, unsigned count)
{
    Suite *suite = suite_create(name);
    SRunner *runner;
    int failed;

    for (unsigned i = 0; i < count; i++) {
        TCase *tc = tcase_create(tests[i].name);

        tcase_set_timeout(tc, tests[i].limit_s > 0 ? tests[i].limit_s : 20);
        if (tests[i].rows > 0)
            tcase_add_loop_test(tc, *tests[i].test, 0, tests[i].rows);
        else
            tcase_add_test(tc, *tests[i].test);
        suite_add_tcase(suite, tc);
    }
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void suite_skip(const char *reason)
{
    printf("SKIP: %s\n", reason);
    exit(77);
}

unsigned suite_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    must(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count - 3; /* ".", ".." and the directory's own descriptor */
}
