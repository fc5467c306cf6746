/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the sandbox room: run one program, and everything that it starts, in a world whose
 * only network is the netstack. The calling process becomes the supervisor.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include <stdbool.h>

#include "audit/audit.h"
#include "base/must.h"
#include "base/why.h"
#include "enroll/enroll.h"
#include "netstack/netstack.h"
#include "policy/policy.h"

#define SANDBOX_EXIT_FAILED      125 /* lattice itself failed */
#define SANDBOX_EXIT_CANNOT_EXEC 126
#define SANDBOX_EXIT_NOT_FOUND   127

/** Namespaces as further walls. */
enum sandbox_isolation {
    SANDBOX_ISOLATE_NONE = 0,
    SANDBOX_ISOLATE_AUTO,  /* where the host grants them, and nothing that rules allow needs the
                              host's network namespace */
    SANDBOX_ISOLATE_FULL,  /* or do not start */
    SANDBOX_ISOLATE_FILES, /* only what the file policy makes use of, where the host grants it */
};

/** How connections between two programs inside go. */
enum sandbox_loopback {
    SANDBOX_LOOPBACK_AUTO = 0, /* relayed where pidfd_getfd is denied, else direct */
    SANDBOX_LOOPBACK_DIRECT,   /* the two ends of one AF_UNIX stream: as fast as can be */
    SANDBOX_LOOPBACK_RELAY,    /* through the supervisor: every close and reset is TCP's */
};

#define SANDBOX_ENV_MAX 256u /* variables that one start names */

/** The agent's environment: the caller's, less lattice's own secrets and what leads to daemons of
 * the host that no rule opens. */
struct sandbox_environment {
    const char *const *named; /* NAME (as the caller has it, whatever it is) or NAME=VALUE */
    unsigned count;
    bool is_cleared; /* of the rest, only HOME, PATH, TERM, locale, user, shell, TMPDIR */
};

/** A file of lattice's own. */
struct sandbox_own_file {
    const char *option; /* that names it, for people */
    const char *path;
    bool is_secret; /* the agent may not even read it */
};

/** What the agent may do with files. */
struct sandbox_files {
    const struct policy_files *policy; /* borrowed; NULL, or not WORKSPACE: whatever its user may */
    const struct sandbox_own_file *own; /* that would not be safe where the agent may write */
    unsigned own_count;
};

struct sandbox_config {
    const char *name;
    enum sandbox_isolation isolation;
    char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    struct sandbox_environment environment;
    struct sandbox_files files;
    enum netstack_mode network;
    const struct wg_conf *wg;   /* NETSTACK_TUNNEL */
    struct policy *policy;      /* borrowed; an enrolled sandbox's is replaced as latticed says */
    const char *audit_log;      /* path */
    const char *parent_id;      /* parent agent, for the records; NULL: none */
    const char *namespace_id;   /* … and the agent's namespace */
    const char *trace_id;       /* the starter's trace; NULL: a new one */
    const char *parent_span_id; /* the starter's span that caused this; NULL: none */
    const char *root_span_id;   /* this sandbox's own span; NULL: a new one */
    const char *agent;          /* whom the records are about; NULL: @name */
    const struct audit_stream *stream; /* where records are published, too; NULL: nowhere. Its
                                        * password is wiped as soon as the auditor has it */
    int cause_fd; /* borrowed, non-blocking; 0: none. The starter writes here on whose behalf its
                     server works from now on: a span id and a newline, or a newline for nobody's */
    enum sandbox_loopback loopback;
    bool verbose;
    bool json; /* messages and refusals as JSON lines */

    struct enroll *enroll;      /* borrowed; whom to follow, ready; NULL: not enrolled */
    int64_t expires_s;          /* enrolled: the end of the identity, as it is now */
    const struct policy *local; /* enrolled: its deny rules hold whatever latticed says; or NULL */
};

/** sandbox_identity_policy() - The policy of an enrolled sandbox: what the identity may reach, the
 * gateway's own door to latticed, less what the deny rules of @local take away. */
int sandbox_identity_policy(const struct enroll_identity *id, const struct policy *local,
                            struct policy **ret, struct why *why) MUST_USE;

/** sandbox_follow_links() - For each `unix:` rule of @p whose directory is reached through links,
 * add the rule with the directory's real name. To be called before the agent can change a link. */
int sandbox_follow_links(struct policy *p) MUST_USE;

/** sandbox_env_check() - May @text stand in sandbox_environment.named? Errors: -EINVAL no name;
 * -EPERM one of lattice's own secrets. */
int sandbox_env_check(const char *text, struct why *why) MUST_USE;

/**
 * sandbox_run() - Start the agent, supervise it until its first process ends, end what it left.
 * Returns the exit status to pass on: the agent's own, 128+n when signal n ended it, or one of
 * SANDBOX_EXIT_*, with @why filled.
 */
int sandbox_run(const struct sandbox_config *config, struct why *why) MUST_USE;

/** sandbox_doctor() - Try what this machine offers and print it to standard output: what the
 * sandbox needs, what makes it faster, which walls stand, and how to mend what is missing. @json:
 * one JSON object for programs; else text, with @colour when the reader can show it. Gives up the
 * caller's capabilities, to see what an ordinary user would. Returns 0 when the sandbox can run
 * here, 1 when it cannot. */
int sandbox_doctor(bool json, bool colour);

#endif
