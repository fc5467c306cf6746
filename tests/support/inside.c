/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/sandbox.h"
#include "tests/support/suite.h"

void inside_complain(const char *function, int line, const char *what)
{
    (void)fprintf(stderr, "inner %s:%d: %s (errno %d)\n", function, line, what, errno);
}

unsigned inside_slowness(void)
{
    const char *text = getenv("LATTICE_SLOW");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : 1;

    return n > 0 && n <= 1000 ? (unsigned)n : 1;
}

__attribute__((noreturn)) static void supervise(const struct inside *in, const char *name)
{
    char own_path[4096] = "";
    char *argv[] = {own_path, NULL};
    char log[sizeof(in->folder) + 8];
    struct policy *policy = NULL;
    struct why why = {0};
    int status;
    struct sandbox_config config = {
        .name = "live", .argv = argv, .network = NETSTACK_OFFLINE, .audit_log = log};

    must(readlink("/proc/self/exe", own_path, sizeof(own_path) - 1) > 0);
    (void)snprintf(log, sizeof(log), "%s/records", in->folder);
    log_setup("live", LOG_LEVEL_ERROR, /*json=*/false);
    must(policy_new(POLICY_ENFORCE, &policy) == 0);
    config.policy = policy;
    (void)setenv("LATTICE_INNER", name, 1);
    status = sandbox_run(&config, &why);
    if (why.text[0] != '\0')
        (void)fprintf(stderr, "sandbox: %s\n", why.text);
    _exit(status);
}

void inside_start(struct inside *in, const char *name)
{
    int to[2], from[2];

    *in = (struct inside){.folder = "/tmp/lattice-inside-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(in->folder));
    ck_assert_int_eq(pipe(to), 0);
    ck_assert_int_eq(pipe(from), 0);
    (void)fflush(NULL);
    in->supervisor = fork();
    ck_assert_int_ge(in->supervisor, 0);
    if (in->supervisor == 0) {
        (void)close(to[1]);
        (void)close(from[0]);
        must(dup2(to[0], STDIN_FILENO) == STDIN_FILENO);
        must(dup2(from[1], STDOUT_FILENO) == STDOUT_FILENO);
        (void)close(to[0]);
        (void)close(from[1]);
        supervise(in, name);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    in->to = to[1];
    in->from = fdopen(from[0], "r");
    ck_assert_ptr_nonnull(in->from);
}

void inside_line(struct inside *in, char *ret, size_t cap)
{
    if (fgets(ret, (int)cap, in->from) == NULL)
        ret[0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

void inside_go(struct inside *in)
{
    ck_assert_int_eq(write(in->to, "g", 1), 1);
}

int inside_end(struct inside *in)
{
    static const char *const files[] = {"records", "records.head"};
    char text[256];
    int status;

    (void)close(in->to);
    while (fgets(text, sizeof(text), in->from) != NULL)
        (void)fputs(text, stdout);
    (void)fclose(in->from);
    ck_assert_int_eq(waitpid(in->supervisor, &status, 0), in->supervisor);
    for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
        (void)snprintf(text, sizeof(text), "%s/%s", in->folder, files[i]);
        (void)unlink(text);
    }
    ck_assert_int_eq(rmdir(in->folder), 0);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}
