/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shapes: one conversation over TCP loopback from processes of every shape that Linux knows; a line
 * `SHAPE ok` for each. Tests compare the lines natively and inside the sandbox.
 *
 * shapes reuse ROUNDS: process numbers are used again while calls are judged. Children name a
 * receiver and a poison pattern in their own memory, each its own at one address, and are killed at
 * any moment; a datagram at the wrong receiver, or of two patterns, means that another process's
 * memory was read. Where numbers are few, all but one of them are taken first. Prints `reuse: N of
 * M numbers were used again, F others taken, D datagrams, W wrong`.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void need(bool holds, const char *what)
{
    if (!holds) {
        perror(what);
        _exit(1);
    }
}

static int listener_on(struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*ret);

    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    need(fd >= 0 && bind(fd, (struct sockaddr *)ret, sizeof(*ret)) == 0 && listen(fd, 64) == 0 &&
             getsockname(fd, (struct sockaddr *)ret, &len) == 0,
         "listen");
    return fd;
}

static bool ask(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte = 'q';
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 &&
              write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'a';

    if (fd >= 0)
        (void)close(fd);
    return ok;
}

static bool answer(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char byte = 0;
    bool ok = fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'q' && write(fd, "a", 1) == 1;

    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/** Both sides by this process alone. */
static bool talk(void)
{
    struct sockaddr_in at;
    int listener = listener_on(&at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte = 0;
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
              write(fd, "q", 1) == 1 && answer(listener) && read(fd, &byte, 1) == 1 && byte == 'a';

    (void)close(fd);
    (void)close(listener);
    return ok;
}

static void say(const char *shape, bool ok)
{
    printf("%s %s\n", shape, ok ? "ok" : "FAILED");
    (void)fflush(stdout);
}

static bool ended_well(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool in_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(talk() ? 0 : 1);
    return ended_well(pid);
}

/** The parent and the session are gone when it talks. */
static bool in_daemon(void)
{
    int line[2];
    char byte = 0;
    pid_t pid;

    need(pipe2(line, O_CLOEXEC) == 0, "pipe");
    pid = fork();
    if (pid == 0) {
        (void)setsid();
        if (fork() != 0)
            _exit(0);
        (void)chdir("/");
        while (getppid() == pid)
            (void)sched_yield();
        (void)!write(line[1], talk() ? "y" : "n", 1);
        _exit(0);
    }
    (void)close(line[1]);
    (void)ended_well(pid);
    need(read(line[0], &byte, 1) == 1, "read");
    (void)close(line[0]);
    return byte == 'y';
}

static char self_path[4096];

static bool in_vfork_exec(void)
{
    char *argv[] = {self_path, (char *)(uintptr_t) "talk", NULL};
    pid_t pid = vfork();

    if (pid == 0) {
        (void)execv(self_path, argv);
        _exit(127);
    }
    return ended_well(pid);
}

static bool in_spawn(void)
{
    char *argv[] = {self_path, (char *)(uintptr_t) "talk", NULL};
    pid_t pid;

    return posix_spawn(&pid, self_path, NULL, NULL, argv, environ) == 0 && ended_well(pid);
}

/** clone3 where it exists; programs fall back to clone where it does not. */
static bool in_clone3(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid < 0 && errno == ENOSYS)
        pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0)
        _exit(talk() ? 0 : 1);
    return pid > 0 && ended_well((pid_t)pid);
}

static int talker(void *unused)
{
    (void)unused;
    return talk() ? 0 : 1;
}

/** A process with our memory and our descriptors, but its own number. */
static bool in_shared_memory(void)
{
    size_t size = 256u << 10;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid;

    need(stack != MAP_FAILED, "mmap");
    pid = clone(talker, stack + size, CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
    return pid > 0 && ended_well(pid);
}

static void *talk_in_thread(void *ret)
{
    *(bool *)ret = talk();
    return NULL;
}

static bool in_threads(void)
{
    pthread_t threads[16];
    bool ok[16] = {0};
    bool all = true;

    for (unsigned i = 0; i < 16; i++)
        need(pthread_create(&threads[i], NULL, talk_in_thread, &ok[i]) == 0, "thread");
    for (unsigned i = 0; i < 16; i++) {
        (void)pthread_join(threads[i], NULL);
        all = all && ok[i];
    }
    return all;
}

static void *outlive(void *leader)
{
    (void)pthread_join(*(pthread_t *)leader, NULL);
    _exit(talk() ? 0 : 1);
}

/** The first thread has ended; the process's number is a zombie's. */
static bool without_leader(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        static pthread_t leader;
        pthread_t thread;

        leader = pthread_self();
        need(pthread_create(&thread, NULL, outlive, &leader) == 0, "thread");
        pthread_exit(NULL);
    }
    return ended_well(pid);
}

