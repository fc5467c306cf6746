/* SPDX-License-Identifier: Apache-2.0 */
/* The store by itself, in memory and in a file: single use, addresses, subtrees, the epoch. */
#include "control/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/store_sql.h"
#include "tests/support/suite.h"

#define NOW 1000000

static struct store *open_memory(void)
{
    struct store *s = NULL;

    ck_assert_int_eq(store_open(":memory:", &s, NULL), 0);
    return s;
}

static void hash_of(unsigned n, uint8_t ret[static HASH_LEN])
{
    struct bytes part = bytes_of(&n, sizeof(n));

    ck_assert_int_eq(hash_sha256(&part, 1, ret), 0);
}

/** Enrol @name below @parent ("": a root), until @end_s. */
static int put(struct store *s, const char *name, const char *parent, int64_t end_s, unsigned n)
{
    static unsigned refresh = 1000000; /* each enrolment has a secret of its own */
    struct store_agent a = {.has_public_key = true};
    uint8_t hash[HASH_LEN];
    int err;

    identity_init(&a.identity);
    (void)snprintf(a.identity.ns, sizeof(a.identity.ns), "team");
    (void)snprintf(a.identity.name, sizeof(a.identity.name), "%s", name);
    (void)snprintf(a.identity.parent, sizeof(a.identity.parent), "%s", parent);
    a.identity.phase = IDENTITY_ACTIVE;
    a.identity.expires_s = end_s;
    ck_assert_int_eq(nameset_add(&a.identity.tools, bytes_of_str("read")), 0);
    hash_of(n, a.public_key);
    hash_of(refresh++, hash);
    err = store_agent_put(s, &a, hash, NOW);
    store_agent_done(&a);
    return err;
}

static enum identity_phase phase_of(struct store *s, const char *name)
{
    enum identity_phase phase;
    struct store_agent a;

    ck_assert_int_eq(store_agent_get(s, "team", name, &a), 0);
    phase = a.identity.phase;
    store_agent_done(&a);
    return phase;
}

static void address_of(struct store *s, const char *name, char ret[static IP_TEXT_CAP])
{
    struct store_agent a;

    ck_assert_int_eq(store_agent_get(s, "team", name, &a), 0);
    (void)ip_print(&a.address, ret);
    store_agent_done(&a);
}

static void make_token(struct store_token *t, unsigned n, int64_t end_s)
{
    *t = (struct store_token){.created_s = NOW, .expires_s = end_s};
    identity_init(&t->grant);
    (void)snprintf(t->id, sizeof(t->id), "%016x", n);
    (void)snprintf(t->grant.ns, sizeof(t->grant.ns), "team");
    (void)snprintf(t->created_by, sizeof(t->created_by), "admin");
    t->grant.expires_s = IDENTITY_NEVER;
    ck_assert_int_eq(nameset_add(&t->grant.tools, bytes_of_str("read")), 0);
    hash_of(n, t->hash);
}

/* Goal: a token works once and until its end. Method: take it before, at and after, and twice. */
START_TEST(token_is_taken_once)
{
    struct store *s = open_memory();
    struct store_token t, got;
    uint8_t other[HASH_LEN];

    make_token(&t, 1, NOW + 10);
    ck_assert_int_eq(store_token_add(s, &t), 0);
    ck_assert_int_eq(store_token_add(s, &t), -EEXIST);
    hash_of(2, other);
    ck_assert_int_eq(store_token_take(s, other, NOW, &got), -ENOENT);
    ck_assert_int_eq(store_token_take(s, t.hash, NOW + 10, &got), -ETIME);
    ck_assert_int_eq(store_token_take(s, t.hash, NOW + 9, &got), 0);
    ck_assert_str_eq(got.grant.ns, "team");
    ck_assert(nameset_has(&got.grant.tools, bytes_of_str("read")));
    ck_assert_int_eq(got.grant.expires_s, IDENTITY_NEVER);
    store_token_done(&got);
    ck_assert_int_eq(store_token_take(s, t.hash, NOW + 9, &got), -EALREADY);
    ck_assert_int_eq(store_token_remove(s, t.id), 0);
    ck_assert_int_eq(store_token_remove(s, t.id), -ENOENT);
    store_token_done(&t);
    store_close(s);
}
END_TEST

