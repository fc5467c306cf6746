/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewrites the text of a client's configuration so that its stdio servers run behind the gateway,
 * and back. Only the values that change are replaced; every other byte stays as it was written, and
 * the words that the user wrote are moved as they stand, so unwrapping gives back the same bytes.
 * It leaves alone what it does not understand: entries without a command, and arguments that are no
 * texts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_out.h"
#include "mcp/mcp.h"

#define NAMES_MAX 256u
#define NAME_CAP  51u

/* Put in where there were no arguments; the blank tells it from what a person or a program writes.
 */
#define NO_ARGS ",\"args\" :["

/** A rewrite under way: what lies before @cursor was copied. */
struct rewrite {
    struct bytes text;
    const uint8_t *root; /* where the document's own copy of @text begins */
    size_t cursor;
    struct buf *to;
    const struct mcp_wrap_options *options; /* NULL: unwrap */
    char (*names)[NAME_CAP];                /* that were given so far, of NAMES_MAX; owned */
    unsigned name_count;
};

static size_t offset_of(const struct rewrite *w, const uint8_t *at)
{
    return (size_t)(at - w->root);
}

/** Copy what is unchanged, up to offset @to. */
static void copy_until(struct rewrite *w, size_t to)
{
    buf_add(w->to, w->text.data + w->cursor, to - w->cursor);
    w->cursor = to;
}

/** Has the entry a command, and arguments that are texts? */
static bool is_stdio(const struct json *entry)
{
    const struct json *args = json_get(entry, "args");
    const char *text;

    if (json_read_str(json_get(entry, "command"), &text) < 0)
        return false;
    if (args != NULL && json_type(args) != JSON_ARRAY)
        return false;
    for (const struct json *a = json_first(args); a != NULL; a = json_next(a))
        if (json_type(a) != JSON_STRING)
            return false;
    return true;
}

static bool is_ours(const struct json *entry)
{
    const char *command = "";
    const char *base;

    (void)!json_read_str(json_get(entry, "command"), &command); /* is_stdio() saw it */
    base = strrchr(command, '/');
    return strcmp(base != NULL ? base + 1 : command, "lattice-mcp") == 0;
}

/** The word behind `--` in the arguments of our gateway; NULL: it is not that. */
static const struct json *wrapped_command(const struct json *entry)
{
    const struct json *args = json_get(entry, "args");
    const struct json *a = json_first(args);

    if (!is_ours(entry) || !json_is_str(a, "gateway"))
        return NULL;
    while (a != NULL && !json_is_str(a, "--"))
        a = json_next(a);
    return a != NULL ? json_next(a) : NULL;
}

/* ── Wrapping ────────────────────────────────────────────────────────────────────────────────────
 */

static bool is_taken(const struct rewrite *w, const char *name)
{
    for (unsigned i = 0; i < w->name_count; i++)
        if (strcmp(w->names[i], name) == 0)
            return true;
    return false;
}

/** A name for records: the server's own, as far as it fits, told apart from the others. */
static const char *make_name(struct rewrite *w, const char *from)
{
    char base[NAME_CAP - 6];
    char *name = w->names[w->name_count];
    size_t len = 0;

    for (; *from != '\0' && len + 1 < sizeof(base); from++) {
        char c = *from >= 'A' && *from <= 'Z' ? (char)(*from - 'A' + 'a') : *from;
        bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (fits)
            base[len++] = c;
        else if (len > 0 && base[len - 1] != '-')
            base[len++] = '-';
    }
    while (len > 0 && base[len - 1] == '-')
        len--;
    base[len] = '\0';
    (void)snprintf(name, NAME_CAP, "%s", len > 0 ? base : "mcp");
    for (unsigned i = 2; is_taken(w, name); i++)
        (void)snprintf(name, NAME_CAP, "%s-%u", len > 0 ? base : "mcp", i);
    w->name_count++;
    return name;
}

/** Our words and the command's, without the brackets. */
static void put_words(struct rewrite *w, const char *name, struct bytes command)
{
    const struct mcp_wrap_options *o = w->options;
    const char *first[] = {"gateway", "--name", name};
    struct json_out j;

    for (unsigned i = 0; i < ARRAY_COUNT(first) + o->word_count; i++) {
        json_out_init(&j, w->to);
        json_str(&j, i < ARRAY_COUNT(first) ? first[i] : o->words[i - ARRAY_COUNT(first)]);
        buf_add_str(w->to, ", ");
    }
    buf_add_str(w->to, "\"--\", ");
    buf_add(w->to, command.data, command.len);
}

static void wrap_args(struct rewrite *w, const char *name, struct bytes command,
                      const struct json *args)
{
    struct bytes text = json_text(args);

    copy_until(w, offset_of(w, text.data) + 1); /* with its bracket */
    put_words(w, name, command);
    if (json_first(args) != NULL)
        buf_add_str(w->to, ",");
    copy_until(w, offset_of(w, text.data) + text.len);
}

static void wrap_command(struct rewrite *w, const struct json *entry, const char *name,
                         struct bytes command)
{
    struct json_out j;

    copy_until(w, offset_of(w, command.data));
    json_out_init(&j, w->to);
    json_str(&j, w->options->program);
    w->cursor += command.len;
    if (json_get(entry, "args") != NULL)
        return;
    buf_add_str(w->to, NO_ARGS);
    put_words(w, name, command);
    buf_add_char(w->to, ']');
}

