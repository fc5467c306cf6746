/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter against a golden table of every system call number (tests/cases/syscalls.cases) and of
 * the register values that matter. The two programs are exported and run in a small interpreter of
 * classic BPF, as the kernel combines them; what the table says is refused is then really called
 * under the loaded filter.
 */
#include "sandbox/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/support/suite.h"

#define SUPERVISOR 1000001
#define GUARDIAN   1000002

static const struct filter_config full = {.may_trace = true,
                                          .has_signal_scope = true,
                                          .guarded_pids = {SUPERVISOR, GUARDIAN},
                                          .guarded_count = 2};
static const struct filter_config bare = {.guarded_pids = {SUPERVISOR, GUARDIAN},
                                          .guarded_count = 2};

static const struct filter_config old_landlock = {.may_trace = true, .keeps_contents = true};

struct program {
    struct sock_filter code[BPF_MAXINSNS];
    unsigned len;
};

/* One of each; read by one test process at a time. */
static struct program list_program, argument_program;

static void export(const struct filter_config *config, enum filter_part part, struct program *ret)
{
    auto_fd fd = memfd_create("filter", MFD_CLOEXEC);
    ssize_t got;

    ck_assert_int_eq(filter_export(config, part, fd), 0);
    got = pread(fd, ret->code, sizeof(ret->code), 0);
    ck_assert(got > 0 && (size_t)got % sizeof(ret->code[0]) == 0);
    ret->len = (unsigned)((size_t)got / sizeof(ret->code[0]));
}

static void export_both(const struct filter_config *config)
{
    export(config, FILTER_LIST, &list_program);
    export(config, FILTER_ARGUMENTS, &argument_program);
}

/** The five kinds of instruction that libseccomp makes. */
static uint32_t interpret(const struct program *p, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (unsigned pc = 0; pc < p->len; pc++) {
        const struct sock_filter *i = &p->code[pc];
        bool taken;

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            ck_assert_uint_le(i->k, sizeof(*data) - sizeof(a));
            memcpy(&a, (const char *)data + i->k, sizeof(a));
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JEQ | BPF_K:
            taken = a == i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            taken = a > i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            taken = a >= i->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            taken = (a & i->k) != 0;
            break;
        default:
            ck_abort_msg("instruction %#x", i->code);
        }
        pc += taken ? i->jt : i->jf;
    }
    ck_abort_msg("fell off the end");
}

/** As the kernel: the action with the lowest number, read as signed, wins. */
static uint32_t outcome(const struct seccomp_data *data)
{
    uint32_t list = interpret(&list_program, data), args = interpret(&argument_program, data);
    int32_t list_action = (int32_t)(list & SECCOMP_RET_ACTION_FULL);

    return list_action <= (int32_t)(args & SECCOMP_RET_ACTION_FULL) ? list : args;
}

static const char *outcome_name(uint32_t result)
{
    switch (result) {
    case SECCOMP_RET_ALLOW:
        return "ALLOW";
    case SECCOMP_RET_USER_NOTIF:
        return "NOTIFY";
    case SECCOMP_RET_ERRNO | ENOSYS:
        return "ENOSYS";
    case SECCOMP_RET_ERRNO | EPERM:
        return "EPERM";
    case SECCOMP_RET_ERRNO | EINVAL:
        return "EINVAL";
    case SECCOMP_RET_ERRNO | EACCES:
        return "EACCES";
    case SECCOMP_RET_ERRNO | EAFNOSUPPORT:
        return "EAFNOSUPPORT";
    case SECCOMP_RET_ERRNO:
        return "DONE";
    default:
        return "?";
    }
}

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64

struct golden {
    int number;
    char name[32];
    char verdict[16];
};

static FILE *golden_open(void)
{
    FILE *file = fopen(TEST_SOURCE_DIR "/cases/syscalls.cases", "re");

    ck_assert_ptr_nonnull(file);
    return file;
}

static bool golden_next(FILE *file, struct golden *ret)
{
    char line[160];

    while (fgets(line, sizeof(line), file) != NULL)
        if (line[0] != '#' && line[0] != '\n')
            return sscanf(line, "%d %31s %15s", &ret->number, ret->name, ret->verdict) == 3;
    return false;
}

