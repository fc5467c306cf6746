/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice sandbox ps|inspect|stats|kill`: the sandboxes of this user that run on this machine.
 * What they did is read from their logs; they are not asked, so nothing can keep them from working.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/display.h"
#include "base/json_out.h"
#include "base/own.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "cmd/running.h"
#include "cmd/session.h"

#define LINE_USED     53u /* columns before a command */
#define COMMAND_LEAST 12u

enum { OPTION_JSON, OPTION_FORCE };

static const struct cli_option options[] = {
    [OPTION_JSON] = {"json", NULL, "JSON, one object a line"},
    [OPTION_FORCE] = {"force", NULL, "kill: SIGKILL to the supervisor, instead of SIGTERM"},
};

static const struct cli_command command = {
    .path = "lattice sandbox ps",
    .synopsis = "ps|stats|inspect NAME|kill NAME [OPTIONS]",
    .summary = "Look at the sandboxes of this user that run on this machine, and end them.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .more = "  ps            what runs\n"
            "  stats         flows, bytes and verdicts of each\n"
            "  inspect NAME  everything about one\n"
            "  kill NAME     end it: SIGTERM to its first process, --force for SIGKILL to all\n\n"
            "NAME is a sandbox's name or its supervisor's process number.",
    .usage_status = CLI_EXIT_USAGE,
};

struct view {
    const char *verb;
    const char *word; /* NULL: all */
    bool is_json;
    bool is_forced;
    unsigned shown;
    int status;
};

/* What a session did so far. */
struct deeds {
    struct audit_trace_row row;
    bool is_known;
};

static int take_row(void *self, const struct audit_trace_row *r)
{
    struct deeds *d = self;

    d->row = *r;
    d->row.trace_id = d->row.agent = d->row.parent = NULL; /* borrowed for the call */
    d->is_known = true;
    return 0;
}

static struct deeds deeds_of(const struct running *r)
{
    const struct audit_filter f = {.trace_id = r->trace_id, .limit = 1};
    struct audit_store *store = NULL;
    struct deeds d = {.is_known = false};

    if (audit_store_open(":memory:", &store, NULL) == 0 &&
        audit_store_load(store, r->audit_log, NULL, NULL) >= 0)
        (void)!audit_store_traces(store, &f, take_row, &d); /* unknown then */
    audit_store_close(store);
    return d;
}

static void print_age(int64_t since_ns)
{
    long long s = (long long)((wall_now_ns() - since_ns) / NS_PER_S);
    char text[32];

    if (s < 120)
        (void)snprintf(text, sizeof(text), "%lld s", s);
    else if (s < 7200)
        (void)snprintf(text, sizeof(text), "%lld min", s / 60);
    else
        (void)snprintf(text, sizeof(text), "%lld h", s / 3600);
    printf("%8s", text);
}

/** A command, cut to what is left of the line behind @used columns; 0: all of it. */
static void print_command(const char *text, unsigned used)
{
    unsigned columns = cli_columns(STDOUT_FILENO);
    unsigned left = columns > used + COMMAND_LEAST ? columns - used : COMMAND_LEAST;
    struct buf safe, cut;

    buf_init(&safe, 3 * RUNNING_TEXT_CAP);
    buf_init(&cut, 3 * RUNNING_TEXT_CAP);
    display_safe(&safe, text);
    display_cut(&cut, buf_text(&safe), used == 0 ? RUNNING_TEXT_CAP : columns == 0 ? 80 : left);
    printf("%s\n", buf_text(&cut));
    buf_done(&safe);
    buf_done(&cut);
}

static void print_json(const struct running *r, bool has_deeds)
{
    struct deeds d = {.is_known = false};
    char time[RFC3339_CAP];
    struct json_out j;
    struct buf out;

    if (has_deeds)
        d = deeds_of(r);
    buf_init(&out, 65536);
    json_out_init(&j, &out);
    wall_print(r->started_ns, time);
    json_open_object(&j);
    json_put_str(&j, "name", r->name);
    json_put_i64(&j, "pid", r->pid);
    json_put_str(&j, "startedAt", time);
    json_put_str(&j, "network", r->network);
    json_put_str(&j, "files", r->files);
    json_put_str(&j, "traceId", r->trace_id);
    json_put_str(&j, "auditLog", r->audit_log);
    json_put_str(&j, "command", r->command);
    if (d.is_known) {
        json_put_u64(&j, "spans", d.row.spans);
        json_put_u64(&j, "failed", d.row.failed);
        json_put_u64(&j, "flows", d.row.flows);
        json_put_u64(&j, "dropped", d.row.dropped);
        json_put_u64(&j, "bytesOut", d.row.bytes_out);
        json_put_u64(&j, "bytesIn", d.row.bytes_in);
    }
    json_close_object(&j);
    printf("%s\n", buf_text(&out));
    buf_done(&out);
}

static void print_one(const struct running *r)
{
    struct deeds d = deeds_of(r);
    char time[RFC3339_CAP];

    wall_print(r->started_ns, time);
    printf("name       %s\nsupervisor %d\nstarted    %s\nnetwork    %s\nfiles      %s\ntrace      "
           "%s\nrecords    %s\n"
           "command    ",
           r->name, (int)r->pid, time, r->network, r->files, r->trace_id, r->audit_log);
    print_command(r->command, 0);
    if (d.is_known)
        printf("spans      %llu, %llu failed\nflows      %llu, %llu refused\n"
               "bytes      %llu out, %llu in\n",
               (unsigned long long)d.row.spans, (unsigned long long)d.row.failed,
               (unsigned long long)d.row.flows, (unsigned long long)d.row.dropped,
               (unsigned long long)d.row.bytes_out, (unsigned long long)d.row.bytes_in);
}

static void print_head(const struct view *v)
{
    if (v->is_json || v->shown > 0)
        return;
    if (strcmp(v->verb, "stats") == 0)
        printf("%-24s %7s %8s %8s %12s %12s\n", "NAME", "SPANS", "FLOWS", "REFUSED", "BYTES OUT",
               "BYTES IN");
    else if (strcmp(v->verb, "ps") == 0)
        printf("%-24s %8s %8s  %-8s %s\n", "NAME", "PID", "AGE", "NETWORK", "COMMAND");
}

static void print_row(const struct view *v, const struct running *r)
{
    if (v->is_json) {
        print_json(r, strcmp(v->verb, "ps") != 0);
    } else if (strcmp(v->verb, "inspect") == 0) {
        print_one(r);
    } else if (strcmp(v->verb, "stats") == 0) {
        struct deeds d = deeds_of(r);

        printf("%-24s %7llu %8llu %8llu %12llu %12llu\n", r->name, (unsigned long long)d.row.spans,
               (unsigned long long)d.row.flows, (unsigned long long)d.row.dropped,
               (unsigned long long)d.row.bytes_out, (unsigned long long)d.row.bytes_in);
    } else {
        printf("%-24s %8d ", r->name, (int)r->pid);
        print_age(r->started_ns);
        printf("  %-8s ", r->network);
        print_command(r->command,
                      LINE_USED + (unsigned)(strlen(r->name) > 24 ? strlen(r->name) - 24 : 0));
    }
}

/** The supervisor passes SIGTERM on to the agent, and ends with it; killed itself, its guardian
 * ends all that it started. */
static int end_one(struct view *v, const struct running *r)
{
    auto_fd fd = running_open(r);

    if (fd < 0)
        return 0; /* it has ended by itself */
    if (syscall(SYS_pidfd_send_signal, fd, v->is_forced ? SIGKILL : SIGTERM, NULL, 0) < 0 &&
        errno != ESRCH) {
        (void)fprintf(stderr, "lattice: %s: %s\n", r->name, strerror(errno));
        v->status = CLI_EXIT_ERROR;
    }
    return 0;
}

static bool is_meant(const struct view *v, const struct running *r)
{
    char pid[16];

    (void)snprintf(pid, sizeof(pid), "%d", (int)r->pid);
    return v->word == NULL || strcmp(v->word, r->name) == 0 || strcmp(v->word, pid) == 0;
}

static int each(void *self, const struct running *r)
{
    struct view *v = self;

    if (!is_meant(v, r))
        return 0;
    if (strcmp(v->verb, "kill") == 0) {
        v->shown++;
        return end_one(v, r);
    }
    print_head(v);
    print_row(v, r);
    v->shown++;
    return 0;
}

int cmd_sandboxes(int argc, char **argv)
{
    static const char *const verbs[] = {"ps", "stats", "inspect", "kill"};
    struct view v = {.status = CLI_EXIT_OK};
    struct operands words = {0};
    struct why why = {0};
    struct cli_parser p;
    int option, status;

    operands_begin(&p, &command, argc, argv, &words);
    while ((option = cli_next(&p)) >= 0)
        *(option == OPTION_JSON ? &v.is_json : &v.is_forced) = true;
    if (option == CLI_STOP)
        return p.status;
    operands_end(&p, &words);
    status = operands_judge(&command, &words, verbs, ARRAY_COUNT(verbs), "inspect kill");
    if (status != 0)
        return status;
    v.verb = words.items[0];
    v.word = words.count > 1 ? words.items[1] : NULL;
    if (running_list(each, &v, &why) < 0)
        return session_fail(&why);
    if (v.shown == 0 && v.word != NULL) {
        (void)fprintf(stderr,
                      "lattice: no sandbox \"%s\" runs here; 'lattice sandbox ps' lists them\n",
                      v.word);
        return EXIT_NOT_FOUND;
    }
    return fflush(stdout) == 0 ? v.status : CLI_EXIT_ERROR;
}
