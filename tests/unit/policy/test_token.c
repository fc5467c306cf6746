/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens against the attacks of RFC 8725 and of our threat list (G1 to G4), with a fake clock. Each
 * refused token differs from an accepted one in the one thing that its row names; that the
 * unchanged one is accepted is checked in the same test.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "policy/identity.h"
#include "tests/support/jws.h"
#include "tests/support/suite.h"

#define NOW 1800000000
#define AUD "lattice"

static char dir[64];
static char pem[96];
static struct keyring *keys;
static unsigned fds_before;

static void setup(void)
{
    fds_before = suite_open_fds();
    (void)snprintf(dir, sizeof(dir), "/tmp/lattice-token-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(pem, sizeof(pem), "%s/signing-key.pem", dir);
    ck_assert_int_eq(keyring_open(dir, &keys, NULL), 0);
}

static void teardown(void)
{
    char previous[128];

    keyring_free(keys);
    (void)snprintf(previous, sizeof(previous), "%s/signing-key.previous.pem", dir);
    (void)unlink(previous);
    (void)unlink(pem);
    ck_assert_int_eq(rmdir(dir), 0);
    ck_assert_uint_eq(suite_open_fds(), fds_before);
}

static int verify_at(struct bytes text, int64_t now_s)
{
    struct token_claims claims;
    struct why why = {.text = ""};
    int err = token_verify(keys, text, AUD, now_s, &claims, &why);

    ck_assert_msg((err < 0) == (why.text[0] != '\0'), "a refusal has a reason");
    if (err == 0)
        token_claims_done(&claims);
    return err;
}

static const char good_claims[] =
    "{\"iss\":\"lattice-agent-registration\",\"aud\":\"lattice\",\"sub\":\"bot\",\"agent_id\":"
    "\"bot\","
    "\"namespace\":\"team\",\"parent_agent_id\":\"\",\"allowed_tools\":[\"read\"],"
    "\"token_use\":\"access\",\"jti\":\"0123456789abcdef0123456789abcdef\","
    "\"iat\":1800000000,\"nbf\":1800000000,\"exp\":1800000900}";

/** Replace the first @from in @text by @to. */
static void replaced(const char *text, const char *from, const char *to, struct buf *ret)
{
    const char *at = strstr(text, from);

    ck_assert_msg(at != NULL, "the row names text that is there: %s", from);
    buf_add(ret, text, (size_t)(at - text));
    buf_add_str(ret, to);
    buf_add_str(ret, at + strlen(from));
}

static void good_header(struct buf *ret)
{
    buf_printf(ret, "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", keyring_signing_id(keys));
}

struct change {
    const char *from, *to;
};

static const struct change header_attacks[] = {
    {"\"ES256\"", "\"none\""},
    {"\"ES256\"", "\"None\""},
    {"\"ES256\"", "\"nOnE\""},
    {"\"ES256\"", "\"HS256\""},
    {"\"ES256\"", "\"ES384\""},
    {"\"ES256\"", "\"es256\""},
    {"\"ES256\"", "\"RS256\""},
    {"\"ES256\"", "null"},
    {"\"ES256\"", "[\"ES256\"]"},
    {"\"alg\":\"ES256\",", ""},
    {"\"alg\"", "\"Alg\""},
    {"\"typ\":\"JWT\"", "\"typ\":\"at+jwt\""},
    {",\"typ\":\"JWT\"", ""},
    {"\"JWT\"", "\"JWE\""},
    {"{\"alg\"", "{\"jku\":\"http://127.0.0.1/k\",\"alg\""},
    {"{\"alg\"", "{\"x5u\":\"http://127.0.0.1/k\",\"alg\""},
    {"{\"alg\"", "{\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"alg\""},
    {"{\"alg\"", "{\"crit\":[\"exp\"],\"alg\""},
    {"{\"alg\"", "{\"b64\":false,\"alg\""},
    {"{\"alg\"", "{\"zip\":\"DEF\",\"alg\""},
    {"{\"alg\"", "{\"cty\":\"JWT\",\"alg\""},
    {"{\"alg\"", "{\"alg\":\"ES256\",\"alg\""},
    {"\"kid\":\"", "\"kid\":\"../"},
    {"\"kid\":\"", "\"kid\":\"' OR 1=1 --"},
    {"\"kid\":\"", "\"kid\":\"\\r\\n"},
    {"\"kid\":\"", "\"kid\":\"x"},
    {"\"kid\"", "\"Kid\""},
    {"{", "[{"},
    {"{", " {\"a\":{},"},
    {"}", "},"},
    {"}", "}{}"},
};

/* Goal: a header is exactly ours. Method: sign each changed header with the real key. */
START_TEST(verify_foreign_header_is_refused)
{
    setup();

    struct buf header, changed, token;

    buf_init(&header, 1024);
    buf_init(&changed, 1024);
    buf_init(&token, 4096);
    good_header(&header);
    jws_es256(pem, buf_text(&header), good_claims, &token);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), 0);
    replaced(buf_text(&header), header_attacks[_i].from, header_attacks[_i].to, &changed);
    buf_reset(&token);
    jws_es256(pem, buf_text(&changed), good_claims, &token);
    ck_assert_msg(verify_at(buf_bytes(&token), NOW) == -EACCES, "%s", buf_text(&changed));
    buf_done(&header);
    buf_done(&changed);
    buf_done(&token);
    teardown();
}
END_TEST

