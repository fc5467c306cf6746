/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doors into the kernel that socket(2) opens (B4, B5), and calls that a timer interrupts (A4, A6).
 * This program runs itself as the agent. What a descriptor of the agent's really is, it asks from
 * outside: inside, the supervisor would answer.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/cases.h"
#include "tests/support/inside.h"
#include "tests/support/suite.h"

#define FAMILIES     64
#define TYPES        12 /* 0 to SOCK_MAX */
#define LINE_CAP     64
#define TIMER_US     (1000 * inside_slowness())
#define TIMED_CALLS  (10000 / inside_slowness())
#define PIPELINES    (500 / inside_slowness())
#define AGENT_FD_MAX 256

/* Those of linux/in.h that kernels have had modules for, and numbers beyond. */
static const int protocols[] = {0,   1,   2,   3,   4,   6,   15,  16,  17,  33,
                                41,  47,  58,  94,  98,  103, 108, 115, 132, 136,
                                137, 143, 255, 256, 261, 262, 263, 300};

/* ---- inside ---- */

/** One line for each call; what is open stays open until the test has looked. */
static int inner_families(void)
{
    char byte;

    printf("pid %d\n", (int)getpid());
    for (int family = 0; family < FAMILIES; family++) {
        for (int type = 0; type < TYPES; type++) {
            for (unsigned p = 0; p < ARRAY_COUNT(protocols); p++) {
                int fd = socket(family, type, protocols[p]);

                printf("%d %d %d %s\n", family, type, protocols[p],
                       fd >= 0 ? "ok" : strerrorname_np(errno));
            }
        }
    }
    printf("end\n");
    (void)fflush(stdout);
    EXPECT(read(STDIN_FILENO, &byte, 1) >= 0);
    return 0;
}

static volatile sig_atomic_t ticks;

static void on_tick(int n)
{
    (void)n;
    ticks = ticks + 1;
}

/** A timer that does not restart calls. */
static int start_timer(long us)
{
    struct sigaction action = {.sa_handler = on_tick};
    struct itimerval every = {.it_interval.tv_usec = us, .it_value.tv_usec = us};

    EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
    EXPECT(setitimer(ITIMER_REAL, &every, NULL) == 0);
    return 0;
}

/** Sockets made and named under the timer; a call that says EINTR is made again. Prints what was
 * interrupted. No descriptor may be left over. */
static int inner_timer(void)
{
    unsigned interrupted[2] = {0}, before = suite_open_fds();
    struct sockaddr_in at;

    EXPECT(start_timer(TIMER_US) == 0);
    for (unsigned i = 0; i < TIMED_CALLS; i++) {
        socklen_t len = sizeof(at);
        int fd, r;

        while ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 && errno == EINTR)
            interrupted[0]++;
        EXPECT(fd >= 0);
        while ((r = getsockname(fd, (struct sockaddr *)&at, &len)) < 0 && errno == EINTR)
            interrupted[1]++;
        EXPECT(r == 0 && at.sin_family == AF_INET);
        EXPECT(close(fd) == 0);
    }
    EXPECT(start_timer(0) == 0);
    printf("timer: %u calls each, %d signals, EINTR: socket %u, getsockname %u\n", TIMED_CALLS,
           (int)ticks, interrupted[0], interrupted[1]);
    (void)fflush(stdout);
    EXPECT(ticks > 0);
    EXPECT(interrupted[0] + interrupted[1] <= (unsigned)ticks); /* one signal, one call at most */
    EXPECT(suite_open_fds() == before);
    return 0;
}

/** Shell pipelines of three processes each, under the timer; each must pass its word on. */
static int inner_pipelines(void)
{
    char script[256];
    int status;
    pid_t pid;

    (void)snprintf(script, sizeof(script),
                   "i=0; while [ $i -lt %u ]; do i=$((i + 1)); "
                   "[ \"$(echo $i | cat | cat)\" = $i ] || exit 1; done; echo pipelines $i",
                   PIPELINES);
    pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    EXPECT(start_timer(TIMER_US) == 0); /* of the one that waits */
    while (waitpid(pid, &status, 0) < 0)
        EXPECT(errno == EINTR);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} inner_rows[] = {
    {"families", inner_families}, {"timer", inner_timer}, {"pipelines", inner_pipelines}};

static int inner_main(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(inner_rows); i++) {
        if (strcmp(inner_rows[i].name, name) == 0)
            return inner_rows[i].run();
    }
    return 2;
}

/* ---- outside ---- */

/** Whether @word stands in @list between separators @by. */
static bool is_listed(const char *list, const char *word, char by)
{
    size_t len = strlen(word);

    for (const char *at = list; at != NULL; at = strchr(at, by) != NULL ? strchr(at, by) + 1 : NULL)
        if (strncmp(at, word, len) == 0 && (at[len] == by || at[len] == '\0'))
            return true;
    return false;
}

static const char *expected(const struct case_table *t, const char *const word[static 3])
{
    for (unsigned i = 0; i < t->count; i++) {
        bool fits = t->rows[i].count == 4;

        for (unsigned k = 0; k < 3 && fits; k++)
            fits = strcmp(t->rows[i].fields[k], "*") == 0 ||
                   is_listed(t->rows[i].fields[k], word[k], ',');
        if (fits)
            return t->rows[i].fields[3];
    }
    return "no rule";
}

