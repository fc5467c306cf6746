/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start and the end of an agent: statuses, messages, descriptors, signals, what is left behind.
 * A small supervisor here answers every trapped call with EACCES.
 */
#include "sandbox/spawn.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/agent_run.h"
#include "tests/support/suite.h"

/* Of the test that runs in this process. */
static struct agent_run last;

static struct agent_run *run_argv(char *const *argv)
{
    agent_run(argv, &last);
    return &last;
}

static struct agent_run *run_shell(const char *script)
{
    agent_run_shell(script, &last);
    return &last;
}

/** The agent's exit status, or 128 plus the signal that ended it, is passed on. */
START_TEST(spawn_exit_status_is_passed_on)
{
    unsigned fds = suite_open_fds();

    ck_assert_int_eq(run_shell("exit 0")->status, 0);
    ck_assert_int_eq(run_shell("exit 7")->status, 7);
    ck_assert_int_eq(run_shell("kill -TERM $$")->status, 128 + SIGTERM);
    ck_assert_int_eq(run_shell("kill -KILL $$")->status, 128 + SIGKILL);
    ck_assert_uint_eq(suite_open_fds(), fds);
}
END_TEST

/** Not found is 127, not executable is 126, each with a reason; nothing else gives a reason. */
START_TEST(spawn_exec_errors_are_told_apart)
{
    char *missing[] = {ARG("no-such-program-here"), NULL};
    char *not_executable[] = {ARG("/etc/passwd"), NULL};
    char *missing_path[] = {ARG("/no/such/program"), NULL};
    struct agent_run *r = run_argv(missing);

    ck_assert_int_eq(r->status, 127);
    ck_assert_ptr_nonnull(strstr(r->why.text, "not found"));
    ck_assert_int_eq(run_argv(missing_path)->status, 127);
    r = run_argv(not_executable);
    ck_assert_int_eq(r->status, 126);
    ck_assert_ptr_nonnull(strstr(r->why.text, "Permission denied"));
    r = run_shell("exit 127");
    ck_assert_int_eq(r->status, 127);
    ck_assert_str_eq(r->why.text, "");
}
END_TEST

/** C1: no descriptor but 0, 1, 2 gets in, not even a connected socket at a high number. */
START_TEST(c1_inherited_descriptors_are_closed)
{
    int pair[2];
    struct agent_run *r;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(dup2(pair[0], 7), 7);
    ck_assert_int_eq(dup2(pair[1], 700), 700);
    r = run_shell("ls /proc/self/fd | tr '\\n' ' '");
    ck_assert_str_eq(r->out, "0 1 2 3 "); /* 3: ls reading the directory */
    (void)close(7);
    (void)close(700);
    (void)close(pair[0]);
    (void)close(pair[1]);
}
END_TEST

/** A network socket as standard input is refused before anything starts. */
START_TEST(c1_network_socket_as_stdio_is_refused)
{
    char *argv[] = {ARG("true"), NULL};
    struct spawn_config config = {.argv = argv, .envp = agent_env()};
    struct spawned s;
    struct why why;
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    int old = dup(0);

    ck_assert_int_eq(dup2(sock, 0), 0);
    ck_assert_int_eq(spawn_agent(&config, &s, &why), -EPERM);
    ck_assert_ptr_nonnull(strstr(why.text, "standard input is a network socket"));
    ck_assert_int_eq(dup2(old, 0), 0);
    (void)close(old);
    (void)close(sock);
}
END_TEST

/** The status file of the agent shows every wall that needs no kernel feature. */
START_TEST(spawn_agent_has_no_privilege)
{
    struct agent_run *r = run_shell("grep -E 'Cap|NoNew|Seccomp:' /proc/self/status");

    ck_assert_ptr_nonnull(strstr(r->out, "CapPrm:\t0000000000000000"));
    ck_assert_ptr_nonnull(strstr(r->out, "CapEff:\t0000000000000000"));
    ck_assert_ptr_nonnull(strstr(r->out, "CapInh:\t0000000000000000"));
    ck_assert_ptr_nonnull(strstr(r->out, "CapAmb:\t0000000000000000"));
    ck_assert_ptr_nonnull(strstr(r->out, "NoNewPrivs:\t1"));
    ck_assert_ptr_nonnull(strstr(r->out, "Seccomp:\t2"));
    if (geteuid() ==
        0) /* CAP_NET_RAW stays a bound: else programs whose file has it do not start */
        ck_assert_ptr_nonnull(strstr(r->out, prctl(PR_CAPBSET_READ, CAP_NET_RAW, 0, 0, 0) == 1
                                                 ? "CapBnd:\t0000000000002000"
                                                 : "CapBnd:\t0000000000000000"));
}
END_TEST

