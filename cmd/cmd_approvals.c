/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice approvals`: calls that change something wait here for a person. What is approved is
 * shown word by word first; latticed carries out exactly that, once.
 */
#include <stdio.h>
#include <string.h>

#include "base/http_client.h"
#include "cmd/commands.h"
#include "cmd/session.h"

#define APPROVALS "/api/v1/approvals"

enum { APPROVALS_STATE = OPT_OWN };

static const struct cli_option approvals_options[] = {
    SHARED_OPTIONS,
    [APPROVALS_STATE] = {"state", "STATE",
                         "list: pending (default), executed, failed, rejected, expired or all"},
};
static const struct cli_command approvals_command = {
    .path = "lattice approvals",
    .synopsis = "list [--state STATE] | show ID | approve ID | reject ID",
    .summary = "Calls of tools that change something and wait for a person's approval.",
    .options = approvals_options,
    .option_count = ARRAY_COUNT(approvals_options),
    .more =
        "An approval holds for exactly the call that it shows, once, and expires after an hour.",
    .usage_status = CLI_EXIT_USAGE,
};

/** Foreign text for a terminal: what is not printable is shown as '?'. */
static void print_plain(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        (void)putchar(text.data[i] >= 0x20 && text.data[i] != 0x7f ? text.data[i] : '?');
}

static void print_approval(const struct json *a)
{
    const char *via = session_text(a, "via");

    printf("%s  %-8s ", session_text(a, "id"), session_text(a, "state"));
    session_print_time(session_text(a, "expiresAt"));
    printf("  %s asks in %s:\n    ", session_text(a, "requestedBy"), session_text(a, "namespace"));
    print_plain(bytes_of_str(session_text(a, "tool")));
    (void)putchar(' ');
    print_plain(json_text(json_get(a, "arguments")));
    (void)putchar('\n');
    if (session_text(a, "decidedBy")[0] != '\0')
        printf("    decided by %s%s%s\n", session_text(a, "decidedBy"),
               via[0] != '\0' ? " via " : "", via);
    if (session_text(a, "error")[0] != '\0')
        printf("    %s\n", session_text(a, "error"));
}

static int list(struct session *s, const char *state)
{
    char path[SESSION_SETTING_CAP];

    if (strcmp(state, "all") == 0)
        return session_list(s, APPROVALS, print_approval);
    if (strspn(state, "abcdefghijklmnopqrstuvwxyz") != strlen(state) || strlen(state) > 32)
        return cli_usage_error(&approvals_command, "--state '%s': no such state", state);
    (void)snprintf(path, sizeof(path), APPROVALS "?state=%s", state);
    return session_list(s, path, print_approval);
}

static int decide(struct session *s, const char *verb, const char *id)
{
    bool is_show = strcmp(verb, "show") == 0;
    struct json_doc *doc;
    struct buf path;
    int status;

    buf_init(&path, SESSION_SETTING_CAP);
    buf_add_str(&path, APPROVALS "/");
    http_client_escape(id, &path);
    if (!is_show)
        buf_printf(&path, "/%s", verb);
    status = session_call(s, is_show ? "GET" : "POST", buf_text(&path),
                          is_show ? NULL : "{\"via\":\"lattice approvals\"}", &doc);
    buf_done(&path);
    if (status != 0)
        return status;
    if (s->is_json)
        session_print(session_data(doc));
    else
        print_approval(session_data(doc));
    if (strcmp(verb, "approve") == 0 &&
        !json_is_str(json_get(session_data(doc), "state"), "executed"))
        status = CLI_EXIT_ERROR; /* it was approved, and could not be carried out */
    json_free(doc);
    return status;
}

int cmd_approvals(int argc, char **argv)
{
    static const char *const verbs[] = {"list", "show", "approve", "reject"};
    const char *state = "pending";
    struct operands words = {.count = 0};
    struct cli_parser p;
    struct session s;
    int option;
    int status;

    session_init(&s);
    operands_begin(&p, &approvals_command, argc, argv, &words);
    while ((option = cli_next(&p)) >= 0)
        if (!session_take(&s, &p, option))
            state = p.value;
    if (option == CLI_STOP)
        return session_done(&s, p.status);
    operands_end(&p, &words);
    status = operands_judge(&approvals_command, &words, verbs, ARRAY_COUNT(verbs),
                            "show approve reject");
    if (status == 0)
        status = session_open(&s, NULL);
    if (status == 0)
        status = strcmp(words.items[0], "list") == 0 ? list(&s, state)
                                                     : decide(&s, words.items[0], words.items[1]);
    return session_done(&s, status);
}