/** Four workers accept from one listener that they inherited. */
static bool by_workers(void)
{
    struct sockaddr_in at;
    int listener = listener_on(&at);
    pid_t workers[4];
    unsigned asked = 0;
    bool ok = true;

    for (unsigned i = 0; i < 4; i++) {
        workers[i] = fork();
        if (workers[i] == 0) {
            for (unsigned k = 0; k < 10; k++)
                if (!answer(listener))
                    _exit(1);
            _exit(0);
        }
    }
    (void)close(listener);
    for (unsigned i = 0; i < 40; i++)
        asked += ask(&at);
    for (unsigned i = 0; i < 4; i++)
        ok = ended_well(workers[i]) && ok;
    return ok && asked == 40;
}

/** A listener that another process made is accepted from by one that got it in a message. */
static bool by_passed_listener(void)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char byte = 'l';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    struct sockaddr_in at;
    int line[2], listener;
    pid_t pid;
    bool ok;

    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) == 0, "socketpair");
    pid = fork();
    if (pid == 0) {
        need(recvmsg(line[1], &msg, MSG_CMSG_CLOEXEC) == 1, "recvmsg");
        c = CMSG_FIRSTHDR(&msg);
        need(c != NULL && c->cmsg_type == SCM_RIGHTS, "rights");
        memcpy(&listener, CMSG_DATA(c), sizeof(int));
        _exit(answer(listener) ? 0 : 1);
    }
    listener = listener_on(&at);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &listener, sizeof(int));
    need(sendmsg(line[0], &msg, 0) == 1, "sendmsg");
    (void)close(listener);
    ok = ask(&at);
    return ended_well(pid) && ok;
}

static void on_alarm(int n)
{
    (void)n;
}

/** A receiver that waits; its peer must see the end when it is gone, or has given up. */
static bool after_waiting(bool is_killed)
{
    char byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct sigaction action = {.sa_handler = on_alarm};
    char path[64], state[512] = "";
    int line[2];
    ssize_t n;
    pid_t pid;

    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) == 0, "socketpair");
    need(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    pid = fork();
    if (pid == 0) {
        (void)close(line[0]);
        (void)recvmsg(line[1], &msg, 0);
        (void)close(line[1]);
        for (;;)
            (void)pause();
    }
    (void)close(line[1]);
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    while (strstr(state, ") S ") == NULL) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        n = read(fd, state, sizeof(state) - 1);
        state[n > 0 ? n : 0] = '\0';
        (void)close(fd);
    }
    need(talk(), "talk"); /* a supervisor that answered this has seen the receiver's call */
    (void)kill(pid, is_killed ? SIGKILL : SIGUSR1);
    (void)alarm(20); /* the end of this program, if it does not come */
    n = read(line[0], &byte, 1);
    (void)alarm(0);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(line[0]);
    return n == 0;
}

static bool with_killed_receiver(void)
{
    return after_waiting(/*is_killed=*/true);
}

static bool with_interrupted_receiver(void)
{
    return after_waiting(/*is_killed=*/false);
}

static const struct {
    const char *name;
    bool (*run)(void);
} shapes[] = {
    {"itself", talk},
    {"fork", in_fork},
    {"daemon", in_daemon},
    {"vfork+exec", in_vfork_exec},
    {"posix_spawn", in_spawn},
    {"clone3", in_clone3},
    {"shared-memory", in_shared_memory},
    {"threads", in_threads},
    {"leader-gone", without_leader},
    {"workers", by_workers},
    {"passed-listener", by_passed_listener},
    {"killed-receiver", with_killed_receiver},
    {"interrupted-receiver", with_interrupted_receiver},
};

/* Process numbers used again */

#define RECEIVERS    16u
#define POISON_WORDS 32u
#define CALLS_MIN    100000u
#define FREE_NUMBERS 1u    /* that the storm's processes get, over and over */
#define FILLERS_MAX  1000u /* with more numbers than that, they are not made scarce */

