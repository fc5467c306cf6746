/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which programs run in the sandbox: each execve(2) becomes a span `exec:NAME` with its arguments,
 * its exit status and its parent by lineage, and tells which span a connection belongs to.
 *
 * Lifecycle: programs_new → (programs_started | programs_span_of)* → programs_end → programs_free.
 */
#ifndef SANDBOX_PROGRAMS_H
#define SANDBOX_PROGRAMS_H

#include "sandbox/session.h"

/** programs_new() - @guardian: the process that adopts orphans, at which lineage ends.
 * Errors: -ENOMEM. */
int programs_new(struct session *s, pid_t guardian, struct programs_seen **ret) MUST_USE;
void programs_free(struct programs_seen *p);

/** programs_started() - A thread waits in the call that programs make when they begin. Let it go
 * on, and, if it is a program that was not seen yet, record it. Returns what notify_continue()
 * said. */
int programs_started(struct programs_seen *p, const struct call *call);

/** programs_span_of() - The span that what process @pid does belongs to. @exe: what it runs, as
 * agent_exe() says; a program that began unnoticed is recorded first. Never NULL; valid until the
 * next call. */
const char *programs_span_of(struct programs_seen *p, pid_t pid, const char *exe);

/** programs_end() - Nothing of the agent is left: record the end of what still ran. @first: the
 * agent's first process, which ended with @status. */
void programs_end(struct programs_seen *p, pid_t first, int status);

#endif
