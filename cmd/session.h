/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every command that talks to latticed shares: where it is, by which token we prove who we
 * are, one call and its answer, pages of a list. Tokens never stand on a command line: they come
 * from the file that `lattice login` wrote, from a file that is named, from the environment or from
 * standard input.
 *
 * Lifecycle: session_init → session_take … → session_open → session_call … → session_done.
 */
#ifndef CMD_SESSION_H
#define CMD_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/must.h"
#include "base/why.h"
#include "cmd/cli.h"

#define ISO                 "/api/v1/agent-isolation"
#define SESSION_ANSWER_MAX  (32u << 20)
#define SESSION_SETTING_CAP 512u
#define SESSION_TOKEN_CAP   9216u
#define EXIT_UNKNOWN_USER   4 /* not authenticated */
#define EXIT_NOT_FOUND      5

struct session {
    char url[SESSION_SETTING_CAP];
    struct buf token;
    const char *token_file; /* option; NULL: as said in this file's comment */
    const char *ca_file;
    bool is_json;
    bool may_be_plain;
};

/** The options that all commands share come first in their tables; their own begin at OPT_OWN. */
enum { OPT_SERVER, OPT_TOKEN_FILE, OPT_CA_FILE, OPT_INSECURE, OPT_JSON, OPT_OWN };

#define SHARED_OPTIONS                                                                             \
    [OPT_SERVER] = {"server-url", "URL",                                                           \
                    "latticed's address; else $LATTICE_SERVER_URL or the login"},                  \
    [OPT_TOKEN_FILE] = {"token-file", "FILE",                                                      \
                        "File that holds the token; - reads standard input"},                      \
    [OPT_CA_FILE] = {"ca-file", "FILE", "Certificates to trust, PEM"},                             \
    [OPT_INSECURE] = {"insecure-http", NULL, "Send the token over plain HTTP to another host"},    \
    [OPT_JSON] = {"json", NULL, "Print JSON; lists as one object a line"}

void session_init(struct session *s);
/** session_done() - Wipe the token. Returns @status as it is. */
int session_done(struct session *s, int status);

/** session_take() - Take a shared option. False: it is one of the command's own. */
bool session_take(struct session *s, const struct cli_parser *p, int option);

/** session_find() - Address and token: options, then environment, then the login's file. @variable:
 * an environment variable that may name the token's file; NULL: none. Errors: -ENOENT no address or
 * no token, @why says how to give one; -errno of reading the token's file. */
int session_find(struct session *s, const char *variable, struct why *why) MUST_USE;
/** session_open() - As session_find(), with the fault said on standard error. Returns 0 or an exit
 * status. */
int session_open(struct session *s, const char *variable) MUST_USE;
/** session_config_dir() - Where settings are kept: $LATTICE_CONFIG_DIR or ~/.lattice. */
int session_config_dir(char *ret, size_t cap, struct why *why) MUST_USE;

/** session_ask() - One call. @ret_doc: the answer, NULL for an empty one; the caller frees it.
 * Errors: -errno of the transport, or no JSON came; @why says which. Any HTTP status is success. */
int session_ask(struct session *s, const char *method, const char *path, const char *body,
                unsigned *ret_status, struct json_doc **ret_doc, struct why *why) MUST_USE;
/** session_call() - One call that must succeed. Returns 0 or an exit status, with the reason on
 * standard error and no document. */
int session_call(struct session *s, const char *method, const char *path, const char *body,
                 struct json_doc **ret_doc) MUST_USE;
/** session_call_on() - The same, on @path with @word as its last segment, in namespace @ns or NULL.
 */
int session_call_on(struct session *s, const char *method, const char *path, const char *word,
                    const char *ns, struct json_doc **ret_doc) MUST_USE;
/** session_list() - Walk all pages of @path; @row prints one item. */
int session_list(struct session *s, const char *path,
                 void (*row)(const struct json *item)) MUST_USE;

/* Answers. */
const struct json *session_data(const struct json_doc *doc);
const char *session_text(const struct json *object, const char *key); /* "": absent */
void session_print(const struct json *v);                             /* as JSON, with a newline */
void session_print_time(const char *text); /* RFC 3339, without its fraction; "": never */
int session_fail(const struct why *why);   /* one line on standard error; CLI_EXIT_ERROR */

/** The words of a command line that are no options, before and behind them. */
struct operands {
    const char *items[4];
    unsigned count;
};

/** operands_begin() - Begin to parse behind the leading words, which are taken as operands. */
void operands_begin(struct cli_parser *p, const struct cli_command *command, int argc, char **argv,
                    struct operands *ret);
void operands_end(const struct cli_parser *p, struct operands *ret);
/** operands_judge() - Check verb and words against each other; the verbs in @with_word take one.
 * Returns 0 or the exit status. */
int operands_judge(const struct cli_command *command, const struct operands *o,
                   const char *const *verbs, unsigned verb_count, const char *with_word) MUST_USE;

#endif