/* Goal: taking is undone with its transaction. */
START_TEST(token_taking_rolls_back)
{
    struct store *s = open_memory();
    struct store_token t, got;

    make_token(&t, 1, NOW + 10);
    ck_assert_int_eq(store_token_add(s, &t), 0);
    ck_assert_int_eq(store_begin(s), 0);
    ck_assert_int_eq(store_token_take(s, t.hash, NOW, &got), 0);
    store_token_done(&got);
    store_rollback(s);
    ck_assert_int_eq(store_token_take(s, t.hash, NOW, &got), 0);
    store_token_done(&got);
    store_token_done(&t);
    store_close(s);
}
END_TEST

/* Goal: lowest free address first, a returning agent gets its own. */
START_TEST(addresses_are_lowest_free_and_kept)
{
    struct store *s = open_memory();
    char text[IP_TEXT_CAP];

    ck_assert_int_eq(put(s, "a", "", NOW + 10, 1), 0);
    ck_assert_int_eq(put(s, "b", "", NOW + 10, 2), 0);
    address_of(s, "a", text);
    ck_assert_str_eq(text, "10.100.0.2");
    address_of(s, "b", text);
    ck_assert_str_eq(text, "10.100.0.3");
    ck_assert_int_eq(store_agent_revoke(s, "team", "a", NOW), 1);
    ck_assert_int_eq(put(s, "c", "", NOW + 10, 3), 0);
    address_of(s, "c", text);
    ck_assert_str_eq(text, "10.100.0.4");
    ck_assert_int_eq(put(s, "a", "", NOW + 10, 4), 0);
    address_of(s, "a", text);
    ck_assert_str_eq(text, "10.100.0.2");
    store_close(s);
}
END_TEST

/* Goal: a live name or key is not taken over; the same key may enrol again. */
START_TEST(live_names_and_keys_are_not_displaced)
{
    struct store *s = open_memory();

    ck_assert_int_eq(put(s, "a", "", NOW + 10, 1), 0);
    ck_assert_int_eq(put(s, "a", "", NOW + 10, 2), -EEXIST);
    ck_assert_int_eq(put(s, "b", "", NOW + 10, 1), -EEXIST);
    ck_assert_int_eq(store_agent_revoke(s, "team", "a", NOW), 1);
    ck_assert_int_eq(put(s, "b", "", NOW + 10, 1), 0);
    store_close(s);
}
END_TEST

/* Goal: revoking takes the subtree and nothing else, raises the epoch, and is final. */
START_TEST(revoke_takes_the_subtree)
{
    struct store *s = open_memory();
    int64_t epoch;

    ck_assert_int_eq(put(s, "root", "", NOW + 10, 1), 0);
    ck_assert_int_eq(put(s, "kid", "root", NOW + 10, 2), 0);
    ck_assert_int_eq(put(s, "grandkid", "kid", NOW + 10, 3), 0);
    ck_assert_int_eq(put(s, "other", "", NOW + 10, 4), 0);
    ck_assert_int_eq(store_agent_has_live_ancestors(s, "team", "grandkid", NOW), 1);
    epoch = store_epoch(s);
    ck_assert_int_eq(store_agent_revoke(s, "team", "nobody", NOW), -ENOENT);
    ck_assert_int_eq(store_epoch(s), epoch);
    ck_assert_int_eq(store_agent_revoke(s, "team", "root", NOW), 3);
    ck_assert_int_gt(store_epoch(s), epoch);
    ck_assert_int_eq(phase_of(s, "root"), IDENTITY_REVOKED);
    ck_assert_int_eq(phase_of(s, "grandkid"), IDENTITY_REVOKED);
    ck_assert_int_eq(phase_of(s, "other"), IDENTITY_ACTIVE);
    ck_assert_int_eq(store_agent_has_live_ancestors(s, "team", "grandkid", NOW), 0);
    ck_assert_int_eq(store_agent_revoke(s, "team", "root", NOW), 0);
    store_close(s);
}
END_TEST

