/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's environment (sandbox/environment.h): secrets never pass, addresses of daemons pass
 * with a rule for the very socket, --clear-env leaves the base set, --env names the rest. */
#include <errno.h>
#include <string.h>

#include "sandbox/environment.h"
#include "tests/support/suite.h"

#define NOBODY "/nonexistent"

struct door_row {
    const char *var;
    const char *rule; /* that opens it; NULL: it passes without one */
};

/* Each is withheld under the empty policy, and passes with its rule and no other. */
static const struct door_row rows[] = {
    {"SSH_AUTH_SOCK=" NOBODY "/a.sock", "unix:" NOBODY "/a.sock"},
    {"SSH_AUTH_SOCK=" NOBODY "/a.sock", "unix:" NOBODY "/*"},
    {"GPG_AGENT_INFO=" NOBODY "/S.gpg:12:1", "unix:" NOBODY "/S.gpg"},
    {"TMUX=" NOBODY "/tmux-0/default,12,0", "unix:" NOBODY "/tmux-0/default"},
    {"DBUS_SESSION_BUS_ADDRESS=unix:path=" NOBODY "/bus,guid=12", "unix:" NOBODY "/bus"},
    {"DBUS_SESSION_BUS_ADDRESS=tcp:host=x;unix:path=" NOBODY "/bus", "unix:" NOBODY "/bus"},
    {"DBUS_SESSION_BUS_ADDRESS=unix:abstract=/tmp/dbus-X,guid=1", "unix:@/tmp/dbus-X"},
    {"DOCKER_HOST=unix://" NOBODY "/docker.sock", "unix:" NOBODY "/docker.sock"},
    {"DOCKER_HOST=unix:" NOBODY "/docker.sock", "unix:" NOBODY "/docker.sock"},
    {"KITTY_LISTEN_ON=unix:@kitty-1", "unix:@kitty-1"},
    {"DISPLAY=:7", "unix:/tmp/.X11-unix/X7"},
    {"DISPLAY=unix:7.0", "unix:@/tmp/.X11-unix/X7"},
    {"WAYLAND_DISPLAY=wayland-9", "unix:" NOBODY "/run/wayland-9"},
    {"WAYLAND_DISPLAY=" NOBODY "/w", "unix:" NOBODY "/w"},
    {"PULSE_SERVER={id}unix:" NOBODY "/pulse", "unix:" NOBODY "/pulse"},
    {"PULSE_SERVER=" NOBODY "/pulse", "unix:" NOBODY "/pulse"},
    {"NOTIFY_SOCKET=@notify", "unix:@notify"},
    {"VSCODE_IPC_HOOK_CLI=" NOBODY "/v.sock", "unix:" NOBODY "/v.sock"},
    {"DOCKER_HOST=tcp://192.0.2.1:2375", NULL},
    {"DOCKER_HOST=ssh://host", NULL},
    {"DISPLAY=host:0", NULL},
    {"PULSE_SERVER=tcp:host:4713", NULL},
    {"API_KEY=canary", NULL},
    {"SSH_AUTH_SOCKET=" NOBODY "/a.sock", NULL}, /* another name */
};

static struct policy *policy_of(const char *rule)
{
    struct policy *p;
    struct why why;

    ck_assert_int_eq(policy_new(POLICY_ENFORCE, &p), 0);
    if (rule != NULL)
        ck_assert_int_eq(policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str(rule), &why), 0);
    return p;
}

static char *const nothing[] = {NULL};

/** Is @var (NAME=VALUE) given when it stands in @outer, with @rule in force? */
static bool passes(const char *const *outer, const char *var, const char *rule,
                   const struct sandbox_environment *named)
{
    struct policy *p = policy_of(rule);
    struct environment e;
    struct why why;
    bool is_there = false;

    ck_assert_int_eq(environment_make((char *const *)(uintptr_t)outer, nothing, named, p, &e, &why),
                     0);
    for (char **v = e.vars; *v != NULL; v++)
        is_there = is_there || strcmp(*v, var) == 0;
    environment_done(&e);
    policy_free(p);
    return is_there;
}

START_TEST(door_without_its_rule_is_withheld)
{
    const struct door_row *r = &rows[_i];
    const char *outer[] = {"XDG_RUNTIME_DIR=" NOBODY "/run", r->var, NULL};
    const struct sandbox_environment none = {0};

    ck_assert_int_eq(passes(outer, r->var, NULL, &none), r->rule == NULL);
    ck_assert_int_eq(passes(outer, r->var, "unix:/other/socket", &none), r->rule == NULL);
}
END_TEST

START_TEST(door_with_its_rule_or_by_name_passes)
{
    const struct door_row *r = &rows[_i];
    const char *outer[] = {"XDG_RUNTIME_DIR=" NOBODY "/run", r->var, NULL};
    const struct sandbox_environment none = {0};
    const struct sandbox_environment said = {.named = &r->var, .count = 1};

    ck_assert(passes(outer, r->var, r->rule, &none));
    ck_assert(passes(outer, r->var, NULL, &said));
}
END_TEST