static const struct change claim_attacks[] = {
    {"lattice-agent-registration", "lattice-bff"},
    {"\"iss\"", "\"Iss\""},
    {"\"aud\":\"lattice\"", "\"aud\":\"other\""},
    {"\"aud\":\"lattice\"", "\"aud\":[]"},
    {"\"aud\":\"lattice\"", "\"aud\":[\"other\",\"x\"]"},
    {"\"aud\":\"lattice\"", "\"aud\":{\"lattice\":1}"},
    {"\"aud\":\"lattice\"",
     "\"aud\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"lattice\"]"},
    {"\"aud\":\"lattice\",", ""},
    {"\"aud\":\"lattice\"", "\"aud\":\"Lattice\""},
    {"\"token_use\":\"access\"", "\"token_use\":\"enrollment\""},
    {"\"token_use\":\"access\",", ""},
    {"\"sub\":\"bot\"", "\"sub\":\"other\""},
    {"\"sub\":\"bot\",", ""},
    {"\"agent_id\":\"bot\"", "\"agent_id\":\"Bot\""},
    {"\"agent_id\":\"bot\"", "\"agent_id\":\"bot\\u0000\""},
    {"\"agent_id\":\"bot\"", "\"agent_id\":[\"bot\"]"},
    {"\"namespace\":\"team\",", ""},
    {"\"namespace\":\"team\"", "\"namespace\":\"\""},
    {"\"parent_agent_id\":\"\",", ""},
    {"[\"read\"]", "\"read\""},
    {"[\"read\"]", "[1]"},
    {"[\"read\"]", "[\"\"]"},
    {"[\"read\"]", "[[\"read\"]]"},
    {"\"jti\"", "\"jtI\""},
    {"0123456789abcdef\"", "0123456789abcdeF\""},
    {"0123456789abcdef\"", "0\""},
    {",\"exp\":1800000900", ""},
    {"1800000900", "\"1800000900\""},
    {"1800000900", "1800000900.5"},
    {"1800000900", "1.8000009e9"},
    {"1800000900", "-1"},
    {"1800000900", "true"},
    {"1800000900", "null"},
    {"1800000900", "1800000901"},
    {"1800000900", "99999999999999999999"},
    {"1800000900", "01800000900"},
    {"\"iat\":1800000000,", ""},
    {"\"nbf\":1800000000,", ""},
    {"\"iat\":1800000000", "\"iat\":-1800000000"},
    {"\"iat\":1800000000", "\"iat\":1800000061"},
    {"\"nbf\":1800000000", "\"nbf\":1800000061"},
    {"\"nbf\":1800000000", "\"nbf\":\"1800000000\""},
    {"\"nbf\":1800000000", "\"nbf\":1800000901"},
    {"\"sub\":\"bot\"", "\"sub\":\"bot\",\"sub\":\"bot\""},
    {"\"exp\"", "\"exp\":1900000000,\"exp\""},
    {"\"agent_id\"", "\"\\u0061gent_id\":\"root\",\"agent_id\""},
    {"{", "{\"x\":\"\xff\","},
    {"{", "[{"},
};

