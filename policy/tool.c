/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tool check: who calls, does that identity still live, may it use this namespace, may it call
 * this tool; the first that fails decides. It refuses wildcards and any kind of name folding.
 *
 * DEVIATES from the original system: an identity that is not found, has expired or was revoked is
 * refused also in audit mode. A mode relaxes what an agent may do, never whether it exists;
 * otherwise revoking an agent under audit would do nothing.
 */
#include "policy/identity.h"

#include <stdio.h>

/** Steps 3 to 5: TOOL_ALLOWED when the identity lives. */
static enum tool_reason judge_life(const struct tool_request *req)
{
    if (req->identity == NULL)
        return TOOL_IDENTITY_NOT_FOUND;
    if (req->identity->phase == IDENTITY_EXPIRED)
        return TOOL_EXPIRED;
    if (req->identity->phase == IDENTITY_REVOKED)
        return TOOL_REVOKED;
    if (req->now_s >= req->identity->expires_s)
        return TOOL_EXPIRED;
    return req->identity->phase == IDENTITY_ACTIVE ? TOOL_ALLOWED : TOOL_PENDING;
}

/** Steps 6 and 7. */
static enum tool_reason judge_lists(const struct tool_request *req)
{
    if (!nameset_has(&req->identity->namespaces, bytes_of_str(req->ns)))
        return TOOL_NAMESPACE_NOT_ALLOWED;
    if (!nameset_has(&req->identity->tools, req->tool))
        return TOOL_TOOL_NOT_ALLOWED;
    return TOOL_ALLOWED;
}

struct tool_answer policy_decide_tool(const struct tool_request *req)
{
    struct tool_answer a = {0};
    enum identity_enforcement mode = req->global;

    if (req->global == IDENTITY_DISABLED)
        return (struct tool_answer){.verdict = VERDICT_ALLOW, .reason = TOOL_MODE_DISABLED};
    if (req->agent == NULL)
        return (struct tool_answer){.verdict = VERDICT_ALLOW, .reason = TOOL_NOT_AN_AGENT};
    a.reason = judge_life(req);
    if (a.reason != TOOL_ALLOWED)
        return a;
    if (req->identity->enforcement > mode)
        mode = req->identity->enforcement;
    if (mode == IDENTITY_DISABLED)
        return (struct tool_answer){.verdict = VERDICT_ALLOW, .reason = TOOL_MODE_DISABLED};
    a.reason = judge_lists(req);
    a.would_deny = a.reason != TOOL_ALLOWED && mode == IDENTITY_AUDIT;
    if (a.reason == TOOL_ALLOWED || a.would_deny)
        a.verdict = VERDICT_ALLOW;
    return a;
}

const char *tool_reason_name(enum tool_reason reason)
{
    static const char *const names[] = {
        [TOOL_NOT_JUDGED] = "not_judged",
        [TOOL_MODE_DISABLED] = "mode_disabled",
        [TOOL_NOT_AN_AGENT] = "not_an_agent",
        [TOOL_IDENTITY_NOT_FOUND] = "identity_not_found",
        [TOOL_EXPIRED] = "expired",
        [TOOL_REVOKED] = "revoked",
        [TOOL_PENDING] = "pending",
        [TOOL_NAMESPACE_NOT_ALLOWED] = "namespace_not_allowed",
        [TOOL_TOOL_NOT_ALLOWED] = "tool_not_allowed",
        [TOOL_ALLOWED] = "allowed",
    };

    return names[reason];
}

void policy_tool_error(const struct tool_request *req, const struct tool_answer *answer,
                       char ret[static TOOL_ERROR_CAP])
{
    char tool[IDENTITY_TOOL_MAX + 1];
    size_t len = req->tool.len < IDENTITY_TOOL_MAX ? req->tool.len : IDENTITY_TOOL_MAX;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = req->tool.data[i];

        tool[i] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    tool[len] = '\0';
    (void)snprintf(ret, TOOL_ERROR_CAP,
                   "agent \"%s\" is not permitted to call \"%s\" in namespace \"%s\" (%s)",
                   req->agent != NULL ? req->agent : "", tool, req->ns,
                   tool_reason_name(answer->reason));
}
