/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegation: the child's identity is computed from the parent's as it stands now, never from what
 * a token claims, and each part is an intersection. The child gets less or the same, in tools,
 * namespaces, destinations, lifetime, strictness and depth.
 *
 * Destinations are rules; how they intersect is destination.c's subject.
 */
#include "policy/identity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/destination.h"

static int narrow_namespaces(const struct identity *parent, const struct nameset *asked,
                             struct nameset *ret)
{
    struct bytes home = bytes_of_str(parent->ns);

    if (asked != NULL)
        return nameset_intersect(&parent->namespaces, asked, ret);
    return nameset_has(&parent->namespaces, home) ? nameset_add(ret, home) : 0;
}

static int narrow_lists(const struct identity *parent, const struct delegation *request,
                        struct identity *ret)
{
    static const struct nameset nothing;
    const struct nameset *tools = request->tools != NULL ? request->tools : &nothing;
    const struct nameset *destinations =
        request->destinations != NULL ? request->destinations : &nothing;
    int err = nameset_intersect(&parent->tools, tools, &ret->tools);

    if (err == 0)
        err = narrow_namespaces(parent, request->namespaces, &ret->namespaces);
    return err < 0 ? err
                   : destination_intersect(&parent->destinations, destinations, &ret->destinations);
}

/** The end of a life of @ttl_s that begins now, no later than the parent's. */
static int64_t narrow_end(const struct identity *parent, int64_t now_s, int64_t ttl_s)
{
    int64_t end;

    if (__builtin_add_overflow(now_s, ttl_s, &end) || end > parent->expires_s)
        return parent->expires_s;
    return end;
}

static int check_request(const struct identity *parent, const struct delegation *request,
                         int64_t now_s, struct why *why)
{
    if (!identity_is_live(parent, now_s))
        return why_set(why, -EPERM, "agent \"%s\" is %s and cannot delegate", parent->name,
                       parent->phase == IDENTITY_ACTIVE ? "expired"
                                                        : identity_phase_name(parent->phase));
    if (parent->depth >= IDENTITY_DEPTH_MAX)
        return why_set(why, -ELOOP,
                       "agent \"%s\" is at depth %u, where nobody may delegate further",
                       parent->name, parent->depth);
    if (identity_name_check(bytes_of_str(request->name)) < 0)
        return why_set(why, -EINVAL,
                       "an agent's name is 1 to %u of a-z, 0-9 and '-', not \"%.80s\"",
                       IDENTITY_NAME_MAX, request->name);
    if (strcmp(request->name, parent->name) == 0)
        return why_set(why, -EINVAL, "agent \"%s\" cannot delegate to itself", parent->name);
    if (request->ttl_s < 1 || request->ttl_s > DELEGATE_TTL_MAX_S)
        return why_set(why, -EINVAL, "a delegated lifetime is 1 to %d seconds, not %lld",
                       DELEGATE_TTL_MAX_S, (long long)request->ttl_s);
    return 0;
}

int identity_delegate(const struct identity *parent, const struct delegation *request,
                      int64_t now_s, struct identity *ret, struct why *why)
{
    struct identity child;
    int err = check_request(parent, request, now_s, why);

    if (err < 0)
        return err;
    identity_init(&child);
    (void)snprintf(child.name, sizeof(child.name), "%s", request->name);
    (void)snprintf(child.ns, sizeof(child.ns), "%s", parent->ns);
    (void)snprintf(child.parent, sizeof(child.parent), "%s", parent->name);
    child.depth = parent->depth + 1;
    child.expires_s = narrow_end(parent, now_s, request->ttl_s);
    child.enforcement =
        request->enforcement < parent->enforcement ? request->enforcement : parent->enforcement;
    child.sandbox = request->sandbox > parent->sandbox ? request->sandbox : parent->sandbox;
    child.audit_level =
        request->audit_level > parent->audit_level ? request->audit_level : parent->audit_level;
    err = narrow_lists(parent, request, &child);
    if (err < 0) {
        identity_done(&child);
        return why_set(why, err, "the child's lists do not fit: %s", strerror(-err));
    }
    *ret = child;
    return 0;
}