/* Goal: expiry marks exactly what is over and says when the next is. */
START_TEST(expire_marks_what_is_over)
{
    struct store *s = open_memory();
    int64_t next;

    ck_assert_int_eq(put(s, "a", "", NOW + 10, 1), 0);
    ck_assert_int_eq(put(s, "b", "", NOW + 20, 2), 0);
    ck_assert_int_eq(put(s, "c", "", IDENTITY_NEVER, 3), 0);
    ck_assert_int_eq(store_expire(s, NOW + 9, &next), 0);
    ck_assert_int_eq(next, NOW + 10);
    ck_assert_int_eq(store_expire(s, NOW + 10, &next), 1);
    ck_assert_int_eq(next, NOW + 20);
    ck_assert_int_eq(phase_of(s, "a"), IDENTITY_EXPIRED);
    ck_assert_int_eq(phase_of(s, "b"), IDENTITY_ACTIVE);
    ck_assert_int_eq(store_agent_has_live_ancestors(s, "team", "b", NOW + 20), 0);
    ck_assert_int_eq(store_expire(s, INT64_MAX - 1, &next), 1);
    ck_assert_int_eq(phase_of(s, "c"), IDENTITY_ACTIVE);
    store_close(s);
}
END_TEST

/* Goal: what was committed is there after reopening, and a newer schema is refused. */
START_TEST(reopening_keeps_everything)
{
    char dir[] = "/tmp/lattice-store-XXXXXX";
    char path[64];
    char command[160];
    struct store *s;
    int64_t epoch;
    struct why why = {.text = ""};

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/db", dir);
    ck_assert_int_eq(store_open(path, &s, NULL), 0);
    ck_assert_int_eq(put(s, "a", "", NOW + 10, 1), 0);
    ck_assert_int_eq(store_agent_revoke(s, "team", "a", NOW), 1);
    epoch = store_epoch(s);
    store_close(s);
    ck_assert_int_eq(store_open(path, &s, NULL), 0);
    ck_assert_int_eq(phase_of(s, "a"), IDENTITY_REVOKED);
    ck_assert_int_eq(store_epoch(s), epoch);
    store_close(s);
    FILE *file = fopen(path, "r+b"); /* user_version: 4 bytes, big-endian, at offset 60 */
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 63, SEEK_SET), 0);
    ck_assert_int_eq(fputc(99, file), 99);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(store_open(path, &s, &why), -EPROTO);
    (void)unlink(path);
    (void)snprintf(command, sizeof(command), "%s-wal", path);
    (void)unlink(command);
    (void)snprintf(command, sizeof(command), "%s-shm", path);
    (void)unlink(command);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* Goal: a full disk, a database that may not be written and a held lock are told apart, and nothing
 * is half there afterwards. Method: a limit on the file's pages, query_only, and a second
 * connection that writes. */
