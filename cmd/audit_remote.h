/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice audit … --server-url`: latticed's records instead of this machine's logs.
 */
#ifndef CMD_AUDIT_REMOTE_H
#define CMD_AUDIT_REMOTE_H

#include "audit/audit.h"
#include "cmd/session.h"

/* All return 0 or an exit status, with the reason on standard error. */

/** audit_remote_trace() - Fetch trace @id into @store. EXIT_NOT_FOUND: there is none. */
int audit_remote_trace(struct session *s, const char *id, struct audit_store *store) MUST_USE;
/** audit_remote_flows() - Fetch the flows that @f asks for. */
int audit_remote_flows(struct session *s, const struct audit_filter *f,
                       struct audit_store *store) MUST_USE;
/** audit_remote_traces() - Call @row for the traces that @f asks for, newest first. */
int audit_remote_traces(struct session *s, const struct audit_filter *f,
                        int (*row)(void *self, const struct audit_trace_row *r),
                        void *self) MUST_USE;

#endif