/* Goal: each claim is there, once, of its type and in its bounds. Method: as above. */
START_TEST(verify_foreign_claims_are_refused)
{
    setup();

    struct buf header, changed, token;

    buf_init(&header, 1024);
    buf_init(&changed, 2048);
    buf_init(&token, 4096);
    good_header(&header);
    replaced(good_claims, claim_attacks[_i].from, claim_attacks[_i].to, &changed);
    jws_es256(pem, buf_text(&header), buf_text(&changed), &token);
    ck_assert_msg(verify_at(buf_bytes(&token), NOW) == -EACCES, "%s", buf_text(&changed));
    buf_reset(&token);
    jws_es256(pem, buf_text(&header), good_claims, &token);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), 0);
    buf_done(&header);
    buf_done(&changed);
    buf_done(&token);
    teardown();
}
END_TEST

static const struct change claim_variants[] = {
    {"\"aud\":\"lattice\"", "\"aud\":[\"other\",\"lattice\"]"},
    {"[\"read\"]", "[]"},
    {"\"parent_agent_id\":\"\"", "\"parent_agent_id\":\"boss\""},
    {"\"iat\":1800000000", "\"iat\":1800000060"},
    {"\"nbf\":1800000000", "\"nbf\":1800000060"},
    {"{", "{\"more\":{\"a\":[1]},"},
};

START_TEST(verify_neighbours_of_the_attacks_are_accepted)
{
    setup();

    struct buf header, changed, token;

    buf_init(&header, 1024);
    buf_init(&changed, 2048);
    buf_init(&token, 4096);
    good_header(&header);
    replaced(good_claims, claim_variants[_i].from, claim_variants[_i].to, &changed);
    jws_es256(pem, buf_text(&header), buf_text(&changed), &token);
    ck_assert_msg(verify_at(buf_bytes(&token), NOW) == 0, "%s", buf_text(&changed));
    buf_done(&header);
    buf_done(&changed);
    buf_done(&token);
    teardown();
}
END_TEST

/* Goal: the edges of time, second by second. */
START_TEST(verify_at_the_edges_of_time)
{
    setup();

    struct buf header, token;

    buf_init(&header, 1024);
    buf_init(&token, 4096);
    good_header(&header);
    jws_es256(pem, buf_text(&header), good_claims, &token);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW - 61), -EACCES);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW - 60), 0);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW + 900), 0);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW + 959), 0);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW + 960), -EACCES);
    buf_done(&header);
    buf_done(&token);
    teardown();
}
END_TEST

/* Goal: the public key is no HMAC key. Method: MAC with the public PEM, under both algorithm names.
 */
START_TEST(verify_public_key_as_hmac_secret_is_refused)
{
    setup();

    static const char *const algs[] = {"HS256", "ES256"};
    struct buf public_pem, header, token;

    buf_init(&public_pem, 4096);
    buf_init(&header, 1024);
    buf_init(&token, 4096);
    jws_public_pem(pem, &public_pem);
    for (unsigned i = 0; i < ARRAY_COUNT(algs); i++) {
        buf_reset(&header);
        buf_reset(&token);
        buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}", algs[i],
                   keyring_signing_id(keys));
        jws_hs256(buf_bytes(&public_pem), buf_text(&header), good_claims, &token);
        ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), -EACCES);
    }
    buf_done(&public_pem);
    buf_done(&header);
    buf_done(&token);
    teardown();
}
END_TEST