START_TEST(faults_are_told_apart)
{
    char dir[] = "/tmp/lattice-store-XXXXXX";
    char path[64], command[128];
    struct store *s = NULL;
    struct store *other = NULL;
    unsigned n = 1;
    int err = 0;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/db", dir);
    ck_assert_int_eq(store_open(path, &s, NULL), 0);
    ck_assert_int_eq(put(s, "a", "", NOW + 10, 1), 0);
    ck_assert_int_eq(store_fault(s), STORE_FINE);
    ck_assert_int_eq(sql_exec(s, "PRAGMA max_page_count = 1"), 0); /* as many as there are */
    while (err == 0 && n < 1000) {
        (void)snprintf(command, sizeof(command), "full-%u", n);
        ck_assert_int_eq(store_begin(s), 0);
        err = put(s, command, "", NOW + 10, ++n);
        if (err == 0)
            err = store_commit(s);
    }
    ck_assert_int_lt(err, 0);
    ck_assert_int_eq(store_fault(s), STORE_FULL);
    ck_assert_str_eq(store_fault_name(STORE_FULL), "full");
    store_rollback(s);
    ck_assert_int_eq(store_count(s, IDENTITY_ACTIVE), (int64_t)n - 1);
    ck_assert_int_eq(sql_exec(s, "PRAGMA max_page_count = 1073741823; PRAGMA query_only = 1"), 0);
    ck_assert_int_lt(put(s, "b", "", NOW + 10, 5000), 0);
    ck_assert_int_eq(store_fault(s), STORE_READ_ONLY);
    ck_assert_int_eq(sql_exec(s, "PRAGMA query_only = 0"), 0);
    ck_assert_int_eq(store_open(path, &other, NULL), 0);
    ck_assert_int_eq(store_begin(other), 0);
    ck_assert_int_lt(store_begin(s), 0);
    ck_assert_int_eq(store_fault(s), STORE_BUSY);
    store_rollback(other);
    ck_assert_int_eq(put(s, "b", "", NOW + 10, 5000), 0);
    ck_assert_int_eq(store_fault(s), STORE_FINE);
    store_close(other);
    store_close(s);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* Goal: whatever the branch, a family's delegations count together, and another family's do not. */
START_TEST(delegations_of_a_family_are_counted)
{
    struct store *s = open_memory();
    struct store_token t;

    ck_assert_int_eq(put(s, "root", "", NOW + 100, 1), 0);
    ck_assert_int_eq(put(s, "left", "root", NOW + 100, 2), 0);
    ck_assert_int_eq(put(s, "right", "root", NOW + 100, 3), 0);
    ck_assert_int_eq(put(s, "stranger", "", NOW + 100, 4), 0);
    for (unsigned i = 0; i < 3; i++) {
        make_token(&t, 10 + i, NOW + 50);
        (void)snprintf(t.grant.parent, sizeof(t.grant.parent), "%s", i == 2 ? "stranger" : "left");
        ck_assert_int_eq(store_token_add(s, &t), 0);
        store_token_done(&t);
    }
    ck_assert_int_eq(store_tree_count(s, "team", "root", NOW - 1), 2);
    ck_assert_int_eq(store_tree_count(s, "team", "right", NOW - 1), 2);
    ck_assert_int_eq(store_tree_count(s, "team", "stranger", NOW - 1), 1);
    ck_assert_int_eq(store_tree_count(s, "team", "root", NOW), 0);
    store_close(s);
}
END_TEST

/* Goal: tidying takes what ended long ago, and nothing younger. */
START_TEST(tidying_keeps_what_is_young)
{
    struct store *s = open_memory();
    struct store_request r = {.status = 201, .hash = {9}};
    struct store_request got = {.status = 0};
    struct store_token t;
    uint8_t key[HASH_LEN] = {7};

    buf_init(&r.answer, 16);
    buf_init(&got.answer, 16);
    buf_add(&r.answer, "a\0b", 3);
    ck_assert_int_eq(store_request_add(s, "admin", key, &r, NOW), 0);
    ck_assert_int_eq(store_request_add(s, "admin", key, &r, NOW), -EEXIST);
    make_token(&t, 1, NOW + 10);
    ck_assert_int_eq(store_token_add(s, &t), 0);
    ck_assert_int_eq(store_tidy(s, NOW + 86400), 0);
    ck_assert_int_eq(store_request_find(s, "else", key, &got), -ENOENT);
    ck_assert_int_eq(store_request_find(s, "admin", key, &got), 0);
    ck_assert_uint_eq(got.status, 201);
    ck_assert_uint_eq(got.answer.len, 3);
    ck_assert_int_eq(store_tidy(s, NOW + 86401), 0);
    ck_assert_int_eq(store_request_find(s, "admin", key, &got), -ENOENT);
    ck_assert_int_eq(store_tidy(s, NOW + 10 + 30 * 86400), 0);
    ck_assert_int_eq(store_token_remove(s, t.id), 0);
    ck_assert_int_eq(store_token_add(s, &t), 0);
    ck_assert_int_eq(store_tidy(s, NOW + 11 + 30 * 86400), 0);
    ck_assert_int_eq(store_token_remove(s, t.id), -ENOENT);
    store_token_done(&t);
    buf_done(&r.answer);
    buf_done(&got.answer);
    store_close(s);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(token_is_taken_once),
    SUITE_TEST(token_taking_rolls_back),
    SUITE_TEST(addresses_are_lowest_free_and_kept),
    SUITE_TEST(live_names_and_keys_are_not_displaced),
    SUITE_TEST(revoke_takes_the_subtree),
    SUITE_TEST(expire_marks_what_is_over),
    SUITE_TEST(reopening_keeps_everything),
    SUITE_TEST(faults_are_told_apart),
    SUITE_TEST(delegations_of_a_family_are_counted),
    SUITE_TEST(tidying_keeps_what_is_young),
};

SUITE_MAIN("control/store", tests)
