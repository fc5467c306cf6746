/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line of `lattice sandbox start` asks for: each option checked by itself and
 * against the others, rules compiled into a policy. Nothing is opened but the files that options
 * name, and nothing is started.
 */
#ifndef CMD_REQUEST_H
#define CMD_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "cmd/enroll_options.h"
#include "cmd/nats_options.h"
#include "policy/identity.h"
#include "sandbox/sandbox.h"

#define SANDBOX_NAME_MAX 64
#define PATH_CAP         4096
#define OWN_MAX          32u /* files of ours that the command line names */

/** What the command line said, checked as far as one option can be by itself. */
struct request {
    const char *name;
    const char *wg_path;
    const char *audit_log;
    char default_log[PATH_CAP]; /* where it points when nothing was said */
    const char *trace_id;
    const char *parent_span;
    const char *agent;
    int cause_fd; /* 0: none */
    struct nats_options nats;
    enum sandbox_isolation isolation;
    bool has_isolation; /* it was said */
    enum policy_files_mode files;
    struct sandbox_own_file own[OWN_MAX];
    unsigned own_count;
    const char *env[SANDBOX_ENV_MAX];
    unsigned env_count;
    bool clears_env;
    enum sandbox_loopback loopback;
    bool is_direct;
    bool is_offline;
    bool is_enforce;
    bool is_audit;
    bool is_verbose;
    bool is_json;
    bool has_allow;        /* --allow or --policy was given */
    struct policy *policy; /* owned */
    char *const *argv;     /* borrowed */
    const char *mcp_path;
    char
        own_trace[AUDIT_TRACE_CAP]; /* where trace_id points when it is shared and none was given */
    char own_span[AUDIT_SPAN_CAP];  /* … and where root_span_id does */
    struct nameset tools;           /* that the agent's MCP clients may call */
    struct enroll_options enroll;
    uint16_t renew_s; /* 0: the default */
};

/** request_parse() - Read the command line into @r, whose policy and tools exist and are empty.
 * Returns -1 to go on, or the exit status: what was wrong has been said. */
int request_parse(struct request *r, int argc, char **argv) MUST_USE;
/** request_name_is_valid() - May a sandbox be called that? */
bool request_name_is_valid(const char *name);
/** request_fail() - Say what is wrong. Returns the exit status. */
int request_fail(const struct why *why);
/** request_note_own() - Remember a file of ours, which the agent may neither change nor
 * (@is_secret) read. @path is borrowed and may be NULL. */
void request_note_own(struct request *r, const char *option, const char *path, bool is_secret);

#endif
