/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice agent`: the agents that latticed knows, listed, shown and revoked.
 */
#include <stdio.h>
#include <string.h>

#include "base/http_client.h"
#include "base/json.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "cmd/session.h"

enum { AGENT_NAMESPACE = OPT_OWN, AGENT_PARENT };

static const struct cli_option agent_options[] = {
    SHARED_OPTIONS,
    [AGENT_NAMESPACE] = {"namespace", "NAME",
                         "The agent's namespace (show, revoke: default; list: all)"},
    [AGENT_PARENT] = {"parent", "NAME", "list: only this agent's children"},
};
static const struct cli_command agent_command = {
    .path = "lattice agent",
    .synopsis = "list | show NAME | revoke NAME",
    .summary = "Agents and their identities. Revoking takes an agent's descendants, too.",
    .options = agent_options,
    .option_count = ARRAY_COUNT(agent_options),
    .usage_status = CLI_EXIT_USAGE,
};

static void print_agent(const struct json *a)
{
    const char *parent = session_text(json_get(a, "parentRef"), "name");

    printf("%-24s %-12s %-8s %-15s ", session_text(a, "name"), session_text(a, "namespace"),
           session_text(a, "phase"), session_text(a, "peerIP"));
    session_print_time(session_text(a, "expiresAt"));
    printf("%s%s\n", parent[0] != '\0' ? "  child of " : "", parent);
}

static void print_names(const char *title, const struct json *names)
{
    for (const struct json *v = json_first(names); v != NULL; v = json_next(v)) {
        const char *text = "";

        (void)!json_read_str(v, &text);
        printf("%-13s %s\n", v == json_first(names) ? title : "", text);
    }
}

static void print_agent_card(const struct json *a)
{
    print_agent(a);
    printf("%-13s %s\n", "mode", session_text(a, "enforcementMode"));
    printf("%-13s %s\n", "key", session_text(a, "publicKey"));
    print_names("tools", json_get(a, "allowedTools"));
    print_names("namespaces", json_get(a, "allowedNamespaces"));
    print_names("destinations", json_get(a, "allowedDestinations"));
}

static int agent_list(struct session *s, const char *ns, const char *parent)
{
    struct buf path;
    int status;

    buf_init(&path, SESSION_SETTING_CAP / 2);
    buf_add_str(&path, ISO "/agents");
    if (ns != NULL) {
        buf_add_str(&path, "?workspace=");
        http_client_escape(ns, &path);
    }
    if (parent != NULL) {
        buf_add_str(&path, ns != NULL ? "&parentRef=" : "?parentRef=");
        http_client_escape(parent, &path);
    }
    status = session_list(s, buf_text(&path), print_agent);
    buf_done(&path);
    return status;
}

static int agent_do(struct session *s, const char *verb, const char *name, const char *ns)
{
    bool is_show = strcmp(verb, "show") == 0;
    struct json_doc *doc;
    int64_t count = 0;
    int status = session_call_on(s, is_show ? "GET" : "DELETE", ISO "/agents/", name,
                                 ns != NULL ? ns : "default", &doc);

    if (status != 0)
        return status;
    if (s->is_json) {
        session_print(session_data(doc));
    } else if (is_show) {
        print_agent_card(session_data(doc));
    } else {
        (void)!json_read_i64(json_get(session_data(doc), "revoked"), &count);
        printf("revoked %s and %lld below it\n", name, (long long)(count > 0 ? count - 1 : 0));
    }
    json_free(doc);
    return 0;
}

int cmd_agent(int argc, char **argv)
{
    static const char *const verbs[] = {"list", "show", "revoke"};
    const char *ns = NULL;
    const char *parent = NULL;
    struct operands words = {.count = 0};
    struct cli_parser p;
    struct session s;
    int option;
    int status;

    session_init(&s);
    operands_begin(&p, &agent_command, argc, argv, &words);
    while ((option = cli_next(&p)) >= 0) {
        if (session_take(&s, &p, option))
            continue;
        if (option == AGENT_NAMESPACE)
            ns = p.value;
        else
            parent = p.value;
    }
    if (option == CLI_STOP)
        return session_done(&s, p.status);
    operands_end(&p, &words);
    status = operands_judge(&agent_command, &words, verbs, ARRAY_COUNT(verbs), "show revoke");
    if (status == 0)
        status = session_open(&s, NULL);
    if (status == 0)
        status = strcmp(words.items[0], "list") == 0
                     ? agent_list(&s, ns, parent)
                     : agent_do(&s, words.items[0], words.items[1], ns);
    return session_done(&s, status);
}
