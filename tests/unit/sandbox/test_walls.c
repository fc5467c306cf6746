/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks on the walls, by tests/support/hostile.c. Each is first made outside, where it must
 * succeed (or the test proves nothing), then inside, where it must not. Test names carry the
 * threat's number.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/spawn.h"
#include "sandbox/walls.h"
#include "tests/support/agent_run.h"
#include "tests/support/suite.h"

#define HOSTILE TEST_HELPER_DIR "/hostile"

/* Of the test that runs in this process. */
static struct agent_run inside, outside;

/** Leave this test: what it would prove cannot be shown here. */
__attribute__((noreturn)) static void skip(const char *reason)
{
    printf("SKIP: %s\n", reason);
    (void)fflush(stdout);
    _exit(0);
}

/** Both runs of one attack. */
static void attack(const char *name, const char *one, const char *two)
{
    char *argv[] = {ARG(HOSTILE), ARG(name), ARG(one), ARG(two), NULL};

    agent_native(argv, &outside);
    ck_assert_msg(outside.status == 0, "outside: %d %s", outside.status, outside.out);
    agent_run(argv, &inside);
    ck_assert_msg(inside.status == 0, "inside: %d %s", inside.status, inside.out);
}

/** What a run printed behind `route: `; "" when there is no such line. */
static const char *result_of(const struct agent_run *run, const char *route, char ret[static 32])
{
    size_t len = strlen(route);

    ret[0] = '\0';
    for (const char *line = run->out; line != NULL && *line != '\0';
         line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, route, len) == 0 && line[len] == ':')
            (void)sscanf(line + len + 1, "%31s", ret);
    return ret;
}

static bool is_ok(const struct agent_run *run, const char *route)
{
    char result[32];

    return strcmp(result_of(run, route, result), "ok") == 0;
}

static const char *const routes[] = {"mem-read", "mem-write",    "vm-read", "vm-write", "ptrace",
                                     "getfd",    "environ",      "fd",      "root",     "kill",
                                     "tgkill",   "pidfd-signal", "prlimit", "affinity", "schedule",
                                     "inspect",  "signals",      "sigkill"};

/* What the victim of an attack holds. */
static char secret[8] = "secret!";

static void attack_on(pid_t pid, struct agent_run *ret, bool is_inside)
{
    char number[16], address[24];
    char *argv[] = {ARG(HOSTILE), ARG("process"), number, address, NULL};

    (void)snprintf(number, sizeof(number), "%d", (int)pid);
    (void)snprintf(address, sizeof(address), "%llx", (unsigned long long)(uintptr_t)secret);
    if (is_inside)
        agent_run(argv, ret);
    else
        agent_native(argv, ret);
    ck_assert_msg(ret->status == 0, "%d %s", ret->status, ret->out);
}

/** A process of ours without walls, with the same memory. */
static pid_t start_victim(void)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        (void)pause();
}

