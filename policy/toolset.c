/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of tools, and the check of arguments against it. An unknown argument, a wrong type or a
 * text that is too long is refused with its name: a misspelt optional argument that is ignored
 * would do something else than what was asked for.
 */
#include "policy/toolset.h"

#include <errno.h>
#include <string.h>

/* Read only; written here. */
static const struct tool_spec tools[] = {
    {.name = "list_peers",
     .title = "List peers",
     .help = "The peers (agents) of the network: name, namespace, address, state and labels."},
    {.name = "list_policies",
     .title = "List policies",
     .help = "The network policies: name, network, action and which peers they select."},
    {.name = "list_networks",
     .title = "List networks",
     .help = "The networks that policies can name, with their address ranges."},
    {.name = "check_connectivity",
     .title = "Check connectivity",
     .help = "Which TCP ports one peer may reach at a destination, and the rule that decides. "
             "Judged by the rules in force; nothing is sent.",
     .args = {{.name = "from", .help = "Name of the peer that connects", .is_required = true},
              {.name = "to",
               .help = "A peer's name or an address, with or without :PORT",
               .is_required = true}}},
    {.name = "list_snapshots",
     .title = "List snapshots",
     .help = "The states that the network went through between two times, newest first.",
     .args = {{.name = "from", .help = "RFC 3339 time", .is_required = true},
              {.name = "to", .help = "RFC 3339 time", .is_required = true},
              {.name = "triggerType",
               .help = "Only those made by this kind of change",
               .choices = {"peer", "policy"}}}},
    {.name = "get_snapshot",
     .title = "Get a snapshot",
     .help = "All peers and policies as they were at a snapshot.",
     .args = {{.name = "id", .help = "A snapshot's id", .is_required = true}}},
    {.name = "diff_snapshots",
     .title = "Compare snapshots",
     .help = "What was added, removed and changed between two snapshots.",
     .args = {{.name = "from_id", .help = "The earlier snapshot's id", .is_required = true},
              {.name = "to_id", .help = "The later snapshot's id", .is_required = true}}},
    {.name = "check_connectivity_at",
     .title = "Check connectivity in the past",
     .help = "As check_connectivity, by the rules that were in force at a snapshot.",
     .args = {{.name = "snapshot_id", .help = "A snapshot's id", .is_required = true},
              {.name = "from", .help = "Name of the peer that connects", .is_required = true},
              {.name = "to",
               .help = "A peer's name or an address, with or without :PORT",
               .is_required = true}}},
    {.name = "create_policy",
     .title = "Create a network policy",
     .help = "Allow or deny the selected peers a network. A person has to approve the call.",
     .kind = TOOL_WRITES,
     .args = {{.name = "name", .help = "The policy's name: a-z, 0-9 and '-'", .is_required = true},
              {.name = "network",
               .help = "A network's name, see list_networks",
               .is_required = true},
              {.name = "action",
               .help = "What the policy does",
               .is_required = true,
               .choices = {"ALLOW", "DENY"}},
              {.name = "peerSelector",
               .help = "Which peers; none: all of them",
               .kind = TOOL_ARG_SELECTOR}}},
    {.name = "delete_policy",
     .title = "Delete a network policy",
     .help = "Take a network policy away. A person has to approve the call.",
     .kind = TOOL_WRITES,
     .is_destructive = true,
     .args = {{.name = "name", .help = "The policy's name", .is_required = true}}},
    {.name = "create_peer",
     .title = "Create a peer",
     .help = "Announce a peer with its labels; it joins when a person gives it an enrolment token. "
             "A person has to approve the call.",
     .kind = TOOL_WRITES,
     .args = {{.name = "name", .help = "The peer's name: a-z, 0-9 and '-'", .is_required = true},
              {.name = "network",
               .help = "A network's name, see list_networks",
               .is_required = true},
              {.name = "appId", .help = "The application that runs there", .is_required = true},
              {.name = "platform", .help = "Its platform, such as linux/amd64"},
              {.name = "labels",
               .help = "Labels that policies can select by",
               .kind = TOOL_ARG_LABELS}}},
    {.name = "delete_peer",
     .title = "Delete a peer",
     .help = "Revoke a peer and all peers below it; their connections are cut. A person has to "
             "approve the call.",
     .kind = TOOL_WRITES,
     .is_destructive = true,
     .args = {{.name = "name", .help = "The peer's name", .is_required = true}}},
    {.name = "plan_network_change",
     .title = "Plan a network change",
     .help = "Turn an intent into a plan of changes without making them. Statements, separated by "
             "';': create policy NAME allow|deny NETWORK [for KEY=VALUE,…] · delete policy NAME · "
             "create peer NAME in NETWORK app ID · delete peer NAME.",
     .args = {{.name = "intent", .help = "The statements", .is_required = true}}},
    {.name = "apply_network_change",
     .title = "Apply a planned change",
     .help = "Carry out a plan of plan_network_change, all of it or nothing. A person has to "
             "approve the call.",
     .kind = TOOL_WRITES,
     .is_destructive = true,
     .args = {{.name = "plan_id", .help = "The plan's id", .is_required = true}}},
};

const struct tool_spec *toolset_at(unsigned i)
{
    return i < ARRAY_COUNT(tools) ? &tools[i] : NULL;
}

const struct tool_spec *toolset_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(tools); i++)
        if (strcmp(tools[i].name, name) == 0)
            return &tools[i];
    return NULL;
}

