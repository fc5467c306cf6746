/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intents: a few fixed sentences, each of which is one tool call. It guesses nothing: a sentence
 * that it does not know is refused with the sentences that it does.
 */
#include <errno.h>
#include <string.h>

#include "control/network.h"

#define WORDS_MAX      10u
#define STATEMENTS_MAX 20u
#define STATEMENT_CAP  (TOOLSET_TEXT_MAX + 1)

static const char forms[] =
    "create policy NAME allow|deny NETWORK [for KEY=VALUE,…]; delete policy NAME; create peer NAME "
    "in NETWORK app ID; delete peer NAME";

struct words {
    const char *items[WORDS_MAX];
    unsigned count;
};

/** Split @text, which is changed, at blanks. False: too many words. */
static bool split(char *text, struct words *ret)
{
    char *rest = text;

    ret->count = 0;
    for (;;) {
        rest += strspn(rest, " \t\n");
        if (*rest == '\0')
            return true;
        if (ret->count == WORDS_MAX)
            return false;
        ret->items[ret->count++] = rest;
        rest += strcspn(rest, " \t\n");
        if (*rest != '\0')
            *rest++ = '\0';
    }
}

static bool is_word(const struct words *w, unsigned i, const char *word)
{
    return i < w->count && strcmp(w->items[i], word) == 0;
}

static void begin(struct json_out *j, const char *tool, const char *name)
{
    json_open_object(j);
    json_put_str(j, "tool", tool);
    json_key(j, "arguments");
    json_open_object(j);
    json_put_str(j, "name", name);
}

static void end(struct json_out *j)
{
    json_close_object(j);
    json_close_object(j);
}

/** KEY=VALUE,KEY=VALUE as a selector. False: not so. */
static bool write_selector(struct json_out *j, const char *text)
{
    json_key(j, "peerSelector");
    json_open_object(j);
    json_key(j, "matchLabels");
    json_open_object(j);
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        const char *equals = memchr(text, '=', len);
        char key[STATEMENT_CAP];

        if (equals == NULL || equals == text)
            return false;
        memcpy(key, text, (size_t)(equals - text));
        key[equals - text] = '\0';
        json_key(j, key);
        json_bytes(j, bytes_of(equals + 1, len - (size_t)(equals - text) - 1));
        text += len;
        if (*text == ',')
            text++;
    }
    json_close_object(j);
    json_close_object(j);
    return true;
}

static bool create_policy(const struct words *w, struct json_out *j)
{
    bool is_allow = is_word(w, 3, "allow");

    if ((w->count != 5 && w->count != 7) || (!is_allow && !is_word(w, 3, "deny")) ||
        (w->count == 7 && !is_word(w, 5, "for")))
        return false;
    begin(j, "create_policy", w->items[2]);
    json_put_str(j, "network", w->items[4]);
    json_put_str(j, "action", is_allow ? "ALLOW" : "DENY");
    if (w->count == 7 && !write_selector(j, w->items[6]))
        return false;
    end(j);
    return true;
}

static bool create_peer(const struct words *w, struct json_out *j)
{
    if (w->count != 7 || !is_word(w, 3, "in") || !is_word(w, 5, "app"))
        return false;
    begin(j, "create_peer", w->items[2]);
    json_put_str(j, "network", w->items[4]);
    json_put_str(j, "appId", w->items[6]);
    end(j);
    return true;
}

static bool statement(const struct words *w, struct json_out *j)
{
    if (is_word(w, 0, "create") && is_word(w, 1, "policy"))
        return create_policy(w, j);
    if (is_word(w, 0, "create") && is_word(w, 1, "peer"))
        return create_peer(w, j);
    if (w->count != 3 || !is_word(w, 0, "delete"))
        return false;
    if (!is_word(w, 1, "policy") && !is_word(w, 1, "peer"))
        return false;
    begin(j, is_word(w, 1, "peer") ? "delete_peer" : "delete_policy", w->items[2]);
    end(j);
    return true;
}

int intent_parse(const char *text, struct json_out *j, struct why *why)
{
    unsigned statements = 0;

    json_open_array(j);
    while (*text != '\0') {
        size_t len = strcspn(text, ";");
        char part[STATEMENT_CAP];
        struct words words;

        if (len >= sizeof(part))
            return why_set(why, -EINVAL, "a statement is longer than %u bytes", TOOLSET_TEXT_MAX);
        memcpy(part, text, len);
        part[len] = '\0';
        text += len;
        if (*text == ';')
            text++;
        if (!split(part, &words) || (words.count > 0 && !statement(&words, j)))
            return why_set(why, -EINVAL, "statement %u is none of: %s", statements + 1, forms);
        if (words.count > 0 && ++statements > STATEMENTS_MAX)
            return why_set(why, -EINVAL, "more than %u statements", STATEMENTS_MAX);
    }
    json_close_array(j);
    return statements > 0 ? 0 : why_set(why, -EINVAL, "no statement; expected: %s", forms);
}
