/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands of `lattice audit` have in common: their options, the paths of logs, and how
 * they print. It reads no log itself.
 */
#include "cmd/audit_query.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cli.h"

struct audit_drawing audit_query_drawing(const struct audit_query *q)
{
    return (struct audit_drawing){.colour = cli_colour(STDOUT_FILENO),
                                  .all = q->is_all,
                                  .columns = cli_columns(STDOUT_FILENO)};
}

int audit_query_fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 160];

    why_print(why, text, sizeof(text));
    (void)fprintf(stderr, "lattice audit: %s\n", text);
    return CLI_EXIT_ERROR;
}

int audit_query_put(struct buf *text)
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

static int take_option(struct audit_query *q, const struct cli_command *command, const char *name,
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
bool audit_query_parse(struct cli_parser *p, const struct cli_command *command, int argc,
                       char **argv, unsigned operands_min, unsigned operands_max,
                       struct audit_query *q, int *ret_status)
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
    if (words.count < operands_min) {
        *ret_status =
            cli_usage_error(command, "%s is missing", strrchr(command->synopsis, ' ') + 1);
        return false;
    }
    if (words.count > operands_max) {
        *ret_status = cli_usage_error(command, "too many operands");
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
int audit_query_log(const char *word, char ret[static PATH_MAX], struct why *why)
{
    if (strchr(word, '/') == NULL && !is_regular_file(word) &&
        audit_default_path(word, ret, PATH_MAX) == 0 && access(ret, F_OK) == 0)
        return 0;
    if ((size_t)snprintf(ret, PATH_MAX, "%s", word) >= PATH_MAX)
        return why_set(why, -ENAMETOOLONG, "the path is too long");
    return 0;
}
