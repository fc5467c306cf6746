/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tool call costs: `bench_mcp NAME N COMMAND…` starts a stdio MCP server, directly or behind
 * the gateway, and measures N calls from request to answer, one at a time. `bench_mcp server` is
 * such a server, which does nothing but answer. `bench_mcp decide N` measures the decision alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "bench/samples.h"
#include "policy/identity.h"

#define LINE_CAP      4096
#define DECIDE_BUNDLE 1000

static const char greeting[] = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":"
                               "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}}\n";

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench_mcp: %s\n", what);
    exit(1);
}

/** Answer each request with its id, until the end of input. */
static int serve(void)
{
    struct json_limits limits = {.bytes = LINE_CAP};
    char line[LINE_CAP];

    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct json_doc *doc;
        const struct json *id;

        if (json_parse(bytes_of_str(line), &limits, &doc, NULL) < 0)
            fail("the server got no JSON");
        id = json_get(json_root(doc), "id");
        if (id != NULL) {
            struct bytes text = json_text(id);

            printf("{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"content\":[{\"type\":\"text\","
                   "\"text\":\"hello\"}]}}\n",
                   (int)text.len, (const char *)text.data);
            (void)fflush(stdout);
        }
        json_free(doc);
    }
    return 0;
}

static pid_t start(char **argv, int *ret_in, FILE **ret_out)
{
    int in[2], out[2];
    pid_t pid;

    if (pipe(in) < 0 || pipe(out) < 0)
        fail("no pipes");
    pid = fork();
    if (pid == 0) {
        if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
            _exit(126);
        (void)close(in[0]);
        (void)close(in[1]);
        (void)close(out[0]);
        (void)close(out[1]);
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    *ret_in = in[1];
    *ret_out = fdopen(out[0], "r");
    if (pid < 0 || *ret_out == NULL)
        fail("the server cannot be started");
    return pid;
}

/** One request and its answer. */
static void ask(int in, FILE *out, const char *line)
{
    static char answer[1 << 16]; /* written here only */

    if (io_write_all(in, line, strlen(line)) < 0 || fgets(answer, sizeof(answer), out) == NULL ||
        strstr(answer, "\"result\"") == NULL)
        fail("no result came");
}

static int measure(const char *name, unsigned n, char **argv)
{
    struct samples s;
    FILE *out;
    int in;
    pid_t pid = start(argv, &in, &out);
    char line[256];

    samples_init(&s, n);
    ask(in, out, greeting);
    for (unsigned i = 1; i <= n; i++) {
        double begin = now_us();

        (void)snprintf(line, sizeof(line),
                       "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":"
                       "{\"name\":\"echo\",\"arguments\":{\"text\":\"hello\"}}}\n",
                       i);
        ask(in, out, line);
        samples_add(&s, now_us() - begin);
    }
    samples_print(&s, name, "us", /*is_rate=*/false);
    samples_done(&s);
    (void)close(in);
    (void)fclose(out);
    return waitpid(pid, NULL, 0) == pid ? 0 : 1;
}

/** An agent with 32 tools; each call is of another, each second one is none of them. */
static int decide(unsigned n)
{
    struct tool_request req = {.agent = "agent", .ns = "default", .now_s = 1};
    struct identity id;
    struct samples s;
    unsigned allowed = 0;
    char names[64][16];

    identity_init(&id);
    id.phase = IDENTITY_ACTIVE;
    id.expires_s = IDENTITY_NEVER;
    if (nameset_add(&id.namespaces, bytes_of_str("default")) < 0)
        fail("out of memory");
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "tool_%02u", i);
        if (i % 2 == 0 && nameset_add(&id.tools, bytes_of_str(names[i])) < 0)
            fail("out of memory");
    }
    req.identity = &id;
    samples_init(&s, n);
    for (unsigned k = 0; k < n; k++) {
        double begin = now_us();

        for (unsigned i = 0; i < DECIDE_BUNDLE; i++) {
            req.tool = bytes_of_str(names[i % 64]);
            allowed += policy_decide_tool(&req).verdict == VERDICT_ALLOW;
        }
        samples_add(&s, (now_us() - begin) * 1000 / DECIDE_BUNDLE);
    }
    if (allowed == 0)
        fail("nothing was allowed");
    samples_print(&s, "mcp_decide_tool", "ns", /*is_rate=*/false);
    samples_done(&s);
    identity_done(&id);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "server") == 0)
        return serve();
    if (argc == 3 && strcmp(argv[1], "decide") == 0)
        return decide((unsigned)count_of(argv[2], SAMPLES_MAX));
    if (argc > 3)
        return measure(argv[1], (unsigned)count_of(argv[2], SAMPLES_MAX), argv + 3);
    fail("usage: bench_mcp server | decide N | NAME N COMMAND…");
    return 2;
}
