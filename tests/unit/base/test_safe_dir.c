/* SPDX-License-Identifier: Apache-2.0 */
/* Where a link on the way to a file is followed, and where it is not. */
#include "base/safe_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "tests/support/suite.h"

/* Of the test that runs in this process: home/ (closed), home/work/ (the working directory),
 * home/target/, home/link → target, home/work/link → ../target, open/ (everybody may write),
 * open/link → ../home/target. */
static char place[64];

static void link_to(const char *target, const char *name)
{
    ck_assert_int_eq(symlink(target, name), 0);
}

static void set_up(void)
{
    (void)snprintf(place, sizeof(place), "/tmp/lattice-safe-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(place));
    ck_assert_int_eq(chdir(place), 0);
    ck_assert(mkdir("home", 0700) == 0 && mkdir("home/work", 0700) == 0);
    ck_assert(mkdir("home/target", 0700) == 0 && mkdir("open", 0700) == 0);
    ck_assert(chmod("open", 01777) == 0);
    link_to("target", "home/link");
    link_to("../target", "home/work/link");
    link_to("../home/target", "open/link");
    link_to("loop", "home/loop");
    ck_assert_int_eq(chdir("home/work"), 0);
}

static void tear_down(void)
{
    char command[96];

    (void)snprintf(command, sizeof(command), "rm -rf %s", place);
    ck_assert_int_eq(chdir("/"), 0);
    (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
}

static const struct {
    const char *path; /* `%` at the front: below the place */
    int err;
    const char *leads_to; /* below the place; where the file would be made */
} rows[] = {
    {"file", 0, "home/work"},
    {"new/deep/file", 0, "home/work/new/deep"},
    {"./../work/file", 0, "home/work"},
    {"%/home/target/file", 0, "home/target"},
    {"%/home/link/file", 0, "home/target"}, /* not below the workspace, and closed */
    {"%/home/link/../work/file", 0, "home/work"},
    {"%/home/link/new/file", 0, "home/target/new"},
    {"link/file", -ELOOP, NULL},
    {"%/home/work/link/file", -ELOOP, NULL},
    {"%/home/link/../work/link/file", -ELOOP, NULL},
    {"new2/../link/file", -ELOOP, NULL},
    {"%/open/link/file", -ELOOP, NULL}, /* as /tmp */
    {"%/open/own/file", 0, "open/own"},
    {"%/home/loop/file", -ELOOP, NULL},
    {"link", 0, "home/work"}, /* the last component is the caller's to judge */
    {"", -EISDIR, NULL},
    {"new/", -EISDIR, NULL},
    {"..", -EISDIR, NULL},
};

START_TEST(c8_links_are_followed_where_no_program_can_have_made_them)
{
    struct stat got, expected;
    struct why why = {0};
    char path[256], wanted[256];
    const char *name;
    unsigned fds = suite_open_fds();
    int fd = -1, err;

    set_up();
    (void)snprintf(path, sizeof(path), "%s%s", rows[_i].path[0] == '%' ? place : "",
                   rows[_i].path + (rows[_i].path[0] == '%' ? 1 : 0));
    err = safe_dir_open(path, &fd, &name, &why);
    ck_assert_msg(err == rows[_i].err, "%s: %d %s", path, err, why.text);
    if (err < 0) {
        ck_assert_str_ne(why.text, "");
    } else {
        (void)snprintf(wanted, sizeof(wanted), "%s/%s", place, rows[_i].leads_to);
        ck_assert(fstat(fd, &got) == 0 && stat(wanted, &expected) == 0);
        ck_assert(got.st_ino == expected.st_ino && got.st_dev == expected.st_dev);
        ck_assert_str_eq(name, strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path);
        own_close(&fd);
    }
    ck_assert_uint_eq(suite_open_fds(), fds);
    tear_down();
}
END_TEST

/** A file on the way, and a directory that may not be entered. */
START_TEST(other_errors_are_passed_on)
{
    struct why why = {0};
    const char *name;
    int fd = -1;

    set_up();
    ck_assert_int_ge(fd = creat("file", 0600), 0);
    own_close(&fd);
    ck_assert_int_eq(safe_dir_open("file/other", &fd, &name, &why), -ENOTDIR);
    ck_assert_int_eq(mkdir("closed", 0), 0);
    if (geteuid() != 0)
        ck_assert_int_eq(safe_dir_open("closed/new/file", &fd, &name, &why), -EACCES);
    ck_assert_int_eq(rmdir("closed"), 0);
    tear_down();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(c8_links_are_followed_where_no_program_can_have_made_them, ARRAY_COUNT(rows)),
    SUITE_TEST(other_errors_are_passed_on),
};
SUITE_MAIN("base/safe_dir", tests)
