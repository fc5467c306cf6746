/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs out in the sandbox. The allocator's n-th call fails, in whichever process of the
 * sandbox comes to it, for n = 0, 1, 2, … until a run needs no more: set-up of the session, virtual
 * sockets, connections, records. Whatever fails on the way says so or refuses the call; the
 * destination without a rule is never reached, nothing is left open or allocated.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/libcrypto.h"
#include "base/log.h"
#include "sandbox/sandbox.h"
#include "sandbox/session.h"
#include "tests/support/nomem.h"
#include "tests/support/suite.h"

#define PIECES    100
#define SWEEP_MAX 2000 /* more allocations than a run makes */

/** Shared by all processes of one run. */
struct outcome {
    bool has_failed; /* an allocation was refused */
    int status;      /* of sandbox_run() */
    bool has_why;
    size_t kept_bytes; /* allocated before and not released after */
    unsigned kept_fds;
};

static struct outcome *outcome;

/* The parts that a session is made of, each alone; a leak is the address sanitizer's to find. */

static int make_loop(struct session *s)
{
    return loop_new(&s->loop);
}

static int make_sockets(struct session *s)
{
    return vsock_table_new(VSOCK_MAX, &s->sockets);
}

static int make_pins(struct session *s)
{
    return pins_new(&s->pins);
}

static int make_netstack(struct session *s)
{
    const struct netstack_config config = {.loop = s->loop, .mode = NETSTACK_DIRECT};
    struct why why;

    return netstack_new(&config, &s->netstack, &why);
}

static int make_held(struct session *s)
{
    static const struct held_events events = {0};

    return held_table_new(s->loop, &events, s, &s->held);
}

static int (*const parts[])(struct session *s) = {make_loop, make_sockets, make_pins, make_netstack,
                                                  make_held};

START_TEST(parts_fail_at_every_allocation)
{
    unsigned made = 0, before = suite_open_fds();
    long n = 0;

    for (; made < ARRAY_COUNT(parts); n++) {
        static struct session s;
        int err = 0;

        s = (struct session){0};
        nomem_begin(n, NULL);
        for (made = 0; made < ARRAY_COUNT(parts) && err == 0; made += err == 0)
            err = parts[made](&s);
        nomem_end();
        ck_assert_msg(err == 0 || err == -ENOMEM, "allocation %ld: %d", n, err);
        held_table_free(s.held);
        netstack_free(s.netstack);
        pins_free(s.pins);
        vsock_table_free(s.sockets);
        if (s.loop != NULL)
            loop_free(s.loop);
        ck_assert_uint_eq(suite_open_fds(), before);
    }
    ck_assert_int_gt(n, 10); /* there were allocations to fail */
}
END_TEST

/* The whole */

struct server {
    int listener;
    uint16_t port;
};

static struct server listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    struct server s = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};

    ck_assert_int_eq(bind(s.listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(s.listener, 64), 0);
    ck_assert_int_eq(getsockname(s.listener, (struct sockaddr *)&at, &len), 0);
    s.port = ntohs(at.sin_port);
    return s;
}

static unsigned drain(const struct server *s)
{
    unsigned count = 0;
    int fd;

    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        (void)close(fd);
        count++;
    }
    return count;
}

