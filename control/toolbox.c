/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tools that latticed itself answers, with the names and arguments of the original system.
 * Each answers for one namespace and from the store alone; an argument that is missing, unknown or
 * no text is refused. What latticed cannot know is not here.
 */
#include "control/toolbox.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "policy/policy.h"

#define SNAPSHOTS_MAX 500u

bool tool_fail(struct tool_run *run, unsigned status, const char *format, ...)
{
    va_list args;

    run->status = status;
    va_start(args, format);
    (void)vsnprintf(run->error, sizeof(run->error), format, args);
    va_end(args);
    return false;
}

static bool fail_store(struct tool_run *run)
{
    return tool_fail(run, 500, "the database cannot be read");
}

static void put_names(struct json_out *j, const char *key, const struct nameset *names)
{
    json_key(j, key);
    json_open_array(j);
    for (unsigned i = 0; i < names->count; i++)
        json_str(j, names->items[i]);
    json_close_array(j);
}

static void put_time(struct json_out *j, const char *key, int64_t time_s)
{
    char text[RFC3339_CAP];

    if (time_s <= 0 || time_s > INT64_MAX / NS_PER_S)
        return;
    wall_print(time_s * NS_PER_S, text);
    json_put_str(j, key, text);
}

/* ── Agents as peers, and the rules they live under ──────────────────────────────────────────────
 */

struct rows {
    struct tool_run *run;
    int64_t last;
    unsigned count;
    void (*write)(struct tool_run *run, const struct store_agent *a);
};

static void on_row(void *self, const struct store_agent *a)
{
    struct rows *r = self;

    r->last = a->id;
    r->count++;
    if (identity_is_live(&a->identity, r->run->now_s))
        r->write(r->run, a);
}

/** An array of the namespace's live agents. */
static bool write_live(struct tool_run *run,
                       void (*write)(struct tool_run *run, const struct store_agent *a))
{
    struct store_agent_filter f = {.ns = run->ns, .only_active = true, .limit = STORE_PAGE_MAX};
    struct rows r = {.run = run, .write = write};
    int err;

    json_open_array(run->out);
    do {
        r.count = 0;
        err = store_agent_list(run->store, &f, on_row, &r);
        f.after = r.last;
    } while (err == 0 && r.count == STORE_PAGE_MAX);
    json_close_array(run->out);
    return err == 0 || fail_store(run);
}

static void write_peer(struct tool_run *run, const struct store_agent *a)
{
    const struct identity *id = &a->identity;
    struct json_out *j = run->out;
    char text[IP_TEXT_CAP];

    json_open_object(j);
    json_put_str(j, "name", id->name);
    json_put_str(j, "namespace", id->ns);
    json_put_str(j, "address", ip_print(&a->address, text));
    json_put_str(j, "parent", id->parent[0] != '\0' ? id->parent : NULL);
    json_close_object(j);
}

static void write_policy(struct tool_run *run, const struct store_agent *a)
{
    const struct identity *id = &a->identity;
    struct json_out *j = run->out;

    json_open_object(j);
    json_put_str(j, "name", id->name);
    json_put_str(j, "namespace", id->ns);
    json_put_str(j, "enforcementMode", identity_enforcement_name(id->enforcement));
    put_names(j, "allowedTools", &id->tools);
    put_names(j, "allowedNamespaces", &id->namespaces);
    put_names(j, "allowedDestinations", &id->destinations);
    put_time(j, "expiresAt", id->expires_s);
    json_close_object(j);
}

static bool run_list_peers(struct tool_run *run)
{
    return write_live(run, write_peer);
}

/** The rules that stand beside each identity are its policy. */
static bool run_list_policies(struct tool_run *run)
{
    return write_live(run, write_policy);
}

/** There is one pool of addresses. */
static bool run_list_networks(struct tool_run *run)
{
    struct json_out *j = run->out;

    json_open_array(j);
    json_open_object(j);
    json_put_str(j, "name", "default");
    json_put_str(j, "cidr", "10.100.0.0/16");
    json_put_i64(j, "activePeers", store_count(run->store, IDENTITY_ACTIVE));
    json_close_object(j);
    json_close_array(j);
    return true;
}

/* ── Connectivity ────────────────────────────────────────────────────────────────────────────────
 */

/** A live agent by name, now (@epoch 0) or as it was. 0, -ENOENT or -EIO. */
static int find_agent(struct tool_run *run, int64_t epoch, const char *name,
                      struct store_agent *ret)
{
    int err = epoch > 0 ? store_snapshot_agent(run->store, run->ns, epoch, name, ret)
                        : store_agent_get(run->store, run->ns, name, ret);

    if (err == 0 && epoch == 0 && !identity_is_live(&ret->identity, run->now_s)) {
        store_agent_done(ret);
        err = -ENOENT;
    }
    return err;
}

