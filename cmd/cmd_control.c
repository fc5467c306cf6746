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

#define ISO               "/api/v1/agent-isolation"
#define ANSWER_MAX        (32u << 20)
#define SETTING_CAP       512u
#define TOKEN_CAP         9216u
#define LIST_MAX          256u /* tools or rules on one command line */
#define EXIT_UNKNOWN_USER 4    /* not authenticated */
#define EXIT_NOT_FOUND    5

/** Where latticed is and how we prove who we are. */
struct session {
    char url[SETTING_CAP];
    struct buf token;
    const char *token_file; /* option; NULL: as said in the file's comment */
    const char *ca_file;
    bool is_json;
    bool may_be_plain;
};

/* ── Options that all commands share ─────────────────────────────────────────────────────────────
 */

enum { OPT_SERVER, OPT_TOKEN_FILE, OPT_CA_FILE, OPT_INSECURE, OPT_JSON, OPT_OWN };

#define SHARED_OPTIONS                                                                             \
    [OPT_SERVER] = {"server-url", "URL",                                                           \
                    "latticed's address; else $LATTICE_SERVER_URL or the login"},                  \
    [OPT_TOKEN_FILE] = {"token-file", "FILE",                                                      \
                        "File that holds the token; - reads standard input"},                      \
    [OPT_CA_FILE] = {"ca-file", "FILE", "Certificates to trust, PEM"},                             \
    [OPT_INSECURE] = {"insecure-http", NULL, "Send the token over plain HTTP to another host"},    \
    [OPT_JSON] = {"json", NULL, "Print JSON; lists as one object a line"}

static void session_init(struct session *s)
{
    *s = (struct session){.url = ""};
    buf_init(&s->token, TOKEN_CAP);
}

static int session_done(struct session *s, int status)
{
    if (s->token.data != NULL)
        wipe(s->token.data, s->token.cap);
    buf_done(&s->token);
    return status;
}

/** Take a shared option. False: it is one of the command's own. */
static bool take_shared(struct session *s, const struct cli_parser *p, int option)
{
    switch (option) {
    case OPT_SERVER:
        (void)snprintf(s->url, sizeof(s->url), "%s", p->value);
        return true;
    case OPT_TOKEN_FILE:
        s->token_file = p->value;
        return true;
    case OPT_CA_FILE:
        s->ca_file = p->value;
        return true;
    case OPT_INSECURE:
        s->may_be_plain = true;
        return true;
    case OPT_JSON:
        s->is_json = true;
        return true;
    default:
        return false;
    }
}

/* ── Settings: $LATTICE_CONFIG_DIR/lattice.yaml or ~/.lattice/lattice.yaml ────────────────────────
 */

static int fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 160];

    why_print(why, text, sizeof(text));
    (void)fprintf(stderr, "lattice: %s\n", text);
    return CLI_EXIT_ERROR;
}

static int config_dir(char *ret, size_t cap, struct why *why)
{
    const char *dir = getenv("LATTICE_CONFIG_DIR");
    const char *home = getenv("HOME");
    int len;

    if (dir != NULL && dir[0] != '\0')
        len = snprintf(ret, cap, "%s", dir);
    else if (home != NULL && home[0] == '/')
        len = snprintf(ret, cap, "%s/.lattice", home);
    else
        return why_set(why, -ENOENT,
                       "neither LATTICE_CONFIG_DIR nor HOME says where to keep settings");
    return len > 0 && (size_t)len < cap
               ? 0
               : why_set(why, -ENAMETOOLONG, "the settings' path is too long");
}

/** The value of `KEY: VALUE` in our own flat file; no data when it has none. */
static struct bytes find_setting(const char *text, const char *key)
{
    size_t key_len = strlen(key);

    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t len = end != NULL ? (size_t)(end - line) : strlen(line);

        if (len > key_len + 2 && strncmp(line, key, key_len) == 0 && line[key_len] == ':')
            return bytes_of(line + key_len + 2, len - key_len - 2);
        line = end != NULL ? end + 1 : NULL;
    }
    return (struct bytes){0};
}

