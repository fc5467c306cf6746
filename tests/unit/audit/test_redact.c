/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redaction: planted canaries do not come out (threat H7), and ordinary text is left alone.
 */
#include "tests/support/suite.h"

#include "audit/redact.h"

#define CANARY "c4nAry-9f31e0"

static void check_json(const char *in, const char *expected)
{
    struct json_out j;
    struct buf out;

    buf_init(&out, 1u << 16);
    json_out_init(&j, &out);
    redact_json(bytes_of_str(in), &j);
    ck_assert_int_eq(buf_error(&out), 0);
    if (expected != NULL)
        ck_assert_str_eq(buf_text(&out), expected);
    ck_assert_msg(strstr(buf_text(&out), CANARY) == NULL, "%s", buf_text(&out));
    buf_done(&out);
}

START_TEST(members_with_secret_names_lose_their_value)
{
    static const char *const names[] = {
        "password",      "PASSWORD", "db_passwd",   "api_key", "apiKey",
        "X-API-Key",     "token",    "max-Token",   "secret",  "client_secret",
        "Authorization", "cookie",   "private_key", "sshKey",  "jwt",
        "pwd",           "auth",     "credentials", "pin",     "AWS_SECRET_ACCESS_KEY",
    };
    char in[256];
    char expected[256];

    (void)snprintf(in, sizeof(in),
                   "{\"a\":1,\"%s\":{\"x\":[\"" CANARY "\"]},\"b\":[{\"%s\":\"" CANARY "\"}]}",
                   names[_i], names[_i]);
    (void)snprintf(expected, sizeof(expected),
                   "{\"a\":1,\"%s\":\"[redacted]\",\"b\":[{\"%s\":\"[redacted]\"}]}", names[_i],
                   names[_i]);
    check_json(in, expected);
}
END_TEST

START_TEST(secrets_inside_texts_are_masked)
{
    static const struct {
        const char *in;
        const char *expected;
    } rows[] = {
        {"curl -H 'Authorization: Bearer " CANARY "' x",
         "curl -H 'Authorization: Bearer [redacted]' x"},
        {"https://user:" CANARY "@host/path", "https://user:[redacted]@host/path"},
        {"https://" CANARY "@github.com/x.git", "https://[redacted]@github.com/x.git"},
        {"GET /?q=1&access_token=" CANARY "&b=2", "GET /?q=1&access_token=[redacted]&b=2"},
        {"DB_PASSWORD=" CANARY " make", "DB_PASSWORD=[redacted] make"},
        {"password: " CANARY, "password: [redacted]"},
        {"use ghp_" CANARY CANARY " now", "use [redacted] now"},
        {"eyJhbGciOiJFUzI1NiJ9.e30." CANARY CANARY, "[redacted]"},
        {"-----BEGIN PRIVATE KEY-----\n" CANARY "\n-----END PRIVATE KEY-----", NULL},
        {"a ordinary sentence, with: colons = and https://example.org/x?y=z",
         "a ordinary sentence, with: colons = and https://example.org/x?y=z"},
        {"Bearer [redacted] token=[redacted] password: [redacted]",
         "Bearer [redacted] token=[redacted] password: [redacted]"},
        {"keyboard tokenless 12:30 a=b", "keyboard tokenless 12:30 a=b"},
    };
    struct json_out j;
    struct buf out;
    char expected[256];

    buf_init(&out, 1u << 16);
    json_out_init(&j, &out);
    redact_text(bytes_of_str(rows[_i].in), &j);
    ck_assert_msg(strstr(buf_text(&out), CANARY) == NULL, "%s", buf_text(&out));
    if (rows[_i].expected != NULL) {
        (void)snprintf(expected, sizeof(expected), "\"%s\"", rows[_i].expected);
        ck_assert_str_eq(buf_text(&out), expected);
    }
    buf_done(&out);
}
END_TEST

START_TEST(what_is_not_json_is_not_shown)
{
    check_json("{\"password\":\"" CANARY, "{\"unreadable_bytes\":26}");
    check_json("{\"a\":1,\"a\":\"" CANARY "\"}", NULL); /* two parsers would disagree */
    check_json("", "{\"unreadable_bytes\":0}");
}
END_TEST

START_TEST(deep_values_are_cut)
{
    char in[256] = "";

    for (unsigned i = 0; i < 40; i++)
        in[i] = '[';
    for (unsigned i = 0; i < 40; i++)
        in[40 + i] = ']';
    check_json(in, NULL);
}
END_TEST

/* Goal: a program's arguments keep their sense and lose their secrets. */
START_TEST(arguments_of_programs_lose_their_secrets)
{
    check_json("[\"curl\",\"-u\",\"me:" CANARY "\",\"--token\",\"" CANARY "\",\"x\"]",
               "[\"curl\",\"-u\",\"me:[redacted]\",\"--token\",\"[redacted]\",\"x\"]");
    check_json("[\"a\",\"--password=" CANARY "\",\"b\"]",
               "[\"a\",\"--password=[redacted]\",\"b\"]");
    check_json("[\"sh\",\"-c\",\"PGPASSWORD=" CANARY " psql\"]",
               "[\"sh\",\"-c\",\"PGPASSWORD=[redacted] psql\"]");
    check_json("[\"sh\",\"-c\",\"mysql --password " CANARY " -e x\"]",
               "[\"sh\",\"-c\",\"mysql --password [redacted] -e x\"]");
    check_json("[\"ls\",\"-l\",\"plain\",\"-u\",\"user\"]",
               "[\"ls\",\"-l\",\"plain\",\"-u\",\"user\"]");
    check_json("[\"--key\",7,[\"--key\",\"" CANARY "\"]]",
               "[\"--key\",7,[\"--key\",\"[redacted]\"]]");
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(members_with_secret_names_lose_their_value, 20),
    SUITE_ROWS(secrets_inside_texts_are_masked, 12),
    SUITE_TEST(what_is_not_json_is_not_shown),
    SUITE_TEST(deep_values_are_cut),
    SUITE_TEST(arguments_of_programs_lose_their_secrets),
};

SUITE_MAIN("audit redaction", tests)
