/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads policy files. Everything unknown is an error with its line and column, because a misspelt
 * "deny" that is skipped would allow; the rules are gathered aside, so a file that fails changes
 * nothing.
 */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "policy/build.h"
#include "policy/files.h"
#include "policy/identity.h"
#include "policy/unix_name.h"

#define API_VERSION "lattice.dev/v1"
#define KIND        "Policy"

struct reader {
    struct policy *into;
    const char *file;
    struct why *why;
};

/** @v must be of @type when it is there; @what names it. */
static int want_type(const struct reader *r, const struct json *v, enum json_type type,
                     const char *what)
{
    if (v == NULL || json_type(v) == type)
        return 0;
    return json_fail(r->why, r->file, v, "%s must be %s, not %s", what, json_type_name(type),
                     json_type_name(json_type(v)));
}

/** Member @name of @in, which must be of @type; absent members give NULL. */
static int get(const struct reader *r, const struct json *in, const char *name, enum json_type type,
               const struct json **ret)
{
    *ret = json_get(in, name);
    return want_type(r, *ret, type, name);
}

static int check_keys(const struct reader *r, const struct json *object, const char *const *allowed,
                      unsigned count)
{
    return json_check_keys(object, allowed, count, r->file, r->why);
}

/** Report a fault in the text of @v, with the column inside it where that can be told. */
static int fail_text(const struct reader *r, const struct json *v, size_t at, const char *what)
{
    struct bytes raw = json_text(v);
    bool is_plain = raw.len > 0 && raw.data[0] == '"';

    for (size_t i = 0; i < raw.len && is_plain; i++)
        is_plain = raw.data[i] != '\\' && raw.data[i] < 0x80;
    (void)json_fail(r->why, r->file, v, "%s", what);
    if (is_plain && r->why != NULL)
        r->why->column += 1 + (unsigned)at;
    return -EINVAL;
}

static int fail_part(const struct reader *r, const struct json *v, const struct fault *f)
{
    char text[WHY_TEXT_MAX];
    struct bytes raw = json_text(v);

    (void)snprintf(text, sizeof(text), "%.*s: %s", raw.len < 100 ? (int)raw.len : 100,
                   (const char *)raw.data, f->what);
    return fail_text(r, v, f->at, text);
}

static int read_string_rule(const struct reader *r, enum policy_action action, const struct json *v)
{
    struct rule rule;
    struct why why = {0};
    const char *text;

    if (json_read_str(v, &text) < 0)
        return -EINVAL;
    if (rule_parse(bytes_of_str(text), &rule, &why) < 0)
        return fail_text(r, v, why.column - 1, why.text);
    if (policy_add(r->into, action, &rule, &why) < 0)
        return json_fail(r->why, r->file, v, "%s", why.text);
    return 0;
}

static int read_protocol(const struct reader *r, const struct json *object, struct rule *rule)
{
    const struct json *v = json_get(object, "protocol");

    rule->proto = POLICY_TCP;
    if (v == NULL || json_is_str(v, "tcp"))
        return 0;
    rule->proto = json_is_str(v, "udp") ? POLICY_UDP : POLICY_ICMP;
    if (rule->proto == POLICY_UDP || json_is_str(v, "icmp"))
        return 0;
    return json_fail(r->why, r->file, v, "protocol must be \"tcp\", \"udp\" or \"icmp\"");
}

static int read_host(const struct reader *r, const struct json *object, struct rule *rule)
{
    const struct json *host = json_get(object, "host");
    const struct json *cidr = json_get(object, "cidr");
    const struct json *v = host != NULL ? host : cidr;
    struct fault fault;
    const char *text;

    if (host != NULL && cidr != NULL)
        return json_fail_name(r->why, r->file, cidr, "a rule has \"host\" or \"cidr\", not both");
    if (v == NULL)
        return json_fail(r->why, r->file, object, "a rule needs \"host\" or \"cidr\"");
    if (json_read_str(v, &text) < 0)
        return want_type(r, v, JSON_STRING, v == host ? "host" : "cidr");
    if (rule_parse_host(bytes_of_str(text), rule, &fault) < 0)
        return fail_part(r, v, &fault);
    if (v == cidr && rule->host != RULE_PREFIX)
        return json_fail(r->why, r->file, v,
                         "cidr must be an address or prefix such as 10.0.0.0/8 or 2001:db8::/32");
    return 0;
}

/** One element of "ports" (or its only value): add the rule with it. */
static int read_port(const struct reader *r, enum policy_action action, const struct json *v,
                     struct rule *rule)
{
    struct bytes text = json_text(v);
    struct fault fault = {.what =
                              "ports are numbers, strings such as \"8000-8999\" or \"*\", or an "
                              "array of them"};
    struct why why = {0};
    const char *string;

