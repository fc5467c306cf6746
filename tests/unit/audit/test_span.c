/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs as spans: parents by lineage, the table against a plain model, and what reaches the log.
 */
#include "tests/support/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/span.h"

/* 10 is the sandbox's first process; 11 its child; 12 a child of 11 that only forked; 13 a child
 * of 12. */
static int32_t parent_of(void *self, int32_t pid)
{
    (void)self;
    return pid == 10 ? 1 : pid >= 11 && pid <= 13 ? pid - 1 : pid == 50 ? 50 : 0;
}

static const struct audit_lineage lineage = {.parent_of = parent_of};
static char dir[] = "/tmp/lattice-test-span-XXXXXX";
static char path[64];
static char head[80];

static struct audit *start(void)
{
    struct audit_config config = {.path = path, .identity = "box"};
    struct audit *a = NULL;
    struct why why = {0};

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    (void)snprintf(head, sizeof(head), "%s.head", path);
    ck_assert_msg(audit_start(&config, &a, &why) == 0, "%s", why.text);
    return a;
}

static void finish(struct audit *a)
{
    ck_assert_int_eq(audit_stop(a), 0);
    ck_assert_int_eq(unlink(path) + unlink(head) + rmdir(dir), 0);
}

START_TEST(flows_belong_to_the_nearest_ancestor_that_executed)
{
    struct audit *a = start();
    char shell[AUDIT_SPAN_CAP];
    char child[AUDIT_SPAN_CAP];

    ck_assert_str_eq(audit_span_of(a, 10, &lineage), audit_root_span(a));
    ck_assert_int_eq(audit_exec(a, 10, "/bin/sh", NULL, &lineage), 0);
    (void)snprintf(shell, sizeof(shell), "%s", audit_span_of(a, 10, &lineage));
    ck_assert_str_ne(shell, audit_root_span(a));
    ck_assert_str_eq(audit_span_of(a, 13, &lineage), shell); /* forks only */
    ck_assert_int_eq(audit_exec(a, 11, "/usr/bin/make", NULL, &lineage), 0);
    (void)snprintf(child, sizeof(child), "%s", audit_span_of(a, 11, &lineage));
    ck_assert_str_ne(child, shell);
    ck_assert_str_eq(audit_span_of(a, 13, &lineage), child);
    ck_assert_int_eq(audit_exit(a, 11, 0), 0);
    ck_assert_str_eq(audit_span_of(a, 13, &lineage), shell);
    ck_assert_int_eq(audit_exit(a, 99, 0), 0);                            /* was never there */
    ck_assert_str_eq(audit_span_of(a, 50, &lineage), audit_root_span(a)); /* its own parent */
    ck_assert_str_eq(audit_span_of(a, 77, NULL), audit_root_span(a));
    finish(a);
}
END_TEST

/* Goal: what a server does for a call belongs to the call, and what it did before or does
 * afterwards does not. Method: programs before and after audit_set_cause(), with and without. */
START_TEST(flows_belong_to_the_cause_while_there_is_one)
{
    static const char call[] = "00000000000000aa";
    struct audit *a = start();
    char server[AUDIT_SPAN_CAP];

    ck_assert_int_eq(audit_exec(a, 10, "/usr/bin/node", "[\"node\"]", &lineage), 0);
    (void)snprintf(server, sizeof(server), "%s", audit_span_of(a, 10, &lineage));
    ck_assert_int_eq(audit_set_cause(a, "00000000000000a"), -EINVAL);
    ck_assert_int_eq(audit_set_cause(a, "00000000000000aG"), -EINVAL);
    ck_assert_str_eq(audit_span_of(a, 10, &lineage), server);
    ck_assert_int_eq(audit_set_cause(a, call), 0);
    ck_assert_str_eq(audit_span_of(a, 10, &lineage), call);
    ck_assert_int_eq(audit_exec(a, 11, "/usr/bin/git", NULL, &lineage), 0);
    ck_assert_str_ne(audit_span_of(a, 11, &lineage), call); /* its own span, below the call's */
    ck_assert_str_ne(audit_span_of(a, 11, &lineage), server);
    ck_assert_int_eq(audit_set_cause(a, NULL), 0);
    ck_assert_str_eq(audit_span_of(a, 10, &lineage), server);
    finish(a);
}
END_TEST

