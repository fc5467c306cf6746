/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail of our own processes: each thing is first done outside of it, then refused inside. Every
 * test runs in a process of its own, and leaves it by _exit(): Check's own way out makes calls that
 * the jail refuses (timer_create).
 */
#include "base/selfjail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "tests/support/suite.h"

static struct selfjail_result enter(unsigned needs, const char *dir)
{
    struct selfjail jail = {.needs = needs, .writable_dir = dir};
    struct selfjail_result result;
    struct why why = {0};

    ck_assert_msg(selfjail_enter(&jail, &result, &why) == 0, "%s", why.text);
    return result;
}

/** Create and remove a file; 0 or -errno. */
static int try_create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    (void)close(fd);
    return unlink(path) < 0 ? -errno : 0;
}

static int try_socket(int family)
{
    auto_fd fd = socket(family, SOCK_STREAM, 0);

    return fd < 0 ? -errno : 0;
}

static void make_dir(char *ret, size_t cap)
{
    (void)snprintf(ret, cap, "/tmp/lattice-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(ret));
}

/** The kernel's own account of the jailed process. */
START_TEST(selfjail_status_shows_the_walls)
{
    struct buf status;
    const char *text;

    (void)enter(SELFJAIL_SOCKETS_UNIX, NULL);
    buf_init(&status, 16384);
    ck_assert_int_eq(io_read_file("/proc/self/status", &status, NULL), 0);
    text = buf_text(&status);
    ck_assert_ptr_nonnull(strstr(text, "Seccomp:\t2"));
    ck_assert_ptr_nonnull(strstr(text, "NoNewPrivs:\t1"));
    ck_assert_ptr_nonnull(strstr(text, "CapPrm:\t0000000000000000"));
    ck_assert_ptr_nonnull(strstr(text, "CapEff:\t0000000000000000"));
    ck_assert_ptr_nonnull(strstr(text, "CapAmb:\t0000000000000000"));
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 0);
    buf_done(&status);
    _exit(0);
}
END_TEST

/** Files can be read, but neither made, changed, emptied nor removed. */
START_TEST(selfjail_files_cannot_be_written)
{
    char dir[64], path[96];
    char *copy = path;

    make_dir(dir, sizeof(dir));
    (void)snprintf(copy, sizeof(path), "%s/file", dir);
    ck_assert_int_eq(try_create(path), 0);
    ck_assert_int_ge(open(path, O_WRONLY | O_CREAT, 0600), 0);
    (void)enter(SELFJAIL_SOCKETS_UNIX | SELFJAIL_PROCESSES, NULL);
    ck_assert_int_ge(open(path, O_RDONLY), 0);
    ck_assert(open(path, O_WRONLY) < 0 && errno == EPERM);
    ck_assert(open(path, O_RDWR) < 0 && errno == EPERM);
    ck_assert(open(path, O_RDONLY | O_TRUNC) < 0 && errno == EPERM);
    ck_assert(open(dir, O_TMPFILE | O_RDWR, 0600) < 0 && errno == EPERM);
    ck_assert(openat(AT_FDCWD, path, O_RDONLY | O_CREAT, 0600) < 0 && errno == EPERM);
    ck_assert(unlink(path) < 0 && errno == EPERM);
    ck_assert(mkdir("/tmp/lattice-test-never", 0700) < 0 && errno == EPERM);
    ck_assert(syscall(SYS_openat2, AT_FDCWD, path, NULL, 0) < 0 && errno == EPERM);
    ck_assert_int_ge(access(path, F_OK), 0);
    _exit(0);
}
END_TEST

/** With a directory of its own, a process writes there and nowhere else. */
START_TEST(selfjail_files_only_below_their_directory)
{
    char dir[64], inside[96], outside[64];

    make_dir(dir, sizeof(dir));
    make_dir(outside, sizeof(outside));
    (void)snprintf(inside, sizeof(inside), "%s/file", dir);
    (void)strncat(outside, "/file", sizeof(outside) - strlen(outside) - 1);
    ck_assert_int_eq(try_create(outside), 0);
    if (!enter(SELFJAIL_FILES, dir).has_landlock)
        _exit(0); /* the filter cannot see paths: without Landlock there is nothing to prove */
    ck_assert_int_eq(try_create(inside), 0);
    ck_assert_int_eq(try_create(outside), -EACCES);
    _exit(0);
}
END_TEST

