/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the filter of arguments from tables with libseccomp, and loads both. It decides on system
 * call numbers and register values only, and refuses foreign architectures (and x32) with ENOSYS.
 *
 * Comparisons are on 64 bits where anything unexpected then goes to the supervisor (a domain of
 * 1<<32|AF_UNIX is not AF_UNIX), and on the low 32 bits where the kernel itself drops the upper
 * half and a refusal must not be walked around.
 */
#include "sandbox/filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "sandbox/filter_list.h"

/* Not in the headers of Debian 12 or not with the name that we want. */
#define LOW32              UINT64_C(0xffffffff)
#define SOCKET_IOCTLS      UINT64_C(0x8900) /* SIOC…: linux/sockios.h */
#define SOCKET_IOCTLS_MASK UINT64_C(0xffffff00)

static const int traps[] = {
#define TRAP(name, number) number,
#include "sandbox/traps.def"
#undef TRAP
};

/** One condition under which a call of an allowed number is not simply let through. */
struct arg_row {
    int number;
    uint32_t action;
    unsigned count; /* conditions that must all hold */
    struct scmp_arg_cmp when[2];
};

#define NOTIFY    SCMP_ACT_NOTIFY
#define REFUSE(e) SCMP_ACT_ERRNO(e)
#define SAY_DONE  SCMP_ACT_ERRNO(0) /* returns 0 and does nothing */
#define A(...)                                                                                     \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define NE(i, v)         A(.arg = (i), .op = SCMP_CMP_NE, .datum_a = (v))
#define EQ(i, v)         A(.arg = (i), .op = SCMP_CMP_EQ, .datum_a = (v))
#define LT(i, v)         A(.arg = (i), .op = SCMP_CMP_LT, .datum_a = (v))
#define GT(i, v)         A(.arg = (i), .op = SCMP_CMP_GT, .datum_a = (v))
#define LOW(i, v)        BITS(i, LOW32, (uint32_t)(v))
#define BITS(i, mask, v) A(.arg = (i), .op = SCMP_CMP_MASKED_EQ, .datum_a = (mask), .datum_b = (v))

#define ROW1(nr, act, a)                                                                           \
    {                                                                                              \
        .number = (nr), .action = (act), .count = 1, .when = { a }                                 \
    }
#define ROW2(nr, act, a, b)                                                                        \
    {                                                                                              \
        .number = (nr), .action = (act), .count = 2, .when = { a, b }                              \
    }

/* SO_OOBINLINE (10), SO_RCVTIMEO (20) and SO_SNDTIMEO (21) take effect on the AF_UNIX socket that
 * stands for the virtual one, so they stay native. One argument cannot be compared twice in a rule:
 * the rest is said as ranges and single values. */
#define SOCKET_OPTIONS_BUT_NATIVE(nr)                                                              \
    ROW1(nr, NOTIFY, NE(1, SOL_SOCKET)), ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), LT(2, 10)),           \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 11)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 12)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 13)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 14)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 15)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 16)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 17)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 18)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), EQ(2, 19)),                                            \
        ROW2(nr, NOTIFY, EQ(1, SOL_SOCKET), GT(2, 21))
static_assert(SO_OOBINLINE == 10 && SO_RCVTIMEO == 20 && SO_SNDTIMEO == 21,
              "the ranges above are made of these numbers");

#define REFUSE_NAMESPACE(nr, flag) ROW1(nr, REFUSE(EPERM), BITS(0, (flag), (flag)))

static const struct arg_row arg_rows[] = {
    /* Rule 1 of the house: no socket but AF_UNIX ever comes from the kernel. */
    ROW1(SYS_socket, NOTIFY, NE(0, AF_UNIX)),
    ROW1(SYS_socketpair, REFUSE(EAFNOSUPPORT), NE(0, AF_UNIX)),
    ROW1(SYS_sendto, NOTIFY, NE(4, 0)),
    ROW1(SYS_recvfrom, NOTIFY, NE(4, 0)),
    SOCKET_OPTIONS_BUT_NATIVE(SYS_setsockopt),
    SOCKET_OPTIONS_BUT_NATIVE(SYS_getsockopt),
    ROW1(SYS_ioctl, NOTIFY, BITS(1, SOCKET_IOCTLS_MASK, SOCKET_IOCTLS)),
    ROW1(SYS_ioctl, NOTIFY, LOW(1, FIONREAD)), /* of an AF_UNIX queue it is the sum */
    /* A program has begun: recorded, and always continued. */
    ROW1(FILTER_BEGIN_CALL, NOTIFY, BITS(0, FILTER_BEGIN_MASK, FILTER_BEGIN_ARG)),
    /* Bytes pushed into the terminal's input would be read by the shell outside. */
    ROW1(SYS_ioctl, REFUSE(EPERM), LOW(1, TIOCSTI)),
    ROW1(SYS_ioctl, REFUSE(EPERM), LOW(1, TIOCLINUX)),
    /* A process that is not dumpable cannot be served, so it stays so and believes otherwise. */
    ROW2(SYS_prctl, SAY_DONE, LOW(0, PR_SET_DUMPABLE), LOW(1, 0)),
    /* New namespaces, as Docker refuses them; clone3 hides its flags in memory and does not exist.
     */
    REFUSE_NAMESPACE(SYS_clone, CLONE_NEWNS),
    REFUSE_NAMESPACE(SYS_clone, CLONE_NEWCGROUP),
    REFUSE_NAMESPACE(SYS_clone, CLONE_NEWUTS),
    REFUSE_NAMESPACE(SYS_clone, CLONE_NEWIPC),
    REFUSE_NAMESPACE(SYS_clone, CLONE_NEWUSER),
    REFUSE_NAMESPACE(SYS_clone, CLONE_NEWPID),
    REFUSE_NAMESPACE(SYS_clone, CLONE_NEWNET),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWTIME),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWNS),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWCGROUP),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWUTS),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWIPC),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWUSER),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWPID),
    REFUSE_NAMESPACE(SYS_unshare, CLONE_NEWNET),
};

