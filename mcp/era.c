/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the modern `_meta` keys. It refuses to guess: a request with one of them and not the other
 * is neither legacy nor modern.
 */
#include "mcp/era.h"

#include <errno.h>
#include <string.h>

#define META_VERSION "io.modelcontextprotocol/protocolVersion"
#define META_CAPS    "io.modelcontextprotocol/clientCapabilities"

/* Oldest first. */
static const char *const legacy_versions[] = {"2024-11-05", "2025-03-26", "2025-06-18",
                                              "2025-11-25"};

struct era_of era_of_request(const struct rpc_message *m, struct why *why)
{
    const struct json *meta = json_get(m->params, "_meta");
    const struct json *version = json_get(meta, META_VERSION);
    const struct json *caps = json_get(meta, META_CAPS);
    struct era_of e = {.era = ERA_LEGACY};

    if (meta != NULL && json_type(meta) != JSON_OBJECT) {
        e.era = ERA_INVALID;
        (void)why_set(why, -EINVAL, "_meta must be an object");
        return e;
    }
    if (version == NULL && caps == NULL)
        return e;
    if (json_read_str(version, &e.version) < 0 || json_type(caps) != JSON_OBJECT) {
        e.era = ERA_INVALID;
        (void)why_set(why, -EINVAL,
                      "_meta must hold \"" META_VERSION "\", a string, and \"" META_CAPS
                      "\", an object");
        return e;
    }
    e.client_caps = caps;
    e.era = strcmp(e.version, ERA_MODERN_VERSION) == 0 ? ERA_MODERN : ERA_MODERN_UNKNOWN;
    return e;
}

const char *era_legacy_version(const char *asked)
{
    for (unsigned i = 0; asked != NULL && i < ARRAY_COUNT(legacy_versions); i++)
        if (strcmp(legacy_versions[i], asked) == 0)
            return legacy_versions[i];
    return legacy_versions[ARRAY_COUNT(legacy_versions) - 1];
}

void era_write_supported(struct json_out *j)
{
    json_open_array(j);
    json_str(j, ERA_MODERN_VERSION);
    for (unsigned i = ARRAY_COUNT(legacy_versions); i > 0; i--)
        json_str(j, legacy_versions[i - 1]);
    json_close_array(j);
}