    if (json_type(v) != JSON_NUMBER && json_type(v) != JSON_STRING)
        return fail_part(r, v, &fault);
    if (json_read_str(v, &string) == 0)
        text = bytes_of_str(string);
    if (rule_parse_ports(text, rule, &fault) < 0)
        return fail_part(r, v, &fault);
    if (policy_add(r->into, action, rule, &why) < 0)
        return json_fail(r->why, r->file, v, "%s", why.text);
    return 0;
}

static int read_ports(const struct reader *r, enum policy_action action, const struct json *object,
                      struct rule *rule)
{
    const struct json *ports = json_get(object, "ports");
    int err = 0;

    if (rule->proto == POLICY_ICMP) {
        rule->port_max = UINT16_MAX;
        if (ports != NULL)
            return json_fail_name(r->why, r->file, ports, "icmp has no ports");
        return policy_add(r->into, action, rule, r->why);
    }
    if (ports == NULL)
        return json_fail(r->why, r->file, object,
                         "a rule needs \"ports\": a number, or \"*\" for every port");
    if (json_type(ports) != JSON_ARRAY)
        return read_port(r, action, ports, rule);
    if (json_count(ports) == 0)
        return json_fail(r->why, r->file, ports, "ports is empty: the rule would cover nothing");
    for (const struct json *v = json_first(ports); v != NULL && err == 0; v = json_next(v))
        err = read_port(r, action, v, rule);
    return err;
}

/** {"unix": "/run/docker.sock"}: nothing else of a rule goes with it. */
static int read_unix(const struct reader *r, enum policy_action action, const struct json *object)
{
    static const char *const keys[] = {"unix", "comment"};
    const struct json *v;
    struct rule rule = {0};
    struct fault fault;
    const char *text;
    int err;

    if ((err = check_keys(r, object, keys, ARRAY_COUNT(keys))) < 0 ||
        (err = get(r, object, "unix", JSON_STRING, &v)) < 0)
        return err;
    if (json_read_str(v, &text) < 0)
        return -EINVAL;
    if (unix_rule_parse(bytes_of_str(text), &rule, &fault) < 0)
        return fail_part(r, v, &fault);
    return policy_add(r->into, action, &rule, r->why);
}

static int read_object_rule(const struct reader *r, enum policy_action action,
                            const struct json *object)
{
    static const char *const keys[] = {"host", "cidr", "ports", "protocol", "unix", "comment"};
    const struct json *comment;
    struct rule rule = {0};
    int err;

    if ((err = check_keys(r, object, keys, ARRAY_COUNT(keys))) < 0 ||
        (err = get(r, object, "comment", JSON_STRING, &comment)) < 0)
        return err;
    if (json_get(object, "unix") != NULL)
        return read_unix(r, action, object);
    if ((err = read_protocol(r, object, &rule)) < 0 || (err = read_host(r, object, &rule)) < 0)
        return err;
    return read_ports(r, action, object, &rule);
}

static int read_rules(const struct reader *r, const struct json *egress, const char *name,
                      enum policy_action action)
{
    const struct json *list;
    int err = get(r, egress, name, JSON_ARRAY, &list);

    for (const struct json *v = json_first(list); v != NULL && err == 0; v = json_next(v)) {
        if (json_type(v) == JSON_STRING)
            err = read_string_rule(r, action, v);
        else if (json_type(v) == JSON_OBJECT)
            err = read_object_rule(r, action, v);
        else
            err = json_fail(r->why, r->file, v, "a rule is a string or an object, not %s",
                            json_type_name(json_type(v)));
    }
    return err;
}

/** {"allow": ["read_file"]}: exact names. */
static int read_tools(const struct reader *r, const struct json *tools)
{
    static const char *const keys[] = {"allow"};
    const struct json *list;
    int err = check_keys(r, tools, keys, ARRAY_COUNT(keys));

    if (err == 0)
        err = get(r, tools, "allow", JSON_ARRAY, &list);
    for (const struct json *v = err == 0 ? json_first(list) : NULL; v != NULL && err == 0;
         v = json_next(v)) {
        const char *name;

        err = json_read_str(v, &name);
        if (err == 0)
            err = policy_add_tool(r->into, bytes_of_str(name));
        if (err == -EINVAL)
            return json_fail(r->why, r->file, v,
                             "a tool is its exact name: 1 to 128 of A-Z a-z 0-9 _ . / : -");
        if (err == -ENOSPC)
            return json_fail(r->why, r->file, v, "more than %u tools", IDENTITY_TOOLS_MAX);
    }
    return err;
}