/** Fill in what neither an option nor the environment said. A missing file is no fault. */
static void load_settings(struct session *s)
{
    char dir[SETTING_CAP];
    char path[SETTING_CAP + 16];
    struct bytes found;
    struct buf text;

    buf_init(&text, 65536);
    if (config_dir(dir, sizeof(dir), NULL) == 0) {
        (void)snprintf(path, sizeof(path), "%s/lattice.yaml", dir);
        if (io_read_file(path, &text, NULL) == 0) {
            found = find_setting(buf_text(&text), "server-url");
            if (s->url[0] == '\0' && found.data != NULL)
                (void)snprintf(s->url, sizeof(s->url), "%.*s", (int)found.len,
                               (const char *)found.data);
            found = find_setting(buf_text(&text), "auth-token");
            if (s->token.len == 0 && found.data != NULL)
                buf_add(&s->token, found.data, found.len);
        }
    }
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
}

/** Read a token from @path ("-": standard input), without its line end. */
static int read_token(const char *path, struct buf *ret, struct why *why)
{
    int err = 0;

    if (strcmp(path, "-") == 0) {
        char part[512];
        ssize_t got;

        while ((got = io_read(STDIN_FILENO, part, sizeof(part))) > 0)
            buf_add(ret, part, (size_t)got);
        wipe(part, sizeof(part));
        err = got < 0 ? (int)got : buf_error(ret);
        if (err < 0)
            return why_set(why, err, "cannot read a token from standard input");
    } else {
        err = io_read_file(path, ret, why);
    }
    while (ret->len > 0 && (ret->data[ret->len - 1] == '\n' || ret->data[ret->len - 1] == '\r'))
        ret->len--;
    if (err == 0 && (ret->len == 0 || strpbrk(buf_text(ret), " \r\n\t") != NULL))
        err = why_set(why, -EINVAL, "%s does not hold one token", path);
    return err;
}

/** Options, then environment, then file. Returns 0 or an exit status. */
static int open_session(struct session *s, const char *token_variable)
{
    const char *url = getenv("LATTICE_SERVER_URL");
    const char *token = getenv("LATTICE_AUTH_TOKEN");
    const char *file = token_variable != NULL ? getenv(token_variable) : NULL;
    struct why why = {.text = ""};

    if (s->url[0] == '\0' && url != NULL)
        (void)snprintf(s->url, sizeof(s->url), "%s", url);
    if (s->token_file == NULL && file != NULL)
        s->token_file = file;
    if (s->token_file != NULL && read_token(s->token_file, &s->token, &why) < 0)
        return fail(&why);
    if (s->token.len == 0 && token != NULL)
        buf_add_str(&s->token, token);
    load_settings(s);
    if (s->url[0] == '\0') {
        (void)fprintf(stderr,
                      "lattice: where is latticed? Run 'lattice login --server-url URL' first.\n");
        return EXIT_UNKNOWN_USER;
    }
    if (s->token.len == 0 || buf_error(&s->token) < 0) {
        (void)fprintf(stderr,
                      "lattice: no token; run 'lattice login', or give --token-file FILE.\n");
        return EXIT_UNKNOWN_USER;
    }
    return 0;
}

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────────
 */

static int status_exit(unsigned status)
{
    switch (status) {
    case 401:
        return EXIT_UNKNOWN_USER;
    case 403:
        return CLI_EXIT_DENIED;
    case 404:
        return EXIT_NOT_FOUND;
    default:
        return CLI_EXIT_ERROR;
    }
}

/** Say a problem document's detail. */
static int say_problem(unsigned status, const struct json *root)
{
    const char *detail = "";

    if (json_read_str(json_get(root, "detail"), &detail) < 0)
        detail = "no reason was given; is this latticed?";
    (void)fprintf(stderr, "lattice: %s (%u)\n", detail, status);
    return status_exit(status);
}