/** Calls whose first register names a process, or a group of them. */
struct pid_row {
    int number;
    unsigned arg;
    bool is_signal; /* refused only where the kernel has no signal scope */
};

static const struct pid_row pid_rows[] = {
    {.number = SYS_kill, .is_signal = true},
    {.number = SYS_tkill, .is_signal = true},
    {.number = SYS_tgkill, .is_signal = true},
    {.number = SYS_rt_sigqueueinfo, .is_signal = true},
    {.number = SYS_rt_tgsigqueueinfo, .is_signal = true},
    {.number = SYS_prlimit64},
    {.number = SYS_sched_setscheduler},
    {.number = SYS_sched_setparam},
    {.number = SYS_sched_setattr},
    {.number = SYS_sched_setaffinity},
    {.number = SYS_setpriority, .arg = 1},
    {.number = SYS_ioprio_set, .arg = 1},
    {.number = SYS_pidfd_open},
};

static int add(scmp_filter_ctx ctx, uint32_t action, int number, unsigned count,
               const struct scmp_arg_cmp *when)
{
    return seccomp_rule_add_array(ctx, action, number, count, when);
}

static bool has_conditions(int number)
{
    for (unsigned i = 0; i < ARRAY_COUNT(arg_rows); i++)
        if (arg_rows[i].number == number && arg_rows[i].action == NOTIFY)
            return true;
    return false;
}

/** The owner of a descriptor is signalled when it becomes ready (SIGIO, or what F_SETSIG says). The
 * same by ioctl is judged by the supervisor, and F_SETOWN_EX keeps its number in memory. */
static int guard_owners(const struct filter_config *config, scmp_filter_ctx ctx)
{
    struct scmp_arg_cmp when[] = {LOW(1, F_SETOWN_EX), LOW(2, 0)};
    int err = add(ctx, REFUSE(EINVAL), SYS_fcntl, 1, when);

    when[0].datum_b = F_SETOWN;
    for (unsigned k = 0; k < 2 * config->guarded_count && err == 0; k++) {
        int pid = config->guarded_pids[k / 2];

        when[1].datum_b = (uint32_t)(k % 2 == 0 ? pid : -pid); /* its process group */
        err = add(ctx, REFUSE(EPERM), SYS_fcntl, 2, when);
    }
    return err;
}

/** The processes of ours that the agent's registers may not name. */
static int build_guards(const struct filter_config *config, scmp_filter_ctx ctx)
{
    for (unsigned i = 0; i < ARRAY_COUNT(pid_rows); i++) {
        const struct pid_row *row = &pid_rows[i];
        struct scmp_arg_cmp when = LOW(row->arg, -1);
        int err = 0;

        if (row->is_signal && config->has_signal_scope)
            continue;
        if (row->number == SYS_kill)
            err = add(ctx, REFUSE(EPERM), row->number, 1, &when);
        for (unsigned k = 0; k < config->guarded_count && err == 0; k++) {
            when.datum_b = (uint32_t)config->guarded_pids[k];
            err = add(ctx, REFUSE(EPERM), row->number, 1, &when);
            when.datum_b = (uint32_t)-config->guarded_pids[k]; /* its process group */
            if (err == 0 && row->number == SYS_kill)
                err = add(ctx, REFUSE(EPERM), row->number, 1, &when);
        }
        if (err < 0)
            return err;
    }
    return config->has_signal_scope ? 0 : guard_owners(config, ctx);
}

