/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probes against an outer filter that refuses one thing at a time: exactly that thing must be
 * found missing, compared with what the same kernel offers without the filter. And the report made
 * of them.
 */
#include "sandbox/probe.h"
#include "sandbox/sandbox.h" /* before seccomp.h, whose AUDIT_EXIT is another */

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/filter.h"
#include "sandbox/spawn.h"
#include "tests/support/suite.h"

static struct probe probe_now(void)
{
    struct probe p;
    struct why why = {0};
    unsigned fds = suite_open_fds();

    ck_assert_msg(probe_kernel(&p, &why) == 0, "%s", why.text);
    ck_assert_uint_eq(suite_open_fds(), fds);
    return p;
}

static int doctor_to(FILE *file, bool json, char *ret, size_t cap)
{
    int old = dup(STDOUT_FILENO), status;
    size_t got;

    (void)fflush(stdout);
    ck_assert_int_eq(dup2(fileno(file), STDOUT_FILENO), STDOUT_FILENO);
    status = sandbox_doctor(json, /*colour=*/false);
    (void)fflush(stdout);
    ck_assert_int_eq(dup2(old, STDOUT_FILENO), STDOUT_FILENO);
    rewind(file);
    got = fread(ret, 1, cap - 1, file);
    ret[got] = '\0';
    return status;
}

static void refuse(const char *const *names)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

    for (; *names != NULL; names++)
        ck_assert_int_eq(
            seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name(*names), 0),
            0);
    ck_assert_int_eq(seccomp_load(ctx), 0);
    seccomp_release(ctx);
}

#define FLAG(p, offset) (*(const bool *)((const char *)(p) + (offset)))

static const struct {
    const char *refused[4];
    size_t flag; /* of struct probe: must become false */
} rows[] = {
    {{"pidfd_getfd"}, offsetof(struct probe, has_pidfd_getfd)},
    {{"process_vm_readv"}, offsetof(struct probe, has_process_vm)},
    {{"process_vm_writev"}, offsetof(struct probe, has_process_vm)},
    {{"unshare"}, offsetof(struct probe, has_user_namespace)},
    {{"io_uring_setup"}, offsetof(struct probe, has_io_uring)},
};

/** What is refused is missing, and nothing else changes. */
START_TEST(probe_finds_what_is_refused)
{
    struct probe before = probe_now(), after;

    if (!FLAG(&before, rows[_i].flag))
        return; /* this place has it not to begin with */
    refuse(rows[_i].refused);
    after = probe_now();
    ck_assert(!FLAG(&after, rows[_i].flag));
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].flag != rows[_i].flag)
            ck_assert_int_eq(FLAG(&after, rows[i].flag), FLAG(&before, rows[i].flag));
    ck_assert(after.has_listener && after.has_addfd_send);
}
END_TEST

/** Where the kernel does not say which socket is behind a path, the report says what to do. */
START_TEST(probe_without_unix_diag)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    static char text[16384];
    struct probe before = probe_now(), after;

    if (!before.has_unix_diag)
        return; /* this place has it not to begin with */
    ck_assert_int_eq(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                      SCMP_A0(SCMP_CMP_EQ, AF_NETLINK)),
                     0);
    ck_assert_int_eq(seccomp_load(ctx), 0);
    seccomp_release(ctx);
    after = probe_now();
    ck_assert(!after.has_unix_diag && after.has_listener);
    ck_assert_int_eq(doctor_to(tmpfile(), /*json=*/false, text, sizeof(text)), 0);
    ck_assert_msg(strstr(text, "modprobe unix_diag") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "weaker than they could be") != NULL, "%s", text);
}
END_TEST

/** A kernel without Landlock is one with fewer walls, not a failure. */
START_TEST(probe_without_landlock)
{
    static const char *const names[] = {"landlock_create_ruleset", NULL};
    struct probe p;

    refuse(names);
    p = probe_now();
    ck_assert_int_eq(p.landlock_abi, 0);
    ck_assert_uint_eq(p.walls & ~(unsigned)SPAWN_WALL_YAMA, 0);
    ck_assert(p.has_listener);
}
END_TEST

/** A11: under another listener there is none for us, and the reason says so. */
START_TEST(a11_second_listener_is_explained)
{
    struct filter_config config = {0};
    struct why why = {0};
    struct probe p = probe_now();
    int listener = -1;

    ck_assert(p.has_listener && !p.is_nested);
    ck_assert_int_eq(filter_install(&config, &listener, &why), 0);
    ck_assert_int_ge(dup(listener), 0); /* libseccomp closes its own when it is used again */
    ck_assert_int_eq(probe_kernel(&p, &why), 0);
    ck_assert(!p.has_listener && p.is_nested);
    ck_assert_ptr_nonnull(strstr(p.why.text, "a supervisor already listens"));
    _exit(0); /* under this filter, the leak check of a sanitized build cannot run */
}
END_TEST

/** The report says that the sandbox runs here, in both forms, and without escape sequences. */
START_TEST(doctor_reports_a_machine_that_can)
{
    static char text[16384];

    ck_assert_int_eq(doctor_to(tmpfile(), /*json=*/true, text, sizeof(text)), 0);
    ck_assert_ptr_nonnull(strstr(text, "\"canRun\":true"));
    ck_assert_ptr_nonnull(strstr(text, "\"id\":\"user_notification\""));
    ck_assert_int_eq(doctor_to(tmpfile(), /*json=*/false, text, sizeof(text)), 0);
    ck_assert_ptr_nonnull(strstr(text, "The sandbox can run here."));
    ck_assert_ptr_null(strchr(text, '\033'));
}
END_TEST

/** Where it cannot run, the status is 1 and the way out is named. */
START_TEST(doctor_reports_a_machine_that_cannot)
{
    struct filter_config config = {0};
    static char text[16384];
    struct why why = {0};
    FILE *file = tmpfile();
    int listener;

    ck_assert_int_eq(filter_install(&config, &listener, &why), 0);
    ck_assert_int_ge(dup(listener), 0); /* as above */
    ck_assert_int_eq(doctor_to(file, /*json=*/false, text, sizeof(text)), 1);
    ck_assert_ptr_nonnull(strstr(text, "The sandbox cannot run here."));
    ck_assert_msg(strstr(text, "start lattice outside of the other sandbox") != NULL, "%s", text);
    _exit(0); /* under this filter, the leak check of a sanitized build cannot run */
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(probe_finds_what_is_refused, ARRAY_COUNT(rows)),
    SUITE_TEST(probe_without_landlock),
    SUITE_TEST(probe_without_unix_diag),
    SUITE_TEST(a11_second_listener_is_explained),
    SUITE_TEST(doctor_reports_a_machine_that_can),
    SUITE_TEST(doctor_reports_a_machine_that_cannot),
};

SUITE_MAIN("sandbox/probe", tests)