/** One call. On success @ret_doc is the answer, or NULL for an empty one; else an exit status. */
static int call(struct session *s, const char *method, const char *path, const char *body,
                struct json_doc **ret_doc)
{
    char url[2 * SETTING_CAP];
    size_t len = strlen(s->url);
    struct http_client_request req = {.method = method,
                                      .url = url,
                                      .bearer = buf_text(&s->token),
                                      .body = body,
                                      .ca_file = s->ca_file,
                                      .may_be_plain = s->may_be_plain};
    struct json_limits limits = {.bytes = ANSWER_MAX};
    struct why why = {.text = ""};
    unsigned status = 0;
    struct buf text;
    int result = 0;

    *ret_doc = NULL;
    (void)snprintf(url, sizeof(url), "%.*s%s",
                   (int)(len > 0 && s->url[len - 1] == '/' ? len - 1 : len), s->url, path);
    buf_init(&text, ANSWER_MAX);
    if (http_client_call(&req, &status, &text, &why) < 0) {
        result = fail(&why);
    } else if (text.len > 0 && json_parse(buf_bytes(&text), &limits, ret_doc, &why) < 0) {
        (void)fprintf(stderr, "lattice: %s did not answer with JSON (%u); is this latticed?\n",
                      s->url, status);
        result = status >= 400 ? status_exit(status) : CLI_EXIT_ERROR;
    } else if (status >= 400) {
        result = say_problem(status, json_root(*ret_doc));
    }
    if (result != 0) {
        json_free(*ret_doc);
        *ret_doc = NULL;
    }
    buf_done(&text);
    return result;
}

static const struct json *data_of(const struct json_doc *doc)
{
    return json_get(json_root(doc), "data");
}

static void print_json(const struct json *v)
{
    struct bytes text = json_text(v);

    printf("%.*s\n", (int)text.len, (const char *)text.data);
}

static const char *text_of(const struct json *object, const char *key)
{
    const char *text = "";

    (void)!json_read_str(json_get(object, key), &text); /* absent: "" */
    return text;
}

/** A time without its fraction. */
static void print_time(const char *text)
{
    if (text[0] == '\0')
        printf("%-20s", "never");
    else
        printf("%.19sZ", text);
}

/** Walk all pages of @path; @row prints one item. */
static int list(struct session *s, const char *path, void (*row)(const struct json *item))
{
    char cursor[64] = "";
    int status;

    do {
        char page[SETTING_CAP];
        struct json_doc *doc;

        (void)snprintf(page, sizeof(page), "%s%climit=200%s%s", path,
                       strchr(path, '?') != NULL ? '&' : '?', cursor[0] != '\0' ? "&cursor=" : "",
                       cursor);
        status = call(s, "GET", page, NULL, &doc);
        if (status != 0)
            return status;
        for (const struct json *v = json_first(json_get(data_of(doc), "items")); v != NULL;
             v = json_next(v)) {
            if (s->is_json)
                print_json(v);
            else
                row(v);
        }
        (void)snprintf(cursor, sizeof(cursor), "%s", text_of(data_of(doc), "nextCursor"));
        json_free(doc);
    } while (cursor[0] != '\0');
    return 0;
}

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
    char temporary[SETTING_CAP + 32];
    char dir[SETTING_CAP - 64];
    struct buf text;
    int err = config_dir(dir, sizeof(dir), why);

    if (err < 0 || (err = io_mkdirs(dir)) < 0)
        return err == 0
                   ? 0
                   : why_set(why, err, "cannot create the settings' directory: %s", strerror(-err));
    (void)snprintf(ret_path, cap, "%s/lattice.yaml", dir);
    (void)snprintf(temporary, sizeof(temporary), "%s/.lattice.yaml.%d", dir, (int)getpid());
    auto_fd fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return why_set(why, -errno, "cannot write %s: %s", temporary, strerror(errno));
    buf_init(&text, TOKEN_CAP + SETTING_CAP + 64);
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
    char path[SETTING_CAP] = "";
    struct json_doc *doc;
    int status = call(s, "GET", ISO "/agents?limit=1", NULL, &doc);

    if (status != 0)
        return status;
    json_free(doc);
    if (save_login(s, path, sizeof(path), &why) < 0)
        return fail(&why);
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
        (void)take_shared(&s, &p, option);
    if (option == CLI_STOP)
        return session_done(&s, p.status);
    if (p.index < argc)
        return cli_usage_error(&login_command, "unexpected word \"%s\"", argv[p.index]);
    if (s.token_file == NULL && getenv("LATTICE_AUTH_TOKEN") == NULL)
        s.token_file = "-";
    status = open_session(&s, NULL);
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
    status = call(s, "POST", ISO "/enrollment-tokens", buf_text(&body), &doc);
    buf_done(&body);
    if (status != 0)
        return status;
    if (s->is_json)
        print_json(data_of(doc));
    else
        printf("%s\n", text_of(data_of(doc), "token"));
    json_free(doc);
    return 0;
}

