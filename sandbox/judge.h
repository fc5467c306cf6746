/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the policy about destinations and names, records each judgement before it takes effect, and
 * tells the person at the terminal about refusals: one line each, repeated ones counted.
 */
#ifndef SANDBOX_JUDGE_H
#define SANDBOX_JUDGE_H

#include "sandbox/session.h"

#define REFUSALS_MAX     64u /* different refusals whose repetitions are counted */
#define REFUSAL_REPEAT_S 10  /* repetitions are summed up this often */

int refusals_new(struct session *s, struct refusals **ret) MUST_USE;
/** refusals_free() - Says the last counts. */
void refusals_free(struct refusals *r);

/** judge() - May the thread @tid reach @dst? @ret_info: what the record of the flow will need.
 * Returns 0, or what to refuse with: -ECONNREFUSED for TCP, -EACCES for others and when recording
 * failed. */
int judge(struct session *s, pid_t tid, enum policy_proto proto, const struct endpoint *dst,
          struct flow_info *ret_info) MUST_USE;

/** judge_loopback() - Nothing inside the sandbox listens on @dst, a loopback address: may the
 * host's loopback be reached instead? Only where a rule names it. Returns 0 or -ECONNREFUSED. A
 * refusal is recorded, repeated ones with their number (knocks.h), and said only when --verbose:
 * programs knock on closed ports all the time. */
int judge_loopback(struct session *s, pid_t tid, enum policy_proto proto,
                   const struct endpoint *dst, struct flow_info *ret_info) MUST_USE;

/** judge_name() - May the process ask for @name? Returns 0 or -EACCES. @server: whom it asked. */
int judge_name(struct session *s, pid_t pid, const char *exe, const char *name,
               const struct endpoint *server) MUST_USE;

/** judge_unix() - May the thread speak to the host's AF_UNIX socket @name (as policy_unix_print()
 * spells it)? @other: a second name of the same socket, which must be allowed, too; NULL: none.
 * Returns 0 or -ECONNREFUSED. */
int judge_unix(struct session *s, pid_t tid, const char *name, const char *other) MUST_USE;
/** judge_refuse_descriptor() - Record and say that a descriptor from outside was kept from the
 * thread. */
void judge_refuse_descriptor(struct session *s, pid_t tid);

#endif
