/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities as values: their lists, the spelling of their names and of their enumerations. It
 * keeps no registry and reads no clock; who exists is the control plane's to know.
 */
#include "policy/identity.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void identity_init(struct identity *id)
{
    *id = (struct identity){.audit_level = IDENTITY_AUDIT_WRITE};
    nameset_init(&id->tools, IDENTITY_TOOLS_MAX);
    nameset_init(&id->namespaces, IDENTITY_NAMESPACES_MAX);
    nameset_init(&id->destinations, IDENTITY_DESTINATIONS_MAX);
}

void identity_done(struct identity *id)
{
    nameset_done(&id->tools);
    nameset_done(&id->namespaces);
    nameset_done(&id->destinations);
}

bool identity_is_live(const struct identity *id, int64_t now_s)
{
    return id->phase == IDENTITY_ACTIVE && now_s < id->expires_s;
}

static bool is_lower_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int identity_name_check(struct bytes text)
{
    if (text.len == 0 || text.len > IDENTITY_NAME_MAX)
        return -EINVAL;
    if (text.data[0] == '-' || text.data[text.len - 1] == '-')
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++)
        if (!is_lower_or_digit(text.data[i]) && text.data[i] != '-')
            return -EINVAL;
    return 0;
}

int identity_tool_check(struct bytes text)
{
    if (text.len == 0 || text.len > IDENTITY_TOOL_MAX)
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (!is_lower_or_digit(c) && !(c >= 'A' && c <= 'Z') &&
            (c == '\0' || strchr("_./:-", c) == NULL))
            return -EINVAL;
    }
    return 0;
}

/** Index of @text among @names, or -EINVAL. */
static int name_index(struct bytes text, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (bytes_equal(text, bytes_of_str(names[i])))
            return (int)i;
    return -EINVAL;
}

/* Each table is indexed by its enumeration. */
static const char *const phase_names[] = {"Pending", "Active", "Expired", "Revoked"};
static const char *const enforcement_names[] = {"enforce", "audit", "disabled"};
static const char *const sandbox_names[] = {"none", "pod", "gvisor", "microvm"};
static const char *const audit_level_names[] = {"none", "write", "full"};

static_assert(ARRAY_COUNT(phase_names) == IDENTITY_REVOKED + 1, "one name a phase");
static_assert(ARRAY_COUNT(enforcement_names) == IDENTITY_DISABLED + 1, "one name a mode");
static_assert(ARRAY_COUNT(sandbox_names) == IDENTITY_SANDBOX_MICROVM + 1, "one name a wall");
static_assert(ARRAY_COUNT(audit_level_names) == IDENTITY_AUDIT_FULL + 1, "one name a level");

const char *identity_phase_name(enum identity_phase phase)
{
    return phase_names[phase];
}

const char *identity_enforcement_name(enum identity_enforcement e)
{
    return enforcement_names[e];
}

const char *identity_sandbox_name(enum identity_sandbox s)
{
    return sandbox_names[s];
}

const char *identity_audit_level_name(enum identity_audit_level l)
{
    return audit_level_names[l];
}

int identity_phase_parse(struct bytes text, enum identity_phase *ret)
{
    int i = name_index(text, phase_names, ARRAY_COUNT(phase_names));

    if (i < 0)
        return i;
    *ret = (enum identity_phase)i;
    return 0;
}

int identity_enforcement_parse(struct bytes text, enum identity_enforcement *ret)
{
    int i = name_index(text, enforcement_names, ARRAY_COUNT(enforcement_names));

    if (i < 0)
        return i;
    *ret = (enum identity_enforcement)i;
    return 0;
}

int identity_sandbox_parse(struct bytes text, enum identity_sandbox *ret)
{
    int i = name_index(text, sandbox_names, ARRAY_COUNT(sandbox_names));

    if (i < 0)
        return i;
    *ret = (enum identity_sandbox)i;
    return 0;
}

int identity_audit_level_parse(struct bytes text, enum identity_audit_level *ret)
{
    int i = name_index(text, audit_level_names, ARRAY_COUNT(audit_level_names));

    if (i < 0)
        return i;
    *ret = (enum identity_audit_level)i;
    return 0;
}