static void print_token(const struct json *t)
{
    printf("%s  %-8s ", text_of(t, "id"), text_of(t, "state"));
    print_time(text_of(t, "expiresAt"));
    printf("  %s/%s\n", text_of(t, "namespace"),
           json_get(t, "agentName") != NULL ? text_of(t, "agentName") : "*");
}

/** PATH with @word as its last segment. */
static int call_on(struct session *s, const char *method, const char *path, const char *word,
                   const char *ns, struct json_doc **ret_doc)
{
    struct buf full;
    int status;

    buf_init(&full, SETTING_CAP);
    buf_add_str(&full, path);
    http_client_escape(word, &full);
    if (ns != NULL) {
        buf_add_str(&full, "?namespace=");
        http_client_escape(ns, &full);
    }
    status = call(s, method, buf_text(&full), NULL, ret_doc);
    buf_done(&full);
    return status;
}

static int token_do(struct session *s, const char *verb, const struct token_wish *wish,
                    const char *id)
{
    struct json_doc *doc;
    int status = open_session(s, NULL);

    if (status != 0)
        return status;
    if (strcmp(verb, "create") == 0)
        return token_create(s, wish);
    if (strcmp(verb, "list") == 0)
        return list(s, ISO "/enrollment-tokens", print_token);
    status = call_on(s, "DELETE", ISO "/enrollment-tokens/", id, NULL, &doc);
    json_free(doc);
    return status;
}

/** The words of a command line that are no options, before and behind them. */
struct operands {
    const char *items[4];
    unsigned count;
};

static void operand_add(struct operands *o, const char *word)
{
    if (o->count < ARRAY_COUNT(o->items))
        o->items[o->count++] = word;
}

/** Begin to parse behind the leading words, which are taken as operands. */
static void begin_words(struct cli_parser *p, const struct cli_command *command, int argc,
                        char **argv, struct operands *ret)
{
    int lead = 0;

    while (lead + 1 < argc && argv[lead + 1][0] != '-')
        operand_add(ret, argv[++lead]);
    cli_begin(p, command, argc - lead, argv + lead);
}

static void end_words(const struct cli_parser *p, struct operands *ret)
{
    for (int i = p->index; i < p->argc; i++)
        operand_add(ret, p->argv[i]);
}

