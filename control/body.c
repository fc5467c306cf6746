/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies by table: each member that may be there, with its kind and bounds. An unknown member, a
 * wrong type or a value out of bounds is refused with the member's name and place; nothing is
 * guessed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/rng.h"
#include "control/call.h"

int secret_hash(const char *secret, uint8_t ret_hash[static HASH_LEN])
{
    struct bytes part = bytes_of_str(secret);

    return hash_sha256(&part, 1, ret_hash);
}

int secret_make(const char *prefix, char ret[static SECRET_CAP], uint8_t ret_hash[static HASH_LEN])
{
    struct rng rng = rng_system();
    char hex[HASH_HEX_LEN + 1];
    uint8_t raw[HASH_LEN];

    rng.fill(rng.self, raw, sizeof(raw));
    hash_hex(raw, hex);
    (void)snprintf(ret, SECRET_CAP, "%s%s", prefix, hex);
    return secret_hash(ret, ret_hash);
}

static bool names_match(const char *member, const char *field)
{
    if (strcmp(member, field) == 0)
        return true;
    return member[0] == field[0] - 'a' + 'A' && strcmp(member + 1, field + 1) == 0;
}

/** Refuse with the place of @v. */
static bool refuse(struct call *call, const struct json *v, const struct field *f,
                   const char *expected)
{
    unsigned line, column;

    json_place(v, &line, &column);
    call_fail(call, 400, "\"%s\" at line %u, column %u must be %s", f->name, line, column,
              expected);
    return false;
}

static int check_destination(struct bytes text)
{
    return identity_destination_check(text, NULL);
}

static bool read_names(struct call *call, const struct json *v, const struct field *f,
                       int (*check)(struct bytes text), const char *expected)
{
    if (json_type(v) != JSON_ARRAY)
        return refuse(call, v, f, expected);
    for (const struct json *e = json_first(v); e != NULL; e = json_next(e)) {
        const char *text;
        int err = json_read_str(e, &text);

        if (err == 0)
            err = check(bytes_of_str(text));
        if (err == 0)
            err = nameset_add(f->to, bytes_of_str(text));
        if (err == -ENOSPC)
            return refuse(call, v, f, "shorter");
        if (err < 0)
            return refuse(call, e, f, expected);
    }
    return true;
}

static bool read_name(struct call *call, const struct json *v, const struct field *f)
{
    const char *text;

    if (json_read_str(v, &text) < 0 || identity_name_check(bytes_of_str(text)) < 0)
        return refuse(call, v, f, "1 to 63 of a-z, 0-9 and '-', not beginning or ending with '-'");
    (void)snprintf(f->to, IDENTITY_NAME_MAX + 1, "%s", text);
    return true;
}

static bool read_text(struct call *call, const struct json *v, const struct field *f)
{
    const char *text;

    if (json_read_str(v, &text) < 0 || strlen(text) > (size_t)f->max)
        return refuse(call, v, f, "a string, and not longer than this one may be");
    *(const char **)f->to = text;
    return true;
}

static bool read_seconds(struct call *call, const struct json *v, const struct field *f)
{
    char expected[80];
    int64_t n;

    if (json_read_i64(v, &n) == 0 && n >= 1 && n <= f->max) {
        *(int64_t *)f->to = n;
        return true;
    }
    (void)snprintf(expected, sizeof(expected), "a whole number of seconds from 1 to %lld",
                   (long long)f->max);
    return refuse(call, v, f, expected);
}

static bool read_field(struct call *call, const struct json *v, const struct field *f)
{
    const char *text = "";
    struct bytes word;

    (void)!json_read_str(v, &text); /* another type leaves "", which is no word of any list */
    word = bytes_of_str(text);
    switch (f->kind) {
    case FIELD_NAME:
        return read_name(call, v, f);
    case FIELD_TEXT:
        return read_text(call, v, f);
    case FIELD_SECONDS:
        return read_seconds(call, v, f);
    case FIELD_TOOLS:
        return read_names(call, v, f, identity_tool_check,
                          "an array of tool names (A-Z a-z 0-9 _ . / : -)");
    case FIELD_NAMESPACES:
        return read_names(call, v, f, identity_name_check, "an array of namespace names");
    case FIELD_DESTINATIONS:
        return read_names(call, v, f, check_destination,
                          "an array of rules, \"allow HOST:PORTS\" or \"deny HOST:PORTS\"");
    case FIELD_ENFORCEMENT:
        return identity_enforcement_parse(word, f->to) == 0 ||
               refuse(call, v, f, "\"enforce\", \"audit\" or \"disabled\"");
    case FIELD_SANDBOX:
        return identity_sandbox_parse(word, f->to) == 0 ||
               refuse(call, v, f, "\"none\", \"pod\", \"gvisor\" or \"microvm\"");
    case FIELD_AUDIT_LEVEL:
        return identity_audit_level_parse(word, f->to) == 0 ||
               refuse(call, v, f, "\"none\", \"write\" or \"full\"");
    case FIELD_KEY:
        return base64_read_32(word, f->to) == 0 || refuse(call, v, f, "32 bytes in base64");
    case FIELD_JSON:
        if (json_type(v) != JSON_OBJECT)
            return refuse(call, v, f, "an object");
        *(const struct json **)f->to = v;
        return true;
    }
    return false;
}

bool body_read(struct call *call, const struct field *fields, unsigned count)
{
    uint64_t seen = 0;

    must(count <= 64);
    for (const struct json *v = json_first(json_root(call->body)); v != NULL; v = json_next(v)) {
        unsigned i = 0;

        while (i < count && !names_match(json_name(v), fields[i].name))
            i++;
        if (i == count) {
            call_fail(call, 400, "unknown member \"%.64s\" in the body", json_name(v));
            return false;
        }
        if (seen >> i & 1) {
            call_fail(call, 400, "member \"%s\" stands twice in the body", fields[i].name);
            return false;
        }
        seen |= UINT64_C(1) << i;
        if (!read_field(call, v, &fields[i]))
            return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (fields[i].is_required && !(seen >> i & 1)) {
            call_fail(call, 400, "the body lacks member \"%s\"", fields[i].name);
            return false;
        }
    }
    return true;
}
