/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says about a descriptor of this process. The rest of io.h is used by every test
 * that reads a file.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/suite.h"

/* Goal: the number behind a key at the beginning of a line, and only there. */
START_TEST(fdinfo_reads_numbers)
{
    char part[4];
    long number = 77;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(read(fd, part, 3), 3);
    ck_assert_int_eq(io_fdinfo(fd, "pos:", &number), 0);
    ck_assert_int_eq(number, 3);
    number = 77;
    ck_assert_int_eq(io_fdinfo(fd, "os:", &number), -ENOENT);
    ck_assert_int_eq(io_fdinfo(fd, "Pid:", &number), -ENOENT);
    ck_assert_int_eq(number, 77);
    if (pidfd >= 0) {
        ck_assert_int_eq(io_fdinfo(pidfd, "Pid:", &number), 0);
        ck_assert_int_eq(number, getpid());
        (void)close(pidfd);
    }
    (void)close(fd);
    ck_assert_int_eq(io_fdinfo(fd, "pos:", &number), -ENOENT);
}
END_TEST

static const struct suite_test tests[] = {SUITE_TEST(fdinfo_reads_numbers)};

SUITE_MAIN("base/io", tests)
