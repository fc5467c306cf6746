/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's credentials: whose they are, where they lie, and who may have them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/rng.h"
#include "enroll/credentials.h"
#include "netstack/netstack.h"
#include "tests/support/suite.h"

static void generate(uint8_t ret[static 32])
{
    wg_key_generate(rng_system(), ret);
}

static const struct enroll_keys keys = {
    .generate = generate, .public_of = wg_key_public, .parse = wg_key_parse, .print = wg_key_print};

/* Credentials are too large for a stack; each test has a process, and a directory, of its own. */
static char dir[64];

static const char *path_of(const char *name)
{
    static char path[160]; /* read before the next call */

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void make_dir(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/lattice-credentials.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    static const char *const files[] = {"sandboxes/two/sandbox-credentials.json",
                                        "sandboxes/two/sandbox-credentials.lock",
                                        "sandboxes/two/agent/token",
                                        "sandbox-credentials.json",
                                        "sandbox-credentials.lock",
                                        "agent/token"};

    for (unsigned i = 0; i < ARRAY_COUNT(files); i++)
        (void)unlink(path_of(files[i]));
    (void)rmdir(path_of("agent"));
    (void)rmdir(path_of("sandboxes/two/agent"));
    (void)rmdir(path_of("sandboxes/two"));
    (void)rmdir(path_of("sandboxes"));
    ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left, no half-written file either */
}

static void enrol(const char *name, struct credentials *ret)
{
    struct why why = {0};

    ck_assert_msg(credentials_open(dir, name, &keys, ret, &why) == 0, "%s", why.text);
    ck_assert(!ret->has_key);
    generate(ret->private_key);
    ret->has_key = true;
    (void)snprintf(ret->jwt, sizeof(ret->jwt), "jwt-of-%s", name);
    (void)snprintf(ret->refresh, sizeof(ret->refresh), "refresh-of-%s", name);
    ck_assert_msg(credentials_save(ret, &why) == 0, "%s", why.text);
}

static mode_t mode_of(const char *name)
{
    struct stat st;

    ck_assert_int_eq(stat(path_of(name), &st), 0);
    return st.st_mode & 0777;
}

/* Goal: what was saved is there at the next start, and nobody else's to read. */
START_TEST(credentials_saved_are_read_again)
{
    static struct credentials first, again;
    struct why why = {0};
    struct buf text;

    make_dir();
    enrol("one", &first);
    (void)close(first.lock_fd);
    ck_assert_int_eq(mode_of("sandbox-credentials.json"), 0600);
    ck_assert_int_eq(mode_of("agent/token"), 0600);
    buf_init(&text, 256);
    ck_assert_int_eq(io_read_file(path_of("agent/token"), &text, &why), 0);
    ck_assert_str_eq(buf_text(&text), "jwt-of-one");
    buf_done(&text);
    ck_assert_int_eq(credentials_open(dir, "one", &keys, &again, &why), 0);
    ck_assert_int_eq(memcmp(first.private_key, again.private_key, 32), 0);
    ck_assert_str_eq(again.jwt, "jwt-of-one");
    ck_assert_str_eq(again.refresh, "refresh-of-one");
    (void)close(again.lock_fd);
    remove_dir();
}
END_TEST

/* Goal: a second agent on the same host gets a place of its own, and neither touches the other's.
 */
START_TEST(credentials_of_two_agents_lie_apart)
{
    static struct credentials one, two, again;
    struct why why = {0};

    make_dir();
    enrol("one", &one);
    enrol("two", &two); /* while the first one still runs */
    (void)close(one.lock_fd);
    (void)close(two.lock_fd);
    ck_assert_int_eq(access(path_of("sandboxes/two/agent/token"), F_OK), 0);
    ck_assert_int_eq(credentials_open(dir, "one", &keys, &again, &why), 0);
    ck_assert_str_eq(again.refresh, "refresh-of-one");
    (void)close(again.lock_fd);
    ck_assert_int_eq(credentials_open(dir, "two", &keys, &again, &why), 0);
    ck_assert_str_eq(again.refresh, "refresh-of-two");
    (void)close(again.lock_fd);
    remove_dir();
}
END_TEST

/* Goal: one key is used by one sandbox at a time. Method: another process opens them meanwhile. */
START_TEST(credentials_in_use_are_refused)
{
    static struct credentials first, second;
    struct why why = {0};

    make_dir();
    enrol("one", &first);
    ck_assert_int_eq(credentials_open(dir, "one", &keys, &second, &why), -EBUSY);
    ck_assert_ptr_nonnull(strstr(why.text, "runs"));
    (void)close(first.lock_fd);
    ck_assert_int_eq(credentials_open(dir, "one", &keys, &second, &why), 0);
    (void)close(second.lock_fd);
    remove_dir();
}
END_TEST

/* Goal: credentials that others could read, or that are damaged, are not used. */
START_TEST(credentials_open_to_others_are_refused)
{
    static struct credentials c;
    struct why why = {0};
    int fd;

    make_dir();
    enrol("one", &c);
    (void)close(c.lock_fd);
    ck_assert_int_eq(chmod(path_of("sandbox-credentials.json"), 0640), 0);
    ck_assert_int_eq(credentials_open(dir, "one", &keys, &c, &why), -EACCES);
    ck_assert_ptr_nonnull(strstr(why.text, "chmod 600"));
    ck_assert_int_eq(chmod(path_of("sandbox-credentials.json"), 0600), 0);
    fd = open(path_of("sandbox-credentials.json"), O_WRONLY | O_TRUNC | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write_all(fd, "{\"privateKey\":\"short\"}", 22), 0);
    (void)close(fd);
    ck_assert_int_eq(credentials_open(dir, "one", &keys, &c, &why), -EINVAL);
    remove_dir();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(credentials_saved_are_read_again),
    SUITE_TEST(credentials_of_two_agents_lie_apart),
    SUITE_TEST(credentials_in_use_are_refused),
    SUITE_TEST(credentials_open_to_others_are_refused),
};

SUITE_MAIN("enroll/credentials", tests)
