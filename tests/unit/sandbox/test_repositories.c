/* SPDX-License-Identifier: Apache-2.0 */
/* What is found of repositories in a workspace (sandbox/repositories.h), and where finding ends.
 * What is then done with them is live_files_names. */
#include "sandbox/repositories.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/support/suite.h"

static struct repositories found; /* filled anew by each test */

static void make_dir(const char *path)
{
    char part[REPOSITORY_PATH_MAX];

    for (size_t i = 0; path[i] != '\0'; i++) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)i + 1, path);
        if (path[i + 1] == '/' || path[i + 1] == '\0')
            ck_assert(mkdir(part, 0700) == 0 || errno == EEXIST);
    }
}

static void put(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
}

static void make_git_dir(const char *path)
{
    static const char *const names[] = {"objects", "refs", "HEAD"};
    char name[REPOSITORY_PATH_MAX];

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        (void)snprintf(name, sizeof(name), "%s/%s", path, names[i]);
        make_dir(name);
    }
}

static void enter_workspace(void)
{
    char path[] = "/tmp/lattice-repositories.XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_assert_int_eq(chdir(path), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static void leave_workspace(void)
{
    char *path = getcwd(NULL, 0);

    repositories_done(&found);
    ck_assert_int_eq(nftw(path, remove_one, 64, FTW_DEPTH | FTW_PHYS), 0);
    free(path);
}

/** The part that was found at @path; -1: none. */
static int part_at(const char *path)
{
    for (unsigned i = 0; i < found.count; i++)
        if (strcmp(found.items[i].path, path) == 0)
            return (int)found.items[i].part;
    return -1;
}

/* Goal: each kind of repository is found, the workspace first, and nothing else. */
START_TEST(each_kind_is_found)
{
    enter_workspace();
    make_git_dir(".git");
    make_git_dir(".git/modules/vendor/sub");            /* a submodule's name with a slash */
    make_git_dir(".git/modules/vendor/sub/modules/in"); /* a submodule's own */
    make_git_dir(".git/modules/modules");               /* one that is called so */
    make_dir(".git/worktrees/linked");
    make_git_dir("libs/inner/.git");
    make_dir("vendor/sub");
    put("vendor/sub/.git");
    make_git_dir("store.git");
    make_dir("src/objects/refs"); /* no git directory: two of three names */
    put("src/HEAD");
    make_dir("src/refs");
    ck_assert_int_eq(rmdir("src/refs"), 0);
    ck_assert_int_eq(repositories_find(".", &found), 0);
    ck_assert(!found.is_partial);
    ck_assert_uint_eq(found.count, 8);
    ck_assert_str_eq(found.items[0].path, "");
    ck_assert_int_eq(part_at(""), REPOSITORY_TREE);
    ck_assert_int_eq(part_at("libs/inner"), REPOSITORY_TREE);
    ck_assert_int_eq(part_at("vendor/sub"), REPOSITORY_TREE);
    ck_assert_int_eq(part_at("store.git"), REPOSITORY_GIT_DIR);
    ck_assert_int_eq(part_at(".git/modules/vendor/sub"), REPOSITORY_GIT_DIR);
    ck_assert_int_eq(part_at(".git/modules/vendor/sub/modules/in"), REPOSITORY_GIT_DIR);
    ck_assert_int_eq(part_at(".git/modules/modules"), REPOSITORY_GIT_DIR);
    ck_assert_int_eq(part_at(".git/worktrees/linked"), REPOSITORY_WORKTREE);
    leave_workspace();
}
END_TEST

/* Goal: a workspace without repositories has one entry, itself. */
START_TEST(plain_directory_has_itself)
{
    enter_workspace();
    make_dir("a/b/c");
    ck_assert_int_eq(repositories_find(".", &found), 0);
    ck_assert_uint_eq(found.count, 1);
    ck_assert(!found.is_partial);
    leave_workspace();
    ck_assert_int_eq(repositories_find("/nowhere/at/all", &found), -ENOENT);
}
END_TEST

/* Goal: no link is followed, neither out of the workspace nor within it. */
START_TEST(links_lead_nowhere)
{
    enter_workspace();
    make_git_dir("real/inner/.git");
    ck_assert_int_eq(symlink("real", "link"), 0);
    ck_assert_int_eq(symlink("/", "root"), 0);
    ck_assert_int_eq(repositories_find(".", &found), 0);
    ck_assert_uint_eq(found.count, 2);
    ck_assert_int_eq(part_at("real/inner"), REPOSITORY_TREE);
    leave_workspace();
}
END_TEST

/* Goal: as many repositories as can be kept are no partial result, one more is. */
START_TEST(count_has_a_limit)
{
    char path[64];

    enter_workspace();
    for (unsigned i = 1; i < REPOSITORIES_MAX; i++) {
        (void)snprintf(path, sizeof(path), "r%u/.git", i);
        make_dir(path);
    }
    ck_assert_int_eq(repositories_find(".", &found), 0);
    ck_assert_uint_eq(found.count, REPOSITORIES_MAX);
    ck_assert(!found.is_partial);
    repositories_done(&found);
    make_dir("last/.git");
    ck_assert_int_eq(repositories_find(".", &found), 0);
    ck_assert_uint_eq(found.count, REPOSITORIES_MAX);
    ck_assert(found.is_partial);
    leave_workspace();
}
END_TEST

/* Goal: what lies too deep is said to be left out, and what lies above it is found. */
START_TEST(depth_has_a_limit)
{
    char path[REPOSITORY_PATH_MAX];
    size_t len = 0;

    enter_workspace();
    make_git_dir("upper/.git");
    for (unsigned i = 0; i < REPOSITORY_DEPTH_MAX; i++)
        len += (size_t)snprintf(path + len, sizeof(path) - len, "%sd", i > 0 ? "/" : "");
    make_dir(path);
    ck_assert_int_eq(repositories_find(".", &found), 0);
    ck_assert(!found.is_partial);
    repositories_done(&found);
    (void)snprintf(path + len, sizeof(path) - len, "/d");
    make_dir(path);
    ck_assert_int_eq(repositories_find(".", &found), 0);
    ck_assert(found.is_partial);
    ck_assert_int_eq(part_at("upper"), REPOSITORY_TREE);
    leave_workspace();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(each_kind_is_found), SUITE_TEST(plain_directory_has_itself),
    SUITE_TEST(links_lead_nowhere), SUITE_TEST(count_has_a_limit),
    SUITE_TEST(depth_has_a_limit),
};

SUITE_MAIN("sandbox/repositories", tests)
