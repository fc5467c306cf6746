/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The third door of the policy room: the platform's own tools. Which there are, what arguments they
 * take, and which of them change something, so that a person has to approve each call. latticed
 * carries them out, lattice-mcp shows them to clients; both read this table.
 *
 * Names and arguments are the original system's.
 */
#ifndef POLICY_TOOLSET_H
#define POLICY_TOOLSET_H

#include <stdbool.h>

#include "base/json.h"
#include "base/json_out.h"
#include "base/must.h"
#include "base/why.h"

#define TOOLSET_ARGS_MAX 5u
#define TOOLSET_TEXT_MAX 1024u /* bytes of one argument's text */

enum tool_kind {
    TOOL_READS = 0,
    TOOL_WRITES, /* each call needs a person's approval */
};

enum tool_arg_kind {
    TOOL_ARG_TEXT = 0,
    TOOL_ARG_LABELS,   /* an object of texts */
    TOOL_ARG_SELECTOR, /* an object with one member, matchLabels, an object of texts */
};

struct tool_arg {
    const char *name;
    const char *help;
    enum tool_arg_kind kind;
    bool is_required;
    const char *choices[3]; /* of a text; none: any */
};

struct tool_spec {
    const char *name;
    const char *title;
    const char *help;
    enum tool_kind kind;
    bool is_destructive; /* of a tool that writes: something is lost by it */
    struct tool_arg args[TOOLSET_ARGS_MAX];
};

/** toolset_at() - The @i-th tool, in the order in which they are listed; NULL beyond the last. */
const struct tool_spec *toolset_at(unsigned i);
/** toolset_find() - The tool of exactly this name, or NULL. */
const struct tool_spec *toolset_find(const char *name);

/** toolset_check() - Do @args (an object; NULL: none) fit? Errors: -EINVAL, @why says what to mend.
 */
int toolset_check(const struct tool_spec *tool, const struct json *args, struct why *why) MUST_USE;

/** toolset_write_schema() - The arguments as a JSON Schema (2020-12) value. */
void toolset_write_schema(const struct tool_spec *tool, struct json_out *j);

#endif
