/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of AF_UNIX sockets in rules: parsing, the canonical spelling, and which rule covers
 * which name. It looks at text only; whether a path is the one that a socket really has is the
 * sandbox's business.
 */
#include "policy/unix_name.h"

#include <errno.h>
#include <stdio.h>

#define ABSTRACT_MAX 107u /* bytes of an abstract name behind its NUL, unix(7) */

/** Sockets that would answer look-ups past the sandbox's own resolver, or record what it asked. */
static const struct {
    const char *name; /* `…/` covers everything below */
    const char *what;
} builtins[] = {
    {"/run/nscd/socket", "name service"},
    {"/var/run/nscd/socket", "name service"},
    {"/run/systemd/resolve/", "name service"},
    {"/run/avahi-daemon/socket", "name service"},
};

const char *unix_builtin_name(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(builtins); i++) {
        size_t len = strlen(builtins[i].name);

        if (strncmp(name, builtins[i].name, len) == 0 &&
            (builtins[i].name[len - 1] == '/' || name[len] == '\0'))
            return builtins[i].what;
    }
    return NULL;
}

static bool is_plain(uint8_t c)
{
    return c > 0x20 && c < 0x7f && c != '%' && c != '*' && c != '\'';
}

int policy_unix_print(struct bytes name, char *ret, size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        char text[4] = {(char)c, '\0'};
        size_t add = 1;

        if (i == 0 && c == '\0')
            text[0] = '@';
        else if (!is_plain(c))
            add = (size_t)snprintf(text, sizeof(text), "%%%02X", c);
        if (add >= cap - len)
            return -ENAMETOOLONG;
        memcpy(ret + len, text, add);
        len += add;
    }
    ret[len] = '\0';
    return (int)len;
}

/** Reads a text byte by byte, undoing %XX. */
struct reader {
    struct bytes text;
    size_t at;
    uint8_t raw[POLICY_RULE_TEXT_MAX];
    size_t len;
    size_t part;    /* where in raw the path's last component begins */
    size_t part_at; /* and where in the text */
    bool is_below;  /* ended by `*` */
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_byte(struct reader *r, struct fault *fault)
{
    uint8_t c = r->text.data[r->at];

    if (c < 0x20 || c == 0x7f)
        return fault_at(fault, r->at, "a control character is written as %XX");
    if (c == '%') {
        int high = r->text.len - r->at > 1 ? hex_value(r->text.data[r->at + 1]) : -1;
        int low = r->text.len - r->at > 2 ? hex_value(r->text.data[r->at + 2]) : -1;

        if (high < 0 || low < 0)
            return fault_at(fault, r->at, "expected two hexadecimal digits behind %");
        c = (uint8_t)(high << 4 | low);
        r->at += 2;
    }
    r->at++;
    r->raw[r->len++] = c;
    return 0;
}

/** The components since the last look, between slashes; @is_last: nothing follows. */
static int check_part(const struct reader *r, bool is_last, struct fault *fault)
{
    const uint8_t *part = r->raw + r->part;
    size_t left = r->len - r->part;

    if (left == 0 && is_last && r->is_below)
        return 0;
    if (is_last && r->is_below)
        return fault_at(fault, r->at, "all sockets below a directory are written as /DIR/*");
    for (;;) {
        const uint8_t *slash = memchr(part, '/', left); /* one that was written as %2F */
        size_t len = slash != NULL ? (size_t)(slash - part) : left;

        if (len == 0)
            return fault_at(fault, r->part_at, "a component of the path is empty");
        if (part[0] == '.' && (len == 1 || (len == 2 && part[1] == '.')))
            return fault_at(fault, r->part_at, "a path has no . and .. here: write where it leads");
        if (memchr(part, '\0', len) != NULL)
            return fault_at(fault, r->part_at, "a path has no NUL byte");
        if (slash == NULL)
            return 0;
        part = slash + 1;
        left -= len + 1;
    }
}

static int read_path(struct reader *r, struct fault *fault)
{
    int err = 0;

    r->raw[r->len++] = '/';
    r->at = r->part = r->part_at = 1;
    while (err == 0 && r->at < r->text.len && !r->is_below) {
        if (r->text.data[r->at] == '*' && r->at + 1 == r->text.len)
            r->is_below = true;
        else if (r->text.data[r->at] == '*')
            err = fault_at(fault, r->at, "a * stands only at the end (%2A is the character)");
        else if (r->text.data[r->at] != '/')
            err = read_byte(r, fault);
        else if ((err = check_part(r, /*is_last=*/false, fault)) == 0) {
            r->raw[r->len++] = '/';
            r->part = r->len;
            r->part_at = ++r->at;
        }
    }
    return err < 0 ? err : check_part(r, /*is_last=*/true, fault);
}

static int read_abstract(struct reader *r, struct fault *fault)
{
    int err = 0;

    r->raw[r->len++] = '\0';
    r->at = 1;
    while (err == 0 && r->at < r->text.len && !r->is_below) {
        if (r->text.data[r->at] == '*' && r->at + 1 == r->text.len)
            r->is_below = true;
        else if (r->text.data[r->at] == '*')
            err = fault_at(fault, r->at, "a * stands only at the end (%2A is the character)");
        else
            err = read_byte(r, fault);
    }
    if (err < 0)
        return err;
    if (r->len == 1 && !r->is_below)
        return fault_at(fault, 1, "an abstract name is missing");
    if (r->len > 1 + ABSTRACT_MAX)
        return fault_at(fault, 1 + ABSTRACT_MAX, "an abstract name has at most 107 bytes");
    return 0;
}

int unix_rule_parse(struct bytes text, struct rule *ret, struct fault *fault)
{
    struct reader r = {.text = text};
    int err;

    if (text.len == 0 || text.len > POLICY_RULE_TEXT_MAX ||
        (text.data[0] != '/' && text.data[0] != '@'))
        return fault_at(fault, 0,
                        "expected an absolute path such as unix:/run/docker.sock, or unix:@NAME "
                        "for an abstract name");
    err = text.data[0] == '/' ? read_path(&r, fault) : read_abstract(&r, fault);
    if (err < 0)
        return err;
    if (policy_unix_print(bytes_of(r.raw, r.len), ret->name, sizeof(ret->name)) < 0)
        return fault_at(fault, 0, "the name is too long for a rule");
    ret->proto = POLICY_UNIX;
    ret->host = r.is_below ? RULE_UNIX_BELOW : RULE_UNIX;
    ret->port_min = 0;
    ret->port_max = UINT16_MAX;
    return 0;
}

int policy_unix_canonical(struct bytes text, char ret[static POLICY_HOSTNAME_MAX + 1])
{
    struct rule rule;
    struct fault fault;

    if (unix_rule_parse(text, &rule, &fault) < 0 || rule.host != RULE_UNIX)
        return -EINVAL;
    memcpy(ret, rule.name, sizeof(rule.name));
    return 0;
}

size_t unix_rule_covers(const char *rule, const char *name)
{
    size_t len = strlen(rule);

    if (rule[len - 1] != '*')
        return strcmp(rule, name) == 0 ? SIZE_MAX : 0;
    len--;
    return strncmp(rule, name, len) == 0 && name[len] != '\0' ? len + 1 : 0;
}