/** The target, when it is an agent. False: refused. */
static bool find_to(struct tool_run *run, int64_t epoch, const char *to, struct store_agent *ret,
                    bool *ret_is_agent)
{
    char host[POLICY_HOSTNAME_MAX + 1];
    uint16_t port;
    int err;

    *ret_is_agent = false;
    if (!reach_split(to, host, sizeof(host), &port))
        return tool_fail(run, 400, "\"to\" must be HOST or HOST:PORT");
    if (identity_name_check(bytes_of_str(host)) < 0)
        return true;
    err = find_agent(run, epoch, host, ret);
    *ret_is_agent = err == 0;
    return err == 0 || err == -ENOENT || fail_store(run);
}

static bool write_reach(struct tool_run *run, int64_t epoch, const char *from_name, const char *to)
{
    struct store_agent from, to_agent;
    bool is_agent;
    bool done;
    int err = find_agent(run, epoch, from_name, &from);

    if (err == -ENOENT)
        return tool_fail(run, 404, "there is no live agent \"%.64s\" in namespace \"%s\"%s",
                         from_name, run->ns, epoch > 0 ? " in that snapshot" : "");
    if (err < 0)
        return fail_store(run);
    json_open_object(run->out);
    json_put_str(run->out, "from", from_name);
    json_put_str(run->out, "to", to);
    done = find_to(run, epoch, to, &to_agent, &is_agent) &&
           reach_write(run, &from, to, is_agent ? &to_agent : NULL);
    json_close_object(run->out);
    if (is_agent)
        store_agent_done(&to_agent);
    store_agent_done(&from);
    return done;
}

static bool run_check_connectivity(struct tool_run *run)
{
    return write_reach(run, 0, run->args[0], run->args[1]);
}

/* ── Snapshots ───────────────────────────────────────────────────────────────────────────────────
 */

/** A snapshot's id is the epoch it stands for. False: refused. */
static bool read_snapshot(struct tool_run *run, const char *text, int64_t *ret_epoch)
{
    char *end;
    int err;

    errno = 0;
    *ret_epoch = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || text[0] < '1' || text[0] > '9')
        return tool_fail(run, 400, "a snapshot's id is a number from list_snapshots");
    err = store_snapshot_check(run->store, run->ns, *ret_epoch);
    if (err == -ENOENT)
        return tool_fail(run, 404, "there is no snapshot %lld of namespace \"%s\"",
                         (long long)*ret_epoch, run->ns);
    return err == 0 || fail_store(run);
}

static void write_snapshot(void *self, const struct store_snapshot *p)
{
    struct json_out *j = self;
    char id[24];

    (void)snprintf(id, sizeof(id), "%lld", (long long)p->epoch);
    json_open_object(j);
    json_put_str(j, "id", id);
    put_time(j, "createdAt", p->at_s);
    json_put_str(j, "triggerType", p->cause);
    json_put_i64(j, "changes", p->count);
    json_close_object(j);
}

static bool read_time(struct tool_run *run, const char *name, const char *text, int64_t *ret_s)
{
    int64_t ns;

    if (wall_parse(bytes_of_str(text), &ns) < 0)
        return tool_fail(run, 400, "\"%s\" must be a time such as 2026-01-31T12:00:00Z", name);
    *ret_s = ns / NS_PER_S;
    return true;
}

static bool run_list_snapshots(struct tool_run *run)
{
    struct store_snapshot_filter f = {.ns = run->ns, .limit = SNAPSHOTS_MAX};
    int err;

    if (!read_time(run, "from", run->args[0], &f.from_s) ||
        !read_time(run, "to", run->args[1], &f.to_s))
        return false;
    f.cause = run->args[2];
    if (f.cause != NULL && strcmp(f.cause, "enrolled") != 0 && strcmp(f.cause, "revoked") != 0 &&
        strcmp(f.cause, "expired") != 0)
        return tool_fail(run, 400, "\"triggerType\" is enrolled, revoked or expired");
    json_open_array(run->out);
    err = store_snapshot_list(run->store, &f, write_snapshot, run->out);
    json_close_array(run->out);
    return err == 0 || fail_store(run);
}

static void write_snapshot_agent(void *self, const struct store_agent *a)
{
    write_policy(self, a);
}

static bool run_get_snapshot(struct tool_run *run)
{
    int64_t epoch;
    int err;

    if (!read_snapshot(run, run->args[0], &epoch))
        return false;
    json_open_object(run->out);
    json_put_str(run->out, "id", run->args[0]);
    json_key(run->out, "peers");
    json_open_array(run->out);
    err = store_snapshot_agents(run->store, run->ns, epoch, write_snapshot_agent, run);
    json_close_array(run->out);
    json_close_object(run->out);
    return err == 0 || fail_store(run);
}

static void write_change(void *self, const char *change, const char *name)
{
    struct json_out *j = self;

    json_open_object(j);
    json_put_str(j, "change", change);
    json_put_str(j, "name", name);
    json_close_object(j);
}

static bool run_diff_snapshots(struct tool_run *run)
{
    int64_t from, to;
    int err;

    if (!read_snapshot(run, run->args[0], &from) || !read_snapshot(run, run->args[1], &to))
        return false;
    json_open_array(run->out);
    err = store_snapshot_diff(run->store, run->ns, from, to, write_change, run->out);
    json_close_array(run->out);
    return err == 0 || fail_store(run);
}