START_TEST(door_in_audit_mode_passes)
{
    const char *outer[] = {"SSH_AUTH_SOCK=" NOBODY "/a", NULL};
    const struct sandbox_environment none = {0};
    struct policy *p = policy_of(NULL);
    struct environment e;

    policy_set_mode(p, POLICY_AUDIT);
    ck_assert_int_eq(environment_make((char *const *)(uintptr_t)outer, nothing, &none, p, &e, NULL),
                     0);
    ck_assert_uint_eq(e.count, 1);
    environment_done(&e);
    policy_free(p);
}
END_TEST

START_TEST(secret_passes_never)
{
    const char *outer[] = {"LATTICE_AUTH_TOKEN=canary", "LATTICE_AUTH_TOKENS=other", NULL};
    const struct sandbox_environment none = {0};
    struct why why;

    ck_assert(!passes(outer, outer[0], "unix:/*", &none));
    ck_assert(passes(outer, outer[1], NULL, &none));
    ck_assert_int_eq(sandbox_env_check("LATTICE_AUTH_TOKEN", &why), -EPERM);
    ck_assert_int_eq(sandbox_env_check("LATTICE_AUTH_TOKEN=x", &why), -EPERM);
    ck_assert_int_eq(sandbox_env_check("=x", &why), -EINVAL);
    ck_assert_int_eq(sandbox_env_check("", &why), -EINVAL);
    ck_assert_int_eq(sandbox_env_check("A=", &why), 0);
}
END_TEST

START_TEST(cleared_environment_keeps_the_base_set)
{
    const char *outer[] = {"HOME=/h",      "LC_ALL=C", "LC=x",   "PATH=/p",
                           "PYTHONPATH=/", "KEEP=1",   "LOSE=1", NULL};
    const char *const names[] = {"KEEP", "NEW=2"};
    const struct sandbox_environment clear = {.named = names, .count = 2, .is_cleared = true};
    const char *const kept[] = {"HOME=/h", "LC_ALL=C", "PATH=/p", "KEEP=1", "NEW=2"};
    const char *const lost[] = {"LC=x", "PYTHONPATH=/", "LOSE=1"};

    for (unsigned i = 0; i < ARRAY_COUNT(kept); i++)
        ck_assert_msg(passes(outer, kept[i], NULL, &clear), "%s", kept[i]);
    for (unsigned i = 0; i < ARRAY_COUNT(lost); i++)
        ck_assert_msg(!passes(outer, lost[i], NULL, &clear), "%s", lost[i]);
}
END_TEST

START_TEST(last_of_two_values_counts_once)
{
    const char *outer[] = {"A=outer", NULL};
    const char *const names[] = {"A=1", "A", "A=2"};
    const struct sandbox_environment named = {.named = names, .count = 3};
    struct policy *p = policy_of(NULL);
    struct environment e;

    ck_assert_int_eq(
        environment_make((char *const *)(uintptr_t)outer, nothing, &named, p, &e, NULL), 0);
    ck_assert_uint_eq(e.count, 1);
    ck_assert_str_eq(e.vars[0], "A=2");
    environment_done(&e);
    policy_free(p);
}
END_TEST

START_TEST(given_value_replaces_the_outer_and_yields_to_a_named_one)
{
    const char *outer[] = {"TMPDIR=/outer", "A=outer", "B=outer", NULL};
    const char *given[] = {"TMPDIR=/given", "A=given", NULL};
    const char *const names[] = {"A=named"};
    const struct sandbox_environment named = {.named = names, .count = 1};
    struct policy *p = policy_of(NULL);
    struct environment e;

    ck_assert_int_eq(environment_make((char *const *)(uintptr_t)outer,
                                      (char *const *)(uintptr_t)given, &named, p, &e, NULL),
                     0);
    ck_assert_uint_eq(e.count, 3);
    ck_assert_str_eq(e.vars[0], "TMPDIR=/given");
    ck_assert_str_eq(e.vars[1], "B=outer");
    ck_assert_str_eq(e.vars[2], "A=named");
    environment_done(&e);
    policy_free(p);
}
END_TEST

START_TEST(name_that_is_not_set_is_an_error)
{
    const char *outer[] = {"A=1", NULL};
    const char *const names[] = {"B"};
    const struct sandbox_environment named = {.named = names, .count = 1};
    struct policy *p = policy_of(NULL);
    struct environment e;
    struct why why;

    ck_assert_int_eq(
        environment_make((char *const *)(uintptr_t)outer, nothing, &named, p, &e, &why), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why.text, "--env B=VALUE"));
    policy_free(p);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(door_without_its_rule_is_withheld, ARRAY_COUNT(rows)),
    SUITE_ROWS(door_with_its_rule_or_by_name_passes, ARRAY_COUNT(rows)),
    SUITE_TEST(door_in_audit_mode_passes),
    SUITE_TEST(secret_passes_never),
    SUITE_TEST(cleared_environment_keeps_the_base_set),
    SUITE_TEST(last_of_two_values_counts_once),
    SUITE_TEST(given_value_replaces_the_outer_and_yields_to_a_named_one),
    SUITE_TEST(name_that_is_not_set_is_an_error),
};
SUITE_MAIN("environment", tests)