static const struct tool_arg *find_arg(const struct tool_spec *tool, const char *name)
{
    for (unsigned i = 0; i < TOOLSET_ARGS_MAX && tool->args[i].name != NULL; i++)
        if (strcmp(tool->args[i].name, name) == 0)
            return &tool->args[i];
    return NULL;
}

static int check_text(const struct tool_arg *arg, const struct json *v, struct why *why)
{
    const char *text;

    if (json_read_str(v, &text) < 0 || text[0] == '\0')
        return why_set(why, -EINVAL, "argument \"%s\" must be a text", arg->name);
    if (strlen(text) > TOOLSET_TEXT_MAX)
        return why_set(why, -EINVAL, "argument \"%s\" is longer than %u bytes", arg->name,
                       TOOLSET_TEXT_MAX);
    if (arg->choices[0] == NULL)
        return 0;
    for (unsigned i = 0; i < ARRAY_COUNT(arg->choices) && arg->choices[i] != NULL; i++)
        if (strcmp(arg->choices[i], text) == 0)
            return 0;
    return why_set(why, -EINVAL, "argument \"%s\" must be %s or %s", arg->name, arg->choices[0],
                   arg->choices[1]);
}

static int check_labels(const struct tool_arg *arg, const struct json *v, struct why *why)
{
    if (json_type(v) != JSON_OBJECT)
        return why_set(why, -EINVAL, "argument \"%s\" must hold an object of texts", arg->name);
    for (const struct json *l = json_first(v); l != NULL; l = json_next(l)) {
        const char *text;

        if (json_read_str(l, &text) < 0 || strlen(text) > TOOLSET_TEXT_MAX ||
            strlen(json_name(l)) > TOOLSET_TEXT_MAX)
            return why_set(why, -EINVAL, "label \"%.64s\" in argument \"%s\" must be a text",
                           json_name(l), arg->name);
    }
    return 0;
}

static int check_arg(const struct tool_arg *arg, const struct json *v, struct why *why)
{
    switch (arg->kind) {
    case TOOL_ARG_TEXT:
        return check_text(arg, v, why);
    case TOOL_ARG_LABELS:
        return check_labels(arg, v, why);
    case TOOL_ARG_SELECTOR:
        if (json_type(v) != JSON_OBJECT || json_count(v) != 1 || json_get(v, "matchLabels") == NULL)
            return why_set(why, -EINVAL, "argument \"%s\" must be {\"matchLabels\":{…}}",
                           arg->name);
        return check_labels(arg, json_get(v, "matchLabels"), why);
    }
    return -EINVAL;
}

int toolset_check(const struct tool_spec *tool, const struct json *args, struct why *why)
{
    if (args != NULL && json_type(args) != JSON_OBJECT)
        return why_set(why, -EINVAL, "the arguments must be an object");
    for (const struct json *v = json_first(args); v != NULL; v = json_next(v)) {
        const struct tool_arg *arg = find_arg(tool, json_name(v));
        int err = arg != NULL ? check_arg(arg, v, why)
                              : why_set(why, -EINVAL, "%s takes no argument \"%.64s\"", tool->name,
                                        json_name(v));
        if (err < 0)
            return err;
    }
    for (unsigned i = 0; i < TOOLSET_ARGS_MAX && tool->args[i].name != NULL; i++)
        if (tool->args[i].is_required && json_get(args, tool->args[i].name) == NULL)
            return why_set(why, -EINVAL, "%s needs argument \"%s\"", tool->name,
                           tool->args[i].name);
    return 0;
}

static void write_labels(struct json_out *j)
{
    json_put_str(j, "type", "object");
    json_key(j, "additionalProperties");
    json_open_object(j);
    json_put_str(j, "type", "string");
    json_close_object(j);
}

static void write_arg(const struct tool_arg *arg, struct json_out *j)
{
    json_key(j, arg->name);
    json_open_object(j);
    json_put_str(j, "description", arg->help);
    if (arg->kind == TOOL_ARG_TEXT) {
        json_put_str(j, "type", "string");
    } else if (arg->kind == TOOL_ARG_LABELS) {
        write_labels(j);
    } else {
        json_put_str(j, "type", "object");
        json_key(j, "properties");
        json_open_object(j);
        json_key(j, "matchLabels");
        json_open_object(j);
        write_labels(j);
        json_close_object(j);
        json_close_object(j);
        json_key(j, "required");
        json_raw(j, bytes_of_str("[\"matchLabels\"]"));
        json_put_bool(j, "additionalProperties", false);
    }
    if (arg->choices[0] != NULL) {
        json_key(j, "enum");
        json_open_array(j);
        for (unsigned i = 0; i < ARRAY_COUNT(arg->choices) && arg->choices[i] != NULL; i++)
            json_str(j, arg->choices[i]);
        json_close_array(j);
    }
    json_close_object(j);
}

void toolset_write_schema(const struct tool_spec *tool, struct json_out *j)
{
    json_open_object(j);
    json_put_str(j, "type", "object");
    json_key(j, "properties");
    json_open_object(j);
    for (unsigned i = 0; i < TOOLSET_ARGS_MAX && tool->args[i].name != NULL; i++)
        write_arg(&tool->args[i], j);
    json_close_object(j);
    json_key(j, "required");
    json_open_array(j);
    for (unsigned i = 0; i < TOOLSET_ARGS_MAX && tool->args[i].name != NULL; i++)
        if (tool->args[i].is_required)
            json_str(j, tool->args[i].name);
    json_close_array(j);
    json_put_bool(j, "additionalProperties", false);
    json_close_object(j);
}
