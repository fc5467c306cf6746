/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A10: supervisors killed by force at random moments, from before the guardian exists to long after
 * the agent has filled the place with daemons that ignore signals. Whoever survives becomes a child
 * of this process (a subreaper), so "no survivor" is: waiting for children comes to an end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/spawn.h"
#include "tests/support/agent_run.h"
#include "tests/support/suite.h"

#define HOSTILE      TEST_HELPER_DIR "/hostile"
#define STORMS       200
#define DELAY_NS_MAX (20 * NS_PER_MS)

static char *const crowd_argv[] = {ARG(HOSTILE), ARG("crowd"), ARG("5"), NULL};

/** A supervisor with a crowd of an agent; says so on @ready_fd when the crowd stands. */
__attribute__((noreturn)) static void supervise(int ready_fd)
{
    struct spawn_config config = {.argv = crowd_argv, .envp = agent_env()};
    struct spawned s;
    struct why why;

    ck_assert_int_eq(dup2(ready_fd, STDOUT_FILENO), STDOUT_FILENO);
    if (spawn_agent(&config, &s, &why) < 0)
        _exit(1);
    spawn_go(&s);
    (void)agent_serve(&s, NULL, &why);
    _exit(0);
}

static pid_t start_supervisor(int *ret_ready)
{
    int line[2];
    pid_t pid;

    ck_assert_int_eq(pipe(line), 0);
    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        (void)close(line[0]);
        supervise(line[1]);
    }
    (void)close(line[1]);
    *ret_ready = line[0];
    return pid;
}

/** Wait for all children, ours and those adopted; returns how many there were. */
static unsigned wait_for_all(void)
{
    unsigned count = 0;

    while (waitpid(-1, NULL, 0) > 0)
        count++;
    ck_assert_int_eq(errno, ECHILD);
    return count;
}

/** The control: what daemonises without a guardian does survive its parent, and is seen here. */
START_TEST(a10_control_daemons_survive_without_a_guardian)
{
    int line[2];
    char byte;
    pid_t pid, orphan;

    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ck_assert_int_eq(pipe(line), 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(line[1], STDOUT_FILENO);
        (void)execv(HOSTILE, crowd_argv);
        _exit(1);
    }
    ck_assert_int_eq(read(line[0], &byte, 1), 1);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    orphan = waitpid(-1, NULL, WNOHANG | __WALL);
    ck_assert_int_ge(orphan, 0); /* there are children, and they live */
    (void)close(line[1]);
    (void)close(line[0]);
    for (pid_t child; (child = waitpid(-1, NULL, WNOHANG)) >= 0;) {
        char command[64];
        struct agent_run run;
        char *argv[] = {ARG("sh"), ARG("-c"), command, NULL};

        if (child > 0)
            continue;
        (void)snprintf(command, sizeof(command), "kill -9 $(pgrep -P %d hostile)", (int)getpid());
        agent_native(argv, &run);
        ck_assert_int_eq(run.status, 0);
    }
}
END_TEST

/** 200 supervisors, each killed within 20 ms of its start. */
START_TEST(a10_no_survivor_of_a_killed_supervisor)
{
    unsigned stood = 0;

    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (unsigned i = 0; i < STORMS; i++) {
        unsigned seed = i; /* the same moments in every run, as far as the clock goes */
        struct timespec delay = {.tv_nsec = (long)(rand_r(&seed) % DELAY_NS_MAX)};
        struct pollfd never = {.fd = -1};
        char byte;
        int ready;
        pid_t pid = start_supervisor(&ready);

        if (i % 10 == 0) /* now and then when all of it stands for certain */
            stood += read(ready, &byte, 1) == 1 ? 1 : 0;
        (void)ppoll(&never, 1, &delay, NULL);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_uint_ge(wait_for_all(), 1);
        if (i % 10 != 0)
            stood += read(ready, &byte, 1) == 1 ? 1 : 0; /* and the crowd holds the pipe no more */
        (void)close(ready);
    }
    printf("kill storm: %d supervisors killed, %u with the crowd already standing\n", STORMS,
           stood);
    ck_assert_uint_ge(stood, STORMS / 10);
}
END_TEST

/** The guardian killed together with its supervisor: the agent's first process still dies (its
 * parent is gone), and nothing of the network is left for the rest. */
START_TEST(a10_guardian_first_then_all)
{
    struct spawn_config config = {.argv = crowd_argv, .envp = agent_env()};
    struct spawned s;
    struct why why;

    ck_assert_int_eq(spawn_agent(&config, &s, &why), 0);
    spawn_go(&s);
    ck_assert_int_eq(kill(s.guardian_pid, SIGKILL), 0);
    ck_assert_int_eq(agent_serve(&s, NULL, &why), 125);
    ck_assert_uint_eq(wait_for_all(), 0);
    spawn_done(&s);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(a10_control_daemons_survive_without_a_guardian),
    SUITE_SLOW(a10_no_survivor_of_a_killed_supervisor, 100),
    SUITE_TEST(a10_guardian_first_then_all),
};

SUITE_MAIN("sandbox/kill_storm", tests)
