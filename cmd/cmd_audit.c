/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice audit`: check a log's chain, show it, and ask it, or latticed, for traces and flows. It
 * never writes to a log.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/io.h"
#include "base/json_out.h"
#include "base/own.h"
#include "cmd/audit_remote.h"
#include "cmd/cli.h"
#include "cmd/commands.h"

#define OUTPUT_MAX (64u << 20)

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

struct query {
    const char *word; /* the operand; NULL: none */
    const char *file;
    const char *db;
    struct audit_filter filter;
    bool is_follow;
    bool is_running;
    bool is_all;
    bool is_json;
    bool is_remote;
    struct session session;
};

struct printer {
    const struct query *query;
    struct audit_drawing drawing;
    uint64_t rows;
};

static struct audit_drawing drawing_of(const struct query *q)
{
    struct winsize size = {0};
    bool is_terminal = isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;

    return (struct audit_drawing){.colour = cli_colour(STDOUT_FILENO),
                                  .all = q->is_all,
                                  .columns = is_terminal ? size.ws_col : 0};
}

static int fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 160];

    why_print(why, text, sizeof(text));
    (void)fprintf(stderr, "lattice audit: %s\n", text);
    return CLI_EXIT_ERROR;
}

static int put(struct buf *text)
{
    int err = buf_error(text);

    if (err == 0 && fwrite(text->data, 1, text->len, stdout) != text->len)
        err = -EIO;
    buf_reset(text);
    return err;
}

static int parse_limit(const char *text, unsigned *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (text[0] < '1' || text[0] > '9' || *end != '\0' || n > AUDIT_ROWS_MAX)
        return -EINVAL;
    *ret = (unsigned)n;
    return 0;
}

/** `10m`, `2h`, `3d`, `45s` ago, or an RFC 3339 time. */
static int parse_since(const char *text, int64_t *ret)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    char *end;
    const char *unit;
    unsigned long n;

    if (wall_parse(bytes_of_str(text), ret) == 0)
        return 0;
    n = strtoul(text, &end, 10);
    unit = text[0] >= '0' && text[0] <= '9' && end[0] != '\0' && end[1] == '\0'
               ? strchr(units, end[0])
               : NULL;
    if (unit == NULL || n > 100000)
        return -EINVAL;
    *ret = wall_now_ns() - (int64_t)n * seconds[unit - units] * NS_PER_S;
    return 0;
}

static int take_option(struct query *q, const struct cli_command *command, const char *name,
                       const char *value)
{
    if (strcmp(name, "file") == 0)
        q->file = value;
    else if (strcmp(name, "db") == 0)
        q->db = value;
    else if (strcmp(name, "server-url") == 0)
        q->is_remote = snprintf(q->session.url, sizeof(q->session.url), "%s", value) > 0;
    else if (strcmp(name, "token-file") == 0)
        q->session.token_file = value;
    else if (strcmp(name, "ca-file") == 0)
        q->session.ca_file = value;
    else if (strcmp(name, "insecure-http") == 0)
        q->session.may_be_plain = true;
    else if (strcmp(name, "agent") == 0)
        q->filter.agent = value;
    else if (strcmp(name, "follow") == 0)
        q->is_follow = true;
    else if (strcmp(name, "running") == 0)
        q->is_running = true;
    else if (strcmp(name, "all") == 0)
        q->is_all = true;
    else if (strcmp(name, "json") == 0)
        q->is_json = true;
    else if (strcmp(name, "verdict") == 0 &&
             (strcmp(value, "allow") == 0 || strcmp(value, "drop") == 0))
        q->filter.verdict = value;
    else if (strcmp(name, "since") == 0 && parse_since(value, &q->filter.from_ns) == 0)
        return 0;
    else if (strcmp(name, "limit") == 0 && parse_limit(value, &q->filter.limit) == 0)
        return 0;
    else
        return cli_usage_error(command, "--%s: \"%s\" is not one of its values", name, value);
    return CLI_EXIT_OK;
}

/** Read the options; returns true to go on, else @ret_status is the exit status. */
static bool parse(struct cli_parser *p, const struct cli_command *command, int argc, char **argv,
                  unsigned operands_min, unsigned operands_max, struct query *q, int *ret_status)
{
    struct operands words = {0};
    int option;

    operands_begin(p, command, argc, argv, &words); /* before the options or behind them */
    while ((option = cli_next(p)) >= 0) {
        *ret_status = take_option(q, command, command->options[option].name, p->value);
        if (*ret_status != CLI_EXIT_OK)
            return false;
    }
    if (option == CLI_STOP) {
        *ret_status = p->status;
        return false;
    }
    operands_end(p, &words);
    q->word = words.count > 0 ? words.items[0] : NULL;
    if (words.count < operands_min || words.count > operands_max) {
        *ret_status = cli_usage_error(command, words.count < operands_min ? "an operand is missing"
                                                                          : "too many operands");
        return false;
    }
    return true;
}

static bool is_regular_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/** A log's path from what a person wrote: a sandbox's name, or a path. */
static int log_path(const char *word, char ret[static PATH_MAX], struct why *why)
{
    if (strchr(word, '/') == NULL && !is_regular_file(word) &&
        audit_default_path(word, ret, PATH_MAX) == 0 && access(ret, F_OK) == 0)
        return 0;
    if ((size_t)snprintf(ret, PATH_MAX, "%s", word) >= PATH_MAX)
        return why_set(why, -ENAMETOOLONG, "the path is too long");
    return 0;
}

/* --- verify ----------------------------------------------------------------------------------- */

static void print_check(const char *path, int err, const struct audit_check *c,
                        const struct why *why, bool is_json)
{
    struct json_out j;
    struct buf out;

    if (!is_json) {
        if (err == 0)
            printf("%s: intact: %" PRIu64 " records in %" PRIu64 " run%s%s\n", path, c->records,
                   c->runs, c->runs == 1 ? "" : "s",
                   c->has_head ? "" : " (no head file beside it to compare its end with)");
        else
            printf("%s: NOT INTACT: %s\n", path, why->text);
        return;
    }
    buf_init(&out, 8192);
    json_out_init(&j, &out);
    json_open_object(&j);
    json_put_str(&j, "file", path);
    json_put_bool(&j, "intact", err == 0);
    json_put_u64(&j, "records", c->records);
    json_put_u64(&j, "runs", c->runs);
    json_put_u64(&j, "openRuns", c->open_runs);
    json_put_bool(&j, "hasHead", c->has_head);
    if (c->bad_line > 0)
        json_put_u64(&j, "badLine", c->bad_line);
    if (err < 0)
        json_put_str(&j, "errorMsg", why->text);
    json_close_object(&j);
    printf("%s\n", buf_text(&out));
    buf_done(&out);
}

static int audit_verify_command(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"running", NULL, "the last run may still be going on"},
        {"json", NULL, "the result as JSON"},
    };
    static const struct cli_command command = {
        .path = "lattice audit verify",
        .synopsis = "[OPTIONS] FILE|NAME",
        .summary =
            "Check that a log is as it was written: nothing changed, removed, added or moved.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .more = "Exit status: 0 intact, 1 not intact or unreadable.",
        .usage_status = CLI_EXIT_USAGE,
    };
    struct query q = {0};
    struct audit_check check;
    struct why why = {0};
    struct cli_parser p;
    char path[PATH_MAX];
    int status;
    int err;

    if (!parse(&p, &command, argc, argv, 1, 1, &q, &status))
        return status;
    if (log_path(q.word, path, &why) < 0)
        return fail(&why);
    err = audit_verify(path, q.is_running, &check, &why);
    if (err < 0 && err != -EBADMSG)
        return fail(&why);
    print_check(path, err, &check, &why, q.is_json);
    return err == 0 ? CLI_EXIT_OK : CLI_EXIT_ERROR;
}

/* --- show ------------------------------------------------------------------------------------- */

static int show_entry(const struct audit_entry *e, const struct query *q,
                      const struct audit_drawing *drawing, struct buf *out)
{
    if (q->is_json) {
        buf_add(out, e->line.data, e->line.len);
        buf_add_char(out, '\n');
    } else {
        audit_entry_draw(e, drawing, out);
    }
    return put(out);
}

/** Show what the reader has now. */
static int show_rest(struct audit_reader *reader, const struct query *q,
                     const struct audit_drawing *drawing, struct buf *out)
{
    struct audit_entry entry;
    struct why why = {0};
    int got;
    int err = 0;

    while (err == 0 && (got = audit_reader_next(reader, &entry, &why)) != 0) {
        if (got == 1)
            err = show_entry(&entry, q, drawing, out);
        else if (got == -EBADMSG)
            (void)fprintf(stderr, "lattice audit: %s\n", why.text);
        else
            return fail(&why);
    }
    if (err < 0 || fflush(stdout) != 0)
        return CLI_EXIT_ERROR; /* nobody reads on */
    return CLI_EXIT_OK;
}

static int show_file(const char *path, const struct query *q)
{
    auto_fd watch = q->is_follow ? inotify_init1(IN_CLOEXEC) : -1;
    const struct audit_drawing drawing = drawing_of(q);
    struct audit_reader *reader = NULL;
    struct why why = {0};
    struct buf out;
    char event[sizeof(struct inotify_event) + NAME_MAX + 1];
    int status;

    if (q->is_follow && (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)) {
        (void)why_set(&why, -errno, "cannot follow %s: %s", path, strerror(errno));
        return fail(&why);
    }
    if (audit_reader_open(path, 0, &reader, &why) < 0)
        return fail(&why);
    buf_init(&out, OUTPUT_MAX);
    do
        status = show_rest(reader, q, &drawing, &out);
    while (status == CLI_EXIT_OK && q->is_follow && io_read(watch, event, sizeof(event)) > 0);
    buf_done(&out);
    audit_reader_close(reader);
    return status;
}

static int audit_show_command(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"follow", NULL, "go on as the log grows, until interrupted"},
        {"json", NULL, "the lines as they stand in the log"},
    };
    static const struct cli_command command = {
        .path = "lattice audit show",
        .synopsis = "[OPTIONS] FILE|NAME",
        .summary = "Show a log record by record. NAME is a sandbox's name.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .usage_status = CLI_EXIT_USAGE,
    };
    struct query q = {0};
    struct why why = {0};
    struct cli_parser p;
    char path[PATH_MAX];
    int status;

    if (!parse(&p, &command, argc, argv, 1, 1, &q, &status))
        return status;
    if (log_path(q.word, path, &why) < 0)
        return fail(&why);
    return show_file(path, &q);
}

/* --- traces, trace, flows --------------------------------------------------------------------- */

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
    int err = log_path(word, path, why);

    return err < 0 ? err : load_log(store, path, why);
}

static int open_store(const struct query *q, struct audit_store **ret, struct why *why)
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
    err = put(&out);
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
    err = put(&out);
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
static int with_session(struct query *q, int (*ask)(struct query *q, void *self), void *self)
{
    int status;

    buf_init(&q->session.token, SESSION_TOKEN_CAP);
    q->session.is_json = q->is_json;
    status = session_open(&q->session, NULL);
    return session_done(&q->session, status != 0 ? status : ask(q, self));
}

static int ask_traces(struct query *q, void *self)
{
    return audit_remote_traces(&q->session, &q->filter, print_trace, self);
}

static int remote_traces(struct query *q, struct printer *printer)
{
    int status = with_session(q, ask_traces, printer);

    return status != 0 ? status : end_query(0, "traces", printer);
}

static int ask_flows(struct query *q, void *self)
{
    return audit_remote_flows(&q->session, &q->filter, self);
}

static int ask_trace(struct query *q, void *self)
{
    return audit_remote_trace(&q->session, q->filter.trace_id, self);
}

/** A projection of what latticed answers; else as open_store(). Returns 0 or an exit status. */
static int get_store(struct query *q, int (*ask)(struct query *q, void *self),
                     struct audit_store **ret)
{
    struct why why = {0};
    int status;

    if (!q->is_remote)
        return open_store(q, ret, &why) < 0 ? fail(&why) : 0;
    if (audit_store_open(":memory:", ret, &why) < 0)
        return fail(&why);
    status = with_session(q, ask, *ret);
    if (status != 0) {
        audit_store_close(*ret);
        *ret = NULL;
    }
    return status;
}

static int audit_traces_command(int argc, char **argv)
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
    struct query q = {0};
    struct audit_store *store = NULL;
    struct printer printer = {.query = &q};
    struct why why = {0};
    struct cli_parser p;
    int status;

    if (!parse(&p, &command, argc, argv, 0, 0, &q, &status))
        return status;
    printer.drawing = drawing_of(&q);
    if (q.is_remote)
        return remote_traces(&q, &printer);
    if (open_store(&q, &store, &why) < 0)
        return fail(&why);
    status =
        end_query(audit_store_traces(store, &q.filter, print_trace, &printer), "traces", &printer);
    audit_store_close(store);
    return status;
}

static int audit_flows_command(int argc, char **argv)
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
    struct query q = {0};
    struct audit_store *store = NULL;
    struct printer printer = {.query = &q};
    struct cli_parser p;
    int status;

    if (!parse(&p, &command, argc, argv, 0, 1, &q, &status))
        return status;
    q.filter.trace_id = q.word;
    status = get_store(&q, ask_flows, &store);
    if (status != 0)
        return status;
    printer.drawing = drawing_of(&q);
    status =
        end_query(audit_store_flows(store, &q.filter, print_flow, &printer), "flows", &printer);
    audit_store_close(store);
    return status;
}

static int print_tree(const struct audit_tree *tree, const struct query *q)
{
    const struct audit_drawing drawing = drawing_of(q);
    struct json_out j;
    struct buf out;
    int err;

    buf_init(&out, OUTPUT_MAX);
    if (q->is_json) {
        json_out_init(&j, &out);
        audit_tree_json(tree, &j);
        buf_add_char(&out, '\n');
        err = put(&out);
    } else {
        err = audit_tree_draw(tree, &drawing, &out);
        if (err == 0)
            err = put(&out);
    }
    buf_done(&out);
    if (err < 0)
        (void)fprintf(stderr, "lattice audit: cannot print the trace: %s\n", strerror(-err));
    return err == 0 && fflush(stdout) == 0 ? CLI_EXIT_OK : CLI_EXIT_ERROR;
}

static int audit_trace_command(int argc, char **argv)
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
    struct query q = {0};
    struct audit_store *store = NULL;
    struct audit_tree *tree = NULL;
    struct cli_parser p;
    int status;
    int err;

    if (!parse(&p, &command, argc, argv, 1, 1, &q, &status))
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

/* --- the family ------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    int (*run)(int argc, char **argv);
} subcommands[] = {
    {"verify", audit_verify_command}, {"show", audit_show_command},
    {"traces", audit_traces_command}, {"trace", audit_trace_command},
    {"flows", audit_flows_command},
};

static const char *subcommand_word(void *self, unsigned i)
{
    (void)self;
    return i < ARRAY_COUNT(subcommands) ? subcommands[i].word : NULL;
}

int cmd_audit(int argc, char **argv)
{
    static const struct cli_command command = {
        .path = "lattice audit",
        .synopsis = "verify|show|traces|trace|flows …",
        .summary = "Check and read audit logs.",
        .more = "  verify FILE|NAME   check that a log is as it was written\n"
                "  show FILE|NAME     show a log record by record (--follow)\n"
                "  traces             list traces\n"
                "  trace ID           draw one trace as a tree\n"
                "  flows [TRACE]      list judgements and flows\n\n"
                "NAME is a sandbox's name; its log is $XDG_STATE_HOME/lattice/NAME.jsonl.",
        .usage_status = CLI_EXIT_USAGE,
    };
    struct cli_parser p;
    const char *near;
    int result;

    cli_begin(&p, &command, argc > 1 && argv[1][0] == '-' ? argc : 1, argv);
    result = cli_next(&p);
    if (result == CLI_STOP)
        return p.status;
    if (argc < 2) {
        cli_help(&command);
        return CLI_EXIT_USAGE;
    }
    for (size_t i = 0; i < ARRAY_COUNT(subcommands); i++)
        if (strcmp(argv[1], subcommands[i].word) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    near = cli_nearest(argv[1], subcommand_word, NULL);
    if (near != NULL)
        return cli_usage_error(&command, "\"%s\" is not one of its commands; did you mean \"%s\"?",
                               argv[1], near);
    return cli_usage_error(&command, "\"%s\" is not one of its commands", argv[1]);
}