/* Goal: every byte of a token matters. Method: change each byte of a good one, cut it at each
 * length, and give it the forms with more or fewer dots. */
START_TEST(verify_any_changed_byte_is_refused)
{
    setup();

    struct buf header, token;

    buf_init(&header, 1024);
    buf_init(&token, 4096);
    good_header(&header);
    jws_es256(pem, buf_text(&header), good_claims, &token);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), 0);
    for (size_t i = 0; i < token.len; i++) {
        uint8_t was = token.data[i];

        token.data[i] = was == 'A' ? 'B' : 'A';
        ck_assert_msg(verify_at(buf_bytes(&token), NOW) == -EACCES, "byte %zu", i);
        token.data[i] = '=';
        ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), -EACCES);
        token.data[i] = was;
        ck_assert_int_eq(verify_at(bytes_of(token.data, i), NOW), -EACCES);
    }
    buf_add_char(&token, '.');
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), -EACCES);
    buf_add_str(&token, "AA");
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), -EACCES);
    ck_assert_int_eq(verify_at(bytes_of_str(".."), NOW), -EACCES);
    buf_done(&header);
    buf_done(&token);
    teardown();
}
END_TEST

/* Goal: the size limit. Method: a correctly signed token that is too long because of one extra
 * claim. */
START_TEST(verify_oversize_is_refused)
{
    setup();

    struct buf header, claims, token;

    buf_init(&header, 1024);
    buf_init(&claims, 16384);
    buf_init(&token, 32768);
    good_header(&header);
    buf_add_str(&claims, "{\"pad\":\"");
    for (unsigned i = 0; i < 7000; i++)
        buf_add_char(&claims, 'x');
    buf_printf(&claims, "\",%s", good_claims + 1);
    jws_es256(pem, buf_text(&header), buf_text(&claims), &token);
    ck_assert_uint_gt(token.len, TOKEN_MAX);
    ck_assert_int_eq(verify_at(buf_bytes(&token), NOW), -EACCES);
    buf_done(&header);
    buf_done(&claims);
    buf_done(&token);
    teardown();
}
END_TEST

static void make_identity(struct identity *id)
{
    identity_init(id);
    (void)snprintf(id->name, sizeof(id->name), "bot");
    (void)snprintf(id->ns, sizeof(id->ns), "team");
    (void)snprintf(id->parent, sizeof(id->parent), "boss");
    ck_assert_int_eq(nameset_add(&id->tools, bytes_of_str("read")), 0);
    ck_assert_int_eq(nameset_add(&id->tools, bytes_of_str("write")), 0);
    id->phase = IDENTITY_ACTIVE;
    id->expires_s = IDENTITY_NEVER;
}

/* Goal: what is issued is verified and says the same; it ends with its identity. */
START_TEST(issue_then_verify)
{
    setup();

    struct token_claims claims;
    struct identity id;
    struct buf token;

    make_identity(&id);
    buf_init(&token, TOKEN_MAX);
    ck_assert_int_eq(token_issue(keys, &id, AUD, NOW, rng_system(), &token, NULL), 0);
    ck_assert_int_eq(token_verify(keys, buf_bytes(&token), AUD, NOW, &claims, NULL), 0);
    ck_assert_str_eq(claims.agent_id, "bot");
    ck_assert_str_eq(claims.ns, "team");
    ck_assert_str_eq(claims.parent, "boss");
    ck_assert_int_eq(claims.iat_s, NOW);
    ck_assert_int_eq(claims.exp_s, NOW + TOKEN_LIFE_MAX_S);
    ck_assert(nameset_is_subset(&claims.tools, &id.tools) &&
              nameset_is_subset(&id.tools, &claims.tools));
    token_claims_done(&claims);
    ck_assert_int_eq(token_verify(keys, buf_bytes(&token), "other", NOW, &claims, NULL), -EACCES);
    id.expires_s = NOW + 5;
    buf_reset(&token);
    ck_assert_int_eq(token_issue(keys, &id, AUD, NOW, rng_system(), &token, NULL), 0);
    ck_assert_int_eq(token_verify(keys, buf_bytes(&token), AUD, NOW, &claims, NULL), 0);
    ck_assert_int_eq(claims.exp_s, NOW + 5);
    token_claims_done(&claims);
    id.expires_s = NOW;
    ck_assert_int_eq(token_issue(keys, &id, AUD, NOW, rng_system(), &token, NULL), -EPERM);
    identity_done(&id);
    buf_done(&token);
    teardown();
}
END_TEST

