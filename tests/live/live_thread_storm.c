/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 72 threads that make sockets, connect, accept, send, receive and close at the same time, some of
 * them cancelled in the middle, beside a second such process that is killed in the middle. What
 * comes back is compared byte by byte. Three rounds, together with more sockets than the
 * supervisor's table has slots: none may be lost, and the supervisor's descriptors, counted after
 * each round, do not grow. Natively first: the control.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/agent_mem.h"
#include "sandbox/vsock.h"
#include "tests/support/inside.h"
#include "tests/support/suite.h"

#define LISTENERS     8u
#define SERVERS       32u
#define CLIENTS       32u
#define DOOMED        8u /* clients that are cancelled */
#define CYCLES        (120u / inside_slowness() + 1)
#define BYTES_MAX     3000u
#define ROUNDS        3u
#define KILL_AT       100u /* connections of the process that is killed */
#define SETTLE        600u /* sockets that come and go, so that the supervisor looks at all */
#define SETTLE_MS     5000
#define OTHER_FDS_MAX 4u /* that may come and go by themselves */

static_assert(ROUNDS * CLIENTS * 120 * 3 > VSOCK_MAX, "a table that leaks is full at the end");

static struct sockaddr_in names[LISTENERS];
static int listeners[LISTENERS];
static atomic_uint *done; /* connections, shared with the parent */
static atomic_uint failures;

static void close_it(void *fd)
{
    if (*(int *)fd >= 0)
        (void)close(*(int *)fd);
}

/** Give back whatever comes, until its end. */
static void echo(int fd)
{
    char data[1024];
    ssize_t n;

    while ((n = recv(fd, data, sizeof(data), 0)) > 0) {
        if (send(fd, data, (size_t)n, MSG_NOSIGNAL) != n)
            return;
    }
}

static void *server(void *arg)
{
    int listener = *(int *)arg;

    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        pthread_cleanup_push(close_it, &fd);
        if (fd >= 0)
            echo(fd);
        else if (errno != EINTR)
            failures++;
        pthread_cleanup_pop(1);
    }
    return NULL;
}

static bool broken(const char *what)
{
    if (failures++ == 0)
        perror(what);
    return false;
}

/** Send @len bytes of a pattern of its own, and get just these back. */
static bool exchange(int fd, uint32_t seed, size_t len)
{
    uint8_t out[BYTES_MAX], in[BYTES_MAX];
    size_t got = 0;
    ssize_t n;

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)((seed * UINT32_C(2654435761) + i * 31) >> 7);
    if (send(fd, out, len, MSG_NOSIGNAL) != (ssize_t)len || shutdown(fd, SHUT_WR) < 0)
        return broken("send");
    while (got < len && (n = recv(fd, in + got, len - got, 0)) > 0)
        got += (size_t)n;
    if (got != len || memcmp(in, out, len) != 0)
        return broken("other bytes");
    if (recv(fd, in, 1, 0) != 0)
        return broken("too many bytes");
    return true;
}

static bool by_tcp(uint32_t seed)
{
    int fd = -1;
    volatile bool ok = false; /* it is set after the setjmp() of the push */

    pthread_cleanup_push(close_it, &fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        (void)broken("socket");
    else if (connect(fd, (const struct sockaddr *)&names[seed % LISTENERS], sizeof(names[0])) < 0)
        (void)broken("connect");
    else
        ok = exchange(fd, seed, 1 + seed * 977 % BYTES_MAX);
    pthread_cleanup_pop(1);
    return ok;
}

/** A datagram to itself: the supervisor has one end of each such socket. */
static bool by_udp(uint32_t seed)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    uint32_t back = 0;
    int fd = -1;
    volatile bool ok = false; /* it is set after the setjmp() of the push */

    pthread_cleanup_push(close_it, &fd);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ok = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
         getsockname(fd, (struct sockaddr *)&at, &len) == 0 &&
         sendto(fd, &seed, sizeof(seed), 0, (struct sockaddr *)&at, sizeof(at)) == sizeof(seed) &&
         recv(fd, &back, sizeof(back), 0) == sizeof(back) && back == seed;
    if (!ok)
        (void)broken("datagram");
    pthread_cleanup_pop(1);
    return ok;
}

static void run_client(uint32_t id, unsigned cycles)
{
    for (unsigned i = 0; i < cycles; i++) {
        if (!by_tcp(id + i * CLIENTS) || !by_udp(id + i * CLIENTS))
            return;
        (*done)++;
    }
}

static void *client(void *id)
{
    run_client(*(uint32_t *)id, CYCLES);
    return NULL;
}

static void *endless_client(void *id)
{
    run_client(*(uint32_t *)id, ~0U);
    return NULL;
}

