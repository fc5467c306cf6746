/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/agent_run.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/filter.h"
#include "tests/support/suite.h"

static char *const env[] = {ARG("PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
                            ARG("ASAN_OPTIONS=detect_leaks=0"), NULL};

char *const *agent_env(void)
{
    return env;
}

/** Answer one trapped call: EACCES, but let a program begin. Returns its number, -1: no refusal. */
static int refuse_one(int notify_fd)
{
    struct seccomp_notif call = {0};
    struct seccomp_notif_resp answer = {0};

    if (ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
        return -1;
    answer.id = call.id;
    if (call.data.nr == FILTER_BEGIN_CALL)
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else
        answer.error = -EACCES;
    (void)ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* ENOENT: the caller is gone */
    return call.data.nr == FILTER_BEGIN_CALL ? -1 : call.data.nr;
}

int agent_serve(struct spawned *s, unsigned *ret_traps, struct why *why)
{
    struct spawn_event event;

    for (;;) {
        struct pollfd p[] = {{.fd = s->notify_fd, .events = POLLIN},
                             {.fd = s->event_fd, .events = POLLIN}};

        ck_assert_int_ge(poll(p, 2, -1), 0);
        if ((p[0].revents & POLLIN) != 0 && refuse_one(s->notify_fd) >= 0 && ret_traps != NULL)
            (*ret_traps)++;
        if (p[1].revents != 0 && spawn_read_event(s, &event, why) == 0 && event.kind == SPAWN_ENDED)
            return event.status;
    }
}

/** Send standard output and error to @file; gives the old ones. */
static void redirect(FILE *file, int old[static 2])
{
    (void)fflush(NULL);
    old[0] = dup(STDOUT_FILENO);
    old[1] = dup(STDERR_FILENO);
    ck_assert_int_eq(dup2(fileno(file), STDOUT_FILENO), STDOUT_FILENO);
    ck_assert_int_eq(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
}

static void restore(const int old[static 2])
{
    ck_assert_int_eq(dup2(old[0], STDOUT_FILENO), STDOUT_FILENO);
    ck_assert_int_eq(dup2(old[1], STDERR_FILENO), STDERR_FILENO);
    (void)close(old[0]);
    (void)close(old[1]);
}

static void collect(FILE *file, struct agent_run *ret)
{
    size_t got;

    rewind(file);
    got = fread(ret->out, 1, sizeof(ret->out) - 1, file);
    ret->out[got] = '\0';
    (void)fclose(file);
}

void agent_run(char *const *argv, struct agent_run *ret)
{
    struct spawn_config config = {.argv = argv, .envp = env};
    FILE *file = tmpfile();
    struct spawned s;
    int old[2];
    int err;

    *ret = (struct agent_run){0};
    redirect(file, old);
    err = spawn_agent(&config, &s, &ret->why);
    restore(old);
    ck_assert_msg(err == 0, "spawn_agent: %d %s", err, ret->why.text);
    ret->walls = s.walls;
    spawn_go(&s);
    ret->status = agent_serve(&s, &ret->traps, &ret->why);
    spawn_done(&s);
    collect(file, ret);
}

void agent_run_shell(const char *script, struct agent_run *ret)
{
    char *argv[] = {ARG("sh"), ARG("-c"), ARG(script), NULL};

    agent_run(argv, ret);
}

void agent_native(char *const *argv, struct agent_run *ret)
{
    FILE *file = tmpfile();
    int old[2];
    int status;
    pid_t pid;

    *ret = (struct agent_run){0};
    redirect(file, old);
    pid = fork();
    if (pid == 0) {
        (void)execvpe(argv[0], argv, env);
        _exit(127);
    }
    restore(old);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ret->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    collect(file, ret);
}