START_TEST(program_records_reach_the_tree)
{
    struct audit *a = start();
    struct audit_store *store = NULL;
    struct audit_tree *tree = NULL;
    const struct audit_drawing how = {0};
    struct audit_span call;
    const struct audit_record outcome = {
        .tool = "read_file", .status = "error", .error = "ENOENT", .arguments = "{\"a\":1}"};
    const struct audit_record begin = {.kind = AUDIT_START, .mode = "enforce", .duration_ns = -1};
    const struct audit_record end = {.kind = AUDIT_STOP, .exit_status = 3, .duration_ns = -1};
    char trace[AUDIT_TRACE_CAP];
    struct buf out;
    char *shell;

    (void)snprintf(trace, sizeof(trace), "%s", audit_trace_id(a));
    ck_assert_int_eq(audit_emit(a, &begin), 0);
    ck_assert_int_eq(audit_exec(a, 10, "/bin/sh", NULL, &lineage), 0);
    ck_assert_int_eq(audit_exec(a, 11, "/bin/env", NULL, &lineage), 0);
    ck_assert_int_eq(audit_exec(a, 11, "/usr/bin/python3", NULL, &lineage),
                     0); /* env executes python3 */
    audit_span_begin(a, audit_span_of(a, 11, &lineage), &call);
    ck_assert_int_eq(audit_span_end(a, &call, &outcome), 0);
    ck_assert_int_eq(audit_exit(a, 11, 1), 0);
    ck_assert_int_eq(audit_emit(a, &end), 0);
    ck_assert_int_eq(audit_stop(a), 0);

    ck_assert_int_eq(audit_store_open(":memory:", &store, NULL), 0);
    ck_assert_int_eq(audit_store_load(store, path, NULL, NULL), 8);
    ck_assert_int_eq(audit_tree_load(store, trace, &tree), 0);
    buf_init(&out, 1u << 20);
    ck_assert_int_eq(audit_tree_draw(tree, &how, &out), 0);
    shell = strstr(buf_text(&out), "└─ sandbox:box");
    ck_assert_ptr_nonnull(shell);
    shell = strstr(shell, "   └─ exec:sh");
    ck_assert_ptr_nonnull(shell);
    ck_assert_ptr_nonnull(strstr(shell, "running"));
    ck_assert_ptr_nonnull(strstr(shell, "      ├─ exec:env"));
    shell = strstr(shell, "      └─ exec:python3");
    ck_assert_ptr_nonnull(shell);
    ck_assert_ptr_nonnull(strstr(shell, "exit 1"));
    ck_assert_ptr_nonnull(strstr(shell, "         └─ tool:read_file"));
    buf_done(&out);
    audit_tree_free(tree);
    audit_store_close(store);
    ck_assert_int_eq(unlink(path) + unlink(head) + rmdir(dir), 0);
}
END_TEST

START_TEST(table_agrees_with_a_plain_model_under_random_use)
{
    /* Random adds and removes over few ids, so that probes collide; after each the whole table is
     * looked up. The seed is fixed: one failure is every failure. */
    static bool is_there[3000];
    struct programs p;
    uint32_t seed = 12345;
    unsigned count = 0;

    ck_assert_int_eq(programs_init(&p), 0);
    for (unsigned step = 0; step < 60000; step++) {
        int32_t pid;
        struct program *found;

        seed = seed * 1664525u + 1013904223u;
        pid = (int32_t)(1 + (seed >> 8) % 2999);
        found = programs_find(&p, pid);
        ck_assert_int_eq(found != NULL, is_there[pid]);
        if (found != NULL)
            programs_remove(&p, found);
        else
            ck_assert_ptr_nonnull(programs_add(&p, pid));
        is_there[pid] = !is_there[pid];
        count = is_there[pid] ? count + 1 : count - 1;
        ck_assert_uint_eq(p.count, count);
        if (step % 1000 == 0)
            for (int32_t i = 1; i < 3000; i++)
                ck_assert_int_eq(programs_find(&p, i) != NULL, is_there[i]);
    }
    programs_done(&p);
}
END_TEST

START_TEST(full_table_refuses_one_more)
{
    struct programs p;

    ck_assert_int_eq(programs_init(&p), 0);
    for (int32_t i = 1; i <= (int32_t)AUDIT_PROGRAMS_MAX; i++)
        ck_assert_ptr_nonnull(programs_add(&p, i));
    ck_assert_ptr_null(programs_add(&p, AUDIT_PROGRAMS_MAX + 1));
    ck_assert_ptr_null(programs_add(&p, 0));
    programs_done(&p);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(flows_belong_to_the_nearest_ancestor_that_executed),
    SUITE_TEST(flows_belong_to_the_cause_while_there_is_one),
    SUITE_TEST(program_records_reach_the_tree),
    SUITE_TEST(table_agrees_with_a_plain_model_under_random_use),
    SUITE_TEST(full_table_refuses_one_more),
};

SUITE_MAIN("audit spans", tests)
