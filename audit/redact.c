/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redaction works on two levels. In JSON, the name of a member decides about its whole value. In
 * text, words decide: known prefixes of credentials, NAME=VALUE and NAME: VALUE with a secret name,
 * the word after "Bearer" or "Basic", the password in a URL, and PEM blocks. Names are compared
 * without regard to case and punctuation, so api_key, apiKey and API-KEY are one.
 */
#include "audit/redact.h"

#include "base/json.h"

#define REDACT_DEPTH_MAX 16u
#define REDACT_BYTES_MAX 8192u
#define NAME_MAX_BYTES   64u

static const char *const secret_parts[] = {"password", "passwd",     "passphrase", "secret",
                                           "token",    "apikey",     "accesskey",  "privatekey",
                                           "authoriz", "credential", "cookie",     "sessionid",
                                           "jwt",      "pwd",        "signature"};
static const char *const secret_ends[] = {"key", "auth", "pin", "otp"};

/* How credentials of common services begin, and the least length that they have. */
static const struct {
    const char *prefix;
    size_t len_min;
} credentials[] = {
    {"ghp_", 20},         {"gho_", 20},       {"ghs_", 20},  {"ghu_", 20},
    {"github_pat_", 20},  {"glpat-", 16},     {"sk-", 16},   {"sk_live_", 16},
    {"rk_live_", 16},     {"xoxb-", 16},      {"xoxp-", 16}, {"xoxa-", 16},
    {"AKIA", 16},         {"ASIA", 16},       {"AIza", 24},  {"npm_", 20},
    {"pypi-", 20},        {"hf_", 20},        {"eyJ", 32},   {"lt-enroll-", 16},
    {"lt-delegate-", 16}, {"-----BEGIN", 10},
};

static size_t normalise(struct bytes name, char ret[static NAME_MAX_BYTES + 1])
{
    size_t len = 0;

    for (size_t i = 0; i < name.len && len < NAME_MAX_BYTES; i++) {
        uint8_t c = name.data[i];

        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            ret[len++] = (char)c;
    }
    ret[len] = '\0';
    return len;
}

bool redact_is_secret_name(struct bytes name)
{
    char plain[NAME_MAX_BYTES + 1];
    size_t len;

    /* Of a very long name its end decides, as it does for people: …_SECRET_KEY. */
    if (name.len > NAME_MAX_BYTES)
        name = bytes_of(name.data + name.len - NAME_MAX_BYTES, NAME_MAX_BYTES);
    len = normalise(name, plain);
    for (size_t i = 0; i < ARRAY_COUNT(secret_parts); i++)
        if (strstr(plain, secret_parts[i]) != NULL)
            return true;
    for (size_t i = 0; i < ARRAY_COUNT(secret_ends); i++) {
        size_t end_len = strlen(secret_ends[i]);

        if (len >= end_len && strcmp(plain + len - end_len, secret_ends[i]) == 0)
            return true;
    }
    return false;
}

static bool is_credential(struct bytes word)
{
    for (size_t i = 0; i < ARRAY_COUNT(credentials); i++) {
        size_t len = strlen(credentials[i].prefix);

        if (word.len >= credentials[i].len_min &&
            memcmp(word.data, credentials[i].prefix, len) == 0)
            return true;
    }
    return false;
}

static bool is_break(uint8_t c)
{
    return c <= ' ' || c == '"' || c == '\'' || c == '`' || c == ',' || c == ';' || c == '&' ||
           c == '?' || c == '<' || c == '>' || c == '(' || c == ')' || c == '[' || c == ']' ||
           c == '{' || c == '}' || c == '|';
}

static bool is_scheme(struct bytes word)
{
    char plain[NAME_MAX_BYTES + 1];

    if (word.len > 7)
        return false;
    (void)normalise(word, plain);
    return strcmp(plain, "bearer") == 0 || strcmp(plain, "basic") == 0;
}

/** The place in a word where the value after a secret NAME= or NAME: begins; word.len: none. */
static size_t value_start(struct bytes word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.data[i] == '=' || word.data[i] == ':')
            return redact_is_secret_name(bytes_of(word.data, i)) ? i + 1 : word.len;
    return word.len;
}

/** Write a URL without its password: `scheme://user:[redacted]@host`. False: @word has none. */
static bool add_url(struct bytes word, struct buf *to)
{
    const uint8_t *scheme = memmem(word.data, word.len, "://", 3);
    const uint8_t *end = word.data + word.len;
    const uint8_t *user;
    const uint8_t *slash;
    const uint8_t *at;
    const uint8_t *colon;

    if (scheme == NULL)
        return false;
    user = scheme + 3;
    slash = memchr(user, '/', (size_t)(end - user));
    at = memrchr(user, '@', (size_t)((slash != NULL ? slash : end) - user));
    if (at == NULL)
        return false;
    colon = memchr(user, ':', (size_t)(at - user));
    if (colon != NULL)
        buf_add(to, word.data, (size_t)(colon + 1 - word.data));
    else
        buf_add(to, word.data,
                (size_t)(user - word.data)); /* a token alone, as in x-access-token */
    buf_add_str(to, REDACTED);
    buf_add(to, at, (size_t)(end - at));
    return true;
}

struct redactor {
    struct buf *to;
    bool is_next_secret; /* the word before announced a secret */
    bool is_pem;         /* between BEGIN and END */
};

/** Does a program's argument announce that the next one is a secret: `--password`, `-token`? One
 * with "=" holds its own. */
