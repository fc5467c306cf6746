/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that talk to latticed: login, token, agent, delegate. Tokens never stand on a
 * command line: they come from the file that `lattice login` wrote, from a file that is named, from
 * the environment or from standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/http_client.h"
#include "base/io.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/nameset.h"
#include "base/own.h"
#include "base/wipe.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "cmd/session.h"

#define LIST_MAX 256u /* tools or rules on one command line */

/* ── lattice login ───────────────────────────────────────────────────────────────────────────────
 */

static const struct cli_option login_options[] = {SHARED_OPTIONS};
static const struct cli_command login_command = {
    .path = "lattice login",
    .synopsis = "--server-url URL [--token-file FILE]",
    .summary = "Check a token and remember it, with latticed's address, for the other commands.",
    .options = login_options,
    .option_count = ARRAY_COUNT(login_options),
    .more =
        "The token is read from --token-file, $LATTICE_AUTH_TOKEN or standard input, and kept in\n"
        "$LATTICE_CONFIG_DIR/lattice.yaml (~/.lattice/lattice.yaml), mode 0600.\n"
        "Example: lattice login --server-url http://127.0.0.1:8080 --token-file DIR/admin-token",
    .usage_status = CLI_EXIT_USAGE,
};

/** Write beside, then rename: a reader sees the old file or the new one. */
static int save_login(struct session *s, char *ret_path, size_t cap, struct why *why)
{
    char temporary[SESSION_SETTING_CAP + 32];
    char dir[SESSION_SETTING_CAP - 64];
    struct buf text;
    int err = session_config_dir(dir, sizeof(dir), why);

    if (err < 0 || (err = io_mkdirs(dir)) < 0)
        return err == 0
                   ? 0
                   : why_set(why, err, "cannot create the settings' directory: %s", strerror(-err));
    (void)snprintf(ret_path, cap, "%s/lattice.yaml", dir);
    (void)snprintf(temporary, sizeof(temporary), "%s/.lattice.yaml.%d", dir, (int)getpid());
    auto_fd fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return why_set(why, -errno, "cannot write %s: %s", temporary, strerror(errno));
    buf_init(&text, SESSION_TOKEN_CAP + SESSION_SETTING_CAP + 64);
    buf_printf(&text, "server-url: %s\nauth-token: %s\n", s->url, buf_text(&s->token));
    err = io_write_all(fd, text.data, text.len);
    wipe(text.data, text.cap);
    buf_done(&text);
    if (err == 0 && (fsync(fd) < 0 || rename(temporary, ret_path) < 0))
        err = -errno;
    if (err < 0) {
        (void)unlink(temporary);
        (void)why_set(why, err, "cannot write %s: %s", ret_path, strerror(-err));
    }
    return err;
}

static int login(struct session *s)
{
    struct why why = {.text = ""};
    char path[SESSION_SETTING_CAP] = "";
    struct json_doc *doc;
    int status = session_call(s, "GET", ISO "/agents?limit=1", NULL, &doc);

    if (status != 0)
        return status;
    json_free(doc);
    if (save_login(s, path, sizeof(path), &why) < 0)
        return session_fail(&why);
    (void)fprintf(stderr, "lattice: logged in to %s; kept in %s\n", s->url, path);
    return CLI_EXIT_OK;
}

int cmd_login(int argc, char **argv)
{
    struct cli_parser p;
    struct session s;
    int option;
    int status;

    session_init(&s);
    cli_begin(&p, &login_command, argc, argv);
    while ((option = cli_next(&p)) >= 0)
        (void)session_take(&s, &p, option);
    if (option == CLI_STOP)
        return session_done(&s, p.status);
    if (p.index < argc)
        return cli_usage_error(&login_command, "unexpected word \"%s\"", argv[p.index]);
    if (s.token_file == NULL && getenv("LATTICE_AUTH_TOKEN") == NULL)
        s.token_file = "-";
    status = session_open(&s, NULL);
    return session_done(&s, status != 0 ? status : login(&s));
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────
 */

/** Options that may be given again and again. False: too many. */
static bool add_word(struct nameset *words, const char *word)
{
    if (nameset_add(words, bytes_of_str(word)) == 0)
        return true;
    (void)fprintf(stderr, "lattice: more than %u of one option\n", LIST_MAX);
    return false;
}

static void put_words(struct json_out *j, const char *key, const struct nameset *w)
{
    if (w->count == 0)
        return;
    json_key(j, key);
    json_open_array(j);
    for (unsigned i = 0; i < w->count; i++)
        json_str(j, w->items[i]);
    json_close_array(j);
}

/** A number goes as it is written; latticed says what is wrong with it. */
static void put_number(struct json_out *j, const char *key, const char *digits)
{
    if (digits == NULL)
        return;
    json_key(j, key);
    if (digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits) && strlen(digits) < 16)
        json_raw(j, bytes_of_str(digits));
    else
        json_str(j, digits);
}

/* ── lattice token ───────────────────────────────────────────────────────────────────────────────
 */

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
    .more = "Example: lattice token create --namespace team --tool list_peers --destination 'allow "
            "api.github.com:443'",
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
        return add_word(&w->tools, p->value);
    case TOKEN_DESTINATION:
        return add_word(&w->destinations, p->value);
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
    put_words(&j, "allowedTools", &w->tools);
    put_words(&j, "allowedDestinations", &w->destinations);
    json_put_str(&j, "agentName", w->agent);
    json_put_str(&j, "enforcementMode", w->mode);
    put_number(&j, "ttlSeconds", w->ttl);
    put_number(&j, "agentTtlSeconds", w->agent_ttl);
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
    nameset_init(&wish.tools, LIST_MAX);
    nameset_init(&wish.destinations, LIST_MAX);
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

/* ── lattice agent ───────────────────────────────────────────────────────────────────────────────
 */

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

/* ── lattice delegate ────────────────────────────────────────────────────────────────────────────
 */

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
    put_words(&j, "requestedTools", &w->tools);
    put_words(&j, "requestedDestinations", &w->destinations);
    put_words(&j, "requestedNamespaces", &w->namespaces);
    put_number(&j, "ttlSeconds", w->ttl);
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
        return add_word(&w->tools, p->value);
    case DELEGATE_DESTINATION:
        return add_word(&w->destinations, p->value);
    case DELEGATE_NAMESPACE:
        return add_word(&w->namespaces, p->value);
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
    nameset_init(&wish.tools, LIST_MAX);
    nameset_init(&wish.destinations, LIST_MAX);
    nameset_init(&wish.namespaces, LIST_MAX);
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