static void wrap_entry(struct rewrite *w, const struct json *entry)
{
    struct bytes command = json_text(json_get(entry, "command"));
    const char *name = make_name(w, json_name(entry));

    for (const struct json *m = json_first(entry); m != NULL; m = json_next(m)) {
        if (strcmp(json_name(m), "command") == 0)
            wrap_command(w, entry, name, command);
        else if (strcmp(json_name(m), "args") == 0)
            wrap_args(w, name, command, m);
    }
}

/* ── Unwrapping ──────────────────────────────────────────────────────────────────────────────────
 */

/** What follows the command in the arguments, as it was written, without the brackets. */
static struct bytes rest_of(const struct json *args, const struct json *command)
{
    struct bytes whole = json_text(args);
    struct bytes word = json_text(command);
    const uint8_t *from = word.data + word.len;
    const uint8_t *end = whole.data + whole.len - 1;
    const uint8_t *comma =
        json_next(command) != NULL ? memchr(from, ',', (size_t)(end - from)) : NULL;

    if (comma != NULL)
        from = comma + 1;
    return bytes_of(from, (size_t)(end - from));
}

static void unwrap_args(struct rewrite *w, const struct json *args, const struct json *command)
{
    struct bytes text = json_text(args);
    struct bytes rest = rest_of(args, command);
    size_t begin = offset_of(w, text.data);
    size_t mark = sizeof(NO_ARGS) - 1;

    /* Arguments that we put in go, with their name. */
    if (rest.len == 0 && begin + 1 >= w->cursor + mark &&
        memcmp(w->text.data + begin + 1 - mark, NO_ARGS, mark) == 0) {
        copy_until(w, begin + 1 - mark);
    } else {
        copy_until(w, begin + 1);
        buf_add(w->to, rest.data, rest.len);
        buf_add_char(w->to, ']');
    }
    w->cursor = begin + text.len;
}

static void unwrap_entry(struct rewrite *w, const struct json *entry, const struct json *command)
{
    struct bytes word = json_text(command);

    for (const struct json *m = json_first(entry); m != NULL; m = json_next(m)) {
        if (strcmp(json_name(m), "command") == 0) {
            copy_until(w, offset_of(w, json_text(m).data));
            buf_add(w->to, word.data, word.len);
            w->cursor += json_text(m).len;
        } else if (strcmp(json_name(m), "args") == 0) {
            unwrap_args(w, m, command);
        }
    }
}

/* ── Both ────────────────────────────────────────────────────────────────────────────────────────
 */

static bool is_chosen(const struct mcp_wrap_options *o, const char *name)
{
    return o == NULL || o->only == NULL || strcmp(o->only, name) == 0;
}

/** Names that wrapped entries have already are not given again. */
static void take_names(struct rewrite *w, const struct json *servers)
{
    for (const struct json *e = json_first(servers); e != NULL; e = json_next(e)) {
        const struct json *a = json_first(json_get(e, "args"));
        const char *name;

        if (wrapped_command(e) == NULL)
            continue;
        while (a != NULL && !json_is_str(a, "--name") && !json_is_str(a, "--"))
            a = json_next(a);
        if (json_is_str(a, "--name") && json_read_str(json_next(a), &name) == 0 &&
            w->name_count < NAMES_MAX)
            (void)snprintf(w->names[w->name_count++], NAME_CAP, "%s", name);
    }
}

static int rewrite_all(struct rewrite *w, const struct json *servers, unsigned *ret_changed,
                       struct why *why)
{
    for (const struct json *e = json_first(servers); e != NULL; e = json_next(e)) {
        const struct json *command;

        if (!is_stdio(e) || !is_chosen(w->options, json_name(e)))
            continue;
        command = wrapped_command(e);
        if (w->options == NULL && command != NULL) {
            unwrap_entry(w, e, command);
            (*ret_changed)++;
        } else if (w->options != NULL && !is_ours(e)) {
            if (w->name_count == NAMES_MAX)
                return why_set(why, -E2BIG, "more than %u servers", NAMES_MAX);
            wrap_entry(w, e);
            (*ret_changed)++;
        }
    }
    copy_until(w, w->text.len);
    return buf_error(w->to);
}

int mcp_wrap(struct bytes text, const struct mcp_wrap_options *options, struct buf *ret,
             unsigned *ret_changed, struct why *why)
{
    const struct json_limits limits = {.bytes = MCP_CONFIG_MAX};
    struct rewrite w = {.text = text, .to = ret, .options = options};
    const struct json *servers;
    struct json_doc *doc;
    size_t lead = 0;
    int err;

    *ret_changed = 0;
    err = json_parse(text, &limits, &doc, why);
    if (err < 0)
        return err;
    w.names = calloc(NAMES_MAX, sizeof(*w.names));
    if (w.names == NULL) {
        json_free(doc);
        return -ENOMEM;
    }
    while (lead < text.len && strchr(" \t\r\n", text.data[lead]) != NULL)
        lead++;
    w.root = json_text(json_root(doc)).data - lead;
    servers = json_get(json_root(doc), "mcpServers");
    if (json_type(servers) != JSON_OBJECT) {
        err = why_set(why, -EINVAL, "there is no object \"mcpServers\" at the top");
    } else {
        take_names(&w, servers);
        err = rewrite_all(&w, servers, ret_changed, why);
    }
    free(w.names);
    json_free(doc);
    return err;
}