static bool run_check_connectivity_at(struct tool_run *run)
{
    int64_t epoch;

    return read_snapshot(run, run->args[0], &epoch) &&
           write_reach(run, epoch, run->args[1], run->args[2]);
}

/* ── The table ───────────────────────────────────────────────────────────────────────────────────
 */

static const struct tool {
    const char *name;
    const char *description;
    bool (*run)(struct tool_run *run);
    struct {
        const char *name; /* NULL: no further one */
        bool is_optional;
        const char *help;
    } args[TOOL_ARGS_MAX];
} tools[] = {
    {"check_connectivity",
     "Whether the rules of one agent let it reach a target, and by which rule",
     run_check_connectivity,
     {{"from", false, "an agent"}, {"to", false, "an agent, address or host name, or …:PORT"}}},
    {"check_connectivity_at",
     "The same, with the agents and rules of a snapshot",
     run_check_connectivity_at,
     {{"snapshot_id", false, "from list_snapshots"},
      {"from", false, "an agent"},
      {"to", false, "an agent, address or host name, or …:PORT"}}},
    {"diff_snapshots",
     "Which agents came, went or enrolled anew between two snapshots",
     run_diff_snapshots,
     {{"from_id", false, "from list_snapshots"}, {"to_id", false, "from list_snapshots"}}},
    {"get_snapshot",
     "The agents that lived at a snapshot, with their rules",
     run_get_snapshot,
     {{"id", false, "from list_snapshots"}}},
    {"list_networks", "The pool of addresses", run_list_networks, {{NULL, false, NULL}}},
    {"list_peers", "The live agents with their addresses", run_list_peers, {{NULL, false, NULL}}},
    {"list_policies",
     "What each live agent may call and reach",
     run_list_policies,
     {{NULL, false, NULL}}},
    {"list_snapshots",
     "When the set of live agents changed, newest first",
     run_list_snapshots,
     {{"from", false, "RFC 3339 time"},
      {"to", false, "RFC 3339 time, exclusive"},
      {"triggerType", true, "enrolled, revoked or expired"}}},
};

/** Sort the input's members into @run->args. */
static bool read_args(const struct tool *tool, struct tool_run *run)
{
    const struct json *v;
    unsigned i;

    for (v = json_first(run->input); v != NULL; v = json_next(v)) {
        for (i = 0; i < TOOL_ARGS_MAX && tool->args[i].name != NULL; i++)
            if (strcmp(tool->args[i].name, json_name(v)) == 0)
                break;
        if (i == TOOL_ARGS_MAX || tool->args[i].name == NULL)
            return tool_fail(run, 400, "%s has no argument \"%.64s\"", tool->name, json_name(v));
        if (json_read_str(v, &run->args[i]) < 0)
            return tool_fail(run, 400, "argument \"%s\" of %s must be a string", tool->args[i].name,
                             tool->name);
    }
    for (i = 0; i < TOOL_ARGS_MAX && tool->args[i].name != NULL; i++)
        if (run->args[i] == NULL && !tool->args[i].is_optional)
            return tool_fail(run, 400, "%s needs argument \"%s\"", tool->name, tool->args[i].name);
    return true;
}

bool toolbox_run(const char *tool, struct tool_run *run)
{
    for (unsigned i = 0; i < ARRAY_COUNT(tools); i++)
        if (strcmp(tools[i].name, tool) == 0)
            return read_args(&tools[i], run) && tools[i].run(run);
    return tool_fail(run, 404, "there is no tool \"%.128s\" here", tool);
}

static void write_schema(struct json_out *j, const struct tool *tool)
{
    json_open_object(j);
    json_put_str(j, "type", "object");
    json_key(j, "properties");
    json_open_object(j);
    for (unsigned i = 0; i < TOOL_ARGS_MAX && tool->args[i].name != NULL; i++) {
        json_key(j, tool->args[i].name);
        json_open_object(j);
        json_put_str(j, "type", "string");
        json_put_str(j, "description", tool->args[i].help);
        json_close_object(j);
    }
    json_close_object(j);
    json_key(j, "required");
    json_open_array(j);
    for (unsigned i = 0; i < TOOL_ARGS_MAX && tool->args[i].name != NULL; i++)
        if (!tool->args[i].is_optional)
            json_str(j, tool->args[i].name);
    json_close_array(j);
    json_put_bool(j, "additionalProperties", false);
    json_close_object(j);
}

void toolbox_list(struct json_out *j, const struct nameset *allowed)
{
    json_open_array(j);
    for (unsigned i = 0; i < ARRAY_COUNT(tools); i++) {
        if (allowed != NULL && !nameset_has(allowed, bytes_of_str(tools[i].name)))
            continue;
        json_open_object(j);
        json_put_str(j, "name", tools[i].name);
        json_put_str(j, "description", tools[i].description);
        json_key(j, "inputSchema");
        write_schema(j, &tools[i]);
        json_close_object(j);
    }
    json_close_array(j);
}