static int receiver_on(struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(*ret);

    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    need(fd >= 0 && bind(fd, (struct sockaddr *)ret, sizeof(*ret)) == 0 &&
             getsockname(fd, (struct sockaddr *)ret, &len) == 0,
         "receiver");
    return fd;
}

static struct sockaddr_in receivers[RECEIVERS];
/* At one address in all processes, and another value in each. */
static struct sockaddr_in named;
static uint32_t poison[POISON_WORDS];

/** What is in registers tells the process, too: how much it sends. */
static size_t poison_len(uint32_t round)
{
    return (8 + round % (POISON_WORDS - 7)) * sizeof(poison[0]);
}

/** Name one receiver and none other, and send the poison of this round, until killed. */
__attribute__((noreturn)) static void send_to(uint32_t round)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    named = receivers[round % RECEIVERS];
    memset(receivers, 0, sizeof(receivers));
    for (unsigned i = 0; i < POISON_WORDS; i++)
        poison[i] = round;
    for (;;)
        (void)sendto(fd, poison, poison_len(round), 0, (struct sockaddr *)&named, sizeof(named));
}

/** All of one process: each word says which, and so do the length and the receiver. */
static bool is_of_one(const uint32_t *words, ssize_t len, unsigned receiver)
{
    bool ok = len >= 32 && (size_t)len == poison_len(words[0]) && words[0] % RECEIVERS == receiver;

    for (unsigned i = 1; ok && i < (size_t)len / sizeof(words[0]); i++)
        ok = words[i] == words[0];
    return ok;
}

/** Take all numbers but a few, where there are not many (pid_max). Returns how many. */
static unsigned fill_numbers(void)
{
    static pid_t fillers[FILLERS_MAX];
    unsigned count = 0;
    pid_t pid = 0;

    while (count < FILLERS_MAX && (pid = fork()) > 0)
        fillers[count++] = pid;
    if (count < FILLERS_MAX && pid == 0) {
        (void)pause(); /* ends with the sandbox */
        _exit(0);
    }
    for (unsigned i = 0; i < (pid < 0 ? FREE_NUMBERS : count); i++) {
        /* the last ones: below 300 (RESERVED_PIDS) the kernel gives none again */
        need(count > FREE_NUMBERS && kill(fillers[count - 1 - i], SIGKILL) == 0, "kill");
        (void)ended_well(fillers[count - 1 - i]);
    }
    return pid < 0 ? count - FREE_NUMBERS : 0;
}

static int reuse(unsigned rounds)
{
    static uint8_t seen[1u << 22];
    unsigned again = 0, datagrams = 0, wrong = 0, filled, i;
    uint32_t words[POISON_WORDS + 1];
    int fds[RECEIVERS];

    for (i = 0; i < RECEIVERS; i++)
        fds[i] = receiver_on(&receivers[i]);
    filled = fill_numbers();
    for (i = 0; i < rounds || (datagrams < CALLS_MIN && i < 4 * rounds); i++) {
        struct timespec moment = {.tv_nsec = (long)(i % 25) * 10000};
        pid_t pid = fork();
        ssize_t n;

        if (pid == 0)
            send_to(i);
        need(pid > 0, "fork");
        again += seen[(unsigned)pid % sizeof(seen)];
        seen[(unsigned)pid % sizeof(seen)] = 1;
        (void)nanosleep(&moment, NULL);
        (void)kill(pid, SIGKILL);
        (void)ended_well(pid);
        for (unsigned k = 0; k < RECEIVERS; k++) {
            while ((n = recv(fds[k], words, sizeof(words), 0)) >= 0) {
                datagrams++;
                wrong += !is_of_one(words, n, k);
            }
        }
    }
    printf("reuse: %u of %u numbers were used again, %u others taken, %u datagrams, %u wrong\n",
           again, i, filled, datagrams, wrong);
    return wrong == 0 && datagrams > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
        return 2;
    if (argc == 2 && strcmp(argv[1], "talk") == 0)
        return talk() ? 0 : 1;
    if (argc == 3 && strcmp(argv[1], "reuse") == 0)
        return reuse((unsigned)strtoul(argv[2], NULL, 10));
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        say(shapes[i].name, shapes[i].run());
    return 0;
}