/** Check verb and words against each other. Returns 0 or the exit status. */
static int judge_words(const struct cli_command *command, const struct operands *o,
                       const char *const *verbs, unsigned verb_count, const char *with_word)
{
    bool takes_word;
    bool is_known = false;

    if (o->count == 0)
        return cli_usage_error(command, "say what to do: %s", command->synopsis);
    for (unsigned i = 0; i < verb_count; i++)
        is_known = is_known || strcmp(o->items[0], verbs[i]) == 0;
    if (!is_known)
        return cli_usage_error(command, "unknown word \"%s\"; expected: %s", o->items[0],
                               command->synopsis);
    takes_word = strstr(with_word, o->items[0]) != NULL;
    if (o->count != (takes_word ? 2 : 1))
        return cli_usage_error(
            command, takes_word ? "%s takes one word" : "%s takes no further word", o->items[0]);
    return 0;
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
    begin_words(&p, &token_command, argc, argv, &words);
    while (status == 0 && (option = cli_next(&p)) != CLI_END)
        if (option == CLI_STOP)
            return session_done(&s, p.status);
        else if (!take_shared(&s, &p, option) && !take_token_option(&wish, &p, option))
            status = CLI_EXIT_USAGE;
    end_words(&p, &words);
    if (status == 0)
        status = judge_words(&token_command, &words, verbs, ARRAY_COUNT(verbs), "revoke");
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
    const char *parent = text_of(json_get(a, "parentRef"), "name");

    printf("%-24s %-12s %-8s %-15s ", text_of(a, "name"), text_of(a, "namespace"),
           text_of(a, "phase"), text_of(a, "peerIP"));
    print_time(text_of(a, "expiresAt"));
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
    printf("%-13s %s\n", "mode", text_of(a, "enforcementMode"));
    printf("%-13s %s\n", "key", text_of(a, "publicKey"));
    print_names("tools", json_get(a, "allowedTools"));
    print_names("namespaces", json_get(a, "allowedNamespaces"));
    print_names("destinations", json_get(a, "allowedDestinations"));
}

static int agent_list(struct session *s, const char *ns, const char *parent)
{
    struct buf path;
    int status;

    buf_init(&path, SETTING_CAP / 2);
    buf_add_str(&path, ISO "/agents");
    if (ns != NULL) {
        buf_add_str(&path, "?workspace=");
        http_client_escape(ns, &path);
    }
    if (parent != NULL) {
        buf_add_str(&path, ns != NULL ? "&parentRef=" : "?parentRef=");
        http_client_escape(parent, &path);
    }
    status = list(s, buf_text(&path), print_agent);
    buf_done(&path);
    return status;
}

static int agent_do(struct session *s, const char *verb, const char *name, const char *ns)
{
    bool is_show = strcmp(verb, "show") == 0;
    struct json_doc *doc;
    int64_t count = 0;
    int status = call_on(s, is_show ? "GET" : "DELETE", ISO "/agents/", name,
                         ns != NULL ? ns : "default", &doc);

    if (status != 0)
        return status;
    if (s->is_json) {
        print_json(data_of(doc));
    } else if (is_show) {
        print_agent_card(data_of(doc));
    } else {
        (void)!json_read_i64(json_get(data_of(doc), "revoked"), &count);
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
    begin_words(&p, &agent_command, argc, argv, &words);
    while ((option = cli_next(&p)) >= 0) {
        if (take_shared(&s, &p, option))
            continue;
        if (option == AGENT_NAMESPACE)
            ns = p.value;
        else
            parent = p.value;
    }
    if (option == CLI_STOP)
        return session_done(&s, p.status);
    end_words(&p, &words);
    status = judge_words(&agent_command, &words, verbs, ARRAY_COUNT(verbs), "show revoke");
    if (status == 0)
        status = open_session(&s, NULL);
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
    status = call(s, "POST", ISO "/delegate", buf_text(&body), &doc);
    buf_done(&body);
    if (status != 0)
        return status;
    if (s->is_json)
        print_json(data_of(doc));
    else
        printf("%s\n", text_of(data_of(doc), "enrollmentToken"));
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
    begin_words(&p, &delegate_command, argc, argv, &words);
    while (status == 0 && (option = cli_next(&p)) != CLI_END)
        if (option == CLI_STOP)
            return session_done(&s, p.status);
        else if (!take_shared(&s, &p, option) && !take_delegate_option(&wish, &p, option))
            status = CLI_EXIT_USAGE;
    end_words(&p, &words);
    if (status == 0 && words.count != 1)
        status = cli_usage_error(&delegate_command, "delegate takes the child's name");
    if (status == 0)
        status = open_session(&s, "LATTICE_TOKEN_FILE");
    if (status == 0)
        status = delegate(&s, &wish, words.items[0]);
    nameset_done(&wish.tools);
    nameset_done(&wish.destinations);
    nameset_done(&wish.namespaces);
    return session_done(&s, status);
}
