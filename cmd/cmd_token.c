/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice token`: enrolment tokens, made, listed and revoked at latticed.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/json_out.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "cmd/request_body.h"
#include "cmd/session.h"

enum {
    TOKEN_NAMESPACE = OPT_OWN,
    TOKEN_TOOL,
    TOKEN_DESTINATION,
    TOKEN_AGENT,
    TOKEN_TTL,
    TOKEN_AGENT_TTL,
    TOKEN_MODE
};

static const struct cli_option token_options[] = {
    SHARED_OPTIONS,
    [TOKEN_NAMESPACE] = {"namespace", "NAME", "create: the agent's namespace (default)"},
    [TOKEN_TOOL] = {"tool", "NAME", "create: a tool that the agent may call; again for more"},
    [TOKEN_DESTINATION] = {"destination", "RULE",
                           "create: 'allow HOST:PORTS' or 'deny HOST:PORTS'; again for more"},
    [TOKEN_AGENT] = {"agent-name", "NAME", "create: only this agent may enrol with it"},
    [TOKEN_TTL] = {"ttl", "SECONDS", "create: how long the token may be redeemed (3600)"},
    [TOKEN_AGENT_TTL] = {"agent-ttl", "SECONDS", "create: how long the agent will live (for ever)"},
    [TOKEN_MODE] = {"mode", "MODE", "create: enforce, audit or disabled"},
};
static const struct cli_command token_command = {
    .path = "lattice token",
    .synopsis = "create [OPTIONS] | list | revoke ID",
    .summary = "One-time tokens by which agents enrol.",
    .options = token_options,
    .option_count = ARRAY_COUNT(token_options),
    .more = "Example:\n"
            "  lattice token create --namespace team --tool list_peers \\\n"
            "      --destination 'allow api.github.com:443'",
    .usage_status = CLI_EXIT_USAGE,
};

struct token_wish {
    const char *ns, *agent, *ttl, *agent_ttl, *mode;
    struct nameset tools, destinations;
};

static bool take_token_option(struct token_wish *w, const struct cli_parser *p, int option)
{
    switch (option) {
    case TOKEN_NAMESPACE:
        w->ns = p->value;
        break;
    case TOKEN_TOOL:
        return body_add_word(&w->tools, p->value);
    case TOKEN_DESTINATION:
        return body_add_word(&w->destinations, p->value);
    case TOKEN_AGENT:
        w->agent = p->value;
        break;
    case TOKEN_TTL:
        w->ttl = p->value;
        break;
    case TOKEN_AGENT_TTL:
        w->agent_ttl = p->value;
        break;
    default:
        w->mode = p->value;
        break;
    }
    return true;
}

static int token_create(struct session *s, const struct token_wish *w)
{
    struct json_doc *doc;
    struct json_out j;
    struct buf body;
    int status;

    buf_init(&body, 1u << 20);
    json_out_init(&j, &body);
    json_open_object(&j);
    json_put_str(&j, "namespace", w->ns != NULL ? w->ns : "default");
    body_put_words(&j, "allowedTools", &w->tools);
    body_put_words(&j, "allowedDestinations", &w->destinations);
    json_put_str(&j, "agentName", w->agent);
    json_put_str(&j, "enforcementMode", w->mode);
    body_put_number(&j, "ttlSeconds", w->ttl);
    body_put_number(&j, "agentTtlSeconds", w->agent_ttl);
    json_close_object(&j);
    status = session_call(s, "POST", ISO "/enrollment-tokens", buf_text(&body), &doc);
    buf_done(&body);
    if (status != 0)
        return status;
    if (s->is_json)
        session_print(session_data(doc));
    else
        printf("%s\n", session_text(session_data(doc), "token"));
    json_free(doc);
    return 0;
}

static void print_token(const struct json *t)
{
    printf("%s  %-8s ", session_text(t, "id"), session_text(t, "state"));
    session_print_time(session_text(t, "expiresAt"));
    printf("  %s/%s\n", session_text(t, "namespace"),
           json_get(t, "agentName") != NULL ? session_text(t, "agentName") : "*");
}

static int token_do(struct session *s, const char *verb, const struct token_wish *wish,
                    const char *id)
{
    struct json_doc *doc;
    int status = session_open(s, NULL);

    if (status != 0)
        return status;
    if (strcmp(verb, "create") == 0)
        return token_create(s, wish);
    if (strcmp(verb, "list") == 0)
        return session_list(s, ISO "/enrollment-tokens", print_token);
    status = session_call_on(s, "DELETE", ISO "/enrollment-tokens/", id, NULL, &doc);
    json_free(doc);
    return status;
}

int cmd_token(int argc, char **argv)
{
    static const char *const verbs[] = {"create", "list", "revoke"};
    struct token_wish wish = {.ns = NULL};
    struct operands words = {.count = 0};
    struct cli_parser p;
    struct session s;
    int option;
    int status = 0;

    session_init(&s);
    nameset_init(&wish.tools, BODY_WORDS_MAX);
    nameset_init(&wish.destinations, BODY_WORDS_MAX);
    operands_begin(&p, &token_command, argc, argv, &words);
    while (status == 0 && (option = cli_next(&p)) != CLI_END)
        if (option == CLI_STOP)
            return session_done(&s, p.status);
        else if (!session_take(&s, &p, option) && !take_token_option(&wish, &p, option))
            status = CLI_EXIT_USAGE;
    operands_end(&p, &words);
    if (status == 0)
        status = operands_judge(&token_command, &words, verbs, ARRAY_COUNT(verbs), "revoke");
    if (status == 0)
        status = token_do(&s, words.items[0], &wish, words.items[1]);
    nameset_done(&wish.tools);
    nameset_done(&wish.destinations);
    return session_done(&s, status);
}