/** B8: every number from 0 to 500, with zero in all registers. */
START_TEST(b8_every_number_as_the_golden_table)
{
    FILE *file = golden_open();
    struct golden row;
    int expected = 0;

    export_both(&full);
    for (; golden_next(file, &row); expected++) {
        struct seccomp_data data = {.nr = row.number, .arch = NATIVE_ARCH};

        ck_assert_int_eq(row.number, expected);
        ck_assert_msg(strcmp(outcome_name(outcome(&data)), row.verdict) == 0,
                      "%d %s: %s, expected %s", row.number, row.name, outcome_name(outcome(&data)),
                      row.verdict);
    }
    ck_assert_int_eq(expected, 501);
    (void)fclose(file);
}
END_TEST

/** B8 again, for real: what the table refuses is refused by the kernel with that errno. */
START_TEST(b8_refused_numbers_really_are)
{
    FILE *file = golden_open();
    struct filter_config config = full;
    struct why why = {0};
    struct golden row;
    unsigned tried = 0;
    int listener;

    ck_assert_msg(filter_install(&config, &listener, &why) == 0, "%s", why.text);
    while (golden_next(file, &row)) {
        int expected = strcmp(row.verdict, "ENOSYS") == 0  ? ENOSYS
                       : strcmp(row.verdict, "EPERM") == 0 ? EPERM
                                                           : 0;

        if (expected == 0)
            continue;
        errno = 0;
        ck_assert_msg(syscall(row.number, 0, 0, 0, 0, 0, 0) == -1 && errno == expected,
                      "%d %s: errno %d", row.number, row.name, errno);
        tried++;
    }
    ck_assert_uint_gt(tried, 100);
    _exit(0); /* stdio's and Check's way out is not what is tested */
}
END_TEST

/** B2, B3: a foreign architecture, and x32, have no calls at all, however harmless. */
START_TEST(b2_b3_foreign_calls_do_not_exist)
{
    static const uint32_t foreign[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, UINT32_MAX};

    export_both(&full);
    for (int nr = 0; nr <= 500; nr++) {
        struct seccomp_data data = {.nr = nr};

        for (unsigned i = 0; i < ARRAY_COUNT(foreign); i++) {
            data.arch = foreign[i];
            ck_assert_uint_eq(outcome(&data), SECCOMP_RET_ERRNO | ENOSYS);
        }
        data.arch = NATIVE_ARCH;
        data.nr = nr | 0x40000000; /* x32 */
        ck_assert_uint_eq(outcome(&data), SECCOMP_RET_ERRNO | ENOSYS);
    }
}
END_TEST

#define HIGH UINT64_C(0x100000000)
#define AT   (uint64_t) AT_FDCWD