/** With O_TRUNC a file is emptied although it is opened for reading only, or (3) for neither. */
static int keep_contents(scmp_filter_ctx ctx)
{
    static const struct {
        int number; /* negative: not on this machine */
        unsigned flags_arg;
    } opens[] = {{SYS_openat, 2}, {FILTER_OPEN, 1}};
    static const unsigned modes[] = {O_RDONLY, O_ACCMODE};
    int err = add(ctx, REFUSE(EACCES), SYS_truncate, 0, NULL);

    if (err == 0)
        err = add(ctx, REFUSE(ENOSYS), SYS_openat2, 0, NULL);
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(opens) && err == 0; i++) {
        struct scmp_arg_cmp when =
            BITS(opens[i / 2].flags_arg, O_TRUNC | O_ACCMODE, O_TRUNC | modes[i % 2]);

        if (opens[i / 2].number >= 0)
            err = add(ctx, REFUSE(EACCES), opens[i / 2].number, 1, &when);
    }
    return err;
}

static int build_arguments(const struct filter_config *config, scmp_filter_ctx ctx)
{
    int err = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(traps) && err == 0; i++)
        if (!has_conditions(traps[i]))
            err = add(ctx, NOTIFY, traps[i], 0, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(arg_rows) && err == 0; i++)
        err = add(ctx, arg_rows[i].action, arg_rows[i].number, arg_rows[i].count, arg_rows[i].when);
    if (err == 0 && config->traps_births) {
        struct scmp_arg_cmp when = EQ(0, AF_UNIX);

        err = add(ctx, NOTIFY, SYS_socket, 1, &when);
        if (err == 0)
            err = add(ctx, NOTIFY, SYS_epoll_create1, 0, NULL);
        if (err == 0 && FILTER_EPOLL_CREATE >= 0)
            err = add(ctx, NOTIFY, FILTER_EPOLL_CREATE, 0, NULL);
    }
    if (err == 0 && !config->has_signal_scope)
        err = add(ctx, NOTIFY, SYS_pidfd_send_signal, 0, NULL);
    if (err == 0 && config->keeps_contents)
        err = keep_contents(ctx);
    return err == 0 ? build_guards(config, ctx) : err;
}

/** Gives the filter of arguments, to be released with seccomp_release(). */
static int build(const struct filter_config *config, scmp_filter_ctx *ret)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int err;

    must(config->guarded_count <= FILTER_GUARDED_MAX);
    if (ctx == NULL)
        return -ENOMEM;
    err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, REFUSE(ENOSYS));
    if (err == 0)
        err = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
    if (err == 0)
        err =
            seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* search by number, not in turn */
    if (err == 0)
        err = build_arguments(config, ctx);
    if (err < 0) {
        seccomp_release(ctx);
        return err;
    }
    *ret = ctx;
    return 0;
}

static int load_failed(int err, struct why *why)
{
    if (err == -EBUSY)
        return why_set(why, err,
                       "a supervisor already listens to this process's system calls (a sandbox "
                       "inside a sandbox, or a container runtime that uses seccomp notification); "
                       "the kernel allows one listener: start lattice outside of it");
    if (err == -ENOSYS || err == -EOPNOTSUPP || err == -EINVAL)
        return why_set(why, err,
                       "this kernel cannot notify a supervisor of system calls (%s); Linux 5.14 or "
                       "newer with CONFIG_SECCOMP_FILTER is needed",
                       strerror(-err));
    return why_set(why, err, "cannot load the system call filter: %s", strerror(-err));
}

static int load_list(const struct filter_config *config)
{
    struct filter_program program;
    struct sock_fprog raw = {.filter = program.code};
    int err = filter_list_build(config, &program);

    if (err < 0)
        return err;
    raw.len = (unsigned short)program.len;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw) < 0)
        return -errno;
    return 0;
}

static int load_arguments(const struct filter_config *config, int *ret_listener_fd)
{
    scmp_filter_ctx ctx;
    int err = build(config, &ctx);

    if (err < 0)
        return err;
    errno = 0;
    err = seccomp_load(ctx);
    if (err == -EFAULT && errno != 0)
        err = -errno; /* libseccomp's word for every errno that it has not foreseen, as EBUSY */
    if (err == 0)
        *ret_listener_fd = seccomp_notify_fd(ctx);
    seccomp_release(ctx);
    return err;
}

int filter_install(const struct filter_config *config, int *ret_listener_fd, struct why *why)
{
    int err;

    /* libseccomp remembers a listener of this process or its parent, and would then ask for no new
     * one and hand out the old number. */
    (void)seccomp_reset(NULL, 0);
    err = load_list(config);
    if (err == 0)
        err = load_arguments(config, ret_listener_fd);
    return err < 0 ? load_failed(err, why) : 0;
}

static int export_list(const struct filter_config *config, int fd)
{
    struct filter_program program;
    int err = filter_list_build(config, &program);

    return err < 0 ? err : io_write_all(fd, program.code, program.len * sizeof(program.code[0]));
}

int filter_export(const struct filter_config *config, enum filter_part part, int fd)
{
    scmp_filter_ctx ctx;
    int err;

    if (part == FILTER_LIST)
        return export_list(config, fd);
    err = build(config, &ctx);
    if (err < 0)
        return err;
    err = seccomp_export_bpf(ctx, fd);
    seccomp_release(ctx);
    return err;
}