/* Goal: rotation overlaps by one key. Method: a token of each of three keys. */
START_TEST(rotation_keeps_one_older_key)
{
    setup();

    struct identity id;
    struct buf first;

    make_identity(&id);
    buf_init(&first, TOKEN_MAX);
    ck_assert_int_eq(token_issue(keys, &id, AUD, NOW, rng_system(), &first, NULL), 0);
    for (int turn = 0; turn < 2; turn++) {
        char was[KEY_ID_LEN + 1];

        (void)snprintf(was, sizeof(was), "%s", keyring_signing_id(keys));
        ck_assert_int_eq(keyring_rotate(dir, NULL), 0);
        keyring_free(keys);
        keys = NULL;
        ck_assert_int_eq(keyring_open(dir, &keys, NULL), 0);
        ck_assert_str_ne(keyring_signing_id(keys), was);
        ck_assert_int_eq(verify_at(buf_bytes(&first), NOW), turn == 0 ? 0 : -EACCES);
    }
    identity_done(&id);
    buf_done(&first);
    teardown();
}
END_TEST

/* Goal: the key file is private, is kept over a restart, and is refused when others may read it. */
START_TEST(key_file_is_private_and_stable)
{
    setup();

    char was[KEY_ID_LEN + 1];
    struct keyring *again = NULL;
    struct why why = {.text = ""};
    struct stat st;

    ck_assert_int_eq(stat(pem, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    (void)snprintf(was, sizeof(was), "%s", keyring_signing_id(keys));
    ck_assert_uint_eq(strlen(was), KEY_ID_LEN);
    ck_assert_int_eq(keyring_open(dir, &again, NULL), 0);
    ck_assert_str_eq(keyring_signing_id(again), was);
    keyring_free(again);
    ck_assert_int_eq(chmod(pem, 0640), 0);
    ck_assert_int_eq(keyring_open(dir, &again, &why), -EACCES);
    ck_assert_ptr_nonnull(strstr(why.text, "chmod 600"));
    ck_assert_int_eq(chmod(pem, 0600), 0);
    ck_assert_int_eq(truncate(pem, 100), 0);
    ck_assert_int_eq(keyring_open(dir, &again, &why), -EINVAL);
    teardown();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(verify_foreign_header_is_refused, ARRAY_COUNT(header_attacks)),
    SUITE_ROWS(verify_foreign_claims_are_refused, ARRAY_COUNT(claim_attacks)),
    SUITE_ROWS(verify_neighbours_of_the_attacks_are_accepted, ARRAY_COUNT(claim_variants)),
    SUITE_TEST(verify_at_the_edges_of_time),
    SUITE_TEST(verify_public_key_as_hmac_secret_is_refused),
    SUITE_TEST(verify_any_changed_byte_is_refused),
    SUITE_TEST(verify_oversize_is_refused),
    SUITE_TEST(issue_then_verify),
    SUITE_TEST(rotation_keeps_one_older_key),
    SUITE_TEST(key_file_is_private_and_stable),
};

SUITE_MAIN("policy/token", tests)