static void end_victim(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/** The control: routes work on a process without walls, so each refusal below is ours. An outer
 * filter may bar one (Docker: pidfd_getfd), but not the memory. */
static void check_outside(pid_t victim)
{
    attack_on(victim, &outside, /*is_inside=*/false);
    if (!is_ok(&outside, "mem-write") || !is_ok(&outside, "sigkill"))
        skip("this place refuses access to other processes even outside");
}

/** C4: no route leads from the agent to its supervisor. */
START_TEST(c4_supervisor_is_out_of_reach)
{
    pid_t victim = start_victim();

    check_outside(victim);
    end_victim(victim);
    attack_on(getpid(), &inside, /*is_inside=*/true);
    for (unsigned i = 0; i < ARRAY_COUNT(routes); i++) {
        char result[32];

        if ((inside.walls & SPAWN_WALL_SCOPE_SIGNAL) == 0 && strcmp(routes[i], "prlimit") == 0)
            continue;
        ck_assert_str_ne(result_of(&inside, routes[i], result), "");
        ck_assert_msg(strcmp(result, "ok") != 0, "%s worked", routes[i]);
    }
    ck_assert_str_eq(secret, "secret!");
}
END_TEST

/** C4: nor to another program of the same user, where the kernel has Landlock. Limits and affinity
 * are out of Landlock's scope, and harm no secret. */
START_TEST(c4_other_programs_are_out_of_reach)
{
    static const char *const barred[] = {"mem-read", "mem-write", "vm-read", "vm-write", "ptrace",
                                         "getfd",    "environ",   "fd",      "root",     "inspect"};
    static const char *const signals[] = {"kill", "tgkill", "pidfd-signal", "signals", "sigkill"};
    pid_t victim = start_victim();

    check_outside(victim);
    end_victim(victim); /* its last route ended it */
    victim = start_victim();
    attack_on(victim, &inside, /*is_inside=*/true);
    end_victim(victim);
    if ((inside.walls & SPAWN_WALL_LANDLOCK) == 0)
        skip("this kernel has no Landlock (ABI 2)");
    for (unsigned i = 0; i < ARRAY_COUNT(barred); i++)
        ck_assert_msg(!is_ok(&inside, barred[i]), "%s worked", barred[i]);
    for (unsigned i = 0; i < ARRAY_COUNT(signals); i++)
        if ((inside.walls & SPAWN_WALL_SCOPE_SIGNAL) != 0)
            ck_assert_msg(!is_ok(&inside, signals[i]), "%s worked", signals[i]);
}
END_TEST

/** The agent may trace and signal its own processes: debuggers work inside. */
START_TEST(own_processes_can_be_traced)
{
    if (access("/usr/bin/strace", X_OK) < 0)
        skip("no strace");
    agent_run_shell("strace -f -e trace=execve true; kill -0 $$ && echo signalled", &inside);
    if ((inside.walls & (SPAWN_WALL_LANDLOCK | SPAWN_WALL_YAMA)) == 0)
        skip("no wall against outsiders here, so ptrace is refused altogether");
    if (strstr(inside.out, "ptrace") != NULL)
        skip("an outer filter refuses ptrace");
    ck_assert_msg(strstr(inside.out, "execve(") != NULL, "%s", inside.out);
    ck_assert_ptr_nonnull(strstr(inside.out, "signalled"));
}
END_TEST

/** A14, B10: fork, clone3, clone with a shared memory, posix_spawn, a program in memory: each one's
 * socket() is answered by the supervisor. clone3 does not exist inside. */
START_TEST(a14_b10_no_way_to_start_escapes)
{
    unsigned outside_ok = 0;

    attack("ways", NULL, NULL);
    for (const char *at = outside.out; (at = strstr(at, "socket: ok")) != NULL; at++)
        outside_ok++;
    ck_assert_msg(outside_ok >= 4, "%s", outside.out);
    ck_assert_ptr_null(strstr(inside.out, "socket: ok"));
    ck_assert_ptr_nonnull(strstr(inside.out, "clone3: ENOSYS"));
    ck_assert_uint_eq(inside.traps, 4);
}
END_TEST

/** B4, B5: sockets of every family and type are the supervisor's to answer; the kernel makes none.
 */
START_TEST(b4_b5_every_family_is_trapped)
{
    attack("families", NULL, NULL);
    ck_assert_ptr_null(strstr(outside.out, "families: 0"));
    ck_assert_ptr_nonnull(strstr(inside.out, "families: 0\n"));
    ck_assert_uint_ge(inside.traps, 61 * 4); /* Docker's filter answers for two families first */
    ck_assert_uint_le(inside.traps, 63 * 4);
}
END_TEST

/** B2: the 32-bit entry to the kernel. */
START_TEST(b2_int80_has_no_sockets)
{
    attack("int80", NULL, NULL);
    if (!is_ok(&outside, "socketcall"))
        skip("this kernel has no 32-bit entry");
    ck_assert(is_ok(&outside, "socket32"));
    ck_assert_ptr_nonnull(strstr(inside.out, "socketcall: ENOSYS"));
    ck_assert_ptr_nonnull(strstr(inside.out, "socket32: ENOSYS"));
}
END_TEST

/** B9: a byte pushed into a terminal's input, with and without high bits in the command. */
START_TEST(b9_terminal_input_cannot_be_forged)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];

    ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    ck_assert_int_eq(ptsname_r(master, name, sizeof(name)), 0);
    attack("terminal", name, NULL);
    ck_assert(is_ok(&inside, "open"));
    ck_assert(!is_ok(&inside, "tiocsti") && !is_ok(&inside, "tiocsti-high"));
    if (!is_ok(&outside, "tiocsti"))
        skip("this kernel has no TIOCSTI for users (dev.tty.legacy_tiocsti=0)");
    ck_assert_ptr_nonnull(strstr(inside.out, "tiocsti: EPERM"));
    ck_assert_ptr_nonnull(strstr(inside.out, "tiocsti-high: EPERM"));
}
END_TEST

/** C10: no namespace of the agent's own. */
START_TEST(c10_no_namespaces_inside)
{
    attack("namespaces", NULL, NULL);
    if (!is_ok(&outside, "unshare-net"))
        skip("this place refuses user namespaces even outside");
    ck_assert_ptr_nonnull(strstr(inside.out, "unshare-net: EPERM"));
    ck_assert_ptr_nonnull(strstr(inside.out, "clone-user: EPERM"));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(c4_supervisor_is_out_of_reach),      SUITE_TEST(c4_other_programs_are_out_of_reach),
    SUITE_TEST(own_processes_can_be_traced),        SUITE_TEST(a14_b10_no_way_to_start_escapes),
    SUITE_TEST(b4_b5_every_family_is_trapped),      SUITE_TEST(b2_int80_has_no_sockets),
    SUITE_TEST(b9_terminal_input_cannot_be_forged), SUITE_TEST(c10_no_namespaces_inside),
};

SUITE_MAIN("sandbox/walls", tests)