static int read_mode(const struct reader *r, const struct json *spec, enum policy_mode *ret)
{
    const struct json *v = json_get(spec, "mode");

    if (v == NULL)
        return 0;
    if (!json_is_str(v, "enforce") && !json_is_str(v, "audit"))
        return json_fail(r->why, r->file, v, "mode must be \"enforce\" or \"audit\"");
    *ret = json_is_str(v, "audit") ? POLICY_AUDIT : POLICY_ENFORCE;
    return 0;
}

static int read_spec(const struct reader *r, const struct json *spec, enum policy_mode *ret_mode)
{
    static const char *const keys[] = {"mode", "egress", "tools", "files"};
    static const char *const egress_keys[] = {"allow", "deny"};
    const struct json *egress;
    const struct json *tools;
    int err;

    if ((err = check_keys(r, spec, keys, ARRAY_COUNT(keys))) < 0 ||
        (err = read_mode(r, spec, ret_mode)) < 0 ||
        (err = get(r, spec, "tools", JSON_OBJECT, &tools)) < 0 ||
        (err = read_tools(r, tools)) < 0 ||
        (err = policy_parse_files(r->into, r->file, json_get(spec, "files"), r->why)) < 0 ||
        (err = get(r, spec, "egress", JSON_OBJECT, &egress)) < 0 ||
        (err = check_keys(r, egress, egress_keys, ARRAY_COUNT(egress_keys))) < 0 ||
        (err = read_rules(r, egress, "allow", POLICY_RULE_ALLOW)) < 0)
        return err;
    return read_rules(r, egress, "deny", POLICY_RULE_DENY);
}

/** A member that must be there and be exactly @text. */
static int want_text(const struct reader *r, const struct json *root, const char *name,
                     const char *text)
{
    const struct json *v = json_get(root, name);

    if (json_is_str(v, text))
        return 0;
    return json_fail(r->why, r->file, v != NULL ? v : root, "%s must be \"%s\"", name, text);
}

static int read_metadata(const struct reader *r, const struct json *metadata)
{
    static const char *const keys[] = {"name", "description"};
    const struct json *text;
    int err;

    if ((err = check_keys(r, metadata, keys, ARRAY_COUNT(keys))) < 0 ||
        (err = get(r, metadata, "name", JSON_STRING, &text)) < 0)
        return err;
    return get(r, metadata, "description", JSON_STRING, &text);
}

static int read_root(const struct reader *r, const struct json *root, enum policy_mode *ret_mode)
{
    static const char *const keys[] = {"apiVersion", "kind", "metadata", "spec", "$schema"};
    const struct json *v;
    int err;

    if (json_type(root) != JSON_OBJECT)
        return want_type(r, root, JSON_OBJECT, "a policy file");
    if ((err = check_keys(r, root, keys, ARRAY_COUNT(keys))) < 0 ||
        (err = want_text(r, root, "apiVersion", API_VERSION)) < 0 ||
        (err = want_text(r, root, "kind", KIND)) < 0 ||
        (err = get(r, root, "$schema", JSON_STRING, &v)) < 0 ||
        (err = get(r, root, "metadata", JSON_OBJECT, &v)) < 0 || (err = read_metadata(r, v)) < 0 ||
        (err = get(r, root, "spec", JSON_OBJECT, &v)) < 0)
        return err;
    return read_spec(r, v, ret_mode);
}

int policy_parse(struct policy *p, const char *file, struct bytes json, enum policy_mode *ret_mode,
                 struct why *why)
{
    static const struct json_limits limits = {.bytes = POLICY_FILE_MAX, .depth = 16};
    enum policy_mode mode = ret_mode != NULL ? *ret_mode : POLICY_ENFORCE;
    struct reader r = {.file = file, .why = why};
    struct json_doc *doc = NULL;
    int err = json_parse(json, &limits, &doc, why);

    if (err < 0) {
        if (why != NULL)
            why_at(why, file, why->line, why->column);
        return err;
    }
    if ((err = policy_copy(p, &r.into)) < 0)
        (void)why_set(why, err, "out of memory");
    else if ((err = read_root(&r, json_root(doc), &mode)) < 0)
        policy_free(r.into);
    else
        policy_take(p, r.into);
    json_free(doc);
    if (err == 0 && ret_mode != NULL)
        *ret_mode = mode;
    return err;
}

int policy_load(struct policy *p, const char *path, enum policy_mode *ret_mode, struct why *why)
{
    struct buf text;
    int err;

    buf_init(&text, POLICY_FILE_MAX);
    err = io_read_file(path, &text, why);
    if (err == 0)
        err = policy_parse(p, path, buf_bytes(&text), ret_mode, why);
    buf_done(&text);
    return err;
}
