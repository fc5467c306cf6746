/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latticed's documents about agents, as the API writes them, read into values. Unknown members are
 * skipped, so that a newer latticed can say more; what is needed and missing or malformed refuses
 * the whole document.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "enroll/enroll.h"

/** Copy the text member @key into @ret; absent: "". */
static int copy_text(const struct json *object, const char *key, char *ret, size_t cap,
                     struct why *why)
{
    const struct json *v = json_get(object, key);
    const char *text = "";

    if (v != NULL && json_read_str(v, &text) < 0)
        return why_set(why, -EINVAL, "latticed's \"%s\" is not a text", key);
    if (strlen(text) >= cap)
        return why_set(why, -EINVAL, "latticed's \"%s\" is too long", key);
    (void)snprintf(ret, cap, "%s", text);
    return 0;
}

static int read_address(const struct json *object, struct ip *ret, struct why *why)
{
    const struct json *v = json_get(object, "peerIP");
    const char *text;

    if (v == NULL)
        v = json_get(object, "address"); /* of a gateway's peer */
    if (json_read_str(v, &text) < 0 || ip_parse(bytes_of_str(text), ret) < 0)
        return why_set(why, -EINVAL, "latticed gave no address");
    return 0;
}

static int read_key(const struct json *object, uint8_t ret[static 32], struct why *why)
{
    const char *text;

    if (json_read_str(json_get(object, "publicKey"), &text) < 0 ||
        base64_read_32(bytes_of_str(text), ret) < 0)
        return why_set(why, -EINVAL, "latticed gave no public key");
    return 0;
}

static int read_expiry(const struct json *object, int64_t *ret, struct why *why)
{
    const struct json *v = json_get(object, "expiresAt");
    const char *text;
    int64_t ns;

    *ret = INT64_MAX;
    if (v == NULL)
        return 0;
    if (json_read_str(v, &text) < 0 || wall_parse(bytes_of_str(text), &ns) < 0)
        return why_set(why, -EINVAL, "latticed's \"expiresAt\" is not a time");
    *ret = ns / NS_PER_S;
    return 0;
}

/** Read the array of texts @key into @ret; absent: none. */
static int read_names(const struct json *object, const char *key, struct nameset *ret,
                      struct why *why)
{
    const struct json *list = json_get(object, key);

    for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) {
        const char *text;
        int err = json_read_str(v, &text);

        if (err == 0)
            err = nameset_add(ret, bytes_of_str(text));
        if (err < 0)
            return why_set(why, err, "latticed's \"%s\" cannot be read", key);
    }
    return 0;
}

static int read_all(const struct json *v, struct enroll_identity *id, struct why *why)
{
    int err = copy_text(v, "name", id->name, sizeof(id->name), why);

    if (err == 0)
        err = copy_text(v, "namespace", id->ns, sizeof(id->ns), why);
    if (err == 0)
        err = copy_text(json_get(v, "parentRef"), "name", id->parent, sizeof(id->parent), why);
    if (err == 0)
        err = copy_text(v, "enforcementMode", id->enforcement, sizeof(id->enforcement), why);
    if (err == 0)
        err = read_address(v, &id->address, why);
    if (err == 0)
        err = read_key(v, id->public_key, why);
    if (err == 0)
        err = read_expiry(v, &id->expires_s, why);
    if (err == 0)
        err = read_names(v, "allowedDestinations", &id->destinations, why);
    if (err == 0)
        err = read_names(v, "allowedTools", &id->tools, why);
    if (err == 0 && (id->name[0] == '\0' || id->ns[0] == '\0'))
        err = why_set(why, -EINVAL, "latticed gave no name");
    return err;
}

int enroll_identity_parse(struct bytes json, struct enroll_identity *ret, struct why *why)
{
    const struct json_limits limits = {.bytes = 1u << 20, .depth = 16};
    struct enroll_identity id = {0};
    struct json_doc *doc;
    int err = json_parse(json, &limits, &doc, why);

    if (err < 0)
        return err;
    nameset_init(&id.destinations, ENROLL_DESTINATIONS_MAX);
    nameset_init(&id.tools, ENROLL_TOOLS_MAX);
    err = read_all(json_root(doc), &id, why);
    json_free(doc);
    if (err < 0)
        enroll_identity_done(&id);
    else
        *ret = id;
    return err;
}

void enroll_identity_done(struct enroll_identity *id)
{
    nameset_done(&id->destinations);
    nameset_done(&id->tools);
}
