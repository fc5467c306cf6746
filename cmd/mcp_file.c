/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong in the file is said with its place, before anything is started. Entries without a
 * command (remote servers, by URL) are nobody's to start, and are not looked at.
 */
#include "cmd/mcp_file.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"

#define FILE_MAX (1u << 20)
#define ENV_MAX  64u

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= MCP_SERVER_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

static int check_words(const char *path, const struct json *entry, struct why *why)
{
    const struct json *args = json_get(entry, "args");
    const struct json *env = json_get(entry, "env");

    if (json_type(json_get(entry, "command")) != JSON_STRING)
        return json_fail(why, path, json_get(entry, "command"), "\"command\" must be a string");
    if (args != NULL && json_type(args) != JSON_ARRAY)
        return json_fail(why, path, args, "\"args\" must be an array of strings");
    if (env != NULL && json_type(env) != JSON_OBJECT)
        return json_fail(why, path, env, "\"env\" must be an object of strings");
    for (const struct json *v = json_first(args); v != NULL; v = json_next(v))
        if (json_type(v) != JSON_STRING)
            return json_fail(why, path, v, "a word of \"args\" must be a string");
    for (const struct json *v = json_first(env); v != NULL; v = json_next(v))
        if (json_type(v) != JSON_STRING)
            return json_fail(why, path, v, "a value of \"env\" must be a string");
    if (json_count(env) > ENV_MAX)
        return json_fail(why, path, env, "more than %u variables", ENV_MAX);
    return 0;
}

static int read_files(const char *path, const struct policy_files *agent, struct mcp_entry *e,
                      struct why *why)
{
    static const char *const keys[] = {"files"};
    const struct json *ours = json_get(e->json, "lattice");
    const struct json *files;
    int err = policy_new(POLICY_ENFORCE, &e->files);

    if (err < 0)
        return why_set(why, err, "out of memory");
    policy_set_files_mode(e->files, agent->mode);
    if (ours == NULL)
        return 0;
    if (json_type(ours) != JSON_OBJECT)
        return json_fail(why, path, ours, "\"lattice\" must be an object");
    err = json_check_keys(ours, keys, ARRAY_COUNT(keys), path, why);
    files = json_get(ours, "files");
    if (err < 0 || files == NULL)
        return err;
    /* Paths are good for the mode in which they count; the file serves agents of both. */
    policy_set_files_mode(e->files, POLICY_FILES_WORKSPACE);
    err = policy_parse_files(e->files, path, files, why);
    if (err == 0 && json_get(files, "mode") == NULL)
        policy_set_files_mode(e->files, agent->mode);
    return err;
}

static int take_entry(const char *path, const struct policy_files *agent, const struct json *v,
                      struct mcp_file *ret, struct why *why)
{
    struct mcp_entry *e = &ret->entries[ret->count];
    int err;

    if (!name_is_valid(json_name(v)))
        return json_fail_name(why, path, v, "a server's name is 1 to %u of A-Z a-z 0-9 _ -",
                              MCP_SERVER_NAME_MAX);
    if (ret->count == MCP_SERVERS_MAX)
        return json_fail_name(why, path, v, "more than %u servers", MCP_SERVERS_MAX);
    ret->count++;
    *e = (struct mcp_entry){.json = v};
    err = check_words(path, v, why);
    return err < 0 ? err : read_files(path, agent, e, why);
}

int mcp_file_load(const char *path, const struct policy_files *agent, struct mcp_file *ret,
                  struct why *why)
{
    const struct json_limits limits = {.bytes = FILE_MAX};
    const struct json *list;
    struct buf text;
    int err;

    *ret = (struct mcp_file){.count = 0};
    buf_init(&text, FILE_MAX);
    err = io_read_file(path, &text, why);
    if (err == 0)
        err = json_parse(buf_bytes(&text), &limits, &ret->doc, why);
    buf_done(&text);
    if (err < 0) {
        if (why->line > 0)
            why_at(why, path, why->line, why->column);
        return err;
    }
    list = json_get(json_root(ret->doc), "mcpServers");
    if (json_type(list) != JSON_OBJECT)
        return why_set(why, -EINVAL, "%s: an object with a member \"mcpServers\" expected", path);
    for (const struct json *v = json_first(list); v != NULL && err == 0; v = json_next(v))
        if (json_get(v, "command") != NULL)
            err = take_entry(path, agent, v, ret, why);
    return err;
}

void mcp_file_done(struct mcp_file *f)
{
    for (unsigned i = 0; i < f->count; i++)
        policy_free(f->entries[i].files);
    f->count = 0;
    json_free(f->doc);
    f->doc = NULL;
}