/** What the first process leaves running, daemonised or not, is ended with it. */
START_TEST(spawn_leftovers_are_ended)
{
    struct agent_run *r = run_shell("sleep 1000 & echo $!; setsid sleep 1000 & echo $!;"
                                    "sh -c 'setsid sh -c \"sleep 1000\" & echo $!'");
    char *line = r->out;
    unsigned pids = 0;

    ck_assert_int_eq(r->status, 0);
    for (; *line != '\0'; line = strchr(line, '\n') + 1) {
        pid_t pid = (pid_t)strtol(line, NULL, 10);

        ck_assert_int_gt(pid, 1);
        ck_assert_msg(kill(pid, 0) < 0 && errno == ESRCH, "%d still runs", (int)pid);
        pids++;
    }
    ck_assert_uint_eq(pids, 3);
}
END_TEST

/** The agent's signal mask and dispositions are the caller's, not the supervisor's. */
START_TEST(spawn_signals_are_restored)
{
    char *argv[] = {ARG("sh"), ARG("-c"), ARG("kill -PIPE $$; exit 3"), NULL};
    sigset_t mask, blocked, pipe_only;
    struct spawn_config config = {
        .argv = argv, .envp = agent_env(), .signal_mask = &mask, .default_signals = &pipe_only};
    struct spawned s;
    struct why why;

    (void)sigemptyset(&mask);
    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)sigfillset(&blocked);
    ck_assert_int_eq(sigprocmask(SIG_SETMASK, &blocked, NULL), 0);
    ck_assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(spawn_agent(&config, &s, &why), 0);
    spawn_go(&s);
    ck_assert_int_eq(agent_serve(&s, NULL, &why), 128 + SIGPIPE);
    spawn_done(&s);
}
END_TEST

/** A stop and a continuation are reported; a signal passed on arrives. */
START_TEST(spawn_stop_and_continue_are_reported)
{
    char *argv[] = {ARG("sleep"), ARG("1000"), NULL};
    struct spawn_config config = {.argv = argv, .envp = agent_env()};
    static const struct {
        int signal;
        enum spawn_event_kind kind;
        int status;
    } steps[] = {{SIGSTOP, SPAWN_STOPPED, SIGSTOP},
                 {SIGCONT, SPAWN_CONTINUED, 0},
                 {SIGTERM, SPAWN_ENDED, 128 + SIGTERM}};
    struct spawn_event event;
    struct spawned s;
    struct why why;

    ck_assert_int_eq(spawn_agent(&config, &s, &why), 0);
    spawn_go(&s);
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++) {
        struct pollfd p = {.fd = s.event_fd, .events = POLLIN};

        ck_assert_int_eq(spawn_signal(&s, steps[i].signal), 0);
        ck_assert_int_eq(poll(&p, 1, -1), 1);
        ck_assert_int_eq(spawn_read_event(&s, &event, &why), 0);
        ck_assert_int_eq(event.kind, steps[i].kind);
        ck_assert_int_eq(event.status, steps[i].status);
    }
    spawn_done(&s);
}
END_TEST

/** A guardian killed by force takes the agent with it, and the supervisor is told. */
START_TEST(spawn_guardian_lost_ends_the_agent)
{
    char *argv[] = {ARG("sh"), ARG("-c"), ARG("setsid sleep 1000 & echo $! >&3; wait"), NULL};
    struct spawn_config config = {.argv = argv, .envp = agent_env()};
    struct spawn_event event;
    struct spawned s;
    struct pollfd p;
    struct why why;

    argv[2] = ARG("setsid sleep 1000 & wait");
    ck_assert_int_eq(spawn_agent(&config, &s, &why), 0);
    spawn_go(&s);
    p = (struct pollfd){.fd = s.event_fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 50), 0); /* runs */
    ck_assert_int_eq(kill(s.guardian_pid, SIGKILL), 0);
    ck_assert_int_eq(poll(&p, 1, -1), 1);
    ck_assert_int_eq(spawn_read_event(&s, &event, &why), 0);
    ck_assert_int_eq(event.kind, SPAWN_ENDED);
    ck_assert_int_eq(event.status, 125);
    ck_assert_int_eq(kill(s.pid, 0), -1);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left, not even a zombie */
    spawn_done(&s);
}
END_TEST

/** Trapped calls reach the supervisor, from grandchildren too. */
START_TEST(spawn_socket_calls_are_trapped)
{
    struct agent_run *r =
        run_shell("python3 -c 'import socket; socket.socket()' 2>&1; "
                  "sh -c 'python3 -c \"import socket; socket.socket(16, 3)\" 2>&1'");

    ck_assert_uint_ge(r->traps, 2);
    ck_assert_ptr_nonnull(strstr(r->out, "Permission denied"));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(spawn_exit_status_is_passed_on),
    SUITE_TEST(spawn_exec_errors_are_told_apart),
    SUITE_TEST(c1_inherited_descriptors_are_closed),
    SUITE_TEST(c1_network_socket_as_stdio_is_refused),
    SUITE_TEST(spawn_agent_has_no_privilege),
    SUITE_TEST(spawn_leftovers_are_ended),
    SUITE_TEST(spawn_signals_are_restored),
    SUITE_TEST(spawn_stop_and_continue_are_reported),
    SUITE_TEST(spawn_guardian_lost_ends_the_agent),
    SUITE_TEST(spawn_socket_calls_are_trapped),
};

SUITE_MAIN("sandbox/spawn", tests)
