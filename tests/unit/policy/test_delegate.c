/* SPDX-License-Identifier: Apache-2.0 */
/* Delegation by hand-made cases; the property over random chains is
 * tests/prop/prop_delegate_narrows.c. */
#include "policy/identity.h"

#include <errno.h>
#include <stdarg.h>

#include "tests/support/suite.h"

#define NOW 5000

static void fill(struct nameset *s, const char *first, ...)
{
    va_list rest;

    va_start(rest, first);
    for (const char *name = first; name != NULL; name = va_arg(rest, const char *))
        ck_assert_int_eq(nameset_add(s, bytes_of_str(name)), 0);
    va_end(rest);
}

static void make_parent(struct identity *id)
{
    identity_init(id);
    memcpy(id->name, "parent", 7);
    memcpy(id->ns, "team", 5);
    id->phase = IDENTITY_ACTIVE;
    id->expires_s = NOW + 100;
    fill(&id->tools, "read", "write", NULL);
    fill(&id->namespaces, "team", "lab", NULL);
    fill(&id->destinations, "allow api.example:443", "deny 10.0.0.0/8:*", NULL);
}

/* Goal: the child has the intersection, the parent's denials and its own, and the parent's end. */
START_TEST(delegate_gives_the_intersection)
{
    struct identity parent, child;
    struct nameset tools, namespaces, destinations;
    struct why why;

    make_parent(&parent);
    nameset_init(&tools, 8);
    nameset_init(&namespaces, 8);
    nameset_init(&destinations, 8);
    fill(&tools, "write", "exec", NULL);
    fill(&namespaces, "lab", "root", NULL);
    fill(&destinations, "allow api.example:443", "allow evil.example:443", "deny api.example:80",
         NULL);
    struct delegation d = {.name = "kid",
                           .tools = &tools,
                           .namespaces = &namespaces,
                           .destinations = &destinations,
                           .ttl_s = 500,
                           .enforcement = IDENTITY_DISABLED,
                           .audit_level = IDENTITY_AUDIT_FULL};
    ck_assert_int_eq(identity_delegate(&parent, &d, NOW, &child, &why), 0);
    ck_assert_str_eq(child.name, "kid");
    ck_assert_str_eq(child.parent, "parent");
    ck_assert_str_eq(child.ns, "team");
    ck_assert_uint_eq(child.depth, 1);
    ck_assert_int_eq(child.phase, IDENTITY_PENDING);
    ck_assert_int_eq(child.expires_s, NOW + 100);
    ck_assert_int_eq(child.enforcement, IDENTITY_ENFORCE);
    ck_assert_int_eq(child.audit_level, IDENTITY_AUDIT_FULL);
    ck_assert_uint_eq(child.tools.count, 1);
    ck_assert_str_eq(child.tools.items[0], "write");
    ck_assert_uint_eq(child.namespaces.count, 1);
    ck_assert_str_eq(child.namespaces.items[0], "lab");
    ck_assert(nameset_has(&child.destinations, bytes_of_str("allow api.example:443")));
    ck_assert(nameset_has(&child.destinations, bytes_of_str("deny 10.0.0.0/8:*")));
    ck_assert(nameset_has(&child.destinations, bytes_of_str("deny api.example:80")));
    ck_assert_uint_eq(child.destinations.count, 3);
    identity_done(&child);
    identity_done(&parent);
    nameset_done(&tools);
    nameset_done(&namespaces);
    nameset_done(&destinations);
}
END_TEST

/* Goal: what is not asked for is not given; the lifetime is honoured when shorter than the
 * parent's. */
START_TEST(delegate_without_lists_gives_nothing)
{
    struct identity parent, child;
    struct delegation d = {.name = "kid", .ttl_s = 7};

    make_parent(&parent);
    ck_assert_int_eq(identity_delegate(&parent, &d, NOW, &child, NULL), 0);
    ck_assert_int_eq(child.expires_s, NOW + 7);
    ck_assert_uint_eq(child.tools.count, 0);
    ck_assert_uint_eq(child.namespaces.count, 1);
    ck_assert_str_eq(child.namespaces.items[0], "team");
    identity_done(&child);
    identity_done(&parent);
}
END_TEST

static const struct {
    const char *name;
    int64_t ttl_s;
    enum identity_phase phase;
    int64_t end_s;
    unsigned depth;
    int want;
} refusals[] = {
    {"kid", 10, IDENTITY_ACTIVE, NOW + 1, IDENTITY_DEPTH_MAX - 1, 0},
    {"kid", 10, IDENTITY_ACTIVE, NOW + 1, IDENTITY_DEPTH_MAX, -ELOOP},
    {"kid", 10, IDENTITY_ACTIVE, NOW, 0, -EPERM},
    {"kid", 10, IDENTITY_REVOKED, NOW + 1, 0, -EPERM},
    {"kid", 10, IDENTITY_EXPIRED, NOW + 1, 0, -EPERM},
    {"kid", 10, IDENTITY_PENDING, NOW + 1, 0, -EPERM},
    {"Kid", 10, IDENTITY_ACTIVE, NOW + 1, 0, -EINVAL},
    {"parent", 10, IDENTITY_ACTIVE, NOW + 1, 0, -EINVAL},
    {"kid", 0, IDENTITY_ACTIVE, NOW + 1, 0, -EINVAL},
    {"kid", -1, IDENTITY_ACTIVE, NOW + 1, 0, -EINVAL},
    {"kid", DELEGATE_TTL_MAX_S, IDENTITY_ACTIVE, NOW + 1, 0, 0},
    {"kid", DELEGATE_TTL_MAX_S + 1, IDENTITY_ACTIVE, NOW + 1, 0, -EINVAL},
    {"kid", INT64_MAX, IDENTITY_ACTIVE, NOW + 1, 0, -EINVAL},
};

START_TEST(delegate_refuses_with_a_reason)
{
    struct identity parent, child;
    struct delegation d = {.name = refusals[_i].name, .ttl_s = refusals[_i].ttl_s};
    struct why why = {.text = ""};
    int err;

    make_parent(&parent);
    parent.phase = refusals[_i].phase;
    parent.expires_s = refusals[_i].end_s;
    parent.depth = refusals[_i].depth;
    err = identity_delegate(&parent, &d, NOW, &child, &why);
    ck_assert_int_eq(err, refusals[_i].want);
    ck_assert_int_eq(why.text[0] != '\0', err < 0);
    if (err == 0)
        identity_done(&child);
    identity_done(&parent);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(delegate_gives_the_intersection),
    SUITE_TEST(delegate_without_lists_gives_nothing),
    SUITE_ROWS(delegate_refuses_with_a_reason, ARRAY_COUNT(refusals)),
};

SUITE_MAIN("policy/delegate", tests)
