/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names in their one canonical spelling. Names are counted bytes, never C strings, so a NUL
 * cannot hide a tail; whatever is not letters, digits, '-' or '_' in labels of 1..63 bytes is
 * refused rather than repaired. A name whose last label is a number is refused, too: some resolver
 * would take it for an IPv4 address (127.1, 0x7f000001, 2130706433).
 */
#include "policy/hostname.h"

#include <errno.h>

#define LABEL_MAX 63u /* RFC 1035 2.3.4 */

int fault_at(struct fault *f, size_t at, const char *what)
{
    *f = (struct fault){.at = at, .what = what};
    return -EINVAL;
}

static const char *byte_fault(uint8_t c)
{
    if (c >= 0x80)
        return "a name is written in ASCII: use its xn-- form";
    if (c < 0x20 || c == 0x7f)
        return "a control byte in a name";
    if (c == ' ')
        return "a blank in a name";
    if (c == '@')
        return "a user part has no place here: write the host alone";
    if (c == '/')
        return "a path has no place here, and a prefix length needs an address before it";
    if (c == '*')
        return "'*' stands alone or as the whole first label: *.example.org";
    if (c == ':')
        return "an IPv6 address is written in brackets: [2001:db8::1]";
    return "a name has letters, digits, '-', '_' and '.' only";
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/** True when an address parser might read @label (lower case) as a number: 12, 0x7f, 0x. */
static bool is_number(const char *label)
{
    bool hex = label[0] == '0' && label[1] == 'x';

    for (const char *c = hex ? label + 2 : label; *c != '\0'; c++)
        if (hex ? !is_hex(*c) : !is_digit(*c))
            return false;
    return true;
}

int hostname_parse(struct bytes text, char ret[static POLICY_HOSTNAME_MAX + 1], struct fault *fault)
{
    char name[POLICY_HOSTNAME_MAX + 1];
    size_t len = text.len;
    size_t label = 0; /* where the current label begins */

    if (len > 0 && text.data[len - 1] == '.')
        len--; /* the root's dot says nothing more */
    if (len == 0)
        return fault_at(fault, 0, "a host name is missing");
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.data[i];
        bool is_upper = c >= 'A' && c <= 'Z';

        if (i >= POLICY_HOSTNAME_MAX)
            return fault_at(fault, i, "a name has at most 253 characters");
        if (c == '.' && i == label)
            return fault_at(fault, i, "an empty label");
        if (c != '.' && i - label >= LABEL_MAX)
            return fault_at(fault, i, "a label has at most 63 characters");
        if (!is_upper && !(c >= 'a' && c <= 'z') && !is_digit((char)c) && c != '-' && c != '_' &&
            c != '.')
            return fault_at(fault, i, byte_fault(c));
        name[i] = (char)(is_upper ? c | 0x20 : c);
        if (c == '.')
            label = i + 1;
    }
    if (label == len)
        return fault_at(fault, len, "an empty label");
    name[len] = '\0';
    if (is_number(name + label))
        return fault_at(fault, label,
                        "a name may not end in a number, and an IPv4 address is written as four "
                        "decimal numbers");
    memcpy(ret, name, len + 1);
    return 0;
}

int hostname_canonical(struct bytes text, char ret[static POLICY_HOSTNAME_MAX + 1])
{
    struct fault fault;

    return hostname_parse(text, ret, &fault);
}