static const struct {
    const struct filter_config *config;
    int nr;
    uint64_t args[6];
    const char *verdict;
} arg_cases[] = {
    {&full, SYS_socket, {AF_UNIX}, "ALLOW"},
    {&full, SYS_socket, {AF_INET}, "NOTIFY"},
    {&full, SYS_socket, {AF_INET6}, "NOTIFY"},
    {&full, SYS_socket, {AF_NETLINK}, "NOTIFY"},
    {&full, SYS_socket, {AF_VSOCK}, "NOTIFY"},
    {&full, SYS_socket, {HIGH | AF_UNIX}, "NOTIFY"},
    {&full, SYS_socket, {HIGH | AF_INET}, "NOTIFY"},
    {&full, SYS_socketpair, {AF_UNIX}, "ALLOW"},
    {&full, SYS_socketpair, {AF_INET}, "EAFNOSUPPORT"},
    {&full, SYS_socketpair, {AF_TIPC}, "EAFNOSUPPORT"},
    {&full, SYS_sendto, {3, 1, 1, 0, 0, 0}, "ALLOW"},
    {&full, SYS_sendto, {3, 1, 1, 0, 1, 16}, "NOTIFY"},
    {&full, SYS_sendto, {3, 1, 1, 0, HIGH, 16}, "NOTIFY"},
    {&full, SYS_recvfrom, {3, 1, 1, 0, 0, 0}, "ALLOW"},
    {&full, SYS_recvfrom, {3, 1, 1, 0, 1, 1}, "NOTIFY"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, SO_RCVTIMEO}, "ALLOW"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, SO_SNDTIMEO}, "ALLOW"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, SO_OOBINLINE}, "ALLOW"},
    {&full, SYS_getsockopt, {3, SOL_SOCKET, SO_RCVTIMEO}, "ALLOW"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, SO_OOBINLINE - 1}, "NOTIFY"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, SO_OOBINLINE + 1}, "NOTIFY"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, SO_RCVTIMEO - 1}, "NOTIFY"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, SO_SNDTIMEO + 1}, "NOTIFY"},
    {&full, SYS_setsockopt, {3, SOL_SOCKET, HIGH | SO_RCVTIMEO}, "NOTIFY"},
    {&full, SYS_setsockopt, {3, IPPROTO_TCP, SO_RCVTIMEO}, "NOTIFY"},
    {&full, SYS_ioctl, {0, TCGETS}, "ALLOW"},
    {&full, SYS_ioctl, {0, FIONREAD}, "NOTIFY"},
    {&full, SYS_ioctl, {0, HIGH | FIONREAD}, "NOTIFY"},
    {&full, SYS_ioctl, {0, FIONBIO}, "ALLOW"},
    {&full, SYS_ioctl, {0, 0x8912}, "NOTIFY"},
    {&full, SYS_ioctl, {0, 0x89ff}, "NOTIFY"},
    {&full, SYS_ioctl, {0, HIGH | 0x8912}, "NOTIFY"},
    {&full, SYS_ioctl, {0, 0x8800}, "ALLOW"},
    {&full, SYS_ioctl, {0, 0x8a00}, "ALLOW"},
    {&full, SYS_ioctl, {0, TIOCSTI}, "EPERM"},
    {&full, SYS_ioctl, {0, HIGH | TIOCSTI}, "EPERM"},
    {&full, SYS_ioctl, {0, HIGH << 20 | TIOCLINUX}, "EPERM"},
    {&full, SYS_prctl, {PR_SET_DUMPABLE, 0}, "DONE"},
    {&full, SYS_prctl, {HIGH | PR_SET_DUMPABLE, 0}, "DONE"},
    {&full, SYS_prctl, {PR_SET_DUMPABLE, 1}, "ALLOW"},
    {&full, SYS_prctl, {PR_GET_DUMPABLE, 0}, "ALLOW"},
    {&full, SYS_clone, {CLONE_VM | CLONE_VFORK}, "ALLOW"},
    {&full, SYS_clone, {CLONE_NEWUSER}, "EPERM"},
    {&full, SYS_clone, {CLONE_NEWNET | CLONE_VM}, "EPERM"},
    {&full, SYS_clone, {CLONE_NEWPID}, "EPERM"},
    {&full, SYS_clone, {CLONE_NEWNS}, "EPERM"},
    {&full, SYS_unshare, {CLONE_FILES | CLONE_FS}, "ALLOW"},
    {&full, SYS_unshare, {CLONE_NEWUSER}, "EPERM"},
    {&full, SYS_unshare, {HIGH | CLONE_NEWNET}, "EPERM"},
    {&full, SYS_unshare, {CLONE_NEWTIME}, "EPERM"},
    {&full, SYS_personality, {0xffffffff}, "ALLOW"},
    {&full, SYS_personality, {8}, "ENOSYS"},
    {&full, SYS_personality, {0x40000}, "ENOSYS"},
    {&full, SYS_ptrace, {16, 77}, "ALLOW"},
    {&bare, SYS_ptrace, {16, 77}, "EPERM"},
    {&bare, SYS_process_vm_readv, {77}, "EPERM"},
    {&full, SYS_kill, {SUPERVISOR, 9}, "ALLOW"}, /* Landlock's answer is EPERM */
    {&bare, SYS_kill, {SUPERVISOR, 9}, "EPERM"},
    {&bare, SYS_kill, {HIGH | SUPERVISOR, 9}, "EPERM"},
    {&bare, SYS_kill, {GUARDIAN, 9}, "EPERM"},
    {&bare, SYS_kill, {(uint64_t)-SUPERVISOR, 9}, "EPERM"},
    {&bare, SYS_kill, {(uint32_t)-SUPERVISOR, 9}, "EPERM"},
    {&bare, SYS_kill, {(uint64_t)-1, 9}, "EPERM"},
    {&bare, SYS_kill, {SUPERVISOR - 1, 9}, "ALLOW"},
    {&bare, SYS_kill, {0, 15}, "ALLOW"},
    {&bare, SYS_tgkill, {GUARDIAN, GUARDIAN, 9}, "EPERM"},
    {&bare, SYS_tkill, {SUPERVISOR, 9}, "EPERM"},
    {&bare, SYS_rt_sigqueueinfo, {SUPERVISOR, 9}, "EPERM"},
    {&full, SYS_pidfd_send_signal, {3, 9}, "ALLOW"},        /* as kill */
    {&full, SYS_fcntl, {3, F_SETOWN, SUPERVISOR}, "ALLOW"}, /* as kill */
    {&bare, SYS_fcntl, {3, F_SETOWN, SUPERVISOR}, "EPERM"},
    {&bare, SYS_fcntl, {3, HIGH | F_SETOWN, HIGH | GUARDIAN}, "EPERM"},
    {&bare, SYS_fcntl, {3, F_SETOWN, (uint64_t)-SUPERVISOR}, "EPERM"},
    {&bare, SYS_fcntl, {3, F_SETOWN, SUPERVISOR - 1}, "ALLOW"},
    {&bare, SYS_fcntl, {3, F_SETFL, SUPERVISOR}, "ALLOW"},
    {&bare, SYS_fcntl, {3, 15, 1}, "EINVAL"}, /* F_SETOWN_EX */
    {&full, SYS_fcntl, {3, 15, 1}, "ALLOW"},
    {&bare, SYS_pidfd_send_signal, {3, 9}, "NOTIFY"},
    {&full, SYS_pidfd_open, {SUPERVISOR}, "EPERM"},
    {&full, SYS_pidfd_open, {77}, "ALLOW"},
    {&full, SYS_prlimit64, {SUPERVISOR}, "EPERM"},
    {&full, SYS_prlimit64, {0}, "ALLOW"},
    {&full, SYS_sched_setaffinity, {GUARDIAN}, "EPERM"},
    {&full, SYS_setpriority, {PRIO_PROCESS, SUPERVISOR}, "EPERM"},
    {&full, SYS_setpriority, {PRIO_PROCESS, 0}, "ALLOW"},
    {&full, SYS_truncate, {1, 0}, "ALLOW"},
    {&full, SYS_openat, {AT, 1, O_RDONLY | O_TRUNC}, "ALLOW"},
    {&full, SYS_openat2, {AT, 1, 1, 24}, "ALLOW"},
    {&old_landlock, SYS_truncate, {1, 0}, "EACCES"},
    {&old_landlock, SYS_ftruncate, {3, 0}, "ALLOW"},
    {&old_landlock, SYS_openat2, {AT, 1, 1, 24}, "ENOSYS"},
    {&old_landlock, SYS_openat, {AT, 1, O_RDONLY}, "ALLOW"},
    {&old_landlock, SYS_openat, {AT, 1, O_RDONLY | O_TRUNC}, "EACCES"},
    {&old_landlock, SYS_openat, {AT, 1, O_RDONLY | O_TRUNC | O_CREAT | O_CLOEXEC}, "EACCES"},
    {&old_landlock, SYS_openat, {AT, 1, O_ACCMODE | O_TRUNC}, "EACCES"},
    {&old_landlock, SYS_openat, {AT, 1, HIGH | O_TRUNC}, "EACCES"},
    {&old_landlock, SYS_openat, {AT, 1, O_ACCMODE}, "ALLOW"},
    {&old_landlock, SYS_openat, {AT, 1, O_WRONLY | O_TRUNC}, "ALLOW"},
    {&old_landlock, SYS_openat, {AT, 1, O_RDWR | O_TRUNC}, "ALLOW"},
};

/** A2, B9, C4, C10: the register values that decide, and their neighbours. */
START_TEST(arguments_decide_as_they_should)
{
    struct seccomp_data data = {.nr = arg_cases[_i].nr, .arch = NATIVE_ARCH};
    const char *got;

    export_both(arg_cases[_i].config);
    for (unsigned i = 0; i < 6; i++)
        data.args[i] = arg_cases[_i].args[i];
    got = outcome_name(outcome(&data));
    ck_assert_msg(strcmp(got, arg_cases[_i].verdict) == 0,
                  "call %d (%#llx, %#llx, %#llx): %s, not %s", data.nr,
                  (unsigned long long)data.args[0], (unsigned long long)data.args[1],
                  (unsigned long long)data.args[2], got, arg_cases[_i].verdict);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(b8_every_number_as_the_golden_table),
    SUITE_TEST(b8_refused_numbers_really_are),
    SUITE_TEST(b2_b3_foreign_calls_do_not_exist),
    SUITE_ROWS(arguments_decide_as_they_should, ARRAY_COUNT(arg_cases)),
};

SUITE_MAIN("sandbox/filter", tests)
#else
int main(void)
{
    suite_skip("the golden table is of x86-64");
}
#endif
