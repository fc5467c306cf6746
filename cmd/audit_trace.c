/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice audit traces`, `trace` and `flows`: questions to a projection of the records, made from
 * this machine's logs or from what latticed answers.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "cmd/audit_commands.h"
#include "cmd/audit_query.h"
#include "cmd/audit_remote.h"

static const struct cli_option option_file = {"file", "FILE",
                                              "read this log instead of all logs of this user"};
static const struct cli_option option_db = {"db", "FILE",
                                            "keep the answers' database here (default: in memory)"};
static const struct cli_option option_server = {
    "server-url", "URL", "ask the latticed at this address, not this machine's logs"};
static const struct cli_option option_token = {
    "token-file", "FILE", "file that holds the administrator's token (default: the login's)"};
static const struct cli_option option_ca = {"ca-file", "FILE", "certificates to trust, PEM"};
static const struct cli_option option_plain = {"insecure-http", NULL,
                                               "send the token over plain HTTP to another host"};
static const struct cli_option option_json = {"json", NULL, "JSON, one object a line"};

struct printer {
    const struct audit_query *query;
    struct audit_drawing drawing;
    uint64_t rows;
};

static int load_log(struct audit_store *store, const char *path, struct why *why)
{
    uint64_t skipped = 0;
    int64_t taken = audit_store_load(store, path, &skipped, why);

    if (taken < 0)
        return (int)taken;
    if (skipped > 0)
        (void)fprintf(stderr,
                      "lattice audit: %s: %" PRIu64
                      " lines are no records; run: lattice audit verify %s\n",
                      path, skipped, path);
    return 0;
}

static bool is_log_name(const char *name)
{
    size_t len = strlen(name);

    return name[0] != '.' && len > 6 && strcmp(name + len - 6, ".jsonl") == 0;
}

/** All logs in the directory of the default paths. */
static int load_logs(struct audit_store *store, struct why *why)
{
    char path[PATH_MAX];
    struct dirent *entry;
    size_t dir_len;
    DIR *dir;
    int err = audit_default_path("x", path, sizeof(path));

    if (err < 0)
        return why_set(why, err,
                       "there is no state directory: neither XDG_STATE_HOME nor HOME is set");
    dir_len = (size_t)(strrchr(path, '/') - path) + 1;
    path[dir_len] = '\0';
    dir = opendir(path);
    if (dir == NULL)
        return why_set(why, -errno, "no logs in %s: %s", path, strerror(errno));
    while (err == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_log_name(entry->d_name))
            continue;
        (void)snprintf(path + dir_len, sizeof(path) - dir_len, "%s", entry->d_name);
        err = load_log(store, path, why);
    }
    (void)closedir(dir);
    return err;
}

static int load_named(struct audit_store *store, const char *word, struct why *why)
{
    char path[PATH_MAX];
    int err = audit_query_log(word, path, why);

    return err < 0 ? err : load_log(store, path, why);
}

static int open_store(const struct audit_query *q, struct audit_store **ret, struct why *why)
{
    int err = audit_store_open(q->db != NULL ? q->db : ":memory:", ret, why);

    if (err < 0)
        return err;
    err = q->file == NULL ? load_logs(*ret, why) : load_named(*ret, q->file, why);
    if (err < 0) {
        audit_store_close(*ret);
        *ret = NULL;
    }
    return err;
}

static int print_trace(void *self, const struct audit_trace_row *r)
{
    struct printer *p = self;
    struct json_out j;
    struct buf out;
    int err;

    buf_init(&out, 1u << 20);
    if (p->query->is_json) {
        json_out_init(&j, &out);
        audit_trace_json(r, &j);
        buf_add_char(&out, '\n');
    } else {
        audit_trace_draw(r, &p->drawing, &out);
    }
    p->rows++;
    err = audit_query_put(&out);
    buf_done(&out);
    return err;
}

static int print_flow(void *self, const struct audit_flow_row *r)
{
    struct printer *p = self;
    struct json_out j;
    struct buf out;
    int err;

    buf_init(&out, 1u << 20);
    if (p->query->is_json) {
        json_out_init(&j, &out);
        audit_flow_json(r, &j);
        buf_add_char(&out, '\n');
    } else {
        audit_flow_draw(r, &p->drawing, &out);
    }
    p->rows++;
    err = audit_query_put(&out);
    buf_done(&out);
    return err;
}

static int end_query(int err, const char *what, const struct printer *p)
{
    if (err < 0) {
        (void)fprintf(stderr, "lattice audit: the query failed: %s\n", strerror(-err));
        return CLI_EXIT_ERROR;
    }
    if (p->rows == 0)
        (void)fprintf(stderr, "lattice audit: no %s\n", what);
    return fflush(stdout) == 0 ? CLI_EXIT_OK : CLI_EXIT_ERROR;
}

/** Prove who we are, run @ask, and forget the token. */
static int with_session(struct audit_query *q, int (*ask)(struct audit_query *q, void *self),
                        void *self)
{
    int status;

    buf_init(&q->session.token, SESSION_TOKEN_CAP);
    q->session.is_json = q->is_json;
    status = session_open(&q->session, NULL);
    return session_done(&q->session, status != 0 ? status : ask(q, self));
}

static int ask_traces(struct audit_query *q, void *self)
{
    return audit_remote_traces(&q->session, &q->filter, print_trace, self);
}

static int remote_traces(struct audit_query *q, struct printer *printer)
{
    int status = with_session(q, ask_traces, printer);

    return status != 0 ? status : end_query(0, "traces", printer);
}

static int ask_flows(struct audit_query *q, void *self)
{
    return audit_remote_flows(&q->session, &q->filter, self);
}

static int ask_trace(struct audit_query *q, void *self)
{
    return audit_remote_trace(&q->session, q->filter.trace_id, self);
}

/** A projection of what latticed answers; else as open_store(). Returns 0 or an exit status. */
static int get_store(struct audit_query *q, int (*ask)(struct audit_query *q, void *self),
                     struct audit_store **ret)
{
    struct why why = {0};
    int status;

    if (!q->is_remote)
        return open_store(q, ret, &why) < 0 ? audit_query_fail(&why) : 0;
    if (audit_store_open(":memory:", ret, &why) < 0)
        return audit_query_fail(&why);
    status = with_session(q, ask, *ret);
    if (status != 0) {
        audit_store_close(*ret);
        *ret = NULL;
    }
    return status;
}

int audit_traces_command(int argc, char **argv)
{
    const struct cli_option options[] = {
        option_file,
        option_db,
        option_server,
        option_token,
        option_ca,
        option_plain,
        {"agent", "NAME", "only traces in which this agent took part"},
        {"since", "TIME", "only what began after it: 10m, 2h, 3d ago, or an RFC 3339 time"},
        {"limit", "N", "at most so many rows (50)"},
        option_json,
    };
    const struct cli_command command = {
        .path = "lattice audit traces",
        .synopsis = "[OPTIONS]",
        .summary = "List traces, newest first.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .usage_status = CLI_EXIT_USAGE,
    };
    struct audit_query q = {0};
    struct audit_store *store = NULL;
    struct printer printer = {.query = &q};
    struct why why = {0};
    struct cli_parser p;
    int status;

    if (!audit_query_parse(&p, &command, argc, argv, 0, 0, &q, &status))
        return status;
    printer.drawing = audit_query_drawing(&q);
    if (q.is_remote)
        return remote_traces(&q, &printer);
    if (open_store(&q, &store, &why) < 0)
        return audit_query_fail(&why);
    status =
        end_query(audit_store_traces(store, &q.filter, print_trace, &printer), "traces", &printer);
    audit_store_close(store);
    return status;
}

int audit_flows_command(int argc, char **argv)
{
    const struct cli_option options[] = {
        option_file,
        option_db,
        option_server,
        option_token,
        option_ca,
        option_plain,
        {"agent", "NAME", "only flows of this agent"},
        {"verdict", "allow|drop", "only what was judged so"},
        {"since", "TIME", "only what came after it: 10m, 2h, 3d ago, or an RFC 3339 time"},
        {"limit", "N", "at most so many rows (50)"},
        option_json,
    };
    const struct cli_command command = {
        .path = "lattice audit flows",
        .synopsis = "[OPTIONS] [TRACE]",
        .summary = "List judgements and ended flows, newest first.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .usage_status = CLI_EXIT_USAGE,
    };
    struct audit_query q = {0};
    struct audit_store *store = NULL;
    struct printer printer = {.query = &q};
    struct cli_parser p;
    int status;

    if (!audit_query_parse(&p, &command, argc, argv, 0, 1, &q, &status))
        return status;
    q.filter.trace_id = q.word;
    status = get_store(&q, ask_flows, &store);
    if (status != 0)
        return status;
    printer.drawing = audit_query_drawing(&q);
    status =
        end_query(audit_store_flows(store, &q.filter, print_flow, &printer), "flows", &printer);
    audit_store_close(store);
    return status;
}

static int print_tree(const struct audit_tree *tree, const struct audit_query *q)
{
    const struct audit_drawing drawing = audit_query_drawing(q);
    struct json_out j;
    struct buf out;
    int err;

    buf_init(&out, AUDIT_OUTPUT_MAX);
    if (q->is_json) {
        json_out_init(&j, &out);
        audit_tree_json(tree, &j);
        buf_add_char(&out, '\n');
        err = audit_query_put(&out);
    } else {
        err = audit_tree_draw(tree, &drawing, &out);
        if (err == 0)
            err = audit_query_put(&out);
    }
    buf_done(&out);
    if (err < 0)
        (void)fprintf(stderr, "lattice audit: cannot print the trace: %s\n", strerror(-err));
    return err == 0 && fflush(stdout) == 0 ? CLI_EXIT_OK : CLI_EXIT_ERROR;
}

int audit_trace_command(int argc, char **argv)
{
    const struct cli_option options[] = {
        option_file,
        option_db,
        option_server,
        option_token,
        option_ca,
        option_plain,
        {"all", NULL, "also allowed look-ups, and decisions whose flow is shown"},
        option_json,
    };
    const struct cli_command command = {
        .path = "lattice audit trace",
        .synopsis = "[OPTIONS] TRACE",
        .summary =
            "Draw one trace as a tree: agents, programs, tools, flows, verdicts with their rules.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .more = "TRACE is an id that `lattice audit traces` lists.",
        .usage_status = CLI_EXIT_USAGE,
    };
    struct audit_query q = {0};
    struct audit_store *store = NULL;
    struct audit_tree *tree = NULL;
    struct cli_parser p;
    int status;
    int err;

    if (!audit_query_parse(&p, &command, argc, argv, 1, 1, &q, &status))
        return status;
    q.filter.trace_id = q.word;
    status = get_store(&q, ask_trace, &store);
    if (status != 0)
        return status;
    err = audit_tree_load(store, q.word, &tree);
    if (err == 0)
        status = print_tree(tree, &q);
    else
        (void)fprintf(stderr, "lattice audit: trace %s: %s\n", q.word,
                      err == -ENOENT ? "there is none with this id" : strerror(-err));
    audit_tree_free(tree);
    audit_store_close(store);
    return err == 0 ? status : err == -ENOENT ? EXIT_NOT_FOUND : CLI_EXIT_ERROR;
}
