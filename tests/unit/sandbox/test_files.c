/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of the file policy (sandbox/files.h): what is open, what is gone round, what is refused.
 * The kernel's part is live_files. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/files.h"
#include "sandbox/masks.h"
#include "tests/support/suite.h"

#define READ  LANDLOCK_FS_READ_FILE
#define WRITE LANDLOCK_FS_WRITE_FILE

static char home[64];

static const char *at(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % ARRAY_COUNT(paths)];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", home, name);
    return path;
}

static void put(const char *name)
{
    int fd = open(at(name), O_WRONLY | O_CREAT, 0600);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
}

/** A home directory with credentials, in which `project` is the working directory. */
static void make_home(void)
{
    static const char *const dirs[] = {"project",    "project/sub", ".ssh", ".cargo",
                                       ".cargo/bin", "other",       "tmp"};

    if (landlock_abi() < FILES_ABI_MIN)
        suite_skip("this kernel has no Landlock, or an old one");
    log_setup("test", LOG_LEVEL_ERROR, /*json=*/false);
    (void)snprintf(home, sizeof(home), "/tmp/lattice-files.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home));
    for (unsigned i = 0; i < ARRAY_COUNT(dirs); i++)
        ck_assert_int_eq(mkdir(at(dirs[i]), 0700), 0);
    put(".ssh/id");
    put(".cargo/credentials.toml");
    put(".cargo/config.toml");
    put(".netrc");
    put("notes");
    ck_assert_int_eq(symlink("../.ssh", at("project/out")), 0);
    ck_assert_int_eq(symlink("../.ssh", at("tmp/out")), 0);
    ck_assert_int_eq(setenv("HOME", home, 1), 0);
    ck_assert_int_eq(setenv("TMPDIR", at("tmp"), 1), 0);
    (void)unsetenv("XDG_CACHE_HOME");
    (void)unsetenv("LATTICE_CONFIG_DIR");
    ck_assert_int_eq(chdir(at("project")), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_home(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/** The plan under @count paths, each `r PATH` or `w PATH`. */
static int make_plan(const char *const *paths, unsigned count, const struct sandbox_own_file *own,
                     struct files_plan **ret, struct why *why)
{
    struct sandbox_files f = {.own = own, .own_count = own != NULL ? 1 : 0};
    struct policy *p;
    int err;

    ck_assert_int_eq(policy_new(POLICY_ENFORCE, &p), 0);
    policy_set_files_mode(p, POLICY_FILES_WORKSPACE);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(
            policy_add_path(p, paths[i][0] == 'w' ? POLICY_FILES_WRITE : POLICY_FILES_READ,
                            bytes_of_str(paths[i] + 2), NULL),
            0);
    f.policy = policy_files(p);
    err = files_plan_new(&f, ret, why);
    policy_free(p);
    return err;
}

struct row {
    const char *policy; /* one path, or NULL */
    const char *path;   /* below the home directory, or absolute */
    uint64_t open;      /* READ, WRITE or both, exactly */
};

static const struct row rows[] = {
    {NULL, "project", READ | WRITE},
    {NULL, "project/sub/x", READ | WRITE},
    {NULL, "projects", 0},
    {NULL, "notes", 0},
    {NULL, ".ssh/id", 0},
    {NULL, "tmp/x", READ | WRITE},
    {NULL, ".cache/lattice/sandbox/npm", READ | WRITE},
    {NULL, ".cache/pip", 0},
    {NULL, "/usr/bin/env", READ},
    {NULL, "/etc/passwd", READ},
    {NULL, "/dev/null", READ | WRITE},
    {NULL, "/tmp/x", 0}, /* it holds the home directory */
    {NULL, "/var/lib/private", 0},
    {"r ~/notes", "notes", READ},
    {"w ~/notes", "notes", READ | WRITE},
    {"r ../notes", "notes", READ},
    {"r ~/nothing", "nothing", 0},
    {"r ~", "notes", READ},
    {"r ~", "other/x", READ},
    {"r ~", ".ssh/id", 0},
    {"r ~", ".netrc", 0},
    {"r ~", ".cargo/config.toml", READ},
    {"r ~", ".cargo/credentials.toml", 0},
    {"w ~", "other/x", READ | WRITE},
    {"w ~", ".ssh/id", 0},
    {"w ~", "appears-later", 0},
    {"r ~/.ssh", ".ssh/id", READ},
    {"r ~/.ssh/id", ".ssh/id", READ},
    {"r ~/.ssh/id", ".ssh/id2", 0},
    {"r ~/.cargo", ".cargo/bin/x", READ},
    {"r ~/.cargo", ".cargo/credentials.toml", 0},
    {"w ./out", ".ssh/id", 0}, /* a link in the workspace */
    {"r ~/tmp/out", ".ssh/id", 0},
    {"r ./../project/../notes", "notes", READ},
    {"r /tmp", "notes", 0}, /* the home directory itself has to be named */
};

START_TEST(paths_are_open_as_the_table_says)
{
    const struct row *r = &rows[_i];
    struct files_plan *plan = NULL;
    struct why why = {0};
    const char *path;

    make_home();
    path = r->path[0] == '/' ? r->path : at(r->path);
    ck_assert_msg(make_plan(&r->policy, r->policy != NULL ? 1 : 0, NULL, &plan, &why) == 0, "%s",
                  why.text);
    ck_assert_msg(files_plan_allows(plan, path, READ) == ((r->open & READ) != 0), "%s: reading",
                  r->path);
    ck_assert_msg(files_plan_allows(plan, path, WRITE) == ((r->open & WRITE) != 0), "%s: writing",
                  r->path);
    files_plan_free(plan);
    remove_home();
}
END_TEST

START_TEST(own_files_in_reach_are_refused)
{
    static const struct {
        const char *path;
        bool is_secret;
        int err;
    } own[] = {
        {"./log", false, -EPERM},      {"sub/log", false, -EPERM}, {"/usr/policy", false, 0},
        {"/usr/key", true, -EPERM},    {"../notes", false, 0},     {"../notes", true, 0},
        {"../tmp/log", false, -EPERM}, {"out/log", false, 0},      {"/nowhere/x", true, 0},
        {"../log", false, 0},          {"./key", true, -EPERM},
    };
    struct sandbox_own_file file = {
        .option = "--x", .path = own[_i].path, .is_secret = own[_i].is_secret};
    struct files_plan *plan = NULL;
    struct why why = {0};

    make_home();
    if (own[_i].path[0] != '/' && own[_i].path[0] != '.') {
        static char relative[64];

        (void)snprintf(relative, sizeof(relative), "./%s", own[_i].path);
        file.path = relative;
    }
    ck_assert_msg(make_plan(NULL, 0, &file, &plan, &why) == own[_i].err, "%s: %s", own[_i].path,
                  why.text);
    ck_assert(own[_i].err == 0 || strstr(why.text, "--x") != NULL);
    files_plan_free(plan);
    remove_home();
}
END_TEST

static const struct {
    const char *dir;
    const char *words; /* NULL: fine */
} workspaces[] = {
    {"project", NULL},
    {".", "is your home directory"},
    {"..", "holds your home directory"},
    {".ssh", "holds credentials"},
    {"other", NULL},
    {"/", "holds your home directory"},
};

START_TEST(workspace_that_opens_too_much_is_refused)
{
    struct files_plan *plan = NULL;
    struct why why = {0};
    int err;

    make_home();
    ck_assert_int_eq(
        chdir(workspaces[_i].dir[0] == '/' ? workspaces[_i].dir : at(workspaces[_i].dir)), 0);
    err = make_plan(NULL, 0, NULL, &plan, &why);
    ck_assert_msg((err == 0) == (workspaces[_i].words == NULL), "%s", why.text);
    ck_assert(workspaces[_i].words == NULL || strstr(why.text, workspaces[_i].words) != NULL);
    files_plan_free(plan);
    remove_home();
}
END_TEST

static bool is_masked(const struct files_plan *plan, const char *name)
{
    const struct repository *top = &plan->repositories.items[0];

    for (unsigned i = 0; masks_name(REPOSITORY_TREE, i) != NULL; i++)
        if (strcmp(masks_name(REPOSITORY_TREE, i), name) == 0)
            return (top->masked & UINT32_C(1) << i) != 0;
    ck_abort_msg("%s is no such name", name);
    return false;
}

/* Goal: all names are protected but the one that is named, by whichever spelling. */
START_TEST(name_that_is_named_is_left_open)
{
    static const char *const spellings[] = {"w ./.vscode", "w .//./.vscode",
                                            "w ../project/x/../.vscode"};
    struct files_plan *plan = NULL;

    make_home();
    ck_assert_int_eq(make_plan(NULL, 0, NULL, &plan, NULL), 0);
    ck_assert(is_masked(plan, ".vscode") && is_masked(plan, ".git/hooks"));
    files_plan_free(plan);
    ck_assert_int_eq(make_plan(&spellings[_i], 1, NULL, &plan, NULL), 0);
    ck_assert(!is_masked(plan, ".vscode") && is_masked(plan, ".git/hooks"));
    files_plan_free(plan);
    remove_home();
}
END_TEST

/* Goal: repositories below the workspace are protected like it, but for what is named: a name in
 * one, or a directory with all below it. */
START_TEST(nested_repository_is_protected_unless_named)
{
    static const struct {
        const char *rule;
        bool is_hooks_masked, is_code_masked;
    } cases[] = {
        {"w ./sub2", true, true}, /* its name only begins so */
        {"w ./sub/.vscode", true, false},
        {"w ./sub", false, false},
        {"w .", true, true},
    };
    struct files_plan *plan = NULL;
    unsigned is_hooks = 0, is_code = 0;

    make_home();
    ck_assert_int_eq(mkdir(at("project/sub/.git"), 0700), 0);
    ck_assert_int_eq(mkdir(at("project/sub2"), 0700), 0);
    ck_assert_int_eq(make_plan(&cases[_i].rule, 1, NULL, &plan, NULL), 0);
    ck_assert_uint_eq(plan->repositories.count, 2);
    for (unsigned i = 0; masks_name(REPOSITORY_TREE, i) != NULL; i++) {
        is_hooks |= strcmp(masks_name(REPOSITORY_TREE, i), ".git/hooks") == 0 ? 1u << i : 0;
        is_code |= strcmp(masks_name(REPOSITORY_TREE, i), ".vscode") == 0 ? 1u << i : 0;
    }
    ck_assert_int_eq((plan->repositories.items[1].masked & is_hooks) != 0,
                     cases[_i].is_hooks_masked);
    ck_assert_int_eq((plan->repositories.items[1].masked & is_code) != 0, cases[_i].is_code_masked);
    ck_assert(is_masked(plan, ".git/hooks") && is_masked(plan, ".vscode"));
    files_plan_free(plan);
    remove_home();
}
END_TEST

START_TEST(mode_open_has_no_plan)
{
    struct sandbox_files none = {0};
    struct files_plan *plan = &(struct files_plan){0};

    ck_assert_int_eq(files_plan_new(&none, &plan, NULL), 0);
    ck_assert_ptr_null(plan);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(paths_are_open_as_the_table_says, ARRAY_COUNT(rows)),
    SUITE_ROWS(own_files_in_reach_are_refused, 11),
    SUITE_ROWS(workspace_that_opens_too_much_is_refused, ARRAY_COUNT(workspaces)),
    SUITE_ROWS(name_that_is_named_is_left_open, 3),
    SUITE_ROWS(nested_repository_is_protected_unless_named, 4),
    SUITE_TEST(mode_open_has_no_plan),
};

SUITE_MAIN("sandbox/files", tests)
