/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user asks a command of `lattice audit` for, and what these commands share.
 */
#ifndef CMD_AUDIT_QUERY_H
#define CMD_AUDIT_QUERY_H

#include <limits.h>
#include <stdbool.h>

#include "audit/audit.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/why.h"
#include "cmd/cli.h"
#include "cmd/session.h"

#define AUDIT_OUTPUT_MAX (64u << 20)

struct audit_query {
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

/** audit_query_parse() - Read the options of @command, and at most one operand. Returns true to go
 * on, else @ret_status is the exit status. */
bool audit_query_parse(struct cli_parser *p, const struct cli_command *command, int argc,
                       char **argv, unsigned operands_min, unsigned operands_max,
                       struct audit_query *q, int *ret_status) MUST_USE;
/** audit_query_log() - A log's path from what a person wrote: a sandbox's name, or a path. */
int audit_query_log(const char *word, char ret[static PATH_MAX], struct why *why) MUST_USE;
/** audit_query_drawing() - How to draw on this standard output. */
struct audit_drawing audit_query_drawing(const struct audit_query *q);
/** audit_query_put() - Print @text and empty it. Returns 0 or -errno. */
int audit_query_put(struct buf *text) MUST_USE;
/** audit_query_fail() - Say what is wrong. Returns the exit status. */
int audit_query_fail(const struct why *why);

#endif
