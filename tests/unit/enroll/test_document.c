/* SPDX-License-Identifier: Apache-2.0 */
/* latticed's documents about agents: what is read, and what refuses the whole of it. */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "enroll/enroll.h"
#include "tests/support/suite.h"

#define KEY  "\"publicKey\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\""
#define NAME "\"name\":\"a\",\"namespace\":\"n\""
#define ADDR "\"peerIP\":\"10.100.0.2\""

START_TEST(document_of_an_agent_gives_its_values)
{
    static const char text[] =
        "{" NAME "," KEY "," ADDR ",\"parentRef\":{\"name\":\"p\",\"namespace\":\"n\"},"
        "\"enforcementMode\":\"audit\",\"expiresAt\":\"1970-01-01T00:01:00Z\","
        "\"allowedDestinations\":[\"deny b:1\",\"allow a:1\"],\"unknown\":{}}";
    struct enroll_identity id;
    struct why why = {0};

    ck_assert_msg(enroll_identity_parse(bytes_of_str(text), &id, &why) == 0, "%s", why.text);
    ck_assert_str_eq(id.name, "a");
    ck_assert_str_eq(id.ns, "n");
    ck_assert_str_eq(id.parent, "p");
    ck_assert_str_eq(id.enforcement, "audit");
    ck_assert_int_eq(id.expires_s, 60);
    ck_assert_int_eq(id.public_key[31], 1);
    ck_assert_uint_eq(id.destinations.count, 2);
    ck_assert_str_eq(id.destinations.items[0], "allow a:1");
    enroll_identity_done(&id);
}
END_TEST

START_TEST(document_without_an_end_never_expires)
{
    struct enroll_identity id;
    struct why why = {0};

    /* as a gateway's peer is written: "address" */
    ck_assert_int_eq(enroll_identity_parse(
                         bytes_of_str("{" NAME "," KEY ",\"address\":\"10.100.0.9\"}"), &id, &why),
                     0);
    ck_assert(id.expires_s == INT64_MAX);
    ck_assert_uint_eq(id.destinations.count, 0);
    enroll_identity_done(&id);
}
END_TEST

static const char *const bad[] = {
    "",
    "[]",
    "{}",
    "{" KEY "," ADDR "}",                                 /* no name */
    "{" NAME "," ADDR "}",                                /* no key */
    "{" NAME "," KEY "}",                                 /* no address */
    "{" NAME "," KEY ",\"peerIP\":\"10.100.0\"}",         /* none */
    "{" NAME ",\"publicKey\":\"AQEB\"," ADDR "}",         /* too short */
    "{\"name\":7,\"namespace\":\"n\"," KEY "," ADDR "}",  /* not a text */
    "{" NAME "," KEY "," ADDR ",\"expiresAt\":\"soon\"}", /* not a time */
    "{" NAME "," KEY "," ADDR ",\"expiresAt\":7}",        /* not a text */
    "{" NAME "," KEY "," ADDR ",\"allowedDestinations\":[7]}",
    "{" NAME "," KEY "," ADDR ",\"enforcementMode\":\"0123456789abc\"}", /* too long */
    "{" NAME "," KEY "," ADDR "} x",
};

START_TEST(document_malformed_is_refused_whole)
{
    struct enroll_identity id;
    struct why why = {0};

    ck_assert_msg(enroll_identity_parse(bytes_of_str(bad[_i]), &id, &why) < 0, "%s", bad[_i]);
    ck_assert_str_ne(why.text, "");
}
END_TEST

/* Goal: more rules than an identity may have are not read in part. */
START_TEST(document_with_too_many_rules_is_refused)
{
    struct enroll_identity id;
    struct why why = {0};
    struct buf text;

    buf_init(&text, 1u << 20);
    buf_add_str(&text, "{" NAME "," KEY "," ADDR ",\"allowedDestinations\":[\"allow a:1\"");
    for (unsigned i = 1; i < ENROLL_DESTINATIONS_MAX; i++)
        buf_printf(&text, ",\"allow a:%u\"", i + 1);
    buf_add_str(&text, "]}");
    ck_assert_int_eq(enroll_identity_parse(buf_bytes(&text), &id, &why), 0);
    enroll_identity_done(&id);
    text.len -= 2;
    buf_add_str(&text, ",\"allow b:1\"]}");
    ck_assert_int_eq(enroll_identity_parse(buf_bytes(&text), &id, &why), -ENOSPC);
    buf_done(&text);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(document_of_an_agent_gives_its_values),
    SUITE_TEST(document_without_an_end_never_expires),
    SUITE_ROWS(document_malformed_is_refused_whole, ARRAY_COUNT(bad)),
    SUITE_TEST(document_with_too_many_rules_is_refused),
};

SUITE_MAIN("enroll/document", tests)
