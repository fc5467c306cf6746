/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the control room: the tools that latticed itself answers. A tool reads the store and
 * writes JSON; whether it may be called was decided before.
 */
#ifndef CONTROL_TOOLBOX_H
#define CONTROL_TOOLBOX_H

#include "base/json.h"
#include "base/json_out.h"
#include "base/must.h"
#include "base/nameset.h"
#include "control/store.h"

#define TOOL_ARGS_MAX 3u

struct tool_run {
    struct store *store;
    const char *ns; /* where it is called */
    int64_t now_s;
    const struct json *input;        /* an object; NULL: no arguments */
    const char *args[TOOL_ARGS_MAX]; /* by their place in the tool's table; NULL: absent */
    struct json_out *out;
    unsigned status; /* of a failure: 400, 404, 500 */
    char error[256];
};

/** toolbox_run() - Check the arguments and write the result to @run->out. False: @run->status and
 * @run->error say why; something may have been written. */
bool toolbox_run(const char *tool, struct tool_run *run) MUST_USE;

/** tool_fail() - Say why; always false. */
bool tool_fail(struct tool_run *run, unsigned status, const char *format, ...) PRINTF_LIKE(3, 4);

/** toolbox_list() - Write an array of the tools with their input schemas; only those in @allowed,
 * unless it is NULL. */
void toolbox_list(struct json_out *j, const struct nameset *allowed);

/** reach_write() - Write what @from's rules say about @to: AGENT, ADDRESS or NAME, with or without
 * :PORT. @to_agent: @to, if it names an agent. False: refused. (reach.c) */
bool reach_write(struct tool_run *run, const struct store_agent *from, const char *to,
                 const struct store_agent *to_agent) MUST_USE;
/** reach_port() - Split ":PORT" off @to; 0: there is none. False: not a target. */
bool reach_split(const char *to, char *ret_host, size_t cap, uint16_t *ret_port) MUST_USE;

#endif
