/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice delegate`: an agent hands a part of its rights to a child. It proves itself with its own
 * token, from the file that it was told of.
 */
#include <stdio.h>

#include "base/json.h"
#include "base/json_out.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "cmd/request_body.h"
#include "cmd/session.h"

enum { DELEGATE_TOOL = OPT_OWN, DELEGATE_DESTINATION, DELEGATE_NAMESPACE, DELEGATE_TTL };

static const struct cli_option delegate_options[] = {
    SHARED_OPTIONS,
    [DELEGATE_TOOL] = {"tool", "NAME", "A tool that the child may call; again for more"},
    [DELEGATE_DESTINATION] = {"destination", "RULE",
                              "'allow HOST:PORTS' or 'deny HOST:PORTS'; again for more"},
    [DELEGATE_NAMESPACE] = {"namespace", "NAME",
                            "A namespace that the child may use; again for more"},
    [DELEGATE_TTL] = {"ttl", "SECONDS",
                      "How long the child lives (900); never longer than its parent"},
};
static const struct cli_command delegate_command = {
    .path = "lattice delegate",
    .synopsis = "[OPTIONS] NAME",
    .summary = "Hand a part of this agent's rights to a child: print the token by which it enrols.",
    .options = delegate_options,
    .option_count = ARRAY_COUNT(delegate_options),
    .more = "The agent's own token is read from --token-file or the file that $LATTICE_TOKEN_FILE "
            "names.",
    .usage_status = CLI_EXIT_USAGE,
};

struct delegate_wish {
    struct nameset tools, destinations, namespaces;
    const char *ttl;
};

static int delegate(struct session *s, const struct delegate_wish *w, const char *name)
{
    struct json_doc *doc;
    struct json_out j;
    struct buf body;
    int status;

    buf_init(&body, 1u << 20);
    json_out_init(&j, &body);
    json_open_object(&j);
    json_put_str(&j, "agentName", name);
    body_put_words(&j, "requestedTools", &w->tools);
    body_put_words(&j, "requestedDestinations", &w->destinations);
    body_put_words(&j, "requestedNamespaces", &w->namespaces);
    body_put_number(&j, "ttlSeconds", w->ttl);
    json_close_object(&j);
    status = session_call(s, "POST", ISO "/delegate", buf_text(&body), &doc);
    buf_done(&body);
    if (status != 0)
        return status;
    if (s->is_json)
        session_print(session_data(doc));
    else
        printf("%s\n", session_text(session_data(doc), "enrollmentToken"));
    json_free(doc);
    return 0;
}

static bool take_delegate_option(struct delegate_wish *w, const struct cli_parser *p, int option)
{
    switch (option) {
    case DELEGATE_TOOL:
        return body_add_word(&w->tools, p->value);
    case DELEGATE_DESTINATION:
        return body_add_word(&w->destinations, p->value);
    case DELEGATE_NAMESPACE:
        return body_add_word(&w->namespaces, p->value);
    default:
        w->ttl = p->value;
        return true;
    }
}

int cmd_delegate(int argc, char **argv)
{
    struct delegate_wish wish = {.ttl = NULL};
    struct operands words = {.count = 0};
    struct cli_parser p;
    struct session s;
    int option;
    int status = 0;

    session_init(&s);
    nameset_init(&wish.tools, BODY_WORDS_MAX);
    nameset_init(&wish.destinations, BODY_WORDS_MAX);
    nameset_init(&wish.namespaces, BODY_WORDS_MAX);
    operands_begin(&p, &delegate_command, argc, argv, &words);
    while (status == 0 && (option = cli_next(&p)) != CLI_END)
        if (option == CLI_STOP)
            return session_done(&s, p.status);
        else if (!session_take(&s, &p, option) && !take_delegate_option(&wish, &p, option))
            status = CLI_EXIT_USAGE;
    operands_end(&p, &words);
    if (status == 0 && words.count != 1)
        status = cli_usage_error(&delegate_command, "delegate takes the child's name");
    if (status == 0)
        status = session_open(&s, "LATTICE_TOKEN_FILE");
    if (status == 0)
        status = delegate(&s, &wish, words.items[0]);
    nameset_done(&wish.tools);
    nameset_done(&wish.destinations);
    nameset_done(&wish.namespaces);
    return session_done(&s, status);
}
