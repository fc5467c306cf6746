/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 2 000 processes alive at once in one sandbox, each with a connection that carries its own number
 * both ways while all others live; when the first process ends, all of them end with the sandbox.
 * Natively first: the control, which also tells whether so many processes may exist here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/inside.h"
#include "tests/support/suite.h"

#define CROWD    2000u
#define SPARE    32u /* processes and descriptors besides */
#define NOT_HERE 77
#define WAIT_S   60
#define PATIENCE                                                                                   \
    (struct timeval)                                                                               \
    {                                                                                              \
        .tv_sec = WAIT_S                                                                           \
    }

static pid_t members[CROWD + SPARE];
static int lines[CROWD + SPARE]; /* the connection of each */
static unsigned started;

__attribute__((noreturn)) static void be_member(uint32_t number, const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint32_t answer = 0;

    if (fd < 0 || connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ||
        send(fd, &number, sizeof(number), 0) != sizeof(number) ||
        recv(fd, &answer, sizeof(answer), MSG_WAITALL) != sizeof(answer) || answer != ~number ||
        send(fd, &answer, sizeof(answer), 0) != sizeof(answer)) {
        perror("member");
        _exit(1);
    }
    for (;;)
        (void)pause();
}

static int disperse(int status)
{
    for (unsigned i = 0; i < started; i++)
        (void)kill(members[i], SIGKILL);
    for (unsigned i = 0; i < started; i++)
        (void)waitpid(members[i], NULL, 0);
    return status;
}

/** Each member's connection, by its number. */
static int meet(int listener, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        uint32_t number = 0;
        int fd;

        EXPECT(poll(&p, 1, WAIT_S * 1000) == 1);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        EXPECT(fd >= 0);
        EXPECT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof(struct timeval)) == 0);
        EXPECT(recv(fd, &number, sizeof(number), MSG_WAITALL) == sizeof(number));
        EXPECT(number < count && lines[number] == 0);
        lines[number] = fd;
    }
    return 0;
}

static int talk_to_all(unsigned count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t answer = ~i;

        EXPECT(send(lines[i], &answer, sizeof(answer), 0) == sizeof(answer));
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t answer = 0;

        EXPECT(recv(lines[i], &answer, sizeof(answer), MSG_WAITALL) == sizeof(answer));
        EXPECT(answer == ~i);
    }
    return 0;
}

/** Returns NOT_HERE when the limits of this place do not allow the crowd. */
static int gather(unsigned count)
{
    struct rlimit files;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    if (files.rlim_max < count + SPARE || setrlimit(RLIMIT_NOFILE, &files) < 0)
        return NOT_HERE;
    EXPECT(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 4096) == 0);
    EXPECT(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    for (; started < count; started++) {
        pid_t pid = fork();

        if (pid == 0)
            be_member(started, &at);
        if (pid < 0)
            return NOT_HERE;
        members[started] = pid;
    }
    EXPECT(meet(listener, count) == 0);
    EXPECT(waitpid(-1, NULL, WNOHANG) == 0); /* all live */
    EXPECT(talk_to_all(count) == 0);
    EXPECT(waitpid(-1, NULL, WNOHANG) == 0);
    return 0;
}

/** The members are left behind. */
static int inner(void)
{
    char byte;

    EXPECT(gather(CROWD) == 0);
    printf("%u processes live, each with a connection\n", CROWD);
    (void)fflush(stdout);
    EXPECT(read(STDIN_FILENO, &byte, 1) == 1);
    return 0;
}

START_TEST(crowd_lives_and_ends_with_the_sandbox)
{
    struct inside in;
    char line[128];

    inside_start(&in, "crowd");
    inside_line(&in, line, sizeof(line));
    printf("%s\n", line);
    ck_assert_ptr_nonnull(strstr(line, " live"));
    ck_assert_int_eq(waitpid(in.supervisor, NULL, WNOHANG), 0);
    inside_go(&in);
    /* Each member holds the agent's standard output: its end of file is the end of all. */
    ck_assert_int_eq(inside_end(&in), 0);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_SLOW(crowd_lives_and_ends_with_the_sandbox, 100),
};

static int native(void)
{
    int status;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    if (pid == 0)
        _exit(disperse(gather(CROWD + SPARE / 2)));
    must(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(void)
{
    int status;

    (void)signal(SIGPIPE, SIG_IGN);
    if (getenv("LATTICE_INNER") != NULL)
        return inner();
    status = native();
    if (status == NOT_HERE)
        suite_skip(
            "the limits here (RLIMIT_NPROC, RLIMIT_NOFILE, pids) do not allow 2 000 processes");
    printf("control: natively %s\n", status == 0 ? "they live" : "it fails");
    if (status != 0)
        return 1;
    return suite_run("crowd", tests, (unsigned)ARRAY_COUNT(tests));
}