static int end_of(bool jailed)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (jailed)
            (void)enter(0, NULL);
        (void)execl("/bin/true", "true", (char *)NULL);
        _exit(99);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

/** An exec ends the process; the same exec works outside. */
START_TEST(selfjail_exec_ends_the_process)
{
    int status = end_of(/*jailed=*/false);

    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = end_of(/*jailed=*/true);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}
END_TEST

/** New processes, executable memory and a return of privilege are refused. */
START_TEST(selfjail_no_child_no_code)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert(page != MAP_FAILED && data != MAP_FAILED);
    (void)enter(SELFJAIL_PROCESSES | SELFJAIL_SOCKETS_INET, NULL);
    ck_assert(fork() < 0 && errno == EPERM);
    ck_assert(mprotect(data, 4096, PROT_READ | PROT_EXEC) < 0 && errno == EPERM);
    page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(page == MAP_FAILED && errno == EPERM);
    ck_assert(prctl(PR_SET_DUMPABLE, 1) < 0 && errno == EPERM);
    ck_assert(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EPERM);
    ck_assert(syscall(SYS_ptrace, 0, 0, 0, 0) < 0 && errno == EPERM);
    ck_assert(syscall(SYS_setns, -1, 0) < 0 && errno == EPERM);
    _exit(0);
}
END_TEST

static const struct {
    unsigned needs;
    bool has_unix;
    bool has_inet;
} families[] = {
    {0, false, false},
    {SELFJAIL_SOCKETS_UNIX, true, false},
    {SELFJAIL_SOCKETS_INET, false, true},
    {SELFJAIL_SOCKETS_UNIX | SELFJAIL_SOCKETS_INET, true, true},
};

/** Sockets come only in the families that were asked for. */
START_TEST(selfjail_socket_families)
{
    ck_assert_int_eq(try_socket(AF_UNIX), 0);
    ck_assert_int_eq(try_socket(AF_INET), 0);
    (void)enter(families[_i].needs, NULL);
    ck_assert_int_eq(try_socket(AF_UNIX), families[_i].has_unix ? 0 : -EPERM);
    ck_assert_int_eq(try_socket(AF_INET), families[_i].has_inet ? 0 : -EPERM);
    ck_assert_int_eq(try_socket(AF_INET6), families[_i].has_inet ? 0 : -EPERM);
    ck_assert_int_eq(try_socket(AF_NETLINK), -EPERM);
    ck_assert_int_eq(try_socket(AF_PACKET), -EPERM);
    _exit(0);
}
END_TEST

/** A process that serves others can still reach their memory, although it is jailed. */
START_TEST(selfjail_processes_can_be_read)
{
    static volatile int secret = 4711;
    int seen = 0;
    struct iovec local = {.iov_base = &seen, .iov_len = sizeof(seen)};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)&secret, .iov_len = sizeof(seen)};
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    pid_t child;

    /* Reading a process takes all the capabilities that it has. */
    ck_assert_int_eq(syscall(SYS_capset, &head, none), 0);
    child = fork();
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    (void)enter(SELFJAIL_PROCESSES, NULL);
    ck_assert_int_eq(process_vm_readv(child, &local, 1, &remote, 1, 0), sizeof(seen));
    ck_assert_int_eq(seen, 4711);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    _exit(0);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(selfjail_status_shows_the_walls),
    SUITE_TEST(selfjail_files_cannot_be_written),
    SUITE_TEST(selfjail_files_only_below_their_directory),
    SUITE_TEST(selfjail_exec_ends_the_process),
    SUITE_TEST(selfjail_no_child_no_code),
    SUITE_ROWS(selfjail_socket_families, ARRAY_COUNT(families)),
    SUITE_TEST(selfjail_processes_can_be_read),
};

SUITE_MAIN("base/selfjail", tests)