static int connect_to(const char *name)
{
    const char *text = getenv(name);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(text, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return 2;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return errno == ECONNREFUSED ? 1 : 2;
    (void)!write(fd, "x", 1);
    (void)close(fd);
    return 0;
}

/** A message of so many pieces that the supervisor needs memory for them: it comes back whole, or
 * the call says that there is no memory. */
static bool send_pieces(int fd, const struct sockaddr_in *to)
{
    char bytes[PIECES], back[PIECES + 1];
    struct iovec iov[PIECES];
    struct msghdr msg = {.msg_name = (void *)(uintptr_t)to,
                         .msg_namelen = sizeof(*to),
                         .msg_iov = iov,
                         .msg_iovlen = PIECES};

    for (unsigned i = 0; i < PIECES; i++) {
        bytes[i] = (char)i;
        iov[i] = (struct iovec){.iov_base = &bytes[i], .iov_len = 1};
    }
    if (sendmsg(fd, &msg, 0) != PIECES)
        return errno == ENOMEM;
    return recv(fd, back, sizeof(back), 0) == PIECES && memcmp(bytes, back, PIECES) == 0;
}

/** What the agent does: try what is allowed, what is not, and what needs no rule. Its status says
 * what went wrong: 0 nothing, 1 the forbidden was reached, 2 a message was not whole. */
static int inner(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (udp >= 0 && bind(udp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
        getsockname(udp, (struct sockaddr *)&at, &len) == 0 && !send_pieces(udp, &at))
        return 2;
    (void)connect_to("ALLOWED");
    if (connect_to("DENIED") == 0)
        return 1;
    (void)connect_to("ALLOWED");
    return 0;
}

static char folder[] = "/tmp/lattice-nomem-XXXXXX";

static void remove_records(void)
{
    static const char *const files[] = {"records", "records.head"};
    char path[64];

    for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
}

__attribute__((noreturn)) static void run_sandbox(long n, uint16_t allowed)
{
    char own_path[4096] = "", log[64], rule[64];
    char *argv[] = {own_path, NULL};
    struct policy *policy = NULL;
    struct why why = {0};
    struct sandbox_config config = {
        .name = "nomem", .argv = argv, .network = NETSTACK_DIRECT, .audit_log = log};
    size_t before;
    unsigned fds;

    must(readlink("/proc/self/exe", own_path, sizeof(own_path) - 1) > 0);
    (void)snprintf(log, sizeof(log), "%s/records", folder);
    (void)snprintf(rule, sizeof(rule), "127.0.0.1:%u", allowed);
    log_setup("nomem", LOG_LEVEL_ERROR, /*json=*/false);
    must(policy_new(POLICY_ENFORCE, &policy) == 0);
    must(policy_add_rule(policy, POLICY_RULE_ALLOW, bytes_of_str(rule), &why) == 0);
    config.policy = policy;
    (void)setenv("LATTICE_INNER", "1", 1);
    fds = suite_open_fds();
    before = mallinfo2().uordblks;
    nomem_begin(n, &outcome->has_failed);
    outcome->status = sandbox_run(&config, &why);
    nomem_end();
    outcome->kept_bytes = mallinfo2().uordblks - before;
    outcome->kept_fds = suite_open_fds() - fds;
    outcome->has_why = why.text[0] != '\0';
    _exit(0);
}

static void run_once(long n, uint16_t allowed)
{
    int status;
    pid_t pid;

    *outcome = (struct outcome){.status = -1};
    (void)fflush(NULL);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        run_sandbox(n, allowed);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "allocation %ld: status %x", n,
                  (unsigned)status);
    remove_records();
}

START_TEST(sandbox_fails_at_every_allocation)
{
    struct server allowed = listening(), denied = listening();
    char text[8];
    unsigned reached = 0, failed_starts = 0;
    size_t kept_bytes;
    unsigned kept_fds;
    long n = 0;

    (void)libcrypto(); /* opened once, not by the auditor of each of a thousand runs */
    ck_assert_ptr_nonnull(mkdtemp(folder));
    outcome =
        mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(outcome, MAP_FAILED);
    (void)snprintf(text, sizeof(text), "%u", allowed.port);
    (void)setenv("ALLOWED", text, 1);
    (void)snprintf(text, sizeof(text), "%u", denied.port);
    (void)setenv("DENIED", text, 1);
    run_once(-1, allowed.port); /* the control: both calls of the allowed one arrive */
    ck_assert_int_eq(outcome->status, 0);
    ck_assert_uint_eq(drain(&allowed), 2);
    ck_assert_uint_eq(drain(&denied), 0);
    kept_bytes = outcome->kept_bytes;
    kept_fds = outcome->kept_fds;
    do {
        run_once(n, allowed.port);
        ck_assert_uint_eq(drain(&denied), 0);
        ck_assert_msg(outcome->status == 0 || outcome->has_why || outcome->status > 1,
                      "allocation %ld: status %d", n, outcome->status);
        ck_assert_int_ne(outcome->status, 1); /* the agent's words, see inner() */
        ck_assert_int_ne(outcome->status, 2);
        ck_assert_msg(outcome->kept_bytes <= kept_bytes, "allocation %ld: %zu bytes are left", n,
                      outcome->kept_bytes);
        ck_assert_msg(outcome->kept_fds <= kept_fds, "allocation %ld: %u descriptors are left", n,
                      outcome->kept_fds);
        reached += drain(&allowed);
        failed_starts += outcome->status == SANDBOX_EXIT_FAILED;
    } while (outcome->has_failed && ++n < SWEEP_MAX);
    printf("%ld allocations, %u starts refused, %u connections made; %zu bytes and %u descriptors "
           "are kept without a failure\n",
           n, failed_starts, reached, kept_bytes, kept_fds);
    ck_assert(!outcome->has_failed);
    ck_assert_uint_gt(failed_starts, 10);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(parts_fail_at_every_allocation),
    SUITE_SLOW(sandbox_fails_at_every_allocation, 100),
};

int main(void)
{
    if (getenv("LATTICE_INNER") != NULL)
        return inner();
    (void)signal(SIGPIPE, SIG_IGN);
    return suite_run("sandbox/nomem", tests, (unsigned)ARRAY_COUNT(tests));
}