static bool is_secret_option(struct bytes word)
{
    return word.len > 2 && word.data[0] == '-' && memchr(word.data, '=', word.len) == NULL &&
           memchr(word.data, ':', word.len) == NULL && memchr(word.data, ' ', word.len) == NULL &&
           redact_is_secret_name(word);
}

static void add_word(struct redactor *r, struct bytes word)
{
    size_t start = value_start(word);
    bool is_announced = r->is_next_secret;

    r->is_next_secret = is_scheme(word) || is_secret_option(word) ||
                        (start == word.len && word.len > 1 &&
                         (word.data[word.len - 1] == ':' || word.data[word.len - 1] == '=') &&
                         redact_is_secret_name(bytes_of(word.data, word.len - 1)));
    if (memmem(word.data, word.len, "-----BEGIN", 10) != NULL)
        r->is_pem = true;
    if (r->is_pem || (is_announced && !r->is_next_secret) || is_credential(word)) {
        if (memmem(word.data, word.len, "-----END", 8) != NULL)
            r->is_pem = false;
        buf_add_str(r->to, REDACTED);
    } else if (start < word.len) {
        buf_add(r->to, word.data, start);
        buf_add_str(r->to, REDACTED);
    } else if (!add_url(word, r->to)) {
        buf_add(r->to, word.data, word.len);
    }
}

static void add_redacted(struct bytes text, struct buf *to)
{
    const size_t mark_len = sizeof(REDACTED) - 1;
    struct redactor r = {.to = to};
    size_t at = 0;

    while (at < text.len) {
        size_t end = at;

        if (text.len - at >= mark_len && memcmp(text.data + at, REDACTED, mark_len) == 0) {
            buf_add(to, text.data + at,
                    mark_len); /* masked before: redacting twice changes nothing */
            r.is_next_secret = false;
            at += mark_len;
            continue;
        }
        while (end < text.len && !is_break(text.data[end]))
            end++;
        if (end > at)
            add_word(&r, bytes_of(text.data + at, end - at));
        else
            buf_add_char(to, (char)text.data[end++]);
        at = end;
    }
}

void redact_text(struct bytes text, struct json_out *j)
{
    struct buf clean;

    buf_init(&clean, REDACT_BYTES_MAX * 4);
    add_redacted(text, &clean);
    if (buf_error(&clean) < 0)
        json_str(j, REDACTED);
    else
        json_bytes(j, buf_bytes(&clean));
    buf_done(&clean);
}

static void write_value(const struct json *v, struct json_out *j, unsigned depth);

/** … or NAME:PASSWORD, as curl's and wget's do? */
static bool is_login_option(struct bytes word)
{
    static const char *const names[] = {"-u", "-U", "--user", "--proxy-user"};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (bytes_equal(word, bytes_of_str(names[i])))
            return true;
    return false;
}

static void write_login(struct bytes word, struct json_out *j)
{
    const uint8_t *colon = memchr(word.data, ':', word.len);
    struct buf clean;

    if (colon == NULL) {
        redact_text(word, j);
        return;
    }
    buf_init(&clean, REDACT_BYTES_MAX * 2);
    buf_add(&clean, word.data, (size_t)(colon + 1 - word.data));
    buf_add_str(&clean, REDACTED);
    json_bytes(j, buf_bytes(&clean));
    buf_done(&clean);
}

/** An array may be the arguments of a program. */
static void write_elements(const struct json *v, struct json_out *j, unsigned depth)
{
    struct bytes before = {0};

    for (const struct json *m = json_first(v); m != NULL; m = json_next(m)) {
        const char *text = NULL;
        struct bytes word = {0};

        if (json_type(m) == JSON_STRING && json_read_str(m, &text) == 0)
            word = bytes_of_str(text);
        if (text != NULL && is_secret_option(before))
            json_str(j, REDACTED);
        else if (text != NULL && is_login_option(before))
            write_login(word, j);
        else
            write_value(m, j, depth + 1);
        before = word;
    }
}

static void write_members(const struct json *v, struct json_out *j, unsigned depth)
{
    for (const struct json *m = json_first(v); m != NULL; m = json_next(m)) {
        const char *name = json_name(m);

        json_key(j, name);
        if (redact_is_secret_name(bytes_of_str(name)))
            json_str(j, REDACTED);
        else
            write_value(m, j, depth + 1);
    }
}

static void write_value(const struct json *v, struct json_out *j, unsigned depth)
{
    const char *text;

    if (depth > REDACT_DEPTH_MAX) {
        json_str(j, "[too deep]");
        return;
    }
    switch (json_type(v)) {
    case JSON_OBJECT:
        json_open_object(j);
        write_members(v, j, depth);
        json_close_object(j);
        return;
    case JSON_ARRAY:
        json_open_array(j);
        write_elements(v, j, depth);
        json_close_array(j);
        return;
    case JSON_STRING:
        redact_text(json_read_str(v, &text) == 0 ? bytes_of_str(text) : bytes_of("", 0), j);
        return;
    case JSON_NUMBER:
    case JSON_BOOL:
    case JSON_NULL:
        json_raw(j, json_text(v));
        return;
    case JSON_NONE:
        break;
    }
    json_null(j);
}

void redact_json(struct bytes json, struct json_out *j)
{
    const struct json_limits limits = {.bytes = REDACT_BYTES_MAX};
    struct json_doc *doc = NULL;

    if (json_parse(json, &limits, &doc, NULL) < 0) {
        json_open_object(j);
        json_put_u64(j, "unreadable_bytes", json.len);
        json_close_object(j);
        return;
    }
    write_value(json_root(doc), j, 0);
    json_free(doc);
}
