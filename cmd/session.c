/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds latticed and the token, makes the calls, and turns refusals into a line and an exit status.
 * It refuses to take a token from the command line.
 */
#include "cmd/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/http_client.h"
#include "base/io.h"
#include "base/wipe.h"
#include "enroll/enroll.h"

void session_init(struct session *s)
{
    *s = (struct session){.url = ""};
    buf_init(&s->token, SESSION_TOKEN_CAP);
}

int session_done(struct session *s, int status)
{
    if (s->token.data != NULL)
        wipe(s->token.data, s->token.cap);
    buf_done(&s->token);
    return status;
}

/** Take a shared option. False: it is one of the command's own. */
bool session_take(struct session *s, const struct cli_parser *p, int option)
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

int session_fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 160];

    why_print(why, text, sizeof(text));
    (void)fprintf(stderr, "lattice: %s\n", text);
    return CLI_EXIT_ERROR;
}

int session_config_dir(char *ret, size_t cap, struct why *why)
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
    char dir[SESSION_SETTING_CAP];
    char path[SESSION_SETTING_CAP + 16];
    struct bytes found;
    struct buf text;

    buf_init(&text, 65536);
    if (session_config_dir(dir, sizeof(dir), NULL) == 0) {
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

int session_find(struct session *s, const char *variable, struct why *why)
{
    const char *url = getenv("LATTICE_SERVER_URL");
    const char *token = getenv("LATTICE_AUTH_TOKEN");
    const char *file = variable != NULL ? getenv(variable) : NULL;
    int err;

    if (s->url[0] == '\0' && url != NULL)
        (void)snprintf(s->url, sizeof(s->url), "%s", url);
    if (s->token_file == NULL && file != NULL)
        s->token_file = file;
    /* Inside an enrolled sandbox this name leads through the tunnel and nowhere else. */
    if (strcmp(s->url, "http://" ENROLL_GATEWAY_NAME) == 0 &&
        getenv("LATTICE_SANDBOX_NAME") != NULL)
        s->may_be_plain = true;
    err = s->token_file != NULL ? read_token(s->token_file, &s->token, why) : 0;
    if (err < 0)
        return err == -ENOENT ? -EIO : err; /* -ENOENT says: nothing was named at all */
    if (s->token.len == 0 && token != NULL)
        buf_add_str(&s->token, token);
    load_settings(s);
    if (s->url[0] == '\0')
        return why_set(why, -ENOENT,
                       "where is latticed? Run 'lattice login --server-url URL' first.");
    if (s->token.len == 0 || buf_error(&s->token) < 0)
        return why_set(why, -ENOENT, "no token; run 'lattice login', or give --token-file FILE.");
    return 0;
}

int session_open(struct session *s, const char *variable)
{
    struct why why = {.text = ""};
    int err = session_find(s, variable, &why);

    if (err == 0)
        return 0;
    (void)session_fail(&why);
    return err == -ENOENT ? EXIT_UNKNOWN_USER : CLI_EXIT_ERROR;
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

int session_ask(struct session *s, const char *method, const char *path, const char *body,
                unsigned *ret_status, struct json_doc **ret_doc, struct why *why)
{
    char url[2 * SESSION_SETTING_CAP];
    size_t len = strlen(s->url);
    struct http_client_request req = {.method = method,
                                      .url = url,
                                      .bearer = buf_text(&s->token),
                                      .body = body,
                                      .ca_file = s->ca_file,
                                      .may_be_plain = s->may_be_plain};
    struct json_limits limits = {.bytes = SESSION_ANSWER_MAX};
    struct buf text;
    int err;

    *ret_doc = NULL;
    *ret_status = 0;
    (void)snprintf(url, sizeof(url), "%.*s%s",
                   (int)(len > 0 && s->url[len - 1] == '/' ? len - 1 : len), s->url, path);
    buf_init(&text, SESSION_ANSWER_MAX);
    err = http_client_call(&req, ret_status, &text, why);
    if (err == 0 && text.len > 0 && json_parse(buf_bytes(&text), &limits, ret_doc, NULL) < 0)
        err = why_set(why, -EPROTO, "%s did not answer with JSON (%u); is this latticed?", s->url,
                      *ret_status);
    buf_done(&text);
    return err;
}

int session_call(struct session *s, const char *method, const char *path, const char *body,
                 struct json_doc **ret_doc)
{
    struct why why = {.text = ""};
    unsigned status;
    int err = session_ask(s, method, path, body, &status, ret_doc, &why);
    int result = 0;

    if (err < 0) {
        result = session_fail(&why);
        if (status >= 400)
            result = status_exit(status);
    } else if (status >= 400) {
        result = say_problem(status, json_root(*ret_doc));
    }
    if (result != 0) {
        json_free(*ret_doc);
        *ret_doc = NULL;
    }
    return result;
}

const struct json *session_data(const struct json_doc *doc)
{
    return json_get(json_root(doc), "data");
}

void session_print(const struct json *v)
{
    struct bytes text = json_text(v);

    printf("%.*s\n", (int)text.len, (const char *)text.data);
}

const char *session_text(const struct json *object, const char *key)
{
    const char *text = "";

    (void)!json_read_str(json_get(object, key), &text); /* absent: "" */
    return text;
}

/** A time without its fraction. */
void session_print_time(const char *text)
{
    if (text[0] == '\0')
        printf("%-20s", "never");
    else
        printf("%.19sZ", text);
}

/** Walk all pages of @path; @row prints one item. */
int session_list(struct session *s, const char *path, void (*row)(const struct json *item))
{
    char cursor[64] = "";
    int status;

    do {
        char page[SESSION_SETTING_CAP];
        struct json_doc *doc;

        (void)snprintf(page, sizeof(page), "%s%climit=200%s%s", path,
                       strchr(path, '?') != NULL ? '&' : '?', cursor[0] != '\0' ? "&cursor=" : "",
                       cursor);
        status = session_call(s, "GET", page, NULL, &doc);
        if (status != 0)
            return status;
        for (const struct json *v = json_first(json_get(session_data(doc), "items")); v != NULL;
             v = json_next(v)) {
            if (s->is_json)
                session_print(v);
            else
                row(v);
        }
        (void)snprintf(cursor, sizeof(cursor), "%s", session_text(session_data(doc), "nextCursor"));
        json_free(doc);
    } while (cursor[0] != '\0');
    return 0;
}
/** PATH with @word as its last segment. */
int session_call_on(struct session *s, const char *method, const char *path, const char *word,
                    const char *ns, struct json_doc **ret_doc)
{
    struct buf full;
    int status;

    buf_init(&full, SESSION_SETTING_CAP);
    buf_add_str(&full, path);
    http_client_escape(word, &full);
    if (ns != NULL) {
        buf_add_str(&full, "?namespace=");
        http_client_escape(ns, &full);
    }
    status = session_call(s, method, buf_text(&full), NULL, ret_doc);
    buf_done(&full);
    return status;
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────
 */

static void operand_add(struct operands *o, const char *word)
{
    if (o->count < ARRAY_COUNT(o->items))
        o->items[o->count++] = word;
}

/** Begin to parse behind the leading words, which are taken as operands. */
void operands_begin(struct cli_parser *p, const struct cli_command *command, int argc, char **argv,
                    struct operands *ret)
{
    int lead = 0;

    while (lead + 1 < argc && argv[lead + 1][0] != '-')
        operand_add(ret, argv[++lead]);
    cli_begin(p, command, argc - lead, argv + lead);
}

void operands_end(const struct cli_parser *p, struct operands *ret)
{
    for (int i = p->index; i < p->argc; i++)
        operand_add(ret, p->argv[i]);
}

/** Check verb and words against each other. Returns 0 or the exit status. */
int operands_judge(const struct cli_command *command, const struct operands *o,
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