/** How many descriptors of @pid are sockets of another family than AF_UNIX, seen from here. */
static unsigned foreign_sockets(pid_t pid, unsigned *ret_sockets)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    unsigned foreign = 0;

    ck_assert_int_ge(pidfd, 0);
    *ret_sockets = 0;
    for (int n = 0; n < AGENT_FD_MAX; n++) {
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, n, 0), domain = -1;
        socklen_t len = sizeof(domain);

        if (fd < 0)
            continue;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0) {
            *ret_sockets += 1;
            foreign += domain != AF_UNIX ? 1 : 0;
        }
        (void)close(fd);
    }
    (void)close(pidfd);
    return foreign;
}

/** Does a container's profile, or another filter round this test, refuse this family to everybody?
 */
static bool is_refused_outside(const char *const word[3])
{
    long family = strtol(word[0], NULL, 10);
    int fd;

    if (family != AF_ALG && family != AF_VSOCK) /* Docker's; other EPERMs want a privilege */
        return false;
    fd = socket((int)family, SOCK_STREAM, 0);
    if (fd >= 0)
        (void)close(fd);
    return fd < 0 && errno == EPERM;
}

/** Compare each line with the table. Returns how many sockets it was given; @ret_pid: of the one
 * who says so. */
static unsigned compare(struct inside *in, const struct case_table *t, pid_t *ret_pid,
                        unsigned *ret_calls)
{
    char line[LINE_CAP], was[LINE_CAP], text[3][16];
    const char *const word[3] = {text[0], text[1], text[2]};
    unsigned made = 0;

    inside_line(in, line, sizeof(line));
    ck_assert_int_eq(strncmp(line, "pid ", 4), 0);
    *ret_pid = (pid_t)strtol(line + 4, NULL, 10);
    *ret_calls = 0;
    for (;;) {
        inside_line(in, line, sizeof(line));
        if (strcmp(line, "end") == 0)
            return made;
        ck_assert_int_eq(sscanf(line, "%15s %15s %15s %63s", text[0], text[1], text[2], was), 4);
        ck_assert_msg(is_listed(expected(t, word), was, '/') ||
                          (strcmp(was, "EPERM") == 0 && is_refused_outside(word)),
                      "%s: expected %s", line, expected(t, word));
        made += strcmp(was, "ok") == 0 ? 1 : 0;
        *ret_calls += 1;
    }
}

/** B4, B5: every family, type and protocol as the table has it, and no descriptor of the agent's is
 * a socket of another family than AF_UNIX. Natively such sockets are made, and seen from here. */
START_TEST(b4_b5_every_socket_as_the_golden_table)
{
    static const int outsiders[][3] = {
        {AF_NETLINK, SOCK_RAW, 4}, {AF_NETLINK, SOCK_RAW, 15}, {AF_INET, SOCK_STREAM, 0}};
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    struct case_table table;
    unsigned calls, made, sockets;
    bool can_look;
    struct inside in;
    pid_t pid;

    for (unsigned i = 0; i < ARRAY_COUNT(outsiders); i++)
        ck_assert_int_ge(socket(outsiders[i][0], outsiders[i][1], outsiders[i][2]), 0);
    can_look = syscall(SYS_pidfd_getfd, self, STDOUT_FILENO, 0) >= 0; /* Docker refuses it */
    if (can_look)
        ck_assert_uint_ge(foreign_sockets(getpid(), &sockets), ARRAY_COUNT(outsiders));
    cases_load(TEST_SOURCE_DIR "/cases/families.cases", '|', &table);
    inside_start(&in, "families");
    made = compare(&in, &table, &pid, &calls);
    ck_assert_uint_eq(calls, FAMILIES * TYPES * ARRAY_COUNT(protocols));
    ck_assert_uint_gt(made, 10);
    if (can_look) {
        ck_assert_uint_eq(foreign_sockets(pid, &sockets), 0);
        ck_assert_uint_eq(sockets, made);
    }
    printf("%u calls, %u sockets%s\n", calls, made, can_look ? ", all of AF_UNIX" : "");
    inside_go(&in);
    ck_assert_int_eq(inside_end(&in), 0);
    cases_done(&table);
}
END_TEST

static const char *const timed[] = {"timer", "pipelines"};

/** The control: natively no call is interrupted, and no pipeline breaks. */
START_TEST(a4_native_control)
{
    ck_assert_int_eq(inner_main(timed[_i]), 0);
}
END_TEST

/** A4, A6: nothing fails, and no descriptor is left over. */
START_TEST(a4_a6_calls_under_a_timer_do_their_work)
{
    struct inside in;

    inside_start(&in, timed[_i]);
    ck_assert_int_eq(inside_end(&in), 0);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(b4_b5_every_socket_as_the_golden_table),
    SUITE_ROWS(a4_native_control, ARRAY_COUNT(timed)),
    {.name = "a4_a6_calls_under_a_timer_do_their_work",
     .test = &a4_a6_calls_under_a_timer_do_their_work,
     .rows = ARRAY_COUNT(timed),
     .limit_s = 60},
};

int main(void)
{
    const char *inner = getenv("LATTICE_INNER");

    if (inner != NULL)
        return inner_main(inner);
    return suite_run("doors", tests, (unsigned)ARRAY_COUNT(tests));
}