static int open_listeners(void)
{
    for (unsigned i = 0; i < LISTENERS; i++) {
        socklen_t len = sizeof(names[i]);

        names[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT(bind(listeners[i], (struct sockaddr *)&names[i], sizeof(names[i])) == 0);
        EXPECT(listen(listeners[i], 128) == 0);
        EXPECT(getsockname(listeners[i], (struct sockaddr *)&names[i], &len) == 0);
    }
    return 0;
}

/** All threads of one process; @is_endless: until it is killed. */
static int storm(bool is_endless)
{
    pthread_t servers[SERVERS], clients[CLIENTS], doomed[DOOMED];
    uint32_t ids[CLIENTS + DOOMED];

    EXPECT(open_listeners() == 0);
    for (unsigned i = 0; i < CLIENTS + DOOMED; i++)
        ids[i] = i;
    for (unsigned i = 0; i < SERVERS; i++)
        EXPECT(pthread_create(&servers[i], NULL, server, &listeners[i % LISTENERS]) == 0);
    for (unsigned i = 0; i < DOOMED; i++)
        EXPECT(pthread_create(&doomed[i], NULL, endless_client, &ids[CLIENTS + i]) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(pthread_create(&clients[i], NULL, is_endless ? endless_client : client, &ids[i]) ==
               0);
    for (unsigned i = 0; i < DOOMED; i++) {
        while (*done < (i + 1) * CLIENTS && failures == 0)
            (void)sched_yield();
        EXPECT(pthread_cancel(doomed[i]) == 0);
        EXPECT(pthread_join(doomed[i], NULL) == 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(pthread_join(clients[i], NULL) == 0);
    for (unsigned i = 0; i < SERVERS; i++) {
        EXPECT(pthread_cancel(servers[i]) == 0);
        EXPECT(pthread_join(servers[i], NULL) == 0);
    }
    EXPECT(failures == 0);
    EXPECT(*done >= CLIENTS * CYCLES);
    return 0;
}

static pid_t start(bool is_endless, atomic_uint *count)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    done = count;
    _exit(storm(is_endless));
}

static int play_round(atomic_uint counts[static 2])
{
    pid_t whole, killed;
    int status;

    counts[0] = counts[1] = 0;
    whole = start(/*is_endless=*/false, &counts[0]);
    killed = start(/*is_endless=*/true, &counts[1]);
    EXPECT(whole > 0 && killed > 0);
    while (counts[1] < KILL_AT && waitpid(killed, &status, WNOHANG) == 0)
        (void)sched_yield();
    EXPECT(counts[1] >= KILL_AT);
    EXPECT(kill(killed, SIGKILL) == 0);
    EXPECT(waitpid(killed, &status, 0) == killed && WIFSIGNALED(status));
    EXPECT(waitpid(whole, &status, 0) == whole);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

/** @is_watched: say when a round is over, and wait until that was seen. */
static int play(bool is_watched)
{
    atomic_uint *counts =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    EXPECT(counts != MAP_FAILED);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char byte;

        EXPECT(play_round(counts) == 0);
        for (unsigned k = 0; k < SETTLE; k++)
            EXPECT(close(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) == 0);
        if (!is_watched)
            continue;
        printf("%u connections, and %u of a process that was killed\n", counts[0], counts[1]);
        (void)fflush(stdout);
        EXPECT(read(STDIN_FILENO, &byte, 1) == 1);
    }
    return 0;
}

/** Descriptors of the supervisor. Exactly, without the cached pidfds of threads, where its
 * directory may be read (by root); else all of them, as Linux 6.2 says by its size, or the size of
 * the table (proc_pid_status(5)). */
struct census {
    unsigned count;
    unsigned slack; /* that the way of counting needs */
};

static bool count_exactly(const char *path, unsigned *ret)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    *ret = 0;
    if (dir == NULL)
        return false;
    while ((entry = readdir(dir)) != NULL) {
        char target[64];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        target[n > 0 ? n : 0] = '\0';
        *ret += n > 0 && strstr(target, "pidfd") == NULL && strstr(target, "/proc/") != target;
    }
    (void)closedir(dir);
    return *ret > 0; /* root in a container may list it and not read it */
}

static struct census count_descriptors(pid_t supervisor)
{
    struct census c = {.slack = OTHER_FDS_MAX};
    struct stat st;
    char path[64], line[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", supervisor);
    if (count_exactly(path, &c.count))
        return c;
    c.slack += AGENT_CACHE_COUNT;
    if (stat(path, &st) == 0 && st.st_size > 0) {
        c.count = (unsigned)st.st_size;
        return c;
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/status", supervisor);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "FDSize: %u", &c.count);
    (void)fclose(file);
    return c;
}

/** Where descriptors cannot be duplicated, ours keep sockets open until the next look at all. */
static unsigned kept_until_the_next_look(void)
{
    struct agents a;
    bool is_allowed = agents_init(&a, getpid()) == 0 && a.can_get_fd;

    agents_done(&a);
    return is_allowed ? 0 : SETTLE;
}

/** The supervisor may not have come to the last ends yet: count again for a while. */
static struct census count_settled(pid_t supervisor, unsigned max)
{
    struct mono limit = mono_add_ms(mono_now(), SETTLE_MS);
    struct census c = count_descriptors(supervisor);

    while (c.count > max && mono_before(mono_now(), limit)) {
        (void)sched_yield();
        c = count_descriptors(supervisor);
    }
    return c;
}

START_TEST(native_control)
{
    ck_assert_int_eq(play(/*is_watched=*/false), 0);
}
END_TEST

START_TEST(inside_all_bytes_are_right_and_nothing_is_left)
{
    struct census now;
    unsigned max = ~0U;
    struct inside in;
    char line[128];

    inside_start(&in, "threads");
    for (unsigned i = 0; i < ROUNDS; i++) {
        inside_line(&in, line, sizeof(line));
        ck_assert_ptr_nonnull(strstr(line, "connections"));
        now = count_settled(in.supervisor, max);
        printf("%s; the supervisor has %u descriptors\n", line, now.count);
        ck_assert_uint_gt(now.count, 0);
        ck_assert_uint_le(now.count, max);
        if (i == 0)
            max = now.count + now.slack + kept_until_the_next_look();
        inside_go(&in);
    }
    ck_assert_int_eq(inside_end(&in), 0);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_SLOW(native_control, 100),
    SUITE_SLOW(inside_all_bytes_are_right_and_nothing_is_left, 150),
};

int main(void)
{
    if (getenv("LATTICE_INNER") != NULL)
        return play(/*is_watched=*/true);
    return suite_run("thread_storm", tests, (unsigned)ARRAY_COUNT(tests));
}
