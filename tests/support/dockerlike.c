/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerlike [--harsh|--no-landlock|--only-landlock] -- CMD ARGS…: run a command as if in `docker
 * run` with default settings, as far as the system call filter is concerned: what Docker's default
 * profile refuses to a container without capabilities is refused here, with the same errno, by a
 * filter without a listener.
 * --harsh refuses ptrace and process_vm_* as well, as older profiles and restricted Pods do.
 *
 * --no-landlock refuses Landlock as well, as kernels and profiles without it do; --only-landlock
 * nothing else.
 *
 * Otherwise it refuses nothing that Docker allows, so a test that fails under it would fail in
 * Docker.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

static const char *const refused[] = {
    "acct",
    "add_key",
    "bpf",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "migrate_pages",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_mrelease",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
};

static const char *const refused_harsh[] = {"ptrace", "process_vm_readv", "process_vm_writev"};
static const char *const refused_landlock[] = {"landlock_create_ruleset"};

/* clone(2) with any of these needs CAP_SYS_ADMIN in Docker's profile. */
static const unsigned long namespace_flags[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                                CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                                CLONE_NEWNET};

static const unsigned long families[] = {AF_ALG, AF_VSOCK};

static int refuse_names(scmp_filter_ctx ctx, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        int err = number < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), number, 0);

        if (err < 0)
            return err;
    }
    return 0;
}

static int refuse_values(scmp_filter_ctx ctx)
{
    int err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    for (unsigned i = 0; i < ARRAY_COUNT(namespace_flags) && err == 0; i++)
        err = seccomp_rule_add(
            ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
            SCMP_A0_64(SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]));
    for (unsigned i = 0; i < ARRAY_COUNT(families) && err == 0; i++)
        err = seccomp_rule_add(
            ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
            (struct scmp_arg_cmp){.arg = 0, .op = SCMP_CMP_EQ, .datum_a = families[i]});
    return err;
}

enum box {
    BOX_DOCKER,
    BOX_HARSH,
    BOX_NO_LANDLOCK,
    BOX_ONLY_LANDLOCK,
};

static int confine(enum box box)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int err = ctx == NULL ? -ENOMEM : 0;

    if (err == 0 && box != BOX_ONLY_LANDLOCK)
        err = refuse_names(ctx, refused, ARRAY_COUNT(refused));
    if (err == 0) /* Docker's profile covers 32-bit calls, too; here they pass */
        err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
    if (err == 0 && box == BOX_HARSH)
        err = refuse_names(ctx, refused_harsh, ARRAY_COUNT(refused_harsh));
    if (err == 0 && (box == BOX_NO_LANDLOCK || box == BOX_ONLY_LANDLOCK))
        err = refuse_names(ctx, refused_landlock, ARRAY_COUNT(refused_landlock));
    if (err == 0 && box != BOX_ONLY_LANDLOCK)
        err = refuse_values(ctx);
    if (err == 0)
        err = seccomp_load(ctx);
    seccomp_release(ctx);
    return err;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {[BOX_HARSH] = "--harsh",
                                        [BOX_NO_LANDLOCK] = "--no-landlock",
                                        [BOX_ONLY_LANDLOCK] = "--only-landlock"};
    enum box box = BOX_DOCKER;
    int at = 1, err;

    for (unsigned i = BOX_HARSH; i < ARRAY_COUNT(names); i++)
        if (argc > 1 && strcmp(argv[1], names[i]) == 0)
            box = (enum box)i;
    at += box != BOX_DOCKER ? 1 : 0;
    if (at + 1 >= argc || strcmp(argv[at], "--") != 0) {
        (void)fprintf(
            stderr,
            "usage: dockerlike [--harsh|--no-landlock|--only-landlock] -- COMMAND [ARGUMENT...]\n");
        return 125;
    }
    err = confine(box);
    if (err < 0) {
        (void)fprintf(stderr, "dockerlike: cannot load the filter: %s\n", strerror(-err));
        return 125;
    }
    (void)execvp(argv[at + 1], argv + at + 1);
    (void)fprintf(stderr, "dockerlike: %s: %s\n", argv[at + 1], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}
